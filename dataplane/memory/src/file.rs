//! A recording, mapped: no copy and no call per packet.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use memmap2::{Advice, Mmap, MmapOptions};
use rustix::io::Errno;

use crate::error::MapError;
use crate::fault::Guard;
use crate::shared::regular;

/// A file that is only read, as bytes.
///
/// **A file that another process cuts while it is mapped** reads as zeros behind its new end, and [`FileMap::cut`] tells from the moment
/// one of those was read; [`FileMap::check`] compares the length before that. A shared `flock` is held as long as the map lives: it stops
/// those who ask, and a writer that holds an exclusive one is found out when opening. Bytes that another process *changes* in the
/// file may or may not be seen; a reader that trusts nothing it reads does not mind.
#[derive(Debug)]
pub struct FileMap {
    /// `None` for an empty file: an empty range cannot be mapped.
    map: Option<(Guard, Mmap)>,
    file: File,
    path: PathBuf,
}

impl FileMap {
    /// Maps the file at `path` and tells the kernel that it will be read from front to back.
    ///
    /// # Errors
    /// [`MapError::NotAFile`] for a folder, pipe or device, [`MapError::Locked`] when its writer holds it locked,
    /// [`MapError::System`] when it cannot be opened or mapped.
    pub fn open(path: &Path) -> Result<Self, MapError> {
        // Without O_NONBLOCK the opening of a FIFO would wait for a writer that never comes.
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NONBLOCK)
            .open(path)
            .map_err(|error| MapError::system("open", path, error))?;
        let length = regular(&file, path)?.len();
        // Other errors are no reason not to read a file: some network file systems have no locks.
        if rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockShared) == Err(Errno::WOULDBLOCK) {
            return Err(MapError::Locked { path: path.to_owned() });
        }
        let map = if length == 0 {
            None
        } else {
            let length = usize::try_from(length).map_err(|_| MapError::system("map", path, Errno::FBIG))?;
            // SAFETY: the mapping is private and read-only, and guarded where the file is cut. That no other process changes the
            // file cannot be proved; the type's documentation says so, and what is read through it is not trusted.
            let map = unsafe { MmapOptions::new().len(length).map(&file) }.map_err(|error| MapError::system("map", path, error))?;
            // Advice only: reading works, more slowly, where it is not taken.
            let _ = map.advise(Advice::Sequential);
            Some((Guard::new(map.as_ptr(), length, false, path)?, map))
        };
        Ok(Self { map, file, path: path.to_owned() })
    }

    /// The whole file.
    pub fn bytes(&self) -> &[u8] {
        self.map.as_ref().map_or(&[], |(_, map)| map)
    }

    /// Whether a byte was read that the file no longer has.
    #[inline]
    pub fn cut(&self) -> bool {
        self.map.as_ref().is_some_and(|(guard, _)| guard.cut())
    }

    /// Checks that the file has not become shorter since it was mapped. One system call: ask once every few megabytes.
    ///
    /// # Errors
    /// [`MapError::Cut`] if it has.
    pub fn check(&self) -> Result<(), MapError> {
        let before = self.bytes().len() as u64;
        let after = self.file.metadata().map_err(|error| MapError::system("look at", &self.path, error))?.len();
        if after < before { Err(MapError::Cut { path: self.path.clone(), before, after }) } else { Ok(()) }
    }

    /// The path it was opened by.
    pub fn path(&self) -> &Path {
        &self.path
    }
}
