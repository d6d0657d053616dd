//! Frames of every tunnel spread over several workers: as many flows as with one, and the same.

use sonde_flow::pattern::Wants;
use sonde_flow::{Flush, Policy, Room, Sizing, Tracker};
use sonde_memory::slab::Wanted;
use sonde_memory::tags::Simd;
use sonde_packet::{Affinity, Frame, Link, Tunnel, Tunnels, View, worker_of};
use sonde_record::{Kind, Record};
use sonde_tests::traffic::{Carrier, Erspan, Gre, Gtp, Ppp, aggregate};
use sonde_tests::traffic::{Layer, START, Stack, fragments};

/// Flows inside each tunnel.
const FLOWS: u8 = 60;

/// The outer packet of a direction: UDP's source port is another one for each flow, as senders choose it.
fn outer(back: bool) -> Stack {
    let [a, b] = [[192, 0, 2, 1], [198, 51, 100, 2]];
    if back { Stack::ethernet().ipv4(b, a) } else { Stack::ethernet().ipv4(a, b) }
}

fn udp(back: bool, flow: u8, port: u16) -> Stack {
    outer(back).udp(50_000 + u16::from(flow) * 7 + u16::from(back), port)
}

fn inner_ethernet(stack: Stack, back: bool) -> Stack {
    let [a, b] = [[6, 0, 0, 0, 0, 1], [6, 0, 0, 0, 0, 2]];
    let (src, dst) = if back { (b, a) } else { (a, b) };
    stack.push(Layer::Ethernet { src, dst, ethertype: None })
}

/// A packet of a flow: UDP over IPv4, of every fourth over IPv6.
fn packet(stack: Stack, back: bool, flow: u8) -> Stack {
    let (there, here) = (50_000 + u16::from(flow), 53);
    let (sport, dport) = if back { (here, there) } else { (there, here) };
    let stack = if flow.is_multiple_of(4) {
        let [a, b] = [[0xfd00, 0, 0, 0, 0, 0, 0, u16::from(flow)], [0xfd00, 0, 0, 1, 0, 0, 0, 1]];
        if back { stack.ipv6(b, a) } else { stack.ipv6(a, b) }
    } else {
        let [a, b] = [[10, 1, 0, flow], [10, 2, 0, 1]];
        if back { stack.ipv4(b, a) } else { stack.ipv4(a, b) }
    };
    stack.udp(sport, dport).payload(vec![flow; 32])
}

fn llc() -> Layer {
    Layer::Llc { dsap: 0xaa, ssap: 0xaa, control: 3 }
}

fn snap(stack: Stack) -> Stack {
    stack.push(llc()).push(Carrier::Snap { oui: [0; 3], kind: None })
}

fn wireless(stack: Stack, back: bool, quality: Option<u8>) -> Stack {
    let addresses = if back { [[7; 6], [9; 6], [8; 6]] } else { [[7; 6], [8; 6], [9; 6]] };
    stack.push(Carrier::Wireless { addresses, quality })
}

/// A way into a tunnel: the frame of a direction of a flow.
type Way = fn(bool, u8) -> Stack;

const WAYS: &[(&str, Way)] = &[
    ("none", |back, flow| packet(Stack::ethernet(), back, flow)),
    ("vlan of each direction", |back, flow| packet(Stack::ethernet().vlan(5), back, flow)),
    ("4in4", |back, flow| packet(outer(back), back, flow)),
    ("gre", |back, flow| packet(outer(back).push(Carrier::Gre(Gre::default())), back, flow)),
    ("nvgre", |back, flow| {
        let gre = Carrier::Gre(Gre { key: Some(0x0012_3400 + u32::from(flow)), ..Gre::default() });
        packet(inner_ethernet(outer(back).push(gre), back), back, flow)
    }),
    ("erspan", |back, flow| {
        let gre = Carrier::Gre(Gre { sequence: Some(flow.into()), ..Gre::default() });
        let erspan = Carrier::Erspan(Erspan { session: 5, vlan: 0, index: Some(1), platform: None });
        packet(inner_ethernet(outer(back).push(gre).push(erspan), back), back, flow)
    }),
    ("vxlan", |back, flow| packet(inner_ethernet(udp(back, flow, 4789).push(Carrier::Vxlan { vni: 7, group: None }), back), back, flow)),
    ("vxlan, of another port", |back, flow| {
        packet(inner_ethernet(udp(back, flow, 48_879).push(Carrier::Vxlan { vni: 7, group: None }), back), back, flow)
    }),
    ("vxlan-gpe", |back, flow| packet(udp(back, flow, 4790).push(Carrier::VxlanGpe { vni: 7 }), back, flow)),
    ("geneve", |back, flow| {
        packet(inner_ethernet(udp(back, flow, 6081).push(Carrier::Geneve { vni: 0, options: Vec::new() }), back), back, flow)
    }),
    ("gtp", |back, flow| {
        let teid = u32::from(flow) << 8 | u32::from(back);
        packet(udp(back, flow, 2152).push(Carrier::Gtp(Gtp { teid, ..Gtp::default() })), back, flow)
    }),
    ("l2tp", |back, flow| {
        let l2tp = Carrier::L2tp { tunnel: 1 + u16::from(back), session: flow.into(), length: true, sequence: None, offset: None };
        packet(outer(back).udp(1701, 1701).push(l2tp).push(Carrier::Ppp(Ppp { framed: true, ..Ppp::default() })), back, flow)
    }),
    ("mpls-in-udp", |back, flow| packet(udp(back, flow, 6635).push(Carrier::Mpls { label: 77, class: 0, ttl: 9 }), back, flow)),
    ("etherip", |back, flow| packet(inner_ethernet(outer(back).push(Carrier::EtherIp), back), back, flow)),
    ("capwap", |back, flow| packet(inner_ethernet(udp(back, flow, 5247).push(Carrier::Capwap { radio: None }), back), back, flow)),
    ("ayiya", |back, flow| {
        packet(udp(back, flow, 5072).push(Carrier::Ayiya { identity: vec![flow; 16], signature: vec![1; 20] }), back, flow)
    }),
    ("802.11 in gre", |back, flow| {
        let gre = outer(back).push(Carrier::Gre(Gre { protocol: Some(0x8200), ..Gre::default() }));
        packet(snap(wireless(gre, back, Some(5))), back, flow)
    }),
    // Packets of two flows in one frame.
    ("a-msdu in gre", |back, flow| {
        let gre = outer(back).push(Carrier::Gre(Gre { protocol: Some(0x8200), ..Gre::default() }));
        let payloads = [flow, flow / 2].map(|flow| packet(snap(Stack::new()), back, flow).build_unpadded());
        wireless(gre, back, Some(0x85)).payload(aggregate([9; 6], [8; 6], &payloads))
    }),
    ("802.1ah", |back, flow| {
        let macs = if back { [[6, 0, 0, 0, 0, 1], [6, 0, 0, 0, 0, 2]] } else { [[6, 0, 0, 0, 0, 2], [6, 0, 0, 0, 0, 1]] };
        let control = [&[0, 0, 1, 0x23][..], macs.as_flattened()].concat();
        packet(Stack::ethernet().push(Carrier::Tag { tpid: 0x88e7, control }), back, flow)
    }),
    ("gre in vxlan", |back, flow| {
        let vxlan = inner_ethernet(udp(back, flow, 4789).push(Carrier::Vxlan { vni: 7, group: None }), back);
        let gre = if back { vxlan.ipv4([10, 9, 0, 2], [10, 9, 0, 1]) } else { vxlan.ipv4([10, 9, 0, 1], [10, 9, 0, 2]) };
        packet(gre.push(Carrier::Gre(Gre::default())), back, flow)
    }),
];

/// Frames of all flows in both directions, two packets each, in turns.
fn frames(way: Way) -> Vec<Vec<u8>> {
    let turns = [false, true, false, true].into_iter();
    turns.flat_map(|back| (0..FLOWS).map(move |flow| way(back, flow).build())).collect()
}

fn tracker(policy: Policy, worker: u8) -> Tracker {
    let annex = Room::whole(2048, Wants::NONE);
    let wanted = Wanted { huge: false, populate: false };
    let sizing = Sizing { ipv4: 1024, wide: 1024, annex, wanted, simd: Simd::detect(), seed: 9, worker, first_id: 1 };
    Tracker::new(&sizing, policy).expect("memory for a small table")
}

/// A flow without what is the worker's: ends, packets, octets.
type Flow = (Kind, bool, [u8; 16], u16, [u8; 16], u16, [u64; 2], [u64; 2]);

/// The flows of all workers, sorted, and how many workers had some.
fn metered(frames: &[Vec<u8>], policy: Policy, workers: usize) -> (Vec<Flow>, usize) {
    let mut affinity = Affinity::new(3, &policy.tunnels);
    let mut trackers: Vec<Tracker> = (0..workers).map(|worker| tracker(policy, u8::try_from(worker).expect("few"))).collect();
    let mut records: Vec<Vec<Record>> = vec![Vec::new(); workers];
    for (frame, time) in frames.iter().zip(START..) {
        let frame = Frame { bytes: frame, wire_len: u32::try_from(frame.len()).expect("short"), link: Link::Ethernet, port: 1, time };
        let worker = worker_of(affinity.hash(&frame, time), workers);
        trackers[worker].meter(&[frame], time, &mut records[worker]);
    }
    for (tracker, records) in trackers.iter_mut().zip(&mut records) {
        tracker.settle(START, records);
        let mut flush = Flush::default();
        while tracker.flush(&mut flush, records) {}
        assert!(tracker.counters().balances());
    }
    let busy = records.iter().filter(|records| !records.is_empty()).count();
    let flow = |r: &Record| {
        // Which end is the source is the first packet's, which is the same however many workers there are.
        (r.kind, r.view == sonde_record::View::Inner, r.src, r.sport, r.dst, r.dport, r.packets, r.octets)
    };
    let mut flows: Vec<Flow> = records.iter().flatten().map(flow).collect();
    flows.sort_unstable_by_key(|flow| format!("{flow:?}"));
    (flows, busy)
}

fn tunnels(view: View) -> Tunnels {
    Tunnels::new(view, 4).with_port(Tunnel::Vxlan, 48_879).expect("a free port")
}

#[test]
fn every_tunnel_has_as_many_flows_with_several_workers_as_with_one() {
    for (name, way) in WAYS {
        let frames = frames(*way);
        for view in [View::Inner, View::Both, View::Outer] {
            let policy = Policy { tunnels: tunnels(view), ..Policy::default() };
            let (one, _) = metered(&frames, policy, 1);
            if view == View::Inner {
                assert_eq!(one.len(), usize::from(FLOWS), "{name}: biflows");
                assert!(one.iter().all(|flow| flow.6[0] == flow.6[1] && flow.6[0] >= 2), "{name}: both directions: {one:?}");
            }
            for workers in [2, 8] {
                let (several, busy) = metered(&frames, policy, workers);
                assert_eq!(several, one, "{name}, {view:?}, {workers} workers");
                // What goes by the addresses of two tunnel endpoints alone is at one worker.
                let together =
                    view == View::Both || name.contains("gre") && name.contains("802") || name.starts_with("a-msdu") || *name == "capwap";
                assert!(busy > 1 || together || view == View::Outer, "{name}, {view:?}: all at one of {workers} workers");
            }
        }
    }
}

#[test]
fn networks_and_vlans_of_each_direction_do_not_part_them() {
    let way: Way = |back, flow| {
        let vni = if back { 9 } else { 0 };
        packet(inner_ethernet(udp(back, flow, 6081).push(Carrier::Geneve { vni, options: Vec::new() }), back), back, flow)
    };
    let frames = frames(way);
    let apart = metered(&frames, Policy::default(), 1).0.len();
    let policy = Policy { virtual_network_in_key: false, ..Policy::default() };
    let (one, _) = metered(&frames, policy, 1);
    assert_eq!((apart, one.len()), (2 * usize::from(FLOWS), usize::from(FLOWS)));
    assert_eq!(metered(&frames, policy, 8).0, one);
}

#[test]
fn fragments_in_any_order_are_with_the_rest_of_their_datagram() {
    // Whole packets and fragments of each flow, in turns.
    let whole = |back, flow| packet(Stack::ethernet(), back, flow);
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [2, 1, 0]] {
        let mut frames = Vec::new();
        for flow in 0..FLOWS {
            for back in [false, true] {
                frames.push(whole(back, flow).build());
                let parts = fragments(&whole(back, flow).payload(vec![1; 64]), 40, u16::from(flow) + 1);
                assert!(parts.len() >= 3, "{} fragments", parts.len());
                frames.extend(order.iter().map(|at| parts[*at].clone()));
            }
        }
        let (one, _) = metered(&frames, Policy::default(), 1);
        assert_eq!(one.len(), usize::from(FLOWS), "{order:?}");
        let (several, busy) = metered(&frames, Policy::default(), 4);
        assert!(busy > 1);
        if order[0] == 0 {
            // The first comes first: all is at the worker of the flow.
            assert_eq!(several, one, "{order:?}");
        }
        // However they come, each of them has found its ports.
        assert!(several.iter().all(|flow| flow.3 != 0 && flow.5 != 0), "{order:?}: {several:?}");
        let packets = |flows: &[Flow]| flows.iter().map(|flow| flow.6[0] + flow.6[1]).sum::<u64>();
        assert_eq!(packets(&several), packets(&one));
    }
}
