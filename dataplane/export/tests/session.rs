//! A session from ring to socket: what arrives, what is counted, and what happens when the collector does not play along.

mod decoder;

use std::io::{ErrorKind, Read};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use decoder::{Collector, Message, number};
use sonde_export::session::{COUNTERS, Config, Protocol, Timing, run};
use sonde_expression::{Environment, compile};
use sonde_flow::pattern::{PatternState, Sample, Wants};
use sonde_record::ring::{Cursor, Reader, Writer};
use sonde_record::{Head, Kind, Output, Record};
use sonde_stats::{Block, Kind as BlockKind};
use tempfile::TempDir;

/// Nothing here takes so long unless it is broken.
const PATIENCE: Duration = Duration::from_secs(20);
const MS: Duration = Duration::from_millis(1);
/// Ids of data records: those below are options.
const DATA: std::ops::RangeFrom<u16> = 258..;

/// A ring and the exporter that reads it.
struct Probe {
    dir: TempDir,
    writer: Option<Writer>,
    block: Arc<Block>,
    written: u64,
}

struct Running {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Vec<Cursor>>,
}

impl Running {
    fn stop(self) -> Vec<Cursor> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("the session ends without a panic")
    }
}

impl Probe {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let writer = Writer::create(&dir.path().join("ring"), 64 << 20, 0).unwrap();
        let block = Arc::new(Block::detached(BlockKind::Exporter, "exporters/test", COUNTERS));
        Self { dir, writer: Some(writer), block, written: 0 }
    }

    fn reader(&self) -> Reader {
        Reader::open(&self.dir.path().join("ring")).unwrap()
    }

    fn run(&self, config: Config, reader: Reader) -> Running {
        let stop = Arc::new(AtomicBool::new(false));
        let (told, block) = (Arc::clone(&stop), Arc::clone(&self.block));
        let body = move || {
            let mut readers = [reader];
            run(&config, &mut readers, block, &told);
            readers.iter().map(Reader::cursor).collect()
        };
        let thread = thread::spawn(body);
        Running { stop, thread }
    }

    /// Writes so many records; the octets of each are its number, from 0.
    fn write(&mut self, count: u64) {
        let kinds = [Kind::Ipv4, Kind::Ipv4, Kind::Ipv6, Kind::Layer2];
        let writer = self.writer.as_mut().unwrap();
        for (n, kind) in (self.written..self.written + count).zip(kinds.into_iter().cycle()) {
            Record::new(Head { flow_id: n, kind, octets: [n, 1], packets: [1, 1], ..Head::default() }).put(writer);
        }
        writer.publish();
        self.written += count;
    }

    fn count(&self, name: &str) -> u64 {
        self.block.get(COUNTERS.iter().position(|counter| *counter == name).unwrap())
    }

    fn text(&self, label: &str) -> String {
        self.block.view().unwrap().text(label).unwrap_or_default().to_owned()
    }

    /// Sent and lost: every record of the ring that is not on its way.
    fn accounted(&self) -> u64 {
        ["records", "lost_ring", "lost_send", "lost_fault"].iter().map(|name| self.count(name)).sum()
    }

    fn wait(&self, what: &str, until: impl Fn(&Self) -> bool) {
        let start = Instant::now();
        while !until(self) {
            let counters: Vec<_> = COUNTERS.iter().map(|name| (*name, self.count(name))).collect();
            assert!(start.elapsed() < PATIENCE, "waited in vain for {what}: {counters:?} {:?}", self.text("last_error"));
            thread::sleep(MS);
        }
    }
}

fn config(protocol: Protocol, address: SocketAddr) -> Config {
    let timing = Timing { retry: 100 * MS, hold: 300 * MS, flush: 50 * MS, repeat: PATIENCE, linger: 1000 * MS };
    Config { timing, ..Config::new(protocol, &address.to_string()) }
}

/// Templates that an exporter announces of the records that [`Probe::write`] writes: options and three kinds.
const TEMPLATES: u64 = 5;
/// Those that it announces before there is a record.
const OPTIONS: u64 = 2;

fn udp_collector() -> (UdpSocket, SocketAddr) {
    udp_collector_at("127.0.0.1:0".parse().unwrap())
}

fn udp_collector_at(address: SocketAddr) -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind(address).unwrap();
    socket2::SockRef::from(&socket).set_recv_buffer_size(4 << 20).unwrap();
    socket.set_read_timeout(Some(200 * MS)).unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

/// Everything that arrives until `flows` flow records did, or nothing does for a while.
fn receive(socket: &UdpSocket, collector: &mut Collector, flows: usize) -> Vec<Message> {
    let mut messages: Vec<Message> = Vec::new();
    let mut octets = vec![0; 65_536];
    while self::flows(&messages).len() < flows
        && let Ok(length) = socket.recv(&mut octets)
    {
        messages.push(collector.message(&octets[..length]));
    }
    messages
}

/// The numbers of the flows in these messages.
fn flows(messages: &[Message]) -> Vec<u64> {
    let records = messages.iter().flat_map(|message| &message.records);
    records.filter(|(id, _)| DATA.contains(id)).map(|(_, fields)| number(fields, 0, 148)).collect()
}

fn sorted(mut numbers: Vec<u64>) -> Vec<u64> {
    numbers.sort_unstable();
    numbers
}

/// Every message says how many data records came before it in its stream.
fn check_sequence(messages: &[Message]) {
    let mut sequence = messages[0].sequence;
    for message in messages {
        assert_eq!(message.sequence, sequence);
        sequence = sequence.wrapping_add(u32::try_from(message.records.len()).unwrap());
    }
}

/// A connection's messages until it ends, or for so long.
fn read_stream(stream: &mut TcpStream, flows: usize) -> Vec<Message> {
    stream.set_read_timeout(Some(20 * MS)).unwrap();
    let (mut collector, mut messages, mut buffer) = (Collector::default(), Vec::new(), Vec::new());
    let start = Instant::now();
    while self::flows(&messages).len() < flows {
        let mut chunk = [0; 65_536];
        match stream.read(&mut chunk) {
            Ok(0) => break,
            Ok(length) => buffer.extend_from_slice(&chunk[..length]),
            Err(error) => assert!(matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{error}"),
        }
        let mut whole = 0;
        while let [_, _, a, b, ..] = buffer[whole..]
            && let length = usize::from(u16::from_be_bytes([a, b]))
            && buffer.len() - whole >= length
        {
            whole += length;
        }
        messages.extend(collector.stream(&buffer[..whole]));
        buffer.drain(..whole);
        assert!(start.elapsed() < PATIENCE, "{} of {flows} flows", self::flows(&messages).len());
    }
    messages
}

#[test]
fn every_record_arrives_over_udp_and_is_counted() {
    let (socket, address) = udp_collector();
    let mut probe = Probe::new();
    let running = probe.run(config(Protocol::Udp, address), probe.reader());
    let mut collector = Collector::default();
    let mut messages = Vec::new();
    for _ in 0..10 {
        probe.write(1000);
        messages.extend(receive(&socket, &mut collector, 1000));
    }
    running.stop();
    assert_eq!(sorted(flows(&messages)), (0..10_000).collect::<Vec<_>>());
    check_sequence(&messages);
    assert!(!messages[0].templates.is_empty(), "templates come first");
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs();
    for message in &messages {
        assert_eq!(message.domain, 1, "the default observation domain");
        assert!(u64::from(message.time).abs_diff(now) < 60, "export time in seconds since 1970");
    }
    let scoped = collector.templates.values().filter(|template| template.scope > 0).count();
    assert_eq!(scoped, 2, "two of the templates are options templates");
    let octets: usize = messages.iter().map(|message| message.octets).sum();
    let counters = ["records", "messages", "octets", "lost_ring", "lost_send", "send_errors"].map(|name| probe.count(name));
    assert_eq!(counters, [10_000, messages.len() as u64, octets as u64, 0, 0, 0]);
    assert_eq!(probe.count("templates"), collector.templates.len() as u64);
    assert!(probe.count("segments_batched") > 500, "{}", probe.count("segments_batched"));
    assert_eq!((probe.text("state").as_str(), probe.text("last_error").as_str()), ("connected", ""));
}

#[test]
fn a_single_record_does_not_wait_for_its_message_to_fill() {
    let (socket, address) = udp_collector();
    let mut probe = Probe::new();
    let running = probe.run(config(Protocol::Udp, address), probe.reader());
    probe.write(1);
    let messages = receive(&socket, &mut Collector::default(), 1);
    assert_eq!(flows(&messages), [0]);
    running.stop();
}

#[test]
fn templates_and_options_are_repeated_over_udp() {
    let (socket, address) = udp_collector();
    let mut probe = Probe::new();
    let mut config = config(Protocol::Udp, address);
    (config.template_refresh, config.options_interval) = (30 * MS, 40 * MS);
    config.interfaces = vec![(1, "lan".to_owned())];
    let running = probe.run(config, probe.reader());
    probe.wait("three refreshes", |probe| probe.count("templates") >= 4 * OPTIONS);
    probe.write(4);
    probe.wait("refreshes of what was made meanwhile", |probe| probe.count("templates") >= 4 * OPTIONS + 3 * TEMPLATES);
    running.stop();
    let messages = receive(&socket, &mut Collector::default(), 1);
    assert!(messages.iter().filter(|message| !message.templates.is_empty()).count() >= 4);
    let options: Vec<_> = messages.iter().flat_map(|message| &message.records).collect();
    assert!(options.iter().filter(|(id, _)| *id == 256).count() >= 2, "statistics");
    assert!(options.iter().any(|(id, fields)| *id == 257 && decoder::octets(fields, 0, 82) == b"lan"), "interface name");
    check_sequence(&messages);
}

#[test]
fn a_template_that_is_made_later_is_announced_once_more_over_udp() {
    let (_socket, address) = udp_collector();
    let mut probe = Probe::new();
    let mut config = config(Protocol::Udp, address);
    config.timing.repeat = 20 * MS;
    let running = probe.run(config, probe.reader());
    probe.write(4);
    // With its first record, and all together after a while; the next time is the refresh.
    probe.wait("the second announcement", |probe| probe.count("templates") >= OPTIONS + 3 + TEMPLATES);
    probe.write(400);
    thread::sleep(200 * MS);
    running.stop();
    assert_eq!(probe.count("templates"), OPTIONS + 3 + TEMPLATES);
}

#[test]
fn the_statistics_say_what_was_sent() {
    let (socket, address) = udp_collector();
    let mut probe = Probe::new();
    let mut config = config(Protocol::Udp, address);
    config.options_interval = 100 * MS;
    let running = probe.run(config, probe.reader());
    probe.write(500);
    let mut collector = Collector::default();
    let mut messages = receive(&socket, &mut collector, 500);
    probe.wait("the records to be sent", |probe| probe.count("records") == 500);
    thread::sleep(250 * MS);
    running.stop();
    messages.extend(receive(&socket, &mut collector, 1));
    let (before, last) = messages
        .iter()
        .enumerate()
        .filter_map(|(at, m)| m.records.iter().find(|(id, _)| *id == 256).map(|(_, fields)| (&messages[..at], fields)))
        .next_back()
        .unwrap();
    let octets: usize = before.iter().map(|message| message.octets).sum();
    let said = [149, 40, 41, 42, 166].map(|element| number(last, 0, element));
    assert_eq!(said, [1, octets as u64, before.len() as u64, 500, 0]);
}

#[test]
fn a_udp_collector_that_comes_back_gets_the_templates_at_once() {
    let (socket, address) = udp_collector();
    let mut probe = Probe::new();
    let running = probe.run(config(Protocol::Udp, address), probe.reader());
    probe.write(100);
    assert_eq!(flows(&receive(&socket, &mut Collector::default(), 100)).len(), 100);
    drop(socket);
    for _ in 0..20 {
        probe.write(10);
        thread::sleep(10 * MS);
    }
    probe.wait("the refusal to be noticed", |probe| probe.count("send_errors") > 0);
    assert!(probe.text("last_error").contains("is a collector listening there?"), "{}", probe.text("last_error"));
    // What was sent before the refusal came did not arrive, and what is written meanwhile is not sent.
    let arrived = 100;
    assert_eq!(probe.count("records") - probe.count("lost_refused"), arrived);
    let socket = UdpSocket::bind(address).unwrap();
    socket.set_read_timeout(Some(200 * MS)).unwrap();
    // Data may come before the templates; a collector without templates has to skip it.
    let (mut octets, mut collector, start) = (vec![0; 65_536], Collector::default(), Instant::now());
    let mut read = Vec::new();
    while flows(&read).len() < 50 {
        assert!(start.elapsed() < PATIENCE);
        probe.write(1);
        if let Ok(length) = socket.recv(&mut octets)
            && (octets[17] < 4 && octets[16] == 0 || !collector.templates.is_empty())
        {
            read.push(collector.message(&octets[..length]));
        }
    }
    probe.wait("the trouble to be over", |probe| probe.text("state") == "connected");
    running.stop();
    assert_eq!(probe.accounted(), probe.written);
}

#[test]
fn every_record_arrives_over_tcp_and_templates_once() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut probe = Probe::new();
    let mut config = config(Protocol::Tcp, listener.local_addr().unwrap());
    config.template_refresh = MS;
    let running = probe.run(config, probe.reader());
    let (mut stream, _) = listener.accept().unwrap();
    probe.write(50_000);
    let messages = read_stream(&mut stream, 50_000);
    running.stop();
    assert_eq!(sorted(flows(&messages)), (0..50_000).collect::<Vec<_>>());
    check_sequence(&messages);
    assert_eq!(messages.iter().map(|message| message.templates.len() as u64).sum::<u64>(), TEMPLATES);
    assert_eq!(["records", "lost_ring", "lost_send", "templates"].map(|name| probe.count(name)), [50_000, 0, 0, TEMPLATES]);
}

#[test]
fn a_tcp_collector_that_restarts_gets_templates_first_and_a_new_sequence() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut probe = Probe::new();
    let running = probe.run(config(Protocol::Tcp, listener.local_addr().unwrap()), probe.reader());
    let (mut stream, _) = listener.accept().unwrap();
    probe.write(1000);
    let before = read_stream(&mut stream, 1000);
    drop(stream);
    probe.wait("the end of the connection to be noticed", |probe| probe.count("send_errors") > 0);
    assert!(probe.text("last_error").contains("closed the connection"), "{}", probe.text("last_error"));
    probe.write(1000);
    let (mut stream, _) = listener.accept().unwrap();
    let after = read_stream(&mut stream, 1000);
    running.stop();
    assert_eq!((after[0].sequence, after[0].templates.is_empty()), (0, false));
    check_sequence(&after);
    // It noticed before it sent more, so nothing is lost.
    assert_eq!(sorted([flows(&before), flows(&after)].concat()), (0..2000).collect::<Vec<_>>());
    assert_eq!((probe.count("records"), probe.accounted()), (2000, 2000));
}

#[test]
fn a_tcp_collector_that_stops_reading_blocks_nothing_and_every_record_is_accounted_for() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut probe = Probe::new();
    let running = probe.run(config(Protocol::Tcp, listener.local_addr().unwrap()), probe.reader());
    let (mut stream, _) = listener.accept().unwrap();
    // More than all buffers between hold: the kernel's of both sides (up to 10 MB) and the session's.
    for _ in 0..150 {
        probe.write(1000);
        thread::sleep(MS);
    }
    probe.wait("records to be dropped", |probe| probe.count("lost_send") > 0);
    assert!(probe.text("last_error").contains("has read nothing for"), "{}", probe.text("last_error"));
    probe.wait("the ring to be read", |probe| probe.accounted() + 20_000 > probe.written);
    // It reads again. What is dropped until the session notices is nobody's fault; from then on nothing is.
    let reader = thread::spawn(move || read_stream(&mut stream, usize::MAX));
    probe.wait("what waited to be sent", |probe| probe.accounted() == probe.written);
    let dropped = probe.count("lost_send");
    probe.write(1000);
    probe.wait("new records to be sent", |probe| probe.accounted() == probe.written);
    assert_eq!(probe.count("lost_send"), dropped, "nothing is dropped once it reads");
    running.stop();
    let messages = reader.join().unwrap();
    check_sequence(&messages);
    assert_eq!(flows(&messages).len() as u64, probe.count("records"));
    assert_eq!(probe.count("records") + probe.count("lost_send") + probe.count("lost_ring"), 151_000);
}

#[test]
fn a_tcp_collector_that_is_down_is_a_state_and_a_sentence() {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut probe = Probe::new();
    let running = probe.run(config(Protocol::Tcp, address), probe.reader());
    probe.write(1000);
    probe.wait("the refusal", |probe| !probe.text("last_error").is_empty());
    assert_eq!(probe.text("state"), "failed");
    let sentence = format!("collector {address} refused the connection; is a collector listening there? retrying every 0.1 s");
    assert_eq!(probe.text("last_error"), sentence);
    // It starts while the records are still held: none is lost.
    let listener = TcpListener::bind(address).unwrap();
    let (mut stream, _) = listener.accept().unwrap();
    assert_eq!(read_stream(&mut stream, 1000).iter().map(|message| message.records.len()).sum::<usize>(), 1001);
    running.stop();
    assert_eq!(probe.count("records"), 1000);
}

#[test]
fn a_name_that_cannot_be_resolved_is_a_sentence_and_its_records_are_counted() {
    let mut probe = Probe::new();
    for protocol in [Protocol::Udp, Protocol::Tcp] {
        let mut config = config(protocol, "127.0.0.1:1".parse().unwrap());
        // No resolver needs a network to refuse a label of 64 octets.
        config.address = format!("{}.example:4739", "x".repeat(64));
        let running = probe.run(config, probe.reader());
        probe.write(100);
        probe.wait("the records to be dropped", |probe| probe.count("lost_send") == probe.written);
        assert!(probe.text("last_error").contains("could not be resolved"), "{}", probe.text("last_error"));
        assert_eq!(probe.text("state"), "failed");
        running.stop();
    }
}

#[test]
fn a_name_is_resolved() {
    let (socket, address) = udp_collector();
    let mut probe = Probe::new();
    let mut config = config(Protocol::Udp, address);
    config.address = format!("localhost:{}", address.port());
    let running = probe.run(config, probe.reader());
    probe.write(10);
    // localhost may also be ::1, where nobody listens: then the next address is tried, before there is a record for the first.
    assert_eq!(sorted(flows(&receive(&socket, &mut Collector::default(), 10))), (0..10).collect::<Vec<_>>());
    running.stop();
    assert_eq!(["records", "lost_refused", "lost_send"].map(|name| probe.count(name)), [10, 0, 0]);
}

#[test]
fn a_udp_collector_that_is_not_there_is_sent_no_record_and_all_are_counted_as_lost() {
    for address in ["127.0.0.1", "::1"] {
        // A port that was free a moment ago.
        let Ok(socket) = UdpSocket::bind((address, 0)) else { continue };
        let free = socket.local_addr().unwrap();
        drop(socket);
        let mut probe = Probe::new();
        let running = probe.run(config(Protocol::Udp, free), probe.reader());
        probe.write(733);
        probe.wait("the records to be dropped", |probe| probe.count("lost_send") == 733);
        assert_eq!(["records", "lost_refused", "lost_ring"].map(|name| probe.count(name)), [0; 3]);
        assert_eq!(probe.text("state"), "failed");
        assert_eq!(
            probe.text("last_error"),
            format!("collector {free} refuses datagrams (ICMP port unreachable); is a collector listening there? retrying every 0.1 s")
        );
        running.stop();
        assert_eq!(probe.accounted(), probe.written);
    }
}

#[test]
fn a_udp_collector_that_comes_a_little_later_gets_every_record() {
    let (socket, address) = udp_collector();
    drop(socket);
    let mut probe = Probe::new();
    let mut patient = config(Protocol::Udp, address);
    patient.timing.hold = PATIENCE;
    let running = probe.run(patient, probe.reader());
    probe.write(1000);
    probe.wait("the refusal", |probe| probe.text("state") == "failed");
    let (socket, _) = udp_collector_at(address);
    socket.set_read_timeout(Some(1000 * MS)).unwrap();
    assert_eq!(sorted(flows(&receive(&socket, &mut Collector::default(), 1000))), (0..1000).collect::<Vec<_>>());
    probe.wait("the trouble to be over", |probe| probe.text("state") == "connected");
    running.stop();
    assert_eq!(["records", "lost_refused", "lost_send", "lost_ring"].map(|name| probe.count(name)), [1000, 0, 0, 0]);
    assert_eq!(probe.text("delivery"), "unconfirmed");
}

#[test]
fn what_a_tcp_connection_had_and_nobody_acknowledged_is_counted() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut probe = Probe::new();
    let running = probe.run(config(Protocol::Tcp, listener.local_addr().unwrap()), probe.reader());
    let (stream, _) = listener.accept().unwrap();
    // More than the collector's machine takes while nobody reads.
    for _ in 0..60 {
        probe.write(1000);
        thread::sleep(MS);
    }
    probe.wait("the kernel to take no more", |probe| probe.count("lost_send") > 0 || probe.count("records") == probe.written);
    // Closed with octets unread: a reset.
    drop((stream, listener));
    probe.wait("the end of the connection to be noticed", |probe| probe.count("send_errors") > 0);
    running.stop();
    assert_eq!(probe.accounted(), probe.written);
    let (sent, open) = (probe.count("records"), probe.count("unacknowledged"));
    assert!(open > 0 && open < sent, "{open} of {sent}");
    assert_eq!(probe.text("delivery"), "acknowledged");
}

#[test]
fn an_exporter_that_dies_has_its_records_counted_and_goes_on() {
    let (socket, address) = udp_collector();
    let mut probe = Probe::new();
    let (stop, block) = (Arc::new(AtomicBool::new(false)), Arc::clone(&probe.block));
    let (told, config, mut readers) = (Arc::clone(&stop), config(Protocol::Udp, address), [probe.reader()]);
    let deaths = Arc::new(AtomicU64::new(0));
    let dead = Arc::clone(&deaths);
    let life = move || {
        let pauses = sonde_threads::Pauses { first: MS, longest: MS };
        let died = |_: &sonde_threads::Death| _ = deaths.fetch_add(1, Ordering::Relaxed);
        sonde_threads::supervise(pauses, &told, || run(&config, &mut readers, &*block, &told), died).expect("the last life is a whole one");
    };
    let thread = thread::Builder::new().name("exp-dies".into()).spawn(life).unwrap();
    let mut collector = Collector::default();
    probe.write(1000);
    let mut arrived = flows(&receive(&socket, &mut collector, 1000));
    for death in 1..=20 {
        sonde_threads::arm("exp-dies");
        probe.write(1000);
        probe.wait("the thread to die", |_| dead.load(Ordering::Relaxed) == death);
    }
    probe.write(1000);
    stop.store(true, Ordering::Relaxed);
    thread.join().unwrap();
    // Its new life has a new stream and new templates.
    arrived.extend(flows(&receive(&socket, &mut Collector::default(), usize::MAX)));
    assert_eq!(probe.accounted(), probe.written);
    let (sent, lost) = (probe.count("records"), probe.count("lost_fault"));
    assert!(lost > 0, "it died with records in hand");
    assert_eq!((arrived.len() as u64, sent + lost), (sent, probe.written));
}

#[test]
fn only_records_that_a_filter_selects_are_sent_and_the_others_are_counted() {
    let (socket, address) = udp_collector();
    let (filter, _) = compile("octets >= 10 and kind != 6", &Environment::default()).expect("good");
    let mut probe = Probe::new();
    let running = probe.run(Config { filter: Some(filter.clone()), ..config(Protocol::Udp, address) }, probe.reader());
    probe.write(40);
    // Of four records in a row the third is IPv6.
    let selected: Vec<u64> = (10..40).filter(|n| n % 4 != 2).collect();
    let messages = receive(&socket, &mut Collector::default(), selected.len());
    assert_eq!(sorted(flows(&messages)), selected);
    running.stop();
    assert_eq!((probe.count("records"), probe.count("filtered"), probe.count("lost_send")), (22, 18, 0));

    // A collector that is not there loses what would have been sent, and no more.
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut probe = Probe::new();
    let running = probe.run(Config { filter: Some(filter), ..config(Protocol::Tcp, free) }, probe.reader());
    probe.write(40);
    drop(probe.writer.take());
    probe.wait("every record to be counted", |probe| probe.count("filtered") + probe.count("lost_send") == 40);
    running.stop();
    assert_eq!((probe.count("records"), probe.count("filtered"), probe.count("lost_send")), (0, 18, 22));
}

#[test]
fn a_successor_goes_on_where_its_predecessor_stopped() {
    let (socket, address) = udp_collector();
    let mut probe = Probe::new();
    let mut reader = probe.reader();
    let (mut collector, mut numbers) = (Collector::default(), Vec::new());
    for _ in 0..5 {
        let running = probe.run(config(Protocol::Udp, address), reader);
        probe.write(700);
        thread::sleep(MS);
        let cursors = running.stop();
        probe.write(300);
        numbers.extend(flows(&receive(&socket, &mut collector, usize::MAX)));
        reader = probe.reader();
        assert!(reader.seek(cursors[0]));
    }
    probe.run(config(Protocol::Udp, address), reader).stop();
    numbers.extend(flows(&receive(&socket, &mut collector, usize::MAX)));
    assert_eq!(sorted(numbers), (0..5000).collect::<Vec<_>>());
    assert_eq!((probe.count("records"), probe.accounted()), (5000, 5000));
}

#[test]
fn what_a_dead_collector_does_not_take_stays_for_a_successor_or_is_lost_with_the_writer() {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut probe = Probe::new();
    let mut patient = config(Protocol::Tcp, address);
    (patient.timing.hold, patient.timing.linger) = (PATIENCE, 50 * MS);
    let reader = probe.reader();
    let start = reader.cursor();
    let running = probe.run(patient.clone(), reader);
    probe.write(1000);
    let cursors = running.stop();
    assert_eq!((probe.accounted(), cursors[0]), (0, start));
    let mut reader = probe.reader();
    assert!(reader.seek(cursors[0]));
    let running = probe.run(patient, reader);
    drop(probe.writer.take());
    running.stop();
    assert_eq!((probe.count("lost_send"), probe.accounted()), (1000, 1000));
}

#[test]
fn records_that_vary_arrive_in_messages_of_one_size() {
    let (socket, address) = udp_collector();
    let mut probe = Probe::new();
    let patterns = Wants { first_packets: 30, ..Wants::default() };
    let running = probe.run(config(Protocol::Udp, address), probe.reader());
    for flow_id in 0..2000 {
        let mut state = PatternState::default();
        for time in 1..=1 + flow_id * 7 % 30 {
            state.add(patterns, &Sample { time, payload: 1, flags: 0, way: 0 });
        }
        let mut words = [0; 32];
        let filled = state.encode(patterns, &mut words);
        let record = Record::of_words(Head { flow_id, ..Head::default() }, &words[..filled]);
        record.put(probe.writer.as_mut().unwrap());
    }
    probe.writer.as_mut().unwrap().publish();
    let (mut collector, mut messages, mut octets) = (Collector::default(), Vec::new(), vec![0; 65_536]);
    let numbers = |messages: &[Message]| {
        let records = messages.iter().flat_map(|message| &message.records);
        records.filter(|(id, _)| DATA.contains(id)).map(|(_, fields)| number(fields, 0, 148)).collect::<Vec<_>>()
    };
    while numbers(&messages).len() < 2000
        && let Ok(length) = socket.recv(&mut octets)
    {
        messages.push(collector.message(&octets[..length]));
    }
    running.stop();
    assert_eq!(numbers(&messages), (0..2000).collect::<Vec<_>>());
    check_sequence(&messages);
    let of_flows = messages.iter().filter(|message| message.records.iter().any(|(id, _)| DATA.contains(id)));
    let (full, rest): (Vec<_>, Vec<_>) = of_flows.partition(|message| message.octets == 1400);
    assert!(full.len() > 300 && rest.len() <= 2 && messages.iter().all(|message| message.octets <= 1400), "{}", rest.len());
    let octets: usize = messages.iter().map(|message| message.octets).sum();
    let counters = ["records", "messages", "octets", "lost_ring", "lost_send", "send_errors"].map(|name| probe.count(name));
    assert_eq!(counters, [2000, messages.len() as u64, octets as u64, 0, 0, 0]);
    assert!(probe.count("segments_batched") >= 300, "{}", probe.count("segments_batched"));
}
