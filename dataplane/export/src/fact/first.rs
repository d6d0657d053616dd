//! The first packets of a record (`pstats`): four lists, of payloads, times, TCP flags and directions, as many as there are packets and fit
//! the message.
//!
//! `packetFlag` has 8 bits, so the four reserved ones of a TCP header are not sent.

use sonde_record::fact::{FIRST_PACKETS_MAX, FirstPacket, FirstPackets};

use crate::cursor::Cursor;
use crate::format::ipfix::field::Field;
use crate::format::ipfix::list;

/// A message has room for so many, or their group is not sent.
const LEAST: u16 = 8;
const MOST: u16 = 30;

/// Payload, time, flags, direction.
pub(crate) const FIELDS: [Field; 4] = [
    list::varying(1013, LEAST, MOST),
    list::varying(1014, LEAST, MOST),
    list::varying(1015, LEAST, MOST),
    list::varying(1016, LEAST, MOST),
];

const _: () = assert!(MOST as usize == FIRST_PACKETS_MAX);

const MILLISECOND: u64 = 1_000_000;

/// Writes the chosen lists (bit n is field n of [`FIELDS`]), and leaves so many octets behind them. Returns how many packets found no room.
pub(crate) fn encode(first: &FirstPackets, chosen: u16, out: &mut Cursor<'_>, leave: usize) -> usize {
    let [heads, each] = list::octets(&FIELDS, chosen);
    let room = out.0.len().saturating_sub(heads + leave).checked_div(each).unwrap_or(0);
    let packets = || first.packets().take(room);
    let [payloads, times, flags, directions] = &FIELDS;
    let is_chosen = |at: u16| chosen >> at & 1 != 0;
    if is_chosen(0) {
        list::put(out, payloads, packets().map(|packet| packet.payload.to_be_bytes()));
    }
    if is_chosen(1) {
        list::put(out, times, packets().map(|packet| (packet.time / MILLISECOND).to_be_bytes()));
    }
    if is_chosen(2) {
        list::put(out, flags, packets().map(|FirstPacket { flags, .. }| [flags.to_be_bytes()[1]]));
    }
    if is_chosen(3) {
        list::put(out, directions, packets().map(|packet| if packet.way == 0 { 1i8 } else { -1 }.to_be_bytes()));
    }
    first.packets().len().saturating_sub(room)
}
