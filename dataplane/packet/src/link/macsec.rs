//! MACsec (IEEE 802.1AE section 9): what is only authenticated can be read, what is encrypted or otherwise changed cannot.

use crate::cursor::{Cursor, Fields};
use crate::headers::{Headers, Malformed};
use crate::link::skipped_tag;

const OCTETS: usize = 1;
/// Version and flags (section 9.5).
const CONTROL: usize = 0;

const VERSION: u8 = 0x80;
const EXPLICIT_SCI: u8 = 0x20;
const ENCRYPTED: u8 = 0x08;
const CHANGED: u8 = 0x04;

/// Control, short length and packet number; with the identifier of the secure channel eight more.
const TAG: usize = 6;
const TAG_WITH_SCI: usize = 14;

/// The first octet of the security tag.
#[derive(Clone, Copy)]
struct Header<'a>(&'a [u8; OCTETS]);

impl Header<'_> {
    fn is_readable(self) -> bool {
        self.0.u8::<CONTROL>() & (VERSION | ENCRYPTED | CHANGED) == 0
    }

    /// Octets up to the next ethertype.
    fn octets(self) -> usize {
        if self.0.u8::<CONTROL>() & EXPLICIT_SCI != 0 { TAG_WITH_SCI } else { TAG }
    }
}

/// Passes over the tag; `false`, and nothing is passed over, when what follows cannot be read.
pub(crate) fn read(at: &mut Cursor<'_>, headers: &mut Headers) -> Result<bool, Malformed> {
    let header = at.peek().map(Header).ok_or(Malformed::VlanTruncated)?;
    if !header.is_readable() {
        return Ok(false);
    }
    skipped_tag::read(at, headers, header.octets())?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use crate::Link;
    use crate::frame_tests::{ETHERNET, INNER4, check_frame, check_tag};

    #[test]
    fn what_is_only_authenticated_is_read() {
        check_tag("88e5 01 00 00000001");
        check_tag("88e5 21 00 00000001 0200000000010001");
        for encrypted in ["88e5 0d 00 00000001", "88e5 05 00 00000001", "88e5 81 00 00000001"] {
            let hex = format!("{ETHERNET} {encrypted} 0800 {INNER4}");
            check_frame(Link::Ethernet, &hex, "88e5 p0 0>0 36 octets vlan [] icmp [0, 0] frag 0");
        }
    }
}
