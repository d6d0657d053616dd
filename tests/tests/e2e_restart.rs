//! The control plane is killed under load and started again, over the real dataplane: no packet is lost, no record, no reader.

use std::path::Path;
use std::process::Command;

use sonde_tests::collector::{Collector, elements};
use sonde_tests::harness::{Lab, PATIENCE, Process, binary, until};
use sonde_tests::traffic::{MILLISECOND, Packet, START, Stack, capture};

const FLOWS: u32 = 3000;
/// Packets of a flow, one right after the other.
const PACKETS: u32 = 4;

/// Flows one after the other, so that some end at every moment.
fn write(path: &Path) {
    let packet = |number: u32| {
        let [_, high, middle, low] = (number / PACKETS).to_be_bytes();
        let bytes = Stack::ethernet().ipv4([10, high, middle, low], [192, 0, 2, 1]).udp(4000, 53).payload(vec![7; 30]).build();
        Packet { time: START + u64::from(number) * MILLISECOND, bytes }
    };
    capture::save(path, (0..FLOWS * PACKETS).map(packet));
}

fn number(value: &serde_json::Value) -> u64 {
    value.as_u64().or_else(|| value.as_str()?.parse().ok()).unwrap_or_else(|| panic!("{value} is no number"))
}

/// The flow ids that a `flows tail --json --cursors` has printed, and the records it says it lost.
fn tailed(tail: &Process) -> (Vec<u64>, u64) {
    let text = tail.text();
    let answers = text.lines().filter(|line| line.starts_with('{')).map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let (mut ids, mut lost) = (Vec::new(), 0);
    for answer in answers {
        ids.extend(answer["flows"].as_array().into_iter().flatten().map(|flow| number(&flow["flow_id"])));
        lost += answer.get("lost").map_or(0, number);
    }
    (ids, lost)
}

#[test]
fn a_control_plane_killed_under_load_costs_no_packet_no_record_and_no_reader() {
    let lab = Lab::new("kill");
    let path = lab.path("flows.pcap");
    write(&path);
    let collector = Collector::tcp().unwrap();
    let port = format!("boot.ports[0].device=net_pcap0,rx_pcap={}", path.display());
    let address = format!("live.exporters[0].address={}", collector.address());
    let exporter = ["live.exporters[0].name=exporters/test", "live.exporters[0].transport=tcp", &address];
    // Nothing ends before the reader is there: no record is written at first.
    let slow = ["boot.ports[0].pace_pps=1500", "live.timeouts.idle_timeout_ms=600000"];
    let dataplane = lab.dataplane(&[[port.as_str()].as_slice(), &exporter, &slow].concat());
    let plane = lab.control_plane();
    until("adoption", || (plane.json(&["config", "get"])["converged"] == true).then_some(()));
    let api = plane.api().to_owned();
    let mut command = Command::new(binary("sonde"));
    command.args(["flows", "tail", "--json", "--cursors"]).env("SONDE_API", &api);
    let tail = Process::start(command, "sonde flows tail");
    // Its first answer has no flow, but a cursor: from here on it follows.
    tail.wait_for("cursor", PATIENCE);
    assert_eq!(plane.json(&["config", "get"])["converged"], true);
    let settings = lab.path("settings.toml");
    let document = plane.sonde(&["config", "get"]).stdout;
    std::fs::write(&settings, document.replace("idle_timeout_ms = 600000", "idle_timeout_ms = 300")).unwrap();
    let said = plane.sonde(&["config", "apply", settings.to_str().unwrap()]);
    assert_eq!(said.code, Some(0), "{said:?}");
    until("the reader's first records", || (tailed(&tail).0.len() > 100).then_some(()));

    let before = number(&plane.json(&["status"])["balance"]["received"]);
    plane.kill();
    // Meanwhile packets come and records are written.
    let at_kill = collector.look(|collected| collected.records.len());
    assert!(collector.wait(PATIENCE, |collected| collected.records.len() > at_kill + 200), "records go on without a control plane");
    let process = Process::start(lab.control_plane_command(&api), "sonde-controlplane");
    process.wait_for("the gRPC API is at ", PATIENCE);
    let status = || serde_json::from_str::<serde_json::Value>(&sonde_tests::harness::sonde(&api, &["status", "--json"]).stdout).ok();
    let after = until("its status", || status().map(|status| number(&status["balance"]["received"])));
    assert!(after > before, "the counters went on from {before} to {after}");
    assert!(after <= u64::from(FLOWS * PACKETS), "the counters jumped to {after}");

    let all = usize::try_from(FLOWS).unwrap();
    assert!(collector.wait(PATIENCE, |collected| collected.records.len() >= all));
    until("all records at the reader", || (tailed(&tail).0.len() >= all).then_some(()));
    let history = sonde_tests::harness::sonde(&api, &["config", "history", "--json"]);
    let ended = dataplane.stop();
    let received = format!("{0} received = {0} metered + 0 not metered", FLOWS * PACKETS);
    assert!(ended.text.contains(&received), "{}", ended.text);
    assert!(ended.text.contains(": 0 dropped before they were received"), "{}", ended.text);
    let (mut ids, lost) = tailed(&tail);
    assert_eq!((ids.len(), lost), (all, 0), "each record once; {}", tail.text().lines().last().unwrap_or_default());
    let collected = collector.stop();
    let mut exported: Vec<u64> = collected.records.iter().map(|record| record.number(elements::FLOW_ID)).collect();
    ids.sort_unstable();
    exported.sort_unstable();
    assert_eq!(ids, exported);
    assert_eq!(collected.records.iter().map(|record| record.both(elements::PACKETS)).sum::<u64>(), u64::from(FLOWS * PACKETS));
    // Adopted, and changed once: the restart is no generation.
    let history: serde_json::Value = serde_json::from_str(&history.stdout).unwrap();
    assert_eq!(history["generations"].as_array().map(Vec::len), Some(2), "{history}");
    drop(process);
}
