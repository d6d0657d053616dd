//! What decoding finds.

use crate::frame::Frame;
use crate::proto::{self, has_ports};

/// Why a frame was not metered. Not an error: the network sent it, we count it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Malformed {
    /// Shorter than its link header.
    LinkTruncated,
    /// Ends inside its VLAN tags.
    VlanTruncated,
    /// More than [`crate::TAGS_MAX`] VLAN tags, or than 24 tags and labels before IP.
    TooManyTags,
    /// Ends inside its MPLS label stack.
    MplsTruncated,
    /// Ends inside its PPPoE or PPP header.
    PppoeTruncated,
    /// Ends inside its network service header.
    NshTruncated,
    /// Ends inside the IPv4 header.
    Ipv4Truncated,
    /// The version field of an IPv4 frame is not 4 (RFC 791 section 3.1).
    Ipv4BadVersion,
    /// The header length is below five words (RFC 791 section 3.1).
    Ipv4BadHeaderLength,
    /// The total length is shorter than the header, and not the 0 that segmentation offload leaves.
    Ipv4BadTotalLength,
    /// Ends inside the IPv6 header.
    Ipv6Truncated,
    /// The version field of an IPv6 frame is not 6 (RFC 8200 section 3).
    Ipv6BadVersion,
    /// More than [`crate::EXTENSIONS_MAX`] IPv6 extension headers.
    TooManyExtensions,
    /// A raw IP frame whose version is neither 4 nor 6.
    UnknownIpVersion,
}

impl Malformed {
    /// Every reason, in the order of their numbers.
    pub const ALL: [Self; 14] = [
        Self::LinkTruncated,
        Self::VlanTruncated,
        Self::TooManyTags,
        Self::MplsTruncated,
        Self::PppoeTruncated,
        Self::NshTruncated,
        Self::Ipv4Truncated,
        Self::Ipv4BadVersion,
        Self::Ipv4BadHeaderLength,
        Self::Ipv4BadTotalLength,
        Self::Ipv6Truncated,
        Self::Ipv6BadVersion,
        Self::TooManyExtensions,
        Self::UnknownIpVersion,
    ];

    /// The counter's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::LinkTruncated => "link_truncated",
            Self::VlanTruncated => "vlan_truncated",
            Self::TooManyTags => "too_many_tags",
            Self::MplsTruncated => "mpls_truncated",
            Self::PppoeTruncated => "pppoe_truncated",
            Self::NshTruncated => "nsh_truncated",
            Self::Ipv4Truncated => "ipv4_truncated",
            Self::Ipv4BadVersion => "ipv4_bad_version",
            Self::Ipv4BadHeaderLength => "ipv4_bad_header_length",
            Self::Ipv4BadTotalLength => "ipv4_bad_total_length",
            Self::Ipv6Truncated => "ipv6_truncated",
            Self::Ipv6BadVersion => "ipv6_bad_version",
            Self::TooManyExtensions => "too_many_extensions",
            Self::UnknownIpVersion => "unknown_ip_version",
        }
    }
}

/// Addresses of the network layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Network {
    /// No IP header was found.
    #[default]
    None,
    /// IPv4 source and destination.
    V4([u8; 4], [u8; 4]),
    /// IPv6 source and destination.
    V6([u8; 16], [u8; 16]),
}

/// What the IP header says of fragmentation (RFC 791 section 3.2, RFC 8200 section 4.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Fragment {
    /// Identification, the same in all fragments of a packet.
    pub id: u32,
    /// Offset in octets.
    pub offset: u16,
    /// More fragments follow.
    pub more: bool,
}

impl Fragment {
    /// Whether the packet is a fragment at all.
    pub fn is_fragment(self) -> bool {
        self.more || self.offset != 0
    }
}

/// The fixed part of a TCP header (RFC 9293 section 3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Tcp {
    /// Sequence number.
    pub seq: u32,
    /// Acknowledgement number.
    pub ack: u32,
    /// Flags, FIN in bit 0 to AE in bit 8, and the three reserved bits above (RFC 9293 section 3.1, RFC 9565).
    pub flags: u16,
    /// Window, unscaled.
    pub window: u16,
}

impl Tcp {
    /// The sender has finished.
    pub const FIN: u16 = 0x01;
    /// Opens a connection.
    pub const SYN: u16 = 0x02;
    /// Ends a connection at once.
    pub const RST: u16 = 0x04;
    /// The acknowledgement number counts.
    pub const ACK: u16 = 0x10;
}

/// Everything decoding finds in one frame. Offsets count from the first byte of the frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Headers {
    /// Source MAC address; zero where the link has none.
    pub smac: [u8; 6],
    /// Destination MAC address.
    pub dmac: [u8; 6],
    /// Ethertype behind tags and labels; the length field of an 802.3 frame; 0 where the link has none.
    pub ethertype: u16,
    /// VLAN ids, outermost first; only the first `tags` of them count.
    pub vlan: [u16; 2],
    /// VLAN tags found (may be more than two).
    pub tags: u8,
    /// Service instance of provider backbone bridges (I-SID, `dot1qServiceInstanceId`), the innermost; it is a network of its own.
    pub service_instance: ServiceInstance,
    /// Addresses.
    pub network: Network,
    /// Offset of the IP header, or of what follows the ethertype.
    pub l3_offset: u16,
    /// Octets from the IP header on, as the header says them, or its jumbo payload option; by the frame where they say 0; for a frame
    /// without IP, octets behind the ethertype.
    pub octets: u32,
    /// The protocol behind the IP header and its extensions (`protocolIdentifier`).
    pub protocol: u8,
    /// TTL or hop limit.
    pub ttl: u8,
    /// Type of service or traffic class.
    pub tos: u8,
    /// Reserved, don't-fragment and more-fragments bits, as the high three of eight (`fragmentFlags`, 197, RFC 791 section 3.1); 0 for IPv6.
    pub ip_flags: u8,
    /// IPv6 flow label (`flowLabelIPv6`, 31); 0 for IPv4.
    pub flow_label: u32,
    /// Security parameters index of ESP, or else of an authentication header (`IPSecSPI`, 295); 0 where there is none.
    pub spi: u32,
    /// Fragmentation.
    pub fragment: Fragment,
    /// Source port; 0 where there is none, or it was not captured.
    pub sport: u16,
    /// Destination port.
    pub dport: u16,
    /// Type and code of ICMP or ICMPv6; type and maximum response code of IGMP.
    pub icmp: [u8; 2],
    /// Whether they are there: not those of a later fragment, or of a message that was cut off.
    pub icmp_seen: bool,
    /// TCP's fixed header, when the protocol is TCP and enough was captured.
    pub tcp: Option<Tcp>,
    /// Offset of the transport header; 0 when there is none to see (other fragments, no IP).
    pub l4_offset: u16,
}

/// A service instance of provider backbone bridges (I-SID), or none: the number of a network beside those of tunnels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct ServiceInstance(u32);

impl ServiceInstance {
    /// In place of the number of a tunnel's kind.
    const MARK: u32 = 0x3f00_0000;

    pub(crate) fn new(id: u32) -> Self {
        Self(Self::MARK | id & 0x00ff_ffff)
    }

    /// The I-SID.
    pub fn id(self) -> Option<u32> {
        (self.0 != 0).then_some(self.0 & 0x00ff_ffff)
    }

    /// Its number among networks; 0 where there is none.
    pub(crate) fn network(self) -> u32 {
        self.0
    }
}

impl Headers {
    /// Octets of the packet from `offset` of the frame on, by the length in its IP header: what stands behind them is padding.
    pub(crate) fn carried(&self, offset: usize) -> usize {
        let before = offset.saturating_sub(usize::from(self.l3_offset));
        usize::try_from(self.octets).unwrap_or(usize::MAX).saturating_sub(before)
    }

    /// Length of the frame on the wire, in octets: as its source told it, or, of a frame that its source cut without telling, that of
    /// the headers before IP and IP's own. One that Ethernet carries without jumbo frames fits every buffer: a header that says more
    /// is wrong.
    pub fn wire_octets(&self, frame: &Frame<'_>) -> u32 {
        /// IEEE 802.3 section 3.2.7 with two tags, without FCS.
        const ORDINARY: u32 = 1522;
        let told = frame.wire_len;
        let cut_and_told = usize::try_from(told).is_ok_and(|octets| octets > frame.bytes.len());
        if cut_and_told || told <= ORDINARY || self.network == Network::None {
            return told;
        }
        told.max(self.octets.saturating_add(u32::from(self.l3_offset)))
    }

    /// Whether the protocol has ports (or TCP flags) that could not be read, because the packet or its capture ends before them.
    pub fn transport_truncated(&self, frame: &Frame<'_>) -> bool {
        if self.fragment.offset != 0 || !has_ports(self.protocol) {
            return false;
        }
        let needed: usize = if self.protocol == proto::TCP { 16 } else { 4 };
        let offset = usize::from(self.l4_offset);
        offset == 0 || frame.bytes.len() < offset.saturating_add(needed) || self.carried(offset) < needed
    }
}

#[cfg(test)]
mod tests {
    use crate::Malformed;

    #[test]
    fn every_reason_has_a_name_of_its_own() {
        let mut names: Vec<&str> = Malformed::ALL.iter().map(|r| r.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Malformed::ALL.len());
        for (at, reason) in Malformed::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, at);
        }
    }
}
