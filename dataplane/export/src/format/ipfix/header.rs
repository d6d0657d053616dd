//! The header of an IPFIX message (RFC 7011 section 3.1).

use crate::cursor::Cursor;
use crate::format::{self, Quoted, Stamp};

/// Octets of a message header.
pub const HEADER_OCTETS: usize = 16;
/// Octets of a set header (RFC 7011 section 3.3.2).
pub const SET_HEADER_OCTETS: usize = 4;
/// The version of the protocol.
const VERSION: u16 = 10;

/// How headers are written and read.
#[derive(Clone, Copy, Debug)]
pub struct Header;

impl format::Header for Header {
    /// Writes export time, sequence and domain.
    fn write(&self, message: &mut [u8], stamp: Stamp) {
        let mut out = Cursor(&mut message[4..HEADER_OCTETS]);
        out.put(stamp.time.to_be_bytes());
        out.put(stamp.sequence.to_be_bytes());
        out.put(stamp.domain.to_be_bytes());
    }

    /// The sequence number counts data records, modulo 2^32.
    fn step(&self, flows: u32, others: u32) -> u32 {
        flows.wrapping_add(others)
    }

    fn read(&self, message: &[u8]) -> Option<Quoted> {
        let [v0, v1, l0, l1, _, _, _, _, s0, s1, s2, s3, d0, d1, d2, d3] = *message.first_chunk::<HEADER_OCTETS>()?;
        let quoted = Quoted {
            domain: u32::from_be_bytes([d0, d1, d2, d3]),
            sequence: u32::from_be_bytes([s0, s1, s2, s3]),
            octets: u16::from_be_bytes([l0, l1]),
        };
        (u16::from_be_bytes([v0, v1]) == VERSION).then_some(quoted)
    }

    fn octets(&self) -> usize {
        HEADER_OCTETS
    }
}

/// Octets of zero that end a set of `octets` on a boundary of four (RFC 7011 section 3.3.1: zero, and shorter than any record
/// of the set).
pub(crate) const fn padding(octets: usize) -> usize {
    octets.wrapping_neg() % 4
}

/// Writes version and length, the part of a message header that does not change any more.
pub(crate) fn seal(message: &mut [u8]) {
    let length = u16::try_from(message.len()).expect("a message has less than 65536 octets");
    let mut out = Cursor(message);
    out.put(VERSION.to_be_bytes());
    out.put(length.to_be_bytes());
}
