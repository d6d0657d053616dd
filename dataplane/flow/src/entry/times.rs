//! When a flow begins, is reported and ends.

use sonde_record::EndReason;

use super::{Entry, state};
use crate::key::Key;
use crate::tick::tick_after;
use crate::timeouts::{DUE, Due, Timeouts};

/// A packet that is earlier than the flow's first moves the start back by so much at most, in nanoseconds: what was captured by two
/// queues or taps is out of order by less, and a clock that went back further did not.
const LATE_MAX: u64 = 10_000_000_000;

impl<K: Key> Entry<K> {
    /// Time of the latest packet.
    pub(super) fn last(&self) -> u64 {
        let since_first = self.hot.since(self.birth.first);
        self.birth.first.wrapping_sub(since_first.cast_unsigned())
    }

    /// Notes the tick after which a packet is too late for the record.
    pub(crate) fn renew_due(&mut self, active: u64) {
        let due = tick_after(self.birth.first.saturating_add(active), self.last());
        self.hot.last_due = self.hot.last_due & !DUE | u64::from(due);
    }

    /// The first packet of another record: its time is where the record begins, unless the clock went back further than packets are
    /// out of order.
    pub(super) fn wake(&mut self, time: u64, active: u64) {
        let last = self.last();
        self.birth.first = if last.saturating_sub(time) > LATE_MAX { last } else { time };
        self.hot.last_due = self.birth.first << 16;
        self.renew_due(active);
    }

    /// A packet that is earlier than the first one, but not by much, is the first, unless the record would be too long by it.
    pub(super) fn start_early(&mut self, time: u64, active: u64) {
        let (first, last) = (self.birth.first, self.last());
        if time < first && first.saturating_sub(time) <= LATE_MAX && last.saturating_sub(time) <= active {
            self.birth.first = time;
            self.renew_due(active);
        }
    }

    /// When the entry has to be looked at.
    pub(crate) fn deadline(&self, timeouts: &Timeouts) -> u64 {
        let (hot, last) = (&self.hot, self.last());
        if hot.state & state::CLOSED != 0 {
            return last.saturating_add(timeouts.linger.min(timeouts.idle));
        }
        let idle = last.saturating_add(timeouts.idle);
        if hot.state & state::DORMANT != 0 { idle } else { idle.min(self.birth.first.saturating_add(timeouts.active)) }
    }

    /// What is due at `now`.
    pub(crate) fn due(&self, now: u64, timeouts: &Timeouts) -> Due {
        let deadline = self.deadline(timeouts);
        if now < deadline {
            return Due::At(deadline);
        }
        let hot = &self.hot;
        if hot.state & state::DORMANT != 0 {
            Due::Remove
        } else if hot.state & state::CLOSED != 0 {
            Due::End(EndReason::EndOfFlow)
        } else if self.last().saturating_add(timeouts.idle) <= now {
            Due::End(EndReason::Idle)
        } else {
            Due::Report(EndReason::Active)
        }
    }
}
