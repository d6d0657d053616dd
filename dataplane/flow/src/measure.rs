//! The performance of a flow, kept beside its entry: which flows have it, where it stands, and what of a TCP segment it is fed with.
//!
//! Not here: datagrams (`datagram`).

use sonde_packet::{Frame, SynOptions, Tcp, TcpHeader, proto, syn_options};

use sonde_record::fact::Fact;

use crate::counters::{Counter, Counters};
use crate::datagram::Datagrams;
use crate::entry::{Birthplace, Entry, FRAGMENT, PATTERN, Packet, SEGMENT, Sides, TCP_FLAGS};
use crate::key::Key;
use crate::pattern::Sample;
use crate::perf::{Opening, Segment, TcpMut, TcpRef, lone};
use crate::table::Room;

/// What every packet is marked with when it is decoded: [`PATTERN`] or, where there is no room for patterns, nothing.
pub(crate) fn mark(rooms: [Room; 2]) -> u16 {
    if rooms.iter().any(|room| room.wants.any()) { PATTERN } else { 0 }
}

/// Where the performance of a flow is kept, as its entry notes it: the number of a place, and in the two highest bits its kind. 0 is none.
/// The third bit says, of a TCP connection, from which direction the latest payload came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Measured(pub(crate) u32);

/// What stands in a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Kind {
    Tcp = 0,
    Udp = 1,
    Quic = 2,
    /// Nothing yet: the entry keeps a lone SYN.
    Syn = 3,
}

impl Measured {
    /// A lone SYN.
    pub(crate) const SYN: Self = Self((Kind::Syn as u32) << Self::KIND);

    const KIND: u32 = 30;
    const SPOKE: u32 = 29;

    /// A place of a side, none of which has 2^29 places.
    pub(crate) fn new(kind: Kind, place: u32) -> Self {
        Self(place | (kind as u32) << Self::KIND)
    }

    pub(crate) fn kind(self) -> Kind {
        match self.0 >> Self::KIND {
            0 => Kind::Tcp,
            1 => Kind::Udp,
            2 => Kind::Quic,
            _ => Kind::Syn,
        }
    }

    #[inline(always)]
    pub(crate) fn place(self) -> u32 {
        self.0 & ((1 << Self::SPOKE) - 1)
    }

    /// The same, and who has sent the latest payload.
    #[inline(always)]
    pub(crate) fn spoken(self, way: u8) -> Self {
        Self(self.0 & !(1 << Self::SPOKE) | u32::from(way & 1) << Self::SPOKE)
    }

    /// Asks for what a packet that goes this way will touch.
    #[inline(always)]
    pub(crate) fn prefetch<K>(self, sides: &Sides, packet: &Packet<K>, way: u8) {
        if self.0 == 0 {
            return;
        }
        if self.0 >> Self::KIND != 0 {
            // Of a lone SYN it is the place that is none.
            return sides.udp.prefetch(self.place(), 1);
        }
        sides.tcp.prefetch_hot(self.place(), usize::from(way));
        // Other payload than the last one's turns the connection. A branch: without one, three lines are asked for twice for nothing.
        let turns = (packet.octets > u32::from(packet.ip_header) + BARE) & (self.0 >> Self::SPOKE & 1 != u32::from(way));
        if turns | (packet.flags & (Tcp::SYN | Tcp::FIN | Tcp::RST) != 0) {
            sides.tcp.prefetch_hot(self.place(), usize::from(way ^ 1));
            sides.tcp.prefetch_rest(self.place(), if turns { 0..2 } else { 0..5 });
        }
    }

    /// Asks for everything that a report reads.
    #[inline]
    pub(crate) fn prefetch_whole(self, sides: &Sides) {
        if self.0 != 0 && self.kind() == Kind::Tcp {
            (0..2).for_each(|line| sides.tcp.prefetch_hot(self.place(), line));
            sides.tcp.prefetch_rest(self.place(), 0..5);
        }
    }

    pub(crate) fn give_back(self, sides: &mut Sides) {
        match self.kind() {
            Kind::Tcp => sides.tcp.give_back(self.place()),
            Kind::Udp | Kind::Quic => sides.udp.give_back(self.place()),
            Kind::Syn => {}
        }
    }

    /// After a report: counters start again.
    pub(crate) fn rest(self, sides: &mut Sides) {
        let (tcp, udp) = (&mut sides.tcp, &mut sides.udp);
        match self.kind() {
            Kind::Tcp => tcp.get_mut(self.place()).into_iter().for_each(|(ways, rest)| TcpMut { ways, rest }.restart()),
            Kind::Udp => udp.get_mut(self.place()).into_iter().for_each(|state| state.udp_mut().rest()),
            Kind::Quic => udp.get_mut(self.place()).into_iter().for_each(|state| state.quic_mut().rest()),
            Kind::Syn => {}
        }
    }

    /// Writes the extension of the flow's record, and says how many words it is: 0 when there is nothing to say.
    pub(crate) fn report(self, sides: &Sides, ttls: [[u8; 2]; 2], words: &mut [u64]) -> usize {
        let (tcp, udp) = (sides.tcp.get(self.place()), sides.udp.get(self.place()));
        match self.kind() {
            Kind::Tcp => tcp.map_or(0, |(ways, rest)| {
                let mut report = TcpRef { ways, rest }.report();
                report.set_ttl(ttls);
                report.encode(words)
            }),
            Kind::Udp => udp.map(|state| state.udp().report()).filter(|udp| udp.application.is_some()).map_or(0, |udp| udp.encode(words)),
            Kind::Quic => udp.map(Datagrams::quic).filter(|state| state.is_known()).map_or(0, |state| state.report().encode(words)),
            // The record's head says it.
            Kind::Syn => 0,
        }
    }
}

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

impl Sides {
    /// Whether no flow can have anything that packets after its first one touch.
    #[inline(always)]
    pub(crate) fn are_empty(&self) -> bool {
        self.tcp.is_empty() && self.udp.is_empty() && self.pattern.is_empty()
    }
}

/// Octets of a transport header, from its bytes.
fn transport(protocol: u8, header: Option<&[u8]>) -> u32 {
    match protocol {
        // RFC 768; RFC 3828 section 3.1.
        proto::UDP | proto::UDP_LITE => 8,
        // RFC 9293 section 3.1. What was not captured is without options.
        proto::TCP => header.and_then(|header| header.get(12)).map_or(20, |offset| u32::from(offset >> 4) * 4),
        _ => 0,
    }
}

impl<K> Packet<K> {
    /// Options of a SYN or SYN/ACK; `None` for any other packet, and when they were not captured.
    #[inline]
    pub(crate) fn syn_options(&self, frame: &Frame<'_>) -> Option<SynOptions> {
        if self.flags & Tcp::SYN == 0 || self.l4 == 0 {
            return None;
        }
        frame.bytes.get(usize::from(self.l4)..).map(syn_options)
    }
}

impl<K: Key> Entry<K> {
    /// Adds a packet that was counted already to what is known of the connection.
    #[inline(always)]
    pub(crate) fn measure(
        &mut self,
        packet: &Packet<K>,
        frame: &Frame<'_>,
        options: Option<&SynOptions>,
        sides: &mut Sides,
        counters: &mut Counters,
    ) {
        if packet.flags & PATTERN != 0 {
            self.add_to_pattern(packet, frame, sides);
        }
        let mut measured = self.measured();
        if measured.kind() != Kind::Tcp {
            if measured.kind() != Kind::Syn {
                return self.measure_datagram(packet, frame, sides);
            }
            self.settle_syn(sides, counters);
            measured = self.measured();
        }
        if packet.flags & SEGMENT == 0 {
            return;
        }
        let Some((ways, rest)) = sides.tcp.get_mut(measured.place()) else { return };
        let Some(segment) = segment(packet, frame, self.way(packet)) else { return };
        let mut state = TcpMut { ways, rest };
        match options {
            Some(options) => state.add_syn(&segment, options),
            None => {
                if state.add(segment) {
                    self.turn(segment.way);
                }
            }
        }
    }

    /// Begins to measure a flow with its first packet; counts a flow for which there is no place.
    #[inline(always)]
    pub(crate) fn begin_measuring(&mut self, packet: &Packet<K>, birthplace: &mut Birthplace<'_, '_>) {
        if packet.flags & PATTERN != 0 {
            self.begin_pattern(packet, birthplace);
        }
        if packet.flags & SEGMENT == 0 {
            if packet.l4 != 0 && !birthplace.sides.udp.is_empty() {
                self.begin_datagrams(packet, birthplace);
            }
            return;
        }
        let tcp = &mut birthplace.sides.tcp;
        if tcp.is_empty() {
            return;
        }
        let Some(segment) = segment(packet, birthplace.frame, 0) else { return };
        // A place is for connections of which more is seen: a flood would write and read hundreds of octets for every SYN.
        if packet.flags & FRAGMENT == 0
            && let Some(notes) = birthplace.options.and_then(|options| lone::notes(&segment, options))
        {
            return self.keep_syn(segment.seq, notes);
        }
        let Some(place) = tcp.take() else { return birthplace.counters.add(Counter::PerformanceFull, 1) };
        if let Some((ways, rest)) = tcp.get_mut(place) {
            TcpMut { ways, rest }.begin(&segment, birthplace.options);
            self.set_measured(Measured::new(Kind::Tcp, place));
        }
    }

    /// Finds a place for a connection of which only a SYN was seen so far; counts one for which there is none.
    #[inline(never)]
    pub(crate) fn settle_syn(&mut self, sides: &mut Sides, counters: &mut Counters) {
        let Some(syn) = self.take_syn() else { return };
        let tcp = &mut sides.tcp;
        let Some(place) = tcp.take() else { return counters.add(Counter::PerformanceFull, 1) };
        if let Some((ways, rest)) = tcp.get_mut(place) {
            lone::begin(&syn, &mut TcpMut { ways, rest });
            self.set_measured(Measured::new(Kind::Tcp, place));
        }
    }

    /// Begins to keep the pattern of a flow with its first packet; counts a flow for which there is no place.
    #[inline(never)]
    fn begin_pattern(&mut self, packet: &Packet<K>, birthplace: &mut Birthplace<'_, '_>) {
        let Sides { pattern: patterns, wants, .. } = &mut *birthplace.sides;
        if patterns.is_empty() {
            return;
        }
        let Some(place) = patterns.take() else { return birthplace.counters.add(Counter::PatternsFull, 1) };
        if let Some(pattern) = patterns.get_mut(place) {
            pattern.rest();
            pattern.add(*wants, &self.sample(packet, birthplace.frame));
            self.set_pattern_place(place);
        }
    }

    /// Adds a packet to the pattern of its flow.
    #[inline(never)]
    fn add_to_pattern(&self, packet: &Packet<K>, frame: &Frame<'_>, sides: &mut Sides) {
        let wants = sides.wants;
        if let Some(pattern) = sides.pattern.get_mut(self.pattern_place()) {
            pattern.add(wants, &self.sample(packet, frame));
        }
    }

    /// What the pattern of its flow is told of a packet.
    fn sample(&self, packet: &Packet<K>, frame: &Frame<'_>) -> Sample {
        let ends = self.key.ends(0);
        let (ip, transport) = match (packet.l4, ends.kind) {
            // A later fragment: RFC 791 section 3.1, RFC 8200 sections 3 and 4.5.
            (0, sonde_record::Kind::Ipv4) => (20, 0),
            (0, sonde_record::Kind::Ipv6) => (if packet.flags & FRAGMENT == 0 { 40 } else { 48 }, 0),
            (0, sonde_record::Kind::Layer2) => (0, 0),
            (l4, _) => (u32::from(packet.ip_header), transport(ends.protocol, frame.bytes.get(usize::from(l4)..))),
        };
        let payload = packet.octets.saturating_sub(ip.saturating_add(transport));
        Sample { time: packet.time, payload, flags: packet.flags & TCP_FLAGS, way: self.way(packet) }
    }

    /// Asks for what a packet of the flow will touch beside its entry.
    #[inline(always)]
    pub(crate) fn approach(&self, packet: &Packet<K>, sides: &Sides) {
        self.measured().prefetch(sides, packet, self.way(packet));
        if packet.flags & PATTERN != 0 {
            sides.pattern.prefetch(self.pattern_place(), 1);
        }
    }

    /// Which connection a SYN opens: another one between the ports of this one, whose end nobody saw, or this one.
    pub(crate) fn opening_of(&self, packet: &Packet<K>, frame: &Frame<'_>, sides: &Sides) -> Opening {
        let measured = self.measured();
        let Some(segment) = segment(packet, frame, self.way(packet)) else { return Opening::Unknown };
        if let Some(syn) = self.lone_syn() {
            let another = segment.way == 0 && segment.seq != syn.isn;
            return if another { Opening::Another } else { Opening::Unknown };
        }
        let state = sides.tcp.get(measured.place()).filter(|_| measured.kind() == Kind::Tcp);
        state.map_or(Opening::Unknown, |(ways, rest)| TcpRef { ways, rest }.opening_of(&segment))
    }
}

#[cfg(test)]
#[path = "measure_tests.rs"]
mod tests;
