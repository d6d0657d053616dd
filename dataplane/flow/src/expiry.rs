//! Ending flows: the sweep over the coarse deadlines, and writing what is left at the end.
//!
//! The sweep passes the whole table once per `period`; a flow's record is written at most that period and two ticks
//! (268 ms) after it was due. It touches an entry only when its coarse deadline has come, and all entries of a step are
//! prefetched before the first is looked at. A live flow is looked at once per idle timeout.

use sonde_memory::tags::Line;
use sonde_record::{EndReason, Output, fact};

use crate::annex::Annex;
use crate::counters::{Counter, Counters};
use crate::entry::{Entry, Origin};
use crate::key::Key;
use crate::measure::follow;
use crate::table::{PLACES, Slot, Table};
use crate::tick::{tick, tick_after};
use crate::timeouts::{Due, Timeouts};

/// Longest time of one pass over the table, in nanoseconds.
pub const PERIOD_MAX: u64 = 1_000_000_000;

/// A clock that is further back than this, in nanoseconds, was set: the sweep does not wait for it.
const BACK_MAX: u64 = 60_000_000_000;

/// What a record is made with, and where it goes.
pub(crate) struct Context<'a, O> {
    pub(crate) annex: &'a mut Annex,
    pub(crate) origin: Origin,
    pub(crate) counters: &'a mut Counters,
    pub(crate) out: &'a mut O,
}

/// Nanoseconds of one pass: a quarter of the shortest timeout, at most [`PERIOD_MAX`].
fn period(timeouts: &Timeouts) -> u64 {
    (timeouts.idle.min(timeouts.active) / 4).clamp(1_000_000, PERIOD_MAX)
}

/// Slots of one step, so that their entries are prefetched together.
const STEP: usize = 64;

/// Coarse deadlines of a line that have come: bit n is place n.
#[inline]
fn due_places(tags: &Line, deadlines: &Line, now: u16, all: bool) -> u32 {
    let mut any = 0u16;
    for (tag, deadline) in tags.0.iter().zip(&deadlines.0).take(PLACES as usize) {
        let come = now.wrapping_sub(*deadline).cast_signed() >= 0 || all;
        any |= u16::from(come) & u16::from(*tag != 0);
    }
    if any == 0 {
        return 0;
    }
    let mut mask = 0;
    for (place, (tag, deadline)) in tags.0.iter().zip(&deadlines.0).take(PLACES as usize).enumerate() {
        let come = now.wrapping_sub(*deadline).cast_signed() >= 0 || all;
        mask |= u32::from(come && *tag != 0) << place;
    }
    mask
}

impl<K: Key> Table<K> {
    /// Asks the sweep to look at every flow once, because timeouts have changed.
    pub(crate) fn recheck(&mut self) {
        self.sweep.recheck = self.lines;
    }

    /// Passes as many lines as the time since the last call asks for, at most `budget`.
    pub(crate) fn sweep<O: Output>(&mut self, now: u64, timeouts: &Timeouts, budget: u32, context: &mut Context<'_, O>) {
        if self.sweep.until == 0 || self.sweep.until.saturating_sub(now) > BACK_MAX {
            self.sweep.until = now;
        }
        let period = period(timeouts);
        let elapsed = now.saturating_sub(self.sweep.until);
        let due = (u128::from(elapsed) * u128::from(self.lines) / u128::from(period)).min(u128::from(self.lines));
        if due == 0 {
            return;
        }
        let lines = u32::try_from(due).unwrap_or(u32::MAX);
        if lines == self.lines && budget >= lines {
            // A whole pass catches up with any jump of the clock.
            self.sweep.until = now;
        } else {
            let done = u64::from(lines.min(budget));
            self.sweep.until = self.sweep.until.saturating_add(done * period / u64::from(self.lines));
            // A sweep that is more than a pass behind (no budget) does not run after lost time.
            self.sweep.until = self.sweep.until.max(now.saturating_sub(period));
        }
        let mut left = lines.min(budget);
        context.counters.add(Counter::SweptLines, u64::from(left));
        let coarse = tick(now);
        let mut step = [0 as Slot; STEP];
        let mut filled = 0;
        while left > 0 {
            left -= 1;
            let all = self.sweep.recheck > 0;
            self.sweep.recheck = self.sweep.recheck.saturating_sub(1);
            let line = self.sweep.line;
            self.sweep.line = if line.wrapping_add(1) >= self.lines { 0 } else { line.wrapping_add(1) };
            let (Some(tags), Some(deadlines)) = (self.tags.get(line as usize), self.deadlines.get(line as usize)) else { continue };
            let mut mask = due_places(tags, deadlines, coarse, all);
            while mask != 0 {
                let slot = Self::slot(line, mask.trailing_zeros());
                mask &= mask.wrapping_sub(1);
                self.prefetch_whole(slot);
                if let Some(place) = step.get_mut(filled) {
                    *place = slot;
                    filled += 1;
                }
                if filled == STEP {
                    self.expire(&step, now, timeouts, context);
                    filled = 0;
                }
            }
        }
        self.expire(step.get(..filled).unwrap_or_default(), now, timeouts, context);
    }

    fn expire<O: Output>(&mut self, slots: &[Slot], now: u64, timeouts: &Timeouts, context: &mut Context<'_, O>) {
        if context.annex.follows() {
            let entries = slots.iter().filter_map(|slot| self.entries.get(*slot as usize));
            entries.for_each(|entry| follow::prefetch_whole(entry, context.annex));
        }
        for &slot in slots {
            let Some(entry) = self.entries.get_mut(slot as usize) else { continue };
            match entry.due(now, timeouts) {
                Due::At(deadline) => {
                    // The timeouts may be others than when it was noted.
                    entry.renew_due(timeouts.active);
                    self.set_deadline(slot, tick_after(deadline, now));
                }
                Due::Report(reason) => {
                    write(entry, reason, context);
                    follow::rest(entry, context.annex, context.counters);
                    entry.rest();
                    let deadline = entry.deadline(timeouts);
                    self.set_deadline(slot, tick_after(deadline, now));
                }
                Due::End(reason) => {
                    write(entry, reason, context);
                    end(self, slot, context.annex);
                    context.counters.sub(Counter::FlowsActive, 1);
                }
                Due::Remove => {
                    end(self, slot, context.annex);
                    context.counters.sub(Counter::FlowsActive, 1);
                }
            }
        }
    }

    /// Writes and removes the flows of at most `lines` lines from line `from` on; the line to go on with, `None` at the end.
    pub(crate) fn flush<O: Output>(&mut self, from: u32, lines: u32, context: &mut Context<'_, O>) -> Option<u32> {
        let until = from.saturating_add(lines).min(self.lines);
        for line in from..until {
            let Some(tags) = self.tags.get(line as usize) else { continue };
            let mut taken = !self.searcher.find_one(tags, 0) & crate::table::PLACES_MASK;
            while taken != 0 {
                let slot = Self::slot(line, taken.trailing_zeros());
                taken &= taken.wrapping_sub(1);
                let Some(entry) = self.entries.get(slot as usize) else { continue };
                if entry.has_news() {
                    write(entry, EndReason::Forced, context);
                }
                end(self, slot, context.annex);
                context.counters.sub(Counter::FlowsActive, 1);
            }
        }
        (until < self.lines).then_some(until)
    }
}

/// Removes a flow, and frees what it has in the annex.
#[inline]
pub(crate) fn end<K: Key>(table: &mut Table<K>, slot: Slot, annex: &mut Annex) {
    if let Some(entry) = table.entries.get_mut(slot as usize) {
        follow::release(entry, annex);
    }
    table.vacate(slot);
}

/// Writes the record of a flow and counts it by its reason. The only place.
#[inline(always)]
pub(crate) fn write<K: Key, O: Output>(entry: &Entry<K>, reason: EndReason, context: &mut Context<'_, O>) {
    let counter = match reason {
        EndReason::Idle => Counter::RecordsIdle,
        EndReason::Active => Counter::RecordsActive,
        EndReason::EndOfFlow => Counter::RecordsEndOfFlow,
        EndReason::Forced => Counter::RecordsForced,
        EndReason::LackOfResources => Counter::RecordsLackOfResources,
    };
    context.counters.add(counter, 1);
    let head = entry.head(reason, context.origin).encode();
    if follow::has_facts(entry) {
        let mut words = [0; fact::ALL_WORDS];
        let filled = follow::report(entry, context.annex, &mut words);
        context.out.put_words(&head, words.get(..filled).unwrap_or_default());
    } else {
        context.out.put_words(&head, &[]);
    }
}
