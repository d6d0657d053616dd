//! What addresses are looked up in: files, and the operator's own prefixes.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

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
    pub(crate) fn place(&self, path: &Path) -> (PathBuf, bool) {
        match &self.folder {
            Some(folder) if path.is_relative() => (folder.join(path), true),
            _ => (path.to_owned(), false),
        }
    }

    /// Its files, with what each is for.
    pub(crate) fn files(&self) -> impl Iterator<Item = &PathBuf> {
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
