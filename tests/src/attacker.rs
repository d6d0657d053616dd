//! Another user of the machine. Only root can be one.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

/// Id of a user, and of a group, that nobody trusts.
pub const NOBODY: u32 = 65_534;

/// Runs a shell script as [`NOBODY`] in a folder.
///
/// # Panics
/// If a command of it fails.
pub fn attack(folder: &Path, script: &str) {
    let status = Command::new("sh").args(["-ec", script]).current_dir(folder).uid(NOBODY).gid(NOBODY).status().expect("a shell");
    assert!(status.success(), "{script}");
}
