//! `decode/*`: nanoseconds a frame. `decode/nothing` reads one octet of each: what the loop costs. `decode/fast4` is the straight-line
//! decoder on the frames it knows, half TCP, half UDP; `decode/located_*` the one on those with tags, labels or IPv6, which the row without
//! that word gives to the general decoder; `decode/inner4` the one on those in VXLAN, which `decode/vxlan` gives to
//! [`sonde_packet::decapsulate`]; the others are [`sonde_packet::decode`] on one kind of frame each.

use std::hint::black_box;
use std::time::Instant;

use sonde_packet::{FastIp, Frame, Headers, Link, Tunnels, decapsulate, decode, fast4, inner4, located};

/// Different frames: 128 kB of them, in level-2 cache, and too many for the branch predictor to learn by heart.
const FRAMES: usize = 1024;
const ROUNDS: usize = 2000;

const MACS: [u8; 12] = [2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1];
const TCP: [u8; 20] = [0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0x50, 0x10, 0xff, 0xff, 0, 0, 0, 0];
const UDP: [u8; 8] = [0, 0, 0, 0, 0, 8, 0, 0];

/// An IPv4 packet without payload.
fn ipv4(transport: &[u8]) -> Vec<u8> {
    let protocol = if transport.len() == 8 { 17 } else { 6 };
    let octets = u8::try_from(20 + transport.len()).unwrap_or(0);
    let header = [0x45, 0, 0, octets, 0, 1, 0x40, 0, 64, protocol, 0, 0, 10, 0, 0, 1, 192, 0, 2, 1];
    [&header, transport].concat()
}

/// An IPv6 packet without payload, with a hop-by-hop header before TCP if so wanted.
fn ipv6(extension: bool, transport: &[u8]) -> Vec<u8> {
    let protocol = if transport.len() == 8 { 17 } else { 6 };
    let options = if extension { &[protocol, 0, 1, 4, 0, 0, 0, 0][..] } else { &[] };
    let payload = u8::try_from(options.len() + transport.len()).unwrap_or(0);
    let header = [0x60, 0, 0, 0, 0, payload, if extension { 0 } else { protocol }, 64];
    [&header[..], &[0x20; 16], &[0xfe; 16], options, transport].concat()
}

fn ethernet(tags: &[u8], ethertype: [u8; 2], packet: Vec<u8>) -> Vec<u8> {
    let mut frame = [&MACS[..], tags, &ethertype, &packet].concat();
    frame.resize(frame.len().max(60), 0);
    frame
}

/// A frame in VXLAN (RFC 7348).
fn vxlan(inner: &[u8]) -> Vec<u8> {
    let octets = u16::try_from(36 + inner.len()).unwrap_or(0).to_be_bytes();
    let header = [0x45, 0, octets[0], octets[1], 0, 1, 0x40, 0, 64, 17, 0, 0, 10, 1, 0, 1, 10, 1, 0, 2];
    ethernet(&[], [8, 0], [&header[..], &[0xc0, 0, 0x12, 0xb5, 0, 0, 0, 0], &[8, 0, 0, 0, 0, 0, 7, 0], inner].concat())
}

fn measure(name: &str, make: impl Fn(bool) -> Vec<u8>, work: impl Fn(&Frame<'_>) -> u64) {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let bytes: Vec<Vec<u8>> = (0..FRAMES)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            make(state & 1 == 0)
        })
        .collect();
    let whole = |bytes| u32::try_from(<[u8]>::len(bytes)).expect("a short frame");
    let frame = |bytes| Frame { bytes, wire_len: whole(bytes), link: Link::Ethernet, time: 0, port: 1 };
    let frames: Vec<Frame<'_>> = bytes.iter().map(|bytes| frame(bytes)).collect();
    let mut sum = 0u64;
    let mut times: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            for frame in &frames {
                sum = sum.wrapping_add(work(frame));
            }
            start.elapsed().as_nanos() as f64 / FRAMES as f64
        })
        .collect();
    black_box(sum);
    times.sort_by(f64::total_cmp);
    println!("{name:24} {:6.1} min {:6.1} median ns/frame", times[0], times[ROUNDS / 2]);
}

#[inline(always)]
fn fast(frame: &Frame<'_>, tunnels: &Tunnels) -> u64 {
    let found = fast4(frame, tunnels).expect("a frame it knows");
    u64::from(found.src ^ found.dst) ^ u64::from(found.sport) ^ u64::from(found.octets) ^ u64::from(found.tcp_flags)
}

#[inline(always)]
fn inner(frame: &Frame<'_>, tunnels: &Tunnels) -> u64 {
    let found = inner4(frame, tunnels).expect("a frame it knows");
    let packet = found.packet;
    u64::from(packet.src ^ packet.dst ^ found.network) ^ u64::from(packet.sport ^ packet.octets ^ packet.tcp_flags)
}

#[inline(always)]
fn ahead(frame: &Frame<'_>, tunnels: &Tunnels) -> u64 {
    let found = located(frame, tunnels).expect("a frame it knows");
    let sum = match found.packet {
        FastIp::V4(packet) => u64::from(packet.src ^ packet.dst) ^ u64::from(packet.sport ^ packet.octets ^ packet.tcp_flags),
        #[expect(clippy::cast_possible_truncation, reason = "any of its octets")]
        FastIp::V6(packet) => (packet.src ^ packet.dst) as u64 ^ u64::from(packet.sport ^ packet.tcp_flags) ^ u64::from(packet.octets),
    };
    sum ^ u64::from(found.vlan[0] ^ found.vlan[1] ^ found.l3_offset)
}

fn general(frame: &Frame<'_>) -> u64 {
    some_of(&decode(frame).expect("a good frame"))
}

fn through(frame: &Frame<'_>, tunnels: &Tunnels) -> u64 {
    some_of(&decapsulate(frame, tunnels).expect("a good frame").inner.expect("a tunnel").headers)
}

fn some_of(found: &Headers) -> u64 {
    u64::from(found.sport) ^ u64::from(found.octets) ^ u64::from(found.protocol) ^ u64::from(found.vlan[0])
}

fn main() {
    let transport = |tcp| if tcp { &TCP[..] } else { &UDP[..] };
    let tunnels = black_box(Tunnels::default());
    let plain = |tcp| ethernet(&[], [8, 0], ipv4(transport(tcp)));
    measure("decode/nothing", plain, |frame| frame.bytes.first().copied().map_or(0, u64::from));
    measure("decode/fast4", plain, |frame| fast(frame, &tunnels));
    measure("decode/inner4", |tcp| vxlan(&plain(tcp)), |frame| inner(frame, &tunnels));
    measure("decode/vxlan", |tcp| vxlan(&plain(tcp)), |frame| through(frame, &tunnels));
    let tagged = |tcp| ethernet(&[0x81, 0, 0, 7], [8, 0], ipv4(transport(tcp)));
    let doubly = |tcp| ethernet(&[0x88, 0xa8, 0, 7, 0x81, 0, 0, 9], [8, 0], ipv4(transport(tcp)));
    let six = |tcp| ethernet(&[], [0x86, 0xdd], ipv6(false, transport(tcp)));
    let labelled = |tcp| ethernet(&[], [0x88, 0x47], [&[0, 6, 0x40, 64, 0, 6, 0x51, 64], ipv4(transport(tcp)).as_slice()].concat());
    measure("decode/located_vlan", tagged, |frame| ahead(frame, &tunnels));
    measure("decode/located_qinq", doubly, |frame| ahead(frame, &tunnels));
    measure("decode/located_mpls", labelled, |frame| ahead(frame, &tunnels));
    measure("decode/located_ipv6", six, |frame| ahead(frame, &tunnels));
    measure("decode/ipv4", plain, general);
    measure("decode/mpls", labelled, general);
    measure("decode/ipv6", six, general);
    measure("decode/ipv6_extension", |tcp| ethernet(&[], [0x86, 0xdd], ipv6(true, transport(tcp))), general);
    measure("decode/vlan", tagged, general);
    measure("decode/qinq", doubly, general);
}
