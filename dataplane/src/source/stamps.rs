//! A NIC's receive times on the probe's clock.
//!
//! The NIC counts on an oscillator of its own, from a beginning of its own. A frame cannot have been polled before it was received,
//! so the smallest distance seen between the two clocks is the nearest to the truth: it is followed down at once, and up ten times
//! a second, which keeps a drift of 100 ppm below 0.02 ms. No clock is read for it beyond the burst's own.

use dpdk_sys::{Burst, StampField};

/// How long the smallest distance is looked for before it replaces the one in use.
const WINDOW_NS: u64 = 100_000_000;
/// A receive time further in the past than this is not believed: the NIC's counter was set or has wrapped.
const OLDEST_NS: u64 = 1_000_000_000;

/// The clock of one NIC as one thread sees it.
#[derive(Clone, Copy, Debug)]
pub(super) struct StampClock {
    field: StampField,
    mapping: Mapping,
}

impl StampClock {
    /// `ns_per_tick` as a 32.32 fixed-point number.
    pub(super) fn new(field: StampField, ns_per_tick: u64) -> Self {
        Self { field, mapping: Mapping::new(ns_per_tick) }
    }

    /// Learns from the newest frame of a burst polled at `now`.
    pub(super) fn learn(&mut self, burst: &Burst, at: usize, now: u64) {
        if let Some(ticks) = burst.stamp(at, &self.field) {
            self.mapping.learn(ticks, now);
        }
    }

    /// When frame `at` of a burst polled at `now` was received; `now` when its NIC does not say, or not credibly.
    #[inline]
    pub(super) fn time(&self, burst: &Burst, at: usize, now: u64) -> u64 {
        burst.stamp(at, &self.field).map_or(now, |ticks| self.mapping.time(ticks, now))
    }
}

#[derive(Clone, Copy, Debug)]
struct Mapping {
    ns_per_tick: u64,
    /// What is added to the NIC's time (wrapping), once something was learnt.
    distance: Option<u64>,
    /// The smallest of this window, beyond `distance`.
    least: u64,
    window_ends: u64,
}

impl Mapping {
    fn new(ns_per_tick: u64) -> Self {
        Self { ns_per_tick, distance: None, least: u64::MAX, window_ends: 0 }
    }

    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "the NIC's clock may wrap; only differences count")]
    fn nanoseconds(&self, ticks: u64) -> u64 {
        ((u128::from(ticks) * u128::from(self.ns_per_tick)) >> 32) as u64
    }

    fn learn(&mut self, ticks: u64, now: u64) {
        let seen = now.wrapping_sub(self.nanoseconds(ticks));
        let Some(distance) = self.distance else {
            self.distance = Some(seen);
            self.window_ends = now.saturating_add(WINDOW_NS);
            return;
        };
        let beyond = seen.wrapping_sub(distance);
        if beyond.cast_signed() < 0 {
            self.distance = Some(seen);
            self.least = 0;
        } else {
            self.least = self.least.min(beyond);
        }
        if now >= self.window_ends {
            self.distance = self.distance.map(|distance| distance.wrapping_add(self.least));
            self.least = u64::MAX;
            self.window_ends = now.saturating_add(WINDOW_NS);
        }
    }

    #[inline]
    fn time(&self, ticks: u64, now: u64) -> u64 {
        let Some(distance) = self.distance else { return now };
        let time = self.nanoseconds(ticks).wrapping_add(distance);
        if now.wrapping_sub(time) <= OLDEST_NS { time } else { now }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_700_000_000_000_000_000;
    const ONE: u64 = 1 << 32;

    #[test]
    fn the_shortest_delay_sets_the_clock() {
        let mut mapping = Mapping::new(ONE);
        assert_eq!(mapping.time(5, NOW), NOW, "nothing was learnt yet");
        // Received at 1000 on the NIC's clock, polled 300 ns later than the fastest.
        mapping.learn(1_000, NOW + 300);
        mapping.learn(2_000, NOW + 1_000);
        assert_eq!(mapping.time(2_500, NOW + 9_000), NOW + 1_500);
        // Slower ones do not move it within the window.
        mapping.learn(3_000, NOW + 50_000);
        assert_eq!(mapping.time(3_000, NOW + 50_000), NOW + 2_000);
    }

    #[test]
    fn a_drift_is_followed_in_both_directions() {
        for ppm in [-100_i64, 100] {
            let mut mapping = Mapping::new(ONE);
            for burst in 0..100_000_u64 {
                let real = NOW + burst * 100_000;
                let nic = (burst * 100_000).cast_signed();
                let nic = (nic + nic * ppm / 1_000_000).cast_unsigned() + 77;
                let polled = real + 500 + burst % 7 * 1_000;
                mapping.learn(nic, polled);
                let error = mapping.time(nic, polled).abs_diff(real);
                assert!(error < 30_000, "{ppm} ppm, burst {burst}: {error} ns");
            }
        }
    }

    #[test]
    fn ticks_are_scaled_and_nonsense_is_the_time_of_the_burst() {
        // 125 MHz: 8 ns a tick.
        let mut mapping = Mapping::new(8 * ONE);
        mapping.learn(1_000, NOW);
        assert_eq!(mapping.time(1_010, NOW + 100), NOW + 80);
        assert_eq!(mapping.time(1_000_000, NOW + 100), NOW + 100, "in the future");
        assert_eq!(mapping.time(1_000, NOW + 2_000_000_000), NOW + 2_000_000_000, "too old");
    }

    #[test]
    fn a_counter_that_is_set_back_is_learnt_again_within_a_window() {
        let mut mapping = Mapping::new(ONE);
        mapping.learn(5_000_000_000, NOW);
        for step in 1..=30_u64 {
            mapping.learn(step * 100_000_000, NOW + step * 100_000_000);
        }
        assert_eq!(mapping.time(3_000_000_000, NOW + 3_000_000_000), NOW + 3_000_000_000);
        assert_eq!(mapping.time(2_900_000_000, NOW + 3_000_000_000), NOW + 2_900_000_000);
    }
}
