//! The general decoder.

use crate::cursor::Cursor;
use crate::headers::{Fragment, Headers, Malformed, Network, Tcp, has_ports, proto};
use crate::layers::{Arp, Notes, SegmentRouting};
use crate::link::{ethertype, link};
use crate::wireless;
use crate::{Frame, Link};

/// Most extension headers of an IPv6 packet: a limit on work, well above what RFC 8200 section 4.1 recommends.
pub const EXTENSIONS_MAX: u8 = 16;

/// Decodes one frame: link header, tags and labels, IP with its extensions, transport.
///
/// A frame without IP has [`Network::None`] and is still a value. A transport header that was cut off leaves its fields at
/// zero: the packet is metered by what is known of it.
///
/// # Errors
/// The reason why the frame has no readable headers.
#[inline]
pub fn decode(frame: &Frame<'_>) -> Result<Headers, Malformed> {
    first(frame, &mut ())
}

/// [`decode`] with somebody who listens.
#[inline(always)]
pub(crate) fn first(frame: &Frame<'_>, notes: &mut impl Notes) -> Result<Headers, Malformed> {
    let mut headers = Headers::default();
    let mut at = Cursor::new(frame.bytes);
    match frame.link {
        Link::Ieee80211 => wireless::link(&mut at, &mut headers, notes)?,
        kind => link(kind, &mut at, &mut headers, notes)?,
    }
    network(frame, at, &mut headers, None, notes)?;
    Ok(headers)
}

/// The network layer that `at` stands before; `false` when it is none of IP. `above`: the headers of the packet that carries this one
/// in a tunnel, which say where it ends at the latest; without, the frame does.
pub(crate) fn network(
    frame: &Frame<'_>,
    at: Cursor<'_>,
    headers: &mut Headers,
    above: Option<&Headers>,
    notes: &mut impl Notes,
) -> Result<bool, Malformed> {
    let l3 = frame.bytes.len().saturating_sub(at.rest().len());
    headers.l3_offset = u16::try_from(l3).unwrap_or(u16::MAX);
    let behind = match above {
        Some(above) => u32::try_from(above.carried(l3)).unwrap_or(u32::MAX),
        None => frame.wire_len.saturating_sub(u32::from(headers.l3_offset)),
    };
    match headers.ethertype {
        ethertype::IPV4 => ipv4(at, headers, behind, notes)?,
        ethertype::IPV6 => ipv6(at, headers, behind, notes)?,
        other => {
            headers.octets = behind;
            if other == ethertype::ARP {
                arp(at, notes);
            }
            return Ok(false);
        }
    }
    Ok(true)
}

/// RFC 826, for IPv4 over Ethernet: protocol 0x0800, lengths 6 and 4. The hardware type may be another of the same shape: that of
/// IEEE 802 networks is 6.
fn arp(at: Cursor<'_>, notes: &mut impl Notes) {
    let Some(header) = at.peek::<28>() else { return };
    let [_, _, 8, 0, 6, 4, o0, o1, _, _, _, _, _, _, s0, s1, s2, s3, _, _, _, _, _, _, t0, t1, t2, t3] = *header else { return };
    notes.arp(Arp { operation: u16::from_be_bytes([o0, o1]), sender: [s0, s1, s2, s3], target: [t0, t1, t2, t3] });
}

/// RFC 791 section 3.1. `behind` is how long the packet is on the wire at most.
fn ipv4(mut at: Cursor<'_>, headers: &mut Headers, behind: u32, notes: &mut impl Notes) -> Result<(), Malformed> {
    let header: &[u8; 20] = at.take().ok_or(Malformed::Ipv4Truncated)?;
    let [first, tos, t0, t1, i0, i1, f0, f1, ttl, protocol, _, _, s0, s1, s2, s3, d0, d1, d2, d3] = *header;
    if first >> 4 != 4 {
        return Err(Malformed::Ipv4BadVersion);
    }
    let options = usize::from(first & 0x0f).checked_sub(5).ok_or(Malformed::Ipv4BadHeaderLength)?.saturating_mul(4);
    let total = u16::from_be_bytes([t0, t1]);
    // Segmentation offload on the capturing host leaves a total length of 0: then the wire says it.
    headers.octets = if total == 0 { behind } else { u32::from(total) };
    if usize::try_from(headers.octets).unwrap_or(usize::MAX) < options.saturating_add(20) {
        return Err(Malformed::Ipv4BadTotalLength);
    }
    let field = u16::from_be_bytes([f0, f1]);
    headers.fragment =
        Fragment { id: u32::from(u16::from_be_bytes([i0, i1])), offset: (field & 0x1fff).wrapping_shl(3), more: field & 0x2000 != 0 };
    headers.network = Network::V4([s0, s1, s2, s3], [d0, d1, d2, d3]);
    headers.tos = tos;
    headers.ip_flags = f0 & 0xe0;
    headers.ttl = ttl;
    headers.protocol = protocol;
    if at.skip(options).is_none() {
        // The capture ends inside the options: addresses and protocol are known, ports are not.
        return Ok(());
    }
    let offset = usize::from(headers.l3_offset).saturating_add(20).saturating_add(options);
    if headers.fragment.offset != 0 {
        return Ok(());
    }
    extensions(at, headers, offset, notes)
}

/// RFC 8200 sections 3 and 4. `behind` is how long the packet is on the wire at most.
fn ipv6(mut at: Cursor<'_>, headers: &mut Headers, behind: u32, notes: &mut impl Notes) -> Result<(), Malformed> {
    let [first, second, l1, l2, p0, p1, next, ttl] = *at.take().ok_or(Malformed::Ipv6Truncated)?;
    let source = *at.take().ok_or(Malformed::Ipv6Truncated)?;
    let destination = *at.take().ok_or(Malformed::Ipv6Truncated)?;
    if first >> 4 != 6 {
        return Err(Malformed::Ipv6BadVersion);
    }
    headers.network = Network::V6(source, destination);
    let payload = u16::from_be_bytes([p0, p1]);
    headers.octets = if payload == 0 { unsaid(at, next, behind) } else { u32::from(payload).saturating_add(40) };
    headers.tos = first.wrapping_shl(4) | second >> 4;
    headers.flow_label = u32::from_be_bytes([0, second & 0x0f, l1, l2]);
    headers.ttl = ttl;
    headers.protocol = next;
    extensions(at, headers, usize::from(headers.l3_offset).saturating_add(40), notes)
}

/// Longest jumbogram whose option is believed against what was seen of it, in octets: no Linux host makes a longer one (GSO_MAX_SIZE).
const JUMBOGRAM_MAX: u32 = 8 * 65_535;

/// The length of an IPv6 packet whose payload length is 0: that of its jumbo payload option (RFC 2675 section 2). Without one,
/// segmentation offload on the capturing host left the 0, as in IPv4, and the wire says it; nothing at all follows "no next header".
fn unsaid(at: Cursor<'_>, next: u8, behind: u32) -> u32 {
    const NO_NEXT_HEADER: u8 = 59;
    match jumbo_payload(at, next) {
        Some(payload) if payload.saturating_add(40) <= behind.max(JUMBOGRAM_MAX) => payload.saturating_add(40),
        None if next == NO_NEXT_HEADER => 40,
        _ => behind.max(40),
    }
}

/// The value of the jumbo payload option; at most 65,535 is an error (RFC 2675 section 3), and no length.
fn jumbo_payload(mut at: Cursor<'_>, next: u8) -> Option<u32> {
    if next != 0 {
        return None;
    }
    let [_, words] = *at.take()?;
    let mut options = at.up_to(usize::from(words).saturating_mul(8).saturating_add(6));
    // Each pass takes an octet at least: 2,046 at most.
    loop {
        match *options.take()? {
            // Pad1 (RFC 8200 section 4.2).
            [0] => {}
            [0xc2] => {
                let [4, value @ ..] = *options.take::<5>()? else { return None };
                return Some(u32::from_be_bytes(value)).filter(|payload| *payload > u32::from(u16::MAX));
            }
            _ => {
                let [length] = *options.take()?;
                options.skip(usize::from(length))?;
            }
        }
    }
}

/// The headers between IP and transport (RFC 8200 section 4, RFC 4302), then the transport.
///
/// IPv4 knows only the authentication header, but others can be sent in it, and receivers differ in what they make of that: the
/// packet is metered by what it carries.
fn extensions(mut at: Cursor<'_>, headers: &mut Headers, mut offset: usize, notes: &mut impl Notes) -> Result<(), Malformed> {
    let over_ipv6 = matches!(headers.network, Network::V6(..));
    let mut extensions = 0u8;
    // Hop-by-hop options, routing, fragment, authentication, destination options.
    while matches!(headers.protocol, 0 | 43 | 44 | 51 | 60) {
        if extensions >= EXTENSIONS_MAX {
            return Err(Malformed::TooManyExtensions);
        }
        extensions = extensions.saturating_add(1);
        // A chain that was cut off: the packet is metered under the last protocol that was seen.
        let Some([next, length]) = at.peek::<2>().copied() else { return Ok(()) };
        let mut later = false;
        let octets = match headers.protocol {
            44 => {
                let Some([_, _, o0, o1, i0, i1, i2, i3]) = at.peek::<8>().copied() else { return Ok(()) };
                let field = u16::from_be_bytes([o0, o1]);
                later = field & 0xfff8 != 0;
                if over_ipv6 {
                    headers.fragment = Fragment { id: u32::from_be_bytes([i0, i1, i2, i3]), offset: field & 0xfff8, more: field & 1 != 0 };
                }
                8
            }
            // RFC 4302 section 2.2: the authentication header counts in words of four.
            51 => {
                if let Some([_, _, _, _, s0, s1, s2, s3]) = at.peek::<8>().copied() {
                    headers.spi = u32::from_be_bytes([s0, s1, s2, s3]);
                }
                usize::from(length).saturating_add(2).saturating_mul(4)
            }
            43 => {
                segment_routing(at, notes);
                usize::from(length).saturating_add(1).saturating_mul(8)
            }
            _ => usize::from(length).saturating_add(1).saturating_mul(8),
        };
        if !over_ipv6 && at.rest().len() < octets {
            return Ok(());
        }
        headers.protocol = next;
        if at.skip(octets).is_none() {
            return Ok(());
        }
        offset = offset.saturating_add(octets);
        if later {
            // RFC 8200 section 4.5: what follows in a later fragment is not a header.
            return Ok(());
        }
    }
    transport(at, headers, offset);
    Ok(())
}

/// RFC 8754 section 2: a routing header of type 4, its list behind eight octets, the last segment first.
fn segment_routing(at: Cursor<'_>, notes: &mut impl Notes) {
    let Some([_, _, 4, segments_left, last_entry, flags, t0, t1, segments @ ..]) = at.peek::<24>().copied() else { return };
    notes.segment_routing(SegmentRouting {
        segments: last_entry.saturating_add(1),
        segments_left,
        flags,
        tag: u16::from_be_bytes([t0, t1]),
        last: segments,
    });
}

/// Ports, TCP's fixed header, ICMP's type and code. Only the first fragment has them.
fn transport(at: Cursor<'_>, headers: &mut Headers, offset: usize) {
    if headers.fragment.offset != 0 {
        return;
    }
    headers.l4_offset = u16::try_from(offset).unwrap_or(0);
    let at = at.up_to(headers.carried(offset));
    match headers.protocol {
        proto::TCP => {
            if let Some(header) = at.peek::<16>() {
                let [_, _, _, _, s0, s1, s2, s3, a0, a1, a2, a3, high, low, w0, w1] = *header;
                headers.tcp = Some(Tcp {
                    seq: u32::from_be_bytes([s0, s1, s2, s3]),
                    ack: u32::from_be_bytes([a0, a1, a2, a3]),
                    flags: u16::from_be_bytes([high & 0x0f, low]),
                    window: u16::from_be_bytes([w0, w1]),
                });
            }
        }
        proto::ICMP | proto::ICMPV6 | proto::IGMP => {
            headers.icmp_seen = at.peek::<2>().is_some();
            headers.icmp = at.peek().copied().unwrap_or_default();
        }
        // RFC 4303 section 2: it comes first.
        proto::ESP => headers.spi = at.peek().map_or(0, |octets| u32::from_be_bytes(*octets)),
        _ => {}
    }
    if has_ports(headers.protocol)
        && let Some([s0, s1, d0, d1]) = at.peek::<4>().copied()
    {
        headers.sport = u16::from_be_bytes([s0, s1]);
        headers.dport = u16::from_be_bytes([d0, d1]);
    }
}

#[cfg(test)]
#[path = "decode_tests.rs"]
mod tests;
