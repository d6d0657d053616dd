//! The first packets of a record (`pstats`): four lists, of payloads, times, TCP flags and directions, as many as there are packets and fit
//! the message.
//!
//! `packetFlag` has 8 bits, so the four reserved ones of a TCP header are not sent.

use sonde_record::fact::{FIRST_PACKETS_MAX, FirstPacket, FirstPackets};

use super::list;
use crate::cursor::Cursor;
use crate::template::{Field, octets};

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

/// Octets of a packet in all lists.
const PACKET_OCTETS: usize = (octets(&FIELDS) - FIELDS.len() * list::HEADER_OCTETS) / LEAST as usize;

const MILLISECOND: u64 = 1_000_000;

/// Writes the fields, and leaves so many octets behind them. Returns how many packets found no room.
pub(crate) fn encode(first: &FirstPackets, out: &mut Cursor<'_>, leave: usize) -> usize {
    let room = out.0.len().saturating_sub(FIELDS.len() * list::HEADER_OCTETS + leave);
    let packets = || first.packets().take(room / PACKET_OCTETS);
    let [payloads, times, flags, directions] = &FIELDS;
    list::put(out, payloads, packets().map(|packet| packet.payload.to_be_bytes()));
    list::put(out, times, packets().map(|packet| (packet.time / MILLISECOND).to_be_bytes()));
    list::put(out, flags, packets().map(|FirstPacket { flags, .. }| [flags.to_be_bytes()[1]]));
    list::put(out, directions, packets().map(|packet| if packet.way == 0 { 1i8 } else { -1 }.to_be_bytes()));
    first.packets().len().saturating_sub(room / PACKET_OCTETS)
}
