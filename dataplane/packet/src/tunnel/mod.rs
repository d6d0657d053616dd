//! The kinds of tunnels, and how each is recognised: by the protocol of the outer packet, by its UDP ports, by GRE's protocol type.
//!
//! Each kind has a file that reads its header. Everything else about a kind is in this file.

pub(crate) mod carried;

mod ayiya;
mod capwap;
mod erspan;
mod etherip;
mod geneve;
mod gre;
mod gtp;
mod ieee80211;
mod l2tp;
mod nvgre;
mod pptp;
mod teredo;
mod vxlan;
mod vxlan_gpe;
mod wccp;

use crate::cursor::Cursor;
use crate::link::ethertype;
use crate::listener::Listener;
use crate::proto;

use carried::{Carried, Next};

/// MPLS in UDP (RFC 7510).
const MPLS_PORT: u16 = 6635;

/// A kind of tunnel: what stands between two IP headers.
///
/// The operator chooses for each kind which flow is metered: the inner one, the outer one, or both ([`crate::Tunnels`]).
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
    /// AYIYA (draft-massar-v6ops-ayiya-02): IP in UDP with the identity and the signature of the sender.
    Ayiya,
    /// IEEE 802.11 data frames in GRE, as access points send them to their controller (protocol types 0x8200 to 0x824f).
    Ieee80211,
}

impl Tunnel {
    /// Every kind, in the order of their numbers.
    pub const ALL: [Self; 15] = [
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
        Self::Ayiya,
        Self::Ieee80211,
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
            Self::Ayiya => "ayiya",
            Self::Ieee80211 => "ieee80211",
        }
    }

    /// The standard UDP ports of the kind: IANA's, and others by long use.
    pub(crate) const fn udp_ports(self) -> &'static [u16] {
        match self {
            Self::Gre => &[gre::PORT],
            Self::Vxlan => &vxlan::PORTS,
            Self::VxlanGpe => &[vxlan_gpe::PORT],
            Self::Geneve => &[geneve::PORT],
            Self::GtpU => &gtp::PORTS,
            Self::Teredo => &[teredo::PORT],
            Self::L2tp => &[l2tp::PORT],
            Self::MplsInIp => &[MPLS_PORT],
            Self::Capwap => &[capwap::PORT],
            Self::Ayiya => &[ayiya::PORT],
            Self::IpInIp | Self::Nvgre | Self::Erspan | Self::EtherIp | Self::Ieee80211 => &[],
        }
    }

    /// Whether the kind travels over UDP, so that an operator can give it further ports.
    pub const fn has_udp_ports(self) -> bool {
        !self.udp_ports().is_empty()
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

    pub(crate) const fn bit(self) -> u32 {
        1 << self as u8
    }
}

// `Tunnels` has a bit for each kind; a record has six bits for its number.
const _: () = assert!(Tunnel::ALL.len() <= 32);

/// A tunnel that was recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Opening {
    pub(crate) kind: Tunnel,
    /// As in [`Carried`].
    pub(crate) id: Option<u32>,
    pub(crate) next: Next,
}

impl Opening {
    #[inline(always)]
    fn new(kind: Tunnel, Carried { id, next }: Carried) -> Self {
        Self { kind, id, next }
    }

    /// Kind and identifier of a network that the tunnel separates from others ([`Tunnel::separates`]).
    #[inline(always)]
    pub(crate) fn network(&self) -> Option<u32> {
        self.id.filter(|_| self.kind.separates()).map(|id| (self.kind as u32) << 24 | id & 0x00ff_ffff)
    }
}

const IPV4: Carried = Carried::unnamed(Next::Ethertype(ethertype::IPV4));
const IPV6: Carried = Carried::unnamed(Next::Ethertype(ethertype::IPV6));
const MPLS: Carried = Carried::unnamed(Next::Ethertype(ethertype::MPLS));
const ETHERNET: Carried = Carried::unnamed(Next::Ethernet);

/// The tunnel that a protocol directly over IP is; `at` begins behind the IP header and is moved to what is carried.
#[inline]
pub(crate) fn over_ip(protocol: u8, at: &mut Cursor<'_>, listener: &mut impl Listener) -> Option<Opening> {
    let (kind, carried) = match protocol {
        proto::IPIP => (Tunnel::IpInIp, IPV4),
        proto::IPV6 => (Tunnel::IpInIp, IPV6),
        proto::GRE => return over_gre(at, listener),
        proto::ETHERIP => (Tunnel::EtherIp, etherip::read(at)?),
        proto::ETHERNET => (Tunnel::EtherIp, ETHERNET),
        proto::L2TP => (Tunnel::L2tp, l2tp::read_session(at)?),
        proto::MPLS => (Tunnel::MplsInIp, MPLS),
        _ => return None,
    };
    Some(Opening::new(kind, carried))
}

/// The tunnel at a UDP port of a kind; `at` begins behind the UDP header. It stays where it is when there is no tunnel.
#[inline]
pub(crate) fn over_udp(kind: Tunnel, at: &mut Cursor<'_>, listener: &mut impl Listener) -> Option<Opening> {
    let mut inside = *at;
    let opening = match kind {
        Tunnel::Gre => over_gre(&mut inside, listener)?,
        Tunnel::Vxlan => vxlan(inside.take()?)?,
        Tunnel::VxlanGpe => Opening::new(kind, vxlan_gpe::read(&mut inside)?),
        Tunnel::Geneve => Opening::new(kind, geneve::read(&mut inside)?),
        Tunnel::GtpU => Opening::new(kind, gtp::read(&mut inside)?),
        Tunnel::Teredo => Opening::new(kind, teredo::read(&mut inside)?),
        Tunnel::L2tp => Opening::new(kind, l2tp::read(&mut inside)?),
        Tunnel::Capwap => Opening::new(kind, capwap::read(&mut inside, listener)?),
        Tunnel::MplsInIp => Opening::new(kind, MPLS),
        Tunnel::Ayiya => Opening::new(kind, ayiya::read(&mut inside)?),
        Tunnel::IpInIp | Tunnel::Nvgre | Tunnel::Erspan | Tunnel::EtherIp | Tunnel::Ieee80211 => return None,
    };
    *at = inside;
    Some(opening)
}

/// The tunnel that GRE is.
fn over_gre(at: &mut Cursor<'_>, listener: &mut impl Listener) -> Option<Opening> {
    let gre = gre::read(at, listener)?;
    if gre.version() == 1 {
        return Some(Opening::new(Tunnel::Gre, pptp::read(&gre)?));
    }
    if let Some(carried) = nvgre::read(&gre) {
        return Some(Opening::new(Tunnel::Nvgre, carried));
    }
    let (kind, carried) = match gre.protocol {
        erspan::PROTOCOL => (Tunnel::Erspan, erspan::read(&gre, at)?),
        erspan::PROTOCOL_III => (Tunnel::Erspan, erspan::read_three(at)?),
        wccp::PROTOCOL => (Tunnel::Gre, wccp::read(&gre, at)?),
        protocol if ieee80211::PROTOCOLS.contains(&protocol) => (Tunnel::Ieee80211, ieee80211::read(at, listener)?),
        _ => (Tunnel::Gre, gre.carried()),
    };
    Some(Opening::new(kind, carried))
}

/// Octets of VXLAN's header.
pub(crate) const VXLAN_OCTETS: usize = vxlan::OCTETS;

/// Whether VXLAN is what a packet carries, by the standard port it is sent to.
#[inline(always)]
pub(crate) fn is_vxlan(protocol: u8, dport: u16) -> bool {
    let [own, otv] = vxlan::PORTS;
    (protocol == proto::UDP) & ((dport == own) | (dport == otv))
}

/// VXLAN's header.
#[inline(always)]
pub(crate) fn vxlan(header: &[u8; VXLAN_OCTETS]) -> Option<Opening> {
    vxlan::read(header).map(|carried| Opening::new(Tunnel::Vxlan, carried))
}

#[cfg(test)]
mod tests {
    use crate::Tunnel;
    use crate::frame_tests::{ETHERNET, INNER_ETHERNET, INNER4, INNER6, UDP4, UDP6, bytes, check_tunnel, ipv4, udp};

    #[test]
    fn ip_in_ip_names_both_versions() {
        check_tunnel(&ipv4(4, INNER4), &format!("4in4 0 {UDP4}"));
        check_tunnel(&ipv4(41, INNER6), &format!("6in4 0 {UDP6}"));
        let outer6 = |next: &str, carried: &str| {
            let octets = bytes(carried).len();
            format!(
                "{ETHERNET} 86dd 60000000 {octets:04x} {next} 40 fd000000000000000000000000000001 fd000000000000000000000000000002 {carried}"
            )
        };
        check_tunnel(&outer6("04", INNER4), &format!("4in6 0 {UDP4}"));
        check_tunnel(&outer6("29", INNER6), &format!("6in6 0 {UDP6}"));
    }

    #[test]
    fn ethernet_and_mpls_may_stand_without_a_header_of_their_own() {
        check_tunnel(&ipv4(137, &format!("00064140 {INNER4}")), &format!("mpls-in-ip 0 {UDP4}"));
        check_tunnel(&udp(6635, &format!("00064040 00065140 {INNER6}")), &format!("mpls-in-ip 0 {UDP6}"));
        check_tunnel(&ipv4(143, &format!("{INNER_ETHERNET} 86dd {INNER6}")), &format!("etherip 0 {UDP6}"));
    }

    #[test]
    fn kinds_have_numbers_and_names_of_their_own() {
        for (number, kind) in (0u8..).zip(Tunnel::ALL) {
            assert_eq!((Tunnel::from_u8(number), kind as u8), (Some(kind), number));
        }
        let names: std::collections::HashSet<_> = Tunnel::ALL.map(Tunnel::name).into_iter().collect();
        assert_eq!(names.len(), Tunnel::ALL.len());
    }
}
