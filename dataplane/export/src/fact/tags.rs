//! The drop eligible indicators of VLAN tags: truth values, of which there is one for each tag and none where there is no tag (RFC 7011
//! section 6.1.5: 1 is true, 2 is false, and nothing else is either).

use sonde_record::NO_VLAN;

use crate::format::ipfix::field::{Field, field};

/// Of the outer tag.
pub(crate) const OUTER: [Field; 1] = [field(388)];
/// Of the inner one.
pub(crate) const INNER: [Field; 1] = [field(389)];

/// Whether there is a tag.
#[inline(always)]
pub(crate) const fn is_there(tci: u16) -> bool {
    tci != NO_VLAN
}

/// Writes the field (IEEE 802.1Q section 9.6).
pub(crate) fn encode(tci: u16, out: &mut [u8; 1]) {
    *out = [2 - (tci >> 12 & 1) as u8];
}
