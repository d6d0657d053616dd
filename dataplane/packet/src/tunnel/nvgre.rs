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
