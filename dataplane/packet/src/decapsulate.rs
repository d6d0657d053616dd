//! From the outer packet to the innermost one.

use crate::choice::Tunnels;
use crate::cursor::Cursor;
use crate::decode::{first, follow, network};
use crate::frame::Frame;
use crate::headers::{Headers, Malformed, ServiceInstance};
use crate::layers::{Layers, TunnelListener};
use crate::link::wireless::subframe;
use crate::link::{ethernet, ppp, raw};
use crate::listener::Listener;
use crate::recognise::recognise;
use crate::tunnel::carried::Next;

/// Most subframes of an A-MSDU that are passed over in search of one with a packet: a limit on work.
const SUBFRAMES_MAX: u16 = 1024;

/// The packets of a frame that are metered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packets {
    /// By the first IP header (or the ethertype).
    pub outer: Headers,
    /// By the last IP header that was looked for, when there are two or more.
    pub inner: Option<Inner>,
    /// The network that the frame's service instance is (I-SID): part of the outer packet's key; 0 where there is none.
    pub network: u32,
    /// Tunnels go on below the inner packet: the limit was reached.
    pub too_deep: bool,
    /// A tunnel that was looked into carries something that cannot be read: the packet is metered by the headers before it.
    pub unreadable: bool,
    /// Subframes of an A-MSDU that were passed over, beside one with a packet: there is no IP packet in them.
    pub skipped: u16,
    /// Where the next subframe begins, with another packet perhaps: for [`decapsulate_part`].
    pub next: Option<Part>,
    /// Octets of the frame on the wire that are the inner packet's: all, but for those of other subframes.
    pub wire_len: u32,
}

/// A subframe of an A-MSDU: its offset in the frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part(pub u16);

/// The innermost packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inner {
    /// Its headers. MAC addresses are those of the frame. VLAN tags are those of the Ethernet header nearest above it.
    pub headers: Headers,
    /// Kind and identifier of the innermost tunnel whose identifier separates networks ([`crate::Tunnel::separates`]), or service
    /// instance; 0 where there is none.
    pub network: u32,
    /// Whether the outer flow is wanted, too.
    pub keep_outer: bool,
}

/// Decodes a frame through its tunnels, as far as `tunnels` allows.
///
/// A frame can carry several packets in one tunnel (an A-MSDU of IEEE 802.11): this is the first of them, [`Packets::next`] leads to the
/// others.
///
/// # Errors
/// The reason why the frame has no readable headers. What a tunnel carries is no such reason.
pub fn decapsulate(frame: &Frame<'_>, tunnels: &Tunnels) -> Result<Packets, Malformed> {
    walk(frame, tunnels, None, &mut ())
}

/// The same for the packet of a subframe, or of the first one behind it that has one: [`Packets::next`] of the packet before.
///
/// # Errors
/// As [`decapsulate`].
pub fn decapsulate_part(frame: &Frame<'_>, tunnels: &Tunnels, part: Part) -> Result<Packets, Malformed> {
    walk(frame, tunnels, Some(part), &mut ())
}

/// What the layers of a frame say: for the first packet of a flow. `inner` says which of its flows that is.
///
/// # Errors
/// As [`decapsulate`].
pub fn layers(frame: &Frame<'_>, tunnels: &Tunnels, inner: bool) -> Result<(Headers, Layers), Malformed> {
    layers_part(frame, tunnels, inner, None)
}

/// The same for the packet that [`decapsulate_part`] finds.
///
/// # Errors
/// As [`decapsulate`].
pub fn layers_part(frame: &Frame<'_>, tunnels: &Tunnels, inner: bool, part: Option<Part>) -> Result<(Headers, Layers), Malformed> {
    let mut layers = Layers::default();
    let packets = walk(frame, tunnels, part, &mut layers)?;
    let metered = packets.inner.map_or(packets.outer, |found| if inner { found.headers } else { packets.outer });
    layers.finish(&metered, packets.inner.map(|found| found.headers).as_ref());
    Ok((metered, layers))
}

#[inline(always)]
fn walk(frame: &Frame<'_>, tunnels: &Tunnels, mut part: Option<Part>, listener: &mut impl TunnelListener) -> Result<Packets, Malformed> {
    let outer = first(frame, listener)?;
    let mut network = outer.service_instance.network();
    let mut packets =
        Packets { outer, inner: None, network, too_deep: false, unreadable: false, skipped: 0, next: None, wire_len: frame.wire_len };
    let (mut above, mut keep_outer, mut aggregates) = (outer, false, 0u8);
    for depth in 0..=tunnels.depth_max() {
        let Some(mut at) = behind_ip(frame, &above) else { break };
        let behind = at.rest().len();
        let Some(opening) = recognise((above.protocol, above.sport, above.dport), tunnels.ports(), &mut at, listener) else { break };
        if !tunnels.enters(opening.kind) {
            break;
        }
        let header = behind.saturating_sub(at.rest().len());
        let carried = above.carried(above.l4_offset.into());
        if header >= carried {
            // The packet ends before what the tunnel would carry: padding follows.
            break;
        }
        if depth == tunnels.depth_max() {
            packets.too_deep = true;
            break;
        }
        keep_outer |= tunnels.keeps_outer(opening.kind);
        network = opening.network().unwrap_or(network);
        listener.tunnel(opening.kind, opening.id, &above);
        let found = if opening.next == Next::Subframes {
            aggregates = aggregates.saturating_add(1);
            let aggregate = Aggregate { at, octets: carried.saturating_sub(header), nested: aggregates > 1 };
            aggregate.packet(frame, part.take(), &above, &mut packets, listener)
        } else {
            below(frame, at, opening.next, &above, listener)
        };
        match found {
            Ok(Some(headers)) => {
                if headers.service_instance != ServiceInstance::default() {
                    network = headers.service_instance.network();
                }
                packets.inner = Some(Inner { headers, network, keep_outer });
                above = headers;
            }
            Ok(None) => break,
            Err(_) => {
                packets.unreadable = true;
                break;
            }
        }
    }
    Ok(packets)
}

/// An A-MSDU of IEEE 802.11.
struct Aggregate<'a> {
    /// Before its first subframe.
    at: Cursor<'a>,
    octets: usize,
    /// Inside of another one: it is looked into as far as its first packet.
    nested: bool,
}

impl Aggregate<'_> {
    /// The packet of a subframe, the first that has one from `part` on.
    fn packet(
        self,
        frame: &Frame<'_>,
        part: Option<Part>,
        above: &Headers,
        packets: &mut Packets,
        listener: &mut impl Listener,
    ) -> Result<Option<Headers>, Malformed> {
        let Self { mut at, octets, nested } = self;
        let offset = |at: Cursor<'_>| frame.bytes.len().saturating_sub(at.rest().len());
        let end = offset(at).saturating_add(octets);
        let from = part.map_or(0, |Part(from)| usize::from(from));
        at.skip(from.saturating_sub(offset(at))).ok_or(Malformed::LinkTruncated)?;
        if part.is_some() {
            // A packet on the way to the aggregate belongs to the first walk, also when this part has none of its own.
            packets.inner = None;
        }
        let (mut skipped, mut unreadable) = (0u16, false);
        while let Some(found) = subframe(at, end.saturating_sub(offset(at))).filter(|_| skipped < SUBFRAMES_MAX) {
            let next = found.next.map(|octets| offset(at).saturating_add(octets));
            let inner = found.ethertype.map(|ethertype| {
                listener.ethernet(found.destination, found.source);
                below(frame, found.payload, Next::Ethertype(ethertype), above, listener)
            });
            if let Some(Ok(Some(headers))) = inner {
                packets.skipped = packets.skipped.saturating_add(skipped);
                if !nested {
                    let share = next.map_or(frame.wire_len, |next| u32::try_from(next).unwrap_or(u32::MAX));
                    packets.wire_len = share.saturating_sub(u32::try_from(from).unwrap_or(0));
                    packets.next = next.and_then(|next| u16::try_from(next).ok()).map(Part);
                }
                return Ok(Some(headers));
            }
            unreadable |= matches!(inner, Some(Err(_)));
            skipped = skipped.saturating_add(1);
            let Some(octets) = found.next else { break };
            at.skip(octets).ok_or(Malformed::LinkTruncated)?;
        }
        if part.is_some() {
            packets.skipped = packets.skipped.saturating_add(skipped);
        }
        if unreadable { Err(Malformed::LinkTruncated) } else { Ok(None) }
    }
}

/// What stands behind the IP header of a packet; later fragments have nothing to look at.
fn behind_ip<'a>(frame: &Frame<'a>, headers: &Headers) -> Option<Cursor<'a>> {
    let offset = usize::from(headers.l4_offset);
    (offset != 0).then(|| frame.bytes.get(offset..).map(Cursor::new)).flatten()
}

/// The packet inside a tunnel; `None` when it is none of IP.
fn below(
    frame: &Frame<'_>,
    mut at: Cursor<'_>,
    next: Next,
    above: &Headers,
    listener: &mut impl Listener,
) -> Result<Option<Headers>, Malformed> {
    let mut headers = Headers { vlan: above.vlan, tags: above.tags, ..Headers::default() };
    match next {
        Next::Ethernet => ethernet::read_in_tunnel(&mut at, &mut headers, listener)?,
        Next::Ethertype(ethertype) => headers.ethertype = ethertype,
        Next::Ip => headers.ethertype = raw::read(at)?,
        Next::Ppp => ppp::read(&mut at, &mut headers)?,
        Next::Subframes => return Ok(None),
    }
    follow(&mut at, &mut headers, listener)?;
    (headers.smac, headers.dmac) = (above.smac, above.dmac);
    let found = network(frame, at, &mut headers, Some(above), listener)?;
    Ok(found.then_some(headers))
}

#[cfg(test)]
#[path = "decapsulate_tests.rs"]
mod tests;
