//! One worker's flows: the tables, the policy they obey, what is counted.

use sonde_memory::prefetch::prefetch_slice;
use sonde_memory::slab::{Backing, OutOfMemory, Wanted};
use sonde_memory::tags::Simd;
use sonde_packet::{Fast4, Frame, Network, Packets, Part, Tunnels, decapsulate, decapsulate_part, fast4, inner4, proto};
use sonde_record::{Output, View};

use crate::annex::{Annex, Room};
use crate::counters::{Counter, Counters};
use crate::entry::{BIG, COMMON, FRAGMENT, GENERAL, INNER, Near, Origin, Packet, SEGMENT, Timeouts};
use crate::expiry::Context;
use crate::fragments::{Fragments, Held, Outcome};
use crate::icmp::{self, is_icmp};
use crate::key::{Key4, KeyWide, Seed, ports, vlan_bits};
use crate::measure;
use crate::table::{Footprint, Table};
use crate::track::{BURST, Lane, Work, track};

/// Octets of a cache line.
const LINE: usize = 64;

/// What can change while a worker runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// When flows end.
    pub timeouts: Timeouts,
    /// Whether VLAN ids are part of the key.
    pub vlan_in_key: bool,
    /// Whether the type and code of ICMP and ICMPv6 are part of the key.
    pub icmp_type_in_key: bool,
    /// Whether virtual networks (VNI, VSID, I-SID) are part of the key.
    pub virtual_network_in_key: bool,
    /// Which flow of a tunnelled packet is metered.
    pub tunnels: Tunnels,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            timeouts: Timeouts::default(),
            vlan_in_key: true,
            icmp_type_in_key: true,
            virtual_network_in_key: true,
            tunnels: Tunnels::default(),
        }
    }
}

/// What is fixed when a tracker is made.
#[derive(Clone, Copy, Debug)]
pub struct Sizing {
    /// IPv4 flows.
    pub ipv4: u64,
    /// IPv6 flows, flows inside tunnels, and flows without IP.
    pub wide: u64,
    /// Memory for what only some of all these flows have.
    pub annex: Room,
    /// How the memory is to be had.
    pub wanted: Wanted,
    /// Vector unit to use, if the machine has it.
    pub simd: Simd,
    /// Secret of the hash.
    pub seed: u64,
    /// Worker number: in every record, and in the high bits of flow ids.
    pub worker: u8,
    /// First flow id below the worker's number (48 bits): later than any id of an earlier run.
    pub first_id: u64,
}

impl Sizing {
    /// Memory that the two tables and the annex take.
    pub fn footprint(&self) -> Footprint {
        let (narrow, wide) = (Table::<Key4>::footprint(self.ipv4), Table::<KeyWide>::footprint(self.wide));
        let bytes = narrow.bytes.saturating_add(wide.bytes).saturating_add(Annex::footprint(&self.annex));
        Footprint { lines: narrow.lines.saturating_add(wide.lines), bytes }
    }
}

/// The flows of one worker.
#[derive(Debug)]
pub struct Tracker {
    ipv4: Table<Key4>,
    wide: Table<KeyWide>,
    annex: Annex,
    lane4: Box<Lane<Key4>>,
    lane_wide: Box<Lane<KeyWide>>,
    fragments: Fragments,
    policy: Policy,
    counters: Counters,
    origin: Origin,
    next_id: u64,
    mark: u16,
    /// Flows that may have begun before [`Tracker::make_room`] must look at the tables again.
    room_until: u64,
    /// The next packet of an A-MSDU for which the burst had no room.
    pending: Option<Part>,
}

impl Tracker {
    /// Makes the tables.
    ///
    /// # Errors
    /// The memory is not there.
    pub fn new(sizing: &Sizing, policy: Policy) -> Result<Self, OutOfMemory> {
        let seed = Seed::from_u64(sizing.seed);
        Ok(Self {
            ipv4: Table::new(sizing.ipv4, sizing.wanted, sizing.simd, seed)?,
            wide: Table::new(sizing.wide, sizing.wanted, sizing.simd, seed)?,
            annex: Annex::new(sizing.annex, sizing.wanted)?,
            lane4: Lane::new(),
            lane_wide: Lane::new(),
            fragments: Fragments::new(sizing.seed),
            policy,
            counters: Counters::default(),
            origin: Origin { worker: sizing.worker, offset: 0 },
            mark: measure::mark(sizing.annex.patterns),
            next_id: u64::from(sizing.worker) << 56 | sizing.first_id & ((1 << 56) - 1),
            room_until: 0,
            pending: None,
        })
    }

    /// What was counted since the tracker was made.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Octets of both tables and the annex.
    pub fn bytes(&self) -> u64 {
        self.ipv4.bytes() + self.wide.bytes() + self.annex.bytes()
    }

    /// The pages the tables stand in: the lesser of the two.
    pub fn backing(&self) -> Backing {
        self.ipv4.backing().max(self.wide.backing())
    }

    /// Says what is added to times for records to show them by the wall clock, in nanoseconds: it was stepped since the source's clock
    /// was set. Nothing but what records show changes.
    #[inline]
    pub fn set_offset(&mut self, offset: i64) {
        self.origin.offset = offset;
    }

    /// Takes over another policy. Flows that are due under shorter timeouts end within one pass of the sweep.
    pub fn obey(&mut self, policy: Policy) {
        if policy.timeouts != self.policy.timeouts {
            self.ipv4.recheck();
            self.wide.recheck();
        }
        self.policy = policy;
    }

    /// Decodes a burst (stage 1) and brings its flows up to date (stages 2 to 4). At most [`BURST`] frames are taken at a time;
    /// `now` is the time of the burst.
    pub fn track<O: Output>(&mut self, frames: &[Frame<'_>], now: u64, out: &mut O) {
        // Where both flows of a tunnelled packet are metered, every frame may be two packets.
        let size = if self.policy.tunnels.any_both() { BURST / 2 } else { BURST };
        if frames.is_empty() && self.fragments.held() > 0 {
            self.burst(&[], now, out);
        }
        for mut burst in frames.chunks(size) {
            loop {
                let taken = self.burst(burst, now, out);
                // Frames that are several packets each may leave no room for all.
                burst = burst.get(taken..).unwrap_or_default();
                if burst.is_empty() {
                    break;
                }
            }
        }
    }

    /// Brings the flows of a burst up to date; how many frames it has done with. The first of those that are left may be half done.
    #[inline(always)]
    fn burst<O: Output>(&mut self, frames: &[Frame<'_>], now: u64, out: &mut O) -> usize {
        let taken = self.stage(frames);
        if self.fragments.held() > 0 {
            self.stage_waiting(now, false);
        }
        self.run(frames, now, out);
        taken
    }

    /// Stages 2 to 4 of both tables.
    fn run<O: Output>(&mut self, frames: &[Frame<'_>], now: u64, out: &mut O) {
        let mut work = Work {
            frames,
            gone: self.fragments.gone(),
            now,
            timeouts: &self.policy.timeouts,
            near: Near::new(&self.policy.timeouts),
            tunnels: &self.policy.tunnels,
            next_id: &mut self.next_id,
            context: Context { annex: &mut self.annex, origin: self.origin, counters: &mut self.counters, out },
        };
        track(&mut self.ipv4, &mut self.lane4, &mut work);
        track(&mut self.wide, &mut self.lane_wide, &mut work);
    }

    /// Stage 1: decodes every frame into the lane of its table. How many frames it has done with: all, unless there was no room for
    /// what they carry.
    fn stage(&mut self, burst: &[Frame<'_>]) -> usize {
        self.lane4.clear();
        self.lane_wide.clear();
        self.fragments.forget_gone();
        let (mut rest, mut common, mark) = (burst, 0, self.mark);
        if let (Some(part), Some((frame, behind))) = (self.pending.take(), burst.split_first()) {
            self.stage_subframes(frame, 0, part);
            if self.pending.is_some() {
                return 0;
            }
            self.count_received(std::slice::from_ref(frame));
            rest = behind;
        }
        let begun = burst.len() - rest.len();
        // The common frames in one loop; another one ends it, and is taken in its turn.
        loop {
            let first = burst.len() - rest.len();
            let ahead = |frame: &Frame<'_>| prefetch_slice(frame.bytes);
            let tunnels = &self.policy.tunnels;
            let taken = self.lane4.fill(&self.ipv4, rest, ahead, |at, frame| common_packet(frame, first + at, mark, tunnels));
            common += taken as u64;
            let Some(others) = rest.get(taken..).filter(|others| !others.is_empty()) else {
                rest = &[];
                break;
            };
            let inner = self.stage_inner(others, first + taken);
            common += inner as u64;
            rest = others.get(inner..).unwrap_or_default();
            if inner == 0
                && let Some((frame, behind)) = rest.split_first()
            {
                let several = self.stage_general(frame, u16::try_from(first + taken).unwrap_or(u16::MAX));
                if self.pending.is_some() {
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
        self.lane4.room().min(self.lane_wide.room()) >= packets
    }

    /// The common frames in tunnels, in a loop of their own, up to the first other one. `first`: place of the first frame in the burst.
    /// How many it has taken.
    #[inline(never)]
    fn stage_inner(&mut self, frames: &[Frame<'_>], first: usize) -> usize {
        let (tunnels, mark) = (&self.policy.tunnels, self.mark);
        let networks = if self.policy.virtual_network_in_key { u32::MAX } else { 0 };
        let ahead = |frame: &Frame<'_>| {
            prefetch_slice(frame.bytes);
            // The inner headers.
            prefetch_slice(frame.bytes.get(LINE..).unwrap_or_default());
        };
        self.lane_wide.fill(&self.wide, frames, ahead, |at, frame| inner_packet(frame, first + at, mark, (tunnels, networks)))
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
                self.pending = Some(part);
                return;
            }
            let Ok(packets) = decapsulate_part(frame, &self.policy.tunnels, part) else { return };
            self.stage_inner_packet(&packets, frame, at, Some(part));
            let Some(next) = packets.next else { return };
            part = next;
        }
    }

    fn stage_packet(&mut self, mut packet: Held, frame: &Frame<'_>, at: u16) {
        packet.vlan = if self.policy.vlan_in_key { vlan_bits(&packet.headers) } else { 0 };
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
        let Self { ipv4, wide, lane4, lane_wide, counters, fragments, mark, .. } = self;
        (fragments, Lanes { ipv4, wide, lane4, lane_wide, counters, mark: *mark })
    }

    /// Ends flows that are due, as far as `budget` lines of each table go.
    pub fn sweep<O: Output>(&mut self, now: u64, budget: u32, out: &mut O) {
        let timeouts = &self.policy.timeouts;
        let mut context = Context { annex: &mut self.annex, origin: self.origin, counters: &mut self.counters, out };
        self.ipv4.sweep(now, timeouts, budget, &mut context);
        self.wide.sweep(now, timeouts, budget, &mut context);
    }

    /// Makes room for the flows of another burst, in larger tables and a larger annex if need be, but none for more than `flows_max` flows. For
    /// recordings: it allocates.
    ///
    /// # Errors
    /// The memory for a larger table is not there; the one that is there goes on, and evicts.
    #[inline]
    pub fn make_room<O: Output>(&mut self, flows_max: u64, now: u64, out: &mut O) -> Result<(), OutOfMemory> {
        if self.annex.is_low() {
            self.annex.grow(Room::whole(flows_max.saturating_mul(2), self.annex.wants()))?;
        }
        let created = self.counters.get(Counter::FlowsCreated);
        if created.saturating_add(BURST as u64) < self.room_until {
            return Ok(());
        }
        let mut context = Context { annex: &mut self.annex, origin: self.origin, counters: &mut self.counters, out };
        let narrow = self.ipv4.make_room(flows_max, now, &mut context)?;
        let wide = self.wide.make_room(flows_max, now, &mut context)?;
        self.room_until = created.saturating_add(narrow.min(wide));
        Ok(())
    }

    /// Meters what waits for a first fragment that will not come: to be called before [`Tracker::flush`].
    pub fn settle<O: Output>(&mut self, now: u64, out: &mut O) {
        while self.fragments.held() > 0 {
            self.lane4.clear();
            self.lane_wide.clear();
            self.fragments.forget_gone();
            self.stage_waiting(now, true);
            self.run(&[], now, out);
        }
    }

    /// Writes every flow with end reason 4 (forced end). Returns after some 4,000 flows so that the caller can publish; `true` when
    /// there are more.
    pub fn flush<O: Output>(&mut self, from: &mut Flush, out: &mut O) -> bool {
        const LINES: u32 = 128;
        let mut context = Context { annex: &mut self.annex, origin: self.origin, counters: &mut self.counters, out };
        if let Some(line) = from.ipv4 {
            from.ipv4 = self.ipv4.flush(line, LINES, &mut context);
        } else if let Some(line) = from.wide {
            from.wide = self.wide.flush(line, LINES, &mut context);
        }
        from.ipv4.is_some() || from.wide.is_some()
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

/// How far a flush has come.
#[derive(Clone, Copy, Debug)]
pub struct Flush {
    ipv4: Option<u32>,
    wide: Option<u32>,
}

impl Default for Flush {
    fn default() -> Self {
        Self { ipv4: Some(0), wide: Some(0) }
    }
}

#[inline(always)]
fn common_packet(frame: &Frame<'_>, at: usize, mark: u16, tunnels: &Tunnels) -> Option<Packet<Key4>> {
    let fast = fast4(frame, tunnels)?;
    let (key, direction) = Key4::of(&fast);
    // Ethernet and an IPv4 header without options are before it.
    Some(fast_packet(key, direction, &fast, frame, at, (COMMON, mark, 34)))
}

#[inline(always)]
fn inner_packet(frame: &Frame<'_>, at: usize, mark: u16, (tunnels, networks): (&Tunnels, u32)) -> Option<Packet<KeyWide>> {
    let inner = inner4(frame, tunnels)?;
    let (key, direction) = KeyWide::inner4(&inner, networks);
    Some(fast_packet(key, direction, &inner.packet, frame, at, (INNER, mark, inner.l4_offset)))
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

fn general_packet<K>(key: K, direction: u8, held: &Held, at: u16, mark: u16) -> Packet<K> {
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

#[cfg(test)]
#[path = "tracker_tests.rs"]
mod tests;
