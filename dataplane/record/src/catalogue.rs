//! The catalogue of fields: everything that a record says, once. The reference page, columns, information elements and names are made of it.
//!
//! The rows stand with what they read: those of the head in `head_fields`, those of a fact in its file.

use crate::fact;
use crate::field::{Field, Namer, Row, Rows};
use crate::{head_fields, lookup_fields};

/// All rows, by what they are of.
pub const CATALOGUE: [&Rows; 13] = [
    &head_fields::KEY,
    &head_fields::COUNTS,
    &head_fields::FIRST_PACKET,
    &fact::layers::ROWS,
    &fact::tcp_rows::ROWS,
    &fact::udp::ROWS,
    &fact::quic::ROWS,
    &fact::response_rows::ROWS,
    &fact::histogram::ROWS,
    &fact::first::ROWS,
    &fact::burst::ROWS,
    &fact::nettisa::ROWS,
    &lookup_fields::ROWS,
];

/// All fields, those of the reverse direction behind those of the forward one.
pub fn fields() -> impl Iterator<Item = Field> {
    CATALOGUE.into_iter().flat_map(|rows| rows.rows).flat_map(of_row)
}

/// The fields of a row.
pub fn of_row(row: &'static Row) -> impl Iterator<Item = Field> {
    (0..=u8::from(row.both)).map(move |way| Field { row, way })
}

/// The field with this name: canonical, or another one.
pub fn find(name: &str) -> Option<Field> {
    fields()
        .find(|field| field.name() == name)
        .or_else(|| fields().find(|field| field.aliases().any(|alias| alias.name == name)))
        .or_else(|| fields().find(|field| field.elements().any(|(element, reverse)| !reverse && element.name == name)))
}

/// The field whose heading in comma-separated values this is, or else the field with this name.
pub fn column(heading: &str) -> Option<Field> {
    let is = |field: &Field| field.aliases().any(|alias| alias.of == Namer::Csv && alias.name == heading);
    fields().find(is).or_else(|| find(heading))
}

/// The canonical name or heading that is most like this one, for those who have mistyped it.
pub fn nearest(name: &str) -> Option<String> {
    let names = fields().flat_map(|field| [field.name(), field.heading()]);
    let like = names.map(|candidate| (distance(name, &candidate), candidate)).min_by_key(|(distance, _)| *distance);
    like.filter(|(distance, _)| *distance <= name.len().max(3) / 3).map(|(_, name)| name.into_owned())
}

/// How many letters must be put in, taken out or changed to make one text of the other (Levenshtein).
pub fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, left) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(row.first_mut().unwrap_or(&mut 0), i + 1);
        let mut before = i + 1;
        for (cell, right) in row.iter_mut().skip(1).zip(b.chars()) {
            let changed = diagonal + usize::from(left != right);
            diagonal = std::mem::replace(cell, changed.min(before + 1).min(*cell + 1));
            before = *cell;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet};

    use super::*;
    use crate::field::{Origin, Value};
    use crate::{Head, Kind, Record};

    #[test]
    fn every_name_is_that_of_one_field() {
        let mut names = HashSet::new();
        for field in fields() {
            let name = field.name();
            assert!(name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'), "{name}");
            assert!(names.insert(name.clone()), "{name} twice");
            assert!(!field.row.about.is_empty() && !field.api().is_empty(), "{name}");
        }
        assert!(names.len() > 150, "{}", names.len());
        for namer in Namer::ALL {
            let mut seen = HashMap::new();
            for field in fields() {
                for alias in field.aliases().filter(|alias| alias.of == namer) {
                    assert_eq!(seen.insert(alias.name, field.name()), None, "{} of {}", alias.name, namer.name());
                }
            }
        }
    }

    #[test]
    fn an_element_carries_one_field() {
        let mut seen = HashMap::new();
        for field in fields() {
            for (element, reverse) in field.elements() {
                let key = (element.registry, element.id, reverse);
                assert_eq!(seen.insert(key, field.name()), None, "{} twice", element.name);
            }
        }
    }

    #[test]
    fn fields_are_found_by_any_of_their_names() {
        let name = |found: Option<Field>| found.map(|field| field.name().into_owned());
        assert_eq!(name(find("octets_reverse")).as_deref(), Some("octets_reverse"));
        assert_eq!(name(find("sourceTransportPort")).as_deref(), Some("source_port"));
        assert_eq!(name(find("rep_transferred")).as_deref(), Some("octets_reverse"));
        assert_eq!(name(find("tcp.srcport")).as_deref(), Some("source_port"));
        assert_eq!(name(find("nothing")), None);
        assert_eq!(name(column("bytes_rev")).as_deref(), Some("octets_reverse"));
        assert_eq!(name(column("mpls")).as_deref(), Some("mpls_labels"), "a heading wins");
        assert_eq!(name(find("mpls")).as_deref(), Some("mpls"));
        assert_eq!(nearest("destnation_port").as_deref(), Some("destination_port"));
        assert_eq!(nearest("something else entirely"), None);
    }

    #[test]
    fn what_a_plain_record_says_is_read_and_the_rest_is_absent() {
        let head =
            Head { kind: Kind::Ipv6, src: [7; 16], dport: 53, proto: 17, packets: [1, 0], ttl: [64, 0], start: 5, ..Head::default() };
        let record = Record::new(head);
        let view = record.view().expect("a record");
        let value = |name: &str| find(name).expect("a field").read(&view);
        assert_eq!(value("source_address"), Value::Address([7; 16].into()));
        assert_eq!(
            (value("destination_port"), value("ttl"), value("ttl_reverse")),
            (Value::Unsigned(53), Value::Unsigned(64), Value::Absent)
        );
        assert_eq!((value("start"), value("inner")), (Value::Time(5), Value::Boolean(false)));
        for rows in CATALOGUE.into_iter().filter(|rows| !rows.facts.is_empty()) {
            for field in rows.rows.iter().flat_map(of_row) {
                assert_eq!(field.read(&view), Value::Absent, "{}", field.name());
            }
        }
        assert!(fields().filter(|field| matches!(field.row.origin, Origin::Lookup(..))).count() == 14);
    }
}
