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

    /// A span that was measured; `None` where it is longer than can be kept.
    pub(crate) fn measured(ns: u64) -> Option<Self> {
        (ns / 1000 < u64::from(MICROSECONDS)).then(|| Self::from_ns(ns))
    }

    #[inline]
    pub(crate) fn ns(self) -> u64 {
        let value = u64::from(self.0 & !MICROSECONDS);
        if self.0 & MICROSECONDS == 0 { value } else { value.wrapping_mul(1000) }
    }
}

/// A number of 48 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Zeroable, Pod)]
#[repr(transparent)]
pub(crate) struct U48([u16; 3]);

impl U48 {
    /// The number, modulo 2^48.
    pub(crate) fn of(number: u64) -> Self {
        let [a, b, c, d, e, f, ..] = number.to_le_bytes();
        Self([u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d]), u16::from_le_bytes([e, f])])
    }

    pub(crate) fn get(self) -> u64 {
        let Self([low, middle, high]) = self;
        u64::from(low) | u64::from(middle) << 16 | u64::from(high) << 32
    }

    pub(crate) fn add(&mut self, number: u64) {
        *self = Self::of(self.get().wrapping_add(number));
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
/// How far a clock may go back for ticks to tell it, in nanoseconds.
pub(crate) const BACK_MAX_NS: i64 = 1 << 36;

/// Nanoseconds from one tick to a later one; `None` when it is earlier.
#[inline]
pub(crate) const fn ticks_ns(from: Tick, to: Tick) -> Option<u64> {
    let ns = (to.wrapping_sub(from) as u64) << 8;
    if ns > TICKS_MAX_NS { None } else { Some(ns) }
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
        assert_eq!(ticks_ns(tick(0), tick(2560)), Some(2560));
        assert_eq!(ticks_ns(u32::MAX, 1), Some(512));
        assert_eq!((ticks_ns(5, 4), ticks_ns(5, 5)), (None, Some(0)));
        assert_eq!(ticks_ns(tick(0), tick(17 * 60_000_000_000)), Some(17 * 60_000_000_000));
    }

    #[test]
    fn what_is_longer_than_a_span_was_not_measured() {
        let most = 0x7fff_ffff_u64 * 1000;
        assert_eq!([0, most, most + 999].map(|ns| Span::measured(ns).map(Span::ns)), [Some(0), Some(most), Some(most)]);
        assert_eq!([most + 1000, u64::MAX].map(Span::measured), [None; 2]);
    }
}
