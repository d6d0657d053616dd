//! A frame as every source lends it: bytes, length on the wire, link type, time.

/// What the first byte of a frame is (the capture's link type, or a port's).
///
/// Numbers in brackets are the LINKTYPE values of the pcap registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Link {
    /// Ethernet II or 802.3 with LLC (1).
    Ethernet,
    /// An IPv4 or IPv6 header, told apart by its version (101, 228, 229, 12, 14).
    RawIp,
    /// Linux "cooked" capture, 16-byte header (113).
    LinuxSll,
    /// Linux "cooked" capture v2, 20-byte header (276).
    LinuxSll2,
    /// BSD loopback: a 4-byte address family in either byte order (0, 108).
    Null,
    /// PPP, with or without HDLC's address and control (9): RFC 1661 and RFC 1662.
    Ppp,
    /// PPP in HDLC-like framing, or Cisco HDLC: the first octet tells (50).
    PppSerial,
    /// A PPPoE session header, without the Ethernet header before it (51): RFC 2516.
    Pppoe,
    /// Cisco HDLC: address, control, ethertype (104), RFC 1547 section 4.3.1.
    CiscoHdlc,
    /// An IEEE 802.11 frame without the hardware's header (105).
    Ieee80211,
    /// An MPLS label stack (219).
    Mpls,
    /// A link type Sonde does not decode: counted, metered as an L2 flow without addresses.
    Unknown,
}

/// One frame, lent for the length of a burst.
///
/// A NIC's frames point into its mbufs, a recording's into the mapped file, a template's into its own memory.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// The captured bytes, from the first byte of the link header.
    pub bytes: &'a [u8],
    /// Length on the wire in octets, without FCS; at least `bytes.len()` unless the source is damaged.
    pub wire_len: u32,
    /// What the first byte is.
    pub link: Link,
    /// The port the frame came in by (IPFIX ingressInterface): numbered from 1 in the order of the settings; 0 is unknown.
    pub port: u16,
    /// When the frame was received: nanoseconds since 1970-01-01 00:00:00 UTC.
    pub time: u64,
}
