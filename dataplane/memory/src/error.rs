//! Why something could not be mapped.

use std::path::{Path, PathBuf};

use sonde_system::FolderError;

/// Why a map could not be made or opened. Written for the operator.
#[derive(Debug, thiserror::Error)]
pub enum MapError {
    /// A call of the system failed.
    #[error("cannot {action} {}: {cause}", path.display())]
    System {
        /// What was being done.
        action: &'static str,
        /// To which file.
        path: PathBuf,
        /// What the system said.
        cause: std::io::Error,
    },
    /// The file system has not the room.
    #[error(
        "cannot reserve {wanted} KiB for {}: its file system has {free} KiB free; ask for less, remove what an earlier run left there, \
         or enlarge it (for /dev/shm: mount -o remount,size=...)",
        path.display()
    )]
    Full {
        /// The file to be made.
        path: PathBuf,
        /// KiB that were asked for.
        wanted: u64,
        /// KiB that are free.
        free: u64,
    },
    /// The folder or the file is one that another user could exchange under us.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// Not something that can be mapped.
    #[error("{} is {found}: a regular file is needed", path.display())]
    NotAFile {
        /// Its path.
        path: PathBuf,
        /// What it is.
        found: &'static str,
    },
    /// Another process holds an exclusive lock.
    #[error("{} is locked by another process that is still writing it: wait for that process, or read a copy", path.display())]
    Locked {
        /// Its path.
        path: PathBuf,
    },
    /// The file got shorter while it was mapped.
    #[error("{} was cut from {before} to {after} bytes while it was read: read a copy that nobody changes", path.display())]
    Cut {
        /// Its path.
        path: PathBuf,
        /// Bytes when it was mapped.
        before: u64,
        /// Bytes now.
        after: u64,
    },
}

impl MapError {
    pub(crate) fn system(action: &'static str, path: &Path, cause: impl Into<std::io::Error>) -> Self {
        Self::System { action, path: path.to_owned(), cause: cause.into() }
    }

    /// Whether the file (or its folder) does not exist.
    pub fn is_not_found(&self) -> bool {
        match self {
            Self::System { cause, .. } => cause.kind() == std::io::ErrorKind::NotFound,
            Self::Folder(error) => error.is_not_found(),
            _ => false,
        }
    }
}
