//! What a flow's first packet has between its link and its IP header, or beside the latter: labels, security parameters, segment routing.
//!
//! A record has these fields when one of them is there; of the others `mplsLabelStackDepth` is 0, `IPSecSPI` is 0 (a reserved number,
//! RFC 4303 section 2.1), `dot1qServiceInstanceId` is 0 (reserved, too), and `srhSegmentIPv6` is the unspecified address. Labels below the sixth are counted in the depth only.
//!
//! Not here, because no enterprise we know has elements for them: sessions of PPPoE, VLAN tags beyond the second, the number of
//! segments. `srhActiveSegmentIPv6` (495) is the destination address of the header that has the list.

use sonde_packet::Layers;

use crate::cursor::Cursor;
use crate::format::ipfix::field::{Field, field, octets};

pub(crate) const FIELDS: [Field; 14] = [
    field(70),
    field(71),
    field(72),
    field(73),
    field(74),
    field(75),
    field(200),
    field(202),
    field(295),
    field(492),
    field(493),
    field(494),
    field(498),
    field(412),
];

/// Octets of these fields.
const OCTETS: usize = octets(&FIELDS);

/// Whether there is anything to tell.
#[inline]
pub(crate) fn is_there(layers: &Layers) -> bool {
    layers.mpls_labels | layers.srh.segments != 0 || layers.spi != 0 || layers.service_instance.is_some()
}

/// Writes the fields.
pub(crate) fn encode(layers: &Layers, out: &mut [u8; OCTETS]) {
    let mut out = Cursor(out);
    let mut top_ttl = 0;
    for (at, entry) in layers.mpls.iter().enumerate() {
        let entry = if at < usize::from(layers.mpls_labels) { *entry } else { 0 };
        // A section is label, traffic class and bottom of stack: an entry without its TTL (RFC 3032 section 2.1).
        let [a, b, c, ttl] = entry.to_be_bytes();
        out.put([a, b, c]);
        if at == 0 {
            top_ttl = ttl;
        }
    }
    out.put([top_ttl]);
    out.put([layers.mpls_labels]);
    out.put(layers.spi.to_be_bytes());
    out.put([layers.srh.flags]);
    out.put(layers.srh.tag.to_be_bytes());
    out.put(layers.srh.last);
    out.put([layers.srh.segments_left]);
    out.put((layers.service_instance.unwrap_or(0) & 0x00ff_ffff).to_be_bytes());
    out.end();
}
