//! What tracking hands on of each packet is what the records say.

use super::*;

/// What was handed on of a flow: packets of each direction, how often one was the first, a port of its client or server.
#[derive(Default)]
struct Handed {
    packets: [u64; 2],
    first: u64,
    ports: Vec<u16>,
}

/// Random packets of so many hosts through tables for so many flows; what was handed on by flow id, packets without an id, the records.
fn run(flows: u64, hosts: u64) -> (HashMap<u64, Handed>, u64, Vec<Record>) {
    let mut state = 5u64;
    let mut random = move |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let wanted = Wanted { huge: false, populate: false };
    let annex = Room::whole(2 * flows, Wants::NONE);
    let sizing = Sizing { ipv4: flows, wide: flows, annex, wanted, simd: Simd::detect(), seed: 7, worker: 1, first_id: 1 };
    let mut tracker = Tracker::new(&sizing, Policy::default()).expect("little memory");
    let mut records: Vec<Record> = Vec::new();
    let (mut handed, mut gone) = (HashMap::<u64, Handed>::new(), 0);
    for burst in 0..400 {
        // Now and then all flows have been idle for too long.
        let now = START + burst * SECOND / 100 + burst / 100 * 100 * SECOND;
        let packets: Vec<(u16, Vec<u8>)> = (0..random(1 + BURST as u64))
            .map(|_| {
                let host = u8::try_from(random(hosts)).expect("a byte");
                let port = 1000 + u16::from(host);
                let (from, to) = ([10, 0, 0, host], [10, 0, 1, 1]);
                let there = ipv4(from, to, port, 9, 17, 0);
                let bytes = match random(5) {
                    0 => ipv4(to, from, 9, port, 17, 0),
                    1 => vxlan(7, &there),
                    2 => ipv6(host, 250, port, 9),
                    3 => vec![0; 5],
                    _ => there,
                };
                (port, bytes)
            })
            .collect();
        let frames: Vec<Frame<'_>> = packets.iter().map(|(_, bytes)| frame(bytes, now)).collect();
        tracker.sweep(now, u32::MAX, &mut records);
        assert_eq!(tracker.decode(&frames, now), frames.len());
        tracker.track(&frames, now, &mut records);
        let mut seen = Vec::new();
        for tracked in tracker.tracked() {
            seen.push(usize::from(tracked.frame));
            let Some(id) = tracker.flow_id(&tracked) else {
                gone += 1;
                continue;
            };
            let flow = handed.entry(id).or_default();
            flow.packets[usize::from(tracked.way)] += 1;
            flow.first += u64::from(tracked.new);
            flow.ports.push(packets[usize::from(tracked.frame)].0);
        }
        seen.sort_unstable();
        let metered: Vec<usize> = (0..packets.len()).filter(|at| packets[*at].1.len() > 5).collect();
        assert_eq!(seen, metered, "each frame that was decoded, once");
    }
    let mut flush = Flush::default();
    while tracker.flush(&mut flush, &mut records) {}
    (handed, gone, records)
}

#[test]
fn each_packet_is_handed_on_with_the_flow_that_counts_it() {
    let (handed, gone, records) = run(4000, 200);
    assert_eq!(gone, 0);
    let mut found: HashMap<u64, [u64; 2]> = HashMap::new();
    for record in &records {
        let packets = found.entry(record.flow_id).or_default();
        (packets[0], packets[1]) = (packets[0] + record.packets[0], packets[1] + record.packets[1]);
        assert!(handed[&record.flow_id].ports.iter().all(|port| [record.sport, record.dport].contains(port)));
    }
    assert!(found.len() > 2000, "{} flows", found.len());
    assert!(handed.values().all(|flow| flow.first == 1));
    assert_eq!(handed.into_iter().map(|(id, flow)| (id, flow.packets)).collect::<HashMap<_, _>>(), found);
}

#[test]
fn a_flow_that_was_evicted_later_in_the_burst_is_not_handed_on() {
    let (handed, gone, records) = run(1, 255);
    let counted: u64 = records.iter().map(|record| record.packets.iter().sum::<u64>()).sum();
    let known: u64 = handed.values().map(|flow| flow.packets.iter().sum::<u64>()).sum();
    assert_eq!(known + gone, counted);
    assert!(gone > 0 && records.iter().any(|record| record.end_reason == EndReason::LackOfResources));
}
