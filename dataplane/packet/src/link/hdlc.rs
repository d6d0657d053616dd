//! Cisco HDLC (RFC 1547 section 4.3.1), LINKTYPE_C_HDLC: address, control, ethertype.

use crate::cursor::{Cursor, Fields};
use crate::headers::{Headers, Malformed};

const OCTETS: usize = 4;
const ETHERTYPE: usize = 2;

/// Addresses: unicast and multicast.
const UNICAST: u8 = 0x0f;
const MULTICAST: u8 = 0x8f;

/// A Cisco HDLC header.
#[derive(Clone, Copy)]
struct Header<'a>(&'a [u8; OCTETS]);

impl Header<'_> {
    fn ethertype(self) -> u16 {
        self.0.u16::<ETHERTYPE>()
    }
}

/// Whether the first octet is an address of Cisco HDLC, and not PPP's (LINKTYPE_PPP_HDLC).
pub(crate) fn is_next(at: Cursor<'_>) -> bool {
    matches!(at.first(), Some(UNICAST | MULTICAST))
}

/// Reads the header.
pub(crate) fn read(at: &mut Cursor<'_>, headers: &mut Headers) -> Result<(), Malformed> {
    headers.ethertype = at.take().map(Header).ok_or(Malformed::LinkTruncated)?.ethertype();
    Ok(())
}
