//! One writer's counters.

use std::sync::atomic::{AtomicU64, Ordering, fence};
use std::sync::{Arc, Mutex, PoisonError};

use crate::layout::{COUNTERS_MAX, Kind, NAME, NAME_BYTES_MAX, Shape, TEXT, TEXTS_MAX, VALUE, pack, store};
use crate::segment::Shared;
use crate::view::{BlockView, parse};
use crate::{Segment, StatsError};

/// Counters and a few texts, with one writer.
///
/// It may be given to another thread, and others may call [`Block::get`]; but two threads that [`Block::add`] to the same block
/// lose counts (nothing worse: it is all atomics). A block of a [`Segment`] disappears from it when dropped.
#[derive(Debug)]
pub struct Block {
    home: Home,
    /// Index of the first counter in the words of the home.
    first: usize,
    shape: Shape,
    /// Labels of the texts in use, in the order of their places. A lock because a text needs a single writer, and texts are rare.
    labels: Mutex<Vec<String>>,
}

/// Whose words they are.
#[derive(Debug)]
enum Home {
    Segment { shared: Arc<Shared>, entry: usize },
    Detached { kind: Kind, words: Box<[AtomicU64]> },
}

impl Block {
    /// A block that no segment shows: for a replay, a test or a benchmark.
    ///
    /// What would not fit a segment is cut here.
    pub fn detached(kind: Kind, name: &str, counters: &[&str]) -> Self {
        let counters = counters.get(..COUNTERS_MAX).unwrap_or(counters);
        let shape = Shape::new(counters.len());
        let words: Box<[AtomicU64]> = (0..shape.words).map(|_| AtomicU64::new(0)).collect();
        write_names(&words, 0, shape, name, counters);
        Self { home: Home::Detached { kind, words }, first: 0, shape, labels: Mutex::default() }
    }

    pub(crate) fn in_segment(shared: Arc<Shared>, entry: usize, first: usize, shape: Shape) -> Self {
        Self { home: Home::Segment { shared, entry }, first, shape, labels: Mutex::default() }
    }

    fn words(&self) -> &[AtomicU64] {
        match &self.home {
            Home::Segment { shared, .. } => shared.words(),
            Home::Detached { words, .. } => words,
        }
    }

    /// The counters. Whoever counts often takes the slice once a burst.
    #[inline]
    pub fn counters(&self) -> &[AtomicU64] {
        self.words().get(self.first..self.first + self.shape.counters).unwrap_or_default()
    }

    /// Sets a counter. An index without a counter is a bug and does nothing.
    #[inline]
    pub fn set(&self, index: usize, value: u64) {
        debug_assert!(index < self.shape.counters, "counter {index} of {}", self.shape.counters);
        if let Some(counter) = self.counters().get(index) {
            counter.store(value, Ordering::Relaxed);
        }
    }

    /// Adds to a counter, wrapping. An index without a counter is a bug and does nothing.
    #[inline]
    pub fn add(&self, index: usize, more: u64) {
        debug_assert!(index < self.shape.counters, "counter {index} of {}", self.shape.counters);
        if let Some(counter) = self.counters().get(index) {
            // One writer: a load and a store are enough, and cost a tenth of a fetch_add.
            counter.store(counter.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
        }
    }

    /// A counter; 0 where there is none.
    #[inline]
    pub fn get(&self, index: usize) -> u64 {
        self.counters().get(index).map_or(0, |counter| counter.load(Ordering::Relaxed))
    }

    /// Sets a text, for example `text("state", "connected")`; what is longer than [`crate::TEXT_BYTES_MAX`] is cut.
    ///
    /// A block has room for [`TEXTS_MAX`] labels; one too many is a bug and does nothing.
    pub fn text(&self, label: &str, value: &str) {
        let mut labels = self.labels.lock().unwrap_or_else(PoisonError::into_inner);
        let place = labels.iter().position(|known| known == label).unwrap_or(labels.len());
        debug_assert!(place < TEXTS_MAX, "no room for a text {label:?}");
        if place >= TEXTS_MAX {
            return;
        }
        let at = self.first + self.shape.texts + place * TEXT;
        let words = self.words();
        let Some(sequence) = words.get(at + NAME) else { return };
        let before = sequence.load(Ordering::Relaxed);
        let value = pack::<VALUE>(value);
        if place == labels.len() {
            labels.push(label.to_owned());
        } else if words.iter().skip(at + NAME + 1).zip(value).all(|(word, value)| word.load(Ordering::Relaxed) == value) {
            return;
        }
        // A seqlock: odd while the words change. A reader that has seen one of the new words sees the odd number, or a later one.
        sequence.store(before | 1, Ordering::Relaxed);
        fence(Ordering::Release);
        store(words, at, &pack::<NAME>(label));
        store(words, at + NAME + 1, &value);
        sequence.store((before | 1).wrapping_add(1), Ordering::Release);
    }

    /// What a reader of the segment would see of this block.
    pub fn view(&self) -> Option<BlockView> {
        let words = self.words();
        match &self.home {
            Home::Segment { shared, entry } => shared.view(*entry),
            Home::Detached { kind, .. } => parse(words, 0, *kind, self.first, self.shape),
        }
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        if let Home::Segment { shared, entry } = &self.home {
            shared.release(*entry, self.first, self.shape);
        }
    }
}

impl Segment {
    /// Adds a block with these counters, all zero. It is shown until dropped.
    ///
    /// # Errors
    /// [`StatsError::TooLong`] for a name of more than [`NAME_BYTES_MAX`] bytes or more than [`COUNTERS_MAX`] counters,
    /// [`StatsError::Full`] when there is no room.
    pub fn block(&self, kind: Kind, name: &str, counters: &[&str]) -> Result<Block, StatsError> {
        let too_long = |what: String, found, limit| Err(StatsError::TooLong { name: name.to_owned(), what, found, limit });
        if counters.len() > COUNTERS_MAX {
            return too_long("the list".to_owned(), counters.len(), COUNTERS_MAX);
        }
        if let Some(long) = std::iter::once(&name).chain(counters).find(|text| text.len() > NAME_BYTES_MAX) {
            return too_long(format!("the name {long:?}"), long.len(), NAME_BYTES_MAX);
        }
        let shape = Shape::new(counters.len());
        let (entry, first) = self.shared().claim(kind, name, shape, |words, first| write_names(words, first, shape, name, counters))?;
        Ok(Block::in_segment(Arc::clone(self.shared()), entry, first, shape))
    }
}

fn write_names(words: &[AtomicU64], first: usize, shape: Shape, name: &str, counters: &[&str]) {
    for (index, counter) in counters.iter().enumerate() {
        store(words, first + shape.names + index * NAME, &pack::<NAME>(counter));
    }
    store(words, first + shape.name, &pack::<NAME>(name));
}
