//! How packets of one direction follow each other: delay is the time between two, jitter the difference of two delays.
//!
//! Both with least, mean, greatest and standard deviation, over all packets of the direction. RFC 3550's smoothed jitter is another
//! figure: it needs the sender's clock.

use bytemuck::{Pod, Zeroable};
use sonde_record::fact::Spread;

/// Least and greatest delay and jitter of one direction, 24 bits each: see [`short`].
#[derive(Clone, Copy, Debug, Zeroable, Pod)]
#[repr(transparent)]
pub(crate) struct Extremes([u32; 3]);

/// What the delays and jitters of one direction sum up to, in squared nanoseconds and nanoseconds. Delays need no sum of their own: they
/// add up to the time from the first packet to the last.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sums {
    pub(crate) delay_squares: f64,
    pub(crate) jitter_squares: f64,
    pub(crate) delay_sum: u64,
    pub(crate) jitter_sum: u64,
}

/// Greatest number of 24 bits.
const SHORT_MAX: u32 = (1 << 24) - 1;
/// One below the biased exponent of 1 (IEEE 754 binary64), in a [`short`].
const SHORT_ONE: u64 = 1022 << 18;

/// A number of nanoseconds below 2^62 in 24 bits: six of exponent, 18 of fraction, rounded to the nearest. Numbers keep their order;
/// those below 2^19 are exact.
#[inline]
fn short(ns: f64) -> u32 {
    // Zero has an exponent far below that of 1.
    (ns.to_bits().wrapping_add(1 << 33) >> 34).saturating_sub(SHORT_ONE) as u32 & SHORT_MAX
}

/// The number of nanoseconds of a [`short`].
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "casts of floats saturate, and none is negative")]
fn long(short: u32) -> u64 {
    if short == 0 { 0 } else { f64::from_bits((u64::from(short) + SHORT_ONE) << 34) as u64 }
}

impl Extremes {
    /// Nothing gathered yet.
    pub(crate) const EMPTY: Self = Self::of([SHORT_MAX, 0, SHORT_MAX, 0]);

    const fn of([delay_min, delay_max, jitter_min, jitter_max]: [u32; 4]) -> Self {
        Self([delay_min | delay_max << 24, delay_max >> 8 | jitter_min << 16, jitter_min >> 16 | jitter_max << 8])
    }

    #[inline]
    const fn all(self) -> [u32; 4] {
        let Self([a, b, c]) = self;
        [a & SHORT_MAX, a >> 24 | (b & 0xffff) << 8, b >> 16 | (c & 0xff) << 16, c >> 8]
    }

    /// A delay, and how it differs from the one before, both in nanoseconds. One branch that is seldom taken in a long connection.
    #[inline]
    pub(crate) fn add(&mut self, delay: f64, jitter: f64) {
        let ([delay, jitter], [delay_min, delay_max, jitter_min, jitter_max]) = ([delay, jitter].map(short), self.all());
        if (delay < delay_min) | (delay > delay_max) | (jitter < jitter_min) | (jitter > jitter_max) {
            *self = Self::of([delay_min.min(delay), delay_max.max(delay), jitter_min.min(jitter), jitter_max.max(jitter)]);
        }
    }

    /// The first delay of a direction.
    pub(crate) fn add_delay(&mut self, delay: f64) {
        let (delay, [delay_min, delay_max, jitter_min, jitter_max]) = (short(delay), self.all());
        *self = Self::of([delay_min.min(delay), delay_max.max(delay), jitter_min, jitter_max]);
    }

    /// Delay and jitter, given how many of each there were. Zero of zero.
    pub(crate) fn report(self, sums: &Sums, delays: u32, jitters: u32) -> [Spread; 2] {
        let [delay_min, delay_max, jitter_min, jitter_max] = self.all();
        [
            spread(sums.delay_sum, sums.delay_squares, [delay_min, delay_max], delays),
            spread(sums.jitter_sum, sums.jitter_squares, [jitter_min, jitter_max], jitters),
        ]
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "casts of floats saturate, and none is negative")]
fn spread(sum: u64, squares: f64, [min, max]: [u32; 2], count: u32) -> Spread {
    let Some(mean) = sum.checked_div(u64::from(count)) else { return Spread::default() };
    let exact = sum as f64 / f64::from(count);
    let variance = squares / f64::from(count) - exact * exact;
    Spread { min: long(min), mean, max: long(max), deviation: variance.max(0.0).sqrt().round() as u64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(delays: &[u64], expected: [(u64, u64, u64, u64); 2]) {
        let mut sums = Sums { delay_squares: 0.0, jitter_squares: 0.0, delay_sum: delays.iter().sum(), jitter_sum: 0 };
        let mut extremes = Extremes::EMPTY;
        let mut before = None::<u64>;
        for &delay in delays {
            let wide = delay.cast_signed() as f64;
            sums.delay_squares += wide * wide;
            match before {
                None => extremes.add_delay(wide),
                Some(last) => {
                    let jitter = delay.abs_diff(last).cast_signed() as f64;
                    extremes.add(wide, jitter);
                    sums.jitter_squares += jitter * jitter;
                    sums.jitter_sum += delay.abs_diff(last);
                }
            }
            before = Some(delay);
        }
        let count = u32::try_from(delays.len()).expect("few");
        let found = extremes.report(&sums, count, count.saturating_sub(1));
        assert_eq!(found.map(|s| (s.min, s.mean, s.max, s.deviation)), expected, "{delays:?}");
    }

    #[test]
    fn short_numbers_keep_order_and_19_digits() {
        let both = |ns: u64| long(short(ns.cast_signed() as f64));
        for ns in (0..1 << 19).step_by(7).chain([1, (1 << 19) - 1]) {
            assert_eq!(both(ns), ns);
        }
        let mut before = 0;
        for bits in 19..62 {
            for ns in [1 << bits, (1 << bits) + (1 << (bits - 18)), (1 << bits) + (1 << (bits - 1)) + 12_345, (2 << bits) - 1] {
                let found = both(ns);
                assert!(found.abs_diff(ns) <= ns >> 19 && found >= before, "{ns} became {found}, after {before}");
                before = found;
            }
        }
        assert!([SHORT_MAX, 0, 0x12_3456, 0xab_cdef].iter().all(|n| Extremes::of([*n; 4]).all() == [*n; 4]));
        assert_eq!(Extremes::of([1, 0xff_fffe, 3, 0xff_fffc]).all(), [1, 0xff_fffe, 3, 0xff_fffc]);
    }

    #[test]
    fn nothing_has_no_spread() {
        check(&[], [(0, 0, 0, 0); 2]);
        check(&[7], [(7, 7, 7, 0), (0, 0, 0, 0)]);
    }

    #[test]
    fn deviation_is_that_of_the_population() {
        check(&[2, 4, 4, 4, 5, 5, 7, 9], [(2, 5, 9, 2), (0, 1, 2, 1)]);
        check(&[1_000_000; 1000], [(1_000_000, 1_000_000, 1_000_000, 0), (0, 0, 0, 0)]);
    }

    #[test]
    fn a_steady_stream_of_long_gaps_has_no_deviation() {
        // The squares cancel: eight octets of float are enough for that, four are not.
        check(&[1 << 35; 100], [(1 << 35, 1 << 35, 1 << 35, 0), (0, 0, 0, 0)]);
    }
}
