//! IANA protocol numbers that Sonde looks into.

/// IPv6 hop-by-hop options (RFC 8200 section 4.3).
pub(crate) const HOP_BY_HOP: u8 = 0;
/// ICMP (RFC 792).
pub const ICMP: u8 = 1;
/// IGMP (RFC 9776).
pub const IGMP: u8 = 2;
/// IPv4 in IP (RFC 2003).
pub const IPIP: u8 = 4;
/// TCP (RFC 9293).
pub const TCP: u8 = 6;
/// UDP (RFC 768).
pub const UDP: u8 = 17;
/// DCCP (RFC 4340).
pub const DCCP: u8 = 33;
/// IPv6 in IP (RFC 2473).
pub const IPV6: u8 = 41;
/// IPv6 routing header (RFC 8200 section 4.4).
pub(crate) const ROUTING: u8 = 43;
/// IPv6 fragment header (RFC 8200 section 4.5).
pub(crate) const FRAGMENT: u8 = 44;
/// Generic routing encapsulation (RFC 2784).
pub const GRE: u8 = 47;
/// Encapsulating security payload (RFC 4303).
pub const ESP: u8 = 50;
/// Authentication header (RFC 4302).
pub(crate) const AUTHENTICATION: u8 = 51;
/// ICMPv6 (RFC 4443).
pub const ICMPV6: u8 = 58;
/// IPv6 without anything behind it (RFC 8200 section 4.7).
pub(crate) const NO_NEXT_HEADER: u8 = 59;
/// IPv6 destination options (RFC 8200 section 4.6).
pub(crate) const DESTINATION_OPTIONS: u8 = 60;
/// EtherIP (RFC 3378).
pub const ETHERIP: u8 = 97;
/// L2TP version 3 (RFC 3931).
pub const L2TP: u8 = 115;
/// SCTP (RFC 9260).
pub const SCTP: u8 = 132;
/// UDP-Lite (RFC 3828).
pub const UDP_LITE: u8 = 136;
/// MPLS in IP (RFC 4023).
pub const MPLS: u8 = 137;
/// Ethernet in IP, behind a segment routing header for instance (RFC 8986 section 10.1).
pub const ETHERNET: u8 = 143;

/// Whether the protocol begins with a source and a destination port.
pub const fn has_ports(protocol: u8) -> bool {
    matches!(protocol, TCP | UDP | DCCP | SCTP | UDP_LITE)
}

/// The name of a protocol, as commands, the API and expressions have it.
pub const fn name(protocol: u8) -> Option<&'static str> {
    Some(match protocol {
        ICMP => "icmp",
        IGMP => "igmp",
        TCP => "tcp",
        UDP => "udp",
        DCCP => "dccp",
        IPV6 => "ipv6",
        GRE => "gre",
        ESP => "esp",
        AUTHENTICATION => "ah",
        ICMPV6 => "icmp6",
        89 => "ospf",
        103 => "pim",
        112 => "vrrp",
        SCTP => "sctp",
        UDP_LITE => "udplite",
        _ => return None,
    })
}
