//! VXLAN (RFC 7348 section 5). Old Linux VXLAN and OTV over UDP have the same header.

use crate::cursor::Fields;
use crate::tunnel::carried::{Carried, Next};

/// Octets of the header.
pub(crate) const OCTETS: usize = 8;
const FLAGS: usize = 0;
/// Network identifier (24 bits), reserved (8).
const NETWORK_IDENTIFIER: usize = 4;

/// The I flag: there is a network identifier.
const HAS_IDENTIFIER: u8 = 0x08;

/// IANA's port, and the one of OTV and old Linux VXLAN.
pub(crate) const PORTS: [u16; 2] = [4789, 8472];

/// A VXLAN header.
#[derive(Clone, Copy)]
struct Header<'a>(&'a [u8; OCTETS]);

impl Header<'_> {
    #[inline(always)]
    fn has_identifier(self) -> bool {
        self.0.u8::<FLAGS>() & HAS_IDENTIFIER != 0
    }

    #[inline(always)]
    fn network_identifier(self) -> u32 {
        self.0.u32::<NETWORK_IDENTIFIER>() >> 8
    }
}

/// What a header carries; `None` without the I flag.
#[inline(always)]
pub(crate) fn read(octets: &[u8; OCTETS]) -> Option<Carried> {
    let header = Header(octets);
    header.has_identifier().then(|| Carried::new(header.network_identifier(), Next::Ethernet))
}

#[cfg(test)]
mod tests {
    use crate::frame_tests::{INNER_ETHERNET, INNER4, INNER6, UDP4, UDP6, check_tunnel, udp};

    #[test]
    fn a_network_identifier_must_be_there() {
        let inside = format!("{INNER_ETHERNET} 0800 {INNER4}");
        check_tunnel(&udp(4789, &format!("08000000 00007b00 {inside}")), &format!("vxlan 123 {UDP4}"));
        check_tunnel(&udp(8472, &format!("08000000 00007b00 {INNER_ETHERNET} 8100 0005 86dd {INNER6}")), &format!("vxlan 123 {UDP6}"));
        // RFC 7348 section 5: without the I flag there is no network.
        check_tunnel(&udp(4789, &format!("00000000 00007b00 {inside}")), " 0 192.0.2.1 > 192.0.2.2 p17 49152>4789");
        // A frame without IP is no flow of its own.
        check_tunnel(
            &udp(4789, &format!("08000000 00007b00 {INNER_ETHERNET} 0806 0001")),
            "vxlan 123 192.0.2.1 > 192.0.2.2 p17 49152>4789",
        );
    }
}
