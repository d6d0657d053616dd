//! stats: what a dataplane shows, readable when it is stuck and after it has crashed.
//!
//! A dataplane makes one [`Segment`] of shared memory and writes its counters there, in [`Block`]s that come and go (a worker, a
//! port, an exporter). Anybody else maps it read-only with a [`View`]. No system call, no lock and no co-operation is needed to
//! read it, which is why it is not an RPC: an RPC is silent exactly when one wants to know.
//!
//! The segment describes itself: names of blocks and counters stand in it, so that a reader needs to know nothing of this
//! version's counters. A reader trusts nothing in it: everything is checked before use, and what fails a check is skipped and
//! counted.
//!
//! **What belongs together is seen together.** A worker's counters are published at once, and a reader gets all of one publication:
//! what was received is what was metered and what was not, at every look. A writer that is killed in the middle of a publication leaves
//! the one before.
//!
//! **Damage.** The truth is in the dataplane's own memory, the segment is a copy for others. A file that was cut, removed, exchanged or
//! overwritten is made again from there ([`Segment::mend`]), and no count is lost.
//!
//! **Price.** A counter is a load and two stores (5 ns), because each has one writer; a `fetch_add` costs as much, once. A worker's
//! 80 counters published together are 48 ns, three times what it costs to store them in plain memory: a worker does it every
//! few microseconds (bench `counters`).
//!
//! Not here: rates, history, and how to print them.
#![forbid(unsafe_code)]

mod block;
mod layout;
mod memory;
mod segment;
mod view;

pub use block::Block;
pub use layout::{COUNTERS_MAX, Kind, NAME_BYTES_MAX, TEXT_BYTES_MAX, TEXTS_MAX};
pub use segment::Segment;
pub use view::{BlockView, Snapshot, View};

use std::path::PathBuf;

use sonde_memory::MapError;
use sonde_memory::version::{older, writer};

/// Who wrote a segment. Does not change while it lives.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Info {
    /// Name of the instance. Like all texts here it is cut after 127 bytes.
    pub instance: String,
    /// Version of the program.
    pub version: String,
    /// Its process.
    pub pid: u32,
    /// When it started, nanoseconds since 1970 UTC.
    pub started_ns: u64,
    /// Where its memory comes from, for example "hugepages 2 MiB".
    pub memory: String,
    /// Vector instructions it found, for example "avx512".
    pub simd: String,
}

/// Why a segment or a block could not be made or opened. Written for the operator.
#[derive(Debug, thiserror::Error)]
pub enum StatsError {
    /// The map behind it could not be made or opened.
    #[error(transparent)]
    Map(#[from] MapError),
    /// Nobody has made this segment.
    #[error("there are no counters at {}: is the dataplane of this instance running?", path.display())]
    Missing {
        /// Its path.
        path: PathBuf,
    },
    /// The file was written in another layout than this program reads.
    #[error(
        "the statistics {} are of {}: their layout is {found}, this program (version {}) reads {read}; {}",
        path.display(), writer(program, *pid), env!("CARGO_PKG_VERSION"), older(*found, *read)
    )]
    Version {
        /// Its path.
        path: PathBuf,
        /// Version of its layout.
        found: u64,
        /// Version this program reads.
        read: u64,
        /// Version of the program that wrote it; empty when it does not say.
        program: String,
        /// Its process; 0 when it does not say.
        pid: u32,
    },
    /// The file is no segment, or was damaged.
    #[error("the statistics {} are damaged: {found}", path.display())]
    Foreign {
        /// Its path.
        path: PathBuf,
        /// What was found in it.
        found: String,
    },
    /// No room for another block.
    #[error(
        "no room for the counters of {name}: {wanted} words are needed, the largest gap has {free}, and {blocks} of {blocks_max} blocks are taken"
    )]
    Full {
        /// Name of the block.
        name: String,
        /// Words it needs.
        wanted: usize,
        /// Words of the largest gap.
        free: usize,
        /// Blocks in use.
        blocks: usize,
        /// Blocks a segment can hold.
        blocks_max: usize,
    },
    /// A name is too long, or there are too many counters in one block.
    #[error("{what} of the counters of {name} has {found}, and at most {limit} are possible")]
    TooLong {
        /// Name of the block.
        name: String,
        /// What is too long.
        what: String,
        /// Its length.
        found: usize,
        /// The limit.
        limit: usize,
    },
}
