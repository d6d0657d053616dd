//! Patterns of a flow's packets, against their definitions computed from the packets' own list, and against what ipfixprobe says.
//!
//! The property goes through decoder and flow table; nothing of the frames is read to find what is expected. The corpus may not be
//! there: then the second half says so loudly, and passes.

use std::collections::HashMap;

use proptest::prelude::*;
use sonde_flow::pattern::Wants;
use sonde_flow::{Flush, Policy, Room, Sizing, Timeouts, Tracker};
use sonde_memory::slab::Wanted;
use sonde_memory::tags::Simd;
use sonde_packet::{Frame, Link};
use sonde_record::Record;
use sonde_record::fact::{BINS, Bursts, FirstPackets, Histograms, Layers, NetTisa, TcpPerformance, UdpPerformance};
use sonde_tests::traffic::{Stack, Tcp, TcpOption};
use sonde_worker::replay::{ReplaySettings, run};

const MS: u64 = 1_000_000;
const START: u64 = 1_700_000_000_000 * MS;
const DAY: u64 = 86_400_000 * MS;

/// A packet as it is made.
#[derive(Clone, Copy, Debug)]
struct Made {
    time: u64,
    payload: u16,
    reverse: bool,
    flags: u16,
}

/// Packets of a flow; most follow soon, some after a pause.
fn made() -> impl Strategy<Value = Vec<Made>> {
    let gap = prop_oneof![6 => 0u64..40_000, 3 => 0u64..1_500_000, 1 => 900_000u64..30_000_000];
    let payload = prop_oneof![1 => Just(0u16), 3 => Just(100u16), 6 => 1u16..1400];
    let one = (gap, payload, any::<bool>(), prop_oneof![Just(0x10u16), Just(0x18), Just(0x38)]);
    proptest::collection::vec(one, 1..120).prop_map(|steps| {
        let mut time = START;
        let place = |(gap, payload, reverse, flags)| {
            time += gap * 1000;
            Made { time, payload, reverse, flags }
        };
        steps.into_iter().map(place).collect()
    })
}

/// How the packets are carried: TCP over IPv4, with options or without, UDP over IPv4 (fast decoder) and over tagged IPv6.
fn frame(kind: u8, packet: &Made) -> Vec<u8> {
    let (a, b) = if packet.reverse { (2, 1) } else { (1, 2) };
    let (sport, dport) = if packet.reverse { (7000, 5000) } else { (5000, 7000) };
    let four = Stack::ethernet().ipv4([10, 0, 0, a], [10, 0, 0, b]);
    let tcp = Tcp::new(sport, dport, packet.flags);
    let stack = match kind {
        0 => four.push(tcp),
        1 => four.push(tcp.with([TcpOption::Nop, TcpOption::Nop, TcpOption::Timestamps(1, 2)])),
        2 => four.udp(sport, dport),
        _ => Stack::ethernet().vlan(7).ipv6([a; 16], [b; 16]).udp(sport, dport),
    };
    stack.payload(vec![9; packet.payload.into()]).build()
}

/// The flow's record.
fn meter(frames: &[(u64, Vec<u8>)], wants: Wants) -> Record {
    let annex = Room::whole(128, wants);
    let wanted = Wanted { huge: false, populate: false };
    let sizing = Sizing { ipv4: 64, wide: 64, annex, wanted, simd: Simd::detect(), seed: 7, worker: 0, first_id: 1 };
    let timeouts = Timeouts { idle: DAY, active: DAY, linger: DAY };
    let mut tracker = Tracker::new(&sizing, Policy { timeouts, ..Policy::default() }).unwrap();
    let mut records: Vec<Record> = Vec::new();
    for burst in frames.chunks(5) {
        let mut shown: Vec<Frame<'_>> = Vec::new();
        for (time, bytes) in burst {
            shown.push(Frame { bytes, wire_len: u32::try_from(bytes.len()).unwrap(), link: Link::Ethernet, time: *time, port: 0 });
        }
        tracker.meter(&shown, burst.last().unwrap().0, &mut records);
    }
    let mut flush = Flush::default();
    while tracker.flush(&mut flush, &mut records) {}
    assert_eq!(records.len(), 1);
    records.remove(0)
}

fn bins(values: impl Iterator<Item = u64>) -> [u32; BINS] {
    let mut bins = [0; BINS];
    for value in values {
        bins[[16, 32, 64, 128, 256, 512, 1024].iter().filter(|limit| value >= **limit).count()] += 1;
    }
    bins
}

/// Packets, octets, first and last time.
type Shown = (usize, u64, u64, u64);

fn bursts(packets: &[Made]) -> Vec<Shown> {
    let mut groups: Vec<Vec<Made>> = Vec::new();
    for packet in packets {
        match groups.last_mut() {
            Some(group) if packet.time - group.last().unwrap().time < 1000 * MS => group.push(*packet),
            _ => groups.push(vec![*packet]),
        }
    }
    let shown = |group: &Vec<Made>| {
        let octets = group.iter().map(|packet| u64::from(packet.payload)).sum();
        (group.len(), octets, group[0].time, group.last().unwrap().time)
    };
    groups.iter().filter(|group| group.len() >= 3).take(15).map(shown).collect()
}

/// The thirteen values; deviations are from the mean of the packets up to before, times' from that of those up to now.
fn series(packets: &[Made]) -> [f64; 13] {
    let payloads: Vec<f64> = packets.iter().map(|packet| f64::from(packet.payload)).collect();
    let us = |ns: u64| ns as f64 / 1000.0;
    let n = payloads.len() as f64;
    let mean_of = |values: &[f64]| if values.is_empty() { 0.0 } else { values.iter().sum::<f64>() / values.len() as f64 };
    let mean = mean_of(&payloads);
    let squares = payloads.iter().map(|x| x * x).sum::<f64>() / n;
    let stdev = (payloads.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n).sqrt();
    let deviations: Vec<f64> = (0..payloads.len()).map(|at| (payloads[at] - mean_of(&payloads[..at])).abs()).collect();
    let fourth = deviations.iter().map(|d| d.powi(4)).sum::<f64>() / n;
    let mut differences = vec![0.0];
    differences.extend(packets.windows(2).map(|pair| us(pair[1].time - pair[0].time)));
    let longest = differences.iter().copied().fold(0.0, f64::max);
    let shortest = differences[1..].iter().copied().fold(f64::MAX, f64::min);
    let spread: f64 = (0..differences.len()).map(|at| (mean_of(&differences[..=at]) - differences[at]).abs()).sum();
    let scaled: Vec<f64> = packets.iter().map(|packet| us(packet.time - packets[0].time)).collect();
    let switches = (0..payloads.len()).filter(|at| payloads[*at] != if *at == 0 { 0.0 } else { payloads[at - 1] }).count();
    [
        mean,
        payloads.iter().copied().fold(f64::MAX, f64::min),
        payloads.iter().copied().fold(0.0, f64::max),
        stdev,
        if stdev < 1e-9 { 0.0 } else { fourth / stdev.powi(4) },
        squares.sqrt(),
        deviations.iter().sum::<f64>() / n,
        mean_of(&scaled),
        mean_of(&differences),
        if packets.len() < 2 { 0.0 } else { shortest },
        longest,
        if longest == 0.0 { 0.0 } else { spread / (n - 1.0) / longest },
        switches as f64 / n,
    ]
}

/// Equal to so many parts of what is expected, or to so little.
fn near(found: f64, expected: f64, part: f64) -> bool {
    (found - expected).abs() <= (expected.abs() * part).max(1e-5)
}

proptest! {
    #[test]
    fn patterns_are_those_of_their_definitions(packets in made(), kind in 0u8..4, first in 0u8..=30) {
        let mut packets = packets;
        packets[0].reverse = false;
        let frames: Vec<_> = packets.iter().map(|packet| (packet.time, frame(kind, packet))).collect();
        let record = meter(&frames, Wants { first_packets: first, ..Wants::ALL });
        let full: Vec<Made> = packets.iter().copied().filter(|packet| packet.payload != 0).collect();
        let of_way = |reverse: bool| full.iter().copied().filter(|packet| packet.reverse == reverse).collect::<Vec<_>>();

        let histograms = record.get::<Histograms>().unwrap();
        for (way, reverse) in [false, true].into_iter().enumerate() {
            let packets = of_way(reverse);
            prop_assert_eq!(histograms.sizes[way], bins(packets.iter().map(|packet| packet.payload.into())));
            prop_assert_eq!(histograms.times[way], bins(packets.windows(2).map(|pair| (pair[1].time - pair[0].time) / MS)));
            let found = record.get::<Bursts>().unwrap_or_default();
            let found: Vec<Shown> = found.bursts(u8::from(reverse)).map(|b| (b.packets as usize, b.octets.into(), b.start, b.end)).collect();
            // Times are whole milliseconds after the first packet.
            let since = full.first().map_or(0, |packet| packet.time);
            let whole = |time: u64| since + (time - since) / MS * MS;
            let expected = bursts(&packets).into_iter().map(|(n, octets, start, end)| (n, octets, whole(start), whole(end)));
            prop_assert_eq!(found, expected.collect::<Vec<_>>());
        }
        let found: Vec<_> = record.get::<FirstPackets>().unwrap_or_default().packets().map(|p| (p.time, p.payload, p.way == 1, p.flags)).collect();
        let flags = |packet: &Made| if kind < 2 { packet.flags } else { 0 };
        let expected = full.iter().take(first.into()).map(|packet| (packet.time, packet.payload, packet.reverse, flags(packet)));
        prop_assert_eq!(found, expected.collect::<Vec<_>>());
        for (at, (found, expected)) in record.get::<NetTisa>().unwrap().values().into_iter().zip(series(&packets)).enumerate() {
            prop_assert!(near(found.into(), expected, 1e-5), "8057:{}: {}, not {}", 1020 + at, found, expected);
        }
    }

    #[test]
    fn what_is_not_wanted_is_not_kept(packets in made(), choice in 0u8..16) {
        let frames: Vec<_> = packets.iter().map(|packet| (packet.time, frame(choice & 3, packet))).collect();
        let (histograms, bursts, nettisa) = (choice & 1 != 0, choice & 2 != 0, choice & 4 != 0);
        let wants = Wants { histograms, first_packets: choice & 8, bursts, nettisa };
        let (all, some) = (meter(&frames, Wants { first_packets: 8, ..Wants::ALL }), meter(&frames, wants));
        prop_assert_eq!(some.get::<Histograms>(), all.get::<Histograms>().filter(|_| histograms));
        prop_assert_eq!(some.get::<FirstPackets>(), all.get::<FirstPackets>().filter(|_| choice & 8 != 0));
        prop_assert_eq!(some.get::<Bursts>(), all.get::<Bursts>().filter(|_| bursts));
        prop_assert_eq!(some.get::<NetTisa>(), all.get::<NetTisa>().filter(|_| nettisa));
        let (bare, all) = (meter(&frames, Wants::default()), all);
        prop_assert_eq!((*bare, bare.get::<TcpPerformance>()), (*all, all.get::<TcpPerformance>()), "nothing else changes");
        prop_assert_eq!((bare.get::<Layers>(), bare.get::<UdpPerformance>()), (all.get::<Layers>(), all.get::<UdpPerformance>()));
    }
}

/// A line of ipfixprobe's tests.
type Row = HashMap<String, String>;

fn rows(text: &str) -> Vec<Row> {
    let mut lines = text.lines();
    let heading: Vec<&str> = lines.next().unwrap().split(',').collect();
    lines.map(|line| heading.iter().map(|title| (*title).to_owned()).zip(line.split(',').map(str::to_owned)).collect()).collect()
}

fn list(text: &str) -> Vec<&str> {
    text.trim_matches(['[', ']']).split('|').collect()
}

/// Seconds of a day, of a time such as "2016-10-28T17:07:52.625696", in microseconds.
fn time_of_day(text: &str) -> u64 {
    let (_, time) = text.split_once('T').unwrap();
    let parts: Vec<u64> = time.split([':', '.']).map(|part| part.parse().unwrap()).collect();
    let [hours, minutes, seconds, micros] = parts[..] else { panic!("{text}") };
    ((hours * 60 + minutes) * 60 + seconds) * 1_000_000 + micros
}

/// Records by addresses, ports, protocol and the first packet's time of day, as ipfixprobe has them.
fn by_row(records: Vec<Record>) -> HashMap<String, Record> {
    let key = |record: &Record| {
        let text = |bytes: &[u8; 16]| match record.kind {
            sonde_record::Kind::Ipv4 => std::net::Ipv4Addr::from(<[u8; 4]>::try_from(&bytes[12..]).unwrap()).to_string(),
            _ => std::net::Ipv6Addr::from(*bytes).to_string(),
        };
        let time = record.start / 1000 % 86_400_000_000;
        format!("{} {} {} {} {} {time}", text(&record.src), record.sport, text(&record.dst), record.dport, record.proto)
    };
    records.into_iter().map(|record| (key(&record), record)).collect()
}

fn row_key(row: &Row) -> String {
    let [src, sport, dst, dport, protocol] = ["SRC_IP", "SRC_PORT", "DST_IP", "DST_PORT", "PROTOCOL"].map(|column| row[column].as_str());
    format!("{src} {sport} {dst} {dport} {protocol} {}", time_of_day(&row["TIME_FIRST"]))
}

fn first_packets_equal(row: &Row, first: &FirstPackets) -> bool {
    let found: Vec<(String, String, u64)> = first
        .packets()
        .map(|packet| {
            let way = if packet.way == 0 { "1" } else { "-1" };
            (packet.payload.to_string(), way.to_owned(), packet.time / 1000 % 86_400_000_000)
        })
        .collect();
    let lengths = list(&row["PPI_PKT_LENGTHS"]);
    let (ways, times) = (list(&row["PPI_PKT_DIRECTIONS"]), list(&row["PPI_PKT_TIMES"]));
    let expected =
        lengths.iter().zip(ways).zip(times).map(|((length, way), time)| ((*length).to_owned(), way.to_owned(), time_of_day(time)));
    found == expected.collect::<Vec<_>>()
}

fn nettisa_equal(row: &Row, values: [f32; 13]) -> bool {
    let names = [
        "MEAN",
        "MIN",
        "MAX",
        "STDEV",
        "KURTOSIS",
        "ROOT_MEAN_SQUARE",
        "AVERAGE_DISPERSION",
        "MEAN_SCALED_TIME",
        "MEAN_DIFFTIMES",
        "MIN_DIFFTIMES",
        "MAX_DIFFTIMES",
        "TIME_DISTRIBUTION",
        "SWITCHING_RATIO",
    ];
    let of = |name: &str| row[&format!("NTS_{name}")].parse::<f64>().unwrap();
    let packets: f64 = row["PACKETS"].parse::<f64>().unwrap() + row["PACKETS_REV"].parse::<f64>().unwrap();
    // It divides the sum of octets by the packets without a remainder, and its least difference is always 0.
    let whole = (of("MEAN") * packets).round() % packets == 0.0;
    let compared = |name: &&str| match *name {
        "STDEV" | "KURTOSIS" => whole,
        "MIN_DIFFTIMES" => false,
        _ => true,
    };
    names.iter().zip(values).filter(|(name, _)| compared(name)).all(|(name, found)| {
        // Its distribution is a part of the longest difference less the octets of the smallest packet.
        let part = if *name == "TIME_DISTRIBUTION" { (of("MAX_DIFFTIMES") - of("MIN")) / of("MAX_DIFFTIMES") } else { 1.0 };
        let good = near(found.into(), of(name) * part, 1e-5);
        if !good {
            println!("DIFF {name} {}: {found}, not {}", row_key(row), of(name));
        }
        good
    })
}

/// How many bursts a flow has, which are those of its packets.
fn bursts_equal(first: &FirstPackets, found: &Bursts) -> usize {
    let ways = [0u8, 1].map(|way| {
        let made = first.packets().filter(|packet| packet.way == way);
        let made: Vec<Made> = made.map(|p| Made { time: p.time, payload: p.payload, reverse: way == 1, flags: p.flags }).collect();
        let expected: Vec<_> = bursts(&made).into_iter().map(|(packets, octets, ..)| (packets, octets)).collect();
        let found: Vec<_> = found.bursts(way).map(|burst| (burst.packets as usize, u64::from(burst.octets))).collect();
        assert_eq!(found, expected);
        found.len()
    });
    ways.iter().sum()
}

#[test]
fn patterns_are_those_of_ipfixprobe() {
    let needed = ["phists", "pstats", "nettisa"].map(|plugin| format!("reference/peers/ipfixprobe/{plugin}.csv"));
    let needed = needed.each_ref().map(String::as_str);
    let Some(corpus) = sonde_tests::corpus::corpus(&["pcaps", needed[0], needed[1], needed[2]], "patterns of packets were") else { return };
    let mut records: Vec<Record> = Vec::new();
    // ipfixprobe has no type of ICMP in its key.
    let settings = ReplaySettings { patterns: Wants::ALL, icmp_type_in_key: false, ..<_>::default() };
    run(&corpus.join("pcaps/appid/ipfixprobe__mixed.pcap"), &settings, &mut records).unwrap();
    let records = by_row(records);
    for table in needed {
        let text = std::fs::read_to_string(corpus.join(table)).unwrap();
        let (mut of, mut found, mut equal) = (0, 0, 0);
        for row in rows(&text).iter().filter(|row| row["file"] == "appid/ipfixprobe__mixed.pcap") {
            of += 1;
            let Some(record) = records.get(&row_key(row)) else {
                println!("LOST {}", row_key(row));
                continue;
            };
            found += 1;
            let good = if table.contains("phists") {
                let histograms = record.get::<Histograms>().unwrap();
                let ours = [histograms.sizes[0], histograms.times[0], histograms.sizes[1], histograms.times[1]];
                let theirs = ["S_PHISTS_SIZES", "S_PHISTS_IPT", "D_PHISTS_SIZES", "D_PHISTS_IPT"];
                ours.iter().zip(theirs).all(|(ours, theirs)| list(&row[theirs]) == ours.map(|n| n.to_string()))
            } else if table.contains("pstats") {
                first_packets_equal(row, &record.get::<FirstPackets>().unwrap_or_default())
            } else {
                nettisa_equal(row, record.get::<NetTisa>().unwrap().values())
            };
            if !good {
                println!("DIFF {table} {row:?}: {:?} {:?}", record.get::<Histograms>(), record.get::<FirstPackets>());
            }
            equal += i32::from(good);
        }
        println!("{table}: {of} rows, {found} found, {equal} equal");
        assert!(of > 15 && found == of && equal == of, "{table}: {equal} of {found} of {of}");
    }
    // It has no answer for bursts: they are found again in the first packets, where those are all.
    let whole = records.values().filter(|record| record.packets[0] + record.packets[1] <= 30);
    let found =
        whole.map(|record| bursts_equal(&record.get::<FirstPackets>().unwrap_or_default(), &record.get::<Bursts>().unwrap_or_default()));
    assert!(found.sum::<usize>() > 3);
}
