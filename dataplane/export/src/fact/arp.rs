//! ARP for IPv4 over Ethernet, in the elements of CESNET's ipfixprobe: the operation, and the two protocol addresses as text with
//! zeros behind it. The hardware addresses are those of the frame, or the frame is a lie.

use std::io::Write as _;
use std::net::Ipv4Addr;

use sonde_packet::Layers;

use crate::cursor::Cursor;
use crate::format::ipfix::field::{Field, cesnet, octets};

/// Octets of an address as text: IPv4 has 15 at most.
const ADDRESS_OCTETS: usize = 16;

pub(crate) const FIELDS: [Field; 3] = [cesnet(33), cesnet(35), cesnet(37)];

/// Octets of these fields.
const OCTETS: usize = octets(&FIELDS);

/// Whether the frame is one of ARP.
#[inline]
pub(crate) fn is_there(layers: &Layers) -> bool {
    layers.arp.operation != 0
}

/// Writes the fields.
pub(crate) fn encode(layers: &Layers, out: &mut [u8; OCTETS]) {
    let mut out = Cursor(out);
    out.put(layers.arp.operation.to_be_bytes());
    for address in [layers.arp.sender, layers.arp.target] {
        let mut text = [0; ADDRESS_OCTETS];
        // The longest address is shorter than the room: it cannot fail.
        let _ = write!(text.as_mut_slice(), "{}", Ipv4Addr::from(address));
        out.put(text);
    }
    out.end();
}
