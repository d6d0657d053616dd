//! The columns of a flow beside its key, packets, octets and TCP flags, over the reference corpus: TTLs, tags, labels, MAC addresses,
//! tunnels, fragments, ICMP, what the SYN said. `corpus.rs` compares the rest.
//!
//! Like `corpus.rs`, it says loudly when the corpus is not there, and passes. `docs/conformance.md` explains the differences.

use sonde_controlplane::cli::replay::{Sink, Table, csv::Csv};
use sonde_worker::replay::{Recording, ReplaySettings};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

/// Columns, and the least share of flows in which each is equal. Raise them when they rise.
const COLUMNS: &[(&str, f64)] = &[
    ("wire_fwd", 0.9998),
    ("wire_rev", 0.9999),
    ("ttl_fwd", 0.9999),
    ("ttl_rev", 0.9999),
    ("tos_fwd", 1.0),
    ("vlan", 0.9999),
    ("vlan_inner", 0.9999),
    ("mpls", 0.9999),
    ("smac", 0.9999),
    ("dmac", 0.9999),
    ("fragments", 1.0),
    ("icmp_type", 1.0),
    ("icmp_code", 1.0),
    ("syn_len", 1.0),
    ("syn_win", 1.0),
    ("syn_mss", 1.0),
    ("syn_wscale", 0.9999),
    ("tunnel", 0.97),
    ("tunnel_id", 1.0),
];

type Row = HashMap<String, String>;

fn rows(text: &str) -> Vec<Row> {
    let mut lines = text.lines();
    let heading: Vec<&str> = lines.next().unwrap_or_default().split(',').collect();
    lines.map(|line| heading.iter().map(|c| (*c).to_owned()).zip(line.split(',').map(str::to_owned)).collect()).collect()
}

/// View, both ends with the smaller one first, protocol.
fn key(row: &Row) -> [String; 6] {
    let ported = matches!(row["proto"].as_str(), "6" | "17" | "132" | "33" | "136");
    let end = |address: &str, port: &str| (row[address].clone(), if ported { row[port].clone() } else { "0".to_owned() });
    let (mut low, mut high) = (end("src", "sport"), end("dst", "dport"));
    if low > high {
        (low, high) = (high, low);
    }
    [row["view"].clone(), low.0, low.1, high.0, high.1, row["proto"].clone()]
}

/// The flows of a capture, one record each: no timeout cuts them, as none cuts the reference's, and no type of ICMP.
fn replayed(path: &Path) -> Vec<Row> {
    let day = 86_400_000_000_000;
    let settings = ReplaySettings {
        idle_timeout_ns: day,
        active_timeout_ns: day,
        tcp_end_linger_ns: day,
        vlan_in_key: false,
        icmp_type_in_key: false,
        ..<_>::default()
    };
    let recording = Recording::open(path).unwrap_or_else(|error| panic!("{error}"));
    let mut out = Vec::new();
    let mut csv = Csv::new(&mut out, Table::Flows).unwrap();
    csv.begin("x", recording.ethernet());
    recording.run(&settings, &mut csv, None).unwrap_or_else(|error| panic!("{error}"));
    csv.end().unwrap();
    csv.finish().unwrap();
    drop(csv);
    rows(&String::from_utf8(out).unwrap())
}

/// The reference's value in our words; `None` where it has none to compare.
fn expected(column: &str, row: &Row) -> Option<String> {
    let value = row[column].as_str();
    match column {
        // tshark shows no type of a message that was cut off, and no tunnel of a packet without a second IP header.
        "icmp_type" | "icmp_code" | "tunnel" | "tunnel_id" if value.is_empty() => None,
        // "vxlan=256;gtp=0x00000001": the innermost. Some are hexadecimal. 0 is none here.
        "tunnel_id" => {
            let (kind, id) = value.rsplit(';').next()?.split_once('=')?;
            let id = id.strip_prefix("0x").map_or_else(|| id.parse(), |hex| u32::from_str_radix(hex, 16)).expect("a number");
            (row["view"] == "inner" && id != 0).then(|| format!("{kind}={id}"))
        }
        // Its names of dissectors inside one tunnel: labels and pseudowires, wireless frames, the older GTP.
        "tunnel" => {
            Some(["+mpls", "+pwethheuristic", "+pwethnocw", ".data+wlan", "prime"].iter().fold(value.to_owned(), |v, n| v.replace(n, "")))
        }
        _ => Some(value.to_owned()),
    }
}

/// Compares the flows of one capture; those that are several records on one side are left out.
fn compare(name: &str, reference: Vec<Row>, ours: Vec<Row>, scores: &mut BTreeMap<&str, [usize; 2]>) {
    let mut found: HashMap<_, Vec<Row>> = HashMap::new();
    for row in ours {
        found.entry(key(&row)).or_default().push(row);
    }
    for row in reference {
        let Some([ours]) = found.get(&key(&row)).map(Vec::as_slice) else { continue };
        for (column, _) in COLUMNS {
            let Some(expected) = expected(column, &row) else { continue };
            let [equal, all] = scores.entry(column).or_default();
            *all += 1;
            *equal += usize::from(ours[*column] == expected);
            if ours[*column] != expected {
                println!("{column} {name} {:?}: reference {expected}, ours {}", key(&row), ours[*column]);
            }
        }
    }
}

#[test]
fn every_column_says_what_the_reference_says() {
    let Some(corpus) = sonde_tests::corpus::corpus(&["pcaps/MANIFEST.csv", "reference/flows"], "the columns of flows were") else { return };
    let manifest = std::fs::read_to_string(corpus.join("pcaps/MANIFEST.csv")).unwrap();
    let mut scores = BTreeMap::new();
    for name in manifest.lines().skip(1).filter_map(|line| line.split(',').next()) {
        let reference = std::fs::read_to_string(corpus.join("reference/flows").join(name).with_extension("csv")).unwrap();
        compare(name, rows(&reference), replayed(&corpus.join("pcaps").join(name)), &mut scores);
    }
    let mut faults = Vec::new();
    for (column, least) in COLUMNS {
        let [equal, all] = scores[column];
        let share = equal as f64 / all as f64;
        println!("{column}: {equal} of {all} equal: {share:.5}");
        if all == 0 || share < *least {
            faults.push(format!("{column}: {share:.5} equal, {least} were"));
        }
    }
    assert!(faults.is_empty(), "{faults:?}");
}
