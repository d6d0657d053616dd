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
mod converted;
mod devices;
pub mod document;
mod enrichment;
mod live;
pub mod paths;
mod patterns;
pub mod profiles;
mod record_filter;
mod settings;
mod table;
pub mod terminal;
mod trust;

pub use annex::Annex;
pub use boot::{Boot, Cores, Device, Eal, HugePages, Placement, PlacementError, Port, Records, Rss, WORKERS_MAX};
pub use check::{EXCERPT_MAX, Violation, excerpt, quote};
pub use document::parse_toml;
pub use live::{EXPORTER_PREFIX, Exporter, Live, Protocol, Timeouts, Transport};
pub use patterns::Patterns;
pub use record_filter::RecordFilter;
pub use settings::{Settings, differing, restart_required};
pub use table::Table;
pub use trust::Trust;

#[cfg(test)]
mod tests;
