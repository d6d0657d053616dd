//! When a flow begins, is reported and ends.

use sonde_record::EndReason;

use super::{DUE, Entry, state};
use crate::key::Key;
use crate::table::tick_after;

/// A packet that is earlier than the flow's first moves the start back by so much at most, in nanoseconds: what was captured by two
/// queues or taps is out of order by less, and a clock that went back further did not.
const LATE_MAX: u64 = 10_000_000_000;

/// When flows end, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// No packet for so long: the flow ended.
    pub idle: u64,
    /// A flow that goes on is reported so often: no record is longer than this and one tick (2^27 ns, 134 ms).
    pub active: u64,
    /// A closed TCP connection waits so long for its last segments.
    pub linger: u64,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { idle: 30_000_000_000, active: 300_000_000_000, linger: 2_000_000_000 }
    }
}

/// What is due for an entry whose deadline has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// Nothing yet: look again at this time.
    At(u64),
    /// Write its record and keep it.
    Report(EndReason),
    /// Write its record and remove it.
    End(EndReason),
    /// Remove it: it was reported, and nothing came since.
    Remove,
}

/// How far a packet may be from the latest of its flow to go by unseen: not later than the idle timeout, and not earlier but by a
/// nanosecond. [`Hot::last_due`](super::Hot) of the entry is taken from its time, and one nanosecond added, in units of 2^-16 ns.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Near(pub(super) u64);

impl Near {
    pub(crate) fn new(timeouts: &Timeouts) -> Self {
        Self((timeouts.idle.min((1 << 47) - 1) << 16).saturating_add(DUE + 1))
    }
}

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
