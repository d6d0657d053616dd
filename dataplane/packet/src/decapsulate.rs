//! From the outer packet to the innermost one.

use crate::Frame;
use crate::cursor::Cursor;
use crate::decode::{first, network};
use crate::headers::{Headers, Malformed};
use crate::layers::{Layers, Notes};
use crate::link::{enter_ethernet, follow, ip_version, point_to_point};
use crate::tunnel::{Next, Tunnels, recognise};

/// The packets of a frame that are metered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packets {
    /// By the first IP header (or the ethertype).
    pub outer: Headers,
    /// By the last IP header that was looked for, when there are two or more.
    pub inner: Option<Inner>,
    /// Tunnels go on below the inner packet: the limit was reached.
    pub too_deep: bool,
    /// A tunnel that was looked into carries something that cannot be read: the packet is metered by the headers before it.
    pub unreadable: bool,
}

/// The innermost packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inner {
    /// Its headers. MAC addresses are those of the frame. VLAN tags are those of the Ethernet header nearest above it.
    pub headers: Headers,
    /// Kind and identifier of the innermost tunnel whose identifier separates networks; 0 where there is none ([`crate::Tunnel::separates`]).
    pub network: u32,
    /// Whether the outer flow is wanted, too.
    pub keep_outer: bool,
}

/// Decodes a frame through its tunnels, as far as `tunnels` allows.
///
/// # Errors
/// The reason why the frame has no readable headers. What a tunnel carries is no such reason.
pub fn decapsulate(frame: &Frame<'_>, tunnels: &Tunnels) -> Result<Packets, Malformed> {
    walk(frame, tunnels, &mut ())
}

/// What the layers of a frame say: for the first packet of a flow. `inner` says which of its flows that is.
///
/// # Errors
/// As [`decapsulate`].
pub fn layers(frame: &Frame<'_>, tunnels: &Tunnels, inner: bool) -> Result<(Headers, Layers), Malformed> {
    let mut layers = Layers::default();
    let packets = walk(frame, tunnels, &mut layers)?;
    let metered = packets.inner.map_or(packets.outer, |found| if inner { found.headers } else { packets.outer });
    layers.finish(&metered, packets.inner.map(|found| found.headers).as_ref());
    Ok((metered, layers))
}

fn walk(frame: &Frame<'_>, tunnels: &Tunnels, notes: &mut impl Notes) -> Result<Packets, Malformed> {
    let outer = first(frame, notes)?;
    let mut packets = Packets { outer, inner: None, too_deep: false, unreadable: false };
    let (mut above, mut network, mut keep_outer) = (outer, 0, false);
    for depth in 0..=tunnels.depth_max() {
        let Some(mut at) = behind_ip(frame, &above) else { break };
        let behind = at.rest().len();
        let Some(opening) = recognise(above.protocol, above.sport, above.dport, &mut at, notes) else { break };
        if !tunnels.enters(opening.kind) {
            break;
        }
        if behind.saturating_sub(at.rest().len()) >= above.carried(above.l4_offset.into()) {
            // The packet ends before what the tunnel would carry: padding follows.
            break;
        }
        if depth == tunnels.depth_max() {
            packets.too_deep = true;
            break;
        }
        keep_outer |= tunnels.keeps_outer(opening.kind);
        network = opening.network().unwrap_or(network);
        notes.tunnel(opening.kind, opening.identifier(), &above);
        match below(frame, at, opening.next, &above, notes) {
            Ok(Some(headers)) => {
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

/// What stands behind the IP header of a packet; later fragments have nothing to look at.
fn behind_ip<'a>(frame: &Frame<'a>, headers: &Headers) -> Option<Cursor<'a>> {
    let offset = usize::from(headers.l4_offset);
    (offset != 0).then(|| frame.bytes.get(offset..).map(Cursor::new)).flatten()
}

/// The packet inside a tunnel; `None` when it is none of IP.
fn below(frame: &Frame<'_>, mut at: Cursor<'_>, next: Next, above: &Headers, notes: &mut impl Notes) -> Result<Option<Headers>, Malformed> {
    let mut headers = Headers { vlan: above.vlan, tags: above.tags, ..Headers::default() };
    match next {
        Next::Ethernet => enter_ethernet(&mut at, &mut headers, notes)?,
        Next::Ethertype(ethertype) => headers.ethertype = ethertype,
        Next::Ip => headers.ethertype = ip_version(at)?,
        Next::Ppp => point_to_point(&mut at, &mut headers)?,
    }
    follow(&mut at, &mut headers, notes)?;
    (headers.smac, headers.dmac) = (above.smac, above.dmac);
    let found = network(frame, at, &mut headers, Some(above), notes)?;
    Ok(found.then_some(headers))
}

#[cfg(test)]
#[path = "decapsulate_tests.rs"]
mod tests;
