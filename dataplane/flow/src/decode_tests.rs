//! The fast decoders and the general one agree.

use sonde_packet::decapsulate;

use super::*;
use crate::decode::{general_packet, inner_packet};
use crate::fragments::Held;
use crate::key::{KeyWide, vlan_bits};
use crate::packet::PATTERN;

#[test]
fn a_packet_in_a_tunnel_is_the_same_whoever_decodes_it() {
    let tunnels = Tunnels::default();
    for (from, to, protocol, flags) in [(A, B, 6, 2), (B, A, 6, 0x11), (A, B, 17, 0), (B, A, 17, 0), (A, A, 17, 0)] {
        let bytes = vxlan(7, &ipv4(from, to, 4000, 53, protocol, flags));
        let frame = Frame { wire_len: 900, ..frame(&bytes, START) };
        let fast = inner_packet(&frame, 9, PATTERN, (&tunnels, u32::MAX)).expect("a common packet");
        let inner = decapsulate(&frame, &tunnels).expect("a frame").inner.expect("a packet in a tunnel");
        let (headers, view) = (inner.headers, View::Inner);
        let held =
            Held { headers, view, overlay: inner.network, vlan: vlan_bits(&headers), wire_len: 900, time: START, counts: true, part: 0 };
        let (key, direction) = KeyWide::of(&headers, view, held.vlan, held.overlay);
        assert_eq!(format!("{fast:?}"), format!("{:?}", general_packet(key, direction, &held, 9, PATTERN)));
    }
}
