//! Slower than it could: a recording that a virtual device repeats is taken at a rate.

use std::num::NonZeroU32;

/// Nanoseconds of a second, and the credit that one packet costs: credit is packets a second times nanoseconds.
const SECOND: u64 = 1_000_000_000;
/// After a pause no more than this many packets are taken at once.
const SAVED_MAX: u64 = 256;

/// How many packets may be taken now.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    per_second: u64,
    credit: u64,
    since: u64,
}

impl Pace {
    /// `per_second` packets, shared by `queues` that are polled apart; at least one packet a second each.
    pub(super) fn new(per_second: NonZeroU32, queues: u16) -> Self {
        let each = u64::from(per_second.get()) / u64::from(queues.max(1));
        Self { per_second: each.max(1), credit: 0, since: 0 }
    }

    /// Packets that may be taken at `now` (nanoseconds).
    pub(super) fn allowed(&mut self, now: u64) -> usize {
        let elapsed = if self.since == 0 { 0 } else { now.saturating_sub(self.since).min(SECOND) };
        self.since = now;
        // At most 10^9 * 2^32, which fits.
        self.credit = (self.credit + elapsed * self.per_second).min(SAVED_MAX * SECOND);
        usize::try_from(self.credit / SECOND).unwrap_or_default()
    }

    /// Packets were taken.
    pub(super) fn took(&mut self, packets: usize) {
        self.credit = self.credit.saturating_sub(packets as u64 * SECOND);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(per_second: u32, queues: u16, step_ns: u64, steps: u64) -> u64 {
        let mut pace = Pace::new(NonZeroU32::new(per_second).expect("not 0"), queues);
        let mut taken = 0;
        for step in 1..=steps {
            let allowed = pace.allowed(1_000 + step * step_ns).min(64);
            pace.took(allowed);
            taken += allowed as u64;
        }
        taken
    }

    #[test]
    fn the_rate_is_kept_whatever_the_polls() {
        // The first poll starts the clock.
        assert_eq!(check(5_000, 1, 1_000_000, 1_001), 5_000);
        assert_eq!(check(5_000, 1, 333, 3_003_005), 5_000);
        assert_eq!(check(5_000, 2, 1_000_000, 1_001), 2_500);
        assert_eq!(check(1, 4, SECOND, 11), 10);
        assert_eq!(check(u32::MAX, 1, SECOND, 11), 640);
    }

    #[test]
    fn a_pause_is_not_made_up_for() {
        let mut pace = Pace::new(NonZeroU32::MAX, 1);
        pace.allowed(1);
        assert_eq!(pace.allowed(3_600 * SECOND), 256);
    }
}
