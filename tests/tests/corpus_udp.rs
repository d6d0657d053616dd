//! Response times of DNS and round trips of QUIC, as a replay finds them: over the reference corpus, and over traffic of our own.
//!
//! Those of DNS are compared with tshark's `dns.time`, those of QUIC with the times of the Initials in the reference. Like `corpus.rs`,
//! it says loudly when the corpus or tshark is not there, and passes.

use sonde_record::fact::{QuicPerformance, UdpPerformance, quic_valid};
use sonde_record::{Kind, Record};
use sonde_tests::traffic::{SECOND, capture, office};
use sonde_tests::tshark;
use sonde_worker::replay::{ReplaySettings, run};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};

/// Least share of the answers that tshark times in captures that are whole and found with their flow. Raise them when they rise.
const DNS_MIN: f64 = 0.97;
/// Least share of QUIC connections whose handshake's first half is that of the reference.
const QUIC_MIN: f64 = 1.0;
/// Captures have microseconds, and tshark writes nine digits.
const MICROSECONDS: f64 = 1.05e-6;

type End = (IpAddr, u16);

fn address(kind: Kind, bytes: &[u8; 16]) -> IpAddr {
    let [.., a, b, c, d] = *bytes;
    if kind == Kind::Ipv4 { Ipv4Addr::new(a, b, c, d).into() } else { Ipv6Addr::from(*bytes).into() }
}

/// Records without timeouts, by source and destination.
fn records(path: &Path) -> HashMap<[End; 2], Record> {
    let day = 86_400_000_000_000;
    let settings = ReplaySettings { idle_timeout_ns: day, active_timeout_ns: day, vlan_in_key: false, ..<_>::default() };
    let mut records: Vec<Record> = Vec::new();
    run(path, &settings, &mut records).unwrap_or_else(|error| panic!("{error}"));
    let ends = |r: &Record| [(address(r.kind, &r.src), r.sport), (address(r.kind, &r.dst), r.dport)];
    records.into_iter().filter(|r| r.proto == 17).map(|r| (ends(&r), r)).collect()
}

/// The record of a conversation, whichever end began it.
fn of<'a>(records: &'a HashMap<[End; 2], Record>, [a, b]: &[End; 2]) -> Option<&'a Record> {
    records.get(&[*a, *b]).or_else(|| records.get(&[*b, *a]))
}

/// Seconds that answers took by tshark, by conversation, server first; `None` when tshark does not run.
fn dns_times(path: &Path) -> Option<BTreeMap<[End; 2], Vec<f64>>> {
    let mut command = tshark::tshark(path)?;
    command.args(["-E", "occurrence=l", "-Y", "dns.time && udp.port == 53"]);
    let fields = ["ip.src", "ipv6.src", "udp.srcport", "ip.dst", "ipv6.dst", "udp.dstport", "dns.time"];
    let said = tshark::ask(&mut command, fields);
    let mut found: BTreeMap<_, Vec<f64>> = BTreeMap::new();
    for line in said.stdout.lines() {
        let fields: Vec<&str> = line.split('\t').collect();
        let [src, src6, sport, dst, dst6, dport, time] = fields[..] else { panic!("{line}") };
        let end = |four: &str, six: &str, port: &str| (if four.is_empty() { six } else { four }.parse().unwrap(), port.parse().unwrap());
        found.entry([end(src, src6, sport), end(dst, dst6, dport)]).or_default().push(time.parse().unwrap());
    }
    Some(found)
}

/// How many of the conversations that tshark times have as many answers, with the same extremes and the same sum.
fn compare_dns(path: &Path, found: &BTreeMap<[End; 2], Vec<f64>>) -> usize {
    let records = records(path);
    let equal = |(ends, times): (&[End; 2], &Vec<f64>)| {
        let responses = of(&records, ends).and_then(|record| record.get::<UdpPerformance>()).map(|udp| udp.responses).unwrap_or_default();
        let ours = [responses.min, responses.max, responses.sum].map(|ns| ns as f64 / 1e9);
        let count = times.len() as f64;
        let theirs = [times.iter().copied().fold(f64::MAX, f64::min), times.iter().copied().fold(0.0, f64::max), times.iter().sum()];
        let near = ours.iter().zip(&theirs).zip([1.0, 1.0, count]).all(|((a, b), errors)| (a - b).abs() < errors * MICROSECONDS);
        let equal = near && responses.count as usize == times.len();
        if !equal {
            println!("DIFF {} {ends:?}: {theirs:?} of {count}, ours {ours:?} of {}", path.display(), responses.count);
        }
        equal
    };
    found.iter().filter(|entry| equal(*entry)).count()
}

/// Rows of a table of the reference by the names of its columns; fields that hold commas are not read.
fn rows(text: &str) -> impl Iterator<Item = HashMap<&str, &str>> {
    let mut lines = text.lines();
    let heading: Vec<&str> = lines.next().unwrap().split(',').collect();
    lines.map(move |line| heading.iter().copied().zip(line.split(',')).collect())
}

fn end(row: &HashMap<&str, &str>, address: &str, port: &str) -> End {
    (row[address].parse().unwrap(), row[port].parse().unwrap())
}

fn reference(table: &str) -> Option<(PathBuf, String)> {
    let table = format!("reference/{table}.csv");
    let corpus = sonde_tests::corpus::corpus(&["pcaps", &table], "performance of UDP was")?;
    let text = std::fs::read_to_string(corpus.join(table)).unwrap();
    Some((corpus.join("pcaps"), text))
}

#[test]
fn response_times_of_dns_are_those_of_tshark_for_traffic_of_our_own() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("office.pcap");
    capture::save(&path, office(400, 60 * SECOND, 11));
    let Some(found) = dns_times(&path) else { return };
    assert!(found.len() > 30, "{} conversations", found.len());
    assert_eq!(compare_dns(&path, &found), found.len());
}

#[test]
fn response_times_of_dns_are_those_of_tshark() {
    let Some((pcaps, text)) = reference("dns") else { return };
    let plain = |row: &HashMap<&str, &str>| row["proto"] == "17" && row["dns.flags.response"] == "1" && row["sport"] == "53";
    // What was made to be broken is timed by tshark's guesses.
    let files: BTreeSet<String> = rows(&text).filter(plain).map(|row| row["file"].to_owned()).collect();
    let (mut of, mut equal) = (0, 0);
    for file in files.iter().filter(|file| !file.starts_with("malformed/")) {
        let path = pcaps.join(file);
        let Some(found) = dns_times(&path) else { return };
        of += found.len();
        equal += compare_dns(&path, &found);
    }
    let share = equal as f64 / of as f64;
    println!("{of} conversations with DNS, {equal} equal: {share:.4}");
    assert!(of > 500 && share >= DNS_MIN, "{equal} of {of}: {share:.4}");
}

#[test]
fn the_first_half_of_quics_handshake_is_that_of_the_reference() {
    let Some((pcaps, text)) = reference("quic") else { return };
    // By file and conversation, client first: the last Initial before the answer, the answer.
    let mut found: BTreeMap<(String, [End; 2]), (f64, Option<f64>)> = BTreeMap::new();
    let mut clients: HashMap<(String, BTreeSet<End>), End> = HashMap::new();
    // Google's own is not measured.
    for row in rows(&text).filter(|row| row["proto"] == "17" && !row["quic.version"].starts_with("0x51")) {
        let time: f64 = row["time"].parse().unwrap();
        let (src, dst) = (end(&row, "src", "sport"), end(&row, "dst", "dport"));
        let begins = match (src.1, dst.1) {
            (443, _) => dst,
            (_, 443) => src,
            // On another port the client is who is seen first.
            _ => *clients.entry((row["file"].to_owned(), BTreeSet::from([src, dst]))).or_insert(src),
        };
        let (client, server) = if begins == src { (src, dst) } else { (dst, src) };
        let step = found.entry((row["file"].to_owned(), [client, server]));
        // The two versions number their packets differently (RFC 9369 section 3.2).
        let (first, second) = (row["quic.long.packet_type"].chars().next(), row["quic.long.packet_type_v2"].chars().next());
        let (initial, retry) = (first == Some('0') || second == Some('1'), first == Some('3') || second == Some('0'));
        match (src == client, initial) {
            (true, true) => {
                let step = step.or_insert((time, None));
                step.0 = if step.1.is_none() { time } else { step.0 };
            }
            // Retry and version negotiation make the client begin again.
            (false, _) if first.or(second).is_some() && !retry => {
                step.and_modify(|step| step.1 = step.1.or(Some(time)));
            }
            _ => {}
        }
    }
    let (mut of_all, mut equal, mut measured) = (0, 0, HashMap::new());
    for ((file, ends), (asked, answered)) in &found {
        let Some(answered) = answered else { continue };
        of_all += 1;
        let records = measured.entry(file).or_insert_with(|| records(&pcaps.join(file)));
        let quic =
            of(records, ends).and_then(|record| record.get::<QuicPerformance>()).filter(|quic| quic.valid & quic_valid::SERVER_RTT != 0);
        let ours = quic.map(|quic| quic.server_rtt as f64 / 1e9);
        if ours.is_some_and(|ours| (ours - (answered - asked)).abs() < MICROSECONDS) {
            equal += 1;
        } else {
            println!("DIFF {file} {ends:?}: {}, ours {ours:?}", answered - asked);
        }
    }
    let share = f64::from(equal) / f64::from(of_all);
    println!("{of_all} connections of QUIC, {equal} equal: {share:.4}");
    assert!(of_all > 20 && share >= QUIC_MIN, "{equal} of {of_all}: {share:.4}");
}
