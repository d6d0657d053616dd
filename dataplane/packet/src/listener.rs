//! What headers say beyond the fields of a flow. Only the first packet of a flow is decoded with a [`Listener`]; decoding without one,
//! with `()`, costs nothing more.

/// Receives what the decoder reads on its way. Each method does nothing unless it is implemented.
pub(crate) trait Listener {
    /// A VLAN tag's priority, DEI and id (IEEE 802.1Q section 9.6).
    fn vlan(&mut self, _tci: u16) {}
    /// An entry of an MPLS label stack: label (20 bits), traffic class (3), bottom of stack (1), TTL (8) (RFC 3032 section 2.1).
    fn mpls(&mut self, _entry: u32) {}
    /// The session of PPPoE (RFC 2516 section 4).
    fn pppoe(&mut self, _session: u16) {}
    /// An Ethernet header.
    fn ethernet(&mut self, _destination: [u8; 6], _source: [u8; 6]) {}
    /// Destination and source of a frame of IEEE 802.11 in a tunnel.
    fn stations(&mut self, _destination: [u8; 6], _source: [u8; 6]) {}
    /// An ARP message for IPv4 over Ethernet (RFC 826).
    fn arp(&mut self, _arp: Arp) {}
    /// The key of a GRE header (RFC 2890).
    fn gre_key(&mut self, _key: u32) {}
    /// A segment routing header (RFC 8754).
    fn segment_routing(&mut self, _header: SegmentRouting) {}
    /// The tag of a service instance: priority (3 bits), DEI, flags (4), I-SID (24) (IEEE 802.1Q section 9.7).
    fn service_instance(&mut self, _tag: u32) {}
}

/// Ignores everything.
impl Listener for () {}

/// ARP for IPv4 over Ethernet (RFC 826).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Arp {
    /// Operation: 1 request, 2 reply (`ar$op`); 0 when the frame has none.
    pub operation: u16,
    /// Protocol address of the sender.
    pub sender: [u8; 4],
    /// Protocol address of the target.
    pub target: [u8; 4],
}

/// A segment routing header (RFC 8754 section 2; elements of RFC 9487).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct SegmentRouting {
    /// Segments in the list (`srhSegmentIPv6ListSection`): last entry and one; 0 when the frame has no such header.
    pub segments: u8,
    /// `srhSegmentsIPv6Left`, 498.
    pub segments_left: u8,
    /// `srhFlagsIPv6`, 492.
    pub flags: u8,
    /// `srhTagIPv6`, 493.
    pub tag: u16,
    /// The last segment of the path (`srhSegmentIPv6`, 494): entry 0 of the list; the active one is the packet's destination (`srhActiveSegmentIPv6`, 495).
    pub last: [u8; 16],
}
