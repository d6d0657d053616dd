//! VLAN tags (IEEE 802.1Q section 9.3), behind their ethertype: control information, then the next ethertype.

use crate::cursor::{Cursor, Fields};
use crate::headers::{Headers, Malformed};
use crate::listener::Listener;

/// Most VLAN tags of a frame.
pub const TAGS_MAX: u8 = 8;

const OCTETS: usize = 4;
/// Priority (3 bits), drop eligible (1), VLAN id (12).
const CONTROL: usize = 0;
const ETHERTYPE: usize = 2;

/// A VLAN tag.
#[derive(Clone, Copy)]
struct Tag<'a>(&'a [u8; OCTETS]);

impl Tag<'_> {
    #[inline(always)]
    fn control(self) -> u16 {
        self.0.u16::<CONTROL>()
    }

    #[inline(always)]
    fn id(self) -> u16 {
        self.control() & 0x0fff
    }

    #[inline(always)]
    fn ethertype(self) -> u16 {
        self.0.u16::<ETHERTYPE>()
    }
}

/// Reads a tag, and tells the listener its control information.
#[inline(always)]
pub(crate) fn read(at: &mut Cursor<'_>, headers: &mut Headers, listener: &mut impl Listener) -> Result<(), Malformed> {
    if headers.tags >= TAGS_MAX {
        return Err(Malformed::TooManyTags);
    }
    let tag = at.take().map(Tag).ok_or(Malformed::VlanTruncated)?;
    headers.ethertype = tag.ethertype();
    if let Some(id) = headers.vlan.get_mut(usize::from(headers.tags)) {
        *id = tag.id();
    }
    listener.vlan(tag.control());
    headers.tags = headers.tags.saturating_add(1);
    Ok(())
}
