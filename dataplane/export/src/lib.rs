//! export: records -> IPFIX messages -> collectors.
//!
//! Read in this order: [`elements`], [`template`] and [`group`] say what is sent, [`ipfix`] encodes it into a [`batch`], [`announce`] makes
//! the templates and options, [`transport`] carries messages, [`session`] is the thread of one exporter, [`file`] writes what it would
//! send. Groups of fields that only some flows have: [`enriched`] (where and whose addresses are), [`stack`], [`tunnel`], [`tcp`], [`arp`], [`udp`],
//! [`quic`], [`pattern`].
//!
//! Not here: NetFlow v5 and v9, SCTP, TLS and DTLS, uniflow profiles, template withdrawal (templates never change).
#![forbid(unsafe_code)]

pub mod announce;
pub mod arp;
pub mod batch;
mod cursor;
pub mod elements;
pub mod enriched;
pub mod file;
pub mod group;
pub mod ipfix;
mod measured;
pub mod pattern;
pub mod quic;
pub mod session;
pub mod stack;
mod tags;
pub mod tcp;
pub mod template;
pub mod transport;
pub mod tunnel;
pub mod udp;

pub use session::{COUNTERS, Config, Protocol, TEXTS, Timing, run};
