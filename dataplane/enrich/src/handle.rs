//! How threads that use a table get the next one.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::{Enricher, Loaded, Violation};

/// A table with its number.
#[derive(Debug)]
pub struct Generation {
    /// Counted from 1; 0: nothing was loaded yet.
    pub number: u64,
    /// The table; `None` when there is nothing to look up.
    pub table: Option<Enricher>,
}

/// Holds the latest table. Whoever uses it keeps an [`Arc`] of it, and asks once a batch of records whether there is a newer one: that
/// is one atomic read.
pub struct Handle {
    number: AtomicU64,
    latest: Mutex<Arc<Generation>>,
    trouble: Mutex<String>,
    faults: Mutex<(u64, String)>,
}

/// How it stands, for an operator.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Number of the table in use; 0: none was loaded yet.
    pub generation: u64,
    /// What it was made of.
    pub loaded: Vec<Loaded>,
    /// Why the last load failed, in sentences; empty when it did not. The table before is still used.
    pub last_error: String,
    /// How often the thread that loads has ended by a fault of the program.
    pub faults: u64,
    /// The last of them, in a sentence.
    pub last_fault: String,
}

impl Default for Handle {
    /// Nothing to look up.
    fn default() -> Self {
        let nothing = Arc::new(Generation { number: 0, table: None });
        Self { number: AtomicU64::new(0), latest: Mutex::new(nothing), trouble: Mutex::default(), faults: Mutex::default() }
    }
}

impl Handle {
    /// Puts a table in place of the one before; `None`: there is nothing to look up any more.
    pub fn post(&self, table: Option<Enricher>) {
        let mut latest = self.latest.lock();
        let number = latest.number.saturating_add(1);
        let before = std::mem::replace(&mut *latest, Arc::new(Generation { number, table }));
        self.number.store(number, Ordering::Release);
        drop(latest);
        self.trouble.lock().clear();
        // A large table is freed here when nobody uses it, and not while the lock is held.
        drop(before);
    }

    /// Keeps the table, and notes why there is no newer one.
    pub fn refuse(&self, violations: &[Violation]) {
        *self.trouble.lock() = violations.iter().map(Violation::to_string).collect::<Vec<_>>().join(" ");
    }

    /// Keeps the table, and notes that the thread that loads has ended by a fault of the program.
    pub(crate) fn fault(&self, death: &sonde_threads::Death) {
        let seconds = death.pause.as_secs_f32();
        let sentence =
            format!("The thread that loads databases ended by a fault of the program ({}); it begins again in {seconds} s.", death.reason);
        self.trouble.lock().clone_from(&sentence);
        let mut faults = self.faults.lock();
        *faults = (faults.0.saturating_add(1), sentence);
    }

    /// The latest table.
    pub fn latest(&self) -> Arc<Generation> {
        Arc::clone(&self.latest.lock())
    }

    /// Replaces `held` if another table was posted; whether it did. Never waits.
    #[inline]
    pub fn collect(&self, held: &mut Arc<Generation>) -> bool {
        if self.number.load(Ordering::Acquire) == held.number {
            return false;
        }
        // Somebody posts one just now: the next batch will find it.
        let Some(latest) = self.latest.try_lock() else { return false };
        *held = Arc::clone(&latest);
        true
    }

    /// How it stands.
    pub fn status(&self) -> Status {
        let latest = self.latest();
        let loaded = latest.table.as_ref().map(|table| table.loaded().to_vec()).unwrap_or_default();
        let (faults, last_fault) = self.faults.lock().clone();
        Status { generation: latest.number, loaded, last_error: self.trouble.lock().clone(), faults, last_fault }
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").field("status", &self.status()).finish()
    }
}
