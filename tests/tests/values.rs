//! The right values of flows where clocks, orders and timeouts make them hard: captures of the traffic builder, replayed, and what
//! becomes of their records in IPFIX. What was not measured is absent; no value is made up for it.

use std::collections::BTreeMap;

use sonde_controlplane::cli::replay::csv::Csv;
use sonde_controlplane::cli::replay::rtt::Rtt;
use sonde_controlplane::cli::replay::{Sink, Table};
use sonde_export::{Fields, FileWriter, Options};
use sonde_flow::pattern::Wants;
use sonde_flow::{Flush, Policy, Room, Sizing, Tracker};
use sonde_memory::slab::Wanted;
use sonde_memory::tags::Simd;
use sonde_packet::{Frame, Link};
use sonde_record::fact::{FirstPackets, Histograms, NetTisa, QuicPerformance, TcpPerformance, UdpPerformance, quic_valid, valid};
use sonde_record::{EndReason, Initiator, Kind, NO_ICMP, Record};
use sonde_tests::collector::{self, Decoder};
use sonde_tests::traffic::{MILLISECOND, Packet, SECOND, START, Stack, Tcp, capture, fragments, tcp_flags};
use sonde_tests::tshark;
use sonde_worker::replay::{ReplaySettings, Summary, run};

const MS: u64 = MILLISECOND;
const S: u16 = tcp_flags::SYN;
const A: u16 = tcp_flags::ACK;
const F: u16 = tcp_flags::FIN;
const P: u16 = tcp_flags::PSH;
/// One tick of the coarse clock.
const TICK: u64 = 1 << 27;

fn at(time: u64, stack: Stack) -> Packet {
    Packet { time: START + time, bytes: stack.build() }
}

/// A segment of the client (sequence numbers from 1000), or of the server (from 5000), with so much payload.
fn segment(time: u64, client: bool, flags: u16, seq: u32, ack: u32, payload: usize) -> Packet {
    let (from, to, sport, dport, own, peer) = if client { (1, 2, 40_000, 80, 1000, 5000) } else { (2, 1, 80, 40_000, 5000, 1000) };
    let ack = if flags & A == 0 { 0 } else { peer + ack };
    let tcp = Tcp::new(sport, dport, flags).at(own + seq, ack);
    at(time, Stack::ethernet().ipv4([10, 1, 0, from], [10, 1, 0, to]).push(tcp).payload(vec![7; payload]))
}

/// A whole connection with one request, at these times: SYN, SYN/ACK, ACK, request, answer, FIN, FIN, ACK.
fn connection(times: [u64; 8]) -> Vec<Packet> {
    let [syn, syn_ack, ack, request, answer, fin, fin_back, last] = times;
    vec![
        segment(syn, true, S, 0, 0, 0),
        segment(syn_ack, false, S | A, 0, 1, 0),
        segment(ack, true, A, 1, 1, 0),
        segment(request, true, A | P, 1, 1, 18),
        segment(answer, false, A | P, 1, 19, 24),
        segment(fin, true, A | F, 19, 25, 0),
        segment(fin_back, false, A | F, 25, 20, 0),
        segment(last, true, A, 20, 26, 0),
    ]
}

const IN_ORDER: [u64; 8] = [10_000 * MS, 10_030 * MS, 10_040 * MS, 10_050 * MS, 10_090 * MS, 10_100 * MS, 10_110 * MS, 10_120 * MS];

fn replay_with(packets: Vec<Packet>, settings: &ReplaySettings) -> (Vec<Record>, Summary) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("values.pcap");
    capture::save(&path, packets);
    let mut records: Vec<Record> = Vec::new();
    let summary = run(&path, settings, &mut records).unwrap();
    assert!(summary.balances(), "{summary:?}");
    (records, summary)
}

fn replay(packets: Vec<Packet>) -> Vec<Record> {
    replay_with(packets, &ReplaySettings::default()).0
}

fn only(records: Vec<Record>) -> Record {
    assert_eq!(records.len(), 1, "{records:?}");
    { records }.remove(0)
}

/// What an IPFIX file says of the records.
fn exported(records: &[Record], icmp_in_port: bool) -> Vec<collector::Record> {
    let mut writer = FileWriter::new(Vec::new(), 1, Options { fields: Fields::Full, icmp_in_port, ..Options::default() });
    records.iter().for_each(|record| writer.write(&record.view().unwrap()).unwrap());
    let collected = Decoder::file(&writer.finish().unwrap().0);
    assert!(collected.faults.is_empty(), "{:?}", collected.faults);
    collected.records
}

/// The line of a table of `sonde replay --format csv`, by its columns.
fn csv(records: &[Record], table: Table) -> Vec<BTreeMap<String, String>> {
    let mut out = Vec::new();
    let mut sink: Box<dyn Sink + '_> =
        if table == Table::TcpRtt { Box::new(Rtt::new(&mut out).unwrap()) } else { Box::new(Csv::new(&mut out, table).unwrap()) };
    sink.begin("x", true);
    records.iter().for_each(|record| record.put(sink.as_mut()));
    sink.end().unwrap();
    sink.finish().unwrap();
    drop(sink);
    let text = String::from_utf8(out).unwrap();
    let mut lines = text.lines().map(|line| line.split(',').map(str::to_owned).collect::<Vec<_>>());
    let heading = lines.next().unwrap();
    lines.map(|line| heading.iter().cloned().zip(line).collect()).collect()
}

#[test]
fn no_record_is_longer_than_the_active_timeout_and_a_tick() {
    for (active, gap) in [(300 * SECOND, 50 * MS), (10 * SECOND, 333 * MS), (7 * SECOND, MS), (SECOND, 900 * MS)] {
        let count = 3 * active / gap + 5;
        let packet = |n: u64| {
            let (from, to, sport, dport) = if n.is_multiple_of(3) { (2, 1, 53_000, 4000) } else { (1, 2, 4000, 53_000) };
            at(n * gap, Stack::ethernet().ipv4([10, 9, 0, from], [10, 9, 0, to]).udp(sport, dport).payload(vec![1; 40]))
        };
        let settings = ReplaySettings { active_timeout_ns: active, ..ReplaySettings::default() };
        let (records, _) = replay_with((0..count).map(packet).collect(), &settings);
        assert_eq!(records.iter().flat_map(|record| record.packets).sum::<u64>(), count);
        assert!(records.len() >= 3 && records.iter().all(|record| record.flow_id == records[0].flow_id));
        let longest = records.iter().map(|record| record.end - record.start).max().unwrap();
        assert!(longest <= active + TICK && longest + gap + TICK > active, "{longest} of {active}");
        let reasons: Vec<_> = records.iter().map(|record| record.end_reason).collect();
        assert!(reasons[..reasons.len() - 1].iter().all(|reason| *reason == EndReason::Active), "{reasons:?}");
    }
}

#[test]
fn a_flow_begins_with_its_earliest_packet_and_the_syn_says_who_began() {
    let mut packets = connection(IN_ORDER);
    packets.swap(0, 1);
    let record = only(replay(packets));
    assert_eq!((record.start, record.end), (START + IN_ORDER[0], START + IN_ORDER[7]));
    assert_eq!((record.initiator, record.sport, record.packets), (Initiator::Destination, 80, [3, 5]));
    // Any packet of any order, also of UDP, and after a report.
    let udp = |time| at(time, Stack::ethernet().ipv4([10, 0, 0, 1], [10, 0, 0, 2]).udp(5, 6));
    let record = only(replay([9000, 7000, 8000, 4000, 9500].map(|ms| udp(ms * MS)).to_vec()));
    assert_eq!((record.start, record.end), (START + 4000 * MS, START + 9500 * MS));
}

#[test]
fn a_clock_that_goes_back_inside_a_connection_does_not_stretch_its_flow() {
    let mut packets = connection(IN_ORDER);
    // Thirty seconds back from the answer on.
    packets[4..].iter_mut().for_each(|packet| packet.time -= 30 * SECOND);
    let record = only(replay(packets));
    assert_eq!((record.start, record.end), (START + IN_ORDER[0], START + IN_ORDER[3]));
    let tcp = record.get::<TcpPerformance>().unwrap();
    assert_eq!(
        (tcp.valid & (valid::RESPONSES | valid::TRANSFER), tcp.responses.count),
        (valid::TRANSFER, 0),
        "an answer before its request"
    );
    assert_ne!(tcp.valid & valid::SERVER_RTT_KARN, 0);
    assert_eq!(
        exported(std::slice::from_ref(&record), false)[0].value((39_499, 70)),
        Some(0),
        "0 is not measured, and what is measured is 1 at least"
    );
}

#[test]
fn halves_of_a_round_trip_that_were_not_measured_are_absent() {
    let [syn, syn_ack, ack, ..] = IN_ORDER;
    let day = 24 * 3600 * SECOND;
    let settings = ReplaySettings { idle_timeout_ns: day, active_timeout_ns: day, ..ReplaySettings::default() };
    let hour = 3600 * SECOND - 1;
    for (times, server, client) in [
        ([syn, syn_ack, ack], Some(30 * MS), Some(10 * MS)),
        ([syn, syn, ack], Some(0), Some(40 * MS)),
        ([syn, syn - 500 * MS, ack], None, Some(540 * MS)),
        ([syn, syn_ack, syn_ack - 19_000], Some(30 * MS), None),
        ([syn, syn + 2147 * SECOND, syn + 2148 * SECOND], Some(2147 * SECOND), Some(SECOND)),
        ([syn, syn + 2148 * SECOND, syn + 2149 * SECOND], None, Some(SECOND)),
        ([syn, syn + SECOND, syn + hour], Some(SECOND), None),
    ] {
        let [first, second, third] = times;
        let after = |ms: u64| third.max(second) + ms * MS;
        let packets = connection([first, second, third, after(10), after(20), after(30), after(40), after(50)]);
        let record = only(replay_with(packets, &settings).0);
        let tcp = record.get::<TcpPerformance>().unwrap();
        let has = |bit| tcp.valid & bit != 0;
        assert_eq!((has(valid::SERVER_RTT), has(valid::SERVER_RTT_KARN)), (server.is_some(), server.is_some()), "{times:?}");
        assert_eq!((has(valid::CLIENT_RTT), has(valid::CLIENT_RTT_KARN)), (client.is_some(), client.is_some()), "{times:?}");
        assert_eq!((tcp.server_rtt, tcp.client_rtt), (server.unwrap_or(0), client.unwrap_or(0)), "{times:?}");
        let [line] = &csv(std::slice::from_ref(&record), Table::TcpRtt)[..] else { panic!("one connection") };
        assert_eq!((line["server_rtt"].is_empty(), line["client_rtt"].is_empty()), (server.is_none(), client.is_none()), "{line:?}");
        let ipfix = exported(std::slice::from_ref(&record), false);
        let both = server.zip(client).map_or(0, |(server, client)| ((server + client) / 1000).max(1));
        assert_eq!(ipfix[0].value((39_499, 69)), Some(both), "npnRoundTripTime of {times:?}");
        let halves = [client, server].map(|half| half.map_or(0, |half| (half / 2).div_ceil(MS).max(1)));
        assert_eq!([123, 124].map(|id| ipfix[0].number((35_632, id))), halves, "{times:?}");
    }
}

#[test]
fn answers_over_udp_that_come_before_their_requests_are_not_timed() {
    let dns = |time: u64, client: bool, id: u8| {
        let (from, to, sport, dport, flags) = if client { (1, 2, 50_000, 53, 1) } else { (2, 1, 53, 50_000, 0x81) };
        at(
            time,
            Stack::ethernet().ipv4([10, 0, 0, from], [10, 0, 0, to]).udp(sport, dport).payload([0, id, flags, 0, 0, 1, 0, 0, 0, 0, 0, 0]),
        )
    };
    let times = [(10, true, 1), (9, false, 1), (20, true, 2), (25, false, 2)];
    let record = only(replay(times.map(|(ms, client, id)| dns(ms * 1000 * MS / 1000, client, id)).to_vec()));
    let udp = record.get::<UdpPerformance>().unwrap();
    assert_eq!((udp.responses.count, udp.responses.min, udp.responses.max), (1, 5 * MS, 5 * MS));
    // QUIC: an Initial of the client, one of the server stamped before it, a packet of the client.
    let quic = |time: u64, client: bool, first: u8| {
        let (from, to, sport, dport) = if client { (1, 2, 50_000, 443) } else { (2, 1, 443, 50_000) };
        let mut payload = vec![first, 0, 0, 0, 1, 0];
        payload.resize(1200, 0);
        at(time * MS, Stack::ethernet().ipv4([10, 0, 0, from], [10, 0, 0, to]).udp(sport, dport).payload(payload))
    };
    let record = only(replay(vec![quic(50, true, 0xc0), quic(40, false, 0xc0), quic(60, true, 0xe0)]));
    let found = record.get::<QuicPerformance>().unwrap();
    let halves = found.valid & (quic_valid::SERVER_RTT | quic_valid::SERVER_RTT_KARN | quic_valid::CLIENT_RTT);
    assert_eq!((halves, found.server_rtt, found.client_rtt), (quic_valid::CLIENT_RTT, 0, 20 * MS));
}

#[test]
fn a_packet_stamped_before_the_one_that_it_follows_has_no_delay() {
    let mut packets = connection(IN_ORDER)[..4].to_vec();
    let send = |ms: u64, seq: u32| segment(ms * MS, true, A | P, seq, 1, 100);
    packets.extend([send(10_150, 19), send(10_145, 119), send(10_250, 219), send(10_350, 319)]);
    let settings = ReplaySettings { patterns: Wants::ALL, ..ReplaySettings::default() };
    let record = only(replay_with(packets, &settings).0);
    let delay = record.get::<TcpPerformance>().unwrap().ways[0].delay;
    // 40, 10, 100, (5 back), 100, 100 ms.
    assert_eq!((delay.min, delay.max), (10 * MS, 100 * MS), "{delay:?}");
    assert_eq!(delay.mean, 350 * MS / 5);
    let times = record.get::<Histograms>().unwrap().times[0];
    assert_eq!(times, [0, 0, 0, 3, 0, 0, 0, 0], "{times:?}");
    let values = record.get::<NetTisa>().unwrap().values();
    assert!(values[10] == 100_000.0 && values[9] == 10_000.0, "{values:?}");
    let first: Vec<_> = record.get::<FirstPackets>().unwrap().packets().map(|packet| packet.time - START).collect();
    assert_eq!(first, [10_050, 10_150, 10_145, 10_250, 10_350].map(|ms| ms * MS));
}

#[test]
fn one_absurd_time_neither_ends_flows_nor_stretches_its_own() {
    for absurd in [0, 2_145_916_800 * SECOND, START - 7200 * SECOND, START + 86_400 * SECOND] {
        for which in 1..7 {
            let mut packets = connection(IN_ORDER);
            packets[which].time = absurd;
            let (records, summary) = replay_with(packets, &ReplaySettings::default());
            let record = only(records);
            assert_eq!((record.start, record.end), (START + IN_ORDER[0], START + IN_ORDER[7]), "packet {which} at {absurd}");
            assert_eq!((summary.absurd_times, record.packets), (1, [5, 3]));
        }
    }
    // Two days in one file, in either order.
    let day = |n: u64| connection(IN_ORDER).into_iter().map(move |packet| Packet { time: packet.time + n * 86_400 * SECOND, ..packet });
    for days in [[0, 1], [1, 0]] {
        let (records, summary) = replay_with(days.into_iter().flat_map(day).collect(), &ReplaySettings::default());
        let spans: Vec<_> = records.iter().map(|record| (record.start, record.end - record.start, record.packets)).collect();
        let expected = days.map(|n| (START + IN_ORDER[0] + n * 86_400 * SECOND, 120 * MS, [5, 3]));
        assert_eq!((spans.as_slice(), summary.absurd_times), (&expected[..], 0));
    }
}

#[test]
fn a_syn_that_is_seen_after_the_fins_belongs_to_its_connection() {
    let mut packets = connection(IN_ORDER);
    let syn = packets.remove(0);
    packets.push(syn.clone());
    let record = only(replay(packets.clone()));
    assert_eq!((record.packets, record.initiator), ([3, 5], Initiator::Destination));
    assert_eq!((record.start, record.syn_len), (START + IN_ORDER[0], 40));
    // Stamped last, too, as where another tap's clock is late.
    packets.last_mut().unwrap().time = START + IN_ORDER[7] + 5 * MS;
    let record = only(replay(packets.clone()));
    assert_eq!((record.packets, record.get::<TcpPerformance>().unwrap().ways[1].syn_count), ([3, 5], 1));
    // Another number is another connection; and so is the same one where the first SYN had been seen.
    packets.last_mut().unwrap().bytes = segment(0, true, S, 77, 0, 0).bytes;
    assert_eq!(replay(packets).len(), 2);
    let again = [connection(IN_ORDER), vec![segment(10_200 * MS, true, S, 0, 0, 0)]].concat();
    assert_eq!(replay(again).len(), 2);
    // A refusal that overtook what it refuses.
    let refused = vec![segment(5 * MS, false, tcp_flags::RST | A, 0, 1, 0), segment(6 * MS, true, S, 0, 0, 0)];
    assert_eq!(only(replay(refused)).packets, [1, 1]);
}

#[test]
fn counts_of_flags_are_those_of_the_whole_flow() {
    let mut packets = connection([0, MS, 2 * MS, 3 * MS, 4 * MS, 60 * SECOND, 60 * SECOND + MS, 60 * SECOND + 2 * MS]);
    let data = |n: u32| segment(u64::from(n) * SECOND, true, A | P, 19 + 10 * (n - 1), 25, 10);
    packets.splice(5..5, (1..50).map(data));
    let settings = ReplaySettings { active_timeout_ns: 20 * SECOND, ..ReplaySettings::default() };
    let (records, _) = replay_with(packets, &settings);
    assert!(records.len() >= 3, "{}", records.len());
    let last = exported(&records, false).pop().unwrap();
    let both = |id| [last.number((0, id)), last.number((29_305, id))];
    assert_eq!([218, 219, 220, 223].map(both), [[1, 1], [1, 1], [0, 0], [0, 0]], "SYN, FIN, RST, URG");
    let acks: u64 = records.iter().map(|record| record.packets[0]).sum::<u64>() - 1;
    assert_eq!((both(221), both(222)), ([50, 1], [acks, 3]), "PSH, ACK");
    let first = &exported(&records, false)[0];
    assert!(first.number((0, 222)) < acks && first.number((0, 218)) == 1);
}

/// ICMP between two hosts: type, code, whether the first of them sends it.
fn icmp(version: u8, time: u64, kind: u8, code: u8, there: bool) -> Packet {
    let (from, to) = if there { (1, 2) } else { (2, 1) };
    let stack = match version {
        4 => Stack::ethernet().ipv4([10, 0, 0, from], [10, 0, 0, to]).icmp(kind, code, [0, 7, 0, 1]),
        _ => Stack::ethernet().ipv6([from; 16], [to; 16]).icmpv6(kind, code, [0, 7, 0, 1]),
    };
    at(time * MS, stack.payload(vec![9; 48]))
}

#[test]
fn errors_of_icmp_are_told_from_echo_and_answers_are_with_their_requests() {
    let four = [
        (8, 0, true),
        (0, 0, false),
        (8, 0, true),
        (0, 0, false),
        (3, 1, true),
        (3, 3, true),
        (13, 0, true),
        (14, 0, false),
        (11, 0, false),
    ];
    let six = [(128, 0, true), (129, 0, false), (1, 4, false), (135, 0, true), (136, 0, false), (2, 0, true)];
    let expected_four = [([8, 0], [2, 2]), ([3, 1], [1, 0]), ([3, 3], [1, 0]), ([13, 0], [1, 1]), ([11, 0], [1, 0])];
    let expected_six = [([128, 0], [1, 1]), ([1, 4], [1, 0]), ([135, 0], [1, 1]), ([2, 0], [1, 0])];
    for (version, messages, expected) in [(4, &four[..], &expected_four[..]), (6, &six[..], &expected_six[..])] {
        let packets: Vec<_> = (0..).zip(messages).map(|(time, (kind, code, there))| icmp(version, time, *kind, *code, *there)).collect();
        let mut found = replay(packets.clone());
        found.sort_by_key(|record| record.flow_id);
        let seen: Vec<_> = found.iter().map(|record| (record.icmp, record.packets)).collect();
        assert_eq!(seen, expected, "version {version}");
        let one = ReplaySettings { icmp_type_in_key: false, ..ReplaySettings::default() };
        assert_eq!(replay_with(packets, &one).0.len(), 1);
        let [both, kind_of, code_of] = if version == 4 { [32, 176, 177] } else { [139, 178, 179] };
        for in_port in [false, true] {
            for (flow, ([kind, code], _)) in exported(&found, in_port).iter().zip(expected) {
                let number = u64::from(*kind) << 8 | u64::from(*code);
                assert_eq!([both, kind_of, code_of].map(|id| flow.value((0, id))), [number, (*kind).into(), (*code).into()].map(Some));
                assert_eq!([7, 11].map(|id| flow.number((0, id))), [0, if in_port { number } else { 0 }]);
            }
        }
    }
}

#[test]
fn fragments_of_icmp_are_with_the_first_and_what_was_cut_off_has_no_type() {
    let echo = |kind| Stack::ethernet().ipv4([10, 0, 0, 1], [10, 0, 0, 2]).icmp(kind, 0, [0, 7, 0, 1]).payload(vec![9; 3000]);
    for reversed in [false, true] {
        let mut pieces: Vec<_> = fragments(&echo(8), 1480, 77);
        if reversed {
            pieces.reverse();
        }
        let packets = (0..).zip(pieces).map(|(n, bytes)| Packet { time: START + n * MS, bytes });
        let record = only(replay(packets.chain([icmp(4, 9, 0, 0, false)]).collect()));
        assert_eq!((record.packets, record.fragments, record.icmp), ([3, 1], 3, [8, 0]));
    }
    let later = fragments(&echo(8), 1480, 77).pop().unwrap();
    let record = only(replay(vec![Packet { time: START, bytes: later }]));
    assert_eq!(record.icmp, NO_ICMP);
    let line = &csv(std::slice::from_ref(&record), Table::Flows)[0];
    assert_eq!((line["icmp_type"].as_str(), line["icmp_code"].as_str()), ("", ""));
}

#[test]
fn a_truth_value_is_1_or_2_and_not_there_without_a_tag() {
    let tagged = |tags: &[(u16, bool)], port: u16| {
        let stack = tags.iter().fold(Stack::ethernet(), |stack, (id, dei)| {
            stack.push(sonde_tests::traffic::Layer::Vlan { tpid: 0x8100, tci: id | u16::from(*dei) << 12, ethertype: None })
        });
        at(0, stack.ipv4([10, 0, 0, 1], [10, 0, 0, 2]).udp(port, 53))
    };
    let packets = vec![tagged(&[], 1), tagged(&[(5, true)], 2), tagged(&[(0, false)], 3), tagged(&[(5, false), (6, true)], 4)];
    let mut records = replay(packets);
    records.sort_by_key(|record| record.sport);
    assert!(records.iter().all(|record| record.kind == Kind::Ipv4));
    let found: Vec<_> = exported(&records, false).iter().map(|flow| [388, 389].map(|id| flow.value((0, id)))).collect();
    assert_eq!(found, [[None, None], [Some(1), None], [Some(2), None], [Some(2), Some(1)]]);
}

#[test]
fn tshark_reads_type_and_code_of_icmp() {
    let records = replay(vec![icmp(4, 0, 3, 1, true), icmp(6, 0, 1, 4, true)]);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ipfix.pcap");
    let mut writer = FileWriter::new(Vec::new(), 1, Options { icmp_in_port: true, ..Options::default() });
    records.iter().for_each(|record| writer.write(&record.view().unwrap()).unwrap());
    let (file, _) = writer.finish().unwrap();
    tshark::as_capture(&path, collector::messages(&file).map(|message| (4739, message)));
    let Some(flows) = tshark::flows(&path) else { return };
    let text = format!("{flows:?}");
    assert!(text.contains("\"769\"") && text.contains("\"260\""), "769 is type 3, code 1; 260 is type 1, code 4: {text}");
}

#[test]
fn a_step_of_the_wall_clock_moves_what_records_show_and_no_duration() {
    const HOUR: i64 = 3_600_000_000_000;
    let annex = Room::whole(128, Wants::ALL);
    let wanted = Wanted { huge: false, populate: false };
    let sizing = Sizing { ipv4: 64, wide: 64, annex, wanted, simd: Simd::detect(), seed: 7, worker: 0, first_id: 1 };
    let records = |offset: i64| {
        let mut tracker = Tracker::new(&sizing, Policy::default()).unwrap();
        let mut records: Vec<Record> = Vec::new();
        for (at, packet) in connection(IN_ORDER).iter().enumerate() {
            let Packet { time, bytes } = packet;
            if at == 4 {
                // In the middle of the connection.
                tracker.set_offset(offset);
            }
            tracker.sweep(*time, u32::MAX, &mut records);
            let frame = Frame { bytes, wire_len: u32::try_from(bytes.len()).unwrap(), link: Link::Ethernet, time: *time, port: 0 };
            tracker.meter(&[frame], *time, &mut records);
        }
        let mut flush = Flush::default();
        while tracker.flush(&mut flush, &mut records) {}
        only(records)
    };
    let plain = records(0);
    for offset in [HOUR, -HOUR, 12_345_678] {
        let stepped = records(offset);
        let by = |time: u64| time.saturating_add_signed(offset);
        assert_eq!((stepped.start, stepped.end), (by(plain.start), by(plain.end)));
        let first = |record: &Record| record.get::<FirstPackets>().unwrap().packets().map(|packet| packet.time).collect::<Vec<_>>();
        assert_eq!(first(&stepped), first(&plain).into_iter().map(by).collect::<Vec<_>>());
        assert_eq!(
            (stepped.get::<TcpPerformance>(), stepped.get::<NetTisa>(), stepped.packets),
            (plain.get::<TcpPerformance>(), plain.get::<NetTisa>(), plain.packets)
        );
    }
}
