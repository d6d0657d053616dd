//! enrich: an address -> where it is and whose it is.
//!
//! [`Enricher::load`] reads every file of [`Sources`] and makes one table of them: disjoint ranges of addresses, each with all that
//! is known of it. So an answer costs one search, whatever it is made of. [`Handle`] passes a table that was loaded anew to the
//! threads that use it, [`Watcher`] loads it when a file changes. Lookups belong to the flow clock: no packet ever waits for one.
//!
//! | answer | from |
//! |---|---|
//! | AS number, prefix | the longest prefix of the BGP routes that holds the address; where there is none, the ASN database |
//! | AS name | the ASN database: what it says of the address, or else of another one in the same AS |
//! | country | the country database; where it says nothing, the city database |
//! | city | the city database: its English name |
//! | network | the longest of the operator's own prefixes that holds the address |
//!
//! IPv6 addresses that carry an IPv4 address (`::ffff:a.b.c.d`, `::a.b.c.d`; RFC 4291 section 2.5.5) are looked up as that.
//!
//! Read in this order: `load` and `ranges` are the heart, `mmdb` and `mrt` read foreign files, `watch` swaps.
//!
//! Not here: 6to4 and Teredo addresses are not looked up by the IPv4 address within them; positions, postal codes, subdivisions.
#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::panic, clippy::expect_used))]

mod country;
mod enricher;
mod fault;
mod file;
mod handle;
mod load;
mod mmdb;
mod mrt;
mod ranges;
mod sources;
mod watch;

pub use country::Country;
pub use enricher::{Enricher, Loaded, Place};
pub use fault::{Fault, Violation};
pub use handle::{Generation, Handle, Status};
pub use sources::{Network, Sources};
pub use watch::Watcher;
