//! What every segment of one direction touches: one cache line, and nothing else while segments simply follow each other.

use bytemuck::{Pod, Zeroable};
use sonde_record::fact::Spread;

use super::segment::Segment;
use super::spacing::{Extremes, Sums};
use crate::measure::span::{Span, Tick};

/// Bits of [`Way`].
pub(super) mod bits {
    /// A segment was seen.
    pub(in super::super) const KNOWN: u32 = 1;
    /// Two were: there is a delay that the next one differs from.
    pub(in super::super) const GAPPED: u32 = 1 << 1;
    /// What simply comes next needs no second look.
    pub(in super::super) const STEADY: u32 = 1 << 2;
    /// The latest new payload of the connection came from here.
    pub(in super::super) const SPOKE: u32 = 1 << 3;
    /// The latest segment was a keep-alive.
    pub(in super::super) const KEEP_ALIVE: u32 = 1 << 4;
    /// The scale of the windows is known.
    pub(in super::super) const SCALED: u32 = 1 << 5;
    /// The latest segment had an acknowledgement number.
    pub(in super::super) const ACKED: u32 = 1 << 6;
    /// The latest segments were duplicate acknowledgements.
    pub(in super::super) const DUPLICATE: u32 = 1 << 7;
}

/// All of [`bits`]; above them stand counters of eight bits.
const BITS: u32 = 0xff;
/// One segment.
const SEGMENT: u32 = 1 << 8;
/// One segment with payload.
const DATA: u32 = 1 << 16;
/// One segment with PSH.
const PUSHED: u32 = 1 << 24;
/// Set once so many segments are counted that they must be taken away: the others are not more.
pub(super) const FULL: u32 = 1 << 15;

/// How far ahead a limit is set at most: its 16 bits, in units of 256, can be told from what is behind up to 2^23.
pub(super) const LIMIT_AHEAD: u32 = 1 << 22;

/// Times are kept modulo 2^48 ns, three days.
const TIME: u64 = (1 << 48) - 1;

/// One direction. What seldom changes stands in `Tally` and `Events`.
#[derive(Clone, Copy, Debug, Zeroable, Pod)]
#[repr(C, align(64))]
pub(super) struct Way {
    /// Time of the latest segment in the upper 48 bits, its window, unscaled, in the lower 16.
    last_window: u64,
    /// Sum of the jitters in the upper 48 bits, nanoseconds; below it [`Way::reaches`].
    jitter_limit: u64,
    /// Of delays, of jitters.
    squares: [f64; 2],
    /// The highest sequence number seen, plus what it took.
    pub(super) next: u32,
    /// Acknowledgement number of the latest segment.
    pub(super) ack: u32,
    /// When `next` moved.
    pub(super) next_tick: Tick,
    /// Delay between the two latest segments.
    gap: Span,
    /// [`bits`], and what was counted since the last [`Way::take`].
    state: u32,
    extremes: Extremes,
}

const _: () = assert!(size_of::<Way>() == 64);

impl Way {
    /// Nothing seen yet.
    pub(super) fn new() -> Self {
        Self { extremes: Extremes::EMPTY, ..Self::zeroed() }
    }

    #[inline]
    pub(super) fn has(&self, bits: u32) -> bool {
        self.state & bits == bits
    }

    /// Bits and counters.
    #[inline]
    pub(super) fn state(&self) -> u32 {
        self.state
    }

    #[inline]
    pub(super) fn set(&mut self, bits: u32) {
        self.state |= bits;
    }

    #[inline]
    pub(super) fn clear(&mut self, bits: u32) {
        self.state &= !bits;
    }

    /// Window of the latest segment, unscaled.
    #[inline]
    pub(super) fn window(&self) -> u16 {
        let [low, high, ..] = self.last_window.to_le_bytes();
        u16::from_le_bytes([low, high])
    }

    /// Time of the latest segment, modulo 2^48 ns.
    #[inline]
    pub(super) fn last(&self) -> u64 {
        self.last_window >> 16
    }

    /// Nanoseconds since the latest segment; below 0 when the clock went back.
    #[inline]
    pub(super) fn since(&self, time: u64) -> i64 {
        (time << 16).wrapping_sub(self.last_window & !0xffff).cast_signed() >> 16
    }

    /// Whether payload up to this number may use up the peer's window. The end of a window moves ahead only, so it is looked up
    /// again when it is reached.
    #[inline]
    pub(super) fn reaches(&self, end: u32) -> bool {
        let [low, high, ..] = self.jitter_limit.to_le_bytes();
        coarse(end).wrapping_sub(u16::from_le_bytes([low, high])).cast_signed() >= 0
    }

    /// Sets what [`Way::reaches`] asks: the end of the peer's window, or a nearer place.
    pub(super) fn set_limit(&mut self, limit: u32) {
        let ahead = limit.wrapping_sub(self.next);
        let ahead = if ahead.cast_signed() < 0 { 0 } else { ahead.min(LIMIT_AHEAD) };
        self.jitter_limit = self.jitter_limit & !0xffff | u64::from(coarse(self.next.wrapping_add(ahead)));
    }

    /// Adds the time since the segment before, and how it differs from that before: what all of a direction but the first two do.
    #[inline]
    pub(super) fn space(&mut self, delay: u64) {
        let jitter = delay.abs_diff(self.gap.ns());
        let [d, j] = [delay, jitter].map(|ns| ns.cast_signed() as f64);
        let [delays, jitters] = self.squares;
        self.squares = [delays + d * d, jitters + j * j];
        self.jitter_limit = self.jitter_limit.wrapping_add(jitter << 16);
        self.extremes.add(d, j);
    }

    /// Adds the first delay of a direction.
    pub(super) fn space_first(&mut self, delay: u64) {
        let wide = delay.cast_signed() as f64;
        let [delays, _] = &mut self.squares;
        *delays += wide * wide;
        self.extremes.add_delay(wide);
    }

    /// Forgets the delays so far.
    pub(super) fn restart_spacing(&mut self) {
        self.squares = [0.0; 2];
        self.jitter_limit &= 0xffff;
        self.extremes = Extremes::EMPTY;
    }

    /// Delay and jitter since a time, modulo 2^48 ns, given how many of each there were.
    pub(super) fn spreads(&self, base: u64, delays: u32, jitters: u32) -> [Spread; 2] {
        let [delay_squares, jitter_squares] = self.squares;
        let delay_sum = since(base << 16, self.last_window & !0xffff);
        self.extremes.report(&Sums { delay_squares, jitter_squares, delay_sum, jitter_sum: self.jitter_limit >> 16 }, delays, jitters)
    }

    /// The sequence number at which this end's window ends.
    #[inline]
    pub(super) fn window_end(&self, scale: u8) -> u32 {
        self.ack.wrapping_add(u32::from(self.window()) << (scale & 15))
    }

    /// Every segment leaves its mark. It has no delay when its clock went back: that is waited for.
    #[inline]
    pub(super) fn mark(&mut self, segment: &Segment, delay: Option<u64>) {
        let again = u32::from(segment.ack == self.ack);
        // Another number: what comes now are no duplicates of the ones before.
        self.state &= !(bits::DUPLICATE - (bits::DUPLICATE & again.wrapping_neg()));
        self.ack = segment.ack;
        let time = match delay {
            Some(delay) => {
                self.gap = Span::from_ns(delay);
                segment.time << 16
            }
            None => self.last_window & !0xffff,
        };
        self.last_window = time | u64::from(segment.window);
    }

    /// Sets the time that delays are counted from.
    pub(super) fn begin(&mut self, segment: &Segment) {
        self.last_window = segment.time << 16 | u64::from(segment.window);
    }

    /// Counts a segment. `data` and `pushed` are 0 or 1.
    #[inline]
    pub(super) fn count(&mut self, data: u32, pushed: u32) {
        self.state = self.state.wrapping_add(SEGMENT | data.wrapping_mul(DATA) | pushed.wrapping_mul(PUSHED));
    }

    /// Segments, segments with payload, segments with PSH since the last [`Way::take`].
    pub(super) fn counted(&self) -> [u32; 3] {
        let [_, segments, data, pushed] = self.state.to_le_bytes();
        [segments, data, pushed].map(u32::from)
    }

    /// As [`Way::counted`], and they are counted anew.
    pub(super) fn take(&mut self) -> [u32; 3] {
        let counted = self.counted();
        self.state &= BITS;
        counted
    }
}

/// A sequence number in units of 256, modulo 2^16.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "modulo 2^16")]
const fn coarse(number: u32) -> u16 {
    (number >> 8) as u16
}

/// From one time to another, both in the upper 48 bits; 0 when it is not later.
#[inline]
fn since(from: u64, to: u64) -> u64 {
    let span = to.wrapping_sub(from).cast_signed().max(0).cast_unsigned();
    (span >> 16) & TIME
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(time: u64, ack: u32) -> Segment {
        Segment { time, ack, window: 7, ..Segment::default() }
    }

    #[test]
    fn times_are_compared_modulo_three_days_and_a_clock_that_went_back_is_waited_for() {
        let mut way = Way::new();
        let start = (5 << 48) - 10;
        way.begin(&segment(start, 0));
        assert_eq!([start, start + 20, start - 1, start + (1 << 40)].map(|time| way.since(time)), [0, 20, -1, 1 << 40]);
        let base = way.last();
        way.mark(&segment(start + 20, 0), Some(20));
        way.mark(&segment(start + 5, 0), None);
        assert_eq!((way.window(), way.since(start + 30), way.spreads(base, 1, 0)[0].mean), (7, 10, 20));
    }

    #[test]
    fn a_limit_is_reached_by_what_ends_there_or_up_to_255_before() {
        for next in [0, 1000, u32::MAX - 5000] {
            let mut way = Way { next, ..Way::new() };
            let at = |ahead: u32| next.wrapping_add(ahead);
            way.set_limit(at(10_000));
            assert!(way.reaches(at(10_000)) && way.reaches(at(1 << 20)) && !way.reaches(at(10_000 - 256)) && !way.reaches(next));
            way.set_limit(at(u32::MAX / 3));
            assert!(way.reaches(at(LIMIT_AHEAD)) && !way.reaches(at(LIMIT_AHEAD - 256)), "so far at most");
            way.set_limit(at(u32::MAX));
            assert!(way.reaches(next), "a window that ended before");
            way.space(1 << 40);
            assert!(way.reaches(next), "the sum beside it is another's");
        }
    }

    #[test]
    fn counters_stand_beside_the_bits() {
        let mut way = Way::new();
        way.set(bits::KNOWN | bits::DUPLICATE);
        for n in 0..128 {
            assert_eq!(way.state() & FULL, 0, "{n}");
            way.count(1, 1);
        }
        assert_ne!(way.state() & FULL, 0);
        assert_eq!((way.counted(), way.take(), way.take()), ([128; 3], [128; 3], [0; 3]));
        assert!(way.has(bits::KNOWN | bits::DUPLICATE) && !way.has(bits::SPOKE));
    }

    #[test]
    fn another_acknowledgement_number_ends_duplicates() {
        let mut way = Way::new();
        way.set(bits::DUPLICATE | bits::KNOWN);
        way.mark(&segment(1, 0), Some(1));
        assert!(way.has(bits::DUPLICATE));
        way.mark(&segment(2, 1), Some(1));
        assert!(!way.has(bits::DUPLICATE) && way.has(bits::KNOWN));
    }
}
