//! The flow table: lines of 16-bit tags, entries in a parallel array.
//!
//! A line is one cache line: 31 tags and the number of flows that belong here but stand in their second line. An entry's address
//! follows from line and place by multiplication, entries never move, and any number of lines will do. Deadlines stand in a third
//! array of the same shape, as coarse 16-bit times: a packet does not touch them, the sweep (see `expiry`) corrects them lazily.

use sonde_memory::prefetch::{prefetch, prefetch_line};
use sonde_memory::slab::{OutOfMemory, Slab, Wanted};
use sonde_memory::tags::{Line, Searcher, Simd};

use crate::entry::Entry;
use crate::key::{Key, Seed};

/// Places of a line.
pub(crate) const PLACES: u32 = 31;
/// Masks the places of a search result: the last 16 bits of a line are a number, not a tag.
pub(crate) const PLACES_MASK: u32 = (1 << PLACES) - 1;
/// A line of a table sized for `n` flows is three quarters full when they are all there: then one flow in 3,000 finds both of its
/// lines full.
pub(crate) const LOAD_PERCENT: u64 = 75;

/// Where an entry stands: line times 31 plus place.
pub(crate) type Slot = u32;

/// Memory a table takes, for sizing before it is allocated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Footprint {
    /// Lines of 31 places.
    pub lines: u64,
    /// Bytes of tags, deadlines and entries together.
    pub bytes: u64,
}

/// The table of one key type, used by one worker.
#[derive(Debug)]
pub(crate) struct Table<K: Key> {
    pub(crate) tags: Slab<Line>,
    pub(crate) deadlines: Slab<Line>,
    pub(crate) entries: Slab<Entry<K>>,
    pub(crate) lines: u32,
    pub(crate) searcher: Searcher,
    pub(crate) seed: Seed,
    pub(crate) sweep: Sweep,
}

/// How far the sweep has come.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sweep {
    /// Next line.
    pub(crate) line: u32,
    /// Up to when lines have been passed; 0: not begun.
    pub(crate) until: u64,
    /// Lines still to be looked at whatever their deadlines say: timeouts have become shorter.
    pub(crate) recheck: u32,
}

impl Sweep {
    /// The sweep of a table of `lines` lines that has taken over the flows of this one: it begins at the first of them.
    pub(crate) fn moved(&self, lines: u32) -> Self {
        Self { line: 0, until: self.until, recheck: if self.recheck > 0 { lines } else { 0 } }
    }
}

/// Where a packet's flow can stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Home {
    pub(crate) line: u32,
    pub(crate) tag: u16,
}

/// Entry place that was found for a new flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Free, in the first line.
    Home(Slot),
    /// Free, in the second line.
    Second(Slot),
    /// Taken by the flow of the first line whose end is nearest: it must go.
    Evict(Slot),
}

impl<K: Key> Table<K> {
    /// What a table takes.
    pub(crate) fn footprint(flows: u64) -> Footprint {
        let lines = (flows.max(1).saturating_mul(100) / LOAD_PERCENT).div_ceil(u64::from(PLACES)).max(2);
        let line = 2 * size_of::<Line>() as u64 + u64::from(PLACES) * size_of::<Entry<K>>() as u64;
        Footprint { lines, bytes: lines.saturating_mul(line) }
    }

    /// Makes a table.
    ///
    /// # Errors
    /// The memory is not there.
    pub(crate) fn new(flows: u64, wanted: Wanted, simd: Simd, seed: Seed) -> Result<Self, OutOfMemory> {
        let footprint = Self::footprint(flows);
        let refuse = || OutOfMemory { needed: footprint.bytes, available: sonde_memory::slab::available() };
        // A slot is 32 bits wide: 138 million lines, four thousand million flows.
        let lines = u32::try_from(footprint.lines).ok().filter(|n| n.checked_mul(PLACES).is_some()).ok_or_else(refuse)?;
        if !wanted.huge && footprint.bytes > sonde_memory::slab::available() {
            return Err(refuse());
        }
        Ok(Self {
            tags: Slab::zeroed(lines as usize, wanted)?,
            deadlines: Slab::zeroed(lines as usize, wanted)?,
            entries: Slab::zeroed(lines as usize * PLACES as usize, wanted)?,
            lines,
            searcher: Searcher::new(simd),
            seed,
            sweep: Sweep::default(),
        })
    }

    /// Bytes of memory.
    pub(crate) fn bytes(&self) -> u64 {
        (size_of_val(&*self.tags) + size_of_val(&*self.deadlines) + size_of_val(&*self.entries)) as u64
    }

    /// The pages the entries stand in.
    pub(crate) fn backing(&self) -> sonde_memory::slab::Backing {
        self.entries.backing()
    }

    /// First line and tag of a hash: the line from its high half, the tag from its low end.
    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "the high half of a product of two 32-bit numbers; the low end of a hash")]
    pub(crate) fn home(&self, hash: u64) -> Home {
        let line = ((hash >> 32) * u64::from(self.lines)) >> 32;
        // Zero is an empty place.
        let tag = (hash as u16).max(1);
        Home { line: line as u32, tag }
    }

    /// Second line of a hash.
    #[inline(always)]
    pub(crate) fn second(&self, hash: u64, first: u32) -> u32 {
        let line = (((hash & 0xffff_ffff) * u64::from(self.lines)) >> 32) as u32;
        if line != first {
            line
        } else if line.wrapping_add(1) == self.lines {
            0
        } else {
            line.wrapping_add(1)
        }
    }

    #[inline(always)]
    pub(crate) fn slot(line: u32, place: u32) -> Slot {
        line.wrapping_mul(PLACES).wrapping_add(place)
    }

    /// How many flows of this line stand in their second line.
    #[inline(always)]
    pub(crate) fn displaced(&self, line: u32) -> u16 {
        self.tags.get(line as usize).map_or(0, |Line([.., displaced])| *displaced)
    }

    fn displace(&mut self, line: u32, by: i16) {
        if let Some(Line([.., displaced])) = self.tags.get_mut(line as usize) {
            *displaced = displaced.saturating_add_signed(by);
        }
    }

    /// Prefetches the lines of an entry that a packet of its flow will touch.
    #[inline(always)]
    pub(crate) fn prefetch_entry(&self, slot: Slot) {
        if let Some(entry) = self.entries.get(slot as usize) {
            prefetch(entry);
            if size_of::<Entry<K>>() > 128 {
                prefetch_line(entry, 1);
            }
        }
    }

    /// Prefetches all lines of an entry.
    #[inline(always)]
    pub(crate) fn prefetch_whole(&self, slot: Slot) {
        if let Some(entry) = self.entries.get(slot as usize) {
            prefetch(entry);
            prefetch_line(entry, 1);
            if size_of::<Entry<K>>() > 128 {
                prefetch_line(entry, 2);
            }
        }
    }

    /// Prefetches a line of tags.
    #[inline(always)]
    pub(crate) fn prefetch_tags(&self, line: u32) {
        if let Some(tags) = self.tags.get(line as usize) {
            prefetch(tags);
        }
    }

    /// Prefetches the deadlines of a line.
    #[inline(always)]
    pub(crate) fn prefetch_deadlines(&self, line: u32) {
        if let Some(deadlines) = self.deadlines.get(line as usize) {
            prefetch(deadlines);
        }
    }

    #[inline(always)]
    fn match_in(&self, line: u32, tag: u16, key: &K) -> Option<Slot> {
        let mut mask = self.searcher.find_one(self.tags.get(line as usize)?, tag) & PLACES_MASK;
        while mask != 0 {
            let slot = Self::slot(line, mask.trailing_zeros());
            if self.entries.get(slot as usize).is_some_and(|e| e.key == *key) {
                return Some(slot);
            }
            mask &= mask.wrapping_sub(1);
        }
        None
    }

    /// The entry of a key, looked for everywhere it can be.
    pub(crate) fn lookup(&self, key: &K, hash: u64) -> Option<Slot> {
        let home = self.home(hash);
        let found = self.match_in(home.line, home.tag, key);
        if found.is_some() || self.displaced(home.line) == 0 {
            return found;
        }
        self.match_in(self.second(hash, home.line), home.tag, key)
    }

    #[inline(always)]
    pub(crate) fn free_in(&self, line: u32) -> Option<Slot> {
        let mask = self.searcher.find_one(self.tags.get(line as usize)?, 0) & PLACES_MASK;
        (mask != 0).then(|| Self::slot(line, mask.trailing_zeros()))
    }

    /// A place for a new flow; `tick` is the coarse time now.
    pub(crate) fn place(&self, hash: u64, tick: u16) -> Place {
        let home = self.home(hash);
        if let Some(slot) = self.free_in(home.line) {
            return Place::Home(slot);
        }
        match self.free_in(self.second(hash, home.line)) {
            Some(slot) => Place::Second(slot),
            None => Place::Evict(self.nearest_end(home.line, tick)),
        }
    }

    /// The place of a full line whose deadline comes first.
    pub(crate) fn nearest_end(&self, line: u32, tick: u16) -> Slot {
        self.deadlines.get(line as usize).map_or(0, |deadlines| Self::slot(line, self.searcher.first_from(deadlines, tick)))
    }

    /// Marks a place as taken by a flow of this home, which has to be looked at at this tick.
    #[inline(always)]
    pub(crate) fn occupy(&mut self, slot: Slot, home: Home, deadline: u16) {
        let (line, place) = (slot / PLACES, (slot % PLACES) as usize);
        if let Some(tag) = self.tags.get_mut(line as usize).and_then(|l| l.0.get_mut(place)) {
            *tag = home.tag;
        }
        if line != home.line {
            self.displace(home.line, 1);
        }
        self.set_deadline(slot, deadline);
    }

    /// The tag of a place; 0 when it is empty.
    #[inline(always)]
    pub(crate) fn tag(&self, slot: Slot) -> u16 {
        let (line, place) = (slot / PLACES, (slot % PLACES) as usize);
        self.tags.get(line as usize).and_then(|l| l.0.get(place)).copied().unwrap_or(0)
    }

    /// Empties a place. What its flow has in the annex must have been freed.
    #[inline]
    pub(crate) fn vacate(&mut self, slot: Slot) {
        let (line, place) = (slot / PLACES, (slot % PLACES) as usize);
        let Some(tag) = self.tags.get_mut(line as usize).and_then(|l| l.0.get_mut(place)) else { return };
        *tag = 0;
        let Some(entry) = self.entries.get(slot as usize) else { return };
        let hash = entry.key.hash(&self.seed);
        let home = self.home(hash);
        if home.line != line {
            self.displace(home.line, -1);
        }
    }

    /// Notes when an entry has to be looked at.
    #[inline(always)]
    pub(crate) fn set_deadline(&mut self, slot: Slot, tick: u16) {
        let (line, place) = (slot / PLACES, (slot % PLACES) as usize);
        if let Some(deadline) = self.deadlines.get_mut(line as usize).and_then(|l| l.0.get_mut(place)) {
            *deadline = tick;
        }
    }

    #[inline(always)]
    pub(crate) fn deadline(&self, slot: Slot) -> u16 {
        let (line, place) = (slot / PLACES, (slot % PLACES) as usize);
        self.deadlines.get(line as usize).and_then(|l| l.0.get(place)).copied().unwrap_or(0)
    }
}

const _: () = assert!(PLACES == 31 && size_of::<Line>() == 64);
