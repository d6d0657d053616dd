//! Facts: what only some records say beside the plain fields, a file each with its fields and one straight-line encoder.
//!
//! One more fact is one more file, a bit of [`Facts`] and a row of [`FACTS`].
//!
//! Not here: what a template is ([`crate::template`]), how a record is put together of its facts ([`crate::format::ipfix::encoder`]).

pub(crate) mod arp;
pub(crate) mod burst;
pub(crate) mod enriched;
pub(crate) mod first;
pub(crate) mod histogram;
pub(crate) mod layers;
mod measured;
pub(crate) mod nettisa;
pub(crate) mod own;
pub mod plain;
pub(crate) mod quic;
pub(crate) mod tags;
pub(crate) mod tcp;
pub(crate) mod tunnel;
pub(crate) mod udp;

use std::ops::BitOr;

use sonde_record::fact::{Bursts, FirstPackets, Histograms, Layers, NetTisa, QuicPerformance, TcpPerformance, UdpPerformance};
use sonde_record::{Kind, RecordView};

use crate::format::ipfix::field::{Field, octets};

/// A set of facts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Facts(u32);

impl Facts {
    /// None.
    pub const NONE: Self = Self(0);
    /// The outer VLAN tag has a drop eligible indicator.
    pub const TAG: Self = Self(1);
    /// And so has an inner one.
    pub const INNER_TAG: Self = Self(1 << 1);
    /// Where and whose the ends are: looked up by the exporter, not said by the record.
    pub const ENRICHED: Self = Self(1 << 2);
    /// Labels, security parameters, segment routing and service instances.
    pub const LABELS: Self = Self(1 << 3);
    /// Tunnels.
    pub const TUNNEL: Self = Self(1 << 4);
    /// How a TCP connection performed.
    pub const TCP: Self = Self(1 << 5);
    /// ARP.
    pub const ARP: Self = Self(1 << 6);
    /// How requests over UDP were answered.
    pub const UDP: Self = Self(1 << 7);
    /// How a QUIC connection performed.
    pub const QUIC: Self = Self(1 << 8);
    /// Histograms of sizes and times.
    pub const HISTOGRAMS: Self = Self(1 << 9);
    /// Statistics of the series of packets.
    pub const NETTISA: Self = Self(1 << 10);
    /// The first packets.
    pub const FIRST_PACKETS: Self = Self(1 << 11);
    /// Bursts.
    pub const BURSTS: Self = Self(1 << 12);

    /// Layers of any kind: what [`own`] has of them.
    pub const LAYERS: Self = Self(1 << 13);
    /// What no registry has, of every record; where it goes out, the sets below follow from those above.
    pub const OWN: Self = Self(1 << 14);
    /// Of layers.
    pub const OWN_LAYERS: Self = Self(1 << 15);
    /// Of TCP.
    pub const OWN_TCP: Self = Self(1 << 16);
    /// Of UDP.
    pub const OWN_UDP: Self = Self(1 << 17);
    /// Of QUIC.
    pub const OWN_QUIC: Self = Self(1 << 18);
    /// Of what is looked up.
    pub const OWN_PLACES: Self = Self(1 << 19);

    /// All patterns.
    pub const PATTERNS: Self = Self(Self::HISTOGRAMS.0 | Self::NETTISA.0 | Self::FIRST_PACKETS.0 | Self::BURSTS.0);

    /// What the record says; `layers` is that fact of it.
    #[inline]
    pub fn of(record: &RecordView<'_>, layers: Option<&Layers>) -> Self {
        let has = |fact: Self, there: bool| if there { fact.0 } else { 0 };
        let [outer, inner] = record.vlan_tci().map(tags::is_there);
        let mut bits = has(Self::TAG, outer) | has(Self::INNER_TAG, inner & outer);
        if record.facts().is_empty() {
            return Self(bits);
        }
        // A flow has one of them. Whatever else a ring may hold, a template does.
        let [tcp, udp, quic] = [record.has::<TcpPerformance>(), record.has::<UdpPerformance>(), record.has::<QuicPerformance>()];
        bits |= has(Self::TCP, tcp) | has(Self::UDP, udp & !tcp) | has(Self::QUIC, quic & !(tcp | udp));
        if let Some(layers) = layers {
            bits |= Self::LAYERS.0 | has(Self::LABELS, layers::is_there(layers));
            bits |= has(Self::TUNNEL, tunnel::is_there(layers));
            bits |= has(Self::ARP, arp::is_there(layers));
        }
        bits |= has(Self::HISTOGRAMS, record.has::<Histograms>())
            | has(Self::NETTISA, record.has::<NetTisa>())
            | has(Self::FIRST_PACKETS, record.has::<FirstPackets>())
            | has(Self::BURSTS, record.has::<Bursts>());
        Self(bits)
    }

    /// Whether one of these facts is among them.
    #[inline]
    pub const fn has(self, fact: Self) -> bool {
        self.0 & fact.0 != 0
    }

    /// Those of both.
    #[inline]
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Without these.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// How many there are.
    pub const fn count(self) -> u32 {
        self.0.count_ones()
    }

    /// The set as a number.
    #[inline]
    pub(crate) const fn bits(self) -> u32 {
        self.0
    }

    /// With what is [`own`] of these facts, where that goes out at all.
    #[must_use]
    pub fn with_own(self) -> Self {
        if !self.has(Self::OWN) {
            return self;
        }
        let pairs = [
            (Self::LAYERS, Self::OWN_LAYERS),
            (Self::TCP, Self::OWN_TCP),
            (Self::UDP, Self::OWN_UDP),
            (Self::QUIC, Self::OWN_QUIC),
            (Self::ENRICHED, Self::OWN_PLACES),
        ];
        pairs.into_iter().filter(|(fact, _)| self.has(*fact)).fold(self, |all, (_, own)| all.and(own))
    }

    /// Those that records of this kind have fields for.
    #[must_use]
    pub fn of_kind(self, kind: Kind) -> Self {
        let taken = FACTS.iter().filter(|fact| !fact.fields_of(kind).is_empty());
        Self(taken.fold(0, |bits, fact| bits | fact.bit.0) & self.0)
    }
}

impl BitOr for Facts {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        self.and(other)
    }
}

/// A fact and its fields.
#[derive(Debug)]
pub(crate) struct Fact {
    pub(crate) bit: Facts,
    /// Behind the plain ones of IPv4, IPv6 and layer 2; none where records of that kind do not have it.
    fields: [&'static [Field]; 3],
}

impl Fact {
    pub(crate) const fn fields_of(&self, kind: Kind) -> &'static [Field] {
        self.fields[position(kind)]
    }
}

/// All facts, in the order of their fields in a record.
pub(crate) const FACTS: [Fact; 19] = [
    Fact { bit: Facts::TAG, fields: [&tags::OUTER; 3] },
    Fact { bit: Facts::INNER_TAG, fields: [&tags::INNER; 3] },
    Fact { bit: Facts::ENRICHED, fields: [&enriched::IPV4_FIELDS, &enriched::IPV6_FIELDS, &[]] },
    Fact { bit: Facts::LABELS, fields: [&layers::FIELDS; 3] },
    Fact { bit: Facts::TUNNEL, fields: [&tunnel::FIELDS; 3] },
    Fact { bit: Facts::TCP, fields: [&tcp::FIELDS, &tcp::FIELDS, &[]] },
    Fact { bit: Facts::ARP, fields: [&[], &[], &arp::FIELDS] },
    Fact { bit: Facts::UDP, fields: [&udp::FIELDS, &udp::FIELDS, &[]] },
    Fact { bit: Facts::QUIC, fields: [&quic::FIELDS, &quic::FIELDS, &[]] },
    Fact { bit: Facts::HISTOGRAMS, fields: [&histogram::FIELDS; 3] },
    Fact { bit: Facts::NETTISA, fields: [&nettisa::FIELDS; 3] },
    Fact { bit: Facts::OWN, fields: [&own::HEAD; 3] },
    Fact { bit: Facts::OWN_LAYERS, fields: [&own::LAYERS; 3] },
    Fact { bit: Facts::OWN_TCP, fields: [&own::TCP, &own::TCP, &[]] },
    Fact { bit: Facts::OWN_UDP, fields: [&own::UDP, &own::UDP, &[]] },
    Fact { bit: Facts::OWN_QUIC, fields: [&own::QUIC, &own::QUIC, &[]] },
    Fact { bit: Facts::OWN_PLACES, fields: [&own::PLACES, &own::PLACES, &[]] },
    // Lists that vary are last: they have what is left of the message.
    Fact { bit: Facts::FIRST_PACKETS, fields: [&first::FIELDS; 3] },
    Fact { bit: Facts::BURSTS, fields: [burst::FIELDS; 3] },
];

/// Facts that go first where a record or its template would not fit a message.
pub(crate) const LEAVE: [Facts; 19] = [
    Facts::OWN_LAYERS,
    Facts::OWN_PLACES,
    Facts::OWN_TCP,
    Facts::OWN_UDP,
    Facts::OWN_QUIC,
    Facts::OWN,
    Facts::BURSTS,
    Facts::FIRST_PACKETS,
    Facts::HISTOGRAMS,
    Facts::NETTISA,
    Facts::ARP,
    Facts::LABELS,
    Facts::TUNNEL,
    Facts::UDP,
    Facts::QUIC,
    Facts::TCP,
    Facts::ENRICHED,
    Facts::INNER_TAG,
    Facts::TAG,
];

/// The kinds of records.
pub const KINDS: [Kind; 3] = [Kind::Ipv4, Kind::Ipv6, Kind::Layer2];

/// Where a kind stands in [`KINDS`].
#[inline]
pub(crate) const fn position(kind: Kind) -> usize {
    match kind {
        Kind::Ipv4 => 0,
        Kind::Ipv6 => 1,
        Kind::Layer2 => 2,
    }
}

/// The fields that every record of this kind has.
pub const fn plain_fields(kind: Kind) -> &'static [Field] {
    match kind {
        Kind::Ipv4 => &plain::IPV4_FIELDS,
        Kind::Ipv6 => &plain::IPV6_FIELDS,
        Kind::Layer2 => &plain::LAYER2_FIELDS,
    }
}

/// Fields of a record, in its order.
pub(crate) fn fields(kind: Kind, facts: Facts) -> impl Iterator<Item = &'static Field> {
    let there = FACTS.iter().filter(move |fact| facts.has(fact.bit)).flat_map(move |fact| fact.fields_of(kind));
    plain_fields(kind).iter().chain(there)
}

/// Every field that records of any kind may have.
pub(crate) fn all_fields() -> impl Iterator<Item = &'static Field> {
    KINDS.into_iter().flat_map(|kind| fields(kind, Facts(u32::MAX)))
}

/// No record has more octets of fields that do not vary.
pub(crate) const FIXED_OCTETS_MAX: usize = {
    let mut sum = octets(&plain::IPV6_FIELDS);
    let mut at = 0;
    while at < FACTS.len() {
        sum += octets(FACTS[at].fields[1]) + octets(FACTS[at].fields[2]);
        at += 1;
    }
    sum
};
