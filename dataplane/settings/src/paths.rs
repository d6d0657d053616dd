//! Where an instance keeps its files. The only part of this crate that asks its surroundings.

use std::env;
use std::path::{Path, PathBuf};

use sonde_system::Account;

/// The dataplane's gRPC socket, in the run directory.
pub const SOUTHBOUND: &str = "southbound.sock";
/// The lock of a running dataplane, in the run directory.
pub const LOCK: &str = "dataplane.lock";
/// The last good settings, in the run directory.
pub const SETTINGS: &str = "settings.toml";
/// The stats segment, in shared memory.
pub const STATS: &str = "stats";
/// Begins the name of a record ring, in shared memory; the worker's number follows.
pub const RING: &str = "ring-";
/// The lock of a running dataplane, in shared memory.
pub const SHARED_LOCK: &str = "lock";

/// The places of one instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paths {
    run: PathBuf,
    shared: PathBuf,
}

impl Paths {
    /// The places of the instance below `run_dir`, or below the default run directory.
    pub fn of(instance: &str, run_dir: Option<&Path>) -> Self {
        let run = run_dir.map_or_else(default_run_dir, Path::to_path_buf);
        Self { run: run.join(instance), shared: PathBuf::from(format!("/dev/shm/sonde.{instance}")) }
    }

    /// The instance's run directory.
    pub fn run(&self) -> &Path {
        &self.run
    }

    /// The instance's shared memory directory.
    pub fn shared(&self) -> &Path {
        &self.shared
    }

    /// The dataplane's gRPC socket.
    pub fn southbound(&self) -> PathBuf {
        self.run.join(SOUTHBOUND)
    }

    /// The control plane's gRPC socket. It stands in a folder of its own, which the control plane's user can write in.
    pub fn api_socket(&self) -> PathBuf {
        self.run.join("api").join("api.sock")
    }

    /// The file a running dataplane holds a lock on; it contains its process id.
    pub fn lock(&self) -> PathBuf {
        self.run.join(LOCK)
    }

    /// The last good settings.
    pub fn settings(&self) -> PathBuf {
        self.run.join(SETTINGS)
    }

    /// The stats segment.
    pub fn stats(&self) -> PathBuf {
        self.shared.join(STATS)
    }

    /// The record ring of a worker.
    pub fn ring(&self, worker: usize) -> PathBuf {
        self.shared.join(ring(worker))
    }
}

/// The run directory of the system's probes.
pub const SYSTEM_RUN_DIR: &str = "/run/sonde";

/// Name of the record ring of a worker.
pub fn ring(worker: usize) -> String {
    format!("{RING}{worker}")
}

/// `$SONDE_RUN_DIR`, else `/run/sonde` for root and the service user, else `$XDG_RUNTIME_DIR/sonde`, else `/tmp/sonde-<uid>`.
pub fn default_run_dir() -> PathBuf {
    let uid = rustix::process::geteuid();
    choose(
        directory("SONDE_RUN_DIR"),
        is_of_the_system(),
        SYSTEM_RUN_DIR,
        directory("XDG_RUNTIME_DIR"),
        &format!("/tmp/sonde-{}", uid.as_raw()),
    )
}

/// Where the control plane keeps its state: `$SONDE_STATE_DIR`, else `/var/lib/sonde` for root and the service user, else
/// `$XDG_STATE_HOME/sonde`,
/// else `~/.local/state/sonde`.
pub fn default_state_dir() -> PathBuf {
    let home = directory("HOME").unwrap_or_else(|| PathBuf::from("/tmp")).join(".local/state/sonde");
    choose(directory("SONDE_STATE_DIR"), is_of_the_system(), "/var/lib/sonde", directory("XDG_STATE_HOME"), &home.to_string_lossy())
}

/// Whether this is root or the service user, whose files are the system's.
fn is_of_the_system() -> bool {
    let uid = rustix::process::geteuid();
    uid.is_root() || Account::service().is_some_and(|account| account.uid == uid.as_raw())
}

fn choose(told: Option<PathBuf>, root: bool, of_root: &str, of_user: Option<PathBuf>, otherwise: &str) -> PathBuf {
    match (told, of_user) {
        (Some(told), _) => told,
        (None, _) if root => PathBuf::from(of_root),
        (None, Some(dir)) => dir.join("sonde"),
        (None, None) => PathBuf::from(otherwise),
    }
}

fn directory(variable: &str) -> Option<PathBuf> {
    env::var_os(variable).filter(|v| !v.is_empty()).map(PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_told_directory_wins_then_the_user_s_kind_decides() {
        let told = || Some(PathBuf::from("/t"));
        let user = || Some(PathBuf::from("/u"));
        assert_eq!(choose(told(), true, "/r", user(), "/o"), Path::new("/t"));
        assert_eq!(choose(None, true, "/r", user(), "/o"), Path::new("/r"));
        assert_eq!(choose(None, false, "/r", user(), "/o"), Path::new("/u/sonde"));
        assert_eq!(choose(None, false, "/r", None, "/o"), Path::new("/o"));
    }

    #[test]
    fn an_instance_has_its_own_places() {
        let paths = Paths::of("lab-1", Some(Path::new("/x")));
        assert_eq!(paths.southbound(), Path::new("/x/lab-1/southbound.sock"));
        assert_eq!(paths.api_socket(), Path::new("/x/lab-1/api/api.sock"));
        assert_eq!(paths.lock(), Path::new("/x/lab-1/dataplane.lock"));
        assert_eq!(paths.settings(), Path::new("/x/lab-1/settings.toml"));
        assert_eq!(paths.stats(), Path::new("/dev/shm/sonde.lab-1/stats"));
        assert_eq!(paths.ring(3), Path::new("/dev/shm/sonde.lab-1/ring-3"));
    }
}
