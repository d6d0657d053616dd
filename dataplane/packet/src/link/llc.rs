//! LLC with SNAP and an ethertype (IEEE 802 section 9.5): as RFC 1042 has it, or by the bridge tunnel of IEEE 802.1H.

use crate::cursor::{Cursor, Fields};

const OCTETS: usize = 8;
/// Destination and source service access points, control.
const LLC: usize = 0;
const ORGANISATION: usize = 3;
const ETHERTYPE: usize = 6;

const SNAP: [u8; 3] = [0xaa, 0xaa, 0x03];
const RFC_1042: [u8; 3] = [0, 0, 0];
const BRIDGE_TUNNEL: [u8; 3] = [0, 0, 0xf8];

/// LLC and SNAP.
#[derive(Clone, Copy)]
struct Header<'a>(&'a [u8; OCTETS]);

impl Header<'_> {
    /// `None` when LLC is followed by something else than an ethertype.
    #[inline]
    fn ethertype(self) -> Option<u16> {
        let known = self.0.octets::<LLC, 3>() == SNAP && matches!(self.0.octets::<ORGANISATION, 3>(), RFC_1042 | BRIDGE_TUNNEL);
        known.then(|| self.0.u16::<ETHERTYPE>())
    }
}

/// The ethertype behind LLC and SNAP; `None`, and nothing is passed over, when it is something else.
#[inline]
pub(crate) fn read(at: &mut Cursor<'_>) -> Option<u16> {
    let ethertype = at.peek().map(Header)?.ethertype()?;
    at.skip(OCTETS)?;
    Some(ethertype)
}

#[cfg(test)]
mod tests {
    use crate::Link;
    use crate::frame_tests::{ETHERNET, check_frame, check_passed};

    #[test]
    fn snap_has_an_ethertype() {
        check_passed("0024 aaaa 03 000000 0800");
        check_passed("0024 aaaa 03 0000f8 0800");
        // Another organisation's number, and LLC without SNAP.
        check_frame(Link::Ethernet, &format!("{ETHERNET} 0024 aaaa 03 00000c 0800"), "0024 p0 0>0 8 octets vlan [] icmp [0, 0] frag 0");
        check_frame(Link::Ethernet, &format!("{ETHERNET} 0027 4242"), "0027 p0 0>0 2 octets vlan [] icmp [0, 0] frag 0");
    }
}
