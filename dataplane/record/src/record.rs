//! A record that somebody keeps: its words, and its head as plain values.

use std::ops::Deref;

use crate::fact::Fact;
use crate::head::{HEAD_WORDS, Head, WORDS_MAX, at};
use crate::output::Output;
use crate::view::RecordView;

/// A record that outlives the buffer it was read from. What its head says are its fields ([`Head`]); its facts stay words.
#[derive(Clone, Debug)]
pub struct Record {
    head: Head,
    words: [u64; HEAD_WORDS],
    facts: Vec<u64>,
}

impl Record {
    /// A record without facts.
    pub fn new(head: Head) -> Self {
        Self { words: head.encode(), head, facts: Vec::new() }
    }

    /// A record with these words as its facts.
    pub fn of_words(head: Head, facts: &[u64]) -> Self {
        Self { facts: facts.to_vec(), ..Self::new(head) }
    }

    /// The same with one fact more; one that finds no room is left out.
    #[must_use]
    pub fn with<F: Fact>(mut self, fact: &F) -> Self {
        let filled = self.facts.len();
        self.facts.resize(WORDS_MAX - HEAD_WORDS, 0);
        let length = fact.encode(self.facts.get_mut(filled..).unwrap_or_default());
        self.facts.truncate(filled.saturating_add(length));
        self
    }

    /// A fact of the record.
    pub fn get<F: Fact>(&self) -> Option<F> {
        RecordView::from_parts(&self.words, &self.facts)?.get()
    }

    /// Lends the record as a reader sees it. `None` of a head that no writer writes.
    pub fn view(&self) -> Option<RecordView<'_>> {
        RecordView::from_parts(&self.words, &self.facts)
    }

    /// Hands the record on.
    pub fn put<O: Output + ?Sized>(&self, out: &mut O) {
        out.put_words(&self.words, &self.facts);
    }
}

/// Two records are equal when their values are: length and sequence, which a ring writes into the head, are none.
impl PartialEq for Record {
    fn eq(&self, other: &Self) -> bool {
        let offset = |record: &Self| record.words[at::OFFSET];
        self.head == other.head && self.facts == other.facts && offset(self) == offset(other)
    }
}

impl Deref for Record {
    type Target = Head;

    fn deref(&self) -> &Head {
        &self.head
    }
}

impl From<Head> for Record {
    fn from(head: Head) -> Self {
        Self::new(head)
    }
}

impl From<&RecordView<'_>> for Record {
    fn from(view: &RecordView<'_>) -> Self {
        let (words, facts) = view.parts();
        Self { head: view.head(), words: *words, facts: facts.to_vec() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fact::{Application, FirstPacket, FirstPackets, Id, Layers, NetTisa, QuicPerformance, TcpPerformance, UdpPerformance};
    use crate::head::{EndReason, Initiator, Kind, NO_VLAN, View};

    fn head() -> Head {
        Head {
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
            ttl_max: [65, 251],
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
            lone_syn: 0,
            offset: 0,
        }
    }

    fn layers() -> Layers {
        Layers { pppoe_session: 7, gre_key: Some(9), ..Layers::default() }
    }

    fn record() -> Record {
        Record::new(head())
            .with(&layers())
            .with(&TcpPerformance { client: 1, server_rtt: 5, ..TcpPerformance::default() })
            .with(&UdpPerformance { application: Some(Application::Snmp), repeated: 2, ..UdpPerformance::default() })
            .with(&QuicPerformance { valid: 3, client_rtt: 9, ..QuicPerformance::default() })
            .with(&NetTisa::default())
    }

    #[test]
    fn a_record_survives_its_words() {
        let record = record();
        let view = record.view().expect("a record");
        assert_eq!(view.head(), head());
        assert_eq!(view.get::<Layers>(), Some(layers()));
        assert_eq!(view.get::<TcpPerformance>().map(|tcp| (tcp.client, tcp.server_rtt)), Some((1, 5)));
        assert_eq!(view.get::<UdpPerformance>().and_then(|udp| udp.application), Some(Application::Snmp));
        assert_eq!(view.get::<QuicPerformance>().map(|quic| quic.client_rtt), Some(9));
        assert_eq!((view.get::<NetTisa>(), view.get::<FirstPackets>()), (Some(NetTisa::default()), None));
        assert_eq!(Record::from(&view), record);
    }

    #[test]
    fn what_is_cut_off_is_not_there() {
        let record = record();
        let (head, facts) = record.view().expect("a record").parts();
        let words = [head.as_slice(), facts].concat();
        let lengths =
            [Layers::WORDS_MAX, TcpPerformance::WORDS_MAX, UdpPerformance::WORDS_MAX, QuicPerformance::WORDS_MAX, NetTisa::WORDS_MAX];
        for end in 0..words.len() {
            let Some(view) = RecordView::new(&words[..end]) else {
                assert!(end < HEAD_WORDS);
                continue;
            };
            let mut behind = HEAD_WORDS;
            for (id, length) in [Id::Layers, Id::Tcp, Id::Udp, Id::Quic, Id::NetTisa].into_iter().zip(lengths) {
                behind += length;
                assert_eq!(view.facts().has(id), end >= behind, "{id:?} in {end} words");
            }
        }
    }

    #[test]
    fn foreign_words_are_refused() {
        let good = head().encode();
        let version = u64::from(crate::VERSION) << 16;
        let first = HEAD_WORDS as u64 | version;
        assert!(RecordView::new(&good).is_some());
        for (at, value) in [
            (at::FIRST, 0u64),
            (at::FIRST, (first ^ 1 << 16) | 4 << 24),
            (at::FIRST, (first - 1) | 4 << 24),
            (at::FIRST, first | 9 << 24),
            (at::FIRST, first | 0x24 << 24),
            (at::OCTETS_1, 0),
            (at::OCTETS_1, 1 << 8 | 9 << 16),
        ] {
            let mut words = good;
            words[at] = value;
            assert!(RecordView::new(&words).is_none(), "word {at} = {value:#x}");
        }
        assert!(RecordView::new(&good[..HEAD_WORDS - 1]).is_none());
    }

    #[test]
    fn all_times_are_shifted_by_the_offset_of_the_head() {
        let mut first = FirstPackets::default();
        first.add(FirstPacket { payload: 1, time: 5_000, flags: 0, way: 0 }, 30);
        let shifted = Record::new(Head { start: 5_000, end: 9_000, offset: -3_000, ..head() }).with(&first);
        let view = shifted.view().expect("a record");
        assert_eq!((view.start(), view.end()), (2_000, 6_000));
        let first = view.get::<FirstPackets>().expect("kept");
        assert_eq!(first.packets().map(|packet| packet.time).collect::<Vec<_>>(), [2_000]);
    }

    #[test]
    fn the_head_of_a_lone_syn_says_its_performance() {
        let syn = Record::new(Head { lone_syn: crate::lone_syn(77, 0), syn_mss: 1460, ..head() });
        assert_eq!(syn.get::<TcpPerformance>().map(|tcp| (tcp.ways[0].isn, tcp.ways[0].syn.mss)), Some((77, 1460)));
        assert_eq!(Record::new(head()).get::<TcpPerformance>(), None);
    }
}
