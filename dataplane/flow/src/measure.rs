//! The performance of a flow, kept beside its entry: which flows have it, where it stands, and what of a TCP segment it is fed with.
//!
//! Not here: datagrams (`datagram`).

use sonde_packet::{Frame, SynOptions, Tcp, proto, syn_options};

use sonde_record::fact::Fact;

use crate::annex::{Annex, Class, PLACE_BITS};
use crate::counters::{Counter, Counters};
use crate::datagram::Datagrams;
use crate::entry::{Birthplace, Entry};
use crate::key::Key;
use crate::packet::{FRAGMENT, PATTERN, Packet, SEGMENT, TCP_FLAGS};
use crate::pattern::{Sample, Wants};
use crate::perf::{Opening, Segment, TcpMut, TcpRef, lone};

/// What every packet is marked with when it is decoded: [`PATTERN`], or nothing where no patterns are kept.
pub(crate) fn mark(kept: Wants) -> u16 {
    if kept.any() { PATTERN } else { 0 }
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

    const KIND: u32 = PLACE_BITS + 1;
    const SPOKE: u32 = PLACE_BITS;

    /// A slot of the annex.
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
    pub(crate) fn prefetch<K>(self, annex: &Annex, packet: &Packet<K>, way: u8) {
        if self.0 == 0 {
            return;
        }
        if self.0 >> Self::KIND != 0 {
            // Of a lone SYN it is the place that is none.
            return annex.prefetch_udp(self.place());
        }
        annex.prefetch_ways(self.place(), usize::from(way));
        // Other payload than the last one's turns the connection. A branch: without one, three lines are asked for twice for nothing.
        let turns = (packet.octets > u32::from(packet.ip_header) + BARE) & (self.0 >> Self::SPOKE & 1 != u32::from(way));
        if turns | (packet.flags & (Tcp::SYN | Tcp::FIN | Tcp::RST) != 0) {
            annex.prefetch_ways(self.place(), usize::from(way ^ 1));
            annex.prefetch_rest(self.place(), if turns { 0..2 } else { 0..5 });
        }
    }

    /// Asks for everything that a report reads.
    #[inline]
    pub(crate) fn prefetch_whole(self, annex: &Annex) {
        if self.0 != 0 && self.kind() == Kind::Tcp {
            (0..2).for_each(|line| annex.prefetch_ways(self.place(), line));
            annex.prefetch_rest(self.place(), 0..5);
        }
    }

    pub(crate) fn give_back(self, annex: &mut Annex) {
        match self.kind() {
            Kind::Tcp => annex.give_back(Class::Tcp, self.place()),
            Kind::Udp | Kind::Quic => annex.give_back(Class::Udp, self.place()),
            Kind::Syn => {}
        }
    }

    /// After a report: counters start again.
    pub(crate) fn rest(self, annex: &mut Annex) {
        match self.kind() {
            Kind::Tcp => annex.tcp_mut(self.place()).into_iter().for_each(|(ways, rest)| TcpMut { ways, rest }.restart()),
            Kind::Udp => annex.udp_mut(self.place()).into_iter().for_each(|state| state.udp_mut().rest()),
            Kind::Quic => annex.udp_mut(self.place()).into_iter().for_each(|state| state.quic_mut().rest()),
            Kind::Syn => {}
        }
    }

    /// Writes the extension of the flow's record, and says how many words it is: 0 when there is nothing to say.
    pub(crate) fn report(self, annex: &Annex, ttls: [[u8; 2]; 2], words: &mut [u64]) -> usize {
        match self.kind() {
            Kind::Tcp => annex.tcp(self.place()).map_or(0, |(ways, rest)| {
                let mut report = TcpRef { ways, rest }.report();
                report.set_ttl(ttls);
                report.encode(words)
            }),
            Kind::Udp => {
                let report = annex.udp(self.place()).map(|state| state.udp().report());
                report.filter(|udp| udp.application.is_some()).map_or(0, |udp| udp.encode(words))
            }
            Kind::Quic => annex
                .udp(self.place())
                .map(Datagrams::quic)
                .filter(|state| state.is_known())
                .map_or(0, |state| state.report().encode(words)),
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
    let header: &[u8; 16] = frame.bytes.get(usize::from(packet.l4)..)?.first_chunk()?;
    let [_, _, _, _, s0, s1, s2, s3, a0, a1, a2, a3, offset, _, w0, w1] = *header;
    if offset >> 4 < 5 {
        // RFC 9293 section 3.1: where the payload begins is not known.
        return None;
    }
    let headers = u32::from(offset >> 4) * 4 + u32::from(packet.ip_header);
    Some(Segment {
        time: packet.time,
        seq: u32::from_be_bytes([s0, s1, s2, s3]),
        ack: u32::from_be_bytes([a0, a1, a2, a3]),
        payload: packet.octets.saturating_sub(headers),
        flags: packet.flags & TCP_FLAGS,
        window: u16::from_be_bytes([w0, w1]),
        octets: u16::try_from(packet.octets).unwrap_or(u16::MAX),
        ttl: packet.ttl,
        way,
    })
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
        annex: &mut Annex,
        counters: &mut Counters,
    ) {
        if packet.flags & PATTERN != 0 {
            self.add_to_pattern(packet, frame, annex);
        }
        let mut measured = self.measured();
        if measured.kind() != Kind::Tcp {
            if measured.kind() != Kind::Syn {
                return self.measure_datagram(packet, frame, annex);
            }
            self.settle_syn(annex, counters);
            measured = self.measured();
        }
        if packet.flags & SEGMENT == 0 {
            return;
        }
        let Some((ways, rest)) = annex.tcp_mut(measured.place()) else { return };
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
            if packet.l4 != 0 && birthplace.annex.keeps(Class::Udp) {
                self.begin_datagrams(packet, birthplace);
            }
            return;
        }
        if !birthplace.annex.keeps(Class::Tcp) {
            return;
        }
        let Some(segment) = segment(packet, birthplace.frame, 0) else { return };
        // A place is for connections of which more is seen: a flood would write and read hundreds of octets for every SYN.
        if packet.flags & FRAGMENT == 0
            && let Some(notes) = birthplace.options.and_then(|options| lone::notes(&segment, options))
        {
            return self.keep_syn(segment.seq, notes);
        }
        let annex = &mut *birthplace.annex;
        let Some(place) = annex.take(Class::Tcp) else { return birthplace.counters.add(Counter::PerformanceFull, 1) };
        if let Some((ways, rest)) = annex.tcp_mut(place) {
            TcpMut { ways, rest }.begin(&segment, birthplace.options);
            self.set_measured(Measured::new(Kind::Tcp, place));
        }
    }

    /// Finds a place for a connection of which only a SYN was seen so far; counts one for which there is none.
    #[inline(never)]
    pub(crate) fn settle_syn(&mut self, annex: &mut Annex, counters: &mut Counters) {
        let Some(syn) = self.take_syn() else { return };
        let Some(place) = annex.take(Class::Tcp) else { return counters.add(Counter::PerformanceFull, 1) };
        if let Some((ways, rest)) = annex.tcp_mut(place) {
            lone::begin(&syn, &mut TcpMut { ways, rest });
            self.set_measured(Measured::new(Kind::Tcp, place));
        }
    }

    /// Begins to keep the pattern of a flow with its first packet; counts a flow for which there is no place.
    #[inline(never)]
    fn begin_pattern(&mut self, packet: &Packet<K>, birthplace: &mut Birthplace<'_, '_>) {
        let annex = &mut *birthplace.annex;
        let Some(extras) = annex.keep_pattern(self.extras()) else { return birthplace.counters.add(Counter::PatternsFull, 1) };
        let wants = annex.wants();
        if let Some(pattern) = annex.pattern_mut(extras) {
            pattern.rest();
            pattern.add(wants, &self.sample(packet, birthplace.frame));
            self.set_extras(extras);
        }
    }

    /// Adds a packet to the pattern of its flow.
    #[inline(never)]
    fn add_to_pattern(&self, packet: &Packet<K>, frame: &Frame<'_>, annex: &mut Annex) {
        let wants = annex.wants();
        if let Some(pattern) = annex.pattern_mut(self.extras()) {
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
    pub(crate) fn approach(&self, packet: &Packet<K>, annex: &Annex) {
        self.measured().prefetch(annex, packet, self.way(packet));
        if packet.flags & PATTERN != 0 {
            annex.prefetch_pattern(self.extras());
        }
    }

    /// Which connection a SYN opens: another one between the ports of this one, whose end nobody saw, or this one.
    pub(crate) fn opening_of(&self, packet: &Packet<K>, frame: &Frame<'_>, annex: &Annex) -> Opening {
        let measured = self.measured();
        let Some(segment) = segment(packet, frame, self.way(packet)) else { return Opening::Unknown };
        if let Some(syn) = self.lone_syn() {
            let another = segment.way == 0 && segment.seq != syn.isn;
            return if another { Opening::Another } else { Opening::Unknown };
        }
        let state = annex.tcp(measured.place()).filter(|_| measured.kind() == Kind::Tcp);
        state.map_or(Opening::Unknown, |(ways, rest)| TcpRef { ways, rest }.opening_of(&segment))
    }
}

#[cfg(test)]
#[path = "measure_tests.rs"]
mod tests;
