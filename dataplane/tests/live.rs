//! A dataplane that runs: packets in, flows out, settings taken over, counters that balance.

mod common;

use std::net::UdpSocket;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::time::Duration;

use common::{Place, Running, Tiny, udp};
use sonde_proto::southbound::ApplyRequest;
use sonde_proto::v1;
use sonde_stats::{Kind, View};
use sonde_tests::collector::{Collected, Collector};
use sonde_tests::mmdb::{Data, Writer};
use sonde_tests::skip::root;

/// 200 flows of 10 packets, and 20 frames that are no packets.
fn traffic() -> Vec<Vec<u8>> {
    let mut packets: Vec<_> = (0..2000u16).map(|n| udp(n % 200, 1000 + n % 200, n % 64)).collect();
    // An IPv4 header that ends in the middle.
    packets.extend((0..20).map(|n| udp(n, n, 0)[..20].to_vec()));
    packets
}

fn pcap_device(place: &Place, arguments: &str) -> String {
    format!("boot.ports[0].device=net_pcap0,rx_pcap={}{arguments}", place.capture(&traffic()).display())
}

/// Received = metered + each reason, in every worker. A look may come between two stores of a burst: ask until it is so.
fn balances(running: &Running) -> bool {
    let workers = running.blocks().into_iter().filter(|b| b.kind == Kind::Worker);
    let sums = workers.map(|block| {
        let placed = block.counters.iter().filter(|(name, _)| name.starts_with("metered_") || name.starts_with("not_metered."));
        (block.counter("received").expect("received"), placed.map(|(_, n)| n).sum::<u64>())
    });
    sums.into_iter().all(|(received, placed)| received == placed)
}

#[test]
fn every_packet_of_a_capture_has_its_place() {
    let place = Place::new();
    let running = place.starts(&[&pcap_device(&place, "")]);
    assert!(running.said.contains("ordinary pages (--no-huge"), "it says which memory it took: {}", running.said);
    running.until("all received", |r| r.counter(Kind::Worker, "received") == 2020);
    running.until("balance", balances);
    running.until("the port counts them too", |r| r.counter(Kind::Port, "rx_packets") == 2020);
    let port = running.blocks().into_iter().find(|b| b.kind == Kind::Port).expect("a port's block");
    assert_eq!((port.text("driver"), port.counter("ingress"), port.counter("link_up")), (Some("net_pcap"), Some(1), Some(1)));
    let text = running.stop();
    for line in [
        "packets   2020 received = 2000 metered + 20 not metered",
        "20 ipv4_truncated",
        "every packet has its place",
        "flows     200",
        "records   200: 200 forced",
    ] {
        assert!(text.contains(line), "no {line:?} in: {text}");
    }
    let paths = place.paths();
    assert!(!paths.southbound().exists() && !paths.ring(0).exists(), "socket and rings are gone");
    let last = View::open(&paths.stats()).expect("the last counters can be read");
    assert!(last.ended());
    assert_eq!(last.blocks().iter().find(|b| b.kind == Kind::Worker).and_then(|b| b.counter("received")), Some(2020));
}

#[test]
fn one_queue_feeds_two_workers_by_the_dispatcher() {
    let place = Place::new();
    let running = place.starts(&[&pcap_device(&place, ""), "boot.cores.workers=[0, 1]"]);
    assert!(running.said.contains("the dispatcher on core 0"), "{}", running.said);
    running.until("all received", |r| r.counter(Kind::Worker, "received") + r.counter(Kind::Worker, "dispatch_dropped") == 2020);
    running.until("balance", balances);
    running.until("dispatched is shown", |r| r.counter(Kind::Worker, "dispatched") == r.counter(Kind::Worker, "received"));
    let each =
        |r: &Running| -> Vec<u64> { r.blocks().iter().filter(|b| b.kind == Kind::Worker).filter_map(|b| b.counter("received")).collect() };
    assert!(each(&running).iter().all(|n| *n > 0), "both have work: {:?}", each(&running));
    assert!(running.stop().contains("every packet has its place"));
}

#[test]
fn settings_are_taken_over_while_packets_come_and_survive_a_restart() {
    let place = Place::new();
    let sets = [&*pcap_device(&place, ",infinite_rx=1"), "boot.ports[0].pace_pps=50000"];
    let running = place.starts(&sets);
    let mut control = running.southbound();
    let first = control.describe();
    assert_eq!((first.protocol_version, first.pid, first.generation), (1, running.pid(), 0));
    assert_eq!(first.stats_path, place.paths().stats().display().to_string());
    assert_eq!(first.ring_paths, [place.paths().ring(0).display().to_string()]);
    let mut settings = first.settings.expect("settings");

    settings.live.as_mut().expect("live").timeouts.as_mut().expect("timeouts").idle_timeout_ms = 4000;
    let answer = control.apply(7, &settings).expect("applied");
    assert_eq!((answer.generation_in_force, answer.late_workers.len(), answer.violations.len()), (7, 0, 0));
    assert_eq!(running.counter(Kind::Worker, "generation"), 7);
    assert_eq!(control.describe().settings.as_ref(), Some(&settings));
    // Said twice it is no news; another one of the same number, or an older one, is refused.
    assert_eq!(control.apply(7, &settings).expect("the same").generation_in_force, 7);
    let mut other = settings.clone();
    other.live.as_mut().expect("live").vlan_in_key = Some(false);
    for generation in [7, 6] {
        let refused = control.apply(generation, &other).expect_err("not newer");
        assert_eq!(refused.code(), tonic::Code::FailedPrecondition, "{refused}");
        assert!(refused.message().contains("nothing was changed"), "{refused}");
    }
    assert_eq!(control.describe().settings.as_ref(), Some(&settings));
    running.until("balance", balances);
    running.stop();

    let again = place.starts(&sets);
    assert!(again.said.contains("settings: generation 7 from"), "{}", again.said);
    let description = again.southbound().describe();
    assert_eq!((description.generation, description.settings.as_ref()), (7, Some(&settings)));
    again.stop();
    let edited = place.starts(&[sets[0], sets[1], "live.vlan_in_key=false"]);
    assert!(edited.said.contains("generation 7") && edited.said.contains("is not used"), "{}", edited.said);
    assert_eq!(edited.southbound().describe().generation, 0);
    edited.stop();
}

#[test]
fn refused_settings_change_nothing() {
    let place = Place::new();
    let running = place.starts(&["boot.ports[0].device=net_null0", "boot.ports[0].pace_pps=100"]);
    let mut control = running.southbound();
    let good = control.describe().settings.expect("settings");

    let mut bad = good.clone();
    bad.boot.as_mut().expect("boot").table = Some(v1::Table { ipv4_flows: 5, wide_flows: 0, ..<_>::default() });
    bad.live.as_mut().expect("live").timeouts.as_mut().expect("timeouts").active_timeout_ms = 5;
    bad.live.as_mut().expect("live").exporters.push(v1::Exporter::default());
    let paths = |answer: sonde_proto::southbound::ApplyResponse| -> Vec<String> { answer.violations.into_iter().map(|v| v.path).collect() };
    assert_eq!(
        paths(control.apply(3, &bad).expect("an answer")),
        ["boot.table.ipv4_flows", "live.timeouts.active_timeout_ms", "live.exporters[0].name", "live.exporters[0].address"]
    );
    let mut renamed = good.clone();
    renamed.boot.as_mut().expect("boot").instance = "another".into();
    assert_eq!(paths(control.apply(3, &renamed).expect("an answer")), ["boot.instance"]);
    assert_eq!(paths(control.apply(0, &good).expect("an answer")), ["generation"]);

    let mut larger = good.clone();
    larger.boot.as_mut().expect("boot").table.as_mut().expect("table").ipv4_flows = 8192;
    larger.live.as_mut().expect("live").vlan_in_key = Some(false);
    let answer = control.apply(3, &larger).expect("an answer");
    assert_eq!((answer.restart_required, answer.generation_in_force), (vec!["boot.table.ipv4_flows".to_owned()], 0));
    let now = control.describe();
    assert_eq!((now.generation, now.settings), (0, Some(good)));
    assert!(!place.paths().settings().exists(), "nothing was written");

    // Kept for the next start, and taken there.
    let request = ApplyRequest { generation: 4, settings: Some(larger.clone()), deadline_ms: 0, for_next_start: true };
    assert_eq!(control.send(request).expect("kept").restart_required, ["boot.table.ipv4_flows"]);
    assert_eq!(control.describe().generation, 0);
    running.stop();
    let next = place.starts(&["boot.ports[0].device=net_null0", "boot.ports[0].pace_pps=100"]);
    let description = next.southbound().describe();
    assert_eq!((description.generation, description.settings), (4, Some(larger)));
    next.stop();
}

#[test]
fn a_collector_that_is_down_stops_nothing_and_is_said() {
    let place = Place::new();
    let exporter = ["live.exporters[0].name=exporters/down", "live.exporters[0].transport=tcp", "live.exporters[0].address=127.0.0.1:1"];
    let device = pcap_device(&place, "");
    let running = place.starts(&[&device, exporter[0], exporter[1], exporter[2]]);
    running.until("all received", |r| r.counter(Kind::Worker, "received") == 2020);
    let trouble = |r: &Running| {
        let block = r.blocks().into_iter().find(|b| b.kind == Kind::Exporter).expect("an exporter's block");
        (block.name.clone(), block.text("state").unwrap_or_default().to_owned(), block.text("last_error").unwrap_or_default().to_owned())
    };
    running.until("the trouble is shown", |r| trouble(r).2.contains("refused"));
    let (name, state, _) = trouble(&running);
    assert_eq!(name, "exporters/down");
    assert!(["connecting", "failed"].contains(&state.as_str()), "{state}");
    let text = running.stop();
    assert!(text.contains("exporters/down: 0 records sent, 200 lost"), "every record is accounted for: {text}");
}

/// Records and sequence numbers of every IPFIX message that arrives (RFC 7011 section 3.1), until `silence`.
fn data_records(socket: &UdpSocket, silence: Duration) -> Vec<(u32, usize)> {
    socket.set_read_timeout(Some(silence)).expect("timeout");
    let mut messages = Vec::new();
    let mut buffer = vec![0; 65_536];
    while let Ok(length) = socket.recv(&mut buffer) {
        assert!(length >= 16 && buffer[..2] == [0, 10], "an IPFIX message");
        let sequence = u32::from_be_bytes(buffer[8..12].try_into().expect("four octets"));
        messages.push((sequence, length));
    }
    messages
}

#[test]
fn a_replaced_exporter_loses_no_record_and_counts_on() {
    let place = Place::new();
    let collector = UdpSocket::bind("127.0.0.1:0").expect("bound");
    let address = format!("live.exporters[0].address={}", collector.local_addr().expect("address"));
    let device = pcap_device(&place, ",infinite_rx=1");
    // Flows end all the time: every packet is late for the one before.
    let sets =
        [&*device, "boot.ports[0].pace_pps=2000", "live.timeouts.idle_timeout_ms=100", "live.exporters[0].name=exporters/lab", &address];
    let running = place.starts(&sets);
    let mut control = running.southbound();
    let mut settings = control.describe().settings.expect("settings");
    let drain = std::thread::spawn(move || data_records(&collector, Duration::from_secs(4)));
    running.until("records are sent", |r| r.counter(Kind::Exporter, "records") > 200);
    for generation in 1..=5 {
        let sent = running.counter(Kind::Exporter, "records");
        settings.live.as_mut().expect("live").exporters[0].message_octets_max = 1000 + u32::try_from(generation).expect("small");
        assert_eq!(control.apply(generation, &settings).expect("applied").generation_in_force, generation);
        assert!(running.counter(Kind::Exporter, "records") >= sent, "counters do not jump");
        running.until("more is sent", |r| r.counter(Kind::Exporter, "records") > sent + 50);
    }
    // Disabled, and gone: shown, then not.
    settings.live.as_mut().expect("live").exporters[0].enabled = Some(false);
    control.apply(6, &settings).expect("applied");
    running.until("disabled is said", |r| r.blocks().iter().any(|b| b.text("state") == Some("disabled")));
    let written: u64 = running
        .blocks()
        .iter()
        .filter(|b| b.kind == Kind::Worker)
        .flat_map(|b| b.counters.iter().filter(|(name, _)| name.starts_with("records_")).map(|(_, n)| *n).collect::<Vec<_>>())
        .sum();
    let exporter = running.blocks().into_iter().find(|b| b.kind == Kind::Exporter).expect("an exporter's block");
    let count = |name| exporter.counter(name).expect(name);
    assert_eq!((count("lost_ring"), count("lost_send")), (0, 0));
    assert!(count("records") > 450 && count("records") <= written, "{} of {written}", count("records"));
    settings.live.as_mut().expect("live").exporters.clear();
    control.apply(7, &settings).expect("applied");
    assert_eq!(running.blocks().iter().filter(|b| b.kind == Kind::Exporter).count(), 0);
    running.stop();
    assert!(drain.join().expect("collector").len() > 6);
}

#[test]
fn exported_flows_say_whose_their_addresses_are_and_a_changed_file_is_taken_over() {
    let place = Place::new();
    let database = place.dir.path().join("asn.mmdb");
    let write = |number: u32| {
        let mut writer = Writer::new("Test-ASN", 24);
        writer.insert("0.0.0.0".parse().expect("an address"), 1, Data::map([("autonomous_system_number", Data::U32(number))]));
        let beside = database.with_extension("new");
        std::fs::write(&beside, writer.octets()).and_then(|()| std::fs::rename(&beside, &database)).expect("room");
    };
    write(64_500);
    let collector = Collector::udp().expect("a collector");
    let address = format!("live.exporters[0].address={}", collector.address());
    let device = pcap_device(&place, ",infinite_rx=1");
    let trust = format!("trust.databases_folder={}", place.dir.path().display());
    let sets = [
        &*device,
        "boot.ports[0].pace_pps=2000",
        "live.timeouts.idle_timeout_ms=100",
        "live.exporters[0].name=exporters/lab",
        &address,
        &trust,
    ];
    let running = place.starts(&sets);
    let patience = Duration::from_secs(20);
    assert!(collector.wait(patience, |seen| seen.records.len() > 20), "records come");
    assert!(collector.look(|seen| seen.records.iter().all(|record| record.template & 16 == 0)), "nothing is looked up");

    let mut control = running.southbound();
    let mut settings = control.describe().settings.expect("settings");
    let own = v1::OwnPrefix { prefix: "0.0.0.0/0".to_owned(), name: "everything".to_owned() };
    let path = "asn.mmdb".to_owned();
    settings.live.as_mut().expect("live").enrichment =
        Some(v1::Enrichment { asn_database: path, prefixes: vec![own], ..Default::default() });
    assert_eq!(control.apply(1, &settings).expect("applied").generation_in_force, 1);
    let from = |seen: &Collected, number| seen.records.iter().any(|record| record.number((0, 16)) == number);
    assert!(collector.wait(patience, |seen| from(seen, 64_500)), "the AS number of the database");
    let named =
        |seen: &Collected| seen.records.iter().filter(|r| r.text((35_632, 525)).is_some_and(|t| t.starts_with("everything"))).count();
    assert!(collector.look(named) > 0, "and the operator's name");
    write(64_501);
    assert!(collector.wait(patience, |seen| from(seen, 64_501)), "the file was loaded anew");

    std::fs::write(&database, "not a database").expect("room");
    let trouble = |r: &Running| r.blocks().iter().any(|b| b.text("last_error").is_some_and(|text| text.contains("no MaxMind DB metadata")));
    running.until("the broken file is said", trouble);
    let before = collector.look(|seen| seen.records.len());
    let still = |seen: &Collected| seen.records.iter().skip(before).any(|record| record.number((0, 16)) == 64_501);
    assert!(collector.wait(patience, still), "what was loaded is still used");
    let exporter = running.blocks().into_iter().find(|b| b.kind == Kind::Exporter).expect("an exporter's block");
    assert_eq!((exporter.counter("lost_ring"), exporter.counter("lost_send")), (Some(0), Some(0)), "no record was lost on the way");
    running.stop();
    assert_eq!(collector.stop().faults, Vec::<String>::new());
}

#[test]
fn the_control_plane_can_shut_it_down() {
    let place = Place::new();
    let running = place.starts(&[&pcap_device(&place, "")]);
    running.until("all received", |r| r.counter(Kind::Worker, "received") == 2020);
    running.southbound().shutdown();
    let (status, text, errors) = running.ended();
    assert_eq!(status.code(), Some(0), "{text}{errors}");
    assert!(text.contains("a shutdown by the control plane") && text.contains("every packet has its place"), "{text}");
}

#[test]
fn the_socket_is_its_user_s_alone() {
    let place = Place::new();
    let running = place.starts(&["boot.ports[0].device=net_null0", "boot.ports[0].pace_pps=100"]);
    let socket = std::fs::metadata(place.paths().southbound()).expect("socket");
    // Root's is for the control plane as well, whose group this is where there is such a user.
    match sonde_system::account::sharing() {
        sonde_system::Sharing::Own => assert_eq!(socket.permissions().mode() & 0o777, 0o600),
        sonde_system::Sharing::Group(gid) => assert_eq!((socket.permissions().mode() & 0o777, socket.gid()), (0o660, gid)),
    }
    running.stop();
}

#[test]
fn what_a_killed_dataplane_left_is_cleaned() {
    let place = Place::new();
    let device = pcap_device(&place, "");
    let running = place.starts(&[&device]);
    running.until("all received", |r| r.counter(Kind::Worker, "received") == 2020);
    running.signal("KILL");
    drop(running);
    assert!(place.paths().ring(0).exists() && place.paths().southbound().exists(), "a killed process cleans nothing");
    assert!(!View::open(&place.paths().stats()).expect("its last counters").ended());
    let next = place.starts(&[&device]);
    assert!(next.said.contains("left by an unclean stop"), "{}", next.said);
    next.until("all received", |r| r.counter(Kind::Worker, "received") == 2020);
    assert!(next.stop().contains("every packet has its place"));
}

#[test]
fn a_full_disk_refuses_settings_and_changes_nothing() {
    if !root("a full run directory") {
        return;
    }
    let place = Place::new();
    let tiny = Tiny::mount(place.dir.path(), "64k");
    let running = place.starts(&["boot.ports[0].device=net_null0", "boot.ports[0].pace_pps=100"]);
    let mut control = running.southbound();
    let good = control.describe().settings.expect("settings");
    let mut other = good.clone();
    other.live.as_mut().expect("live").vlan_in_key = Some(false);
    let fill = tiny.fill();
    let refused = control.apply(1, &other).expect_err("no room");
    assert_eq!(refused.code(), tonic::Code::ResourceExhausted);
    for word in ["the last good settings", "No space left", "free some space", "nothing was changed"] {
        assert!(refused.message().contains(word), "no {word:?} in: {refused}");
    }
    let now = control.describe();
    assert_eq!((now.generation, now.settings), (0, Some(good)));
    std::fs::remove_file(fill).expect("removed");
    assert_eq!(control.apply(1, &other).expect("room again").generation_in_force, 1);
    running.stop();
}
