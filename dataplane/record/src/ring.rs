//! The record ring: how a worker's flow records reach its readers, in this process and in others.
//!
//! One writer, many readers, in shared memory ([`sonde_memory::SharedMap`]). The writer never waits and never looks at a reader:
//! it overwrites the oldest records. Each reader has a cursor of its own and writes nothing, so that a slow one loses records and
//! is told exactly how many, and one that is killed in mid-read harms nobody.
//!
//! **How it works.** Positions are counted in words since the ring was made, as `u64`: they never wrap, their lowest bits are the
//! index. The ring is divided into *segments*, and a record never straddles the end of one: what is left there is filled with a
//! padding record (at most 0.4 % of a ring of flow records). That one rule pays three times. A record is one slice, so the writer
//! checks its bounds once. Every segment begins with a record, so a reader that was overtaken, or that meets nonsense, knows where
//! to go on. And the writer reserves a whole segment at a time, so that the price of announcing what will be overwritten is paid
//! once in 170 records.
//!
//! **Why a reader never takes torn words for a record.** It is a seqlock over positions:
//!
//! - The writer stores `RESERVED` (relaxed), a release fence, the words (relaxed), and when it publishes `COMMITTED` (release).
//! - A reader loads `COMMITTED` (relaxed, acquire fence), copies words (relaxed), an acquire fence, and loads `RESERVED`.
//!
//! Words up to `COMMITTED` are at least as new as that. If one of them is *newer*, the store that made it comes after a release
//! fence that comes after the store of its reservation; the reader's second fence pairs with it, so the reader sees the reservation
//! and throws its copy away. The tests check it three ways: with loom, with threads against an oracle, with a killed process.
//!
//! **Losses** are counted by sequence numbers: every record carries the low half of its own, the writer's line the whole count.
//!
//! **Damage.** A file that somebody else cuts, removes, exchanges or overwrites stops neither side. The writer's [`Keeper`] makes a new
//! ring in its place, which readers go on with ([`Reader::follow`]) and which says how many records the old one had got; a reader
//! believes nothing that no writer can have written (`consume`).
//!
//! Not here: waking readers (they poll; a millisecond of sleep when there is nothing costs them and the writer nothing), and who
//! removes the file.

mod consume;
#[cfg(test)]
mod damage_tests;
mod keep;
mod layout;
#[cfg(test)]
mod loom_tests;
mod produce;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{SystemTime, UNIX_EPOCH};

use sonde_memory::version::{older, writer};
use sonde_memory::{Folder, MapError, ReadMap, SharedMap};

use crate::head::{self, HEAD_WORDS};
use crate::output::Output;
use crate::view::RecordView;
use consume::{Consumer, TRIES_MAX};
pub use keep::Keeper;
use keep::Kept;
use layout::{
    CAPACITY_AT, DATA_AT, INSTANCE_AT, Layout, MAGIC, MAGIC_AT, PID_AT, PREDECESSOR_AT, PREDECESSOR_RECORDS_AT, PROGRAM, PROGRAM_AT,
    RECORD_VERSION_AT, SEGMENT, SEGMENT_AT, SEGMENTS_MIN, VERSION, VERSION_AT, VERSIONS_MAX, WORKER_AT, unpack,
};
use produce::Producer;

/// The smallest ring, in bytes: less than this and a reader would be overtaken in the time of one look.
pub const BYTES_MIN: usize = 256 * 1024;
const _: () = assert!(BYTES_MIN as u64 == SEGMENT * SEGMENTS_MIN * 8);

/// Why a ring could not be made or opened. Written for the operator.
#[derive(Debug, thiserror::Error)]
pub enum RingError {
    /// The map behind it could not be made or opened.
    #[error(transparent)]
    Map(#[from] MapError),
    /// Nobody has made this ring.
    #[error("there is no record ring {}: is the dataplane of this instance running?", path.display())]
    Missing {
        /// Its path.
        path: std::path::PathBuf,
    },
    /// Too small to be read without losing most of it.
    #[error("a record ring of {bytes} bytes is too small: give it at least {BYTES_MIN}")]
    TooSmall {
        /// What was asked for.
        bytes: usize,
    },
    /// The ring, or the records in it, were written in another layout than this program reads.
    #[error(
        "the record ring {} is of {}: its {what} version is {found}, this program (version {}) reads {read}; {}",
        path.display(), writer(program, *pid), env!("CARGO_PKG_VERSION"), older(*found, *read)
    )]
    Version {
        /// Its path.
        path: std::path::PathBuf,
        /// "layout" or "records".
        what: &'static str,
        /// Their version.
        found: u64,
        /// Version this program reads.
        read: u64,
        /// Version of the program that wrote it; empty when it does not say.
        program: String,
        /// Its process; 0 when it does not say.
        pid: u32,
    },
    /// The file is no ring, or was damaged.
    #[error("the record ring {} is damaged: {found}", path.display())]
    Foreign {
        /// Its path.
        path: std::path::PathBuf,
        /// What was found in it.
        found: String,
    },
}

/// The writing end. One per worker.
#[derive(Debug)]
pub struct Writer {
    kept: Arc<Kept>,
    producer: Producer,
    /// Records written to predecessors.
    before: u64,
}

impl Writer {
    /// Makes a ring of at most `bytes` bytes of records (the next lower power of two) at `path`, replacing what was there.
    ///
    /// # Errors
    /// [`RingError::TooSmall`] below [`BYTES_MIN`]; [`RingError::Map`] when the file cannot be made, for example because the
    /// shared memory is full.
    pub fn create(path: &Path, bytes: usize, worker: u8) -> Result<Self, RingError> {
        Self::make(bytes, worker, |words, begin| SharedMap::create_with(path, words, begin))
    }

    /// Makes a ring of this name in a folder that is open, replacing what was there.
    ///
    /// # Errors
    /// As [`Writer::create`].
    pub fn create_in(folder: &Folder, name: &str, bytes: usize, worker: u8) -> Result<Self, RingError> {
        Self::make(bytes, worker, |words, begin| SharedMap::create_in(folder, name, words, begin))
    }

    fn make(
        bytes: usize,
        worker: u8,
        create: impl FnOnce(usize, &dyn Fn(&[AtomicU64])) -> Result<SharedMap, MapError>,
    ) -> Result<Self, RingError> {
        let words = (bytes / size_of::<u64>()) as u64;
        let capacity = words.checked_ilog2().map_or(0, |log| 1 << log);
        let layout = Layout::of_file(capacity, SEGMENT).ok_or(RingError::TooSmall { bytes })?;
        let kept = Kept::create(layout, worker, |begin| create(file_words(&layout), begin))?;
        Ok(Self { kept: Arc::new(kept), producer: Producer::new(layout), before: 0 })
    }

    /// Looks after the file, from another thread.
    pub fn keeper(&self) -> Keeper {
        Keeper(Arc::clone(&self.kept))
    }

    /// Records written since the writer was made.
    pub fn records(&self) -> u64 {
        self.before + self.producer.records()
    }

    /// Tells this ring from others that were or will be made at the same path.
    pub fn instance(&self) -> u64 {
        self.kept.instance()
    }

    /// Where the ring was made.
    pub fn path(&self) -> &Path {
        self.kept.map.path()
    }
}

impl Output for Writer {
    /// Writes one record into the ring. Budget: 15 ns (bench `emit/ring`).
    #[inline]
    fn put(&mut self, record: &RecordView<'_>) {
        let (head, facts) = record.parts();
        self.put_words(head, facts);
    }

    #[inline(always)]
    fn put_words(&mut self, head: &[u64; HEAD_WORDS], facts: &[u64]) {
        self.producer.put(self.kept.map.words(), head, facts);
    }

    #[inline]
    fn publish(&mut self) {
        self.producer.publish(self.kept.map.words());
        if self.kept.is_new() {
            self.before += self.kept.begin(&mut self.producer);
        }
    }
}

impl Drop for Writer {
    /// Publishes what is left, and tells the readers that it was the last.
    fn drop(&mut self) {
        self.producer.end(self.kept.map.words());
    }
}

/// What a call of [`Reader::read`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Batch {
    /// Records handed over.
    pub records: usize,
    /// Records that were overwritten before they could be read.
    pub lost: u64,
    /// Records of an unknown version or kind, places where no record could be found, and times at which what the writer announces
    /// made no sense: how many records that cost cannot be told, unless a later one tells it. Zero unless somebody else wrote to the
    /// file.
    pub damaged: u64,
    /// More can be read at once.
    pub more: bool,
    /// The writer has left for good, and everything it wrote has been read: look for its successor with [`Reader::open`]. A writer
    /// that was killed cannot say so; [`Reader::replaced`] finds its successor.
    pub ended: bool,
}

/// A place in a ring, for a successor to go on from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// The ring it belongs to.
    pub instance: u64,
    /// Words.
    pub position: u64,
    /// Sequence of the next record, when it is known.
    pub sequence: Option<u64>,
}

/// A reading end, as many as there are readers.
#[derive(Debug)]
pub struct Reader {
    map: ReadMap,
    consumer: Consumer,
    worker: u8,
    instance: u64,
    pid: u32,
    /// The ring whose place this one took, and the records that were written to it.
    predecessor: (u64, u64),
    /// What a change of rings cost: told by the next [`Reader::read`].
    lost: u64,
    damaged: u64,
}

impl Reader {
    /// Opens a ring; the first record read will be the next one published.
    ///
    /// # Errors
    /// [`RingError::Missing`] when there is none, [`RingError::Foreign`] when it is not a ring of this version.
    pub fn open(path: &Path) -> Result<Self, RingError> {
        let map = SharedMap::open_readonly(path)
            .map_err(|error| if error.is_not_found() { RingError::Missing { path: path.to_owned() } } else { RingError::Map(error) })?;
        let word = |at| map.load(at).unwrap_or(0);
        let foreign = |found: String| RingError::Foreign { path: path.to_owned(), found };
        if word(MAGIC_AT) != MAGIC {
            return Err(foreign("it does not begin as one".to_owned()));
        }
        if map.cut() {
            return Err(foreign("its file was cut".to_owned()));
        }
        for (what, at, read) in [("layout", VERSION_AT, VERSION), ("records", RECORD_VERSION_AT, head::VERSION.into())] {
            let mut program = [0; PROGRAM];
            let found = word(at);
            // A ring of before the records' version stood in it has no word there.
            if found == read || at == RECORD_VERSION_AT && found == 0 {
                continue;
            }
            if !(1..=VERSIONS_MAX).contains(&found) || map.copy(PROGRAM_AT, &mut program).is_none() {
                return Err(foreign(format!("no {what} has version {found}")));
            }
            let pid = u32::try_from(word(PID_AT)).unwrap_or(0);
            return Err(RingError::Version { path: path.to_owned(), what, found, read, program: unpack(&program), pid });
        }
        let layout = Layout::of_file(word(CAPACITY_AT), word(SEGMENT_AT)).filter(|layout| map.len() >= file_words(layout));
        let Some(layout) = layout else {
            return Err(foreign(format!(
                "{} words in segments of {} do not fit its {} words",
                word(CAPACITY_AT),
                word(SEGMENT_AT),
                map.len()
            )));
        };
        let (Ok(worker), Ok(pid)) = (u8::try_from(word(WORKER_AT)), u32::try_from(word(PID_AT))) else {
            return Err(foreign("its worker or process id is out of range".to_owned()));
        };
        let instance = word(INSTANCE_AT);
        let mut consumer = Consumer::new(layout);
        consumer.seek_newest(&map, TRIES_MAX);
        let predecessor = (word(PREDECESSOR_AT), word(PREDECESSOR_RECORDS_AT));
        Ok(Self { map, consumer, worker, instance, pid, predecessor, lost: 0, damaged: 0 })
    }

    /// Goes to the oldest record that is still there.
    pub fn seek_oldest(&mut self) {
        self.consumer.seek_oldest(&self.map);
    }

    /// Where the next record will be read.
    pub fn cursor(&self) -> Cursor {
        Cursor { instance: self.instance, position: self.consumer.position, sequence: self.consumer.expected }
    }

    /// Goes on where another reader stopped. `false`, and nothing is changed, if the cursor is of another ring.
    ///
    /// If the place has been overwritten meanwhile, the next [`Reader::read`] says how many records were lost; so it does if the cursor is
    /// of the damaged ring whose place this one has taken.
    pub fn seek(&mut self, cursor: Cursor) -> bool {
        if cursor.instance == self.predecessor.0 && cursor.instance != 0 {
            self.succeed(cursor.sequence);
            return true;
        }
        let ours = cursor.instance == self.instance && self.consumer.has_written(&self.map, cursor.position);
        if ours {
            self.consumer.go_to(cursor.position, cursor.sequence);
        }
        ours
    }

    /// Begins with the first record behind those of the predecessor, of which `expected` would have been the next.
    fn succeed(&mut self, expected: Option<u64>) {
        self.seek_oldest();
        // More than a ring can hold is no loss that can be.
        let lost = expected.and_then(|expected| self.predecessor.1.checked_sub(expected)).filter(|lost| *lost <= u32::MAX.into());
        match lost {
            Some(lost) => self.lost = self.lost.saturating_add(lost),
            None => self.damaged = self.damaged.saturating_add(1),
        }
    }

    /// Goes on with the ring that has taken this one's place under its path, from its oldest record on; whether there is one. Call it when
    /// there is nothing to read: what this ring still holds is not read any more. One system call.
    ///
    /// Where the new ring was made because this one was damaged, what was not read of this one is counted as lost by the next
    /// [`Reader::read`].
    ///
    /// # Errors
    /// As [`Reader::open`]; this ring is kept then.
    pub fn follow(&mut self) -> Result<bool, RingError> {
        if !self.replaced() {
            return Ok(false);
        }
        let mut next = Self::open(self.path())?;
        (next.lost, next.damaged) = (self.lost, self.damaged);
        if !next.seek(self.cursor()) {
            next.seek_oldest();
        }
        *self = next;
        Ok(true)
    }

    /// Hands at most `max` records to `take`, oldest first. Never waits.
    pub fn read(&mut self, max: usize, mut take: impl FnMut(&RecordView<'_>)) -> Batch {
        let mut batch = self.consumer.read(&self.map, max, |words| match RecordView::new(words) {
            Some(record) => {
                take(&record);
                true
            }
            None => false,
        });
        batch.lost = batch.lost.saturating_add(std::mem::take(&mut self.lost));
        batch.damaged = batch.damaged.saturating_add(std::mem::take(&mut self.damaged));
        batch
    }

    /// The worker whose records these are.
    pub fn worker(&self) -> u8 {
        self.worker
    }

    /// Tells this ring from others that were or will be made at the same path.
    pub fn instance(&self) -> u64 {
        self.instance
    }

    /// Process that writes the ring.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Whether the path leads to another ring by now, or to none. One system call: ask when idle, not per record.
    pub fn replaced(&self) -> bool {
        self.map.replaced()
    }

    /// The path it was opened by.
    pub fn path(&self) -> &Path {
        self.map.path()
    }
}

fn file_words(layout: &Layout) -> usize {
    DATA_AT + usize::try_from(layout.capacity).unwrap_or(usize::MAX / 16)
}

/// Only to tell a ring from others: no record gets its time from here.
fn now_ns() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_nanos()).unwrap_or(u64::MAX)
}
