//! What the traffic of a template is.

/// Sizes of the frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// All of one size, in octets on the wire with FCS (64 is the smallest Ethernet frame).
    Fixed(u16),
    /// Simple IMIX: 7 of 64, 4 of 594, 1 of 1518 octets.
    Imix,
}

/// What the frames are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// UDP datagrams of these sizes, each flow hit equally often, in random order, in both directions.
    Udp(Size),
    /// The same in VXLAN (RFC 7348), between some hundred tunnel ends; the sizes are those of the inner frames.
    Vxlan(Size),
    /// TCP connections that go on for ever: a request, an answer of four segments, acknowledgements, again and again; simple IMIX.
    Tcp,
    /// TCP connections of 24 segments: handshake, two such exchanges less three acknowledgements, and the end; simple IMIX.
    Connections,
    /// Every packet is the SYN of a new flow, 64 octets.
    Flood,
}

/// What stands between Ethernet and IP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Behind {
    /// Nothing.
    #[default]
    Ethernet,
    /// A VLAN tag.
    Vlan,
    /// Two VLAN tags.
    Qinq,
    /// Two MPLS labels.
    Mpls,
    /// A PPPoE session.
    Pppoe,
}

/// What the source lends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Traffic {
    /// Different flows. Of a flood it does not matter.
    pub flows: u32,
    /// What their frames are.
    pub kind: Kind,
    /// What stands before their IP header, in a tunnel before that of the tunnel. Frames are longer by it.
    pub behind: Behind,
    /// IPv6 in place of IPv4, in a tunnel that of the tunnel. Frames are 20 octets longer.
    pub ipv6: bool,
    /// Seed of the order.
    pub seed: u64,
}
