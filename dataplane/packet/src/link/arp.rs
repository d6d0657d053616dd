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

#[cfg(test)]
mod tests {
    use crate::frame_tests::{ETHERNET, check_frame, layers_of};
    use crate::{Arp, Link};

    #[test]
    fn the_listener_hears_messages_of_ipv4_over_ethernet() {
        let asks = layers_of(&format!("{ETHERNET} 0806 0001 0800 06 04 0001 020000000001 0a000001 000000000000 0a000002"));
        assert_eq!(asks.arp, Arp { operation: 1, sender: [10, 0, 0, 1], target: [10, 0, 0, 2] });
        let other = layers_of(&format!("{ETHERNET} 0806 0006 0800 06 04 0002 020000000001 0a000001 020000000002 0a000002"));
        assert_eq!(other.arp, Arp { operation: 2, ..asks.arp });
        let long = layers_of(&format!("{ETHERNET} 0806 0001 0800 08 04 0001 0200000000010000 0a000001 0000000000000000 0a000002"));
        assert_eq!(long.arp, Arp::default(), "addresses stand elsewhere");
        check_frame(Link::Ethernet, &format!("{ETHERNET} 0806 0001"), "0806 p0 0>0 2 octets vlan [] icmp [0, 0] frag 0");
    }
}
