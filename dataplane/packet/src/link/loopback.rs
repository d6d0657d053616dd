//! BSD loopback, LINKTYPE_NULL and LINKTYPE_LOOP: the address family as four octets in the order of the machine that captured.

use crate::cursor::{Cursor, Fields};
use crate::headers::{Headers, Malformed};
use crate::link::ethertype;

const OCTETS: usize = 4;
const FAMILY: usize = 0;

const AF_INET: u32 = 2;
/// AF_INET6 of NetBSD and OpenBSD, FreeBSD, Darwin.
const AF_INET6: [u32; 3] = [24, 28, 30];

/// A loopback header.
#[derive(Clone, Copy)]
struct Header<'a>(&'a [u8; OCTETS]);

impl Header<'_> {
    /// Families are small numbers: a large one stands in the other byte order.
    fn family(self) -> u32 {
        match self.0.u32::<FAMILY>() {
            large if large > 0xffff => large.swap_bytes(),
            small => small,
        }
    }
}

/// Reads the header; the ethertype is 0 when the family is not one of IP.
pub(crate) fn read(at: &mut Cursor<'_>, headers: &mut Headers) -> Result<(), Malformed> {
    headers.ethertype = match at.take().map(Header).ok_or(Malformed::LinkTruncated)?.family() {
        AF_INET => ethertype::IPV4,
        family if AF_INET6.contains(&family) => ethertype::IPV6,
        _ => 0,
    };
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::Link;
    use crate::frame_tests::{INNER6, UDP4, UDP6, V4_UDP, check_frame};

    #[test]
    fn families_stand_in_either_byte_order() {
        for family in ["02000000", "00000002"] {
            check_frame(Link::Null, &format!("{family} {V4_UDP}"), &format!("{UDP4} 28 octets vlan [] icmp [0, 0] frag 0"));
        }
        for family in ["18000000", "1c000000", "0000001e"] {
            check_frame(Link::Null, &format!("{family} {INNER6}"), &format!("{UDP6} 48 octets vlan [] icmp [0, 0] frag 0"));
        }
        check_frame(Link::Null, "00000007 0102", "0000 p0 0>0 2 octets vlan [] icmp [0, 0] frag 0");
        check_frame(Link::Null, "000000", "link_truncated");
    }
}
