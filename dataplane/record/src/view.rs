//! A record as a reader sees it: a view over its words, validated once, read where it is asked.

use crate::fact::{self, Fact, Facts};
use crate::head::{EndReason, HEAD_WORDS, Head, Initiator, Kind, LONE_SYN, VERSION, View, at, vlan_id};
use crate::word::{octets, unquad};

/// A record over its words. Copying it copies two references and a number.
///
/// "Forward" is the direction of the first packet, from `src` to `dst`; arrays of two hold the forward value first, then the reverse
/// one. What each value is says [`Head`].
#[derive(Clone, Copy, Debug)]
pub struct RecordView<'a> {
    head: &'a [u64; HEAD_WORDS],
    rest: &'a [u64],
    facts: Facts,
    kind: Kind,
    view: View,
    end_reason: EndReason,
    initiator: Initiator,
}

impl<'a> RecordView<'a> {
    /// The record in these words; `None` when length, version or an enumeration is not of this version. Trusts nothing.
    #[inline]
    pub fn new(words: &'a [u64]) -> Option<Self> {
        let (head, rest) = words.split_first_chunk()?;
        Self::from_parts(head, rest)
    }

    /// The record with this head, and its facts.
    #[inline]
    pub fn from_parts(head: &'a [u64; HEAD_WORDS], rest: &'a [u64]) -> Option<Self> {
        let [len0, len1, version, kind_view, ..] = head[at::FIRST].to_le_bytes();
        if usize::from(u16::from_le_bytes([len0, len1])) < HEAD_WORDS || version != VERSION {
            return None;
        }
        let [_, end_reason, initiator, ..] = head[at::OCTETS_1].to_le_bytes();
        let mut facts = fact::found(rest);
        if head[at::LONE_SYN] >> 48 == u64::from(LONE_SYN) {
            facts = facts.with(fact::Id::Tcp);
        }
        Some(Self {
            head,
            rest,
            facts,
            kind: Kind::from_u8(kind_view & 0x0f)?,
            view: View::from_u8(kind_view >> 4)?,
            end_reason: EndReason::from_u8(end_reason)?,
            initiator: Initiator::from_u8(initiator)?,
        })
    }

    /// The words: the head, and the facts behind it.
    pub fn parts(&self) -> (&'a [u64; HEAD_WORDS], &'a [u64]) {
        (self.head, self.rest)
    }

    /// Which facts the record has.
    #[inline]
    pub fn facts(&self) -> Facts {
        self.facts
    }

    /// Whether the record has a fact.
    #[inline]
    pub fn has<F: Fact>(&self) -> bool {
        self.facts.has(F::ID)
    }

    /// A fact of the record.
    #[inline]
    pub fn get<F: Fact>(&self) -> Option<F> {
        if !self.has::<F>() {
            return None;
        }
        let words = fact::facts(self.rest).filter(|(number, _)| *number == F::ID as u8);
        let mut fact = { words }.find_map(|(_, words)| F::decode(words)).or_else(|| F::of_head(self))?;
        fact.shift(self.offset());
        Some(fact)
    }

    /// The head as plain values, its times shifted.
    pub fn head(&self) -> Head {
        Head {
            flow_id: self.flow_id(),
            kind: self.kind,
            end_reason: self.end_reason,
            view: self.view,
            initiator: self.initiator,
            worker: self.worker(),
            ingress: self.ingress(),
            start: self.start(),
            end: self.end(),
            src: self.src(),
            dst: self.dst(),
            sport: self.sport(),
            dport: self.dport(),
            proto: self.proto(),
            octets: self.octets(),
            packets: self.packets(),
            wire: self.wire(),
            tcp_flags: self.tcp_flags(),
            ttl: self.ttl(),
            ttl_min: self.ttl_min(),
            ttl_max: self.ttl_max(),
            ip_flags: self.ip_flags(),
            flow_label: self.flow_label(),
            tos: self.tos(),
            vlan_tci: self.vlan_tci(),
            smac: self.smac(),
            dmac: self.dmac(),
            ethertype: self.ethertype(),
            fragments: self.fragments(),
            icmp: self.icmp(),
            syn_len: self.syn_len(),
            syn_window: self.syn_window(),
            syn_mss: self.syn_mss(),
            syn_wscale: self.syn_wscale(),
            lone_syn: self.lone_syn(),
            offset: 0,
        }
    }

    fn offset(&self) -> i64 {
        self.head[at::OFFSET].cast_signed()
    }

    #[inline]
    fn quarters(&self, word: usize) -> [u16; 4] {
        self.head.get(word).map_or([0; 4], |word| unquad(*word))
    }

    #[inline]
    fn bytes(&self, word: usize) -> [u8; 8] {
        self.head.get(word).map_or([0; 8], |word| word.to_le_bytes())
    }
}

/// The values of the head, under the names of [`Head`].
impl RecordView<'_> {
    /// See [`Head::flow_id`].
    #[inline]
    pub fn flow_id(&self) -> u64 {
        self.head[at::FLOW_ID]
    }

    /// See [`Head::kind`].
    #[inline]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// See [`Head::end_reason`].
    #[inline]
    pub fn end_reason(&self) -> EndReason {
        self.end_reason
    }

    /// See [`Head::view`].
    #[inline]
    pub fn view(&self) -> View {
        self.view
    }

    /// See [`Head::initiator`].
    #[inline]
    pub fn initiator(&self) -> Initiator {
        self.initiator
    }

    /// See [`Head::worker`].
    #[inline]
    pub fn worker(&self) -> u8 {
        let [_, _, _, worker, ..] = self.bytes(at::OCTETS_1);
        worker
    }

    /// See [`Head::ingress`].
    #[inline]
    pub fn ingress(&self) -> u16 {
        let [_, _, ingress, _] = self.quarters(at::TAGS);
        ingress
    }

    /// See [`Head::start`].
    #[inline]
    pub fn start(&self) -> u64 {
        self.head[at::START].saturating_add_signed(self.offset())
    }

    /// See [`Head::end`].
    #[inline]
    pub fn end(&self) -> u64 {
        self.head[at::END].saturating_add_signed(self.offset())
    }

    /// See [`Head::src`].
    #[inline]
    pub fn src(&self) -> [u8; 16] {
        octets(self.head[at::SOURCE], self.head[at::SOURCE + 1])
    }

    /// See [`Head::dst`].
    #[inline]
    pub fn dst(&self) -> [u8; 16] {
        octets(self.head[at::DESTINATION], self.head[at::DESTINATION + 1])
    }

    /// See [`Head::sport`].
    #[inline]
    pub fn sport(&self) -> u16 {
        let [sport, ..] = self.quarters(at::PORTS_FLAGS);
        sport
    }

    /// See [`Head::dport`].
    #[inline]
    pub fn dport(&self) -> u16 {
        let [_, dport, ..] = self.quarters(at::PORTS_FLAGS);
        dport
    }

    /// See [`Head::proto`].
    #[inline]
    pub fn proto(&self) -> u8 {
        let [proto, ..] = self.bytes(at::OCTETS_1);
        proto
    }

    /// See [`Head::octets`].
    #[inline]
    pub fn octets(&self) -> [u64; 2] {
        [self.head[at::OCTETS], self.head[at::OCTETS + 1]]
    }

    /// See [`Head::packets`].
    #[inline]
    pub fn packets(&self) -> [u64; 2] {
        [self.head[at::PACKETS], self.head[at::PACKETS + 1]]
    }

    /// See [`Head::wire`].
    #[inline]
    pub fn wire(&self) -> [u64; 2] {
        [self.head[at::WIRE], self.head[at::WIRE + 1]]
    }

    /// See [`Head::tcp_flags`].
    #[inline]
    pub fn tcp_flags(&self) -> [u16; 2] {
        let [_, _, forward, reverse] = self.quarters(at::PORTS_FLAGS);
        [forward, reverse]
    }

    /// See [`Head::ttl`].
    #[inline]
    pub fn ttl(&self) -> [u8; 2] {
        let [_, _, _, _, forward, reverse, ..] = self.bytes(at::OCTETS_1);
        [forward, reverse]
    }

    /// See [`Head::ttl_min`].
    #[inline]
    pub fn ttl_min(&self) -> [u8; 2] {
        let [_, _, _, _, forward, _, reverse, _] = self.bytes(at::LABEL_TTL);
        [forward, reverse]
    }

    /// See [`Head::ttl_max`].
    #[inline]
    pub fn ttl_max(&self) -> [u8; 2] {
        let [_, _, _, _, _, forward, _, reverse] = self.bytes(at::LABEL_TTL);
        [forward, reverse]
    }

    /// See [`Head::ip_flags`].
    #[inline]
    pub fn ip_flags(&self) -> u8 {
        let [_, _, _, flags, ..] = self.bytes(at::LABEL_TTL);
        flags
    }

    /// See [`Head::flow_label`].
    #[inline]
    pub fn flow_label(&self) -> u32 {
        let [l0, l1, l2, ..] = self.bytes(at::LABEL_TTL);
        u32::from_le_bytes([l0, l1, l2, 0])
    }

    /// See [`Head::tos`].
    #[inline]
    pub fn tos(&self) -> u8 {
        let [.., tos, _] = self.bytes(at::OCTETS_1);
        tos
    }

    /// See [`Head::vlan_tci`].
    #[inline]
    pub fn vlan_tci(&self) -> [u16; 2] {
        let [outer, inner, ..] = self.quarters(at::TAGS);
        [outer, inner]
    }

    /// See [`Head::vlan`].
    #[inline]
    pub fn vlan(&self) -> [u16; 2] {
        self.vlan_tci().map(vlan_id)
    }

    /// See [`Head::smac`].
    #[inline]
    pub fn smac(&self) -> [u8; 6] {
        let [mac @ .., _, _] = self.bytes(at::SOURCE_MAC);
        mac
    }

    /// See [`Head::dmac`].
    #[inline]
    pub fn dmac(&self) -> [u8; 6] {
        let [mac @ .., _, _] = self.bytes(at::DESTINATION_MAC);
        mac
    }

    /// See [`Head::ethertype`].
    #[inline]
    pub fn ethertype(&self) -> u16 {
        let [.., ethertype] = self.quarters(at::SOURCE_MAC);
        ethertype
    }

    /// See [`Head::fragments`].
    #[inline]
    pub fn fragments(&self) -> u32 {
        let [.., a, b, c, d] = self.bytes(at::SYN);
        u32::from_le_bytes([a, b, c, d])
    }

    /// See [`Head::icmp`].
    #[inline]
    pub fn icmp(&self) -> [u8; 2] {
        let [.., kind, code] = self.bytes(at::DESTINATION_MAC);
        [kind, code]
    }

    /// See [`Head::syn_len`].
    #[inline]
    pub fn syn_len(&self) -> u16 {
        let [.., length] = self.quarters(at::TAGS);
        length
    }

    /// See [`Head::syn_window`].
    #[inline]
    pub fn syn_window(&self) -> u16 {
        let [window, ..] = self.quarters(at::SYN);
        window
    }

    /// See [`Head::syn_mss`].
    #[inline]
    pub fn syn_mss(&self) -> u16 {
        let [_, mss, ..] = self.quarters(at::SYN);
        mss
    }

    /// See [`Head::syn_wscale`].
    #[inline]
    pub fn syn_wscale(&self) -> u8 {
        let [.., shift] = self.bytes(at::OCTETS_1);
        shift
    }

    /// See [`Head::lone_syn`].
    #[inline]
    pub fn lone_syn(&self) -> u64 {
        self.head[at::LONE_SYN]
    }
}
