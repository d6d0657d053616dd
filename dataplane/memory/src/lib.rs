//! memory: the one crate besides `ffi` with unsafe code, so that every other crate can forbid it.
//!
//! Huge-page slabs, prefetch and vector tag search for the flow table; shared maps for the stats segment and the record rings;
//! file maps for recordings.
#![expect(unsafe_code, reason = "so that no other crate has any")]

mod error;
mod fault;
pub mod file;
mod mend;
pub mod prefetch;
pub mod shared;
pub mod slab;
pub mod socket;
pub mod tags;
pub mod version;

pub use error::MapError;
pub use file::FileMap;
pub use shared::{ReadMap, SharedMap};
pub use sonde_system::Folder;
