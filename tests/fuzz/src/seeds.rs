//! Inputs to begin with: good ones, so that a target does not have to guess what a capture or a ring looks like.

use sonde_flow::pattern::{PatternState, Sample, Wants};
use sonde_flow::{Flush, Policy, Room, Sizing, Tracker};
use sonde_memory::slab::Wanted;
use sonde_memory::tags::Simd;
use sonde_packet::{Frame, Link};
use sonde_record::ring::{BYTES_MIN, Writer};
use sonde_record::{Output, Record};
use sonde_tests::traffic::capture::{ETHERNET, LINUX_SLL, LINUX_SLL2, NULL, RAW};
use sonde_tests::traffic::{ByteOrder, CaptureWriter, Format, Mix, Packet, Population, Resolution, SECOND, START, Size, Stack};
use sonde_tests::traffic::{fragments, office, samples};

use super::shared;
use sonde_tests::{mmdb, mrt};

/// Inputs for the target of this name.
///
/// # Panics
/// When there is no such target, or the temporary directory cannot be written.
pub fn seeds(target: &str) -> Vec<Vec<u8>> {
    match target {
        // Link type and missing octets stand in front of the frame.
        "decode" => frames().iter().flat_map(|frame| [[&[0, 0], frame.as_slice()].concat(), [&[1, 3], network(frame)].concat()]).collect(),
        "capture" => captures(),
        "flows" => flows(),
        // A byte of choice; datagrams behind the headers of Ethernet, IPv4 and UDP, the rest as numbers.
        "performance" => (0..8)
            .flat_map(|choice| frames().into_iter().map(move |frame| [&[choice], frame.get(42..).unwrap_or_default()].concat()))
            .chain(patterns())
            .collect(),
        "database" => [24, 28, 32].into_iter().flat_map(|bits| [database(bits, false), database(bits, true)]).collect(),
        "rib" => (1..6).map(rib).collect(),
        "expression" => expressions(),
        "ring" => ring(),
        "stats" => stats(),
        "settings" => settings(),
        other => panic!("there is no target {other}"),
    }
}

/// Extensions of patterns as words, behind the choice that reads words, one at a time.
fn patterns() -> Vec<Vec<u8>> {
    let mut state = PatternState::default();
    for n in 0..200 {
        let (time, way) = (START + n / 8 * 2 * SECOND + n % 8, u8::from(n % 2 == 0));
        state.add(Wants::ALL, &Sample { time, payload: 100 + u32::from(way), flags: 0x18, way });
    }
    let mut words = [0; 200];
    let filled = state.encode(Wants::ALL, &mut words);
    let found = sonde_record::fact::facts(&words[..filled]);
    found.map(|(_, words)| [7].into_iter().chain(words.iter().flat_map(|word| word.to_le_bytes())).collect()).collect()
}

/// A database with an AS number, a country and a city, with aliases of IPv4 or without.
fn database(record_bits: u16, alias: bool) -> Vec<u8> {
    let mut writer = mmdb::Writer::new("Test-Everything", record_bits);
    let place = mmdb::Data::map([
        ("autonomous_system_number", mmdb::Data::U32(64_496)),
        ("autonomous_system_organization", mmdb::Data::text("Example")),
        ("country", mmdb::Data::map([("iso_code", mmdb::Data::text("CZ"))])),
        ("city", mmdb::Data::map([("names", mmdb::Data::map([("en", mmdb::Data::text("Brno"))]))])),
    ]);
    writer.insert("192.0.2.0".parse().expect("an address"), 24, place.clone());
    writer.insert("2001:db8::".parse().expect("an address"), 32, place);
    if alias {
        writer.alias();
    }
    writer.octets()
}

/// A dump with so many prefixes of both families.
fn rib(prefixes: u8) -> Vec<u8> {
    let mut dump = mrt::Dump::new(&[64_496, 70_000]);
    for number in 0..prefixes {
        let sent = vec![(u16::from(number % 2), mrt::route(&[mrt::Segment::Sequence(&[64_496, 70_000 + u32::from(number)])]))];
        dump.rib([192, 0, number, 0].into(), 24, number % 3 == 2, &sent);
        dump.rib([0x20, 1, 0xd, 0xb8, number, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0].into(), 40, false, &sent);
    }
    dump.octets().to_vec()
}

/// Frames of many kinds, each once.
fn frames() -> Vec<Vec<u8>> {
    let mut frames: Vec<_> = office(40, SECOND, 7).into_iter().map(|packet| packet.bytes).collect();
    frames.sort_by_key(|frame| frame.iter().take(60).skip(12).map(|byte| u32::from(*byte)).sum::<u32>());
    frames.truncate(60);
    let tagged = Stack::ethernet().vlan(100).vlan(7).ipv6([1; 16], [2; 16]).udp(53, 4000).payload(vec![1; 40]);
    frames.extend(fragments(&tagged, 16, 9));
    frames.extend(fragments(&Stack::ethernet().ipv4([10, 0, 0, 1], [10, 0, 0, 2]).udp(53, 4000).payload(vec![1; 40]), 24, 9));
    frames.push(Stack::ethernet().ipv4([10, 0, 0, 1], [10, 0, 0, 2]).icmp(3, 1, [0; 4]).payload(vec![0x45; 28]).build());
    frames.push(Stack::ethernet().ipv6([1; 16], [2; 16]).icmpv6(135, 0, [0; 4]).build());
    frames.extend(samples().into_iter().map(|sample| sample.frame));
    frames.extend(datagrams());
    // Ethertypes and protocols whose headers the general decoder follows: the rest of the frame is for the fuzzer to find.
    for ethertype in [0x8847u16, 0x8848, 0x8863, 0x8864, 0x894f, 0x88e7, 0x893f, 0x8926, 0x8903, 0x88a8, 0x9100, 0x0806, 0x88cc, 0x0010] {
        let mut frame = vec![2; 12];
        frame.extend(ethertype.to_be_bytes());
        frame.extend([0, 1, 1, 64, 0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, 0, 53, 0, 53, 0, 8, 0, 0]);
        frames.push(frame);
    }
    for protocol in [0u8, 4, 41, 43, 44, 47, 50, 51, 58, 60, 132, 33, 136, 135, 137] {
        let mut frame = Stack::ethernet().ipv6([1; 16], [2; 16]).udp(1, 2).payload(vec![0; 40]).build_unpadded();
        frame[20] = protocol;
        frames.push(frame);
    }
    frames
}

/// Requests and answers of what is measured over UDP, by IPv4 and IPv6, tagged or not.
fn datagrams() -> Vec<Vec<u8>> {
    let dns = |flags: u8| vec![0xab, 0xcd, flags, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, b'a', 0, 0, 1, 0, 1];
    let ntp = |mode: u8, stamp: usize| {
        let mut message = vec![mode; 48];
        message[stamp..stamp + 8].copy_from_slice(&[9; 8]);
        message
    };
    let snmp = |pdu: u8| vec![0x30, 0x10, 0x02, 0x01, 0x01, 0x04, 0x02, b'p', b'u', pdu, 0x07, 0x02, 0x01, 0x05, 0x02, 0x01, 0, 0x30];
    let radius = |code: u8| [[code, 7, 0, 20].as_slice(), &[0; 16]].concat();
    let quic = |first: u8| [[first, 0, 0, 0, 1, 8].as_slice(), &[3; 60]].concat();
    let both = |port: u16, request: Vec<u8>, answer: Vec<u8>| {
        let four = |from: u8, to: u8| Stack::ethernet().ipv4([10, 0, 0, from], [10, 0, 0, to]);
        let six = |from: u8, to: u8| Stack::ethernet().vlan(9).ipv6([from; 16], [to; 16]);
        [
            four(1, 2).udp(4000, port).payload(request.clone()).build(),
            four(2, 1).udp(port, 4000).payload(answer.clone()).build(),
            six(1, 2).udp(4000, port).payload(request).build(),
            six(2, 1).udp(port, 4000).payload(answer).build(),
        ]
    };
    let mut frames = Vec::new();
    frames.extend(both(53, dns(1), dns(0x81)));
    frames.extend(both(123, ntp(3, 40), ntp(4, 24)));
    frames.extend(both(161, snmp(0xa0), snmp(0xa2)));
    frames.extend(both(1812, radius(1), radius(2)));
    frames.extend(both(443, quic(0xc0), quic(0xc1)));
    frames.extend(both(443, quic(0x40), quic(0x60)));
    frames
}

/// A frame of Ethernet from its network header on.
fn network(frame: &[u8]) -> &[u8] {
    frame.get(14..).unwrap_or_default()
}

fn captures() -> Vec<Vec<u8>> {
    let packets = &office(10, SECOND, 3)[..8];
    let mut captures = Vec::new();
    for format in [Format::Pcap, Format::PcapNg] {
        for resolution in [Resolution::Micro, Resolution::Nano] {
            for (order, link) in [
                (ByteOrder::Little, ETHERNET),
                (ByteOrder::Big, LINUX_SLL),
                (ByteOrder::Little, LINUX_SLL2),
                (ByteOrder::Big, RAW),
                (ByteOrder::Little, NULL),
            ] {
                let mut writer = CaptureWriter::with_snap_len(Vec::new(), format, resolution, order, link, 96).expect("memory");
                if format == Format::PcapNg {
                    writer.unknown_block(&[7; 12]).expect("memory");
                    writer.add_interface(ETHERNET).expect("memory");
                }
                for (number, packet) in packets.iter().enumerate() {
                    let interface = u32::from(format == Format::PcapNg && number % 2 == 1);
                    writer.frame(interface, packet.time, &packet.bytes).expect("memory");
                }
                captures.push(writer.finish().expect("memory"));
            }
        }
    }
    captures
}

/// Steps of the target: how the clock moves, length, kind, frame.
fn flows() -> Vec<Vec<u8>> {
    let mut inputs = Vec::new();
    for (choice, mix) in [(0u8, Mix::Tcp), (0x45, Mix::Udp), (0x2b, Mix::UdpDual), (0x5f, Mix::SynFlood)] {
        let mut population = Population::new(mix, 30, 120, Size::Fixed(60), 1000, 5);
        let (mut input, mut frame) = (vec![choice], Vec::new());
        for _ in 0..120 {
            population.next_into(&mut frame);
            input.extend([1, 60, 0]);
            input.extend(&frame[..60]);
        }
        inputs.push(input);
    }
    let mut input = vec![0x11];
    for frame in frames().iter().filter(|frame| frame.len() < 256) {
        input.extend([9, u8::try_from(frame.len()).expect("shorter than 256"), 0]);
        input.extend(frame);
    }
    inputs.push(input);
    inputs
}

/// Records as a worker writes them.
fn records() -> Vec<Record> {
    let wanted = Wanted { huge: false, populate: false };
    let annex = Room::whole(2000, Wants::ALL);
    let sizing = Sizing { ipv4: 1000, wide: 1000, annex, wanted, simd: Simd::Portable, seed: 7, worker: 3, first_id: 1 };
    let policy = Policy::default();
    let mut tracker = Tracker::new(&sizing, policy).expect("memory for two thousand flows");
    let mut records = Vec::new();
    for Packet { time, bytes } in frames().into_iter().zip(START..).map(|(bytes, time)| Packet { time, bytes }) {
        let wire_len = u32::try_from(bytes.len()).expect("a frame");
        tracker.meter(&[Frame { bytes: &bytes, wire_len, link: Link::Ethernet, port: 1, time }], time, &mut records);
    }
    let mut flush = Flush::default();
    while tracker.flush(&mut flush, &mut records) {}
    records
}

fn ring() -> Vec<Vec<u8>> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("ring");
    let records = records();
    let mut inputs = Vec::new();
    for (count, choice) in [(0, 0u8), (1, 0), (3, 1), (records.len(), 0), (records.len(), 2), (records.len(), 3)] {
        let mut writer = Writer::create(&path, BYTES_MIN, 1).expect("a ring");
        records.iter().take(count).for_each(|record| record.put(&mut writer));
        writer.publish();
        let file = std::fs::read(&path).expect("the ring");
        let end = file.iter().rposition(|byte| *byte != 0).map_or(shared::DATA_AT, |at| at + 1).max(shared::DATA_AT);
        let mut input = vec![choice];
        if choice & 1 != 0 {
            input.extend(&file[shared::SHAPE_AT..shared::SHAPE_AT + shared::SHAPE]);
        }
        input.extend(&file[shared::CONTROL_AT..shared::CONTROL_AT + shared::CONTROL]);
        input.extend(&file[shared::DATA_AT..end]);
        inputs.push(input);
    }
    inputs
}

fn stats() -> Vec<Vec<u8>> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("stats");
    let _shown = shared::good_segment(&path);
    let whole = [&[0], std::fs::read(&path).expect("the segment").as_slice()].concat();
    // Single words: of the header, the directory, the first block.
    let words = [0u16, 1, 2, 3, 4, 8, 96, 97, 100, 352, 353, 354, 360, 400];
    let changes = words.map(|at| [&[1], at.to_le_bytes().as_slice(), &u64::from(at).to_le_bytes()].concat());
    std::iter::once(whole).chain(changes).collect()
}

/// The examples of the reference, one each.
fn expressions() -> Vec<Vec<u8>> {
    let page = include_str!("../../../docs/expressions.md");
    let examples = sonde_tests::expressions::examples(page);
    examples.into_iter().map(|example| example.text.into_bytes()).collect()
}

fn settings() -> Vec<Vec<u8>> {
    let profiles: Vec<_> = sonde_settings::profiles::PROFILES.iter().map(|(_, text)| *text).collect();
    let sets = ["boot.table.ipv4_flows=5000", "boot.ports[0].device=net_null0", "live.exporters[3].name=exporters/a", "x[=1", "live=1"];
    let set = sets.iter().map(|set| format!("#set {set}\n{}", profiles[0]));
    set.chain(profiles.iter().map(|text| (*text).to_owned())).map(String::into_bytes).collect()
}
