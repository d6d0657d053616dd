//! VXLAN with a next-protocol field (draft-ietf-nvo3-vxlan-gpe-13 section 3.1).

use crate::cursor::{Cursor, Fields};
use crate::link::ethertype;
use crate::tunnel::carried::{Carried, Next};

const OCTETS: usize = 8;
const FLAGS: usize = 0;
const NEXT_PROTOCOL: usize = 3;
/// Network identifier (24 bits), reserved (8).
const NETWORK_IDENTIFIER: usize = 4;

/// The I flag: there is a network identifier.
const HAS_IDENTIFIER: u8 = 0x08;
/// The P flag: there is a next protocol. Without it Ethernet follows.
const HAS_PROTOCOL: u8 = 0x04;

pub(crate) const PORT: u16 = 4790;

/// A VXLAN-GPE header.
#[derive(Clone, Copy)]
struct Header<'a>(&'a [u8; OCTETS]);

impl Header<'_> {
    fn has(self, flag: u8) -> bool {
        self.0.u8::<FLAGS>() & flag != 0
    }

    fn next(self) -> Option<Next> {
        if !self.has(HAS_PROTOCOL) {
            return Some(Next::Ethernet);
        }
        match self.0.u8::<NEXT_PROTOCOL>() {
            1 => Some(Next::Ethertype(ethertype::IPV4)),
            2 => Some(Next::Ethertype(ethertype::IPV6)),
            3 => Some(Next::Ethernet),
            4 => Some(Next::Ethertype(ethertype::NSH)),
            5 => Some(Next::Ethertype(ethertype::MPLS)),
            _ => None,
        }
    }
}

/// What the tunnel carries; `None` without a network identifier, and when the next protocol is not known.
pub(crate) fn read(at: &mut Cursor<'_>) -> Option<Carried> {
    let header = at.take().map(Header)?;
    let next = header.next()?;
    header.has(HAS_IDENTIFIER).then(|| Carried::new(header.0.u32::<NETWORK_IDENTIFIER>() >> 8, next))
}

#[cfg(test)]
mod tests {
    use crate::frame_tests::{INNER_ETHERNET, INNER4, INNER6, UDP4, UDP6, check_no_tunnel, check_tunnel, udp};

    #[test]
    fn next_protocols_are_followed() {
        let inside = format!("{INNER_ETHERNET} 0800 {INNER4}");
        check_tunnel(&udp(4790, &format!("0c000001 00007b00 {INNER4}")), &format!("vxlan-gpe 123 {UDP4}"));
        check_tunnel(&udp(4790, &format!("0c000002 00007b00 {INNER6}")), &format!("vxlan-gpe 123 {UDP6}"));
        check_tunnel(&udp(4790, &format!("0c000003 00007b00 {inside}")), &format!("vxlan-gpe 123 {UDP4}"));
        check_tunnel(&udp(4790, &format!("0c000004 00007b00 0002 0101 00000101 {INNER4}")), &format!("vxlan-gpe 123 {UDP4}"));
        check_tunnel(&udp(4790, &format!("0c000005 00007b00 00064140 {INNER4}")), &format!("vxlan-gpe 123 {UDP4}"));
        check_tunnel(&udp(4790, &format!("08000000 00007b00 {inside}")), &format!("vxlan-gpe 123 {UDP4}"));
        check_no_tunnel(4790, &format!("0c000006 00007b00 {INNER4}"));
        check_no_tunnel(4790, &format!("04000001 00007b00 {INNER4}"));
    }
}
