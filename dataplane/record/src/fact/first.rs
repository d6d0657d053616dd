//! The first packets of a flow, one by one: how large, when, with which TCP flags, which way.

use bytemuck::{Pod, Zeroable};

use super::kind::{Fact, Facts, Id, first_word};
use crate::field::Value::{Boolean, List, Time, Unsigned};
use crate::field::{Row, Rows, Type, Unit, Value, cesnet};
use crate::view::RecordView;

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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Zeroable, Pod)]
#[repr(C)]
pub struct FirstPackets {
    start: u64,
    count: u64,
    /// Payload (16 bits), flags (12), direction (1), microseconds from `start` (35).
    packets: [u64; FIRST_PACKETS_MAX],
}

impl FirstPackets {
    /// Adds a packet, as long as there are fewer than `most`.
    #[inline]
    pub fn add(&mut self, packet: FirstPacket, most: u8) {
        if self.count >= most.into() || self.count >= self.packets.len() as u64 {
            return;
        }
        if self.count == 0 {
            self.start = packet.time;
        }
        if packet.time < self.start {
            self.begin_earlier(packet.time);
        }
        let Some(place) = usize::try_from(self.count).ok().and_then(|at| self.packets.get_mut(at)) else { return };
        let time = (packet.time.saturating_sub(self.start) / 1000).min(TIME_MAX);
        *place = u64::from(packet.payload) | u64::from(packet.flags & 0xfff) << 16 | u64::from(packet.way & 1) << 28 | time << 29;
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
}

fn list(record: &RecordView<'_>, read: fn(FirstPacket) -> Value) -> Value {
    Value::maybe(record.get::<FirstPackets>(), |first| List(first.packets().map(read).collect()))
}

/// The first packets, one list a value.
pub(crate) const ROWS: Rows = Rows {
    title: "The first packets with payload (boot.patterns)",
    facts: Facts::NONE.with(Id::FirstPackets),
    rows: &[
        Row::new("first_packet_payloads", Type::Unsigned, "octets of payload, in the order in which the packets came", |r, _| {
            list(r, |p| Unsigned(p.payload.into()))
        })
        .list()
        .unit(Unit::Octets)
        .api(&["first_packets.payload_octets"])
        .elements(&[cesnet(1013, "packetLength")])
        .source("CESNET ipfixprobe, pstats"),
        Row::new("first_packet_times", Type::Time, "when they came", |r, _| list(r, |p| Time(p.time)))
            .list()
            .api(&["first_packets.time_us"])
            .elements(&[cesnet(1014, "packetTime")]),
        Row::new("first_packet_flags", Type::Unsigned, "their TCP flags", |r, _| list(r, |p| Unsigned(p.flags.into())))
            .list()
            .api(&["first_packets.tcp_control_bits"])
            .elements(&[cesnet(1015, "packetFlag")]),
        Row::new("first_packet_directions", Type::Boolean, "whether they go in the reverse direction", |r, _| {
            list(r, |p| Boolean(p.way == 1))
        })
        .list()
        .api(&["first_packets.reverse"])
        .elements(&[cesnet(1016, "packetDirection")]),
    ],
};

impl Fact for FirstPackets {
    const ID: Id = Id::FirstPackets;
    const WORDS_MAX: usize = BEFORE + FIRST_PACKETS_MAX;

    fn encode(&self, words: &mut [u64]) -> usize {
        let packets = self.words();
        let length = BEFORE.saturating_add(packets.len());
        let Some(([head, start], places)) = words.get_mut(..length).and_then(<[u64]>::split_first_chunk_mut::<BEFORE>) else { return 0 };
        if packets.is_empty() {
            return 0;
        }
        (*head, *start) = (first_word(Self::ID, length), self.start);
        places.copy_from_slice(packets);
        length
    }

    fn decode(words: &[u64]) -> Option<Self> {
        let ([head, start], rest) = words.split_first_chunk::<BEFORE>()?;
        let count = usize::try_from(*head & 0xffff).ok()?.checked_sub(BEFORE)?;
        if *head != first_word(Self::ID, BEFORE + count) || count == 0 {
            return None;
        }
        let mut found = Self { start: *start, count: count as u64, ..Self::default() };
        found.packets.get_mut(..count)?.copy_from_slice(rest.get(..count)?);
        Some(found)
    }

    fn is_valid(words: &[u64]) -> bool {
        let Some(head) = words.first() else { return false };
        let count = usize::try_from(*head & 0xffff).unwrap_or(0).saturating_sub(BEFORE);
        (1..=FIRST_PACKETS_MAX).contains(&count) && *head == first_word(Self::ID, BEFORE + count) && words.len() >= BEFORE + count
    }

    fn shift(&mut self, offset: i64) {
        self.start = self.start.saturating_add_signed(offset);
    }
}
