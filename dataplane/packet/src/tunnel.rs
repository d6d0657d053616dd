//! Which packets carry another packet, and where that one begins.

use crate::cursor::Cursor;
use crate::headers::proto;
use crate::kind::Tunnel;
use crate::layers::Notes;
use crate::ports::{self, UdpPorts};
use crate::wireless::{self, ByteOrder, Data};

/// What stands behind the header of a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    Ethernet,
    /// What an ethertype says.
    Ethertype(u16),
    /// IPv4 or IPv6: the first four bits tell.
    Ip,
    Ppp,
    /// Subframes of an A-MSDU, each with a packet.
    Subframes,
}

impl From<Data> for Next {
    fn from(data: Data) -> Self {
        match data {
            Data::Msdu(ethertype) => Self::Ethertype(ethertype),
            Data::Aggregate => Self::Subframes,
        }
    }
}

/// A tunnel that was recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Opening {
    pub(crate) kind: Tunnel,
    /// Virtual network, tunnel endpoint, session or key, where the header has one.
    pub(crate) id: Option<u32>,
    pub(crate) next: Next,
}

impl Opening {
    #[inline(always)]
    fn new(kind: Tunnel, id: impl Into<Option<u32>>, next: Next) -> Self {
        Self { kind, id: id.into(), next }
    }

    /// Kind and identifier of a network that the tunnel separates from others ([`Tunnel::separates`]).
    #[inline(always)]
    pub(crate) fn network(&self) -> Option<u32> {
        self.id.filter(|_| self.kind.separates()).map(|id| (self.kind as u32) << 24 | id & 0x00ff_ffff)
    }
}

const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
const MPLS: u16 = 0x8847;
const TRANSPARENT_ETHERNET: u16 = 0x6558;
const PPP: u16 = 0x880b;

/// Whether VXLAN is what a packet carries, by the port it is sent to.
#[inline(always)]
pub(crate) fn is_vxlan(protocol: u8, dport: u16) -> bool {
    (protocol == proto::UDP) & ((dport == ports::VXLAN) | (dport == ports::VXLAN_OTV))
}

/// Recognises a tunnel by protocol and ports of its outer packet; `at` begins behind the IP header and is moved to what is carried.
pub(crate) fn recognise(
    (protocol, sport, dport): (u8, u16, u16),
    ports: &UdpPorts,
    at: &mut Cursor<'_>,
    notes: &mut impl Notes,
) -> Option<Opening> {
    let opening = match protocol {
        proto::IPIP => Opening::new(Tunnel::IpInIp, None, Next::Ethertype(IPV4)),
        proto::IPV6 => Opening::new(Tunnel::IpInIp, None, Next::Ethertype(IPV6)),
        proto::GRE => gre(at, notes)?,
        proto::ETHERIP => etherip(at)?,
        proto::ETHERNET => Opening::new(Tunnel::EtherIp, None, Next::Ethernet),
        proto::L2TP => l2tp_v3(at)?,
        proto::MPLS => Opening::new(Tunnel::MplsInIp, None, Next::Ethertype(MPLS)),
        proto::UDP => {
            let (client, server) = (ports.kind(sport), ports.kind(dport));
            client.or(server)?;
            at.skip(8)?;
            // The port of the server first; Teredo's and GTP's answers come from it.
            udp(server, at, notes).or_else(|| udp(client, at, notes))?
        }
        _ => return None,
    };
    Some(opening)
}

/// What UDP carries at a port of this kind. `at` stays where it is when there is no tunnel.
fn udp(kind: Option<Tunnel>, at: &mut Cursor<'_>, notes: &mut impl Notes) -> Option<Opening> {
    let mut inside = *at;
    let opening = match kind? {
        Tunnel::Vxlan => vxlan(inside.take()?)?,
        Tunnel::VxlanGpe => vxlan_gpe(&mut inside)?,
        Tunnel::Geneve => geneve(&mut inside)?,
        Tunnel::GtpU => gtp(&mut inside)?,
        Tunnel::Teredo => teredo(&mut inside)?,
        Tunnel::L2tp => l2tp(&mut inside)?,
        Tunnel::Gre => gre(&mut inside, notes)?,
        Tunnel::Capwap => capwap(&mut inside, notes)?,
        Tunnel::MplsInIp => Opening::new(Tunnel::MplsInIp, None, Next::Ethertype(MPLS)),
        Tunnel::Ayiya => ayiya(&mut inside)?,
        Tunnel::IpInIp | Tunnel::Nvgre | Tunnel::Erspan | Tunnel::EtherIp | Tunnel::Ieee80211 => return None,
    };
    *at = inside;
    Some(opening)
}

/// The next octet.
fn first(at: Cursor<'_>) -> Option<u8> {
    at.peek().map(|[octet]| *octet)
}

#[inline(always)]
fn number24([a, b, c]: [u8; 3]) -> u32 {
    u32::from_be_bytes([0, a, b, c])
}

/// RFC 7348 section 5: the I flag says that there is a network identifier.
#[inline(always)]
pub(crate) fn vxlan(header: &[u8; 8]) -> Option<Opening> {
    let [flags, _, _, _, v0, v1, v2, _] = *header;
    (flags & 0x08 != 0).then(|| Opening::new(Tunnel::Vxlan, number24([v0, v1, v2]), Next::Ethernet))
}

/// draft-ietf-nvo3-vxlan-gpe section 3.1.
fn vxlan_gpe(at: &mut Cursor<'_>) -> Option<Opening> {
    let [flags, _, _, next, v0, v1, v2, _] = *at.take::<8>()?;
    let carried = match (flags & 0x04 != 0, next) {
        (false, _) | (true, 3) => Next::Ethernet,
        (true, 1) => Next::Ethertype(IPV4),
        (true, 2) => Next::Ethertype(IPV6),
        (true, 4) => Next::Ethertype(0x894f),
        (true, 5) => Next::Ethertype(MPLS),
        _ => return None,
    };
    (flags & 0x08 != 0).then(|| Opening::new(Tunnel::VxlanGpe, number24([v0, v1, v2]), carried))
}

/// RFC 8926 section 3.4.
fn geneve(at: &mut Cursor<'_>) -> Option<Opening> {
    let [first, _, p0, p1, v0, v1, v2, _] = *at.take::<8>()?;
    if first >> 6 != 0 {
        return None;
    }
    at.skip(usize::from(first & 0x3f).saturating_mul(4))?;
    let carried = carried(u16::from_be_bytes([p0, p1]));
    Some(Opening::new(Tunnel::Geneve, number24([v0, v1, v2]), carried))
}

/// An ethertype as tunnels use it, with their own words for Ethernet and PPP.
fn carried(ethertype: u16) -> Next {
    match ethertype {
        TRANSPARENT_ETHERNET => Next::Ethernet,
        PPP => Next::Ppp,
        other => Next::Ethertype(other),
    }
}

/// TS 29.281 section 5.1 (version 1) and TS 29.060 section 6 of release 97 (version 0): only G-PDUs carry packets.
fn gtp(at: &mut Cursor<'_>) -> Option<Opening> {
    const G_PDU: u8 = 255;
    const EXTENSIONS_MAX: usize = 16;
    let [flags, kind, _, _, t0, t1, t2, t3] = *at.take::<8>()?;
    if kind != G_PDU || flags & 0x10 == 0 {
        return None;
    }
    match flags >> 5 {
        // Sequence number, flow label, and so on; the tunnel identifier is the last eight of twenty octets.
        0 => {
            let [_, _, _, _, _, _, _, _, i0, i1, i2, i3] = *at.take::<12>()?;
            return Some(Opening::new(Tunnel::GtpU, u32::from_be_bytes([i0, i1, i2, i3]), Next::Ip));
        }
        1 => {}
        _ => return None,
    }
    if flags & 0x07 != 0 {
        let [_, _, _, mut next] = *at.take::<4>()?;
        // Section 5.2.1: an extension's length counts in words of four, its last octet names the next.
        let mut left = if flags & 0x04 != 0 { EXTENSIONS_MAX } else { 0 };
        while next != 0 && left > 0 {
            let octets = usize::from(first(*at)?).saturating_mul(4);
            next = *at.rest().get(octets.checked_sub(1)?)?;
            at.skip(octets)?;
            left = left.saturating_sub(1);
        }
    }
    Some(Opening::new(Tunnel::GtpU, u32::from_be_bytes([t0, t1, t2, t3]), Next::Ip))
}

/// RFC 4380 section 5.1.1: an authentication header and an origin indication may stand before the IPv6 packet.
fn teredo(at: &mut Cursor<'_>) -> Option<Opening> {
    if at.peek() == Some(&[0, 1]) {
        let [_, _, client, value] = *at.take::<4>()?;
        at.skip(usize::from(client).saturating_add(usize::from(value)).saturating_add(9))?;
    }
    if at.peek() == Some(&[0, 0]) {
        at.skip(8)?;
    }
    (first(*at)? >> 4 == 6).then(|| Opening::new(Tunnel::Teredo, None, Next::Ethertype(IPV6)))
}

/// RFC 2661 section 3.1; version 3 over UDP is RFC 3931 section 4.1.2. Control messages carry nothing.
fn l2tp(at: &mut Cursor<'_>) -> Option<Opening> {
    let flags = at.u16()?;
    if flags & 0x8000 != 0 {
        return None;
    }
    match flags & 0x000f {
        2 => {}
        3 => {
            at.skip(2)?;
            return l2tp_v3(at);
        }
        _ => return None,
    }
    if flags & 0x4000 != 0 {
        at.skip(2)?;
    }
    let [t0, t1, s0, s1] = *at.take::<4>()?;
    if flags & 0x0800 != 0 {
        at.skip(4)?;
    }
    if flags & 0x0200 != 0 {
        let offset = at.u16()?;
        at.skip(usize::from(offset))?;
    }
    Some(Opening::new(Tunnel::L2tp, u32::from_be_bytes([t0, t1, s0, s1]), Next::Ppp))
}

/// RFC 3931 section 4.1: how long cookie and sublayer are, only the two ends know. The first length at which an Ethernet header
/// seems to stand is taken.
fn l2tp_v3(at: &mut Cursor<'_>) -> Option<Opening> {
    let session = u32::from_be_bytes(*at.take()?);
    if session == 0 {
        return None;
    }
    let octets = [0, 4, 8, 12].into_iter().find(|octets| crate::link::carries_ethernet(*at, *octets))?;
    at.skip(octets)?;
    Some(Opening::new(Tunnel::L2tp, session, Next::Ethernet))
}

/// RFC 5415 section 4.3, RFC 5416: 802.3 or 802.11 frames; those that are encrypted, or parts of one, carry nothing to see.
fn capwap(at: &mut Cursor<'_>, notes: &mut impl Notes) -> Option<Opening> {
    let [preamble, b1, b2, b3] = *at.peek::<4>()?;
    let (words, fragment, native) = (b1 >> 3, b3 & 0x80 != 0, b2 & 1 != 0);
    if preamble != 0 || fragment {
        return None;
    }
    at.skip(usize::from(words).saturating_mul(4))?;
    if !native {
        return Some(Opening::new(Tunnel::Capwap, None, Next::Ethernet));
    }
    // Some controllers send the two octets of frame control in turned order.
    let next = wireless::data(at, ByteOrder::Any, notes)?;
    Some(Opening::new(Tunnel::Capwap, None, next.into()))
}

/// draft-massar-v6ops-ayiya-02 section 4: lengths of identity (a power of two) and signature (in words), what is to be done, the next
/// header; then the time, the identity, the signature. Operation 1 forwards a packet, 3 answers, too; the others carry none.
fn ayiya(at: &mut Cursor<'_>) -> Option<Opening> {
    let [identity, signature, operation, next, _, _, _, _] = *at.take::<8>()?;
    if !matches!(operation & 0x0f, 1 | 3) {
        return None;
    }
    at.skip(1usize.checked_shl(u32::from(identity >> 4))?)?;
    at.skip(usize::from(signature >> 4).saturating_mul(4))?;
    let carried = match next {
        proto::IPIP => Next::Ethertype(IPV4),
        proto::IPV6 => Next::Ethertype(IPV6),
        _ => return None,
    };
    Some(Opening::new(Tunnel::Ayiya, None, carried))
}

/// RFC 3378 section 3: version 3 in four bits, the other twelve zero.
fn etherip(at: &mut Cursor<'_>) -> Option<Opening> {
    (at.u16()? == 0x3000).then(|| Opening::new(Tunnel::EtherIp, None, Next::Ethernet))
}

/// RFC 2784, RFC 2890; RFC 1701's routing; RFC 2637 section 4.1 (version 1).
fn gre(at: &mut Cursor<'_>, notes: &mut impl Notes) -> Option<Opening> {
    const CHECKSUM: u16 = 0x8000;
    const ROUTING: u16 = 0x4000;
    const KEY: u16 = 0x2000;
    const SEQUENCE: u16 = 0x1000;
    const ACKNOWLEDGEMENT: u16 = 0x0080;
    let flags = at.u16()?;
    let ethertype = at.u16()?;
    let version = flags & 0x0007;
    if version > 1 {
        return None;
    }
    if version == 0 && flags & (CHECKSUM | ROUTING) != 0 {
        at.skip(4)?;
    }
    let mut key = None;
    if flags & KEY != 0 {
        let found = u32::from_be_bytes(*at.take()?);
        notes.gre_key(found);
        key = Some(found);
    }
    if flags & SEQUENCE != 0 {
        at.skip(4)?;
    }
    if version == 1 {
        if flags & ACKNOWLEDGEMENT != 0 {
            at.skip(4)?;
        }
        // The key's high half is the length of the payload: an acknowledgement has none.
        let key = key.unwrap_or(0);
        return (ethertype == PPP && key >> 16 != 0).then(|| Opening::new(Tunnel::Gre, key & 0xffff, Next::Ppp));
    }
    if flags & ROUTING != 0 {
        source_routes(at)?;
    }
    match ethertype {
        // RFC 7637 section 3.2: the key's high 24 bits are the virtual subnet, whose first 4096 numbers are reserved: such a key is
        // one of RFC 2890.
        TRANSPARENT_ETHERNET if flags & (CHECKSUM | ROUTING | KEY | SEQUENCE) == KEY && key.is_some_and(|key| key >> 8 > 0x0fff) => {
            Some(Opening::new(Tunnel::Nvgre, key.map(|key| key >> 8), Next::Ethernet))
        }
        0x88be => erspan(at, flags & SEQUENCE != 0),
        0x22eb => erspan_three(at),
        // Frames of wireless stations; the low octet tells access points and priorities apart.
        0x8200..=0x824f => Some(Opening::new(Tunnel::Ieee80211, None, wireless::data(at, ByteOrder::Standard, notes)?.into())),
        // WCCP: a redirect header may stand before the IPv4 packet (draft-wilson-wrec-wccp-v2 section 4.12).
        0x883e => {
            if first(*at)? >> 4 != 4 {
                at.skip(4)?;
            }
            Some(Opening::new(Tunnel::Gre, key, Next::Ethertype(IPV4)))
        }
        other => Some(Opening::new(Tunnel::Gre, key, carried(other))),
    }
}

/// RFC 1701: source route entries, up to one of length zero.
fn source_routes(at: &mut Cursor<'_>) -> Option<()> {
    const ENTRIES_MAX: usize = 16;
    for _ in 0..ENTRIES_MAX {
        let [_, _, _, length] = *at.take::<4>()?;
        if length == 0 {
            return Some(());
        }
        at.skip(usize::from(length))?;
    }
    None
}

/// ERSPAN type I has no header of its own, type II one of eight octets: GRE's sequence number tells.
fn erspan(at: &mut Cursor<'_>, sequence: bool) -> Option<Opening> {
    if !sequence {
        return Some(Opening::new(Tunnel::Erspan, None, Next::Ethernet));
    }
    let [_, _, s0, s1, _, _, _, _] = *at.take::<8>()?;
    Some(Opening::new(Tunnel::Erspan, u32::from(u16::from_be_bytes([s0, s1]) & 0x03ff), Next::Ethernet))
}

/// ERSPAN type III: twelve octets, eight more where the O flag is set; it carries Ethernet or IP.
fn erspan_three(at: &mut Cursor<'_>) -> Option<Opening> {
    let [_, _, s0, s1, _, _, _, _, _, _, t0, t1] = *at.take::<12>()?;
    if t1 & 1 != 0 {
        at.skip(8)?;
    }
    let next = match t0 >> 2 & 0x1f {
        0 => Next::Ethernet,
        2 => Next::Ip,
        _ => return None,
    };
    Some(Opening::new(Tunnel::Erspan, u32::from(u16::from_be_bytes([s0, s1]) & 0x03ff), next))
}
