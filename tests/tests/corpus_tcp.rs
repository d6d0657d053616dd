//! TCP performance as `sonde replay --table tcp_rtt` prints it, over the reference corpus: the decoder, its tunnels, the flow table and
//! the state of a connection together. `tcp_rtt.rs` looks at that state alone.
//!
//! Like `corpus.rs`, it says loudly when the corpus is not there, and passes.

use sonde_controlplane::cli::replay::{Sink, rtt::Rtt};
use sonde_worker::replay::{Recording, ReplaySettings};
use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

/// Least share of handshakes whose two halves are both within [`MICROSECONDS`]. Raise them when they rise.
const RTT_MIN: f64 = 0.99;
/// Least share of connections whose retransmissions and segments out of order are as many, in both directions.
const LOSS_MIN: f64 = 0.97;
/// Least share of the reference's connections that are found.
const FOUND_MIN: f64 = 0.999;
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

#[test]
fn connections_perform_as_the_reference_says() {
    let Some(corpus) = corpus() else { return };
    let reference = std::fs::read_to_string(corpus.join("reference/tcp_rtt.csv")).unwrap();
    let reference = rows(&reference);
    let files: BTreeSet<&str> = reference.values().map(|row| row["file"].as_str()).collect();
    let ours = rows(&replayed(&corpus, &files));
    let (mut found, mut handshakes, mut rtt, mut loss) = (0usize, 0usize, 0usize, 0usize);
    for (key, expected) in &reference {
        let seconds = |row: &Row, column: &str| row[column].parse::<f64>().ok();
        let halves = ["server_rtt", "client_rtt"];
        let whole = halves.iter().all(|half| seconds(expected, half).is_some());
        handshakes += usize::from(whole);
        let Some(row) = ours.get(key) else {
            println!("LOST {key}");
            continue;
        };
        found += 1;
        let near =
            |half: &&str| matches!((seconds(expected, half), seconds(row, half)), (Some(a), Some(b)) if (a - b).abs() < MICROSECONDS);
        if whole && halves.iter().all(near) {
            rtt += 1;
        } else if whole {
            println!("RTT {key}: {:?}, not {:?}", halves.map(|half| &row[half]), halves.map(|half| &expected[half]));
        }
        let counts = ["retrans_fwd", "retrans_rev", "out_of_order_fwd", "out_of_order_rev"];
        loss += usize::from(counts.iter().all(|column| row[*column] == expected[*column]));
    }
    let share = |n: usize, of: usize| n as f64 / of as f64;
    let shares = [share(found, reference.len()), share(rtt, handshakes), share(loss, found)];
    println!("{} connections, {handshakes} handshakes; found, round trips, losses equal: {shares:.4?}", reference.len());
    assert!(handshakes > 1000, "the reference holds {handshakes} handshakes");
    for (reached, least) in shares.into_iter().zip([FOUND_MIN, RTT_MIN, LOSS_MIN]) {
        assert!(reached >= least, "{shares:.4?} fell below {:?}", [FOUND_MIN, RTT_MIN, LOSS_MIN]);
    }
}
