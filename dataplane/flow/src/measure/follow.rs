//! What a flow that is measured goes through, from its first packet to its record.

use sonde_packet::{Frame, SynOptions};
use sonde_record::fact::Fact;

use super::datagrams::Datagrams;
use super::feed::{pattern, tcp, udp};
use super::pattern::Wants;
use super::tcp::{Opening, TcpMut, TcpRef};
use crate::about::Birthplace;
use crate::annex::{Annex, LayersWords};
use crate::counters::Counters;
use crate::followed::Followed;
use crate::handle::{Class, Extras, Kind, Measured};
use crate::packet::{PATTERN, Packet, SEGMENT};

/// What every packet is marked with when it is decoded: [`PATTERN`], or nothing where no patterns are kept.
pub(crate) fn mark(kept: Wants) -> u16 {
    if kept.any() { PATTERN } else { 0 }
}

/// Prefetches what a packet of the flow will touch in the annex.
#[inline(always)]
pub(crate) fn prefetch<K>(entry: &impl Followed, packet: &Packet<K>, annex: &Annex) {
    let measured = entry.measured();
    if !measured.is_none() {
        if measured.is_tcp() {
            tcp::prefetch(measured, annex, packet, entry.way(packet.direction));
        } else {
            // For a lone SYN this is chunk 0, which is always near.
            annex.prefetch_udp(measured.place());
        }
    }
    if packet.flags & PATTERN != 0 {
        annex.prefetch_pattern(entry.extras());
    }
}

/// Prefetches everything that a report reads.
#[inline]
pub(crate) fn prefetch_whole(entry: &impl Followed, annex: &Annex) {
    let measured = entry.measured();
    if !measured.is_none() && measured.is_tcp() {
        tcp::prefetch_whole(measured, annex);
    }
}

/// Begins to measure a flow with its first packet, which its entry has counted.
#[inline(always)]
pub(crate) fn begin<K>(entry: &mut impl Followed, packet: &Packet<K>, birth: &mut Birthplace<'_, '_>) {
    if packet.flags & PATTERN != 0 {
        pattern::begin(entry, packet, birth);
    }
    if packet.flags & SEGMENT != 0 {
        tcp::begin(entry, packet, birth);
    } else if packet.l4 != 0 && birth.annex.keeps(Class::Udp) {
        udp::begin(entry, packet, birth);
    }
}

/// Adds a packet that its entry has counted.
#[inline(always)]
pub(crate) fn add<K>(
    entry: &mut impl Followed,
    packet: &Packet<K>,
    frame: &Frame<'_>,
    options: Option<&SynOptions>,
    annex: &mut Annex,
    counters: &mut Counters,
) {
    if packet.flags & PATTERN != 0 {
        pattern::add(entry, packet, frame, annex);
    }
    if !entry.measured().is_tcp() {
        if entry.measured() != Measured::SYN {
            return udp::add(entry, packet, frame, annex);
        }
        tcp::settle_syn(entry, annex, counters);
    }
    tcp::add(entry, packet, frame, options, annex);
}

/// Finds memory for a connection of which only a SYN was seen so far.
pub(crate) fn settle_syn(entry: &mut impl Followed, annex: &mut Annex, counters: &mut Counters) {
    tcp::settle_syn(entry, annex, counters);
}

/// Which connection a SYN opens.
pub(crate) fn opening_of<K>(entry: &impl Followed, packet: &Packet<K>, frame: &Frame<'_>, annex: &Annex) -> Opening {
    tcp::opening_of(entry, packet, frame, annex)
}

/// Whether the record of the flow has facts from the annex.
#[inline]
pub(crate) fn has_facts(entry: &impl Followed) -> bool {
    // What a lone SYN says stands in the head.
    !entry.extras().is_none() | (!entry.measured().is_none() & (entry.measured() != Measured::SYN))
}

/// Appends the facts of the flow's record to `words`, and returns how many words they are.
pub(crate) fn report(entry: &impl Followed, annex: &Annex, words: &mut [u64]) -> usize {
    let mut filled = 0;
    if let Some(LayersWords(layers)) = annex.layers(entry.extras())
        && let Some(place) = words.first_chunk_mut()
    {
        *place = *layers;
        filled = layers.len();
    }
    filled += report_performance(entry, annex, words.get_mut(filled..).unwrap_or_default());
    if let Some(pattern) = annex.pattern(entry.extras()) {
        filled += pattern.encode(annex.wants(), words.get_mut(filled..).unwrap_or_default());
    }
    filled
}

fn report_performance(entry: &impl Followed, annex: &Annex, words: &mut [u64]) -> usize {
    let place = entry.measured().place();
    match entry.measured().kind() {
        Kind::Tcp => annex.tcp(place).map_or(0, |(ways, rest)| {
            let mut report = TcpRef { ways, rest }.report();
            report.set_ttl(entry.ttls());
            report.encode(words)
        }),
        Kind::Udp => {
            let report = annex.udp(place).map(|state| state.udp().report());
            report.filter(|udp| udp.application.is_some()).map_or(0, |udp| udp.encode(words))
        }
        Kind::Quic => {
            let state = annex.udp(place).map(Datagrams::quic).filter(|state| state.is_known());
            state.map_or(0, |state| state.report().encode(words))
        }
        // The record's head says it.
        Kind::Syn => 0,
    }
}

/// After a report: counters start again. Must run before the entry's do.
pub(crate) fn rest(entry: &mut impl Followed, annex: &mut Annex, counters: &mut Counters) {
    tcp::settle_syn(entry, annex, counters);
    let place = entry.measured().place();
    match entry.measured().kind() {
        Kind::Tcp => annex.tcp_mut(place).into_iter().for_each(|(ways, rest)| TcpMut { ways, rest }.restart()),
        Kind::Udp => annex.udp_mut(place).into_iter().for_each(|state| state.udp_mut().rest()),
        Kind::Quic => annex.udp_mut(place).into_iter().for_each(|state| state.quic_mut().rest()),
        Kind::Syn => {}
    }
    if let Some(pattern) = annex.pattern_mut(entry.extras()) {
        pattern.rest();
    }
}

/// Frees what the flow has in the annex. Must run before the entry ends or begins another flow.
#[inline]
pub(crate) fn release(entry: &mut impl Followed, annex: &mut Annex) {
    let (extras, measured) = (entry.extras(), entry.measured());
    if !extras.is_none() {
        annex.give_back(extras.class(), extras.place());
        entry.set_extras(Extras::NONE);
    }
    if !measured.is_none() {
        match measured.kind() {
            Kind::Tcp => annex.give_back(Class::Tcp, measured.place()),
            Kind::Udp | Kind::Quic => annex.give_back(Class::Udp, measured.place()),
            Kind::Syn => {}
        }
        entry.set_measured(Measured::NONE);
    }
}

#[cfg(test)]
#[path = "follow_tests.rs"]
mod tests;
