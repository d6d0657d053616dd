//! flow: [`sonde_packet::Headers`] -> entry, updated; ended and timed-out entries -> records ([`sonde_record`]).
//!
//! Read in order: `key` (what makes packets one conversation), `entry` (a flow, and what a packet does to it), `table` (where
//! entries stand), `decode` (frames become packets), `stage` (a burst through the table, in stages), `expiry` (the sweep), [`tracker`] (all
//! of it for one worker).
//!
//! Beside it: `fragments` (ports for fragments that have none), `grow` (a larger table, for recordings).
//!
//! What only some flows have stands in one pool of memory per worker (`annex`), and in facts of their records.
//!
//! How the network performs is followed by `perf`, for the flows that have a place for it (`measure`, `datagram`), the pattern of
//! their packets by `pattern`.
//!
//! Not here: L7.
#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::panic, clippy::expect_used))]

mod about;
mod annex;
mod counters;
mod counts;
mod datagram;
mod decode;
mod entry;
mod expiry;
mod fragments;
mod grow;
mod icmp;
mod key;
mod measure;
mod packet;
pub mod pattern;
pub mod perf;
mod policy;
mod stage;
mod table;
pub mod tracker;

pub use annex::{Room, Shares};
pub use counters::{COUNTERS, Counter, Counters, NAMES};
pub use entry::Timeouts;
pub use expiry::PERIOD_MAX as SWEEP_PERIOD_MAX;
pub use packet::BURST;
pub use policy::Policy;
pub use tracker::{Flush, Sizing, Tracked, Tracker};
