//! What of a packet the pattern of its flow is told, and which flows have one.

use sonde_packet::{Frame, proto};
use sonde_record::Kind;

use crate::about::Birthplace;
use crate::annex::Annex;
use crate::counters::Counter;
use crate::followed::Followed;
use crate::measure::pattern::Sample;
use crate::packet::{FRAGMENT, Packet, TCP_FLAGS};

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

/// Begins to keep the pattern of a flow with its first packet; counts a flow for which there is no memory.
#[inline(never)]
pub(crate) fn begin<K>(entry: &mut impl Followed, packet: &Packet<K>, birth: &mut Birthplace<'_, '_>) {
    let annex = &mut *birth.annex;
    let Some(extras) = annex.keep_pattern(entry.extras()) else { return birth.counters.add(Counter::PatternsFull, 1) };
    let wants = annex.wants();
    if let Some(pattern) = annex.pattern_mut(extras) {
        pattern.rest();
        pattern.add(wants, &sample(entry, packet, birth.frame));
        entry.set_extras(extras);
    }
}

/// Adds a packet to the pattern of its flow.
#[inline(never)]
pub(crate) fn add<K>(entry: &impl Followed, packet: &Packet<K>, frame: &Frame<'_>, annex: &mut Annex) {
    let wants = annex.wants();
    if let Some(pattern) = annex.pattern_mut(entry.extras()) {
        pattern.add(wants, &sample(entry, packet, frame));
    }
}

/// What the pattern of its flow is told of a packet.
#[inline(always)]
fn sample<K>(entry: &impl Followed, packet: &Packet<K>, frame: &Frame<'_>) -> Sample {
    let (kind, protocol) = entry.protocol();
    let (ip, transport) = match (packet.l4, kind) {
        // A later fragment: RFC 791 section 3.1, RFC 8200 sections 3 and 4.5.
        (0, Kind::Ipv4) => (20, 0),
        (0, Kind::Ipv6) => (if packet.flags & FRAGMENT == 0 { 40 } else { 48 }, 0),
        (0, Kind::Layer2) => (0, 0),
        (l4, _) => (u32::from(packet.ip_header), transport(protocol, frame.bytes.get(usize::from(l4)..))),
    };
    let payload = packet.octets.saturating_sub(ip.saturating_add(transport));
    Sample { time: packet.time, payload, flags: packet.flags & TCP_FLAGS, way: entry.way(packet.direction) }
}
