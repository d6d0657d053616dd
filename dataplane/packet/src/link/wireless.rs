//! IEEE 802.11 frames without FCS: data frames as access points send them to their controller, and all of a recording.

use crate::cursor::Cursor;
use crate::headers::{Headers, Malformed};
use crate::layers::Notes;
use crate::link::{follow, snap};

/// Octets of the header of a subframe: destination, source, length.
const SUBFRAME: usize = 14;

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

/// Destination and source of a frame.
#[derive(Default)]
struct Stations([[u8; 6]; 2]);

impl Notes for Stations {
    fn stations(&mut self, destination: [u8; 6], source: [u8; 6]) {
        self.0 = [destination, source];
    }
}

/// LINKTYPE_IEEE802_11: reads a frame as far as the network layer of the packet that it carries. Of any other (beacons, acknowledgements,
/// parts of packets, what is encrypted, A-MSDUs) there are the receiver's and the transmitter's addresses: a flow without an IP header.
pub(crate) fn link(at: &mut Cursor<'_>, headers: &mut Headers, notes: &mut impl Notes) -> Result<(), Malformed> {
    let (mut inside, mut stations) = (*at, Stations::default());
    if let Some(Data::Msdu(ethertype)) = data(&mut inside, ByteOrder::Standard, &mut stations) {
        let [destination, source] = stations.0;
        (headers.dmac, headers.smac, headers.ethertype) = (destination, source, ethertype);
        notes.ethernet(destination, source);
        *at = inside;
        return follow(at, headers, notes);
    }
    let &[_, _, _, _, receiver @ ..] = at.take::<10>().ok_or(Malformed::LinkTruncated)?;
    headers.dmac = receiver;
    if let Some(transmitter) = at.peek::<6>() {
        headers.smac = *transmitter;
    }
    Ok(())
}

/// IEEE 802.11 section 9.3.2.1. `None` for frames that carry no packet, a part of one, or one that is encrypted.
pub(crate) fn data(at: &mut Cursor<'_>, order: ByteOrder, notes: &mut impl Notes) -> Option<Data> {
    // Section 9.2.4.1: version 0, a data frame has type 2.
    let (kind, flags) = match (*at.peek::<2>()?, order) {
        ([kind, flags], _) if kind & 0x0f == 0x08 => (kind, flags),
        ([flags, kind], ByteOrder::Any) if kind & 0x0f == 0x08 => (kind, flags),
        _ => return None,
    };
    let (null, with_quality) = (kind & 0x40 != 0, kind & 0x80 != 0);
    let (more_fragments, protected) = (flags & 0x04 != 0, flags & 0x40 != 0);
    let &[_, _, _, _, first @ .., _, _] = at.take::<24>()?;
    // A later fragment does not begin with LLC and SNAP, so its number needs no look; access points have it in either byte order.
    if null | more_fragments | protected {
        return None;
    }
    let (address1, address2, address3) = addresses(first);
    // Section 9.3.2.1, table 9-60: what the addresses are depends on the two directions, to and from the distribution system.
    let (destination, source) = match flags & 0x03 {
        0 => (address1, address2),
        1 => (address3, address2),
        2 => (address1, address3),
        _ => (address3, *at.take::<6>()?),
    };
    let (mut aggregate, mut mesh) = (false, false);
    if with_quality {
        let &[low, high] = at.take::<2>()?;
        // Section 9.2.4.5: A-MSDU Present; Mesh Control Present means something else outside of a mesh.
        (aggregate, mesh) = (low & 0x80 != 0, high & 0x01 != 0);
        // Section 9.2.4.6: HT Control follows where the last flag of frame control is set.
        if flags & 0x80 != 0 {
            at.skip(4)?;
        }
    }
    if aggregate {
        return Some(Data::Aggregate);
    }
    let ethertype = payload(at, mesh)?;
    notes.stations(destination, source);
    Some(Data::Msdu(ethertype))
}

fn addresses(of: [u8; 18]) -> ([u8; 6], [u8; 6], [u8; 6]) {
    let [a0, a1, a2, a3, a4, a5, b0, b1, b2, b3, b4, b5, c0, c1, c2, c3, c4, c5] = of;
    ([a0, a1, a2, a3, a4, a5], [b0, b1, b2, b3, b4, b5], [c0, c1, c2, c3, c4, c5])
}

/// LLC and SNAP, behind a Mesh Control field where there is one (section 9.2.4.8.3): flags whose high six bits are zero, unlike LLC's
/// first octet, and two bits that say how many addresses it has.
fn payload(at: &mut Cursor<'_>, mesh: bool) -> Option<u16> {
    let [first] = *at.peek::<1>()?;
    if mesh && first & 0xfc == 0 {
        at.skip(usize::from(first & 3).saturating_mul(6).saturating_add(6))?;
    }
    snap(at)
}

/// A subframe of an A-MSDU (section 9.3.2.2.2).
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

/// The subframe that stands next, in an A-MSDU of which `left` octets are left; `None` when that is none.
pub(crate) fn subframe(at: Cursor<'_>, left: usize) -> Option<Subframe<'_>> {
    let mut payload_at = at;
    let &[d0, d1, d2, d3, d4, d5, s0, s1, s2, s3, s4, s5, l0, l1] = payload_at.take::<SUBFRAME>()?;
    let octets = usize::from(u16::from_be_bytes([l0, l1])).saturating_add(SUBFRAME);
    if octets > left {
        return None;
    }
    let ethertype = payload(&mut payload_at, true);
    let header = at.rest().len().saturating_sub(payload_at.rest().len());
    // Each but the last is padded to a multiple of four octets.
    let next = octets.checked_next_multiple_of(4)?;
    Some(Subframe {
        payload: payload_at,
        ethertype: ethertype.filter(|_| header <= octets),
        destination: [d0, d1, d2, d3, d4, d5],
        source: [s0, s1, s2, s3, s4, s5],
        next: (left.min(at.rest().len()) >= next.saturating_add(SUBFRAME)).then_some(next),
    })
}
