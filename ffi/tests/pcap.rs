//! Frames of a capture come through a port as they were written, and every buffer goes back.
mod common;

use std::sync::{Arc, Mutex};
use std::thread;

use common::{Scene, frames, receive};
use dpdk_sys::{Burst, Eal, EalError, Hash, Pool, PoolSum, Port, PortConfig, PortError, ring};

const CONFIG: PortConfig = PortConfig {
    rx_queues: 1,
    descriptors: 256,
    frame_octets_max: Some(9018),
    promiscuous: true,
    timestamps: true,
    hash: Hash::OuterPorts,
};

#[test]
fn frames_arrive_as_written_and_buffers_go_back() {
    let scene = Scene::new("pcap");
    let eal = scene.start().expect("the environment starts");
    assert_eq!(Eal::start(&scene.arguments(&[])).err(), Some(EalError::AlreadyStarted));
    let registered = eal.register_thread().expect("this thread is registered");

    one_queue(&scene, &eal);
    several_queues(&scene, &eal);
    jumbo(&scene, &eal);
    through_a_ring(&scene, &eal);
    refusals(&scene, &eal);
    drop(registered);
}

fn pool(eal: &Eal) -> Pool {
    let sum = PoolSum { queues: 2, descriptors: 256, bursts: 2, ring_places: 64, threads: 1, kept_by_driver: 0 };
    Pool::create(eal, &sum, Pool::FRAME_OCTETS, None).expect("a small pool")
}

/// 64 frames: the same bytes in the same order, the device's counters agree, the pool is full again.
fn one_queue(scene: &Scene, eal: &Eal) {
    let written = frames(64);
    let octets: usize = written.iter().map(Vec::len).sum();
    let path = scene.capture("one.pcap", &written);
    let mut port = Port::open(eal, &format!("net_pcap0,rx_pcap={path}")).expect("the port opens");
    assert_eq!((port.info().driver.as_str(), port.info().rx_queues_max), ("net_pcap", 1));
    let pool = pool(eal);
    let before = pool.available();
    assert_eq!(before, pool.capacity());
    let (confirmed, mut queues) = port.start(&CONFIG, &pool).expect("the port starts");
    assert!(confirmed.symmetric && !confirmed.timestamps, "{confirmed:?}");

    let mut got = Vec::new();
    receive(eal, &mut queues[0], 64, |burst, at| {
        burst.prefetch(at + 24);
        assert_eq!((burst.segments(at), burst.wire_octets(at) as usize), (1, burst.bytes(at).len()));
        got.push(burst.bytes(at).to_vec());
    });
    assert_eq!(got, written);
    let stats = port.stats().expect("statistics");
    assert_eq!((stats.packets, stats.octets, stats.no_buffer), (64, octets as u64, Some(0)));
    let mut xstats = port.xstats().expect("extended statistics");
    let at = xstats.names().iter().position(|name| name == "rx_good_packets").expect("every device has it");
    assert_eq!(xstats.read().expect("they are read")[at], 64);
    assert!(port.link().expect("link state").is_up());
    assert_eq!(pool.available(), pool.capacity(), "a buffer is missing");
}

/// Two files are two queues, polled by two threads.
fn several_queues(scene: &Scene, eal: &Eal) {
    let (left, right) = (frames(40), frames(24));
    let device = format!("net_pcap0,rx_pcap={},rx_pcap={}", scene.capture("left.pcap", &left), scene.capture("right.pcap", &right));
    let mut port = Port::open(eal, &device).expect("the name is free again after the port was dropped");
    let pool = pool(eal);
    let (_, queues) = port.start(&PortConfig { rx_queues: 2, ..CONFIG }, &pool).expect("the port starts");
    assert!(matches!(port.start(&CONFIG, &pool), Err(PortError::InUse { .. })), "restarted under its queues");
    let sums = Arc::new(Mutex::new(vec![(0, 0); 2]));
    let threads: Vec<_> = queues
        .into_iter()
        .map(|mut queue| {
            let (eal, sums) = (eal.clone(), Arc::clone(&sums));
            thread::spawn(move || {
                let _registered = eal.register_thread().expect("a thread is registered");
                let number = usize::from(queue.number());
                let expected = [40, 24][number];
                let mut octets = 0;
                let seen = receive(&eal, &mut queue, expected, |burst, at| octets += burst.bytes(at).len());
                sums.lock().expect("no panic")[number] = (seen, octets);
            })
        })
        .collect();
    for thread in threads {
        thread.join().expect("no panic");
    }
    let length = |frames: &[Vec<u8>]| frames.iter().map(Vec::len).sum::<usize>();
    assert_eq!(*sums.lock().expect("no panic"), vec![(40, length(&left)), (24, length(&right))]);
    assert_eq!(pool.available(), pool.capacity());
}

/// A frame longer than a buffer: its first part is lent, its whole length told, all its buffers freed.
fn jumbo(scene: &Scene, eal: &Eal) {
    let long: Vec<u8> = (0..6000_u32).map(|at| at.to_le_bytes()[0]).collect();
    let path = scene.capture("jumbo.pcap", &[long.clone(), long.clone()]);
    let mut port = Port::open(eal, &format!("net_pcap1,rx_pcap={path}")).expect("the port opens");
    let pool = pool(eal);
    let (_, mut queues) = port.start(&CONFIG, &pool).expect("the port starts");
    let seen = receive(eal, &mut queues[0], 2, |burst, at| {
        assert_eq!((burst.wire_octets(at), burst.segments(at)), (6000, 3));
        assert_eq!(burst.bytes(at), &long[..burst.bytes(at).len()]);
        assert!(burst.bytes(at).len() >= 2048);
    });
    assert_eq!(seen, 2);
    assert_eq!(pool.available(), pool.capacity());
}

/// A ring carries bursts, marks and all; what does not fit is freed and counted; what is left in it is freed with it.
fn through_a_ring(scene: &Scene, eal: &Eal) {
    let written = frames(64);
    let path = scene.capture("ring.pcap", &written);
    let mut port = Port::open(eal, &format!("net_pcap2,rx_pcap={path}")).expect("the port opens");
    let pool = pool(eal);
    let (_, mut queues) = port.start(&CONFIG, &pool).expect("the port starts");
    let (mut sender, mut receiver) = ring::channel(eal, 40, None).expect("a ring");
    let mut burst = Burst::new(eal);
    queues[0].receive(&mut burst, 32);
    queues[0].receive(&mut burst, 32);
    assert_eq!((burst.len(), burst.room()), (64, 64));
    for at in 0..64 {
        burst.mark(at, 7, 1_700_000_000_000_000_000 + at as u64);
    }
    let mut to = [Burst::new(eal), Burst::new(eal)];
    let refused = burst.scatter(&mut to, |_, at| if at < 4 { 9 } else { at % 2 });
    assert_eq!((refused, burst.len(), to[0].len(), to[1].len()), (4, 0, 30, 30));
    assert_eq!(sender.send(&mut to[0]), 0);
    assert_eq!(sender.send(&mut to[1]), 20, "10 fit behind the 30");
    assert_eq!((to[1].len(), sender.waiting()), (0, 40));
    assert_eq!(pool.available(), pool.capacity() - 40);
    assert_eq!(receiver.receive(&mut burst, 31), 31);
    assert_eq!((burst.marked_port(0), burst.marked_time(0)), (7, 1_700_000_000_000_000_004));
    assert_eq!((burst.bytes(0), burst.bytes(30)), (written[4].as_slice(), written[5].as_slice()));
    drop(receiver);
    drop(sender);
    assert_eq!(pool.available(), pool.capacity() - 31);
    // A burst outlives the port and the pool's handle: its bytes are still there.
    drop((queues, port));
    assert_eq!(burst.bytes(0), written[4].as_slice());
    burst.clear();
    assert_eq!(pool.available(), pool.capacity());
}

fn refusals(scene: &Scene, eal: &Eal) {
    let open = |device: &str| Port::open(eal, device).map(|port| port.info().clone());
    let absent = open("0000:f3:1f.7").expect_err("there is no such slot");
    assert!(matches!(&absent, PortError::Missing { .. }), "{absent}");
    let nonsense = open("eth0").expect_err("not a DPDK device");
    assert!(matches!(&nonsense, PortError::BadDevice { .. }), "{nonsense}");
    let no_file = open("net_pcap5,rx_pcap=/nonexistent/a.pcap").expect_err("no such file");
    assert!(matches!(&no_file, PortError::Probe { said, .. } if said.contains("/nonexistent/a.pcap")), "{no_file}");
    let argument = open("net_pcap6,colour=red").expect_err("no such argument");
    assert!(matches!(&argument, PortError::Probe { .. }), "{argument}");

    let path = scene.capture("twice.pcap", &frames(1));
    let mut port = Port::open(eal, &format!("net_pcap7,rx_pcap={path}")).expect("the port opens");
    let twice = open("net_pcap7").expect_err("it is open");
    assert!(matches!(&twice, PortError::InUse { .. }), "{twice}");
    let queues = port.start(&PortConfig { rx_queues: 9, ..CONFIG }, &pool(eal)).expect_err("one file is one queue");
    assert_eq!(queues, PortError::TooManyQueues { port: "net_pcap7".to_owned(), driver: "net_pcap".to_owned(), asked: 9, most: 1 });

    let huge = PoolSum { queues: 1, descriptors: 1_000_000, ..PoolSum::default() };
    let memory = Pool::create(eal, &huge, Pool::FRAME_OCTETS, None).expect_err("128 MiB are not 2 GiB");
    assert!(memory.to_string().contains("1000000 packet buffers need"), "{memory}");
}
