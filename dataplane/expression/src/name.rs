//! What a name in an expression stands for: a field of the catalogue, both ends of a flow, both directions together, or nothing yet.

use sonde_record::catalogue;
use sonde_record::field::{End, Field, Lookup, Origin, Read, ReadNumber, ReadValue, Type, Unit};

/// A name for two fields of a record.
#[derive(Clone, Copy, Debug)]
pub struct Combined {
    /// The name.
    pub name: &'static str,
    /// The two fields.
    pub of: [&'static str; 2],
    /// What it says.
    pub about: &'static str,
    how: How,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    Either,
    Ports,
    Sum,
    Union,
}

const fn either(name: &'static str, of: [&'static str; 2], about: &'static str) -> Combined {
    Combined { name, of, about, how: How::Either }
}

const COMBINED: [Combined; 12] = [
    either("address", ["source_address", "destination_address"], "the address of either end"),
    Combined {
        how: How::Ports,
        ..either("port", ["source_port", "destination_port"], "the port of either end; not measured where the protocol has no ports")
    },
    either("mac", ["source_mac", "destination_mac"], "the MAC address of either end"),
    either("as_number", ["source_as_number", "destination_as_number"], "the autonomous system of either end"),
    either("as_name", ["source_as_name", "destination_as_name"], "its name"),
    either("country", ["source_country", "destination_country"], "the country of either end, two letters"),
    either("country_number", ["source_country_number", "destination_country_number"], "its number"),
    either("city", ["source_city", "destination_city"], "the city of either end"),
    either("network", ["source_network", "destination_network"], "the own prefix of either end"),
    Combined {
        how: How::Union,
        ..either("tcp_flags", ["tcp_control_bits", "tcp_control_bits_reverse"], "TCP flags that either end has sent")
    },
    Combined { how: How::Sum, ..either("total_octets", ["octets", "octets_reverse"], "octets of both directions together") },
    Combined { how: How::Sum, ..either("total_packets", ["packets", "packets_reverse"], "packets of both directions together") },
];

/// The names that stand for two fields.
pub fn combined() -> &'static [Combined] {
    &COMBINED
}

/// Names that Flowmon's patterns use of fields that no record has yet.
const WITHOUT_SOURCE: [(&str, Type); 3] = [("http_url", Type::Text), ("ua_os", Type::Unsigned), ("ua_os_version", Type::Float)];

/// Where one value comes from.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Part {
    Number(ReadNumber, usize),
    Value(ReadValue, usize),
    /// Of an address that is read from the record.
    Lookup(ReadValue, Lookup),
}

/// Where the values of a name come from.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Source {
    One(Part),
    /// Both values.
    Either([Part; 2]),
    /// Both values, of a flow whose protocol has ports.
    Ports([Part; 2]),
    Sum([Part; 2]),
    /// The bits of both.
    Union([Part; 2]),
    Nothing,
}

impl Source {
    pub(crate) fn is_looked_up(&self) -> bool {
        matches!(self, Self::One(Part::Lookup(..)) | Self::Either([Part::Lookup(..), _]))
    }
}

/// What is known of a name.
#[derive(Clone, Debug)]
pub(crate) struct Named {
    /// The canonical name.
    pub(crate) name: String,
    pub(crate) kind: Type,
    pub(crate) unit: Unit,
    pub(crate) source: Source,
}

impl Named {
    /// Whether a number of it is one of IANA's protocols.
    pub(crate) fn is_protocol(&self) -> bool {
        self.name == "protocol"
    }

    /// Whether its bits are TCP's flags.
    pub(crate) fn is_flags(&self) -> bool {
        self.name == "tcp_flags" || self.name.starts_with("tcp_control_bits")
    }
}

fn part(field: &Field) -> Option<Part> {
    Some(match field.row.origin {
        Origin::Record(Read::Number(read)) => Part::Number(read, field.way.into()),
        Origin::Record(Read::Value(read)) => Part::Value(read, field.way.into()),
        Origin::Lookup(end, lookup) => {
            let address = if end == End::Source { "source_address" } else { "destination_address" };
            match catalogue::find(address)?.row.origin {
                Origin::Record(Read::Value(read)) => Part::Lookup(read, lookup),
                _ => return None,
            }
        }
    })
}

/// What a name stands for: canonical, or another name of the catalogue, or one of the above. Its case counts only where two differ by it.
pub(crate) fn resolve(name: &str) -> Option<Named> {
    if let Some(combined) = COMBINED.iter().find(|combined| combined.name.eq_ignore_ascii_case(name)) {
        let [first, second] = combined.of.map(catalogue::find);
        let (first, second) = (first?, second?);
        let parts = [part(&first)?, part(&second)?];
        let source = match combined.how {
            How::Either => Source::Either(parts),
            How::Ports => Source::Ports(parts),
            How::Sum => Source::Sum(parts),
            How::Union => Source::Union(parts),
        };
        return Some(Named { name: combined.name.to_owned(), kind: first.row.kind, unit: first.row.unit, source });
    }
    if let Some(field) = catalogue::find(name).or_else(|| of_any_case(name)) {
        let (kind, unit) = (field.row.kind, field.row.unit);
        return Some(Named { name: field.name().into_owned(), kind, unit, source: Source::One(part(&field)?) });
    }
    let (name, kind) = WITHOUT_SOURCE.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(name))?;
    Some(Named { name: name.to_owned(), kind, unit: Unit::None, source: Source::Nothing })
}

/// Whether the values of this name are looked up of addresses.
pub fn is_looked_up(name: &str) -> bool {
    resolve(name).is_some_and(|named| named.source.is_looked_up())
}

fn of_any_case(name: &str) -> Option<Field> {
    let is = |field: &Field| {
        field.name().eq_ignore_ascii_case(name)
            || field.aliases().any(|alias| alias.name.eq_ignore_ascii_case(name))
            || field.elements().any(|(element, reverse)| !reverse && element.name.eq_ignore_ascii_case(name))
    };
    catalogue::fields().find(is)
}

/// The name that is most like this one.
pub(crate) fn nearest(name: &str) -> Option<String> {
    let name = name.to_ascii_lowercase();
    let others = COMBINED.iter().map(|combined| combined.name).chain(WITHOUT_SOURCE.iter().map(|(name, _)| *name));
    let known = catalogue::nearest(&name);
    let distance = |candidate: &str| catalogue::distance(&name, candidate);
    let most = name.len().max(3) / 3;
    let other = others.filter(|candidate| distance(candidate) <= most).min_by_key(|candidate| distance(candidate));
    match (known, other) {
        (Some(known), Some(other)) if distance(other) <= distance(&known) => Some(other.to_owned()),
        (None, other) => other.map(str::to_owned),
        (known, _) => known,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::KEYWORDS;

    #[test]
    fn every_name_of_the_catalogue_is_one_word_and_no_key_word() {
        let mut names = 0;
        for field in catalogue::fields() {
            let mut all = vec![field.name().into_owned()];
            all.extend(field.aliases().map(|alias| alias.name.to_owned()));
            all.extend(field.elements().filter(|(_, reverse)| !reverse).map(|(element, _)| element.name.to_owned()));
            for name in all {
                assert!(!KEYWORDS.contains(&name.as_str()), "{name}");
                let tree = crate::normalise(&format!("{name} is null"));
                assert_eq!(tree.expect("one word"), format!("{name} is null"));
                assert!(resolve(&name).is_some() && resolve(&name.to_uppercase()).is_some(), "{name}");
                names += 1;
            }
        }
        assert!(names > 400, "{names}");
    }

    #[test]
    fn names_for_two_fields_are_no_names_of_one() {
        for Combined { name, of, about, .. } in combined() {
            assert!(catalogue::find(name).is_none() && !about.is_empty(), "{name}");
            let [first, second] = of.map(|name| catalogue::find(name).expect("a field").row);
            assert_eq!((first.kind, first.unit), (second.kind, second.unit), "{name}");
            assert!(resolve(name).is_some());
        }
        for (name, _) in WITHOUT_SOURCE {
            assert!(catalogue::find(name).is_none(), "{name} has a source now");
        }
    }

    #[test]
    fn a_mistyped_name_has_a_nearest_one() {
        for (typed, meant) in
            [("destnation_port", "destination_port"), ("adress", "address"), ("http_ulr", "http_url"), ("Total_Octet", "total_octets")]
        {
            assert_eq!(nearest(typed).as_deref(), Some(meant));
        }
        assert_eq!(nearest("something else entirely"), None);
    }
}
