use sonde_record::Record;
use sonde_record::fact::{Connection, TcpPerformance, valid};

use super::*;
use crate::{Counter, Room, Timeouts};
use crate::{Flush, Policy, Sizing, Tracker};
use sonde_memory::slab::Wanted;
use sonde_memory::tags::Simd;
use sonde_packet::Link;

const MS: u64 = 1_000_000;
const START: u64 = 1_700_000_000_000 * MS;
const SYN: u8 = 2;
const ACK: u8 = 16;
/// Maximum segment size 1460, window scale 7, selective acknowledgements, padding.
const OPTIONS: [u8; 12] = [2, 4, 5, 0xb4, 3, 3, 7, 4, 2, 1, 1, 0];
/// The same, and a fast open cookie (RFC 7413), which there is no short note for.
const FAST_OPEN: [u8; 12] = [2, 4, 5, 0xb4, 34, 2, 1, 1, 1, 1, 1, 0];

/// A segment between 192.0.2.1, whose port is given, and port 80 of 192.0.2.2.
fn segment_of(port: u16, answer: bool, flags: u8, [seq, ack]: [u32; 2], options: &[u8]) -> Vec<u8> {
    let (src, dst, sport, dport) = if answer { (2, 1, 80, port) } else { (1, 2, port, 80) };
    let mut bytes = vec![2, 0, 0, 0, 0, dst, 2, 0, 0, 0, 0, src, 8, 0, 0x45, 0, 0];
    let header = u8::try_from(20 + options.len()).expect("short");
    bytes.extend([20 + header, 0, 1, 0, 0, 64 - src, 6, 0, 0, 192, 0, 2, src, 192, 0, 2, dst]);
    bytes.extend(sport.to_be_bytes());
    bytes.extend(dport.to_be_bytes());
    bytes.extend(seq.to_be_bytes());
    bytes.extend(ack.to_be_bytes());
    bytes.extend([header << 2, flags, 0x20, 0, 0, 0, 0, 0]);
    bytes.extend(options);
    bytes
}

struct World {
    tracker: Tracker,
    records: Vec<Record>,
}

impl World {
    /// A table for so many flows, and an annex of one chunk: memory for nine connections.
    fn new(flows: u64, active: u64) -> Self {
        let annex = Room { octets: 4096, tcp: true, ..Room::NONE };
        let wanted = Wanted { huge: false, populate: false };
        let sizing = Sizing { ipv4: flows, wide: flows, annex, wanted, simd: Simd::Avx512, seed: 7, worker: 9, first_id: 100 };
        let policy = Policy { timeouts: Timeouts { active, ..Timeouts::default() }, ..Policy::default() };
        Self { tracker: Tracker::new(&sizing, policy).expect("little memory"), records: Vec::new() }
    }

    fn at(&mut self, ms: u64, bytes: &[u8]) -> &mut Self {
        let now = START + ms * MS;
        let wire_len = u32::try_from(bytes.len()).expect("short");
        self.tracker.sweep(now, u32::MAX, &mut self.records);
        self.tracker.meter(&[Frame { bytes, wire_len, link: Link::Ethernet, time: now, port: 3 }], now, &mut self.records);
        self
    }

    fn end(&mut self) -> Vec<Record> {
        let mut flush = Flush::default();
        while self.tracker.flush(&mut flush, &mut self.records) {}
        assert!(self.tracker.counters().balances());
        self.records.clone()
    }

    fn without_place(&self) -> u64 {
        self.tracker.counters().get(Counter::PerformanceFull)
    }
}

/// What is measured of a handshake whose SYN has these options.
fn handshake(options: &[u8], acknowledged: u32) -> (Record, TcpPerformance) {
    let records = World::new(100, 300_000 * MS)
        .at(0, &segment_of(5000, false, SYN, [100, acknowledged], options))
        .at(30, &segment_of(5000, true, SYN | ACK, [900, 101], &OPTIONS))
        .at(50, &segment_of(5000, false, ACK, [101, 901], &[]))
        .end();
    let [record] = records.as_slice() else { panic!("{records:?}") };
    (record.clone(), record.get::<TcpPerformance>().expect("measured"))
}

#[test]
fn a_flood_takes_no_memory_and_every_record_says_what_its_syn_said() {
    for (flows, count) in [(1000, 200u16), (31, 2000)] {
        let mut world = World::new(flows, 300_000 * MS);
        for port in 1..=count {
            world.at(port.into(), &segment_of(port, false, SYN | 0x40, [u32::from(port) << 16, 0], &OPTIONS));
        }
        let records = world.end();
        assert_eq!((records.len(), world.without_place()), (count.into(), 0));
        for record in &records {
            let tcp = record.get::<TcpPerformance>().expect("told by the head");
            let way = tcp.ways[0];
            assert_eq!((tcp.result, tcp.client, way.isn), (Connection::Unanswered, 0, u32::from(record.sport) << 16));
            assert_eq!((way.packets, way.syn_count, way.ece_count, way.ack_count, way.ttl), (1, 1, 1, 0, [63, 63]));
            assert_eq!((way.syn.mss, way.syn.window_scale, way.syn.sack_permitted, way.syn.window), (1460, 7, true, 0x2000));
            assert_eq!((way.syn.octets, way.syn.kinds, way.syn.ttl), (52, 0b1_1111, 63));
            assert_eq!((record.fragments, record.icmp, record.syn_mss), (0, [0, 0], 1460));
        }
    }
}

#[test]
fn a_connection_takes_its_place_with_its_second_segment_and_nothing_is_lost() {
    // An acknowledgement number in a SYN means nothing, and is a reason to keep a state from the beginning.
    for options in [OPTIONS.as_slice(), &[], &FAST_OPEN] {
        let ((record, late), (_, early)) = (handshake(options, 0), handshake(options, 1));
        assert_eq!(late, early);
        assert_eq!((late.result, late.server_rtt, late.client_rtt), (Connection::Established, 30 * MS, 20 * MS));
        assert_eq!((record.packets, record.fragments, record.icmp), ([2, 1], 0, [0, 0]));
        assert_eq!(late.ways.map(|way| way.ttl), [[63, 63], [62, 62]]);
    }
    assert_eq!(handshake(&FAST_OPEN, 0).1.ways[0].syn.kinds >> 34, 1);
}

#[test]
fn a_connection_that_finds_no_memory_is_counted_and_metered_without() {
    let mut world = World::new(100, 300_000 * MS);
    for port in 1..=10 {
        world.at(port.into(), &segment_of(port, false, SYN, [100, 0], &[]));
        world.at(u64::from(port) + 10, &segment_of(port, true, SYN | ACK, [900, 101], &[]));
    }
    assert_eq!(world.without_place(), 1);
    let mut measured: Vec<_> =
        world.end().iter().map(|r| (r.sport, r.packets, r.get::<TcpPerformance>().map(|tcp| tcp.result), r.fragments)).collect();
    measured.sort_unstable_by_key(|(port, ..)| *port);
    let expected: Vec<_> = (1..=10).map(|port| (port, [1, 1], (port < 10).then_some(Connection::HalfOpen), 0)).collect();
    assert_eq!(measured, expected);
}

#[test]
fn a_syn_that_was_reported_alone_is_remembered() {
    let mut world = World::new(100, 1_000 * MS);
    world.at(0, &segment_of(5000, false, SYN, [100, 0], &OPTIONS));
    // The sweep passes, and the flow's record is written at the active timeout.
    for n in 1..40u32 {
        world.at(u64::from(n) * 100, &segment_of(9, true, ACK, [n, 1], &[]));
    }
    world.at(4000, &segment_of(5000, true, SYN | ACK, [900, 101], &OPTIONS));
    let records: Vec<_> = world.end().into_iter().filter(|record| record.sport == 5000).collect();
    let [first, second] = records.as_slice() else { panic!("{records:?}") };
    assert_eq!((first.packets, second.packets), ([1, 0], [0, 1]));
    let [first, second] = [first, second].map(|record| record.get::<TcpPerformance>().expect("measured"));
    assert_eq!((first.result, first.ways[0].packets), (Connection::Unanswered, 1));
    assert_eq!((second.result, second.server_rtt, second.ways[0].packets), (Connection::HalfOpen, 4000 * MS, 0));
    assert_eq!((second.ways[0].isn, second.ways[0].syn.mss, second.valid & valid::SYN), (100, 1460, valid::SYN));
}

#[test]
fn another_syn_after_a_lone_one_is_the_same_connection_only_with_the_same_number() {
    for (seq, expected) in [(100, vec![[2, 0]]), (101, vec![[1, 0], [1, 0]])] {
        let records = World::new(100, 300_000 * MS)
            .at(0, &segment_of(5000, false, SYN, [100, 0], &OPTIONS))
            .at(10, &segment_of(5000, false, SYN, [seq, 0], &OPTIONS))
            .end();
        assert_eq!(records.iter().map(|record| record.packets).collect::<Vec<_>>(), expected);
        let retries: u8 = records.iter().map(|record| record.get::<TcpPerformance>().expect("measured").syn_retries).sum();
        assert_eq!(usize::from(retries), 2 - expected.len());
    }
}
