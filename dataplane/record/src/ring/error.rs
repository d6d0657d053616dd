//! Why a ring cannot be used.

use sonde_memory::MapError;
use sonde_memory::version::{older, writer};

use super::layout::BYTES_MIN;

/// Why a ring could not be made or opened. Written for the operator.
#[derive(Debug, thiserror::Error)]
pub enum RingError {
    /// The map behind it could not be made or opened.
    #[error(transparent)]
    Map(#[from] MapError),
    /// Nobody has made this ring.
    #[error("there is no record ring {}: is the dataplane of this instance running?", path.display())]
    Missing {
        /// Its path.
        path: std::path::PathBuf,
    },
    /// Too small to be read without losing most of it.
    #[error("a record ring of {bytes} bytes is too small: give it at least {BYTES_MIN}")]
    TooSmall {
        /// What was asked for.
        bytes: usize,
    },
    /// The ring, or the records in it, were written in another layout than this program reads.
    #[error(
        "the record ring {} is of {}: its {what} version is {found}, this program (version {}) reads {read}; {}",
        path.display(), writer(program, *pid), env!("CARGO_PKG_VERSION"), older(*found, *read)
    )]
    Version {
        /// Its path.
        path: std::path::PathBuf,
        /// "layout" or "records".
        what: &'static str,
        /// Their version.
        found: u64,
        /// Version this program reads.
        read: u64,
        /// Version of the program that wrote it; empty when it does not say.
        program: String,
        /// Its process; 0 when it does not say.
        pid: u32,
    },
    /// The file is no ring, or was damaged.
    #[error("the record ring {} is damaged: {found}", path.display())]
    Foreign {
        /// Its path.
        path: std::path::PathBuf,
        /// What was found in it.
        found: String,
    },
}
