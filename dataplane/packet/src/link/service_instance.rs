//! The I-TAG of provider backbone bridges (IEEE 802.1Q section 9.7), behind its ethertype: priority, flags and service instance, then the
//! customer's Ethernet header. The addresses before the tag are those of bridges.

use crate::cursor::{Cursor, Fields};
use crate::headers::{Headers, Malformed, ServiceInstance};
use crate::link::ethernet;
use crate::listener::Listener;

const OCTETS: usize = 4;
/// Priority (3 bits), drop eligible (1), flags (4), I-SID (24).
const CONTROL: usize = 0;

/// An I-TAG without the addresses that IEEE counts to it.
#[derive(Clone, Copy)]
struct Tag<'a>(&'a [u8; OCTETS]);

impl Tag<'_> {
    fn control(self) -> u32 {
        self.0.u32::<CONTROL>()
    }
}

/// Reads the tag and the Ethernet header behind it, and tells the listener the tag's control information.
pub(crate) fn read(at: &mut Cursor<'_>, headers: &mut Headers, listener: &mut impl Listener) -> Result<(), Malformed> {
    let tag = at.take().map(Tag).ok_or(Malformed::VlanTruncated)?;
    headers.service_instance = ServiceInstance::new(tag.control());
    listener.service_instance(tag.control());
    ethernet::read(at, headers, listener)
}
