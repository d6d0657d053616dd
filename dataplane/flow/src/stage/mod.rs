//! The burst through the table, in stages over arrays, so that the memory latency of one packet hides behind 127 others.
//!
//! 1 every packet is hashed and its line of tags prefetched (`prepare`); 2 all tags are compared and entries prefetched, for new flows the
//! places where they will stand (`find`); 3 keys are compared and entries updated (`update`); 4 what was not found is inserted
//! (`insert`). Stages 2 and 3 go in steps of 16 packets, one behind the other. Rolling one packet at a time through all stages is
//! 1.2 to 2.5 times slower.

mod find;
mod insert;
mod lane;
mod prepare;
mod update;
mod work;

use sonde_record::Output;

use self::find::{approach, find, find_second, plan};
use self::insert::insert;
use self::lane::STEP;
pub(crate) use self::lane::{Lane, belongs};
pub(crate) use self::prepare::AHEAD;
use self::update::update;
pub(crate) use self::work::Work;
use crate::key::Key;
use crate::packet::BURST;
use crate::table::Table;

/// How far, in packets, stages are behind stage 2: what they need was prefetched by the one before.
const APPROACH_BEHIND: usize = 2 * STEP;
const UPDATE_BEHIND: usize = 4 * STEP;

/// Stages 2 to 4.
pub(crate) fn track<K: Key, O: Output>(table: &mut Table<K>, lane: &mut Lane<K>, work: &mut Work<'_, '_, O>) {
    if lane.len == 0 {
        return;
    }
    let first_id = *work.next_id;
    let len = lane.len.min(BURST);
    let follows = work.context.annex.follows();
    lane.missed = 0;
    // A step of one stage, then one of the next: while one waits for memory the others work.
    for at in (0..len + UPDATE_BEHIND).step_by(STEP) {
        let step =
            |behind: usize| at.checked_sub(behind).map(|from| from..from.saturating_add(STEP).min(len)).filter(|range| !range.is_empty());
        if let Some(range) = step(0) {
            find(table, work.context.annex, lane, range);
        }
        if follows && let Some(range) = step(APPROACH_BEHIND) {
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
