//! The straight-line decoders for what most frames are: Ethernet, IPv4 without options, not a fragment, TCP or UDP that is no tunnel's
//! ([`fast4`]), and the same inside one tunnel over such an IPv4 header ([`inner4`]).

use crate::choice::Tunnels;
use crate::cursor::Cursor;
use crate::frame::{Frame, Link};
use crate::ip::v4;
use crate::link::{ethernet, ethertype, vlan};
use crate::ports::UdpPorts;
use crate::proto;
use crate::recognise::recognise;
use crate::transport::udp;
use crate::tunnel::carried::Next;
use crate::tunnel::{VXLAN_OCTETS, is_vxlan, vxlan};

/// What [`fast4`] finds: the fields every packet of a flow needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fast4 {
    /// Source address, as a number.
    pub src: u32,
    /// Destination address.
    pub dst: u32,
    /// Source port.
    pub sport: u16,
    /// Destination port.
    pub dport: u16,
    /// TCP or UDP.
    pub protocol: u8,
    /// TTL.
    pub ttl: u8,
    /// Type of service.
    pub tos: u8,
    /// IPv4 total length.
    pub octets: u16,
    /// TCP flags and reserved bits, twelve in all; 0 for UDP.
    pub tcp_flags: u16,
}

/// Ethernet's header and an IPv4 header without options.
const ETHERNET: usize = ethernet::OCTETS;
pub(crate) const IPV4: usize = v4::OCTETS;
/// What is read of a packet: the two octets before its IPv4 header, that header, and TCP's without options.
pub(crate) const WINDOW: usize = 2 + IPV4 + 20;
/// Bytes of the smallest frame that [`fast4`] looks at. Ethernet's minimum of 60 is more.
const LENGTH: usize = ETHERNET + IPV4 + 20;

/// Decodes the common frame without a branch that depends on which of the common kinds it is; `None` sends the frame to
/// [`crate::decode`], which finds the same fields.
///
/// Budget: 3 ns a frame in L1 (bench `decode/fast4`). The branches left are taken the same way for nearly every frame.
#[inline(always)]
pub fn fast4(frame: &Frame<'_>, tunnels: &Tunnels) -> Option<Fast4> {
    let bytes: &[u8; LENGTH] = frame.bytes.first_chunk()?;
    let packet = common(bytes.last_chunk()?, true, frame.link, tunnels.ports())?;
    is_whole(packet.octets, frame).then_some(packet)
}

/// Whether the wire carried all that the IPv4 header behind Ethernet's says. Else the frame was cut, and the source does not know.
#[inline(always)]
fn is_whole(octets: u16, frame: &Frame<'_>) -> bool {
    usize::from(octets).wrapping_add(ETHERNET) <= frame.wire_len as usize
}

/// Reads an IPv4 packet that has nothing uncommon. `ethernet`: whether the two octets before it are the ethertype.
#[inline(always)]
pub(crate) fn common(bytes: &[u8; WINDOW], ethernet: bool, link: Link, ports: &UdpPorts) -> Option<Fast4> {
    // Ethertype and IPv4; ports; the rest of TCP as far as its flags. Laid out by hand: a name a line would take sixty.
    #[rustfmt::skip]
    let [
        e0, e1,
        v, tos, t0, t1, _, _, f0, f1, ttl, protocol, _, _, s0, s1, s2, s3, d0, d1, d2, d3,
        p0, p1, q0, q1, _, _, _, _, _, _, _, _, high, low, ..,
    ] = *bytes;
    // Whole words: one load each, whatever is read of them.
    let start = u32::from_be_bytes([e0, e1, v, tos]);
    let fragment = u16::from_be_bytes([f0, f1]);
    let octets = u16::from_be_bytes([t0, t1]);
    let (sport, dport) = (u16::from_be_bytes([p0, p1]), u16::from_be_bytes([q0, q1]));
    // TCP and UDP by one test, so that a mixture of them is no riddle for the branch predictor.
    let (is_tcp, is_udp) = (protocol == proto::TCP, protocol == proto::UDP);
    let known = if ethernet { 0x00ff_ffff } else { 0xff };
    let common =
        (start >> 8 & known == 0x0008_0045 & known) & (fragment & 0x3fff == 0) & (is_tcp | is_udp) & (link as u8 == Link::Ethernet as u8);
    // A packet that ends before its ports or flags is not common: padding stands in their place.
    let least = if is_tcp { 36 } else { 24 };
    if !common | (octets < least) {
        return None;
    }
    if is_udp & ports.perhaps(sport, dport) && ports.surely(sport, dport) {
        return None;
    }
    let tcp = if is_tcp { 0x0fff } else { 0 };
    Some(Fast4 {
        src: u32::from_be_bytes([s0, s1, s2, s3]),
        dst: u32::from_be_bytes([d0, d1, d2, d3]),
        sport,
        dport,
        protocol,
        ttl,
        tos,
        octets,
        tcp_flags: u16::from_be_bytes([high, low]) & tcp,
    })
}

/// What [`inner4`] finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inner4 {
    /// The packet inside the tunnel.
    pub packet: Fast4,
    /// As in [`crate::Inner`].
    pub network: u32,
    /// VLAN ids of the frame that the packet belongs to, outermost first: of the outer one, unless the tunnel carries frames; 0 where there
    /// is no tag.
    pub vlan: [u16; 2],
    /// Offset of its transport header in the frame; its IPv4 header of 20 octets stands before it.
    pub l4_offset: u16,
}

/// Offset of the transport header inside VXLAN: behind Ethernet, IPv4, UDP and VXLAN, Ethernet, IPv4.
const INSIDE_VXLAN: u16 = 84;
const _: () = assert!(INSIDE_VXLAN as usize == ETHERNET + IPV4 + udp::OCTETS + VXLAN_OCTETS + ETHERNET + IPV4);

/// Decodes the common frame inside one tunnel, of which only the inner flow is wanted: IPv4 as [`fast4`] knows it, over Ethernet and IPv4
/// without options, not a fragment. `None` sends the frame to [`crate::decapsulate`], which finds the same fields.
///
/// Up to two VLAN tags may stand before the outer header. Of VXLAN all is straight-line code; other tunnels are a call.
///
/// Budget: 8 ns a frame in L1 (bench `decode/inner4`); the general decoder takes 100 and more.
#[inline(always)]
pub fn inner4(frame: &Frame<'_>, tunnels: &Tunnels) -> Option<Inner4> {
    let (tags, vlan) = vlan::few(frame.bytes)?;
    if tags == 0 {
        return untagged(frame, tunnels).map(|(found, _)| found);
    }
    // Of what stands before the ethertype nothing is read: without the tags' octets the frame is one without tags.
    let octets = u16::try_from(tags).ok()?;
    let rest = Frame { bytes: frame.bytes.get(tags..)?, wire_len: frame.wire_len.checked_sub(octets.into())?, ..*frame };
    let (found, carries_frames) = untagged(&rest, tunnels)?;
    let vlan = if carries_frames { [0; 2] } else { vlan };
    Some(Inner4 { l4_offset: found.l4_offset.checked_add(octets)?, vlan, ..found })
}

/// [`inner4`] for a frame without VLAN tags before the outer header, and whether the tunnel carries frames.
#[inline(always)]
fn untagged(frame: &Frame<'_>, tunnels: &Tunnels) -> Option<(Inner4, bool)> {
    #[rustfmt::skip]
    let [
        _, _, _, _, _, _, _, _, _, _, _, _, e0, e1,
        v, tos, t0, t1, _, _, f0, f1, _, protocol, _, _, _, _, _, _, _, _, _, _,
        p0, p1, q0, q1,
    ] = *frame.bytes.first_chunk()?;
    let start = u32::from_be_bytes([e0, e1, v, tos]);
    let fragment = u16::from_be_bytes([f0, f1]);
    if (start >> 8 != 0x0008_0045) | (fragment & 0x3fff != 0) | (frame.link as u8 != Link::Ethernet as u8) {
        return None;
    }
    let (sport, dport) = (u16::from_be_bytes([p0, p1]), u16::from_be_bytes([q0, q1]));
    let octets = u16::from_be_bytes([t0, t1]);
    if !is_whole(octets, frame) {
        return None;
    }
    if !is_vxlan(protocol, dport) {
        return other4(frame, tunnels, octets, protocol, sport, dport);
    }
    let bytes: &[u8; INSIDE_VXLAN as usize + 20] = frame.bytes.first_chunk()?;
    let header = bytes.get(ETHERNET + IPV4 + 8..)?.first_chunk()?;
    // A packet that ends before what the tunnel would carry is not common: padding follows.
    let carries = octets > 36;
    let opening = vxlan(header).filter(|opening| carries & tunnels.enters_alone(opening.kind))?;
    let packet = common(bytes.last_chunk()?, true, Link::Ethernet, tunnels.ports())?;
    let network = opening.network().unwrap_or(0);
    Some((Inner4 { packet, network, vlan: [0; 2], l4_offset: INSIDE_VXLAN }, true))
}

/// [`inner4`] for tunnels that are not VXLAN; `octets`, `protocol` and ports are those of the outer packet.
#[inline(never)]
fn other4(frame: &Frame<'_>, tunnels: &Tunnels, octets: u16, protocol: u8, sport: u16, dport: u16) -> Option<(Inner4, bool)> {
    let mut at = Cursor::new(frame.bytes.get(ETHERNET + IPV4..)?);
    let behind = at.rest().len();
    let opening = recognise((protocol, sport, dport), tunnels.ports(), &mut at, &mut ())?;
    let header = behind.wrapping_sub(at.rest().len());
    let carries = usize::from(octets) > header.wrapping_add(IPV4);
    if !carries | !tunnels.enters_alone(opening.kind) {
        return None;
    }
    let (ethernet, octets) = match opening.next {
        Next::Ethernet => (true, ETHERNET),
        Next::Ip | Next::Ethertype(ethertype::IPV4) => (false, 0),
        Next::Ethertype(_) | Next::Ppp | Next::Subframes => return None,
    };
    let l3 = header.wrapping_add(octets).wrapping_add(ETHERNET + IPV4);
    let packet = common(frame.bytes.get(l3.wrapping_sub(2)..)?.first_chunk()?, ethernet, Link::Ethernet, tunnels.ports())?;
    let network = opening.network().unwrap_or(0);
    Some((Inner4 { packet, network, vlan: [0; 2], l4_offset: u16::try_from(l3.wrapping_add(IPV4)).ok()? }, ethernet))
}

#[cfg(test)]
#[path = "fast_tests.rs"]
mod tests;
