//! NVGRE (RFC 7637 section 3.2): Ethernet in GRE, with a key whose high 24 bits are the virtual subnet.

use crate::link::ethertype;
use crate::tunnel::carried::{Carried, Next};
use crate::tunnel::gre::Gre;

/// The first numbers of virtual subnets are reserved: a key with one of them is that of RFC 2890.
const RESERVED_MAX: u32 = 0x0fff;

/// What the tunnel carries; `None` when it is another kind of GRE.
pub(crate) fn read(gre: &Gre) -> Option<Carried> {
    let subnet = gre.key? >> 8;
    let is_nvgre = gre.protocol == ethertype::TRANSPARENT_ETHERNET && gre.has_key_alone() && subnet > RESERVED_MAX;
    is_nvgre.then(|| Carried::new(subnet, Next::Ethernet))
}

#[cfg(test)]
mod tests {
    use crate::frame_tests::{INNER_ETHERNET, INNER4, UDP4, check_tunnel, ipv4};

    #[test]
    fn a_key_above_the_reserved_ones_is_a_virtual_subnet() {
        check_tunnel(&ipv4(47, &format!("2000 6558 00123401 {INNER_ETHERNET} 0800 {INNER4}")), &format!("nvgre 4660 {UDP4}"));
        check_tunnel(&ipv4(47, &format!("0000 6558 {INNER_ETHERNET} 0800 {INNER4}")), &format!("gre 0 {UDP4}"));
        // RFC 7637 section 3.2: the first 4096 virtual subnets are reserved; a sequence number is none of NVGRE's.
        check_tunnel(&ipv4(47, &format!("2000 6558 00100000 {INNER_ETHERNET} 0800 {INNER4}")), &format!("nvgre 4096 {UDP4}"));
        check_tunnel(&ipv4(47, &format!("2000 6558 000fffff {INNER_ETHERNET} 0800 {INNER4}")), &format!("gre 1048575 {UDP4}"));
        check_tunnel(&ipv4(47, &format!("3000 6558 00123401 00000001 {INNER_ETHERNET} 0800 {INNER4}")), &format!("gre 1192961 {UDP4}"));
    }
}
