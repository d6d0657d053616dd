//! settings: what a dataplane can be told, proven good.
//!
//! A document (`sonde.v1.Settings`, written by operators as TOML) becomes [`Settings`] only when every rule in the comments of
//! `config.proto` holds; otherwise *every* violation is returned, each with its path, the rule and what was found.
//! Both processes use this crate: the control plane before it stores a document, the dataplane before it obeys one. A document that came
//! by the API must besides name nothing that the profile does not allow ([`Trust`]).
//!
//! # Not here
//! What only the machine can tell (whether a core, a port or the memory exists) is checked by the dataplane when it starts.
//! No I/O, except that [`paths`] asks the environment and the user id where an instance keeps its files.
#![forbid(unsafe_code)]

mod annex;
mod arguments;
mod boot;
mod check;
pub mod convert;
mod devices;
pub mod document;
mod enrichment;
mod live;
pub mod paths;
mod patterns;
pub mod profiles;
pub mod terminal;
mod trust;

use sonde_proto::v1;

pub use annex::Annex;
pub use boot::{Boot, Cores, Device, Eal, HugePages, Placement, PlacementError, Port, Records, Rss, Table, WORKERS_MAX};
pub use check::{EXCERPT_MAX, Violation, excerpt, quote};
pub use document::parse_toml;
pub use live::{Exporter, Live, Protocol, Timeouts, Transport};
pub use patterns::Patterns;
pub use trust::Trust;

/// Settings whose every rule holds, with every default filled in. Made by `Settings::try_from(&sonde_proto::v1::Settings)` only.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Settings {
    /// What is fixed while the dataplane runs.
    pub boot: Boot,
    /// What can be changed while it runs.
    pub live: Live,
}

impl TryFrom<&v1::Settings> for Settings {
    type Error = Vec<Violation>;

    /// Checks the whole document; what it leaves out gets its default.
    fn try_from(document: &v1::Settings) -> Result<Self, Vec<Violation>> {
        let mut check = check::Check::default();
        let boot = boot::construct(document.boot.as_ref().unwrap_or(&v1::Boot::default()), &mut check);
        let live = live::construct(document.live.as_ref().unwrap_or(&v1::Live::default()), &mut check);
        check.verdict(Self { boot, live })
    }
}

impl From<&Settings> for v1::Settings {
    /// The document that says the same with nothing left out.
    fn from(settings: &Settings) -> Self {
        Self { boot: Some((&settings.boot).into()), live: Some((&settings.live).into()) }
    }
}

/// Paths of the fields in which the two differ, in the order of the document.
pub fn differing(a: &Settings, b: &Settings) -> Vec<String> {
    let mut paths = Vec::new();
    document::differences(&document::tree(&a.into()).into(), &document::tree(&b.into()).into(), "", &mut paths);
    paths
}

/// Paths of the `boot` fields in which the two differ, in the order of the document: these need a restart.
pub fn restart_required(in_force: &Settings, desired: &Settings) -> Vec<String> {
    let table = |s: &Settings| document::tree(&v1::Settings { boot: Some((&s.boot).into()), live: None });
    let mut paths = Vec::new();
    document::differences(&table(in_force).into(), &table(desired).into(), "", &mut paths);
    paths
}

#[cfg(test)]
mod tests;
