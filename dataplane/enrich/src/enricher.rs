//! The table of everything that is known of addresses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;

use crate::country::Country;
use crate::ranges::Table;

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
pub(crate) struct Entry {
    pub(crate) asn: u32,
    pub(crate) as_name: u32,
    pub(crate) city: u32,
    pub(crate) network: u32,
    pub(crate) country: Option<Country>,
    pub(crate) prefix_length: u8,
}

/// The table of everything that is known.
#[derive(Clone, Debug)]
pub struct Enricher {
    pub(crate) ipv4: Table<u32>,
    pub(crate) ipv6: Table<u128>,
    pub(crate) entries: Vec<Entry>,
    pub(crate) names: Vec<Box<str>>,
    pub(crate) loaded: Vec<Loaded>,
}

impl Enricher {
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
