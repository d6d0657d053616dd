//! What [`inner4`] accepts, and that [`crate::decapsulate`] finds the same.

use super::*;
use crate::{Network, Tunnel, View, decapsulate};

/// What stands behind an IPv4 header of this protocol and this number of octets.
fn ipv4(protocol: u8, [src, dst]: [[u8; 4]; 2], carried: &[u8]) -> Vec<u8> {
    let [high, low] = u16::try_from(20 + carried.len()).expect("short").to_be_bytes();
    [&[0x45, 0xb8, high, low, 0, 1, 0x40, 0, 61, protocol, 0, 0], src.as_slice(), &dst, carried].concat()
}

fn udp(dport: u16, carried: &[u8]) -> Vec<u8> {
    let length = u16::try_from(8 + carried.len()).expect("short").to_be_bytes();
    let ports = [0xc000u16.to_be_bytes(), dport.to_be_bytes()].concat();
    ipv4(17, [[192, 0, 2, 1], [192, 0, 2, 2]], &[ports.as_slice(), &length, &[0, 0], carried].concat())
}

fn ethernet(packet: &[u8]) -> Vec<u8> {
    [&[2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0], packet].concat()
}

/// TCP or UDP between two hosts.
fn inside(protocol: u8) -> Vec<u8> {
    let carried = [0x9c, 0x40, 0, 53, 0, 20, 0, 1, 0, 0, 0, 7, 0x51, 0x18, 0xff, 0xff, 0, 0, 0, 0];
    ipv4(protocol, [[10, 0, 0, 2], [10, 0, 0, 1]], &carried)
}

/// A frame for each way that leads to the packet, by the kind of its tunnel.
fn frames(inside: &[u8]) -> Vec<(Tunnel, Vec<u8>)> {
    let frame = ethernet(inside);
    let with = |header: &[u8], carried: &[u8]| [header, carried].concat();
    let gre = |header: &[u8], carried: &[u8]| ipv4(47, [[192, 0, 2, 1], [192, 0, 2, 2]], &with(header, carried));
    let packets = [
        (Tunnel::Vxlan, udp(4789, &with(&[8, 0, 0, 0, 0, 0, 123, 0], &frame))),
        (Tunnel::Vxlan, udp(8472, &with(&[8, 0, 0, 0, 0xff, 0xff, 0xff, 0], &frame))),
        (Tunnel::VxlanGpe, udp(4790, &with(&[12, 0, 0, 1, 0, 0, 124, 0], inside))),
        (Tunnel::Geneve, udp(6081, &with(&[0, 0, 0x65, 0x58, 0, 0, 125, 0], &frame))),
        (Tunnel::Geneve, udp(6081, &with(&[2, 0, 8, 0, 0, 0, 126, 0, 1, 2, 3, 1, 5, 6, 7, 8], inside))),
        (Tunnel::GtpU, udp(2152, &with(&[0x30, 255, 0, 40, 0, 0, 0, 127], inside))),
        (Tunnel::GtpU, udp(2152, &with(&[0x34, 255, 0, 48, 0, 0, 0, 128, 0, 0, 0, 0x85, 1, 16, 0, 0], inside))),
        (Tunnel::Gre, gre(&[0, 0, 8, 0], inside)),
        (Tunnel::Gre, gre(&[0x20, 0, 0x65, 0x58, 0, 0, 0, 129], &frame)),
        (Tunnel::Nvgre, gre(&[0x20, 0, 0x65, 0x58, 0, 0x12, 0x34, 1], &frame)),
        (Tunnel::Erspan, gre(&[0x10, 0, 0x88, 0xbe, 0, 0, 0, 1, 0x10, 1, 0, 130, 0, 0, 0, 0], &frame)),
        (Tunnel::IpInIp, ipv4(4, [[192, 0, 2, 1], [192, 0, 2, 2]], inside)),
    ];
    let tagged = |tags: &[u8], frame: &[u8]| [&frame[..12], tags, &frame[12..]].concat();
    let plain: Vec<_> = packets.into_iter().map(|(kind, packet)| (kind, ethernet(&packet))).collect();
    let one = plain.iter().map(|(kind, frame)| (*kind, tagged(&[0x81, 0, 0xa0, 5], frame)));
    let two = plain.iter().map(|(kind, frame)| (*kind, tagged(&[0x88, 0xa8, 0, 100, 0x81, 0, 15, 255], frame)));
    one.chain(two).chain(plain.clone()).collect()
}

fn frame(bytes: &[u8]) -> Frame<'_> {
    Frame { bytes, wire_len: u32::try_from(bytes.len()).expect("short") + 3, link: Link::Ethernet, time: 0, port: 1 }
}

/// Whether it accepts a frame; then the general decoder must find the same.
fn accepts(frame: &Frame<'_>, tunnels: &Tunnels) -> bool {
    let Some(found) = inner4(frame, tunnels) else { return false };
    let packets = decapsulate(frame, tunnels).expect("the fast decoder accepted it");
    assert_eq!((packets.too_deep, packets.unreadable), (false, false));
    let inner = packets.inner.expect("a packet in a tunnel");
    let (headers, packet, packet_vlan) = (inner.headers, found.packet, found.vlan);
    let ends = Network::V4(packet.src.to_be_bytes(), packet.dst.to_be_bytes());
    assert_eq!((inner.keep_outer, inner.network), (false, found.network));
    assert_eq!((headers.network, headers.sport, headers.dport), (ends, packet.sport, packet.dport));
    assert_eq!((headers.protocol, headers.ttl, headers.tos), (packet.protocol, packet.ttl, packet.tos));
    assert_eq!((headers.octets, headers.tcp.map_or(0, |tcp| tcp.flags)), (u32::from(packet.octets), packet.tcp_flags));
    assert_eq!((headers.l4_offset, headers.l3_offset), (found.l4_offset, found.l4_offset - 20));
    assert_eq!((headers.vlan, headers.tags < 3, headers.spi, headers.fragment.is_fragment()), (packet_vlan, true, 0, false));
    assert_eq!((headers.tcp.is_some(), headers.transport_truncated(frame)), (packet.protocol == 6, false));
    true
}

#[test]
fn common_packets_in_one_tunnel_are_read_as_the_general_decoder_reads_them() {
    for (protocol, (kind, bytes)) in
        [6, 17].into_iter().flat_map(|protocol| frames(&inside(protocol)).into_iter().map(move |f| (protocol, f)))
    {
        let accepted = |tunnels: &Tunnels| accepts(&frame(&bytes), tunnels);
        assert!(accepted(&Tunnels::default()), "{kind:?} {protocol}");
        assert!(accepted(&Tunnels::new(View::Inner, 1)), "{kind:?} {protocol}");
        assert!(accepted(&Tunnels::new(View::Both, 4).with(kind, View::Inner)), "{kind:?} {protocol}");
        // What the operator wants of this kind is no matter of the inner flow alone.
        for other in [Tunnels::new(View::Inner, 0), Tunnels::default().with(kind, View::Both), Tunnels::default().with(kind, View::Outer)] {
            assert!(!accepted(&other), "{kind:?} {protocol} {other:?}");
        }
        for end in 0..bytes.len() {
            assert!(!accepts(&frame(&bytes[..end]), &Tunnels::default()), "{kind:?} cut at {end}");
        }
        let raw = Frame { link: Link::RawIp, ..frame(&bytes) };
        assert!(!accepts(&raw, &Tunnels::default()));
    }
}

#[test]
fn uncommon_packets_in_a_tunnel_are_left_to_the_general_decoder() {
    let vxlan = |packet: &[u8]| ethernet(&udp(4789, &[&[8, 0, 0, 0, 0, 0, 123, 0], ethernet(packet).as_slice()].concat()));
    let common = vxlan(&inside(17));
    assert!(accepts(&frame(&common), &Tunnels::default()));
    for (why, at, octets) in [
        ("no I flag", 42, &[0][..]),
        ("a fragment", 20, &[0x20]),
        ("options", 14, &[0x46]),
        ("it ends before what it carries", 16, &[0, 36]),
        ("a tag inside", 62, &[0x81, 0]),
        ("options inside", 64, &[0x46]),
        ("a fragment inside", 70, &[0x20]),
        ("neither TCP nor UDP inside", 73, &[47]),
        ("another tunnel inside", 86, &[0x12, 0xb5]),
        ("no ports inside", 66, &[0, 23]),
    ] {
        let mut bytes = common.clone();
        bytes[at..at + octets.len()].copy_from_slice(octets);
        assert!(!accepts(&frame(&bytes), &Tunnels::default()), "{why}");
    }
}

#[test]
fn it_agrees_with_the_general_decoder_on_changed_frames() {
    let mut state = 1u64;
    let mut random = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize
    };
    let seeds: Vec<_> = [6, 17].into_iter().flat_map(|protocol| frames(&inside(protocol))).collect();
    let choices = [Tunnels::default(), Tunnels::new(View::Inner, 1), Tunnels::new(View::Both, 4).with(Tunnel::Vxlan, View::Inner)];
    let mut accepted = [0; Tunnel::ALL.len()];
    for turn in 0..300_000 {
        let (kind, seed) = &seeds[turn % seeds.len()];
        let mut bytes = seed.clone();
        for _ in 0..random() % 3 {
            let at = random() % bytes.len();
            bytes[at] = random().to_le_bytes()[0];
        }
        accepted[*kind as usize] += usize::from(accepts(&frame(&bytes), &choices[random() % choices.len()]));
    }
    for (kind, _) in seeds {
        assert!(accepted[kind as usize] > 5_000, "{kind:?}: {accepted:?}");
    }
}
