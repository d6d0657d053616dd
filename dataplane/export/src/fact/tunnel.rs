//! The tunnel a flow stands in, or is: the outermost IP header, the identifier of the innermost tunnel that has one, the Ethernet header
//! in it.
//!
//! The header's fields are ntop's "untunneled" ones: what a packet is without looking into its tunnel. A flow whose own addresses are
//! these is the tunnel itself, every other one is inside. The kind of the tunnel follows from protocol and destination port; the
//! addresses of the version that the header does not have are unspecified.
//!
//! Not here: the names and the number of tunnels in one another, type of service and TTL of the header, the VLAN tag inside.

use sonde_packet::{Layers, Network, Tunnel};

use crate::cursor::Cursor;
use crate::format::ipfix::field::{Field, field, ntop, octets};

pub(crate) const FIELDS: [Field; 13] = [
    field(351),
    field(507),
    ntop(106),
    field(296),
    ntop(113),
    ntop(114),
    ntop(116),
    ntop(115),
    ntop(117),
    ntop(396),
    ntop(397),
    field(414),
    field(415),
];

/// Octets of these fields.
const OCTETS: usize = octets(&FIELDS);

/// Whether there is a tunnel.
#[inline]
pub(crate) fn is_there(layers: &Layers) -> bool {
    layers.depth != 0
}

/// Writes the fields.
pub(crate) fn encode(layers: &Layers, out: &mut [u8; OCTETS]) {
    let mut out = Cursor(out);
    // RFC 7133 section 3.2.1 and its registry: the highest octet says what the identifier is of, 1 VXLAN, 2 NVGRE.
    let segment = |kind: u64| kind << 56 | u64::from(layers.tunnel_id.unwrap_or(0) & 0x00ff_ffff);
    let (segment, teid) = match layers.identified {
        Some(Tunnel::Vxlan) => (segment(1), 0),
        Some(Tunnel::Nvgre) => (segment(2), 0),
        Some(Tunnel::GtpU) => (0, layers.tunnel_id.unwrap_or(0)),
        _ => (0, 0),
    };
    out.put(segment.to_be_bytes());
    out.put(teid.to_be_bytes());
    out.put(layers.tunnel_id.unwrap_or(0).to_be_bytes());
    out.put(layers.gre_key.unwrap_or(0).to_be_bytes());
    out.put([layers.outer_protocol]);
    let (v4, v6) = match layers.outer {
        Network::None => ([[0; 4]; 2], [[0; 16]; 2]),
        Network::V4(source, destination) => ([source, destination], [[0; 16]; 2]),
        Network::V6(source, destination) => ([[0; 4]; 2], [source, destination]),
    };
    v4.into_iter().for_each(|address| out.put(address));
    layers.outer_ports.into_iter().for_each(|port| out.put(port.to_be_bytes()));
    v6.into_iter().for_each(|address| out.put(address));
    let [d0, d1, d2, d3, d4, d5, s0, s1, s2, s3, s4, s5] = layers.inner_macs;
    out.put([s0, s1, s2, s3, s4, s5]);
    out.put([d0, d1, d2, d3, d4, d5]);
    out.end();
}
