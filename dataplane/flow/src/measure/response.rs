//! How long answers take: counts, extremes and a histogram, 64 octets for any number of them.

use bytemuck::{Pod, Zeroable};
use sonde_record::fact::ResponseTimes;

use crate::measure::span::Span;

/// Buckets of the histogram.
const BUCKETS: usize = 20;
/// The first bucket ends at 2^FIRST microseconds, every next one at twice the one before, the last one never.
const FIRST: u32 = 4;

/// Response times of one flow, as they are gathered.
#[derive(Clone, Copy, Debug, Zeroable, Pod)]
#[repr(C)]
pub(crate) struct Responses {
    sum: u64,
    count: u32,
    min: Span,
    max: Span,
    last: Span,
    buckets: [u16; BUCKETS],
}

const _: () = assert!(size_of::<Responses>() == 64);

impl Responses {
    /// Counts one answer, unless it took longer than can be kept (35 minutes). Once a request, not once a packet.
    pub(crate) fn add(&mut self, ns: u64) {
        let Some(span) = Span::measured(ns) else { return };
        let ns = span.ns();
        self.sum = self.sum.saturating_add(ns);
        if self.count == 0 || ns < self.min.ns() {
            self.min = span;
        }
        if ns > self.max.ns() {
            self.max = span;
        }
        self.last = span;
        self.count = self.count.saturating_add(1);
        let above = (ns / 1000) >> FIRST;
        let bucket = usize::try_from(u64::BITS.saturating_sub(above.leading_zeros())).unwrap_or(BUCKETS).min(BUCKETS - 1);
        if let Some(count) = self.buckets.get_mut(bucket) {
            // Full: what counts is the shape.
            if *count == u16::MAX {
                self.buckets.iter_mut().for_each(|count| *count = count.div_ceil(2));
            }
        }
        if let Some(count) = self.buckets.get_mut(bucket) {
            *count = count.saturating_add(1);
        }
    }

    pub(crate) fn report(&self) -> ResponseTimes {
        ResponseTimes {
            count: self.count,
            min: self.min.ns(),
            max: self.max.ns(),
            last: self.last.ns(),
            sum: self.sum,
            quantiles: [50, 95, 99].map(|percent| self.quantile(percent)),
        }
    }

    /// The time within which `percent` of the answers came, linear inside a bucket, never outside of what was seen.
    fn quantile(&self, percent: u64) -> u64 {
        let total: u64 = self.buckets.iter().map(|count| u64::from(*count)).sum();
        let wanted = total.saturating_mul(percent).div_ceil(100);
        let mut below = 0u64;
        for (bucket, count) in (0u32..).zip(self.buckets) {
            let count = u64::from(count);
            if count != 0 && below.saturating_add(count) >= wanted {
                let end = 1000u64 << FIRST << bucket;
                let from = if bucket == 0 { 0 } else { end / 2 };
                let to = if bucket as usize == BUCKETS - 1 { self.max.ns().max(end) } else { end };
                let part = to.saturating_sub(from).saturating_mul(wanted.saturating_sub(below)) / count;
                return from.saturating_add(part).clamp(self.min.ns(), self.max.ns().max(self.min.ns()));
            }
            below = below.saturating_add(count);
        }
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(times: &[u64], expected: (u64, u64, u64, [u64; 3])) {
        let mut responses = Responses::zeroed();
        times.iter().for_each(|ns| responses.add(*ns));
        let found = responses.report();
        assert_eq!(found.count as usize, times.len());
        assert_eq!(found.sum, times.iter().sum::<u64>());
        assert_eq!((found.min, found.max, found.last, found.quantiles), expected, "{times:?}");
    }

    #[test]
    fn one_answer_is_every_quantile() {
        check(&[35_000], (35_000, 35_000, 35_000, [35_000; 3]));
        check(&[0], (0, 0, 0, [0; 3]));
        check(&[90_000_000_000], (90_000_000_000, 90_000_000_000, 90_000_000_000, [90_000_000_000; 3]));
    }

    #[test]
    fn quantiles_are_inside_the_bucket_that_holds_them() {
        // 90 answers between 64 and 128 us, ten of 5 ms (4.096 to 8.192 ms).
        let mut times = vec![70_000; 45];
        times.extend([100_000; 45]);
        times.extend([5_000_000; 10]);
        let median = 64_000 + 64_000 * 50 / 90;
        check(&times, (70_000, 5_000_000, 5_000_000, [median, 5_000_000, 5_000_000]));
    }

    #[test]
    fn a_full_bucket_halves_all_and_keeps_the_shape() {
        let mut responses = Responses::zeroed();
        for _ in 0..40_000 {
            for ns in [50_000, 50_000, 50_000, 3_000_000] {
                responses.add(ns);
            }
        }
        let found = responses.report();
        assert_eq!(found.count, 160_000);
        assert!(found.quantiles[0] < 64_000 && found.quantiles[1] > 2_000_000, "{found:?}");
    }
}
