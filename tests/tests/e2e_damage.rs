//! Somebody else writes to the shared memory of a probe that runs: both programs go on, say what happened, and no packet is lost.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use sonde_tests::collector::Collector;
use sonde_tests::harness::{ControlPlane, Lab, PATIENCE, Process, binary, until};
use sonde_tests::traffic::{MILLISECOND, Packet, START, Stack, capture};

/// What the log says of it, and what is done to the file.
type Spoil<'a> = (&'a str, &'a dyn Fn(&Path));

/// Packets, of a flow each: more than are sent while the test runs.
const PACKETS: u32 = 60_000;

fn write(path: &Path) {
    let packet = |number: u32| {
        let [_, high, middle, low] = number.to_be_bytes();
        let bytes = Stack::ethernet().ipv4([10, high, middle, low], [192, 0, 2, 1]).udp(4000, 53).payload(vec![7; 30]).build();
        Packet { time: START + u64::from(number) * MILLISECOND, bytes }
    };
    capture::save(path, (0..PACKETS).map(packet));
}

/// A probe at work, with an exporter.
fn probe(lab: &Lab, collector: &Collector) -> (Process, PathBuf) {
    let path = lab.path("flows.pcap");
    write(&path);
    let port = format!("boot.ports[0].device=net_pcap0,rx_pcap={}", path.display());
    let address = format!("live.exporters[0].address={}", collector.address());
    let sets = [
        port.as_str(),
        "live.exporters[0].name=exporters/test",
        "live.exporters[0].transport=tcp",
        &address,
        "boot.ports[0].pace_pps=200",
        "live.timeouts.idle_timeout_ms=300",
    ];
    let dataplane = lab.dataplane(&sets);
    let text = dataplane.text();
    let line = text.lines().find_map(|line| line.strip_prefix("running: ")?.split_once("counters ")).expect("where the counters are").1;
    let stats = PathBuf::from(line.split(';').next().expect("a path"));
    (dataplane, stats.parent().expect("a folder").to_owned())
}

fn number(value: &serde_json::Value) -> u64 {
    value.as_u64().or_else(|| value.as_str()?.parse().ok()).unwrap_or_else(|| panic!("{value} is no number"))
}

/// Flows, and what the stream says was lost and damaged, of a `flows tail --cursors`.
fn tailed(tail: &Process) -> (usize, u64, u64) {
    let text = tail.text();
    // Lost and damaged are sums: the last whole answer has them.
    let answer = text.lines().rev().find_map(|line| serde_json::from_str::<serde_json::Value>(line).ok()).unwrap_or_default();
    let sum = |name: &str| answer.get(name).map_or(0, number);
    (text.matches("\"flow_id\"").count(), sum("lost"), sum("damaged"))
}

fn overwrite(path: &Path, at: u64, bytes: &[u8]) {
    OpenOptions::new().write(true).open(path).and_then(|file| file.write_all_at(bytes, at)).expect("to write into it");
}

fn cut(path: &Path, bytes: u64) {
    OpenOptions::new().write(true).open(path).and_then(|file| file.set_len(bytes)).expect("to cut it");
}

fn noise(path: &Path) {
    let length = std::fs::metadata(path).expect("a file").len();
    let mut state = 1u64;
    let mut next = || {
        // Knuth, MMIX: the same each time.
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state.rotate_left(23).to_le_bytes()
    };
    let bytes: Vec<u8> = (0..length / 8).flat_map(|_| next()).collect();
    overwrite(path, 0, &bytes);
}

/// The counter of worker 0 that says how many rings were made anew, when the status is well again.
fn renewed(plane: &ControlPlane) -> Option<u64> {
    let status = plane.json(&["status"]);
    let whole =
        status["state"] == "running" && status["balance"]["balances"] == true && status["problems"].as_array().is_none_or(Vec::is_empty);
    whole.then(|| status["workers"][0]["counters"].get("rings_renewed").map(number)).flatten()
}

#[test]
fn shared_memory_that_is_cut_overwritten_or_removed_under_a_running_probe_comes_back() {
    let lab = Lab::new("damage");
    let collector = Collector::tcp().unwrap();
    let (dataplane, shared) = probe(&lab, &collector);
    let (stats, ring) = (shared.join("stats"), shared.join("ring-0"));
    let plane = lab.control_plane();
    let mut command = Command::new(binary("sonde"));
    command.args(["flows", "tail", "--json", "--cursors"]).env("SONDE_API", plane.api());
    let tail = Process::start(command, "sonde flows tail");
    until("the reader's first records", || (tailed(&tail).0 > 100).then_some(()));
    let spoils: [Spoil<'_>; 5] = [
        ("was cut", &|path| cut(path, 0)),
        ("was cut", &|path| cut(path, 8192)),
        ("was overwritten", &noise),
        ("was removed", &|path| std::fs::remove_file(path).expect("removed")),
        ("was replaced", &|path| {
            std::fs::write(path.with_extension("x"), "x")
                .and_then(|()| std::fs::rename(path.with_extension("x"), path))
                .expect("exchanged");
        }),
    ];
    for (count, (what, spoil)) in (1..).zip(spoils) {
        let said = dataplane.text().matches(what).count();
        spoil(&ring);
        spoil(&stats);
        // Whatever it finds meanwhile, the control plane answers, and never that no dataplane has run.
        let page = plane.sonde(&["status"]);
        assert!(page.stdout.starts_with("probe ") && !page.stdout.contains("no dataplane of this instance"), "{what}: {page:?}");
        until("both files to be whole", || (renewed(&plane) == Some(count)).then_some(()));
        assert!(dataplane.text().matches(what).count() >= said + 2, "{what} is not said of both files:\n{}", dataplane.text());
        let (flows, exported) = (tailed(&tail).0, collector.look(|collected| collected.records.len()));
        until("records at the reader", || (tailed(&tail).0 > flows + 100).then_some(()));
        assert!(collector.wait(PATIENCE, |collected| collected.records.len() > exported + 100), "{what}: the exporter goes on");
    }
    let received = number(&plane.json(&["status"])["balance"]["received"]);
    let (flows, lost, _) = tailed(&tail);
    assert!(flows as u64 + lost <= received, "{flows} flows read and {lost} lost of {received} packets, one a flow");
    assert!(lost > 0, "what was written before the new ring was there is told");
    let exporter = &plane.json(&["status"])["exporters"][0]["counters"];
    assert!(number(&exporter["lost_ring"]) > 0 && number(&exporter["lost_ring"]) < received, "{exporter}");
    // The records of flows that end now are the last; what was lost in rings is all that is missing.
    let ended = dataplane.stop();
    assert!(ended.status.success() && ended.text.contains("every packet has its place"), "{}", ended.text);
}

#[test]
fn what_another_version_left_says_which_side_is_older() {
    let lab = Lab::new("older");
    let collector = Collector::tcp().unwrap();
    let (dataplane, shared) = probe(&lab, &collector);
    let plane = lab.control_plane();
    until("the first records", || collector.look(|collected| collected.records.len() > 10).then_some(()));
    // One that is alive makes its files whole; so this one is not.
    dataplane.kill();
    for (version, says) in
        [(1u64, "the dataplane is older: restart it"), (99, "this program is older: install the version of the dataplane")]
    {
        overwrite(&shared.join("stats"), 8, &version.to_le_bytes());
        let page = until("the sentence in the status", || {
            let page = plane.sonde(&["status"]).stdout;
            page.contains(says).then_some(page)
        });
        assert!(page.contains("version 0.1.0, process ") && !page.contains("has run"), "{page}");
        let stats = plane.sonde(&["stats"]).stdout;
        assert!(stats.contains(says), "{stats}");
    }
    overwrite(&shared.join("ring-0"), 8, &99u64.to_le_bytes());
    let tail = || {
        let mut command = Command::new(binary("sonde"));
        command.args(["flows", "tail"]).env("SONDE_API", plane.api());
        Process::start(command, "sonde flows tail")
    };
    tail().wait_for("this program is older", PATIENCE);
    cut(&shared.join("stats"), 0);
    until("damaged statistics", || plane.sonde(&["status"]).stdout.contains("restart it").then_some(()));
    let log = plane.stop().text;
    assert!(log.contains("the dataplane is older: restart it"), "{log}");
    assert_eq!(log.matches("this program is older: install").count(), 1, "said once: {log}");
}
