//! Bursts (`bstats`): four lists for each direction, of packets, octets, first and last times, as many as there are bursts and fit the
//! message.

use sonde_record::fact::{BURSTS_MAX, Burst, Bursts};

use super::list;
use crate::cursor::Cursor;
use crate::template::{Field, octets};

/// A message has room for so many of each direction, or their group is not sent.
const LEAST: u16 = 2;
const MOST: u16 = 15;

/// Packets, octets, first and last times; forward, then reverse.
pub(crate) const FIELDS: [Field; 8] = [
    list::varying(1050, LEAST, MOST),
    list::varying(1051, LEAST, MOST),
    list::varying(1052, LEAST, MOST),
    list::varying(1053, LEAST, MOST),
    list::varying(1054, LEAST, MOST),
    list::varying(1055, LEAST, MOST),
    list::varying(1056, LEAST, MOST),
    list::varying(1057, LEAST, MOST),
];

const _: () = assert!(MOST as usize == BURSTS_MAX);

/// Least octets of these fields.
pub(crate) const OCTETS_LEAST: usize = octets(&FIELDS);
/// Octets of a burst in all lists.
const BURST_OCTETS: usize = (OCTETS_LEAST - FIELDS.len() * list::HEADER_OCTETS) / (2 * LEAST as usize);

const MILLISECOND: u64 = 1_000_000;

/// How many of the bursts of both directions fit: all, or half as many of one as fit, and more where the other has less.
fn share(room: usize, [forward, reverse]: [usize; 2]) -> [usize; 2] {
    let ahead = forward.min(room - reverse.min(room / 2));
    [ahead, reverse.min(room - ahead)]
}

/// Writes the fields. Returns how many bursts found no room.
pub(crate) fn encode(bursts: &Bursts, out: &mut Cursor<'_>) -> usize {
    let room = out.0.len().saturating_sub(FIELDS.len() * list::HEADER_OCTETS);
    let there = [0, 1].map(|way| bursts.bursts(way).len());
    let counts = share(room / BURST_OCTETS, there);
    for ((way, count), fields) in (0..).zip(counts).zip(FIELDS.as_chunks::<4>().0) {
        let bursts = || bursts.bursts(way).take(count);
        let [packets, octets, starts, ends] = fields;
        list::put(out, packets, bursts().map(|Burst { packets, .. }| packets.to_be_bytes()));
        list::put(out, octets, bursts().map(|Burst { octets, .. }| octets.to_be_bytes()));
        list::put(out, starts, bursts().map(|burst| (burst.start / MILLISECOND).to_be_bytes()));
        list::put(out, ends, bursts().map(|burst| (burst.end / MILLISECOND).to_be_bytes()));
    }
    there.iter().sum::<usize>() - counts.iter().sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_direction_takes_the_room_of_the_other() {
        for (room, counts, expected) in [
            (30, [15, 15], [15, 15]),
            (10, [15, 15], [5, 5]),
            (10, [15, 2], [8, 2]),
            (10, [2, 15], [2, 8]),
            (11, [15, 15], [6, 5]),
            (4, [0, 1], [0, 1]),
            (0, [3, 3], [0, 0]),
        ] {
            assert_eq!(share(room, counts), expected, "{room} for {counts:?}");
        }
    }
}
