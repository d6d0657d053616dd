//! What IPFIX says of layers and performance is what `sonde replay` prints in JSON: read by tshark, which knows IANA's elements and
//! ntop's, and by our collector, which knows all. And a dataplane sends what a replay writes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use sonde_record::field::DOCUMENTATION_PEN;
use sonde_tests::collector::{Collected, Collector, Decoder, Element, Record, messages, reverse};
use sonde_tests::harness::{Lab, PATIENCE, binary, replayed, run, until};
use sonde_tests::traffic::{
    Arp, Close, Endpoint, Ipv4, Ipv6, Layer, MILLISECOND, Packet, Path as Way, START, Stack, TcpConversation, capture, office,
};
use sonde_tests::tshark::{self, Flow};

const NTOP: u32 = 35_632;
const FLOWMON: u32 = 39_499;
const CESNET: u32 = 8057;

/// IPv4 with UDP from this host to its neighbour, as octets.
fn inside(host: u8) -> Vec<u8> {
    Stack::new().ipv4([10, 9, 0, host], [10, 9, 1, host]).udp(7000, 7001).payload([host; 40]).build_unpadded()
}

/// An Ethernet frame, as octets, whose source ends with this number.
fn frame(host: u8) -> Vec<u8> {
    [vec![2, 0, 0, 0, 2, host, 2, 0, 0, 0, 1, host, 8, 0], inside(host)].concat()
}

/// One packet of everything that is a group of fields, each with addresses of its own.
fn layered() -> Vec<Vec<u8>> {
    let outer = || Stack::ethernet().ipv4([192, 0, 2, 1], [192, 0, 2, 2]);
    let raw = |stack: Stack, protocol: u8, octets: Vec<u8>| {
        stack.push(Ipv4 { protocol: Some(protocol), ..Ipv4::new([192, 0, 2, 1], [192, 0, 2, 2]) }).payload(octets).build()
    };
    let tag = |tpid, tci, ethertype| Layer::Vlan { tpid, tci, ethertype };
    let gre_with_key = [vec![0x20, 0, 8, 0, 0, 0, 0x12, 0x34], inside(3)].concat();
    let nvgre = [vec![0x20, 0, 0x65, 0x58, 0, 0x30, 0x39, 7], frame(4)].concat();
    // Two labels, the lower one at the bottom: 1000 with traffic class 5 and TTL 62, 16 with TTL 61.
    let labels = [0x00, 0x3e, 0x8a, 62, 0x00, 0x01, 0x01, 61];
    let gtp = [vec![0x30, 0xff, 0, 68, 0xde, 0xad, 0xbe, 0xef], inside(6)].concat();
    let esp = [0xca, 0xfe, 0xba, 0xbe, 0, 0, 0, 1].iter().copied().chain([0x55; 40]).collect();
    let v6 = || Ipv6 { label: 0xabcde, hop_limit: 57, ..Ipv6::new([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1], [0x2001, 0xdb8, 0, 0, 0, 0, 0, 2]) };
    let arp = Arp {
        operation: 2,
        sender_mac: [2, 0, 0, 0, 0, 1],
        sender: [198, 51, 100, 254].into(),
        target_mac: [2, 0, 0, 0, 0, 2],
        target: [198, 51, 100, 7].into(),
    };
    // A segment routing header: one segment, which is left, flags 0, tag 0x1234 (RFC 8754 section 2).
    let segment = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x77];
    let srh = [vec![17, 2, 4, 1, 0, 0, 0x12, 0x34], segment.to_vec(), vec![0x1f, 0x90, 0x1f, 0x91, 0, 12, 0, 0, 1, 2, 3, 4]].concat();
    vec![
        // Priority 5 with DEI outside, 3 without it inside.
        Stack::ethernet()
            .push(tag(0x88a8, 0xb000 | 100, None))
            .push(tag(0x8100, 0x6000 | 7, None))
            .push(Ipv4 { dont_fragment: true, ttl: 33, tos: 0x2e, ..Ipv4::new([10, 1, 0, 1], [10, 1, 0, 2]) })
            .udp(1, 2)
            .payload([1; 30])
            .build(),
        Stack::ethernet().push(Ipv6 { class: 0x12, ..v6() }).udp(3, 4).payload([2; 30]).build(),
        outer().udp(40_001, 4789).payload([vec![8, 0, 0, 0, 0, 0x30, 0x39, 0], frame(2)].concat()).build(),
        raw(Stack::ethernet(), 47, gre_with_key),
        raw(Stack::ethernet(), 47, nvgre),
        [vec![2, 0, 0, 0, 0, 9, 2, 0, 0, 0, 0, 8, 0x88, 0x47], labels.to_vec(), inside(5)].concat(),
        outer().udp(2152, 2152).payload(gtp).build(),
        raw(Stack::ethernet(), 50, esp),
        Stack::ethernet().push(Ipv6 { next: Some(43), ..v6() }).payload(srh).build(),
        Stack::ethernet().push(Ipv6 { next: Some(4), ..v6() }).payload(inside(8)).build(),
        Stack::ethernet().push(arp).build(),
    ]
}

/// Requests and answers of DNS, NTP and RADIUS, of DNS one that nobody answers, and connections of QUIC, one whose Initial is sent again.
fn datagrams() -> Vec<Packet> {
    // Milliseconds, whether it is an answer, payload.
    type Talk = Vec<(u64, bool, Vec<u8>)>;
    let dns = |flags: u8| [vec![0x12, 0x34, flags, 0, 0, 1], vec![0; 30]].concat();
    let mut ntp = [vec![0x23; 40], vec![1, 2, 3, 4, 5, 6, 7, 8], vec![0x24; 24], vec![1, 2, 3, 4, 5, 6, 7, 8], vec![0; 16]].concat();
    let ntp_answer = ntp.split_off(48);
    let radius = |code: u8| [vec![code, 7, 0, 20], vec![0; 16]].concat();
    let long = |first: u8| [vec![first, 0, 0, 0, 1, 8], vec![5; 1194]].concat();
    let talks: [(u16, Talk); 6] = [
        (53, vec![(0, false, dns(1)), (7, true, dns(0x81)), (100, false, dns(1)), (111, true, dns(0x81))]),
        (123, vec![(3, false, ntp), (5, true, ntp_answer)]),
        (1812, vec![(1, false, radius(1)), (44, true, radius(2))]),
        (53, vec![(9, false, dns(1))]),
        (443, vec![(0, false, long(0xc0)), (21, true, long(0xc0)), (34, false, long(0xe0)), (40, true, vec![0x40; 60])]),
        (443, vec![(2, false, long(0xc0)), (3, false, long(0xc0)), (21, true, long(0xc0)), (34, false, long(0xe0))]),
    ];
    let mut packets = Vec::new();
    for (host, (port, talk)) in (0..).zip(talks) {
        for (ms, answer, payload) in talk {
            let (from, to) = if answer { (2, 1) } else { (1, 2) };
            let (sport, dport) = if answer { (port, 40_000) } else { (40_000, port) };
            let stack = if host % 2 == 0 {
                Stack::ethernet().ipv4([10, 3, from, host], [10, 3, to, host])
            } else {
                Stack::ethernet().ipv6([from; 16], [to; 16])
            };
            let sport = if sport == port { sport } else { sport + u16::from(host) };
            let dport = if dport == port { dport } else { dport + u16::from(host) };
            packets.push(Packet { time: START + ms * MILLISECOND + 1_234, bytes: stack.udp(sport, dport).payload(payload).build() });
        }
    }
    packets
}

/// Layers of every kind, TCP of both versions, and UDP whose performance is measured.
fn everything(path: &Path) {
    let mut packets: Vec<_> = (0..).zip(layered()).map(|(n, bytes)| Packet { time: START + n * MILLISECOND, bytes }).collect();
    for (n, address, other) in [(0, "10.2.0.1", "10.2.0.2"), (1, "2001:db8:2::1", "2001:db8:2::2")] {
        let client = Endpoint { ttl: 61, ..Endpoint::new([2, 0, 0, 0, 0, 1], address.parse::<std::net::IpAddr>().unwrap(), 50_000 + n) };
        let server = Endpoint::new([2, 0, 0, 0, 0, 2], other.parse::<std::net::IpAddr>().unwrap(), 443);
        let way = Way { vlans: vec![30], round_trip: 23_456_789, ..Way::new(client, server) };
        let mut talk = TcpConversation::open(way, START + u64::from(n) * MILLISECOND, [1000, u32::MAX]);
        talk.send(true, &[1; 700]).wait(7_654_321).send(false, &[2; 20_000]).wait(MILLISECOND).send(true, &[3; 300]);
        packets.extend(talk.close(Close::Fin));
    }
    packets.extend(datagrams());
    capture::save_in_order(path, packets);
}

/// A number or a text of a flow in JSON; `None` where there is nothing.
fn json(flow: &Value, path: &str) -> Option<String> {
    match flow.pointer(path)? {
        Value::Number(number) => Some(number.to_string()),
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        _ => None,
    }
}

/// A value of tshark in the form of JSON: numbers are decimal.
fn plain(text: &str) -> String {
    text.strip_prefix("0x").and_then(|digits| u64::from_str_radix(digits, 16).ok()).map_or_else(|| text.to_owned(), |n| n.to_string())
}

/// The names of flowEndReason, from 1 on.
const END_REASONS: [&str; 5] = ["idle", "active", "end_of_flow", "forced", "lack_of_resources"];

/// Where a value stands in JSON, the name of tshark's field, which of the values of this name it is.
const SAME: &[(&str, &str, usize)] = &[
    ("/octets", "cflow.octets", 0),
    ("/octets_reverse", "cflow.octets", 1),
    ("/packets", "cflow.packets", 0),
    ("/packets_reverse", "cflow.packets", 1),
    ("/source_mac", "cflow.srcmac", 0),
    ("/destination_mac", "cflow.dstmac", 0),
    ("/ethernet_type", "cflow.ethernet_type", 0),
    ("/end_reason", "cflow.flow_end_reason", 0),
    ("/vlan_ids/0", "cflow.vlanid", 0),
    ("/vlan_ids/0", "cflow.dot1q_vlan_id", 0),
    ("/vlan_ids/1", "cflow.dot1q_customer_vlan_id", 0),
    ("/layers/spi", "cflow.ipsec_spi", 0),
    ("/layers/gre_key", "cflow.gre_key", 0),
    ("/layers/tunnel_id", "cflow.pie.ntop.tunnel_id", 0),
    ("/layers/outer_protocol", "cflow.pie.ntop.untunneled_protocol", 0),
    ("/layers/outer_source_port", "cflow.pie.ntop.untunneled_l4_src_port", 0),
    ("/layers/outer_destination_port", "cflow.pie.ntop.untunneled_l4_dst_port", 0),
    ("/layers/inner_source_mac", "cflow.dot1q_customer_source_mac_address", 0),
    ("/layers/inner_destination_mac", "cflow.dot1q_customer_destination_mac_address", 0),
];

/// The same for flows with an IP header.
const SAME_IP: &[(&str, &str, usize)] = &[
    ("/protocol", "cflow.protocol", 0),
    ("/source_port", "cflow.srcport", 0),
    ("/destination_port", "cflow.dstport", 0),
    ("/tos", "cflow.tos", 0),
    ("/ttl", "cflow.ip_ttl", 0),
    ("/ttl_min", "cflow.ttl_min", 0),
    ("/ttl_max", "cflow.ttl_max", 0),
    ("/tcp_control_bits", "cflow.tcpflags", 0),
    ("/tcp_control_bits_reverse", "cflow.tcpflags", 1),
    ("/tcp/forward/syn_count", "cflow.total_tcp_syn", 0),
    ("/tcp/reverse/syn_count", "cflow.total_tcp_syn", 1),
    ("/tcp/forward/fin_count", "cflow.total_tcp_fin", 0),
    ("/tcp/reverse/fin_count", "cflow.total_tcp_fin", 1),
    ("/tcp/forward/rst_count", "cflow.total_tcp_rst", 0),
    ("/tcp/reverse/rst_count", "cflow.total_tcp_rst", 1),
    ("/tcp/forward/syn_window", "cflow.tcp_windows_size", 0),
    ("/tcp/reverse/syn_window", "cflow.tcp_windows_size", 1),
    ("/tcp/forward/retransmissions", "cflow.pie.ntop.retransmitted_in_pkts", 0),
    ("/tcp/reverse/retransmissions", "cflow.pie.ntop.retransmitted_out_pkts", 0),
    ("/tcp/forward/out_of_order", "cflow.pie.ntop.ooorder_in_pkts", 0),
    ("/tcp/reverse/out_of_order", "cflow.pie.ntop.ooorder_out_pkts", 0),
    ("/tcp/forward/mss", "cflow.pie.ntop.tcp_win_mss_in", 0),
    ("/tcp/reverse/mss", "cflow.pie.ntop.tcp_win_mss_out", 0),
    ("/tcp/forward/window_scale", "cflow.pie.ntop.tcp_win_scale_in", 0),
    ("/tcp/reverse/window_scale", "cflow.pie.ntop.tcp_win_scale_out", 0),
];

/// Compares a flow as JSON with the same flow as tshark reads it; returns the paths whose values were there and equal.
fn same(flow: &Value, read: &Flow) -> BTreeSet<&'static str> {
    let mut equal = BTreeSet::new();
    let mut check = |path: &'static str, field: &str, at: usize| {
        let Some(expected) = json(flow, path) else { return };
        // JSON has the registry's name of it.
        let expected = END_REASONS.iter().position(|name| *name == expected).map_or(expected, |at| (at + 1).to_string());
        // What a flow does not have (no tunnel, no labels) is 0 in JSON, and may be absent from the template.
        let found = read.get(field).and_then(|values| values.get(at)).map(|text| plain(text));
        assert_eq!(found.unwrap_or_else(|| "0".to_owned()), expected, "{path} {field} of {flow}\n{read:?}");
        if expected != "0" {
            equal.insert(path);
        }
    };
    SAME.iter().for_each(|(path, field, at)| check(path, field, *at));
    let kind = flow["kind"].as_str().unwrap();
    if kind != "layer2" {
        SAME_IP.iter().for_each(|(path, field, at)| check(path, field, *at));
        let family = if kind == "ipv4" { "" } else { "v6" };
        check("/source_address", &format!("cflow.srcaddr{family}"), 0);
        check("/destination_address", &format!("cflow.dstaddr{family}"), 0);
        check("/flow_label", "cflow.ipv6flowlabel", 0);
        check("/ip_flags", "cflow.ip_fragment_flags", 0);
        let client = if flow["tcp"]["client_is_reverse"] == true { ["reverse", "forward"] } else { ["forward", "reverse"] };
        for (way, field) in client.into_iter().zip(["cflow.initiator_octets", "cflow.responder_octets"]) {
            let path = if way == "forward" { "/tcp/forward/payload_octets" } else { "/tcp/reverse/payload_octets" };
            check(path, field, 0);
        }
    }
    let family = if json(flow, "/layers/outer_source_address").is_some_and(|address| address.contains(':')) { "ipv6" } else { "ipv4" };
    check("/layers/outer_source_address", &format!("cflow.pie.ntop.untunneled_{family}_src_addr"), 0);
    check("/layers/outer_destination_address", &format!("cflow.pie.ntop.untunneled_{family}_dst_addr"), 0);
    for (at, path) in ["/layers/mpls/0", "/layers/mpls/1", "/layers/mpls/2"].into_iter().enumerate() {
        let Some(entry) = json(flow, path).and_then(|entry| entry.parse::<u32>().ok()) else { continue };
        assert_eq!(read["cflow.mpls_label"][at], (entry >> 12).to_string(), "{path} of {flow}");
        equal.insert(path);
    }
    equal
}

/// Compares the records of replays, as tshark and as JSON have them, by stream, number and counts: a flow that goes on has several.
fn compare(paths: &[PathBuf], scratch: &Path) -> Option<BTreeSet<&'static str>> {
    let replays: Vec<_> = paths.iter().map(|path| replayed(path, &["--tunnels", "both"])).collect();
    // A stream each, and one run of tshark for all: it takes long to start.
    let port = |at: usize| 10_000 + u16::try_from(at).unwrap();
    tshark::as_capture(scratch, replays.iter().enumerate().flat_map(|(at, (_, file))| messages(file).map(move |m| (port(at), m))));
    let key = |flow: &Flow| {
        [("udp.srcport", 0), ("cflow.flow_id", 0), ("cflow.octets", 0), ("cflow.packets", 1)].map(|(field, at)| flow[field][at].clone())
    };
    let read: BTreeMap<_, _> = tshark::flows_of_long_templates(scratch)?.into_iter().map(|flow| (key(&flow), flow)).collect();
    let mut equal = BTreeSet::new();
    for (at, (flows, _)) in replays.iter().enumerate() {
        for flow in flows {
            let [number, octets, packets] = ["/flow_id", "/octets", "/packets_reverse"].map(|path| json(flow, path).unwrap());
            let key = [port(at).to_string(), number, octets, packets];
            let found = read.get(&key).unwrap_or_else(|| panic!("{}: tshark does not read {key:?}", paths[at].display()));
            check_latencies(flow, found);
            equal.extend(same(flow, found));
        }
    }
    Some(equal)
}

#[test]
fn tshark_reads_what_replay_prints() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("everything.pcap");
    everything(&path);
    let Some(equal) = compare(std::slice::from_ref(&path), &folder.path().join("ipfix.pcap")) else { return };
    let all: BTreeSet<&str> = SAME.iter().chain(SAME_IP).map(|(path, ..)| *path).collect();
    let zero = ["rst_count", "retransmissions", "out_of_order"];
    let missing: Vec<_> = all.difference(&equal).filter(|path| !zero.iter().any(|name| path.ends_with(name))).collect();
    assert!(missing.is_empty(), "no flow has {missing:?}");
    for path in ["/flow_label", "/ip_flags", "/layers/mpls/1", "/layers/outer_source_address", "/tcp/reverse/payload_octets"] {
        assert!(equal.contains(path), "no flow has {path}");
    }
}

#[test]
fn tshark_reads_what_replay_prints_of_the_corpus() {
    let Some(corpus) = sonde_tests::corpus::corpus(&["pcaps/tunnels", "pcaps/tcp-metrics"], "IPFIX of real captures was") else { return };
    let folder = tempfile::tempdir().unwrap();
    let group = |name: &str| std::fs::read_dir(corpus.join("pcaps").join(name)).unwrap().map(|entry| entry.unwrap().path());
    // What is large has many flows of the same kinds.
    let small = |path: &PathBuf| path.metadata().unwrap().len() < 400_000;
    let files: BTreeSet<PathBuf> = ["tunnels", "tcp-metrics", "l2"].into_iter().flat_map(group).filter(small).collect();
    assert!(files.len() > 100, "{files:?}");
    let files: Vec<_> = files.into_iter().collect();
    let Some(equal) = compare(&files, &folder.path().join("ipfix.pcap")) else { return };
    for path in ["/layers/mpls/1", "/layers/tunnel_id", "/layers/gre_key", "/layers/spi", "/tcp/forward/retransmissions", "/flow_label"] {
        assert!(equal.contains(path), "no flow of the corpus has {path}");
    }
}

/// An IPFIX file with these fields, of what a record says without being asked, or of everything.
fn chosen(path: &Path, folder: &Path, fields: &str, everything: bool) -> Vec<u8> {
    let prefixes = folder.join("prefixes");
    std::fs::write(&prefixes, "10.0.0.0/8 lab\n2001:db8::/32 lab6\n").unwrap();
    let mut replay = Command::new(binary("sonde"));
    replay.arg("replay").arg(path).args(["--format", "ipfix", "--fields", fields]);
    if everything {
        replay.args(["--patterns", "--prefixes"]).arg(prefixes);
    }
    let out = replay.output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    out.stdout
}

#[test]
fn tshark_reads_every_template_of_the_standard_fields_with_its_own_preferences() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("everything.pcap");
    everything(&path);
    let read = |fields: &str, everything: bool| {
        let file = chosen(&path, folder.path(), fields, everything);
        let collected = Decoder::file(&file);
        assert_eq!((&collected.faults, collected.missing), (&Vec::new(), 0));
        let capture = folder.path().join("ipfix.pcap");
        tshark::as_capture(&capture, messages(&file).map(|message| (10_000, message)));
        tshark::flows(&capture).map(|flows| (collected, flows))
    };
    let numbers = |flow: &Flow| ["cflow.flow_id", "cflow.octets"].map(|field| flow[field][0].parse::<u64>().unwrap());
    for everything in [false, true] {
        let Some((standard, flows)) = read("standard", everything) else { return };
        let expected: BTreeSet<_> = standard.records.iter().map(|record| [value(record, (0, 148)), value(record, (0, 1))]).collect();
        assert_eq!(flows.iter().map(numbers).collect::<BTreeSet<_>>(), expected);
        // Tags, tunnels and performance were among them, places and patterns.
        let said: BTreeSet<_> = standard.records.iter().map(|record| says(record).1).collect();
        assert_eq!(said, BTreeSet::from(["ARP", "QUIC", "TCP", "UDP", "labels", "plain", "tunnel"]));
        let there: BTreeSet<Element> = standard.records.iter().flat_map(|record| record.values.keys().copied()).collect();
        let elements = [(0, 389), (0, 16), (NTOP, 525), (CESNET, 1020)].map(|element| there.contains(&element));
        assert_eq!(elements, [!everything, everything, everything, everything]);
        let has_all = |record: &&Record| record.lists.contains_key(&(CESNET, 1013)) && record.values.contains_key(&(NTOP, 525));
        assert_eq!(standard.records.iter().filter(has_all).any(|record| says(record) == ("IPv4", "TCP")), everything);
    }
    let (full, flows) = read("full", true).unwrap();
    assert!(flows.len() < full.records.len(), "without the limit there would be nothing to keep to");
    let (named, flows) = read("flowId,octetDeltaCount,tcpControlBits,packetTime", true).unwrap();
    assert_eq!((named.records.len(), flows.len()), (full.records.len(), full.records.len()));
    let connection = named.records.iter().find(|record| record.lists.contains_key(&(CESNET, 1014))).unwrap();
    let fields: Vec<_> = connection.values.keys().filter(|(pen, id)| (*pen, *id) != (0, 291)).copied().collect();
    assert_eq!(fields, [(0, 1), (0, 6), (0, 148), reverse((0, 1)), reverse((0, 6))], "of each name both directions");
}

#[test]
fn a_field_that_is_none_is_refused_with_the_nearest() {
    let said = run(Command::new(binary("sonde")).args(["replay", "none.pcap", "--format", "ipfix", "--fields", "octetDeltaCont,flowID"]));
    assert_eq!(said.code, Some(2), "{said:?}");
    for sentence in ["\"octetDeltaCont\" is no element; did you mean octetDeltaCount?", "\"flowID\" is no element; did you mean flowId?"] {
        assert!(said.stderr.contains(sentence), "{}", said.stderr);
    }
}

/// Microseconds of JSON as a collector gets them: in units of so many nanoseconds, rounded up, at least one; 0 where there is nothing.
fn units(flow: &Value, path: &str, nanoseconds: f64) -> u64 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small and positive")]
    let units = |us: f64| ((us * 1000.0).round() / nanoseconds).ceil().max(1.0) as u64;
    flow.pointer(path).and_then(Value::as_f64).map_or(0, units)
}

/// The round trip of the handshake of TCP or QUIC, in microseconds, and half of its halves, of client and server, in milliseconds.
fn round_trip(flow: &Value) -> [u64; 3] {
    if flow["rtt_unambiguous"] != true {
        return [0; 3];
    }
    let [server, client] = ["server_rtt_us", "client_rtt_us"].map(|name| flow[name].as_f64().unwrap());
    let of = |us: f64, nanoseconds| units(&serde_json::json!({ "us": us }), "/us", nanoseconds);
    [of(server + client, 1e3), of(client / 2.0, 1e6), of(server / 2.0, 1e6)]
}

/// What tshark reads of the latencies that come in milliseconds.
fn check_latencies(flow: &Value, read: &Flow) {
    let found = |field: &str| read.get(field).map_or(0, |values| values[0].parse::<u64>().unwrap());
    let latencies = ["cflow.pie.ntop.client_nw_latency_ms", "cflow.pie.server_nw_latency_ms"].map(found);
    let performance = ["tcp", "quic"].into_iter().find(|name| flow[name].is_object());
    let unambiguous = performance.filter(|name| flow[name]["rtt_unambiguous"] == true);
    if let Some(name) = unambiguous {
        let [_, client, server] = round_trip(&flow[name]);
        assert_eq!(latencies, [client, server], "{flow}");
    }
    if flow["udp"].is_object() {
        let answered = flow["udp"]["responses"].as_u64().is_some_and(|count| count != 0);
        let expected = if answered { units(flow, "/udp/response_mean_us", 1e6) } else { 0 };
        assert_eq!(found("cflow.pie.ntop.appl_latency_ms"), expected, "{flow}");
    }
}

fn value(record: &Record, element: Element) -> u64 {
    record.value(element).unwrap_or_else(|| panic!("no {element:?} in template {}", record.template))
}

/// What tshark does not know: Flowmon's and CESNET's elements, and what it has no name for.
fn check_performance(flow: &Value, record: &Record) {
    let number = |path: &str| json(flow, path).map_or(0, |text| text.parse::<u64>().unwrap());
    assert_eq!(value(record, (FLOWMON, 69)), round_trip(&flow["tcp"])[0], "npnRoundTripTime");
    let answered = flow["tcp"]["responses"].is_u64();
    assert_eq!(value(record, (FLOWMON, 70)), if answered { units(flow, "/tcp/response_mean_us", 1000.0) } else { 0 });
    for (name, ids) in [("jitter", [63, 62, 64, 61]), ("delay", [67, 66, 68, 65])] {
        for (what, id) in ["min", "mean", "max", "deviation"].into_iter().zip(ids) {
            assert_eq!(value(record, (FLOWMON, id)), units(flow, &format!("/tcp/forward/{name}_{what}_us"), 1000.0), "{name} {what}");
        }
    }
    for (way, ids) in [("forward", [531, 533, 532, 534]), ("reverse", [535, 537, 536, 538])] {
        for (what, id) in ["min", "mean", "max", "deviation"].into_iter().zip(ids) {
            assert_eq!(value(record, (NTOP, id)), units(flow, &format!("/tcp/{way}/delay_{what}_us"), 1e6), "{way} {what}");
        }
    }
    for (name, id) in [("psh_count", 221), ("ack_count", 222), ("urg_count", 223), ("tcp_options", 209)] {
        assert_eq!(value(record, (0, id)), number(&format!("/tcp/forward/{name}")), "{name}");
        assert_eq!(value(record, reverse((0, id))), number(&format!("/tcp/reverse/{name}")), "{name}");
    }
    let client = if flow["tcp"]["client_is_reverse"] == true { "reverse" } else { "forward" };
    assert_eq!(value(record, (FLOWMON, 80)), number(&format!("/tcp/{client}/syn_octets")).min(255));
    assert_eq!(value(record, (FLOWMON, 81)), number(&format!("/tcp/{client}/syn_ttl")));
}

/// Which kind of performance of UDP the flow has, when it is what the record says.
fn check_datagrams(flow: &Value, record: &Record) -> Option<&'static str> {
    if let Some(application) = json(flow, "/udp/application") {
        let (name, port) =
            [("dns", 53), ("ntp", 123), ("snmp", 161), ("radius", 1812)].into_iter().find(|(name, _)| *name == application)?;
        assert_eq!(value(record, (0, 95)), 3 << 16 | port, "applicationId");
        let answered = flow["udp"]["responses"].as_u64().is_some_and(|count| count != 0);
        let mean = [(FLOWMON, 70), (NTOP, 125)].map(|element| value(record, element));
        assert_eq!(mean, [1e3, 1e6].map(|unit| if answered { units(flow, "/udp/response_mean_us", unit) } else { 0 }), "{flow}");
        return Some(if answered { name } else { "unanswered" });
    }
    flow["quic"].is_object().then(|| {
        let [all, client, server] = round_trip(&flow["quic"]);
        assert_eq!(value(record, (FLOWMON, 69)), all, "npnRoundTripTime of {flow}");
        if all != 0 {
            assert_eq!([123, 124].map(|id| value(record, (NTOP, id))), [client, server], "{flow}");
        }
        if all == 0 { "quic again" } else { "quic" }
    })
}

#[test]
fn a_collector_reads_the_performance_and_the_layers_that_tshark_does_not_know() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("office.pcap");
    let mut packets = office(300, 4_000 * MILLISECOND, 8);
    everything(&path);
    let (layers, layers_file) = replayed(&path, &["--tunnels", "both"]);
    packets.sort_by_key(|packet| packet.time);
    capture::save_in_order(&path, packets);
    let (office, office_file) = replayed(&path, &["--tunnels", "both"]);
    let mut measured = 0;
    let mut datagrams = BTreeSet::new();
    for (flows, file) in [(layers, layers_file), (office, office_file)] {
        let collected = Decoder::file(&file);
        assert_eq!((collected.faults, collected.missing, collected.records.len()), (Vec::new(), 0, flows.len()));
        let read: BTreeMap<_, _> =
            collected.records.iter().map(|record| ((value(record, (0, 148)), value(record, (0, 1))), record)).collect();
        for flow in &flows {
            let record = read[&(flow["flow_id"].as_u64().unwrap(), flow["octets"].as_u64().unwrap())];
            if flow["tcp"].is_object() {
                check_performance(flow, record);
                measured += u32::from(value(record, (FLOWMON, 69)) != 0 && value(record, (FLOWMON, 70)) != 0);
            }
            datagrams.extend(check_datagrams(flow, record));
            if let Some(operation) = json(flow, "/layers/arp_operation").filter(|operation| operation != "0") {
                let text = |id| record.text((CESNET, id)).unwrap().trim_end_matches('\0').to_owned();
                let arp = [value(record, (CESNET, 33)).to_string(), text(35), text(37)];
                assert_eq!(arp, [operation, json(flow, "/layers/arp_sender").unwrap(), json(flow, "/layers/arp_target").unwrap()]);
            }
            if let Some(segments) = json(flow, "/layers/srh_segments").filter(|segments| segments != "0") {
                assert_eq!((segments.as_str(), value(record, (0, 498)), value(record, (0, 493))), ("1", 1, 0x1234));
                assert_eq!(record.values[&(0, 494)][..4], [0x20, 1, 0xd, 0xb8]);
            }
        }
    }
    assert!(measured > 20, "{measured} connections with round trip and response time");
    let all = BTreeSet::from(["dns", "ntp", "radius", "unanswered", "quic", "quic again"]);
    assert_eq!(datagrams, all);
}

/// Elements with their values.
type Values = Vec<(Element, Vec<u8>)>;

/// Values of a record that do not depend on when and where it was metered: neither its times nor its number. The operator's own elements
/// have a test of their own.
fn timeless(record: &Record) -> Values {
    let times = |(pen, id): &Element| match *pen {
        0 => matches!(id, 10 | 136 | 148 | 152 | 153 | 156 | 157),
        FLOWMON => matches!(id, 61..=70),
        NTOP => matches!(id, 123..=125 | 531..=538),
        DOCUMENTATION_PEN => true,
        _ => false,
    };
    record.values.iter().filter(|(element, _)| !times(element)).map(|(element, value)| (*element, value.clone())).collect()
}

fn sorted(collected: &Collected) -> Vec<(u16, Values)> {
    let mut all: Vec<_> = collected.records.iter().map(|record| (record.template, timeless(record))).collect();
    all.sort();
    all
}

/// What a record says beside the plain fields, by an element that only such records have, and of which kind it is.
fn says(record: &Record) -> (&'static str, &'static str) {
    let has = |element: &Element| record.values.contains_key(element);
    let facts = [
        ("TCP", (0, 231)),
        ("UDP", (0, 95)),
        ("QUIC", (FLOWMON, 69)),
        ("ARP", (CESNET, 33)),
        ("labels", (0, 202)),
        ("tunnel", (NTOP, 113)),
    ];
    let kind = [("IPv4", (0, 8)), ("IPv6", (0, 27))].iter().find(|(_, element)| has(element)).map_or("layer 2", |(kind, _)| kind);
    (kind, facts.iter().find(|(_, element)| has(element)).map_or("plain", |(fact, _)| fact))
}

#[test]
fn a_dataplane_sends_what_a_replay_writes() {
    let lab = Lab::new("groups");
    let path = lab.path("everything.pcap");
    everything(&path);
    // The view of tunnels that a dataplane has unless told otherwise.
    let written = Decoder::file(&replayed(&path, &["--tunnels", "inner"]).1);
    let collector = Collector::udp().unwrap();
    let port = format!("boot.ports[0].device=net_pcap0,rx_pcap={}", path.display());
    let address = format!("live.exporters[0].address={}", collector.address());
    let exporter = ["live.exporters[0].name=exporters/test", "live.exporters[0].fields=full"];
    let sets = ["boot.cores.workers=[]", "live.timeouts.idle_timeout_ms=500", exporter[0], exporter[1], &port, &address];
    let dataplane = lab.dataplane(&sets);
    let complete = collector.wait(PATIENCE, |collected| collected.records.len() >= written.records.len());
    let found = collector.look(|collected| collected.records.len());
    assert!(complete, "{found} of {} records", written.records.len());
    let ended = dataplane.stop();
    assert!(ended.status.success(), "{}", ended.text);
    let sent = collector.stop();
    assert_eq!(sent.faults, Vec::<String>::new());
    assert_eq!(sorted(&sent), sorted(&written));
    let said: BTreeSet<_> = sent.records.iter().map(says).collect();
    for facts in
        [("IPv4", "UDP"), ("IPv6", "UDP"), ("IPv4", "QUIC"), ("IPv6", "QUIC"), ("IPv4", "TCP"), ("IPv6", "TCP"), ("layer 2", "ARP")]
    {
        assert!(said.contains(&facts), "{facts:?} of {said:?}");
    }
    for fact in ["plain", "labels", "tunnel"] {
        assert!(said.iter().any(|(_, other)| *other == fact), "{fact} of {said:?}");
    }
}

#[test]
fn an_exporter_sends_what_its_filter_selects_as_replay_writes_it() {
    let filter = "protocol = udp and (address in 10.0.0.0/8 or total_packets > 1) or ethernet_type = 0x0806";
    let lab = Lab::new("filter");
    let path = lab.path("everything.pcap");
    everything(&path);
    let all = Decoder::file(&replayed(&path, &["--tunnels", "inner"]).1).records.len();
    let written = Decoder::file(&replayed(&path, &["--tunnels", "inner", "--where", filter]).1);
    assert!(written.records.len() > 5 && written.records.len() < all - 5, "{} of {all}", written.records.len());
    let collector = Collector::udp().unwrap();
    let port = format!("boot.ports[0].device=net_pcap0,rx_pcap={}", path.display());
    let address = format!("live.exporters[0].address={}", collector.address());
    let filter = format!("live.exporters[0].filter={filter}");
    let exporter = ["live.exporters[0].name=exporters/test", "live.exporters[0].fields=full", &filter];
    let sets = ["boot.cores.workers=[]", "live.timeouts.idle_timeout_ms=500", exporter[0], exporter[1], exporter[2], &port, &address];
    let dataplane = lab.dataplane(&sets);
    let complete = collector.wait(PATIENCE, |collected| collected.records.len() >= written.records.len());
    assert!(complete, "{} of {} records", collector.look(|collected| collected.records.len()), written.records.len());
    let ended = dataplane.stop();
    assert!(ended.status.success(), "{}", ended.text);
    assert_eq!(sorted(&collector.stop()), sorted(&written));
}

#[test]
fn the_control_plane_shows_the_places_that_its_dataplane_exports() {
    let lab = Lab::new("places");
    let path = lab.path("everything.pcap");
    everything(&path);
    let collector = Collector::udp().unwrap();
    let port = format!("boot.ports[0].device=net_pcap0,rx_pcap={}", path.display());
    let address = format!("live.exporters[0].address={}", collector.address());
    let own = ["live.enrichment.prefixes[0].prefix=10.2.0.0/24", "live.enrichment.prefixes[0].name=lab"];
    let sets = ["boot.cores.workers=[]", "live.exporters[0].name=exporters/test", &port, &address, own[0], own[1]];
    let dataplane = lab.dataplane(&sets);
    let control_plane = lab.control_plane();
    let place = until("a talker of the lab", || {
        let top = control_plane.json(&["flows", "top", "--by", "source", "--window", "300"]);
        let entries = top["entries"].as_array()?;
        entries.iter().find(|entry| entry["value"] == "10.2.0.1").map(|entry| entry["place"].clone()).filter(|place| !place.is_null())
    });
    assert_eq!((place["network"].as_str(), place["as_number"].as_u64()), (Some("lab"), Some(0)));
    let ended = dataplane.stop();
    assert!(ended.status.success(), "{}", ended.text);
    let sent = collector.stop();
    let connection = sent.records.iter().find(|record| says(record) == ("IPv4", "TCP")).expect("a connection of IPv4");
    assert_eq!([525, 526].map(|id| connection.text((NTOP, id)).unwrap().trim_end_matches('\0').to_owned()), ["lab", "lab"]);
    let has_places = |record: &Record| says(record).0 == "layer 2" || record.values.contains_key(&(0, 16));
    assert!(sent.records.iter().all(has_places), "every IP flow has places");
}
