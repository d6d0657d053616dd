//! WCCP (draft-wilson-wrec-wccp-v2 section 4.12): IPv4 in GRE, behind a redirect header where there is one.

use crate::cursor::Cursor;
use crate::link::ethertype;
use crate::tunnel::carried::{Carried, Next};
use crate::tunnel::gre::Gre;

/// GRE's protocol type.
pub(crate) const PROTOCOL: u16 = 0x883e;

/// Octets of the redirect header, whose first one does not begin like an IPv4 header.
const REDIRECT_OCTETS: usize = 4;

/// What the tunnel carries.
pub(crate) fn read(gre: &Gre, at: &mut Cursor<'_>) -> Option<Carried> {
    if at.first()? >> 4 != 4 {
        at.skip(REDIRECT_OCTETS)?;
    }
    Some(Carried::new(gre.key, Next::Ethertype(ethertype::IPV4)))
}

#[cfg(test)]
mod tests {
    use crate::frame_tests::{INNER4, UDP4, check_tunnel, ipv4};

    #[test]
    fn a_redirect_header_may_stand_before_the_packet() {
        check_tunnel(&ipv4(47, &format!("0000 883e {INNER4}")), &format!("gre 0 {UDP4}"));
        check_tunnel(&ipv4(47, &format!("0000 883e 01020304 {INNER4}")), &format!("gre 0 {UDP4}"));
    }
}
