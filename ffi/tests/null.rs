//! A device with RSS and many queues: the symmetric key is set and confirmed, and the pool's sum is enough under load.
mod common;

use std::thread;

use common::{Scene, receive};
use dpdk_sys::{Hash, Pool, PoolSum, Port, PortConfig};

#[test]
fn four_queues_hash_symmetrically_and_never_lack_buffers() {
    let scene = Scene::new("null");
    let eal = scene.start().expect("the environment starts");
    let mut port = Port::open(&eal, "net_null0,size=64,copy=1").expect("the port opens");
    assert!(port.info().rss_offloads != 0 && port.info().rss_key_octets == 40, "{:?}", port.info());
    let sum = PoolSum { queues: 4, descriptors: 512, bursts: 4, ring_places: 0, threads: 4, kept_by_driver: 0 };
    let pool = Pool::create(&eal, &sum, Pool::FRAME_OCTETS, None).expect("a pool");
    let config =
        PortConfig { rx_queues: 4, descriptors: 512, frame_octets_max: None, promiscuous: true, timestamps: false, hash: Hash::OuterPorts };
    let (confirmed, queues) = port.start(&config, &pool).expect("the port starts");
    assert!(confirmed.symmetric, "{confirmed:?}");
    let threads: Vec<_> = queues
        .into_iter()
        .map(|mut queue| {
            let eal = eal.clone();
            thread::spawn(move || {
                let _registered = eal.register_thread().expect("a thread is registered");
                receive(&eal, &mut queue, 100_000, |burst, at| assert_eq!(burst.bytes(at).len(), 64))
            })
        })
        .collect();
    let seen: usize = threads.into_iter().map(|thread| thread.join().expect("no panic")).sum();
    assert!(seen >= 400_000, "{seen}");
    let stats = port.stats().expect("statistics");
    assert_eq!((stats.packets, stats.no_buffer), (seen as u64, Some(0)));
    assert_eq!(pool.available(), pool.capacity());

    // Restarted with fewer queues and another pool, once all queues are gone.
    let other = Pool::create(&eal, &sum, Pool::FRAME_OCTETS, None).expect("a second pool");
    let (_, mut queues) = port.start(&PortConfig { rx_queues: 1, ..config }, &other).expect("it starts again");
    assert!(receive(&eal, &mut queues[0], 1000, |_, _| ()) >= 1000);
    assert_eq!(other.available(), other.capacity());
}
