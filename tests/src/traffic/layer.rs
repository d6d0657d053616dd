//! The layers a frame is made of, one type a protocol. What a layer can derive (lengths, checksums, the protocol number of what
//! it carries) it derives when the frame is built, unless told otherwise: tests of damage set those fields by hand.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::carrier::Carrier;

/// Bits of the TCP header's flags (RFC 9293 section 3.1; AE by RFC 9768).
pub mod tcp_flags {
    /// No more data from the sender.
    pub const FIN: u16 = 0x001;
    /// Synchronise sequence numbers.
    pub const SYN: u16 = 0x002;
    /// Reset the connection.
    pub const RST: u16 = 0x004;
    /// Push.
    pub const PSH: u16 = 0x008;
    /// The acknowledgement field means something.
    pub const ACK: u16 = 0x010;
    /// The urgent pointer means something.
    pub const URG: u16 = 0x020;
    /// ECN echo.
    pub const ECE: u16 = 0x040;
    /// Congestion window reduced.
    pub const CWR: u16 = 0x080;
    /// Accurate ECN, once the nonce sum.
    pub const AE: u16 = 0x100;
}

/// One layer of a frame.
#[derive(Clone, Debug)]
pub enum Layer {
    /// Ethernet II; with [`Layer::Llc`] on top 802.3, whose type field is a length.
    Ethernet {
        /// Source address.
        src: [u8; 6],
        /// Destination address.
        dst: [u8; 6],
        /// In place of the type (or length) of what is carried.
        ethertype: Option<u16>,
    },
    /// A VLAN tag (802.1Q, 802.1ad).
    Vlan {
        /// 0x8100, 0x88a8 or 0x9100.
        tpid: u16,
        /// Priority, DEI and VLAN id.
        tci: u16,
        /// In place of the type of what is carried.
        ethertype: Option<u16>,
    },
    /// 802.2 LLC with a one-octet control field.
    Llc {
        /// Destination service access point.
        dsap: u8,
        /// Source service access point.
        ssap: u8,
        /// Control: 3 is an unnumbered information frame.
        control: u8,
    },
    /// IPv4.
    Ipv4(Ipv4),
    /// IPv6.
    Ipv6(Ipv6),
    /// IPv6 hop-by-hop options (RFC 8200 section 4.3): the options, padded by the builder.
    HopByHop(Vec<u8>),
    /// IPv6 destination options (RFC 8200 section 4.6).
    Destination(Vec<u8>),
    /// IPv6 routing header (RFC 8200 section 4.4) with addresses (types 0, 2 and 4 share this form).
    Routing {
        /// Routing type.
        kind: u8,
        /// How many addresses are still to be visited.
        segments_left: u8,
        /// The addresses; the last one is the final destination.
        addresses: Vec<Ipv6Addr>,
    },
    /// Segment routing header (RFC 8754 section 2).
    SegmentRouting {
        /// How many segments are still to be visited.
        segments_left: u8,
        /// Flags.
        flags: u8,
        /// Tag.
        tag: u16,
        /// The list: the last segment of the path first.
        segments: Vec<Ipv6Addr>,
    },
    /// IPv6 fragment header (RFC 8200 section 4.5).
    Fragment {
        /// Offset in octets, a multiple of 8.
        offset: u16,
        /// More fragments follow.
        more: bool,
        /// Identification.
        id: u32,
        /// In place of the protocol of what is carried: a non-first fragment carries bytes without a name.
        next: Option<u8>,
    },
    /// Authentication header (RFC 4302).
    Ah {
        /// Security parameters index.
        spi: u32,
        /// Sequence number.
        sequence: u32,
        /// Integrity check value, a multiple of 4 octets.
        icv: Vec<u8>,
    },
    /// Encapsulating security payload (RFC 4303 section 2); what it hides is payload.
    Esp {
        /// Security parameters index.
        spi: u32,
        /// Sequence number.
        sequence: u32,
    },
    /// TCP.
    Tcp(Tcp),
    /// UDP.
    Udp {
        /// Source port.
        src: u16,
        /// Destination port.
        dst: u16,
    },
    /// UDP-Lite (RFC 3828).
    UdpLite {
        /// Source port.
        src: u16,
        /// Destination port.
        dst: u16,
        /// Octets that the checksum covers, at least 8; 0 for all.
        coverage: u16,
    },
    /// DCCP, a request (RFC 4340).
    Dccp {
        /// Source port.
        src: u16,
        /// Destination port.
        dst: u16,
        /// Sequence number.
        sequence: u32,
        /// Service code.
        service: u32,
    },
    /// SCTP.
    Sctp(Sctp),
    /// ICMP (RFC 792).
    Icmp(Icmp),
    /// ICMPv6 (RFC 4443): its checksum covers the pseudo header.
    Icmpv6(Icmp),
    /// IGMP (RFC 2236): type, maximum response time in place of the code, group.
    Igmp(Icmp),
    /// ARP (RFC 826).
    Arp(Arp),
    /// A header that carries another packet.
    Carrier(Carrier),
    /// LLDP with the three mandatory TLVs and a system name.
    Lldp {
        /// System name.
        system: String,
        /// Port id.
        port: String,
    },
    /// Bytes as they are: payload.
    Raw(Vec<u8>),
}

/// An IPv4 header (RFC 791).
#[derive(Clone, Debug)]
pub struct Ipv4 {
    /// Source address.
    pub src: Ipv4Addr,
    /// Destination address.
    pub dst: Ipv4Addr,
    /// Time to live.
    pub ttl: u8,
    /// Type of service.
    pub tos: u8,
    /// Identification.
    pub id: u16,
    /// Don't fragment.
    pub dont_fragment: bool,
    /// More fragments follow.
    pub more_fragments: bool,
    /// Offset in octets, a multiple of 8.
    pub offset: u16,
    /// Options, padded by the builder; at most 40 octets.
    pub options: Vec<u8>,
    /// In place of the protocol of what is carried.
    pub protocol: Option<u8>,
    /// In place of the total length.
    pub total_length: Option<u16>,
}

impl Ipv4 {
    /// A header with TTL 64 and no options.
    pub fn new(src: impl Into<Ipv4Addr>, dst: impl Into<Ipv4Addr>) -> Self {
        Self {
            src: src.into(),
            dst: dst.into(),
            ttl: 64,
            tos: 0,
            id: 0,
            dont_fragment: false,
            more_fragments: false,
            offset: 0,
            options: Vec::new(),
            protocol: None,
            total_length: None,
        }
    }
}

/// An IPv6 header (RFC 8200).
#[derive(Clone, Debug)]
pub struct Ipv6 {
    /// Source address.
    pub src: Ipv6Addr,
    /// Destination address.
    pub dst: Ipv6Addr,
    /// Hop limit.
    pub hop_limit: u8,
    /// Traffic class.
    pub class: u8,
    /// Flow label, 20 bits.
    pub label: u32,
    /// In place of the next header of what is carried.
    pub next: Option<u8>,
    /// In place of the payload length.
    pub payload_length: Option<u16>,
}

impl Ipv6 {
    /// A header with hop limit 64.
    pub fn new(src: impl Into<Ipv6Addr>, dst: impl Into<Ipv6Addr>) -> Self {
        Self { src: src.into(), dst: dst.into(), hop_limit: 64, class: 0, label: 0, next: None, payload_length: None }
    }
}

/// A TCP header (RFC 9293).
#[derive(Clone, Debug)]
pub struct Tcp {
    /// Source port.
    pub src: u16,
    /// Destination port.
    pub dst: u16,
    /// Sequence number.
    pub seq: u32,
    /// Acknowledgement number.
    pub ack: u32,
    /// Nine bits of [`tcp_flags`].
    pub flags: u16,
    /// Window.
    pub window: u16,
    /// Options, padded by the builder; at most 40 octets.
    pub options: Vec<TcpOption>,
}

impl Tcp {
    /// A header without options.
    pub fn new(src: u16, dst: u16, flags: u16) -> Self {
        Self { src, dst, seq: 0, ack: 0, flags, window: 64_240, options: Vec::new() }
    }

    /// The same with these sequence numbers.
    pub fn at(mut self, seq: u32, ack: u32) -> Self {
        (self.seq, self.ack) = (seq, ack);
        self
    }

    /// The same with these options.
    pub fn with(mut self, options: impl Into<Vec<TcpOption>>) -> Self {
        self.options = options.into();
        self
    }
}

/// An option of TCP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TcpOption {
    /// Maximum segment size (RFC 9293).
    Mss(u16),
    /// Window scale (RFC 7323).
    WindowScale(u8),
    /// SACK permitted (RFC 2018).
    SackPermitted,
    /// Timestamps (RFC 7323): value and echo.
    Timestamps(u32, u32),
    /// No operation.
    Nop,
    /// Bytes as they are.
    Raw(Vec<u8>),
}

/// An SCTP common header with one DATA or INIT chunk in `Layer::Raw` above it (RFC 9260).
#[derive(Clone, Debug)]
pub struct Sctp {
    /// Source port.
    pub src: u16,
    /// Destination port.
    pub dst: u16,
    /// Verification tag.
    pub tag: u32,
}

/// ICMP or ICMPv6.
#[derive(Clone, Debug)]
pub struct Icmp {
    /// Type.
    pub kind: u8,
    /// Code.
    pub code: u8,
    /// The four octets after the checksum: identifier and sequence of an echo.
    pub rest: [u8; 4],
}

/// ARP for IPv4 over Ethernet.
#[derive(Clone, Debug)]
pub struct Arp {
    /// 1 request, 2 reply.
    pub operation: u16,
    /// Sender's MAC address.
    pub sender_mac: [u8; 6],
    /// Sender's address.
    pub sender: Ipv4Addr,
    /// Target's MAC address, zero in a request.
    pub target_mac: [u8; 6],
    /// Target's address.
    pub target: Ipv4Addr,
}

impl From<Ipv4> for Layer {
    fn from(value: Ipv4) -> Self {
        Self::Ipv4(value)
    }
}

impl From<Ipv6> for Layer {
    fn from(value: Ipv6) -> Self {
        Self::Ipv6(value)
    }
}

impl From<Tcp> for Layer {
    fn from(value: Tcp) -> Self {
        Self::Tcp(value)
    }
}

impl From<Sctp> for Layer {
    fn from(value: Sctp) -> Self {
        Self::Sctp(value)
    }
}

impl From<Arp> for Layer {
    fn from(value: Arp) -> Self {
        Self::Arp(value)
    }
}

impl From<Carrier> for Layer {
    fn from(value: Carrier) -> Self {
        Self::Carrier(value)
    }
}
