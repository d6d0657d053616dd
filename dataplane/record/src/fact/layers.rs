//! What the layers of a flow's first packet say: tags, labels, tunnels, ARP, segment routing ([`Layers`]).

use sonde_packet::{Arp, Layers, Network, SegmentRouting, Tunnel};

use super::{Fact, Id, first_word};
use crate::word::{address, octets, pair, quad, unpair, unquad};

/// Words of the fact.
const WORDS: usize = 20;

/// What is there although it may be 0: bits of the last octet of the first word.
mod there {
    pub(super) const TUNNEL_ID: u8 = 1;
    pub(super) const INNER_VLAN: u8 = 1 << 1;
    pub(super) const GRE_KEY: u8 = 1 << 2;
    pub(super) const SERVICE_INSTANCE: u8 = 1 << 3;
}

/// The numbers of versions of IP, 0 for none.
const fn version(network: &Network) -> u8 {
    match network {
        Network::None => 0,
        Network::V4(..) => 4,
        Network::V6(..) => 6,
    }
}

fn presence(layers: &Layers) -> u8 {
    let bit = |is: bool, bit: u8| if is { bit } else { 0 };
    bit(layers.tunnel_id.is_some(), there::TUNNEL_ID)
        | bit(layers.inner_vlan.is_some(), there::INNER_VLAN)
        | bit(layers.gre_key.is_some(), there::GRE_KEY)
        | bit(layers.service_instance.is_some(), there::SERVICE_INSTANCE)
}

/// The words of [`Layers`].
fn write(layers: &Layers) -> [u64; WORDS] {
    let wide = |[a, b, c, d]: [u8; 4]| [0, u64::from(u32::from_be_bytes([a, b, c, d]))];
    let ([s0, s1], [d0, d1]) = match &layers.outer {
        Network::None => ([0; 2], [0; 2]),
        Network::V4(source, destination) => (wide(*source), wide(*destination)),
        Network::V6(source, destination) => (address(source), address(destination)),
    };
    let Layers { vlan: [v0, v1, v2, v3], mpls: [m0, m1, m2, m3, m4, m5], tunnels: [t0, t1, t2, t3], srh, arp, .. } = *layers;
    let [sport, dport] = layers.outer_ports;
    let [i0, i1, i2, i3, i4, i5, i6, i7, i8, i9, i10, i11] = layers.inner_macs;
    let [last0, last1] = address(&srh.last);
    let counts = [layers.vlan_tags, layers.mpls_labels, layers.depth, version(&layers.outer), presence(layers)];
    let [c0, c1, c2, c3, c4] = counts;
    [
        first_word(Id::Layers, WORDS) | u64::from_le_bytes([0, 0, 0, c0, c1, c2, c3, c4]),
        quad(v0, v1, v2, v3),
        pair(m0, m1),
        pair(m2, m3),
        pair(m4, m5),
        pair(u32::from_le_bytes([t0, t1, t2, t3]), layers.tunnel_id.unwrap_or(0)),
        s0,
        s1,
        d0,
        d1,
        quad(sport, dport, layers.pppoe_session, layers.inner_vlan.unwrap_or(0)),
        u64::from_le_bytes([i0, i1, i2, i3, i4, i5, i6, i7]),
        pair(u32::from_le_bytes([i8, i9, i10, i11]), layers.inner_mpls),
        pair(layers.gre_key.unwrap_or(0), layers.spi),
        pair(u32::from_be_bytes(arp.sender), u32::from_be_bytes(arp.target)),
        u64::from(arp.operation) | u64::from_le_bytes([0, 0, layers.outer_protocol, layers.outer_ttl, layers.outer_tos, 0, 0, 0]),
        u64::from(srh.tag) | u64::from_le_bytes([0, 0, srh.segments, srh.segments_left, srh.flags, 0, 0, 0]),
        last0,
        last1,
        pair(layers.service_instance.unwrap_or(0), layers.identified.map_or(0, |kind| kind as u32)),
    ]
}

/// Reads what [`write`] wrote; `None` when it is shorter or a number cannot be. Trusts nothing.
fn read(words: &[u64]) -> Option<Layers> {
    let words: &[u64; WORDS] = words.first_chunk()?;
    let [head, vlan, m01, m23, m45, tunnel, s0, s1, d0, d1, ports, i07, i811, keys, arp, misc, srh, l0, l1, last] = *words;
    let [_, _, id, vlan_tags, mpls_labels, depth, version, there] = head.to_le_bytes();
    let narrow = |word: u64| u32::try_from(word).ok().map(u32::to_be_bytes);
    let outer = match version {
        0 => Network::None,
        4 => Network::V4(narrow(s1)?, narrow(d1)?),
        6 => Network::V6(octets(s0, s1), octets(d0, d1)),
        _ => return None,
    };
    if id != Id::Layers as u8 {
        return None;
    }
    let has = |bit: u8| there & bit != 0;
    let [service_instance, identified] = unpair(last);
    let ([m0, m1], [m2, m3], [m4, m5]) = (unpair(m01), unpair(m23), unpair(m45));
    let ([tunnels, tunnel_id], [gre_key, spi], [sender, target]) = (unpair(tunnel), unpair(keys), unpair(arp));
    let ([sport, dport, pppoe_session, inner_vlan], [mac_end, inner_mpls]) = (unquad(ports), unpair(i811));
    let ([i0, i1, i2, i3, i4, i5, i6, i7], [i8, i9, i10, i11]) = (i07.to_le_bytes(), mac_end.to_le_bytes());
    let [o0, o1, outer_protocol, outer_ttl, outer_tos, ..] = misc.to_le_bytes();
    let [t0, t1, segments, segments_left, flags, ..] = srh.to_le_bytes();
    Some(Layers {
        vlan: unquad(vlan),
        vlan_tags,
        mpls: [m0, m1, m2, m3, m4, m5],
        mpls_labels,
        pppoe_session,
        tunnels: tunnels.to_le_bytes(),
        depth,
        tunnel_id: has(there::TUNNEL_ID).then_some(tunnel_id),
        identified: if has(there::TUNNEL_ID) { Some(Tunnel::from_u8(u8::try_from(identified).ok()?)?) } else { None },
        service_instance: has(there::SERVICE_INSTANCE).then_some(service_instance),
        outer,
        outer_ports: [sport, dport],
        outer_protocol,
        outer_ttl,
        outer_tos,
        inner_macs: [i0, i1, i2, i3, i4, i5, i6, i7, i8, i9, i10, i11],
        inner_vlan: has(there::INNER_VLAN).then_some(inner_vlan),
        inner_mpls,
        gre_key: has(there::GRE_KEY).then_some(gre_key),
        spi,
        arp: Arp { operation: u16::from_le_bytes([o0, o1]), sender: sender.to_be_bytes(), target: target.to_be_bytes() },
        srh: SegmentRouting { segments, segments_left, flags, tag: u16::from_le_bytes([t0, t1]), last: octets(l0, l1) },
    })
}

impl Fact for Layers {
    const ID: Id = Id::Layers;
    const WORDS_MAX: usize = WORDS;

    fn encode(&self, words: &mut [u64]) -> usize {
        let Some(place) = words.first_chunk_mut() else { return 0 };
        *place = write(self);
        WORDS
    }

    fn decode(words: &[u64]) -> Option<Self> {
        read(words)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full() -> Layers {
        Layers {
            vlan: [1, 2, 3, 0xffff],
            vlan_tags: 5,
            mpls: [1, 2, 3, 4, 5, u32::MAX],
            mpls_labels: 6,
            pppoe_session: 7,
            tunnels: [0, 1 | 0x40, 2 | 0x80, 3 | 0xc0],
            depth: 4,
            tunnel_id: Some(0xdead_beef),
            identified: Some(Tunnel::Gre),
            service_instance: Some(0xe012_3456),
            outer: Network::V6(*b"source-address-1", *b"destin-address-2"),
            outer_ports: [8, 4789],
            outer_protocol: 17,
            outer_ttl: 63,
            outer_tos: 0xb8,
            inner_macs: *b"destinsource",
            inner_vlan: Some(9),
            inner_mpls: 10,
            gre_key: Some(11),
            spi: 12,
            arp: Arp { operation: 2, sender: [10, 0, 0, 1], target: [10, 0, 0, 2] },
            srh: SegmentRouting { segments: 3, segments_left: 1, flags: 4, tag: 5, last: *b"lastlastlastlast" },
        }
    }

    #[test]
    fn layers_survive_their_words() {
        let zeros = Layers { tunnel_id: Some(0), inner_vlan: Some(0), gre_key: Some(0), service_instance: Some(0), ..full() };
        for layers in [full(), Layers::default(), zeros, Layers { outer: Network::V4([1, 2, 3, 4], [5, 6, 7, 8]), ..full() }] {
            let words = write(&layers);
            assert_eq!(read(&words), Some(layers));
            for end in 0..words.len() {
                assert_eq!(read(&words[..end]), None);
            }
        }
    }

    #[test]
    fn foreign_words_are_refused() {
        let mut words = write(&full());
        words[0] ^= 1 << 50;
        assert_eq!(read(&words), None, "a version of IP that does not exist");
        words[0] ^= 1 << 50 | 1 << 16;
        assert_eq!(read(&words), None, "another type");
        words[0] ^= 1 << 16;
        words[19] |= 0xff << 32;
        assert_eq!(read(&words), None, "a tunnel that does not exist");
    }
}
