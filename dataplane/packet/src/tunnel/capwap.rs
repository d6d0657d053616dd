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
