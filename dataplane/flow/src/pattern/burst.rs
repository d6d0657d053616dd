//! Bursts: three and more packets with payload in one direction, each less than a second after the one before.

use bytemuck::Zeroable;

use super::Sample;
use crate::extension::first_word;
use crate::word::{pair, unpair};

/// Type of the extension in the record ring.
pub const BURSTS: u8 = 18;
/// Most words of the extension.
pub const BURSTS_WORDS_MAX: usize = BEFORE + 4 * BURSTS_MAX;
/// Most bursts of a direction.
pub const BURSTS_MAX: usize = 15;
/// Words before the bursts: the head, the time that theirs count from.
const BEFORE: usize = 2;
/// Fewer packets are no burst.
const PACKETS_MIN: u32 = 3;
/// A pause that ends a burst, in nanoseconds.
const PAUSE: u64 = 1_000_000_000;

/// One burst.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Burst {
    /// Packets (`burstSrcPackets` 8057:1050, `burstDstPackets` 8057:1054).
    pub packets: u32,
    /// Octets of payload (8057:1051, 8057:1055).
    pub octets: u32,
    /// First packet, nanoseconds since 1970 UTC, exact to the millisecond after the flow's first burst began (8057:1052, 8057:1056).
    pub start: u64,
    /// Last packet (8057:1053, 8057:1057).
    pub end: u64,
}

/// A burst in two words. Times are milliseconds from `Bursts::start`, signed: packets may be out of order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Zeroable)]
#[repr(C)]
struct Raw {
    packets: u32,
    octets: u32,
    start: i32,
    end: i32,
}

/// The first bursts of each direction since the last record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Zeroable)]
#[repr(C)]
pub struct Bursts {
    start: u64,
    bursts: [[Raw; BURSTS_MAX]; 2],
    counts: [u32; 2],
}

/// The bursts; the one behind the last of each direction may become one.
#[derive(Clone, Copy, Debug, Zeroable)]
#[repr(C)]
pub(super) struct Gathered {
    bursts: Bursts,
    /// When the latest packet of each direction came.
    last: [u64; 2],
}

impl Gathered {
    pub(super) fn add(&mut self, sample: &Sample) {
        let Self { bursts: Bursts { start, bursts, counts }, last } = self;
        let way = usize::from(sample.way & 1);
        let (Some(bursts), Some(count), Some(last)) = (bursts.get_mut(way), counts.get_mut(way), last.get_mut(way)) else { return };
        if *start == 0 {
            *start = sample.time;
        }
        let since = sample.time.wrapping_sub(*start).cast_signed() / 1_000_000;
        let now = i32::try_from(since).unwrap_or(if since < 0 { i32::MIN } else { i32::MAX });
        let Some(open) = bursts.get_mut(*count as usize) else { return };
        // A clock that goes back so far is a pause, too.
        let goes_on = open.packets != 0 && sample.time.abs_diff(*last) < PAUSE;
        *last = sample.time;
        if goes_on {
            open.packets = open.packets.saturating_add(1);
            open.octets = open.octets.saturating_add(sample.payload);
            (open.start, open.end) = (open.start.min(now), open.end.max(now));
            return;
        }
        *count += u32::from(open.packets >= PACKETS_MIN);
        if let Some(next) = bursts.get_mut(*count as usize) {
            *next = Raw { packets: 1, octets: sample.payload, start: now, end: now };
        }
    }

    /// The bursts, those that go on as far as they have come.
    pub(super) fn report(&self) -> Bursts {
        let mut report = self.bursts;
        for (count, bursts) in report.counts.iter_mut().zip(&self.bursts.bursts) {
            let open = bursts.get(*count as usize).is_some_and(|open| open.packets >= PACKETS_MIN);
            *count += u32::from(open);
        }
        for (count, bursts) in report.counts.iter().zip(&mut report.bursts) {
            bursts.iter_mut().skip(*count as usize).for_each(|burst| *burst = Raw::default());
        }
        report
    }
}

impl Bursts {
    fn raw(&self, way: usize) -> &[Raw] {
        let count = self.counts.get(way).map_or(0, |count| *count as usize);
        self.bursts.get(way).and_then(|bursts| bursts.get(..count)).unwrap_or_default()
    }

    /// The bursts of a direction, 0 forward, 1 reverse, in order.
    pub fn bursts(&self, way: u8) -> impl ExactSizeIterator<Item = Burst> {
        let time = |ms: i32| self.start.saturating_add_signed(i64::from(ms).saturating_mul(1_000_000));
        self.raw(way.into()).iter().map(move |raw| Burst {
            packets: raw.packets,
            octets: raw.octets,
            start: time(raw.start),
            end: time(raw.end),
        })
    }

    /// Adds to all times.
    pub(crate) fn shift(&mut self, offset: i64) {
        self.start = self.start.saturating_add_signed(offset);
    }

    /// Writes the extension and returns its length in words; 0, and nothing is written, when there is no room for it, or no burst.
    pub fn encode(&self, words: &mut [u64]) -> usize {
        let (forward, reverse) = (self.raw(0), self.raw(1));
        let length = BEFORE.saturating_add(2 * forward.len() + 2 * reverse.len());
        let Some(([head, start], places)) = words.get_mut(..length).and_then(<[u64]>::split_first_chunk_mut::<BEFORE>) else { return 0 };
        if length == BEFORE {
            return 0;
        }
        (*head, *start) = (first_word(BURSTS, length) | (forward.len() as u64) << 24, self.start);
        for (place, raw) in places.chunks_exact_mut(2).zip(forward.iter().chain(reverse)) {
            place.copy_from_slice(&[pair(raw.packets, raw.octets), pair(raw.start.cast_unsigned(), raw.end.cast_unsigned())]);
        }
        length
    }

    /// Reads the extension at the beginning of `words`. `None` when it is another one, or has no burst or too many.
    pub fn decode(words: &[u64]) -> Option<Self> {
        let ([head, start], rest) = words.split_first_chunk::<BEFORE>()?;
        let length = usize::try_from(*head & 0xffff).ok()?;
        let forward = usize::try_from(*head >> 24).ok()?;
        let both = length.checked_sub(BEFORE).filter(|words| *words != 0 && words.is_multiple_of(2))? / 2;
        let reverse = both.checked_sub(forward)?;
        if *head & 0x00ff_ffff != first_word(BURSTS, length) {
            return None;
        }
        let mut found = Self { start: *start, counts: [u32::try_from(forward).ok()?, u32::try_from(reverse).ok()?], ..Self::default() };
        let [to_forward, to_reverse] = &mut found.bursts;
        let places = to_forward.get_mut(..forward)?.iter_mut().chain(to_reverse.get_mut(..reverse)?);
        for (place, words) in places.zip(rest.get(..length - BEFORE)?.chunks_exact(2)) {
            let [first, second] = *words else { return None };
            let ([packets, octets], [start, end]) = (unpair(first), unpair(second));
            *place = Raw { packets, octets, start: start.cast_signed(), end: end.cast_signed() };
        }
        Some(found)
    }
}
