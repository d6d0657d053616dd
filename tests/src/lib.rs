//! What the tests of Sonde stand on: traffic built from scratch, an IPFIX collector, a harness for the real processes,
//! writers of the databases and route dumps that addresses are looked up in, the way to the reference corpus, what tshark reads,
//! the files of the project itself.
//!
//! Nothing here uses the crates it is meant to test: the traffic builder knows no decoder of ours, the collector no encoder.
//!
//! *Not here*: the tests of one crate (they stand in that crate), reference captures (they are not part of the project).

#![forbid(unsafe_code)]

pub mod attacker;
pub mod collector;
pub mod corpus;
pub mod expressions;
pub mod harness;
pub mod imports;
pub mod mmdb;
pub mod mrt;
pub mod packed;
pub mod skip;
pub mod source;
pub mod traffic;
pub mod tshark;
