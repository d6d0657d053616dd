//! The flow record: what the table says of a flow when it ends or times out.
//!
//! In the record ring a record is a fixed head of [`HEAD_WORDS`] little-endian 64-bit words, followed by typed extensions (see
//! `extension`). Offsets only, no pointer; a reader checks everything it reads.

use sonde_packet::Layers;

use crate::extension::{EXTENSION_WORDS_MAX, LAYERS, LAYERS_WORDS, extensions, read_layers, write_layers};
use crate::pattern::{BURSTS, Bursts, FIRST_PACKETS, FirstPackets, HISTOGRAMS, Histograms, NETTISA, NetTisa};
use crate::perf::{LoneSyn, QUIC_PERFORMANCE, QuicPerformance, TCP_PERFORMANCE, TcpPerformance, UDP_PERFORMANCE, UdpPerformance};
use crate::word::{address, octets, pack, quad, unpair, unquad};

/// Version of the layout below. A reader refuses another one.
pub const VERSION: u8 = 2;
/// Words of a record's fixed head.
pub const HEAD_WORDS: usize = 24;
/// Most words a record with all its extensions may have.
pub const WORDS_MAX: usize = 256;

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

/// What kind of flow it is: which key fields mean something.
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

/// One flow record. "Forward" is the direction of the first packet: from `src` to `dst`.
///
/// Arrays of two hold the forward value first, then the reverse one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
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
    /// What the layers of the first packet say; `None` when it is nothing beside what stands above, or there was no place to keep it.
    pub layers: Option<Layers>,
    /// How the TCP connection performed; `None` where it was not measured.
    pub tcp: Option<TcpPerformance>,
    /// How requests over UDP were answered (DNS, NTP, SNMP, RADIUS); `None` where it was not measured, or none was seen.
    pub udp: Option<UdpPerformance>,
    /// How the QUIC connection performed; `None` where it was not measured, or its beginning not seen.
    pub quic: Option<QuicPerformance>,
    /// Sizes of its packets and times between them. This and what follows is `None` where it is not wanted, and where there was no
    /// place to keep it.
    pub histograms: Option<Histograms>,
    /// The first packets of the record.
    pub first_packets: Option<FirstPackets>,
    /// Bursts.
    pub bursts: Option<Bursts>,
    /// Statistics of the series of packets.
    pub nettisa: Option<NetTisa>,
}

/// Zeros, and no VLAN tag.
impl Default for Record {
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
            layers: None,
            tcp: None,
            udp: None,
            quic: None,
            histograms: None,
            first_packets: None,
            bursts: None,
            nettisa: None,
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

/// The first word of a record without extensions, without its sequence. The kind is in the low four bits of its byte, the view above.
pub(crate) const fn head(kind: Kind, view: View) -> u64 {
    HEAD_WORDS as u64 | (VERSION as u64) << 16 | (kind as u64) << 24 | (view as u64) << 28
}

impl Record {
    /// VLAN ids of the first packet, outermost first, [`NO_VLAN`] where there is no tag.
    pub fn vlan(&self) -> [u16; 2] {
        self.vlan_tci.map(vlan_id)
    }

    /// Writes the head of the record as words. `words[0]` is: length in words (16 bits), version (8), kind (4), view (4), sequence of
    /// the writer (low 32 bits); the ring fills in length and sequence.
    #[inline]
    pub fn encode(&self) -> [u64; HEAD_WORDS] {
        let [s0, s1] = address(&self.src);
        let [d0, d1] = address(&self.dst);
        let [m0, m1, m2, m3, m4, m5] = self.smac;
        let [n0, n1, n2, n3, n4, n5] = self.dmac;
        let [t0, t1] = self.ttl;
        let [e0, e1] = self.ethertype.to_le_bytes();
        let [i0, i1] = self.icmp;
        let [octets0, octets1] = self.octets;
        let [packets0, packets1] = self.packets;
        let [wire0, wire1] = self.wire;
        let [f0, f1] = self.tcp_flags;
        let [v0, v1] = self.vlan_tci;
        let ([min0, min1], [max0, max1]) = (self.ttl_min, self.ttl_max);
        [
            head(self.kind, self.view),
            self.flow_id,
            self.start,
            self.end,
            s0,
            s1,
            d0,
            d1,
            octets0,
            octets1,
            packets0,
            packets1,
            wire0,
            wire1,
            quad(self.sport, self.dport, f0, f1),
            pack([self.proto, self.end_reason as u8, self.initiator as u8, self.worker, t0, t1, self.tos, self.syn_wscale]),
            quad(v0, v1, self.ingress, self.syn_len),
            pack([m0, m1, m2, m3, m4, m5, e0, e1]),
            pack([n0, n1, n2, n3, n4, n5, i0, i1]),
            quad(self.syn_window, self.syn_mss, 0, 0) | u64::from(self.fragments) << 32,
            u64::from(self.flow_label) | pack([0, 0, 0, self.ip_flags, min0, max0, min1, max1]),
            0, // a lone SYN, see `lone_syn`: of a record put together elsewhere it is an extension
            0, // what is to be added to all times of a record that a tracker wrote
            0, // growth: written as zero, ignored by readers of this version
        ]
    }

    /// Hands the record on as words: its head, and its extensions.
    pub fn with_words<T>(&self, take: impl FnOnce(&[u64; HEAD_WORDS], &[u64]) -> T) -> T {
        let mut words = [0; EXTENSION_WORDS_MAX];
        let mut filled = 0;
        if let (Some(layers), Some(place)) = (&self.layers, words.first_chunk_mut::<LAYERS_WORDS>()) {
            *place = write_layers(layers);
            filled = LAYERS_WORDS;
        }
        let mut append = |write: &dyn Fn(&mut [u64]) -> usize| filled += write(words.get_mut(filled..).unwrap_or_default());
        append(&|words| self.tcp.as_ref().map_or(0, |tcp| tcp.encode(words)));
        append(&|words| self.udp.as_ref().map_or(0, |udp| udp.encode(words)));
        append(&|words| self.quic.as_ref().map_or(0, |quic| quic.encode(words)));
        append(&|words| self.histograms.as_ref().map_or(0, |histograms| histograms.encode(words)));
        append(&|words| self.first_packets.as_ref().map_or(0, |first| first.encode(words)));
        append(&|words| self.bursts.as_ref().map_or(0, |bursts| bursts.encode(words)));
        append(&|words| self.nettisa.as_ref().map_or(0, |nettisa| nettisa.encode(words)));
        take(&self.encode(), words.get(..filled).unwrap_or_default())
    }

    /// Reads a record with its extensions; `None` when length, version or an enumeration is not of this version. Trusts nothing.
    pub fn decode(words: &[u64]) -> Option<Self> {
        let (head, rest) = words.split_first_chunk::<HEAD_WORDS>()?;
        Self::from_parts(head, rest)
    }

    /// Reads a record from its head and its extensions.
    pub fn from_parts(head: &[u64; HEAD_WORDS], rest: &[u64]) -> Option<Self> {
        let [first, flow_id, start, end, s0, s1, d0, d1, o0, o1, p0, p1, w0, w1, ports, misc, tags, src_mac, dst_mac, syn, more, lone, ..] =
            *head;
        let [.., offset, _] = *head;
        let [len0, len1, version, kind_view, ..] = first.to_le_bytes();
        if usize::from(u16::from_le_bytes([len0, len1])) < HEAD_WORDS || version != VERSION {
            return None;
        }
        let (kind, view) = kind_and_view(kind_view)?;
        let [l0, l1, l2, ip_flags, min0, max0, min1, max1] = more.to_le_bytes();
        let [proto, end_reason, initiator, worker, t0, t1, tos, syn_wscale] = misc.to_le_bytes();
        let initiator = match initiator {
            0 => Initiator::FirstPacket,
            1 => Initiator::Source,
            2 => Initiator::Destination,
            _ => return None,
        };
        let [sport, dport, f0, f1] = unquad(ports);
        let [v0, v1, ingress, syn_len] = unquad(tags);
        let [syn_window, syn_mss, ..] = unquad(syn);
        let [m0, m1, m2, m3, m4, m5, e0, e1] = src_mac.to_le_bytes();
        let [n0, n1, n2, n3, n4, n5, i0, i1] = dst_mac.to_le_bytes();
        let mut record = Self {
            flow_id,
            kind,
            view,
            end_reason: EndReason::from_u8(end_reason)?,
            initiator,
            worker,
            ingress,
            start,
            end,
            src: octets(s0, s1),
            dst: octets(d0, d1),
            sport,
            dport,
            proto,
            octets: [o0, o1],
            packets: [p0, p1],
            wire: [w0, w1],
            tcp_flags: [f0, f1],
            ttl: [t0, t1],
            tos,
            ttl_min: [min0, min1],
            ttl_max: [max0, max1],
            ip_flags,
            flow_label: u32::from_le_bytes([l0, l1, l2, 0]),
            vlan_tci: [v0, v1],
            smac: [m0, m1, m2, m3, m4, m5],
            dmac: [n0, n1, n2, n3, n4, n5],
            ethertype: u16::from_le_bytes([e0, e1]),
            fragments: u32::try_from(syn >> 32).unwrap_or(0),
            icmp: [i0, i1],
            syn_len,
            syn_window,
            syn_mss,
            syn_wscale,
            ..Self::default()
        };
        record.tcp = record.lone_syn(lone).map(|syn| syn.performance());
        record.extend(rest);
        record.shift(offset.cast_signed());
        Some(record)
    }

    /// The lone SYN that a word of the head speaks of.
    fn lone_syn(&self, word: u64) -> Option<LoneSyn> {
        let ([isn, _], [_, _, notes, mark], [ttl, _]) = (unpair(word), unquad(word), self.ttl);
        let Self { start: time, syn_window: window, syn_mss: mss, syn_wscale: wscale, syn_len: octets, .. } = *self;
        (mark == LONE_SYN).then_some(LoneSyn { time, isn, notes, window, mss, wscale, octets, ttl })
    }

    /// Adds to all times.
    fn shift(&mut self, offset: i64) {
        if offset == 0 {
            return;
        }
        self.start = self.start.saturating_add_signed(offset);
        self.end = self.end.saturating_add_signed(offset);
        self.first_packets.iter_mut().for_each(|first| first.shift(offset));
        self.bursts.iter_mut().for_each(|bursts| bursts.shift(offset));
    }

    /// Takes the extensions that this version knows.
    fn extend(&mut self, rest: &[u64]) {
        for (kind, words) in extensions(rest) {
            match kind {
                LAYERS => self.layers = read_layers(words),
                TCP_PERFORMANCE => self.tcp = TcpPerformance::decode(words),
                UDP_PERFORMANCE => self.udp = UdpPerformance::decode(words),
                QUIC_PERFORMANCE => self.quic = QuicPerformance::decode(words),
                HISTOGRAMS => self.histograms = Histograms::decode(words),
                FIRST_PACKETS => self.first_packets = FirstPackets::decode(words),
                BURSTS => self.bursts = Bursts::decode(words),
                NETTISA => self.nettisa = NetTisa::decode(words),
                _ => {}
            }
        }
    }
}

/// Where a record comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    /// Number of the worker.
    pub(crate) worker: u8,
    /// What is added to times for them to be those of the wall clock, in nanoseconds. The reader of a record does it.
    pub(crate) offset: i64,
}

/// What the highest 16 bits of the word of [`lone_syn`] are.
const LONE_SYN: u16 = 1;

/// The word of a record's head that says: of this connection only a SYN was seen, with this sequence number, and these notes (see
/// `perf::lone`). What else its performance says can be told from the head.
pub(crate) fn lone_syn(isn: u32, notes: u16) -> u64 {
    u64::from(isn) | u64::from(notes) << 32 | u64::from(LONE_SYN) << 48
}

/// The kind and the view of a record's first word.
fn kind_and_view(byte: u8) -> Option<(Kind, View)> {
    let kind = match byte & 0x0f {
        4 => Kind::Ipv4,
        6 => Kind::Ipv6,
        2 => Kind::Layer2,
        _ => return None,
    };
    let view = match byte >> 4 {
        0 => View::First,
        1 => View::Inner,
        _ => return None,
    };
    Some((kind, view))
}

/// Takes the records of ended and timed-out flows: the record ring of a worker, or a collector of a replay.
pub trait Output {
    /// Takes one record. Never blocks; what cannot be kept is counted by the implementation.
    fn put(&mut self, record: &Record);
    /// Takes one record as words, head and extensions: what a worker hands on, so that the ring need not put it together twice.
    #[inline]
    fn put_words(&mut self, head: &[u64; HEAD_WORDS], rest: &[u64]) {
        if let Some(record) = Record::from_parts(head, rest) {
            self.put(&record);
        }
    }
    /// Makes what was put visible to readers. Called once a burst.
    fn publish(&mut self) {}
}

impl<O: Output + ?Sized> Output for &mut O {
    fn put(&mut self, record: &Record) {
        (**self).put(record);
    }

    fn put_words(&mut self, head: &[u64; HEAD_WORDS], rest: &[u64]) {
        (**self).put_words(head, rest);
    }

    fn publish(&mut self) {
        (**self).publish();
    }
}

impl Output for Vec<Record> {
    fn put(&mut self, record: &Record) {
        self.push(*record);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pattern::NETTISA_WORDS;
    use crate::perf::{Application, QUIC_PERFORMANCE_WORDS, TCP_PERFORMANCE_WORDS, UDP_PERFORMANCE_WORDS};

    #[test]
    fn a_record_survives_its_words() {
        let record = Record {
            flow_id: 0x0102_0304_0506_0708,
            kind: Kind::Ipv6,
            end_reason: EndReason::LackOfResources,
            initiator: Initiator::Destination,
            worker: 7,
            ingress: 3,
            start: 1_700_000_000_000_000_001,
            end: 1_700_000_000_000_000_002,
            src: *b"source-address-1",
            dst: *b"destin-address-2",
            sport: 443,
            dport: 50_000,
            proto: 6,
            octets: [1 << 40, 2],
            packets: [3, 1 << 33],
            wire: [5, 6],
            tcp_flags: [0x1ff, 0x12],
            ttl: [64, 255],
            tos: 0xb8,
            view: View::Inner,
            ttl_min: [60, 250],
            ttl_max: [64, 255],
            ip_flags: 0x40,
            flow_label: 0xf_ffff,
            vlan_tci: [0xbffe, NO_VLAN],
            smac: [1, 2, 3, 4, 5, 6],
            dmac: [7, 8, 9, 10, 11, 12],
            ethertype: 0x86dd,
            fragments: 0xdead_beef,
            icmp: [8, 1],
            syn_len: 60,
            syn_window: 65_535,
            syn_mss: 1460,
            syn_wscale: 14,
            layers: Some(Layers { pppoe_session: 7, gre_key: Some(9), ..Layers::default() }),
            tcp: Some(TcpPerformance { client: 1, server_rtt: 5, ..TcpPerformance::default() }),
            udp: Some(UdpPerformance { application: Some(Application::Snmp), repeated: 2, ..UdpPerformance::default() }),
            quic: Some(QuicPerformance { valid: 3, client_rtt: 9, ..QuicPerformance::default() }),
            nettisa: Some(NetTisa::default()),
            ..Record::default()
        };
        let words = record.with_words(|head, rest| [head.as_slice(), rest].concat());
        assert_eq!(Record::decode(&words), Some(record));
        let head = Record { layers: None, tcp: None, udp: None, quic: None, nettisa: None, ..record };
        assert_eq!(Record::decode(&head.encode()), Some(head));
        for end in 0..words.len() {
            // What is cut is none, and so is what would come behind it.
            let whole = |words| if end < words { None } else { Some(()) };
            let lengths = [LAYERS_WORDS, TCP_PERFORMANCE_WORDS, UDP_PERFORMANCE_WORDS, QUIC_PERFORMANCE_WORDS, NETTISA_WORDS];
            let [layers, tcp, udp, quic, nettisa] = lengths.map({
                let mut behind = HEAD_WORDS;
                move |words| {
                    behind += words;
                    whole(behind)
                }
            });
            let expected = Record {
                layers: layers.and(record.layers),
                tcp: tcp.and(record.tcp),
                udp: udp.and(record.udp),
                quic: quic.and(record.quic),
                nettisa: nettisa.and(record.nettisa),
                ..record
            };
            assert_eq!(Record::decode(&words[..end]), whole(HEAD_WORDS).and(Some(expected)), "{end} words");
        }
    }

    #[test]
    fn foreign_words_are_refused() {
        let good = Record::default().encode();
        for (at, value) in
            [(0, 0u64), (0, 1 << 16 | 24), (0, 24 | 2 << 16 | 9 << 24), (0, 24 | 2 << 16 | 0x24 << 24), (15, 0), (15, 1 << 8 | 9 << 16)]
        {
            let mut words = good;
            words[at] = value;
            assert_eq!(Record::decode(&words), None, "word {at} = {value:#x}");
        }
        assert_eq!(Record::decode(&good[..23]), None);
    }
}
