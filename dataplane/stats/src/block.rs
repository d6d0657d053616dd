//! One writer's counters.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use crate::layout::{COUNTERS_MAX, Kind, NAME, NAME_BYTES_MAX, Shape, TEXT, TEXTS_MAX, VALUE, pack};
use crate::memory::Words;
use crate::segment::Shared;
use crate::view::{BlockView, parse};
use crate::{Segment, StatsError};

/// Counters and a few texts, with one writer.
///
/// It may be given to another thread, and others may call [`Block::get`]; but two threads that [`Block::add`] to the same counter, or
/// [`Block::publish`], lose counts (nothing worse: it is all atomics). Counters that are published together and the others may have
/// different writers. A block of a [`Segment`] disappears from it when dropped, unless the segment has ended ([`Segment::end`]).
#[derive(Debug)]
pub struct Block {
    home: Home,
    /// Index of the first word of the block in the words of the home.
    first: usize,
    shape: Shape,
    /// Labels of the texts in use, in the order of their places. A lock because a text needs a single writer, and texts are rare.
    labels: Mutex<Vec<String>>,
}

/// Whose words they are.
#[derive(Debug)]
enum Home {
    Segment { shared: Arc<Shared>, entry: usize },
    Detached { kind: Kind, words: Box<Words> },
}

impl Block {
    /// A block that no segment shows: for a replay, a test or a benchmark.
    ///
    /// What would not fit a segment is cut here.
    pub fn detached(kind: Kind, name: &str, counters: &[&str]) -> Self {
        let counters = counters.get(..COUNTERS_MAX).unwrap_or(counters);
        let shape = Shape::new(counters.len(), 0);
        let words = Words::detached(shape.words);
        write_names(&words, 0, shape, name, counters);
        Self { home: Home::Detached { kind, words: Box::new(words) }, first: 0, shape, labels: Mutex::default() }
    }

    pub(crate) fn in_segment(shared: Arc<Shared>, entry: usize, first: usize, shape: Shape) -> Self {
        Self { home: Home::Segment { shared, entry }, first, shape, labels: Mutex::default() }
    }

    #[inline]
    fn words(&self) -> &Words {
        match &self.home {
            Home::Segment { shared, .. } => shared.words(),
            Home::Detached { words, .. } => words,
        }
    }

    /// Shows all these values at once, in the order of the counters: of those that are published together, a reader sees all of this
    /// call or none. Counters without a value stay as they are; a value without a counter is a bug and does nothing.
    ///
    /// Price: two stores a counter (bench `counters`).
    #[inline]
    pub fn publish<'a>(&self, values: impl Iterator<Item = &'a u64>) {
        let words = self.words();
        let rest = if self.shape.together == 0 { values } else { words.publish(self.first, &self.shape, values) };
        let single = self.first + self.shape.single;
        for (at, value) in (0..self.shape.counters - self.shape.together).zip(rest) {
            words.set(single + at, *value);
        }
    }

    /// Sets a counter. An index without a counter is a bug and does nothing.
    ///
    /// One of those that are published together is published with the others as they are.
    #[inline]
    pub fn set(&self, index: usize, value: u64) {
        debug_assert!(index < self.shape.counters, "counter {index} of {}", self.shape.counters);
        if index >= self.shape.counters {
            return;
        }
        match index.checked_sub(self.shape.together) {
            Some(single) => self.words().set(self.first + self.shape.single + single, value),
            None => {
                let values: Vec<u64> = (0..self.shape.together).map(|at| if at == index { value } else { self.get(at) }).collect();
                self.publish(values.iter());
            }
        }
    }

    /// Adds to a counter, wrapping. An index without a counter is a bug and does nothing.
    #[inline]
    pub fn add(&self, index: usize, more: u64) {
        // One writer: a load and a store are enough, and cost a tenth of a fetch_add.
        self.set(index, self.get(index).wrapping_add(more));
    }

    /// A counter; 0 where there is none.
    #[inline]
    pub fn get(&self, index: usize) -> u64 {
        if index >= self.shape.counters {
            return 0;
        }
        let own = self.words().own();
        let word = |at: usize, order| own.get(self.first + at).map_or(0, |word| word.load(order));
        match index.checked_sub(self.shape.together) {
            Some(single) => word(self.shape.single + single, Ordering::Relaxed),
            // It may be one of a later publication by now: never an older one than the last that was complete.
            None => word(self.shape.slot(word(0, Ordering::Acquire)) + index, Ordering::Relaxed),
        }
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
        let Some(sequence) = words.own().get(at + NAME) else { return };
        let before = sequence.load(Ordering::Relaxed);
        let value = pack::<VALUE>(value);
        if place == labels.len() {
            labels.push(label.to_owned());
        } else if words.own().iter().skip(at + NAME + 1).zip(value).all(|(word, value)| word.load(Ordering::Relaxed) == value) {
            return;
        }
        // A seqlock: odd while the words change. A reader that has seen one of the new words, each of which is stored with release, sees
        // the odd number, or a later one.
        words.set(at + NAME, before | 1);
        words.store(at, &pack::<NAME>(label));
        words.store(at + NAME + 1, &value);
        words.set(at + NAME, (before | 1).wrapping_add(1));
    }

    /// What a reader of the segment would see of this block.
    pub fn view(&self) -> Option<BlockView> {
        match &self.home {
            Home::Segment { shared, entry } => shared.view(*entry),
            Home::Detached { kind, words } => parse(words.own(), 0, *kind, self.first, self.shape),
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
        self.block_of(kind, name, &[], counters)
    }

    /// Adds a block whose first counters, `together`, are published together ([`Block::publish`]); the others follow them.
    ///
    /// # Errors
    /// As [`Segment::block`].
    pub fn block_of(&self, kind: Kind, name: &str, together: &[&str], others: &[&str]) -> Result<Block, StatsError> {
        let too_long = |what: String, found, limit| Err(StatsError::TooLong { name: name.to_owned(), what, found, limit });
        let counters: Vec<&str> = together.iter().chain(others).copied().collect();
        if counters.len() > COUNTERS_MAX {
            return too_long("the list".to_owned(), counters.len(), COUNTERS_MAX);
        }
        if let Some(long) = std::iter::once(&name).chain(&counters).find(|text| text.len() > NAME_BYTES_MAX) {
            return too_long(format!("the name {long:?}"), long.len(), NAME_BYTES_MAX);
        }
        let shape = Shape::new(counters.len(), together.len());
        let (entry, first) = self.shared().claim(kind, name, shape, |words, first| write_names(words, first, shape, name, &counters))?;
        Ok(Block::in_segment(Arc::clone(self.shared()), entry, first, shape))
    }
}

fn write_names(words: &Words, first: usize, shape: Shape, name: &str, counters: &[&str]) {
    for (index, counter) in counters.iter().enumerate() {
        words.store(first + shape.names + index * NAME, &pack::<NAME>(counter));
    }
    words.store(first + shape.name, &pack::<NAME>(name));
}
