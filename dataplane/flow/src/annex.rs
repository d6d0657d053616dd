//! The annex: one pool of memory per worker for everything that only some flows have.
//!
//! The memory is one slab of chunks of 4 KiB. A chunk that nobody uses is carved into slots of one class; when the last of its slots
//! is freed, any class may have it. Allocating and freeing a slot take constant time: a chunk has a bitmap of its free slots, and each
//! class has a list of its chunks that have some.
//!
//! A slot is known by its place: the number of its chunk, and below it five bits for the slot. Chunk 0 is never allocated, so that
//! place 0 stands for "no slot". An entry keeps two handles: [`crate::handle::Measured`] for what every packet touches, and
//! [`Extras`] for the rest.
//!
//! Not here: what stands in a slot (`measure`).

use bytemuck::{Pod, Zeroable, must_cast_mut, must_cast_ref};
use sonde_memory::prefetch::prefetch_line;
use sonde_memory::slab::{OutOfMemory, Slab, Wanted};
use sonde_packet::Layers;
use sonde_record::fact::Fact;

use crate::handle::{Class, Extras, PLACE_BITS};
use crate::measure::datagrams::Datagrams;
use crate::measure::pattern::{PatternState, Wants};
use crate::measure::tcp::{Rest, Ways};

/// THE ORDER OF PRECEDENCE when memory gets scarce: how much of the annex a class leaves to those above it, in percent. It takes a
/// further chunk only while more than that is unused.
const LEAVES_PERCENT: [(Class, u64); 5] = [(Class::Layers, 0), (Class::Tcp, 2), (Class::Udp, 4), (Class::Pattern, 10), (Class::Both, 10)];
const CLASSES: usize = LEAVES_PERCENT.len();

const CHUNK_OCTETS: usize = 4096;
/// Bits of a place that are the slot's number in its chunk.
const SLOT_BITS: u32 = 5;
/// Most chunks of an annex.
const CHUNKS_MAX: u64 = 1 << (PLACE_BITS - SLOT_BITS);
/// More chunks than one burst needs: 128 frames of two packets, each a new flow with [`Class::Both`] and a state of TCP.
const BURST_CHUNKS: u32 = 128;
/// By how much an annex grows.
const FACTOR: u64 = 4;

/// [`Layers`] as words of a record: encoded once, when the flow begins.
#[derive(Clone, Copy, Debug, Zeroable, Pod)]
#[repr(transparent)]
pub(crate) struct LayersWords(pub(crate) [u64; Layers::WORDS_MAX]);

const LAYERS_SLOTS: usize = CHUNK_OCTETS / size_of::<LayersWords>();
const TCP_SLOTS: usize = CHUNK_OCTETS / (size_of::<Ways>() + size_of::<Rest>());
const UDP_SLOTS: usize = CHUNK_OCTETS / size_of::<Datagrams>();
const PATTERN_SLOTS: usize = CHUNK_OCTETS / size_of::<PatternState>();
const BOTH_SLOTS: usize = CHUNK_OCTETS / (size_of::<PatternState>() + size_of::<LayersWords>());
/// Slots of a chunk, by class.
const SLOTS: [usize; CLASSES] = [LAYERS_SLOTS, TCP_SLOTS, UDP_SLOTS, PATTERN_SLOTS, BOTH_SLOTS];

#[expect(clippy::indexing_slicing, reason = "evaluated by the compiler")]
const _: () = {
    let mut class = 0;
    while class < CLASSES {
        // A slot's number has five bits, and a full chunk is not an empty one.
        assert!(SLOTS[class] > 1 && SLOTS[class] <= 1 << SLOT_BITS && LEAVES_PERCENT[class].0 as usize == class);
        class += 1;
    }
};

/// A chunk that nobody uses.
#[derive(Clone, Copy, Zeroable, Pod)]
#[repr(C, align(64))]
struct Chunk([u64; CHUNK_OCTETS / 8]);

const fn spare(used: usize) -> usize {
    (CHUNK_OCTETS - used) / 8
}

#[derive(Clone, Copy, Zeroable, Pod)]
#[repr(C, align(64))]
struct LayersChunk {
    layers: [LayersWords; LAYERS_SLOTS],
    _spare: [u64; spare(LAYERS_SLOTS * size_of::<LayersWords>())],
}

/// What every segment touches stands together.
#[derive(Clone, Copy, Zeroable, Pod)]
#[repr(C, align(64))]
struct TcpChunk {
    ways: [Ways; TCP_SLOTS],
    rest: [Rest; TCP_SLOTS],
    _spare: [u64; spare(TCP_SLOTS * (size_of::<Ways>() + size_of::<Rest>()))],
}

#[derive(Clone, Copy, Zeroable, Pod)]
#[repr(C, align(64))]
struct UdpChunk([Datagrams; UDP_SLOTS]);

#[derive(Clone, Copy, Zeroable, Pod)]
#[repr(C, align(64))]
struct PatternChunk([PatternState; PATTERN_SLOTS]);

#[derive(Clone, Copy, Zeroable, Pod)]
#[repr(C, align(64))]
struct BothChunk {
    /// As in a [`PatternChunk`].
    _patterns: [PatternState; BOTH_SLOTS],
    layers: [LayersWords; BOTH_SLOTS],
    _spare: [u64; spare(BOTH_SLOTS * (size_of::<PatternState>() + size_of::<LayersWords>()))],
}

/// How much memory there is for what only some flows have, and which of it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Octets for all of it.
    pub octets: u64,
    /// Whether layers are kept (labels, tunnels, and so on).
    pub layers: bool,
    /// Whether TCP is measured.
    pub tcp: bool,
    /// Whether UDP is: requests and answers, and QUIC.
    pub udp: bool,
    /// Which patterns of packets are kept.
    pub patterns: Wants,
}

/// How many flows have what, for sizing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Shares {
    /// Flows with layers.
    pub layers: u64,
    /// TCP flows that are measured.
    pub tcp: u64,
    /// UDP flows that are measured.
    pub udp: u64,
    /// Flows with patterns, and no layers.
    pub patterns: u64,
    /// Flows with patterns and layers.
    pub both: u64,
}

impl Room {
    /// No memory at all.
    pub const NONE: Self = Self { octets: 0, layers: false, tcp: false, udp: false, patterns: Wants::NONE };

    /// Room for these flows, in whichever order they come: what classes leave to those above them is added. What no flow has is not
    /// kept.
    pub fn of(shares: Shares, patterns: Wants) -> Self {
        let Shares { layers, tcp, udp, patterns: alone, both } = shares;
        let counts = [layers, tcp, udp, alone, both];
        let needed = counts.iter().zip(SLOTS).map(|(count, slots)| count.div_ceil(slots as u64)).fold(0, u64::saturating_add);
        let left = LEAVES_PERCENT.iter().zip(counts).filter(|(_, count)| *count != 0).map(|((_, percent), _)| *percent).max().unwrap_or(0);
        let chunks = needed.saturating_mul(100).div_ceil(100 - left.min(99));
        Self {
            octets: chunks.saturating_mul(CHUNK_OCTETS as u64),
            layers: layers | both != 0,
            tcp: tcp != 0,
            udp: udp != 0,
            patterns: if alone | both != 0 { patterns } else { Wants::NONE },
        }
    }

    /// Room for so many flows, each of which has everything, and patterns where any are wanted.
    pub fn whole(flows: u64, patterns: Wants) -> Self {
        let both = if patterns.any() { flows } else { 0 };
        Self::of(Shares { layers: flows, tcp: flows, udp: flows, patterns: 0, both }, patterns)
    }

    fn keeps(&self, class: Class) -> bool {
        match class {
            Class::Layers => self.layers,
            Class::Tcp => self.tcp,
            Class::Udp => self.udp,
            Class::Pattern | Class::Both => self.patterns.any(),
        }
    }

    /// Chunks that the octets are enough for.
    fn chunks(&self) -> u64 {
        (self.octets / CHUNK_OCTETS as u64).min(CHUNKS_MAX - 1)
    }
}

/// What is known of a chunk.
#[derive(Clone, Copy, Debug, Zeroable)]
#[repr(C)]
struct State {
    /// Its free slots: bit n is slot n.
    free: u32,
    /// The next chunk of the list it is in; 0: it is the last one.
    next: u32,
    /// The chunk before it in a class's list; 0: it is the first one.
    previous: u32,
}

/// What is known of a class.
#[derive(Clone, Copy, Debug, Default)]
struct Pool {
    /// The first of its chunks that have free slots; 0: there is none.
    open: u32,
    /// Unused chunks that it leaves to the classes above.
    leaves: u32,
    kept: bool,
}

/// The annex of one worker.
pub(crate) struct Annex {
    chunks: Slab<Chunk>,
    states: Slab<State>,
    pools: [Pool; CLASSES],
    /// The first of the chunks that were used and freed; 0: there is none.
    freed: u32,
    /// Chunks from here on were never used.
    fresh: u32,
    /// Chunks that no class has.
    unused: u32,
    /// Chunks that a recording's annex must have before the next burst.
    low: u32,
    room: Room,
    follows: bool,
}

impl std::fmt::Debug for Annex {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Annex").field("room", &self.room).field("unused", &self.unused).finish_non_exhaustive()
    }
}

impl Annex {
    /// Octets of memory that an annex with this room takes.
    pub(crate) fn footprint(room: &Room) -> u64 {
        (room.chunks() + 1) * (size_of::<Chunk>() + size_of::<State>()) as u64
    }

    /// Makes an annex.
    ///
    /// # Errors
    /// The memory is not there.
    pub(crate) fn new(room: Room, wanted: Wanted) -> Result<Self, OutOfMemory> {
        let chunks = usize::try_from(room.chunks()).unwrap_or(usize::MAX).saturating_add(1);
        let mut annex = Self {
            chunks: Slab::zeroed(chunks, wanted)?,
            states: Slab::zeroed(chunks, wanted)?,
            pools: [Pool::default(); CLASSES],
            freed: 0,
            fresh: 1,
            unused: u32::try_from(chunks - 1).unwrap_or(u32::MAX),
            low: 0,
            room,
            follows: false,
        };
        annex.set_limits();
        Ok(annex)
    }

    fn set_limits(&mut self) {
        let chunks = self.room.chunks();
        for (pool, (class, percent)) in self.pools.iter_mut().zip(LEAVES_PERCENT) {
            pool.leaves = u32::try_from(chunks * percent / 100).unwrap_or(u32::MAX);
            pool.kept = self.room.keeps(class);
        }
        self.low = self.pools.iter().filter(|pool| pool.kept).map(|pool| pool.leaves.saturating_add(BURST_CHUNKS)).max().unwrap_or(0);
        self.follows = chunks != 0 && (self.room.tcp || self.room.udp || self.room.patterns.any());
    }

    /// Octets of memory.
    pub(crate) fn bytes(&self) -> u64 {
        (size_of_val(&*self.chunks) + size_of_val(&*self.states)) as u64
    }

    /// Whether slots of a class are kept.
    #[inline(always)]
    pub(crate) fn keeps(&self, class: Class) -> bool {
        self.pools.get(class as usize).is_some_and(|pool| pool.kept)
    }

    /// Whether a flow can have anything that packets after its first one touch.
    #[inline(always)]
    pub(crate) fn follows(&self) -> bool {
        self.follows
    }

    /// Which patterns are kept.
    #[inline(always)]
    pub(crate) fn wants(&self) -> Wants {
        self.room.patterns
    }

    /// Allocates a slot; `None` when there is none for this class. In it stands whatever stood there before.
    #[inline]
    pub(crate) fn take(&mut self, class: Class) -> Option<u32> {
        let open = self.pools.get(class as usize)?.open;
        let chunk = if open != 0 { open } else { self.claim(class)? };
        let state = self.states.get_mut(chunk as usize)?;
        let slot = state.free.trailing_zeros() & ((1 << SLOT_BITS) - 1);
        state.free &= state.free.wrapping_sub(1);
        let (full, next) = (state.free == 0, state.next);
        if full {
            state.next = 0;
            self.pools.get_mut(class as usize)?.open = next;
            self.link_back(next, 0);
        }
        Some(chunk << SLOT_BITS | slot)
    }

    /// Gives a class another chunk, if the order of precedence lets it have one.
    fn claim(&mut self, class: Class) -> Option<u32> {
        let pool = self.pools.get_mut(class as usize)?;
        if !pool.kept || self.unused <= pool.leaves {
            return None;
        }
        let chunk = if self.freed != 0 { self.freed } else { self.fresh };
        let state = self.states.get_mut(chunk as usize)?;
        if self.freed != 0 {
            self.freed = state.next;
        } else {
            self.fresh = self.fresh.saturating_add(1);
        }
        self.unused -= 1;
        *state = State { free: all(class), next: 0, previous: 0 };
        pool.open = chunk;
        Some(chunk)
    }

    /// Frees a slot; place 0 is none. A chunk without used slots may go to any class.
    #[inline]
    pub(crate) fn give_back(&mut self, class: Class, place: u32) {
        let chunk = place >> SLOT_BITS;
        let (Some(state), Some(pool)) = (self.states.get_mut(chunk as usize), self.pools.get_mut(class as usize)) else { return };
        if chunk == 0 {
            return;
        }
        let was_full = state.free == 0;
        state.free |= 1 << (place & ((1 << SLOT_BITS) - 1));
        if state.free == all(class) {
            let State { next, previous, .. } = *state;
            (state.next, state.previous) = (self.freed, 0);
            self.freed = chunk;
            self.unused += 1;
            if previous == 0 {
                pool.open = next;
            } else if let Some(before) = self.states.get_mut(previous as usize) {
                before.next = next;
            }
            self.link_back(next, previous);
        } else if was_full {
            (state.next, state.previous) = (pool.open, 0);
            pool.open = chunk;
            let next = state.next;
            self.link_back(next, chunk);
        }
    }

    /// Says which chunk is before another one, if there is another one.
    #[inline]
    fn link_back(&mut self, chunk: u32, previous: u32) {
        if chunk != 0
            && let Some(state) = self.states.get_mut(chunk as usize)
        {
            state.previous = previous;
        }
    }

    #[inline(always)]
    fn chunk(&self, place: u32) -> Option<(&Chunk, usize)> {
        if place >> SLOT_BITS == 0 {
            return None;
        }
        Some((self.chunks.get((place >> SLOT_BITS) as usize)?, slot(place)))
    }

    #[inline(always)]
    fn chunk_mut(&mut self, place: u32) -> Option<(&mut Chunk, usize)> {
        if place >> SLOT_BITS == 0 {
            return None;
        }
        Some((self.chunks.get_mut((place >> SLOT_BITS) as usize)?, slot(place)))
    }

    /// The state of a TCP connection.
    #[inline(always)]
    pub(crate) fn tcp(&self, place: u32) -> Option<(&Ways, &Rest)> {
        let (chunk, slot) = self.chunk(place)?;
        let TcpChunk { ways, rest, .. } = must_cast_ref(chunk);
        ways.get(slot).zip(rest.get(slot))
    }

    /// As [`Annex::tcp`].
    #[inline(always)]
    pub(crate) fn tcp_mut(&mut self, place: u32) -> Option<(&mut Ways, &mut Rest)> {
        let (chunk, slot) = self.chunk_mut(place)?;
        let TcpChunk { ways, rest, .. } = must_cast_mut(chunk);
        ways.get_mut(slot).zip(rest.get_mut(slot))
    }

    /// The state of a UDP flow.
    #[inline(always)]
    pub(crate) fn udp(&self, place: u32) -> Option<&Datagrams> {
        let (chunk, slot) = self.chunk(place)?;
        must_cast_ref::<_, UdpChunk>(chunk).0.get(slot)
    }

    /// As [`Annex::udp`].
    #[inline(always)]
    pub(crate) fn udp_mut(&mut self, place: u32) -> Option<&mut Datagrams> {
        let (chunk, slot) = self.chunk_mut(place)?;
        must_cast_mut::<_, UdpChunk>(chunk).0.get_mut(slot)
    }

    /// The layers of a flow.
    #[inline]
    pub(crate) fn layers(&self, extras: Extras) -> Option<&LayersWords> {
        let (chunk, slot) = self.chunk(extras.place())?;
        match extras.class() {
            Class::Layers => must_cast_ref::<_, LayersChunk>(chunk).layers.get(slot),
            Class::Both => must_cast_ref::<_, BothChunk>(chunk).layers.get(slot),
            Class::Tcp | Class::Udp | Class::Pattern => None,
        }
    }

    /// As [`Annex::layers`].
    #[inline]
    fn layers_mut(&mut self, extras: Extras) -> Option<&mut LayersWords> {
        let (chunk, slot) = self.chunk_mut(extras.place())?;
        match extras.class() {
            Class::Layers => must_cast_mut::<_, LayersChunk>(chunk).layers.get_mut(slot),
            Class::Both => must_cast_mut::<_, BothChunk>(chunk).layers.get_mut(slot),
            Class::Tcp | Class::Udp | Class::Pattern => None,
        }
    }

    /// The pattern of a flow's packets. Patterns stand at the beginning of a chunk, whether layers follow them or not.
    #[inline]
    pub(crate) fn pattern(&self, extras: Extras) -> Option<&PatternState> {
        let (chunk, slot) = self.chunk(extras.place()).filter(|_| extras.has_pattern())?;
        must_cast_ref::<_, PatternChunk>(chunk).0.get(slot)
    }

    /// As [`Annex::pattern`].
    #[inline]
    pub(crate) fn pattern_mut(&mut self, extras: Extras) -> Option<&mut PatternState> {
        let (chunk, slot) = self.chunk_mut(extras.place()).filter(|_| extras.has_pattern())?;
        must_cast_mut::<_, PatternChunk>(chunk).0.get_mut(slot)
    }

    /// Keeps the layers of a new flow, with room for a pattern where patterns are kept; `None` when there is no memory for them.
    pub(crate) fn keep_layers(&mut self, layers: &Layers) -> Option<Extras> {
        let both = if self.keeps(Class::Both) { self.take(Class::Both) } else { None };
        let extras = match both {
            Some(place) => Extras::new(Class::Both, place),
            None => Extras::new(Class::Layers, self.take(Class::Layers)?),
        };
        layers.encode(&mut self.layers_mut(extras)?.0);
        Some(extras)
    }

    /// Finds memory for the pattern of a new flow that has these extras already; `None` when there is none.
    pub(crate) fn keep_pattern(&mut self, extras: Extras) -> Option<Extras> {
        if extras.has_pattern() {
            return Some(extras);
        }
        // Beside layers that found no slot for both, there is no other handle.
        if extras.is_none() { Some(Extras::new(Class::Pattern, self.take(Class::Pattern)?)) } else { None }
    }

    /// Prefetches a line of what every segment of a connection touches. Place 0 is no slot, and its lines are always near.
    #[inline(always)]
    pub(crate) fn prefetch_ways(&self, place: u32, line: usize) {
        if let Some(chunk) = self.chunks.get((place >> SLOT_BITS) as usize) {
            prefetch_line(chunk, slot(place) * (size_of::<Ways>() / LINE) + line);
        }
    }

    /// Prefetches lines of the rest of a connection's state.
    #[inline(always)]
    pub(crate) fn prefetch_rest(&self, place: u32, lines: std::ops::Range<usize>) {
        if let Some(chunk) = self.chunks.get((place >> SLOT_BITS) as usize) {
            let first = TCP_SLOTS * (size_of::<Ways>() / LINE) + slot(place) * (size_of::<Rest>() / LINE);
            lines.for_each(|line| prefetch_line(chunk, first + line));
        }
    }

    /// Prefetches both lines of the state of a UDP flow.
    #[inline(always)]
    pub(crate) fn prefetch_udp(&self, place: u32) {
        self.prefetch_two(place, size_of::<Datagrams>() / LINE);
    }

    /// Prefetches the first lines of a pattern.
    #[inline(always)]
    pub(crate) fn prefetch_pattern(&self, extras: Extras) {
        self.prefetch_two(extras.place(), size_of::<PatternState>() / LINE);
    }

    #[inline(always)]
    fn prefetch_two(&self, place: u32, lines: usize) {
        if let Some(chunk) = self.chunks.get((place >> SLOT_BITS) as usize) {
            prefetch_line(chunk, slot(place) * lines);
            prefetch_line(chunk, slot(place) * lines + 1);
        }
    }

    /// Whether the next burst may need more than there is.
    #[inline(always)]
    pub(crate) fn is_low(&self) -> bool {
        self.unused < self.low
    }

    /// Makes the annex larger, but not larger than `most`; places stay. For recordings.
    ///
    /// # Errors
    /// The memory is not there; nothing has changed.
    #[cold]
    pub(crate) fn grow(&mut self, most: Room) -> Result<(), OutOfMemory> {
        let octets = self.room.octets.max(CHUNK_OCTETS as u64 * u64::from(BURST_CHUNKS)).saturating_mul(FACTOR).min(most.octets);
        let room = Room { octets, ..self.room };
        if room.chunks() <= self.room.chunks() {
            // It is as large as it may be: from now on flows go without, and are counted.
            self.low = 0;
            return Ok(());
        }
        let mut larger = Self::new(room, Wanted { huge: false, populate: false })?;
        let used = self.fresh as usize;
        larger.chunks.iter_mut().zip(&*self.chunks).take(used).for_each(|(to, from)| *to = *from);
        larger.states.iter_mut().zip(&*self.states).take(used).for_each(|(to, from)| *to = *from);
        for (pool, old) in larger.pools.iter_mut().zip(&self.pools) {
            pool.open = old.open;
        }
        (larger.freed, larger.fresh) = (self.freed, self.fresh);
        larger.unused = self.unused.saturating_add(u32::try_from(room.chunks() - self.room.chunks()).unwrap_or(0));
        *self = larger;
        Ok(())
    }
}

/// Octets of a cache line.
const LINE: usize = 64;

#[inline(always)]
fn slot(place: u32) -> usize {
    (place & ((1 << SLOT_BITS) - 1)) as usize
}

/// The bitmap of a chunk whose slots are all free.
#[inline(always)]
fn all(class: Class) -> u32 {
    let slots = SLOTS.get(class as usize).copied().unwrap_or(0);
    u32::try_from((1u64 << slots) - 1).unwrap_or(u32::MAX)
}

#[cfg(test)]
#[path = "annex_tests.rs"]
mod tests;
