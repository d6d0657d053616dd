//! ARP for IPv4 over Ethernet (RFC 826): protocol 0x0800, addresses of six and four octets. The hardware type may be another of the
//! same shape: that of IEEE 802 networks is 6.

use crate::cursor::{Cursor, Fields};
use crate::link::ethertype;
use crate::listener::{Arp, Listener};

const OCTETS: usize = 28;
const PROTOCOL: usize = 2;
/// Lengths of a hardware address and of a protocol address, one octet each.
const LENGTHS: usize = 4;
const OPERATION: usize = 6;
const SENDER: usize = 14;
const TARGET: usize = 24;

/// An ARP message.
#[derive(Clone, Copy)]
struct Message<'a>(&'a [u8; OCTETS]);

impl Message<'_> {
    fn is_ipv4_over_ethernet(self) -> bool {
        self.0.u16::<PROTOCOL>() == ethertype::IPV4 && self.0.octets::<LENGTHS, 2>() == [6, 4]
    }

    fn arp(self) -> Arp {
        Arp { operation: self.0.u16::<OPERATION>(), sender: self.0.octets::<SENDER, 4>(), target: self.0.octets::<TARGET, 4>() }
    }
}

/// Tells the listener the message, if it is one of IPv4 over Ethernet.
pub(crate) fn read(at: Cursor<'_>, listener: &mut impl Listener) {
    if let Some(message) = at.peek().map(Message).filter(|message| message.is_ipv4_over_ethernet()) {
        listener.arp(message.arp());
    }
}
