//! The whole of the settings.

use sonde_proto::v1;

use crate::boot::{self, Boot};
use crate::check::{Check, Violation};
use crate::document;
use crate::live::{self, Live};

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
        let mut check = Check::default();
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
