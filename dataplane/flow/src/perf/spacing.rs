//! How packets of one direction follow each other: delay is the time between two, jitter the difference of two delays.
//!
//! Both with least, mean, greatest and standard deviation, over all packets of the direction. RFC 3550's smoothed jitter is another
//! figure: it needs the sender's clock.

use bytemuck::Zeroable;

/// What the delays and jitters of one direction sum up to, 48 octets.
#[derive(Clone, Copy, Debug, Zeroable)]
#[repr(C)]
pub(crate) struct Spacing {
    delay_squares: f64,
    jitter_squares: f64,
    delay_sum: u64,
    jitter_sum: u64,
    /// Least and greatest, in nanoseconds: four octets have seven digits of any span there is.
    delay: [f32; 2],
    jitter: [f32; 2],
}

const _: () = assert!(size_of::<Spacing>() == 48);

/// Least, mean, greatest and standard deviation (of the population), in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Spread {
    /// Least; rounded to seven digits.
    pub min: u64,
    /// Mean.
    pub mean: u64,
    /// Greatest; rounded to seven digits.
    pub max: u64,
    /// Standard deviation.
    pub deviation: u64,
}

impl Spacing {
    /// Nothing gathered yet.
    pub(crate) const EMPTY: Self =
        Self { delay_squares: 0.0, jitter_squares: 0.0, delay_sum: 0, jitter_sum: 0, delay: [f32::MAX, 0.0], jitter: [f32::MAX, 0.0] };

    /// A delay and, where there was one before, how it differs from that. Two multiplications a packet, no division, no branch.
    #[inline]
    pub(crate) fn add(&mut self, delay: u64, jitter: u64) {
        self.add_delay(delay);
        (self.jitter_squares, self.jitter) = gather(self.jitter_squares, self.jitter, jitter);
        self.jitter_sum = self.jitter_sum.wrapping_add(jitter);
    }

    /// The first delay of a direction.
    #[inline]
    pub(crate) fn add_delay(&mut self, delay: u64) {
        (self.delay_squares, self.delay) = gather(self.delay_squares, self.delay, delay);
        self.delay_sum = self.delay_sum.wrapping_add(delay);
    }

    /// Delay and jitter, given how many of each there were. Zero of zero.
    pub(crate) fn report(&self, delays: u32, jitters: u32) -> [Spread; 2] {
        [spread(self.delay_sum, self.delay_squares, self.delay, delays), spread(self.jitter_sum, self.jitter_squares, self.jitter, jitters)]
    }
}

#[inline]
fn gather(squares: f64, [min, max]: [f32; 2], ns: u64) -> (f64, [f32; 2]) {
    let wide = ns.cast_signed() as f64;
    let narrow = ns.cast_signed() as f32;
    // Not `f32::min`, which looks for NaN.
    (squares + wide * wide, [if narrow < min { narrow } else { min }, if narrow > max { narrow } else { max }])
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "casts of floats saturate, and none is negative")]
fn spread(sum: u64, squares: f64, [min, max]: [f32; 2], count: u32) -> Spread {
    let Some(mean) = sum.checked_div(u64::from(count)) else { return Spread::default() };
    let exact = sum as f64 / f64::from(count);
    let variance = squares / f64::from(count) - exact * exact;
    Spread { min: min as u64, mean, max: max as u64, deviation: variance.max(0.0).sqrt().round() as u64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(delays: &[u64], expected: [(u64, u64, u64, u64); 2]) {
        let mut spacing = Spacing::EMPTY;
        let mut before = None::<u64>;
        for delay in delays {
            match before {
                None => spacing.add_delay(*delay),
                Some(last) => spacing.add(*delay, delay.abs_diff(last)),
            }
            before = Some(*delay);
        }
        let count = u32::try_from(delays.len()).expect("few");
        let found = spacing.report(count, count.saturating_sub(1)).map(|s| (s.min, s.mean, s.max, s.deviation));
        assert_eq!(found, expected, "{delays:?}");
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
