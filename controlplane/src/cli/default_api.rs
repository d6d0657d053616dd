//! Where the API is when it is not said.

use crate::address::{Address, Addresses};
use crate::server::PORT;
use sonde_settings::paths::{Paths, SYSTEM_RUN_DIR, default_run_dir};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

/// Where a control plane is looked for when it is not said: the instance's socket where there is one, and the loopback.
pub(super) fn addresses() -> Addresses {
    let instance = std::env::var("SONDE_INSTANCE").ok().filter(|i| !i.is_empty()).unwrap_or_else(|| "sonde".to_owned());
    let mut folders = vec![default_run_dir()];
    // A user who may use the socket of the system's probe need not say where it is.
    if std::env::var_os("SONDE_RUN_DIR").is_none_or(|d| d.is_empty()) {
        folders.push(SYSTEM_RUN_DIR.into());
    }
    folders.dedup();
    let sockets = folders.iter().filter(|f| trusted(f)).map(|f| Paths::of(&instance, Some(f)).api_socket());
    let there = sockets.filter(|s| std::fs::symlink_metadata(s).is_ok_and(|m| m.file_type().is_socket()));
    let mut all: Vec<Address> = there.map(Address::Unix).collect();
    all.push(Address::Tcp { host: "127.0.0.1".to_owned(), port: PORT });
    Addresses(all)
}

/// Whether nobody but root and this user makes what stands in a folder. In /tmp anybody could have been first.
fn trusted(folder: &Path) -> bool {
    let own = rustix::process::geteuid().as_raw();
    std::fs::symlink_metadata(folder).is_ok_and(|m| m.is_dir() && (m.uid() == 0 || m.uid() == own) && m.mode() & 0o002 == 0)
}
