//! PPTP's version 1 of GRE (RFC 2637 section 4.1): PPP, with the length of the payload and the call in the two halves of the key.

use crate::link::ethertype;
use crate::tunnel::carried::{Carried, Next};
use crate::tunnel::gre::Gre;

/// What the tunnel carries; `None` for an acknowledgement, whose payload has no length.
pub(crate) fn read(gre: &Gre) -> Option<Carried> {
    let key = gre.key.unwrap_or(0);
    let (length, call) = (key >> 16, key & 0xffff);
    (gre.protocol == ethertype::PPP && length != 0).then(|| Carried::new(call, Next::Ppp))
}
