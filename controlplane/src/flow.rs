//! A record as the northbound API shows it.

use crate::notation::{address, mac, timestamp};
use crate::{detail, pattern, place};
use sonde_enrich::Enricher;
use sonde_proto::v1::Flow;
use sonde_record::fact::{Bursts, FirstPackets, Histograms, Layers, NetTisa, QuicPerformance, TcpPerformance, UdpPerformance};
use sonde_record::{NO_VLAN, NO_WSCALE, RecordView, View};

/// The whole record, and with a table where and whose its ends are.
pub(crate) fn placed(record: &RecordView<'_>, table: Option<&Enricher>) -> Flow {
    let places = table.and_then(|table| place::ends(record, table));
    let [source_place, destination_place] = places.map_or([None, None], |ends| ends.map(Some));
    Flow { source_place, destination_place, ..flow(record) }
}

/// The whole record.
pub(crate) fn flow(record: &RecordView<'_>) -> Flow {
    let [octets, octets_reverse] = record.octets();
    let [packets, packets_reverse] = record.packets();
    let [flags, flags_reverse] = record.tcp_flags();
    let [wire, wire_reverse] = record.wire();
    let ([ttl, ttl_reverse], [ttl_min, ttl_min_reverse], [ttl_max, ttl_max_reverse]) = (record.ttl(), record.ttl_min(), record.ttl_max());
    let syn = (record.syn_len() > 0).then_some(record);
    let [icmp_type, icmp_code] = record.icmp();
    Flow {
        flow_id: record.flow_id(),
        start: Some(timestamp(record.start())),
        end: Some(timestamp(record.end())),
        kind: u32::from(record.kind() as u8),
        source_address: address(record.kind(), &record.src()),
        destination_address: address(record.kind(), &record.dst()),
        source_port: record.sport().into(),
        destination_port: record.dport().into(),
        protocol: record.proto().into(),
        octets,
        octets_reverse,
        packets,
        packets_reverse,
        tcp_control_bits: flags.into(),
        tcp_control_bits_reverse: flags_reverse.into(),
        end_reason: u32::from(record.end_reason() as u8),
        biflow_direction: u32::from(record.initiator() as u8),
        vlan_ids: record.vlan().iter().take_while(|v| **v != NO_VLAN).map(|v| u32::from(*v)).collect(),
        source_mac: mac(&record.smac()),
        destination_mac: mac(&record.dmac()),
        ethernet_type: record.ethertype().into(),
        ingress_interface: record.ingress().into(),
        worker: record.worker().into(),
        fragments: record.fragments(),
        icmp_type: icmp_type.into(),
        icmp_code: icmp_code.into(),
        wire_octets: wire.saturating_add(wire_reverse),
        ttl: ttl.into(),
        tos: record.tos().into(),
        inner: record.view() == View::Inner,
        ttl_min: ttl_min.into(),
        ttl_max: ttl_max.into(),
        flow_label: record.flow_label(),
        ip_flags: record.ip_flags().into(),
        layers: record.get::<Layers>().as_ref().map(detail::layers),
        tcp: record.get::<TcpPerformance>().as_ref().map(detail::tcp),
        source_place: None,
        destination_place: None,
        udp: record.get::<UdpPerformance>().as_ref().map(detail::udp),
        quic: record.get::<QuicPerformance>().as_ref().map(detail::quic),
        histograms: record.get::<Histograms>().as_ref().map(pattern::histograms),
        first_packets: record.get::<FirstPackets>().as_ref().map(pattern::first_packets).unwrap_or_default(),
        forward_bursts: record.get::<Bursts>().as_ref().map(|bursts| pattern::bursts(bursts, 0)).unwrap_or_default(),
        reverse_bursts: record.get::<Bursts>().as_ref().map(|bursts| pattern::bursts(bursts, 1)).unwrap_or_default(),
        nettisa: record.get::<NetTisa>().as_ref().map(pattern::nettisa),
        layer2_octets: wire,
        layer2_octets_reverse: wire_reverse,
        ttl_reverse: ttl_reverse.into(),
        ttl_min_reverse: ttl_min_reverse.into(),
        ttl_max_reverse: ttl_max_reverse.into(),
        syn_octets: syn.map(|record| record.syn_len().into()),
        syn_window: syn.map(|record| record.syn_window().into()),
        syn_mss: syn.filter(|record| record.syn_mss() > 0).map(|record| record.syn_mss().into()),
        syn_window_scale: syn.filter(|record| record.syn_wscale() != NO_WSCALE).map(|record| record.syn_wscale().into()),
        vlan_tci: record.vlan_tci().iter().take_while(|tci| **tci != NO_VLAN).map(|tci| u32::from(*tci)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost_types::Timestamp;
    use sonde_record::{Head, Kind, Record};

    fn shown(head: Head) -> Flow {
        flow(&Record::new(head).view().expect("a record"))
    }

    #[test]
    fn a_record_becomes_text() {
        let mut record = Head { kind: Kind::Ipv4, vlan_tci: [5, NO_VLAN], start: 1_500_000_000, wire: [60, 64], ..Head::default() };
        record.src[12..].copy_from_slice(&[10, 0, 0, 1]);
        record.smac = [0, 0x11, 0xab, 3, 4, 5];
        let flow = shown(record);
        assert_eq!((flow.source_address.as_str(), flow.destination_address.as_str()), ("10.0.0.1", "0.0.0.0"));
        assert_eq!(flow.source_mac, "00:11:ab:03:04:05");
        assert_eq!(flow.vlan_ids, [5]);
        assert_eq!(flow.start, Some(Timestamp { seconds: 1, nanos: 500_000_000 }));
        assert_eq!(flow.wire_octets, 124);
        record.kind = Kind::Layer2;
        assert_eq!(shown(record).source_address, "");
        record.kind = Kind::Ipv6;
        record.src = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
        assert_eq!(shown(record).source_address, "2001:db8::1");
    }
}

#[cfg(test)]
#[path = "flow_tests.rs"]
pub(crate) mod catalogue_tests;
