//! The segment and who has which part of it.

use std::path::Path;
use std::sync::atomic::{Ordering, fence};
use std::sync::{Arc, Mutex, PoisonError};

use sonde_memory::{Folder, MapError, SharedMap};

use crate::layout::{
    BLOCKS_AT, DIRECTORY_AT, ENDED_AT, ENTRIES, ENTRIES_AT, ENTRY, HEARTBEAT_AT, INFO_AT, INFO_WORDS, Kind, MAGIC, MAGIC_AT, PID_AT,
    STARTED_AT, Shape, VERSION, VERSION_AT, WORDS_AT, pack,
};
use crate::memory::Words;
use crate::view::{BlockView, parse};
use crate::{Info, StatsError};

/// Bytes of a segment: room for 64 workers and 8 ports with all that a NIC counts, twice over.
const BYTES: usize = 2 << 20;

/// The shared memory in which one dataplane shows its counters. A clone is the same segment.
///
/// The file stays when it is dropped, marked as ended: whoever made it removes it.
#[derive(Clone, Debug)]
pub struct Segment {
    shared: Arc<Shared>,
}

/// A segment as its blocks hold it.
#[derive(Debug)]
pub(crate) struct Shared {
    words: Words,
    plan: Mutex<Plan>,
}

/// Who has which part. Kept to the process: a segment's own words are written, never read back.
#[derive(Debug)]
struct Plan {
    /// First word and length of each gap, in ascending order, never two adjoining.
    gaps: Vec<(usize, usize)>,
    /// Generation of each entry of the directory; odd while in use.
    generations: Vec<u64>,
    /// The segment has ended: its blocks stay when they are dropped.
    ended: bool,
}

impl Segment {
    /// Makes a segment at `path`, replacing what was there.
    ///
    /// # Errors
    /// [`StatsError::Map`] when the file cannot be made, for example because the shared memory is full.
    pub fn create(path: &Path, info: &Info) -> Result<Self, StatsError> {
        Self::create_sized(path, info, BYTES)
    }

    /// Makes a segment of this name in a folder that is open, replacing what was there.
    ///
    /// # Errors
    /// As [`Segment::create`].
    pub fn create_in(folder: &Folder, name: &str, info: &Info) -> Result<Self, StatsError> {
        let words = words_of(BYTES);
        let made = Words::create(words, |own| begin(own, words, info), |copy| SharedMap::create_in(folder, name, words, copy))?;
        Ok(Self::over(made, words))
    }

    /// Makes a segment of another size: `bytes`, but never less than what the directory needs.
    ///
    /// # Errors
    /// As [`Segment::create`].
    pub fn create_sized(path: &Path, info: &Info, bytes: usize) -> Result<Self, StatsError> {
        let words = words_of(bytes);
        let made = Words::create(words, |own| begin(own, words, info), |copy| SharedMap::create_with(path, words, copy))?;
        Ok(Self::over(made, words))
    }

    fn over(made: Words, words: usize) -> Self {
        let plan = Plan { gaps: vec![(BLOCKS_AT, words - BLOCKS_AT)], generations: vec![0; ENTRIES], ended: false };
        Self { shared: Arc::new(Shared { words: made, plan: Mutex::new(plan) }) }
    }

    /// Says that the process is alive, at this time (nanoseconds since 1970 UTC). Called by its control thread once a second or so.
    pub fn heartbeat(&self, now_ns: u64) {
        self.shared.words.set(HEARTBEAT_AT, now_ns);
    }

    /// Says that the process ends, as dropping the last handle does. Blocks that are there now stay in the segment when they are
    /// dropped, so that their last counters can be read.
    pub fn end(&self) {
        self.shared.plan.lock().unwrap_or_else(PoisonError::into_inner).ended = true;
        self.shared.end();
    }

    /// Where the segment was made.
    pub fn path(&self) -> &Path {
        // One that is made has a map.
        self.shared.words.path().unwrap_or(Path::new(""))
    }

    /// Makes the file whole if it was cut, removed, exchanged or overwritten, and says what had happened to it, as the end of a
    /// sentence ("was cut to 12 bytes"). Called by the control thread once a second or so; what is overwritten is noticed at the second
    /// call. No count is lost: the truth is in the memory of this process.
    ///
    /// # Errors
    /// [`StatsError::Map`] when a new file cannot be made; the next call tries again.
    pub fn mend(&self) -> Result<Option<String>, StatsError> {
        Ok(self.shared.mend()?)
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }
}

fn words_of(bytes: usize) -> usize {
    (bytes / size_of::<u64>()).max(BLOCKS_AT)
}

/// Writes what a reader must find in a segment before it has its name.
fn begin(memory: &Words, words: usize, info: &Info) {
    for (at, value) in [
        (MAGIC_AT, MAGIC),
        (VERSION_AT, VERSION),
        (WORDS_AT, words as u64),
        (PID_AT, u64::from(info.pid)),
        (STARTED_AT, info.started_ns),
        (ENTRIES_AT, ENTRIES as u64),
        (HEARTBEAT_AT, info.started_ns),
    ] {
        memory.set(at, value);
    }
    for (at, text) in INFO_AT.into_iter().zip([&info.instance, &info.version, &info.memory, &info.simd]) {
        memory.store(at, &pack::<INFO_WORDS>(text));
    }
}

impl Shared {
    #[inline]
    pub(crate) fn words(&self) -> &Words {
        &self.words
    }

    fn mend(&self) -> Result<Option<String>, MapError> {
        let plan = self.plan.lock().unwrap_or_else(PoisonError::into_inner);
        // What lies in gaps is nobody's.
        let starts = std::iter::once(0).chain(plan.gaps.iter().map(|(first, length)| first + length));
        let ends = plan.gaps.iter().map(|(first, _)| *first).chain([self.words.own().len()]);
        self.words.mend(starts.zip(ends).map(|(start, end)| start..end))
    }

    /// Finds room for a block, lets `fill` write into it, and shows it.
    pub(crate) fn claim(
        &self,
        kind: Kind,
        name: &str,
        shape: Shape,
        fill: impl FnOnce(&Words, usize),
    ) -> Result<(usize, usize), StatsError> {
        let mut plan = self.plan.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = plan.generations.iter().position(|generation| generation % 2 == 0);
        let (Some(entry), Some(first)) = (entry, plan.take(shape.words)) else {
            return Err(StatsError::Full {
                name: name.to_owned(),
                wanted: shape.words,
                free: plan.gaps.iter().map(|(_, length)| *length).max().unwrap_or(0),
                blocks: plan.generations.iter().filter(|generation| *generation % 2 == 1).count(),
                blocks_max: ENTRIES,
            });
        };
        let words = self.words();
        // A reader that still copies the block that was here before finds its generation changed, for that was stored before the
        // fence in `release`, and these stores come after it.
        for at in first..first + shape.words {
            words.set(at, 0);
        }
        fill(words, first);
        let at = DIRECTORY_AT + entry * ENTRY;
        words.store(at + 1, &[kind as u64, first as u64, shape.counters as u64, shape.together as u64]);
        plan.step(words, entry);
        Ok((entry, first))
    }

    /// Takes a block out of the directory and its words back, unless the segment has ended.
    pub(crate) fn release(&self, entry: usize, first: usize, shape: Shape) {
        let mut plan = self.plan.lock().unwrap_or_else(PoisonError::into_inner);
        if plan.ended {
            return;
        }
        plan.step(self.words(), entry);
        fence(Ordering::Release);
        plan.give_back(first, shape.words);
    }

    /// What a reader would see of an entry.
    pub(crate) fn view(&self, entry: usize) -> Option<BlockView> {
        let at = DIRECTORY_AT + entry * ENTRY;
        let own = self.words.own();
        let word = |offset: usize| own.get(at + offset).map(|word| word.load(Ordering::Relaxed));
        let first = usize::try_from(word(2)?).ok()?;
        let shape = Shape::new(usize::try_from(word(3)?).ok()?, usize::try_from(word(4)?).ok()?);
        parse(own, word(0)? << 16 | entry as u64, Kind::from_word(word(1)?)?, first, shape)
    }
}

impl Shared {
    fn end(&self) {
        self.words.set(ENDED_AT, 1);
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.end();
    }
}

impl Plan {
    /// The first gap that is large enough gives its beginning.
    fn take(&mut self, words: usize) -> Option<usize> {
        let at = self.gaps.iter().position(|(_, length)| *length >= words)?;
        let gap = self.gaps.get_mut(at)?;
        let first = gap.0;
        *gap = (gap.0 + words, gap.1 - words);
        if gap.1 == 0 {
            self.gaps.remove(at);
        }
        Some(first)
    }

    fn give_back(&mut self, first: usize, words: usize) {
        let at = self.gaps.partition_point(|(start, _)| *start < first);
        self.gaps.insert(at, (first, words));
        self.gaps.dedup_by(|next, gap| {
            let adjoining = gap.0 + gap.1 == next.0;
            if adjoining {
                gap.1 += next.1;
            }
            adjoining
        });
    }

    /// Moves an entry to its next generation: from free to used or back.
    fn step(&mut self, words: &Words, entry: usize) {
        if let Some(generation) = self.generations.get_mut(entry) {
            *generation += 1;
            words.set(DIRECTORY_AT + entry * ENTRY, *generation);
        }
    }
}
