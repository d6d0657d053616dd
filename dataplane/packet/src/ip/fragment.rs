//! The IPv6 fragment header (RFC 8200 section 4.5).

use crate::cursor::{Cursor, Fields};
use crate::headers::Fragment;

/// Octets of the header.
pub(crate) const OCTETS: usize = 8;
/// Offset in units of eight octets (13 bits), reserved (2), more fragments (1).
const OFFSET_AND_MORE: usize = 2;
const IDENTIFICATION: usize = 4;

/// A fragment header.
#[derive(Clone, Copy)]
struct Header<'a>(&'a [u8; OCTETS]);

impl Header<'_> {
    fn fragment(self) -> Fragment {
        let field = self.0.u16::<OFFSET_AND_MORE>();
        Fragment { id: self.0.u32::<IDENTIFICATION>(), offset: field & 0xfff8, more: field & 1 != 0 }
    }
}

/// What the header that stands next says; `None` when it was cut off.
pub(crate) fn read(at: Cursor<'_>) -> Option<Fragment> {
    at.peek().map(|octets| Header(octets).fragment())
}
