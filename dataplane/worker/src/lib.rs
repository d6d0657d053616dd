//! worker: THE LOOP, and the sources that need no DPDK.
#![forbid(unsafe_code)]

pub mod capture;
pub mod source;
