//! AYIYA (draft-massar-v6ops-ayiya-02 section 4): IP in UDP with the identity and the signature of the sender.

use crate::cursor::{Cursor, Fields};
use crate::link::ethertype;
use crate::proto;
use crate::tunnel::carried::{Carried, Next};

/// Octets up to the end of the time; identity and signature follow.
const OCTETS: usize = 8;
/// The length of the identity as a power of two (4 bits), its type (4).
const IDENTITY: usize = 0;
/// The length of the signature in words of four octets (4 bits), its hash (4).
const SIGNATURE: usize = 1;
/// How the sender is authenticated (4 bits), what is to be done (4).
const OPERATION: usize = 2;
const NEXT_HEADER: usize = 3;

// Operations that carry a packet: it is forwarded, or echoed and forwarded.
const FORWARD: u8 = 1;
const ECHO_AND_FORWARD: u8 = 3;

pub(crate) const PORT: u16 = 5072;

/// An AYIYA header as far as all have it.
#[derive(Clone, Copy)]
struct Header<'a>(&'a [u8; OCTETS]);

impl Header<'_> {
    fn carries_packet(self) -> bool {
        matches!(self.0.u8::<OPERATION>() & 0x0f, FORWARD | ECHO_AND_FORWARD)
    }

    /// Octets of the identity.
    fn identity(self) -> Option<usize> {
        1usize.checked_shl(u32::from(self.0.u8::<IDENTITY>() >> 4))
    }

    /// Octets of the signature.
    fn signature(self) -> usize {
        usize::from(self.0.u8::<SIGNATURE>() >> 4).saturating_mul(4)
    }

    fn next(self) -> Option<Next> {
        match self.0.u8::<NEXT_HEADER>() {
            proto::IPIP => Some(Next::Ethertype(ethertype::IPV4)),
            proto::IPV6 => Some(Next::Ethertype(ethertype::IPV6)),
            _ => None,
        }
    }
}

/// What the tunnel carries.
pub(crate) fn read(at: &mut Cursor<'_>) -> Option<Carried> {
    let header = at.take().map(Header).filter(|header| header.carries_packet())?;
    at.skip(header.identity()?)?;
    at.skip(header.signature())?;
    Some(Carried::unnamed(header.next()?))
}

#[cfg(test)]
mod tests {
    use crate::frame_tests::{INNER4, INNER6, UDP4, UDP6, check_tunnel, udp};

    #[test]
    fn ayiya_with_every_length_and_operation() {
        let inside = format!("ayiya 0 {UDP6}");
        for (identity, signature) in [(0, 0), (4, 5), (3, 15), (15, 0)] {
            let skipped = "55".repeat((1 << identity) + 4 * signature);
            let header = |operation, next| format!("{identity:x}1 {signature:x}2 1{operation:x} {next} 00000001 {skipped}");
            check_tunnel(&udp(5072, &format!("{} {INNER6}", header(1, "29"))), &inside);
            check_tunnel(&udp(5072, &format!("{} {INNER4}", header(3, "04"))), &format!("ayiya 0 {UDP4}"));
            for (operation, next) in [(0, "29"), (2, "29"), (4, "29"), (1, "3b")] {
                check_tunnel(&udp(5072, &format!("{} {INNER6}", header(operation, next))), " 0 192.0.2.1 > 192.0.2.2 p17 49152>5072");
            }
        }
    }
}
