//! The reading half of the protocol, over any memory. Trusts nothing it loads.
//!
//! **What the writer can have done.** It pays at least [`Layout::least`] words for a record, reserves whole segments, and commits no more
//! than it has reserved. What says otherwise is no news of the writer: the reader stays where it is, and looks again. A record has
//! to have a sequence that fits its position. So however the file is spoilt, no loss is told that is greater than what can have been
//! written, and the reader goes on with the first thing that makes sense.

use super::Batch;
use super::layout::{AFTER, BEFORE, COMMITTED, ENDED, KIND_PAD, Layout, Memory, RESERVED};
use crate::head::WORDS_MAX;

/// Words copied at a time: 16 KiB, 85 records without facts, a half of a level-1 cache.
const CHUNK: usize = 2048;

// The longest record stands in a chunk.
const _: () = assert!(CHUNK >= 2 * WORDS_MAX);

/// Jumps and damages after which a call returns, so that neither a fast writer nor a broken ring can hold it.
const FAULTS_MAX: u32 = 16;
/// Tries to find position and sequence of one moment.
pub(super) const TRIES_MAX: u32 = 1000;

/// Where a reader stands.
#[derive(Debug)]
pub(super) struct Consumer {
    layout: Layout,
    /// Position of the next word to read.
    pub(super) position: u64,
    /// Sequence the next record should have, once one is known.
    pub(super) expected: Option<u64>,
    /// Where `expected` was right: no record before it is a new one.
    known: u64,
    /// What the writer's line says makes no sense. The end it gave, where that lies before `position`; else no end is above this.
    astray: Option<u64>,
    /// Goes to the newest record when the writer's line makes sense.
    newest: bool,
    buffer: Box<[u64; CHUNK]>,
}

/// What the writer's line said.
#[derive(Clone, Copy)]
struct Seen {
    ended: bool,
    committed: u64,
    /// At least the number of records before `committed`.
    sequence: u64,
    /// At least the end of what these records and all before them took.
    reserved: u64,
}

impl Consumer {
    pub(super) fn new(layout: Layout) -> Self {
        Self { layout, position: 0, expected: Some(0), known: 0, astray: None, newest: false, buffer: Box::new([0; CHUNK]) }
    }

    /// Goes on at a position, with the sequence of the record there if it is known.
    pub(super) fn go_to(&mut self, position: u64, expected: Option<u64>) {
        (self.position, self.expected, self.known) = (position, expected, position);
    }

    /// Goes to the end of what is written. `tries` is [`TRIES_MAX`], except in the model of loom, which tries them all.
    pub(super) fn seek_newest<M: Memory>(&mut self, memory: &M, tries: u32) {
        let control = self.layout.control;
        for _ in 0..tries {
            // Stored in the order BEFORE, COMMITTED, AFTER and loaded in the opposite one: equal counts enclose one moment.
            let after = memory.load(control + AFTER);
            memory.fence();
            let committed = memory.load(control + COMMITTED);
            memory.fence();
            if memory.load(control + BEFORE) == after && self.layout.fit(after, committed) {
                self.go_to(committed, Some(after));
                return;
            }
            std::hint::spin_loop();
        }
        // The writer was stopped between two stores, and the first record will tell its number; or there is no sense in it yet.
        let seen = self.look(memory);
        self.newest = !self.makes_sense(&seen);
        self.go_to(if self.newest { 0 } else { seen.committed }, None);
    }

    /// Goes to the oldest record that is still there.
    pub(super) fn seek_oldest<M: Memory>(&mut self, memory: &M) {
        let seen = self.look(memory);
        self.newest = false;
        if !self.makes_sense(&seen) {
            self.go_to(0, None);
            return;
        }
        // The end of the reservation is the end of a segment, and a segment begins with a record.
        let oldest = seen.reserved.saturating_sub(self.layout.capacity).min(seen.committed);
        self.go_to(oldest, (oldest == 0).then_some(0));
    }

    /// Whether `position` can be one of this ring: not in the future.
    pub(super) fn has_written<M: Memory>(&self, memory: &M, position: u64) -> bool {
        let committed = memory.load(self.layout.control + COMMITTED);
        position <= committed
    }

    /// Lends at most `max` records' words to `take`, oldest first; `take` says whether it could read the record.
    pub(super) fn read<M: Memory>(&mut self, memory: &M, max: usize, mut take: impl FnMut(&[u64]) -> bool) -> Batch {
        let mut batch = Batch::default();
        let mut faults = 0;
        while batch.records < max && faults < FAULTS_MAX {
            let seen = self.look(memory);
            if memory.cut() || !self.follows(&seen, &mut batch) {
                batch.damaged += u64::from(self.astray.is_none());
                self.astray.get_or_insert(u64::MAX);
                return batch;
            }
            if std::mem::take(&mut self.newest) {
                self.seek_newest(memory, TRIES_MAX);
                continue;
            }
            if self.position == seen.committed {
                if seen.ended {
                    self.close(&seen, &mut batch);
                }
                return batch;
            }
            let wanted = (max - batch.records).saturating_mul(WORDS_MAX);
            match self.fetch(memory, &seen, wanted) {
                Some(length) => {
                    if !self.parse(length, &seen, max, &mut batch, &mut take) {
                        faults += 1;
                        batch.damaged += 1;
                        self.position = self.layout.segment_end(self.position).min(seen.committed);
                    }
                }
                None => faults += 1,
            }
        }
        batch.more = memory.load(self.layout.control + COMMITTED) != self.position;
        batch
    }

    fn look<M: Memory>(&self, memory: &M) -> Seen {
        let control = self.layout.control;
        // The flag is stored last, so it is loaded first: what is committed when it is seen is all there will be.
        let ended = memory.load(control + ENDED) == 1;
        memory.fence();
        let committed = memory.load(control + COMMITTED);
        memory.fence();
        let sequence = memory.load(control + BEFORE);
        memory.fence();
        Seen { ended, committed, sequence, reserved: memory.load(control + RESERVED) }
    }

    /// Whether a writer can have written this line.
    fn makes_sense(&self, seen: &Seen) -> bool {
        seen.reserved & (self.layout.segment - 1) == 0 && seen.committed <= seen.reserved && self.layout.fit(seen.sequence, seen.reserved)
    }

    /// Whether the line can be read on from where this reader stands. A writer that goes on behind it shows that it stands wrong: it goes
    /// there then, and what it does not get is told by the next record.
    fn follows(&mut self, seen: &Seen, batch: &mut Batch) -> bool {
        if !self.makes_sense(seen) {
            batch.damaged += u64::from(self.astray.is_none());
            self.astray = Some(u64::MAX);
            return false;
        }
        if seen.committed < self.position {
            let goes_on = self.astray.is_some_and(|before| before < seen.committed);
            if !goes_on {
                batch.damaged += u64::from(self.astray.is_none());
                self.astray = Some(seen.committed);
                return false;
            }
            self.known = self.known.min(seen.committed);
            self.position = self.known;
        }
        self.astray = None;
        true
    }

    /// Copies the next words out of the ring, as many as stand in one piece; `None` if the writer was faster and we jumped.
    fn fetch<M: Memory>(&mut self, memory: &M, seen: &Seen, wanted: usize) -> Option<usize> {
        if self.jump_if_lapped(seen.reserved, seen.committed) {
            return None;
        }
        let whole = self.layout.segment_end(self.position).min(seen.committed) - self.position;
        let length = usize::try_from(whole).unwrap_or(CHUNK).min(wanted).min(CHUNK);
        let copied = memory.copy(self.layout.index(self.position), self.buffer.get_mut(..length)?);
        // Whoever wrote one of the words just loaded had reserved it before: this fence makes the reservation visible.
        memory.fence();
        let reserved = memory.load(self.layout.control + RESERVED);
        if self.jump_if_lapped(reserved, seen.committed) || !copied || memory.cut() { None } else { Some(length) }
    }

    /// Jumps over what the writer may have overwritten, and an eighth of the ring more, so that the next look is not too late.
    fn jump_if_lapped(&mut self, reserved: u64, committed: u64) -> bool {
        let oldest = reserved.saturating_sub(self.layout.capacity);
        if oldest <= self.position {
            return false;
        }
        let target = oldest.saturating_add(self.layout.capacity / 8);
        // A segment begins with a record, and so does the position `committed`; nothing else is known to.
        let target = if target & (self.layout.segment - 1) == 0 { target } else { self.layout.segment_end(target) };
        self.position = target.min(committed).max(self.position);
        true
    }

    /// Hands over the records of the buffer. `false` if what stands there is no record.
    fn parse(&mut self, length: usize, seen: &Seen, max: usize, batch: &mut Batch, take: &mut impl FnMut(&[u64]) -> bool) -> bool {
        let mut rest = self.buffer.get(..length).unwrap_or_default();
        while batch.records < max
            && let Some(&head) = rest.first()
        {
            let [len0, len1, _version, kind, s0, s1, s2, s3] = head.to_le_bytes();
            let words = usize::from(u16::from_le_bytes([len0, len1]));
            // What fills a segment's end may be shorter than a record, and is never longer.
            if words == 0 || words > WORDS_MAX || kind != KIND_PAD && (words as u64) < self.layout.least {
                return false;
            }
            let Some((record, behind)) = rest.split_at_checked(words) else {
                // Cut by the size of the buffer: the next call begins with it. But then it cannot be cut again.
                return rest.len() < length;
            };
            rest = behind;
            self.position += words as u64;
            if kind == KIND_PAD {
                continue;
            }
            // The ring holds fewer than 2^32 records, so the 64-bit sequence is the one next below what the writer has counted.
            let below = u32::try_from(seen.sequence & u64::from(u32::MAX)).unwrap_or(0).wrapping_sub(u32::from_le_bytes([s0, s1, s2, s3]));
            let at = self.position - words as u64;
            match place(&self.layout, seen, at, below, self.expected.map(|expected| (expected, self.known))) {
                Place::Next { sequence, lost } => {
                    batch.lost = batch.lost.saturating_add(lost);
                    (self.expected, self.known) = (Some(sequence.saturating_add(1)), self.position);
                }
                Place::Old => continue,
                Place::Wrong { sequence } => {
                    batch.damaged += 1;
                    (self.expected, self.known) = (Some(sequence.saturating_add(1)), self.position);
                }
                Place::Nowhere => {
                    self.position = at;
                    return false;
                }
            }
            if take(record) {
                batch.records += 1;
            } else {
                batch.damaged += 1;
            }
        }
        true
    }

    /// The writer has left and everything is read: what was lost at the very end has no record behind it to tell.
    fn close(&mut self, seen: &Seen, batch: &mut Batch) {
        batch.ended = true;
        if let Some(expected) = self.expected {
            let lost = seen.sequence.saturating_sub(expected);
            if !self.layout.fit(lost, seen.committed.saturating_sub(self.known)) {
                batch.damaged += 1;
                return;
            }
            batch.lost = batch.lost.saturating_add(lost);
            (self.expected, self.known) = (Some(seen.sequence.max(expected)), seen.committed);
        }
    }
}

/// Where a record belongs.
enum Place {
    /// Behind the one before, with a loss between them or none.
    Next { sequence: u64, lost: u64 },
    /// It was read before.
    Old,
    /// It is a record, and what was known before is not right: what was lost cannot be told.
    Wrong { sequence: u64 },
    /// It is none: its number does not fit its place.
    Nowhere,
}

/// Places the record at a position whose sequence is `below` what the writer had counted. `known`: the sequence expected next, and the
/// position from which on it is.
fn place(layout: &Layout, seen: &Seen, at: u64, below: u32, known: Option<(u64, u64)>) -> Place {
    let Some(sequence) = seen.sequence.checked_sub(u64::from(below)) else { return Place::Nowhere };
    if !layout.fit(sequence, at) || !layout.fit(below.into(), seen.reserved.saturating_sub(at)) {
        return Place::Nowhere;
    }
    match known {
        None => Place::Next { sequence, lost: 0 },
        Some((_, from)) if at < from => Place::Old,
        Some((expected, from)) => match sequence.checked_sub(expected) {
            Some(lost) if layout.fit(lost, at - from) => Place::Next { sequence, lost },
            _ => Place::Wrong { sequence },
        },
    }
}
