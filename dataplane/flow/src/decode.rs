//! Decoding: frames -> packets with their keys, in the lane of the table they go to.
//!
//! Three decoders: two straight-line ones for what is common, and a general one. Decoding, hashing and prefetching of tags share one loop
//! over the whole burst: apart, each packet would be written and read once more.

use sonde_memory::prefetch::prefetch_slice;
use sonde_packet::{
    Fast4, Fast6, FastIp, Frame, Located, Network, Packets, Part, Tunnels, decapsulate, decapsulate_part, fast4, inner4, located, proto,
};
use sonde_record::View;

use crate::counters::{Counter, Counters};
use crate::fragments::{Fragments, Held, Outcome};
use crate::icmp::{self, is_icmp};
use crate::key::{Key4, KeyWide, ports, vlan_bits};
use crate::packet::{BIG, BURST, COMMON, FRAGMENT, GENERAL, INNER, Packet, SEGMENT};
use crate::policy::Policy;
use crate::stage::{AHEAD, Lane};
use crate::table::Table;

/// Octets of a cache line.
const LINE: usize = 64;
/// Where a transport header may begin for its ports to stand in the frame's first cache line; TCP's flags stand 14 octets behind its beginning.
const LINE_LEFT: u16 = 64 - 14;
/// Octets of an Ethernet header without tags.
const ETHERNET: u16 = 14;

/// The packets of a burst, and what decoding keeps from one burst to the next.
#[derive(Debug)]
pub(crate) struct Decoder {
    pub(crate) lane4: Box<Lane<Key4>>,
    pub(crate) lane_wide: Box<Lane<KeyWide>>,
    pub(crate) fragments: Fragments,
    /// What every packet's flags have.
    mark: u16,
    /// The next packet of an A-MSDU for which the burst had no room.
    pending: Option<Part>,
}

impl Decoder {
    /// With a secret of the hash, and flags that every packet gets.
    pub(crate) fn new(seed: u64, mark: u16) -> Self {
        Self { lane4: Lane::new(), lane_wide: Lane::new(), fragments: Fragments::new(seed), mark, pending: None }
    }
}

/// A burst that is decoded.
pub(crate) struct Decoding<'a> {
    pub(crate) decoder: &'a mut Decoder,
    pub(crate) ipv4: &'a Table<Key4>,
    pub(crate) wide: &'a Table<KeyWide>,
    pub(crate) policy: &'a Policy,
    pub(crate) counters: &'a mut Counters,
}

impl Decoding<'_> {
    /// Decodes frames, and takes fragments that have waited long enough. How many frames it has done with; the first of those that are
    /// left may be half done. `now` is the time of the burst.
    #[inline]
    pub(crate) fn burst(&mut self, frames: &[Frame<'_>], now: u64) -> usize {
        // Where both flows of a tunnelled packet are metered, every frame may be two packets.
        let size = if self.policy.tunnels.any_both() { BURST / 2 } else { BURST };
        let taken = self.stage(frames.get(..size).unwrap_or(frames));
        if self.decoder.fragments.held() > 0 {
            self.stage_waiting(now, false);
        }
        taken
    }

    /// Takes fragments whose first fragment will not come any more. Whether there were any.
    pub(crate) fn settle(&mut self, now: u64) -> bool {
        let any = self.decoder.fragments.held() > 0;
        self.clear();
        if any {
            self.stage_waiting(now, true);
        }
        any
    }

    fn clear(&mut self) {
        self.decoder.lane4.clear();
        self.decoder.lane_wide.clear();
        self.decoder.fragments.forget_gone();
    }

    /// Decodes every frame into the lane of its table. How many frames it has done with: all, unless there was no room for
    /// what they carry.
    fn stage(&mut self, burst: &[Frame<'_>]) -> usize {
        self.clear();
        let (mut rest, mut common, mark) = (burst, 0, self.decoder.mark);
        if let (Some(part), Some((frame, behind))) = (self.decoder.pending.take(), burst.split_first()) {
            self.stage_subframes(frame, 0, part);
            if self.decoder.pending.is_some() {
                return 0;
            }
            self.count_received(std::slice::from_ref(frame));
            if !self.has_room_for(behind.len()) {
                return 1;
            }
            rest = behind;
        }
        let begun = burst.len() - rest.len();
        // The common frames in one loop; another one ends it, and is taken in its turn.
        loop {
            let first = burst.len() - rest.len();
            let ahead = |frame: &Frame<'_>| prefetch_slice(frame.bytes);
            let tunnels = &self.policy.tunnels;
            let taken = self.decoder.lane4.fill(self.ipv4, rest, ahead, |at, frame| common_packet(frame, first + at, mark, tunnels));
            common += taken as u64;
            let Some(others) = rest.get(taken..).filter(|others| !others.is_empty()) else {
                rest = &[];
                break;
            };
            let mut done = self.stage_located(others, first + taken);
            if done == 0 {
                done = self.stage_inner(others, first + taken);
                common += done as u64;
            }
            rest = others.get(done..).unwrap_or_default();
            if done == 0
                && let Some((frame, behind)) = rest.split_first()
            {
                let several = self.stage_general(frame, u16::try_from(first + taken).unwrap_or(u16::MAX));
                if self.decoder.pending.is_some() {
                    break;
                }
                rest = behind;
                if several && !self.has_room_for(rest.len()) {
                    break;
                }
            }
        }
        let done = burst.len() - rest.len();
        self.count_received(burst.get(begun..done).unwrap_or_default());
        self.counters.add(Counter::MeteredIpv4, common);
        done
    }

    fn count_received(&mut self, frames: &[Frame<'_>]) {
        self.counters.add(Counter::Received, frames.len() as u64);
        self.counters.add(Counter::ReceivedOctets, frames.iter().map(|frame| u64::from(frame.wire_len)).sum());
        let cut = frames.iter().map(|frame| u64::from(frame.bytes.len() < frame.wire_len as usize)).sum();
        self.counters.add(Counter::FramesCut, cut);
    }

    /// Whether so many frames find room in this burst, one packet each, or two where both flows of a tunnelled packet are metered.
    fn has_room_for(&self, frames: usize) -> bool {
        let packets = if self.policy.tunnels.any_both() { 2 * frames } else { frames };
        self.decoder.lane4.room().min(self.decoder.lane_wide.room()) >= packets
    }

    /// The common frames with tags, labels or IPv6, and whatever common frames stand between them, in a loop of their own, up to the first
    /// other one. `first`: place of the first frame in the burst. How many it has taken.
    #[inline(never)]
    fn stage_located(&mut self, frames: &[Frame<'_>], first: usize) -> usize {
        let Self { decoder: Decoder { lane4, lane_wide, mark, .. }, ipv4, wide, policy, counters } = self;
        let vlans = if policy.vlan_in_key { u32::MAX } else { 0 };
        let (mut taken, mut metered4) = (0, 0);
        // Whether the headers of the latest packet were longer than a cache line: those of the next ones are, too.
        let mut long = false;
        for (at, frame) in frames.iter().enumerate() {
            if let Some(frame) = frames.get(at + AHEAD) {
                prefetch_slice(frame.bytes);
                if long {
                    prefetch_slice(frame.bytes.get(LINE..).unwrap_or_default());
                }
            }
            let found = located_packet(frame, first + at, *mark, (&policy.tunnels, vlans));
            match found.filter(|_| lane4.has_room() & lane_wide.has_room()) {
                Some(Found::V4(packet)) => {
                    long = packet.l4 > LINE_LEFT;
                    metered4 += 1;
                    lane4.push(ipv4, packet);
                }
                Some(Found::V6(packet)) => {
                    long = packet.l4 > LINE_LEFT;
                    lane_wide.push(wide, packet);
                }
                None => break,
            }
            taken += 1;
        }
        counters.add(Counter::MeteredIpv4, metered4);
        counters.add(Counter::MeteredIpv6, taken as u64 - metered4);
        taken
    }

    /// The common frames in tunnels, in a loop of their own, up to the first other one. `first`: place of the first frame in the burst.
    /// How many it has taken.
    #[inline(never)]
    fn stage_inner(&mut self, frames: &[Frame<'_>], first: usize) -> usize {
        let (tunnels, mark) = (&self.policy.tunnels, self.decoder.mark);
        let all = |wanted| if wanted { u32::MAX } else { 0 };
        let bits = KeyBits { networks: all(self.policy.virtual_network_in_key), vlans: all(self.policy.vlan_in_key) };
        let ahead = |frame: &Frame<'_>| {
            prefetch_slice(frame.bytes);
            // The inner headers.
            prefetch_slice(frame.bytes.get(LINE..).unwrap_or_default());
        };
        self.decoder.lane_wide.fill(self.wide, frames, ahead, |at, frame| inner_packet(frame, first + at, mark, (tunnels, bits)))
    }

    /// What the fast decoders do not know. Whether it was several packets.
    #[inline(never)]
    fn stage_general(&mut self, frame: &Frame<'_>, at: u16) -> bool {
        let packets = match decapsulate(frame, &self.policy.tunnels) {
            Ok(packets) => packets,
            Err(reason) => {
                self.counters.not_metered(reason);
                return false;
            }
        };
        let wire_len = packets.outer.wire_octets(frame);
        let outer = Held {
            headers: packets.outer,
            view: View::First,
            overlay: packets.network,
            vlan: 0,
            wire_len,
            time: frame.time,
            counts: true,
            part: 0,
        };
        if wire_len > frame.wire_len {
            // Its source did not know that the frame was cut.
            self.counters.add(Counter::FramesCut, 1);
            self.counters.add(Counter::ReceivedOctets, u64::from(wire_len - frame.wire_len));
        }
        let Some(inner) = packets.inner else {
            self.note_tunnels(&packets);
            self.stage_packet(outer, frame, at);
            return false;
        };
        self.stage_inner_packet(&packets, frame, at, None);
        if inner.keep_outer {
            self.counters.add(Counter::MeteredTwice, 1);
            self.stage_packet(Held { counts: false, ..outer }, frame, at);
        }
        if let Some(next) = packets.next {
            self.stage_subframes(frame, at, next);
        }
        packets.next.is_some()
    }

    fn note_tunnels(&mut self, packets: &Packets) {
        self.counters.add(Counter::TunnelTooDeep, u64::from(packets.too_deep));
        self.counters.add(Counter::TunnelUnreadable, u64::from(packets.unreadable));
        self.counters.add(Counter::SubframesSkipped, u64::from(packets.skipped));
    }

    /// A packet inside a tunnel; `part`: one of several of its frame, behind the first.
    fn stage_inner_packet(&mut self, packets: &Packets, frame: &Frame<'_>, at: u16, part: Option<Part>) {
        self.note_tunnels(packets);
        let Some(inner) = packets.inner else { return };
        let held = Held {
            headers: inner.headers,
            view: View::Inner,
            overlay: inner.network,
            vlan: 0,
            // What the source did not tell of a frame that was cut belongs to its first packet.
            wire_len: packets.wire_len + if part.is_none() { packets.outer.wire_octets(frame) - frame.wire_len } else { 0 },
            time: frame.time,
            counts: part.is_none(),
            part: part.map_or(0, |Part(at)| at),
        };
        self.counters.add(Counter::Subframes, u64::from(part.is_some()));
        self.stage_packet(held, frame, at);
    }

    /// The packets of an A-MSDU behind the first, as far as the burst has room: the others are the first of the next burst.
    #[inline(never)]
    fn stage_subframes(&mut self, frame: &Frame<'_>, at: u16, mut part: Part) {
        loop {
            if !self.has_room_for(1) {
                self.decoder.pending = Some(part);
                return;
            }
            let Ok(packets) = decapsulate_part(frame, &self.policy.tunnels, part) else { return };
            self.stage_inner_packet(&packets, frame, at, Some(part));
            let Some(next) = packets.next else { return };
            part = next;
        }
    }

    fn stage_packet(&mut self, mut packet: Held, frame: &Frame<'_>, at: u16) {
        packet.vlan = if self.policy.vlan_in_key { vlan_bits(packet.headers.vlan) } else { 0 };
        let icmp = self.policy.icmp_type_in_key;
        if icmp && is_icmp(packet.headers.protocol) {
            let number = icmp::number(&packet.headers);
            (packet.headers.sport, packet.headers.dport) = (number, number);
        }
        if !self.policy.virtual_network_in_key {
            packet.overlay = 0;
        }
        if packet.headers.transport_truncated(frame) {
            self.counters.add(Counter::TransportTruncated, 1);
        }
        if !packet.headers.fragment.is_fragment() {
            return self.lanes().1.push(&packet, at);
        }
        self.counters.add(Counter::Fragments, 1);
        let (fragments, mut lanes) = self.lanes();
        match fragments.resolve(packet, frame, icmp) {
            Outcome::Meter(packet) => lanes.push(&packet, at),
            Outcome::Wait(displaced) => {
                lanes.counters.add(Counter::FragmentsWaiting, u64::from(packet.counts));
                if let Some((packet, at)) = displaced {
                    lanes.push_waited(&packet, at);
                }
            }
        }
    }

    /// Takes fragments that have waited into the burst, as far as there is room.
    fn stage_waiting(&mut self, now: u64, all: bool) {
        let (fragments, mut lanes) = self.lanes();
        let take = |packet: &Held, at| {
            let room = lanes.has_room();
            if room {
                lanes.push_waited(packet, at);
            }
            room
        };
        if all {
            fragments.release_all(now, take);
        } else {
            fragments.release(now, take);
        }
    }

    /// The fragments, and where packets go.
    fn lanes(&mut self) -> (&mut Fragments, Lanes<'_>) {
        let Self { decoder: Decoder { lane4, lane_wide, fragments, mark, .. }, ipv4, wide, counters, .. } = self;
        (fragments, Lanes { ipv4, wide, lane4, lane_wide, counters, mark: *mark })
    }
}

/// The burst's packets by the table they go to.
struct Lanes<'a> {
    ipv4: &'a Table<Key4>,
    wide: &'a Table<KeyWide>,
    lane4: &'a mut Lane<Key4>,
    lane_wide: &'a mut Lane<KeyWide>,
    counters: &'a mut Counters,
    mark: u16,
}

impl Lanes<'_> {
    fn has_room(&self) -> bool {
        self.lane4.has_room() && self.lane_wide.has_room()
    }

    /// Takes a packet into the lane of its table. `at` is the place of its frame in the burst, or behind its end.
    fn push(&mut self, held: &Held, at: u16) {
        let Held { headers, view, overlay, vlan, counts, .. } = held;
        if let (Network::V4(src, dst), View::First, 0) = (headers.network, view, overlay) {
            let ((sport, dport), protocol) = (ports(headers), headers.protocol);
            let (key, direction) = Key4::new(u32::from_be_bytes(src), u32::from_be_bytes(dst), sport, dport, protocol, *vlan);
            self.counters.add(Counter::MeteredIpv4, u64::from(*counts));
            return self.lane4.push(self.ipv4, general_packet(key, direction, held, at, self.mark));
        }
        let (key, direction) = KeyWide::of(headers, *view, *vlan, *overlay);
        let counter = match headers.network {
            Network::None => Counter::MeteredLayer2,
            Network::V4(..) => Counter::MeteredIpv4,
            Network::V6(..) => Counter::MeteredIpv6,
        };
        self.counters.add(counter, u64::from(*counts));
        self.lane_wide.push(self.wide, general_packet(key, direction, held, at, self.mark));
    }

    /// Takes a packet that has waited: of its frame the beginning is left.
    fn push_waited(&mut self, held: &Held, at: u16) {
        self.counters.sub(Counter::FragmentsWaiting, u64::from(held.counts));
        self.push(held, at);
    }
}

#[inline(always)]
fn common_packet(frame: &Frame<'_>, at: usize, mark: u16, tunnels: &Tunnels) -> Option<Packet<Key4>> {
    let fast = fast4(frame, tunnels)?;
    let (key, direction) = Key4::of(&fast, 0);
    // Ethernet and an IPv4 header without options are before it.
    Some(fast_packet(key, direction, &fast, frame, at, (COMMON, mark, 34)))
}

/// Which bits are part of a key, all or none each.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeyBits {
    /// Of the virtual network.
    pub(crate) networks: u32,
    /// Of the VLAN ids.
    pub(crate) vlans: u32,
}

#[inline(always)]
pub(crate) fn inner_packet(frame: &Frame<'_>, at: usize, mark: u16, (tunnels, bits): (&Tunnels, KeyBits)) -> Option<Packet<KeyWide>> {
    let inner = inner4(frame, tunnels)?;
    let (key, direction) = KeyWide::inner4(&inner, vlan_bits(inner.vlan) & bits.vlans, bits.networks);
    Some(fast_packet(key, direction, &inner.packet, frame, at, (INNER, mark, inner.l4_offset)))
}

/// A packet by the table it goes to.
#[derive(Debug)]
pub(crate) enum Found {
    V4(Packet<Key4>),
    V6(Packet<KeyWide>),
}

/// `vlans`: the bits of the VLAN ids that are part of the key, all or none.
#[inline(always)]
pub(crate) fn located_packet(frame: &Frame<'_>, at: usize, mark: u16, (tunnels, vlans): (&Tunnels, u32)) -> Option<Found> {
    let Located { packet, vlan, l3_offset } = located(frame, tunnels)?;
    let vlan = vlan_bits(vlan) & vlans;
    Some(match packet {
        FastIp::V4(packet) => {
            let (key, direction) = Key4::of(&packet, vlan);
            let origin = if l3_offset == ETHERNET { COMMON } else { GENERAL };
            Found::V4(fast_packet(key, direction, &packet, frame, at, (origin, mark, l3_offset + 20)))
        }
        FastIp::V6(packet) => {
            let (key, direction) = KeyWide::six(&packet, vlan);
            Found::V6(fast6_packet(key, direction, &packet, frame, at, (mark, l3_offset)))
        }
    })
}

/// A packet that a fast decoder knows: what decoded it, its mark, and where its transport header stands, behind an IPv4 header without
/// options.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "a place in a burst")]
fn fast_packet<K>(key: K, direction: u8, fast: &Fast4, frame: &Frame<'_>, at: usize, (origin, mark, l4): (u8, u16, u16)) -> Packet<K> {
    Packet {
        key,
        hash: 0,
        time: frame.time,
        octets: u32::from(fast.octets),
        overhead: frame.wire_len.wrapping_sub(u32::from(fast.octets)).cast_signed(),
        flags: mark | fast.tcp_flags | if fast.protocol == proto::TCP { SEGMENT } else { 0 },
        ttl: fast.ttl,
        tos: fast.tos,
        direction,
        origin,
        frame: at as u16,
        l4,
        ip_header: 20,
        part: 0,
    }
}

/// As [`fast_packet`], for an IPv6 packet without extension headers, which stands at `l3`.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "a place in a burst")]
fn fast6_packet<K>(key: K, direction: u8, fast: &Fast6, frame: &Frame<'_>, at: usize, (mark, l3): (u16, u16)) -> Packet<K> {
    Packet {
        key,
        hash: 0,
        time: frame.time,
        octets: fast.octets,
        overhead: frame.wire_len.wrapping_sub(fast.octets).cast_signed(),
        flags: mark | fast.tcp_flags | if fast.protocol == proto::TCP { SEGMENT } else { 0 },
        ttl: fast.ttl,
        tos: fast.tos,
        direction,
        origin: GENERAL,
        frame: at as u16,
        l4: l3 + 40,
        ip_header: 40,
        part: 0,
    }
}

pub(crate) fn general_packet<K>(key: K, direction: u8, held: &Held, at: u16, mark: u16) -> Packet<K> {
    let headers = &held.headers;
    let fragment = if headers.fragment.is_fragment() { FRAGMENT } else { 0 };
    let big = if headers.octets >> 17 != 0 { BIG } else { 0 };
    Packet {
        key,
        hash: 0,
        time: held.time,
        octets: headers.octets,
        overhead: held.wire_len.wrapping_sub(headers.octets).cast_signed(),
        flags: headers.tcp.map_or(0, |tcp| tcp.flags | SEGMENT) | fragment | big | mark,
        ttl: headers.ttl,
        tos: headers.tos,
        direction,
        origin: if held.view == View::Inner { INNER } else { GENERAL },
        frame: at,
        l4: headers.l4_offset,
        ip_header: headers.l4_offset.saturating_sub(headers.l3_offset),
        part: held.part,
    }
}
