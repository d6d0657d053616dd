//! Cisco HDLC (RFC 1547 section 4.3.1), LINKTYPE_C_HDLC: address, control, ethertype.

use crate::cursor::{Cursor, Fields};
use crate::headers::{Headers, Malformed};

const OCTETS: usize = 4;
const ETHERTYPE: usize = 2;

/// Addresses: unicast and multicast.
const UNICAST: u8 = 0x0f;
const MULTICAST: u8 = 0x8f;

/// A Cisco HDLC header.
#[derive(Clone, Copy)]
struct Header<'a>(&'a [u8; OCTETS]);

impl Header<'_> {
    fn ethertype(self) -> u16 {
        self.0.u16::<ETHERTYPE>()
    }
}

/// Whether the first octet is an address of Cisco HDLC, and not PPP's (LINKTYPE_PPP_HDLC).
pub(crate) fn is_next(at: Cursor<'_>) -> bool {
    matches!(at.first(), Some(UNICAST | MULTICAST))
}

/// Reads the header.
pub(crate) fn read(at: &mut Cursor<'_>, headers: &mut Headers) -> Result<(), Malformed> {
    headers.ethertype = at.take().map(Header).ok_or(Malformed::LinkTruncated)?.ethertype();
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::Link;
    use crate::frame_tests::{UDP4, V4_UDP, check_frame};

    #[test]
    fn an_ethertype_follows_address_and_control() {
        for (link, address) in [(Link::CiscoHdlc, "0f00"), (Link::CiscoHdlc, "8f00"), (Link::PppSerial, "0f00"), (Link::PppSerial, "8f00")]
        {
            check_frame(link, &format!("{address} 0800 {V4_UDP}"), &format!("{UDP4} 28 octets vlan [] icmp [0, 0] frag 0"));
        }
        check_frame(Link::CiscoHdlc, "0f00 08", "link_truncated");
    }
}
