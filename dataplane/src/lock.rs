//! One dataplane an instance.
//!
//! Two files are locked: one in the run directory and one in shared memory. The second is there because the shared memory and the
//! EAL's file prefix depend on the instance's name alone, and two dataplanes may have been given different run directories.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use sonde_settings::paths::Paths;

use crate::error::StartError;

/// Held for the life of the process. The kernel lets go of it when the process ends, however it ends.
#[derive(Debug)]
pub struct Lock {
    _run: File,
    _shared: File,
}

impl Lock {
    /// Makes the directories of the instance and takes it.
    ///
    /// # Errors
    /// [`StartError::Running`] when another process has it, [`StartError::File`] when a file cannot be made or written.
    pub fn take(instance: &str, paths: &Paths) -> Result<Self, StartError> {
        make_directory(paths.run())?;
        make_directory(paths.shared())?;
        Ok(Self { _run: hold(instance, &paths.lock())?, _shared: hold(instance, &paths.shared().join("lock"))? })
    }
}

fn make_directory(path: &Path) -> Result<(), StartError> {
    DirBuilder::new().recursive(true).mode(0o750).create(path).map_err(|e| StartError::file("make the directory", path, e))
}

fn hold(instance: &str, path: &Path) -> Result<File, StartError> {
    let failed = |action, cause| StartError::file(action, path, cause);
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o640)
        .open(path)
        .map_err(|e| failed("open the lock", e))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(Errno::WOULDBLOCK) => {
            let mut text = String::new();
            // Who holds it is a help, no more: the holder may be between locking and writing.
            let pid = file.read_to_string(&mut text).ok().and_then(|_| text.trim().parse().ok());
            return Err(StartError::Running { instance: instance.to_owned(), pid, path: path.to_owned() });
        }
        Err(e) => return Err(failed("lock", e.into())),
    }
    let written = file
        .set_len(0)
        .and_then(|()| file.rewind())
        .and_then(|()| writeln!(file, "{}", std::process::id()))
        .and_then(|()| file.sync_data());
    written.map_err(|e| failed("write the process id to", e))?;
    Ok(file)
}

/// Removes what a dead predecessor of the instance left in shared memory. Call with the lock held.
///
/// # Errors
/// [`StartError::File`] when the directory cannot be read or a file cannot be removed.
pub fn clean(paths: &Paths) -> Result<usize, StartError> {
    let mut removed = 0;
    let entries = std::fs::read_dir(paths.shared()).map_err(|e| StartError::file("read", paths.shared(), e))?;
    for entry in entries.flatten() {
        let name = entry.file_name();
        if name == "stats" || name == "stats.new" || name.to_string_lossy().starts_with("ring-") {
            std::fs::remove_file(entry.path()).map_err(|e| StartError::file("remove the leftover", &entry.path(), e))?;
            removed += 1;
        }
    }
    Ok(removed)
}
