//! The writing half of the protocol, over any words.

use super::layout::{AFTER, BEFORE, COMMITTED, ENDED, KIND_PAD, Layout, RESERVED, Word};
use crate::head::WORDS_MAX;

/// Where a writer stands. Kept to itself: it never reads the ring.
#[derive(Debug)]
pub(super) struct Producer {
    layout: Layout,
    /// Where the next record goes.
    position: u64,
    /// End of the segment that is reserved; `position` never passes it.
    end: u64,
    /// What readers have been shown.
    published: u64,
    /// Records written.
    sequence: u64,
}

impl Producer {
    pub(super) fn new(layout: Layout) -> Self {
        Self { layout, position: 0, end: 0, published: 0, sequence: 0 }
    }

    /// Records written since the ring was made.
    pub(super) fn records(&self) -> u64 {
        self.sequence
    }

    /// Writes one record, a head and what follows it; the first word has neither length nor sequence yet. Together they are at most
    /// [`WORDS_MAX`] words. One that is longer, or finds no room, has its number in the sequence all the same: its readers count it as lost.
    ///
    /// By reference and inline: a copy of the words is read by wider loads than they were stored by, and such a load waits until every
    /// store before it has reached the cache, those to an entry that is still far away too (bench `emit/evicted`).
    #[inline(always)]
    pub(super) fn put<W: Word, const N: usize>(&mut self, words: &[W], head: &[u64; N], rest: &[u64]) {
        if rest.len() > WORDS_MAX - N {
            return self.miss(words);
        }
        let length = (N + rest.len()) as u64;
        if self.end - self.position < length {
            self.next_segment(words);
        }
        let at = self.layout.index(self.position);
        // One bounds check for each half. They cannot fail: a record never straddles the end of a segment, so not that of the ring.
        let Some((slots, behind)) = words.get(at..).and_then(|words| words.split_first_chunk::<N>()) else {
            return self.miss(words);
        };
        for (slot, word) in slots.iter().zip(head).skip(1) {
            slot.set(*word);
        }
        for (slot, word) in behind.iter().zip(rest) {
            slot.set(*word);
        }
        if let (Some(slot), Some(first)) = (slots.first(), head.first()) {
            slot.set(first & !0xffff | length | self.sequence << 32);
        }
        self.position += length;
        self.sequence += 1;
    }

    /// A record that is not written: what fills its place is as long as the shortest record, so that no more records can be missing than
    /// there was room for.
    #[cold]
    fn miss<W: Word>(&mut self, words: &[W]) {
        if self.end - self.position < self.layout.least {
            self.next_segment(words);
        }
        if let Some(slot) = words.get(self.layout.index(self.position)) {
            slot.set(self.layout.least | u64::from(KIND_PAD) << 24 | self.sequence << 32);
            self.position += self.layout.least;
        }
        self.sequence += 1;
    }

    /// Pads what is left of the segment, shows readers what stands in it, and reserves the next one.
    #[cold]
    #[inline(never)]
    fn next_segment<W: Word>(&mut self, words: &[W]) {
        let left = self.end - self.position;
        if left > 0
            && let Some(slot) = words.get(self.layout.index(self.position))
        {
            slot.set(left | u64::from(KIND_PAD) << 24 | self.sequence << 32);
            self.position = self.end;
        }
        // Never more than one segment unseen: a writer that forgets to publish must not overrun what it has not shown.
        self.publish(words);
        self.end += self.layout.segment;
        store(words, self.layout.control + RESERVED, self.end);
        // A reader that finds one of the stores below has to find the one above: its acquire fence pairs with this one.
        W::fence();
    }

    /// Shows readers everything written so far.
    #[inline]
    pub(super) fn publish<W: Word>(&mut self, words: &[W]) {
        if self.published == self.position {
            return; // the line stays shared with the readers that poll it
        }
        self.published = self.position;
        let control = self.layout.control;
        // It has stood there since the segment was begun, unless somebody else wrote there.
        store(words, control + RESERVED, self.end);
        store(words, control + BEFORE, self.sequence);
        if let Some(word) = words.get(control + COMMITTED) {
            word.release(self.position);
        }
        if let Some(word) = words.get(control + AFTER) {
            word.release(self.sequence);
        }
    }

    /// Begins with the first word of a ring that nobody reads yet. Tells how many records it had written.
    pub(super) fn begin_again<W: Word>(&mut self, words: &[W]) -> u64 {
        for at in [RESERVED, BEFORE, COMMITTED, AFTER] {
            store(words, self.layout.control + at, 0);
        }
        let written = self.sequence;
        *self = Self::new(self.layout);
        written
    }

    /// Publishes, and says that nothing more will come.
    pub(super) fn end<W: Word>(&mut self, words: &[W]) {
        self.publish(words);
        if let Some(word) = words.get(self.layout.control + ENDED) {
            word.release(1);
        }
    }
}

#[inline]
fn store<W: Word>(words: &[W], at: usize, value: u64) {
    if let Some(word) = words.get(at) {
        word.set(value);
    }
}
