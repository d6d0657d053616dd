//! controlplane: the operator's side of Sonde. Northbound gRPC, history of the settings, and the command line `sonde`.
//!
//! Read in order: [`server`] (what there is), [`identity`] (as whom it runs), `service` (one file for each proto service), `desired` (the one place where settings
//! change), `store` (their history), `link` (to the dataplane), `reconcile` (desired against in force, for ever), `stats_reader` and
//! `records` (what is read from shared memory), [`cli`] (a plain client of all that).
//!
//! Everything here is on the operator's clock: it may be stopped, killed and replaced at any moment, and the dataplane does not
//! notice. It links no DPDK.
//!
//! Not here: TLS and roles (their place: `service::author`, and the server's builder), detection, the store of flows and events.
#![forbid(unsafe_code)]

pub mod address;
mod admit;
mod background;
pub mod cli;
mod count;
mod desired;
mod detail;
mod document;
mod door;
mod fault;
mod filter;
mod flow;
pub mod identity;
mod link;
mod listen;
mod notation;
mod pattern;
mod place;
mod places;
mod reconcile;
mod records;
pub mod server;
mod service;
mod stats_reader;
mod store;
mod top;
mod top_keys;
