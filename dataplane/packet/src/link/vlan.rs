//! VLAN tags (IEEE 802.1Q section 9.3), behind their ethertype: control information, then the next ethertype.

use crate::cursor::{Cursor, Fields};
use crate::headers::{Headers, Malformed};
use crate::link::{ethernet, ethertype};
use crate::listener::Listener;

/// Most VLAN tags of a frame.
pub const TAGS_MAX: u8 = 8;

pub(crate) const OCTETS: usize = 4;
/// Priority (3 bits), drop eligible (1), VLAN id (12).
const CONTROL: usize = 0;
const ETHERTYPE: usize = 2;

/// Whether a tag follows an ethertype.
#[inline(always)]
pub(crate) fn is_tag(ethertype: u16) -> bool {
    matches!(ethertype, ethertype::VLAN | ethertype::QINQ | ethertype::QINQ_OLD | ethertype::QINQ_OLDER)
}

/// Octets and ids of the tags of an Ethernet frame that has at most two of them, outermost first; `None` where it ends inside.
#[inline(always)]
pub(crate) fn few(bytes: &[u8]) -> Option<(usize, [u16; 2])> {
    if !is_tag(bytes.first_chunk::<{ ethernet::OCTETS }>()?.u16::<12>()) {
        return Some((0, [0; 2]));
    }
    let one = bytes.first_chunk::<{ ethernet::OCTETS + OCTETS }>()?;
    let outer = one.u16::<14>() & 0x0fff;
    if !is_tag(one.u16::<16>()) {
        return Some((OCTETS, [outer, 0]));
    }
    let two = bytes.first_chunk::<{ ethernet::OCTETS + 2 * OCTETS }>()?;
    Some((2 * OCTETS, [outer, two.u16::<18>() & 0x0fff]))
}

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

#[cfg(test)]
mod tests {
    use crate::frame_tests::{ETHERNET, INNER4, V4_UDP, check_frame, layers_of};
    use crate::{Link, TAGS_MAX};

    #[test]
    fn vlan_tags_of_every_ethertype_stack() {
        check_frame(
            Link::Ethernet,
            &format!("{ETHERNET} 8100 a005 0800 {V4_UDP}"),
            "10.0.0.1 > 10.0.0.2 p17 53>54321 28 octets vlan [5] icmp [0, 0] frag 0",
        );
        check_frame(
            Link::Ethernet,
            &format!("{ETHERNET} 88a8 0064 8100 0fff 0800 {V4_UDP}"),
            "10.0.0.1 > 10.0.0.2 p17 53>54321 28 octets vlan [100, 4095] icmp [0, 0] frag 0",
        );
        let tower = "8100 0001 ".repeat(usize::from(TAGS_MAX));
        check_frame(
            Link::Ethernet,
            &format!("{ETHERNET} {tower} 0800 {V4_UDP}"),
            "10.0.0.1 > 10.0.0.2 p17 53>54321 28 octets vlan [1, 1] icmp [0, 0] frag 0",
        );
        check_frame(Link::Ethernet, &format!("{ETHERNET} {tower} 8100 0001 0800 {V4_UDP}"), "too_many_tags");
        check_frame(Link::Ethernet, &format!("{ETHERNET} 8100 0001"), "vlan_truncated");
    }

    #[test]
    fn the_listener_hears_every_tag() {
        let tagged = layers_of(&format!("{ETHERNET} 88a8 b064 8100 2005 0800 {INNER4}"));
        assert_eq!((tagged.vlan, tagged.vlan_tags), ([0xb064, 0x2005, 0, 0], 2));
    }
}
