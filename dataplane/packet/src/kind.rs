//! The kinds of tunnels.

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

    /// The kind with this number.
    pub fn from_u8(value: u8) -> Option<Self> {
        Self::ALL.get(usize::from(value)).copied()
    }

    /// Whether the identifier names a virtual network, the same in both directions, whose addresses may be those of another network,
    /// too: then it is part of the flow key. A GTP tunnel endpoint has another identifier in each direction.
    pub const fn separates(self) -> bool {
        matches!(self, Self::Nvgre | Self::Vxlan | Self::VxlanGpe | Self::Geneve)
    }

    pub(crate) const fn bit(self) -> u16 {
        1 << self as u8
    }
}
