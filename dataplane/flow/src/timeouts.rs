//! When flows end, and what is due.

use sonde_record::EndReason;

/// The tick in an entry's word of time and tick: its low 16 bits.
pub(crate) const DUE: u64 = 0xffff;

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
/// nanosecond. The entry's word of time and tick is taken from its time, and one nanosecond added, in units of 2^-16 ns.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Near(pub(crate) u64);

impl Near {
    pub(crate) fn new(timeouts: &Timeouts) -> Self {
        Self((timeouts.idle.min((1 << 47) - 1) << 16).saturating_add(DUE + 1))
    }
}
