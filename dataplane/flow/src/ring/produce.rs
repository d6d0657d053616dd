//! The writing half of the protocol, over any words.

use super::layout::{AFTER, BEFORE, COMMITTED, ENDED, KIND_PAD, Layout, RESERVED, Word};

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

    /// Writes one record, whose head word has no sequence yet. `N` is at most the length of a segment.
    #[inline]
    pub(super) fn put<W: Word, const N: usize>(&mut self, words: &[W], record: [u64; N]) {
        if self.end - self.position < N as u64 {
            self.next_segment(words);
        }
        let at = self.layout.index(self.position);
        // One bounds check a record. It cannot fail: a record never straddles the end of a segment, so not that of the ring.
        let Some(slots) = words.get(at..).and_then(|words| words.first_chunk::<N>()) else { return };
        for (slot, word) in slots.iter().zip(record).skip(1) {
            slot.set(word);
        }
        if let (Some(slot), Some(head)) = (slots.first(), record.first()) {
            slot.set(head | self.sequence << 32);
        }
        self.position += N as u64;
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
        store(words, control + BEFORE, self.sequence);
        if let Some(word) = words.get(control + COMMITTED) {
            word.release(self.position);
        }
        if let Some(word) = words.get(control + AFTER) {
            word.release(self.sequence);
        }
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
