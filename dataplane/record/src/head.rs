//! The head of a record: what every flow has, in [`HEAD_WORDS`] little-endian words of 64 bits.
//!
//! [`Head`] is its plain values, for who writes one; readers use [`RecordView`](crate::RecordView), which shares the layout below ([`at`]).

use crate::word::{address, pack, quad};

/// Version of the layout of heads and facts. A reader refuses another one.
pub const VERSION: u8 = 3;
/// Words of a record's head.
pub const HEAD_WORDS: usize = 24;
/// Most words that a record with all its facts may have.
pub const WORDS_MAX: usize = 1024;

/// Which word of the head holds what. Four 16-bit numbers share a word lowest first, and so do eight octets.
pub(crate) mod at {
    /// Length in words (16 bits), version (8), kind (4), view (4), sequence of the writer (32).
    pub(crate) const FIRST: usize = 0;
    pub(crate) const FLOW_ID: usize = 1;
    pub(crate) const START: usize = 2;
    pub(crate) const END: usize = 3;
    /// Two words in network order.
    pub(crate) const SOURCE: usize = 4;
    pub(crate) const DESTINATION: usize = 6;
    /// Forward, reverse.
    pub(crate) const OCTETS: usize = 8;
    pub(crate) const PACKETS: usize = 10;
    pub(crate) const WIRE: usize = 12;
    /// Source port, destination port, TCP flags forward and reverse.
    pub(crate) const PORTS_FLAGS: usize = 14;
    /// Protocol, end reason, initiator, worker, TTL forward and reverse, type of service, window scale.
    pub(crate) const OCTETS_1: usize = 15;
    /// Outer and inner VLAN tag, ingress port, length of the SYN.
    pub(crate) const TAGS: usize = 16;
    /// Source MAC address, ethertype.
    pub(crate) const SOURCE_MAC: usize = 17;
    /// Destination MAC address, ICMP type and code.
    pub(crate) const DESTINATION_MAC: usize = 18;
    /// Window and MSS of the SYN, number of fragments (32 bits).
    pub(crate) const SYN: usize = 19;
    /// Flow label (3 octets), IP flags, least and greatest TTL forward, then reverse.
    pub(crate) const LABEL_TTL: usize = 20;
    /// See [`super::lone_syn`].
    pub(crate) const LONE_SYN: usize = 21;
    /// What is added to all times, signed.
    pub(crate) const OFFSET: usize = 22;
}

/// Why a flow's record was written (RFC 7012, `flowEndReason`, element 136).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[repr(u8)]
pub enum EndReason {
    /// No packet for the idle timeout.
    #[default]
    Idle = 1,
    /// The flow goes on, but its record was due (active timeout), or a counter was about to overflow.
    Active = 2,
    /// The end of the flow was seen (TCP FIN from both sides, or RST).
    EndOfFlow = 3,
    /// Told to: shutdown, end of a recording, change of settings.
    Forced = 4,
    /// The table was full and the flow was evicted.
    LackOfResources = 5,
}

impl EndReason {
    /// The reason with this number, if there is one.
    pub fn from_u8(value: u8) -> Option<Self> {
        Some(match value {
            1 => Self::Idle,
            2 => Self::Active,
            3 => Self::EndOfFlow,
            4 => Self::Forced,
            5 => Self::LackOfResources,
            _ => return None,
        })
    }
}

/// What kind of record it is: which key fields of its head mean something.
///
/// Records that are no flows (transactions, say) will have the same head, and a kind of their own from 8 on; that changes [`VERSION`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[repr(u8)]
pub enum Kind {
    /// IPv4: addresses are the last four bytes of `src` and `dst`.
    #[default]
    Ipv4 = 4,
    /// IPv6.
    Ipv6 = 6,
    /// No IP in it: MAC addresses and ethertype are the key; `src` and `dst` are zero.
    Layer2 = 2,
}

impl Kind {
    /// The kind with this number, if there is one.
    pub fn from_u8(value: u8) -> Option<Self> {
        Some(match value {
            2 => Self::Layer2,
            4 => Self::Ipv4,
            6 => Self::Ipv6,
            _ => return None,
        })
    }
}

/// By which IP header the flow is metered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[repr(u8)]
pub enum View {
    /// By the first header of its packets: all there is, or the outside of a tunnel.
    #[default]
    First = 0,
    /// By the innermost header, inside a tunnel.
    Inner = 1,
}

impl View {
    /// The view with this number, if there is one.
    pub fn from_u8(value: u8) -> Option<Self> {
        Some(match value {
            0 => Self::First,
            1 => Self::Inner,
            _ => return None,
        })
    }
}

/// How the initiator of the flow was found (`biflowDirection`, element 239, RFC 5103).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[repr(u8)]
pub enum Initiator {
    /// Not known better than by the first packet seen: the source.
    #[default]
    FirstPacket = 0,
    /// The source sent a SYN.
    Source = 1,
    /// The destination sent the SYN (the first packet seen was an answer).
    Destination = 2,
}

impl Initiator {
    /// The value with this number, if there is one.
    pub fn from_u8(value: u8) -> Option<Self> {
        Some(match value {
            0 => Self::FirstPacket,
            1 => Self::Source,
            2 => Self::Destination,
            _ => return None,
        })
    }
}

/// The head of a flow record as plain values. "Forward" is the direction of the first packet: from `src` to `dst`.
///
/// Arrays of two hold the forward value first, then the reverse one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Unique in the probe's life (`flowId`, 148).
    pub flow_id: u64,
    /// Which fields mean something.
    pub kind: Kind,
    /// Why the record was written (`flowEndReason`, 136).
    pub end_reason: EndReason,
    /// By which header it is metered.
    pub view: View,
    /// Who began (`biflowDirection`, 239).
    pub initiator: Initiator,
    /// Worker that metered the flow.
    pub worker: u8,
    /// Port the first packet came in by (`ingressInterface`, 10).
    pub ingress: u16,
    /// First packet, nanoseconds since 1970 UTC.
    pub start: u64,
    /// Last packet, nanoseconds since 1970 UTC.
    pub end: u64,
    /// Source address; IPv4 in the last four bytes (`sourceIPv4Address` 8, `sourceIPv6Address` 27).
    pub src: [u8; 16],
    /// Destination address (12, 28).
    pub dst: [u8; 16],
    /// `sourceTransportPort`, 7; 0 where the protocol has none.
    pub sport: u16,
    /// `destinationTransportPort`, 11.
    pub dport: u16,
    /// `protocolIdentifier`, 4: the last next-header of IPv6.
    pub proto: u8,
    /// IP octets from the IP header on (`octetDeltaCount`, 1). For an L2 flow the octets of the frame's payload after the ethertype.
    pub octets: [u64; 2],
    /// Packets (`packetDeltaCount`, 2).
    pub packets: [u64; 2],
    /// Octets of the frames on the wire without FCS (`layer2OctetDeltaCount`, 352).
    pub wire: [u64; 2],
    /// OR of the TCP flags (`tcpControlBits`, 6).
    pub tcp_flags: [u16; 2],
    /// TTL or hop limit of the first packet of each direction (`ipTTL`, 192).
    pub ttl: [u8; 2],
    /// Least TTL or hop limit of each direction (`minimumTTL`, 52); 0 where there is no packet.
    pub ttl_min: [u8; 2],
    /// Greatest (`maximumTTL`, 53).
    pub ttl_max: [u8; 2],
    /// Reserved, don't-fragment and more-fragments bits of the first packet (`fragmentFlags`, 197): the high three of eight; IPv4 only.
    pub ip_flags: u8,
    /// Flow label of the first packet (`flowLabelIPv6`, 31); IPv6 only.
    pub flow_label: u32,
    /// Type of service or traffic class of the first packet (`ipClassOfService`, 5).
    pub tos: u8,
    /// VLAN tags of the first packet before the IP header it is metered by, outermost first, [`NO_VLAN`] where there is none: priority
    /// (3 bits; `dot1qPriority` 244, `dot1qCustomerPriority` 246), DEI (1; 388, 389), id (12; `dot1qVlanId` 243, `dot1qCustomerVlanId` 245).
    pub vlan_tci: [u16; 2],
    /// MAC addresses of the first packet (56, 80).
    pub smac: [u8; 6],
    /// Destination MAC address of the first packet.
    pub dmac: [u8; 6],
    /// Ethertype of the first packet after its VLAN tags (`ethernetType`, 256); 0 where the link has none.
    pub ethertype: u16,
    /// Packets that were fragments.
    pub fragments: u32,
    /// ICMP type and code of the first packet (`icmpTypeCodeIPv4` 32, `icmpTypeCodeIPv6` 139); [`NO_ICMP`] where they were not seen, 0 in
    /// other protocols.
    pub icmp: [u8; 2],
    /// Length of the IP packet of the first SYN; 0 when none was seen (`8057:902`).
    pub syn_len: u16,
    /// Window of the first SYN.
    pub syn_window: u16,
    /// MSS option of the first SYN; 0 when it had none.
    pub syn_mss: u16,
    /// Window scale option of the first SYN; [`NO_WSCALE`] when it had none.
    pub syn_wscale: u8,
    /// Of a connection of which only a SYN was seen: what [`lone_syn`] makes of it; else 0.
    pub lone_syn: u64,
    /// What a reader adds to all times of the record, in nanoseconds: the wall clock was stepped since the source's clock was set.
    /// [`RecordView`](crate::RecordView) has added it already.
    pub offset: i64,
}

/// Zeros, and no VLAN tag.
impl Default for Head {
    fn default() -> Self {
        Self {
            flow_id: 0,
            kind: Kind::default(),
            end_reason: EndReason::default(),
            view: View::default(),
            initiator: Initiator::default(),
            worker: 0,
            ingress: 0,
            start: 0,
            end: 0,
            src: [0; 16],
            dst: [0; 16],
            sport: 0,
            dport: 0,
            proto: 0,
            octets: [0; 2],
            packets: [0; 2],
            wire: [0; 2],
            tcp_flags: [0; 2],
            ttl: [0; 2],
            ttl_min: [0; 2],
            ttl_max: [0; 2],
            ip_flags: 0,
            flow_label: 0,
            tos: 0,
            vlan_tci: [NO_VLAN; 2],
            smac: [0; 6],
            dmac: [0; 6],
            ethertype: 0,
            fragments: 0,
            icmp: [0; 2],
            syn_len: 0,
            syn_window: 0,
            syn_mss: 0,
            syn_wscale: 0,
            lone_syn: 0,
            offset: 0,
        }
    }
}

/// The VLAN id of a tag, or [`NO_VLAN`].
pub const fn vlan_id(tci: u16) -> u16 {
    if tci == NO_VLAN { NO_VLAN } else { tci & 0x0fff }
}

/// There is no VLAN tag. As a tag it would be that of the reserved id 4095 with every bit set.
pub const NO_VLAN: u16 = 0xffff;
/// Type and code of ICMP were not seen: they were cut off, or only later fragments came. Type 255 is reserved (RFC 4443 section 2.1).
pub const NO_ICMP: [u8; 2] = [0xff; 2];
/// `syn_wscale` holds no shift.
pub const NO_WSCALE: u8 = 0xff;

impl Head {
    /// VLAN ids of the first packet, outermost first, [`NO_VLAN`] where there is no tag.
    pub fn vlan(&self) -> [u16; 2] {
        self.vlan_tci.map(vlan_id)
    }

    /// The words of the head; the ring fills in length and sequence.
    ///
    /// Inline: an entry of the flow table fills in the values, and nothing remains of them but the words (bench `emit/nothing`).
    #[inline(always)]
    pub fn encode(&self) -> [u64; HEAD_WORDS] {
        let [m0, m1, m2, m3, m4, m5] = self.smac;
        let [n0, n1, n2, n3, n4, n5] = self.dmac;
        let ([t0, t1], [f0, f1], [v0, v1], [i0, i1]) = (self.ttl, self.tcp_flags, self.vlan_tci, self.icmp);
        let [e0, e1] = self.ethertype.to_le_bytes();
        let ([min0, min1], [max0, max1]) = (self.ttl_min, self.ttl_max);
        let (end_reason, initiator) = (self.end_reason as u8, self.initiator as u8);
        let mut words = [0; HEAD_WORDS];
        words[at::FIRST] = first_word(self.kind, self.view);
        words[at::FLOW_ID] = self.flow_id;
        words[at::START] = self.start;
        words[at::END] = self.end;
        [words[at::SOURCE], words[at::SOURCE + 1]] = address(&self.src);
        [words[at::DESTINATION], words[at::DESTINATION + 1]] = address(&self.dst);
        [words[at::OCTETS], words[at::OCTETS + 1]] = self.octets;
        [words[at::PACKETS], words[at::PACKETS + 1]] = self.packets;
        [words[at::WIRE], words[at::WIRE + 1]] = self.wire;
        words[at::PORTS_FLAGS] = quad(self.sport, self.dport, f0, f1);
        words[at::OCTETS_1] = pack([self.proto, end_reason, initiator, self.worker, t0, t1, self.tos, self.syn_wscale]);
        words[at::TAGS] = quad(v0, v1, self.ingress, self.syn_len);
        words[at::SOURCE_MAC] = pack([m0, m1, m2, m3, m4, m5, e0, e1]);
        words[at::DESTINATION_MAC] = pack([n0, n1, n2, n3, n4, n5, i0, i1]);
        words[at::SYN] = quad(self.syn_window, self.syn_mss, 0, 0) | u64::from(self.fragments) << 32;
        words[at::LABEL_TTL] = u64::from(self.flow_label) | pack([0, 0, 0, self.ip_flags, min0, max0, min1, max1]);
        words[at::LONE_SYN] = self.lone_syn;
        words[at::OFFSET] = self.offset.cast_unsigned();
        words
    }
}

/// The first word of a record without facts, without its sequence. The kind is in the low four bits of its octet, the view above.
const fn first_word(kind: Kind, view: View) -> u64 {
    HEAD_WORDS as u64 | (VERSION as u64) << 16 | (kind as u64) << 24 | (view as u64) << 28
}

/// What the highest 16 bits of the word of [`lone_syn`] are.
pub(crate) const LONE_SYN: u16 = 1;

/// The word of a head that says: of this connection only a SYN was seen, with this sequence number, and these notes (see
/// [`LoneSyn`](crate::fact::LoneSyn)). What else its performance says can be told from the head.
pub const fn lone_syn(isn: u32, notes: u16) -> u64 {
    isn as u64 | (notes as u64) << 32 | (LONE_SYN as u64) << 48
}
