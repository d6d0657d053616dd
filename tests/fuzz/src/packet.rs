//! Bytes of the network and of capture files.

use sonde_packet::{Frame, Link, Network, Tunnels, View, decapsulate, fast4, layers, syn_options};
use sonde_worker::capture::survey;
use sonde_worker::source::{FileSource, Polled, Source};

use super::Input;

/// The link types, by the first byte of an input.
pub(crate) fn link(number: u8) -> Link {
    match number % 6 {
        0 => Link::Ethernet,
        1 => Link::RawIp,
        2 => Link::LinuxSll,
        3 => Link::LinuxSll2,
        4 => Link::Null,
        _ => Link::Unknown,
    }
}

/// A frame, behind one byte of link type and one by which its wire was longer than its capture.
///
/// Decoding gives a value or a reason; offsets stand inside the frame; what the fast decoder finds, the general one finds too.
pub fn decode(data: &[u8]) {
    let mut input = Input(data);
    let (kind, longer) = (link(input.byte()), u32::from(input.byte()));
    let bytes = input.0;
    let length = u32::try_from(bytes.len()).expect("inputs are short");
    let frame = Frame { bytes, wire_len: length + longer, link: kind, port: 1, time: 0 };
    let general = sonde_packet::decode(&frame);
    let tunnels = Tunnels::new(View::Both, kind as u8);
    let packets = decapsulate(&frame, &tunnels);
    assert_eq!(packets.map(|packets| packets.outer), general, "the way to the first IP header is the same");
    if let Ok(packets) = packets {
        let (innermost, found) = layers(&frame, &tunnels, true).expect("decoded before");
        assert_eq!(innermost, packets.inner.map_or(packets.outer, |inner| inner.headers), "listening changes nothing");
        assert!(packets.inner.is_none() || found.depth > 0, "an inner packet is in a tunnel");
    }
    if let Ok(headers) = &general {
        for offset in [headers.l3_offset, headers.l4_offset] {
            assert!(usize::from(offset) <= bytes.len() || offset == u16::MAX, "offset {offset} of {} bytes", bytes.len());
        }
        assert!(!(headers.tcp.is_some() && headers.transport_truncated(&frame)), "a TCP header, and it is cut");
        let _ = syn_options(bytes.get(usize::from(headers.l4_offset)..).unwrap_or_default());
    }
    let _ = syn_options(bytes);
    let Some(fast) = fast4(&frame) else { return };
    let headers = general.expect("the fast decoder knows it");
    let ends = Network::V4(fast.src.to_be_bytes(), fast.dst.to_be_bytes());
    assert_eq!((headers.network, headers.sport, headers.dport), (ends, fast.sport, fast.dport));
    assert_eq!((headers.protocol, headers.ttl, headers.tos), (fast.protocol, fast.ttl, fast.tos));
    assert_eq!((headers.octets, headers.tcp.map_or(0, |tcp| tcp.flags)), (u32::from(fast.octets), fast.tcp_flags));
    assert_eq!((headers.tags, headers.fragment.is_fragment(), headers.transport_truncated(&frame)), (0, false, false));
}

/// A capture file.
///
/// Its frames do not hold more than the file; the source reads as many as the reader; its clock never goes back.
pub fn capture(data: &[u8]) {
    let Ok((frames, octets, _)) = survey(data) else {
        assert!(FileSource::open(data).is_err(), "a reader refused what the other took");
        return;
    };
    assert!(octets <= data.len() as u64, "{octets} octets of frames in a file of {}", data.len());
    let mut source = FileSource::open(data).expect("the reader took it");
    let (mut lent, mut clock) = (0, 0);
    let mut polled = Polled::Idle;
    while polled != Polled::End {
        polled = source.burst(|burst, now| {
            assert!(now >= clock, "the clock went back from {clock} to {now}");
            (lent, clock) = (lent + burst.len() as u64, now);
        });
    }
    assert_eq!(lent, frames);
}
