//! PPPoE sessions (RFC 2516 section 4), then PPP.

use crate::cursor::{Cursor, Fields};
use crate::headers::{Headers, Malformed};
use crate::link::ppp;
use crate::listener::Listener;

pub(crate) const OCTETS: usize = 6;
/// The first two octets where PPP follows: version 1, type 1, code 0.
pub(crate) const SESSION_DATA: u16 = 0x1100;
/// Version (4 bits), type (4), code (8).
const VERSION_TYPE_CODE: usize = 0;
const SESSION: usize = 2;

/// A PPPoE header.
#[derive(Clone, Copy)]
struct Header<'a>(&'a [u8; OCTETS]);

impl Header<'_> {
    fn carries_ppp(self) -> bool {
        self.0.u16::<VERSION_TYPE_CODE>() == SESSION_DATA
    }

    fn session(self) -> u16 {
        self.0.u16::<SESSION>()
    }
}

/// Reads the header and PPP's, and tells the listener the session; `false` when PPP carries its own protocols.
pub(crate) fn read(at: &mut Cursor<'_>, headers: &mut Headers, listener: &mut impl Listener) -> Result<bool, Malformed> {
    let header = at.take().map(Header).ok_or(Malformed::PppoeTruncated)?;
    listener.pppoe(header.session());
    if !header.carries_ppp() {
        return Ok(false);
    }
    let before = headers.ethertype;
    ppp::read(at, headers)?;
    Ok(headers.ethertype != before)
}

#[cfg(test)]
mod tests {
    use crate::Link;
    use crate::frame_tests::{ETHERNET, INNER4, UDP4, V4_UDP, check_frame, check_passed, layers_of};

    #[test]
    fn a_session_carries_ppp() {
        check_passed("8864 1100 0007 001e 0021");
        check_passed("8864 1100 0007 001d 21");
        check_frame(Link::Ethernet, &format!("{ETHERNET} 8864 1100 0007"), "pppoe_truncated");
        check_frame(Link::Pppoe, &format!("1100 0007 001e 0021 {V4_UDP}"), &format!("{UDP4} 28 octets vlan [] icmp [0, 0] frag 0"));
        // PPP's own protocols, and a code that is no session's.
        check_frame(
            Link::Ethernet,
            &format!("{ETHERNET} 8864 1100 0007 0004 c021 0102"),
            "8864 p0 0>0 2 octets vlan [] icmp [0, 0] frag 0",
        );
        check_frame(Link::Ethernet, &format!("{ETHERNET} 8864 11a7 0007 0000"), "8864 p0 0>0 0 octets vlan [] icmp [0, 0] frag 0");
    }

    #[test]
    fn the_listener_hears_the_session() {
        assert_eq!(layers_of(&format!("{ETHERNET} 8864 1100 0007 001e 0021 {INNER4}")).pppoe_session, 7);
    }
}
