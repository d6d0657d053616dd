//! A shared map that lost its file gets a new one, at the same addresses.

use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::sync::PoisonError;
use std::sync::atomic::AtomicU64;

use sonde_system::{Draft, Folder, account};

use crate::error::MapError;
use crate::shared::SharedMap;

impl SharedMap {
    /// What is wrong with the file, as the end of a sentence: "was cut to 12 bytes"; `None` when it is whole. One system call.
    ///
    /// What stands in it is the business of the format.
    pub fn damage(&self) -> Option<String> {
        let bytes = (self.words().len() * size_of::<u64>()) as u64;
        let identity = self.file.lock().unwrap_or_else(PoisonError::into_inner).identity;
        match std::fs::symlink_metadata(self.path()) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Some("was removed".to_owned()),
            // Not ours to judge: the file may be whole.
            Err(_) => self.guard.cut().then(|| "was cut".to_owned()),
            Ok(now) if (now.dev(), now.ino()) != identity => Some("was replaced: another file has its name".to_owned()),
            Ok(now) if now.len() < bytes => Some(format!("was cut to {} bytes", now.len())),
            Ok(_) => self.guard.cut().then(|| "was cut, or its file system has no room for its pages".to_owned()),
        }
    }

    /// Makes a new file of the same size and puts it where the old one is mapped: references to the words stay good, and other
    /// threads may go on to write them. [`SharedMap::place`] gives it the old one's name, when `fill` and whoever else writes have
    /// written what readers must find.
    ///
    /// `fill` is called before the file is mapped there, and again afterwards: what others wrote in between is in the old file only.
    ///
    /// # Errors
    /// As [`SharedMap::create`]; nothing is changed then.
    pub fn renew_unplaced(&self, mut fill: impl FnMut(&[AtomicU64])) -> Result<(), MapError> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let made = Self::draft_in(&file.folder, &file.name, self.words().len(), |words| fill(words));
        let (fresh, mut draft) = match made {
            // The folder was removed, too.
            Err(error) if error.is_not_found() => {
                file.folder = Folder::make(file.folder.path(), account::sharing())?;
                Self::draft_in(&file.folder, &file.name, self.words().len(), |words| fill(words))?
            }
            made => made?,
        };
        let identity = fresh.file.lock().unwrap_or_else(PoisonError::into_inner).identity;
        let bytes = std::mem::size_of_val(self.words());
        let flags = libc::MAP_SHARED | libc::MAP_FIXED | libc::MAP_POPULATE;
        let (at, descriptor) = (self.words().as_ptr(), draft.file().as_raw_fd());
        // SAFETY: the addresses are those of our own mapping of `bytes` bytes, of which every value is valid, and the file has as many.
        // The kernel exchanges the pages at once: another thread finds the old or the new word, never none.
        let mapped = unsafe { libc::mmap(at.cast_mut().cast(), bytes, libc::PROT_READ | libc::PROT_WRITE, flags, descriptor, 0) };
        if mapped == libc::MAP_FAILED {
            return Err(MapError::system("map", self.path(), std::io::Error::last_os_error()));
        }
        self.guard.whole();
        (file.identity, file.unplaced) = (identity, Some(draft));
        fill(self.words());
        Ok(())
    }

    /// Gives a file of [`SharedMap::renew_unplaced`] its name.
    ///
    /// # Errors
    /// [`MapError::Folder`].
    pub fn place(&self) -> Result<(), MapError> {
        let unplaced = self.file.lock().unwrap_or_else(PoisonError::into_inner).unplaced.take();
        Ok(unplaced.map_or(Ok(()), Draft::commit)?)
    }

    /// Both at once.
    ///
    /// # Errors
    /// As [`SharedMap::renew_unplaced`].
    pub fn renew(&self, fill: impl FnMut(&[AtomicU64])) -> Result<(), MapError> {
        self.renew_unplaced(fill)?;
        self.place()
    }
}
