//! GENEVE (RFC 8926 section 3.4).

use crate::cursor::{Cursor, Fields};
use crate::tunnel::carried::{Carried, Next};

const OCTETS: usize = 8;
/// Version (2 bits), length of the options in words of four octets (6).
const VERSION_AND_LENGTH: usize = 0;
const PROTOCOL_TYPE: usize = 2;
/// Network identifier (24 bits), reserved (8).
const NETWORK_IDENTIFIER: usize = 4;

pub(crate) const PORT: u16 = 6081;

/// A GENEVE header without its options.
#[derive(Clone, Copy)]
struct Header<'a>(&'a [u8; OCTETS]);

impl Header<'_> {
    fn version(self) -> u8 {
        self.0.u8::<VERSION_AND_LENGTH>() >> 6
    }

    /// Octets of the options.
    fn options(self) -> usize {
        usize::from(self.0.u8::<VERSION_AND_LENGTH>() & 0x3f).saturating_mul(4)
    }

    fn carried(self) -> Carried {
        Carried::new(self.0.u32::<NETWORK_IDENTIFIER>() >> 8, Next::of(self.0.u16::<PROTOCOL_TYPE>()))
    }
}

/// What the tunnel carries, behind its options.
pub(crate) fn read(at: &mut Cursor<'_>) -> Option<Carried> {
    let header = at.take().map(Header).filter(|header| header.version() == 0)?;
    at.skip(header.options())?;
    Some(header.carried())
}

#[cfg(test)]
mod tests {
    use crate::frame_tests::{INNER_ETHERNET, INNER4, INNER6, UDP4, UDP6, check_tunnel, udp};

    #[test]
    fn geneve_with_options() {
        check_tunnel(&udp(6081, &format!("0000 6558 00007b00 {INNER_ETHERNET} 0800 {INNER4}")), &format!("geneve 123 {UDP4}"));
        check_tunnel(&udp(6081, &format!("0240 86dd 00007b00 0102030405060708 {INNER6}")), &format!("geneve 123 {UDP6}"));
        check_tunnel(&udp(6081, &format!("4000 0800 00007b00 {INNER4}")), " 0 192.0.2.1 > 192.0.2.2 p17 49152>6081");
    }
}
