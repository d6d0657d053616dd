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

/// What the next header says; `None` when it was cut off.
pub(crate) fn read(at: Cursor<'_>) -> Option<Fragment> {
    at.peek().map(|octets| Header(octets).fragment())
}

#[cfg(test)]
mod tests {
    use crate::frame_tests::{ENDS6, bytes, frame_of};
    use crate::{Fragment, Link, decode};

    #[test]
    fn offset_flag_and_identification_are_read() {
        let of = |field: &str| {
            let bytes = bytes(&format!("60000000 0010 2c 40 {ENDS6} 1100 {field} 00000007 0035 d431 0008 0000"));
            decode(&frame_of(Link::RawIp, &bytes)).expect("a packet").fragment
        };
        assert_eq!(of("0001"), Fragment { id: 7, offset: 0, more: true });
        assert_eq!(of("0010"), Fragment { id: 7, offset: 16, more: false });
        // The two reserved bits are none of both.
        assert_eq!(of("0017"), Fragment { id: 7, offset: 16, more: true });
    }
}
