//! The network service header (RFC 8300 section 2).

use crate::cursor::{Cursor, Fields};
use crate::headers::{Headers, Malformed};
use crate::link::{ethernet, ethertype};
use crate::listener::Listener;

const OCTETS: usize = 4;
/// The last bits of the TTL (2 bits), then the length in words of four octets (6) (section 2.2).
const LENGTH: usize = 1;
const NEXT_PROTOCOL: usize = 3;

/// The base header.
#[derive(Clone, Copy)]
struct Header<'a>(&'a [u8; OCTETS]);

impl Header<'_> {
    /// Octets of the whole header, one word at least.
    fn octets(self) -> usize {
        usize::from(self.0.u8::<LENGTH>() & 0x3f).max(1).saturating_mul(4)
    }

    fn next_protocol(self) -> u8 {
        self.0.u8::<NEXT_PROTOCOL>()
    }
}

/// Reads the header; `false` when what follows is not known.
pub(crate) fn read(at: &mut Cursor<'_>, headers: &mut Headers, listener: &mut impl Listener) -> Result<bool, Malformed> {
    let header = at.peek().map(Header).ok_or(Malformed::NshTruncated)?;
    at.skip(header.octets()).ok_or(Malformed::NshTruncated)?;
    match header.next_protocol() {
        1 => headers.ethertype = ethertype::IPV4,
        2 => headers.ethertype = ethertype::IPV6,
        3 => ethernet::read(at, headers, listener)?,
        4 => headers.ethertype = ethertype::NSH,
        5 => headers.ethertype = ethertype::MPLS,
        _ => return Ok(false),
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use crate::Link;
    use crate::frame_tests::{ETHERNET, check_frame, check_passed};

    #[test]
    fn next_protocols_are_followed() {
        check_passed("894f 0002 0101 00000101");
        check_passed("894f 0002 0103 00000101 020000000004 020000000003 0800");
        check_passed("894f 0002 0104 00000101 0002 0101 00000101");
        check_passed("894f 0002 0105 00000101 00064140");
        check_frame(Link::Ethernet, &format!("{ETHERNET} 894f 0fc6 0101 0000"), "nsh_truncated");
        check_frame(Link::Ethernet, &format!("{ETHERNET} 894f 0001 0106"), "894f p0 0>0 0 octets vlan [] icmp [0, 0] frag 0");
    }
}
