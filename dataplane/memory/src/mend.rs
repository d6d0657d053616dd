//! A shared map that lost its file gets a new one, at the same addresses.

use std::os::unix::fs::MetadataExt;
use std::sync::PoisonError;
use std::sync::atomic::AtomicU64;

use crate::shared::{MapError, SharedMap};

impl SharedMap {
    /// What is wrong with the file, as the end of a sentence: "was cut to 12 bytes"; `None` when it is whole. One system call.
    ///
    /// What stands in it is the business of the format.
    pub fn damage(&self) -> Option<String> {
        let bytes = (self.words().len() * size_of::<u64>()) as u64;
        let identity = *self.identity.lock().unwrap_or_else(PoisonError::into_inner);
        match std::fs::metadata(self.path()) {
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
        let draft = self.renewed_path();
        let fresh = Self::create_with(&draft, self.words().len(), |words| fill(words))?;
        let identity = *fresh.identity.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = std::mem::size_of_val(self.words());
        let (from, to) = (fresh.words().as_ptr(), self.words().as_ptr());
        // SAFETY: both are whole mappings of `bytes` bytes. The old pages are replaced at once (mremap(2), MREMAP_FIXED): another
        // thread finds the old or the new word, never none. `fresh` is forgotten below: nobody uses its addresses any more.
        let moved = unsafe {
            libc::mremap(
                from.cast_mut().cast(),
                bytes,
                bytes,
                libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED,
                to.cast_mut().cast::<libc::c_void>(),
            )
        };
        if moved == libc::MAP_FAILED {
            let error = std::io::Error::last_os_error();
            // The first error is the one to report.
            let _ = std::fs::remove_file(&draft);
            return Err(MapError::system("map", &draft, error));
        }
        fresh.forget();
        self.guard.whole();
        *self.identity.lock().unwrap_or_else(PoisonError::into_inner) = identity;
        fill(self.words());
        Ok(())
    }

    /// Gives a file of [`SharedMap::renew_unplaced`] its name.
    ///
    /// # Errors
    /// [`MapError::System`].
    pub fn place(&self) -> Result<(), MapError> {
        std::fs::rename(self.renewed_path(), self.path()).map_err(|error| MapError::system("name", self.path(), error))
    }

    /// Both at once.
    ///
    /// # Errors
    /// As [`SharedMap::renew_unplaced`].
    pub fn renew(&self, fill: impl FnMut(&[AtomicU64])) -> Result<(), MapError> {
        self.renew_unplaced(fill)?;
        self.place()
    }

    /// The name of a new file until it is complete. It begins as the old one's, so that whoever removes leftovers finds it.
    fn renewed_path(&self) -> std::path::PathBuf {
        let mut name = self.path().file_name().unwrap_or_default().to_owned();
        name.push(".new");
        self.path().with_file_name(name)
    }

    /// Lets go of a map without unmapping its addresses.
    fn forget(self) {
        let Self { guard, map, .. } = self;
        drop(guard);
        std::mem::forget(map);
    }
}
