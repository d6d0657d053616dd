//! Where the programs are. Cargo does not build other packages' programs for a test, so the harness does, when they are older
//! than their sources.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::SystemTime;

use crate::source::root;

/// The programs under test.
const PROGRAMS: &[&str] = &["sonde", "sonde-dataplane", "sonde-controlplane"];

/// Path of a program: in `$SONDE_BIN_DIR`, or in the directory that this test was built into.
///
/// # Panics
/// When it is not there and cannot be built.
pub fn binary(name: &str) -> PathBuf {
    static DIRECTORY: OnceLock<PathBuf> = OnceLock::new();
    DIRECTORY.get_or_init(directory).join(name)
}

fn directory() -> PathBuf {
    if let Some(directory) = std::env::var_os("SONDE_BIN_DIR") {
        return PathBuf::from(directory);
    }
    // target/PROFILE/deps/TEST-HASH
    let executable = std::env::current_exe().expect("the test's own path");
    let directory = executable.ancestors().nth(2).expect("target/PROFILE above deps").to_owned();
    if !is_current(&directory) {
        build(&directory);
    }
    directory
}

fn is_current(directory: &Path) -> bool {
    let built = |name: &&str| directory.join(name).metadata().and_then(|m| m.modified()).ok();
    let Some(oldest) = PROGRAMS.iter().map(built).min().flatten() else { return false };
    newest_source() <= oldest
}

/// When a source of the programs was last changed.
fn newest_source() -> SystemTime {
    let root = root();
    let mut newest = SystemTime::UNIX_EPOCH;
    let mut open: Vec<PathBuf> =
        ["ffi", "proto", "dataplane", "controlplane", "hw-profiles", "Cargo.lock"].map(|name| root.join(name)).into();
    while let Some(path) = open.pop() {
        let Ok(metadata) = path.metadata() else { continue };
        // Tests and benchmarks are not part of a program.
        let is_apart =
            |path: &Path| path.file_name().is_some_and(|name| ["tests", "benches", "target", "examples"].iter().any(|a| name == *a));
        if metadata.is_dir() {
            let entries = std::fs::read_dir(&path).into_iter().flatten().flatten();
            open.extend(entries.map(|entry| entry.path()).filter(|path| !is_apart(path)));
        } else {
            newest = newest.max(metadata.modified().unwrap_or(newest));
        }
    }
    newest
}

fn build(directory: &Path) {
    let mut command = Command::new(env!("CARGO"));
    command.current_dir(root()).args(["build", "--quiet", "-p", "sonde-dataplane", "-p", "sonde-controlplane", "--bins", "--target-dir"]);
    command.arg(directory.parent().expect("target above PROFILE"));
    if directory.file_name().is_some_and(|name| name == "release") {
        command.arg("--release");
    }
    eprintln!("the programs are older than their sources; building them: {command:?}");
    let status = command.status().expect("cargo runs");
    assert!(status.success(), "the programs under test cannot be built: {status}");
}
