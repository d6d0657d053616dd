//! PPPoE sessions (RFC 2516 section 4), then PPP.

use crate::cursor::{Cursor, Fields};
use crate::headers::{Headers, Malformed};
use crate::link::ppp;
use crate::listener::Listener;

const OCTETS: usize = 6;
/// Version and type, both 1.
const VERSION_AND_TYPE: usize = 0;
/// 0 in a session.
const CODE: usize = 1;
const SESSION: usize = 2;

/// A PPPoE header.
#[derive(Clone, Copy)]
struct Header<'a>(&'a [u8; OCTETS]);

impl Header<'_> {
    fn carries_ppp(self) -> bool {
        self.0.u8::<VERSION_AND_TYPE>() == 0x11 && self.0.u8::<CODE>() == 0
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
