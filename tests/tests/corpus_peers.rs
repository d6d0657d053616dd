//! Flows as other probes' authors expect them: the validation of CESNET's FlowTest, and the functional tests of ipfixprobe.
//!
//! Like `corpus.rs`, it says loudly when the corpus is not there, and passes. What they say of layer 7 is not compared.
//! `docs/conformance.md` explains the differences that are left.

use serde_json::Value;
use sonde_controlplane::cli::replay::{Sink, Table, csv::Csv};
use sonde_worker::replay::{Recording, ReplaySettings};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Least share of FlowTest's fields that are equal. Raise them when they rise.
const FLOWTEST_EQUAL_MIN: f64 = 0.95;
/// Least share of ipfixprobe's flows that have the same packets, octets and TCP flags.
const IPFIXPROBE_EQUAL_MIN: f64 = 0.99;
/// Least share of its fields of single packets, MAC addresses, TTLs, tags, what the SYN says, that are equal.
const IPFIXPROBE_FIELDS_MIN: f64 = 0.97;

/// A line of a table by its columns.
type Row = BTreeMap<String, String>;

fn corpus() -> Option<PathBuf> {
    sonde_tests::corpus::corpus(&["pcaps", "reference/peers/flowtest.jsonl", "reference/peers/ipfixprobe"], "what other probes expect was")
}

/// Fields of a line: some are in quotes and have commas.
fn fields(line: &str) -> Vec<String> {
    let (mut fields, mut quoted) = (vec![String::new()], false);
    for c in line.chars() {
        match c {
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            c => fields.last_mut().expect("one at least").push(c),
        }
    }
    fields
}

fn rows(text: &str) -> Vec<Row> {
    let mut lines = text.lines();
    let heading = fields(lines.next().unwrap_or_default());
    lines.map(|line| heading.iter().cloned().zip(fields(line)).collect()).collect()
}

/// What `sonde replay --format csv` prints of a file, with its usual timeouts.
fn replayed(path: &Path) -> Vec<Row> {
    let recording = Recording::open(path).unwrap_or_else(|error| panic!("{error}"));
    let mut out = Vec::new();
    let mut csv = Csv::new(&mut out, Table::Flows).unwrap();
    csv.begin("x", recording.ethernet());
    recording.run(&ReplaySettings::default(), &mut csv, None).unwrap_or_else(|error| panic!("{error}"));
    csv.end().unwrap();
    csv.finish().unwrap();
    drop(csv);
    rows(&String::from_utf8(out).unwrap())
}

fn number(text: &str) -> u64 {
    if text.is_empty() { 0 } else { text.parse().unwrap_or_else(|_| panic!("a number: {text}")) }
}

/// A flow by its ends as they are given, in either direction.
struct Flow<'a> {
    rows: Vec<(&'a Row, bool)>,
}

impl<'a> Flow<'a> {
    /// The records of one flow; those inside a tunnel if there are any.
    fn find(rows: &'a [Row], ends: [(&str, &str); 2], protocol: &str) -> Self {
        let ported = matches!(protocol, "6" | "17" | "132");
        let end = |row: &Row, address: &str, port: &str| (row[address].clone(), if ported { row[port].clone() } else { "0".to_owned() });
        let wanted = ends.map(|(address, port)| (address.to_owned(), if ported { port.to_owned() } else { "0".to_owned() }));
        let matching = rows.iter().filter(|row| row["proto"] == protocol).filter_map(|row| {
            let (src, dst) = (end(row, "src", "sport"), end(row, "dst", "dport"));
            let turned = [&dst, &src] == [&wanted[0], &wanted[1]];
            (turned || [&src, &dst] == [&wanted[0], &wanted[1]]).then_some((row, turned))
        });
        let all: Vec<_> = matching.collect();
        let inner: Vec<_> = all.iter().filter(|(row, _)| row["view"] == "inner").copied().collect();
        Self { rows: if inner.is_empty() { all } else { inner } }
    }

    /// The sum of a column of both directions, forward first.
    fn sums(&self, column: &str) -> [u64; 2] {
        let mut sums = [0; 2];
        for (row, turned) in &self.rows {
            let [forward, reverse] = ["fwd", "rev"].map(|way| number(&row[&format!("{column}_{way}")]));
            sums[usize::from(*turned)] += forward;
            sums[usize::from(!turned)] += reverse;
        }
        sums
    }

    /// The source MAC address of the first packet that went the way `reverse` says, or the destination.
    fn mac(&self, source: bool, reverse: bool) -> String {
        let Some((row, turned)) = self.rows.first() else { return String::new() };
        row[if source == (reverse == *turned) { "smac" } else { "dmac" }].clone()
    }

    /// A column of the first record, of the direction that is asked for.
    fn first(&self, column: &str, reverse: bool) -> String {
        let Some((row, turned)) = self.rows.first() else { return String::new() };
        let way = if reverse == *turned { "fwd" } else { "rev" };
        row.get(&format!("{column}_{way}")).or_else(|| row.get(column)).cloned().unwrap_or_default()
    }
}

/// What a field of FlowTest is here; `None` for what is not compared.
fn of_flowtest(field: &str, flow: &Flow<'_>) -> Option<String> {
    let (name, reverse) = field.split_once('@').map_or((field, false), |(name, _)| (name, true));
    let way = usize::from(reverse);
    Some(match name {
        "packets" => flow.sums("packets")[way].to_string(),
        "bytes" => flow.sums("bytes")[way].to_string(),
        "ttl" => flow.first("ttl", reverse),
        "tos" if !reverse => flow.first("tos", false),
        "vlan_id" => flow.first("vlan", false),
        "vlan_id_inner" => flow.first("vlan_inner", false),
        "mpls_label_1" if !reverse => flow.first("mpls", false).split('|').next().unwrap_or_default().to_owned(),
        "mpls_label_2" if !reverse => flow.first("mpls", false).split('|').nth(1).unwrap_or_default().to_owned(),
        "vxlan_id" => flow.first("tunnel_id", false).trim_start_matches("vxlan=").to_owned(),
        _ => return None,
    })
}

/// The flows of a test as rows; records of one flow, which another timeout made several, are one.
fn added_up(flows: &[Value]) -> Vec<Row> {
    let mut added: BTreeMap<Vec<String>, Row> = BTreeMap::new();
    for flow in flows {
        let text = |(field, value): (&String, &Value)| (field.clone(), value.as_str().map_or_else(|| value.to_string(), str::to_owned));
        let row: Row = flow.as_object().unwrap().iter().map(text).collect();
        let ends = ["src_ip", "src_port", "dst_ip", "dst_port", "protocol"].map(|field| row.get(field).cloned().unwrap_or_default());
        let sum = added.entry(ends.to_vec()).or_default();
        for (field, value) in row {
            let counts = matches!(field.as_str(), "packets" | "packets@rev" | "bytes" | "bytes@rev");
            // A label comes with its traffic class and whether it is the last: 20, 3 bits and 1.
            let value = if field.starts_with("mpls_label") { (number(&value) >> 4).to_string() } else { value };
            let before = sum.get(&field).map_or(0, |before| if counts { number(before) } else { 0 });
            sum.insert(field, if counts { (number(&value) + before).to_string() } else { value });
        }
    }
    added.into_values().collect()
}

fn share(equal: usize, all: usize, what: &str, least: f64) {
    let share = equal as f64 / all as f64;
    println!("{equal} of {all} {what} equal: {share:.4}");
    assert!(all > 0 && share >= least, "{share:.4} of the {what} are equal, {least} were");
}

#[test]
fn flows_are_those_that_flowtest_expects() {
    let Some(corpus) = corpus() else { return };
    let text = std::fs::read_to_string(corpus.join("reference/peers/flowtest.jsonl")).unwrap();
    let (mut equal, mut all) = (0, 0);
    for line in text.lines() {
        let test: Value = serde_json::from_str(line).unwrap();
        let (file, name) = (test["file"].as_str().unwrap(), test["name"].as_str().unwrap());
        let ours = replayed(&corpus.join("pcaps").join(file));
        for expected in added_up(test["flows"].as_array().unwrap()) {
            let at = |field: &str| expected.get(field).cloned().unwrap_or_default();
            let flow = Flow::find(&ours, [(&at("src_ip"), &at("src_port")), (&at("dst_ip"), &at("dst_port"))], &at("protocol"));
            for (field, value) in &expected {
                let Some(found) = of_flowtest(field, &flow) else { continue };
                all += 1;
                equal += usize::from(found == *value);
                if found != *value {
                    println!("{file} ({name}): {field}: FlowTest {value}, ours {found}");
                }
            }
        }
    }
    share(equal, all, "fields of FlowTest", FLOWTEST_EQUAL_MIN);
}

/// The records of one flow of ipfixprobe, added up in its own direction.
#[derive(Default)]
struct Expected {
    packets: [u64; 2],
    octets: [u64; 2],
    flags: [u64; 2],
    /// Of its first record: the row, and whether it goes from the larger end to the smaller.
    first: Row,
    turned: bool,
}

/// Column of ipfixprobe, column here, whether of the reverse direction.
const SINGLE: &[(&str, &str, bool)] = &[
    ("SRC_MAC", "smac", false),
    ("DST_MAC", "dmac", false),
    ("IP_TTL", "ttl", false),
    ("IP_TTL_REV", "ttl", true),
    ("VLAN_ID", "vlan", false),
    ("TCP_SYN_SIZE", "syn_len", false),
];

/// File, both ends with the smaller one first, protocol, VLAN.
type Key = [String; 7];

/// The flows of a plugin's table.
fn of_ipfixprobe(table: &Path) -> BTreeMap<Key, Expected> {
    let (mut flows, mut seen) = (BTreeMap::<Key, Expected>::new(), BTreeSet::new());
    for row in rows(&std::fs::read_to_string(table).unwrap()) {
        let at = |column: &str| row.get(column).cloned().unwrap_or_default();
        let [a, b] = [[at("SRC_IP"), at("SRC_PORT")], [at("DST_IP"), at("DST_PORT")]];
        let turned = a > b;
        let ([low_ip, low_port], [high_ip, high_port]) = if turned { (b, a) } else { (a, b) };
        let vlan = at("VLAN_ID").trim_start_matches('0').to_owned();
        let key = [at("file"), low_ip, low_port, high_ip, high_port, at("PROTOCOL"), vlan];
        // Some plugins have a row for each thing they found in one record.
        if !seen.insert((key.clone(), ["TIME_FIRST", "TIME_LAST", "PACKETS", "BYTES", "PACKETS_REV", "BYTES_REV"].map(at))) {
            continue;
        }
        let flow = flows.entry(key).or_default();
        for (way, suffix) in [(usize::from(turned), ""), (usize::from(!turned), "_REV")] {
            flow.packets[way] += number(&at(&format!("PACKETS{suffix}")));
            flow.octets[way] += number(&at(&format!("BYTES{suffix}")));
            flow.flags[way] |= number(&at(&format!("TCP_FLAGS{suffix}")));
        }
        flow.turned = if flow.first.is_empty() { turned } else { flow.turned };
        if flow.first.is_empty() {
            flow.first = row;
        }
    }
    flows
}

/// The flags of all records, as eight bits: those that ipfixprobe knows.
fn flags(flow: &Flow<'_>) -> [u64; 2] {
    let mut flags = [0; 2];
    for (row, turned) in &flow.rows {
        for (way, column) in [(usize::from(*turned), "tcp_flags_fwd"), (usize::from(!turned), "tcp_flags_rev")] {
            flags[way] |= number(&row[column]) & 0xff;
        }
    }
    flags
}

#[test]
fn flows_are_those_that_ipfixprobe_expects() {
    let Some(corpus) = corpus() else { return };
    let mut tables: Vec<_> = std::fs::read_dir(corpus.join("reference/peers/ipfixprobe")).unwrap().map(|e| e.unwrap().path()).collect();
    tables.sort();
    let mut replays: BTreeMap<String, Vec<Row>> = BTreeMap::new();
    let ([mut equal, mut all], [mut same, mut single]) = ([0; 2], [0; 2]);
    for table in tables {
        let plugin = table.file_stem().unwrap().to_string_lossy().into_owned();
        for (key, expected) in of_ipfixprobe(&table) {
            let [file, low_ip, low_port, high_ip, high_port, protocol, vlan] = &key;
            let ours = replays.entry(file.clone()).or_insert_with(|| replayed(&corpus.join("pcaps").join(file)));
            // Only one of the tables has VLANs, and there they are in the key.
            let ours: Vec<Row> = ours.iter().filter(|row| plugin != "vlan" || row["vlan"] == *vlan).cloned().collect();
            let flow = Flow::find(&ours, [(low_ip, low_port), (high_ip, high_port)], protocol);
            let found = (flow.sums("packets"), flow.sums("bytes"), flags(&flow));
            let wanted = (expected.packets, expected.octets, expected.flags);
            all += 1;
            equal += usize::from(found == wanted);
            if found != wanted {
                println!("{plugin} {key:?}: ipfixprobe {wanted:?}, ours {found:?}");
            }
            for (theirs, column, reverse) in SINGLE {
                let Some(value) = expected.first.get(*theirs).filter(|value| !matches!(value.as_str(), "" | "0")) else { continue };
                let found = match *column {
                    "smac" | "dmac" => flow.mac(*column == "smac", expected.turned),
                    _ => flow.first(column, *reverse != expected.turned),
                };
                single += 1;
                same += usize::from(found == *value);
                if found != *value {
                    println!("{plugin} {key:?}: {theirs}: {value}, ours {found}");
                }
            }
        }
    }
    println!("{} captures", replays.len());
    share(equal, all, "flows of ipfixprobe", IPFIXPROBE_EQUAL_MIN);
    share(same, single, "fields of ipfixprobe", IPFIXPROBE_FIELDS_MIN);
}
