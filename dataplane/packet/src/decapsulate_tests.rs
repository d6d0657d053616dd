//! One vector a kind of tunnel, and every vector cut at every length.

use super::*;
use crate::{Arp, Link, Network, SegmentRouting, Tunnel, View};
use std::net::{Ipv4Addr, Ipv6Addr};

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).expect("ascii"), 16).expect("hex")).collect()
}

fn frame(bytes: &[u8]) -> Frame<'_> {
    Frame { bytes, wire_len: u32::try_from(bytes.len()).expect("short"), link: Link::Ethernet, time: 0, port: 1 }
}

const ETHERNET: &str = "020000000002 020000000001";
const INNER_ETHERNET: &str = "040000000002 040000000001";
/// 10.0.0.1:53 > 10.0.0.2:54321.
const INNER4: &str = "4500001c 00010000 40110000 0a000001 0a000002 0035 d431 0008 0000";
/// 2001:db8::1:53 > 2001:db8::2:54321.
const INNER6: &str = "60012345 0008 11 40 20010db8000000000000000000000001 20010db8000000000000000000000002 0035 d431 0008 0000";

/// An IPv4 header from 192.0.2.1 to 192.0.2.2 with what it carries.
fn ipv4(protocol: u8, carried: &str) -> String {
    let octets = 20 + bytes(carried).len();
    format!("{ETHERNET} 0800 4500{octets:04x} 00004000 40{protocol:02x}0000 c0000201 c0000202 {carried}")
}

fn udp(port: u16, carried: &str) -> String {
    ipv4(17, &format!("c000 {port:04x} {:04x} 0000 {carried}", 8 + bytes(carried).len()))
}

/// Metered headers of the inner packet, with the names and the identifier of its tunnels.
fn show(hex: &str, tunnels: &Tunnels) -> String {
    let bytes = bytes(hex);
    for end in 0..bytes.len() {
        // Every prefix is a value or a reason.
        let _ = decapsulate(&frame(&bytes[..end]), tunnels);
        let _ = layers(&frame(&bytes[..end]), tunnels, true);
    }
    let frame = frame(&bytes);
    let packets = decapsulate(&frame, tunnels).expect("an outer packet");
    let (metered, layers) = layers(&frame, tunnels, true).expect("an outer packet");
    let headers = packets.inner.map_or(packets.outer, |inner| inner.headers);
    assert_eq!(metered, headers, "layers() sees what decapsulate() sees");
    let ends = match headers.network {
        Network::V4(s, d) => format!("{} > {}", Ipv4Addr::from(s), Ipv4Addr::from(d)),
        Network::V6(s, d) => format!("{} > {}", Ipv6Addr::from(s), Ipv6Addr::from(d)),
        Network::None => "no ip".to_owned(),
    };
    let names: Vec<_> = layers.tunnel_names().collect();
    let more = [("too deep", packets.too_deep), ("unreadable", packets.unreadable)];
    let more: String = more.iter().filter(|(_, is)| *is).map(|(name, _)| format!(" {name}")).collect();
    format!("{} {} {ends} p{} {}>{}{more}", names.join("/"), layers.tunnel_id.unwrap_or(0), headers.protocol, headers.sport, headers.dport)
}

fn check(hex: &str, expected: &str) {
    assert_eq!(show(hex, &Tunnels::default()), expected, "{hex}");
}

const UDP4: &str = "10.0.0.1 > 10.0.0.2 p17 53>54321";
const UDP6: &str = "2001:db8::1 > 2001:db8::2 p17 53>54321";

#[test]
fn ip_in_ip_names_both_versions() {
    check(&ipv4(4, INNER4), &format!("4in4 0 {UDP4}"));
    check(&ipv4(41, INNER6), &format!("6in4 0 {UDP6}"));
    let outer6 = |next: &str, carried: &str| {
        let octets = bytes(carried).len();
        format!(
            "{ETHERNET} 86dd 60000000 {octets:04x} {next} 40 fd000000000000000000000000000001 fd000000000000000000000000000002 {carried}"
        )
    };
    check(&outer6("04", INNER4), &format!("4in6 0 {UDP4}"));
    check(&outer6("29", INNER6), &format!("6in6 0 {UDP6}"));
}

#[test]
fn gre_with_every_optional_field() {
    check(&ipv4(47, &format!("0000 0800 {INNER4}")), &format!("gre 0 {UDP4}"));
    check(&ipv4(47, &format!("b000 86dd 00000000 00000007 00000001 {INNER6}")), &format!("gre 7 {UDP6}"));
    check(&ipv4(47, &format!("4000 0800 00000000 0002 0004 0a0b0c0d 0000 0000 {INNER4}")), &format!("gre 0 {UDP4}"));
    check(&ipv4(47, &format!("3001 880b 0020 0009 00000001 ff03 0021 {INNER4}")), &format!("gre 9 {UDP4}"));
    check(&ipv4(47, &format!("0000 8847 00064140 00000000 {INNER_ETHERNET} 0800 {INNER4}")), &format!("gre 0 {UDP4}"));
    check(&ipv4(47, &format!("0000 883e {INNER4}")), &format!("gre 0 {UDP4}"));
    check(&ipv4(47, &format!("0000 883e 01020304 {INNER4}")), &format!("gre 0 {UDP4}"));
    // Version 2 does not exist; an acknowledgement of version 1 carries nothing.
    check(&ipv4(47, "0002 0800 4500"), " 0 192.0.2.1 > 192.0.2.2 p47 0>0");
    check(&ipv4(47, "2081 880b 0000 0009 00000001"), " 0 192.0.2.1 > 192.0.2.2 p47 0>0");
}

#[test]
fn nvgre_and_erspan_are_kinds_of_gre() {
    check(&ipv4(47, &format!("2000 6558 00123401 {INNER_ETHERNET} 0800 {INNER4}")), &format!("nvgre 4660 {UDP4}"));
    check(&ipv4(47, &format!("0000 6558 {INNER_ETHERNET} 0800 {INNER4}")), &format!("gre 0 {UDP4}"));
    // RFC 7637 section 3.2: the first 4096 virtual subnets are reserved; a sequence number is none of NVGRE's.
    check(&ipv4(47, &format!("2000 6558 00100000 {INNER_ETHERNET} 0800 {INNER4}")), &format!("nvgre 4096 {UDP4}"));
    check(&ipv4(47, &format!("2000 6558 000fffff {INNER_ETHERNET} 0800 {INNER4}")), &format!("gre 1048575 {UDP4}"));
    check(&ipv4(47, &format!("3000 6558 00123401 00000001 {INNER_ETHERNET} 0800 {INNER4}")), &format!("gre 1192961 {UDP4}"));
    check(&ipv4(47, &format!("0000 88be {INNER_ETHERNET} 0800 {INNER4}")), &format!("gre+erspan 0 {UDP4}"));
    check(&ipv4(47, &format!("1000 88be 00000001 1001 0064 00000000 {INNER_ETHERNET} 0800 {INNER4}")), &format!("gre+erspan 100 {UDP4}"));
    let three = "1000 22eb 00000001 2001 0065 00000000 0000";
    check(&ipv4(47, &format!("{three} 0000 {INNER_ETHERNET} 0800 {INNER4}")), &format!("gre+erspan 101 {UDP4}"));
    check(&ipv4(47, &format!("{three} 0001 0000000000000000 {INNER_ETHERNET} 0800 {INNER4}")), &format!("gre+erspan 101 {UDP4}"));
    check(&ipv4(47, &format!("{three} 0800 {INNER4}")), &format!("gre+erspan 101 {UDP4}"));
}

#[test]
fn vxlan_and_its_extension() {
    let inside = format!("{INNER_ETHERNET} 0800 {INNER4}");
    check(&udp(4789, &format!("08000000 00007b00 {inside}")), &format!("vxlan 123 {UDP4}"));
    check(&udp(8472, &format!("08000000 00007b00 {INNER_ETHERNET} 8100 0005 86dd {INNER6}")), &format!("vxlan 123 {UDP6}"));
    check(&udp(4790, &format!("0c000001 00007b00 {INNER4}")), &format!("vxlan-gpe 123 {UDP4}"));
    check(&udp(4790, &format!("0c000002 00007b00 {INNER6}")), &format!("vxlan-gpe 123 {UDP6}"));
    check(&udp(4790, &format!("0c000003 00007b00 {inside}")), &format!("vxlan-gpe 123 {UDP4}"));
    // RFC 7348 section 5: without the I flag there is no network.
    check(&udp(4789, &format!("00000000 00007b00 {inside}")), " 0 192.0.2.1 > 192.0.2.2 p17 49152>4789");
    // A frame without IP is no flow of its own.
    check(&udp(4789, &format!("08000000 00007b00 {INNER_ETHERNET} 0806 0001")), "vxlan 123 192.0.2.1 > 192.0.2.2 p17 49152>4789");
}

#[test]
fn geneve_with_options() {
    check(&udp(6081, &format!("0000 6558 00007b00 {INNER_ETHERNET} 0800 {INNER4}")), &format!("geneve 123 {UDP4}"));
    check(&udp(6081, &format!("0240 86dd 00007b00 0102030405060708 {INNER6}")), &format!("geneve 123 {UDP6}"));
    check(&udp(6081, &format!("4000 0800 00007b00 {INNER4}")), " 0 192.0.2.1 > 192.0.2.2 p17 49152>6081");
}

#[test]
fn gtp_user_plane_with_extension_headers() {
    check(&udp(2152, &format!("30ff 001c 0000007b {INNER4}")), &format!("gtp 123 {UDP4}"));
    check(&udp(2152, &format!("32ff 0020 0000007b 00010000 {INNER4}")), &format!("gtp 123 {UDP4}"));
    check(&udp(2152, &format!("34ff 0028 0000007b 00000085 01100000 {INNER6}")), &format!("gtp 123 {UDP6}"));
    check(&udp(3386, &format!("1eff 001c 0001 0002 ff ffffff 000000000000007b {INNER4}")), &format!("gtp 123 {UDP4}"));
    // An echo request carries nothing.
    check(&udp(2152, "3201 0004 00000000 00010000"), " 0 192.0.2.1 > 192.0.2.2 p17 49152>2152");
    check(&udp(2152, "30ff 001c 0000007b 1234"), "gtp 123 192.0.2.1 > 192.0.2.2 p17 49152>2152 unreadable");
}

#[test]
fn teredo_with_both_indications() {
    check(&udp(3544, INNER6), &format!("teredo 0 {UDP6}"));
    check(&udp(3544, &format!("0000 1234 01020304 {INNER6}")), &format!("teredo 0 {UDP6}"));
    check(&udp(3544, &format!("0001 0000 0102030405060708 00 0000 1234 01020304 {INNER6}")), &format!("teredo 0 {UDP6}"));
    check(&udp(3544, "0102"), " 0 192.0.2.1 > 192.0.2.2 p17 49152>3544");
}

#[test]
fn l2tp_of_both_versions() {
    check(&udp(1701, &format!("0002 0001 0002 ff03 0021 {INNER4}")), &format!("l2tp 65538 {UDP4}"));
    check(&udp(1701, &format!("4a02 0030 0001 0002 0000 0000 0002 0000 57 {INNER6}")), &format!("l2tp 65538 {UDP6}"));
    check(&udp(1701, &format!("0003 0000 00000007 {INNER_ETHERNET} 0800 {INNER4}")), &format!("l2tp 7 {UDP4}"));
    check(&ipv4(115, &format!("00000007 11223344 {INNER_ETHERNET} 0800 {INNER4}")), &format!("l2tp 7 {UDP4}"));
    check(&udp(1701, "c802 000c 0001 0000 0000 0000"), " 0 192.0.2.1 > 192.0.2.2 p17 49152>1701");
}

#[test]
fn mpls_in_ip_and_etherip() {
    check(&ipv4(137, &format!("00064140 {INNER4}")), &format!("mpls-in-ip 0 {UDP4}"));
    check(&udp(6635, &format!("00064040 00065140 {INNER6}")), &format!("mpls-in-ip 0 {UDP6}"));
    check(&ipv4(97, &format!("3000 {INNER_ETHERNET} 0800 {INNER4}")), &format!("etherip 0 {UDP4}"));
    check(&ipv4(143, &format!("{INNER_ETHERNET} 86dd {INNER6}")), &format!("etherip 0 {UDP6}"));
}

#[test]
fn gre_in_udp() {
    check(&udp(4754, &format!("0000 0800 {INNER4}")), &format!("gre 0 {UDP4}"));
    check(&udp(4754, &format!("2000 6558 00123401 {INNER_ETHERNET} 0800 {INNER4}")), &format!("nvgre 4660 {UDP4}"));
}

#[test]
fn capwap_with_frames_of_both_kinds() {
    let (native, short) = ("00 20 03 20 0000 0000 0100 0000 0000 0000", "00 10 02 00 0000 0000");
    let addresses = "020000000001 020000000002 020000000003 0000";
    let snap = format!("aaaa03 000000 0800 {INNER4}");
    check(&udp(5247, &format!("{native} 0801 0000 {addresses} {snap}")), &format!("capwap 0 {UDP4}"));
    check(&udp(5247, &format!("{native} 8802 0000 {addresses} 0000 {snap}")), &format!("capwap 0 {UDP4}"));
    check(&udp(5247, &format!("{native} 0308 0000 {addresses} 020000000004 {snap}")), &format!("capwap 0 {UDP4}"));
    check(&udp(5247, &format!("{short} {INNER_ETHERNET} 0800 {INNER4}")), &format!("capwap 0 {UDP4}"));
    // Encrypted as a whole, one part of a frame, protected, without data, a beacon.
    let outer = " 0 192.0.2.1 > 192.0.2.2 p17 49152>5247";
    check(&udp(5247, "01 000000 16fefd"), outer);
    check(&udp(5247, &format!("00 20 03 a0 0000 0000 0100 0000 0000 0000 0801 0000 {addresses} {snap}")), outer);
    check(&udp(5247, &format!("{native} 0841 0000 {addresses} {snap}")), outer);
    check(&udp(5247, &format!("{native} 4801 0000 {addresses}")), outer);
    check(&udp(5247, &format!("{native} 8000 0000 {addresses}")), outer);
}

/// Tunnels one in another, outermost first.
fn nested(levels: usize) -> String {
    let mut inside = INNER4.to_owned();
    for _ in 0..levels {
        let octets = 20 + bytes(&inside).len();
        inside = format!("4500{octets:04x} 00000000 40040000 c0000201 c0000202 {inside}");
    }
    format!("{ETHERNET} 0800 {inside}")
}

#[test]
fn a_deeper_packet_is_metered_at_the_limit() {
    check(&nested(4), &format!("4in4/4in4/4in4/4in4 0 {UDP4}"));
    check(&nested(5), "4in4/4in4/4in4/4in4 0 192.0.2.1 > 192.0.2.2 p4 0>0 too deep");
    assert_eq!(show(&nested(5), &Tunnels::new(View::Inner, 8)), format!("4in4/4in4/4in4/4in4 0 {UDP4}"));
    assert_eq!(show(&nested(1), &Tunnels::new(View::Inner, 0)), " 0 192.0.2.1 > 192.0.2.2 p4 0>0 too deep");
}

#[test]
fn the_operator_chooses_the_view_of_each_kind() {
    let tunnels = Tunnels::default().with(Tunnel::Vxlan, View::Outer).with(Tunnel::Gre, View::Both);
    assert_eq!(
        (tunnels.view(Tunnel::Vxlan), tunnels.view(Tunnel::Gre), tunnels.view(Tunnel::Geneve)),
        (View::Outer, View::Both, View::Inner)
    );
    let vxlan = udp(4789, &format!("08000000 00007b00 {INNER_ETHERNET} 0800 {INNER4}"));
    assert_eq!(show(&vxlan, &tunnels), " 0 192.0.2.1 > 192.0.2.2 p17 49152>4789");
    let gre = bytes(&ipv4(47, &format!("0000 0800 {INNER4}")));
    let packets = decapsulate(&frame(&gre), &tunnels).expect("a packet");
    assert!(packets.inner.expect("an inner packet").keep_outer);
    let geneve = bytes(&udp(6081, &format!("0000 6558 00007b00 {INNER_ETHERNET} 0800 {INNER4}")));
    let inner = decapsulate(&frame(&geneve), &tunnels).expect("a packet").inner.expect("an inner packet");
    assert_eq!((inner.keep_outer, inner.network), (false, (Tunnel::Geneve as u32) << 24 | 123));
}

#[test]
fn layers_tell_what_was_passed() {
    let of = |hex: &str| layers(&frame(&bytes(hex)), &Tunnels::default(), true).expect("a packet").1;
    let tagged = of(&format!("{ETHERNET} 88a8 b064 8100 2005 0800 {INNER4}"));
    assert_eq!((tagged.vlan, tagged.vlan_tags), ([0xb064, 0x2005, 0, 0], 2));
    let labelled = of(&format!("{ETHERNET} 8847 00064240 00065140 {INNER4}"));
    assert_eq!((labelled.mpls, labelled.mpls_labels), ([0x0006_4240, 0x0006_5140, 0, 0, 0, 0], 2));
    assert_eq!(of(&format!("{ETHERNET} 8864 1100 0007 001e 0021 {INNER4}")).pppoe_session, 7);
    let asks = of(&format!("{ETHERNET} 0806 0001 0800 06 04 0001 020000000001 0a000001 000000000000 0a000002"));
    assert_eq!(asks.arp, Arp { operation: 1, sender: [10, 0, 0, 1], target: [10, 0, 0, 2] });
    let other = of(&format!("{ETHERNET} 0806 0006 0800 06 04 0002 020000000001 0a000001 020000000002 0a000002"));
    assert_eq!(other.arp, Arp { operation: 2, ..asks.arp });
    let long = of(&format!("{ETHERNET} 0806 0001 0800 08 04 0001 0200000000010000 0a000001 0000000000000000 0a000002"));
    assert_eq!(long.arp, Arp::default(), "addresses stand elsewhere");
    assert_eq!(of(&ipv4(50, "00000abc 00000001")).spi, 0xabc);
    assert_eq!(of(&ipv4(51, &format!("0404 0000 00000abd 00000001 000000000000000000000000 {}", "c000 0035 0008 0000"))).spi, 0xabd);
    assert_eq!(of(&ipv4(47, &format!("2000 0800 00000007 {INNER4}"))).gre_key, Some(7));
    let plain = of(&format!("{ETHERNET} 0800 {INNER4}"));
    assert!(plain.is_empty(), "{plain:?}");
    let segments = "20010db80000000000000000000000ff 20010db80000000000000000000000fe";
    let routed = format!(
        "{ETHERNET} 86dd 60000000 0030 2b 40 20010db8000000000000000000000001 20010db8000000000000000000000002 1104 0401 01 80 0007 {segments} 0035 d431 0008 0000"
    );
    let expected = SegmentRouting { segments: 2, segments_left: 1, flags: 0x80, tag: 7, last: *bytes(segments).first_chunk().expect("16") };
    assert_eq!(of(&routed).srh, expected);
}

#[test]
fn the_outer_header_stands_beside_the_inner_flow() {
    let hex = udp(4789, &format!("08000000 00007b00 {INNER_ETHERNET} 8100 0005 0800 {INNER4}"));
    let (metered, found) = layers(&frame(&bytes(&hex)), &Tunnels::default(), true).expect("a packet");
    assert_eq!(found.outer, Network::V4([192, 0, 2, 1], [192, 0, 2, 2]));
    assert_eq!((found.outer_ports, found.outer_protocol, found.outer_ttl), ([0xc000, 4789], 17, 64));
    assert_eq!((found.inner_macs, found.inner_vlan), ([4, 0, 0, 0, 0, 2, 4, 0, 0, 0, 0, 1], Some(5)));
    assert_eq!((metered.vlan, metered.tags, metered.smac), ([5, 0], 1, [2, 0, 0, 0, 0, 1]), "the inner tag, the outer address");
}

#[test]
fn a_tag_belongs_to_the_header_it_stands_behind() {
    let inside = udp(4789, &format!("08000000 00007b00 {INNER_ETHERNET} 0800 {INNER4}"));
    let carried = bytes(&inside).iter().skip(14).map(|octet| format!("{octet:02x}")).collect::<String>();
    let hex = udp(4789, &format!("08000000 00007a00 {INNER_ETHERNET} 8100 0005 0800 {carried}"));
    let (metered, found) = layers(&frame(&bytes(&hex)), &Tunnels::default(), true).expect("a packet");
    assert_eq!((found.depth, found.inner_vlan, metered.tags), (2, None, 0), "the outer tunnel's tag is none of the inner one's");
}

#[test]
fn an_identifier_belongs_to_the_innermost_tunnel_that_has_one() {
    let of = |carried: &str| {
        let hex = udp(4789, &format!("08000000 00007a00 {INNER_ETHERNET} {carried}"));
        let found = layers(&frame(&bytes(&hex)), &Tunnels::default(), true).expect("a packet").1;
        (found.depth, found.identified.map(Tunnel::name), found.tunnel_id)
    };
    let carried = |hex: &str| bytes(hex).iter().skip(12).map(|octet| format!("{octet:02x}")).collect::<String>();
    assert_eq!(of(&format!("0800 {INNER4}")), (1, Some("vxlan"), Some(122)));
    assert_eq!(of(&carried(&ipv4(47, &format!("0000 0800 {INNER4}")))), (2, Some("vxlan"), Some(122)));
    assert_eq!(of(&carried(&ipv4(47, &format!("2000 0800 00000007 {INNER4}")))), (2, Some("gre"), Some(7)));
    assert_eq!(of(&carried(&udp(4789, &format!("08000000 00000000 {INNER_ETHERNET} 0800 {INNER4}")))), (2, Some("vxlan"), Some(0)));
    assert_eq!(of(&carried(&ipv4(47, &format!("0000 88be {INNER_ETHERNET} 0800 {INNER4}")))), (2, Some("vxlan"), Some(122)));
    let plain = layers(&frame(&bytes(&ipv4(4, INNER4))), &Tunnels::default(), true).expect("a packet").1;
    assert_eq!(plain.identified, None);
}

#[test]
fn a_packet_that_ends_carries_nothing_behind_its_end() {
    let whole = ipv4(47, &format!("0000 0800 {INNER4}"));
    check(&whole, &format!("gre 0 {UDP4}"));
    // The outer length is that of its header and GRE's: what follows is padding.
    check(&whole.replace("45000034", "45000018"), " 0 192.0.2.1 > 192.0.2.2 p47 0>0");
    check(&ipv4(4, INNER4).replace("45000030", "45000014"), " 0 192.0.2.1 > 192.0.2.2 p4 0>0");
}

#[test]
fn every_tunnel_port_is_found_and_no_other() {
    let found = (0..=u16::MAX).filter(|port| Tunnels::default().ports().kind(*port).is_some()).collect::<Vec<_>>();
    assert_eq!(found, [1701, 2152, 3386, 3544, 4754, 4789, 4790, 5072, 5247, 6081, 6635, 8472]);
    for port in found {
        let hex = bytes(&udp(port, "00"));
        assert_eq!(crate::fast4(&frame(&[hex.as_slice(), &[0; 20]].concat()), &Tunnels::default()), None, "{port}");
    }
}

#[test]
fn kinds_have_numbers_and_names_of_their_own() {
    for (number, kind) in (0u8..).zip(Tunnel::ALL) {
        assert_eq!((Tunnel::from_u8(number), kind as u8), (Some(kind), number));
    }
    let names: std::collections::HashSet<_> = Tunnel::ALL.map(Tunnel::name).into_iter().collect();
    assert_eq!(names.len(), Tunnel::ALL.len());
}

/// An IEEE 802.11 data frame: frame control, then 22 octets with the fragment number, and what else stands before the payload.
fn wireless(control: &str, sequence: &str, more: &str, payload: &str) -> String {
    format!("{control} 0000 020000000001 060000000002 060000000003 {sequence} {more} {payload}")
}

/// A subframe of an A-MSDU, padded to four octets.
fn subframe(payload: &str) -> String {
    let octets = bytes(payload).len();
    let padding = "00".repeat((4 - (14 + octets) % 4) % 4);
    format!("060000000003 060000000002 {octets:04x} {payload} {padding}")
}

const SNAP: &str = "aaaa03 000000 0800";

#[test]
fn wireless_frames_in_gre_of_every_form() {
    let payload = format!("{SNAP} {INNER4}");
    let inside = format!("gre+ieee80211 0 {UDP4}");
    let outside = " 0 192.0.2.1 > 192.0.2.2 p47 0>0";
    let plain = wireless("0801", "0010", "", &payload);
    for protocol in ["8200", "8210", "824f"] {
        check(&ipv4(47, &format!("0000 {protocol} {plain}")), &inside);
    }
    for protocol in ["81ff", "8250"] {
        check(&ipv4(47, &format!("0000 {protocol} {plain}")), &format!("gre 0 {}", "192.0.2.1 > 192.0.2.2 p47 0>0"));
    }
    let gre = |frame: &str| ipv4(47, &format!("2000 8200 00000000 {frame}"));
    for (why, frame) in [
        ("four addresses", wireless("0803", "0010", "060000000004", &payload)),
        ("to nobody's system", wireless("0800", "0010", "", &payload)),
        ("quality of service", wireless("8802", "0010", "0700", &payload)),
        ("and HT control", wireless("8882", "0010", "0700 00000001", &payload)),
        ("a bridge tunnel", wireless("0801", "0010", "", &format!("aaaa03 0000f8 0800 {INNER4}"))),
        ("a mesh", wireless("8803", "0010", "060000000004 0701", &format!("0105 00000001 060000000005 {payload}"))),
        ("no mesh, and the same bit", wireless("8802", "0010", "0701", &payload)),
    ] {
        assert_eq!(show(&gre(&frame), &Tunnels::default()), inside, "{why}");
    }
    for (why, frame) in [
        ("protected", wireless("0841", "0010", "", &payload)),
        ("a first fragment", wireless("0805", "0010", "", &payload)),
        // It goes on somewhere in the packet, not with LLC.
        ("a later fragment", wireless("0801", "0110", "", payload.get(16..).unwrap_or_default())),
        ("no data", wireless("4801", "0010", "", &payload)),
        ("management", wireless("8000", "0010", "", &payload)),
        ("the octets of frame control turned over", wireless("0108", "0010", "", &payload)),
        ("no SNAP", wireless("0801", "0010", "", "4242030000000000")),
    ] {
        assert_eq!(show(&gre(&frame), &Tunnels::default()), outside, "{why}");
    }
    let found = layers(&frame(&bytes(&gre(&plain))), &Tunnels::default(), true).expect("a packet").1;
    assert_eq!(found.inner_macs, [6, 0, 0, 0, 0, 3, 6, 0, 0, 0, 0, 2], "destination and source of the station");
    assert_eq!((found.tunnel_id, found.gre_key), (None, Some(0)), "a key of 0 is one");
}

#[test]
fn every_subframe_with_a_packet_is_one_and_they_share_the_frame() {
    let (four, six) = (format!("{SNAP} {INNER4}"), format!("aaaa03 000000 86dd {INNER6}"));
    let arp = "aaaa03 000000 0806 0001";
    let broken = format!("{SNAP} 1500");
    let gre = |payload: &str| ipv4(47, &format!("0000 8200 {}", wireless("8802", "0010", "8700", payload)));
    let parts = |subframes: &[&str]| {
        let payload: String = subframes.iter().map(|payload| subframe(payload)).collect();
        let bytes = bytes(&gre(&payload));
        let (mut found, mut skipped, mut part) = (Vec::new(), 0, None);
        loop {
            let packets = match part {
                None => decapsulate(&frame(&bytes), &Tunnels::default()),
                Some(part) => decapsulate_part(&frame(&bytes), &Tunnels::default(), part),
            };
            let packets = packets.expect("an outer packet");
            if let Some(inner) = packets.inner {
                let (metered, _) = layers_part(&frame(&bytes), &Tunnels::default(), true, part).expect("decoded before");
                assert_eq!(metered, inner.headers);
                found.push((matches!(metered.network, Network::V6(..)), packets.wire_len));
            }
            skipped += packets.skipped;
            match packets.next {
                Some(next) => part = Some(next),
                None => return (found, skipped, bytes.len()),
            }
        }
    };
    for (subframes, versions, skipped) in [
        (&[four.as_str()][..], &[false][..], 0),
        (&[&four, &six, &four], &[false, true, false], 0),
        (&[arp, &four, arp, &six], &[false, true], 2),
        (&[&four, arp, &broken], &[false], 2),
        (&[arp, arp], &[], 0),
    ] {
        let (found, passed_over, octets) = parts(subframes);
        assert_eq!(found.iter().map(|(six, _)| *six).collect::<Vec<_>>(), versions, "{subframes:?}");
        assert_eq!(passed_over, skipped, "{subframes:?}");
        let shares: u32 = found.iter().map(|(_, share)| share).sum();
        if passed_over == 0 && !found.is_empty() {
            assert_eq!(shares as usize, octets);
        }
    }
    // Every prefix is a value, from each of its subframes on.
    let whole = bytes(&gre(&[&four, &six, &four].map(|payload| subframe(payload)).concat()));
    for end in 0..whole.len() {
        for part in 0..u16::try_from(end).expect("short") {
            let _ = decapsulate_part(&frame(&whole[..end]), &Tunnels::default(), Part(part));
        }
    }
    // What carries the A-MSDU is an inner packet of the first walk only, where a later subframe has no packet, too.
    let carrier = gre(&[subframe(&four), subframe(arp)].concat());
    let carrier: String = bytes(&carrier).iter().skip(14).map(|octet| format!("{octet:02x}")).collect();
    let carried = bytes(&ipv4(47, &format!("0000 0800 {carrier}")));
    let packets = decapsulate(&frame(&carried), &Tunnels::default()).expect("a packet");
    let rest = decapsulate_part(&frame(&carried), &Tunnels::default(), packets.next.expect("another")).expect("a packet");
    assert!(packets.inner.is_some() && rest.inner.is_none() && rest.skipped == 1, "{:?}", rest.inner);
    // Of an A-MSDU inside of one the first packet is metered.
    let nested = gre(&[subframe(&four), subframe(&four)].concat());
    let nested: String = bytes(&nested).iter().skip(14).map(|octet| format!("{octet:02x}")).collect();
    let nested = bytes(&gre(&[subframe(&format!("{SNAP} {nested}")), subframe(&six)].concat()));
    let packets = decapsulate(&frame(&nested), &Tunnels::default()).expect("a packet");
    let next = decapsulate_part(&frame(&nested), &Tunnels::default(), packets.next.expect("another")).expect("a packet");
    assert!(matches!(next.inner.expect("IPv6").headers.network, Network::V6(..)) && next.next.is_none());
}

#[test]
fn ayiya_with_every_length_and_operation() {
    let inside = format!("ayiya 0 {UDP6}");
    for (identity, signature) in [(0, 0), (4, 5), (3, 15), (15, 0)] {
        let skipped = "55".repeat((1 << identity) + 4 * signature);
        let header = |operation, next| format!("{identity:x}1 {signature:x}2 1{operation:x} {next} 00000001 {skipped}");
        check(&udp(5072, &format!("{} {INNER6}", header(1, "29"))), &inside);
        check(&udp(5072, &format!("{} {INNER4}", header(3, "04"))), &format!("ayiya 0 {UDP4}"));
        for (operation, next) in [(0, "29"), (2, "29"), (4, "29"), (1, "3b")] {
            check(&udp(5072, &format!("{} {INNER6}", header(operation, next))), " 0 192.0.2.1 > 192.0.2.2 p17 49152>5072");
        }
    }
}

#[test]
fn tags_between_ethernet_and_ip_are_passed_over() {
    let of = |hex: &str| {
        let bytes = bytes(hex);
        for end in 0..bytes.len() {
            let _ = decapsulate(&frame(&bytes[..end]), &Tunnels::default());
        }
        let (headers, layers) = layers(&frame(&bytes), &Tunnels::default(), false).expect("a packet");
        (headers.sport, headers.vlan, headers.tags, layers.service_instance)
    };
    let plain = (53, [0; 2], 0, None);
    for (why, tag) in [
        ("TTag", "8988 0000655abd40"),
        ("Cisco metadata", "8909 01 01 0001 0002"),
        ("Cisco metadata with two options", "8909 01 02 0001 0002 0002 0003"),
        ("HSR", "892f 1034 0001"),
        ("MACsec, only authenticated", "88e5 01 00 00000001"),
        ("MACsec with its channel", "88e5 21 00 00000001 0200000000010001"),
    ] {
        assert_eq!(of(&format!("{ETHERNET} {tag} 0800 {INNER4}")), plain, "{why}");
        assert_eq!(of(&format!("{ETHERNET} 8100 0007 {tag} 0800 {INNER4}")), (53, [7, 0], 1, None), "{why} behind a VLAN tag");
        assert_eq!(of(&format!("{ETHERNET} {tag} 8100 0007 0800 {INNER4}")), (53, [7, 0], 1, None), "{why} before a VLAN tag");
        check(&ipv4(47, &format!("0000 88be {INNER_ETHERNET} {tag} 0800 {INNER4}")), &format!("gre+erspan 0 {UDP4}"));
    }
    for encrypted in ["88e5 0d 00 00000001", "88e5 05 00 00000001", "88e5 81 00 00000001"] {
        assert_eq!(of(&format!("{ETHERNET} {encrypted} 0800 {INNER4}")), (0, [0; 2], 0, None));
    }
    let bridged = |more: &str, tag: &str| of(&format!("{ETHERNET} {more} 88e7 {tag} {INNER_ETHERNET} 0800 {INNER4}"));
    assert_eq!(bridged("", "00000123"), (53, [0; 2], 0, Some(0x123)));
    assert_eq!(bridged("88a8 0064", "e8000000"), (53, [100, 0], 1, Some(0xe800_0000)), "I-SID 0, priority 7, UCA");
    assert_eq!(
        of(&format!(
            "{ETHERNET} 88a8 0064 88e7 00000001 {INNER_ETHERNET} 88a8 0065 88e7 00000002 {INNER_ETHERNET} 8100 0007 0800 {INNER4}"
        )),
        (53, [100, 101], 3, Some(2)),
        "twice"
    );
    assert_eq!(of(&format!("{ETHERNET} 8847 00064140 {INNER_ETHERNET} 88e7 00000123 {INNER_ETHERNET} 0800 {INNER4}")).3, Some(0x123));
    let instance = |hex: &str| {
        let packets = decapsulate(&frame(&bytes(hex)), &Tunnels::default()).expect("a packet");
        packets.inner.map_or((packets.network, false), |inner| (inner.network, true))
    };
    let [one, two] = ["00000001", "00000002"].map(|tag| instance(&format!("{ETHERNET} 88e7 {tag} {INNER_ETHERNET} 0800 {INNER4}")));
    assert!(one != two && one.0 != 0 && instance(&format!("{ETHERNET} 0800 {INNER4}")) == (0, false), "each is a network of its own");
    let inside = |tag: &str| format!("08000000 00000700 {INNER_ETHERNET} {tag} 0800 {INNER4}");
    let vxlan = instance(&udp(4789, &inside("")));
    let bridged = instance(&udp(4789, &inside(&format!("88e7 00000001 {INNER_ETHERNET}"))));
    assert_eq!((bridged.0, bridged.1), (one.0, true));
    assert_ne!(vxlan, bridged);
}

#[test]
fn further_ports_are_those_of_their_kind() {
    let tunnels = Tunnels::default().with_port(Tunnel::Vxlan, 48_879).and_then(|t| t.with_port(Tunnel::GtpU, 3000)).expect("free ports");
    let vxlan = udp(48_879, &format!("08000000 00000000 {INNER_ETHERNET} 0800 {INNER4}"));
    assert_eq!(show(&vxlan, &tunnels), format!("vxlan 0 {UDP4}"));
    check(&vxlan, " 0 192.0.2.1 > 192.0.2.2 p17 49152>48879");
    assert_eq!(show(&udp(3000, &format!("30ff 0000 00000005 {INNER4}")), &tunnels), format!("gtp 5 {UDP4}"));
    let back = vxlan.replace("c000 beef", "beef c000");
    assert_eq!(show(&back, &tunnels), format!("vxlan 0 {UDP4}"));
    for hex in [vxlan, back] {
        let found = crate::inner4(&frame(&[bytes(&hex), vec![0; 20]].concat()), &tunnels).expect("a common packet");
        assert_eq!((found.packet.sport, found.network), (53, (Tunnel::Vxlan as u32) << 24));
        assert!(crate::fast4(&frame(&[bytes(&hex), vec![0; 20]].concat()), &tunnels).is_none());
    }
}
