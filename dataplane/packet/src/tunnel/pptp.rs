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

#[cfg(test)]
mod tests {
    use crate::frame_tests::{INNER4, UDP4, check_tunnel, ipv4};

    #[test]
    fn ppp_is_carried_and_an_acknowledgement_carries_nothing() {
        check_tunnel(&ipv4(47, &format!("3001 880b 0020 0009 00000001 ff03 0021 {INNER4}")), &format!("gre 9 {UDP4}"));
        check_tunnel(&ipv4(47, "2081 880b 0000 0009 00000001"), " 0 192.0.2.1 > 192.0.2.2 p47 0>0");
    }
}
