//! One vector per rule; every vector is also cut at every length.

use super::*;
use crate::{EXTENSIONS_MAX, Link, Network, TAGS_MAX, Tunnels, fast4, has_ports};

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).expect("ascii"), 16).expect("hex")).collect()
}

fn frame(bytes: &[u8], link: Link) -> Frame<'_> {
    Frame { bytes, wire_len: u32::try_from(bytes.len()).expect("short"), link, time: 0, port: 1 }
}

/// Decodes `hex` and shows the outcome as "protocol src:port > dst:port octets vlan".
fn show(link: Link, hex: &str) -> String {
    let bytes = bytes(hex);
    for end in 0..bytes.len() {
        // Every prefix is a value or a reason.
        let _ = decode(&frame(&bytes[..end], link));
        let _ = fast4(&frame(&bytes[..end], link), &Tunnels::default());
    }
    match decode(&frame(&bytes, link)) {
        Err(reason) => reason.name().to_owned(),
        Ok(h) => {
            let ends = match h.network {
                Network::None => format!("{:04x}", h.ethertype),
                Network::V4(s, d) => format!("{} > {}", std::net::Ipv4Addr::from(s), std::net::Ipv4Addr::from(d)),
                Network::V6(s, d) => format!("{} > {}", std::net::Ipv6Addr::from(s), std::net::Ipv6Addr::from(d)),
            };
            let flags = h.tcp.map_or(String::new(), |t| format!(" flags {:x}", t.flags));
            let vlan: Vec<u16> = h.vlan.iter().take(usize::from(h.tags)).copied().collect();
            format!(
                "{ends} p{} {}>{} {} octets{flags} vlan {vlan:?} icmp {:?} frag {}",
                h.protocol, h.sport, h.dport, h.octets, h.icmp, h.fragment.offset
            )
        }
    }
}

fn check(link: Link, hex: &str, expected: &str) {
    assert_eq!(show(link, hex), expected, "{hex}");
}

const MACS: &str = "020000000002 020000000001";
const V4_TCP: &str = "45000028 00014000 40060000 0a000001 0a000002 1f90 0050 00000001 00000002 5012 ffff 0000 0000";
const V4_UDP: &str = "45b8001c 00010000 40110000 0a000001 0a000002 0035 d431 0008 0000";
const V6: &str = "20010db8000000000000000000000001 20010db8000000000000000000000002";

#[test]
fn ipv4_with_tcp_and_udp() {
    check(Link::Ethernet, &format!("{MACS} 0800 {V4_TCP}"), "10.0.0.1 > 10.0.0.2 p6 8080>80 40 octets flags 12 vlan [] icmp [0, 0] frag 0");
    check(Link::Ethernet, &format!("{MACS} 0800 {V4_UDP}"), "10.0.0.1 > 10.0.0.2 p17 53>54321 28 octets vlan [] icmp [0, 0] frag 0");
}

#[test]
fn what_stands_behind_the_packet_is_padding() {
    let padding = "1f90 0050 00000001 00000002 5012 ffff 0000 0000";
    let short =
        |protocol: &str, octets: u8| format!("{MACS} 0800 450000{octets:02x} 00014000 40{protocol}0000 0a000001 0a000002 {padding}");
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
        check(Link::Ethernet, &hex, &format!("10.0.0.1 > 10.0.0.2 {expected} frag 0"));
        let bytes = bytes(&hex);
        let frame = frame(&bytes, Link::Ethernet);
        let (headers, fast) = (decode(&frame).expect("a packet"), fast4(&frame, &Tunnels::default()));
        assert_eq!(fast.is_some(), has_ports(headers.protocol) && !headers.transport_truncated(&frame), "{hex}");
    }
    // A payload length of 0 is that of the frame: segmentation offload leaves it.
    let six = format!("{MACS} 86dd 60000000 0000 11 40 {V6} 0035 d431 0008 0000");
    check(Link::Ethernet, &six, "2001:db8::1 > 2001:db8::2 p17 53>54321 48 octets vlan [] icmp [0, 0] frag 0");
}

#[test]
fn vlan_tags_of_every_ethertype_stack() {
    check(
        Link::Ethernet,
        &format!("{MACS} 8100 a005 0800 {V4_UDP}"),
        "10.0.0.1 > 10.0.0.2 p17 53>54321 28 octets vlan [5] icmp [0, 0] frag 0",
    );
    check(
        Link::Ethernet,
        &format!("{MACS} 88a8 0064 8100 0fff 0800 {V4_UDP}"),
        "10.0.0.1 > 10.0.0.2 p17 53>54321 28 octets vlan [100, 4095] icmp [0, 0] frag 0",
    );
    let tower = "8100 0001 ".repeat(usize::from(TAGS_MAX));
    check(
        Link::Ethernet,
        &format!("{MACS} {tower} 0800 {V4_UDP}"),
        "10.0.0.1 > 10.0.0.2 p17 53>54321 28 octets vlan [1, 1] icmp [0, 0] frag 0",
    );
    check(Link::Ethernet, &format!("{MACS} {tower} 8100 0001 0800 {V4_UDP}"), "too_many_tags");
    check(Link::Ethernet, &format!("{MACS} 8100 0001"), "vlan_truncated");
}

#[test]
fn ip_behind_labels_may_look_like_an_address_and_a_type() {
    // From 8.0.69.1: its first octets stand where an ethertype would, and a version where one would.
    let (udp, ends) = ("0035 d431 0008 0000", "08004501 0a000002");
    let expected = "8.0.69.1 > 10.0.0.2 p17 53>54321 28 octets vlan [] icmp [0, 0] frag 0";
    // Right length and no checksum, as offload leaves it; right checksum and padding.
    check(Link::Ethernet, &format!("{MACS} 8847 00064140 4500001c 00000000 40110000 {ends} {udp}"), expected);
    check(Link::Ethernet, &format!("{MACS} 8847 00064140 4500001c 00000000 401123cf {ends} {udp} 00000000"), expected);
    let (from, to) = ("20010db80800450000000000 00000001", "20010db8000000000000000000000002");
    let six = format!("{MACS} 8847 00064140 60000000 0008 11 40 {from} {to} {udp}");
    check(Link::Ethernet, &six, "2001:db8:800:4500::1 > 2001:db8::2 p17 53>54321 48 octets vlan [] icmp [0, 0] frag 0");
}

#[test]
fn tags_and_labels_of_every_kind_are_passed_over() {
    let expected = "10.0.0.1 > 10.0.0.2 p17 53>54321 28 octets vlan [] icmp [0, 0] frag 0";
    for before in [
        "8847 00064140",
        "8848 00064040 00065140",
        "8864 1100 0007 001e 0021",
        "8864 1100 0007 001d 21",
        "0024 aaaa 03 000000 0800",
        "8926 00010002 0800",
        "893f 000100020003 0800",
        "8903 0040 020000000004 020000000003 0800",
        "894f 0fc2 0101 00000101",
        "894f 0fc2 0103 00000101 020000000004 020000000003 0800",
        "8847 00064140 00000000 020000000004 020000000003 0800",
        "8847 00064140 120000000004 020000000003 0800",
        // RFC 4928 section 3: an address that begins like IP.
        "8847 00064140 443839000004 020000000003 0800",
        "8847 00064140 6c626d000004 020000000003 0800",
    ] {
        // The network service header says how long it is in its second octet.
        let before = before.replace("0fc2 0101", "0002 0101").replace("0fc2 0103", "0002 0103");
        check(Link::Ethernet, &format!("{MACS} {before} {V4_UDP}"), expected);
    }
    check(Link::Ethernet, &format!("{MACS} 8847 000640"), "mpls_truncated");
    check(Link::Ethernet, &format!("{MACS} 8847 {} {V4_UDP}", "00064040".repeat(30)), "too_many_tags");
    check(Link::Ethernet, &format!("{MACS} 8864 1100 0007"), "pppoe_truncated");
    check(Link::Ethernet, &format!("{MACS} 894f 0fc6 0101 0000"), "nsh_truncated");
    check(Link::Ethernet, &format!("{MACS} 8926 0001"), "vlan_truncated");
    check(Link::Ethernet, &format!("{MACS} 8864 1100 0007 0004 c021 0102"), "8864 p0 0>0 2 octets vlan [] icmp [0, 0] frag 0");
    check(Link::Ethernet, &format!("{MACS} 8847 00064140 f000"), "8847 p0 0>0 2 octets vlan [] icmp [0, 0] frag 0");
}

#[test]
fn other_links_carry_the_same_packets() {
    let expected = "10.0.0.1 > 10.0.0.2 p17 53>54321 28 octets vlan [] icmp [0, 0] frag 0";
    check(Link::RawIp, V4_UDP, expected);
    check(Link::LinuxSll, &format!("0000 0001 0006 020000000001 0000 0800 {V4_UDP}"), expected);
    check(Link::LinuxSll2, &format!("0800 0000 00000002 0001 00 06 020000000001 0000 {V4_UDP}"), expected);
    check(Link::Null, &format!("02000000 {V4_UDP}"), expected);
    check(Link::Null, &format!("00000002 {V4_UDP}"), expected);
    check(Link::RawIp, "50", "unknown_ip_version");
    check(Link::RawIp, "", "link_truncated");
    check(Link::Null, "000000", "link_truncated");
}

#[test]
fn frames_without_ip_are_values() {
    check(Link::Ethernet, &format!("{MACS} 0806 0001"), "0806 p0 0>0 2 octets vlan [] icmp [0, 0] frag 0");
    check(Link::Ethernet, &format!("{MACS} 0027 4242"), "0027 p0 0>0 2 octets vlan [] icmp [0, 0] frag 0");
    check(Link::Unknown, "0102", "0000 p0 0>0 2 octets vlan [] icmp [0, 0] frag 0");
    check(Link::Ethernet, "0102", "link_truncated");
}

#[test]
fn ipv4_faults_have_their_reasons() {
    check(Link::Ethernet, &format!("{MACS} 0800 45000028"), "ipv4_truncated");
    check(Link::Ethernet, &format!("{MACS} 0800 55{}", &V4_UDP[2..]), "ipv4_bad_version");
    check(Link::Ethernet, &format!("{MACS} 0800 44{}", &V4_UDP[2..]), "ipv4_bad_header_length");
    check(Link::Ethernet, &format!("{MACS} 0800 45b80013{}", &V4_UDP[8..]), "ipv4_bad_total_length");
}

#[test]
fn total_length_of_zero_is_what_the_wire_says() {
    check(
        Link::Ethernet,
        &format!("{MACS} 0800 45b80000{}", &V4_UDP[8..]),
        "10.0.0.1 > 10.0.0.2 p17 53>54321 28 octets vlan [] icmp [0, 0] frag 0",
    );
}

#[test]
fn options_are_passed_over_and_a_later_fragment_has_no_ports() {
    check(
        Link::RawIp,
        "46000020 00010000 40110000 0a000001 0a000002 01010100 0035 d431 0008 0000",
        "10.0.0.1 > 10.0.0.2 p17 53>54321 32 octets vlan [] icmp [0, 0] frag 0",
    );
    check(
        Link::RawIp,
        "4500001c 00012001 40110000 0a000001 0a000002 0035 d431 0008 0000",
        "10.0.0.1 > 10.0.0.2 p17 0>0 28 octets vlan [] icmp [0, 0] frag 8",
    );
}

#[test]
fn icmp_type_and_code() {
    check(
        Link::RawIp,
        "4500001c 00010000 40010000 0a000001 0a000002 0301 0000 00000000",
        "10.0.0.1 > 10.0.0.2 p1 0>0 28 octets vlan [] icmp [3, 1] frag 0",
    );
    check(
        Link::RawIp,
        &format!("60000000 0008 3a ff {V6} 8700 0000 00000000"),
        "2001:db8::1 > 2001:db8::2 p58 0>0 48 octets vlan [] icmp [135, 0] frag 0",
    );
}

#[test]
fn ipv6_extension_headers_are_passed_over() {
    let chain = "2b00 000000000000 3c00 000000000000 3302 000000000000 3301 0000 00000000 00000000 1101 0000 00000000 00000000";
    // hop-by-hop -> routing -> destination -> (a second destination) would be legal; here AH twice, then UDP.
    check(
        Link::RawIp,
        &format!("60000000 0040 00 40 {V6} 3c00 000000000000 3300 000000000000 1101 0000 00000000 00000000 0035 d431 0008 0000"),
        "2001:db8::1 > 2001:db8::2 p17 53>54321 104 octets vlan [] icmp [0, 0] frag 0",
    );
    assert!(show(Link::RawIp, &format!("60000000 0040 00 40 {V6} {chain}")).starts_with("2001:db8::1 > 2001:db8::2"));
    check(
        Link::RawIp,
        &format!("60000000 0010 2c 40 {V6} 1100 0001 00000007 0035 d431 0008 0000"),
        "2001:db8::1 > 2001:db8::2 p17 53>54321 56 octets vlan [] icmp [0, 0] frag 0",
    );
    check(
        Link::RawIp,
        &format!("60000000 0010 2c 40 {V6} 1100 0010 00000007 0035 d431 0008 0000"),
        "2001:db8::1 > 2001:db8::2 p17 0>0 56 octets vlan [] icmp [0, 0] frag 16",
    );
    let endless = "0000 000000000000 ".repeat(usize::from(EXTENSIONS_MAX) + 1);
    check(Link::RawIp, &format!("60000000 0100 00 40 {V6} {endless}"), "too_many_extensions");
    check(Link::RawIp, "60000000 0100", "ipv6_truncated");
    check(Link::Ethernet, &format!("{MACS} 86dd 50000000 0000 3b 40 {V6}"), "ipv6_bad_version");
}

#[test]
fn every_reason_has_a_name_of_its_own() {
    let mut names: Vec<&str> = Malformed::ALL.iter().map(|r| r.name()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), Malformed::ALL.len());
    for (at, reason) in Malformed::ALL.iter().enumerate() {
        assert_eq!(*reason as usize, at);
    }
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
        bytes(&format!("{MACS} 0800 {V4_TCP} 000102030405")),
        bytes(&format!("{MACS} 0800 {V4_UDP} 000102030405060708090a0b0c0d0e0f1011")),
    ];
    let mut accepted = 0;
    for turn in 0..200_000 {
        let mut frame_bytes = seeds[turn % 2].clone();
        for _ in 0..random() % 3 {
            let at = random() % frame_bytes.len();
            frame_bytes[at] = random().to_le_bytes()[0];
        }
        let frame = frame(&frame_bytes, Link::Ethernet);
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

/// IPv4 that carries IPv6's fragment header: receivers differ in what they make of it, the flow is that of what it carries.
#[test]
fn extension_headers_in_ipv4_are_passed_over() {
    let mut bytes = vec![2u8; 12];
    bytes.extend([8, 0, 0x45, 0, 0, 40, 0, 1, 0, 0, 64, 44, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
    bytes.extend([17, 0, 0, 0, 0, 0, 0, 9]);
    bytes.extend([0, 53, 1, 0, 0, 12, 0, 0]);
    fn frame(bytes: &[u8]) -> Frame<'_> {
        Frame { bytes, wire_len: 60, link: Link::Ethernet, time: 0, port: 0 }
    }
    let headers = decode(&frame(&bytes)).unwrap();
    assert_eq!((headers.protocol, headers.sport, headers.dport, headers.fragment.is_fragment()), (17, 53, 256, false));
    for cut in 34..42 {
        assert_eq!(decode(&frame(&bytes[..cut])).unwrap().protocol, 44, "{cut}");
    }
    // A later fragment in IPv6's sense: what follows is not a header.
    bytes[37] = 8;
    assert_eq!(decode(&frame(&bytes)).map(|h| (h.protocol, h.sport)), Ok((17, 0)));
    // The mobility header is what the packet carries (RFC 6275 section 6.1.1), not an extension before it.
    bytes[23] = 135;
    assert_eq!(decode(&frame(&bytes)).unwrap().protocol, 135);
}
