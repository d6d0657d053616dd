//! enrich: an address -> where it is and whose it is.
//!
//! [`Enricher::load`] reads every file of [`Sources`] and makes one table of them: disjoint ranges of addresses, each with all that
//! is known of it. So an answer costs one search, whatever it is made of. [`Handle`] passes a table that was loaded anew to the
//! threads that use it, [`Watcher`] loads it when a file changes. Lookups belong to the flow clock: no packet ever waits for one.
//!
//! | answer | from |
//! |---|---|
//! | AS number, prefix | the longest prefix of the BGP routes that holds the address; where there is none, the ASN database |
//! | AS name | the ASN database: what it says of the address, or else of another one in the same AS |
//! | country | the country database; where it says nothing, the city database |
//! | city | the city database: its English name |
//! | network | the longest of the operator's own prefixes that holds the address |
//!
//! IPv6 addresses that carry an IPv4 address (`::ffff:a.b.c.d`, `::a.b.c.d`; RFC 4291 section 2.5.5) are looked up as that.
//!
//! Read in this order: [`mod@load`] and `ranges` are the heart, `mmdb` and `mrt` read foreign files, `watch` swaps.
//!
//! Not here: 6to4 and Teredo addresses are not looked up by the IPv4 address within them; positions, postal codes, subdivisions.
#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::panic, clippy::expect_used))]

mod country;
mod fault;
mod file;
mod handle;
mod load;
mod mmdb;
mod mrt;
mod ranges;
mod watch;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};

pub use country::Country;
pub use fault::{Fault, Violation};
pub use handle::{Generation, Handle, Status};
pub use watch::Watcher;

use ranges::Table;

/// What is looked up in what. All of it may be missing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sources {
    /// MaxMind-format database with `autonomous_system_number`: `GeoLite2-ASN`, `GeoIP2-ISP`.
    pub asn_database: Option<PathBuf>,
    /// MaxMind-format database with `country.iso_code`.
    pub country_database: Option<PathBuf>,
    /// MaxMind-format database with `city.names.en`.
    pub city_database: Option<PathBuf>,
    /// MRT RIB dump, plain or compressed (gzip, bzip2, zstd, xz, lz4).
    pub bgp_rib: Option<PathBuf>,
    /// The operator's own prefixes.
    pub networks: Vec<Network>,
    /// Where files are that are named without a path. Only what stands in it itself is read: no symbolic link is followed out of it.
    pub folder: Option<PathBuf>,
}

impl Sources {
    /// Whether there is nothing to look up.
    pub fn is_empty(&self) -> bool {
        self.files().next().is_none() && self.networks.is_empty()
    }

    /// A file of it, where it is, and whether it is one of the folder.
    fn place(&self, path: &Path) -> (PathBuf, bool) {
        match &self.folder {
            Some(folder) if path.is_relative() => (folder.join(path), true),
            _ => (path.to_owned(), false),
        }
    }

    /// Its files, with what each is for.
    fn files(&self) -> impl Iterator<Item = &PathBuf> {
        [&self.asn_database, &self.country_database, &self.city_database, &self.bgp_rib].into_iter().flatten()
    }
}

/// A prefix with the name its operator gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// Its address; bits behind the length are not looked at.
    pub address: IpAddr,
    /// Its length in bits: 0 to 32 or 128.
    pub length: u8,
    /// Its name.
    pub name: String,
}

impl Network {
    /// A prefix written as "192.0.2.0/24" or "2001:db8::/32".
    ///
    /// # Errors
    /// What such a text must be.
    pub fn new(prefix: &str, name: &str) -> Result<Self, &'static str> {
        const RULE: &str = "an address, a slash, and a length from 0 to 32 (IPv4) or 128 (IPv6), with no bit set behind the length";
        let (address, length) = prefix.split_once('/').ok_or(RULE)?;
        let address: IpAddr = address.parse().map_err(|_| RULE)?;
        let digits = !length.is_empty() && length.bytes().all(|c| c.is_ascii_digit());
        let length: u8 = length.parse().ok().filter(|_| digits).ok_or(RULE)?;
        // The part of the address behind the prefix; nothing is left when the prefix is the whole address.
        let (most, behind) = match address {
            IpAddr::V4(v4) => (32, u128::from(v4.to_bits().checked_shl(length.into()).unwrap_or(0))),
            IpAddr::V6(v6) => (128, v6.to_bits().checked_shl(length.into()).unwrap_or(0)),
        };
        if length > most || behind != 0 { Err(RULE) } else { Ok(Self { address, length, name: name.to_owned() }) }
    }
}

/// What is known of an address. Numbers are 0 and texts empty where nothing is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place<'a> {
    /// AS number (bgpSourceAsNumber, bgpDestinationAsNumber).
    pub asn: u32,
    /// Length in bits of the prefix the AS number stands for (sourceIPv4PrefixLength and its like).
    pub prefix_length: u8,
    /// Name of the AS.
    pub as_name: &'a str,
    /// Country.
    pub country: Option<Country>,
    /// City.
    pub city: &'a str,
    /// Name of the operator's prefix.
    pub network: &'a str,
}

/// A [`Place`] in the table; names are numbers in the table's list, 0 is the empty one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Entry {
    asn: u32,
    as_name: u32,
    city: u32,
    network: u32,
    country: Option<Country>,
    prefix_length: u8,
}

/// What was read of one source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// What it was given for: "ASN database".
    pub what: &'static str,
    /// The file; empty for the operator's own prefixes.
    pub path: PathBuf,
    /// Networks or routes of it that say something.
    pub networks: u64,
    /// Routes whose attributes made no sense; 0 for databases.
    pub passed_over: u64,
}

/// The table of everything that is known.
#[derive(Clone, Debug)]
pub struct Enricher {
    ipv4: Table<u32>,
    ipv6: Table<u128>,
    entries: Vec<Entry>,
    names: Vec<Box<str>>,
    loaded: Vec<Loaded>,
}

impl Enricher {
    /// Reads everything.
    ///
    /// # Errors
    /// Every fault of every source. There is no table with parts missing.
    pub fn load(sources: &Sources) -> Result<Self, Vec<Violation>> {
        load::load(sources)
    }

    /// What is known of an address.
    #[inline]
    pub fn lookup(&self, address: IpAddr) -> Place<'_> {
        match address {
            IpAddr::V4(v4) => self.ipv4(v4),
            IpAddr::V6(v6) => self.ipv6(v6),
        }
    }

    /// What is known of an IPv4 address.
    #[inline]
    pub fn ipv4(&self, address: Ipv4Addr) -> Place<'_> {
        self.place(self.ipv4.find(address.to_bits()))
    }

    /// What is known of an IPv6 address.
    #[inline]
    pub fn ipv6(&self, address: Ipv6Addr) -> Place<'_> {
        let bits = address.to_bits();
        match u32::try_from(bits & 0xffff_ffff) {
            Ok(v4) if matches!(bits >> 32, 0 | 0xffff) => self.ipv4(Ipv4Addr::from_bits(v4)),
            _ => self.place(self.ipv6.find(bits)),
        }
    }

    /// Numbers and names of autonomous systems, those that have a name, some several times: a pass through all that is known.
    pub fn systems(&self) -> impl Iterator<Item = (u32, &str)> {
        let named = self.entries.iter().filter(|entry| entry.asn != 0 && entry.as_name != 0);
        named.filter_map(|entry| Some((entry.asn, self.names.get(entry.as_name as usize)?.as_ref())))
    }

    /// What was read, source by source.
    pub fn loaded(&self) -> &[Loaded] {
        &self.loaded
    }

    /// How many ranges of IPv4 and IPv6 addresses it tells apart.
    pub fn ranges(&self) -> (usize, usize) {
        (self.ipv4.len(), self.ipv6.len())
    }

    fn place(&self, found: Option<u32>) -> Place<'_> {
        let Some(entry) = found.and_then(|at| self.entries.get(at as usize)) else { return Place::default() };
        let name = |at: u32| self.names.get(at as usize).map_or("", |name| name);
        Place {
            asn: entry.asn,
            prefix_length: entry.prefix_length,
            as_name: name(entry.as_name),
            country: entry.country,
            city: name(entry.city),
            network: name(entry.network),
        }
    }
}
