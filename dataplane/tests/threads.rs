//! Every thread of the dataplane, killed in a process that runs: by a trap, which only a build with debug assertions has.
#![cfg(debug_assertions)]

mod common;

use std::net::UdpSocket;
use std::path::Path;
use std::process::Command;

use common::{Place, Running, udp};
use sonde_stats::{BlockView, Kind};

/// A dataplane whose threads can be killed, with a capture that goes on for ever.
fn runs(place: &Place, sets: &[&str]) -> Running {
    let traffic: Vec<_> = (0..2000u16).map(|n| udp(n % 200, 1000 + n % 200, n % 64)).collect();
    let device = format!("boot.ports[0].device=net_pcap0,rx_pcap={},infinite_rx=1", place.capture(&traffic).display());
    let short = ["boot.ports[0].pace_pps=20000", "live.timeouts.active_timeout_ms=1000"];
    let mut command: Command = place.command(&[&[&*device], short.as_slice(), sets].concat());
    command.env("SONDE_TRAPS", place.dir.path());
    let running = Running::of(place, command);
    running.until("packets", |r| r.counter(Kind::Worker, "received") > 0);
    running
}

fn trap(place: &Place, thread: &str) -> impl Fn(&Running) -> bool + use<> {
    let path = place.dir.path().join(thread);
    std::fs::write(&path, "").expect("written");
    move |_| !Path::new(&path).exists()
}

fn block(running: &Running, kind: Kind, name: &str) -> BlockView {
    running.blocks().into_iter().find(|block| block.kind == kind && block.name == name).expect("its block")
}

#[test]
fn an_exporter_that_dies_is_seen_and_begins_again() {
    let place = Place::new();
    let collector = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let address = format!("live.exporters[0].address={}", collector.local_addr().expect("bound"));
    let running = runs(&place, &["live.exporters[0].name=exporters/a", &address]);
    let exporter = |r: &Running| block(r, Kind::Exporter, "exporters/a");
    running.until("records", |r| exporter(r).counter("records") > Some(0));
    running.until("its end", trap(&place, "exp-a"));
    running.until("its state", |r| exporter(r).text("state") == Some("failed"));
    let dead = exporter(&running);
    assert!(dead.text("last_error").unwrap_or_default().contains("ended by a fault of the program"), "{dead:?}");
    assert_eq!(dead.counter("restarts"), Some(1));
    running.until("its new life", |r| exporter(r).text("state") == Some("connected"));
    let before = exporter(&running).counter("records");
    running.until("more records", |r| exporter(r).counter("records") > before);
    running.signal("TERM");
    let (status, text, errors) = running.ended();
    assert_eq!(status.code(), Some(0), "{text}{errors}");
    assert!(errors.contains("the thread of exporters/a ended by a fault of the program"), "{errors}");
    // Every record of the ring has its place.
    let number = |line: &str, behind: &str| -> u64 {
        let rest = text.split(line).nth(1).unwrap_or_else(|| panic!("no {line} in {text}"));
        let rest = rest.split(behind).next().unwrap_or_default();
        rest.rsplit(|c: char| !c.is_ascii_digit()).find(|word| !word.is_empty()).and_then(|word| word.parse().ok()).expect("a number")
    };
    let written = number("  records   ", ":");
    let (sent, lost) = (number("exporters/a: ", " records sent"), number("(unconfirmed), ", " lost"));
    assert_eq!(sent + lost, written, "{text}");
}

#[test]
fn the_loader_of_databases_that_dies_is_seen_and_begins_again() {
    let place = Place::new();
    let running = runs(&place, &["live.enrichment.prefixes[0].prefix=10.0.0.0/8", "live.enrichment.prefixes[0].name=lab"]);
    let loader = |r: &Running| block(r, Kind::Process, "enrichment");
    running.until("the table", |r| loader(r).counter("tables_loaded") > Some(0));
    running.until("its end", trap(&place, "enrich"));
    running.until("its new life", |r| loader(r).text("last_error") == Some("") && loader(r).counter("tables_loaded") > Some(1));
    assert_eq!(loader(&running).counter("restarts"), Some(1));
    running.signal("TERM");
    let (status, text, errors) = running.ended();
    assert_eq!(status.code(), Some(0), "{text}{errors}");
    assert!(errors.contains("The thread that loads databases ended by a fault of the program"), "{errors}");
}

/// Kills a thread that packets depend on: the dataplane ends, says which, and still writes what the others have.
fn fatal(thread: &str, sentence: &str, sets: &[&str]) {
    let place = Place::new();
    let running = runs(&place, sets);
    running.until("its end", trap(&place, thread));
    let (status, text, errors) = running.ended();
    assert_eq!(status.code(), Some(1), "{text}{errors}");
    assert!(errors.contains(sentence), "{errors}");
    assert!(text.contains("counted in all:"), "{text}");
    assert!(!place.paths().southbound().exists(), "it has cleaned up");
}

#[test]
fn a_worker_that_dies_ends_the_dataplane_with_a_sentence() {
    fatal("worker-0", "stopping: worker 0 has ended by a fault of the program", &[]);
}

#[test]
fn a_dispatcher_that_dies_ends_the_dataplane_with_a_sentence() {
    fatal("dispatcher", "stopping: the dispatcher has ended by a fault of the program", &["boot.cores.workers=[0, 1]"]);
}
