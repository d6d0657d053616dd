//! Fields that only some flows have come in groups, each in a module of its own: [`Groups`] says which of them a record has.
//!
//! A template is the plain fields of a kind of flow, and behind them those of its groups, in the order of [`GROUPS`]. Its id says so:
//! 256, and 0 for IPv4, 1 for IPv6, 2 for layer 2, 5 times the number of tags, and 16 times the other bits. So plain flows pay for nothing, a field that a template
//! has was looked at, and one more group is one more module and one more row of [`GROUPS`].
//!
//! A group that may stand beside all others makes the templates twice as many. So those of performance exclude each other, and a record
//! has all patterns that its probe keeps, or none.

use sonde_flow::pattern::Wants;
use sonde_record::fact::{Bursts, FirstPackets, Histograms, Layers, NetTisa, QuicPerformance, TcpPerformance, UdpPerformance};
use sonde_record::{Kind, RecordView};

use crate::pattern::{burst, first, histogram, nettisa};
use crate::template::{self, Field, Template};
use crate::{arp, enriched, quic, stack, tags, tcp, tunnel, udp};

/// One group.
struct Group {
    bit: u16,
    /// Its fields behind those of IPv4, IPv6 and layer 2; none where that kind of flow does not have it.
    fields: [&'static [Field]; 3],
}

/// All groups, in the order of their fields in a record.
const GROUPS: [Group; 13] = [
    Group { bit: Groups::TAG.0, fields: [&tags::OUTER; 3] },
    Group { bit: Groups::TAGS.0, fields: [&tags::INNER; 3] },
    Group { bit: Groups::PLACES.0, fields: [&enriched::IPV4_FIELDS, &enriched::IPV6_FIELDS, &[]] },
    Group { bit: Groups::STACK.0, fields: [&stack::FIELDS; 3] },
    Group { bit: Groups::TUNNEL.0, fields: [&tunnel::FIELDS; 3] },
    Group { bit: Groups::TCP.0, fields: [&tcp::FIELDS, &tcp::FIELDS, &[]] },
    Group { bit: Groups::ARP.0, fields: [&[], &[], &arp::FIELDS] },
    Group { bit: Groups::UDP.0, fields: [&udp::FIELDS, &udp::FIELDS, &[]] },
    Group { bit: Groups::QUIC.0, fields: [&quic::FIELDS, &quic::FIELDS, &[]] },
    Group { bit: Groups::HISTOGRAMS.0, fields: [&histogram::FIELDS; 3] },
    Group { bit: Groups::NETTISA.0, fields: [&nettisa::FIELDS; 3] },
    // Lists that vary are last: they have what is left of the message.
    Group { bit: Groups::FIRST_PACKETS.0, fields: [&first::FIELDS; 3] },
    Group { bit: Groups::BURSTS.0, fields: [&burst::FIELDS; 3] },
];

/// Most lists of fields a template is made of: plain, and the groups.
pub const PARTS: usize = 1 + GROUPS.len();

/// A record has one of these at most.
const PERFORMANCE: u16 = Groups::TCP.0 | Groups::UDP.0 | Groups::QUIC.0;

/// What a record has by itself: the bits between places and patterns.
const OWN: u16 = (Groups::HISTOGRAMS.0 - 1) & !Groups::PLACES.0;

/// Numbers of sets without tags: the bits that a record has by itself, and whether it has patterns.
const UNTAGGED: usize = (OWN as usize / 2 + 1) * 2;

/// Numbers of sets: those without tags, with one, with more.
pub(crate) const LANES: usize = 3 * UNTAGGED;

/// What a record may have of tags.
const TAGGED: [Groups; 3] = [Groups::NONE, Groups::TAG, Groups::TAG.and(Groups::TAGS)];

/// Groups that go first where a record or its template would not fit a message.
const LEAVE: [Groups; 13] = [
    Groups::BURSTS,
    Groups::FIRST_PACKETS,
    Groups::HISTOGRAMS,
    Groups::NETTISA,
    Groups::ARP,
    Groups::STACK,
    Groups::TUNNEL,
    Groups::UDP,
    Groups::QUIC,
    Groups::TCP,
    Groups::PLACES,
    Groups::TAGS,
    Groups::TAG,
];

/// The kinds of flows, in the order of their templates.
pub const KINDS: [Kind; 3] = [Kind::Ipv4, Kind::Ipv6, Kind::Layer2];

/// A set of groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Groups(u16);

impl Groups {
    /// None.
    pub const NONE: Self = Self(0);
    /// Where and whose the ends are: [`enriched`].
    pub const PLACES: Self = Self(1);
    /// Labels, security parameters and segment routing: [`stack`].
    pub const STACK: Self = Self(1 << 1);
    /// Tunnels: [`tunnel`].
    pub const TUNNEL: Self = Self(1 << 2);
    /// How a TCP connection performed: [`tcp`].
    pub const TCP: Self = Self(1 << 3);
    /// ARP: [`arp`].
    pub const ARP: Self = Self(1 << 4);
    /// How requests over UDP were answered: [`udp`].
    pub const UDP: Self = Self(1 << 5);
    /// How a QUIC connection performed: [`quic`].
    pub const QUIC: Self = Self(1 << 6);

    /// Histograms of sizes and times: [`histogram`].
    pub const HISTOGRAMS: Self = Self(1 << 7);
    /// Statistics of the series of packets: [`nettisa`].
    pub const NETTISA: Self = Self(1 << 8);
    /// The first packets: [`first`].
    pub const FIRST_PACKETS: Self = Self(1 << 9);
    /// Bursts: [`burst`].
    pub const BURSTS: Self = Self(1 << 10);

    /// The outer VLAN tag has a drop eligible indicator: [`tags`].
    pub const TAG: Self = Self(1 << 11);
    /// And so has an inner one.
    pub const TAGS: Self = Self(1 << 12);

    /// All patterns. A record has those that its probe keeps, or none.
    pub const PATTERNS: Self = Self(0b1111 << 7);

    /// The patterns that a probe keeps.
    pub fn kept(wants: Wants) -> Self {
        let has = |group: Self, there: bool| if there { group } else { Self::NONE };
        has(Self::HISTOGRAMS, wants.histograms)
            .and(has(Self::NETTISA, wants.nettisa))
            .and(has(Self::FIRST_PACKETS, wants.first_packets != 0))
            .and(has(Self::BURSTS, wants.bursts))
    }

    /// What the record has to say, of a probe that keeps these patterns. Places are the exporter's: they are looked up where it has a
    /// table.
    #[inline]
    pub fn of(record: &RecordView<'_>, kept: Self) -> Self {
        let has = |group: Self, there: bool| if there { group.0 } else { 0 };
        // A flow has one of them. Whatever else a ring may hold, a template does.
        let [tcp, udp, quic] = [record.has::<TcpPerformance>(), record.has::<UdpPerformance>(), record.has::<QuicPerformance>()];
        let mut bits = has(Self::TCP, tcp) | has(Self::UDP, udp & !tcp) | has(Self::QUIC, quic & !(tcp | udp));
        if let Some(layers) = record.get::<Layers>() {
            bits |= has(Self::STACK, stack::is_there(&layers));
            bits |= has(Self::TUNNEL, tunnel::is_there(&layers));
            bits |= has(Self::ARP, arp::is_there(&layers));
        }
        let [outer, inner] = record.vlan_tci().map(tags::is_there);
        bits |= has(Self::TAG, outer) | has(Self::TAGS, inner & outer);
        if kept != Self::NONE && kept.has(Self::patterns_of(record)) {
            bits |= kept.0;
        }
        Self(bits)
    }

    /// The patterns that are in the record.
    fn patterns_of(record: &RecordView<'_>) -> Self {
        let has = |group: Self, there: bool| if there { group.0 } else { 0 };
        Self(
            has(Self::HISTOGRAMS, record.has::<Histograms>())
                | has(Self::NETTISA, record.has::<NetTisa>())
                | has(Self::FIRST_PACKETS, record.has::<FirstPackets>())
                | has(Self::BURSTS, record.has::<Bursts>()),
        )
    }

    /// All that [`Groups::of`] may find, where these patterns are kept.
    pub(crate) fn all(kept: Self) -> impl Iterator<Item = Self> {
        let own = (0..=OWN).step_by(2).map(Self).filter(|set| (set.0 & PERFORMANCE).count_ones() <= 1);
        let patterns = [Self::NONE, kept].into_iter().take(if kept == Self::NONE { 1 } else { 2 });
        let plain = patterns.flat_map(move |patterns| own.clone().map(move |set| set.and(patterns)));
        TAGGED.into_iter().flat_map(move |tags| plain.clone().map(move |set| set.and(tags)))
    }

    /// Whether one of these groups is among them.
    #[inline]
    pub const fn has(self, group: Self) -> bool {
        self.0 & group.0 != 0
    }

    /// How many there are.
    pub(crate) const fn count(self) -> u32 {
        self.0.count_ones()
    }

    /// Those of both.
    #[inline]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Number of a record's set, less than [`LANES`]: places are the same for all of an exporter.
    #[inline]
    pub(crate) const fn lane(self) -> usize {
        (self.0 & OWN | (self.0 & Self::PATTERNS.0 != 0) as u16) as usize + self.tags() * UNTAGGED
    }

    /// Tags, 0 to 2, whose indicators are among them.
    #[inline]
    const fn tags(self) -> usize {
        self.has(Self::TAG) as usize + self.has(Self::TAGS) as usize
    }

    /// Those that flows of this kind have.
    pub(crate) fn of_kind(self, kind: Kind) -> Self {
        let taken = GROUPS.iter().filter(|group| !group.fields[position(kind)].is_empty());
        Self(taken.fold(0, |bits, group| bits | group.bit) & self.0)
    }

    /// Those that flows of this kind have and that fit a message: its record, and its template.
    pub(crate) fn that_fit(self, kind: Kind, octets: usize) -> Self {
        let mut groups = self.of_kind(kind);
        let fits = |groups| {
            let template = of(kind, groups);
            template.record_octets() <= octets && template.encode().len() <= octets
        };
        for group in LEAVE {
            if !fits(groups) {
                groups.0 &= !group.0;
            }
        }
        groups
    }
}

/// Where a kind of flow stands in [`KINDS`].
#[inline]
pub(crate) const fn position(kind: Kind) -> usize {
    match kind {
        Kind::Ipv4 => 0,
        Kind::Ipv6 => 1,
        Kind::Layer2 => 2,
    }
}

/// The template of a kind of flow with these groups.
pub fn of(kind: Kind, groups: Groups) -> Template {
    let at = position(kind);
    let plain = [template::IPV4, template::IPV6, template::LAYER2][at];
    let mut parts = plain.parts;
    for (part, group) in parts.iter_mut().skip(1).zip(&GROUPS) {
        if groups.0 & group.bit != 0 {
            *part = group.fields[at];
        }
    }
    let groups = groups.of_kind(kind);
    let tags = u16::try_from(groups.tags()).unwrap_or(0);
    Template { id: plain.id + 5 * tags + 16 * (groups.0 & (Groups::TAG.0 - 1)), parts, ..plain }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_says_what_the_template_has() {
        let id = |kind, groups| of(kind, groups).id;
        assert_eq!(KINDS.map(|kind| id(kind, Groups::NONE)), [256, 257, 258]);
        assert_eq!(KINDS.map(|kind| id(kind, Groups::PLACES)), [272, 273, 258], "a flow of layer 2 has no address to look up");
        assert_eq!(KINDS.map(|kind| id(kind, Groups::STACK)), [288, 289, 290]);
        assert_eq!(KINDS.map(|kind| id(kind, Groups::TUNNEL)), [320, 321, 322]);
        assert_eq!(KINDS.map(|kind| id(kind, Groups::TCP)), [384, 385, 258]);
        assert_eq!(KINDS.map(|kind| id(kind, Groups::ARP)), [256, 257, 514]);
        assert_eq!(KINDS.map(|kind| id(kind, Groups::UDP)), [768, 769, 258]);
        assert_eq!(KINDS.map(|kind| id(kind, Groups::QUIC)), [1280, 1281, 258]);
        assert_eq!(KINDS.map(|kind| id(kind, Groups::HISTOGRAMS)), [2304, 2305, 2306]);
        assert_eq!(KINDS.map(|kind| id(kind, Groups::NETTISA)), [4352, 4353, 4354]);
        assert_eq!(KINDS.map(|kind| id(kind, Groups::FIRST_PACKETS)), [8448, 8449, 8450]);
        assert_eq!(KINDS.map(|kind| id(kind, Groups::BURSTS)), [16_640, 16_641, 16_642]);
        assert_eq!(KINDS.map(|kind| id(kind, Groups::TAG)), [261, 262, 263]);
        assert_eq!(KINDS.map(|kind| id(kind, Groups::TAG.and(Groups::TAGS))), [266, 267, 268]);
        assert_eq!(id(Kind::Ipv6, Groups::PLACES.and(Groups::TCP)), 401);
    }

    #[test]
    fn groups_leave_one_after_the_other_until_record_and_template_fit() {
        let kept = Groups::kept(Wants::ALL);
        for (kind, set) in KINDS.into_iter().flat_map(|kind| Groups::all(kept).map(move |set| (kind, set))) {
            let all = set.and(Groups::PLACES);
            let enough = if set.has(Groups::PATTERNS) { 1134 } else { 850 };
            assert_eq!(all.that_fit(kind, enough - 20), all.of_kind(kind), "what docs/ipfix.md says has room for everything");
            assert_eq!(Groups::PLACES.that_fit(kind, 512 - 20), Groups::PLACES.of_kind(kind), "the smallest one for places");
            let mut before = 0;
            for octets in 400..1400 {
                let groups = all.that_fit(kind, octets);
                let template = of(kind, groups);
                assert!(template.record_octets() <= octets && template.encode().len() <= octets, "{octets}");
                assert!(template.record_octets() >= before, "{octets}: more room, and less in it");
                before = template.record_octets();
            }
        }
    }
}
