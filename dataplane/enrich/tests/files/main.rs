//! Foreign files through the front door: what is answered, passed over, refused.

mod database;
mod rib;

use std::net::IpAddr;
use std::path::PathBuf;

use sonde_enrich::{Enricher, Place, Sources, Violation};

/// A folder of files that is gone after the test.
pub(crate) struct Files(tempfile::TempDir);

impl Files {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn write(&self, name: &str, octets: &[u8]) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, octets).unwrap();
        path
    }
}

pub(crate) fn load(sources: &Sources) -> Enricher {
    Enricher::load(sources).unwrap_or_else(|violations| panic!("{violations:?}"))
}

/// The sentences of a load that must fail.
pub(crate) fn refused(sources: &Sources) -> Vec<String> {
    Enricher::load(sources).expect_err("it must be refused").iter().map(Violation::to_string).collect()
}

pub(crate) fn ask<'a>(table: &'a Enricher, address: &str) -> Place<'a> {
    table.lookup(address.parse::<IpAddr>().unwrap())
}
