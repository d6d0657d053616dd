//! Collectors that are away, over a network of the test's own: a namespace with a dataplane in it, and one across a veth pair.

mod common;

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use common::{Place, Running, udp};
use sonde_stats::{BlockView, Kind};
use sonde_tests::skip::root;

/// Flows, one record each, when it stops.
const FLOWS: u16 = 500;

fn ip(arguments: &[&str]) {
    let done = Command::new("ip").args(arguments).output().expect("ip(8)");
    assert!(done.status.success(), "ip {arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
}

/// Two namespaces with a veth pair between them: 192.0.2.1 and 2001:db8::1 here, 192.0.2.2 and 2001:db8::2 there.
struct Net {
    here: String,
    there: String,
}

impl Net {
    fn new(place: &Place) -> Self {
        let [here, there] = ["h", "t"].map(|end| format!("sonde-e-{}-{end}", place.instance));
        let net = Self { here, there };
        for namespace in [&net.here, &net.there] {
            ip(&["netns", "add", namespace]);
            ip(&["-n", namespace, "link", "set", "lo", "up"]);
        }
        let mac = |end: u8| format!("02:00:00:00:00:0{end}");
        let pair = ["address", &mac(1), "type", "veth", "peer", "name", "v0", "address", &mac(2), "netns", &net.there];
        ip(&[&["-n", &net.here, "link", "add", "v0"], pair.as_slice()].concat());
        for (namespace, end) in [(&net.here, 1), (&net.there, 2)] {
            ip(&["-n", namespace, "addr", "add", &format!("192.0.2.{end}/24"), "dev", "v0"]);
            ip(&["-n", namespace, "addr", "add", &format!("2001:db8::{end}/64"), "dev", "v0", "nodad"]);
            ip(&["-n", namespace, "link", "set", "v0", "up"]);
        }
        // Who is there is known: on a busy machine to ask for it takes longer than a collector is tried.
        for (namespace, other) in [(&net.here, 2), (&net.there, 1)] {
            for address in [format!("192.0.2.{other}"), format!("2001:db8::{other}")] {
                ip(&["-n", namespace, "neigh", "replace", &address, "lladdr", &mac(other), "dev", "v0", "nud", "permanent"]);
            }
        }
        net
    }

    /// Names that are known here, and nowhere else.
    fn hosts(&self, text: &str) {
        let folder = PathBuf::from("/etc/netns").join(&self.here);
        std::fs::create_dir_all(&folder).expect("made");
        std::fs::write(folder.join("hosts"), text).expect("written");
        std::fs::write(folder.join("nsswitch.conf"), "hosts: files\n").expect("written");
    }

    /// The dataplane, here, with its records sent to this collector.
    fn runs(&self, place: &Place, address: &str) -> Running {
        let traffic: Vec<_> = (0..FLOWS).map(|n| udp(n, 1000 + n, 64)).collect();
        let device = format!("boot.ports[0].device=net_pcap0,rx_pcap={}", place.capture(&traffic).display());
        let exporter = ["live.exporters[0].name=exporters/a", &format!("live.exporters[0].address={address}")];
        let idle = ["live.timeouts.idle_timeout_ms=1000", "live.timeouts.active_timeout_ms=1000", "live.timeouts.tcp_end_linger_ms=1000"];
        let command = place.command(&[&[&*device], exporter.as_slice(), &idle].concat());
        let mut inside = Command::new("ip");
        inside.args(["netns", "exec", &self.here]).arg(command.get_program()).args(command.get_args());
        inside.env_remove("RUST_LOG").env_remove("SONDE_PROFILE").env_remove("SONDE_RUN_DIR");
        let running = Running::of(place, inside);
        running.until("all received", |r| r.counter(Kind::Worker, "received") == u64::from(FLOWS));
        running
    }

    /// A collector there: any program that takes datagrams.
    fn collector(&self, address: &str, port: u16) -> Collector {
        let script = format!(
            "import socket,sys\ns=socket.socket(socket.{}, socket.SOCK_DGRAM)\ns.bind(('{address}',{port}))\nprint('up',flush=True)\n\
             while True: s.recv(65536)",
            if address.contains(':') { "AF_INET6" } else { "AF_INET" }
        );
        let mut command = Command::new("ip");
        let mut child =
            command.args(["netns", "exec", &self.there, "python3", "-c", &script]).stdout(Stdio::piped()).spawn().expect("python3");
        let mut line = String::new();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(child.stdout.take().expect("piped")), &mut line).expect("readable");
        assert_eq!(line, "up\n");
        Collector(child)
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        for namespace in [&self.here, &self.there] {
            let _ = Command::new("ip").args(["netns", "del", namespace]).status();
        }
        let _ = std::fs::remove_dir_all(PathBuf::from("/etc/netns").join(&self.here));
    }
}

struct Collector(Child);

impl Drop for Collector {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn exporter(running: &Running) -> BlockView {
    running.blocks().into_iter().find(|block| block.kind == Kind::Exporter).expect("an exporter")
}

fn count(running: &Running, name: &str) -> u64 {
    exporter(running).counter(name).expect("a counter")
}

fn trouble(running: &Running) -> String {
    exporter(running).text("last_error").unwrap_or_default().to_owned()
}

#[test]
fn a_udp_collector_that_is_away_is_sent_no_records_and_they_count_as_lost() {
    if !root("a collector across a veth pair that is away") {
        return;
    }
    let place = Place::new();
    let net = Net::new(&place);
    let running = net.runs(&place, "192.0.2.2:4739");
    running.until("the records to be dropped", |r| count(r, "lost_send") == u64::from(FLOWS));
    assert_eq!((count(&running, "records"), exporter(&running).text("state")), (0, Some("failed")));
    assert!(trouble(&running).starts_with("collector 192.0.2.2:4739 refuses datagrams (ICMP port unreachable)"), "{}", trouble(&running));
    let text = running.stop();
    assert!(text.contains(&format!("exporters/a: 0 records sent (unconfirmed), {FLOWS} lost")), "{text}");
}

#[test]
fn a_udp_collector_that_comes_within_the_hold_gets_everything() {
    if !root("a collector across a veth pair that comes later") {
        return;
    }
    let place = Place::new();
    let net = Net::new(&place);
    let running = net.runs(&place, "192.0.2.2:4739");
    running.until("the refusal", |r| exporter(r).text("state") == Some("failed"));
    let _collector = net.collector("192.0.2.2", 4739);
    running.until("all sent", |r| count(r, "records") == u64::from(FLOWS));
    let text = running.stop();
    assert!(text.contains(&format!("exporters/a: {FLOWS} records sent (unconfirmed), 0 lost")), "{text}");
}

#[test]
fn a_neighbour_that_does_not_answer_is_found_out() {
    if !root("a collector that nobody answers for") {
        return;
    }
    let place = Place::new();
    let net = Net::new(&place);
    // Nobody has this address: the kernel asks for it, and gives up after three seconds. What was sent meanwhile is lost.
    let running = net.runs(&place, "192.0.2.9:4739");
    running.until("the records to be told", |r| count(r, "lost_send") + count(r, "lost_refused") == u64::from(FLOWS));
    assert!(trouble(&running).contains("host or network unreachable") || trouble(&running).contains("no route"), "{}", trouble(&running));
    let before = Instant::now();
    let text = running.stop();
    assert!(before.elapsed() < Duration::from_secs(30), "it does not wait for a collector for ever");
    assert!(text.contains(&format!("exporters/a: 0 records sent (unconfirmed), {FLOWS} lost")), "{text}");
}

#[test]
fn the_next_address_of_a_name_is_tried_after_a_refusal() {
    if !root("a collector whose name has two addresses") {
        return;
    }
    for (works, refuses) in [("192.0.2.2", "2001:db8::2"), ("2001:db8::2", "192.0.2.2")] {
        let place = Place::new();
        let net = Net::new(&place);
        net.hosts("2001:db8::2 collector.example\n192.0.2.2 collector.example\n");
        let _collector = net.collector(works, 4739);
        let running = net.runs(&place, "collector.example:4739");
        running.until("all sent", |r| count(r, "records") == u64::from(FLOWS));
        assert_eq!((count(&running, "lost_refused"), count(&running, "lost_send")), (0, 0), "{refuses}: {}", trouble(&running));
        let text = running.stop();
        assert!(text.contains(&format!("exporters/a: {FLOWS} records sent (unconfirmed), 0 lost")), "{text}");
    }
}

#[test]
fn an_interface_that_takes_nothing_holds_up_no_apply_and_no_stop() {
    if !root("a collector behind an interface of a few octets a second") {
        return;
    }
    let place = Place::new();
    let net = Net::new(&place);
    let _collector = net.collector("192.0.2.2", 4739);
    // The templates alone take it half a minute.
    let slow = ["tc", "qdisc", "add", "dev", "v0", "root", "tbf", "rate", "4kbit", "burst", "2000", "limit", "4000"];
    ip(&[&["netns", "exec", &net.here], slow.as_slice()].concat());
    let running = net.runs(&place, "192.0.2.2:4739");
    running.until("something sent", |r| count(r, "messages") > 0);
    let mut control = running.southbound();
    let mut settings = control.describe().settings.expect("settings");
    // Each has a successor, which goes on with what it leaves.
    for generation in 1..=3 {
        settings.live.as_mut().expect("live").exporters[0].observation_domain_id = Some(7 + u32::try_from(generation).expect("few"));
        let before = Instant::now();
        let answer = control.apply(generation, &settings).expect("applied");
        assert_eq!(answer.generation_in_force, generation);
        assert!(before.elapsed() < Duration::from_secs(20), "{:?}", before.elapsed());
    }
    running.until("the records are written", |r| {
        r.counter(Kind::Worker, "records_idle") + r.counter(Kind::Worker, "records_active") == u64::from(FLOWS)
    });
    let text = running.stop();
    let of = |behind: &str| -> u16 {
        let line = text.split("exporters/a: ").nth(1).unwrap_or_else(|| panic!("{text}")).lines().next().unwrap_or_default();
        let before = line.split(behind).next().unwrap_or_default();
        before.rsplit(' ').find_map(|word| word.parse().ok()).unwrap_or_else(|| panic!("{line}"))
    };
    assert_eq!(of(" records sent") + of(" lost"), FLOWS, "{text}");
}
