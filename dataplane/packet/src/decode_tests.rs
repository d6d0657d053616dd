//! What holds of the sequence of headers, whatever protocols they are of.

use super::*;
use crate::frame_tests::{ENDS6, ETHERNET, V4_TCP, V4_UDP, bytes, check_frame, frame};
use crate::{Network, Tunnels, fast4, has_ports};

#[test]
fn what_stands_behind_the_packet_is_padding() {
    let padding = "1f90 0050 00000001 00000002 5012 ffff 0000 0000";
    let short =
        |protocol: &str, octets: u8| format!("{ETHERNET} 0800 450000{octets:02x} 00014000 40{protocol}0000 0a000001 0a000002 {padding}");
    let cases = [
        (short("06", 20), "p6 0>0 20 octets vlan [] icmp [0, 0]"),
        (short("06", 35), "p6 8080>80 35 octets vlan [] icmp [0, 0]"),
        (short("06", 36), "p6 8080>80 36 octets flags 12 vlan [] icmp [0, 0]"),
        (short("11", 23), "p17 0>0 23 octets vlan [] icmp [0, 0]"),
        (short("11", 24), "p17 8080>80 24 octets vlan [] icmp [0, 0]"),
        (short("01", 21), "p1 0>0 21 octets vlan [] icmp [0, 0]"),
        (short("01", 22), "p1 0>0 22 octets vlan [] icmp [31, 144]"),
    ];
    for (hex, expected) in cases {
        check_frame(Link::Ethernet, &hex, &format!("10.0.0.1 > 10.0.0.2 {expected} frag 0"));
        let bytes = bytes(&hex);
        let frame = frame(&bytes);
        let (headers, fast) = (decode(&frame).expect("a packet"), fast4(&frame, &Tunnels::default()));
        assert_eq!(fast.is_some(), has_ports(headers.protocol) && !headers.transport_truncated(&frame), "{hex}");
    }
    // A payload length of 0 is that of the frame: segmentation offload leaves it.
    let six = format!("{ETHERNET} 86dd 60000000 0000 11 40 {ENDS6} 0035 d431 0008 0000");
    check_frame(Link::Ethernet, &six, "2001:db8::1 > 2001:db8::2 p17 53>54321 48 octets vlan [] icmp [0, 0] frag 0");
}

#[test]
fn frames_without_ip_are_values() {
    check_frame(Link::Ethernet, &format!("{ETHERNET} 0806 0001"), "0806 p0 0>0 2 octets vlan [] icmp [0, 0] frag 0");
    check_frame(Link::Ethernet, &format!("{ETHERNET} 0027 4242"), "0027 p0 0>0 2 octets vlan [] icmp [0, 0] frag 0");
    check_frame(Link::Unknown, "0102", "0000 p0 0>0 2 octets vlan [] icmp [0, 0] frag 0");
    check_frame(Link::Ethernet, "0102", "link_truncated");
}

/// Random changes to good frames: whatever the fast decoder accepts, the general one reads the same way.
#[test]
fn the_fast_decoder_agrees_with_the_general_one() {
    let mut state = 1u64;
    let mut random = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize
    };
    let seeds = [
        bytes(&format!("{ETHERNET} 0800 {V4_TCP} 000102030405")),
        bytes(&format!("{ETHERNET} 0800 {V4_UDP} 000102030405060708090a0b0c0d0e0f1011")),
    ];
    let mut accepted = 0;
    for turn in 0..200_000 {
        let mut frame_bytes = seeds[turn % 2].clone();
        for _ in 0..random() % 3 {
            let at = random() % frame_bytes.len();
            frame_bytes[at] = random().to_le_bytes()[0];
        }
        let frame = frame(&frame_bytes);
        let Some(fast) = fast4(&frame, &Tunnels::default()) else { continue };
        accepted += 1;
        let slow = decode(&frame).expect("the fast decoder accepted it");
        let Network::V4(src, dst) = slow.network else { panic!("not IPv4") };
        assert_eq!((fast.src, fast.dst), (u32::from_be_bytes(src), u32::from_be_bytes(dst)));
        assert_eq!(
            (fast.sport, fast.dport, fast.protocol, fast.ttl, fast.tos),
            (slow.sport, slow.dport, slow.protocol, slow.ttl, slow.tos)
        );
        assert_eq!((u32::from(fast.octets), fast.tcp_flags), (slow.octets, slow.tcp.map_or(0, |t| t.flags)));
        assert_eq!((slow.tags, slow.fragment.is_fragment()), (0, false));
    }
    assert!(accepted > 100_000, "{accepted}");
}
