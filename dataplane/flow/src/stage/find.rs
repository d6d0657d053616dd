//! Stage 2: tags are compared and entries prefetched; for new flows a place is planned. Entries that were found a while ago say what of
//! the annex is prefetched.

use std::ops::Range;

use sonde_record::Output;

use super::lane::{Lane, NONE, STEP};
use super::update::update;
use super::work::Work;
use crate::annex::Annex;
use crate::handle::Class;
use crate::key::Key;
use crate::measure::follow;
use crate::packet::BURST;
use crate::table::Table;
use crate::tick::tick;

/// When so many second lines of a burst have no free place, the next [`CROWDED`] bursts skip that search: in a flood every one is a cache
/// miss for nothing. A flow that ends a little early for it is one of a full table.
const CROWD: u32 = 16;
const CROWDED: u8 = 32;

/// Stage 2: compares the tags, prefetches the entries. A packet without a match goes to the list of misses.
#[inline(always)]
pub(super) fn find<K: Key>(table: &Table<K>, annex: &Annex, lane: &mut Lane<K>, range: Range<usize>) {
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
pub(super) fn plan<K: Key>(table: &Table<K>, lane: &mut Lane<K>) -> bool {
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
pub(super) fn find_second<K: Key, O: Output>(table: &mut Table<K>, lane: &mut Lane<K>, work: &mut Work<'_, '_, O>) {
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

/// Between stages 2 and 3: prefetches the annex of flows that are measured. Their entries have come meanwhile.
#[inline(always)]
pub(super) fn approach<K: Key>(table: &Table<K>, annex: &Annex, lane: &Lane<K>, range: Range<usize>) {
    let (Some(packets), Some(slots)) = (lane.packets.get(range.clone()), lane.slots.get(range)) else { return };
    for (packet, slot) in packets.iter().zip(slots) {
        if let Some(entry) = table.entries.get(*slot as usize) {
            follow::prefetch(entry, packet, annex);
        }
    }
}
