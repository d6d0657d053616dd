//! The longest that a capture file may hold.

/// Longest packet record or block that is read of a capture in pieces, in octets.
pub(crate) const RECORD_MAX: usize = 64 << 20;
/// Longest frame a record may claim: what is above is a damaged field, and would drown the sums.
pub(super) const WIRE_MAX: u32 = i32::MAX.cast_unsigned();
