//! Rows of the catalogue: what the head of every record says.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::fact::Facts;
use crate::field::Value::{Absent, Boolean, Duration, List, Mac, Text, Time, Unsigned};
use crate::field::{Row, Rows, Type, Unit, Value, biflow, cesnet, csv, flowmon_name, iana, own, wireshark};
use crate::head::{EndReason, Initiator, Kind, NO_ICMP, NO_VLAN, NO_WSCALE, View};
use crate::view::RecordView;

/// An address of a record; absent where the flow has none.
fn address(record: &RecordView<'_>, octets: [u8; 16]) -> Value {
    let [.., a, b, c, d] = octets;
    match record.kind() {
        Kind::Ipv4 => Value::Address(IpAddr::V4(Ipv4Addr::new(a, b, c, d))),
        Kind::Ipv6 => Value::Address(IpAddr::V6(Ipv6Addr::from(octets))),
        Kind::Layer2 => Absent,
    }
}

/// A number that stands for something only if `there`.
fn known(there: bool, number: impl Into<u64>) -> Option<u64> {
    there.then(|| number.into())
}

fn of_way<T: Copy + Into<u64>>(values: [T; 2], way: usize) -> Option<u64> {
    values.get(way).map(|value| (*value).into())
}

/// Of a direction that has packets.
fn of_packets(record: &RecordView<'_>, values: [u8; 2], way: usize) -> Option<u64> {
    if record.packets().get(way).is_some_and(|packets| *packets > 0) { of_way(values, way) } else { None }
}

/// A part of a VLAN tag of the first packet: the outer one (0) or the inner one (1).
fn tag(record: &RecordView<'_>, at: usize, part: fn(u16) -> u16) -> Option<u64> {
    let tci = record.vlan_tci().get(at).copied().unwrap_or(NO_VLAN);
    known(tci != NO_VLAN, part(tci))
}

fn is_icmp(record: &RecordView<'_>) -> bool {
    matches!((record.kind(), record.proto()), (Kind::Ipv4, 1) | (Kind::Ipv6, 58))
}

fn has_ip(record: &RecordView<'_>) -> bool {
    record.kind() != Kind::Layer2
}

const ID: fn(u16) -> u16 = |tci| tci & 0x0fff;
const PRIORITY: fn(u16) -> u16 = |tci| tci >> 13;
const DEI: fn(u16) -> u16 = |tci| tci >> 12 & 1;

/// Who, with whom, when.
pub(crate) const KEY: Rows = Rows {
    title: "Every flow: key and times",
    facts: Facts::NONE,
    rows: &[
        Row::number("flow_id", "unique in the probe's life", |r, _| Some(r.flow_id())).api(&["flow_id"]).elements(&[iana(148, "flowId")]),
        Row::new("start", Type::Time, "first packet", |r, _| Time(r.start()))
            .api(&["start"])
            .elements(&[iana(152, "flowStartMilliseconds"), iana(156, "flowStartNanoseconds")])
            .aliases(&[csv("start"), wireshark("frame.time_epoch")]),
        Row::new("end", Type::Time, "last packet", |r, _| Time(r.end()))
            .api(&["end"])
            .elements(&[iana(153, "flowEndMilliseconds"), iana(157, "flowEndNanoseconds")])
            .aliases(&[csv("end")]),
        Row::number("kind", "4, 6, or 2 for a flow without IP", |r, _| Some(r.kind() as u64))
            .api(&["kind"])
            .elements(&[iana(60, "ipVersion")])
            .aliases(&[wireshark("ip.version")]),
        Row::new("source_address", Type::Address, "address of the sender of the first packet", |r, _| address(r, r.src()))
            .api(&["source_address"])
            .elements(&[iana(8, "sourceIPv4Address"), iana(27, "sourceIPv6Address")])
            .aliases(&[csv("src"), wireshark("ip.src"), wireshark("ipv6.src")]),
        Row::new("destination_address", Type::Address, "address of its receiver", |r, _| address(r, r.dst()))
            .api(&["destination_address"])
            .elements(&[iana(12, "destinationIPv4Address"), iana(28, "destinationIPv6Address")])
            .aliases(&[csv("dst"), wireshark("ip.dst"), wireshark("ipv6.dst")]),
        Row::number("source_port", "0 where the protocol has none", |r, _| known(has_ip(r), r.sport()))
            .api(&["source_port"])
            .elements(&[iana(7, "sourceTransportPort")])
            .aliases(&[csv("sport"), wireshark("tcp.srcport"), wireshark("udp.srcport")]),
        Row::number("destination_port", "0 where the protocol has none", |r, _| known(has_ip(r), r.dport()))
            .api(&["destination_port"])
            .elements(&[iana(11, "destinationTransportPort")])
            .aliases(&[csv("dport"), wireshark("tcp.dstport"), wireshark("udp.dstport")]),
        Row::number("protocol", "the last next header of IPv6", |r, _| known(has_ip(r), r.proto()))
            .api(&["protocol"])
            .elements(&[iana(4, "protocolIdentifier")])
            .aliases(&[csv("proto"), wireshark("ip.proto")]),
        Row::new("inner", Type::Boolean, "the flow is metered by the innermost IP header, inside a tunnel", |r, _| {
            Boolean(r.view() == View::Inner)
        })
        .api(&["inner"])
        .elements(&[own(2, "sondeInner")]),
        Row::new("view", Type::Text, "by which IP header the flow is metered: outer or inner", |r, _| {
            Text(if r.view() == View::Inner { "inner" } else { "outer" })
        })
        .api(&["inner"])
        .aliases(&[csv("view")]),
        Row::number("ingress_interface", "number of the port of the first packet", |r, _| Some(r.ingress().into()))
            .api(&["ingress_interface"])
            .elements(&[iana(10, "ingressInterface")]),
        Row::number("worker", "worker that metered the flow", |r, _| Some(r.worker().into()))
            .api(&["worker"])
            .elements(&[own(1, "sondeWorker")]),
        Row::number("end_reason", "1 idle, 2 active, 3 end of flow, 4 forced, 5 lack of resources", |r, _| Some(r.end_reason() as u64))
            .api(&["end_reason"])
            .elements(&[iana(136, "flowEndReason")]),
        Row::number("biflow_direction", "0 first packet, 1 the source is the initiator, 2 the destination is", |r, _| {
            Some(r.initiator() as u64)
        })
        .api(&["biflow_direction"])
        .elements(&[iana(239, "biflowDirection")])
        .source("RFC 5103 section 6.3"),
        Row::new("duration", Type::Duration, "from the first packet to the last", |r, _| Duration(r.end().saturating_sub(r.start())))
            .api(&["start", "end"]),
        Row::new("end_reason_name", Type::Text, "the end reason as a word", |r, _| Text(reason(r.end_reason()))).api(&["end_reason"]),
        Row::new(
            "biflow_direction_name",
            Type::Text,
            "what the source is by the registry: initiator, reverse_initiator (the responder), or arbitrary: the first packet",
            |r, _| Text(initiator(r.initiator())),
        )
        .api(&["biflow_direction"]),
    ],
};

const fn reason(reason: EndReason) -> &'static str {
    match reason {
        EndReason::Idle => "idle",
        EndReason::Active => "active",
        EndReason::EndOfFlow => "end_of_flow",
        EndReason::Forced => "forced",
        EndReason::LackOfResources => "lack_of_resources",
    }
}

const fn initiator(initiator: Initiator) -> &'static str {
    match initiator {
        Initiator::FirstPacket => "arbitrary",
        Initiator::Source => "initiator",
        Initiator::Destination => "reverse_initiator",
    }
}

/// How much.
pub(crate) const COUNTS: Rows = Rows {
    title: "Every flow: counters",
    facts: Facts::NONE,
    rows: &[
        Row::number("octets", "from the IP header on; of a flow without IP behind the ethertype", |r, way| of_way(r.octets(), way))
            .both()
            .unit(Unit::Octets)
            .api(&["octets", "octets_reverse"])
            .elements(&[biflow(1, "octetDeltaCount")])
            .aliases(&[csv("bytes_fwd"), csv("bytes_rev").back(), flowmon_name("req_transferred"), flowmon_name("rep_transferred").back()]),
        Row::number("packets", "packets", |r, way| of_way(r.packets(), way))
            .both()
            .unit(Unit::Packets)
            .api(&["packets", "packets_reverse"])
            .elements(&[biflow(2, "packetDeltaCount")])
            .aliases(&[csv("packets_fwd"), csv("packets_rev").back()]),
        Row::number("layer2_octets", "frames without FCS", |r, way| of_way(r.wire(), way))
            .both()
            .unit(Unit::Octets)
            .api(&["layer2_octets", "layer2_octets_reverse"])
            .elements(&[biflow(352, "layer2OctetDeltaCount")])
            .aliases(&[csv("wire_fwd"), csv("wire_rev").back()]),
        Row::number("wire_octets", "frames without FCS, both directions", |r, _| {
            let [forward, reverse] = r.wire();
            Some(forward.saturating_add(reverse))
        })
        .unit(Unit::Octets)
        .api(&["wire_octets"]),
        Row::number("tcp_control_bits", "OR of the TCP flags and reserved bits that were seen", |r, way| {
            if has_ip(r) { of_way(r.tcp_flags(), way) } else { None }
        })
        .both()
        .api(&["tcp_control_bits", "tcp_control_bits_reverse"])
        .elements(&[biflow(6, "tcpControlBits")])
        .aliases(&[csv("tcp_flags_fwd"), csv("tcp_flags_rev").back(), wireshark("tcp.flags")])
        .source("RFC 9565 section 3"),
        Row::number("ttl_min", "least TTL or hop limit", |r, way| of_packets(r, r.ttl_min(), way))
            .both()
            .unit(Unit::Hops)
            .api(&["ttl_min", "ttl_min_reverse"])
            .elements(&[biflow(52, "minimumTTL")]),
        Row::number("ttl_max", "greatest TTL or hop limit", |r, way| of_packets(r, r.ttl_max(), way))
            .both()
            .unit(Unit::Hops)
            .api(&["ttl_max", "ttl_max_reverse"])
            .elements(&[biflow(53, "maximumTTL")]),
        Row::number("fragments", "packets that were fragments", |r, _| Some(r.fragments().into()))
            .unit(Unit::Packets)
            .api(&["fragments"])
            .aliases(&[csv("fragments")])
            .elements(&[own(3, "sondeFragments")]),
    ],
};

/// What the first packet says.
pub(crate) const FIRST_PACKET: Rows = Rows {
    title: "Every flow: the first packet",
    facts: Facts::NONE,
    rows: &[
        Row::number("ttl", "TTL or hop limit of the first packet of the direction", |r, way| of_packets(r, r.ttl(), way))
            .both()
            .unit(Unit::Hops)
            .api(&["ttl", "ttl_reverse"])
            .elements(&[biflow(192, "ipTTL")])
            .aliases(&[csv("ttl_fwd"), csv("ttl_rev").back(), wireshark("ip.ttl"), wireshark("ipv6.hlim")]),
        Row::number("tos", "type of service or traffic class", |r, _| Some(r.tos().into()))
            .api(&["tos"])
            .elements(&[iana(5, "ipClassOfService")])
            .aliases(&[csv("tos_fwd"), wireshark("ip.dsfield")]),
        Row::number("flow_label", "of IPv6", |r, _| known(r.kind() == Kind::Ipv6, r.flow_label()))
            .api(&["flow_label"])
            .elements(&[iana(31, "flowLabelIPv6")])
            .aliases(&[wireshark("ipv6.flow")])
            .source("RFC 6437"),
        Row::number("ip_flags", "reserved, don't fragment, more fragments: the high three of eight bits; IPv4 only", |r, _| {
            known(r.kind() == Kind::Ipv4, r.ip_flags())
        })
        .api(&["ip_flags"])
        .elements(&[iana(197, "fragmentFlags")])
        .aliases(&[wireshark("ip.flags")]),
        Row::number("icmp_type", "absent where it was not seen", |r, _| {
            let [kind, _] = r.icmp();
            known(is_icmp(r) && r.icmp() != NO_ICMP, kind)
        })
        .api(&["icmp_type"])
        .elements(&[iana(176, "icmpTypeIPv4"), iana(178, "icmpTypeIPv6"), iana(32, "icmpTypeCodeIPv4"), iana(139, "icmpTypeCodeIPv6")])
        .aliases(&[csv("icmp_type"), wireshark("icmp.type"), wireshark("icmpv6.type")]),
        Row::number("icmp_code", "absent where it was not seen", |r, _| {
            let [_, code] = r.icmp();
            known(is_icmp(r) && r.icmp() != NO_ICMP, code)
        })
        .api(&["icmp_code"])
        .elements(&[iana(177, "icmpCodeIPv4"), iana(179, "icmpCodeIPv6")])
        .aliases(&[csv("icmp_code"), wireshark("icmp.code"), wireshark("icmpv6.code")]),
        Row::number("syn_octets", "IP packet of the first SYN; absent, as the next three, where none was seen", |r, _| {
            known(r.syn_len() > 0, r.syn_len())
        })
        .unit(Unit::Octets)
        .api(&["syn_octets"])
        .elements(&[cesnet(902, "tcpSynSize")])
        .aliases(&[csv("syn_len")]),
        Row::number("syn_window", "window of the first SYN, unscaled", |r, _| known(r.syn_len() > 0, r.syn_window()))
            .unit(Unit::Octets)
            .api(&["syn_window"])
            .aliases(&[csv("syn_win")])
            .elements(&[own(4, "sondeSynWindow")]),
        Row::number("syn_mss", "maximum segment size; absent where the SYN had none", |r, _| {
            known(r.syn_len() > 0 && r.syn_mss() > 0, r.syn_mss())
        })
        .unit(Unit::Octets)
        .api(&["syn_mss"])
        .elements(&[cesnet(900, "tcpMss")])
        .aliases(&[csv("syn_mss")])
        .source("RFC 9293 section 3.7.1"),
        Row::number("syn_window_scale", "window scale; absent where the SYN had none", |r, _| {
            known(r.syn_len() > 0 && r.syn_wscale() != NO_WSCALE, r.syn_wscale())
        })
        .api(&["syn_window_scale"])
        .aliases(&[csv("syn_wscale")])
        .source("RFC 7323 section 2")
        .elements(&[own(5, "sondeSynWindowScale")]),
        Row::new("vlan_ids", Type::Unsigned, "VLAN ids, outermost first, two at most", |r, _| {
            List({ r.vlan() }.into_iter().take_while(|id| *id != NO_VLAN).map(|id| Unsigned(id.into())).collect())
        })
        .list()
        .api(&["vlan_ids"]),
        Row::new("vlan_tci", Type::Unsigned, "their tags: priority (3 bits), DEI (1), id (12)", |r, _| {
            List({ r.vlan_tci() }.into_iter().take_while(|tci| *tci != NO_VLAN).map(|tci| Unsigned(tci.into())).collect())
        })
        .list()
        .api(&["vlan_tci"]),
        Row::number("vlan_id", "id of the outer tag", |r, _| tag(r, 0, ID))
            .api(&["vlan_ids"])
            .elements(&[iana(58, "vlanId"), iana(243, "dot1qVlanId")])
            .aliases(&[csv("vlan"), wireshark("vlan.id")])
            .source("IEEE 802.1Q"),
        Row::number("vlan_priority", "priority of the outer tag", |r, _| tag(r, 0, PRIORITY))
            .api(&["vlan_tci"])
            .elements(&[iana(244, "dot1qPriority")])
            .aliases(&[wireshark("vlan.priority")]),
        Row::number("vlan_dei", "drop eligibility of the outer tag", |r, _| tag(r, 0, DEI))
            .api(&["vlan_tci"])
            .elements(&[iana(388, "dot1qDEI")]),
        Row::number("customer_vlan_id", "id of the inner tag", |r, _| tag(r, 1, ID))
            .api(&["vlan_ids"])
            .elements(&[iana(245, "dot1qCustomerVlanId")])
            .aliases(&[csv("vlan_inner")]),
        Row::number("customer_vlan_priority", "priority of the inner tag", |r, _| tag(r, 1, PRIORITY))
            .api(&["vlan_tci"])
            .elements(&[iana(246, "dot1qCustomerPriority")]),
        Row::number("customer_vlan_dei", "drop eligibility of the inner tag", |r, _| tag(r, 1, DEI))
            .api(&["vlan_tci"])
            .elements(&[iana(389, "dot1qCustomerDEI")]),
        Row::new("source_mac", Type::Mac, "zeros where the link has none", |r, _| Mac(r.smac()))
            .api(&["source_mac"])
            .elements(&[iana(56, "sourceMacAddress")])
            .aliases(&[csv("smac"), wireshark("eth.src")]),
        Row::new("destination_mac", Type::Mac, "zeros where the link has none", |r, _| Mac(r.dmac()))
            .api(&["destination_mac"])
            .elements(&[iana(80, "destinationMacAddress")])
            .aliases(&[csv("dmac"), wireshark("eth.dst")]),
        Row::number("ethernet_type", "behind the tags; 0 where the link has none", |r, _| Some(r.ethertype().into()))
            .api(&["ethernet_type"])
            .elements(&[iana(256, "ethernetType")])
            .aliases(&[csv("ethertype"), wireshark("eth.type")]),
    ],
};
