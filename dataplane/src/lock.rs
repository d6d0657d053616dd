//! One dataplane an instance.
//!
//! Two files are locked: one in the run directory and one in shared memory. The second is there because the shared memory and the
//! EAL's file prefix depend on the instance's name alone, and two dataplanes may have been given different run directories.

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use sonde_settings::paths;
use sonde_system::Folder;

use crate::error::StartError;
use crate::places::Places;

/// Held for the life of the process. The kernel lets go of it when the process ends, however it ends.
#[derive(Debug)]
pub struct Lock {
    _run: File,
    _shared: File,
}

impl Lock {
    /// Takes the instance.
    ///
    /// # Errors
    /// [`StartError::Running`] when another process has it, [`StartError::Folder`] when a lock is not a plain file of ours,
    /// [`StartError::File`] when it cannot be written.
    pub fn take(instance: &str, places: &Places) -> Result<Self, StartError> {
        Ok(Self { _run: hold(instance, &places.run, paths::LOCK)?, _shared: hold(instance, &places.shared, paths::SHARED_LOCK)? })
    }
}

/// A process that was killed holds its lock until the kernel has taken its memory apart, which takes a while where that is much.
const LAST_BREATH: Duration = Duration::from_secs(2);

/// Takes the lock, waiting a little for a holder that is on its way out.
fn patiently(file: &File) -> Result<(), Errno> {
    let until = Instant::now() + LAST_BREATH;
    loop {
        match flock(file, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) if Instant::now() < until => std::thread::sleep(Duration::from_millis(20)),
            outcome => return outcome,
        }
    }
}

fn hold(instance: &str, folder: &Folder, name: &str) -> Result<File, StartError> {
    let path = folder.at(name);
    let failed = |action, cause| StartError::file(action, &path, cause);
    let mut file = folder.open_or_create(name)?;
    match patiently(&file) {
        Ok(()) => {}
        Err(Errno::WOULDBLOCK) => {
            let mut text = String::new();
            // Who holds it is a help, no more: the holder may be between locking and writing.
            let pid = (&file).take(32).read_to_string(&mut text).ok().and_then(|_| text.trim().parse().ok());
            return Err(StartError::Running { instance: instance.to_owned(), pid, path });
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
