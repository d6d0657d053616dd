//! flow: [`sonde_packet::Headers`] -> entry, updated; ended and timed-out entries -> records ([`sonde_record`]).
//!
//! Read in order: `key` (what makes packets one conversation), `entry` (a flow, and what a packet does to it), `table` (where
//! entries stand), `decode` (frames become packets), `stage` (a burst through the table, in stages), `expiry` (the sweep), [`tracker`] (all
//! of it for one worker).
//!
//! Beside it: `fragments` (ports for fragments that have none), `resize` (a larger table, for recordings).
//!
//! What only some flows have stands in one pool of memory per worker (`annex`), and in facts of their records.
//!
//! How the network performs, and the pattern of packets, is followed by [`measure`], which knows an entry only as `followed::Followed`.
//!
//! Not here: L7.
#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::panic, clippy::expect_used))]

mod about;
mod annex;
mod counters;
mod counts;
mod decode;
mod entry;
mod expiry;
mod followed;
mod fragments;
mod handle;
mod icmp;
mod key;
pub mod measure;
mod packet;
mod policy;
mod resize;
mod stage;
mod table;
mod tick;
mod timeouts;
pub mod tracker;

pub use annex::{Room, Shares};
pub use counters::{COUNTERS, Counter, Counters, NAMES};
pub use expiry::PERIOD_MAX as SWEEP_PERIOD_MAX;
pub use measure::pattern;
pub use packet::BURST;
pub use policy::Policy;
pub use timeouts::Timeouts;
pub use tracker::{Flush, Sizing, Tracked, Tracker};
