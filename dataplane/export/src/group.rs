//! Fields that only some flows have come in groups, each in a module of its own: [`Groups`] says which of them a record has.
//!
//! A template is the plain fields of a kind of flow, and behind them those of its groups, in the order of their bits. Its id says so:
//! 256, and 0 for IPv4, 1 for IPv6, 2 for layer 2, and 16 times the bits. So plain flows pay for nothing, a field that a template
//! has was looked at, and one more group is one more module and one more row of [`GROUPS`].

use sonde_flow::record::{Kind, Record};

use crate::template::{self, Field, Template};
use crate::{arp, enriched, stack, tcp, tunnel};

/// One group.
struct Group {
    bit: u8,
    /// Its fields behind those of IPv4, IPv6 and layer 2; none where that kind of flow does not have it.
    fields: [&'static [Field]; 3],
}

/// All groups, in the order of their bits, which is that of their fields in a record.
const GROUPS: [Group; 5] = [
    Group { bit: Groups::PLACES.0, fields: [&enriched::IPV4_FIELDS, &enriched::IPV6_FIELDS, &[]] },
    Group { bit: Groups::STACK.0, fields: [&stack::FIELDS; 3] },
    Group { bit: Groups::TUNNEL.0, fields: [&tunnel::FIELDS; 3] },
    Group { bit: Groups::TCP.0, fields: [&tcp::FIELDS, &tcp::FIELDS, &[]] },
    Group { bit: Groups::ARP.0, fields: [&[], &[], &arp::FIELDS] },
];

/// Most lists of fields a template is made of: plain, and the groups.
pub const PARTS: usize = 1 + GROUPS.len();

/// Sets of groups there are.
pub(crate) const SETS: usize = 1 << GROUPS.len();

/// Groups that go first where a record or its template would not fit a message.
const LEAVE: [Groups; 5] = [Groups::ARP, Groups::STACK, Groups::TUNNEL, Groups::TCP, Groups::PLACES];

/// The kinds of flows, in the order of their templates.
pub const KINDS: [Kind; 3] = [Kind::Ipv4, Kind::Ipv6, Kind::Layer2];

/// A set of groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Groups(u8);

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

    /// What the record has to say. Places are the exporter's: they are looked up where it has a table.
    #[inline]
    pub fn of(record: &Record) -> Self {
        let has = |group: Self, there: bool| if there { group.0 } else { 0 };
        let mut bits = has(Self::TCP, record.tcp.is_some());
        if let Some(layers) = &record.layers {
            bits |= has(Self::STACK, stack::is_there(layers));
            bits |= has(Self::TUNNEL, tunnel::is_there(layers));
            bits |= has(Self::ARP, arp::is_there(layers));
        }
        Self(bits)
    }

    /// All sets.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        (0..=u8::MAX).map(Self).take(SETS)
    }

    /// Whether the group is among them.
    #[inline]
    pub const fn has(self, group: Self) -> bool {
        self.0 & group.0 != 0
    }

    /// Those of both.
    #[inline]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Number of the set, less than the number of sets.
    #[inline]
    pub(crate) const fn index(self) -> usize {
        self.0 as usize
    }

    /// Those that flows of this kind have.
    fn of_kind(self, kind: Kind) -> Self {
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
    Template { id: plain.id + 16 * u16::from(groups.of_kind(kind).0), parts, ..plain }
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
        assert_eq!(id(Kind::Ipv6, Groups::PLACES.and(Groups::TCP)), 401);
    }

    #[test]
    fn groups_leave_one_after_the_other_until_record_and_template_fit() {
        let all = Groups::all().last().expect("some");
        for kind in KINDS {
            assert_eq!(all.that_fit(kind, 850 - 20), all.of_kind(kind), "what docs/ipfix.md says has room for everything");
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
