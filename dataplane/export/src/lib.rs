//! export: records -> IPFIX messages -> collectors.
//!
//! Read in this order: [`elements`] and [`template`] say what is sent, [`ipfix`] encodes it, [`announce`] makes the templates and
//! options, [`transport`] carries messages, [`session`] is the thread of one exporter, [`file`] writes what it would send. [`enriched`] adds where and whose addresses are.
//!
//! Not here: NetFlow v5 and v9, SCTP, TLS and DTLS, uniflow profiles, template withdrawal (templates never change).
#![forbid(unsafe_code)]

pub mod announce;
pub mod elements;
pub mod enriched;
pub mod file;
pub mod ipfix;
pub mod session;
pub mod template;
pub mod transport;

pub use session::{COUNTERS, Config, Protocol, TEXTS, Timing, run};
