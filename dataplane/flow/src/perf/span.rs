//! Spans of time in four octets, and the coarse clock of sequence numbers.

use bytemuck::{Pod, Zeroable};

/// A span of time: nanoseconds below 2^31, whole microseconds with the highest bit set above (35 minutes at most).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Zeroable, Pod)]
#[repr(transparent)]
pub(crate) struct Span(u32);

const MICROSECONDS: u32 = 1 << 31;

impl Span {
    #[inline]
    pub(crate) fn from_ns(ns: u64) -> Self {
        match u32::try_from(ns) {
            Ok(ns) if ns < MICROSECONDS => Self(ns),
            _ => Self(u32::try_from(ns / 1000).unwrap_or(u32::MAX).min(MICROSECONDS - 1) | MICROSECONDS),
        }
    }

    #[inline]
    pub(crate) fn ns(self) -> u64 {
        let value = u64::from(self.0 & !MICROSECONDS);
        if self.0 & MICROSECONDS == 0 { value } else { value.wrapping_mul(1000) }
    }
}

/// A time in units of 256 ns. It wraps after 18 minutes; differences are right up to 17.
pub(crate) type Tick = u32;

/// The tick of a time in nanoseconds.
#[expect(clippy::cast_possible_truncation, reason = "ticks wrap")]
#[inline]
pub(crate) const fn tick(time: u64) -> Tick {
    (time >> 8) as Tick
}

/// Spans that ticks cannot measure, in nanoseconds: the last sixteenth of the circle is for clocks that went back.
pub(crate) const TICKS_MAX_NS: u64 = 15 << 36;

/// Nanoseconds from one tick to a later one; 0 when it is not later.
#[inline]
pub(crate) const fn ticks_ns(from: Tick, to: Tick) -> u64 {
    let ns = (to.wrapping_sub(from) as u64) << 8;
    if ns > TICKS_MAX_NS { 0 } else { ns }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_exact_to_two_seconds_and_to_the_microsecond_above() {
        for (ns, expected) in [
            (0, 0),
            (1, 1),
            (0x7fff_ffff, 0x7fff_ffff),
            (0x8000_0000, 2_147_483_000),
            (60_000_000_999, 60_000_000_000),
            (3_600_000_000_000, 0x7fff_ffff_u64 * 1000),
            (u64::MAX, 0x7fff_ffff_u64 * 1000),
        ] {
            assert_eq!(Span::from_ns(ns).ns(), expected, "{ns}");
        }
    }

    #[test]
    fn ticks_wrap_and_a_clock_that_went_back_is_no_span() {
        assert_eq!(ticks_ns(tick(0), tick(2560)), 2560);
        assert_eq!(ticks_ns(u32::MAX, 1), 512);
        assert_eq!(ticks_ns(5, 4), 0);
        assert_eq!(ticks_ns(tick(0), tick(17 * 60_000_000_000)), 17 * 60_000_000_000);
    }
}
