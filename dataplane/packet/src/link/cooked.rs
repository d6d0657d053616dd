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
