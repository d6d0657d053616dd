//! The burst through the table, in stages over arrays, so that the memory latency of one packet hides behind 127 others.
//!
//! 1 every packet is hashed and its tag line asked for; 2 all tags are compared and the entries asked for, of new flows the places
//! where they will stand; 3 keys are compared and entries updated; 4 what was not found is inserted. Stages 2 and 3 go in steps of
//! [`STEP`] packets, one behind the other. Rolling one packet at a time through all stages is 1.2 to 2.5 times slower.

use std::ops::Range;

use bytemuck::Zeroable;
use sonde_packet::{Frame, Link, Tcp, Tunnels};
use sonde_record::{EndReason, Output};

use crate::annex::{Annex, Class};
use crate::counters::Counter;
use crate::entry::{Before, Birthplace, Entry, Near, Packet, Timeouts};
use crate::expiry::{Context, write};
use crate::fragments::Head;
use crate::key::Key;
use crate::perf::Opening;
use crate::table::{Home, PLACES, Place, Slot, Table, tick, tick_after};

/// Most packets of a burst.
pub const BURST: usize = 128;
/// When so many second lines of a burst have no free place, none is looked for in the next [`CROWDED`] bursts: in a flood every one is
/// a line of memory for nothing. A flow that ends a little early for it is one of a full table.
const CROWD: u32 = 16;
const CROWDED: u8 = 32;
/// How far ahead header lines are asked for.
const AHEAD: usize = 24;
/// Tag lines that are searched at a time: entries are asked for while further lines come.
const STEP: usize = 16;
/// How far, in packets, stages are behind stage 2: what they need was asked for by the one before.
const APPROACH_BEHIND: usize = 2 * STEP;
const UPDATE_BEHIND: usize = 4 * STEP;
/// No slot.
const NONE: Slot = Slot::MAX;

/// The packets of a burst that go to one table, with what the stages hand on.
#[derive(Debug)]
pub(crate) struct Lane<K> {
    packets: [Packet<K>; BURST],
    wanted: [(u32, u16); BURST],
    slots: [Slot; BURST],
    /// What a search of tags has found.
    masks: [u32; BURST],
    misses: [u8; BURST],
    /// Where the flows of the misses will stand: a free place, or one that will be emptied for them. `NONE`: not decided.
    planned: [Slot; BURST],
    /// What is looked for next for the misses: line and tag; a line that does not exist where it is nothing.
    seconds: [(u32, u16); BURST],
    len: usize,
    missed: usize,
    /// Bursts for which no free place is looked for in second lines: there was none lately.
    crowded: u8,
}

impl<K: Key> Lane<K> {
    pub(crate) fn new() -> Box<Self> {
        Box::new(Self {
            packets: [Packet::zeroed(); BURST],
            wanted: [(0, 0); BURST],
            slots: [NONE; BURST],
            masks: [0; BURST],
            misses: [0; BURST],
            planned: [NONE; BURST],
            seconds: [(NONE, 0); BURST],
            len: 0,
            missed: 0,
            crowded: 0,
        })
    }

    pub(crate) fn clear(&mut self) {
        self.len = 0;
    }

    /// Takes a packet into the burst and asks for its tag line. Stage 1.
    #[inline(always)]
    pub(crate) fn push(&mut self, table: &Table<K>, packet: Packet<K>) {
        if let (Some(place), Some(wanted)) = (self.packets.get_mut(self.len), self.wanted.get_mut(self.len)) {
            approach_tags(table, packet, place, wanted);
            self.len += 1;
        }
    }

    /// Takes the packets of frames, up to the first frame of which `packet` makes none. The loop of stage 1: what it needs is in
    /// registers, not behind `self`. `ahead` asks for a frame that comes soon. How many it has taken.
    #[inline(always)]
    pub(crate) fn fill<'f>(
        &mut self,
        table: &Table<K>,
        frames: &[Frame<'f>],
        ahead: impl Fn(&Frame<'f>),
        packet: impl Fn(usize, &Frame<'f>) -> Option<Packet<K>>,
    ) -> usize {
        let free = self.packets.iter_mut().zip(&mut self.wanted).skip(self.len);
        let mut taken = 0;
        for ((at, frame), (place, wanted)) in frames.iter().enumerate().zip(free) {
            if let Some(frame) = frames.get(at + AHEAD) {
                ahead(frame);
            }
            let Some(packet) = packet(at, frame) else { break };
            approach_tags(table, packet, place, wanted);
            taken = at + 1;
        }
        self.len += taken;
        taken
    }

    /// Packets that can still be taken.
    pub(crate) fn room(&self) -> usize {
        BURST.saturating_sub(self.len)
    }

    /// Whether another packet can be taken.
    pub(crate) fn has_room(&self) -> bool {
        self.room() > 0
    }
}

/// Hashes a packet, puts it into its place and asks for its tag line.
#[inline(always)]
fn approach_tags<K: Key>(table: &Table<K>, mut packet: Packet<K>, place: &mut Packet<K>, wanted: &mut (u32, u16)) {
    packet.hash = packet.key.hash(&table.seed);
    let home = table.home(packet.hash);
    table.prefetch_tags(home.line);
    *wanted = (home.line, home.tag);
    *place = packet;
}

/// What the stages need beside table and lane.
pub(crate) struct Work<'a, 'f, O> {
    pub(crate) frames: &'a [Frame<'f>],
    /// What is left of the frames of fragments that waited: they are numbered from [`BURST`].
    pub(crate) gone: &'f [Head],
    pub(crate) now: u64,
    pub(crate) timeouts: &'a Timeouts,
    pub(crate) near: Near,
    pub(crate) tunnels: &'a Tunnels,
    pub(crate) next_id: &'a mut u64,
    pub(crate) context: Context<'a, O>,
}

impl<'f, O: Output> Work<'_, 'f, O> {
    /// The frame of a packet.
    #[inline(always)]
    fn frame(&self, at: u16) -> Frame<'f> {
        self.frames.get(usize::from(at)).copied().unwrap_or_else(|| self.gone(at))
    }

    /// What is left of the frame of a fragment that waited.
    #[cold]
    fn gone(&self, at: u16) -> Frame<'f> {
        let nothing = Frame { bytes: &[], wire_len: 0, link: Link::Unknown, port: 0, time: self.now };
        usize::from(at).checked_sub(BURST).and_then(|at| self.gone.get(at)).map_or(nothing, Head::frame)
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
    let first_id = *work.next_id;
    let len = lane.len.min(BURST);
    let beside = work.context.annex.follows();
    lane.missed = 0;
    // A step of one stage, then one of the next: while one waits for memory the others work.
    for at in (0..len + UPDATE_BEHIND).step_by(STEP) {
        let step =
            |behind: usize| at.checked_sub(behind).map(|from| from..from.saturating_add(STEP).min(len)).filter(|range| !range.is_empty());
        if let Some(range) = step(0) {
            find(table, work.context.annex, lane, range);
        }
        if beside && let Some(range) = step(APPROACH_BEHIND) {
            approach(table, work.context.annex, lane, range);
        }
        if let Some(range) = step(UPDATE_BEHIND) {
            update(table, lane, range, work);
        }
    }
    if lane.missed > 0 && plan(table, lane) {
        find_second(table, lane, work);
    }
    if lane.missed > 0 {
        insert(table, lane, work, first_id);
    }
}

/// Stage 2: compares the tags, asks for the entries. What has no match goes to the list of misses.
#[inline(always)]
fn find<K: Key>(table: &Table<K>, annex: &Annex, lane: &mut Lane<K>, range: Range<usize>) {
    let mut numbers = u8::try_from(range.start).unwrap_or(0)..;
    let (Some(wanted), Some(slots)) = (lane.wanted.get(range.clone()), lane.slots.get_mut(range)) else { return };
    let mut masks = [0; STEP];
    // Where the pattern of a flow is kept stands in the second line.
    let whole = annex.keeps(Class::Pattern);
    table.searcher.search(&table.tags, wanted, &mut masks);
    for ((&mask, &(line, _)), (slot, at)) in masks.iter().zip(wanted).zip(slots.iter_mut().zip(&mut numbers)) {
        if mask != 0 {
            *slot = Table::<K>::slot(line, mask.trailing_zeros());
            if whole { table.prefetch_whole(*slot) } else { table.prefetch_entry(*slot) }
        } else {
            *slot = NONE;
            if let Some(miss) = lane.misses.get_mut(lane.missed) {
                *miss = at;
                lane.missed += 1;
            }
        }
    }
}

/// Stage 2 for packets without a match: the place their flow will have is the first free one of their line. Whether a second line
/// has to be looked at, because the first has displaced flows or no free place.
#[inline(never)]
fn plan<K: Key>(table: &Table<K>, lane: &mut Lane<K>) -> bool {
    let (Some(seconds), Some(masks)) = (lane.seconds.get_mut(..lane.missed), lane.masks.get_mut(..lane.missed)) else { return false };
    for (miss, second) in lane.misses.iter().zip(&mut *seconds) {
        *second = (lane.wanted.get(usize::from(*miss)).map_or(NONE, |(line, _)| *line), 0);
    }
    table.searcher.search(&table.tags, seconds, masks);
    let mut further = false;
    lane.crowded = lane.crowded.saturating_sub(1);
    for ((miss, &mask), (second, planned)) in lane.misses.iter().zip(&*masks).zip(seconds.iter_mut().zip(&mut lane.planned)) {
        let at = usize::from(*miss);
        let (Some(packet), Some(&(line, tag))) = (lane.packets.get(at), lane.wanted.get(at)) else { continue };
        *planned = if mask != 0 { Table::<K>::slot(line, mask.trailing_zeros()) } else { NONE };
        *second = (NONE, 0);
        let displaced = table.displaced(line) != 0;
        if (mask == 0) | displaced {
            further = true;
            table.prefetch_deadlines(line);
            if (lane.crowded == 0) | displaced {
                *second = (table.second(packet.hash, line), tag);
                table.prefetch_tags(second.0);
            }
        }
    }
    further
}

/// Stages 2 and 3 for packets whose first line has displaced flows or no free place: their flow stands in its second line, or will
/// stand there, or in place of the flow of its first line whose end is nearest.
#[inline(never)]
fn find_second<K: Key, O: Output>(table: &mut Table<K>, lane: &mut Lane<K>, work: &mut Work<'_, '_, O>) {
    let now = tick(work.now);
    let len = lane.missed.min(BURST);
    let (Some(seconds), Some(masks)) = (lane.seconds.get_mut(..len), lane.masks.get_mut(..len)) else { return };
    table.searcher.search(&table.tags, seconds, masks);
    // Those whose flow stands in its second line.
    let (mut found, mut count) = ([0; BURST], 0);
    let mut missed = 0;
    for (number, &mask) in masks.iter().enumerate() {
        let (Some(&(second, _)), Some(&at), Some(&plan)) = (seconds.get(number), lane.misses.get(number), lane.planned.get(number)) else {
            continue;
        };
        if mask != 0 {
            let slot = Table::<K>::slot(second, mask.trailing_zeros());
            table.prefetch_entry(slot);
            if let (Some(place), Some(number)) = (lane.slots.get_mut(usize::from(at)), found.get_mut(count)) {
                (*place, *number) = (slot, at);
                count += 1;
            }
        } else if let (Some(miss), Some(planned), Some(wanted)) =
            (lane.misses.get_mut(missed), lane.planned.get_mut(missed), seconds.get_mut(missed))
        {
            (*miss, *planned) = (at, plan);
            *wanted = (if plan == NONE { second } else { NONE }, 0);
            missed += 1;
        }
    }
    lane.missed = missed;
    find_place(table, lane, now);
    let one = |at: u8| usize::from(at)..usize::from(at) + 1;
    let found = found.iter().take(count);
    if work.context.annex.follows() {
        found.clone().for_each(|at| approach(table, work.context.annex, lane, one(*at)));
    }
    found.for_each(|at| update(table, lane, one(*at), work));
}

/// Stage 2 for new flows without a free place in their first line: one in the second, or that of the flow whose end is nearest.
fn find_place<K: Key>(table: &Table<K>, lane: &mut Lane<K>, now: u16) {
    let missed = lane.missed.min(BURST);
    let (Some(seconds), Some(masks)) = (lane.seconds.get(..missed), lane.masks.get_mut(..missed)) else { return };
    table.searcher.search(&table.tags, seconds, masks);
    let (mut tried, mut free) = (0, 0);
    for ((miss, &mask), (&(second, _), planned)) in lane.misses.iter().zip(&*masks).zip(seconds.iter().zip(&mut lane.planned)) {
        if *planned == NONE {
            tried += u32::from(second != NONE);
            free |= mask;
            *planned = if mask != 0 {
                Table::<K>::slot(second, mask.trailing_zeros())
            } else {
                lane.wanted.get(usize::from(*miss)).map_or(NONE, |(home, _)| table.nearest_end(*home, now))
            };
        }
    }
    if tried >= CROWD && free == 0 {
        lane.crowded = CROWDED;
    }
}

/// Between stages 2 and 3: asks for what is known of flows that are measured. Their entries have come meanwhile.
#[inline(always)]
fn approach<K: Key>(table: &Table<K>, annex: &Annex, lane: &Lane<K>, range: Range<usize>) {
    let (Some(packets), Some(slots)) = (lane.packets.get(range.clone()), lane.slots.get(range)) else { return };
    for (packet, slot) in packets.iter().zip(slots) {
        if let Some(entry) = table.entries.get(*slot as usize) {
            entry.approach(packet, annex);
        }
    }
}

/// Stage 3: compares the keys, updates the entries.
#[inline(always)]
fn update<K: Key, O: Output>(table: &mut Table<K>, lane: &mut Lane<K>, range: Range<usize>, work: &mut Work<'_, '_, O>) {
    let first = range.start;
    let (Some(packets), Some(slots)) = (lane.packets.get(range.clone()), lane.slots.get(range)) else { return };
    for (at, (packet, &slot)) in packets.iter().zip(slots).enumerate() {
        let Some(entry) = table.entries.get(slot as usize) else { continue };
        if entry.key == packet.key {
            hit(table, packet, slot, work);
        } else if let Some(slot) = table.lookup(&packet.key, packet.hash) {
            // Two flows with one tag in one line, one lookup in 2,000: the flow is further along.
            hit(table, packet, slot, work);
        } else if let (Some(miss), Some(plan)) = (lane.misses.get_mut(lane.missed), lane.planned.get_mut(lane.missed)) {
            (*miss, *plan) = (u8::try_from(first + at).unwrap_or(0), NONE);
            lane.missed += 1;
        }
    }
}

/// A packet of the flow at `slot`.
#[inline(always)]
fn hit<K: Key, O: Output>(table: &mut Table<K>, packet: &Packet<K>, slot: Slot, work: &mut Work<'_, '_, O>) {
    let Some(entry) = table.entries.get_mut(slot as usize) else { return };
    if !entry.add(packet, work.near) {
        special(table, packet, slot, work);
    } else if entry.is_followed(packet) {
        // A SYN is special: there are no options here.
        entry.measure(packet, &work.frame(packet.frame), None, work.context.annex, work.context.counters);
    }
}

/// SYN, FIN, RST, fragments, flows that were idle too long or have just been reported.
#[inline(never)]
fn special<K: Key, O: Output>(table: &mut Table<K>, packet: &Packet<K>, slot: Slot, work: &mut Work<'_, '_, O>) {
    let frame = work.frame(packet.frame);
    let Some(entry) = table.entries.get_mut(slot as usize) else { return };
    let opens = packet.flags & (Tcp::SYN | Tcp::ACK) == Tcp::SYN;
    let opening = if opens { entry.opening_of(packet, &frame, work.context.annex) } else { Opening::Unknown };
    let restart = match entry.before(packet, work.timeouts, opening) {
        Before::Add => false,
        Before::Report(reason) => {
            write(entry, reason, &mut work.context);
            entry.rest(work.context.annex, work.context.counters);
            false
        }
        Before::Restart(reason) => {
            write(entry, reason, &mut work.context);
            true
        }
        Before::RestartSilently => true,
    };
    let was = (entry.is_closed(), entry.has_news());
    if restart {
        entry.release(work.context.annex);
        begin(entry, packet, work);
    } else {
        let options = packet.syn_options(&frame);
        // Before the packet is a part of what a lone SYN would be put together of.
        entry.settle_syn(work.context.annex, work.context.counters);
        entry.add_special(packet, options.as_ref(), work.timeouts.active);
        entry.measure(packet, &frame, options.as_ref(), work.context.annex, work.context.counters);
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

/// How many new flows ahead the places are asked for. Inserting is work enough to hide them behind it; asked for all at once, the
/// core could do nothing else until most of them had come.
const NEW_AHEAD: usize = 12;

/// How many new flows ahead what stands beside the flow that goes is asked for; its entry must have come.
const SIDES_AHEAD: usize = 4;

/// Stage 4: inserts what was not found, in the order of arrival.
fn insert<K: Key, O: Output>(table: &mut Table<K>, lane: &Lane<K>, work: &mut Work<'_, '_, O>, first_id: u64) {
    let mut tags = Seen::default();
    let Some(plans) = lane.planned.get(..lane.missed) else { return };
    let beside = work.context.annex.follows();
    plans.iter().take(NEW_AHEAD).for_each(|slot| table.prefetch_whole(*slot));
    for (number, (at, planned)) in lane.misses.iter().zip(plans).enumerate() {
        if let Some(slot) = plans.get(number + NEW_AHEAD) {
            table.prefetch_whole(*slot);
        }
        if beside && let Some(entry) = plans.get(number + SIDES_AHEAD).and_then(|slot| table.entries.get(*slot as usize)) {
            entry.measured().prefetch_whole(work.context.annex);
        }
        let at = usize::from(*at);
        let (Some(packet), Some(&(home, tag))) = (lane.packets.get(at), lane.wanted.get(at)) else { continue };
        // An earlier packet of this burst may have begun the flow.
        if tags.again(u32::from(tag))
            && let Some(slot) = table.lookup(&packet.key, packet.hash)
        {
            hit(table, packet, slot, work);
            continue;
        }
        let (slot, taken) = place(table, packet, *planned, first_id, work.now);
        let slot = if taken { evict(table, slot, work) } else { slot };
        let Some(entry) = table.entries.get_mut(slot as usize) else { continue };
        begin(entry, packet, work);
        let deadline = entry.deadline(work.timeouts);
        table.occupy(slot, Home { line: home, tag }, tick_after(deadline, work.now));
        work.context.counters.add(Counter::FlowsActive, 1);
    }
}

/// Makes an entry the flow of its first packet, with what stands beside it.
#[inline(always)]
fn begin<K: Key, O: Output>(entry: &mut Entry<K>, packet: &Packet<K>, work: &mut Work<'_, '_, O>) {
    let (id, frame) = (work.id(), work.frame(packet.frame));
    work.context.counters.add(Counter::FlowsCreated, 1);
    let options = packet.syn_options(&frame);
    let (frame, options) = (&frame, options.as_ref());
    let Context { annex, counters, .. } = &mut work.context;
    entry.begin(packet, id, Birthplace { frame, options, tunnels: work.tunnels, annex, counters, active: work.timeouts.active });
}

/// Where a new flow goes, and whether the place is taken: as planned, unless an earlier packet of this burst began a flow there.
#[inline(always)]
fn place<K: Key>(table: &Table<K>, packet: &Packet<K>, planned: Slot, first_id: u64, now: u64) -> (Slot, bool) {
    if planned != NONE {
        if table.tag(planned) == 0 {
            return (planned, false);
        }
        if table.entries.get(planned as usize).is_some_and(|entry| entry.is_older_than(first_id)) {
            return (planned, true);
        }
    }
    match table.place(packet.hash, tick(now)) {
        Place::Home(slot) | Place::Second(slot) => (slot, false),
        Place::Evict(slot) => (slot, true),
    }
}

/// Makes room in a full line: the flow whose end is nearest goes. Coarse deadlines are corrected lazily, so a flow that turns out
/// to be in use is passed over, twice at most.
#[inline(always)]
fn evict<K: Key, O: Output>(table: &mut Table<K>, mut slot: Slot, work: &mut Work<'_, '_, O>) -> Slot {
    work.context.counters.add(Counter::TableFullLines, 1);
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
            write(entry, EndReason::LackOfResources, &mut work.context);
        }
        table.vacate(slot, work.context.annex);
        work.context.counters.sub(Counter::FlowsActive, 1);
    }
    slot
}
