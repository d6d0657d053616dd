//! Bursts: three and more packets with payload in one direction, each less than a second after the one before.

use bytemuck::{Pod, Zeroable};

use super::{Fact, Id, first_word};
use crate::word::{pair, unpair};

/// Most bursts of a direction.
pub const BURSTS_MAX: usize = 15;
/// Words before the bursts: the head, the time that theirs count from.
const BEFORE: usize = 2;
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

/// A burst in two words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Zeroable, Pod)]
#[repr(C)]
pub struct RawBurst {
    /// Packets.
    pub packets: u32,
    /// Octets of payload.
    pub octets: u32,
    /// First packet, in milliseconds from [`Bursts::start`]; negative where packets are out of order.
    pub start: i32,
    /// Last packet, as `start`.
    pub end: i32,
}

/// The first bursts of each direction since the last record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Zeroable, Pod)]
#[repr(C)]
pub struct Bursts {
    /// What the times of the bursts count from, nanoseconds since 1970 UTC.
    pub start: u64,
    /// The bursts of each direction, forward first; what is behind their number is zero.
    pub bursts: [[RawBurst; BURSTS_MAX]; 2],
    /// How many there are of each direction.
    pub counts: [u32; 2],
}

impl Bursts {
    fn raw(&self, way: usize) -> &[RawBurst] {
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
}

impl Fact for Bursts {
    const ID: Id = Id::Bursts;
    const WORDS_MAX: usize = BEFORE + 4 * BURSTS_MAX;

    fn encode(&self, words: &mut [u64]) -> usize {
        let (forward, reverse) = (self.raw(0), self.raw(1));
        let length = BEFORE.saturating_add(2 * forward.len() + 2 * reverse.len());
        let Some(([head, start], places)) = words.get_mut(..length).and_then(<[u64]>::split_first_chunk_mut::<BEFORE>) else { return 0 };
        if length == BEFORE {
            return 0;
        }
        (*head, *start) = (first_word(Self::ID, length) | (forward.len() as u64) << 24, self.start);
        for (place, raw) in places.chunks_exact_mut(2).zip(forward.iter().chain(reverse)) {
            place.copy_from_slice(&[pair(raw.packets, raw.octets), pair(raw.start.cast_unsigned(), raw.end.cast_unsigned())]);
        }
        length
    }

    fn decode(words: &[u64]) -> Option<Self> {
        let ([head, start], rest) = words.split_first_chunk::<BEFORE>()?;
        let length = usize::try_from(*head & 0xffff).ok()?;
        let forward = usize::try_from(*head >> 24).ok()?;
        let both = length.checked_sub(BEFORE).filter(|words| *words != 0 && words.is_multiple_of(2))? / 2;
        let reverse = both.checked_sub(forward)?;
        if *head & 0x00ff_ffff != first_word(Self::ID, length) {
            return None;
        }
        let mut found = Self { start: *start, counts: [u32::try_from(forward).ok()?, u32::try_from(reverse).ok()?], ..Self::default() };
        let [to_forward, to_reverse] = &mut found.bursts;
        let places = to_forward.get_mut(..forward)?.iter_mut().chain(to_reverse.get_mut(..reverse)?);
        for (place, words) in places.zip(rest.get(..length - BEFORE)?.chunks_exact(2)) {
            let [first, second] = *words else { return None };
            let ([packets, octets], [start, end]) = (unpair(first), unpair(second));
            *place = RawBurst { packets, octets, start: start.cast_signed(), end: end.cast_signed() };
        }
        Some(found)
    }

    fn shift(&mut self, offset: i64) {
        self.start = self.start.saturating_add_signed(offset);
    }
}
