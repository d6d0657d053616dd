//! CAPWAP data (RFC 5415 section 4.3, RFC 5416): 802.3 or 802.11 frames between access point and controller. Those that are encrypted,
//! or parts of one, carry nothing to see.

use crate::cursor::{Cursor, Fields};
use crate::link::wireless::{self, ByteOrder};
use crate::listener::Listener;
use crate::tunnel::carried::{Carried, Next};

const OCTETS: usize = 4;
/// Version and type: 0 is data that is not encrypted.
const PREAMBLE: usize = 0;
/// Header length in words of four octets (5 bits), the first of the radio's (3).
const HEADER_LENGTH: usize = 1;
/// The last bit is T: the frame is native, one of 802.11.
const TYPE: usize = 2;
const FLAGS: usize = 3;

const NATIVE: u8 = 0x01;
const FRAGMENT: u8 = 0x80;

pub(crate) const PORT: u16 = 5247;

/// A CAPWAP header as far as all have it.
#[derive(Clone, Copy)]
struct Header<'a>(&'a [u8; OCTETS]);

impl Header<'_> {
    fn is_readable(self) -> bool {
        self.0.u8::<PREAMBLE>() == 0 && self.0.u8::<FLAGS>() & FRAGMENT == 0
    }

    /// Octets of the whole header.
    fn octets(self) -> usize {
        usize::from(self.0.u8::<HEADER_LENGTH>() >> 3).saturating_mul(4)
    }

    fn is_native(self) -> bool {
        self.0.u8::<TYPE>() & NATIVE != 0
    }
}

/// What the tunnel carries. Of an 802.11 frame the listener is told the stations.
pub(crate) fn read(at: &mut Cursor<'_>, listener: &mut impl Listener) -> Option<Carried> {
    let header = at.peek().map(Header).filter(|header| header.is_readable())?;
    at.skip(header.octets())?;
    let next = if header.is_native() {
        // Some controllers send the two octets of frame control in turned order.
        wireless::data(at, ByteOrder::Any, listener)?.into()
    } else {
        Next::Ethernet
    };
    Some(Carried::unnamed(next))
}

#[cfg(test)]
mod tests {
    use crate::frame_tests::{INNER_ETHERNET, INNER4, UDP4, check_tunnel, udp};

    #[test]
    fn capwap_with_frames_of_both_kinds() {
        let (native, short) = ("00 20 03 20 0000 0000 0100 0000 0000 0000", "00 10 02 00 0000 0000");
        let addresses = "020000000001 020000000002 020000000003 0000";
        let snap = format!("aaaa03 000000 0800 {INNER4}");
        check_tunnel(&udp(5247, &format!("{native} 0801 0000 {addresses} {snap}")), &format!("capwap 0 {UDP4}"));
        check_tunnel(&udp(5247, &format!("{native} 8802 0000 {addresses} 0000 {snap}")), &format!("capwap 0 {UDP4}"));
        check_tunnel(&udp(5247, &format!("{native} 0308 0000 {addresses} 020000000004 {snap}")), &format!("capwap 0 {UDP4}"));
        check_tunnel(&udp(5247, &format!("{short} {INNER_ETHERNET} 0800 {INNER4}")), &format!("capwap 0 {UDP4}"));
        // Encrypted as a whole, one part of a frame, protected, without data, a beacon.
        let outer = " 0 192.0.2.1 > 192.0.2.2 p17 49152>5247";
        check_tunnel(&udp(5247, "01 000000 16fefd"), outer);
        check_tunnel(&udp(5247, &format!("00 20 03 a0 0000 0000 0100 0000 0000 0000 0801 0000 {addresses} {snap}")), outer);
        check_tunnel(&udp(5247, &format!("{native} 0841 0000 {addresses} {snap}")), outer);
        check_tunnel(&udp(5247, &format!("{native} 4801 0000 {addresses}")), outer);
        check_tunnel(&udp(5247, &format!("{native} 8000 0000 {addresses}")), outer);
    }
}
