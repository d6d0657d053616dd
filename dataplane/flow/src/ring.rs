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
//! Not here: waking readers (they poll; a millisecond of sleep when there is nothing costs them and the writer nothing), and who
//! removes the file.

mod consume;
mod layout;
#[cfg(test)]
mod loom_tests;
mod produce;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use sonde_memory::{Folder, MapError, ReadMap, SharedMap};

use crate::record::{HEAD_WORDS, Output, Record};
use consume::{Consumer, TRIES_MAX};
use layout::{
    CAPACITY_AT, DATA_AT, INSTANCE_AT, Layout, MAGIC, MAGIC_AT, PID_AT, SEGMENT, SEGMENT_AT, SEGMENTS_MIN, VERSION, VERSION_AT, WORKER_AT,
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
    /// The file is no ring, or not one of this version of Sonde.
    #[error("{} cannot be read as a record ring: {found}", path.display())]
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
    map: SharedMap,
    producer: Producer,
    instance: u64,
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
        // Only to tell this ring from its predecessors: no record gets its time from here.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let instance = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
        let header = [
            (MAGIC_AT, MAGIC),
            (VERSION_AT, VERSION),
            (CAPACITY_AT, layout.capacity),
            (SEGMENT_AT, layout.segment),
            (WORKER_AT, u64::from(worker)),
            (INSTANCE_AT, instance),
            (PID_AT, u64::from(std::process::id())),
        ];
        let begin = |words: &[AtomicU64]| {
            for (at, value) in header {
                if let Some(word) = words.get(at) {
                    word.store(value, Ordering::Relaxed);
                }
            }
        };
        let map = create(file_words(&layout), &begin)?;
        Ok(Self { map, producer: Producer::new(layout), instance })
    }

    /// Records written since the ring was made.
    pub fn records(&self) -> u64 {
        self.producer.records()
    }

    /// Tells this ring from others that were or will be made at the same path.
    pub fn instance(&self) -> u64 {
        self.instance
    }

    /// Where the ring was made.
    pub fn path(&self) -> &Path {
        self.map.path()
    }
}

impl Output for Writer {
    /// Writes one record into the ring. Budget: 15 ns (bench `emit/ring`).
    #[inline]
    fn put(&mut self, record: &Record) {
        record.with_words(|head, rest| self.put_words(head, rest));
    }

    #[inline(always)]
    fn put_words(&mut self, head: &[u64; HEAD_WORDS], rest: &[u64]) {
        self.producer.put(self.map.words(), head, rest);
    }

    #[inline]
    fn publish(&mut self) {
        self.producer.publish(self.map.words());
    }
}

impl Drop for Writer {
    /// Publishes what is left, and tells the readers that it was the last.
    fn drop(&mut self) {
        self.producer.end(self.map.words());
    }
}

/// What a call of [`Reader::read`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Batch {
    /// Records handed over.
    pub records: usize,
    /// Records that were overwritten before they could be read.
    pub lost: u64,
    /// Records of an unknown version or kind, and places where no record could be found. Zero unless writer and reader are of
    /// different versions of Sonde, or somebody else wrote to the file.
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
        if word(VERSION_AT) != VERSION {
            return Err(foreign(format!(
                "its layout has version {}, this program reads version {VERSION}: run the same version of Sonde on both sides",
                word(VERSION_AT)
            )));
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
        Ok(Self { map, consumer, worker, instance, pid })
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
    /// If the place has been overwritten meanwhile, the next [`Reader::read`] says how many records were lost.
    pub fn seek(&mut self, cursor: Cursor) -> bool {
        let ours = cursor.instance == self.instance && self.consumer.has_written(&self.map, cursor.position);
        if ours {
            (self.consumer.position, self.consumer.expected) = (cursor.position, cursor.sequence);
        }
        ours
    }

    /// Hands at most `max` records to `take`, oldest first. Never waits.
    pub fn read(&mut self, max: usize, mut take: impl FnMut(&Record)) -> Batch {
        self.consumer.read(&self.map, max, |words| match Record::decode(words) {
            Some(record) => {
                take(&record);
                true
            }
            None => false,
        })
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
