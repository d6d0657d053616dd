//! MAC addresses, ethertypes and VLAN tags over the reference corpus: of every frame as the decoder reads it, and of the flows without
//! an IP header as `sonde replay --table l2` prints them.
//!
//! Like `corpus.rs`, it says loudly when the corpus is not there, and passes. `docs/conformance.md` explains the differences.

use sonde_controlplane::cli::replay::{Sink, Table, csv::Csv};
use sonde_packet::{Frame, Link, Tunnels, layers};
use sonde_worker::capture::{Batch, Capture};
use sonde_worker::replay::{Recording, ReplaySettings};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Least share of the reference's rows (frames of one file with the same addresses and tags) that have as many packets and octets.
/// Raise it when it rises.
const FRAMES_EQUAL_MIN: f64 = 0.998;
/// The same of the rows without an IP header.
const FLOWS_EQUAL_MIN: f64 = 0.96;

/// Ethertypes behind which an IP header may stand: IP, tags, labels, PPPoE, network service headers.
const CARRIERS: [&str; 10] = ["0x0800", "0x86dd", "0x8100", "0x88a8", "0x9100", "0x8847", "0x8864", "0x894f", "0x893f", "0x8926"];

/// The same of the ARP messages, by operation, sender and target.
const ARP_EQUAL_MIN: f64 = 0.997;

/// File, source and destination MAC address, ethertype, VLAN ids.
type Key = [String; 5];
/// Packets and octets.
type Sums = BTreeMap<Key, (u64, u64)>;

/// The folder of the corpus, if there is one.
fn corpus() -> Option<PathBuf> {
    sonde_tests::corpus::corpus(&["pcaps", "reference/l2.csv"], "layer 2 was")
}

/// Rows of a table, with their columns' names.
fn rows(text: &str) -> impl Iterator<Item = BTreeMap<&str, &str>> {
    let mut lines = text.lines();
    let heading: Vec<&str> = lines.next().unwrap_or_default().split(',').collect();
    lines.map(move |line| heading.iter().copied().zip(line.split(',')).collect())
}

/// The first two of several VLAN ids: those of a record.
fn two(ids: &str) -> String {
    ids.split('|').take(2).collect::<Vec<_>>().join("|")
}

fn add(sums: &mut Sums, key: [&str; 5], packets: u64, octets: u64) {
    let sum = sums.entry(key.map(str::to_owned)).or_default();
    *sum = (sum.0 + packets, sum.1 + octets);
}

fn number(text: &str) -> u64 {
    text.parse().unwrap_or_else(|_| panic!("a number: {text}"))
}

/// How many rows of the reference are equal, with a line for each that is not.
fn compare(reference: &Sums, ours: &Sums, least: f64) {
    let mut equal = 0;
    for (key, expected) in reference {
        match ours.get(key) {
            Some(found) if found == expected => equal += 1,
            found => println!("{key:?}: reference {expected:?} ours {found:?}"),
        }
    }
    let extra = ours.keys().filter(|key| !reference.contains_key(*key));
    let extra = extra.inspect(|key| println!("{key:?}: reference None ours {:?}", ours[*key])).count();
    let share = f64::from(equal) / reference.len() as f64;
    println!("{equal} of {} rows equal: {share:.4}; {extra} more", reference.len());
    assert!(!reference.is_empty() && share >= least, "{share:.4} of the rows are equal, {least} were");
    assert!(extra as f64 <= (1.0 - least) * reference.len() as f64, "{extra} rows that the reference does not have");
}

fn mac(octets: [u8; 6]) -> String {
    octets.map(|octet| format!("{octet:02x}")).join(":")
}

/// Gives every frame of a file to `look`, with its number from 1.
fn each_frame(path: &Path, mut look: impl FnMut(usize, &Frame<'_>)) {
    let bytes = std::fs::read(path).unwrap();
    let mut capture = Capture::open(&bytes).unwrap_or_else(|fault| panic!("{}: {fault}", path.display()));
    let (mut batch, mut number) = (Batch::new(), 0);
    loop {
        capture.fill(&mut batch);
        if batch.frames().is_empty() {
            return;
        }
        for frame in batch.frames() {
            number += 1;
            look(number, frame);
        }
    }
}

/// A frame by what the decoder reads of it. What it refuses has a reason, and no tags to compare.
fn count(file: &str, frame: &Frame<'_>, sums: &mut Sums) {
    let (mut ends, mut ids) = ([[0; 6]; 2], String::new());
    if let (Link::Ethernet, Some(macs)) = (frame.link, frame.bytes.first_chunk::<12>()) {
        // The frame's own addresses: a pseudowire's or FabricPath's stand in the headers in their place.
        ends = [macs[6..].try_into().unwrap(), macs[..6].try_into().unwrap()];
    }
    if let Ok((headers, found)) = layers(frame, &Tunnels::default(), false) {
        let tags = found.vlan.iter().take(found.vlan_tags.into()).map(|tci| (tci & 0x0fff).to_string());
        ids = tags.collect::<Vec<_>>().join("|");
        // Where nothing but tags stands before IP, they are the frame's.
        let plain = frame.link == Link::Ethernet && usize::from(headers.l3_offset) == 14 + 4 * usize::from(headers.tags);
        assert!(!plain || ends == [headers.smac, headers.dmac], "{file}: {headers:?}");
        // Of FabricPath tshark says the hosts' addresses, not the switches' before them.
        if frame.link == Link::Ethernet && frame.bytes.get(12..14) == Some(&[0x89, 0x03]) {
            ends = [headers.smac, headers.dmac];
        }
    }
    let [src, dst] = ends.map(|octets| if frame.link == Link::Ethernet { mac(octets) } else { String::new() });
    add(sums, [file, &src, &dst, "", &ids], 1, frame.wire_len.into());
}

#[test]
fn frames_have_the_addresses_and_tags_of_the_reference() {
    let Some(corpus) = corpus() else { return };
    let text = std::fs::read_to_string(corpus.join("reference/l2.csv")).unwrap();
    let (mut reference, mut ours) = (Sums::new(), Sums::new());
    for row in rows(&text) {
        let ends = [row["smac"], row["dmac"]];
        add(&mut reference, [row["file"], ends[0], ends[1], "", row["vlan"]], number(row["packets"]), number(row["bytes"]));
    }
    let mut files: Vec<&str> = rows(&text).map(|row| row["file"]).collect();
    files.dedup();
    for file in files {
        each_frame(&corpus.join("pcaps").join(file), |_, frame| count(file, frame, &mut ours));
    }
    compare(&reference, &ours, FRAMES_EQUAL_MIN);
}

/// What `sonde replay --table l2 --format csv` prints of these files.
fn replayed(corpus: &Path, files: &[&str]) -> String {
    let mut out = Vec::new();
    let mut csv = Csv::new(&mut out, Table::L2).unwrap();
    for file in files {
        let recording = Recording::open(&corpus.join("pcaps").join(file)).unwrap_or_else(|error| panic!("{error}"));
        csv.begin(file, recording.ethernet());
        recording.run(&ReplaySettings::default(), &mut csv, None).unwrap_or_else(|error| panic!("{error}"));
        csv.end().unwrap();
    }
    csv.finish().unwrap();
    drop(csv);
    String::from_utf8(out).unwrap()
}

#[test]
fn flows_without_an_ip_header_are_those_of_the_reference() {
    let Some(corpus) = corpus() else { return };
    let text = std::fs::read_to_string(corpus.join("reference/l2.csv")).unwrap();
    let (mut reference, mut ours) = (Sums::new(), Sums::new());
    for row in rows(&text).filter(|row| !row["smac"].is_empty() && !CARRIERS.contains(&row["ethertype"])) {
        let key = [row["file"], row["smac"], row["dmac"], row["ethertype"], &two(row["vlan"])];
        add(&mut reference, key, number(row["packets"]), number(row["bytes"]));
    }
    let mut files: Vec<&str> = rows(&text).map(|row| row["file"]).collect();
    files.dedup();
    for row in rows(&replayed(&corpus, &files)).filter(|row| !row["smac"].is_empty() && !CARRIERS.contains(&row["ethertype"])) {
        // A length is no type (IEEE 802.3 section 3.2.6), and none of tshark's; a type of 0 is both.
        let value = u16::from_str_radix(row["ethertype"].trim_start_matches("0x"), 16).unwrap();
        let ethertype = if (1..=1500).contains(&value) { "" } else { row["ethertype"] };
        let ids = [row["vlan"], row["vlan_inner"]].into_iter().filter(|id| !id.is_empty()).collect::<Vec<_>>().join("|");
        for (way, ends) in [("fwd", [row["smac"], row["dmac"]]), ("rev", [row["dmac"], row["smac"]])] {
            let [packets, octets] = ["packets", "wire"].map(|column| number(row[format!("{column}_{way}").as_str()]));
            if packets > 0 {
                add(&mut ours, [row["file"], ends[0], ends[1], ethertype, &ids], packets, octets);
            }
        }
    }
    compare(&reference, &ours, FLOWS_EQUAL_MIN);
}

#[test]
fn arp_says_what_the_reference_says() {
    let Some(corpus) = corpus() else { return };
    let text = std::fs::read_to_string(corpus.join("reference/arp.csv")).unwrap();
    let mut reference: BTreeMap<&str, BTreeMap<usize, String>> = BTreeMap::new();
    for row in rows(&text) {
        let number = row["frame"].parse().unwrap();
        let said = ["arp.opcode", "arp.src.proto_ipv4", "arp.dst.proto_ipv4"].map(|column| row[column]).join(" ");
        reference.entry(row["file"]).or_default().insert(number, said);
    }
    let (mut all, mut equal) = (0, 0);
    for (file, expected) in reference {
        let mut ours = BTreeMap::new();
        each_frame(&corpus.join("pcaps").join(file), |number, frame| {
            let arp = layers(frame, &Tunnels::default(), true).map(|(_, layers)| layers.arp).unwrap_or_default();
            if arp.operation != 0 {
                let [sender, target] = [arp.sender, arp.target].map(std::net::Ipv4Addr::from);
                ours.insert(number, format!("{} {sender} {target}", arp.operation));
            }
        });
        for (number, said) in &expected {
            all += 1;
            match ours.get(number) {
                Some(found) if found == said => equal += 1,
                found => println!("{file} {number}: reference {said}, ours {found:?}"),
            }
        }
        for number in ours.keys().filter(|number| !expected.contains_key(number)) {
            println!("{file} {number}: reference None, ours {}", ours[number]);
        }
    }
    let share = f64::from(equal) / f64::from(all);
    println!("{equal} of {all} ARP messages equal: {share:.4}");
    assert!(all > 0 && share >= ARP_EQUAL_MIN, "{share:.4} of the ARP messages are equal, {ARP_EQUAL_MIN} were");
}
