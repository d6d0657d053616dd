//! Where things stand in a ring's file, and the few operations on memory that the protocol is made of.
//!
//! | words | what |
//! |---|---|
//! | 0 | magic |
//! | 1 | version of this layout |
//! | 2, 3 | capacity and segment length, in words, powers of two |
//! | 4, 5, 6 | worker, instance (when the writer was made), process id |
//! | 8, 9 | where this ring took a damaged one's place: that one's instance, and the records that were written to it |
//! | 10 | version of the records |
//! | 16 to 20 | the writer's line: [`RESERVED`], [`BEFORE`], [`COMMITTED`], [`AFTER`], [`ENDED`] |
//! | 32 to 47 | version of the program, its length in one byte |
//! | 64 on | the records, `capacity` words |
//!
//! The first word of a record is: length in words (16 bits), version (8), kind (8), sequence of the record (low 32 bits).

use std::sync::atomic::{AtomicU64, Ordering, fence};

use sonde_memory::ReadMap;

use crate::head::{HEAD_WORDS, WORDS_MAX};

/// "SONDERNG", so that a stranger's file is told from a ring.
pub(super) const MAGIC: u64 = u64::from_le_bytes(*b"SONDERNG");
/// Version of this layout. A reader refuses another one.
pub(super) const VERSION: u64 = 1;
pub(super) const MAGIC_AT: usize = 0;
pub(super) const VERSION_AT: usize = 1;
pub(super) const CAPACITY_AT: usize = 2;
pub(super) const SEGMENT_AT: usize = 3;
pub(super) const WORKER_AT: usize = 4;
pub(super) const INSTANCE_AT: usize = 5;
pub(super) const PID_AT: usize = 6;
pub(super) const PREDECESSOR_AT: usize = 8;
pub(super) const PREDECESSOR_RECORDS_AT: usize = 9;
pub(super) const RECORD_VERSION_AT: usize = 10;
pub(super) const PROGRAM_AT: usize = 32;
/// Words of the version of the program.
pub(super) const PROGRAM: usize = 16;
/// No version of layout or records will be above this: what is, is damage.
pub(super) const VERSIONS_MAX: u64 = 10_000;
/// The writer's line stands two cache lines behind the constant header: processors fetch lines in pairs.
pub(super) const CONTROL_AT: usize = 16;
/// The records begin on a cache line of their own.
pub(super) const DATA_AT: usize = 64;

/// Words of a segment in a ring that is a file: 32 KiB, of which at most one record is lost to padding.
pub(super) const SEGMENT: u64 = 4096;
/// A ring has at least this many segments: two are being written, and a lapped reader needs a lead.
pub(super) const SEGMENTS_MIN: u64 = 8;

/// The end of what the writer may be writing to. Words before `RESERVED - capacity` are no longer what they were.
pub(super) const RESERVED: usize = 0;
/// Records written, stored before [`COMMITTED`].
pub(super) const BEFORE: usize = 1;
/// The end of what a reader may read.
pub(super) const COMMITTED: usize = 2;
/// Records written, stored after [`COMMITTED`]: when it equals [`BEFORE`], the position between them belongs to both.
pub(super) const AFTER: usize = 3;
/// Not zero when the writer has left for good.
pub(super) const ENDED: usize = 4;

/// Kind of the record that fills the end of a segment. It has a head word only, and no sequence of its own.
pub(super) const KIND_PAD: u8 = 0;

/// The shape of one ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    /// Index of the writer's line.
    pub(super) control: usize,
    /// Index of the first word of records.
    pub(super) data: usize,
    /// Words of records; a power of two.
    pub(super) capacity: u64,
    /// Words of a segment; a power of two, at most a half of the capacity.
    pub(super) segment: u64,
    /// Words of the shortest record.
    pub(super) least: u64,
}

impl Layout {
    /// The shape of a ring in a file, or `None` if no such ring can be.
    pub(super) fn of_file(capacity: u64, segment: u64) -> Option<Self> {
        let fits = capacity.is_power_of_two()
            && segment.is_power_of_two()
            && segment >= 2 * WORDS_MAX as u64
            && capacity / segment >= SEGMENTS_MIN
            && usize::try_from(capacity).is_ok_and(|capacity| capacity <= usize::MAX / 16);
        fits.then_some(Self { control: CONTROL_AT, data: DATA_AT, capacity, segment, least: HEAD_WORDS as u64 })
    }

    /// Index of the word at a position.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "less than the capacity, which fits (checked when the layout was made)")]
    pub(super) fn index(&self, position: u64) -> usize {
        self.data + (position & (self.capacity - 1)) as usize
    }

    /// Whether so many records can stand in so many words.
    #[inline]
    pub(super) fn fit(&self, records: u64, words: u64) -> bool {
        records.saturating_mul(self.least) <= words
    }

    /// The first position behind the segment that `position` lies in.
    pub(super) fn segment_end(&self, position: u64) -> u64 {
        (position & !(self.segment - 1)).saturating_add(self.segment)
    }
}

/// One word of a ring as its writer sees it. A trait, so that loom's atomics can stand in for the real ones.
pub(super) trait Word {
    /// Relaxed store.
    fn set(&self, value: u64);
    /// Release store.
    fn release(&self, value: u64);
    /// Release fence.
    fn fence();
}

impl Word for AtomicU64 {
    #[inline]
    fn set(&self, value: u64) {
        self.store(value, Ordering::Relaxed);
    }
    #[inline]
    fn release(&self, value: u64) {
        self.store(value, Ordering::Release);
    }
    #[inline]
    fn fence() {
        fence(Ordering::Release);
    }
}

/// A ring as its readers see it.
pub(super) trait Memory {
    /// Relaxed load; zero behind the end.
    fn load(&self, at: usize) -> u64;
    /// Relaxed loads of many words; `false` if they are not all there.
    fn copy(&self, at: usize, out: &mut [u64]) -> bool;
    /// Acquire fence.
    fn fence(&self);
    /// Whether zeros may have been loaded where the file is no more.
    fn cut(&self) -> bool {
        false
    }
}

impl Memory for ReadMap {
    #[inline]
    fn load(&self, at: usize) -> u64 {
        ReadMap::load(self, at).unwrap_or(0)
    }
    #[inline]
    fn copy(&self, at: usize, out: &mut [u64]) -> bool {
        ReadMap::copy(self, at, out).is_some()
    }
    #[inline]
    fn fence(&self) {
        fence(Ordering::Acquire);
    }
    #[inline]
    fn cut(&self) -> bool {
        ReadMap::cut(self)
    }
}

/// A text as words: its length in one byte, then its bytes; the rest is zero. It is cut where the words end.
pub(super) fn pack(text: &str) -> [u64; PROGRAM] {
    let mut words = [0; PROGRAM];
    let length = text.len().min(PROGRAM * 8 - 1);
    for (at, byte) in std::iter::once(u8::try_from(length).unwrap_or(0)).chain(text.bytes().take(length)).enumerate() {
        if let Some(word) = words.get_mut(at / 8) {
            *word |= u64::from(byte) << (at % 8 * 8);
        }
    }
    words
}

/// The text of such words; empty where there is none.
pub(super) fn unpack(words: &[u64; PROGRAM]) -> String {
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    let text = bytes.split_first().and_then(|(length, rest)| rest.get(..usize::from(*length)));
    text.and_then(|text| String::from_utf8(text.to_vec()).ok()).unwrap_or_default()
}
