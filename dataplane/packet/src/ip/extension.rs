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

/// Passes over extension headers, the first of which stands at `offset` of the frame and has `headers.protocol`.
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
