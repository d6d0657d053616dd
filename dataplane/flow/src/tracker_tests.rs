//! The table against an oracle that adds up every packet, and one test per rule of a flow's life.

use std::collections::HashMap;

use sonde_packet::{Link, Network, Tunnels};
use sonde_record::fact::{FirstPackets, Histograms, Layers, NetTisa, TcpPerformance};
use sonde_record::{EndReason, Initiator, Kind, NO_VLAN, Record, View};

use super::*;
use crate::measure::pattern::Wants;
use crate::{Policy, Timeouts};

const SECOND: u64 = 1_000_000_000;
const START: u64 = 1_700_000_000 * SECOND;

/// An Ethernet frame of IPv4 with TCP or UDP; `flags` are TCP's.
fn ipv4(src: [u8; 4], dst: [u8; 4], sport: u16, dport: u16, protocol: u8, flags: u8) -> Vec<u8> {
    let mut bytes = vec![2, 0, 0, 0, 0, dst[3], 2, 0, 0, 0, 0, src[3], 8, 0];
    bytes.extend([0x45, 0, 0, 46, 0, 1, 0, 0, 64, protocol, 0, 0]);
    bytes.extend(src);
    bytes.extend(dst);
    bytes.extend(sport.to_be_bytes());
    bytes.extend(dport.to_be_bytes());
    bytes.extend([0, 0, 0, 1, 0, 0, 0, 2, 0x50, flags, 0x20, 0, 0, 0, 0, 0]);
    bytes.resize(60, 0);
    bytes
}

fn with_vlan(bytes: &[u8], id: u16) -> Vec<u8> {
    let mut tagged = bytes[..12].to_vec();
    tagged.extend([0x81, 0]);
    tagged.extend(id.to_be_bytes());
    tagged.extend(&bytes[12..]);
    tagged
}

fn ipv6(src: u8, dst: u8, sport: u16, dport: u16) -> Vec<u8> {
    let mut bytes = vec![2, 0, 0, 0, 0, dst, 2, 0, 0, 0, 0, src, 0x86, 0xdd, 0x60, 0, 0, 0, 0, 8, 17, 64];
    bytes.extend([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, src]);
    bytes.extend([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, dst]);
    bytes.extend(sport.to_be_bytes());
    bytes.extend(dport.to_be_bytes());
    bytes.extend([0, 8, 0, 0]);
    bytes
}

fn frame(bytes: &[u8], time: u64) -> Frame<'_> {
    Frame { bytes, wire_len: u32::try_from(bytes.len()).expect("short"), link: Link::Ethernet, time, port: 3 }
}

fn tracker(flows: u64, policy: Policy) -> Tracker {
    let wanted = Wanted { huge: false, populate: false };
    let sizing = Sizing {
        ipv4: flows,
        wide: flows,
        annex: Room::whole(2 * flows, Wants::NONE),
        wanted,
        simd: Simd::Avx512,
        seed: 7,
        worker: 9,
        first_id: 100,
    };
    Tracker::new(&sizing, policy).expect("little memory")
}

/// A tracker with its records and a clock.
struct World {
    tracker: Tracker,
    records: Vec<Record>,
    now: u64,
}

impl World {
    fn new(policy: Policy) -> Self {
        Self { tracker: tracker(1000, policy), records: Vec::new(), now: START }
    }

    fn at(&mut self, seconds: f64, bytes: &[u8]) -> &mut Self {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small positive test times")]
        let now = START + (seconds * 1e9) as u64;
        self.now = now;
        self.tracker.sweep(now, u32::MAX, &mut self.records);
        self.tracker.meter(&[frame(bytes, now)], now, &mut self.records);
        self
    }

    /// A packet a millisecond after the one before.
    fn packet(&mut self, bytes: &[u8]) {
        self.now += 1_000_000;
        self.tracker.meter(&[frame(bytes, self.now)], self.now, &mut self.records);
    }

    fn idle(&mut self, seconds: u64) -> &mut Self {
        // The clock of a live worker advances in small steps.
        for _ in 0..seconds * 4 {
            self.now += SECOND / 4;
            self.tracker.sweep(self.now, u32::MAX, &mut self.records);
        }
        self
    }

    fn end(&mut self) -> Vec<Record> {
        self.tracker.settle(self.now, &mut self.records);
        let mut flush = Flush::default();
        while self.tracker.flush(&mut flush, &mut self.records) {}
        assert!(self.tracker.counters().balances());
        assert_eq!(self.tracker.counters().get(Counter::FlowsActive), 0);
        assert_eq!(self.tracker.counters().records(), self.records.len() as u64);
        self.records.clone()
    }
}

const A: [u8; 4] = [10, 0, 0, 1];
const B: [u8; 4] = [10, 0, 0, 2];

#[test]
fn both_directions_are_one_flow_and_the_first_packet_is_forward() {
    for turned in [false, true] {
        let (a, b) = if turned { (B, A) } else { (A, B) };
        let records = World::new(Policy::default())
            .at(0.0, &ipv4(a, b, 5, 6, 17, 0))
            .at(0.5, &ipv4(b, a, 6, 5, 17, 0))
            .at(0.7, &ipv4(b, a, 6, 5, 17, 0))
            .end();
        let [record] = records.as_slice() else { panic!("{records:?}") };
        assert_eq!((&record.src[12..], record.sport, &record.dst[12..], record.dport), (&a[..], 5, &b[..], 6));
        assert_eq!((record.packets, record.octets, record.wire), ([1, 2], [46, 92], [60, 120]));
        assert_eq!((record.start, record.end - record.start), (START, 7 * SECOND / 10));
        assert_eq!((record.kind, record.proto, record.end_reason, record.worker), (Kind::Ipv4, 17, EndReason::Forced, 9));
        assert_eq!((record.smac[5], record.dmac[5], record.ethertype, record.ingress), (a[3], b[3], 0x800, 3));
        assert_eq!((record.flow_id, record.vlan(), record.ttl), (9 << 56 | 100, [NO_VLAN; 2], [64, 64]));
        assert_eq!(record.initiator, Initiator::FirstPacket);
    }
}

#[test]
fn a_flow_ends_when_no_packet_came_for_the_idle_timeout() {
    let mut world = World::new(Policy::default());
    world.at(0.0, &ipv4(A, B, 5, 6, 17, 0)).idle(29);
    assert!(world.records.is_empty());
    world.idle(3);
    assert_eq!(world.records.iter().map(|r| r.end_reason).collect::<Vec<_>>(), [EndReason::Idle]);
    assert_eq!(world.tracker.counters().get(Counter::FlowsActive), 0);
}

#[test]
fn a_packet_after_the_idle_timeout_begins_a_new_flow_even_before_the_sweep_has_passed() {
    let mut world = World::new(Policy::default());
    world.at(0.0, &ipv4(A, B, 5, 6, 17, 0));
    let late = ipv4(B, A, 6, 5, 17, 0);
    world.tracker.meter(&[frame(&late, START + 31 * SECOND)], START, &mut world.records);
    let records = world.end();
    let [first, second] = records.as_slice() else { panic!("{records:?}") };
    assert_eq!((first.end_reason, first.packets), (EndReason::Idle, [1, 0]));
    assert_eq!((second.packets, second.sport), ([1, 0], 6));
    assert_ne!(first.flow_id, second.flow_id);
}

#[test]
fn a_flow_that_goes_on_is_reported_at_the_active_timeout_and_keeps_its_id() {
    let policy = Policy { timeouts: Timeouts { active: 10 * SECOND, ..Timeouts::default() }, ..Policy::default() };
    let mut world = World::new(policy);
    for second in 0..25 {
        world.at(f64::from(second), &ipv4(A, B, 5, 6, 17, 0));
    }
    let records = world.end();
    let packets: u64 = records.iter().map(|r| r.packets[0]).sum();
    assert_eq!(packets, 25);
    assert_eq!(records.iter().map(|r| r.end_reason).collect::<Vec<_>>(), [EndReason::Active, EndReason::Active, EndReason::Forced]);
    assert!(records.windows(2).all(|pair| pair[0].end < pair[1].start && pair[0].flow_id == pair[1].flow_id), "{records:?}");
}

#[test]
fn a_reported_flow_without_further_packets_ends_without_a_record() {
    let policy = Policy { timeouts: Timeouts { active: 5 * SECOND, ..Timeouts::default() }, ..Policy::default() };
    let mut world = World::new(policy);
    world.at(0.0, &ipv4(A, B, 5, 6, 17, 0)).at(4.0, &ipv4(A, B, 5, 6, 17, 0)).idle(60);
    assert_eq!(world.records.iter().map(|r| r.end_reason).collect::<Vec<_>>(), [EndReason::Active]);
    assert_eq!(world.tracker.counters().get(Counter::FlowsActive), 0);
}

const SYN: u8 = 2;
const ACK: u8 = 16;
const FIN: u8 = 1;
const RST: u8 = 4;

#[test]
fn tcp_ends_after_fin_from_both_sides_and_the_last_segments_belong_to_it() {
    let mut world = World::new(Policy::default());
    world.at(0.0, &ipv4(A, B, 5, 6, 6, SYN)).at(0.1, &ipv4(B, A, 6, 5, 6, SYN | ACK)).at(0.2, &ipv4(A, B, 5, 6, 6, ACK));
    world.at(1.0, &ipv4(A, B, 5, 6, 6, FIN | ACK)).idle(5);
    assert!(world.records.is_empty(), "half closed");
    world.at(7.0, &ipv4(B, A, 6, 5, 6, FIN | ACK)).at(7.1, &ipv4(A, B, 5, 6, 6, ACK)).idle(4);
    let [record] = world.records.as_slice() else { panic!("{:?}", world.records) };
    assert_eq!((record.end_reason, record.packets, record.tcp_flags), (EndReason::EndOfFlow, [4, 2], [0x13, 0x13]));
    assert_eq!((record.initiator, record.syn_len, record.syn_window), (Initiator::Source, 46, 0x2000));
}

#[test]
fn tcp_ends_after_rst() {
    let mut world = World::new(Policy::default());
    world.at(0.0, &ipv4(A, B, 5, 6, 6, SYN)).at(0.1, &ipv4(B, A, 6, 5, 6, RST | ACK)).idle(4);
    assert_eq!(world.records.iter().map(|r| r.end_reason).collect::<Vec<_>>(), [EndReason::EndOfFlow]);
}

#[test]
fn a_new_syn_on_a_closed_connection_is_a_new_flow() {
    let mut world = World::new(Policy::default());
    world.at(0.0, &ipv4(A, B, 5, 6, 6, SYN)).at(0.1, &ipv4(B, A, 6, 5, 6, RST | ACK)).at(0.2, &ipv4(A, B, 5, 6, 6, SYN));
    let records = world.end();
    assert_eq!(
        records.iter().map(|r| (r.end_reason, r.packets)).collect::<Vec<_>>(),
        [(EndReason::EndOfFlow, [1, 1]), (EndReason::Forced, [1, 0])]
    );
}

#[test]
fn a_flow_first_seen_by_its_answer_has_the_destination_as_initiator() {
    let records = World::new(Policy::default()).at(0.0, &ipv4(B, A, 6, 5, 6, SYN | ACK)).end();
    assert_eq!(records[0].initiator, Initiator::Destination);
    let records = World::new(Policy::default()).at(0.0, &ipv4(B, A, 6, 5, 6, ACK)).at(0.0, &ipv4(A, B, 5, 6, 6, SYN)).end();
    assert_eq!(records[0].initiator, Initiator::Destination);
}

#[test]
fn vlan_is_in_the_key_unless_told_otherwise() {
    let bytes = ipv4(A, B, 5, 6, 17, 0);
    for (vlan_in_key, flows) in [(true, 3), (false, 1)] {
        let policy = Policy { vlan_in_key, ..Policy::default() };
        let records = World::new(policy).at(0.0, &bytes).at(0.1, &with_vlan(&bytes, 7)).at(0.2, &with_vlan(&with_vlan(&bytes, 7), 8)).end();
        assert_eq!(records.len(), flows);
        assert_eq!(records.iter().map(|r| r.packets[0]).sum::<u64>(), 3);
        if vlan_in_key {
            let mut vlans: Vec<_> = records.iter().map(|r| r.vlan()).collect();
            vlans.sort_unstable();
            assert_eq!(vlans, [[7, NO_VLAN], [8, 7], [NO_VLAN, NO_VLAN]]);
        }
    }
}

#[test]
fn ipv6_and_frames_without_ip_have_their_own_flows() {
    let arp = [&[0xff; 6][..], &[2, 0, 0, 0, 0, 1, 8, 6], &[0; 46]].concat();
    let mut world = World::new(Policy::default());
    world.at(0.0, &ipv6(1, 2, 9, 10)).at(0.1, &ipv6(2, 1, 10, 9)).at(0.2, &arp).at(0.3, &arp).at(0.4, &[1, 2, 3]);
    let counters = *world.tracker.counters();
    assert_eq!((counters.get(Counter::MeteredIpv6), counters.get(Counter::MeteredLayer2), counters.get(Counter::Received)), (2, 2, 5));
    let mut records = world.end();
    records.sort_by_key(|r| r.kind as u8);
    let [l2, v6] = records.as_slice() else { panic!("{records:?}") };
    assert_eq!((l2.kind, l2.ethertype, l2.packets, l2.octets, l2.wire), (Kind::Layer2, 0x806, [2, 0], [92, 0], [120, 0]));
    assert_eq!((v6.kind, v6.packets, v6.octets, v6.sport, v6.src[15]), (Kind::Ipv6, [1, 1], [48, 48], 9, 1));
}

#[test]
fn shorter_timeouts_reach_flows_that_are_there_already() {
    let mut world = World::new(Policy::default());
    world.at(0.0, &ipv4(A, B, 5, 6, 17, 0)).idle(2);
    world.tracker.obey(Policy { timeouts: Timeouts { idle: SECOND, ..Timeouts::default() }, ..Policy::default() });
    world.idle(2);
    assert_eq!(world.records.len(), 1);
}

/// Family and last address byte of both ends, their ports, the protocol.
type Ends = (Vec<u8>, Vec<u8>, u16, u16, u8);

/// What an oracle adds up for one conversation.
#[derive(Default, Debug, PartialEq, Eq)]
struct Sum {
    octets: u64,
    wire: u64,
    packets: u64,
    flags: u16,
}

/// Random conversations, bursts of random length, a clock with jumps: whatever the table does with timeouts and evictions, the
/// records add up to the packets.
fn add_up(flows: u64, hosts: u8, simd: Simd, seed: u64) -> Tracker {
    let mut state = seed;
    let mut random = move |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let policy = Policy { timeouts: Timeouts { idle: 5 * SECOND, active: 20 * SECOND, linger: SECOND }, ..Policy::default() };
    let wanted = Wanted { huge: false, populate: false };
    let sizing =
        Sizing { ipv4: flows, wide: flows, annex: Room::whole(2 * flows, Wants::NONE), wanted, simd, seed, worker: 0, first_id: 0 };
    let mut tracker = Tracker::new(&sizing, policy).expect("little memory");
    let mut records: Vec<Record> = Vec::new();
    let mut oracle: HashMap<Ends, Sum> = HashMap::new();
    let mut now = START;
    for _ in 0..2000 {
        now += if random(50) == 0 { random(30 * SECOND) } else { random(SECOND / 100) };
        let mut frames = Vec::new();
        for _ in 0..random(200) {
            let [a, b] = [0; 2].map(|_: u8| u8::try_from(random(u64::from(hosts))).expect("a byte"));
            let [p, q] = [0; 2].map(|_: u8| u16::try_from(random(4)).expect("small"));
            let (bytes, src, dst, protocol, flags) = if random(4) == 0 {
                (ipv6(a, b, p, q), vec![6, a], vec![6, b], 17, 0u8)
            } else {
                let protocol = if random(2) == 0 { 6 } else { 17 };
                let flags = u8::try_from(random(32)).expect("a byte") & if protocol == 6 { 31 } else { 0 };
                (ipv4([10, 0, 0, a], [10, 0, 0, b], p, q, protocol, flags), vec![4, a], vec![4, b], protocol, flags)
            };
            let (low, high) = if (&src, p) <= (&dst, q) { ((src, p), (dst, q)) } else { ((dst, q), (src, p)) };
            let sum = oracle.entry((low.0, high.0, low.1, high.1, protocol)).or_default();
            sum.packets += 1;
            sum.octets += if bytes[12] == 8 { 46 } else { 48 };
            sum.wire += bytes.len() as u64;
            sum.flags |= u16::from(flags);
            frames.push((bytes, now));
        }
        let frames: Vec<Frame<'_>> = frames.iter().map(|(bytes, time)| frame(bytes, *time)).collect();
        tracker.sweep(now, 16, &mut records);
        tracker.meter(&frames, now, &mut records);
    }
    let mut flush = Flush::default();
    while tracker.flush(&mut flush, &mut records) {}
    let mut found: HashMap<_, Sum> = HashMap::new();
    for record in &records {
        let family = record.kind as u8;
        let (src, dst) = ((vec![family, record.src[15]], record.sport), (vec![family, record.dst[15]], record.dport));
        let (low, high) = if src <= dst { (src, dst) } else { (dst, src) };
        let sum = found.entry((low.0, high.0, low.1, high.1, record.proto)).or_default();
        sum.packets += record.packets.iter().sum::<u64>();
        sum.octets += record.octets.iter().sum::<u64>();
        sum.wire += record.wire.iter().sum::<u64>();
        sum.flags |= record.tcp_flags[0] | record.tcp_flags[1];
        assert!(record.end >= record.start && record.packets[0] > 0 || record.packets[1] > 0, "{record:?}");
    }
    assert_eq!(found, oracle);
    assert!(tracker.counters().balances());
    assert_eq!(tracker.counters().get(Counter::FlowsActive), 0);
    assert_eq!(tracker.counters().records(), records.len() as u64);
    tracker
}

#[test]
fn records_add_up_to_packets_in_a_roomy_table() {
    for simd in [Simd::Portable, Simd::Avx2, Simd::Avx512] {
        let tracker = add_up(100_000, 40, simd, 3);
        assert_eq!(tracker.counters().get(Counter::RecordsLackOfResources), 0);
        assert!(tracker.counters().get(Counter::RecordsIdle) > 1000);
        assert!(tracker.counters().get(Counter::RecordsEndOfFlow) > 1000);
    }
}

#[test]
fn records_add_up_to_packets_in_a_table_that_is_far_too_small() {
    for seed in 1..4 {
        let tracker = add_up(200, 200, Simd::Avx512, seed);
        assert!(tracker.counters().get(Counter::RecordsLackOfResources) > 10_000);
    }
}

#[test]
fn eviction_prefers_what_would_end_first() {
    // A table of two lines; one long conversation that goes on, and a flood of single packets.
    let mut tracker = tracker(10, Policy::default());
    let mut records = Vec::new();
    let steady = ipv4(A, B, 1, 1, 17, 0);
    for n in 0..5000u16 {
        let now = START + u64::from(n) * 10_000_000;
        let flood = ipv4([172, 16, n.to_be_bytes()[0], n.to_be_bytes()[1]], B, n + 1000, 53, 17, 0);
        tracker.meter(&[frame(&steady, now), frame(&flood, now)], now, &mut records);
    }
    let mut flush = Flush::default();
    while tracker.flush(&mut flush, &mut records) {}
    let of_steady: Vec<_> = records.iter().filter(|r| r.sport == 1).collect();
    assert_eq!(of_steady.iter().map(|r| r.packets[0]).sum::<u64>(), 5000);
    assert!(of_steady.len() <= 3, "the conversation was evicted {} times", of_steady.len());
    assert_eq!(records.len() - of_steady.len(), 5000);
}

/// A VXLAN packet of network `vni` around a frame.
fn vxlan(vni: u8, inner: &[u8]) -> Vec<u8> {
    let octets = u16::try_from(20 + 8 + 8 + inner.len()).expect("short");
    let mut bytes = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0, 0x45, 0];
    bytes.extend(octets.to_be_bytes());
    bytes.extend([0, 1, 0x40, 0, 60, 17, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2, 0xc0, 0, 0x12, 0xb5]);
    bytes.extend((octets - 20).to_be_bytes());
    bytes.extend([0, 0, 8, 0, 0, 0, 0, 0, vni, 0]);
    bytes.extend(inner);
    bytes
}

#[test]
fn the_same_addresses_in_two_networks_are_two_flows_with_the_tunnel_beside_them() {
    let mut world = World::new(Policy::default());
    let there = ipv4([10, 0, 0, 1], [10, 0, 0, 2], 5000, 80, 6, 0x02);
    let back = ipv4([10, 0, 0, 2], [10, 0, 0, 1], 80, 5000, 6, 0x12);
    for bytes in [vxlan(7, &there), vxlan(8, &there), vxlan(7, &back)] {
        world.packet(&bytes);
    }
    let records = world.end();
    assert_eq!(records.len(), 2);
    for record in records {
        let layers = record.get::<Layers>().expect("a tunnel");
        assert_eq!((record.kind, record.view, record.sport, record.dport), (Kind::Ipv4, sonde_record::View::Inner, 5000, 80));
        assert_eq!(record.packets, if layers.tunnel_id == Some(7) { [1, 1] } else { [1, 0] });
        assert_eq!((layers.outer_ports, layers.outer_ttl), ([0xc000, 4789], 60));
        assert_eq!(record.wire[0], there.len() as u64 + 50, "octets of the frame, not of what is in the tunnel");
        assert_eq!((record.syn_len, record.octets[0]), (46, 46));
    }
}

#[test]
fn both_views_count_a_frame_once() {
    let tunnels = Tunnels::new(sonde_packet::View::Both, 4);
    let mut world = World::new(Policy { tunnels, ..Policy::default() });
    let inner = ipv4([10, 0, 0, 1], [10, 0, 0, 2], 5000, 53, 17, 0);
    let bytes = vxlan(7, &inner);
    let frames: Vec<Frame<'_>> = (0..200).map(|n| frame(&bytes, START + n)).collect();
    world.tracker.meter(&frames, START, &mut world.records);
    let counters = *world.tracker.counters();
    assert_eq!((counters.metered(), counters.get(Counter::MeteredTwice)), (200, 200));
    assert!(counters.balances());
    let mut packets: Vec<_> = world.end().iter().map(|r| (r.view as u8, r.packets[0], r.dport)).collect();
    packets.sort_unstable();
    assert_eq!(packets, [(0, 200, 4789), (1, 200, 53)]);
}

/// A UDP fragment of one packet; the first has ports.
fn fragment(offset: u16, more: bool) -> Vec<u8> {
    let mut bytes = ipv4([10, 0, 0, 1], [10, 0, 0, 2], if offset == 0 { 5000 } else { 0xaaaa }, 53, 17, 0);
    let field = if more { 0x2000 } else { 0 } + offset / 8;
    bytes[20..22].copy_from_slice(&field.to_be_bytes());
    bytes
}

#[test]
fn fragments_in_any_order_are_one_flow() {
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let mut world = World::new(Policy::default());
        let all = [fragment(0, true), fragment(1480, true), fragment(2960, false)];
        for at in order {
            world.packet(&all[at]);
            assert!(world.tracker.counters().balances());
        }
        let records = world.end();
        assert_eq!(records.iter().map(|r| (r.sport, r.packets, r.fragments)).collect::<Vec<_>>(), [(5000, [3, 0], 3)], "{order:?}");
        assert!(records[0].start < records[0].end, "from the first fragment that came to the last");
    }
}

#[test]
fn a_fragment_without_a_first_one_is_metered_in_the_end() {
    let mut world = World::new(Policy::default());
    world.packet(&fragment(1480, true));
    assert_eq!(world.tracker.counters().get(Counter::FragmentsWaiting), 1);
    assert_eq!(world.end().iter().map(|r| (r.sport, r.packets)).collect::<Vec<_>>(), [(0, [1, 0])]);
}

/// What a record says of the frame its flow began with.
fn of_the_frame(record: &Record) -> (u8, u8, [u16; 2], u16, u16, u8) {
    (record.dmac[5], record.smac[5], record.vlan(), record.ethertype, record.ingress, record.ttl[0])
}

#[test]
fn a_flow_of_fragments_that_waited_in_vain_has_what_their_frame_says() {
    let mut world = World::new(Policy::default());
    world.packet(&with_vlan(&fragment(1480, true), 7));
    assert_eq!(world.end().iter().map(of_the_frame).collect::<Vec<_>>(), [(2, 1, [7, NO_VLAN], 0x800, 3, 64)], "the end of all");

    let mut world = World::new(Policy::default());
    world.packet(&with_vlan(&fragment(1480, true), 7));
    for _ in 0..3000 {
        world.packet(&ipv4(A, B, 5, 6, 17, 0));
    }
    assert_eq!(world.tracker.counters().get(Counter::FragmentsWaiting), 0, "two seconds have passed");
    let records = world.end();
    let waited: Vec<_> = records.iter().filter(|r| r.fragments > 0).collect();
    assert_eq!(waited.iter().map(|r| of_the_frame(r)).collect::<Vec<_>>(), [(2, 1, [7, NO_VLAN], 0x800, 3, 64)]);
}

#[test]
fn fragments_that_make_room_for_others_keep_what_their_frame_says() {
    let mut world = World::new(Policy::default());
    let count = 3000u16;
    for id in 0..count {
        let mut bytes = fragment(1480, true);
        bytes[18..20].copy_from_slice(&id.to_be_bytes());
        // Each is a flow of its own.
        bytes[5] = id.to_be_bytes()[1];
        bytes[32..34].copy_from_slice(&id.to_be_bytes());
        world.packet(&with_vlan(&bytes, 1 + id));
    }
    assert!(world.tracker.counters().get(Counter::FlowsCreated) > 900, "there is room for 2,048");
    let records = world.end();
    assert_eq!(records.len(), usize::from(count));
    for record in &records {
        let id = u16::from_be_bytes([record.dst[14], record.dst[15]]);
        assert_eq!(of_the_frame(record), (id.to_be_bytes()[1], 1, [1 + id, NO_VLAN], 0x800, 3, 64));
    }
}

#[test]
fn a_fragment_inside_a_tunnel_that_waited_in_vain_knows_the_tunnel() {
    let mut world = World::new(Policy::default());
    world.packet(&vxlan(5, &fragment(1480, true)));
    let records = world.end();
    let [record] = records.as_slice() else { panic!("{records:?}") };
    assert_eq!((record.view, record.fragments, record.ingress), (View::Inner, 1, 3));
    let layers = record.get::<Layers>().expect("layers");
    assert_eq!((layers.tunnel_id, layers.outer_ports[1], layers.depth), (Some(5), 4789, 1));
    assert_eq!(layers.outer, Network::V4([192, 0, 2, 1], [192, 0, 2, 2]));
}

#[test]
fn a_first_fragment_that_comes_last_begins_the_flow() {
    let mut world = World::new(Policy::default());
    let mut later = fragment(1480, true);
    (later[5], later[11], later[22]) = (77, 78, 9);
    world.packet(&later);
    world.packet(&fragment(0, true));
    let records = world.end();
    assert_eq!(records.iter().map(of_the_frame).collect::<Vec<_>>(), [(2, 1, [NO_VLAN; 2], 0x800, 3, 64)]);
    assert_eq!((records[0].packets, records[0].ttl_min), ([2, 0], [9, 0]));
}

#[test]
fn ttl_has_its_least_and_its_greatest_value_in_each_direction() {
    let mut world = World::new(Policy::default());
    for (ttl, back) in [(60, false), (64, false), (58, false), (255, true), (1, true)] {
        let mut bytes =
            if back { ipv4([10, 0, 0, 2], [10, 0, 0, 1], 53, 5000, 17, 0) } else { ipv4([10, 0, 0, 1], [10, 0, 0, 2], 5000, 53, 17, 0) };
        bytes[22] = ttl;
        world.packet(&bytes);
    }
    let records = world.end();
    assert_eq!((records[0].ttl, records[0].ttl_min, records[0].ttl_max), ([60, 255], [58, 1], [64, 255]));
}

#[test]
fn a_flow_that_finds_no_memory_for_its_layers_is_metered_without() {
    let wanted = Wanted { huge: false, populate: false };
    let annex = Room { octets: 4096, layers: true, ..Room::NONE };
    let sizing = Sizing { ipv4: 100, wide: 100, annex, wanted, simd: Simd::Avx512, seed: 7, worker: 9, first_id: 100 };
    let mut world = World::new(Policy::default());
    world.tracker = Tracker::new(&sizing, Policy::default()).expect("little memory");
    for port in 1..=26 {
        world.packet(&vxlan(7, &ipv4([10, 0, 0, 1], [10, 0, 0, 2], port, 53, 17, 0)));
    }
    assert_eq!(world.tracker.counters().get(Counter::LayersFull), 1);
    let mut kept: Vec<_> = world.end().iter().map(|r| (r.sport, r.get::<Layers>().is_some())).collect();
    kept.sort_unstable();
    assert_eq!(kept, (1..=26).map(|port| (port, port <= 25)).collect::<Vec<_>>());
}

#[test]
fn a_connection_is_measured_from_its_handshake_on() {
    let tcp = |from: [u8; 4], to: [u8; 4], sport, dport, flags, seq: u32, ack: u32| {
        let mut bytes = ipv4(from, to, sport, dport, 6, flags);
        bytes[38..42].copy_from_slice(&seq.to_be_bytes());
        bytes[42..46].copy_from_slice(&ack.to_be_bytes());
        // Six octets behind the headers, or none.
        bytes[17] = if flags & 0x08 == 0 { 40 } else { 46 };
        bytes
    };
    let mut world = World::new(Policy::default());
    world
        .at(0.0, &tcp(A, B, 5000, 80, 0x02, 100, 0))
        .at(0.030, &tcp(B, A, 80, 5000, 0x12, 900, 101))
        .at(0.050, &tcp(A, B, 5000, 80, 0x10, 101, 901))
        .at(0.060, &tcp(A, B, 5000, 80, 0x18, 101, 901))
        .at(0.100, &tcp(B, A, 80, 5000, 0x18, 901, 107));
    let records = world.end();
    let [record] = records.as_slice() else { panic!("{records:?}") };
    let tcp = record.get::<TcpPerformance>().expect("measured");
    assert_eq!((tcp.client, tcp.result), (0, sonde_record::fact::Connection::Established));
    assert_eq!((tcp.server_rtt, tcp.client_rtt), (30_000_000, 20_000_000));
    // Response times have ticks of 256 ns.
    assert_eq!((tcp.responses.count, tcp.responses.last.div_ceil(1000)), (1, 40_000));
    assert_eq!(tcp.ways[0].packets, 3);
}

#[test]
fn a_reused_port_begins_a_new_flow_though_nobody_saw_the_end() {
    let syn = |seq: u32| {
        let mut bytes = ipv4(A, B, 5000, 80, 6, 0x02);
        bytes[38..42].copy_from_slice(&seq.to_be_bytes());
        bytes
    };
    let records = World::new(Policy::default()).at(0.0, &syn(1)).at(1.0, &syn(1)).at(2.0, &syn(77)).end();
    assert_eq!(records.iter().map(|r| r.packets[0]).collect::<Vec<_>>(), [2, 1], "the same SYN again is no new connection");
}

/// A tracker for `flows` flows of each kind that keeps patterns.
fn with_patterns(flows: u64, annex: Room) -> (Sizing, World) {
    let wanted = Wanted { huge: false, populate: false };
    let sizing = Sizing { ipv4: flows, wide: flows, annex, wanted, simd: Simd::Avx512, seed: 7, worker: 9, first_id: 100 };
    let mut world = World::new(Policy::default());
    world.tracker = Tracker::new(&sizing, Policy::default()).expect("little memory");
    (sizing, world)
}

#[test]
fn the_footprint_is_what_the_tables_take() {
    let (sizing, world) = with_patterns(1000, Room::whole(300, Wants::ALL));
    assert_eq!(sizing.footprint().bytes, world.tracker.bytes());
    let chunks = |annex: Room| Sizing { annex, ..sizing }.footprint().bytes / 4096;
    // Three patterns a chunk, of which nine tenths are theirs.
    let patterns = chunks(Room::whole(300, Wants::ALL)) - chunks(Room::whole(300, Wants::NONE));
    assert!((100..=120).contains(&patterns), "{patterns} chunks");
}

#[test]
fn a_flow_that_finds_no_memory_for_its_pattern_is_metered_without() {
    let (_, mut world) = with_patterns(100, Room { octets: 4096, patterns: Wants::ALL, ..Room::NONE });
    for port in [1, 2, 3, 4, 5, 5] {
        world.at(0.0, &ipv4(A, B, port, 9, 17, 0));
    }
    assert_eq!(world.tracker.counters().get(Counter::PatternsFull), 1);
    // The memory of the first flows is free again when they have ended.
    world.at(100.0, &ipv4(A, B, 6, 9, 17, 0));
    assert_eq!(world.tracker.counters().get(Counter::PatternsFull), 1);
    let mut kept: Vec<_> = world.end().iter().map(|r| (r.sport, r.get::<NetTisa>().is_some())).collect();
    kept.sort_unstable();
    assert_eq!(kept, (1..=6).map(|port| (port, port != 5)).collect::<Vec<_>>());
}

#[test]
fn a_pattern_is_of_its_own_record() {
    let (_, mut world) = with_patterns(100, Room::whole(100, Wants::ALL));
    let packet = ipv4(A, B, 1, 9, 17, 0);
    // Never idle for half a minute; an active timeout in between.
    for second in 0..40 {
        world.at(f64::from(second) * 10.0, &packet);
    }
    let records = world.end();
    let counted: Vec<_> =
        records.iter().map(|r| (r.packets[0], r.get::<Histograms>().map_or(0, |h| h.sizes[0].iter().sum::<u32>()))).collect();
    assert!(counted.len() > 1 && counted.iter().all(|(packets, sizes)| *packets == u64::from(*sizes)), "{counted:?}");
    assert!(records.iter().all(|r| r.get::<FirstPackets>().and_then(|f| f.packets().next()).is_some_and(|p| p.time == r.start)));
}

#[test]
fn a_growing_table_keeps_patterns() {
    let (_, mut world) = with_patterns(64, Room::whole(1, Wants::ALL));
    for _ in 0..2 {
        for port in 0..2000 {
            world.packet(&ipv4(A, B, 1000 + port, 9, 17, 0));
            world.tracker.make_room(1 << 16, world.now, &mut world.records).expect("little memory");
        }
    }
    let records = world.end();
    let kept = records.iter().filter(|r| r.get::<FirstPackets>().is_some_and(|first| first.packets().len() == 2)).count();
    assert_eq!((records.len(), kept), (2000, 2000));
}

#[path = "decode_tests.rs"]
mod decoders;
#[path = "tracker_network_tests.rs"]
mod networks;
#[path = "tracked_tests.rs"]
mod tracked;
