//! A hundred expressions, made at random, select the same flows as conditions in Python over the rows of `sonde replay --format csv`.
//!
//! Over a generated office, and over the reference corpus where there is one. Each expression is made twice, in Sonde's words and in
//! Python's; values are those that occur, so that most conditions hold of some flows and not of others.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use sonde_controlplane::cli::replay::{Sink, Table, csv::Csv};
use sonde_expression::{Environment, Expression, compile};
use sonde_record::{Kind, Output, RecordView};
use sonde_tests::harness::{binary, run};
use sonde_tests::traffic::capture::ETHERNET;
use sonde_tests::traffic::{ByteOrder, CaptureWriter, Format, Random, Resolution, SECOND, office};
use sonde_worker::replay::{Recording, ReplaySettings};

const EXPRESSIONS: usize = 100;

/// A condition in the words of both.
struct Both {
    sonde: String,
    python: String,
}

/// The rows that values are taken of.
struct Rows<'a> {
    heading: Vec<&'a str>,
    rows: Vec<Vec<&'a str>>,
}

impl<'a> Rows<'a> {
    fn new(csv: &'a str) -> Self {
        let mut lines = csv.lines().map(|line| line.split(',').collect::<Vec<_>>());
        let heading = lines.next().expect("a heading");
        // A name of a file may have commas.
        let rows = lines.filter(|row| row.len() == heading.len()).collect();
        Self { heading, rows }
    }

    /// A value that occurs; "0" where the column is empty in every row that was tried.
    fn value(&self, column: &str, random: &mut Random) -> &'a str {
        let at = self.heading.iter().position(|title| *title == column).unwrap_or_else(|| panic!("no column {column}"));
        let values = std::iter::repeat_with(|| random.pick(&self.rows)[at]).take(50);
        { values }.find(|value| !value.is_empty()).unwrap_or("0")
    }
}

const NUMBERS: [&str; 17] = [
    "sport",
    "dport",
    "proto",
    "packets_fwd",
    "packets_rev",
    "bytes_fwd",
    "bytes_rev",
    "wire_fwd",
    "wire_rev",
    "ttl_fwd",
    "ttl_rev",
    "tos_fwd",
    "vlan",
    "fragments",
    "icmp_type",
    "syn_len",
    "syn_mss",
];

/// A condition on numbers: a field, its unit with what it is times in Python, where Python has the values, and those that are compared with.
fn on_numbers(name: &str, (unit, times): (&str, u64), values: &str, mut value: impl FnMut() -> u64, random: &mut Random) -> Both {
    let [a, b, c] = [value(), value(), value()];
    let [low, high] = [a.min(b), a.max(b)];
    let in_python = [a, b, c, low, high].map(|n| n * times);
    let [a, b, c, low, high] = [a, b, c, low, high].map(|n| format!("{n}{unit}"));
    let [pa, pb, pc, plow, phigh] = in_python;
    let (sonde, python) = match random.below(9) {
        0 => (format!("{name} = {a}"), format!("some({values}, lambda v: v == {pa})")),
        1 => (format!("{name} <> {a}"), format!("none({values}, lambda v: v == {pa})")),
        2 => (format!("{name} < {a}"), format!("some({values}, lambda v: v < {pa})")),
        3 => (format!("{name} >= {a}"), format!("some({values}, lambda v: v >= {pa})")),
        4 => (format!("{name} between {low} AND {high}"), format!("some({values}, lambda v: {plow} <= v <= {phigh})")),
        5 => (format!("{name} in ({a}, {b}, {c})"), format!("some({values}, lambda v: v in ({pa}, {pb}, {pc}))")),
        6 => (format!("{name} NOT IN ({c}, {low} .. {high})"), format!("none({values}, lambda v: v == {pc} or {plow} <= v <= {phigh})")),
        7 => (format!("{name} is null"), format!("not {values}")),
        _ => (format!("{name} > {a}"), format!("some({values}, lambda v: v > {pa})")),
    };
    Both { sonde, python }
}

fn on_addresses(rows: &Rows<'_>, random: &mut Random) -> Both {
    let (name, values) = *random.pick(&[
        ("src", "r.addresses('src')"),
        ("destination_address", "r.addresses('dst')"),
        ("address", "r.addresses('src', 'dst')"),
    ]);
    let mut prefix = || {
        let column = *random.pick(&["src", "dst"]);
        let address = rows.value(column, random);
        let lengths: &[u64] = if address.contains(':') { &[0, 10, 32, 64, 128] } else { &[0, 8, 16, 24, 32] };
        format!("{address}/{}", random.pick(lengths))
    };
    let (a, b) = (prefix(), prefix());
    match random.below(3) {
        0 => Both { sonde: format!("{name} in {a}"), python: format!("some({values}, within(['{a}']))") },
        1 => Both { sonde: format!("{name} not in ({a}, {b})"), python: format!("none({values}, within(['{a}', '{b}']))") },
        _ => Both { sonde: format!("{name} in ({a}, {b})"), python: format!("some({values}, within(['{a}', '{b}']))") },
    }
}

fn on_texts(random: &mut Random) -> Both {
    let (name, values) = *random.pick(&[("view", "r.words('view')"), ("tunnel", "r.words('tunnel')")]);
    let word = *random.pick(&["inner", "outer", "vxlan", "gre", "4in6", "e"]);
    let (sonde, python) = match random.below(5) {
        0 => (format!("{name} = '{word}'"), format!("some({values}, lambda v: v == '{word}')")),
        1 => (format!("{name} like '%{word}'"), format!("some({values}, lambda v: v.endswith('{word}'))")),
        2 => (format!("{name} not ilike '{}_%'", word.to_uppercase()), format!("none({values}, pattern('^{word}.+$', IGNORECASE))")),
        3 => (format!("{name} matches '^[{word}]+$'"), format!("some({values}, pattern('^[{word}]+$'))")),
        _ => (format!("starts_with({name}, '{word}') = 0"), format!("none({values}, lambda v: v.startswith('{word}'))")),
    };
    Both { sonde, python }
}

fn condition(rows: &Rows<'_>, random: &mut Random) -> Both {
    let mut values = Random::new(random.next_u64());
    let mut value = |column: &str| rows.value(column, &mut values).parse::<u64>().unwrap_or(0);
    match random.below(12) {
        0..4 => {
            let column = *random.pick(&NUMBERS);
            on_numbers(column, ("", 1), &format!("r.numbers('{column}')"), || value(column), random)
        }
        4 => on_numbers("port", ("", 1), "r.ports()", || value("dport"), random),
        5 => on_numbers("total_octets", (" B", 1), "r.total('bytes_fwd', 'bytes_rev')", || value("bytes_fwd") + value("bytes_rev"), random),
        6 => on_numbers("duration", (" us", 1000), "r.duration()", || value("bytes_rev") * 10, random),
        7 | 8 => on_addresses(rows, random),
        9 => on_texts(random),
        10 => {
            let bits = value("tcp_flags_fwd") & 0x17;
            Both { sonde: format!("tcp_flags has {bits:#x}"), python: format!("some(r.flags(), lambda v: v & {bits} == {bits})") }
        }
        _ => {
            let column = *random.pick(&["start", "end"]);
            let text = rows.value(column, random);
            let (seconds, fraction) = text.split_once('.').expect("seconds and nanoseconds");
            let ns = seconds.parse::<i128>().expect("seconds") * 1_000_000_000 + fraction.parse::<i128>().expect("nine digits");
            let time = jiff::Timestamp::from_nanosecond(ns).expect("a time of day");
            Both { sonde: format!("{column} <= {time}"), python: format!("some(r.time('{column}'), lambda v: v <= {ns})") }
        }
    }
}

fn expression(rows: &Rows<'_>, depth: u64, random: &mut Random) -> Both {
    if depth == 0 || random.chance(1, 3) {
        return condition(rows, random);
    }
    let a = expression(rows, depth - 1, random);
    if random.chance(1, 4) {
        return Both { sonde: format!("not ({})", a.sonde), python: format!("not ({})", a.python) };
    }
    let b = expression(rows, depth - 1, random);
    let word = *random.pick(&["and", "or"]);
    Both { sonde: format!("({} {word} {})", a.sonde, b.sonde), python: format!("({} {word} {})", a.python, b.python) }
}

fn expressions(csv: &str, seed: u64) -> Vec<Both> {
    let rows = Rows::new(csv);
    let mut random = Random::new(seed);
    (0..EXPRESSIONS).map(|_| expression(&rows, 3, &mut random)).collect()
}

/// Writes flows with an IP header as comma-separated values, and asks every expression of each.
struct Asked<'a> {
    csv: Csv<&'a mut Vec<u8>>,
    expressions: &'a [Expression],
    selected: Vec<String>,
}

impl Output for Asked<'_> {
    fn put(&mut self, record: &RecordView<'_>) {
        if record.kind() == Kind::Layer2 {
            return;
        }
        self.csv.put(record);
        let numbers = self.expressions.iter().enumerate().filter(|(_, expression)| expression.matches(record)).map(|(n, _)| n.to_string());
        self.selected.push(numbers.collect::<Vec<_>>().join(" "));
    }
}

/// The rows of captures, and the numbers of the expressions that select each.
fn replay(captures: &[PathBuf], expressions: &[Expression]) -> (String, Vec<String>) {
    let mut out = Vec::new();
    let mut asked = Asked { csv: Csv::new(&mut out, Table::Flows).expect("memory"), expressions, selected: Vec::new() };
    for (number, path) in captures.iter().enumerate() {
        // What is no capture has no flows.
        let Ok(recording) = Recording::open(path) else { continue };
        asked.csv.begin(&number.to_string(), recording.ethernet());
        let _ = recording.run(&ReplaySettings::default(), &mut asked, None);
    }
    asked.csv.finish().expect("memory");
    let selected = std::mem::take(&mut asked.selected);
    drop(asked);
    (String::from_utf8(out).expect("text"), selected)
}

/// The numbers of the conditions that hold of each row, by Python.
fn by_python(folder: &Path, csv: &str, both: &[Both]) -> Vec<String> {
    let conditions: Vec<&str> = both.iter().map(|both| both.python.as_str()).collect();
    let (rows, lines) = (folder.join("rows.csv"), folder.join("conditions"));
    fs::write(&rows, csv).expect("room");
    fs::write(&lines, conditions.join("\n")).expect("room");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python/select.py");
    let output = Command::new("python3").arg(script).args([rows, lines]).output().expect("python3");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text").lines().map(str::to_owned).collect()
}

/// Compares both ways of selecting; how many expressions select some rows, and not all.
fn check(captures: &[PathBuf], seed: u64) -> (usize, Vec<Both>) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (csv, _) = replay(captures, &[]);
    let both = expressions(&csv, seed);
    let compiled: Vec<Expression> = both
        .iter()
        .map(|both| compile(&both.sonde, &Environment::default()).unwrap_or_else(|refused| panic!("{}: {refused}", both.sonde)).0)
        .collect();
    let (csv, ours) = replay(captures, &compiled);
    let theirs = by_python(folder.path(), &csv, &both);
    assert_eq!(ours.len(), theirs.len());
    let numbers = |line: &str| line.split(' ').filter_map(|n| n.parse().ok()).collect::<BTreeSet<usize>>();
    let mut counts = [0; EXPRESSIONS];
    for ((ours, theirs), row) in ours.iter().zip(&theirs).zip(csv.lines().skip(1)) {
        let (ours, theirs) = (numbers(ours), numbers(theirs));
        if let Some(number) = ours.symmetric_difference(&theirs).next() {
            let Both { sonde, python } = &both[*number];
            panic!("{row}\n{sonde}: {}\n{python}: {}", ours.contains(number), theirs.contains(number));
        }
        ours.iter().for_each(|number| counts[*number] += 1);
    }
    (counts.iter().filter(|count| **count > 0 && **count < ours.len()).count(), both)
}

/// An office's packets as a capture.
fn capture(folder: &Path) -> PathBuf {
    let path = folder.join("office.pcap");
    let mut writer = CaptureWriter::new(Vec::new(), Format::Pcap, Resolution::Nano, ByteOrder::Little, ETHERNET).expect("memory");
    office(600, 60 * SECOND, 12).iter().for_each(|packet| writer.packet(packet).expect("memory"));
    fs::write(&path, writer.finish().expect("memory")).expect("room");
    path
}

#[test]
fn expressions_select_what_python_selects() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let capture = capture(folder.path());
    let mut telling = 0;
    for seed in [1, 2, 3] {
        let (some, both) = check(std::slice::from_ref(&capture), seed);
        telling += some;
        // The command selects the same as the crate: the first few of each hundred.
        for Both { sonde, .. } in both.iter().take(5) {
            let expression = compile(sonde, &Environment::default()).expect("good").0;
            let (_, selected) = replay(std::slice::from_ref(&capture), &[expression]);
            let said =
                run(Command::new(binary("sonde")).arg("replay").arg(&capture).args(["--format", "csv", "--where", sonde, "--summary"]));
            let wanted = selected.iter().filter(|numbers| !numbers.is_empty()).count();
            assert_eq!(said.stdout.lines().count(), wanted + 1, "{sonde}: {}", said.stderr);
        }
    }
    assert!(telling > 150, "only {telling} of 300 expressions select some flows and not all");
}

#[test]
fn expressions_select_what_python_selects_of_the_corpus() {
    let Some(corpus) = sonde_tests::corpus::corpus(&["pcaps"], "expressions were") else { return };
    let (mut captures, mut open) = (Vec::new(), vec![corpus.join("pcaps")]);
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).expect("readable") {
            let path = entry.expect("readable").path();
            if path.is_dir() { open.push(path) } else { captures.push(path) }
        }
    }
    captures.sort();
    let (telling, _) = check(&captures, 4);
    assert!(telling > 50, "only {telling} of 100 expressions select some flows and not all");
}
