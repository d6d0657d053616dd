//! `live.enrichment`: what addresses are looked up in.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use sonde_enrich::{Network, Sources};
use sonde_proto::v1;

use crate::check::{Check, is_file_name, quote};

/// Most own prefixes: with their names they are a fifth of the longest document.
const PREFIXES_MAX: usize = 4096;
/// Longest name of a prefix, in octets: what an exporter sends of it.
const NAME_OCTETS_MAX: usize = 24;
/// Longest path, in octets: the kernel's.
const PATH_OCTETS_MAX: usize = 4095;

/// Constructs the sources, noting what is wrong. Whether the files are there and good is found out when they are read.
pub(crate) fn construct(document: &v1::Enrichment, check: &mut Check) -> Sources {
    let list = &document.prefixes;
    if list.len() > PREFIXES_MAX {
        check.refuse("live.enrichment.prefixes", format!("at most {PREFIXES_MAX} prefixes"), format!("{} prefixes", list.len()));
    }
    let networks: Vec<Option<Network>> = list.iter().take(PREFIXES_MAX).enumerate().map(|(at, own)| network(at, own, check)).collect();
    let mut first: HashMap<_, usize> = HashMap::new();
    for (at, network) in networks.iter().enumerate() {
        let Some(network) = network else { continue };
        let earlier = *first.entry((network.address, network.length)).or_insert(at);
        if earlier != at {
            let path = |at| format!("live.enrichment.prefixes[{at}].prefix");
            check.refuse(path(at), "a prefix that is not used twice", format!("{}, as in {}", text(network), path(earlier)));
        }
    }
    let mut file = |field: &str, value: &str| file(&format!("live.enrichment.{field}"), value, check);
    Sources {
        asn_database: file("asn_database", &document.asn_database),
        country_database: file("country_database", &document.country_database),
        city_database: file("city_database", &document.city_database),
        bgp_rib: file("bgp_rib", &document.bgp_rib),
        networks: networks.into_iter().flatten().collect(),
        folder: None,
    }
}

fn file(path: &str, value: &str, check: &mut Check) -> Option<PathBuf> {
    // Both processes read it, and they have no working directory in common. Whether it may be named is asked of the trust.
    let absolute = Path::new(value).is_absolute() && value.len() <= PATH_OCTETS_MAX && !value.chars().any(char::is_control);
    if !value.is_empty() && !absolute && !is_file_name(value) {
        let rule = format!("an absolute path of at most {PATH_OCTETS_MAX} octets, or the name of a file in trust.databases_folder");
        check.refuse(path, rule, quote(value));
    }
    (!value.is_empty()).then(|| value.into())
}

fn network(at: usize, own: &v1::OwnPrefix, check: &mut Check) -> Option<Network> {
    let path = |field: &str| format!("live.enrichment.prefixes[{at}].{field}");
    if !(1..=NAME_OCTETS_MAX).contains(&own.name.len()) || own.name.chars().any(char::is_control) {
        check.refuse(path("name"), format!("1 to {NAME_OCTETS_MAX} octets of UTF-8 without control characters"), quote(&own.name));
    }
    match Network::new(&own.prefix, &own.name) {
        Ok(network) => Some(network),
        Err(rule) => {
            check.refuse(path("prefix"), rule, quote(&own.prefix));
            None
        }
    }
}

fn text(network: &Network) -> String {
    format!("{}/{}", network.address, network.length)
}

/// The document that says the same.
pub(crate) fn document(sources: &Sources) -> v1::Enrichment {
    // Paths come from a document, so they are UTF-8.
    let file = |path: &Option<PathBuf>| path.as_ref().map(|path| path.to_string_lossy().into_owned()).unwrap_or_default();
    v1::Enrichment {
        asn_database: file(&sources.asn_database),
        country_database: file(&sources.country_database),
        city_database: file(&sources.city_database),
        bgp_rib: file(&sources.bgp_rib),
        prefixes: sources.networks.iter().map(|own| v1::OwnPrefix { prefix: text(own), name: own.name.clone() }).collect(),
    }
}
