//! The coarse clock: ticks of 134 ms in 16 bits.

/// One tick of the coarse clock is 2^27 ns, 134 ms: 16 bits of it wrap after 2.4 hours.
pub(crate) const TICK_SHIFT: u32 = 27;
/// The coarse time of an instant.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "the coarse clock wraps")]
pub(crate) fn tick(time: u64) -> u16 {
    (time >> TICK_SHIFT) as u16
}

/// The first tick at which `deadline` has surely passed, but not further away than the coarse clock can tell.
#[inline(always)]
pub(crate) fn tick_after(deadline: u64, now: u64) -> u16 {
    let far = now.saturating_add((i16::MAX as u64 - 1) << TICK_SHIFT);
    tick(deadline.min(far)).wrapping_add(1)
}
