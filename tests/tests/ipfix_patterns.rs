//! Patterns of packets in IPFIX are what `sonde replay` prints in JSON: read by tshark and by a library that nobody here wrote, octet by
//! octet where they have no names for CESNET's elements, and by our collector. And a dataplane sends what a replay writes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use netflow_parser::variable_versions::field_value::FieldValue;
use netflow_parser::variable_versions::ipfix::FlowSetBody;
use netflow_parser::variable_versions::ipfix::lookup::IPFixField;
use netflow_parser::{NetflowPacket, NetflowParser};
use serde_json::Value;
use sonde_tests::collector::{Collected, Collector, Decoder, Record, messages};
use sonde_tests::harness::{Lab, PATIENCE, binary, replayed};
use sonde_tests::traffic::{MILLISECOND, Packet, START, Stack, capture, office};
use sonde_tests::tshark;

const CESNET: u32 = 8057;

/// A flow with bursts in both directions, two forward and more than are kept in reverse, and payloads of all sizes.
fn bursts() -> Vec<Packet> {
    let packet = |n: u64, time: u64, reverse: bool| {
        let (from, to, sport, dport) = if reverse { (2, 1, 7000, 5000) } else { (1, 2, 5000, 7000) };
        let payload = vec![7; usize::try_from(1 + n * 37 % 1400).unwrap()];
        let bytes = Stack::ethernet().ipv4([10, 4, 0, from], [10, 4, 0, to]).udp(sport, dport).payload(payload).build();
        Packet { time: START + time * MILLISECOND + 777, bytes }
    };
    let forward = (0..8).map(|n| packet(n, n / 4 * 3_000 + n * 17, false));
    let reverse = (0..54).map(|n| packet(n + 8, 100 + n / 3 * 1_500 + n % 3 * 40, true));
    forward.chain(reverse).collect()
}

/// A list as a flow in JSON has it: the element of its items, their octets, the items.
struct List {
    item: u16,
    octets: usize,
    items: Vec<u64>,
}

impl List {
    /// RFC 6313 section 4.5.1, "ordered".
    fn encode(&self) -> Vec<u8> {
        let [id, length] = [self.item | 0x8000, u16::try_from(self.octets).unwrap()].map(u16::to_be_bytes);
        let items = self.items.iter().flat_map(|item| item.to_be_bytes()[8 - self.octets..].to_vec());
        [&[4], &id[..], &length, &CESNET.to_be_bytes()].concat().into_iter().chain(items).collect()
    }
}

/// The lists of a flow, in the order of a template: histograms, first packets, bursts.
fn lists(flow: &Value) -> [Vec<List>; 3] {
    let numbers = |values: &Value| values.as_array().unwrap().iter().map(|value| value.as_u64().unwrap()).collect();
    let histograms = [(1060, "forward_sizes"), (1062, "reverse_sizes"), (1061, "forward_times"), (1063, "reverse_times")];
    let histograms = histograms.map(|(item, name)| List { item, octets: 4, items: numbers(&flow["histograms"][name]) });
    let column = |rows: &Value, of: &dyn Fn(&Value) -> u64| rows.as_array().unwrap().iter().map(of).collect();
    let number = |row: &Value, name: &str| row[name].as_u64().unwrap();
    let first = |item, octets, of: &dyn Fn(&Value) -> u64| List { item, octets, items: column(&flow["first_packets"], of) };
    let first = [
        first(1013, 2, &|row| number(row, "payload_octets")),
        first(1014, 8, &|row| number(row, "time_us") / 1000),
        first(1015, 1, &|row| number(row, "tcp_control_bits") % 256),
        first(1016, 1, &|row| if row["reverse"] == true { 255 } else { 1 }),
    ];
    let mut bursts = Vec::new();
    for (from, name) in [(1050, "forward_bursts"), (1054, "reverse_bursts")] {
        let columns = [("packets", 4), ("payload_octets", 4), ("start_ms", 8), ("end_ms", 8)];
        bursts.extend((from..).zip(columns).map(|(item, (column_name, octets))| List {
            item,
            octets,
            items: column(&flow[name], &|row| number(row, column_name)),
        }));
    }
    // Without packets that have payload there is no list of them, and without bursts none of those.
    let there = |lists: Vec<List>| if lists.iter().all(|list| list.items.is_empty()) { Vec::new() } else { lists };
    [histograms.into(), there(first.into()), there(bursts)]
}

/// The fields of NetTiSA, each as its octets.
fn nettisa(flow: &Value) -> Vec<Vec<u8>> {
    let names = [
        "mean",
        "min",
        "max",
        "stdev",
        "kurtosis",
        "root_mean_square",
        "average_dispersion",
        "mean_scaled_time_us",
        "mean_difftime_us",
        "min_difftime_us",
        "max_difftime_us",
        "time_distribution",
        "switching_ratio",
    ];
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it was one of 32 bits, or of 16")]
    let field = |name: &str| match (name, flow["nettisa"][name].as_f64().unwrap()) {
        ("min" | "max", value) => (value as u16).to_be_bytes().to_vec(),
        (_, value) => (value as f32).to_be_bytes().to_vec(),
    };
    names.into_iter().map(field).collect()
}

/// All fields of patterns, each as its octets, in the order of the template.
fn fields(flow: &Value) -> Vec<Vec<u8>> {
    let [histograms, first, bursts] = lists(flow).map(|lists| lists.iter().map(List::encode).collect::<Vec<_>>());
    [histograms, nettisa(flow), first, bursts].concat()
}

/// Captures with something of everything: an office and bursts; and of the corpus, where it is there.
fn captures(folder: &Path) -> Vec<(Vec<Value>, Vec<u8>)> {
    let path = folder.join("patterns.pcap");
    capture::save_in_order(&path, [office(150, 4_000 * MILLISECOND, 5), bursts()].concat());
    let mut all = vec![replayed(&path, &["--patterns"])];
    let mixed = "pcaps/appid/ipfixprobe__mixed.pcap";
    if let Some(corpus) = sonde_tests::corpus::corpus(&[mixed], "IPFIX of patterns of a real capture was") {
        all.push(replayed(&corpus.join(mixed), &["--patterns"]));
    }
    all
}

/// A flow's number and octets, which its records do not share.
type Number = (u64, u64);

fn number_of(flow: &Value) -> Number {
    (flow["flow_id"].as_u64().unwrap(), flow["octets"].as_u64().unwrap())
}

/// What flows have: so many of them with first packets, with bursts forward, with bursts in reverse.
fn rich(flows: &[Value]) -> [usize; 3] {
    ["first_packets", "forward_bursts", "reverse_bursts"]
        .map(|name| flows.iter().filter(|flow| flow[name].as_array().is_some_and(|rows| !rows.is_empty())).count())
}

#[test]
fn tshark_reads_the_octets_of_patterns() {
    let folder = tempfile::tempdir().unwrap();
    let mut compared = 0;
    for (flows, file) in captures(folder.path()) {
        let [first, forward, reverse] = rich(&flows);
        assert!(first > 20 && forward > 0 && reverse > 0, "{first} {forward} {reverse}");
        let path = folder.path().join("ipfix.pcap");
        tshark::as_capture(&path, messages(&file).map(|message| (10_000, message)));
        let Some(read) = tshark::flows_of_long_templates(&path) else { return };
        let number = |flow: &tshark::Flow, field: &str| flow[field][0].parse::<u64>().unwrap();
        let read: BTreeMap<Number, _> =
            read.into_iter().map(|flow| ((number(&flow, "cflow.flow_id"), number(&flow, "cflow.octets")), flow)).collect();
        for flow in &flows {
            let private = &read[&number_of(flow)]["cflow.enterprise_private_entry"];
            let hex = |octets: Vec<u8>| octets.iter().map(|octet| format!("{octet:02x}")).collect::<Vec<_>>().join(":");
            let expected: Vec<String> = fields(flow).into_iter().map(hex).collect();
            // The operator's own elements stand before and between them.
            let mut rest = private.iter();
            assert!(expected.iter().all(|value| rest.any(|read| read == value)), "{private:?} of {flow}");
            compared += 1;
        }
    }
    assert!(compared > 100, "{compared}");
}

/// The fields of patterns that a library reads of a file's flows, by number and octets.
fn library(file: &[u8]) -> BTreeMap<Number, Vec<Vec<u8>>> {
    let mut parser = NetflowParser::default();
    let mut all = BTreeMap::new();
    for message in messages(file) {
        let read = parser.parse_bytes(message);
        assert!(read.error.is_none(), "{:?}", read.error);
        for packet in read.packets {
            let NetflowPacket::IPFix(ipfix) = packet else { panic!("not IPFIX: {packet:?}") };
            let sets = ipfix.flowsets.into_iter().filter_map(|set| if let FlowSetBody::Data(data) = set.body { Some(data) } else { None });
            for record in sets.flat_map(|data| data.fields) {
                let (mut number, mut fields) = ((0, 0), Vec::new());
                for (field, value) in record {
                    let patterns = (1020..=1032).any(|id| field == IPFixField::new(id, Some(CESNET)));
                    if field == IPFixField::new(148, None) {
                        number.0 = value.as_u64().unwrap();
                    } else if field == IPFixField::new(1, None) {
                        number.1 = value.as_u64().unwrap();
                    } else if patterns || field == IPFixField::new(291, None) {
                        let FieldValue::Vec(octets) = value else { panic!("{field:?} {value:?}") };
                        fields.push(octets);
                    }
                }
                all.insert(number, fields);
            }
        }
    }
    all
}

#[test]
fn a_library_reads_the_octets_of_patterns() {
    let folder = tempfile::tempdir().unwrap();
    for (flows, file) in captures(folder.path()) {
        let read = library(&file);
        assert_eq!(read.len(), flows.len());
        for flow in &flows {
            assert_eq!(read[&number_of(flow)], fields(flow), "{flow}");
        }
    }
}

/// A collector's record against JSON, value by value.
fn check(flow: &Value, record: &Record) {
    for list in lists(flow).iter().flatten() {
        assert_eq!(record.list((CESNET, list.item)).as_ref(), Some(&list.items), "8057:{} of {flow}", list.item);
    }
    for (id, value) in (1020..).zip(nettisa(flow)) {
        assert_eq!(record.values[&(CESNET, id)], value, "8057:{id} of {flow}");
    }
}

#[test]
fn a_collector_reads_the_values_of_patterns() {
    let folder = tempfile::tempdir().unwrap();
    for (flows, file) in captures(folder.path()) {
        let collected = Decoder::file(&file);
        assert_eq!((collected.faults, collected.missing, collected.records.len()), (Vec::new(), 0, flows.len()));
        let number = |record: &Record| (record.number((0, 148)), record.number((0, 1)));
        let read: BTreeMap<_, _> = collected.records.iter().map(|record| (number(record), record)).collect();
        flows.iter().for_each(|flow| check(flow, read[&number_of(flow)]));
    }
}

#[test]
fn who_keeps_no_patterns_announces_none() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("patterns.pcap");
    capture::save_in_order(&path, bursts());
    let out = Command::new(binary("sonde")).arg("replay").arg(&path).args(["--format", "ipfix"]).output().unwrap();
    let [without, with] = [Decoder::file(&out.stdout), Decoder::file(&replayed(&path, &["--patterns"]).1)];
    let used = |collected: &Collected| collected.records.iter().map(|record| record.template).collect::<BTreeSet<_>>().len() as u64;
    // Those of options are two, and one more that describes the operator's own elements, which only all fields have.
    assert_eq!([&without, &with].map(|collected| collected.templates), [used(&without) + 2, used(&with) + 3]);
    let kept = |record: &Record| record.values.contains_key(&(CESNET, 1020)) || record.lists.contains_key(&(CESNET, 1013));
    assert!(!without.records.iter().any(kept) && with.records.iter().all(kept));
}

/// What does not depend on when packets are metered: sizes, of first packets flags and directions, too. The template does: bursts do.
fn timeless(record: &Record) -> Vec<(u16, Vec<u64>)> {
    let lists = [1013, 1015, 1016, 1060, 1062].map(|id| (id, record.list((CESNET, id)).unwrap_or_default()));
    let numbers = (1020..=1026).chain([1032]).map(|id| (id, vec![record.number((CESNET, id))]));
    lists.into_iter().chain(numbers).collect()
}

#[test]
fn a_dataplane_sends_the_patterns_that_a_replay_writes() {
    let lab = Lab::new("patterns");
    let path = lab.path("patterns.pcap");
    capture::save_in_order(&path, [office(150, 4_000 * MILLISECOND, 5), bursts()].concat());
    let written = Decoder::file(&replayed(&path, &["--patterns"]).1);
    let collector = Collector::udp().unwrap();
    let port = format!("boot.ports[0].device=net_pcap0,rx_pcap={}", path.display());
    let address = format!("live.exporters[0].address={}", collector.address());
    let kept = ["histograms=true", "first_packets=30", "bursts=true", "nettisa=true"].map(|what| format!("boot.patterns.{what}"));
    let mut sets = vec![
        "boot.cores.workers=[]",
        "live.timeouts.idle_timeout_ms=500",
        "live.exporters[0].name=exporters/test",
        "live.exporters[0].fields=full",
        // As in the file of a replay, no list is cut to fit.
        "live.exporters[0].message_octets_max=9000",
        &port,
        &address,
    ];
    sets.extend(kept.iter().map(String::as_str));
    let dataplane = lab.dataplane(&sets);
    let complete = collector.wait(PATIENCE, |collected| collected.records.len() >= written.records.len());
    let found = collector.look(|collected| collected.records.len());
    assert!(complete, "{found} of {} records", written.records.len());
    let ended = dataplane.stop();
    assert!(ended.status.success(), "{}", ended.text);
    let sent = collector.stop();
    assert_eq!((&sent.faults, sent.missing), (&Vec::new(), 0));
    assert!(sent.raw.iter().all(|message| message.len() <= 9000));
    // Over UDP records that vary end with padding.
    assert!(sent.records.iter().any(|record| record.values.contains_key(&(0, 210))));
    let capture = lab.path("ipfix.pcap");
    tshark::as_capture(&capture, sent.raw.iter().map(|message| (10_000, message.as_slice())));
    if let Some(read) = tshark::flows_of_long_templates(&capture) {
        assert_eq!(read.len(), sent.records.len());
    }
    let sorted = |records: &[Record]| {
        let mut all: Vec<_> = records.iter().map(timeless).collect();
        all.sort();
        all
    };
    assert_eq!(sorted(&sent.records), sorted(&written.records));
    let templates: BTreeSet<_> = sent.records.iter().map(|record| record.template).collect();
    assert!(sent.records.iter().all(|record| record.lists.contains_key(&(CESNET, 1060))) && templates.len() >= 4, "{templates:?}");
}
