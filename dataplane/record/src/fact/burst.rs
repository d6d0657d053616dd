//! Bursts: three and more packets with payload in one direction, each less than a second after the one before.

use bytemuck::{Pod, Zeroable};

use super::kind::{Fact, Facts, Id, first_word};
use crate::field::Value::{List, Time, Unsigned};
use crate::field::{Row, Rows, Type, Unit, Value, cesnet};
use crate::view::RecordView;
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

fn list(record: &RecordView<'_>, way: usize, read: fn(Burst) -> Value) -> Value {
    let Ok(way) = u8::try_from(way) else { return Value::Absent };
    Value::maybe(record.get::<Bursts>(), |bursts| List(bursts.bursts(way).map(read).collect()))
}

/// The bursts, one list a value.
pub(crate) const ROWS: Rows = Rows {
    title: "Bursts of packets (boot.patterns)",
    facts: Facts::NONE.with(Id::Bursts),
    rows: &[
        Row::new(
            "burst_packets",
            Type::Unsigned,
            "packets of each burst: three and more in one direction, less than a second apart",
            |r, w| list(r, w, |b| Unsigned(b.packets.into())),
        )
        .both()
        .list()
        .unit(Unit::Packets)
        .api(&["forward_bursts.packets", "reverse_bursts.packets"])
        .elements(&[cesnet(1050, "burstSrcPackets"), cesnet(1054, "burstDstPackets").back()])
        .source("CESNET ipfixprobe, bstats"),
        Row::new("burst_octets", Type::Unsigned, "their payload", |r, w| list(r, w, |b| Unsigned(b.octets.into())))
            .both()
            .list()
            .unit(Unit::Octets)
            .api(&["forward_bursts.payload_octets", "reverse_bursts.payload_octets"])
            .elements(&[cesnet(1051, "burstSrcBytes"), cesnet(1055, "burstDstBytes").back()]),
        Row::new("burst_starts", Type::Time, "their first packets", |r, w| list(r, w, |b| Time(b.start)))
            .both()
            .list()
            .api(&["forward_bursts.start_ms", "reverse_bursts.start_ms"])
            .elements(&[cesnet(1052, "burstSrcTimeStart"), cesnet(1056, "burstDstTimeStart").back()]),
        Row::new("burst_ends", Type::Time, "their last packets", |r, w| list(r, w, |b| Time(b.end)))
            .both()
            .list()
            .api(&["forward_bursts.end_ms", "reverse_bursts.end_ms"])
            .elements(&[cesnet(1053, "burstSrcTimeStop"), cesnet(1057, "burstDstTimeStop").back()]),
    ],
};

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

    fn is_valid(words: &[u64]) -> bool {
        let Some(head) = words.first() else { return false };
        let length = usize::try_from(*head & 0xffff).unwrap_or(0);
        let both = length.saturating_sub(BEFORE) / 2;
        let forward = usize::try_from(*head >> 24).unwrap_or(usize::MAX);
        let fits = |count: Option<usize>| count.is_some_and(|count| count <= BURSTS_MAX);
        both > 0
            && length == BEFORE + 2 * both
            && *head & 0x00ff_ffff == first_word(Self::ID, length)
            && fits(Some(forward))
            && fits(both.checked_sub(forward))
            && words.len() >= length
    }

    fn shift(&mut self, offset: i64) {
        self.start = self.start.saturating_add_signed(offset);
    }
}
