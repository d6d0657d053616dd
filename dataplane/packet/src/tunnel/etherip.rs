//! EtherIP (RFC 3378 section 3).

use crate::cursor::{Cursor, Fields};
use crate::tunnel::carried::{Carried, Next};

const OCTETS: usize = 2;
/// Version (4 bits), reserved (12).
const VERSION: usize = 0;

/// Version 3, and nothing in the reserved bits.
const VERSION_3: u16 = 0x3000;

/// An EtherIP header.
#[derive(Clone, Copy)]
struct Header<'a>(&'a [u8; OCTETS]);

impl Header<'_> {
    fn is_version_3(self) -> bool {
        self.0.u16::<VERSION>() == VERSION_3
    }
}

/// What the tunnel carries.
pub(crate) fn read(at: &mut Cursor<'_>) -> Option<Carried> {
    let header = at.take().map(Header)?;
    header.is_version_3().then_some(Carried::unnamed(Next::Ethernet))
}

#[cfg(test)]
mod tests {
    use crate::frame_tests::{INNER_ETHERNET, INNER4, UDP4, check_tunnel, ipv4};

    #[test]
    fn version_3_carries_a_frame() {
        check_tunnel(&ipv4(97, &format!("3000 {INNER_ETHERNET} 0800 {INNER4}")), &format!("etherip 0 {UDP4}"));
        check_tunnel(&ipv4(97, &format!("2000 {INNER_ETHERNET} 0800 {INNER4}")), " 0 192.0.2.1 > 192.0.2.2 p97 0>0");
    }
}
