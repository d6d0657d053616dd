//! Runs every capture of the reference corpus through the TCP state machine, and compares what it says with what tshark said.
//!
//! The corpus is not part of the project: it is looked for in `$SONDE_CORPUS`, then in `../shared/corpus`. Without it this test says
//! so loudly, and passes. tshark's classes are heuristics; the shares below say how far Sonde's agree with them.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::net::IpAddr;
use std::path::PathBuf;

use bytemuck::Zeroable;
use sonde_flow::perf::{Segment, TcpPerformance, TcpState, valid};
use sonde_packet::{Frame, Headers, Network, Tcp, decode, proto, syn_options};
use sonde_worker::capture::{Batch, Capture};

/// Least share of handshakes both of whose halves are within a microsecond of tshark's.
const RTT_MIN: f64 = 0.994;
/// Least share of connections with equal counts of retransmissions and of segments out of order.
const LOSS_MIN: f64 = 0.99;
/// Least share of connections with other equal counts.
const COUNTS_MIN: f64 = 0.99;
/// Least share of tshark's connections that are found.
const FOUND_MIN: f64 = 0.999;

/// Counts that are compared, named as in the reference, each with `_fwd` and `_rev`.
const COUNTS: [&str; 12] = [
    "retrans",
    "out_of_order",
    "fast_retrans",
    "spurious",
    "dup_ack",
    "lost_segment",
    "zero_window",
    "keep_alive",
    "fin",
    "rst",
    "data_packets",
    "payload",
];

/// The folder of the corpus, if there is one.
fn corpus() -> Option<PathBuf> {
    sonde_tests::corpus::corpus(&["pcaps", "reference/tcp_rtt.csv"], "TCP performance was")
}

type End = (IpAddr, u16);

/// File, client, server, and how many connections between them came before, from 1.
type Key = (End, End, u32);

/// What is compared of a connection. Counts are those of the client, then those of the server.
#[derive(Clone, Debug, PartialEq)]
struct Values {
    server_rtt: Option<f64>,
    client_rtt: Option<f64>,
    counts: BTreeMap<&'static str, [u64; 2]>,
}

/// The reference's connections of each file. Those inside of tunnels are left out.
fn reference(text: &str) -> BTreeMap<String, HashMap<Key, Values>> {
    let mut lines = text.lines();
    let heading: Vec<&str> = lines.next().unwrap().split(',').collect();
    let column = |name: &str| heading.iter().position(|c| *c == name).unwrap_or_else(|| panic!("no column {name}"));
    let [file, src, sport, dst, dport, nth, tunnel] = ["file", "src", "sport", "dst", "dport", "nth", "tunnel"].map(column);
    let rtt = ["server_rtt", "client_rtt"].map(column);
    let counts = COUNTS.map(|name| (name, ["fwd", "rev"].map(|way| column(&format!("{name}_{way}")))));
    let mut found: BTreeMap<String, HashMap<Key, Values>> = BTreeMap::new();
    for line in lines {
        let fields: Vec<&str> = line.split(',').collect();
        assert_eq!(fields.len(), heading.len(), "{line}");
        if !fields[tunnel].is_empty() {
            continue;
        }
        let end = |address: usize, port: usize| (fields[address].parse().unwrap(), fields[port].parse().unwrap());
        let [server_rtt, client_rtt] = rtt.map(|at| fields[at].parse::<f64>().ok());
        let counts = counts.map(|(name, ways)| (name, ways.map(|at| fields[at].parse().unwrap()))).into();
        let key = (end(src, sport), end(dst, dport), fields[nth].parse().unwrap());
        found.entry(fields[file].to_owned()).or_default().insert(key, Values { server_rtt, client_rtt, counts });
    }
    found
}

/// The segment of a frame, with its ends and the bytes of its TCP header; `None` when it is none or not whole.
fn segment<'a>(frame: &Frame<'a>) -> Option<(Segment, [End; 2], &'a [u8])> {
    let headers: Headers = decode(frame).ok()?;
    let (src, dst): (IpAddr, IpAddr) = match headers.network {
        Network::V4(src, dst) => (src.into(), dst.into()),
        Network::V6(src, dst) => (src.into(), dst.into()),
        Network::None => return None,
    };
    let tcp = headers.tcp.filter(|_| headers.protocol == proto::TCP)?;
    let bytes = frame.bytes.get(usize::from(headers.l4_offset)..)?;
    let header = u32::from(bytes.get(12)? >> 4) * 4;
    if header < 20 {
        return None;
    }
    let before = u32::from(headers.l4_offset - headers.l3_offset) + header;
    let segment = Segment {
        time: frame.time,
        seq: tcp.seq,
        ack: tcp.ack,
        payload: headers.octets.saturating_sub(before),
        flags: tcp.flags,
        window: tcp.window,
        octets: u16::try_from(headers.octets).unwrap_or(u16::MAX),
        ttl: headers.ttl,
        way: 0,
    };
    Some((segment, [(src, headers.sport), (dst, headers.dport)], bytes))
}

/// A connection of a capture: who was seen first, and what the state machine made of it.
struct Connection {
    forward: End,
    state: TcpState,
}

/// What the state machine says of the connections of a capture.
fn measure(bytes: &[u8]) -> HashMap<Key, Values> {
    let mut connections: Vec<Connection> = Vec::new();
    let mut latest: HashMap<[End; 2], usize> = HashMap::new();
    let mut ends: Vec<[End; 2]> = Vec::new();
    let Ok(mut capture) = Capture::open(bytes) else { return HashMap::new() };
    let mut batch = Batch::new();
    loop {
        capture.fill(&mut batch);
        if batch.frames().is_empty() {
            break;
        }
        for frame in batch.frames() {
            let Some((mut segment, [src, dst], header)) = segment(frame) else { continue };
            let key = if src <= dst { [src, dst] } else { [dst, src] };
            let options = (segment.flags & Tcp::SYN != 0).then(|| syn_options(header));
            if let Some(connection) = latest.get(&key).and_then(|at| connections.get_mut(*at)) {
                segment.way = u8::from(connection.forward != src);
                if !connection.state.is_reused_by(&segment) {
                    match &options {
                        Some(options) => connection.state.add_syn(&segment, options),
                        None => connection.state.add(&segment),
                    }
                    continue;
                }
            }
            segment.way = 0;
            let mut state = TcpState::zeroed();
            state.begin(&segment, options.as_ref());
            latest.insert(key, connections.len());
            ends.push([src, dst]);
            connections.push(Connection { forward: src, state });
        }
    }
    let mut nth: HashMap<[End; 2], u32> = HashMap::new();
    let name = |(connection, [src, dst]): (&Connection, &[End; 2])| {
        let report = connection.state.report();
        let mut words = [0; 64];
        let length = report.encode(&mut words);
        assert_eq!(TcpPerformance::decode(&words[..length]).as_ref(), Some(&report));
        let [client, server] = if report.client == 0 { [*src, *dst] } else { [*dst, *src] };
        let count = nth.entry([client, server]).or_default();
        *count += 1;
        ((client, server, *count), values(&report))
    };
    connections.iter().zip(&ends).map(name).collect()
}

/// The values that are compared.
fn values(report: &TcpPerformance) -> Values {
    let seconds = |bit: u64, ns: u64| (report.valid & bit != 0).then_some(ns as f64 / 1e9);
    let client = usize::from(report.client);
    let counts = COUNTS.map(|name| {
        let count = |way: usize| {
            let way = &report.ways[way];
            match name {
                "retrans" => u64::from(way.retransmitted),
                "out_of_order" => u64::from(way.out_of_order),
                "fast_retrans" => u64::from(way.fast),
                "spurious" => u64::from(way.spurious),
                "dup_ack" => u64::from(way.duplicate_acks),
                "lost_segment" => u64::from(way.holes),
                "zero_window" => u64::from(way.zero_window),
                "keep_alive" => u64::from(way.keep_alive),
                "fin" => u64::from(way.fin_count),
                "rst" => u64::from(way.rst_count),
                "data_packets" => u64::from(way.data_packets),
                _ => way.payload,
            }
        };
        (name, [count(client), count(1 - client)])
    });
    Values {
        server_rtt: seconds(valid::SERVER_RTT, report.server_rtt),
        client_rtt: seconds(valid::CLIENT_RTT, report.client_rtt),
        counts: counts.into(),
    }
}

/// Equal values of so many.
#[derive(Debug, Default)]
struct Share {
    equal: u32,
    of: u32,
}

impl Share {
    fn add(&mut self, equal: bool) {
        self.equal += u32::from(equal);
        self.of += 1;
    }

    fn share(&self) -> f64 {
        f64::from(self.equal) / f64::from(self.of.max(1))
    }
}

#[test]
fn tcp_performance_is_that_of_the_reference() {
    let Some(corpus) = corpus() else { return };
    let expected = reference(&fs::read_to_string(corpus.join("reference/tcp_rtt.csv")).unwrap());
    let mut shares: BTreeMap<&str, Share> = BTreeMap::new();
    for (file, expected) in &expected {
        let found = measure(&fs::read(corpus.join("pcaps").join(file)).unwrap());
        for key in found.keys().filter(|key| !expected.contains_key(key)) {
            println!("EXTRA {file} {key:?}");
        }
        for (key, expected) in expected {
            let found = found.get(key);
            shares.entry("found").or_default().add(found.is_some());
            let Some(found) = found else {
                println!("LOST {file} {key:?}");
                continue;
            };
            let near = |a: Option<f64>, b: Option<f64>| match (a, b) {
                (Some(a), Some(b)) => (a - b).abs() < 1.05e-6,
                (a, b) => a == b,
            };
            if expected.server_rtt.is_some() || expected.client_rtt.is_some() {
                let equal = near(expected.server_rtt, found.server_rtt) && near(expected.client_rtt, found.client_rtt);
                shares.entry("rtt").or_default().add(equal);
                if !equal {
                    println!("DIFF rtt {file} {key:?}: reference {expected:?} ours {found:?}");
                }
            } else if found.server_rtt.is_some() || found.client_rtt.is_some() {
                println!("MORE rtt {file} {key:?}: reference {expected:?} ours {found:?}");
            }
            for name in COUNTS {
                let (expected, found) = (expected.counts[name], found.counts[name]);
                shares.entry(name).or_default().add(expected == found);
                if expected != found {
                    println!("DIFF {name} {file} {key:?}: reference {expected:?} ours {found:?}");
                }
            }
            let both = ["retrans", "out_of_order"].iter().all(|name| expected.counts[*name] == found.counts[*name]);
            shares.entry("retrans and out_of_order").or_default().add(both);
        }
    }
    for (name, share) in &shares {
        println!("{name}: {} of {}, {:.4}", share.equal, share.of, share.share());
    }
    let floor = |name: &str, least: f64| {
        let share = &shares[name];
        assert!(share.of > 0 && share.share() >= least, "{name}: {share:?} is {:.4}, {least} was", share.share());
    };
    floor("found", FOUND_MIN);
    floor("rtt", RTT_MIN);
    floor("retrans and out_of_order", LOSS_MIN);
    COUNTS.iter().for_each(|name| floor(name, COUNTS_MIN));
}
