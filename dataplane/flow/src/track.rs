//! The burst through the table, in stages over arrays, so that the memory latency of one packet hides behind 127 others.
//!
//! 1 every packet is hashed and its tag line asked for; 2 all tags are compared and the entries asked for; 3 keys are compared
//! and entries updated; 4 what was not found is inserted. Rolling one packet at a time through all stages is 1.2 to 2.5 times slower.

use bytemuck::Zeroable;
use sonde_memory::prefetch::prefetch;
use sonde_packet::{Frame, Link, Tunnels};

use crate::counters::{Counter, Counters};
use crate::entry::{Before, Birthplace, Packet, Timeouts};
use crate::expiry::write;
use crate::key::Key;
use crate::record::{EndReason, Output};
use crate::table::{PLACES, PLACES_MASK, Place, Slot, Table, tick, tick_after};

/// Most packets of a burst.
pub const BURST: usize = 128;
/// No slot.
const NONE: Slot = Slot::MAX;

/// The packets of a burst that go to one table, with what the stages hand on.
#[derive(Debug)]
pub(crate) struct Lane<K> {
    packets: [Packet<K>; BURST],
    wanted: [(u32, u16); BURST],
    slots: [Slot; BURST],
    misses: [u8; BURST],
    /// Where the flows of the misses will stand; bits of `evict` say which of these places have to be emptied first.
    planned: [Slot; BURST],
    evict: u128,
    len: usize,
    missed: usize,
}

impl<K: Key> Lane<K> {
    pub(crate) fn new() -> Box<Self> {
        Box::new(Self {
            packets: [Packet::zeroed(); BURST],
            wanted: [(0, 0); BURST],
            slots: [NONE; BURST],
            misses: [0; BURST],
            planned: [NONE; BURST],
            evict: 0,
            len: 0,
            missed: 0,
        })
    }

    pub(crate) fn clear(&mut self) {
        self.len = 0;
    }

    /// Takes a packet into the burst and asks for its tag line. Stage 1.
    #[inline(always)]
    pub(crate) fn push(&mut self, table: &Table<K>, packet: Packet<K>) {
        let mut packet = Some(packet);
        self.fill(table, || packet.take());
    }

    /// Takes packets until there are no more. The loop of stage 1: what it needs is in registers, not behind `self`.
    #[inline(always)]
    pub(crate) fn fill(&mut self, table: &Table<K>, mut next: impl FnMut() -> Option<Packet<K>>) {
        let free = self.packets.iter_mut().zip(&mut self.wanted).skip(self.len);
        let tags: &[_] = &table.tags;
        for (place, wanted) in free {
            let Some(packet) = next() else { break };
            *place = packet;
            place.hash = packet.key.hash(&table.seed);
            let home = table.home(place.hash);
            if let Some(line) = tags.get(home.line as usize) {
                prefetch(line);
            }
            *wanted = (home.line, home.tag);
            self.len += 1;
        }
    }

    /// Whether another packet can be taken.
    pub(crate) fn has_room(&self) -> bool {
        self.len < BURST
    }

    /// Packets taken so far.
    pub(crate) fn len(&self) -> usize {
        self.len
    }
}

/// What the stages need beside table and lane.
pub(crate) struct Work<'a, 'f, O> {
    pub(crate) frames: &'a [Frame<'f>],
    pub(crate) now: u64,
    pub(crate) timeouts: &'a Timeouts,
    pub(crate) tunnels: &'a Tunnels,
    pub(crate) worker: u8,
    pub(crate) next_id: &'a mut u64,
    pub(crate) counters: &'a mut Counters,
    pub(crate) out: &'a mut O,
}

impl<'f, O: Output> Work<'_, 'f, O> {
    /// The frame of a packet; an empty one when it is gone (a fragment that waited).
    fn frame(&self, at: u16) -> Frame<'f> {
        let gone = Frame { bytes: &[], wire_len: 0, link: Link::Unknown, port: 0, time: self.now };
        self.frames.get(usize::from(at)).copied().unwrap_or(gone)
    }

    fn id(&mut self) -> u64 {
        let id = *self.next_id;
        *self.next_id = id.wrapping_add(1);
        id
    }
}

/// Stages 2 to 4.
pub(crate) fn track<K: Key, O: Output>(table: &mut Table<K>, lane: &mut Lane<K>, work: &mut Work<'_, '_, O>) {
    if lane.len == 0 {
        return;
    }
    find(table, lane);
    update(table, lane, work);
    if lane.missed > 0 {
        prepare(table, lane, tick(work.now));
        insert(table, lane, work);
    }
}

/// Stage 2: compares the tags, asks for the entries.
fn find<K: Key>(table: &Table<K>, lane: &mut Lane<K>) {
    let len = lane.len.min(BURST);
    let Some(wanted) = lane.wanted.get(..len) else { return };
    let (slots, misses) = (&mut lane.slots, &mut lane.misses);
    let (mut missed, mut displaced) = (0, 0u32);
    table.searcher.for_each(&table.tags, wanted, |at, mask| {
        let (Some(&(line, _)), Some(slot)) = (wanted.get(at), slots.get_mut(at)) else { return };
        let mask = mask & PLACES_MASK;
        if mask != 0 {
            *slot = Table::<K>::slot(line, mask.trailing_zeros());
            table.prefetch_entry(*slot);
            return;
        }
        *slot = NONE;
        if let Some(miss) = misses.get_mut(missed) {
            *miss = u8::try_from(at).unwrap_or(0);
            missed += 1;
            displaced |= u32::from(table.displaced(line));
        }
    });
    lane.missed = missed;
    if displaced != 0 {
        find_second(table, lane);
    }
}

/// Looks for what was missed in the second lines, where the first have displaced flows.
fn find_second<K: Key>(table: &Table<K>, lane: &mut Lane<K>) {
    let missed = lane.missed;
    let misses = lane.misses;
    let mut seconds = [(u32::MAX, 0u16); BURST];
    for (&at, second) in misses.iter().take(missed).zip(&mut seconds) {
        let (Some(packet), Some(&(line, tag))) = (lane.packets.get(usize::from(at)), lane.wanted.get(usize::from(at))) else { continue };
        if table.displaced(line) != 0 {
            *second = (table.second(packet.hash, line), tag);
            if let Some(line) = table.tags.get(second.0 as usize) {
                prefetch(line);
            }
        }
    }
    let mut found = [0u32; BURST];
    if let Some(seconds) = seconds.get(..missed) {
        table.searcher.find(&table.tags, seconds, &mut found);
    }
    lane.missed = 0;
    for ((&at, mask), (line, _)) in misses.iter().take(missed).zip(found).zip(seconds) {
        let mask = mask & PLACES_MASK;
        if mask != 0 {
            let slot = Table::<K>::slot(line, mask.trailing_zeros());
            table.prefetch_entry(slot);
            if let Some(place) = lane.slots.get_mut(usize::from(at)) {
                *place = slot;
            }
        } else if let Some(miss) = lane.misses.get_mut(lane.missed) {
            *miss = at;
            lane.missed += 1;
        }
    }
}

/// Stage 3: compares the keys, updates the entries.
fn update<K: Key, O: Output>(table: &mut Table<K>, lane: &mut Lane<K>, work: &mut Work<'_, '_, O>) {
    let idle = work.timeouts.idle;
    let len = lane.len.min(BURST);
    let (Some(packets), Some(slots)) = (lane.packets.get(..len), lane.slots.get(..len)) else { return };
    for (at, (packet, &slot)) in packets.iter().zip(slots).enumerate() {
        let Some(entry) = table.entries.get_mut(slot as usize) else { continue };
        if entry.key == packet.key {
            if !entry.add(packet, idle) {
                special(table, packet, slot, work);
            }
        } else if let Some(slot) = table.lookup(&packet.key, packet.hash) {
            // Two flows with one tag in one line, one lookup in 2,000: the flow is further along.
            hit(table, packet, slot, work);
        } else if let Some(miss) = lane.misses.get_mut(lane.missed) {
            *miss = u8::try_from(at).unwrap_or(0);
            lane.missed += 1;
        }
    }
}

fn hit<K: Key, O: Output>(table: &mut Table<K>, packet: &Packet<K>, slot: Slot, work: &mut Work<'_, '_, O>) {
    let idle = work.timeouts.idle;
    if table.entries.get_mut(slot as usize).is_some_and(|e| !e.add(packet, idle)) {
        special(table, packet, slot, work);
    }
}

/// SYN, FIN, RST, fragments, flows that were idle too long or have just been reported.
#[inline(never)]
fn special<K: Key, O: Output>(table: &mut Table<K>, packet: &Packet<K>, slot: Slot, work: &mut Work<'_, '_, O>) {
    let frame = work.frame(packet.frame);
    let Some(entry) = table.entries.get_mut(slot as usize) else { return };
    let restart = match entry.before(packet, work.timeouts.idle) {
        Before::Add => false,
        Before::Report(reason) => {
            write(entry, &table.sides, reason, work.worker, work.counters, work.out);
            entry.rest();
            false
        }
        Before::Restart(reason) => {
            write(entry, &table.sides, reason, work.worker, work.counters, work.out);
            true
        }
        Before::RestartSilently => true,
    };
    let was = (entry.is_closed(), entry.has_news());
    if restart {
        work.counters.add(Counter::FlowsCreated, 1);
        let id = work.id();
        let mut layers_full = 0;
        entry.release(&mut table.sides);
        entry.begin(packet, id, Birthplace { frame, tunnels: work.tunnels, sides: &mut table.sides, layers_full: &mut layers_full });
        work.counters.add(Counter::LayersFull, layers_full);
    } else {
        entry.add_special(packet, &frame);
    }
    if restart || (entry.is_closed(), entry.has_news()) != was {
        let deadline = entry.deadline(work.timeouts);
        table.set_deadline(slot, tick_after(deadline, work.now));
    }
}

/// A set of numbers that may say "perhaps" for one that is not in it, and never "no" for one that is.
#[derive(Default)]
struct Seen([u64; 32]);

impl Seen {
    /// Whether a number was perhaps seen before; from now on it was.
    #[inline(always)]
    fn again(&mut self, number: u32) -> bool {
        let Some(word) = self.0.get_mut((number >> 6) as usize & 31) else { return true };
        let bit = 1 << (number & 63);
        let was = *word & bit != 0;
        *word |= bit;
        was
    }
}

/// Stage 4a: decides where each new flow will stand, and asks for what inserting will touch. The first lines are near already.
fn prepare<K: Key>(table: &Table<K>, lane: &mut Lane<K>, now: u16) {
    let missed = lane.missed.min(BURST);
    let mut lines = [(u32::MAX, 0u16); BURST];
    for (at, line) in lane.misses.iter().take(missed).zip(&mut lines) {
        let Some(&(home, _)) = lane.wanted.get(usize::from(*at)) else { continue };
        // Tag 0 is an empty place.
        *line = (home, 0);
    }
    let (Some(homes), slots) = (lines.get(..missed), &mut lane.planned) else { return };
    let mut full = [0u8; BURST];
    let mut filled = 0;
    table.searcher.for_each(&table.tags, homes, |at, mask| {
        let (Some(&(line, _)), Some(slot)) = (homes.get(at), slots.get_mut(at)) else { return };
        let mask = mask & PLACES_MASK;
        if mask != 0 {
            *slot = Table::<K>::slot(line, mask.trailing_zeros());
            table.prefetch_whole(*slot);
        } else if let Some(place) = full.get_mut(filled) {
            table.prefetch_deadlines(line);
            *place = u8::try_from(at).unwrap_or(0);
            filled += 1;
        }
    });
    lane.evict = 0;
    if filled != 0 {
        plan_full(table, lane, full.get(..filled).unwrap_or_default(), now);
    }
}

/// Stage 4a for flows whose first line is full.
fn plan_full<K: Key>(table: &Table<K>, lane: &mut Lane<K>, full: &[u8], now: u16) {
    let mut seconds = [(u32::MAX, 0u16); BURST];
    let mut homes = [0u32; BURST];
    for ((number, second), home) in full.iter().zip(&mut seconds).zip(&mut homes) {
        let Some(at) = lane.misses.get(usize::from(*number)).map(|at| usize::from(*at)) else { continue };
        let (Some(packet), Some(&(line, _))) = (lane.packets.get(at), lane.wanted.get(at)) else { continue };
        *home = line;
        *second = (table.second(packet.hash, line), 0);
        if let Some(tags) = table.tags.get(second.0 as usize) {
            prefetch(tags);
        }
    }
    let Some(seconds) = seconds.get(..full.len()) else { return };
    let (slots, evict) = (&mut lane.planned, &mut lane.evict);
    table.searcher.for_each(&table.tags, seconds, |at, mask| {
        let (Some(number), Some(&(second, _)), Some(&home)) = (full.get(at), seconds.get(at), homes.get(at)) else { return };
        let Some(slot) = slots.get_mut(usize::from(*number)) else { return };
        let mask = mask & PLACES_MASK;
        if mask != 0 {
            *slot = Table::<K>::slot(second, mask.trailing_zeros());
        } else {
            *slot = table.nearest_end(home, now);
            *evict |= 1 << (number & 127);
        }
        table.prefetch_whole(*slot);
    });
}

/// Stage 4b: inserts what was not found, in the order of arrival.
fn insert<K: Key, O: Output>(table: &mut Table<K>, lane: &Lane<K>, work: &mut Work<'_, '_, O>) {
    let (mut keys, mut lines) = (Seen::default(), Seen::default());
    for ((number, at), planned) in lane.misses.iter().enumerate().take(lane.missed).zip(&lane.planned) {
        let at = usize::from(*at);
        let (Some(packet), Some(&(home, tag))) = (lane.packets.get(at), lane.wanted.get(at)) else { continue };
        // An earlier packet of this burst may have begun the flow.
        if keys.again(u32::from(tag))
            && let Some(slot) = table.lookup(&packet.key, packet.hash)
        {
            hit(table, packet, slot, work);
            continue;
        }
        // ... or have taken the place that was planned: the plan holds where this burst has changed nothing.
        let line = planned / PLACES;
        let (changed, also) = (lines.again(line), line != home && lines.again(home));
        let place = if changed | also {
            table.place(packet.hash, tick(work.now))
        } else if lane.evict >> (number & 127) & 1 != 0 {
            Place::Evict(*planned)
        } else {
            Place::Home(*planned)
        };
        let slot = match place {
            Place::Home(slot) | Place::Second(slot) => slot,
            Place::Evict(slot) => {
                work.counters.add(Counter::TableFullLines, 1);
                evict(table, slot, work)
            }
        };
        lines.again(slot / PLACES);
        let (id, frame) = (work.id(), work.frame(packet.frame));
        let Some(entry) = table.entries.get_mut(slot as usize) else { continue };
        let mut layers_full = 0;
        entry.begin(packet, id, Birthplace { frame, tunnels: work.tunnels, sides: &mut table.sides, layers_full: &mut layers_full });
        work.counters.add(Counter::LayersFull, layers_full);
        let deadline = entry.deadline(work.timeouts);
        table.occupy(slot, packet.hash);
        table.set_deadline(slot, tick_after(deadline, work.now));
        work.counters.add(Counter::FlowsCreated, 1);
        work.counters.add(Counter::FlowsActive, 1);
    }
}

/// Makes room in a full line: the flow whose end is nearest goes. Coarse deadlines are corrected lazily, so a flow that turns out
/// to be in use is passed over, twice at most.
fn evict<K: Key, O: Output>(table: &mut Table<K>, mut slot: Slot, work: &mut Work<'_, '_, O>) -> Slot {
    for _ in 0..2 {
        let Some(entry) = table.entries.get(slot as usize) else { break };
        let real = tick_after(entry.deadline(work.timeouts), work.now);
        if real == table.deadline(slot) {
            break;
        }
        table.set_deadline(slot, real);
        slot = table.nearest_end(slot / PLACES, tick(work.now));
    }
    if let Some(entry) = table.entries.get(slot as usize) {
        if entry.has_news() {
            write(entry, &table.sides, EndReason::LackOfResources, work.worker, work.counters, work.out);
        }
        table.vacate(slot);
        work.counters.sub(Counter::FlowsActive, 1);
    }
    slot
}
