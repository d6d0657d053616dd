//! The fast decoders and the general one agree.

use sonde_packet::decapsulate;

use super::*;
use crate::decode::{Found, KeyBits, general_packet, inner_packet, located_packet};
use crate::fragments::Held;
use crate::key::{Key4, KeyWide, ports, vlan_bits};
use crate::packet::PATTERN;

/// A packet in another one (RFC 2003).
fn in_ip(packet: &[u8]) -> Vec<u8> {
    let octets = u16::try_from(20 + packet.len() - 14).expect("short").to_be_bytes();
    let header = [0x45, 0, octets[0], octets[1], 0, 1, 0, 0, 60, 4, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2];
    [&packet[..14], &header, &packet[14..]].concat()
}

#[test]
fn a_packet_in_a_tunnel_is_the_same_whoever_decodes_it() {
    let tunnels = Tunnels::default();
    let tags = [&[][..], &[0x81, 0, 0xa0, 5], &[0x88, 0xa8, 0, 100, 0x81, 0, 15, 255]];
    for (from, to, protocol, flags) in [(A, B, 6, 2), (B, A, 6, 0x11), (A, B, 17, 0), (B, A, 17, 0), (A, A, 17, 0)] {
        let packet = ipv4(from, to, 4000, 53, protocol, flags);
        for (bytes, tags) in [vxlan(7, &packet), in_ip(&packet)].into_iter().flat_map(|bytes| tags.map(|tags| (bytes.clone(), tags))) {
            let bytes = [&bytes[..12], tags, &bytes[12..]].concat();
            let frame = Frame { wire_len: 900, ..frame(&bytes, START) };
            let inner = decapsulate(&frame, &tunnels).expect("a frame").inner.expect("a packet in a tunnel");
            let (headers, view) = (inner.headers, View::Inner);
            for vlans in [u32::MAX, 0] {
                let fast = inner_packet(&frame, 9, PATTERN, (&tunnels, KeyBits { networks: u32::MAX, vlans })).expect("a common packet");
                let vlan = vlan_bits(headers.vlan) & vlans;
                let held = Held { headers, view, overlay: inner.network, vlan, wire_len: 900, time: START, counts: true, part: 0 };
                let (key, direction) = KeyWide::of(&headers, view, held.vlan, held.overlay);
                assert_eq!(format!("{fast:?}"), format!("{:?}", general_packet(key, direction, &held, 9, PATTERN)), "{bytes:02x?}");
            }
        }
    }
}

#[test]
fn a_packet_behind_tags_or_labels_is_the_same_whoever_decodes_it() {
    let tunnels = Tunnels::default();
    let six = |from: u8, to: u8, protocol: u8| {
        let addresses = [from, to].map(|end| [[0x20, 1, 0xd, 0xb8].as_slice(), &[end; 12]].concat()).concat();
        let transport = [0x0f, 0xa0, 0, 53, 0, 20, 0, 0, 0, 0, 0, 7, 0x50, 0x12, 0xff, 0xff, 0, 0, 0, 0];
        [[0x6a, 0x10, 0, 0, 0, 20, protocol, 61].as_slice(), &addresses, &transport].concat()
    };
    let labels = [0, 6, 0x40, 0x40, 0, 6, 0x51, 0x40];
    for (from, to, protocol, flags) in [(A, B, 6, 2), (B, A, 6, 0x11), (A, B, 17, 0), (B, A, 17, 0), (A, A, 17, 0)] {
        let plain = ipv4(from, to, 4000, 53, protocol, flags);
        let (macs, packet) = (&plain[..12], &plain[14..]);
        let frames = [
            [macs, &[0x81, 0, 0xa0, 5, 8, 0], packet].concat(),
            [macs, &[0x88, 0xa8, 0, 100, 0x81, 0, 15, 255, 8, 0], packet].concat(),
            [macs, &[0x88, 0x47], &labels, packet].concat(),
            [macs, &[0x81, 0, 0, 7, 0x88, 0x64, 0x11, 0, 0, 7, 0, 99, 0, 0x21], packet].concat(),
            [macs, &[0x86, 0xdd], six(from[3], to[3], protocol).as_slice()].concat(),
            [macs, &[0x81, 0, 0, 9, 0x86, 0xdd], six(from[3], to[3], protocol).as_slice()].concat(),
            [macs, &[0x88, 0x47], &labels, six(from[3], to[3], protocol).as_slice()].concat(),
        ];
        for (bytes, vlans) in frames.iter().flat_map(|bytes| [(bytes, u32::MAX), (bytes, 0)]) {
            let frame = Frame { wire_len: 900, ..frame(bytes, START) };
            let headers = decapsulate(&frame, &tunnels).expect("a frame").outer;
            let vlan = vlan_bits(headers.vlan) & vlans;
            let held = Held { headers, view: View::First, overlay: 0, vlan, wire_len: 900, time: START, counts: true, part: 0 };
            let general = match headers.network {
                sonde_packet::Network::V4(src, dst) => {
                    let (sport, dport) = ports(&headers);
                    let [src, dst] = [src, dst].map(u32::from_be_bytes);
                    let (key, direction) = Key4::new(src, dst, sport, dport, headers.protocol, vlan);
                    Found::V4(general_packet(key, direction, &held, 9, PATTERN))
                }
                _ => {
                    let (key, direction) = KeyWide::of(&headers, View::First, vlan, 0);
                    Found::V6(general_packet(key, direction, &held, 9, PATTERN))
                }
            };
            let fast = located_packet(&frame, 9, PATTERN, (&tunnels, vlans)).expect("a common packet");
            assert_eq!(format!("{fast:?}"), format!("{general:?}"), "{bytes:02x?}");
        }
    }
}
