//! The time of a live source.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// A wall clock that differs by less was not stepped, in nanoseconds: both clocks are read one after the other.
const STEP_MIN: i64 = 10_000_000;
/// Two readings of one clock that are further apart, in nanoseconds, say nothing of what was read between them.
const READ_MAX: u64 = 1_000_000;

/// Nanoseconds since 1970 UTC that never go backwards: the system's time when it was made, carried on by the monotonic clock.
///
/// A step of the system clock (NTP's after the start, an operator's, a leap second) does not reach it: flows have the durations that they
/// had. What they are shown by is an [`Offset`] beside it, which a [`Watch`] keeps.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    base: u64,
    from: Instant,
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}

/// The system's time.
fn wall() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

impl Clock {
    /// Reads the system's time once.
    pub fn new() -> Self {
        Self { base: wall(), from: Instant::now() }
    }

    /// Now. About 35 ns: once a burst, never once a packet.
    #[inline]
    pub fn now(&self) -> u64 {
        self.base.saturating_add(u64::try_from(self.from.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }
}

/// What is added to the times of a [`Clock`] for them to be those of the wall clock, in nanoseconds. One writes it, all read it.
#[derive(Clone, Debug, Default)]
pub struct Offset(Arc<AtomicI64>);

impl Offset {
    /// The number.
    #[inline]
    pub fn get(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Looks whether the wall clock was stepped: once a second, on the control thread.
#[derive(Debug)]
pub struct Watch {
    clock: Clock,
    offset: Offset,
    steps: u64,
    latest: i64,
}

impl Watch {
    /// Keeps this offset.
    pub fn new(clock: Clock, offset: Offset) -> Self {
        Self { clock, offset, steps: 0, latest: 0 }
    }

    /// Reads both clocks; the step, in nanoseconds, if there was one since the last look.
    pub fn look(&mut self) -> Option<i64> {
        let (before, wall, after) = (self.clock.now(), wall(), self.clock.now());
        // Interrupted between the readings: the next look will tell.
        if after.saturating_sub(before) > READ_MAX { None } else { self.compare(before, wall) }
    }

    /// Compares the wall clock with a time of the clock.
    fn compare(&mut self, now: u64, wall: u64) -> Option<i64> {
        let shown = now.saturating_add_signed(self.offset.get());
        let step = wall.wrapping_sub(shown).cast_signed();
        if step.unsigned_abs() < STEP_MIN.unsigned_abs() {
            return None;
        }
        self.offset.0.store(self.offset.get().saturating_add(step), Ordering::Relaxed);
        self.steps = self.steps.saturating_add(1);
        self.latest = step;
        Some(step)
    }

    /// Steps so far.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// The latest step, in whole milliseconds: ahead, and back, of which one is 0.
    pub fn latest_ms(&self) -> [u64; 2] {
        let ms = self.latest.unsigned_abs() / 1_000_000;
        if self.latest < 0 { [0, ms] } else { [ms, 0] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn a_step_is_told_once_and_the_offset_follows_it() {
        let offset = Offset::default();
        let mut watch = Watch::new(Clock::new(), offset.clone());
        let start = 1_700_000_000 * SECOND;
        assert_eq!(watch.compare(start, start), None);
        assert_eq!(watch.compare(start + SECOND, start + SECOND + 9_000_000), None, "read one after the other");
        assert_eq!(watch.compare(start + 2 * SECOND, start + 3602 * SECOND), Some(3_600_000_000_000));
        assert_eq!((offset.get(), watch.steps(), watch.latest_ms()), (3_600_000_000_000, 1, [3_600_000, 0]));
        assert_eq!(watch.compare(start + 3 * SECOND, start + 3603 * SECOND), None);
        assert_eq!(watch.compare(start + 4 * SECOND, start + 4 * SECOND), Some(-3_600_000_000_000), "and back");
        assert_eq!((offset.get(), watch.steps(), watch.latest_ms()), (0, 2, [0, 3_600_000]));
    }

    #[test]
    fn a_clock_that_nobody_steps_has_no_offset() {
        let offset = Offset::default();
        let mut watch = Watch::new(Clock::new(), offset.clone());
        assert_eq!((watch.look(), offset.get(), watch.steps()), (None, 0, 0));
    }
}
