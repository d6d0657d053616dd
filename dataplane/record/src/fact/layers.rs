//! What the layers of a flow's first packet say: tags, labels, tunnels, ARP, segment routing ([`Layers`]).

use std::net::IpAddr;

use sonde_packet::{Arp, Layers, Network, SegmentRouting, Tunnel};

use super::kind::{Fact, Facts, Id, first_word};
use crate::field::Value::{Absent, List, Mac, Text, Unsigned, Words};
use crate::field::{Row, Rows, Type, Unit, Value, cesnet, csv, iana, ntop, own, wireshark};
use crate::head::View;
use crate::view::RecordView;
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

/// The layers of a record, if it has them.
fn layers(record: &RecordView<'_>, read: impl FnOnce(&Layers) -> Value) -> Value {
    record.get::<Layers>().map_or(Absent, |layers| read(&layers))
}

/// A number that is there when it is not 0.
fn some(number: impl Into<u64>) -> Value {
    match number.into() {
        0 => Absent,
        number => Unsigned(number),
    }
}

fn outer_address(network: &Network, at: usize) -> Value {
    let address = match network {
        Network::None => return Absent,
        Network::V4(source, destination) => [source, destination].get(at).map(|octets| IpAddr::from(**octets)),
        Network::V6(source, destination) => [source, destination].get(at).map(|octets| IpAddr::from(**octets)),
    };
    Value::maybe(address, Value::Address)
}

/// A MAC address of the inner Ethernet header.
fn mac(octets: &[u8; 12], from: usize) -> Value {
    let mac = octets.get(from..).and_then(|octets| octets.first_chunk()).copied();
    Value::maybe(mac.filter(|_| *octets != [0; 12]), Mac)
}

fn has_outer(layers: &Layers) -> bool {
    layers.outer != Network::None
}

/// An outer flow has no identifier: it may carry many.
fn label(record: &RecordView<'_>, _: usize) -> Value {
    layers(record, |layers| {
        let inner = record.view() == View::Inner;
        match (layers.identified.zip(layers.tunnel_id).filter(|_| inner), layers.service_instance) {
            (Some((kind, id)), _) => Words(format!("{}={id}", kind.name())),
            (None, Some(tag)) => Words(format!("isid={}", tag & 0x00ff_ffff)),
            (None, None) => Absent,
        }
    })
}

/// What the layers of the first packet say.
pub(crate) const ROWS: Rows = Rows {
    title: "Layers and tunnels of the first packet",
    facts: Facts::NONE.with(Id::Layers),
    rows: &[
        Row::new(
            "stacked_vlan_tci",
            Type::Unsigned,
            "VLAN tags when there are more than two, outermost first: priority (3 bits), DEI (1), id (12)",
            |r, _| layers(r, |l| List(l.vlan.iter().take(l.vlan_tags.into()).map(|tci| Unsigned((*tci).into())).collect())),
        )
        .list()
        .api(&["layers.vlan_tci"])
        .elements(&[own(20, "sondeStackedVlanTci")]),
        Row::new(
            "mpls",
            Type::Unsigned,
            "label stack entries, top first: label (20 bits), traffic class (3), bottom of stack (1), TTL (8)",
            |r, _| layers(r, |l| List(l.mpls.iter().take(l.mpls_labels.into()).map(|entry| Unsigned((*entry).into())).collect())),
        )
        .list()
        .api(&["layers.mpls"])
        .elements(&[
            iana(70, "mplsTopLabelStackSection"),
            iana(71, "mplsLabelStackSection2"),
            iana(72, "mplsLabelStackSection3"),
            iana(73, "mplsLabelStackSection4"),
            iana(74, "mplsLabelStackSection5"),
            iana(75, "mplsLabelStackSection6"),
            iana(200, "mplsTopLabelTTL"),
        ])
        .source("RFC 3032"),
        Row::new("mpls_labels", Type::Unsigned, "labels of the stack", |r, _| {
            layers(r, |l| List(l.mpls.iter().take(l.mpls_labels.into()).map(|entry| Unsigned((*entry >> 12).into())).collect()))
        })
        .list()
        .api(&["layers.mpls"])
        .aliases(&[csv("mpls"), wireshark("mpls.label")]),
        Row::new("mpls_label_stack_depth", Type::Unsigned, "labels found", |r, _| layers(r, |l| some(l.mpls_labels)))
            .api(&["layers.mpls"])
            .elements(&[iana(202, "mplsLabelStackDepth")]),
        Row::new("pppoe_session", Type::Unsigned, "session of PPPoE", |r, _| layers(r, |l| some(l.pppoe_session)))
            .api(&["layers.pppoe_session"])
            .aliases(&[wireshark("pppoe.session_id")])
            .source("RFC 2516 section 4")
            .elements(&[own(21, "sondePppoeSession")]),
        Row::new("tunnels", Type::Text, "outermost first: vxlan, gre, 4in6, ...", |r, _| {
            layers(r, |l| List(l.tunnel_names().map(Text).collect()))
        })
        .list()
        .api(&["layers.tunnels"])
        .aliases(&[csv("tunnel")])
        .elements(&[own(22, "sondeTunnels")]),
        Row::new("tunnel_id", Type::Unsigned, "VNI, VSID, TEID, key or session of the innermost tunnel that has one", |r, _| {
            layers(r, |l| Value::maybe(l.tunnel_id, |id| Unsigned(id.into())))
        })
        .api(&["layers.tunnel_id"])
        .elements(&[iana(351, "layer2SegmentId"), iana(507, "gtpuTEid"), ntop(106, "UPSTREAM_TUNNEL_ID")]),
        Row::new("tunnel_id_kind", Type::Text, "the kind of tunnel whose identifier it is", |r, _| {
            layers(r, |l| Value::maybe(l.identified, |kind| Text(kind.name())))
        })
        .api(&["layers.tunnel_id_kind"])
        .elements(&[own(23, "sondeTunnelIdKind")]),
        Row::new(
            "tunnel_label",
            Type::Text,
            "of an inner flow kind and identifier (\"vxlan=7\"), else the service instance (\"isid=7\")",
            label,
        )
        .api(&["layers.tunnel_id", "layers.service_instance_tag"])
        .aliases(&[csv("tunnel_id")]),
        Row::new("outer_source_address", Type::Address, "of the outermost IP header", |r, _| layers(r, |l| outer_address(&l.outer, 0)))
            .api(&["layers.outer_source_address"])
            .elements(&[ntop(114, "UNTUNNELED_IPV4_SRC_ADDR"), ntop(396, "UNTUNNELED_IPV6_SRC_ADDR")]),
        Row::new("outer_destination_address", Type::Address, "of the outermost IP header", |r, _| {
            layers(r, |l| outer_address(&l.outer, 1))
        })
        .api(&["layers.outer_destination_address"])
        .elements(&[ntop(116, "UNTUNNELED_IPV4_DST_ADDR"), ntop(397, "UNTUNNELED_IPV6_DST_ADDR")]),
        Row::new("outer_source_port", Type::Unsigned, "of the outermost header", |r, _| {
            layers(r, |l| if has_outer(l) { of_pair(l.outer_ports, 0) } else { Absent })
        })
        .api(&["layers.outer_source_port"])
        .elements(&[ntop(115, "UNTUNNELED_L4_SRC_PORT")]),
        Row::new("outer_destination_port", Type::Unsigned, "of the outermost header", |r, _| {
            layers(r, |l| if has_outer(l) { of_pair(l.outer_ports, 1) } else { Absent })
        })
        .api(&["layers.outer_destination_port"])
        .elements(&[ntop(117, "UNTUNNELED_L4_DST_PORT")]),
        Row::new("outer_protocol", Type::Unsigned, "of the outermost header", |r, _| {
            layers(r, |l| if has_outer(l) { Unsigned(l.outer_protocol.into()) } else { Absent })
        })
        .api(&["layers.outer_protocol"])
        .elements(&[ntop(113, "UNTUNNELED_PROTOCOL")]),
        Row::new("outer_ttl", Type::Unsigned, "TTL or hop limit of the outermost header", |r, _| {
            layers(r, |l| if has_outer(l) { Unsigned(l.outer_ttl.into()) } else { Absent })
        })
        .unit(Unit::Hops)
        .api(&["layers.outer_ttl"])
        .elements(&[own(24, "sondeOuterTtl")]),
        Row::new("outer_tos", Type::Unsigned, "type of service or traffic class of the outermost header", |r, _| {
            layers(r, |l| if has_outer(l) { Unsigned(l.outer_tos.into()) } else { Absent })
        })
        .api(&["layers.outer_tos"])
        .elements(&[own(25, "sondeOuterTos")]),
        Row::new("inner_source_mac", Type::Mac, "of the Ethernet header in the tunnel", |r, _| layers(r, |l| mac(&l.inner_macs, 6)))
            .api(&["layers.inner_source_mac"])
            .elements(&[iana(414, "dot1qCustomerSourceMacAddress")]),
        Row::new("inner_destination_mac", Type::Mac, "of the Ethernet header in the tunnel", |r, _| layers(r, |l| mac(&l.inner_macs, 0)))
            .api(&["layers.inner_destination_mac"])
            .elements(&[iana(415, "dot1qCustomerDestinationMacAddress")]),
        Row::new("inner_vlan_tci", Type::Unsigned, "VLAN tag of the Ethernet header in the tunnel: priority, DEI, id", |r, _| {
            layers(r, |l| Value::maybe(l.inner_vlan, |tci| Unsigned(tci.into())))
        })
        .api(&["layers.inner_vlan_tci"])
        .elements(&[own(26, "sondeInnerVlanTci")]),
        Row::new("inner_mpls", Type::Unsigned, "MPLS label stack entry inside the tunnel", |r, _| layers(r, |l| some(l.inner_mpls)))
            .api(&["layers.inner_mpls"])
            .elements(&[own(27, "sondeInnerMpls")]),
        Row::new("gre_key", Type::Unsigned, "key of GRE", |r, _| layers(r, |l| Value::maybe(l.gre_key, |key| Unsigned(key.into()))))
            .api(&["layers.gre_key"])
            .elements(&[iana(296, "greKey")])
            .aliases(&[wireshark("gre.key")])
            .source("RFC 2890 section 2"),
        Row::new("spi", Type::Unsigned, "security parameters index of ESP or AH", |r, _| layers(r, |l| some(l.spi)))
            .api(&["layers.spi"])
            .elements(&[iana(295, "IPSecSPI")])
            .aliases(&[wireshark("esp.spi"), wireshark("ah.spi")])
            .source("RFC 4303 section 2.1"),
        Row::new("arp_operation", Type::Unsigned, "1 request, 2 reply", |r, _| layers(r, |l| some(l.arp.operation)))
            .api(&["layers.arp_operation"])
            .elements(&[cesnet(33, "ARPOpcode")])
            .aliases(&[wireshark("arp.opcode")])
            .source("RFC 826"),
        Row::new("arp_sender", Type::Address, "protocol address of the sender", |r, _| layers(r, |l| arp(l, l.arp.sender)))
            .api(&["layers.arp_sender"])
            .elements(&[cesnet(35, "ARPSrcPA")])
            .aliases(&[wireshark("arp.src.proto_ipv4")]),
        Row::new("arp_target", Type::Address, "protocol address of the target", |r, _| layers(r, |l| arp(l, l.arp.target)))
            .api(&["layers.arp_target"])
            .elements(&[cesnet(37, "ARPDstPa")])
            .aliases(&[wireshark("arp.dst.proto_ipv4")]),
        Row::new("srh_segments", Type::Unsigned, "segments in the list of the segment routing header", |r, _| {
            layers(r, |l| some(l.srh.segments))
        })
        .api(&["layers.srh_segments"])
        .source("RFC 8754 section 2")
        .elements(&[own(28, "sondeSrhSegments")]),
        Row::new("srh_segments_left", Type::Unsigned, "segments left", |r, _| {
            layers(r, |l| if l.srh.segments == 0 { Absent } else { Unsigned(l.srh.segments_left.into()) })
        })
        .api(&["layers.srh_segments_left"])
        .elements(&[iana(498, "srhSegmentsIPv6Left")])
        .source("RFC 9487"),
        Row::new("srh_flags", Type::Unsigned, "flags of the header", |r, _| {
            layers(r, |l| if l.srh.segments == 0 { Absent } else { Unsigned(l.srh.flags.into()) })
        })
        .api(&["layers.srh_flags"])
        .elements(&[iana(492, "srhFlagsIPv6")]),
        Row::new("srh_tag", Type::Unsigned, "tag of the header", |r, _| {
            layers(r, |l| if l.srh.segments == 0 { Absent } else { Unsigned(l.srh.tag.into()) })
        })
        .api(&["layers.srh_tag"])
        .elements(&[iana(493, "srhTagIPv6")]),
        Row::new("srh_last_segment", Type::Address, "the last segment of the path", |r, _| {
            layers(r, |l| if l.srh.segments == 0 { Absent } else { Value::Address(IpAddr::from(l.srh.last)) })
        })
        .api(&["layers.srh_last_segment"])
        .elements(&[iana(494, "srhSegmentIPv6")]),
        Row::new(
            "service_instance_tag",
            Type::Unsigned,
            "I-TAG of a provider's backbone bridges: priority (3 bits), DEI (1), flags (4), I-SID (24)",
            |r, _| layers(r, |l| Value::maybe(l.service_instance, |tag| Unsigned(tag.into()))),
        )
        .api(&["layers.service_instance_tag"])
        .elements(&[iana(412, "dot1qServiceInstanceId"), own(29, "sondeServiceInstanceTag")])
        .source("IEEE 802.1ah"),
    ],
};

fn of_pair(pair: [u16; 2], at: usize) -> Value {
    Value::maybe(pair.get(at), |value| Unsigned((*value).into()))
}

fn arp(layers: &Layers, address: [u8; 4]) -> Value {
    if layers.arp.operation == 0 { Absent } else { Value::Address(IpAddr::from(address)) }
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

    fn is_valid(words: &[u64]) -> bool {
        let Some(words) = words.first_chunk::<WORDS>() else { return false };
        let [head, .., s1, _, d1, _, _, _, _, _, _, _, _, _, last] = *words;
        let [_, _, id, _, _, _, version, there] = head.to_le_bytes();
        let [_, identified] = unpair(last);
        let addresses = match version {
            0 | 6 => true,
            4 => u32::try_from(s1).is_ok() && u32::try_from(d1).is_ok(),
            _ => false,
        };
        let tunnel = || u8::try_from(identified).ok().and_then(Tunnel::from_u8).is_some();
        id == Id::Layers as u8 && addresses && (there & there::TUNNEL_ID == 0 || tunnel())
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
