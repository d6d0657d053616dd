//! ICMP (RFC 792), ICMPv6 (RFC 4443 section 2.1): type and code. IGMP (RFC 9776 section 4) has its type and its maximum response code
//! in their place.

use crate::cursor::Cursor;
use crate::headers::Headers;

/// Octets of type and code.
const OCTETS: usize = 2;

/// Takes over type and code of the next message, unless it was cut off.
#[inline(always)]
pub(crate) fn read(at: Cursor<'_>, headers: &mut Headers) {
    let type_and_code: Option<&[u8; OCTETS]> = at.peek();
    headers.icmp_seen = type_and_code.is_some();
    headers.icmp = type_and_code.copied().unwrap_or_default();
}

#[cfg(test)]
mod tests {
    use crate::frame_tests::{ENDS6, bytes, check_frame, frame_of};
    use crate::{Link, decode};

    #[test]
    fn icmp_type_and_code() {
        check_frame(
            Link::RawIp,
            "4500001c 00010000 40010000 0a000001 0a000002 0301 0000 00000000",
            "10.0.0.1 > 10.0.0.2 p1 0>0 28 octets vlan [] icmp [3, 1] frag 0",
        );
        check_frame(
            Link::RawIp,
            &format!("60000000 0008 3a ff {ENDS6} 8700 0000 00000000"),
            "2001:db8::1 > 2001:db8::2 p58 0>0 48 octets vlan [] icmp [135, 0] frag 0",
        );
    }

    #[test]
    fn a_message_that_was_cut_off_has_neither() {
        let seen = |hex: &str| decode(&frame_of(Link::RawIp, &bytes(hex))).map(|headers| (headers.icmp_seen, headers.icmp));
        assert_eq!(seen("4500001c 00010000 40010000 0a000001 0a000002 0301"), Ok((true, [3, 1])));
        assert_eq!(seen("4500001c 00010000 40010000 0a000001 0a000002 03"), Ok((false, [0, 0])));
    }
}
