//! What `--asn`, `--country`, `--city`, `--rib` and `--prefixes` add to each flow: where and whose its ends are.

use crate::flow::ip;
use anyhow::Context;
use serde::Serialize;
use sonde_enrich::{Enricher, Network, Place, Sources};
use sonde_flow::record::Record;
use std::path::{Path, PathBuf};

/// Columns that stand behind all others of `--table flows` when something is looked up.
pub const COLUMNS: &str = ",src_as,dst_as,src_prefix_length,dst_prefix_length,src_as_name,dst_as_name,src_country,dst_country,src_country_number,\
     dst_country_number,src_city,dst_city,src_network,dst_network";

/// Files that addresses are looked up in; given one of them, each flow of the formats csv and json says what was found.
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
    /// MRT RIB dump of a route collector, plain, gzip or bzip2.
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
        rule.map_err(|rule| anyhow::anyhow!("{}, line {number}: must be {rule}; found {line:?}", path.display()))
    };
    lines.map(network).collect()
}

/// What is known of both ends of a flow.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Whose<'a> {
    source_as: u32,
    destination_as: u32,
    source_prefix_length: u8,
    destination_prefix_length: u8,
    source_as_name: &'a str,
    destination_as_name: &'a str,
    source_country: String,
    destination_country: String,
    source_country_number: u16,
    destination_country_number: u16,
    source_city: &'a str,
    destination_city: &'a str,
    source_network: &'a str,
    destination_network: &'a str,
}

impl<'a> Whose<'a> {
    /// Looks up both ends; a flow without IP has none.
    pub fn of(record: &Record, table: &'a Enricher) -> Self {
        let find = |bytes: &[u8; 16]| ip(record.kind, bytes).map(|address| table.lookup(address)).unwrap_or_default();
        let (source, destination) = (find(&record.src), find(&record.dst));
        let code = |place: &Place<'_>| place.country.map(|country| country.to_string()).unwrap_or_default();
        let number = |place: &Place<'_>| place.country.map_or(0, sonde_enrich::Country::numeric);
        Self {
            source_as: source.asn,
            destination_as: destination.asn,
            source_prefix_length: source.prefix_length,
            destination_prefix_length: destination.prefix_length,
            source_as_name: source.as_name,
            destination_as_name: destination.as_name,
            source_country: code(&source),
            destination_country: code(&destination),
            source_country_number: number(&source),
            destination_country_number: number(&destination),
            source_city: source.city,
            destination_city: destination.city,
            source_network: source.network,
            destination_network: destination.network,
        }
    }

    /// The columns of a line, each with a comma before it; what is not known is empty.
    pub fn columns(&self) -> String {
        let known = |number: u32| if number == 0 { String::new() } else { number.to_string() };
        let fields = [
            known(self.source_as),
            known(self.destination_as),
            known(self.source_prefix_length.into()),
            known(self.destination_prefix_length.into()),
            quoted(self.source_as_name),
            quoted(self.destination_as_name),
            self.source_country.clone(),
            self.destination_country.clone(),
            known(self.source_country_number.into()),
            known(self.destination_country_number.into()),
            quoted(self.source_city),
            quoted(self.destination_city),
            quoted(self.source_network),
            quoted(self.destination_network),
        ];
        fields.iter().fold(String::new(), |line, field| line + "," + field)
    }
}

/// A field of RFC 4180: in quotes where it holds a comma, a quote or a line break.
pub(super) fn quoted(text: &str) -> String {
    if text.contains(['"', ',', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sonde_flow::record::Kind;

    fn table(text: &str) -> anyhow::Result<Option<Enricher>> {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), text).expect("room");
        Files { prefixes: Some(file.path().to_owned()), ..Files::default() }.load()
    }

    #[test]
    fn a_line_is_a_prefix_and_a_name() {
        let table = table("# ours\n\n192.0.2.0/24  office, \"Brno\" \n2001:db8::/32\tsix\n").expect("good").expect("a table");
        let mut record = Record { kind: Kind::Ipv4, ..Record::default() };
        record.src[12..].copy_from_slice(&[192, 0, 2, 1]);
        let whose = Whose::of(&record, &table);
        assert_eq!((whose.source_network, whose.destination_network), ("office, \"Brno\"", ""));
        assert_eq!(whose.columns(), ",,,,,,,,,,,,,\"office, \"\"Brno\"\"\",");
        assert_eq!(whose.columns().matches(',').count() - 1, COLUMNS.matches(',').count(), "one comma is in the name");
        assert_eq!(Whose::of(&Record { kind: Kind::Layer2, ..record }, &table), Whose::default());
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
