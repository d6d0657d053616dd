//! Ports with a queue for each worker, alone and beside one with fewer; recordings that are repeated, and paced.
mod ports;

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use ports::{Lent, Scene, drain, packet, serial};
use sonde_worker::source::Source;

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn every_frame_reaches_one_worker_once() {
    let scene = Scene::new("direct");
    let _registered = scene.eal.register_thread().expect("this thread is registered");
    queues_of_one_port(&scene);
    two_ports_of_two_kinds(&scene);
    a_jumbo_frame(&scene);
    a_paced_repetition(&scene);
    a_whole_repetition(&scene);
    refusals(&scene);
}

fn packets(serials: std::ops::Range<u32>) -> Vec<Vec<u8>> {
    serials.map(|serial| packet(u16::try_from(serial % 500).expect("below 500"), serial % 2 == 1, 0, serial)).collect()
}

fn serials(lent: &[Lent]) -> Vec<u32> {
    lent.iter().map(|frame| serial(&frame.bytes)).collect()
}

fn queues_of_one_port(scene: &Scene) {
    let (left, right) = (packets(0..1000), packets(1000..1300));
    let device = format!("net_pcap0,rx_pcap={},rx_pcap={}", scene.capture("left", &left), scene.capture("right", &right));
    let mut opened = scene.open(2, &[(&device, "")]).expect("the port opens");
    assert!(opened.dispatcher.is_none() && opened.notes.is_empty(), "{:?}", opened.notes);
    assert_eq!((opened.ports[0].rx_queues, opened.ports[0].dispatched, opened.ports[0].ingress), (2, false, 1));
    let lent: Vec<_> = opened.sources.iter_mut().map(|source| drain(source, 20)).collect();
    assert_eq!(lent[0].iter().map(|frame| frame.bytes.clone()).collect::<Vec<_>>(), left);
    assert_eq!(serials(&lent[1]), (1000..1300).collect::<Vec<_>>());
    assert!(lent.iter().flatten().all(|frame| frame.port == 1 && frame.wire_len as usize == frame.bytes.len()));
    let port = &opened.ports[0];
    assert_eq!(port.port.stats().expect("statistics").packets, 1300);
    assert_eq!(port.pool.available(), port.pool.capacity(), "a buffer is missing");
}

fn two_ports_of_two_kinds(scene: &Scene) {
    let two = format!("net_pcap0,rx_pcap={},rx_pcap={}", scene.capture("one", &packets(0..500)), scene.capture("two", &packets(500..900)));
    let one = format!("net_pcap1,rx_pcap={}", scene.capture("three", &packets(900..1500)));
    let mut opened = scene.open(2, &[(&two, ""), (&one, "")]).expect("the ports open");
    assert_eq!(opened.ports.iter().map(|port| port.dispatched).collect::<Vec<_>>(), [false, true]);
    assert_eq!(opened.notes.len(), 1, "{:?}", opened.notes);
    let dispatcher = opened.dispatcher.as_mut().expect("one port needs it");
    while dispatcher.poll() != 0 {}
    let mut all = Vec::new();
    for (worker, source) in opened.sources.iter_mut().enumerate() {
        let lent = drain(source, 20);
        let direct: Vec<Lent> = lent.iter().filter(|frame| frame.port == 1).cloned().collect();
        assert_eq!(serials(&direct), if worker == 0 { (0..500).collect::<Vec<_>>() } else { (500..900).collect() });
        assert!(lent.iter().filter(|frame| frame.port == 2).all(|frame| serial(&frame.bytes) >= 900));
        assert!(lent.len() > direct.len() + 100, "worker {worker} got nothing of the dispatched port");
        all.extend(serials(&lent));
    }
    all.sort_unstable();
    assert_eq!(all, (0..1500).collect::<Vec<_>>());
    assert!(opened.ports.iter().all(|port| port.pool.available() == port.pool.capacity()));
}

fn a_jumbo_frame(scene: &Scene) {
    let mut long = packet(1, false, 0, 0);
    long.resize(6000, 0xab);
    let device = format!("net_pcap2,rx_pcap={}", scene.capture("jumbo", &[long.clone(), packet(1, false, 0, 1)]));
    let mut opened = scene.open(1, &[(&device, "")]).expect("the port opens");
    let lent = drain(&mut opened.sources[0], 20);
    assert_eq!((lent.len(), lent[0].wire_len), (2, 6000));
    assert!(lent[0].bytes.len() >= 2048 && long.starts_with(&lent[0].bytes));
    assert_eq!(opened.counts[0].segmented.load(Ordering::Relaxed), 1);
}

/// Ten frames, repeated for ever, at 4000 a second: they come in turns, and no sooner than that.
fn a_paced_repetition(scene: &Scene) {
    let device = format!("net_pcap3,rx_pcap={},infinite_rx=1", scene.capture("repeated", &packets(0..10)));
    let mut opened = scene.open(1, &[(&device, "pace_pps = 4000")]).expect("the port opens");
    let (begin, mut seen) = (Instant::now(), 0_u32);
    while seen < 2000 && begin.elapsed() < PATIENCE {
        opened.sources[0].burst(|frames, _| {
            for frame in frames {
                assert_eq!(serial(frame.bytes), seen % 10);
                seen += 1;
            }
        });
    }
    // Later by any time, when this machine did not let the test run; a tenth sooner, because two clocks are compared. Without a pace
    // it would be a thousand times sooner.
    let fair = u32::try_from(begin.elapsed().as_millis() * 4).expect("a short time");
    assert!(seen >= 2000 && seen <= fair + fair / 10, "{seen} of {fair}");
}

/// The driver keeps a repeated recording in buffers: the pool is larger by that.
fn a_whole_repetition(scene: &Scene) {
    let frames = packets(0..20_000);
    let device = format!("net_pcap4,rx_pcap={},infinite_rx=1", scene.capture("whole", &frames));
    let mut opened = scene.open(1, &[(&device, "")]).expect("the port opens");
    let mut seen = 0_u32;
    while seen < 100_000 {
        opened.sources[0].burst(|frames, _| {
            assert_eq!(frames.len(), 128, "a repeated recording has no pauses");
            for frame in frames {
                assert_eq!(serial(frame.bytes), seen % 20_000);
                seen += 1;
            }
        });
    }
    assert_eq!(opened.ports[0].port.stats().expect("statistics").no_buffer, Some(0));
}

fn refusals(scene: &Scene) {
    let check = |workers, ports: &[(&str, &str)], words: &[&str]| {
        let error = scene.open(workers, ports).expect_err("refused").to_string();
        assert!(words.iter().all(|word| error.contains(word)), "{error}");
    };
    check(1, &[("net_pcap5,rx_pcap=/nonexistent/a.pcap", "")], &["port \"port-0\"", "net_pcap5", "/nonexistent/a.pcap"]);
    let device = format!("net_pcap6,rx_pcap={}", scene.capture("few", &packets(0..1)));
    check(2, &[(&device, "rx_queues = 2")], &["port \"port-0\"", "at most 1 receive queue", "lower rx_queues"]);
    check(4, &[("net_null0", "rx_descriptors = 32768")], &["port \"port-0\"", "no memory", "MiB"]);
}
