//! TCP performance as `sonde replay --table tcp_rtt` prints it, over the reference corpus: the decoder, its tunnels, the flow table and
//! the state of a connection together. tshark's classes are heuristics; the shares say how far Sonde's agree with them.
//!
//! Like `corpus.rs`, it says loudly when the corpus is not there, and passes.

use sonde_controlplane::cli::replay::{Sink, rtt::Rtt};
use sonde_worker::replay::{Recording, ReplaySettings};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

/// What is compared, and the least share of connections in which it is equal. Raise them when they rise.
const FLOORS: &[(&str, f64)] = &[
    ("found", 0.9993),
    // Of handshakes whose two halves the reference has: both within [`MICROSECONDS`].
    ("round trips", 0.994),
    // Of connections of which it has one or both: ours has as many, each within [`MICROSECONDS`].
    ("halves", 0.9935),
    ("halves outside of tunnels", 0.9955),
    ("retrans and out_of_order", 0.9935),
    ("retrans", 0.9935),
    ("out_of_order", 0.9965),
    ("fast_retrans", 0.9995),
    ("spurious", 0.999),
    ("dup_ack", 0.9995),
    ("lost_segment", 0.9965),
    ("zero_window", 0.9995),
    ("keep_alive", 0.9995),
    ("fin", 0.9985),
    ("rst", 0.9995),
    ("data_packets", 0.9965),
    ("payload", 0.996),
];
/// Entries of [`FLOORS`] from here on are columns, each with `_fwd` and `_rev`; all connections that are found have them.
const COUNTS: usize = 5;
/// Captures have microseconds, the reference has them as decimal fractions.
const MICROSECONDS: f64 = 1.05e-6;

/// A row by its columns.
type Row = HashMap<String, String>;

/// Rows by file, ends and number.
fn rows(text: &str) -> HashMap<String, Row> {
    let mut lines = text.lines();
    let heading: Vec<&str> = lines.next().unwrap().split(',').collect();
    let row = |line: &str| -> Row { heading.iter().map(|c| (*c).to_owned()).zip(line.split(',').map(str::to_owned)).collect() };
    let key = |row: &Row| ["file", "src", "sport", "dst", "dport", "nth"].map(|column| row[column].as_str()).join(" ");
    lines.map(row).map(|row| (key(&row), row)).collect()
}

/// The folder of the corpus, if there is one.
fn corpus() -> Option<PathBuf> {
    sonde_tests::corpus::corpus(&["pcaps", "reference/tcp_rtt.csv"], "TCP performance of the product was")
}

/// The table of all captures the reference has connections of.
fn replayed(corpus: &Path, files: &BTreeSet<&str>) -> String {
    let day = 86_400_000_000_000;
    let settings =
        ReplaySettings { idle_timeout_ns: day, active_timeout_ns: day, tcp_end_linger_ns: day, vlan_in_key: false, ..<_>::default() };
    let mut out = Vec::new();
    let mut table = Rtt::new(&mut out).unwrap();
    for file in files {
        let recording = Recording::open(&corpus.join("pcaps").join(file)).unwrap_or_else(|error| panic!("{error}"));
        table.begin(file, recording.ethernet());
        recording.run(&settings, &mut table, None).unwrap_or_else(|error| panic!("{error}"));
        table.end().unwrap();
    }
    table.finish().unwrap();
    drop(table);
    String::from_utf8(out).unwrap()
}

/// Equal values, of how many, by what was compared.
type Shares = BTreeMap<&'static str, [usize; 2]>;

fn add(shares: &mut Shares, what: &'static str, equal: bool) {
    let [sum, of] = shares.entry(what).or_default();
    (*sum, *of) = (*sum + usize::from(equal), *of + 1);
}

/// Compares a connection of the reference with ours.
fn compare(key: &str, expected: &Row, ours: Option<&Row>, shares: &mut Shares) {
    let seconds = |row: &Row| ["server_rtt", "client_rtt"].map(|half| row[half].parse::<f64>().ok());
    let near = |(a, b): (&Option<f64>, &Option<f64>)| match (a, b) {
        (Some(a), Some(b)) => (a - b).abs() < MICROSECONDS,
        (a, b) => a == b,
    };
    let halves = seconds(expected);
    let found = ours.map(seconds);
    let equal = found.is_some_and(|found| halves.iter().zip(&found).all(near));
    if halves.iter().all(Option::is_some) {
        add(shares, "round trips", equal);
    }
    add(shares, "found", ours.is_some());
    let Some(ours) = ours else { return println!("LOST {key}") };
    if halves.iter().any(Option::is_some) {
        add(shares, "halves", equal);
        if expected["tunnel"].is_empty() {
            add(shares, "halves outside of tunnels", equal);
        }
        if !equal {
            println!("DIFF halves {key}: reference {halves:?}, ours {found:?}");
        }
    }
    let ways = |row: &Row, name: &str| ["fwd", "rev"].map(|way| row[&format!("{name}_{way}")].clone());
    for (name, _) in &FLOORS[COUNTS..] {
        let (expected, ours) = (ways(expected, name), ways(ours, name));
        add(shares, name, expected == ours);
        if expected != ours {
            println!("DIFF {name} {key}: reference {expected:?}, ours {ours:?}");
        }
    }
    let both = ["retrans", "out_of_order"].iter().all(|name| ways(expected, name) == ways(ours, name));
    add(shares, "retrans and out_of_order", both);
}

#[test]
fn connections_perform_as_the_reference_says() {
    let Some(corpus) = corpus() else { return };
    let reference = std::fs::read_to_string(corpus.join("reference/tcp_rtt.csv")).unwrap();
    let reference = rows(&reference);
    let files: BTreeSet<&str> = reference.values().map(|row| row["file"].as_str()).collect();
    let ours = rows(&replayed(&corpus, &files));
    let mut shares = Shares::new();
    for (key, expected) in &reference {
        compare(key, expected, ours.get(key), &mut shares);
    }
    let mut faults = Vec::new();
    for (what, least) in FLOORS {
        let [equal, of] = shares[what];
        let share = equal as f64 / of as f64;
        println!("{what}: {equal} of {of} equal: {share:.5}");
        if of < 1000 || share < *least {
            faults.push(format!("{what}: {equal} of {of} equal: {share:.5}, {least} were"));
        }
    }
    assert!(faults.is_empty(), "{faults:?}");
}
