//! Both directions of a flow at one worker, fragments with their flow, and no way to aim.

use super::*;

const A: [u8; 4] = [192, 0, 2, 1];
const B: [u8; 4] = [198, 51, 100, 7];

fn hasher() -> Hasher {
    Hasher::new(7, &Tunnels::default())
}

fn framed(bytes: &[u8]) -> Frame<'_> {
    Frame { bytes, wire_len: u32::try_from(bytes.len()).expect("short"), link: Link::Ethernet, time: 0, port: 1 }
}

fn flow(bytes: &[u8]) -> u64 {
    match hasher().choose(&framed(bytes)) {
        Choice::Flow(hash) => hash,
        Choice::Fragment { .. } => panic!("a fragment"),
    }
}

fn ethernet(tags: &[u16], ethertype: u16, rest: &[u8]) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
    for tag in tags {
        frame.extend([0x8100_u16.to_be_bytes(), tag.to_be_bytes()].as_flattened());
    }
    frame.extend(ethertype.to_be_bytes());
    frame.extend(rest);
    frame
}

fn v4([source, destination]: [[u8; 4]; 2], protocol: u8, (id, fragment): (u8, u16), payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(20 + payload.len()).expect("short").to_be_bytes();
    let mut header = vec![0x45, 0, length[0], length[1], 0, id];
    header.extend(fragment.to_be_bytes());
    header.extend([64, protocol, 0, 0]);
    header.extend([source, destination].as_flattened());
    header.extend(payload);
    header
}

fn v6(source: u8, destination: u8, next: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).expect("short").to_be_bytes();
    let mut header = vec![0x60, 0, 0, 0, length[0], length[1], next, 64];
    for last in [source, destination] {
        header.extend([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last]);
    }
    header.extend(rest);
    header
}

/// Ports, and enough behind them for UDP and TCP.
fn ports(source: u16, destination: u16) -> Vec<u8> {
    [&source.to_be_bytes()[..], &destination.to_be_bytes(), &[0; 16]].concat()
}

/// Both directions are the same, and different from the others.
fn check(there: &[u8], back: &[u8], others: &[Vec<u8>]) {
    assert_eq!(flow(there), flow(back));
    for other in others {
        assert_ne!(flow(there), flow(other), "{other:02x?}");
    }
}

#[test]
fn both_directions_are_one_whatever_decodes_them() {
    let tcp = |tags: &[u16], ends, p: &[u8]| ethernet(tags, 0x0800, &v4(ends, 6, (0, 0x4000), p));
    for tags in [&[][..], &[7], &[7, 9]] {
        let frame = |ends, p: &[u8]| tcp(tags, ends, p);
        let others = [frame([A, B], &ports(80, 1000)), frame([A, B], &ports(1001, 80))];
        check(&frame([A, B], &ports(1000, 80)), &frame([B, A], &ports(80, 1000)), &others);
        let frame = |s, d, p: &[u8]| ethernet(tags, 0x86dd, &v6(s, d, 17, p));
        let others = [frame(1, 2, &ports(53, 1000)), frame(1, 3, &ports(1000, 53))];
        check(&frame(1, 2, &ports(1000, 53)), &frame(2, 1, &ports(53, 1000)), &others);
    }
    // The fast decoder and the general one, the VLAN of the way back.
    assert_eq!(flow(&tcp(&[], [A, B], &ports(1, 2))), flow(&tcp(&[5], [B, A], &ports(2, 1))));
    let hop = [&[6, 0, 1, 4, 0, 0, 0, 0][..], &ports(1000, 80)].concat();
    assert_eq!(flow(&ethernet(&[], 0x86dd, &v6(1, 2, 0, &hop))), flow(&ethernet(&[], 0x86dd, &v6(2, 1, 6, &ports(80, 1000)))));
}

#[test]
fn a_flow_in_a_tunnel_goes_by_what_is_metered_of_it() {
    let inner = |ends, p: &[u8]| ethernet(&[], 0x0800, &v4(ends, 6, (0, 0), p));
    let vxlan = |sport: u16, ends, vni: u8, inner: &[u8]| {
        let header = [&sport.to_be_bytes()[..], &4789u16.to_be_bytes(), &[0, 0, 0, 0], &[8, 0, 0, 0, 0, 0, vni, 0], inner].concat();
        ethernet(&[], 0x0800, &v4(ends, 17, (0, 0), &header))
    };
    let there = vxlan(50_000, [A, B], 1, &inner([[10, 0, 0, 1], [10, 0, 0, 2]], &ports(1000, 80)));
    let back = vxlan(50_111, [B, A], 2, &inner([[10, 0, 0, 2], [10, 0, 0, 1]], &ports(80, 1000)));
    let other = vxlan(50_000, [A, B], 1, &inner([[10, 0, 0, 1], [10, 0, 0, 2]], &ports(1001, 80)));
    check(&there, &back, std::slice::from_ref(&other));
    let of = |tunnels: Tunnels, bytes: &[u8]| Hasher::new(7, &tunnels).choose(&framed(bytes));
    // Of both flows the outer one holds the inner ones together.
    let both = Tunnels::new(View::Both, 4);
    assert_eq!(of(both, &there), of(both, &back));
    assert_eq!(of(both, &there), of(both, &other));
    // The outer flow alone: each direction has a source port of its own, and is a flow of its own.
    let outer = Tunnels::new(View::Outer, 4);
    assert_eq!(of(outer, &there), of(outer, &other));
    assert_ne!(of(outer, &there), of(outer, &back));
}

/// A fragment of UDP.
fn part(ends: [[u8; 4]; 2], id: u8, first: bool) -> Vec<u8> {
    let payload = if first { ports(1000, 53) } else { vec![id; 24] };
    ethernet(&[], 0x0800, &v4(ends, 17, (id, if first { 0x2000 } else { 0x00b9 }), &payload))
}

#[test]
fn fragments_follow_their_first_one_to_its_flow() {
    let whole = flow(&ethernet(&[], 0x0800, &v4([A, B], 17, (0, 0), &ports(1000, 53))));
    let mut affinity = Affinity::new(7, &Tunnels::default());
    for id in 0..200 {
        for part in [part([A, B], id, true), part([A, B], id, false), part([A, B], id, false)] {
            assert_eq!(affinity.hash(&framed(&part), u64::from(id)), whole);
        }
    }
    // The identification is used again at once, by the other direction, too.
    assert_eq!(affinity.hash(&framed(&part([B, A], 0, false)), 1), hasher_addresses(), "no first one has come this way");
    assert_eq!(affinity.hash(&framed(&part([A, B], 0, false)), FOLLOW_MAX), whole);
    assert_eq!(affinity.hash(&framed(&part([A, B], 0, false)), FOLLOW_MAX * 2), hasher_addresses(), "long ago");
}

/// Where a fragment goes of which no first one is known.
fn hasher_addresses() -> u64 {
    match hasher().choose(&framed(&part([A, B], 0, false))) {
        Choice::Fragment { addresses, flow: None, .. } => addresses,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_first_fragment_that_comes_late_follows_the_others() {
    let mut affinity = Affinity::new(7, &Tunnels::default());
    for (time, first) in [(0, false), (1, false), (2, true), (3, false)] {
        assert_eq!(affinity.hash(&framed(&part([A, B], 9, first)), time), hasher_addresses(), "at {time}");
    }
    // Nothing waits so long: another datagram with the same identification goes to its flow.
    let mut affinity = Affinity::new(7, &Tunnels::default());
    assert_eq!(affinity.hash(&framed(&part([A, B], 9, false)), 0), hasher_addresses());
    assert_ne!(affinity.hash(&framed(&part([A, B], 9, true)), WAIT_MAX + 1), hasher_addresses());
}

#[test]
fn what_is_no_ip_goes_by_its_stations() {
    let arp = ethernet(&[], 0x0806, &[0; 28]);
    let mut back = arp.clone();
    back[..12].rotate_left(6);
    check(&arp, &back, &[]);
    assert_eq!(flow(&ethernet(&[], 0x0800, &[0x44; 20])), flow(&arp), "a header of four words");
    assert_eq!(flow(&[]), 0);
}

#[test]
fn any_bytes_have_a_worker() {
    let extension = [&[44, 0, 0, 0, 0, 0, 0, 0][..], &[6, 0, 0, 1, 0, 0, 0, 0], &ports(1, 2)].concat();
    let frame = ethernet(&[1, 2], 0x86dd, &v6(1, 2, 0, &extension));
    let mut affinity = Affinity::new(7, &Tunnels::default());
    for end in 0..frame.len() {
        for at in 0..end {
            let mut damaged = frame[..end].to_vec();
            damaged[at] ^= 0xff;
            assert!(worker_of(affinity.hash(&framed(&damaged), 0), 3) < 3);
        }
    }
    assert_eq!((worker_of(u64::MAX, 7), worker_of(0, 7), worker_of(u64::MAX, 1)), (6, 0, 0));
}

#[test]
fn workers_get_even_shares_that_nobody_outside_can_tell() {
    let frame = |n: u16| {
        let [high, low] = n.to_be_bytes();
        ethernet(&[], 0x0800, &v4([[10, 0, high, low], B], 6, (0, 0), &ports(1024 + n, 443)))
    };
    for workers in [2_usize, 3, 7, 16] {
        let mut shares = vec![0_usize; workers];
        for n in 0..10_000_u16 {
            shares[worker_of(flow(&frame(n)), workers)] += 1;
        }
        let fair = 10_000 / workers;
        assert!(shares.iter().all(|&share| share.abs_diff(fair) < fair / 5), "{shares:?}");
    }
    // Of the flows that one seed gives to worker 0, another gives it its fair share.
    let of = |seed| Hasher::new(seed, &Tunnels::default());
    let at = |hasher: &Hasher, n| match hasher.choose(&framed(&frame(n))) {
        Choice::Flow(hash) => worker_of(hash, 4),
        Choice::Fragment { .. } => panic!("a fragment"),
    };
    let chosen: Vec<u16> = (0..10_000).filter(|n| at(&of(1), *n) == 0).collect();
    let again = chosen.iter().filter(|n| at(&of(2), **n) == 0).count();
    assert!(again.abs_diff(chosen.len() / 4) < chosen.len() / 20, "{again} of {}", chosen.len());
}
