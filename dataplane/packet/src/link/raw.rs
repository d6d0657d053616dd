//! IP without a link header (LINKTYPE_RAW, and tunnels that do not name the version): the first four bits tell IPv4 (RFC 791
//! section 3.1) from IPv6 (RFC 8200 section 3).

use crate::cursor::Cursor;
use crate::headers::Malformed;
use crate::link::ethertype;

/// The ethertype of the next IP header, by its version.
pub(crate) fn read(at: Cursor<'_>) -> Result<u16, Malformed> {
    match at.first().ok_or(Malformed::LinkTruncated)? >> 4 {
        4 => Ok(ethertype::IPV4),
        6 => Ok(ethertype::IPV6),
        _ => Err(Malformed::UnknownIpVersion),
    }
}

#[cfg(test)]
mod tests {
    use crate::Link;
    use crate::frame_tests::{INNER6, UDP4, UDP6, V4_UDP, check_frame};

    #[test]
    fn the_version_tells() {
        check_frame(Link::RawIp, V4_UDP, &format!("{UDP4} 28 octets vlan [] icmp [0, 0] frag 0"));
        check_frame(Link::RawIp, INNER6, &format!("{UDP6} 48 octets vlan [] icmp [0, 0] frag 0"));
        check_frame(Link::RawIp, "50", "unknown_ip_version");
        check_frame(Link::RawIp, "", "link_truncated");
    }
}
