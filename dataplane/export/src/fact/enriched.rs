//! Where and whose the two ends of a flow are.
//!
//! They are sent only by an exporter that was given a table to look them up in (`Enrichment`). What is not known is 0, or a text of
//! zero octets only. IANA has elements for AS numbers and prefix lengths; for countries, cities and the operator's names they are ntop's
//! (nProbe), which collectors know. Texts have a fixed length, so that records have one: what is longer is cut between two characters, what
//! is shorter is filled with zeros.
//!
//! Not here: looking up (`sonde-enrich`), MAC addresses.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use sonde_enrich::{Generation, Handle, Place};
use sonde_record::{Kind, RecordView};

use crate::format::ipfix::field::{Field, field, ntop, octets};

/// Octets of a country, ISO 3166-1 alpha-2.
const COUNTRY_OCTETS: usize = 2;
/// Octets of a city.
const CITY_OCTETS: usize = 16;
/// Octets of the name of an own prefix: the settings allow no longer one.
const NAME_OCTETS: usize = 24;
/// Octets these fields have for one end: AS number, prefix length and the texts.
const END_OCTETS: usize = 4 + 1 + COUNTRY_OCTETS + CITY_OCTETS + NAME_OCTETS;
/// Octets these fields have together.
const OCTETS: usize = 2 * END_OCTETS;

/// Of the source, then of the destination; `prefix` are the elements of the two prefix lengths.
const fn fields(prefix: [u16; 2]) -> [Field; 10] {
    [field(16), field(prefix[0]), ntop(101), ntop(102), ntop(525), field(17), field(prefix[1]), ntop(103), ntop(104), ntop(526)]
}

pub(crate) const IPV4_FIELDS: [Field; 10] = fields([9, 13]);
pub(crate) const IPV6_FIELDS: [Field; 10] = fields([29, 30]);

const _: () = assert!(octets(&IPV4_FIELDS) == OCTETS && octets(&IPV6_FIELDS) == OCTETS);

/// The table of an exporter.
#[derive(Debug)]
pub(crate) struct Enrichment {
    handle: Arc<Handle>,
    held: Arc<Generation>,
}

impl Enrichment {
    /// Looks up in the latest table of `handle`.
    pub(crate) fn new(handle: Arc<Handle>) -> Self {
        let held = handle.latest();
        Self { handle, held }
    }

    /// Takes a newer table if there is one: once a batch of records.
    #[inline]
    pub(crate) fn refresh(&mut self) {
        self.handle.collect(&mut self.held);
    }

    /// What is known of both ends of an IP flow. Budget: two look-ups.
    #[inline]
    pub(crate) fn ends(&self, record: &RecordView<'_>) -> [Place<'_>; 2] {
        let Some(table) = &self.held.table else { return Default::default() };
        match record.kind() {
            Kind::Ipv6 => [record.src(), record.dst()].map(|octets| table.ipv6(Ipv6Addr::from(octets))),
            _ => [record.src(), record.dst()].map(|[.., a, b, c, d]| table.ipv4(Ipv4Addr::new(a, b, c, d))),
        }
    }
}

/// Writes the fields. Budget: 20 ns beside the look-ups (bench `encode/enriched_v4`).
pub(crate) fn encode(ends: &[Place<'_>; 2], out: &mut [u8; OCTETS]) {
    for (place, out) in ends.iter().zip(out.as_chunks_mut::<END_OCTETS>().0) {
        write_end(place, out);
    }
}

fn write_end(place: &Place<'_>, out: &mut [u8; END_OCTETS]) {
    let (numbers, texts) = out.split_at_mut(4 + 1);
    numbers[..4].copy_from_slice(&place.asn.to_be_bytes());
    numbers[4] = place.prefix_length;
    let (country, texts) = texts.split_at_mut(COUNTRY_OCTETS);
    country.copy_from_slice(&place.country.map(|country| country.alpha2()).unwrap_or_default());
    let (city, name) = texts.split_at_mut(CITY_OCTETS);
    write_text(place.city, city);
    write_text(place.network, name);
}

/// The text, cut between two characters where it is too long, and zeros behind it.
pub(crate) fn write_text(text: &str, out: &mut [u8]) {
    let octets = &text.as_bytes()[..text.floor_char_boundary(out.len())];
    let (front, behind) = out.split_at_mut(octets.len());
    front.copy_from_slice(octets);
    behind.fill(0);
}

#[cfg(test)]
mod tests {
    use sonde_record::{Head, Record};

    use super::*;

    #[test]
    fn a_long_text_is_cut_between_characters_and_a_short_one_is_filled() {
        let written = |text: &str| {
            let mut out = [7; 8];
            write_text(text, &mut out);
            out
        };
        assert_eq!([&written("Brno"), &written("M\u{fc}nchen"), &written("12345678")], [b"Brno\0\0\0\0", b"M\xc3\xbcnchen", b"12345678"]);
        assert_eq!([&written(""), &written("123456789"), &written("1234567\u{fc}")], [&[0; 8], b"12345678", b"1234567\0"]);
    }

    #[test]
    fn without_a_table_everything_is_unknown() {
        let enrichment = Enrichment::new(Arc::new(Handle::default()));
        let mut out = [7; OCTETS];
        encode(&enrichment.ends(&Record::new(Head::default()).view().expect("a record")), &mut out);
        assert_eq!(out, [0; OCTETS]);
    }
}
