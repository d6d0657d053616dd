//! Where things stand in a segment.
//!
//! | words | what |
//! |---|---|
//! | 0 to 7 | magic, version, length of the segment in words, process id, start, entries of the directory |
//! | 16 to 79 | four texts: instance, version of the program, memory, SIMD |
//! | 80, 81 | heartbeat, ended |
//! | 96 on | the directory, [`ENTRY`] words a block |
//! | behind it | the blocks |
//!
//! Magic, version, process id and the version of the program stand there in every version of the layout: whoever cannot read the rest
//! can say who wrote it.
//!
//! An entry of the directory: generation (odd while the block is there), kind, index of its first word, number of counters, how many of
//! these are published together.
//!
//! A block: the counters that are published together, if there are some; the other counters (in whole cache lines), the names of the
//! counters, its own name, its texts. A text: label, sequence, value. A name is its length in one byte, then its bytes; the rest is zero.
//!
//! **Counters that are published together** are there twice, behind a sequence in a line of its own: how often they were published. Its
//! lowest bit says in which of the two slots the last publication stands; the next one is written to the other. So a reader finds one
//! that is whole at every moment, even when the writer is stopped or killed in the middle of the next. It loads the sequence, copies
//! the slot, and loads the sequence again: if that is the same, the next but one publication had not begun.

use std::sync::atomic::{AtomicU64, Ordering};

use sonde_memory::ReadMap;

/// "SONDESTA", so that a stranger's file is told from a segment.
pub(crate) const MAGIC: u64 = u64::from_le_bytes(*b"SONDESTA");
/// Version of this layout. A reader refuses another one. 2: counters that are published together.
pub(crate) const VERSION: u64 = 2;

pub(crate) const MAGIC_AT: usize = 0;
pub(crate) const VERSION_AT: usize = 1;
pub(crate) const WORDS_AT: usize = 2;
pub(crate) const PID_AT: usize = 3;
pub(crate) const STARTED_AT: usize = 4;
pub(crate) const ENTRIES_AT: usize = 5;
/// The four texts of [`crate::Info`]: instance, version, memory, SIMD.
pub(crate) const INFO_AT: [usize; 4] = [16, 32, 48, 64];
/// Words of each of them.
pub(crate) const INFO_WORDS: usize = 16;
pub(crate) const HEARTBEAT_AT: usize = 80;
pub(crate) const ENDED_AT: usize = 81;
pub(crate) const DIRECTORY_AT: usize = 96;
/// Words of an entry of the directory: a cache line.
pub(crate) const ENTRY: usize = 8;
/// Blocks a segment can hold.
pub(crate) const ENTRIES: usize = 256;
/// Index of the first word that blocks may use.
pub(crate) const BLOCKS_AT: usize = DIRECTORY_AT + ENTRIES * ENTRY;
/// Blocks begin on pairs of cache lines, which is what processors fetch: two workers never share one.
pub(crate) const ALIGN: usize = 16;

/// Words of a name.
pub(crate) const NAME: usize = 8;
/// Most bytes of the name of a block, a counter or a text. A name of DPDK's extended statistics has at most 63.
pub const NAME_BYTES_MAX: usize = NAME * 8 - 1;
/// Words of the value of a text.
pub(crate) const VALUE: usize = 31;
/// Most bytes of the value of a text; what is longer is cut.
pub const TEXT_BYTES_MAX: usize = VALUE * 8 - 1;
/// Words of a text: label, sequence, value.
pub(crate) const TEXT: usize = NAME + 1 + VALUE;
/// Most texts of a block.
pub const TEXTS_MAX: usize = 8;
/// Most counters of a block.
pub const COUNTERS_MAX: usize = 1024;

/// What a block counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    /// The process as a whole.
    Process = 1,
    /// One worker.
    Worker = 2,
    /// One port.
    Port = 3,
    /// One exporter.
    Exporter = 4,
}

impl Kind {
    /// The kind with this number, if there is one.
    pub(crate) fn from_word(word: u64) -> Option<Self> {
        Some(match word {
            1 => Self::Process,
            2 => Self::Worker,
            3 => Self::Port,
            4 => Self::Exporter,
            _ => return None,
        })
    }
}

/// Where the parts of a block with so many counters stand, counted from its first word.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) counters: usize,
    /// So many of the counters, the first ones, are published together.
    pub(crate) together: usize,
    /// The first of the other counters.
    pub(crate) single: usize,
    pub(crate) names: usize,
    pub(crate) name: usize,
    pub(crate) texts: usize,
    pub(crate) words: usize,
}

impl Shape {
    /// `counters` is at most [`COUNTERS_MAX`], `together` at most that.
    pub(crate) fn new(counters: usize, together: usize) -> Self {
        let slot = together.next_multiple_of(ENTRY);
        let single = if together == 0 { 0 } else { ENTRY + 2 * slot };
        let names = single + (counters - together).next_multiple_of(ENTRY);
        let name = names + counters * NAME;
        let texts = name + NAME;
        Self { counters, together, single, names, name, texts, words: (texts + TEXTS_MAX * TEXT).next_multiple_of(ALIGN) }
    }

    /// First word of the slot of the publication with this number.
    #[inline]
    pub(crate) fn slot(&self, sequence: u64) -> usize {
        ENTRY + if sequence.is_multiple_of(2) { 0 } else { self.together.next_multiple_of(ENTRY) }
    }
}

/// Words that can be loaded: a segment that somebody else writes, or a block of this process.
pub(crate) trait Memory {
    /// Relaxed load; `None` behind the end.
    fn load(&self, at: usize) -> Option<u64>;
    /// Relaxed loads of many words; `None` if they are not all there.
    fn copy(&self, at: usize, out: &mut [u64]) -> Option<()>;
}

impl Memory for ReadMap {
    fn load(&self, at: usize) -> Option<u64> {
        ReadMap::load(self, at)
    }
    fn copy(&self, at: usize, out: &mut [u64]) -> Option<()> {
        ReadMap::copy(self, at, out)
    }
}

impl Memory for [AtomicU64] {
    fn load(&self, at: usize) -> Option<u64> {
        Some(self.get(at)?.load(Ordering::Relaxed))
    }
    fn copy(&self, at: usize, out: &mut [u64]) -> Option<()> {
        let words = self.get(at..at.checked_add(out.len())?)?;
        for (out, word) in out.iter_mut().zip(words) {
            *out = word.load(Ordering::Relaxed);
        }
        Some(())
    }
}

/// A text as words: its length in one byte, then as many whole characters as fit.
pub(crate) fn pack<const N: usize>(text: &str) -> [u64; N] {
    let room = (N * 8 - 1).min(usize::from(u8::MAX));
    let end = (0..=room.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    let mut words = [0; N];
    let length = u8::try_from(end).unwrap_or(0);
    for (at, byte) in std::iter::once(length).chain(text.bytes().take(end)).enumerate() {
        if let Some(word) = words.get_mut(at / 8) {
            *word |= u64::from(byte) << (at % 8 * 8);
        }
    }
    words
}

/// The text in these words, if its length fits and it is UTF-8.
pub(crate) fn unpack(words: &[u64]) -> Option<String> {
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    let (length, rest) = bytes.split_first()?;
    String::from_utf8(rest.get(..usize::from(*length))?.to_vec()).ok()
}
