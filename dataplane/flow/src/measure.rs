//! The performance of a TCP flow, kept beside its entry: which flows have it, and what of a packet it is fed with.

use sonde_packet::{Frame, SynOptions, Tcp, syn_options};

use crate::counters::Counter;
use crate::entry::{Birthplace, Entry, Packet, SEGMENT, Sides, TCP_FLAGS};
use crate::key::Key;
use crate::perf::Segment;

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
    pub(crate) fn measure(&self, packet: &Packet<K>, frame: &Frame<'_>, options: Option<&SynOptions>, sides: &mut Sides) {
        if packet.flags & SEGMENT == 0 {
            return;
        }
        let Some(state) = sides.tcp.get_mut(self.tcp_place()) else { return };
        let Some(segment) = segment(packet, frame, self.way(packet)) else { return };
        match options {
            Some(options) => state.add_syn(&segment, options),
            None => state.add(&segment),
        }
    }

    /// Begins to measure a flow with its first packet; counts a flow for which there is no place.
    #[inline(always)]
    pub(crate) fn begin_measuring(&mut self, packet: &Packet<K>, birthplace: &mut Birthplace<'_, '_>) {
        let tcp = &mut birthplace.sides.tcp;
        if packet.flags & SEGMENT == 0 || tcp.is_empty() {
            return;
        }
        let Some(segment) = segment(packet, birthplace.frame, 0) else { return };
        let Some(place) = tcp.take() else { return birthplace.counters.add(Counter::PerformanceFull, 1) };
        if let Some(state) = tcp.get_mut(place) {
            state.begin(&segment, birthplace.options);
            self.set_tcp_place(place);
        }
    }

    /// Whether a packet opens another connection between the ports of this one, whose end nobody saw.
    pub(crate) fn is_reused_by(&self, packet: &Packet<K>, frame: &Frame<'_>, sides: &Sides) -> bool {
        let Some(state) = sides.tcp.get(self.tcp_place()) else { return false };
        segment(packet, frame, self.way(packet)).is_some_and(|segment| state.is_reused_by(&segment))
    }
}
