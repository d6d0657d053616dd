//! Why a folder is not used.

use std::io;
use std::path::{Path, PathBuf};

/// Why a folder, or a file in it, is not used. Written for the operator.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// A call of the system failed.
    #[error("cannot {action} {}: {cause}", path.display())]
    System {
        /// What was being done.
        action: &'static str,
        /// To what.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// A link that somebody could point elsewhere.
    #[error(
        "{} is a symbolic link and is not followed, because another user may have made it: look at where it leads and remove it, or \
         choose another folder or instance name",
        path.display()
    )]
    Link {
        /// The link.
        path: PathBuf,
    },
    /// Another user's.
    #[error(
        "{} belongs to user {owner}, not to root or to user {us}, and is not used: look at what it is and remove it, or choose another \
         folder or instance name",
        path.display()
    )]
    Foreign {
        /// The folder or file.
        path: PathBuf,
        /// Its owner.
        owner: u32,
        /// Who we are.
        us: u32,
    },
    /// Others could exchange what is in it.
    #[error(
        "other users can write to {} (mode {mode:o}), so it is not used: look at what is in it, then `chmod go-w` it, or choose another \
         folder or instance name",
        path.display()
    )]
    Writable {
        /// The folder or file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// Something else than a folder.
    #[error("{} is {found}, and a folder is needed there: remove it, or choose another folder or instance name", path.display())]
    NotAFolder {
        /// Its path.
        path: PathBuf,
        /// What it is.
        found: &'static str,
    },
    /// Something else than a file.
    #[error("{} is {found}, and {wanted} is needed there: look at what it is and remove it", path.display())]
    Kind {
        /// Its path.
        path: PathBuf,
        /// What it is.
        found: &'static str,
        /// What should be there.
        wanted: &'static str,
    },
    /// A file with a second name, which may be one that matters.
    #[error(
        "{} has {links} names (hard links) and is not used, because it may be another file as well: find the other name with \
         `find / -xdev -inum {inode}`, and remove this one",
        path.display()
    )]
    Linked {
        /// Its path.
        path: PathBuf,
        /// How many.
        links: usize,
        /// Its inode.
        inode: u64,
    },
    /// Somebody answers at the socket.
    #[error("another program listens on {}", path.display())]
    InUse {
        /// The socket.
        path: PathBuf,
    },
}

impl FolderError {
    pub(crate) fn system(action: &'static str, path: &Path, cause: impl Into<io::Error>) -> Self {
        Self::System { action, path: path.to_owned(), cause: cause.into() }
    }

    /// What the system said, when it was the system that refused.
    pub fn cause(&self) -> Option<&io::Error> {
        match self {
            Self::System { cause, .. } => Some(cause),
            _ => None,
        }
    }

    /// Whether there is nothing of this name.
    pub fn is_not_found(&self) -> bool {
        self.cause().is_some_and(|cause| cause.kind() == io::ErrorKind::NotFound)
    }

    /// As an error of the standard library: the system's own where there is one, so that its kind is kept.
    pub fn into_io(self) -> io::Error {
        match self {
            Self::System { cause, .. } => cause,
            other => io::Error::other(other.to_string()),
        }
    }
}
