//! What holds of every frame, whoever made it: the decoders give a value or a reason, and agree.

use sonde_packet::{Frame, Network, Tunnels, View, decapsulate, fast4, layers, syn_options};

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
    }
    if let Ok(headers) = &general {
        for offset in [headers.l3_offset, headers.l4_offset] {
            assert!(usize::from(offset) <= bytes.len() || offset == u16::MAX, "offset {offset} of {} bytes", bytes.len());
        }
        assert!(!(headers.tcp.is_some() && headers.transport_truncated(frame)), "a TCP header, and it is cut");
        let _ = syn_options(bytes.get(usize::from(headers.l4_offset)..).unwrap_or_default());
    }
    let _ = syn_options(bytes);
    let Some(fast) = fast4(frame) else { return };
    let headers = general.expect("the fast decoder knows it");
    let ends = Network::V4(fast.src.to_be_bytes(), fast.dst.to_be_bytes());
    assert_eq!((headers.network, headers.sport, headers.dport), (ends, fast.sport, fast.dport));
    assert_eq!((headers.protocol, headers.ttl, headers.tos), (fast.protocol, fast.ttl, fast.tos));
    assert_eq!((headers.octets, headers.tcp.map_or(0, |tcp| tcp.flags)), (u32::from(fast.octets), fast.tcp_flags));
    assert_eq!((headers.tags, headers.fragment.is_fragment(), headers.transport_truncated(frame)), (0, false, false));
}
