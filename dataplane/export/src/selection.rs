//! Which fields go out: the most telling ones, all, or those that were named.
//!
//! Fields of the operator's own enterprise go out with all, or by their names.

use std::fmt;
use std::sync::Arc;

use sonde_record::catalogue::distance;

use crate::fact::{self, own};
use crate::format::ipfix::elements::{CESNET_PEN, FLOWMON_PEN, NTOP_PEN};
use crate::format::ipfix::field::Field;

/// Most fields of a template of [`Fields::Standard`]: Wireshark decodes no template of more, unless a preference is changed.
pub const STANDARD_MAX: usize = 60;

const C: u32 = CESNET_PEN;
const F: u32 = FLOWMON_PEN;
const N: u32 = NTOP_PEN;

/// All fields of flows by enterprise and number, the most telling ones first; of a list the items. Forward goes before reverse. Where a
/// template would have more than [`STANDARD_MAX`] fields, those that come last here are left out of it.
const PRECEDENCE: &[(u32, u16)] = &[
    // Key, counters, times: what every collector asks for.
    (0, 148),
    (0, 152),
    (0, 153),
    (0, 8),
    (0, 12),
    (0, 27),
    (0, 28),
    (0, 7),
    (0, 11),
    (0, 4),
    (0, 1),
    (0, 2),
    (0, 60),
    (0, 6),
    (0, 10),
    (0, 136),
    (0, 239),
    (0, 5),
    (0, 58),
    (0, 256),
    (0, 32),
    (0, 139),
    (0, 56),
    (0, 80),
    (C, 33),
    (C, 35),
    (C, 37),
    // How it performed, in short: round trip, response time, retransmissions, out of order, latencies, payload, delay, jitter.
    (F, 69),
    (F, 70),
    (F, 71),
    (F, 72),
    (N, 109),
    (N, 110),
    (N, 111),
    (N, 112),
    (N, 123),
    (N, 124),
    (N, 125),
    (0, 95),
    (0, 231),
    (0, 232),
    (F, 66),
    (F, 62),
    // Patterns, which somebody has switched on.
    (C, 1013),
    (C, 1014),
    (C, 1015),
    (C, 1016),
    (C, 1050),
    (C, 1051),
    (C, 1052),
    (C, 1053),
    (C, 1054),
    (C, 1055),
    (C, 1056),
    (C, 1057),
    (C, 1060),
    (C, 1062),
    (C, 1061),
    (C, 1063),
    // Where and whose, the tunnel, labels.
    (0, 16),
    (0, 17),
    (N, 101),
    (N, 103),
    (N, 525),
    (N, 526),
    (N, 106),
    (N, 113),
    (N, 114),
    (N, 116),
    (N, 396),
    (N, 397),
    (0, 70),
    (0, 202),
    (0, 295),
    (0, 494),
    (0, 412),
    (C, 1020),
    (C, 1021),
    (C, 1022),
    (C, 1023),
    (C, 1024),
    (C, 1025),
    (C, 1026),
    (C, 1027),
    (C, 1028),
    (C, 1029),
    (C, 1030),
    (C, 1031),
    (C, 1032),
    // More of everything.
    (0, 352),
    (0, 192),
    (0, 156),
    (0, 157),
    (F, 67),
    (F, 68),
    (F, 65),
    (F, 63),
    (F, 64),
    (F, 61),
    (F, 80),
    (F, 81),
    (0, 186),
    (0, 220),
    (0, 218),
    (0, 219),
    (N, 115),
    (N, 117),
    (0, 351),
    (0, 507),
    (0, 296),
    (0, 245),
    (N, 102),
    (N, 104),
    (0, 9),
    (0, 13),
    (0, 29),
    (0, 30),
    (0, 52),
    (0, 53),
    (0, 244),
    (0, 246),
    (0, 388),
    (0, 389),
    (0, 197),
    (0, 31),
    (C, 900),
    (C, 902),
    (0, 209),
    (0, 184),
    (0, 221),
    (0, 222),
    (0, 223),
    (0, 71),
    (0, 72),
    (0, 73),
    (0, 74),
    (0, 75),
    (0, 200),
    (0, 492),
    (0, 493),
    (0, 498),
    (0, 414),
    (0, 415),
    (N, 417),
    (N, 421),
    (N, 418),
    (N, 422),
    // Said by other fields already: delays in milliseconds, ICMP's type and code each by itself, the VLAN once more.
    (N, 537),
    (N, 535),
    (N, 536),
    (N, 538),
    (N, 533),
    (N, 531),
    (N, 532),
    (N, 534),
    (0, 176),
    (0, 177),
    (0, 178),
    (0, 179),
    (0, 243),
];

/// Which fields go out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Fields {
    /// At most [`STANDARD_MAX`] a template, the most telling ones.
    #[default]
    Standard,
    /// All.
    Full,
    /// Those of these names, forward and reverse. A record that has none of them has its `flowId` alone.
    Named(Arc<[String]>),
}

/// A name that is no field's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unknown {
    /// The name.
    pub name: String,
    /// The field's whose name is the most like it.
    pub nearest: &'static str,
}

impl fmt::Display for Fields {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Standard => to.write_str("standard"),
            Self::Full => to.write_str("full"),
            Self::Named(names) => to.write_str(&names.join(",")),
        }
    }
}

/// The name by which a field is chosen: of a list that of its items.
fn name(field: &Field) -> &'static str {
    field.list.map_or(field.element.name, |list| list.item.name)
}

/// The names by which fields of flows are chosen, each once, in the order of precedence.
pub fn names() -> Vec<&'static str> {
    let mut flows: Vec<_> = fact::all_fields().collect();
    flows.sort_by_key(|field| rank(field));
    let mut names: Vec<&'static str> = Vec::new();
    for name in flows.into_iter().map(name) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

impl Fields {
    /// "standard", "full", or names separated by commas; nothing is "standard".
    ///
    /// # Errors
    /// All names that are no field's.
    pub fn parse(text: &str) -> Result<Self, Vec<Unknown>> {
        let known = names();
        let named: Vec<&str> = text.split(',').map(str::trim).collect();
        match named.as_slice() {
            ["standard" | ""] => return Ok(Self::Standard),
            ["full"] => return Ok(Self::Full),
            _ => {}
        }
        let unknown = |name: &&str| (!known.contains(name)).then(|| Unknown { name: (*name).to_owned(), nearest: nearest(name, &known) });
        let unknown: Vec<_> = named.iter().filter_map(unknown).collect();
        if unknown.is_empty() { Ok(Self::Named(named.into_iter().map(str::to_owned).collect())) } else { Err(unknown) }
    }

    /// Whether elements of the operator's own may be among them.
    pub fn may_have_own(&self) -> bool {
        match self {
            Self::Standard => false,
            Self::Full => true,
            Self::Named(names) => own::types().iter().any(|own| names.iter().any(|name| name == own.name)),
        }
    }

    /// Which of a record's fields go out, with so many others beside them.
    pub(crate) fn choose(&self, fields: impl Iterator<Item = &'static Field>, others: usize) -> Vec<bool> {
        let fields: Vec<&Field> = fields.collect();
        match self {
            Self::Full => vec![true; fields.len()],
            Self::Standard => {
                let mut order: Vec<usize> = (0..fields.len()).collect();
                // What no registry has tells a collector nothing that does not know it.
                order.retain(|at| rank(fields[*at]) < PRECEDENCE.len());
                order.sort_by_key(|at| (rank(fields[*at]), fields[*at].reverse));
                let mut chosen = vec![false; fields.len()];
                order.iter().take(STANDARD_MAX - others).for_each(|at| chosen[*at] = true);
                chosen
            }
            Self::Named(names) => {
                let is_named = |field: &&Field| names.iter().any(|wanted| wanted == name(field));
                let mut chosen: Vec<bool> = fields.iter().map(is_named).collect();
                if !chosen.contains(&true) {
                    chosen = fields.iter().map(|field| (field.pen(), field.element.id) == (0, 148)).collect();
                }
                chosen
            }
        }
    }
}

/// Where a field stands in [`PRECEDENCE`]; behind all of them where it does not.
fn rank(field: &Field) -> usize {
    let element = field.list.map_or(field.element, |list| list.item);
    PRECEDENCE.iter().position(|known| *known == (element.pen, element.id)).unwrap_or(PRECEDENCE.len())
}

/// The name that is the most like this one: the fewest letters changed, without regard to their case.
fn nearest(name: &str, known: &[&'static str]) -> &'static str {
    let name = name.get(..64).unwrap_or(name).to_ascii_lowercase();
    known.iter().copied().min_by_key(|known| distance(&name, &known.to_ascii_lowercase())).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_field_of_flows_has_its_place_in_the_order() {
        let numbers = |field: &Field| field.list.map_or((field.element.pen, field.element.id), |list| (list.item.pen, list.item.id));
        let sent: BTreeSet<_> = fact::all_fields().filter(|field| field.element.pen != own::OWN_PEN).map(numbers).collect();
        assert_eq!(PRECEDENCE.iter().copied().collect::<BTreeSet<_>>(), sent);
        assert_eq!(PRECEDENCE.len(), sent.len(), "each once");
    }

    #[test]
    fn a_choice_is_a_word_or_names() {
        assert_eq!(["", "standard", "full"].map(Fields::parse), [Fields::Standard, Fields::Standard, Fields::Full].map(Ok));
        let Ok(Fields::Named(names)) = Fields::parse("octetDeltaCount, packetDeltaCount,tcpSynSize") else { panic!("names") };
        assert_eq!(names.join(" "), "octetDeltaCount packetDeltaCount tcpSynSize");
    }

    #[test]
    fn a_name_that_is_none_is_told_with_the_nearest() {
        let Err(unknown) = Fields::parse("octetDeltaCont,packetDeltaCount,src_ip_contry,full,") else { panic!("unknown names") };
        let told: Vec<_> = unknown.iter().map(|unknown| (unknown.name.as_str(), unknown.nearest)).collect();
        assert_eq!(told[..2], [("octetDeltaCont", "octetDeltaCount"), ("src_ip_contry", "SRC_IP_COUNTRY")]);
        assert_eq!([told[2].0, told[3].0], ["full", ""], "words are no names");
        assert!(Fields::parse("exportedOctetTotalCount").is_err(), "an option is no field of flows");
    }
}
