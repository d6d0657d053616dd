//! Octets of a capture file as numbers.

use sonde_memory::prefetch::prefetch_slice;

/// Octets of a cache line.
const LINE: usize = 64;
/// How far behind the record that is read lines are prefetched, in octets.
const AHEAD: usize = 4096;
/// Most octets that are prefetched for one record: the largest frame of Ethernet without jumbo frames, and a header.
const AHEAD_MOST: usize = 1536;

/// Prefetches, for a record of so many octets at the beginning of `rest`, as many octets further on in the file. Where a record begins
/// is known only when the header of the one before it has come from memory; without this, each header is waited for.
#[inline(always)]
pub(super) fn prefetch_ahead(rest: &[u8], octets: usize) {
    let lines = rest.get(AHEAD..).unwrap_or_default().chunks(LINE);
    lines.take(octets.min(AHEAD_MOST).div_ceil(LINE)).for_each(prefetch_slice);
}

/// The byte order a file, or a section of it, was written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Little,
    Big,
}

impl Order {
    pub(super) const fn u16(self, bytes: [u8; 2]) -> u16 {
        match self {
            Self::Little => u16::from_le_bytes(bytes),
            Self::Big => u16::from_be_bytes(bytes),
        }
    }

    pub(super) const fn u32(self, bytes: [u8; 4]) -> u32 {
        match self {
            Self::Little => u32::from_le_bytes(bytes),
            Self::Big => u32::from_be_bytes(bytes),
        }
    }

    pub(super) const fn i64(self, bytes: [u8; 8]) -> i64 {
        match self {
            Self::Little => i64::from_le_bytes(bytes),
            Self::Big => i64::from_be_bytes(bytes),
        }
    }
}

/// Cuts octets into words of four.
#[inline(always)]
pub(super) fn words<const OCTETS: usize, const WORDS: usize>(bytes: &[u8; OCTETS]) -> [[u8; 4]; WORDS] {
    const { assert!(OCTETS == WORDS * 4) };
    let (words, _) = bytes.as_chunks::<4>();
    let mut out = [[0; 4]; WORDS];
    for (to, from) in out.iter_mut().zip(words) {
        *to = *from;
    }
    out
}
