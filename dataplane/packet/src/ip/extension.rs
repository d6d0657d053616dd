//! The headers between IP and transport (RFC 8200 section 4, RFC 4302): hop-by-hop options, routing, fragment, authentication,
//! destination options.
//!
//! IPv4 knows only the authentication header, but others can be sent in it, and receivers differ in what they make of that: the
//! packet is metered by what it carries.

use crate::cursor::{Cursor, Fields};
use crate::headers::{Headers, Malformed, Network};
use crate::ip::{authentication, fragment, routing};
use crate::listener::Listener;
use crate::proto;

/// Most extension headers of an IPv6 packet: a limit on work, well above what RFC 8200 section 4.1 recommends.
pub const EXTENSIONS_MAX: u8 = 16;

const OCTETS: usize = 2;
const NEXT_HEADER: usize = 0;
const LENGTH: usize = 1;

/// What all extension headers begin with.
#[derive(Clone, Copy)]
struct Header<'a>(&'a [u8; OCTETS]);

impl Header<'_> {
    #[inline(always)]
    fn next_header(self) -> u8 {
        self.0.u8::<NEXT_HEADER>()
    }

    /// Octets of the header, as the protocol counts them: in units of eight beside the first (RFC 8200 section 4.3), except that an
    /// authentication header counts words of four (RFC 4302 section 2.2), and a fragment header has always the same length.
    #[inline(always)]
    fn octets(self, protocol: u8) -> usize {
        let length = usize::from(self.0.u8::<LENGTH>());
        match protocol {
            proto::FRAGMENT => fragment::OCTETS,
            proto::AUTHENTICATION => length.saturating_add(2).saturating_mul(4),
            _ => length.saturating_add(1).saturating_mul(8),
        }
    }
}

#[inline(always)]
fn is_extension(protocol: u8) -> bool {
    matches!(protocol, proto::HOP_BY_HOP | proto::ROUTING | proto::FRAGMENT | proto::AUTHENTICATION | proto::DESTINATION_OPTIONS)
}

/// Passes over extension headers, the first of which is at `offset` in the frame and has `headers.protocol`.
///
/// The answer is the offset of the transport header; `None` when the chain was cut off, or the packet is a later fragment: then it is
/// metered under the last protocol that was seen.
#[inline]
pub(crate) fn read(
    at: &mut Cursor<'_>,
    headers: &mut Headers,
    mut offset: usize,
    listener: &mut impl Listener,
) -> Result<Option<usize>, Malformed> {
    let over_ipv6 = matches!(headers.network, Network::V6(..));
    let mut extensions = 0u8;
    while is_extension(headers.protocol) {
        if extensions >= EXTENSIONS_MAX {
            return Err(Malformed::TooManyExtensions);
        }
        extensions = extensions.saturating_add(1);
        let Some(header) = at.peek().map(Header) else { return Ok(None) };
        let mut later = false;
        match headers.protocol {
            proto::FRAGMENT => {
                let Some(fragment) = fragment::read(*at) else { return Ok(None) };
                later = fragment.offset != 0;
                if over_ipv6 {
                    headers.fragment = fragment;
                }
            }
            proto::AUTHENTICATION => authentication::read(*at, headers),
            proto::ROUTING => routing::read(*at, listener),
            _ => {}
        }
        let octets = header.octets(headers.protocol);
        if !over_ipv6 && at.rest().len() < octets {
            return Ok(None);
        }
        headers.protocol = header.next_header();
        if at.skip(octets).is_none() {
            return Ok(None);
        }
        offset = offset.saturating_add(octets);
        if later {
            // RFC 8200 section 4.5: what follows in a later fragment is not a header.
            return Ok(None);
        }
    }
    Ok(Some(offset))
}

#[cfg(test)]
mod tests {
    use crate::frame_tests::{ENDS6, check_frame, frame, show_frame};
    use crate::{EXTENSIONS_MAX, Link, decode};

    #[test]
    fn ipv6_extension_headers_are_passed_over() {
        let chain = "2b00 000000000000 3c00 000000000000 3302 000000000000 3301 0000 00000000 00000000 1101 0000 00000000 00000000";
        // hop-by-hop -> routing -> destination -> (a second destination) would be legal; here AH twice, then UDP.
        check_frame(
            Link::RawIp,
            &format!("60000000 0040 00 40 {ENDS6} 3c00 000000000000 3300 000000000000 1101 0000 00000000 00000000 0035 d431 0008 0000"),
            "2001:db8::1 > 2001:db8::2 p17 53>54321 104 octets vlan [] icmp [0, 0] frag 0",
        );
        assert!(show_frame(Link::RawIp, &format!("60000000 0040 00 40 {ENDS6} {chain}")).starts_with("2001:db8::1 > 2001:db8::2"));
        check_frame(
            Link::RawIp,
            &format!("60000000 0010 2c 40 {ENDS6} 1100 0001 00000007 0035 d431 0008 0000"),
            "2001:db8::1 > 2001:db8::2 p17 53>54321 56 octets vlan [] icmp [0, 0] frag 0",
        );
        check_frame(
            Link::RawIp,
            &format!("60000000 0010 2c 40 {ENDS6} 1100 0010 00000007 0035 d431 0008 0000"),
            "2001:db8::1 > 2001:db8::2 p17 0>0 56 octets vlan [] icmp [0, 0] frag 16",
        );
        let endless = "0000 000000000000 ".repeat(usize::from(EXTENSIONS_MAX) + 1);
        check_frame(Link::RawIp, &format!("60000000 0100 00 40 {ENDS6} {endless}"), "too_many_extensions");
    }

    /// IPv4 that carries IPv6's fragment header: receivers differ in what they make of it, the flow is that of what it carries.
    #[test]
    fn extension_headers_in_ipv4_are_passed_over() {
        let mut bytes = vec![2u8; 12];
        bytes.extend([8, 0, 0x45, 0, 0, 40, 0, 1, 0, 0, 64, 44, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
        bytes.extend([17, 0, 0, 0, 0, 0, 0, 9]);
        bytes.extend([0, 53, 1, 0, 0, 12, 0, 0]);
        let headers = decode(&frame(&bytes)).unwrap();
        assert_eq!((headers.protocol, headers.sport, headers.dport, headers.fragment.is_fragment()), (17, 53, 256, false));
        for cut in 34..42 {
            assert_eq!(decode(&frame(&bytes[..cut])).unwrap().protocol, 44, "{cut}");
        }
        // A later fragment in IPv6's sense: what follows is not a header.
        bytes[37] = 8;
        assert_eq!(decode(&frame(&bytes)).map(|h| (h.protocol, h.sport)), Ok((17, 0)));
        // The mobility header is what the packet carries (RFC 6275 section 6.1.1), not an extension before it.
        bytes[23] = 135;
        assert_eq!(decode(&frame(&bytes)).unwrap().protocol, 135);
    }
}
