//! The first packets of a flow, one by one: how large, when, with which TCP flags, which way.

use bytemuck::Zeroable;

use super::Sample;
use crate::extension::first_word;

/// Type of the extension in the record ring.
pub const FIRST_PACKETS: u8 = 17;
/// Most words of the extension.
pub const FIRST_PACKETS_WORDS_MAX: usize = BEFORE + FIRST_PACKETS_MAX;
/// Most packets.
pub const FIRST_PACKETS_MAX: usize = 30;
/// Words before the packets: the head, the time that theirs count from.
const BEFORE: usize = 2;

/// Width of a packet's time, in microseconds: 9.5 hours.
const TIME_MAX: u64 = (1 << 35) - 1;

/// One packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FirstPacket {
    /// Octets of payload, at most 65,535 (`packetLength`, 8057:1013).
    pub payload: u16,
    /// Nanoseconds since 1970 UTC, exact to the microsecond up to 9.5 hours after the first (`packetTime`, 8057:1014).
    pub time: u64,
    /// TCP flags and reserved bits, twelve in all (`packetFlag`, 8057:1015).
    pub flags: u16,
    /// 0 forward, 1 reverse (`packetDirection`, 8057:1016: 1 and -1).
    pub way: u8,
}

/// The first packets with payload since the last record, both directions, as they came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Zeroable)]
#[repr(C)]
pub struct FirstPackets {
    start: u64,
    count: u64,
    /// Payload (16 bits), flags (12), direction (1), microseconds from `start` (35).
    packets: [u64; FIRST_PACKETS_MAX],
}

/// What is gathered is what leaves.
pub(super) type Gathered = FirstPackets;

impl FirstPackets {
    pub(super) fn add(&mut self, sample: &Sample, most: u8) {
        if self.count >= most.into() || self.count >= self.packets.len() as u64 {
            return;
        }
        if self.count == 0 {
            self.start = sample.time;
        }
        if sample.time < self.start {
            self.begin_earlier(sample.time);
        }
        let Some(place) = usize::try_from(self.count).ok().and_then(|at| self.packets.get_mut(at)) else { return };
        let payload = u64::from(u16::try_from(sample.payload).unwrap_or(u16::MAX));
        let time = (sample.time.saturating_sub(self.start) / 1000).min(TIME_MAX);
        *place = payload | u64::from(sample.flags & 0xfff) << 16 | u64::from(sample.way & 1) << 28 | time << 29;
        self.count = self.count.saturating_add(1);
    }

    /// A packet that is out of order: the times of the others count from its own, where there is room for that.
    fn begin_earlier(&mut self, time: u64) {
        let by = self.start.saturating_sub(time).div_ceil(1000);
        let taken = usize::try_from(self.count).ok().and_then(|count| self.packets.get_mut(..count)).unwrap_or_default();
        if taken.iter().all(|word| (word >> 29).saturating_add(by) <= TIME_MAX) {
            taken.iter_mut().for_each(|word| *word = word.wrapping_add(by << 29));
            self.start = self.start.saturating_sub(by.saturating_mul(1000));
        }
    }

    pub(super) fn report(&self) -> Self {
        *self
    }

    fn words(&self) -> &[u64] {
        usize::try_from(self.count).ok().and_then(|count| self.packets.get(..count)).unwrap_or_default()
    }

    /// The packets, in order.
    pub fn packets(&self) -> impl ExactSizeIterator<Item = FirstPacket> {
        self.words().iter().map(|word| {
            let [p0, p1, f0, f1, ..] = word.to_le_bytes();
            FirstPacket {
                payload: u16::from_le_bytes([p0, p1]),
                time: self.start.saturating_add((word >> 29).saturating_mul(1000)),
                flags: u16::from_le_bytes([f0, f1 & 0x0f]),
                way: f1 >> 4 & 1,
            }
        })
    }

    /// Adds to all times.
    pub(crate) fn shift(&mut self, offset: i64) {
        self.start = self.start.saturating_add_signed(offset);
    }

    /// Writes the extension and returns its length in words; 0, and nothing is written, when there is no room for it, or no packet.
    pub fn encode(&self, words: &mut [u64]) -> usize {
        let packets = self.words();
        let length = BEFORE.saturating_add(packets.len());
        let Some(([head, start], places)) = words.get_mut(..length).and_then(<[u64]>::split_first_chunk_mut::<BEFORE>) else { return 0 };
        if packets.is_empty() {
            return 0;
        }
        (*head, *start) = (first_word(FIRST_PACKETS, length), self.start);
        places.copy_from_slice(packets);
        length
    }

    /// Reads the extension at the beginning of `words`. `None` when it is another one, or has no packet or too many.
    pub fn decode(words: &[u64]) -> Option<Self> {
        let ([head, start], rest) = words.split_first_chunk::<BEFORE>()?;
        let count = usize::try_from(*head & 0xffff).ok()?.checked_sub(BEFORE)?;
        if *head != first_word(FIRST_PACKETS, BEFORE + count) || count == 0 {
            return None;
        }
        let mut found = Self { start: *start, count: count as u64, ..Self::default() };
        found.packets.get_mut(..count)?.copy_from_slice(rest.get(..count)?);
        Some(found)
    }
}
