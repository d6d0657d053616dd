//! Which packets carry another packet, and where that one begins.

use crate::cursor::Cursor;
use crate::headers::proto;
use crate::layers::Notes;

/// A kind of tunnel: what stands between two IP headers.
///
/// The operator chooses for each kind which flow is metered: the inner one, the outer one, or both ([`Tunnels`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Tunnel {
    /// IPv4 or IPv6 directly in IPv4 or IPv6 (RFC 2003, RFC 2473, RFC 4213).
    IpInIp,
    /// GRE (RFC 2784, RFC 2890), in UDP too (RFC 8086), its version 1 with PPP (RFC 2637). OTV over GRE is GRE with an MPLS label and Ethernet below it.
    Gre,
    /// NVGRE (RFC 7637): GRE with a key of 0x100000 or above and Ethernet; smaller keys are GRE's.
    Nvgre,
    /// ERSPAN type I, II or III: a mirrored frame in GRE (draft-foschiano-erspan-03).
    Erspan,
    /// VXLAN (RFC 7348), also at port 8472, where OTV and old Linux VXLAN have the same header.
    Vxlan,
    /// VXLAN with a next-protocol field (draft-ietf-nvo3-vxlan-gpe-13).
    VxlanGpe,
    /// GENEVE (RFC 8926).
    Geneve,
    /// GTP user plane, version 1 and 0 (3GPP TS 29.281 section 5, TS 29.060).
    GtpU,
    /// Teredo (RFC 4380).
    Teredo,
    /// L2TP version 2 (RFC 2661) and 3 (RFC 3931).
    L2tp,
    /// MPLS in IP (RFC 4023) or UDP (RFC 7510).
    MplsInIp,
    /// EtherIP (RFC 3378), and Ethernet in IP without that header (next header 143, RFC 8986 section 10.1).
    EtherIp,
    /// CAPWAP data (RFC 5415 section 4): frames of wireless stations between access point and controller.
    Capwap,
}

impl Tunnel {
    /// Every kind, in the order of their numbers.
    pub const ALL: [Self; 13] = [
        Self::IpInIp,
        Self::Gre,
        Self::Nvgre,
        Self::Erspan,
        Self::Vxlan,
        Self::VxlanGpe,
        Self::Geneve,
        Self::GtpU,
        Self::Teredo,
        Self::L2tp,
        Self::MplsInIp,
        Self::EtherIp,
        Self::Capwap,
    ];

    /// The name in settings and output.
    pub const fn name(self) -> &'static str {
        match self {
            Self::IpInIp => "ip-in-ip",
            Self::Gre => "gre",
            Self::Nvgre => "nvgre",
            Self::Erspan => "erspan",
            Self::Vxlan => "vxlan",
            Self::VxlanGpe => "vxlan-gpe",
            Self::Geneve => "geneve",
            Self::GtpU => "gtp",
            Self::Teredo => "teredo",
            Self::L2tp => "l2tp",
            Self::MplsInIp => "mpls-in-ip",
            Self::EtherIp => "etherip",
            Self::Capwap => "capwap",
        }
    }

    /// The kind with this number.
    pub fn from_u8(value: u8) -> Option<Self> {
        Self::ALL.get(usize::from(value)).copied()
    }

    /// Whether the identifier names a virtual network, the same in both directions, whose addresses may be those of another network,
    /// too: then it is part of the flow key. A GTP tunnel endpoint has another identifier in each direction.
    pub const fn separates(self) -> bool {
        matches!(self, Self::Nvgre | Self::Vxlan | Self::VxlanGpe | Self::Geneve)
    }

    /// Whether headers of this kind have an identifier. GRE's, the key, may be left out.
    pub const fn has_identifier(self) -> bool {
        match self {
            Self::Gre | Self::Nvgre | Self::Erspan | Self::Vxlan | Self::VxlanGpe | Self::Geneve | Self::GtpU | Self::L2tp => true,
            Self::IpInIp | Self::Teredo | Self::MplsInIp | Self::EtherIp | Self::Capwap => false,
        }
    }

    const fn bit(self) -> u16 {
        1 << self as u8
    }
}

/// Which flow of a tunnelled packet is metered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum View {
    /// The innermost flow, with the outer header beside it.
    #[default]
    Inner,
    /// The outer flow: the tunnel is one flow.
    Outer,
    /// Both.
    Both,
}

/// Most levels of tunnels that can be looked into.
pub const TUNNEL_DEPTH_MAX: u8 = 8;

/// What the operator has chosen for each kind of tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tunnels {
    enter: u16,
    both: u16,
    depth_max: u8,
}

impl Default for Tunnels {
    /// Inner flows, at most four tunnels deep.
    fn default() -> Self {
        Self::new(View::Inner, 4)
    }
}

impl Tunnels {
    /// The same view for every kind. `depth_max`: tunnels one in another, at most [`TUNNEL_DEPTH_MAX`].
    pub const fn new(view: View, depth_max: u8) -> Self {
        let all = u16::MAX;
        let depth_max = if depth_max > TUNNEL_DEPTH_MAX { TUNNEL_DEPTH_MAX } else { depth_max };
        match view {
            View::Inner => Self { enter: all, both: 0, depth_max },
            View::Outer => Self { enter: 0, both: 0, depth_max },
            View::Both => Self { enter: all, both: all, depth_max },
        }
    }

    /// Another view for one kind.
    #[must_use]
    pub const fn with(mut self, kind: Tunnel, view: View) -> Self {
        self.enter &= !kind.bit();
        self.both &= !kind.bit();
        match view {
            View::Outer => {}
            View::Inner => self.enter |= kind.bit(),
            View::Both => {
                self.enter |= kind.bit();
                self.both |= kind.bit();
            }
        }
        self
    }

    /// The view of a kind.
    pub const fn view(&self, kind: Tunnel) -> View {
        match (self.enter & kind.bit() != 0, self.both & kind.bit() != 0) {
            (false, _) => View::Outer,
            (true, false) => View::Inner,
            (true, true) => View::Both,
        }
    }

    /// Tunnels one in another that are looked into.
    pub const fn depth_max(&self) -> u8 {
        self.depth_max
    }

    /// Whether a frame may be metered twice.
    pub const fn any_both(&self) -> bool {
        self.both != 0
    }

    pub(crate) const fn enters(&self, kind: Tunnel) -> bool {
        self.enter & kind.bit() != 0
    }

    /// Whether a packet in a tunnel of this kind is looked for, and the tunnel itself is no flow.
    pub(crate) const fn enters_alone(&self, kind: Tunnel) -> bool {
        (self.enter & !self.both) & kind.bit() != 0 && self.depth_max > 0
    }

    pub(crate) const fn keeps_outer(&self, kind: Tunnel) -> bool {
        self.both & kind.bit() != 0
    }
}

/// What stands behind the header of a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    Ethernet,
    /// What an ethertype says.
    Ethertype(u16),
    /// IPv4 or IPv6: the first four bits tell.
    Ip,
    Ppp,
}

/// A tunnel that was recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Opening {
    pub(crate) kind: Tunnel,
    /// Virtual network, tunnel endpoint or session; 0 where there is none.
    pub(crate) id: u32,
    pub(crate) next: Next,
}

impl Opening {
    #[inline(always)]
    fn new(kind: Tunnel, id: u32, next: Next) -> Self {
        Self { kind, id, next }
    }

    /// Kind and identifier of a network that the tunnel separates from others ([`Tunnel::separates`]).
    #[inline(always)]
    pub(crate) fn network(&self) -> Option<u32> {
        self.kind.separates().then_some((self.kind as u32) << 24 | self.id & 0x00ff_ffff)
    }

    /// The identifier, where the header has one; 0 for the session of ERSPAN of type I.
    pub(crate) fn identifier(&self) -> Option<u32> {
        (self.kind.has_identifier() && (self.kind != Tunnel::Gre || self.id != 0)).then_some(self.id)
    }
}

const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
const MPLS: u16 = 0x8847;
const TRANSPARENT_ETHERNET: u16 = 0x6558;
const PPP: u16 = 0x880b;

/// UDP ports of tunnels (IANA; 8472 and 3386 by long use).
mod port {
    pub(super) const L2TP: u16 = 1701;
    pub(super) const GTP_U: u16 = 2152;
    pub(super) const GTP_V0: u16 = 3386;
    pub(super) const TEREDO: u16 = 3544;
    pub(super) const GRE: u16 = 4754;
    pub(super) const VXLAN: u16 = 4789;
    pub(super) const VXLAN_GPE: u16 = 4790;
    pub(super) const CAPWAP: u16 = 5247;
    pub(super) const GENEVE: u16 = 6081;
    pub(super) const MPLS: u16 = 6635;
    pub(super) const VXLAN_OTV: u16 = 8472;
}

const PORTS: [u16; 11] = [
    port::L2TP,
    port::GTP_U,
    port::GTP_V0,
    port::TEREDO,
    port::GRE,
    port::VXLAN,
    port::VXLAN_GPE,
    port::CAPWAP,
    port::GENEVE,
    port::MPLS,
    port::VXLAN_OTV,
];

/// Whether a UDP port is that of a tunnel.
pub(crate) fn is_tunnel_port(port: u16) -> bool {
    PORTS.contains(&port)
}

/// Places of [`PERHAPS`], by the low bits of a port.
const PLACES: usize = 1 << 11;

/// Where the low bits of a port are those of a tunnel's.
const PERHAPS: [bool; PLACES] = {
    let mut places = [false; PLACES];
    let mut rest: &[u16] = &PORTS;
    while let [port, behind @ ..] = rest {
        let (_, from) = places.split_at_mut(*port as usize % PLACES);
        if let [place, ..] = from {
            *place = true;
        }
        rest = behind;
    }
    places
};

/// Whether one of two UDP ports is that of a tunnel. Two loads tell of 99 packets in a hundred that none is.
#[inline(always)]
pub(crate) fn any_tunnel_port(sport: u16, dport: u16) -> bool {
    let perhaps = |port: u16| PERHAPS.get(usize::from(port) % PLACES).is_some_and(|place| *place);
    perhaps(sport) | perhaps(dport) && surely(sport, dport)
}

#[cold]
#[inline(never)]
fn surely(sport: u16, dport: u16) -> bool {
    is_tunnel_port(sport) | is_tunnel_port(dport)
}

/// Whether VXLAN is what a packet carries, by the port it is sent to.
#[inline(always)]
pub(crate) fn is_vxlan(protocol: u8, dport: u16) -> bool {
    (protocol == proto::UDP) & ((dport == port::VXLAN) | (dport == port::VXLAN_OTV))
}

/// Recognises a tunnel by protocol and ports of its outer packet; `at` begins behind the IP header and is moved to what is carried.
pub(crate) fn recognise(protocol: u8, sport: u16, dport: u16, at: &mut Cursor<'_>, notes: &mut impl Notes) -> Option<Opening> {
    let opening = match protocol {
        proto::IPIP => Opening::new(Tunnel::IpInIp, 0, Next::Ethertype(IPV4)),
        proto::IPV6 => Opening::new(Tunnel::IpInIp, 0, Next::Ethertype(IPV6)),
        proto::GRE => gre(at, notes)?,
        proto::ETHERIP => etherip(at)?,
        proto::ETHERNET => Opening::new(Tunnel::EtherIp, 0, Next::Ethernet),
        proto::L2TP => l2tp_v3(at)?,
        proto::MPLS => Opening::new(Tunnel::MplsInIp, 0, Next::Ethertype(MPLS)),
        proto::UDP if is_tunnel_port(sport) | is_tunnel_port(dport) => {
            at.skip(8)?;
            // The port of the server first; Teredo's and GTP's answers come from it.
            udp(dport, at, notes).or_else(|| udp(sport, at, notes))?
        }
        _ => return None,
    };
    Some(opening)
}

/// What a UDP port carries. `at` stays where it is when there is no tunnel.
fn udp(port: u16, at: &mut Cursor<'_>, notes: &mut impl Notes) -> Option<Opening> {
    let mut inside = *at;
    let opening = match port {
        port::VXLAN | port::VXLAN_OTV => vxlan(inside.take()?)?,
        port::VXLAN_GPE => vxlan_gpe(&mut inside)?,
        port::GENEVE => geneve(&mut inside)?,
        port::GTP_U | port::GTP_V0 => gtp(&mut inside)?,
        port::TEREDO => teredo(&mut inside)?,
        port::L2TP => l2tp(&mut inside)?,
        port::GRE => gre(&mut inside, notes)?,
        port::CAPWAP => capwap(&mut inside)?,
        port::MPLS => Opening::new(Tunnel::MplsInIp, 0, Next::Ethertype(MPLS)),
        _ => return None,
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
    (first(*at)? >> 4 == 6).then(|| Opening::new(Tunnel::Teredo, 0, Next::Ethertype(IPV6)))
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
fn capwap(at: &mut Cursor<'_>) -> Option<Opening> {
    let [preamble, b1, b2, b3] = *at.peek::<4>()?;
    let (words, fragment, native) = (b1 >> 3, b3 & 0x80 != 0, b2 & 1 != 0);
    if preamble != 0 || fragment {
        return None;
    }
    at.skip(usize::from(words).saturating_mul(4))?;
    if !native {
        return Some(Opening::new(Tunnel::Capwap, 0, Next::Ethernet));
    }
    // IEEE 802.11 section 9.2.4.1: a data frame has type 2. Some controllers send the two octets of frame control in turned order.
    let (kind, flags) = match *at.peek::<2>()? {
        [kind, flags] if kind & 0x0f == 0x08 => (kind, flags),
        [flags, kind] if kind & 0x0f == 0x08 => (kind, flags),
        _ => return None,
    };
    let (null, protected, both_systems) = (kind & 0x40 != 0, flags & 0x40 != 0, flags & 0x03 == 0x03);
    if null || protected {
        return None;
    }
    let address4 = if both_systems { 6usize } else { 0 };
    let quality = if kind & 0x80 == 0 { 0 } else { 2usize };
    at.skip(address4.saturating_add(quality).saturating_add(24))?;
    // IEEE 802 section 9.5: LLC and SNAP.
    let [0xaa, 0xaa, 3, 0, 0, 0, e0, e1] = *at.take::<8>()? else { return None };
    Some(Opening::new(Tunnel::Capwap, 0, Next::Ethertype(u16::from_be_bytes([e0, e1]))))
}

/// RFC 3378 section 3: version 3 in four bits, the other twelve zero.
fn etherip(at: &mut Cursor<'_>) -> Option<Opening> {
    (at.u16()? == 0x3000).then(|| Opening::new(Tunnel::EtherIp, 0, Next::Ethernet))
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
    let mut key = 0;
    if flags & KEY != 0 {
        key = u32::from_be_bytes(*at.take()?);
        notes.gre_key(key);
    }
    if flags & SEQUENCE != 0 {
        at.skip(4)?;
    }
    if version == 1 {
        if flags & ACKNOWLEDGEMENT != 0 {
            at.skip(4)?;
        }
        // The key's high half is the length of the payload: an acknowledgement has none.
        return (ethertype == PPP && key >> 16 != 0).then(|| Opening::new(Tunnel::Gre, key & 0xffff, Next::Ppp));
    }
    if flags & ROUTING != 0 {
        source_routes(at)?;
    }
    match ethertype {
        // RFC 7637 section 3.2: the key's high 24 bits are the virtual subnet, whose first 4096 numbers are reserved: such a key is
        // one of RFC 2890.
        TRANSPARENT_ETHERNET if flags & (CHECKSUM | ROUTING | KEY | SEQUENCE) == KEY && key >> 8 > 0x0fff => {
            Some(Opening::new(Tunnel::Nvgre, key >> 8, Next::Ethernet))
        }
        0x88be => erspan(at, flags & SEQUENCE != 0),
        0x22eb => erspan_three(at),
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
        return Some(Opening::new(Tunnel::Erspan, 0, Next::Ethernet));
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
