//! What the first frame of a flow says that is neither key nor counter, and where its layers are kept.

use sonde_packet::{Frame, Headers, Layers, Part, SynOptions, Tunnels, layers_part, proto};
use sonde_record::{NO_ICMP, NO_VLAN};

use crate::annex::Annex;
use crate::counters::{Counter, Counters};
use crate::handle::{Class, Extras};
use crate::packet::INNER;

/// How the first packet of a flow is looked at.
pub(crate) struct Birthplace<'a, 'f> {
    pub(crate) frame: &'a Frame<'f>,
    /// Those of a SYN or SYN/ACK. By reference, as all of this: a copy would be read by wider loads than it was stored by.
    pub(crate) options: Option<&'a SynOptions>,
    pub(crate) tunnels: &'a Tunnels,
    pub(crate) annex: &'a mut Annex,
    /// Where flows are counted for which the annex has no memory.
    pub(crate) counters: &'a mut Counters,
    /// The active timeout.
    pub(crate) active: u64,
}

/// What is read from the first frame of a flow only.
pub(crate) struct About {
    pub(crate) macs: [u8; 12],
    pub(crate) vlan_tci: [u16; 2],
    pub(crate) ethertype: u16,
    pub(crate) icmp: [u8; 2],
    pub(crate) flow_label: [u8; 3],
    pub(crate) ip_flags: u8,
    pub(crate) extras: Extras,
}

impl About {
    /// Of a frame the fast decoder knows: untagged Ethernet with IPv4, TCP or UDP.
    #[inline(always)]
    pub(crate) fn common(frame: &Frame<'_>) -> Self {
        let macs = frame.bytes.first_chunk().copied().unwrap_or_default();
        let ip_flags = frame.bytes.get(20).map_or(0, |byte| byte & 0xe0);
        Self { macs, vlan_tci: [NO_VLAN, NO_VLAN], ethertype: 0x0800, icmp: [0; 2], flow_label: [0; 3], ip_flags, extras: Extras::NONE }
    }

    /// Of any other frame; `part` as in [`crate::packet::Packet`].
    #[inline(never)]
    pub(crate) fn general(origin: u8, part: u16, place: &mut Birthplace<'_, '_>) -> Self {
        // It was decoded before, in this burst; only good frames come here.
        let (headers, mut found): (Headers, Layers) =
            layers_part(place.frame, place.tunnels, origin == INNER, (part != 0).then_some(Part(part))).unwrap_or_default();
        let ([d0, d1, d2, d3, d4, d5], [s0, s1, s2, s3, s4, s5]) = (headers.dmac, headers.smac);
        let [outer, inner, ..] = found.vlan;
        let vlan_tci = match found.vlan_tags {
            0 => [NO_VLAN, NO_VLAN],
            1 => [outer, NO_VLAN],
            _ => [outer, inner],
        };
        if found.vlan_tags <= 2 {
            // They stand in the entry: most tagged flows have nothing else to keep.
            (found.vlan, found.vlan_tags) = ([0; 4], 0);
        }
        let [_, l0, l1, l2] = headers.flow_label.to_be_bytes();
        Self {
            macs: [d0, d1, d2, d3, d4, d5, s0, s1, s2, s3, s4, s5],
            vlan_tci,
            ethertype: headers.ethertype,
            icmp: match headers.protocol {
                proto::ICMP | proto::ICMPV6 | proto::IGMP if headers.icmp_seen => headers.icmp,
                proto::ICMP | proto::ICMPV6 => NO_ICMP,
                _ => [0; 2],
            },
            flow_label: [l2, l1, l0],
            ip_flags: headers.ip_flags,
            extras: if found.is_empty() { Extras::NONE } else { keep(&found, place) },
        }
    }
}

/// Keeps the layers of a flow; counts a flow for which the annex has no memory.
fn keep(found: &Layers, place: &mut Birthplace<'_, '_>) -> Extras {
    place.annex.keep_layers(found).unwrap_or_else(|| {
        place.counters.add(Counter::LayersFull, u64::from(place.annex.keeps(Class::Layers)));
        Extras::NONE
    })
}
