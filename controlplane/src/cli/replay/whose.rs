//! What `--asn`, `--country`, `--city`, `--rib` and `--prefixes` add to each flow: where and whose its ends are.

use crate::place;
use anyhow::Context;
use sonde_enrich::{Enricher, Network, Sources};
use sonde_proto::v1::Place;
use sonde_record::RecordView;
use std::path::{Path, PathBuf};

/// Columns that stand behind all others of `--table flows` when something is looked up.
pub const COLUMNS: &str = ",src_as,dst_as,src_prefix_length,dst_prefix_length,src_as_name,dst_as_name,src_country,dst_country,src_country_number,\
     dst_country_number,src_city,dst_city,src_network,dst_network";

/// Files that addresses are looked up in; given one of them, each flow says what was found.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Files {
    /// MaxMind-format database with AS numbers: GeoLite2-ASN, GeoIP2-ISP.
    #[arg(long, value_name = "FILE")]
    pub asn: Option<PathBuf>,
    /// MaxMind-format database with countries.
    #[arg(long, value_name = "FILE")]
    pub country: Option<PathBuf>,
    /// MaxMind-format database with cities.
    #[arg(long, value_name = "FILE")]
    pub city: Option<PathBuf>,
    /// MRT RIB dump of a route collector, plain or compressed (gzip, bzip2, zstd, xz, lz4).
    #[arg(long, value_name = "FILE")]
    pub rib: Option<PathBuf>,
    /// Own prefixes: lines of a prefix, blank space, and its name. Empty lines and lines that begin with # are passed over.
    #[arg(long, value_name = "FILE")]
    pub prefixes: Option<PathBuf>,
}

impl Files {
    /// Reads everything; `None` when no file is given.
    ///
    /// # Errors
    /// Every fault of every file, in sentences.
    pub fn load(&self) -> anyhow::Result<Option<Enricher>> {
        let sources = Sources {
            asn_database: self.asn.clone(),
            country_database: self.country.clone(),
            city_database: self.city.clone(),
            bgp_rib: self.rib.clone(),
            networks: self.prefixes.as_deref().map(networks).transpose()?.unwrap_or_default(),
            folder: None,
        };
        if sources.is_empty() {
            return Ok(None);
        }
        let faults = |violations: Vec<sonde_enrich::Violation>| violations.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
        Enricher::load(&sources).map(Some).map_err(|violations| anyhow::anyhow!("{}", faults(violations)))
    }
}

fn networks(path: &Path) -> anyhow::Result<Vec<Network>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read the prefixes of {}", path.display()))?;
    let lines = text.lines().enumerate().map(|(at, line)| (at + 1, line.trim()));
    let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    let network = |(number, line): (usize, &str)| {
        let (prefix, name) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let name = name.trim();
        let rule = if name.is_empty() { Err("a prefix, blank space, and a name") } else { Network::new(prefix, name) };
        rule.map_err(|rule| anyhow::anyhow!("{}, line {number}: must be {rule}; found {}", path.display(), sonde_settings::quote(line)))
    };
    lines.map(network).collect()
}

/// The columns of a line, each with a comma before it; what is not known is empty.
pub(super) fn columns(record: &RecordView<'_>, table: &Enricher) -> String {
    let [source, destination] = place::ends(record, table).unwrap_or_default();
    let known = |number: u32| if number == 0 { String::new() } else { number.to_string() };
    let columns: [fn(&Place) -> Field<'_>; 7] = [
        |place| Field::Number(place.as_number),
        |place| Field::Number(place.prefix_length),
        |place| Field::Text(&place.as_name),
        |place| Field::Text(&place.country),
        |place| Field::Number(place.country_number),
        |place| Field::Text(&place.city),
        |place| Field::Text(&place.network),
    ];
    let ends = columns.iter().flat_map(|column| [column(&source), column(&destination)]);
    ends.fold(String::new(), |line, field| {
        line + ","
            + &match field {
                Field::Number(number) => known(number),
                Field::Text(text) => quoted(text),
            }
    })
}

enum Field<'a> {
    Number(u32),
    Text(&'a str),
}

/// A field of RFC 4180: in quotes where it holds a comma, a quote or a line break.
pub(super) fn quoted(text: &str) -> String {
    if text.contains(['"', ',', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sonde_record::{Head, Kind, Record};

    fn table(text: &str) -> anyhow::Result<Option<Enricher>> {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), text).expect("room");
        Files { prefixes: Some(file.path().to_owned()), ..Files::default() }.load()
    }

    #[test]
    fn a_line_is_a_prefix_and_a_name() {
        let table = table("# ours\n\n192.0.2.0/24  office, \"Brno\" \n2001:db8::/32\tsix\n").expect("good").expect("a table");
        let mut head = Head { kind: Kind::Ipv4, ..Head::default() };
        head.src[12..].copy_from_slice(&[192, 0, 2, 1]);
        let columns = |head: Head| columns(&Record::new(head).view().expect("a record"), &table);
        let found = columns(head);
        assert_eq!(found, ",,,,,,,,,,,,,\"office, \"\"Brno\"\"\",");
        assert_eq!(found.matches(',').count() - 1, COLUMNS.matches(',').count(), "one comma is in the name");
        assert_eq!(columns(Head { kind: Kind::Layer2, ..head }), COLUMNS.replace(|c| c != ',', ""));
    }

    #[test]
    fn a_bad_line_is_named() {
        for bad in ["192.0.2.0/33 a", "192.0.2.0/24", "office"] {
            let found = table(&format!("\n{bad}\n")).expect_err("refused").to_string();
            assert!(found.contains(", line 2: must be a"), "{found}");
        }
        assert!(Files::default().load().expect("nothing to read").is_none());
        let missing = Files { asn: Some("/nowhere/asn.mmdb".into()), rib: Some("/nowhere/rib".into()), ..Files::default() };
        let found = missing.load().expect_err("not there").to_string();
        assert_eq!(found.lines().count(), 2, "every fault is named: {found}");
    }
}
