use sonde_record::Record;
use sonde_record::fact::{QuicPerformance, UdpPerformance};

use super::*;
use crate::measure::pattern::Wants;
use crate::{Flush, Policy, Sizing, Tracker};
use crate::{Room, Timeouts};
use sonde_memory::slab::Wanted;
use sonde_memory::tags::Simd;
use sonde_packet::Link;

const MS: u64 = 1_000_000;
const START: u64 = 1_700_000_000_000 * MS;
const CLIENT: u8 = 1;
const SERVER: u8 = 2;

/// A frame of IPv4 and UDP between 192.0.2.x hosts, padded as Ethernet asks for, with a VLAN tag if need be.
fn frame(from: (u8, u16), to: (u8, u16), payload: &[u8], vlan: Option<u16>) -> Vec<u8> {
    let length = u16::try_from(8 + payload.len()).expect("short");
    let mut bytes = vec![2, 0, 0, 0, 0, to.0, 2, 0, 0, 0, 0, from.0];
    if let Some(id) = vlan {
        bytes.extend([0x81, 0]);
        bytes.extend(id.to_be_bytes());
    }
    bytes.extend([8, 0, 0x45, 0]);
    bytes.extend((20 + length).to_be_bytes());
    bytes.extend([0, 1, 0, 0, 64, 17, 0, 0, 192, 0, 2, from.0, 192, 0, 2, to.0]);
    bytes.extend(from.1.to_be_bytes());
    bytes.extend(to.1.to_be_bytes());
    bytes.extend(length.to_be_bytes());
    bytes.extend([0, 0]);
    bytes.extend(payload);
    bytes.resize(bytes.len().max(60), 0);
    bytes
}

fn dns(id: u8, answer: bool) -> Vec<u8> {
    vec![0, id, if answer { 0x81 } else { 1 }, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1]
}

fn query(port: u16, id: u8) -> Vec<u8> {
    frame((CLIENT, port), (SERVER, 53), &dns(id, false), None)
}

fn answer(port: u16, id: u8) -> Vec<u8> {
    frame((SERVER, 53), (CLIENT, port), &dns(id, true), None)
}

/// An Initial of QUIC's client or server.
fn initial() -> Vec<u8> {
    let mut payload = vec![0xc3, 0, 0, 0, 1, 8];
    payload.resize(1200, 7);
    payload
}

struct World {
    tracker: Tracker,
    records: Vec<Record>,
}

impl World {
    fn new(room: Room) -> Self {
        let wanted = Wanted { huge: false, populate: false };
        let sizing = Sizing { ipv4: 100, wide: 100, annex: room, wanted, simd: Simd::detect(), seed: 7, worker: 0, first_id: 1 };
        let timeouts = Timeouts { idle: 30_000 * MS, active: 100 * MS, linger: 0 };
        let tracker = Tracker::new(&sizing, Policy { timeouts, ..Policy::default() }).expect("little memory");
        Self { tracker, records: Vec::new() }
    }

    fn at(&mut self, ms: u64, bytes: &[u8]) -> &mut Self {
        let time = START + ms * MS;
        let wire_len = u32::try_from(bytes.len()).expect("short");
        self.tracker.sweep(time, u32::MAX, &mut self.records);
        self.tracker.meter(&[Frame { bytes, wire_len, link: Link::Ethernet, time, port: 0 }], time, &mut self.records);
        self
    }

    fn end(&mut self) -> &[Record] {
        let mut flush = Flush::default();
        while self.tracker.flush(&mut flush, &mut self.records) {}
        &self.records
    }
}

#[test]
fn requests_and_answers_are_timed_whatever_decoder_their_packets_take() {
    for vlan in [None, Some(5)] {
        let request = frame((CLIENT, 4000), (SERVER, 53), &dns(9, false), vlan);
        let reply = frame((SERVER, 53), (CLIENT, 4000), &dns(9, true), vlan);
        let mut world = World::new(Room::whole(100, Wants::NONE));
        let [record] = world.at(0, &request).at(7, &request).at(30, &reply).end() else { panic!("one flow") };
        let udp = record.get::<UdpPerformance>().expect("measured");
        assert_eq!((udp.application, udp.repeated), (Some(Application::Dns), 1));
        assert_eq!((udp.responses.count, udp.responses.last), (1, 30 * MS));
        assert_eq!(record.get::<QuicPerformance>(), None);
    }
}

#[test]
fn what_pads_a_frame_is_no_payload() {
    let empty = frame((CLIENT, 4000), (SERVER, 53), &[], None);
    let mut world = World::new(Room::whole(100, Wants::NONE));
    let [record] = world.at(0, &empty).end() else { panic!("one flow") };
    assert_eq!(record.get::<UdpPerformance>(), None, "twelve zeros are a message of DNS");
}

#[test]
fn the_handshake_of_quic_is_timed() {
    let (client, server) = ((CLIENT, 4000), (SERVER, 443));
    let mut world = World::new(Room::whole(100, Wants::NONE));
    world
        .at(0, &frame(client, server, &initial(), None))
        .at(20, &frame(server, client, &initial(), None))
        .at(25, &frame(client, server, &[0x40; 30], None));
    let [record] = world.end() else { panic!("one flow") };
    let quic = record.get::<QuicPerformance>().expect("measured");
    assert_eq!((quic.client, quic.server_rtt, quic.client_rtt), (0, 20 * MS, 5 * MS));
    assert_eq!(record.get::<UdpPerformance>(), None);
}

/// A datagram that begins with a long header, as long as an Initial must be.
fn long_header(first: u8, version: u32) -> Vec<u8> {
    let mut payload = vec![first];
    payload.extend(version.to_be_bytes());
    payload.push(8);
    payload.resize(1200, 7);
    payload
}

#[test]
fn quic_on_another_port_is_known_by_its_first_initial() {
    let (client, server) = ((CLIENT, 4000), (SERVER, 8443));
    let measured = |payload: &[u8], to: (u8, u16), whole: bool| {
        let mut world = World::new(Room { octets: 4096, udp: true, ..Room::NONE });
        let mut bytes = frame(client, to, payload, None);
        let wire_len = bytes.len();
        bytes.truncate(if whole { wire_len } else { 96 });
        world.at(0, &bytes).at(20, &frame(to, client, payload, None));
        let [record] = world.end() else { panic!("one flow") };
        record.get::<QuicPerformance>().map(|quic| quic.server_rtt)
    };
    // Versions 1 and 2 (RFC 9369 section 3.2 numbers anew), the last draft.
    for (first, version) in [(0xc3, 1), (0xd3, 0x6b33_43cf), (0xc0, 0xff00_001d)] {
        assert_eq!(measured(&long_header(first, version), server, true), Some(20 * MS), "{version:#x}");
        assert_eq!(measured(&long_header(first, version), server, false), Some(20 * MS), "{version:#x}, cut off");
    }
    for (first, version, what) in [
        (0x83, 1, "the fixed bit"),
        (0x43, 1, "a short header"),
        (0xe3, 1, "a handshake"),
        (0xc3, 0x6b33_43cf, "a retry of version 2"),
        (0xc3, 0, "version negotiation"),
        (0xc3, 0x0a0a_0a0a, "a version nobody knows"),
    ] {
        assert_eq!(measured(&long_header(first, version), server, true), None, "{what}");
    }
    assert_eq!(measured(&long_header(0xc3, 1)[..1199], server, true), None, "RFC 9000 section 14.1");
    assert_eq!(measured(&long_header(0xc3, 1), (SERVER, 53), true), None, "the port of another");
}

/// The 32 slots of an annex of one chunk are there for 32 flows.
fn all_memory_is_left(mut world: World) {
    for port in 4000..4032 {
        world.at(1, &query(port, 1));
    }
    assert_eq!(world.tracker.counters().get(Counter::UdpPerformanceFull), 0);
    assert_eq!(world.end().iter().filter(|record| record.get::<UdpPerformance>().is_some()).count(), 32);
}

#[test]
fn what_is_not_quic_on_another_port_takes_no_place() {
    let mut world = World::new(Room { octets: 4096, udp: true, ..Room::NONE });
    for (port, first) in [(5000, 0x80), (5001, 0xc3), (5002, 0xff)] {
        world.at(0, &frame((CLIENT, port), (SERVER, 8443), &long_header(first, 0x0102_0304), None));
    }
    all_memory_is_left(world);
}

#[test]
fn what_only_uses_the_port_of_quic_takes_no_place() {
    let mut world = World::new(Room { octets: 4096, udp: true, ..Room::NONE });
    world.at(0, &frame((CLIENT, 4000), (SERVER, 443), &[0x16, 0xfe, 0xfd, 0, 0, 0, 0], None));
    all_memory_is_left(world);
}

#[test]
fn a_flow_without_a_place_is_counted_and_a_place_is_given_back() {
    let mut world = World::new(Room { octets: 4096, udp: true, ..Room::NONE });
    for port in 4000..4033 {
        world.at(0, &query(port, 1)).at(2, &answer(port, 1));
    }
    assert_eq!(world.tracker.counters().get(Counter::UdpPerformanceFull), 1);
    // Long after: the first flows have ended.
    world.at(60_000, &query(5000, 1)).at(60_001, &answer(5000, 1));
    assert_eq!(world.tracker.counters().get(Counter::UdpPerformanceFull), 1);
    let answered = |record: &Record| record.get::<UdpPerformance>().map(|udp| udp.responses.count);
    let mut found: Vec<_> = world.end().iter().map(|record| (record.sport, answered(record))).collect();
    found.sort_unstable();
    let expected: Vec<_> = (4000..4033).chain([5000]).map(|port| (port, (port != 4032).then_some(1))).collect();
    assert_eq!(found, expected);
}

#[test]
fn a_request_is_answered_in_the_record_after_its_own() {
    let mut world = World::new(Room::whole(100, Wants::NONE));
    world.at(0, &query(4000, 1)).at(10, &answer(4000, 1)).at(90, &query(4000, 2)).at(500, &answer(4000, 2));
    let responses: Vec<_> = world.end().iter().map(|record| record.get::<UdpPerformance>().expect("measured").responses).collect();
    let [first, second] = responses.as_slice() else { panic!("{responses:?}") };
    assert_eq!((first.count, first.sum), (1, 10 * MS));
    assert_eq!((second.count, second.sum), (1, 410 * MS));
}

#[test]
fn an_answer_in_fragments_is_one() {
    let mut reply = answer(4000, 1);
    reply[20] = 0x20;
    let mut world = World::new(Room::whole(100, Wants::NONE));
    let [record] = world.at(0, &query(4000, 1)).at(5, &reply).end() else { panic!("one flow") };
    assert_eq!((record.fragments, record.get::<UdpPerformance>().expect("measured").responses.last), (1, 5 * MS));
}

#[test]
fn without_room_nothing_is_measured_or_counted() {
    let mut world = World::new(Room::NONE);
    world.at(0, &query(4000, 1)).at(1, &answer(4000, 1));
    assert_eq!(world.tracker.counters().get(Counter::UdpPerformanceFull), 0);
    assert!(world.end().iter().all(|record| record.get::<UdpPerformance>().is_none() && record.packets == [1, 1]));
}

#[test]
fn a_captured_beginning_of_a_datagram_is_measured_as_far_as_it_goes() {
    let (whole, reply) = (query(4000, 1), answer(4000, 1));
    for end in 34..whole.len() {
        let mut world = World::new(Room::whole(100, Wants::NONE));
        let measured = world.at(0, &whole[..end]).at(3, &reply).end().iter().find_map(|record| record.get::<UdpPerformance>());
        // Twelve octets of DNS behind 42 of headers.
        let expected = if end >= 54 { 1 } else { 0 };
        assert_eq!(measured.map_or(0, |udp| udp.responses.count), expected, "{end} octets");
    }
}
