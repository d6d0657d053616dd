//! Who looks after the file of a ring while its writer is busy with records.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use sonde_memory::{MapError, SharedMap};

use super::layout::{
    CAPACITY_AT, INSTANCE_AT, Layout, MAGIC, MAGIC_AT, PID_AT, PREDECESSOR_AT, PREDECESSOR_RECORDS_AT, PROGRAM_AT, RECORD_VERSION_AT,
    SEGMENT_AT, VERSION, VERSION_AT, WORKER_AT, pack,
};
use super::produce::Producer;
use super::{RingError, now_ns};
use crate::head;

/// The file is what it should be, as far as is known.
const WELL: u8 = 0;
/// A new file is mapped in the old one's place, without a name: the writer is to begin again.
const NEW: u8 = 1;
/// The writer has begun again: the new file may have the name.
const BEGUN: u8 = 2;

/// What the writer's thread and the keeper's share.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) map: SharedMap,
    layout: Layout,
    worker: u8,
    state: AtomicU8,
    instance: AtomicU64,
    predecessor: AtomicU64,
    /// Records that were written to it.
    written: AtomicU64,
}

/// Looks after the file of a ring: one that was cut, removed, exchanged, or whose header was overwritten gets a successor.
///
/// The writer does not wait, and makes no system call: it begins again between two bursts, when it publishes. Records that were written
/// to the old file, and those written until then, are lost to readers that have not read them; the successor says how many had been
/// written, so that each reader counts its own loss.
#[derive(Clone, Debug)]
pub struct Keeper(pub(super) Arc<Kept>);

impl Keeper {
    /// Looks at the file and does what is to be done; what had happened to it, as the end of a sentence ("was cut to 12 bytes"), when
    /// that is found. Two system calls: for a control thread, once a second or so. The new file has its name at a call after that.
    ///
    /// # Errors
    /// [`RingError::Map`] when a new file cannot be made, or not named; the next call tries again.
    pub fn check(&self) -> Result<Option<String>, RingError> {
        let kept = &*self.0;
        match kept.state.load(Ordering::Acquire) {
            NEW => return Ok(None),
            BEGUN => {
                kept.map.place()?;
                kept.state.store(WELL, Ordering::Relaxed);
            }
            _ => {}
        }
        let Some(damage) = kept.map.damage().or_else(|| kept.overwritten()) else { return Ok(None) };
        let (before, instance) = (kept.instance.load(Ordering::Relaxed), now_ns());
        let header = kept.header(instance, before);
        kept.map.renew_unplaced(|words| {
            for (at, value) in &header {
                if let Some(word) = words.get(*at) {
                    word.store(*value, Ordering::Relaxed);
                }
            }
        })?;
        kept.predecessor.store(before, Ordering::Relaxed);
        kept.instance.store(instance, Ordering::Relaxed);
        kept.state.store(NEW, Ordering::Release);
        Ok(Some(damage))
    }

    /// The ring it keeps.
    pub fn path(&self) -> &std::path::Path {
        self.0.map.path()
    }
}

impl Kept {
    /// Makes the file.
    pub(super) fn create(
        layout: Layout,
        worker: u8,
        create: impl FnOnce(&dyn Fn(&[AtomicU64])) -> Result<SharedMap, MapError>,
    ) -> Result<Self, RingError> {
        let instance = now_ns();
        let made = |map| Self {
            map,
            layout,
            worker,
            state: AtomicU8::new(WELL),
            instance: AtomicU64::new(instance),
            predecessor: AtomicU64::new(0),
            written: AtomicU64::new(0),
        };
        let header = header(&layout, worker, instance, 0);
        let begin = |words: &[AtomicU64]| {
            for (at, value) in &header {
                if let Some(word) = words.get(*at) {
                    word.store(*value, Ordering::Relaxed);
                }
            }
        };
        Ok(made(create(&begin)?))
    }

    /// Tells this ring from its predecessors.
    pub(super) fn instance(&self) -> u64 {
        self.instance.load(Ordering::Relaxed)
    }

    fn header(&self, instance: u64, predecessor: u64) -> Vec<(usize, u64)> {
        header(&self.layout, self.worker, instance, predecessor)
    }

    /// What readers would not take for this ring.
    fn overwritten(&self) -> Option<String> {
        let header = self.header(self.instance(), self.predecessor.load(Ordering::Relaxed));
        let header = header.into_iter().chain([(PREDECESSOR_RECORDS_AT, self.written.load(Ordering::Relaxed))]);
        let words = self.map.words();
        let differs = |(at, value): &(usize, u64)| words.get(*at).is_none_or(|word| word.load(Ordering::Relaxed) != *value);
        { header }.any(|word| differs(&word)).then(|| "was overwritten by somebody else".to_owned())
    }

    /// Whether the writer is to begin again. One load of a line that hardly ever changes.
    #[inline]
    pub(super) fn is_new(&self) -> bool {
        self.state.load(Ordering::Relaxed) == NEW
    }

    /// Lets the writer begin again; how many records it had written.
    #[cold]
    #[inline(never)]
    pub(super) fn begin(&self, producer: &mut Producer) -> u64 {
        // The keeper stored the state last.
        std::sync::atomic::fence(Ordering::Acquire);
        let written = producer.begin_again(self.map.words());
        self.written.store(written, Ordering::Relaxed);
        if let Some(word) = self.map.words().get(PREDECESSOR_RECORDS_AT) {
            word.store(written, Ordering::Relaxed);
        }
        self.state.store(BEGUN, Ordering::Release);
        written
    }
}

/// The words that do not change as long as the ring lives.
fn header(layout: &Layout, worker: u8, instance: u64, predecessor: u64) -> Vec<(usize, u64)> {
    let numbers = [
        (MAGIC_AT, MAGIC),
        (VERSION_AT, VERSION),
        (CAPACITY_AT, layout.capacity),
        (SEGMENT_AT, layout.segment),
        (WORKER_AT, u64::from(worker)),
        (INSTANCE_AT, instance),
        (PID_AT, u64::from(std::process::id())),
        (PREDECESSOR_AT, predecessor),
        (RECORD_VERSION_AT, u64::from(head::VERSION)),
    ];
    numbers.into_iter().chain((PROGRAM_AT..).zip(pack(env!("CARGO_PKG_VERSION")))).collect()
}
