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
