//! The instance's folders, opened once: nobody can exchange one between a look at it and its use.

use sonde_settings::paths::{self, Paths};
use sonde_system::{Folder, account};

use crate::error::StartError;

/// The folders of an instance. Clones share them.
#[derive(Clone, Debug)]
pub struct Places {
    /// Where they are, for people and for the control plane.
    pub paths: Paths,
    /// The run folder: socket, lock, last good settings.
    pub run: Folder,
    /// The folder of the shared memory.
    pub shared: Folder,
}

impl Places {
    /// Opens both folders and makes what is missing: mode 750, with the group of the service user where root makes them. Nothing that is
    /// in them is touched.
    ///
    /// # Errors
    /// [`StartError::Folder`] when one cannot be made, or is another user's.
    pub fn open(paths: Paths) -> Result<Self, StartError> {
        let sharing = account::sharing();
        Ok(Self { run: Folder::make(paths.run(), sharing)?, shared: Folder::make(paths.shared(), sharing)?, paths })
    }

    /// Removes what a predecessor of the instance left in shared memory, and drafts it left in both folders. Call with the lock held.
    /// The number is that of files only a predecessor leaves that did not stop cleanly: the last counters stay for readers on purpose.
    ///
    /// # Errors
    /// [`StartError::Folder`] when a folder cannot be read or a file cannot be removed.
    pub fn clean(&self) -> Result<usize, StartError> {
        let mut removed = self.shared.remove_drafts()?;
        // A draft of the settings is no loss that is worth a word.
        self.run.remove_drafts()?;
        for name in self.shared.names()? {
            if let Some(name) = name.to_str().filter(|name| name.starts_with(paths::RING)) {
                removed += usize::from(self.shared.remove(name)?);
            }
        }
        self.shared.remove(paths::STATS)?;
        Ok(removed)
    }

    /// Removes the socket and the rings. What cannot be removed is cleaned by the next start.
    pub fn leave(&self) {
        let _ = self.run.remove(paths::SOUTHBOUND);
        for name in self.shared.names().unwrap_or_default() {
            if let Some(name) = name.to_str().filter(|name| name.starts_with(paths::RING)) {
                let _ = self.shared.remove(name);
            }
        }
    }
}
