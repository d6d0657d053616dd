//! Tags of which only the ethertype behind them is wanted: VN-Tag (Cisco), E-TAG (IEEE 802.1BR section 7.5), HSR (IEC 62439-3),
//! TTag (Cisco, a time of six octets).

use crate::cursor::Cursor;
use crate::headers::{Headers, Malformed};

/// Octets between the tag's ethertype and the next one.
pub(crate) const VN_TAG_OCTETS: usize = 4;
pub(crate) const E_TAG_OCTETS: usize = 6;
pub(crate) const HSR_OCTETS: usize = 4;
pub(crate) const TTAG_OCTETS: usize = 6;

/// Passes over a tag of so many octets, and reads the ethertype behind it.
pub(crate) fn read(at: &mut Cursor<'_>, headers: &mut Headers, octets: usize) -> Result<(), Malformed> {
    at.skip(octets).ok_or(Malformed::VlanTruncated)?;
    headers.ethertype = at.u16().ok_or(Malformed::VlanTruncated)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::Link;
    use crate::frame_tests::{ETHERNET, check_frame, check_passed, check_tag};

    #[test]
    fn tags_of_every_length_are_passed_over() {
        check_passed("8926 00010002 0800");
        check_passed("893f 000100020003 0800");
        check_tag("8988 0000655abd40");
        check_tag("892f 1034 0001");
        check_frame(Link::Ethernet, &format!("{ETHERNET} 8926 0001"), "vlan_truncated");
    }
}
