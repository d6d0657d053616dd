//! IEEE 802.11 frames without FCS: data frames as access points send them to their controller, and all of a recording.

use crate::cursor::{Cursor, Fields};
use crate::headers::{Headers, Malformed};
use crate::link::llc;
use crate::listener::Listener;

/// Octets of the header of a data frame with three addresses (section 9.3.2.1).
const OCTETS: usize = 24;
/// Octets of the shortest frame, an acknowledgement: frame control, duration, receiver (section 9.3.1.4).
const SHORTEST: usize = 10;
const ADDRESS_1: usize = 4;
const ADDRESS_2: usize = 10;
const ADDRESS_3: usize = 16;

/// Null, of the subtype's bits: a data frame without data.
const NULL: u8 = 0x40;
/// A quality-of-service field follows the addresses.
const QUALITY: u8 = 0x80;
// Flags of frame control (section 9.2.4.1).
const DIRECTION: u8 = 0x03;
const MORE_FRAGMENTS: u8 = 0x04;
const PROTECTED: u8 = 0x40;
/// HT Control follows (section 9.2.4.6).
const HT_CONTROL: u8 = 0x80;

/// A subframe of an A-MSDU (section 9.3.2.2.2).
mod sub {
    pub(super) const OCTETS: usize = 14;
    pub(super) const DESTINATION: usize = 0;
    pub(super) const SOURCE: usize = 6;
    pub(super) const LENGTH: usize = 12;
}

/// In which order the two octets of frame control stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ByteOrder {
    /// As IEEE 802.11 has them.
    Standard,
    /// Either.
    Any,
}

/// What a data frame carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Data {
    /// A packet of this ethertype.
    Msdu(u16),
    /// An A-MSDU: subframes, each with a packet.
    Aggregate,
}

/// A frame's header as far as all data frames have it.
#[derive(Clone, Copy)]
struct Header<'a>(&'a [u8; OCTETS]);

impl Header<'_> {
    /// Destination and source; `behind` stands behind the three addresses. Section 9.3.2.1, table 9-60: what the addresses are depends
    /// on the two directions, to and from the distribution system.
    fn stations(self, direction: u8, behind: &mut Cursor<'_>) -> Option<[[u8; 6]; 2]> {
        let (address_1, address_2) = (self.0.octets::<ADDRESS_1, 6>(), self.0.octets::<ADDRESS_2, 6>());
        let address_3 = self.0.octets::<ADDRESS_3, 6>();
        Some(match direction {
            0 => [address_1, address_2],
            1 => [address_3, address_2],
            2 => [address_1, address_3],
            _ => [address_3, *behind.take::<6>()?],
        })
    }
}

/// The two octets of frame control of a data frame: version 0, type 2 (section 9.2.4.1).
fn frame_control(at: Cursor<'_>, order: ByteOrder) -> Option<[u8; 2]> {
    match (*at.peek::<2>()?, order) {
        ([kind, flags], _) if kind & 0x0f == 0x08 => Some([kind, flags]),
        ([flags, kind], ByteOrder::Any) if kind & 0x0f == 0x08 => Some([kind, flags]),
        _ => None,
    }
}

/// Destination and source of a frame.
#[derive(Default)]
struct Stations([[u8; 6]; 2]);

impl Listener for Stations {
    fn stations(&mut self, destination: [u8; 6], source: [u8; 6]) {
        self.0 = [destination, source];
    }
}

/// LINKTYPE_IEEE802_11: reads a frame up to the packet that it carries. `false` for any other (beacons, acknowledgements, parts of
/// packets, what is encrypted, A-MSDUs): of it there are the receiver's and the transmitter's addresses, a flow without an IP header.
pub(crate) fn read(at: &mut Cursor<'_>, headers: &mut Headers, listener: &mut impl Listener) -> Result<bool, Malformed> {
    let (mut inside, mut stations) = (*at, Stations::default());
    if let Some(Data::Msdu(ethertype)) = data(&mut inside, ByteOrder::Standard, &mut stations) {
        let [destination, source] = stations.0;
        (headers.dmac, headers.smac, headers.ethertype) = (destination, source, ethertype);
        listener.ethernet(destination, source);
        *at = inside;
        return Ok(true);
    }
    let header: &[u8; SHORTEST] = at.take().ok_or(Malformed::LinkTruncated)?;
    headers.dmac = header.octets::<ADDRESS_1, 6>();
    if let Some(transmitter) = at.peek::<6>() {
        headers.smac = *transmitter;
    }
    Ok(false)
}

/// IEEE 802.11 section 9.3.2.1. `None` for frames that carry no packet, a part of one, or one that is encrypted.
pub(crate) fn data(at: &mut Cursor<'_>, order: ByteOrder, listener: &mut impl Listener) -> Option<Data> {
    let [kind, flags] = frame_control(*at, order)?;
    let header = at.take().map(Header)?;
    // A later fragment does not begin with LLC and SNAP, so its number needs no look; access points have it in either byte order.
    if kind & NULL != 0 || flags & (MORE_FRAGMENTS | PROTECTED) != 0 {
        return None;
    }
    let [destination, source] = header.stations(flags & DIRECTION, at)?;
    let (mut aggregate, mut mesh) = (false, false);
    if kind & QUALITY != 0 {
        let &[low, high] = at.take::<2>()?;
        // Section 9.2.4.5: A-MSDU Present; Mesh Control Present means something else outside of a mesh.
        (aggregate, mesh) = (low & 0x80 != 0, high & 0x01 != 0);
        if flags & HT_CONTROL != 0 {
            at.skip(4)?;
        }
    }
    if aggregate {
        return Some(Data::Aggregate);
    }
    let ethertype = payload(at, mesh)?;
    listener.stations(destination, source);
    Some(Data::Msdu(ethertype))
}

/// LLC and SNAP, behind a Mesh Control field where there is one (section 9.2.4.8.3): flags whose high six bits are zero, unlike LLC's
/// first octet, and two bits that say how many addresses it has.
fn payload(at: &mut Cursor<'_>, mesh: bool) -> Option<u16> {
    let first = at.first()?;
    if mesh && first & 0xfc == 0 {
        at.skip(usize::from(first & 3).saturating_mul(6).saturating_add(6))?;
    }
    llc::read(at)
}

/// A subframe of an A-MSDU.
pub(crate) struct Subframe<'a> {
    /// Behind LLC and SNAP.
    pub(crate) payload: Cursor<'a>,
    /// What is there; `None` when it is no packet that Sonde knows.
    pub(crate) ethertype: Option<u16>,
    pub(crate) destination: [u8; 6],
    pub(crate) source: [u8; 6],
    /// Octets from its beginning to that of the next, if there is a next one and its header was captured.
    pub(crate) next: Option<usize>,
}

/// The next subframe, in an A-MSDU of which `left` octets are left; `None` when that is none.
pub(crate) fn subframe(at: Cursor<'_>, left: usize) -> Option<Subframe<'_>> {
    let mut inside = at;
    let header: &[u8; sub::OCTETS] = inside.take()?;
    let octets = usize::from(header.u16::<{ sub::LENGTH }>()).saturating_add(sub::OCTETS);
    if octets > left {
        return None;
    }
    let ethertype = payload(&mut inside, true);
    let before_payload = at.rest().len().saturating_sub(inside.rest().len());
    // Each but the last is padded to a multiple of four octets.
    let next = octets.checked_next_multiple_of(4)?;
    Some(Subframe {
        payload: inside,
        ethertype: ethertype.filter(|_| before_payload <= octets),
        destination: header.octets::<{ sub::DESTINATION }, 6>(),
        source: header.octets::<{ sub::SOURCE }, 6>(),
        next: (left.min(at.rest().len()) >= next.saturating_add(sub::OCTETS)).then_some(next),
    })
}

#[cfg(test)]
mod tests {
    use crate::frame_tests::{UDP4, V4_UDP, bytes, check_frame, frame_of};
    use crate::{Link, decode};

    #[test]
    fn a_data_frame_of_a_recording_carries_a_packet_and_others_are_flows_of_their_addresses() {
        let addresses = "020000000001 020000000002 020000000003 0000";
        let snap = format!("aaaa03 000000 0800 {V4_UDP}");
        let expected = format!("{UDP4} 28 octets vlan [] icmp [0, 0] frag 0");
        check_frame(Link::Ieee80211, &format!("0801 0000 {addresses} {snap}"), &expected);
        check_frame(Link::Ieee80211, &format!("8802 0000 {addresses} 0000 {snap}"), &expected);
        let stations = |hex: &str| {
            let bytes = bytes(hex);
            let headers = decode(&frame_of(Link::Ieee80211, &bytes)).expect("a frame");
            (headers.dmac, headers.smac, headers.ethertype)
        };
        // To the distribution system: the destination is the third address.
        assert_eq!(stations(&format!("0801 0000 {addresses} {snap}")), ([2, 0, 0, 0, 0, 3], [2, 0, 0, 0, 0, 2], 0x0800));
        // A beacon: receiver and transmitter. An acknowledgement has no transmitter.
        assert_eq!(stations(&format!("8000 0000 {addresses}")), ([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2], 0));
        assert_eq!(stations("d400 0000 020000000001"), ([2, 0, 0, 0, 0, 1], [0; 6], 0));
        check_frame(Link::Ieee80211, "d400 0000 0200000000", "link_truncated");
    }
}
