//! Teredo (RFC 4380 section 5.1.1): IPv6 in UDP, behind an authentication header and an origin indication, where there are.

use crate::cursor::{Cursor, Fields};
use crate::link::ethertype;
use crate::tunnel::carried::{Carried, Next};

/// Both begin with two octets that no IPv6 header begins with.
const AUTHENTICATION: [u8; 2] = [0, 1];
const ORIGIN: [u8; 2] = [0, 0];

/// Authentication: indicator, length of the client identifier, length of the value; then both, a nonce of eight octets and a
/// confirmation of one.
const AUTHENTICATION_OCTETS: usize = 4;
const CLIENT_LENGTH: usize = 2;
const VALUE_LENGTH: usize = 3;
const NONCE_AND_CONFIRMATION: usize = 9;
/// Origin: indicator, port, address.
const ORIGIN_OCTETS: usize = 8;

pub(crate) const PORT: u16 = 3544;

/// The authentication header's first octets.
#[derive(Clone, Copy)]
struct Authentication<'a>(&'a [u8; AUTHENTICATION_OCTETS]);

impl Authentication<'_> {
    /// Octets behind these.
    fn behind(self) -> usize {
        let [client, value] = [self.0.u8::<CLIENT_LENGTH>(), self.0.u8::<VALUE_LENGTH>()].map(usize::from);
        client.saturating_add(value).saturating_add(NONCE_AND_CONFIRMATION)
    }
}

/// What the tunnel carries.
pub(crate) fn read(at: &mut Cursor<'_>) -> Option<Carried> {
    if at.peek() == Some(&AUTHENTICATION) {
        let header = at.take().map(Authentication)?;
        at.skip(header.behind())?;
    }
    if at.peek() == Some(&ORIGIN) {
        at.skip(ORIGIN_OCTETS)?;
    }
    (at.first()? >> 4 == 6).then_some(Carried::unnamed(Next::Ethertype(ethertype::IPV6)))
}

#[cfg(test)]
mod tests {
    use crate::frame_tests::{INNER6, UDP6, check_tunnel, udp};

    #[test]
    fn teredo_with_both_indications() {
        check_tunnel(&udp(3544, INNER6), &format!("teredo 0 {UDP6}"));
        check_tunnel(&udp(3544, &format!("0000 1234 01020304 {INNER6}")), &format!("teredo 0 {UDP6}"));
        check_tunnel(&udp(3544, &format!("0001 0000 0102030405060708 00 0000 1234 01020304 {INNER6}")), &format!("teredo 0 {UDP6}"));
        check_tunnel(&udp(3544, "0102"), " 0 192.0.2.1 > 192.0.2.2 p17 49152>3544");
    }
}
