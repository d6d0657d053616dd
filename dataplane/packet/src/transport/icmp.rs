//! ICMP (RFC 792), ICMPv6 (RFC 4443 section 2.1): type and code. IGMP (RFC 9776 section 4) has its type and its maximum response code
//! in their place.

use crate::cursor::Cursor;
use crate::headers::Headers;

/// Octets of type and code.
const OCTETS: usize = 2;

/// Takes over type and code of the message that stands next, unless it was cut off.
#[inline(always)]
pub(crate) fn read(at: Cursor<'_>, headers: &mut Headers) {
    let type_and_code: Option<&[u8; OCTETS]> = at.peek();
    headers.icmp_seen = type_and_code.is_some();
    headers.icmp = type_and_code.copied().unwrap_or_default();
}
