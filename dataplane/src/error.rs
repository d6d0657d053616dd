//! Why the dataplane does not start. Each is a sentence with what was found and the remedy.

use std::path::{Path, PathBuf};

use sonde_settings::{PlacementError, Violation};
use sonde_system::FolderError;

/// Why the dataplane does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The settings break rules.
    #[error("{}", violations_text(origin, violations))]
    Settings {
        /// Where they came from.
        origin: String,
        /// Every fault.
        violations: Vec<Violation>,
    },
    /// The profile cannot be read.
    #[error("cannot read the profile {}: {cause}; name a file, or one of {}", path.display(), known.join(", "))]
    Profile {
        /// As it was given.
        path: PathBuf,
        /// Why.
        cause: std::io::Error,
        /// Embedded profiles.
        known: Vec<&'static str>,
    },
    /// Cores were named that are not there.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Cores(Vec<PlacementError>),
    /// Another dataplane has the instance.
    #[error(
        "a dataplane of instance \"{instance}\" runs already{}, it holds {}: stop that one, or give this one a name of its own with \
         --set boot.instance=NAME",
        process(*pid),
        path.display()
    )]
    Running {
        /// The instance.
        instance: String,
        /// Process that runs, if it says.
        pid: Option<u32>,
        /// The lock it holds.
        path: PathBuf,
    },
    /// Somebody else listens on our socket.
    #[error(
        "another program listens on {}: stop it (`ss -xlp` names it), or choose another run directory with --run-dir",
        path.display()
    )]
    SocketInUse {
        /// The socket.
        path: PathBuf,
    },
    /// A folder, or a file in it, is one that another user could exchange, or cannot be made.
    #[error("{}", folder_text(.0))]
    Folder(#[from] FolderError),
    /// A file or directory could not be made.
    #[error("cannot {action} {}: {cause}; {}", path.display(), remedy(cause))]
    File {
        /// What was being done.
        action: &'static str,
        /// To what.
        path: PathBuf,
        /// Why it failed.
        cause: std::io::Error,
    },
    /// Not enough huge pages, and they are required.
    #[error(
        "boot.eal.huge_pages = \"require\", and there are not enough huge pages: {needed_mib} MiB are needed ({what}), {free_mib} MiB are \
         free; reserve them (echo {pages} > /proc/sys/vm/nr_hugepages), make the tables smaller, or say \"auto\""
    )]
    HugePages {
        /// MiB needed.
        needed_mib: u64,
        /// What for.
        what: String,
        /// MiB in free huge pages.
        free_mib: u64,
        /// Number of 2 MiB pages to reserve in all.
        pages: u64,
    },
    /// Not enough memory.
    #[error(
        "not enough memory for {what}: {needed_mib} MiB are needed, {available_mib} MiB are available; lower boot.table.ipv4_flows and \
         boot.table.wide_flows, take fewer workers, or add memory"
    )]
    Memory {
        /// What for.
        what: String,
        /// MiB needed.
        needed_mib: u64,
        /// MiB there are.
        available_mib: u64,
    },
    /// Anything that says its own sentence.
    #[error("{0}")]
    Other(String),
}

impl StartError {
    /// Exit code: 2 when the operator's settings are at fault, else 1.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Settings { .. } | Self::Profile { .. } => 2,
            _ => 1,
        }
    }

    /// An error of a file system call.
    pub fn file(action: &'static str, path: &Path, cause: impl Into<std::io::Error>) -> Self {
        Self::File { action, path: path.to_owned(), cause: cause.into() }
    }
}

fn violations_text(origin: &str, violations: &[Violation]) -> String {
    let plural = if violations.len() == 1 { "fault" } else { "faults" };
    let lines: String = violations.iter().map(|v| format!("\n  {v}")).collect();
    format!("{origin}: {} {plural} in the settings{lines}", violations.len())
}

fn folder_text(error: &FolderError) -> String {
    match error.cause() {
        Some(cause) => format!("{error}; {}", remedy(cause)),
        None => format!("{error} (--run-dir DIR, --set boot.instance=NAME)"),
    }
}

fn process(pid: Option<u32>) -> String {
    pid.map(|pid| format!(" (process {pid})")).unwrap_or_default()
}

/// What an operator can do about an error of the file system.
pub fn remedy(cause: &std::io::Error) -> &'static str {
    match cause.kind() {
        std::io::ErrorKind::StorageFull => "its file system is full: free some space there",
        std::io::ErrorKind::PermissionDenied => {
            "run as root, or choose a directory of your own with --run-dir, and a name of your own with --set boot.instance=NAME"
        }
        std::io::ErrorKind::ReadOnlyFilesystem => "its file system is read-only: choose another directory with --run-dir",
        std::io::ErrorKind::AlreadyExists => "look at what it is and remove it",
        std::io::ErrorKind::NotFound => "a directory of its path does not exist: make it",
        _ => "see that the path and its permissions are right, or choose another directory with --run-dir",
    }
}
