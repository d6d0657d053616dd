//! dataplane: the process that owns the NIC, put together from the crates below it.
//!
//! Read in order: `boot` (from a profile to running threads, and to a clean stop), `origin` (which settings), `memory` (huge pages
//! or not), `places` and `lock` (the instance's folders), `privileges` (what root's rights are kept), `workers` (the workers' threads), `exporters`, `lookups` (what they
//! look addresses up in), `control` and `southbound` (what the control plane can tell it), `gauges`
//! (what the ports count), `summary` (what is said at the end).
//!
//! Three clocks meet here: packets on the workers' cores, records on the exporters' threads, settings on the control thread. Only
//! mailboxes, rings and counters go between them.
#![forbid(unsafe_code)]

pub mod bench;
pub mod boot;
pub mod cli;
mod console;
pub mod control;
pub mod error;
pub mod exporters;
pub mod gauges;
pub mod guard;
pub mod lock;
pub mod lookups;
pub mod machine;
pub mod memory;
pub mod origin;
pub mod places;
pub mod privileges;
pub mod run;
pub mod source;
pub mod southbound;
pub mod summary;
pub mod workers;
