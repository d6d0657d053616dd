//! Sources to one table.

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use crate::enricher::{Enricher, Entry, Loaded};
use crate::fault::{Fault, Violation};
use crate::mmdb::{Database, Seen, Value};
use crate::mrt::Rib;
use crate::ranges::{Address, Boundary, NONE, Prefix, Ranges, Table, sweep};
use crate::sources::Sources;
use crate::{Country, file};

/// Longest database that is read: several times the largest that is sold.
const DATABASE_OCTETS_MAX: u64 = 4 << 30;

const ASN: &str = "ASN database";
const COUNTRY: &str = "country database";
const CITY: &str = "city database";
const RIB: &str = "BGP RIB dump";
const NETWORKS: &str = "own prefix";

/// One source made flat.
#[derive(Default)]
struct Source {
    ipv4: Ranges<u32>,
    ipv6: Ranges<u128>,
    /// What the values of the ranges mean.
    facts: Vec<Facts>,
}

/// What a source says of a network.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Facts {
    asn: u32,
    as_name: u32,
    country: Option<Country>,
    city: u32,
    network: u32,
}

/// Texts, each kept once; the first is the empty one.
struct Names {
    all: Vec<Box<str>>,
    numbers: HashMap<Box<str>, u32>,
}

impl Names {
    fn new() -> Self {
        Self { all: vec!["".into()], numbers: HashMap::from([("".into(), 0)]) }
    }

    fn number(&mut self, text: &str) -> u32 {
        if let Some(number) = self.numbers.get(text) {
            return *number;
        }
        // Each text has an octet at least and comes from files of at most 4 GiB.
        let number = u32::try_from(self.all.len()).unwrap_or(0);
        self.all.push(text.into());
        self.numbers.insert(text.into(), number);
        number
    }
}

impl Enricher {
    /// Reads everything.
    ///
    /// # Errors
    /// Every fault of every source. There is no table with parts missing.
    pub fn load(sources: &Sources) -> Result<Self, Vec<Violation>> {
        let mut loading = Loading { sources, names: Names::new(), loaded: Vec::new(), violations: Vec::new() };
        let asn = loading.database(ASN, sources.asn_database.as_ref(), |facts| facts.asn != 0, "autonomous_system_number");
        let country = loading.database(COUNTRY, sources.country_database.as_ref(), |facts| facts.country.is_some(), "country.iso_code");
        let city = loading.database(CITY, sources.city_database.as_ref(), |facts| facts.city != 0, "city.names.en");
        let routes = loading.rib(sources.bgp_rib.as_ref());
        let networks = loading.networks(sources);
        if !loading.violations.is_empty() {
            return Err(loading.violations);
        }
        let merge = Merge::new([&routes, &asn, &country, &city, &networks]);
        let (ipv4, ipv6, entries) = merge.tables();
        Ok(Enricher { ipv4, ipv6, entries, names: loading.names.all, loaded: loading.loaded })
    }
}

struct Loading<'a> {
    sources: &'a Sources,
    names: Names,
    loaded: Vec<Loaded>,
    violations: Vec<Violation>,
}

impl Loading<'_> {
    /// What a database says; nothing, and a violation, when it is broken or says nothing of what is wanted.
    fn database(&mut self, what: &'static str, path: Option<&PathBuf>, wanted: fn(&Facts) -> bool, name: &'static str) -> Source {
        let Some(path) = path else { return Source::default() };
        let read = file::whole(&self.sources.place(path), DATABASE_OCTETS_MAX).and_then(|octets| self.read_database(&octets, wanted, name));
        self.take(what, path, read.map(|(source, networks)| (source, networks, 0)))
    }

    fn read_database(&mut self, octets: &[u8], wanted: fn(&Facts) -> bool, name: &'static str) -> Result<(Source, u64), Fault> {
        let database = Database::open(octets)?;
        let mut facts: Vec<Facts> = Vec::new();
        let mut known: HashMap<u32, u32> = HashMap::new();
        let mut seen = Seen::default();
        let mut networks = 0u64;
        let (ipv4, ipv6) = database.networks(|offset| {
            let value = match known.get(&offset) {
                Some(value) => *value,
                None => {
                    let found = self.facts(&database, offset, &mut seen)?;
                    let value = if wanted(&found) || found.country.is_some() {
                        facts.push(found);
                        u32::try_from(facts.len()).unwrap_or(NONE).wrapping_sub(1)
                    } else {
                        NONE
                    };
                    known.insert(offset, value);
                    value
                }
            };
            networks = networks.saturating_add(u64::from(value != NONE));
            Ok(value)
        })?;
        if facts.iter().any(wanted) {
            return Ok((Source { ipv4, ipv6, facts }, networks));
        }
        let found = if database.kind.is_empty() { "a database without a type".to_owned() } else { format!("a {} database", database.kind) };
        Err(Fault::Nothing { wanted: name, found })
    }

    fn facts(&mut self, database: &Database<'_>, offset: u32, seen: &mut Seen) -> Result<Facts, Fault> {
        let (data, at) = (database.data(), offset as usize);
        data.check(at, seen)?;
        let text = |path: &[&str]| match data.find(at, path) {
            Some(Value::Text(text)) => text,
            _ => "",
        };
        let asn = match data.find(at, &["autonomous_system_number"]) {
            Some(Value::Number(number)) => u32::try_from(number).unwrap_or(0),
            _ => 0,
        };
        Ok(Facts {
            asn,
            as_name: self.names.number(text(&["autonomous_system_organization"])),
            country: Country::new(text(&["country", "iso_code"])),
            city: self.names.number(text(&["city", "names", "en"])),
            network: 0,
        })
    }

    fn rib(&mut self, path: Option<&PathBuf>) -> Source {
        let Some(path) = path else { return Source::default() };
        let read = file::open(&self.sources.place(path)).and_then(|file| {
            let (_, unpacked) = sonde_unpack::unpacked(file).map_err(|error| Fault::Unreadable(error.to_string()))?;
            let rib = Rib::read(unpacked)?;
            let routes = rib.ipv4.len().saturating_add(rib.ipv6.len()) as u64;
            if routes == 0 {
                return Err(Fault::Nothing { wanted: "unicast route", found: "empty, or has records of other kinds only".into() });
            }
            let passed_over = rib.passed_over;
            Ok((of_routes(rib), routes, passed_over))
        });
        self.take(RIB, path, read)
    }

    fn networks(&mut self, sources: &Sources) -> Source {
        let (mut ipv4, mut ipv6) = (Vec::new(), Vec::new());
        let mut facts = Vec::new();
        for network in &sources.networks {
            let Ok(value) = u32::try_from(facts.len()) else { break };
            let length = network.length;
            let most = if network.address.is_ipv4() { u32::BITS } else { u128::BITS };
            if u32::from(length) > most {
                let text = format!("{}/{length}", network.address);
                let fault = Fault::Prefix(format!("its length is above {most}"));
                self.violations.push(Violation::new(NETWORKS, Path::new(&text), fault));
                continue;
            }
            match network.address {
                IpAddr::V4(v4) => ipv4.push(Prefix { start: v4.to_bits().first(length), length, value }),
                IpAddr::V6(v6) => ipv6.push(Prefix { start: v6.to_bits().first(length), length, value }),
            }
            facts.push(Facts { network: self.names.number(&network.name), ..Facts::default() });
        }
        if !facts.is_empty() {
            self.loaded.push(Loaded { what: NETWORKS, path: PathBuf::new(), networks: facts.len() as u64, passed_over: 0 });
        }
        Source { ipv4: Ranges::of_prefixes(ipv4), ipv6: Ranges::of_prefixes(ipv6), facts }
    }

    fn take(&mut self, what: &'static str, path: &Path, read: Result<(Source, u64, u64), Fault>) -> Source {
        match read {
            Ok((source, networks, passed_over)) => {
                self.loaded.push(Loaded { what, path: path.to_owned(), networks, passed_over });
                source
            }
            Err(fault) => {
                self.violations.push(Violation::new(what, path, fault));
                Source::default()
            }
        }
    }
}

/// Routes as ranges. The value of a route is its AS number; that of a range is a number in the list of facts.
fn of_routes(rib: Rib) -> Source {
    let Rib { mut ipv4, mut ipv6, .. } = rib;
    let mut facts = Vec::new();
    let mut numbers: HashMap<u32, u32> = HashMap::new();
    let mut number = |asn: u32| {
        *numbers.entry(asn).or_insert_with(|| {
            facts.push(Facts { asn, ..Facts::default() });
            u32::try_from(facts.len()).unwrap_or(NONE).wrapping_sub(1)
        })
    };
    ipv4.iter_mut().for_each(|prefix| prefix.value = number(prefix.value));
    ipv6.iter_mut().for_each(|prefix| prefix.value = number(prefix.value));
    Source { ipv4: Ranges::of_prefixes(ipv4), ipv6: Ranges::of_prefixes(ipv6), facts }
}

/// The sources side by side.
struct Merge<'a> {
    sources: [&'a Source; 5],
    /// A name of each AS, where the ASN database has one.
    as_names: HashMap<u32, u32>,
    entries: Vec<Entry>,
    numbers: HashMap<Entry, u32>,
}

impl<'a> Merge<'a> {
    /// Of routes, ASN database, country database, city database and own prefixes.
    fn new(sources: [&'a Source; 5]) -> Self {
        let [_, asn, ..] = sources;
        let mut as_names = HashMap::new();
        for facts in asn.facts.iter().filter(|facts| facts.as_name != 0) {
            as_names.entry(facts.asn).or_insert(facts.as_name);
        }
        Self { sources, as_names, entries: Vec::new(), numbers: HashMap::new() }
    }

    fn tables(mut self) -> (Table<u32>, Table<u128>, Vec<Entry>) {
        let (mut ipv4, mut ipv6) = (Table::new(), Table::new());
        sweep(self.sources.map(|source| &source.ipv4), |start, now| ipv4.push(start, self.number(now)));
        sweep(self.sources.map(|source| &source.ipv6), |start, now| ipv6.push(start, self.number(now)));
        ipv4.index();
        ipv6.index();
        self.entries.shrink_to_fit();
        (ipv4, ipv6, self.entries)
    }

    /// The number of the entry that says what all sources say together.
    fn number<A>(&mut self, now: &[Boundary<A>; 5]) -> u32 {
        let entry = self.entry(now);
        *self.numbers.entry(entry).or_insert_with(|| {
            self.entries.push(entry);
            // There are at most as many entries as ranges; a file of at most 4 GiB has fewer than 2^32.
            u32::try_from(self.entries.len()).unwrap_or(NONE).wrapping_sub(1)
        })
    }

    fn entry<A>(&self, now: &[Boundary<A>; 5]) -> Entry {
        let said = |source: &Source, at: &Boundary<A>| source.facts.get(at.value as usize).copied();
        let [routes, asns, countries, cities, own] = self.sources;
        let [route_at, asn_at, country_at, city_at, own_at] = now;
        let (route, asn) = (said(routes, route_at), said(asns, asn_at).filter(|facts| facts.asn != 0));
        let city = said(cities, city_at).unwrap_or_default();
        let mut entry = Entry {
            country: said(countries, country_at).and_then(|facts| facts.country).or(city.country),
            city: city.city,
            network: said(own, own_at).map_or(0, |facts| facts.network),
            ..Entry::default()
        };
        if let Some((facts, length)) = route.map(|facts| (facts, route_at.length)).or(asn.map(|facts| (facts, asn_at.length))) {
            let here = asn.filter(|here| here.asn == facts.asn && here.as_name != 0).map(|here| here.as_name);
            entry.asn = facts.asn;
            entry.prefix_length = length;
            entry.as_name = here.or_else(|| self.as_names.get(&facts.asn).copied()).unwrap_or(0);
        }
        entry
    }
}
