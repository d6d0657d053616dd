//! What holds of every frame, whoever made it: the decoders give a value or a reason, and agree.

use sonde_packet::{
    Affinity, Fast4, FastIp, Frame, Headers, Network, Packets, Tunnel, Tunnels, View, decapsulate, decapsulate_part, fast4, inner4, layers,
    layers_part, located, syn_options,
};

/// Decodes a frame in every way, tunnels `depth` deep.
///
/// # Panics
/// When an offset stands outside the frame, or two of the ways differ.
pub fn agreement(frame: &Frame<'_>, depth: u8) {
    let bytes = frame.bytes;
    let general = sonde_packet::decode(frame);
    let tunnels = Tunnels::new(View::Both, depth);
    let packets = decapsulate(frame, &tunnels);
    assert_eq!(packets.map(|packets| packets.outer), general, "the way to the first IP header is the same");
    if let Ok(packets) = packets {
        let (innermost, found) = layers(frame, &tunnels, true).expect("decoded before");
        assert_eq!(innermost, packets.inner.map_or(packets.outer, |inner| inner.headers), "listening changes nothing");
        assert!(packets.inner.is_none() || found.depth > 0, "an inner packet is in a tunnel");
        assert!(found.depth <= depth, "{} tunnels, {depth} were allowed", found.depth);
        parts(frame, &tunnels, &packets);
    }
    if let Ok(headers) = &general {
        for offset in [headers.l3_offset, headers.l4_offset] {
            assert!(usize::from(offset) <= bytes.len() || offset == u16::MAX, "offset {offset} of {} bytes", bytes.len());
        }
        assert!(!(headers.tcp.is_some() && headers.transport_truncated(frame)), "a TCP header, and it is cut");
        let _ = syn_options(bytes.get(usize::from(headers.l4_offset)..).unwrap_or_default());
    }
    let _ = syn_options(bytes);
    if let Some(fast) = fast4(frame, &tunnels) {
        same(&fast, &general.expect("the fast decoder knows it"), frame);
    }
    ahead(frame, &tunnels);
    let mut affinity = Affinity::new(7, &tunnels);
    assert_eq!(affinity.hash(frame, 5), affinity.hash(frame, 5), "a frame has one worker");
    for tunnels in [Tunnels::new(View::Inner, depth), tunnels, tunnels.with(Tunnel::Vxlan, View::Inner)] {
        inside(frame, &tunnels);
    }
}

/// The packets of an A-MSDU come one behind the other, come to an end, and share the frame.
fn parts(frame: &Frame<'_>, tunnels: &Tunnels, first: &Packets) {
    let (mut next, mut before, mut share) = (first.next, 0, u64::from(first.wire_len));
    while let Some(part) = next {
        assert!(usize::from(part.0) > before && usize::from(part.0) < frame.bytes.len().max(1), "subframe at {part:?} behind {before}");
        before = part.0.into();
        let Ok(packets) = decapsulate_part(frame, tunnels, part) else { panic!("the frame was decoded before") };
        if let Some(inner) = packets.inner {
            let (metered, _) = layers_part(frame, tunnels, true, Some(part)).expect("decoded before");
            assert_eq!(metered, inner.headers, "listening changes nothing");
            share += u64::from(packets.wire_len);
        }
        next = packets.next;
    }
    assert!(first.next.is_none() || share <= u64::from(frame.wire_len).max(frame.bytes.len() as u64), "{share} octets of a frame");
}

/// What the fast decoder finds behind tags and labels, the general one finds too, and nothing besides.
fn ahead(frame: &Frame<'_>, tunnels: &Tunnels) {
    let Some(found) = located(frame, tunnels) else { return };
    let packets = decapsulate(frame, tunnels).expect("the fast decoder knows it");
    assert_eq!((packets.too_deep, packets.unreadable, packets.inner.is_none(), packets.network), (false, false, true, 0));
    let headers = packets.outer;
    let header = match found.packet {
        FastIp::V4(packet) => {
            same(&packet, &Headers { tags: 0, ..headers }, frame);
            20
        }
        FastIp::V6(packet) => {
            let ends = Network::V6(packet.src.to_be_bytes(), packet.dst.to_be_bytes());
            assert_eq!((headers.network, headers.sport, headers.dport), (ends, packet.sport, packet.dport));
            assert_eq!((headers.protocol, headers.ttl, headers.tos), (packet.protocol, packet.ttl, packet.tos));
            assert_eq!((headers.octets, headers.tcp.map_or(0, |tcp| tcp.flags)), (packet.octets, packet.tcp_flags));
            assert_eq!((headers.fragment.is_fragment(), headers.transport_truncated(frame)), (false, false));
            40
        }
    };
    let [outer, inner] = headers.vlan;
    let ids = [outer, if headers.tags > 1 { inner } else { 0 }];
    assert_eq!((ids, headers.tags < 3, headers.service_instance.id()), (found.vlan, true, None));
    assert_eq!([headers.l3_offset, headers.l4_offset], [found.l3_offset, found.l3_offset + header]);
}

/// What the fast decoder finds in a tunnel, the general one finds too, and nothing besides.
fn inside(frame: &Frame<'_>, tunnels: &Tunnels) {
    let Some(fast) = inner4(frame, tunnels) else { return };
    let packets = decapsulate(frame, tunnels).expect("the fast decoder knows it");
    let inner = packets.inner.expect("the fast decoder knows it");
    same(&fast.packet, &Headers { tags: 0, ..inner.headers }, frame);
    assert_eq!((inner.headers.vlan, inner.headers.tags < 3), (fast.vlan, true));
    assert_eq!((packets.too_deep, packets.unreadable, inner.keep_outer), (false, false, false));
    assert_eq!((fast4(frame, tunnels), located(frame, tunnels), inner.network), (None, None, fast.network));
    assert_eq!([inner.headers.l3_offset, inner.headers.l4_offset], [fast.l4_offset - 20, fast.l4_offset]);
}

fn same(fast: &Fast4, headers: &Headers, frame: &Frame<'_>) {
    let ends = Network::V4(fast.src.to_be_bytes(), fast.dst.to_be_bytes());
    assert_eq!((headers.network, headers.sport, headers.dport), (ends, fast.sport, fast.dport));
    assert_eq!((headers.protocol, headers.ttl, headers.tos), (fast.protocol, fast.ttl, fast.tos));
    assert_eq!((headers.octets, headers.tcp.map_or(0, |tcp| tcp.flags)), (u32::from(fast.octets), fast.tcp_flags));
    assert_eq!((headers.tags, headers.fragment.is_fragment(), headers.transport_truncated(frame)), (0, false, false));
}
