//! A port with one queue and several workers: every frame once, both directions of a conversation at the same worker.
mod ports;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use ports::{Scene, drain, packet, serial};
use sonde_dataplane::source::Opened;

const CONVERSATIONS: u16 = 600;

#[test]
fn conversations_stay_together() {
    let scene = Scene::new("dispatched");
    let _registered = scene.eal.register_thread().expect("this thread is registered");
    both_directions(&scene);
    fragments(&scene);
    threads(&scene);
    full_rings(&scene);
}

fn received(opened: &Opened) -> (u64, u64) {
    let sum = |of: fn(&sonde_dataplane::source::WorkerCounts) -> u64| opened.counts.iter().map(|counts| of(counts)).sum();
    (sum(|counts| counts.dispatched.load(Ordering::Relaxed)), sum(|counts| counts.dispatch_dropped.load(Ordering::Relaxed)))
}

/// Six packets of each conversation in both directions and below up to two tags, in an order without order. The serial is unique,
/// and tells the conversation.
fn mixed() -> Vec<Vec<u8>> {
    let count = u32::from(CONVERSATIONS) * 6;
    (0..count)
        .map(|at| {
            let serial = at * 1_009 % count;
            let turn = serial / u32::from(CONVERSATIONS);
            let conversation = u16::try_from(serial % u32::from(CONVERSATIONS)).expect("600");
            packet(conversation, turn % 2 == 1, turn as usize / 2, serial)
        })
        .collect()
}

fn both_directions(scene: &Scene) {
    let frames = mixed();
    let device = format!("net_pcap0,rx_pcap={}", scene.capture("mixed", &frames));
    let mut opened = scene.open(2, &[(&device, "")]).expect("the port opens");
    assert!(opened.ports[0].dispatched && opened.notes.is_empty(), "{:?}", opened.notes);
    let dispatcher = opened.dispatcher.as_mut().expect("two workers, one queue");
    while dispatcher.poll() != 0 {}
    let mut worker_of = HashMap::new();
    let mut serials = Vec::new();
    let mut shares = Vec::new();
    for (worker, source) in opened.sources.iter_mut().enumerate() {
        let lent = drain(source, 20);
        shares.push(lent.len());
        for frame in &lent {
            assert_eq!((frame.port, frame.wire_len as usize), (1, frame.bytes.len()));
            let serial = serial(&frame.bytes);
            assert_eq!(*worker_of.entry(serial % u32::from(CONVERSATIONS)).or_insert(worker), worker, "packet {serial}");
            serials.push(serial);
        }
    }
    serials.sort_unstable();
    assert_eq!(serials, (0..frames.len()).map(|at| u32::try_from(at).expect("few")).collect::<Vec<_>>());
    assert!(shares.iter().all(|&share| share > frames.len() / 3), "{shares:?}");
    assert_eq!(received(&opened), (frames.len() as u64, 0));
    assert_eq!(opened.ports[0].pool.available(), opened.ports[0].pool.capacity());
}

/// First and later fragments, of both directions.
fn fragments(scene: &Scene) {
    let frames: Vec<Vec<u8>> = (0..1200_u32)
        .map(|serial| {
            // 1, 2, 4, 5, 7, ...: those of `packet` that are IPv4.
            let conversation = u16::try_from(serial / 4).expect("300");
            let mut frame = packet(conversation / 2 * 3 + 1 + conversation % 2, serial % 2 == 1, 0, serial);
            // RFC 791: More Fragments in the first, an offset and no ports in the last.
            let field: u16 = if serial % 4 < 2 { 0x2000 } else { 0x00b9 };
            frame[20..22].copy_from_slice(&field.to_be_bytes());
            if serial % 4 >= 2 {
                frame[34..42].fill(0xee);
            }
            frame
        })
        .collect();
    let device = format!("net_pcap1,rx_pcap={}", scene.capture("fragments", &frames));
    let mut opened = scene.open(3, &[(&device, "")]).expect("the port opens");
    let dispatcher = opened.dispatcher.as_mut().expect("three workers, one queue");
    while dispatcher.poll() != 0 {}
    let mut worker_of = HashMap::new();
    let mut count = 0;
    for (worker, source) in opened.sources.iter_mut().enumerate() {
        for frame in drain(source, 20) {
            assert_eq!(*worker_of.entry(serial(&frame.bytes) / 4).or_insert(worker), worker);
            count += 1;
        }
    }
    assert_eq!((count, worker_of.len()), (1200, 300));
}

/// Everybody on a thread of their own.
fn threads(scene: &Scene) {
    let frames: Vec<Vec<u8>> = (0..20).flat_map(|_| mixed()).take(50_000).collect();
    let device = format!("net_pcap2,rx_pcap={}", scene.capture("threads", &frames));
    // Paced, so that the rings do not overflow whatever else this machine does.
    let mut opened = scene.open(3, &[(&device, "pace_pps = 100000")]).expect("the port opens");
    let mut dispatcher = opened.dispatcher.take().expect("three workers, one queue");
    let stop = Arc::new(AtomicBool::new(false));
    let dispatching = {
        let (eal, stop) = (scene.eal.clone(), Arc::clone(&stop));
        thread::spawn(move || {
            let _registered = eal.register_thread().expect("a thread is registered");
            dispatcher.run(&stop);
        })
    };
    let workers: Vec<_> = opened
        .sources
        .drain(..)
        .map(|mut source| {
            let (eal, stop) = (scene.eal.clone(), Arc::clone(&stop));
            thread::spawn(move || {
                let _registered = eal.register_thread().expect("a thread is registered");
                let mut seen = 0;
                while !stop.load(Ordering::Relaxed) {
                    seen += drain(&mut source, 1).len();
                }
                seen + drain(&mut source, 20).len()
            })
        })
        .collect();
    while {
        let (dispatched, dropped) = received(&opened);
        dispatched + dropped < frames.len() as u64
    } {
        thread::yield_now();
    }
    stop.store(true, Ordering::Relaxed);
    dispatching.join().expect("no panic");
    let seen: Vec<usize> = workers.into_iter().map(|worker| worker.join().expect("no panic")).collect();
    assert_eq!(received(&opened), (frames.len() as u64, 0));
    assert_eq!(seen.iter().sum::<usize>(), frames.len(), "{seen:?}");
    assert_eq!(opened.ports[0].pool.available(), opened.ports[0].pool.capacity());
}

/// Nobody takes: what does not fit is dropped, counted, and freed; the port never lacks a buffer.
fn full_rings(scene: &Scene) {
    let frames: Vec<Vec<u8>> = (0..20).flat_map(|_| mixed()).take(30_000).collect();
    let device = format!("net_pcap3,rx_pcap={}", scene.capture("full", &frames));
    let mut opened = scene.open(2, &[(&device, "")]).expect("the port opens");
    let dispatcher = opened.dispatcher.as_mut().expect("two workers, one queue");
    while dispatcher.poll() != 0 {}
    let (dispatched, dropped) = received(&opened);
    assert_eq!((dispatched, dropped), (2 * 4096, 30_000 - 2 * 4096));
    let stats = opened.ports[0].port.stats().expect("statistics");
    assert_eq!((stats.packets, stats.no_buffer), (30_000, Some(0)));
    assert_eq!(drain(&mut opened.sources[0], 20).len(), 4096);
    let pool = opened.ports[0].pool.clone();
    assert_eq!(pool.available(), pool.capacity() - 4096, "the other worker's are in its ring");
    drop(opened);
    assert_eq!(pool.available(), pool.capacity());
}
