//! How a test kills a thread: in builds with debug assertions only. A release build has none of it.

/// Ends the calling thread by a panic, if a test has set a trap for its name: with [`arm`] in this process, or, in another one, by a file of this
/// name in the folder `SONDE_TRAPS` (read at the first call; the file is removed). Does nothing in a release build.
#[inline(always)]
pub fn trap() {
    #[cfg(debug_assertions)]
    armed::spring(None);
}

/// As [`trap`], of a task, which has no thread of its own.
#[inline(always)]
pub fn trap_as(name: &str) {
    #[cfg(debug_assertions)]
    armed::spring(Some(name));
    let _ = name;
}

#[cfg(debug_assertions)]
pub use armed::arm;

#[cfg(debug_assertions)]
mod armed {
    use std::path::PathBuf;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::{Mutex, OnceLock, PoisonError};

    static ANY: AtomicBool = AtomicBool::new(false);
    static NAMES: Mutex<Vec<String>> = Mutex::new(Vec::new());
    static FOLDER: OnceLock<Option<PathBuf>> = OnceLock::new();

    /// Sets a trap for the thread of this name.
    pub fn arm(name: &str) {
        NAMES.lock().unwrap_or_else(PoisonError::into_inner).push(name.to_owned());
        ANY.store(true, Ordering::Release);
    }

    pub(super) fn spring(task: Option<&str>) {
        let folder = FOLDER.get_or_init(|| std::env::var_os("SONDE_TRAPS").map(PathBuf::from));
        if folder.is_none() && !ANY.load(Ordering::Acquire) {
            return;
        }
        let thread = std::thread::current();
        let Some(name) = task.or(thread.name()) else { return };
        let mut names = NAMES.lock().unwrap_or_else(PoisonError::into_inner);
        let at = names.iter().position(|armed| armed == name);
        at.iter().for_each(|at| _ = names.swap_remove(*at));
        drop(names);
        let found = at.is_some() || folder.as_ref().is_some_and(|folder| std::fs::remove_file(folder.join(name)).is_ok());
        assert!(!found, "a test has set a trap for the thread {name}");
    }
}
