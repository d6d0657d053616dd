//! The listener that keeps what a frame says beyond the fields of a flow: tags, labels, tunnels.

use crate::headers::{Headers, Network};
use crate::listener::{Arp, Listener, SegmentRouting};
use crate::tunnel::Tunnel;

/// Most VLAN tags that are kept, outermost first.
pub const VLAN_TAGS_KEPT: usize = 4;
/// Most MPLS labels that are kept, top first.
pub const MPLS_LABELS_KEPT: usize = 6;
/// Most tunnels that are kept, outermost first.
pub const TUNNELS_KEPT: usize = 4;

/// A listener that is told about tunnels, too.
pub(crate) trait TunnelListener: Listener {
    /// A tunnel, with its identifier if it has one, and the headers it stands in.
    fn tunnel(&mut self, _kind: Tunnel, _id: Option<u32>, _outer: &Headers) {}
}

impl TunnelListener for () {}

/// What the layers of a flow's first packet say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Layers {
    /// VLAN tags before the first IP header: priority (3 bits), DEI (1), id (12); only the first `vlan_tags` count.
    pub vlan: [u16; VLAN_TAGS_KEPT],
    /// VLAN tags found.
    pub vlan_tags: u8,
    /// MPLS label stack entries before the first IP header, top first; only the first `mpls_labels` count.
    pub mpls: [u32; MPLS_LABELS_KEPT],
    /// Labels found.
    pub mpls_labels: u8,
    /// PPPoE session; 0 where there is none.
    pub pppoe_session: u16,
    /// Tunnels, outermost first: [`Tunnel`] in the low six bits, then whether the inner and the outer IP header is IPv6.
    pub tunnels: [u8; TUNNELS_KEPT],
    /// Tunnels found.
    pub depth: u8,
    /// Identifier of the innermost tunnel that has one: VNI, VSID, TEID, session. It may be 0.
    pub tunnel_id: Option<u32>,
    /// The kind of the tunnel that it belongs to.
    pub identified: Option<Tunnel>,
    /// I-TAG of a service instance, the innermost: priority (3 bits), DEI, flags (4), I-SID (24).
    pub service_instance: Option<u32>,
    /// Headers of the outermost tunnel: source and destination.
    pub outer: Network,
    /// Its ports, source first.
    pub outer_ports: [u16; 2],
    /// Its protocol.
    pub outer_protocol: u8,
    /// Its TTL or hop limit.
    pub outer_ttl: u8,
    /// Its type of service or traffic class.
    pub outer_tos: u8,
    /// Ethernet header inside the innermost tunnel that carries one: destination, then source.
    pub inner_macs: [u8; 12],
    /// Its VLAN tag, the last of several.
    pub inner_vlan: Option<u16>,
    /// MPLS label inside a tunnel (OTV over GRE); 0 where there is none.
    pub inner_mpls: u32,
    /// GRE key.
    pub gre_key: Option<u32>,
    /// Security parameters index of the metered headers.
    pub spi: u32,
    /// ARP.
    pub arp: Arp,
    /// Segment routing.
    pub srh: SegmentRouting,
}

impl Layers {
    /// Whether there is anything to tell.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The tunnels of the first packet, outermost first, as text: "gre+erspan" is one, "vxlan/gre" are two.
    pub fn tunnel_names(&self) -> impl Iterator<Item = &'static str> {
        let count = usize::from(self.depth).min(TUNNELS_KEPT);
        self.tunnels.into_iter().take(count).filter_map(|entry| {
            Some(match (Tunnel::from_u8(entry & 0x3f)?, entry >> 6) {
                (Tunnel::IpInIp, 0) => "4in4",
                (Tunnel::IpInIp, 1) => "6in4",
                (Tunnel::IpInIp, 2) => "4in6",
                (Tunnel::IpInIp, _) => "6in6",
                (Tunnel::Erspan, _) => "gre+erspan",
                (Tunnel::Ieee80211, _) => "gre+ieee80211",
                (kind, _) => kind.name(),
            })
        })
    }

    /// The kind of the innermost tunnel.
    pub fn tunnel(&self) -> Option<Tunnel> {
        let last = usize::from(self.depth).min(TUNNELS_KEPT).checked_sub(1)?;
        self.tunnels.get(last).and_then(|entry| Tunnel::from_u8(entry & 0x3f))
    }

    /// Takes over what only the metered headers say.
    pub(crate) fn finish(&mut self, metered: &Headers, inner: Option<&Headers>) {
        self.spi = metered.spi;
        // Which version is in the last tunnel is known when its packet was read.
        if let (Some(inner), Some(last)) = (inner, usize::from(self.depth).checked_sub(1))
            && let Some(entry) = self.tunnels.get_mut(last)
        {
            *entry |= u8::from(matches!(inner.network, Network::V6(..))) << 6;
        }
    }
}

impl Listener for Layers {
    fn vlan(&mut self, tci: u16) {
        if self.depth > 0 {
            self.inner_vlan = Some(tci);
            return;
        }
        if let Some(place) = self.vlan.get_mut(usize::from(self.vlan_tags)) {
            *place = tci;
        }
        self.vlan_tags = self.vlan_tags.saturating_add(1);
    }

    fn mpls(&mut self, entry: u32) {
        if self.depth > 0 {
            self.inner_mpls = entry;
            return;
        }
        if let Some(place) = self.mpls.get_mut(usize::from(self.mpls_labels)) {
            *place = entry;
        }
        self.mpls_labels = self.mpls_labels.saturating_add(1);
    }

    fn pppoe(&mut self, session: u16) {
        self.pppoe_session = session;
    }

    fn ethernet(&mut self, destination: [u8; 6], source: [u8; 6]) {
        if self.depth > 0 {
            self.stations(destination, source);
        }
    }

    fn stations(&mut self, destination: [u8; 6], source: [u8; 6]) {
        let ([d0, d1, d2, d3, d4, d5], [s0, s1, s2, s3, s4, s5]) = (destination, source);
        self.inner_macs = [d0, d1, d2, d3, d4, d5, s0, s1, s2, s3, s4, s5];
        // A tag that stood in the tunnel around this one is not this header's.
        self.inner_vlan = None;
    }

    fn arp(&mut self, arp: Arp) {
        self.arp = arp;
    }

    fn gre_key(&mut self, key: u32) {
        self.gre_key = Some(key);
    }

    fn segment_routing(&mut self, header: SegmentRouting) {
        self.srh = header;
    }

    fn service_instance(&mut self, tag: u32) {
        self.service_instance = Some(tag);
    }
}

impl TunnelListener for Layers {
    fn tunnel(&mut self, kind: Tunnel, id: Option<u32>, outer: &Headers) {
        let over_ipv6 = u8::from(matches!(outer.network, Network::V6(..)));
        // The tunnel before this one carries what this one stands in.
        if let Some(before) = usize::from(self.depth).checked_sub(1).and_then(|at| self.tunnels.get_mut(at)) {
            *before |= over_ipv6 << 6;
        }
        if let Some(place) = self.tunnels.get_mut(usize::from(self.depth)) {
            *place = kind as u8 | over_ipv6 << 7;
        }
        if self.depth == 0 {
            self.outer = outer.network;
            self.outer_ports = [outer.sport, outer.dport];
            self.outer_protocol = outer.protocol;
            self.outer_ttl = outer.ttl;
            self.outer_tos = outer.tos;
        }
        if id.is_some() {
            (self.tunnel_id, self.identified) = (id, Some(kind));
        }
        self.depth = self.depth.saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame_tests::{ETHERNET, INNER4, layers_of};

    #[test]
    fn a_plain_packet_has_nothing_to_tell() {
        let plain = layers_of(&format!("{ETHERNET} 0800 {INNER4}"));
        assert!(plain.is_empty(), "{plain:?}");
    }

    #[test]
    fn the_identifier_belongs_to_the_innermost_tunnel_that_has_one() {
        let of = |tunnels: &[(Tunnel, Option<u32>)]| {
            let mut layers = Layers::default();
            tunnels.iter().for_each(|(kind, id)| TunnelListener::tunnel(&mut layers, *kind, *id, &Headers::default()));
            layers.identified.zip(layers.tunnel_id)
        };
        assert_eq!(of(&[(Tunnel::Vxlan, Some(5)), (Tunnel::IpInIp, None)]), Some((Tunnel::Vxlan, 5)));
        assert_eq!(of(&[(Tunnel::Vxlan, Some(5)), (Tunnel::Gre, None)]), Some((Tunnel::Vxlan, 5)));
        assert_eq!(of(&[(Tunnel::Vxlan, Some(5)), (Tunnel::Gre, Some(0))]), Some((Tunnel::Gre, 0)));
        assert_eq!(of(&[(Tunnel::EtherIp, None)]), None);
    }
}
