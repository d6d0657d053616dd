//! Frames that are several packets, and networks beside the addresses.

use super::*;
use sonde_record::fact::Layers;

/// An A-MSDU in GRE with a UDP packet for each source port, from an access point.
fn aggregate(ports: &[u16]) -> Vec<u8> {
    // GRE, then IEEE 802.11: a data frame with quality of service and "A-MSDU present".
    let mut carried = [&[0, 0, 0x82, 0, 0x88, 2, 0, 0][..], &[7; 6], &[8; 6], &[9; 6], &[0, 0, 0x80, 0]].concat();
    for port in ports {
        let packet = ipv4([10, 0, 0, 1], [10, 0, 0, 2], *port, 53, 17, 0);
        let payload = [&[0xaa, 0xaa, 3, 0, 0, 0, 8, 0][..], &packet[14..]].concat();
        let octets = u16::try_from(payload.len()).expect("short").to_be_bytes();
        carried.extend([&[9; 6][..], &[8; 6], &octets, &payload].concat());
        carried.resize(30 + (carried.len() - 30).next_multiple_of(4), 0);
    }
    let length = u16::try_from(20 + carried.len()).expect("short").to_be_bytes();
    let header = [0x45, 0, length[0], length[1], 0, 1, 0, 0, 60, 47, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2];
    [&[2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0][..], &header, &carried].concat()
}

#[test]
fn every_packet_of_an_aggregate_is_metered_and_the_frame_counted_once() {
    let ports: Vec<u16> = (1..=50).collect();
    let bytes = aggregate(&ports);
    let plain = ipv4([10, 0, 0, 1], [10, 0, 0, 2], 5000, 53, 17, 0);
    for view in [sonde_packet::View::Inner, sonde_packet::View::Both] {
        let mut world = World::new(Policy { tunnels: Tunnels::new(view, 4), ..Policy::default() });
        // More packets than a burst has room for, and other frames between them.
        let frames: Vec<Frame<'_>> = (0..100).map(|n| frame(if n % 3 == 0 { &bytes } else { &plain }, START + n)).collect();
        world.tracker.meter(&frames, START, &mut world.records);
        let counters = *world.tracker.counters();
        assert!(counters.balances());
        let both = u64::from(view == sonde_packet::View::Both);
        assert_eq!((counters.metered(), counters.get(Counter::Subframes), counters.get(Counter::MeteredTwice)), (100, 34 * 49, 34 * both));
        assert_eq!(counters.get(Counter::ReceivedOctets), frames.iter().map(|frame| u64::from(frame.wire_len)).sum::<u64>());
        let records = world.end();
        let inner: Vec<_> = records.iter().filter(|r| r.view == View::Inner).collect();
        assert_eq!(inner.len(), 50, "a flow of each port");
        for record in &inner {
            assert_eq!((record.packets, record.octets[0]), ([34, 0], 34 * (plain.len() as u64 - 14)));
            let layers = record.get::<Layers>().expect("a tunnel");
            assert_eq!(
                (layers.tunnel(), layers.inner_macs),
                (Some(sonde_packet::Tunnel::Ieee80211), *b"\t\t\t\t\t\t\x08\x08\x08\x08\x08\x08")
            );
        }
        // The frames' octets are shared out.
        assert_eq!(inner.iter().map(|r| r.wire[0]).sum::<u64>(), 34 * u64::from(frames[0].wire_len));
        let outer: Vec<_> = records.iter().filter(|r| r.view == View::First && r.proto == 47).map(|r| (r.packets[0], r.wire[0])).collect();
        assert_eq!(outer, if both == 1 { vec![(34, 34 * u64::from(frames[0].wire_len))] } else { Vec::new() });
        assert_eq!(records.iter().find(|r| r.sport == 5000).map(|r| r.packets[0]), Some(66));
    }
}

/// The packets that were left of an aggregate fill the next burst, and IPv6 goes to the same table as they do.
#[test]
fn what_follows_an_aggregate_finds_room_in_a_later_burst() {
    let bytes = aggregate(&(1..=200).collect::<Vec<u16>>());
    let plain = ipv4([10, 0, 0, 1], [10, 0, 0, 2], 5000, 53, 17, 0);
    let octets = u16::try_from(plain.len() - 34).expect("short").to_be_bytes();
    let header = [0x60, 0, 0, 0, octets[0], octets[1], 17, 61];
    let six = [&plain[..12], &[0x86, 0xdd], &header, &[0x20; 32], &plain[34..]].concat();
    let mut world = World::new(Policy::default());
    let frames: Vec<Frame<'_>> = (0..300).map(|n| frame(if n < 2 { &bytes } else { &six }, START + n)).collect();
    world.tracker.meter(&frames, START, &mut world.records);
    let counters = *world.tracker.counters();
    assert!(counters.balances());
    assert_eq!((counters.metered(), counters.get(Counter::Subframes)), (300, 2 * 199));
    let records = world.end();
    let packets = |six: bool| records.iter().filter(|r| (r.sport == 5000) == six).map(|r| r.packets[0]).sum::<u64>();
    assert_eq!((packets(false), packets(true)), (400, 298));
}

#[test]
fn service_instances_are_networks_of_their_own_unless_they_are_not_wanted() {
    let bridged = |instance: u8, packet: &[u8]| {
        let tag = [&packet[..12], &[0x88, 0xe7, 0, 0, 0, instance], &packet[..12]].concat();
        [tag.as_slice(), &packet[12..]].concat()
    };
    let there = ipv4([10, 0, 0, 1], [10, 0, 0, 2], 5000, 80, 6, 0x02);
    let back = ipv4([10, 0, 0, 2], [10, 0, 0, 1], 80, 5000, 6, 0x12);
    for (virtual_network_in_key, flows) in [(true, 3), (false, 1)] {
        let mut world = World::new(Policy { virtual_network_in_key, ..Policy::default() });
        for bytes in [bridged(0, &there), bridged(1, &back), back.clone()] {
            world.packet(&bytes);
        }
        let records = world.end();
        assert_eq!(records.len(), flows);
        let first = records.iter().find(|r| r.packets[0] > 0 && r.sport == 5000).expect("the first flow");
        assert_eq!((first.view, first.get::<Layers>().and_then(|layers| layers.service_instance)), (View::First, Some(0)));
    }
}
