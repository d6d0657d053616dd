//! A capture goes all the way: through a DPDK port, the workers, the record rings and an IPFIX exporter to collectors that
//! nobody here wrote, and one that knows nothing of the encoder. The sums are the capture's.

use std::path::{Path, PathBuf};
use std::process::Command;

use netflow_parser::variable_versions::ipfix::FlowSetBody;
use netflow_parser::variable_versions::ipfix::lookup::IPFixField;
use netflow_parser::{NetflowPacket, NetflowParser};
use sonde_tests::collector::{Collected, Collector, Decoder, elements};
use sonde_tests::harness::{Lab, PATIENCE, Process, binary, run, until};
use sonde_tests::skip::{Need, skip};
use sonde_tests::traffic::{Mix, Packet, Population, SECOND, Size, Totals, capture, office};
use sonde_tests::tshark;

fn population(mix: Mix, flows: u64, packets: u64) -> impl Iterator<Item = Packet> {
    let mut population = Population::new(mix, flows, packets, Size::Imix, 1_000_000, 11);
    (0..packets).map(move |_| {
        let mut bytes = Vec::new();
        let time = population.next_into(&mut bytes);
        Packet { time, bytes }
    })
}

/// A dataplane that reads the capture once and sends its flows to `collector` soon after their last packet.
fn dataplane(lab: &Lab, capture: &Path, collector: &str, transport: &str, more: &[&str]) -> Process {
    let port = format!("boot.ports[0].device=net_pcap0,rx_pcap={}", capture.display());
    let (address, transport) = (format!("live.exporters[0].address={collector}"), format!("live.exporters[0].transport={transport}"));
    let sets = [
        &port,
        "live.timeouts.idle_timeout_ms=500",
        "live.exporters[0].name=exporters/test",
        "live.exporters[0].options_interval_s=1",
        &address,
        &transport,
    ];
    lab.dataplane(&[&sets, more].concat())
}

fn packets(collected: &Collected) -> u64 {
    collected.records.iter().map(|record| record.both(elements::PACKETS)).sum()
}

/// Asserts that the records are the capture's flows: every packet and octet once, by version of IP.
fn check_sums(collected: &Collected, totals: &Totals) {
    let sum = |version: Option<u64>, element| -> u64 {
        let of_version = |ethertype: u64| version.map_or(!matches!(ethertype, 0x0800 | 0x86dd), |version| ethertype == version);
        collected.records.iter().filter(|r| of_version(ethertype(r))).map(|record| record.both(element)).sum()
    };
    assert_eq!(collected.faults, Vec::<String>::new());
    assert_eq!(collected.missing, 0, "records that the sequence numbers say were sent");
    let (v4, v6) = (Some(0x0800), Some(0x86dd));
    assert_eq!((sum(v4, elements::PACKETS), sum(v4, elements::OCTETS)), (totals.ipv4_packets, totals.ipv4_octets));
    assert_eq!((sum(v6, elements::PACKETS), sum(v6, elements::OCTETS)), (totals.ipv6_packets, totals.ipv6_octets));
    assert_eq!(sum(None, elements::PACKETS), totals.other_frames);
}

/// Version by the addresses a record has, as an ethertype.
fn ethertype(record: &sonde_tests::collector::Record) -> u64 {
    match record.addresses() {
        Some((source, _)) if source.is_ipv4() => 0x0800,
        Some(_) => 0x86dd,
        None => 0,
    }
}

/// Asserts what the dataplane says at its end.
fn check_end(dataplane: Process, totals: &Totals) {
    let ended = dataplane.stop();
    assert!(ended.status.success(), "{}", ended.text);
    let packets = format!("{0} received = {0} metered + 0 not metered", totals.frames);
    for words in [packets.as_str(), "every packet has its place", "0 lost"] {
        assert!(ended.text.contains(words), "\"{words}\" is not in:\n{}", ended.text);
    }
}

fn journey(what: &str, workers: &str, collector: Collector, transport: &str) {
    let lab = Lab::new(what);
    let path = lab.path("office.pcap");
    let totals = capture::save(&path, office(1500, 20 * SECOND, 3));
    let dataplane = dataplane(&lab, &path, &collector.address().to_string(), transport, &[workers]);
    let complete = collector.wait(PATIENCE, |collected| packets(collected) >= totals.frames && !collected.options.is_empty());
    assert!(complete, "{} of {} packets were reported", collector.look(packets), totals.frames);
    check_end(dataplane, &totals);
    check_sums(&collector.stop(), &totals);
}

#[test]
fn an_office_is_reported_over_udp() {
    journey("udp", "boot.cores.workers=[]", Collector::udp().unwrap(), "udp");
}

#[test]
fn an_office_is_reported_over_tcp() {
    journey("tcp", "boot.cores.workers=[]", Collector::tcp().unwrap(), "tcp");
}

#[test]
fn two_workers_report_the_same_through_the_dispatcher() {
    if std::thread::available_parallelism().unwrap().get() < 2 {
        skip(Need::TwoCores, "two workers behind the dispatcher");
        return;
    }
    let lab = Lab::new("two");
    let path = lab.path("udp.pcap");
    let totals = capture::save(&path, population(Mix::UdpDual, 5000, 60_000));
    let collector = Collector::udp().unwrap();
    let dataplane = dataplane(&lab, &path, &collector.address().to_string(), "udp", &["boot.cores.workers=[0, 1]"]);
    dataplane.wait_for("dispatch", PATIENCE);
    let complete = collector.wait(PATIENCE, |collected| packets(collected) >= totals.frames);
    assert!(complete, "{} of {} packets were reported", collector.look(packets), totals.frames);
    // Both workers had about half of it: their counters are read through the control plane.
    let control_plane = lab.control_plane();
    let status = until("the workers' counters", || {
        let status = control_plane.json(&["status"]);
        (status["workers"].as_array().is_some_and(|workers| workers.len() == 2)).then_some(status)
    });
    for worker in status["workers"].as_array().unwrap() {
        let received =
            worker["balance"]["received"].as_str().and_then(|n| n.parse().ok()).or(worker["balance"]["received"].as_u64()).unwrap();
        assert!(received > totals.frames / 4, "a worker received {received} of {} packets", totals.frames);
    }
    check_end(dataplane, &totals);
    let collected = collector.stop();
    check_sums(&collected, &totals);
    // Each flow was one worker's, in both directions: as many records as flows, but for flows that paused longer than the timeout.
    assert_eq!(collected.records.len(), 5000);
}

#[test]
fn what_a_stopped_dataplane_still_held_is_reported_as_forced_end() {
    let lab = Lab::new("stop");
    let path = lab.path("tcp.pcap");
    let totals = capture::save(&path, population(Mix::Udp, 300, 3000));
    let collector = Collector::tcp().unwrap();
    let address = format!("live.exporters[0].address={}", collector.address());
    let port = format!("boot.ports[0].device=net_pcap0,rx_pcap={}", path.display());
    let sets = [port.as_str(), "live.exporters[0].name=exporters/test", "live.exporters[0].transport=tcp", &address];
    let dataplane = lab.dataplane(&sets);
    let control_plane = lab.control_plane();
    until("every packet to be received", || {
        let stats = control_plane.json(&["status"]);
        let received = &stats["balance"]["received"];
        (received.as_u64().or_else(|| received.as_str()?.parse().ok())? == totals.frames).then_some(())
    });
    check_end(dataplane, &totals);
    let collected = collector.stop();
    check_sums(&collected, &totals);
    assert!(collected.records.iter().all(|record| record.number(elements::END_REASON) == 4));
}

/// All values of a field in all frames.
fn tshark_values(path: &Path, field: &str) -> Option<Vec<u64>> {
    let lines = tshark::lines(&mut tshark::tshark(path)?, [field]);
    // Of a field that comes several times in a frame the values are joined by commas.
    Some(lines.iter().flat_map(|line| line.split(',')).filter(|value| !value.is_empty()).map(|value| value.parse().unwrap()).collect())
}

/// An office's traffic through the dataplane to our collector over UDP: what was sent, and what came.
fn office_to_collector(lab: &Lab) -> (Totals, Collected) {
    let path = lab.path("office.pcap");
    let totals = capture::save(&path, office(600, 5 * SECOND, 4));
    let collector = Collector::udp().unwrap();
    let dataplane = dataplane(lab, &path, &collector.address().to_string(), "udp", &["boot.cores.workers=[]"]);
    assert!(collector.wait(PATIENCE, |collected| packets(collected) >= totals.frames));
    check_end(dataplane, &totals);
    (totals, collector.stop())
}

#[test]
fn tshark_reads_the_same_sums() {
    let lab = Lab::new("tshark");
    let (totals, collected) = office_to_collector(&lab);
    let messages = lab.path("ipfix.pcap");
    tshark::as_capture(&messages, collected.raw.iter().map(|message| (40_000, message.as_slice())));
    let sum = |field| tshark_values(&messages, field).map(|values| values.iter().sum::<u64>());
    let Some(packets) = sum("cflow.packets") else { return };
    // tshark has one field for an element and for its reverse.
    assert_eq!(packets, totals.frames, "cflow.packets");
    let octets: u64 = collected.records.iter().map(|record| record.both(elements::OCTETS)).sum();
    assert_eq!(sum("cflow.octets"), Some(octets), "cflow.octets");
    assert_eq!(tshark_values(&messages, "cflow.flow_id").map(|ids| ids.len()), Some(collected.records.len()), "cflow.flow_id");
    let malformed = run(tshark::tshark(&messages).unwrap().args(["-Y", "_ws.malformed || cflow.template_frame == 0"]));
    assert_eq!(malformed.stdout, "", "{}", malformed.stderr);
}

/// What the library reads of one message: flow records, and the sums of their packets and octets, both directions.
fn library_sums(parser: &mut NetflowParser, message: &[u8]) -> [u64; 3] {
    let read = parser.parse_bytes(message);
    assert!(read.error.is_none(), "{:?}", read.error);
    let mut sums = [0; 3];
    for packet in read.packets {
        let NetflowPacket::IPFix(ipfix) = packet else { panic!("not IPFIX: {packet:?}") };
        for set in ipfix.flowsets {
            let FlowSetBody::Data(data) = set.body else { continue };
            for record in data.fields {
                sums[0] += 1;
                for (field, value) in record {
                    for (id, sum) in [(2, 1), (1, 2)] {
                        if [None, Some(29_305)].iter().any(|enterprise| field == IPFixField::new(id, *enterprise)) {
                            sums[sum] += value.as_u64().unwrap();
                        }
                    }
                }
            }
        }
    }
    sums
}

#[test]
fn a_library_reads_the_same_sums() {
    let (totals, collected) = office_to_collector(&Lab::new("library"));
    let mut parser = NetflowParser::default();
    let sums = collected.raw.iter().map(|message| library_sums(&mut parser, message));
    let sums = sums.fold([0; 3], |all, one| [all[0] + one[0], all[1] + one[1], all[2] + one[2]]);
    let octets: u64 = collected.records.iter().map(|record| record.both(elements::OCTETS)).sum();
    assert_eq!(sums, [collected.records.len() as u64, totals.frames, octets]);
}

/// An nfcapd on a free UDP port, and where it writes.
fn nfcapd(lab: &Lab) -> Option<(Process, u16, PathBuf)> {
    if Command::new("nfcapd").arg("-V").output().is_err() {
        skip(Need::Nfdump, "what nfcapd collects");
        return None;
    }
    // Free a moment ago: nfcapd cannot be told to choose one itself.
    let port = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let spool = lab.path("spool");
    std::fs::create_dir(&spool).unwrap();
    let mut command = Command::new("nfcapd");
    command.args(["-b", "127.0.0.1", "-p", &port.to_string(), "-B", "8000000", "-t", "3600", "-w"]).arg(&spool);
    let nfcapd = Process::start(command, "nfcapd");
    nfcapd.wait_for("Startup", PATIENCE);
    Some((nfcapd, port, spool))
}

/// Sends the capture's flows to nfcapd, and sums up what nfdump reads of its files: flows, packets and octets of both directions.
fn through_nfcapd(lab: &Lab, path: &Path, totals: &Totals, records: u64, patterns: &[&str]) -> Option<[u64; 3]> {
    let (nfcapd, port, spool) = nfcapd(lab)?;
    let dataplane = dataplane(lab, path, &format!("127.0.0.1:{port}"), "udp", &[&["boot.cores.workers=[]"], patterns].concat());
    let control_plane = lab.control_plane();
    until("the records to be sent", || {
        let stats = control_plane.json(&["exporters", "stats"]);
        find_number(&stats, "records").filter(|sent| *sent >= records)
    });
    check_end(dataplane, totals);
    drop(control_plane);
    // It reads what stands in its socket before it ends.
    std::thread::sleep(std::time::Duration::from_millis(500));
    let ended = nfcapd.stop();
    let files: Vec<_> = std::fs::read_dir(&spool).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file()).collect();
    let mut dump = Command::new("nfdump");
    dump.args(["-q", "-N", "-6", "-o", "fmt:%ipkt %ibyt %opkt %obyt", "-R"]).arg(&spool);
    let said = run(&mut dump);
    assert_eq!(said.code, Some(0), "{} {files:?} {}", said.stderr, ended.text);
    let rows: Vec<Vec<u64>> = said.stdout.lines().map(|line| line.split_whitespace().map(|n| n.parse().unwrap()).collect()).collect();
    let sum = |at: usize| rows.iter().map(|row| row[at]).sum::<u64>();
    Some([rows.len() as u64, sum(0) + sum(2), sum(1) + sum(3)])
}

#[test]
fn nfcapd_collects_the_same_sums_of_ipv4() {
    let lab = Lab::new("nfcapd");
    let path = lab.path("tcp.pcap");
    let totals = capture::save(&path, population(Mix::Tcp, 700, 14_000));
    let Some(found) = through_nfcapd(&lab, &path, &totals, 700, &[]) else { return };
    assert_eq!(found, [700, totals.frames, totals.ipv4_octets]);
}

#[test]
fn nfcapd_collects_the_same_sums_of_both_versions() {
    let lab = Lab::new("nfcapd6");
    let path = lab.path("dual.pcap");
    let totals = capture::save(&path, population(Mix::UdpDual, 700, 14_000));
    assert!(totals.ipv6_packets > 1000);
    let Some(found) = through_nfcapd(&lab, &path, &totals, 700, &[]) else { return };
    assert_eq!(found, [700, totals.frames, totals.ip_octets()]);
}

#[test]
fn nfcapd_passes_over_patterns() {
    let lab = Lab::new("nfcapd-patterns");
    let path = lab.path("office.pcap");
    // Records of different lengths in one message.
    let totals = capture::save(&path, office(400, 5 * SECOND, 7));
    let patterns =
        ["boot.patterns.histograms=true", "boot.patterns.first_packets=30", "boot.patterns.bursts=true", "boot.patterns.nettisa=true"];
    let written = Command::new(binary("sonde")).arg("replay").arg(&path).args(["--format", "ipfix"]).output().unwrap();
    let flows = Decoder::file(&written.stdout).records;
    let Some(found) = through_nfcapd(&lab, &path, &totals, flows.len() as u64, &patterns) else { return };
    let [packets, octets] = [elements::PACKETS, elements::OCTETS].map(|element| flows.iter().map(|record| record.both(element)).sum());
    assert_eq!(found, [flows.len() as u64, packets, octets]);
}

/// The first number of this name anywhere in the document; the API gives 64-bit numbers as text.
fn find_number(value: &serde_json::Value, name: &str) -> Option<u64> {
    match value {
        serde_json::Value::Object(map) => {
            let own = map.get(name).and_then(|n| n.as_u64().or_else(|| n.as_str()?.parse().ok()));
            own.or_else(|| map.values().find_map(|value| find_number(value, name)))
        }
        serde_json::Value::Array(values) => values.iter().find_map(|value| find_number(value, name)),
        _ => None,
    }
}
