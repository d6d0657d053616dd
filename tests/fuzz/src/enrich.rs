//! Files that addresses are looked up in.

use std::net::IpAddr;
use std::path::PathBuf;

use sonde_enrich::{Enricher, Sources};

/// A database in the MaxMind DB format: it is a table, or a sentence.
pub fn database(data: &[u8]) {
    load(data, |path| Sources { asn_database: Some(path.clone()), city_database: Some(path), ..Sources::default() });
}

/// An MRT RIB dump, packed or not: it is a table, or a sentence.
pub fn rib(data: &[u8]) {
    load(data, |path| Sources { bgp_rib: Some(path), ..Sources::default() });
}

fn load(data: &[u8], sources: impl Fn(PathBuf) -> Sources) {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), data).expect("room for the file");
    match Enricher::load(&sources(file.path().to_owned())) {
        Err(violations) => {
            assert!(!violations.is_empty(), "refused without a reason");
            assert!(violations.iter().all(|violation| violation.to_string().len() > 20), "{violations:?}");
        }
        Ok(table) => {
            // Addresses of the input, and those at the edges.
            let ipv4 = data.chunks_exact(4).take(64).filter_map(|octets| <[u8; 4]>::try_from(octets).ok()).map(IpAddr::from);
            let ipv6 = data.chunks_exact(16).take(64).filter_map(|octets| <[u8; 16]>::try_from(octets).ok()).map(IpAddr::from);
            let edges = [IpAddr::from([0; 4]), IpAddr::from([255; 4]), IpAddr::from([0; 16]), IpAddr::from([255; 16])];
            for address in ipv4.chain(ipv6).chain(edges) {
                let place = table.lookup(address);
                assert!(place.prefix_length <= if address.is_ipv4() { 32 } else { 128 }, "{address}: {place:?}");
                assert!(place.prefix_length == 0 || place.asn != 0, "{address}: {place:?}");
            }
        }
    }
}
