//! Stage 4: what was not found is inserted, in the order of arrival.

use sonde_record::{EndReason, Output};

use super::lane::{Lane, NONE, belongs};
use super::update::{begin, hit};
use super::work::Work;
use crate::counters::Counter;
use crate::expiry::{end, write};
use crate::key::Key;
use crate::measure::follow;
use crate::packet::Packet;
use crate::table::{Home, PLACES, Place, Slot, Table};
use crate::tick::{tick, tick_after};

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

/// How many new flows ahead the places are prefetched. Inserting is work enough to hide them behind it; prefetched all at once, they
/// would stall the core until most of them had come.
const NEW_AHEAD: usize = 12;

/// How many new flows ahead the annex of the flow that goes is prefetched; its entry must have come.
const ANNEX_AHEAD: usize = 4;

/// Stage 4: inserts what was not found, in the order of arrival.
pub(super) fn insert<K: Key, O: Output>(table: &mut Table<K>, lane: &mut Lane<K>, work: &mut Work<'_, '_, O>, first_id: u64) {
    let mut tags = Seen::default();
    let Lane { packets, wanted, slots, belongs: hows, misses, planned, missed, .. } = lane;
    let Some(plans) = planned.get(..*missed) else { return };
    let follows = work.context.annex.follows();
    plans.iter().take(NEW_AHEAD).for_each(|slot| table.prefetch_whole(*slot));
    for (number, (at, planned)) in misses.iter().zip(plans).enumerate() {
        if let Some(slot) = plans.get(number + NEW_AHEAD) {
            table.prefetch_whole(*slot);
        }
        if follows && let Some(entry) = plans.get(number + ANNEX_AHEAD).and_then(|slot| table.entries.get(*slot as usize)) {
            follow::prefetch_whole(entry, work.context.annex);
        }
        let at = usize::from(*at);
        let (Some(packet), Some(&(home, tag))) = (packets.get(at), wanted.get(at)) else { continue };
        let (Some(held), Some(how)) = (slots.get_mut(at), hows.get_mut(at)) else { continue };
        // An earlier packet of this burst may have begun the flow.
        if tags.again(u32::from(tag))
            && let Some(slot) = table.lookup(&packet.key, packet.hash)
        {
            (*held, *how) = (slot, hit(table, packet, slot, work));
            continue;
        }
        let (slot, taken) = place(table, packet, *planned, first_id, work.now);
        let slot = if taken { evict(table, slot, work) } else { slot };
        let Some(entry) = table.entries.get_mut(slot as usize) else { continue };
        begin(entry, packet, work);
        (*held, *how) = (slot, belongs::NEW);
        let deadline = entry.deadline(work.timeouts);
        table.occupy(slot, Home { line: home, tag }, tick_after(deadline, work.now));
        work.context.counters.add(Counter::FlowsActive, 1);
    }
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
        end(table, slot, work.context.annex);
        work.context.counters.sub(Counter::FlowsActive, 1);
    }
    slot
}
