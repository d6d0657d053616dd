//! How long a packet is when its IP header does not say, or says more than there is.

use crate::{Frame, Link, Tunnels, decapsulate, fast4, inner4};

const MACS: [u8; 12] = [2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1];

/// An IPv4 header of that total length.
fn ipv4(total: u16, protocol: u8) -> Vec<u8> {
    let [t0, t1] = total.to_be_bytes();
    vec![0x45, 0, t0, t1, 0, 1, 0x40, 0, 64, protocol, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]
}

/// An IPv6 header of that payload length.
fn ipv6(payload: u16, next: u8) -> Vec<u8> {
    let mut header = vec![0x60, 0, 0, 0];
    header.extend(payload.to_be_bytes());
    header.extend([next, 64]);
    for host in [1, 2] {
        header.extend([0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, host]);
    }
    header
}

/// Hop-by-hop options with a jumbo payload option of that value behind `before` (RFC 2675 section 2), then TCP.
fn jumbo(before: &[u8], payload: u32) -> Vec<u8> {
    let mut options = vec![6, 0];
    options.extend(before);
    options.extend([0xc2, 4]);
    options.extend(payload.to_be_bytes());
    options.resize(options.len().next_multiple_of(8), 0);
    options[1] = u8::try_from(options.len() / 8 - 1).expect("short");
    options
}

/// TCP without options, and as many octets of data.
fn tcp(data: usize) -> Vec<u8> {
    let mut segment = vec![0x1f, 0x90, 0, 80, 0, 0, 0, 1, 0, 0, 0, 2, 0x50, 0x10, 0xff, 0xff, 0, 0, 0, 0];
    segment.resize(20 + data, 0xab);
    segment
}

/// A frame of which `kept` octets were captured, and whose source says that it had `wire`.
fn check(parts: &[&[u8]], kept: usize, wire: usize, (octets, wire_octets): (u32, u32), what: &str) {
    let mut bytes = parts.concat();
    bytes.truncate(kept);
    let frame = Frame { bytes: &bytes, wire_len: u32::try_from(wire).expect("short"), link: Link::Ethernet, time: 0, port: 1 };
    let packets = decapsulate(&frame, &Tunnels::default()).expect("headers");
    let metered = packets.inner.map_or(packets.outer, |inner| inner.headers);
    assert_eq!((metered.octets, packets.outer.wire_octets(&frame)), (octets, wire_octets), "{what}");
    assert_eq!((metered.protocol, metered.sport, metered.dport), (6, 8080, 80), "{what}");
    let fast = fast4(&frame, &Tunnels::default()).or_else(|| inner4(&frame, &Tunnels::default()).map(|inner| inner.packet));
    if let Some(fast) = fast {
        assert_eq!((u32::from(fast.octets), frame.wire_len), (octets, wire_octets), "{what}, in a straight line");
    }
}

const V4: [u8; 2] = [8, 0];
const V6: [u8; 2] = [0x86, 0xdd];

#[test]
fn a_length_of_zero_is_that_of_the_frame_in_both_versions() {
    check(&[&MACS, &V4, &ipv4(0, 6), &tcp(1000)], 2000, 1054, (1040, 1054), "IPv4");
    check(&[&MACS, &V4, &ipv4(0, 6), &tcp(1000)], 256, 80_054, (80_040, 80_054), "IPv4, cut");
    check(&[&MACS, &V6, &ipv6(0, 6), &tcp(1000)], 2000, 1074, (1060, 1074), "IPv6");
    check(&[&MACS, &V6, &ipv6(0, 6), &tcp(1000)], 256, 80_074, (80_060, 80_074), "IPv6, cut");
    check(&[&MACS, &[0x81, 0, 0, 5], &V6, &ipv6(0, 6), &tcp(1000)], 256, 80_078, (80_060, 80_078), "IPv6, tagged");
}

#[test]
fn the_jumbo_payload_option_says_the_length() {
    let packet = |payload, before: &[u8]| [&MACS[..], &V6, &ipv6(0, 0), &jumbo(before, payload), &tcp(2000)].concat();
    check(&[&packet(80_028, &[])], 256, 80_082, (80_068, 80_082), "as long as the frame");
    check(&[&packet(80_028, &[])], 256, 80_086, (80_068, 80_086), "with a trailer");
    check(&[&packet(80_028, &[0, 0, 1, 2, 0, 0])], 256, 80_090, (80_068, 80_090), "behind Pad1 and PadN");
    check(&[&packet(80_028, &[])], 1982, 1982, (80_068, 80_082), "cut by a source that does not know it");
    // An error (RFC 2675 section 3): as if it was not there.
    check(&[&packet(65_535, &[])], 2500, 2082, (2068, 2082), "too short for a jumbogram");
    check(&[&packet(u32::MAX, &[])], 2500, 2082, (2068, 2082), "longer than any");
    // Some other option of that number's low bits.
    check(&[&packet(0, &[0x02, 0])], 2500, 2090, (2076, 2090), "no length");
}

#[test]
fn nothing_follows_no_next_header() {
    let bytes = [&MACS[..], &V6, &ipv6(0, 59), &[0; 6]].concat();
    let frame = Frame { bytes: &bytes, wire_len: 60, link: Link::Ethernet, time: 0, port: 1 };
    let packets = decapsulate(&frame, &Tunnels::default()).expect("headers");
    assert_eq!((packets.outer.octets, packets.outer.wire_octets(&frame)), (40, 60));
}

#[test]
fn inside_a_tunnel_the_outer_packet_says_where_the_inner_one_ends() {
    // Four octets of trailer behind the outer packet are not the inner one's.
    let trailer = [0; 4];
    let of = |inner: &[u8]| {
        let total = u16::try_from(28 + 8 + 14 + inner.len()).expect("short");
        let udp = [0xc0, 0, 0x12, 0xb5, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0, 7, 0];
        [&MACS[..], &V4, &ipv4(total, 17), &udp, &MACS, if inner[0] >> 4 == 4 { &V4 } else { &V6 }, inner, &trailer].concat()
    };
    let whole = |packet: &[u8], octets| {
        let bytes = of(packet);
        let wire = u32::try_from(bytes.len()).expect("short");
        check(&[&bytes], bytes.len(), bytes.len(), (octets, wire), "VXLAN");
    };
    whole(&[&ipv4(0, 6)[..], &tcp(100)].concat(), 140);
    whole(&[&ipv6(0, 6)[..], &tcp(100)].concat(), 160);
    let outer6 = |payload, wire, octets, what| {
        let parts: [&[u8]; 6] = [&MACS, &V6, &ipv6(payload, 4), &ipv4(0, 6), &tcp(100), &trailer];
        check(&parts, 2000, wire, (octets, u32::try_from(wire).expect("short")), what);
    };
    outer6(140, 198, 140, "4in6");
    // Nobody says it: the frame does.
    outer6(0, 90_000, 90_000 - 54, "4in6, both of length 0");
}

#[test]
fn a_frame_that_was_cut_is_as_long_as_its_headers_say() {
    check(&[&MACS, &V4, &ipv4(64_000, 6), &tcp(1942)], 1982, 1982, (64_000, 64_014), "IPv4");
    check(&[&MACS, &V6, &ipv6(64_000, 6), &tcp(1942)], 1982, 1982, (64_040, 64_054), "IPv6");
    check(&[&MACS, &[0x81, 0, 0, 5], &V4, &ipv4(64_000, 6), &tcp(1942)], 1982, 1982, (64_000, 64_018), "tagged");
    // The source knows better.
    check(&[&MACS, &V4, &ipv4(64_000, 6), &tcp(1942)], 1982, 3000, (64_000, 3000), "told");
    let outer = [&MACS[..], &V4, &ipv4(64_000, 4), &ipv4(63_980, 6), &tcp(2000)].concat();
    check(&[&outer], 1982, 1982, (63_980, 64_014), "in a tunnel");
    // Nobody cuts that: the header is wrong.
    check(&[&MACS, &V4, &ipv4(64_000, 6), &tcp(1000)], 1054, 1054, (64_000, 1054), "an ordinary frame");
    let padded = [&MACS[..], &V4, &ipv4(40, 6), &tcp(0), &[0; 6]].concat();
    check(&[&padded], 60, 60, (40, 60), "padding is on the wire");
}
