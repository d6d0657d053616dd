//! Linux "cooked" captures, LINKTYPE_LINUX_SLL and LINKTYPE_LINUX_SLL2: what a capture of all interfaces has in place of Ethernet.

use crate::cursor::{Cursor, Fields};
use crate::headers::{Headers, Malformed};

/// Octets of an address that is a MAC address.
const MAC: u16 = 6;

/// Version 1: packet type, ARPHRD, address length, address, protocol.
mod v1 {
    pub(super) const OCTETS: usize = 16;
    pub(super) const ADDRESS_LENGTH: usize = 4;
    pub(super) const ADDRESS: usize = 6;
    pub(super) const ETHERTYPE: usize = 14;
}

/// Version 2: protocol, reserved, interface, ARPHRD, packet type, address length, address.
mod v2 {
    pub(super) const OCTETS: usize = 20;
    pub(super) const ETHERTYPE: usize = 0;
    pub(super) const ADDRESS_LENGTH: usize = 11;
    pub(super) const ADDRESS: usize = 12;
}

/// What both versions say.
struct Header {
    address_length: u16,
    address: [u8; 6],
    ethertype: u16,
}

impl Header {
    fn of_v1(octets: &[u8; v1::OCTETS]) -> Self {
        let address_length = octets.u16::<{ v1::ADDRESS_LENGTH }>();
        Self { address_length, address: octets.octets::<{ v1::ADDRESS }, 6>(), ethertype: octets.u16::<{ v1::ETHERTYPE }>() }
    }

    fn of_v2(octets: &[u8; v2::OCTETS]) -> Self {
        let address_length = octets.u8::<{ v2::ADDRESS_LENGTH }>().into();
        Self { address_length, address: octets.octets::<{ v2::ADDRESS }, 6>(), ethertype: octets.u16::<{ v2::ETHERTYPE }>() }
    }

    fn enter(self, headers: &mut Headers) {
        if self.address_length == MAC {
            headers.smac = self.address;
        }
        headers.ethertype = self.ethertype;
    }
}

/// Reads a header of version 1.
pub(crate) fn read(at: &mut Cursor<'_>, headers: &mut Headers) -> Result<(), Malformed> {
    at.take().map(Header::of_v1).ok_or(Malformed::LinkTruncated)?.enter(headers);
    Ok(())
}

/// Reads a header of version 2.
pub(crate) fn read_v2(at: &mut Cursor<'_>, headers: &mut Headers) -> Result<(), Malformed> {
    at.take().map(Header::of_v2).ok_or(Malformed::LinkTruncated)?.enter(headers);
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::frame_tests::{UDP4, V4_UDP, bytes, check_frame, frame_of};
    use crate::{Link, decode};

    #[test]
    fn both_versions_have_an_ethertype_and_a_source() {
        for (link, header) in [
            (Link::LinuxSll, "0000 0001 0006 020000000001 0000 0800"),
            (Link::LinuxSll2, "0800 0000 00000002 0001 00 06 020000000001 0000"),
        ] {
            check_frame(link, &format!("{header} {V4_UDP}"), &format!("{UDP4} 28 octets vlan [] icmp [0, 0] frag 0"));
            let frame = bytes(&format!("{header} {V4_UDP}"));
            assert_eq!(decode(&frame_of(link, &frame)).map(|headers| headers.smac), Ok([2, 0, 0, 0, 0, 1]));
            // An address of another length is none of Ethernet.
            let frame = bytes(&format!("{header} {V4_UDP}").replace("06 020000000001", "08 020000000001"));
            assert_eq!(decode(&frame_of(link, &frame)).map(|headers| headers.smac), Ok([0; 6]));
            check_frame(link, "0000", "link_truncated");
        }
    }
}
