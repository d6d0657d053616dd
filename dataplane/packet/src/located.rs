//! The straight-line decoder for frames whose IP header does not simply follow Ethernet: up to two VLAN tags, then up to four MPLS labels or a
//! PPPoE session, then IPv4 or IPv6 with TCP or UDP that is no tunnel's ([`located`]).

use crate::choice::Tunnels;
use crate::cursor::Fields;
use crate::fast::{Fast4, IPV4, WINDOW, common};
use crate::frame::{Frame, Link};
use crate::link::{ethernet, ethertype, mpls, ppp, pppoe, vlan};
use crate::ports::UdpPorts;
use crate::proto;

/// What [`located`] finds of an IPv6 packet: the fields every packet of a flow needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fast6 {
    /// Source address.
    pub src: u128,
    /// Destination address.
    pub dst: u128,
    /// Source port.
    pub sport: u16,
    /// Destination port.
    pub dport: u16,
    /// TCP or UDP.
    pub protocol: u8,
    /// Hop limit.
    pub ttl: u8,
    /// Traffic class.
    pub tos: u8,
    /// Octets of the packet, its header among them.
    pub octets: u32,
    /// TCP flags and reserved bits, twelve in all; 0 for UDP.
    pub tcp_flags: u16,
}

/// An IP packet of either version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FastIp {
    /// IPv4 without options.
    V4(Fast4),
    /// IPv6 without extension headers.
    V6(Fast6),
}

/// What [`located`] finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Located {
    /// The packet.
    pub packet: FastIp,
    /// VLAN ids, outermost first; 0 where there is no tag.
    pub vlan: [u16; 2],
    /// Offset of its IP header in the frame.
    pub l3_offset: u16,
}

/// Most MPLS labels.
const LABELS_MAX: usize = 4;
/// Octets of an IPv6 header.
const IPV6: usize = 40;
/// From TCP's source port to its flags.
const TCP_SEEN: usize = 14;
/// What [`crate::Headers::transport_truncated`] asks for.
const TCP_NEEDED: usize = 16;
const PORTS: usize = 4;

/// Where an IP header stands, and the tags before it.
struct Start {
    l3: usize,
    six: bool,
    vlan: [u16; 2],
}

/// Decodes the common frame with tags, labels or IPv6; `None` sends the frame to [`crate::decapsulate`], which finds the same fields.
///
/// Budget: 8 ns a frame in L1 (benches `decode/located_*`); the general decoder takes 25 and more.
#[inline(always)]
pub fn located(frame: &Frame<'_>, tunnels: &Tunnels) -> Option<Located> {
    if frame.link as u8 != Link::Ethernet as u8 {
        return None;
    }
    let Start { l3, six, vlan } = start(frame.bytes)?;
    let packet =
        if six { FastIp::V6(ipv6(frame.bytes.get(l3..)?, tunnels.ports())?) } else { FastIp::V4(ipv4(frame.bytes, l3, tunnels.ports())?) };
    let octets = match packet {
        FastIp::V4(packet) => u32::from(packet.octets),
        FastIp::V6(packet) => packet.octets,
    };
    // Else the frame was cut, and the source does not know.
    let whole = (octets as usize).wrapping_add(l3) <= frame.wire_len as usize;
    whole.then_some(Located { packet, vlan, l3_offset: u16::try_from(l3).ok()? })
}

/// Finds the IP header.
#[inline(always)]
fn start(bytes: &[u8]) -> Option<Start> {
    let (tags, vlan) = vlan::few(bytes)?;
    let mut l3 = ethernet::OCTETS.wrapping_add(tags);
    let ethertype = bytes.get(tags..)?.first_chunk::<{ ethernet::OCTETS }>()?.u16::<12>();
    let six = match ethertype {
        ethertype::IPV4 => false,
        ethertype::IPV6 => true,
        ethertype::MPLS | ethertype::MPLS_UPSTREAM => {
            l3 = bottom(bytes, l3)?;
            version(bytes.get(l3..)?)?
        }
        ethertype::PPPOE_SESSION => {
            let header: &[u8; pppoe::OCTETS + 2] = bytes.get(l3..)?.first_chunk()?;
            if header.u16::<0>() != pppoe::SESSION_DATA {
                return None;
            }
            l3 = l3.wrapping_add(header.len());
            match header.u16::<{ pppoe::OCTETS }>() {
                ppp::IPV4 => false,
                ppp::IPV6 => true,
                _ => return None,
            }
        }
        _ => return None,
    };
    Some(Start { l3, six, vlan })
}

/// Offset of what stands behind the bottom of an MPLS stack of few labels.
#[inline(always)]
fn bottom(bytes: &[u8], mut at: usize) -> Option<usize> {
    for _ in 0..LABELS_MAX {
        let entry: &[u8; mpls::OCTETS] = bytes.get(at..)?.first_chunk()?;
        at = at.wrapping_add(mpls::OCTETS);
        if mpls::is_bottom(entry.u32::<0>()) {
            return Some(at);
        }
    }
    None
}

/// Whether an MPLS stack carries IPv6, or else IPv4. What may be a pseudowire is the general decoder's to tell.
#[inline(always)]
fn version(bytes: &[u8]) -> Option<bool> {
    let header: &[u8; ethernet::OCTETS] = bytes.first_chunk()?;
    if ethernet::goes_on(header.u16::<12>()) {
        return None;
    }
    match header.u8::<0>() >> 4 {
        4 => Some(false),
        6 => Some(true),
        _ => None,
    }
}

/// An IPv4 packet at `l3` of a frame.
#[inline(always)]
fn ipv4(bytes: &[u8], l3: usize, ports: &UdpPorts) -> Option<Fast4> {
    let window = bytes.get(l3.wrapping_sub(2)..)?;
    if let Some(window) = window.first_chunk() {
        return common(window, false, Link::Ethernet, ports);
    }
    short(window, ports)
}

/// A UDP datagram in a frame that ends before TCP's header would.
#[cold]
#[inline(never)]
fn short(window: &[u8], ports: &UdpPorts) -> Option<Fast4> {
    let mut whole = [0; WINDOW];
    whole.get_mut(..window.len())?.copy_from_slice(window);
    let packet = common(&whole, false, Link::Ethernet, ports)?;
    (packet.protocol == proto::UDP && window.len() >= IPV4 + 2 + PORTS).then_some(packet)
}

/// An IPv6 packet that has nothing uncommon.
#[inline(always)]
fn ipv6(bytes: &[u8], ports: &UdpPorts) -> Option<Fast6> {
    let header: &[u8; IPV6 + PORTS] = bytes.first_chunk()?;
    let start = header.u32::<0>();
    let payload = header.u16::<4>();
    let protocol = header.u8::<6>();
    let (sport, dport) = (header.u16::<IPV6>(), header.u16::<{ IPV6 + 2 }>());
    let (is_tcp, is_udp) = (protocol == proto::TCP, protocol == proto::UDP);
    let needed = if is_tcp { TCP_NEEDED } else { PORTS };
    // A packet that ends before its ports or flags is not common; one without a length has it elsewhere.
    let common = (start >> 28 == 6) & (is_tcp | is_udp) & (usize::from(payload) >= needed) & (bytes.len() >= needed.wrapping_add(IPV6));
    if !common || (is_udp & ports.perhaps(sport, dport) && ports.surely(sport, dport)) {
        return None;
    }
    let tcp_flags = match bytes.first_chunk::<{ IPV6 + TCP_SEEN }>() {
        Some(seen) if is_tcp => seen.u16::<{ IPV6 + 12 }>() & 0x0fff,
        _ => 0,
    };
    Some(Fast6 {
        src: u128::from_be_bytes(header.octets::<8, 16>()),
        dst: u128::from_be_bytes(header.octets::<24, 16>()),
        sport,
        dport,
        protocol,
        ttl: header.u8::<7>(),
        #[expect(clippy::cast_possible_truncation, reason = "eight bits of a word")]
        tos: (start >> 20) as u8,
        octets: u32::from(payload).wrapping_add(40),
        tcp_flags,
    })
}

#[cfg(test)]
#[path = "located_tests.rs"]
mod tests;
