//! Cisco FabricPath: a forwarding tag and a hop count behind the ethertype, then the Ethernet header of the frame. The addresses before
//! the tag are those of switches.

use crate::cursor::Cursor;
use crate::headers::{Headers, Malformed};
use crate::link::ethernet;
use crate::listener::Listener;

/// Octets of forwarding tag and hop count.
const OCTETS: usize = 2;

/// Passes over the tag, and reads the Ethernet header behind it.
pub(crate) fn read(at: &mut Cursor<'_>, headers: &mut Headers, listener: &mut impl Listener) -> Result<(), Malformed> {
    at.skip(OCTETS).ok_or(Malformed::LinkTruncated)?;
    ethernet::read(at, headers, listener)
}

#[cfg(test)]
mod tests {
    use crate::Link;
    use crate::frame_tests::{ETHERNET, check_frame, check_passed};

    #[test]
    fn the_frame_behind_the_tag_is_read() {
        check_passed("8903 0040 020000000004 020000000003 0800");
        check_frame(Link::Ethernet, &format!("{ETHERNET} 8903 00"), "link_truncated");
    }
}
