//! No counter of an entry wraps: near each limit an entry is driven with any packets, and its records add up to what an oracle of 128 bits has.

use proptest::prelude::*;
use sonde_memory::slab::Wanted;
use sonde_packet::{Frame, Link};

use super::*;
use crate::key::Key4;
use crate::{Counter, Room};
use crate::{Flush, Policy, Sizing, Tracker};

/// Nothing times out: all packets are of one moment.
const TIMEOUTS: Timeouts = Timeouts { idle: 30_000_000_000, active: 300_000_000_000, linger: 2_000_000_000 };

/// Packets, octets and octets on the wire of both directions.
type Sums = [[u128; 2]; 3];

fn add(sums: &mut Sums, [packets, octets, wire]: [u64; 3], way: usize) {
    for (sum, value) in sums.iter_mut().zip([packets, octets, wire]) {
        sum[way] += u128::from(value);
    }
}

/// An entry, what its records said, and how many there were.
struct Driven {
    entry: Entry<Key4>,
    said: Sums,
    records: usize,
}

impl Driven {
    /// An entry that has counted so much of each direction: packets, octets, overhead.
    fn at(start: [(u32, u64, i64); 2]) -> Self {
        let mut entry = Entry::zeroed();
        entry.hot.counts = start.map(|(packets, _, overhead)| {
            let overhead = (overhead << 28).cast_unsigned();
            counts::NONE.wrapping_add(overhead).wrapping_add(u64::from(packets))
        });
        entry.hot.octets_ttl = start.map(|(_, octets, _)| octets);
        Self { entry, said: Sums::default(), records: 0 }
    }

    fn report(&mut self) {
        let record = self.entry.head(EndReason::Active, Origin { worker: 0, offset: 0 });
        for way in 0..2 {
            add(&mut self.said, [record.packets[way], record.octets[way], record.wire[way]], way);
        }
        self.records += 1;
    }

    /// As a table does with a packet of the flow.
    fn feed(&mut self, packet: &Packet<Key4>) {
        if self.entry.add(packet, Near::new(&TIMEOUTS)) {
            return;
        }
        match self.entry.before(packet, &TIMEOUTS, Opening::This) {
            Before::Report(reason) => {
                assert_eq!(reason, EndReason::Active);
                self.report();
                self.entry.rest();
            }
            other => assert_eq!(other, Before::Add),
        }
        self.entry.add_special(packet, None, TIMEOUTS.active);
    }
}

/// A packet of so many octets, in a frame of so many.
fn packet(way: u8, octets: u32, wire: u32) -> Packet<Key4> {
    let flags = if octets >> 17 != 0 { BIG } else { 0 };
    Packet { direction: way, octets, overhead: wire.wrapping_sub(octets).cast_signed(), flags, ..Packet::zeroed() }
}

/// Close to a limit, on this side of it: where an entry can stand before a packet is added.
fn near_limits() -> impl Strategy<Value = (u32, u64, i64)> {
    let packets = prop_oneof![Just(0u32), (1u32 << 27) - 5..1 << 27];
    let overhead = prop_oneof![Just(0i64), (1i64 << 34) - 200..1 << 34, -(1i64 << 34)..-(1 << 34) + 200];
    // So that the frames have no negative octets: as many as a negative overhead takes away, at least.
    let octets = prop_oneof![Just(1u64 << 35), (1u64 << 47) - 4_000_000..1 << 47];
    (packets, octets, overhead)
}

/// Any octets of a packet and its frame, such as are seen and such as only a damaged file has.
fn lengths() -> impl Strategy<Value = (u32, u32)> {
    let usual = (20u32..1500, 14u32..200).prop_map(|(octets, more)| (octets, octets + more));
    let cut = (1000u32..65_575).prop_map(|octets| (octets, octets / 2));
    let absurd = (0u32..=i32::MAX.cast_unsigned()).prop_map(|wire| (20, wire));
    let all = (0u32..=i32::MAX.cast_unsigned() - 14).prop_map(|octets| (octets, octets + 14));
    prop_oneof![3 => usual, 1 => cut, 1 => absurd, 1 => all]
}

proptest! {
    #[test]
    fn no_counter_of_an_entry_wraps(
        start in [near_limits(), near_limits()],
        packets in proptest::collection::vec((0u8..2, lengths()), 1..60),
    ) {
        let mut driven = Driven::at(start);
        // Direction bit 0 is forward when the state's bit is 0.
        let mut expected = Sums::default();
        for (way, (packets, octets, overhead)) in start.into_iter().enumerate() {
            add(&mut expected, [u64::from(packets), octets, octets.wrapping_add_signed(overhead)], way);
        }
        for (way, (octets, wire)) in packets {
            driven.feed(&packet(way, octets, wire));
            add(&mut expected, [1, octets.into(), wire.into()], way.into());
        }
        driven.report();
        prop_assert_eq!(driven.said, expected);
    }
}

#[test]
fn each_limit_ends_a_record_early_and_nothing_else_does() {
    let limits: [((u32, u64, i64), Packet<Key4>); 4] = [
        ((1 << 27, 1 << 35, 0), packet(0, 40, 60)),
        ((9, 1 << 35, 1 << 34), packet(0, 40, 60)),
        ((9, 1 << 35, -(1 << 34) - 1), packet(0, 40, 60)),
        ((9, 1 << 47, 0), packet(0, 1 << 17, 1 << 17)),
    ];
    for (start, packet) in limits {
        let mut driven = Driven::at([start, (1, 40, 20)]);
        driven.feed(&packet);
        assert_eq!(driven.records, 1, "{start:?}");
        let (packets, octets, overhead) = start;
        let before = [u64::from(packets), octets, octets.wrapping_add_signed(overhead)].map(u128::from);
        assert_eq!([driven.said[0][0], driven.said[1][0], driven.said[2][0]], before, "{start:?}");
        // One less of everything, and it is only counted.
        let mut driven = Driven::at([((1 << 27) - 1, (1 << 47) - 1, (1 << 34) - 1), (1, 40, 20)]);
        driven.feed(&packet);
        assert_eq!(driven.records, 0, "{start:?}");
    }
}

#[test]
fn forty_million_packets_of_a_tunnel_have_their_octets_on_the_wire_in_one_record() {
    let wanted = Wanted { huge: false, populate: false };
    let simd = sonde_memory::tags::Simd::detect();
    let sizing = Sizing { ipv4: 100, wide: 100, annex: Room::NONE, wanted, simd, seed: 7, worker: 1, first_id: 1 };
    let mut tracker = Tracker::new(&sizing, Policy::default()).expect("little memory");
    let mut bytes = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0, 0x45, 0, 0, 28, 0, 1, 0, 0, 64, 17, 0, 0];
    bytes.extend([192, 0, 2, 1, 192, 0, 2, 2, 0x9c, 0x40, 0x9c, 0x41, 0, 8, 0, 0]);
    // 72 octets around each packet of 28: more than 2^31 after 30 million packets.
    let frame = Frame { bytes: &bytes, wire_len: 100, link: Link::Ethernet, time: 1_700_000_000_000_000_000, port: 1 };
    let burst = [frame; 128];
    let mut records: Vec<sonde_record::Record> = Vec::new();
    let bursts = 40_000_000 / 128;
    for _ in 0..bursts {
        tracker.meter(&burst, frame.time, &mut records);
    }
    let mut flush = Flush::default();
    while tracker.flush(&mut flush, &mut records) {}
    let packets = bursts * 128;
    assert_eq!(tracker.counters().get(Counter::Received), packets);
    let [record] = records.as_slice() else { panic!("{} records", records.len()) };
    assert_eq!((record.packets, record.octets, record.wire), ([packets, 0], [packets * 28, 0], [packets * 100, 0]));
}
