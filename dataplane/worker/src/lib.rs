//! worker: THE LOOP, and the sources that need no DPDK.
//!
//! [`Worker::run`] is the packet's journey; [`source::Source`] is the only thing that differs between a NIC, a recording and a
//! benchmark, so tests and replays exercise the product. Lives in a crate of its own because both processes use it: the dataplane
//! with NICs, the command line to replay recordings.
#![forbid(unsafe_code)]

pub mod bench;
pub mod capture;
pub mod clock;
pub mod mailbox;
pub mod replay;
pub mod source;
mod worker;

pub use worker::{Pace, Worker, counter_names};
