//! The words of a segment as its writer has them: in memory of its own, which is the truth, and in the map, which is the copy for others.
//!
//! Nothing is ever read back from the map, so whatever somebody else does to it changes no counter, and a map that was damaged is made
//! whole again from here.

use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};

use sonde_memory::{MapError, SharedMap};

use crate::layout::Shape;

/// Words that differ, noted at one look for the next: a segment that was overwritten as a whole need not be noted as a whole.
const SUSPECTS_MAX: usize = 64;

/// A word of the map that is not what it should be: its index, what it should be, what it is.
type Suspect = (usize, u64, u64);

/// The two copies; only the own one for a block that no segment shows.
#[derive(Debug)]
pub(crate) struct Words {
    own: Box<[AtomicU64]>,
    map: Option<SharedMap>,
    suspects: std::sync::Mutex<Vec<Suspect>>,
}

impl Words {
    /// Words that nobody else sees.
    pub(crate) fn detached(words: usize) -> Self {
        Self { own: zeros(words), map: None, suspects: std::sync::Mutex::default() }
    }

    /// Makes the words with what `fill` writes, and the map of them by `create`, which calls what it is given with the map's words.
    pub(crate) fn create(
        words: usize,
        fill: impl FnOnce(&Self),
        create: impl FnOnce(&dyn Fn(&[AtomicU64])) -> Result<SharedMap, MapError>,
    ) -> Result<Self, MapError> {
        let mut made = Self::detached(words);
        fill(&made);
        made.map = Some(create(&|map| copy(&made.own, map))?);
        Ok(made)
    }

    /// Where the map was made.
    pub(crate) fn path(&self) -> Option<&std::path::Path> {
        self.map.as_ref().map(SharedMap::path)
    }

    /// The truth.
    #[inline]
    pub(crate) fn own(&self) -> &[AtomicU64] {
        &self.own
    }

    fn shown(&self) -> &[AtomicU64] {
        self.map.as_ref().map_or(&[], SharedMap::words)
    }

    /// Stores a word in both, first in the own. Every store releases: see [`copy`].
    #[inline]
    pub(crate) fn set(&self, at: usize, value: u64) {
        for words in [&*self.own, self.shown()] {
            if let Some(word) = words.get(at) {
                word.store(value, Ordering::Release);
            }
        }
    }

    /// Stores words one after the other.
    pub(crate) fn store(&self, at: usize, values: &[u64]) {
        for (at, value) in (at..).zip(values) {
            self.set(at, *value);
        }
    }

    /// Publishes the counters of the block at `first` that are published together: `values`, in which what is missing stays as it was,
    /// and what is too much is given back.
    #[inline]
    pub(crate) fn publish<'a, I: Iterator<Item = &'a u64>>(&self, first: usize, shape: &Shape, mut values: I) -> I {
        let last = self.own.get(first).map_or(0, |word| word.load(Ordering::Relaxed));
        let next = last.wrapping_add(1);
        let (from, to) = (first + shape.slot(last), first + shape.slot(next));
        // Whoever loads one of the words below has to find the last sequence: its acquire fence pairs with this one.
        std::sync::atomic::fence(Ordering::Release);
        let slot = |words| <[AtomicU64]>::get(words, to..to + shape.together).unwrap_or_default();
        let (own, shown) = (slot(&self.own), slot(self.shown()));
        let mut done = 0;
        if shown.is_empty() {
            for (word, value) in own.iter().zip(&mut values) {
                word.store(*value, Ordering::Relaxed);
                done += 1;
            }
        } else {
            for ((word, shown), value) in own.iter().zip(shown).zip(&mut values) {
                word.store(*value, Ordering::Relaxed);
                shown.store(*value, Ordering::Release);
                done += 1;
            }
        }
        for at in done..shape.together {
            let value = self.own.get(from + at).map_or(0, |word| word.load(Ordering::Relaxed));
            self.set(to + at, value);
        }
        self.set(first, next);
        values
    }

    /// Makes the map whole if it is not, and says what was wrong. `used` gives the ranges that are in use; nothing of their shape changes
    /// meanwhile.
    pub(crate) fn mend(&self, used: impl Iterator<Item = std::ops::Range<usize>>) -> Result<Option<String>, MapError> {
        let Some(map) = &self.map else { return Ok(None) };
        let mut suspects = self.suspects.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.differences(map.words(), used);
        // A word that its writer is changing at this moment is no damage: it is another one at the next look, or the same in both.
        let overwritten = now.iter().any(|suspect| suspects.contains(suspect));
        *suspects = now;
        let Some(damage) = map.damage().or_else(|| overwritten.then(|| "was overwritten by somebody else".to_owned())) else {
            return Ok(None);
        };
        map.renew(|words| copy(&self.own, words))?;
        suspects.clear();
        Ok(Some(damage))
    }

    fn differences(&self, map: &[AtomicU64], used: impl Iterator<Item = std::ops::Range<usize>>) -> Vec<Suspect> {
        let both =
            used.flatten().filter_map(|at| Some((at, self.own.get(at)?.load(Ordering::Relaxed), map.get(at)?.load(Ordering::Relaxed))));
        both.filter(|(_, own, shown)| own != shown).take(SUSPECTS_MAX).collect()
    }
}

/// Copies the truth into a map while its writers write both, so that each word ends as the truth.
///
/// A writer stores its own word, then the map's (release). If it stored the map's word before us, the exchange reads what it stored, and
/// the load behind it finds the own word it had stored before that: once more then. If it stores after us, its word stays.
fn copy(own: &[AtomicU64], map: &[AtomicU64]) {
    for (own, word) in own.iter().zip(map) {
        let mut value = own.load(Ordering::Acquire);
        loop {
            word.swap(value, Ordering::AcqRel);
            let now = own.load(Ordering::Acquire);
            if now == value {
                break;
            }
            value = now;
        }
    }
}

fn zeros(words: usize) -> Box<[AtomicU64]> {
    (0..words).map(|_| AtomicU64::new(0)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_copied_while_it_changes_ends_as_the_truth() {
        let (own, map) = (zeros(16), zeros(16));
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| {
                for (value, at) in (1..200_000).zip((0..16).cycle()) {
                    own[at].store(value, Ordering::Relaxed);
                    map[at].store(value, Ordering::Release);
                }
            });
            while !writer.is_finished() {
                copy(&own, &map);
            }
        });
        for (own, map) in own.iter().zip(&map) {
            assert_eq!(own.load(Ordering::Relaxed), map.load(Ordering::Relaxed));
        }
    }
}
