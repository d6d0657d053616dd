//! Frames as hexadecimal text, and checks that the tests of all protocols share. Each check also decodes every prefix of its frame:
//! every prefix is a value or a reason.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::{Frame, Headers, Layers, Link, Network, Tunnels, decapsulate, decode, fast4, inner4, layers};

pub(crate) fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).expect("ascii"), 16).expect("hex")).collect()
}

/// The text of all but so many octets of a frame.
pub(crate) fn behind(octets: usize, hex: &str) -> String {
    bytes(hex).iter().skip(octets).map(|octet| format!("{octet:02x}")).collect()
}

pub(crate) fn frame(bytes: &[u8]) -> Frame<'_> {
    frame_of(Link::Ethernet, bytes)
}

pub(crate) fn frame_of(link: Link, bytes: &[u8]) -> Frame<'_> {
    Frame { bytes, wire_len: u32::try_from(bytes.len()).expect("short"), link, time: 0, port: 1 }
}

/// Destination and source of a frame, and of one in a tunnel.
pub(crate) const ETHERNET: &str = "020000000002 020000000001";
pub(crate) const INNER_ETHERNET: &str = "040000000002 040000000001";
pub(crate) const V4_TCP: &str = "45000028 00014000 40060000 0a000001 0a000002 1f90 0050 00000001 00000002 5012 ffff 0000 0000";
pub(crate) const V4_UDP: &str = "45b8001c 00010000 40110000 0a000001 0a000002 0035 d431 0008 0000";
/// Source and destination.
pub(crate) const ENDS6: &str = "20010db8000000000000000000000001 20010db8000000000000000000000002";
/// 10.0.0.1:53 > 10.0.0.2:54321.
pub(crate) const INNER4: &str = "4500001c 00010000 40110000 0a000001 0a000002 0035 d431 0008 0000";
/// 2001:db8::1:53 > 2001:db8::2:54321.
pub(crate) const INNER6: &str = "60012345 0008 11 40 20010db8000000000000000000000001 20010db8000000000000000000000002 0035 d431 0008 0000";
pub(crate) const UDP4: &str = "10.0.0.1 > 10.0.0.2 p17 53>54321";
pub(crate) const UDP6: &str = "2001:db8::1 > 2001:db8::2 p17 53>54321";

/// An IPv4 header from 192.0.2.1 to 192.0.2.2 with what it carries, in Ethernet.
pub(crate) fn ipv4(protocol: u8, carried: &str) -> String {
    let octets = 20 + bytes(carried).len();
    format!("{ETHERNET} 0800 4500{octets:04x} 00004000 40{protocol:02x}0000 c0000201 c0000202 {carried}")
}

pub(crate) fn udp(port: u16, carried: &str) -> String {
    ipv4(17, &format!("c000 {port:04x} {:04x} 0000 {carried}", 8 + bytes(carried).len()))
}

/// Addresses, protocol and ports; an ethertype in place of addresses where there is no IP.
fn ends(headers: &Headers) -> String {
    let addresses = match headers.network {
        Network::None => format!("{:04x}", headers.ethertype),
        Network::V4(s, d) => format!("{} > {}", Ipv4Addr::from(s), Ipv4Addr::from(d)),
        Network::V6(s, d) => format!("{} > {}", Ipv6Addr::from(s), Ipv6Addr::from(d)),
    };
    format!("{addresses} p{} {}>{}", headers.protocol, headers.sport, headers.dport)
}

/// The first headers of a frame as "ends octets flags vlan icmp frag", or the reason why it has none.
pub(crate) fn show_frame(link: Link, hex: &str) -> String {
    let bytes = bytes(hex);
    for end in 0..bytes.len() {
        let cut = frame_of(link, &bytes[..end]);
        let _ = (decode(&cut), fast4(&cut, &Tunnels::default()));
    }
    match decode(&frame_of(link, &bytes)) {
        Err(reason) => reason.name().to_owned(),
        Ok(h) => {
            let flags = h.tcp.map_or(String::new(), |t| format!(" flags {:x}", t.flags));
            let vlan: Vec<u16> = h.vlan.iter().take(usize::from(h.tags)).copied().collect();
            format!("{} {} octets{flags} vlan {vlan:?} icmp {:?} frag {}", ends(&h), h.octets, h.icmp, h.fragment.offset)
        }
    }
}

pub(crate) fn check_frame(link: Link, hex: &str, expected: &str) {
    assert_eq!(show_frame(link, hex), expected, "{hex}");
}

/// Checks that `before` leads from Ethernet's addresses to an IPv4 packet.
pub(crate) fn check_passed(before: &str) {
    check_frame(Link::Ethernet, &format!("{ETHERNET} {before} {V4_UDP}"), &format!("{UDP4} 28 octets vlan [] icmp [0, 0] frag 0"));
}

/// Checks that a tag is passed over where it may stand: alone, behind a VLAN tag, before one, and in a tunnel.
pub(crate) fn check_tag(tag: &str) {
    check_passed(&format!("{tag} 0800"));
    for tags in [format!("8100 0007 {tag}"), format!("{tag} 8100 0007")] {
        let hex = format!("{ETHERNET} {tags} 0800 {V4_UDP}");
        check_frame(Link::Ethernet, &hex, &format!("{UDP4} 28 octets vlan [7] icmp [0, 0] frag 0"));
    }
    check_tunnel(&ipv4(47, &format!("0000 88be {INNER_ETHERNET} {tag} 0800 {INNER4}")), &format!("gre+erspan 0 {UDP4}"));
}

/// Metered headers of the inner packet, with the names and the identifier of its tunnels.
pub(crate) fn show_tunnel(hex: &str, tunnels: &Tunnels) -> String {
    let bytes = bytes(hex);
    for end in 0..bytes.len() {
        let cut = frame(&bytes[..end]);
        let _ = (decapsulate(&cut, tunnels), layers(&cut, tunnels, true), inner4(&cut, tunnels));
    }
    let frame = frame(&bytes);
    let packets = decapsulate(&frame, tunnels).expect("an outer packet");
    let (metered, layers) = layers(&frame, tunnels, true).expect("an outer packet");
    let headers = packets.inner.map_or(packets.outer, |inner| inner.headers);
    assert_eq!(metered, headers, "layers() sees what decapsulate() sees");
    let names: Vec<_> = layers.tunnel_names().collect();
    let more = [("too deep", packets.too_deep), ("unreadable", packets.unreadable)];
    let more: String = more.iter().filter(|(_, is)| *is).map(|(name, _)| format!(" {name}")).collect();
    format!("{} {} {}{more}", names.join("/"), layers.tunnel_id.unwrap_or(0), ends(&headers))
}

pub(crate) fn check_tunnel(hex: &str, expected: &str) {
    assert_eq!(show_tunnel(hex, &Tunnels::default()), expected, "{hex}");
}

/// Checks that nothing is seen in a packet over UDP.
pub(crate) fn check_no_tunnel(port: u16, carried: &str) {
    check_tunnel(&udp(port, carried), &format!(" 0 192.0.2.1 > 192.0.2.2 p17 49152>{port}"));
}

/// What the layers of a frame say.
pub(crate) fn layers_of(hex: &str) -> Layers {
    layers(&frame(&bytes(hex)), &Tunnels::default(), true).expect("a packet").1
}

/// LLC and SNAP before IPv4.
pub(crate) const SNAP: &str = "aaaa03 000000 0800";

/// An IEEE 802.11 data frame: frame control, then 22 octets with the fragment number, and what else stands before the payload.
pub(crate) fn wireless(control: &str, sequence: &str, more: &str, payload: &str) -> String {
    format!("{control} 0000 020000000001 060000000002 060000000003 {sequence} {more} {payload}")
}
