//! IP without a link header (LINKTYPE_RAW, and tunnels that do not name the version): the first four bits tell IPv4 (RFC 791
//! section 3.1) from IPv6 (RFC 8200 section 3).

use crate::cursor::Cursor;
use crate::headers::Malformed;
use crate::link::ethertype;

/// The ethertype of the IP header that stands next, by its version.
pub(crate) fn read(at: Cursor<'_>) -> Result<u16, Malformed> {
    match at.first().ok_or(Malformed::LinkTruncated)? >> 4 {
        4 => Ok(ethertype::IPV4),
        6 => Ok(ethertype::IPV6),
        _ => Err(Malformed::UnknownIpVersion),
    }
}
