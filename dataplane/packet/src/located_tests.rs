//! What [`located`] accepts, and that [`crate::decapsulate`] finds the same.

use super::*;
use crate::frame_tests::{ENDS6, ETHERNET, V4_TCP, V4_UDP, bytes, frame};
use crate::{Headers, Network, Tunnel, View, decapsulate};

const BEFORE: [&str; 12] = [
    "",
    "8100 a005",
    "88a8 0064 8100 0fff",
    "9100 0001 9200 0002",
    "8100 0000",
    "8847 00064140",
    "8848 00064040 00065040 00066040 00067140",
    "8100 0005 8847 00064040 00065140",
    "88a8 0064 8100 0001 8847 00064140",
    "8864 1100 0007 0040",
    "8100 0005 8864 1100 0007 0040",
    "88a8 0064 8100 0001 8864 1100 0007 0040",
];

/// A frame with an IP packet behind these headers.
fn behind(before: &str, six: bool, packet: &str) -> Vec<u8> {
    let last = before.split(' ').find(|word| ["8847", "8848", "8864"].contains(word));
    let next = match (last, six) {
        (Some("8864"), false) => "0021",
        (Some("8864"), true) => "0057",
        (Some(_), _) => "",
        (None, false) => "0800",
        (None, true) => "86dd",
    };
    bytes(&format!("{ETHERNET} {before} {next} {packet}"))
}

fn v6(protocol: &str, transport: &str) -> String {
    let octets = bytes(transport).len();
    format!("6a112345 {octets:04x} {protocol} 3f {ENDS6} {transport}")
}

const UDP: &str = "0035 d431 0008 0000";
const TCP: &str = "1f90 0050 00000001 00000002 5a12 ffff 0000 0000";

/// IPv4 and IPv6 packets with TCP and UDP.
fn packets() -> [(bool, String); 4] {
    [(false, V4_TCP.to_owned()), (false, V4_UDP.to_owned()), (true, v6("06", TCP)), (true, v6("11", UDP))]
}

/// Whether it accepts a frame; then the general decoder must find the same.
fn accepts(frame: &Frame<'_>, tunnels: &Tunnels) -> bool {
    let Some(found) = located(frame, tunnels) else { return false };
    let packets = decapsulate(frame, tunnels).expect("the fast decoder accepted it");
    assert_eq!((packets.too_deep, packets.unreadable, packets.inner.is_none(), packets.network), (false, false, true, 0));
    let headers: Headers = packets.outer;
    let (network, transport, rest, octets, ip_header) = match found.packet {
        FastIp::V4(p) => (
            Network::V4(p.src.to_be_bytes(), p.dst.to_be_bytes()),
            (p.sport, p.dport, p.tcp_flags),
            (p.protocol, p.ttl, p.tos),
            u32::from(p.octets),
            20,
        ),
        FastIp::V6(p) => (
            Network::V6(p.src.to_be_bytes(), p.dst.to_be_bytes()),
            (p.sport, p.dport, p.tcp_flags),
            (p.protocol, p.ttl, p.tos),
            p.octets,
            40,
        ),
    };
    assert_eq!((headers.network, headers.octets), (network, octets));
    assert_eq!((headers.sport, headers.dport, headers.tcp.map_or(0, |tcp| tcp.flags)), transport);
    assert_eq!((headers.protocol, headers.ttl, headers.tos), rest);
    assert_eq!((headers.l3_offset, headers.l4_offset), (found.l3_offset, found.l3_offset + ip_header));
    let ids = match headers.tags {
        0 => [0; 2],
        1 => [headers.vlan[0], 0],
        _ => headers.vlan,
    };
    assert_eq!((ids, headers.tags < 3), (found.vlan, true));
    assert_eq!((headers.spi, headers.fragment.is_fragment(), headers.transport_truncated(frame)), (0, false, false));
    assert_eq!(headers.tcp.is_some(), headers.protocol == 6);
    true
}

#[test]
fn common_packets_behind_tags_and_labels_are_read_as_the_general_decoder_reads_them() {
    for before in BEFORE {
        for (six, packet) in packets() {
            let whole = behind(before, six, &packet);
            assert!(accepts(&frame(&whole), &Tunnels::default()), "{before} {packet}");
            for end in 0..whole.len() {
                // A frame that ends behind what every packet needs is as good as a whole one, where the wire had all of it.
                let cut = Frame { bytes: &whole[..end], ..frame(&whole) };
                accepts(&cut, &Tunnels::default());
                assert!(!accepts(&frame(&whole[..end]), &Tunnels::default()), "{before} {packet} cut at {end}");
            }
            assert!(!accepts(&Frame { link: Link::RawIp, ..frame(&whole) }, &Tunnels::default()));
        }
    }
}

#[test]
fn uncommon_packets_are_left_to_the_general_decoder() {
    for (why, hex) in [
        ("three tags", format!("8100 0001 8100 0002 8100 0003 0800 {V4_UDP}")),
        ("five labels", format!("8847 {} 00064140 {V4_UDP}", "00064040".repeat(4))),
        ("a stack without a bottom", "8847 00064040".to_owned()),
        ("labels behind PPP", format!("8864 1100 0007 0040 0281 00064140 {V4_UDP}")),
        ("a protocol of one octet", format!("8864 1100 0007 0040 21 {V4_UDP}")),
        ("no session", format!("8864 11a7 0007 0040 0021 {V4_UDP}")),
        ("a pseudowire", format!("8847 00064140 443839000004 020000000003 0800 {V4_UDP}")),
        ("an extension header", format!("86dd 60000000 0010 00 40 {ENDS6} 11000104 00000000 {UDP}")),
        ("a length of 0", format!("86dd 60000000 0000 11 40 {ENDS6} {UDP}")),
        ("no ports", format!("86dd 60000000 0003 11 40 {ENDS6} {UDP}")),
        ("no flags", format!("86dd 60000000 000f 06 40 {ENDS6} {TCP}")),
        ("ICMPv6", format!("86dd 60000000 0008 3a 40 {ENDS6} 8000 0000 0001 0001")),
        ("a tunnel", format!("86dd 60000000 0008 11 40 {ENDS6} c000 12b5 0008 0000")),
        ("another version", format!("86dd 50000000 0008 11 40 {ENDS6} {UDP}")),
    ] {
        let whole = bytes(&format!("{ETHERNET} {hex}"));
        assert!(!accepts(&frame(&whole), &Tunnels::default()), "{why}");
    }
}

#[test]
fn it_agrees_with_the_general_decoder_on_changed_frames() {
    let mut state = 1u64;
    let mut random = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize
    };
    let seeds: Vec<_> =
        BEFORE.iter().flat_map(|before| packets().map(|(six, packet)| behind(before, six, &format!("{packet} 0102030405")))).collect();
    let choices = [Tunnels::default(), Tunnels::new(View::Both, 4), Tunnels::new(View::Inner, 2).with(Tunnel::Vxlan, View::Outer)];
    let mut accepted = vec![0; seeds.len()];
    for turn in 0..400_000 {
        let at = turn % seeds.len();
        let mut changed = seeds[at].clone();
        for _ in 0..random() % 3 {
            // What stands before the addresses says what follows.
            let octet = 12 + random() % (changed.len() - 12);
            changed[octet] = random().to_le_bytes()[0];
        }
        let length = changed.len() - if random() % 4 == 0 { random() % 20 } else { 0 };
        let frame = Frame { bytes: &changed[..length], ..frame(&changed) };
        accepted[at] += usize::from(accepts(&frame, &choices[random() % choices.len()]));
    }
    assert!(accepted.iter().all(|accepted| *accepted > 2_000), "{accepted:?}");
}
