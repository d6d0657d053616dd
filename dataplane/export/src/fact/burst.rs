//! Bursts (`bstats`): four lists for each direction, of packets, octets, first and last times, as many as there are bursts and fit the
//! message.

use sonde_record::fact::{BURSTS_MAX, Burst, Bursts};

use crate::cursor::Cursor;
use crate::format::ipfix::field::Field;
use crate::format::ipfix::list;

/// A message has room for so many of each direction, or their group is not sent.
const LEAST: u16 = 2;
const MOST: u16 = 15;

/// Packets, octets, first and last times of the bursts of a direction, the first of which has this element.
const fn way(id: u16) -> [Field; 4] {
    [
        list::varying(id, LEAST, MOST),
        list::varying(id + 1, LEAST, MOST),
        list::varying(id + 2, LEAST, MOST),
        list::varying(id + 3, LEAST, MOST),
    ]
}

/// Forward, then reverse.
const WAYS: [[Field; 4]; 2] = [way(1050), way(1054)];

pub(crate) const FIELDS: &[Field] = WAYS.as_flattened();

const _: () = assert!(MOST as usize == BURSTS_MAX);

const MILLISECOND: u64 = 1_000_000;

/// How many of the bursts of both directions fit: all, or half as many of one as fit, and more where the other has less.
fn share(room: usize, [forward, reverse]: [usize; 2]) -> [usize; 2] {
    let ahead = forward.min(room - reverse.min(room / 2));
    [ahead, reverse.min(room - ahead)]
}

/// Least octets of the chosen lists.
pub(crate) fn least(chosen: u16) -> usize {
    let [heads, each] = list::octets(FIELDS, chosen);
    heads + each * usize::from(LEAST)
}

/// Writes the chosen lists (bit n is field n of [`FIELDS`]). Returns how many bursts found no room.
pub(crate) fn encode(bursts: &Bursts, chosen: u16, out: &mut Cursor<'_>) -> usize {
    let chosen = [chosen & 15, chosen >> 4];
    let [[heads, each], [heads_back, each_back]] = [0, 1].map(|way: usize| list::octets(&WAYS[way], chosen[way]));
    let room = out.0.len().saturating_sub(heads + heads_back);
    let there = [(0, each), (1, each_back)].map(|(way, each)| if each == 0 { 0 } else { bursts.bursts(way).len() });
    let counts = share(room.checked_div(each.max(each_back)).unwrap_or(0), there);
    for (((way, count), fields), chosen) in (0..).zip(counts).zip(&WAYS).zip(chosen) {
        let bursts = || bursts.bursts(way).take(count);
        let [packets, octets, starts, ends] = fields;
        let is_chosen = |at: u16| chosen >> at & 1 != 0;
        if is_chosen(0) {
            list::put(out, packets, bursts().map(|Burst { packets, .. }| packets.to_be_bytes()));
        }
        if is_chosen(1) {
            list::put(out, octets, bursts().map(|Burst { octets, .. }| octets.to_be_bytes()));
        }
        if is_chosen(2) {
            list::put(out, starts, bursts().map(|burst| (burst.start / MILLISECOND).to_be_bytes()));
        }
        if is_chosen(3) {
            list::put(out, ends, bursts().map(|burst| (burst.end / MILLISECOND).to_be_bytes()));
        }
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
