//! Packets of a flow's direction, and the octets that their frames have more on the wire than from the IP header on, or fewer: in one word, so
//! that one addition counts both.
//!
//! The packets are the low 28 bits; above them stand the octets, plus a bias. 36 bits hold -2^34 to 2^34 of them, and 2^32 of one more packet on
//! either side, whatever a capture says of its length.

const OVERHEAD: u32 = 28;
const PACKETS: u64 = (1 << OVERHEAD) - 1;

/// No packet.
pub(crate) const NONE: u64 = 1 << (34 + OVERHEAD);

/// One of these bits is set: a record is due. The packets are 2^27; the octets have left their range, upwards or downwards.
pub(crate) const DUE: u64 = 1 << 63 | 1 << 27;

/// What one packet adds.
#[inline(always)]
pub(crate) fn one(overhead: i32) -> u64 {
    (i64::from(overhead) << OVERHEAD).wrapping_add(1).cast_unsigned()
}

/// Packets.
#[inline(always)]
pub(crate) fn packets(counts: u64) -> u64 {
    counts & PACKETS
}

/// Octets on the wire, of those from the IP header on.
#[inline(always)]
pub(crate) fn wire(counts: u64, octets: u64) -> u64 {
    octets.wrapping_add_signed(counts.wrapping_sub(NONE).cast_signed() >> OVERHEAD)
}
