//! What of a packet the state of a TCP connection is told, and which flows have one.

use sonde_packet::{Frame, SynOptions, Tcp, TcpHeader};

use crate::about::Birthplace;
use crate::annex::Annex;
use crate::counters::{Counter, Counters};
use crate::followed::Followed;
use crate::handle::{Class, Kind, Measured};
use crate::measure::tcp::{Opening, Segment, TcpMut, TcpRef, lone};
use crate::packet::{FRAGMENT, Packet, SEGMENT, TCP_FLAGS};

/// Octets that a bare acknowledgement seldom has more of: the header and timestamps, or a short list of selective ones.
const BARE: u32 = 40;

/// The TCP segment of a packet, from its frame; `None` when its header was not captured, or is damaged.
#[inline(always)]
fn segment<K>(packet: &Packet<K>, frame: &Frame<'_>, way: u8) -> Option<Segment> {
    let header = TcpHeader::of(frame.bytes.get(usize::from(packet.l4)..)?)?;
    if header.octets() < 20 {
        // RFC 9293 section 3.1: where the payload begins is not known.
        return None;
    }
    let headers = u32::from(header.octets()) + u32::from(packet.ip_header);
    let Tcp { seq, ack, window, .. } = header.fields();
    Some(Segment {
        time: packet.time,
        seq,
        ack,
        payload: packet.octets.saturating_sub(headers),
        flags: packet.flags & TCP_FLAGS,
        window,
        octets: u16::try_from(packet.octets).unwrap_or(u16::MAX),
        ttl: packet.ttl,
        way,
    })
}

/// Prefetches what a segment that goes this way will touch.
#[inline(always)]
pub(crate) fn prefetch<K>(measured: Measured, annex: &Annex, packet: &Packet<K>, way: u8) {
    annex.prefetch_ways(measured.place(), usize::from(way));
    // Payload of the other direction than the last one's turns the connection. A branch: without one, three lines are prefetched twice for
    // nothing.
    let turns = (packet.octets > u32::from(packet.ip_header) + BARE) & (measured.spoke() != way);
    if turns | (packet.flags & (Tcp::SYN | Tcp::FIN | Tcp::RST) != 0) {
        annex.prefetch_ways(measured.place(), usize::from(way ^ 1));
        annex.prefetch_rest(measured.place(), if turns { 0..2 } else { 0..5 });
    }
}

/// Prefetches everything that a report reads.
#[inline]
pub(crate) fn prefetch_whole(measured: Measured, annex: &Annex) {
    (0..2).for_each(|line| annex.prefetch_ways(measured.place(), line));
    annex.prefetch_rest(measured.place(), 0..5);
}

/// Adds a packet that was counted already to what is known of its connection.
#[inline(always)]
pub(crate) fn add<K>(entry: &mut impl Followed, packet: &Packet<K>, frame: &Frame<'_>, options: Option<&SynOptions>, annex: &mut Annex) {
    if packet.flags & SEGMENT == 0 {
        return;
    }
    let Some((ways, rest)) = annex.tcp_mut(entry.measured().place()) else { return };
    let Some(segment) = segment(packet, frame, entry.way(packet.direction)) else { return };
    let mut state = TcpMut { ways, rest };
    match options {
        Some(options) => state.add_syn(&segment, options),
        None => {
            if state.add(segment) {
                let spoken = entry.measured().spoken(segment.way);
                entry.set_measured(spoken);
            }
        }
    }
}

/// Begins to measure a connection with its first packet; counts one for which there is no memory.
#[inline(always)]
pub(crate) fn begin<K>(entry: &mut impl Followed, packet: &Packet<K>, birth: &mut Birthplace<'_, '_>) {
    if !birth.annex.keeps(Class::Tcp) {
        return;
    }
    let Some(segment) = segment(packet, birth.frame, 0) else { return };
    // A connection gets a slot with its second segment: a flood would write and read hundreds of octets for every SYN.
    if packet.flags & FRAGMENT == 0
        && let Some(notes) = birth.options.and_then(|options| lone::notes(&segment, options))
    {
        return entry.keep_syn(segment.seq, notes);
    }
    let annex = &mut *birth.annex;
    let Some(place) = annex.take(Class::Tcp) else { return birth.counters.add(Counter::PerformanceFull, 1) };
    if let Some((ways, rest)) = annex.tcp_mut(place) {
        TcpMut { ways, rest }.begin(&segment, birth.options);
        entry.set_measured(Measured::new(Kind::Tcp, place));
    }
}

/// Finds memory for a connection of which only a SYN was seen so far; counts one for which there is none.
#[inline(never)]
pub(crate) fn settle_syn(entry: &mut impl Followed, annex: &mut Annex, counters: &mut Counters) {
    let Some(syn) = entry.take_syn() else { return };
    let Some(place) = annex.take(Class::Tcp) else { return counters.add(Counter::PerformanceFull, 1) };
    if let Some((ways, rest)) = annex.tcp_mut(place) {
        lone::begin(&syn, &mut TcpMut { ways, rest });
        entry.set_measured(Measured::new(Kind::Tcp, place));
    }
}

/// Which connection a SYN opens: another one between the ports of this one, whose end nobody saw, or this one.
pub(crate) fn opening_of<K>(entry: &impl Followed, packet: &Packet<K>, frame: &Frame<'_>, annex: &Annex) -> Opening {
    let measured = entry.measured();
    let Some(segment) = segment(packet, frame, entry.way(packet.direction)) else { return Opening::Unknown };
    if let Some(syn) = entry.lone_syn() {
        let another = segment.way == 0 && segment.seq != syn.isn;
        return if another { Opening::Another } else { Opening::Unknown };
    }
    let state = annex.tcp(measured.place()).filter(|_| measured.kind() == Kind::Tcp);
    state.map_or(Opening::Unknown, |(ways, rest)| TcpRef { ways, rest }.opening_of(&segment))
}
