//! Linux interfaces, live between network namespaces: what the kernel drops, frames longer than a buffer, the loopback interface, and
//! interfaces that go and come back. Needs root.

mod common;

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use common::{Place, Running};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use sonde_stats::{BlockView, Kind};
use sonde_tests::skip::{Need, root, skip};

static NUMBER: AtomicU32 = AtomicU32::new(0);

/// The probe's side of the wire.
const PROBE: &str = "10.77.0.2";
/// The other one.
const PEER: &str = "10.77.0.1";

/// Runs `ip` with these words; whether it did what it was told.
fn try_ip(words: &str) -> bool {
    Command::new("ip").args(words.split(' ')).output().is_ok_and(|output| output.status.success())
}

fn ip(words: &str) {
    assert!(try_ip(words), "ip {words}");
}

/// Two network namespaces with a wire between them, taken down when dropped.
struct Wire {
    name: String,
}

impl Wire {
    /// `None`, said loudly, where namespaces cannot be made.
    fn new() -> Option<Self> {
        if !root("network namespaces") {
            return None;
        }
        let name = format!("sonde-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        if !try_ip(&format!("netns add {name}a")) {
            skip(Need::Namespaces, "two network namespaces with a wire between them");
            return None;
        }
        let wire = Self { name };
        ip(&format!("netns add {}b", wire.name));
        for side in ["a", "b"] {
            ip(&format!("-n {}{side} link set lo up", wire.name));
        }
        wire.plug();
        Some(wire)
    }

    /// Makes the wire: "peer" in a, "probe" in b.
    fn plug(&self) {
        let name = &self.name;
        ip(&format!("link add peer netns {name}a type veth peer name probe netns {name}b"));
        // No neighbour discovery: every packet is the test's.
        for (side, interface, address) in [("a", "peer", PEER), ("b", "probe", PROBE)] {
            ip(&format!("-n {name}{side} link set {interface} addrgenmode none"));
            ip(&format!("-n {name}{side} addr add {address}/24 dev {interface}"));
            ip(&format!("-n {name}{side} link set {interface} up"));
        }
    }

    /// `ip` in the probe's namespace.
    fn ip(&self, words: &str) {
        ip(&format!("-n {}b {words}", self.name));
    }

    /// Does something on a side of the wire.
    fn on<T: Send + 'static>(&self, side: &str, what: impl FnOnce() -> T + Send + 'static) -> thread::JoinHandle<T> {
        let path = format!("/run/netns/{}{side}", self.name);
        thread::spawn(move || {
            let space = fs::File::open(&path).expect("a namespace");
            move_into_link_name_space(space.as_fd(), Some(LinkNameSpaceType::Network)).expect("moved into it");
            what()
        })
    }

    /// Packets and octets of an interface of the probe's side, both ways, as its own counters have them.
    fn counted(&self, interface: &'static str) -> [u64; 2] {
        let read = move || {
            let text = fs::read_to_string("/proc/thread-self/net/dev").expect("counters");
            let line = text.lines().find_map(|line| line.trim().strip_prefix(interface)?.strip_prefix(':')).expect("an interface");
            let numbers: Vec<u64> = line.split_whitespace().map(|number| number.parse().expect("a number")).collect();
            [numbers[1] + numbers[9], numbers[0] + numbers[8]]
        };
        self.on("b", read).join().expect("read")
    }

    /// A dataplane in the probe's namespace that reads this interface.
    fn probe(&self, place: &Place, device: &str) -> Running {
        self.probe_with(place, device, &[])
    }

    /// The same with more settings.
    fn probe_with(&self, place: &Place, device: &str, sets: &[&str]) -> Running {
        let device = format!("boot.ports[0].device={device}");
        let sets: Vec<&str> = [device.as_str()].into_iter().chain(sets.iter().copied()).collect();
        let inside = place.command(&sets);
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &format!("{}b", self.name)]).arg(inside.get_program()).args(inside.get_args());
        command.env_remove("RUST_LOG").env_remove("SONDE_PROFILE").env_remove("SONDE_RUN_DIR");
        Running::of(place, command)
    }

    /// Sends so many datagrams from the peer to the probe.
    fn send(&self, datagrams: u32, octets: usize) {
        let send = move || {
            let socket = UdpSocket::bind((PEER, 0)).expect("bound");
            for _ in 0..datagrams {
                // Refused when nobody listens there: they were on the wire.
                let _ = socket.send_to(&vec![7; octets], (PROBE, 9));
            }
        };
        self.on("a", send).join().expect("sent");
    }

    /// Sends so many octets by TCP from the peer to the probe.
    fn stream(&self, octets: usize) {
        let listen = || TcpListener::bind((PROBE, 0)).expect("listening");
        let listener = self.on("b", listen).join().expect("a socket");
        let port = listener.local_addr().expect("an address").port();
        let taken = thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a connection");
            stream.read_to_end(&mut Vec::new()).expect("all of it")
        });
        let send = move || TcpStream::connect((PROBE, port)).and_then(|mut stream| stream.write_all(&vec![7; octets])).expect("sent");
        self.on("a", send).join().expect("sent");
        assert_eq!(taken.join().expect("taken"), octets);
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        for side in ["a", "b"] {
            let _ = try_ip(&format!("netns del {}{side}", self.name));
        }
    }
}

fn port(running: &Running) -> BlockView {
    running.blocks().into_iter().find(|block| block.kind == Kind::Port).expect("a port")
}

fn of_port(running: &Running, counter: &str) -> u64 {
    port(running).counter(counter).expect("a counter that this driver has")
}

fn received(running: &Running) -> u64 {
    running.counter(Kind::Worker, "received")
}

/// Whether all threads of a process are stopped.
fn stands_still(pid: u32) -> bool {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).expect("threads").flatten();
    threads.into_iter().all(|thread| fs::read_to_string(thread.path().join("status")).is_ok_and(|text| text.contains("State:\tT")))
}

/// Packets and octets that an interface has counted and the probe has not, waiting for the wire to be quiet: what passed before the probe
/// listened.
fn unseen(wire: &Wire, running: &Running, interface: &'static str) -> [u64; 2] {
    let now = || {
        let [packets, octets] = wire.counted(interface);
        [packets - received(running), octets - running.counter(Kind::Worker, "received_octets")]
    };
    // On a busy machine a worker that has packets before it may not run for a while.
    let (mut before, mut quiet) = (now(), 0);
    while quiet < 8 {
        thread::sleep(Duration::from_millis(200));
        let after = now();
        quiet = if before == after { quiet + 1 } else { 0 };
        before = after;
    }
    before
}

/// Waits for the link to be so.
fn until_link(running: &Running, state: &str) {
    let up = u64::from(state == "up");
    running.until(state, |now| port(now).text("link") == Some(state) && of_port(now, "link_up") == up);
}

#[test]
fn what_the_kernel_drops_is_counted() {
    let (place, Some(wire)) = (Place::new(), Wire::new()) else { return };
    let running = wire.probe(&place, "net_af_packet0,iface=probe,framecnt=1024");
    until_link(&running, "up");
    let [unseen, _] = unseen(&wire, &running, "probe");
    running.signal("STOP");
    running.until("all its threads stand still", |now| stands_still(now.pid()));
    wire.send(20_000, 20);
    running.signal("CONT");
    let passed = || wire.counted("probe")[0] - unseen;
    assert!(passed() >= 20_000, "{} packets on the wire", passed());
    running.until("every packet was received or dropped", |now| received(now) + of_port(now, "imissed") == passed());
    assert!(of_port(&running, "imissed") >= 20_000 - 1024, "a ring of 1024 slots");
    assert_eq!((of_port(&running, "rx_nombuf"), port(&running).counter("ierrors")), (0, None));
    let dropped = of_port(&running, "imissed");
    let said = running.stop();
    assert!(said.contains(&format!("port      virtual: {dropped} dropped before they were received")), "{said}");
}

#[test]
fn long_frames_have_their_whole_length() {
    let (place, Some(wire)) = (Place::new(), Wire::new()) else { return };
    // A frame of 9 kB of this MTU, too.
    wire.ip("link set probe mtu 9000");
    ip(&format!("-n {}a link set peer mtu 9000", wire.name));
    let running = wire.probe(&place, "net_af_packet0,iface=probe");
    until_link(&running, "up");
    let unseen = unseen(&wire, &running, "probe");
    // The sender's segments are put together up to 64 KiB (GSO), and nobody takes them apart on this wire.
    wire.stream(3_000_000);
    wire.send(10, 8000);
    let passed = || {
        let now = wire.counted("probe");
        [now[0] - unseen[0], now[1] - unseen[1]]
    };
    let all = |now: &Running| [received(now), running.counter(Kind::Worker, "received_octets")];
    running.until("all packets", |now| all(now) == passed() && of_port(now, "rx_octets") == passed()[1]);
    assert!(running.counter(Kind::Worker, "frames_cut") >= 10, "longer than a slot");
    assert_eq!(of_port(&running, "imissed"), 0);
    let said = running.stop();
    assert!(said.contains("every packet has its place"), "{said}");
}

#[test]
fn the_loopback_interface_shows_each_packet_once() {
    let (place, Some(wire)) = (Place::new(), Wire::new()) else { return };
    let running = wire.probe(&place, "net_af_packet0,iface=lo");
    until_link(&running, "up");
    let before = wire.counted("lo")[0];
    let send = || {
        let (from, to) = (UdpSocket::bind("127.0.0.5:0").expect("bound"), UdpSocket::bind("127.0.0.5:0").expect("bound"));
        for _ in 0..5 {
            from.send_to(&[1; 10], to.local_addr().expect("an address")).expect("sent");
        }
    };
    wire.on("b", send).join().expect("sent");
    // The interface counts each packet when it is sent, and when it arrives.
    assert_eq!(wire.counted("lo")[0] - before, 10);
    running.until("five packets", |now| received(now) >= 5);
    thread::sleep(Duration::from_millis(300));
    assert_eq!((received(&running), of_port(&running, "imissed")), (5, 0));
    running.stop();
}

#[test]
fn what_is_sent_is_seen_on_other_interfaces_than_loopback() {
    let (place, Some(wire)) = (Place::new(), Wire::new()) else { return };
    let running = wire.probe(&place, "net_af_packet0,iface=probe");
    until_link(&running, "up");
    let [unseen, _] = unseen(&wire, &running, "probe");
    let echo = || {
        let socket = UdpSocket::bind((PROBE, 0)).expect("bound");
        let _ = socket.send_to(b"out", (PEER, 9));
    };
    wire.on("b", echo).join().expect("sent");
    // A request for the address, its answer, the datagram, and ICMP's answer that nobody listens.
    running.until("all packets", |now| received(now) >= 4 && received(now) == wire.counted("probe")[0] - unseen);
    running.stop();
}

#[test]
fn a_link_that_goes_down_is_said_and_comes_up_again() {
    let (place, Some(wire)) = (Place::new(), Wire::new()) else { return };
    let running = wire.probe(&place, "net_af_packet0,iface=probe");
    until_link(&running, "up");
    wire.ip("link set probe down");
    until_link(&running, "down: the interface is switched off");
    wire.ip("link set probe up");
    until_link(&running, "up");
    ip(&format!("-n {}a link set peer down", wire.name));
    until_link(&running, "down: no carrier");
    ip(&format!("-n {}a link set peer up", wire.name));
    until_link(&running, "up");
    let before = received(&running);
    wire.send(5, 20);
    running.until("packets again", |now| received(now) >= before + 5);
    assert_eq!(of_port(&running, "reopened"), 0, "it was there all the time");
    running.stop();
}

#[test]
fn an_interface_that_is_gone_is_said_and_read_again_when_it_is_back() {
    let (place, Some(wire)) = (Place::new(), Wire::new()) else { return };
    let running = wire.probe(&place, "net_af_packet0,iface=probe");
    until_link(&running, "up");
    wire.send(5, 20);
    running.until("packets", |now| received(now) >= 5);
    for round in 1..=2 {
        wire.ip("link del probe");
        until_link(&running, "gone: there is no such interface");
        wire.plug();
        until_link(&running, "up");
        running.until("it is read again", |now| of_port(now, "reopened") == round);
        let before = received(&running);
        wire.send(5, 20);
        running.until("packets of the new interface", |now| received(now) >= before + 5);
    }
    running.signal("TERM");
    let (status, said, errors) = running.ended();
    assert_eq!(status.code(), Some(0), "{said}{errors}");
    assert!(errors.contains("the interface is gone") && errors.contains("its interface was gone and is back"), "{errors}");
}

#[test]
fn several_queues_share_the_packets() {
    let (place, Some(wire)) = (Place::new(), Wire::new()) else { return };
    let cores = thread::available_parallelism().map_or(1, usize::from);
    if cores < 2 {
        skip(Need::TwoCores, "several queues");
        return;
    }
    let running = wire.probe_with(&place, "net_af_packet0,iface=probe,qpairs=2", &["boot.cores.workers=[0, 1]"]);
    until_link(&running, "up");
    assert_eq!(of_port(&running, "rx_queues"), 2);
    let [unseen, _] = unseen(&wire, &running, "probe");
    for _ in 0..16 {
        wire.send(10, 20);
    }
    running.until("every packet once", |now| received(now) == wire.counted("probe")[0] - unseen && received(now) >= 160);
    running.stop();
}
