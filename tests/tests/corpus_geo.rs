//! The test databases that MaxMind publishes, some broken on purpose, with the JSON they were made of.
//!
//! They are not part of the project: the corpus is looked for in `$SONDE_CORPUS`, then beside the project. Without it these tests say
//! so loudly, and pass.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use serde_json::Value;
use sonde_enrich::{Enricher, Sources};

/// The folder of the corpus, if there is one.
fn corpus() -> Option<PathBuf> {
    sonde_tests::corpus::corpus(&["geo/test-data", "geo/source-data"], "databases were").map(|path| path.join("geo"))
}

/// Networks and their values, in the order of the JSON; prefixes of the form `::a.b.c.d/n` are IPv4.
fn source(path: &Path) -> Vec<(IpAddr, u8, Value)> {
    let list: Vec<HashMap<String, Value>> = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    let parse = |(network, value): (String, Value)| {
        let (address, length) = network.split_once('/').unwrap();
        (address.parse().unwrap(), length.parse().unwrap(), value)
    };
    list.into_iter().flatten().map(parse).collect()
}

/// First and last address of a network, and one between.
fn samples(address: IpAddr, length: u8) -> [IpAddr; 3] {
    match address {
        IpAddr::V4(v4) => {
            let behind = u32::MAX.checked_shr(length.into()).unwrap_or(0);
            let first = v4.to_bits() & !behind;
            [first, first | (behind / 2), first | behind].map(|bits| IpAddr::V4(bits.into()))
        }
        IpAddr::V6(v6) => {
            let behind = u128::MAX.checked_shr(length.into()).unwrap_or(0);
            let first = v6.to_bits() & !behind;
            [first, first | (behind / 2), first | behind].map(|bits| IpAddr::V6(bits.into()))
        }
    }
}

fn text<'a>(value: &'a Value, path: &str) -> &'a str {
    value.pointer(path).and_then(Value::as_str).unwrap_or_default()
}

/// Asks a table for every network of the JSON of a database; returns how many networks there were.
fn compare(name: &str, sources: impl Fn(PathBuf) -> Sources, equal: impl Fn(&Enricher, IpAddr, &Value, &[(IpAddr, u8, Value)])) -> usize {
    let Some(corpus) = corpus() else { return usize::MAX };
    let sources = sources(corpus.join(format!("test-data/{name}.mmdb")));
    let table = Enricher::load(&sources).unwrap_or_else(|violations| panic!("{violations:?}"));
    let all = source(&corpus.join(format!("source-data/{name}.json")));
    for (at, (address, length, value)) in all.iter().enumerate() {
        for sample in samples(*address, *length) {
            // A network that comes later in the JSON overwrites what was there.
            let later =
                |(other, length, _): &&(IpAddr, u8, Value)| samples(*other, *length)[0] <= sample && sample <= samples(*other, *length)[2];
            let value = all[at + 1..].iter().filter(later).map(|(.., value)| value).next_back().unwrap_or(value);
            equal(&table, sample, value, &all);
        }
    }
    all.len()
}

#[test]
fn as_numbers_and_names_are_those_of_the_source() {
    for (name, least) in [("GeoLite2-ASN-Test", 700), ("GeoIP2-ISP-Test", 2000)] {
        let sources = |path| Sources { asn_database: Some(path), ..Sources::default() };
        let networks = compare(name, sources, |table, address, value, all| {
            let number = |value: &Value| value["autonomous_system_number"].as_u64().unwrap_or(0);
            let place = table.lookup(address);
            assert_eq!(u64::from(place.asn), number(value), "{name} {address}");
            let organization = text(value, "/autonomous_system_organization");
            if organization.is_empty() {
                // The network has no name of its own: it gets one of its AS, if there is any.
                let of_as = |(.., other): &&(IpAddr, u8, Value)| number(other) == number(value) && number(value) != 0;
                let names: BTreeSet<&str> = all.iter().filter(of_as).map(|(.., v)| text(v, "/autonomous_system_organization")).collect();
                assert!(place.as_name.is_empty() && number(value) == 0 || names.contains(place.as_name), "{name} {address} {place:?}");
            } else if number(value) != 0 {
                assert_eq!(place.as_name, organization, "{name} {address}");
            }
        });
        assert!(networks >= least, "{name}: {networks}");
    }
}

#[test]
fn countries_are_those_of_the_source() {
    for name in ["GeoLite2-Country-Test", "GeoIP2-Country-Test", "GeoLite2-City-Test", "GeoIP2-Enterprise-Test"] {
        let sources = |path| Sources { country_database: Some(path), ..Sources::default() };
        let networks = compare(name, sources, |table, address, value, _| {
            let found = table.lookup(address).country.map(|country| country.to_string()).unwrap_or_default();
            assert_eq!(found, text(value, "/country/iso_code"), "{name} {address}");
        });
        assert!(networks >= 30, "{name}: {networks}");
    }
}

#[test]
fn cities_are_those_of_the_source() {
    for name in ["GeoLite2-City-Test", "GeoIP2-City-Test", "GeoIP2-Enterprise-Test", "GeoIP2-Precision-Enterprise-Test"] {
        let sources = |path| Sources { city_database: Some(path), ..Sources::default() };
        let networks = compare(name, sources, |table, address, value, _| {
            let place = table.lookup(address);
            let country = place.country.map(|country| country.to_string()).unwrap_or_default();
            let expected = (text(value, "/city/names/en"), text(value, "/country/iso_code"));
            assert_eq!((place.city, country.as_str()), expected, "{name} {address}");
        });
        assert!(networks >= 30, "{name}: {networks}");
    }
}

/// The sentence a database of the corpus is refused with, given for AS numbers, countries and cities; empty when it is not.
fn refusals(path: &Path) -> Vec<String> {
    let path = Some(path.to_owned());
    let each = [
        Sources { asn_database: path.clone(), ..Sources::default() },
        Sources { country_database: path.clone(), ..Sources::default() },
        Sources { city_database: path, ..Sources::default() },
    ];
    each.iter().map(|sources| Enricher::load(sources).err().map(|v| v[0].to_string()).unwrap_or_default()).collect()
}

#[test]
fn databases_broken_on_purpose_are_refused_with_a_sentence() {
    let Some(corpus) = corpus() else { return };
    let check = |name: &str, sentence: &str| {
        for found in refusals(&corpus.join("test-data").join(name)) {
            assert!(found.contains(sentence), "{name}: {found:?}");
        }
    };
    check("GeoIP2-City-Test-Broken-Double-Format.mmdb", "a float of the wrong length");
    check("GeoIP2-City-Test-Invalid-Node-Count.mmdb", "announce a search tree of 100000 nodes");
    check("MaxMind-DB-test-broken-pointers-24.mmdb", "octet");
    check("MaxMind-DB-test-broken-search-tree-24.mmdb", "search tree");
    check("maps-with-pointers.raw", "no MaxMind DB metadata");
}

#[test]
fn every_file_of_the_corpus_is_read_or_refused_and_so_is_every_damaged_one() {
    let Some(corpus) = corpus() else { return };
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("damaged");
    let mut files = 0;
    for entry in fs::read_dir(corpus.join("test-data")).unwrap() {
        let whole = entry.unwrap().path();
        let octets = fs::read(&whole).unwrap();
        refusals(&whole);
        files += 1;
        for step in 1..16 {
            fs::write(&path, &octets[..octets.len() * step / 16]).unwrap();
            assert!(refusals(&path).iter().all(|sentence| !sentence.is_empty()), "{} cut at {step}/16", whole.display());
            let mut wrong = octets.clone();
            let at = wrong.len() * step / 16;
            wrong[at] ^= 0xff;
            fs::write(&path, &wrong).unwrap();
            refusals(&path);
        }
    }
    assert!(files > 30, "{files}");
}
