//! Replays every capture of the reference corpus and compares the flows with those that tshark saw.
//!
//! The corpus is not part of the project: it is looked for in `$SONDE_CORPUS`, then in `../shared/corpus`. Without it these tests
//! say so loudly, and pass. `docs/conformance.md` explains the differences that are left.

use sonde_controlplane::cli::replay::{Sink, Table, csv::Csv};
use sonde_worker::capture;
use sonde_worker::replay::{Recording, ReplaySettings, Summary};
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Least share of reference flows, of both views, whose key, packets, octets and TCP flags are equal. Raise it when it rises.
const EQUAL_MIN: f64 = 0.9995;
/// The same of the inner view alone.
const INNER_EQUAL_MIN: f64 = 0.99;
/// Most flows that only Sonde sees, as a share of the reference flows.
const EXTRA_MAX: f64 = 0.0005;

/// The folder of the corpus, if there is one.
fn corpus() -> Option<PathBuf> {
    sonde_tests::corpus::corpus(&["pcaps", "reference/flows"], "conformance was")
}

/// Captures below a folder, sorted by name.
fn captures(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.extension().and_then(|e| e.to_str()) {
                Some("pcap" | "pcapng") => found.push(path),
                _ if path.is_dir() => open.push(path),
                _ => {}
            }
        }
    }
    found.sort();
    found
}

/// What `sonde replay --format csv` prints for one file, and its summary.
fn replay(path: &Path) -> (String, Summary) {
    let recording = Recording::open(path).unwrap_or_else(|error| panic!("{error}"));
    let mut out = Vec::new();
    let mut csv = Csv::new(&mut out, Table::Flows).unwrap();
    csv.begin("x", recording.ethernet());
    let summary = recording.run(&ReplaySettings::default(), &mut csv, None).unwrap_or_else(|error| panic!("{error}"));
    csv.end().unwrap();
    csv.finish().unwrap();
    drop(csv);
    (String::from_utf8(out).unwrap(), summary)
}

/// One end of a flow: address and port as text.
type End = (String, String);

/// What is compared, forward values first. Forward is from the smaller end to the larger, so that direction is no difference.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Flow {
    packets: [u64; 2],
    octets: [u64; 2],
    flags: [u64; 2],
}

/// What makes a row of the table another flow: view, ends, protocol.
type Key = (String, End, End, String);

/// Flows by view, ends and protocol. Rows of one flow (timeouts, VLANs) are added up, as `compare.py` does.
fn flows(text: &str) -> HashMap<Key, Flow> {
    let mut lines = text.lines();
    let heading: Vec<&str> = lines.next().unwrap_or_default().split(',').collect();
    let column = |name: &str| heading.iter().position(|c| *c == name).unwrap_or_else(|| panic!("no column {name}"));
    let [view, src, sport, dst, dport, proto] = ["view", "src", "sport", "dst", "dport", "proto"].map(column);
    let pair = |name: &str| [column(&format!("{name}_fwd")), column(&format!("{name}_rev"))];
    let (packets, octets, flags) = (pair("packets"), pair("bytes"), pair("tcp_flags"));
    let mut flows = HashMap::new();
    for line in lines {
        let fields: Vec<&str> = line.split(',').collect();
        assert_eq!(fields.len(), heading.len(), "{line}");
        let ported = matches!(fields[proto], "6" | "17" | "132" | "33" | "136");
        let end = |address: usize, port: usize| (fields[address].to_owned(), if ported { fields[port] } else { "0" }.to_owned());
        let (a, b) = (end(src, sport), end(dst, dport));
        let turn = usize::from(a > b);
        let (low, high) = if turn == 1 { (b, a) } else { (a, b) };
        let flow: &mut Flow = flows.entry((fields[view].to_owned(), low, high, fields[proto].to_owned())).or_default();
        let number = |at: usize| fields[at].parse::<u64>().unwrap_or_else(|_| panic!("{line}"));
        for way in 0..2 {
            flow.packets[way ^ turn] += number(packets[way]);
            flow.octets[way ^ turn] += number(octets[way]);
            flow.flags[way ^ turn] |= number(flags[way]);
        }
    }
    flows
}

/// How the flows of all captures compare.
#[derive(Debug, Default)]
struct Score {
    reference: usize,
    equal: usize,
    inner: usize,
    inner_equal: usize,
    missing: usize,
    extra: usize,
    different: usize,
    lines: Vec<String>,
}

impl Score {
    fn add(&mut self, name: &str, reference: &str, ours: &str) {
        let (reference, mut ours) = (flows(reference), flows(ours));
        self.reference += reference.len();
        for (key, expected) in reference {
            let inner = usize::from(key.0 == "inner");
            self.inner += inner;
            match ours.remove(&key) {
                Some(found) if found == expected => {
                    self.equal += 1;
                    self.inner_equal += inner;
                }
                Some(found) => {
                    self.different += 1;
                    self.lines.push(format!("DIFF {name} {key:?}: reference {expected:?} ours {found:?}"));
                }
                None => {
                    self.missing += 1;
                    self.lines.push(format!("LOST {name} {key:?}: {expected:?}"));
                }
            }
        }
        self.extra += ours.len();
        self.lines.extend(ours.iter().map(|(key, found)| format!("EXTRA {name} {key:?}: {found:?}")));
    }
}

#[test]
fn flows_are_those_of_the_reference() {
    let Some(corpus) = corpus() else { return };
    let pcaps = corpus.join("pcaps");
    let mut score = Score::default();
    for path in captures(&pcaps) {
        let name = path.strip_prefix(&pcaps).unwrap();
        let reference = fs::read_to_string(corpus.join("reference/flows").join(name).with_extension("csv")).unwrap();
        score.add(&name.to_string_lossy(), &reference, &replay(&path).0);
    }
    score.lines.sort();
    for line in &score.lines {
        println!("{line}");
    }
    let share = |n: usize| n as f64 / score.reference as f64;
    let Score { reference, equal, different, missing, extra, .. } = score;
    println!("reference {reference} equal {equal} different {different} missing {missing} extra {extra}: {:.4} equal", share(equal));
    let inner_share = score.inner_equal as f64 / score.inner as f64;
    println!("inner view: {} of {} equal: {inner_share:.4}", score.inner_equal, score.inner);
    assert!(reference > 0 && score.inner > 0, "the corpus holds no flows");
    assert!(inner_share >= INNER_EQUAL_MIN, "{inner_share:.4} of the inner flows are equal, {INNER_EQUAL_MIN} were");
    assert!(share(equal) >= EQUAL_MIN, "{:.4} of the flows are equal, {EQUAL_MIN} were", share(equal));
    assert!(share(extra) <= EXTRA_MAX, "{extra} flows that the reference does not have");
}

#[test]
fn every_packet_is_accounted_for() {
    let Some(corpus) = corpus() else { return };
    let pcaps = corpus.join("pcaps");
    let status = fs::read_to_string(corpus.join("reference/status.csv")).unwrap();
    let seen: HashMap<&str, u64> = status
        .lines()
        .skip(1)
        .filter_map(|line| line.split_once(','))
        .filter_map(|(f, r)| Some((f, r.split(',').next()?.parse().ok()?)))
        .collect();
    for path in captures(&pcaps) {
        let name = path.strip_prefix(&pcaps).unwrap().to_string_lossy().into_owned();
        let (text, summary) = replay(&path);
        assert!(summary.balances(), "{name}: {summary:?}");
        let (frames, _, fault) = capture::survey(&fs::read(&path).unwrap()).unwrap();
        assert_eq!((summary.received, summary.fault), (frames, fault), "{name}");
        // tshark shows the damaged record of a damaged file, too.
        let expected = seen[name.as_str()].saturating_sub(u64::from(fault.is_some()));
        assert_eq!(frames, expected, "{name}: as many packets as tshark reads");
        // Every metered packet with an IP header is in one flow of the outer view.
        let ip: u64 = flows(&text).iter().filter(|(key, _)| key.0 == "outer").flat_map(|(_, flow)| flow.packets).sum();
        assert_eq!(ip + summary.layer2, summary.metered, "{name}: no metered packet is missing from the flows");
    }
}

#[test]
fn captures_that_end_anywhere_are_read_up_to_there() {
    let Some(corpus) = corpus() else { return };
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("cut");
    for whole in captures(&corpus.join("pcaps/malformed")) {
        let bytes = fs::read(&whole).unwrap();
        let frames = capture::survey(&bytes).unwrap().0;
        for tenth in 1..10 {
            fs::write(&path, &bytes[..bytes.len() * tenth / 10]).unwrap();
            let Ok(recording) = Recording::open(&path) else { continue };
            let summary = recording.run(&ReplaySettings::default(), &mut Vec::new(), None).unwrap();
            assert!(summary.balances() && summary.received <= frames, "{}: {summary:?}", whole.display());
        }
    }
}
