//! What a record says beside its flow, as the northbound API shows it: layers, performance.

use std::net::{Ipv4Addr, Ipv6Addr};

use sonde_packet::{Layers, Network};
use sonde_proto::v1;
use sonde_record::fact::{self, Application, ResponseTimes, SpinTimes, Spread, quic_valid, valid};

use crate::notation::mac;

/// Layers of a flow's first packet.
pub(crate) fn layers(layers: &Layers) -> v1::FlowLayers {
    let (source, destination) = match layers.outer {
        Network::None => (String::new(), String::new()),
        Network::V4(source, destination) => (Ipv4Addr::from(source).to_string(), Ipv4Addr::from(destination).to_string()),
        Network::V6(source, destination) => (Ipv6Addr::from(source).to_string(), Ipv6Addr::from(destination).to_string()),
    };
    let [sport, dport] = layers.outer_ports;
    let [d0, d1, d2, d3, d4, d5, s0, s1, s2, s3, s4, s5] = layers.inner_macs;
    let inner_mac = |bytes: [u8; 6]| if layers.inner_macs == [0; 12] { String::new() } else { mac(&bytes) };
    let arp = |address: [u8; 4]| if layers.arp.operation == 0 { String::new() } else { Ipv4Addr::from(address).to_string() };
    v1::FlowLayers {
        vlan_tci: layers.vlan.iter().take(layers.vlan_tags.into()).map(|tci| u32::from(*tci)).collect(),
        mpls: layers.mpls.iter().take(layers.mpls_labels.into()).copied().collect(),
        pppoe_session: layers.pppoe_session.into(),
        tunnels: layers.tunnel_names().map(str::to_owned).collect(),
        tunnel_id: layers.tunnel_id,
        outer_source_address: source,
        outer_destination_address: destination,
        outer_source_port: sport.into(),
        outer_destination_port: dport.into(),
        outer_protocol: layers.outer_protocol.into(),
        outer_ttl: layers.outer_ttl.into(),
        inner_source_mac: inner_mac([s0, s1, s2, s3, s4, s5]),
        inner_destination_mac: inner_mac([d0, d1, d2, d3, d4, d5]),
        inner_vlan_tci: layers.inner_vlan.map(Into::into),
        service_instance_tag: layers.service_instance,
        gre_key: layers.gre_key,
        spi: layers.spi,
        arp_operation: layers.arp.operation.into(),
        arp_sender: arp(layers.arp.sender),
        arp_target: arp(layers.arp.target),
        srh_segments_left: layers.srh.segments_left.into(),
        srh_segments: layers.srh.segments.into(),
        srh_flags: layers.srh.flags.into(),
        srh_tag: layers.srh.tag.into(),
        srh_last_segment: if layers.srh.segments == 0 { String::new() } else { Ipv6Addr::from(layers.srh.last).to_string() },
        outer_tos: layers.outer_tos.into(),
        inner_mpls: layers.inner_mpls,
        tunnel_id_kind: layers.identified.map_or("", |kind| kind.name()).to_owned(),
    }
}

/// Nanoseconds as microseconds.
#[expect(clippy::cast_precision_loss, reason = "exact up to 104 days")]
fn us(ns: u64) -> f64 {
    ns as f64 / 1000.0
}

/// Performance of a TCP connection.
pub(crate) fn tcp(tcp: &fact::TcpPerformance) -> v1::TcpPerformance {
    let has = |bits: u64| tcp.valid & bits == bits;
    let responses = &tcp.responses;
    let [p50, p95, p99] = responses.quantiles;
    let measured = |ns: u64| has(valid::RESPONSES).then_some(us(ns));
    let [forward, reverse] = &tcp.ways;
    v1::TcpPerformance {
        client_is_reverse: tcp.client == 1,
        result: tcp.result.name().to_owned(),
        closing: tcp.closing.name().to_owned(),
        syn_retries: tcp.syn_retries.into(),
        server_rtt_us: has(valid::SERVER_RTT).then_some(us(tcp.server_rtt)),
        client_rtt_us: has(valid::CLIENT_RTT).then_some(us(tcp.client_rtt)),
        rtt_unambiguous: has(valid::SERVER_RTT_KARN | valid::CLIENT_RTT_KARN),
        responses: has(valid::RESPONSES).then_some(responses.count),
        response_min_us: measured(responses.min),
        response_mean_us: measured(responses.mean()),
        response_max_us: measured(responses.max),
        response_last_us: measured(responses.last),
        response_p50_us: measured(p50),
        response_p95_us: measured(p95),
        response_p99_us: measured(p99),
        data_transfer_time_us: has(valid::TRANSFER).then_some(us(tcp.transfer_time)),
        forward: has(valid::SEEN).then(|| direction(forward, tcp.valid)),
        reverse: has(valid::SEEN << valid::REVERSE).then(|| direction(reverse, tcp.valid >> valid::REVERSE)),
        rtt_us: has(valid::SERVER_RTT | valid::CLIENT_RTT | valid::SERVER_RTT_KARN | valid::CLIENT_RTT_KARN)
            .then_some(us(tcp.server_rtt.saturating_add(tcp.client_rtt))),
        transfers: has(valid::TRANSFER).then_some(tcp.transfers),
    }
}

/// Requests over UDP and their answers.
pub(crate) fn udp(udp: &fact::UdpPerformance) -> v1::UdpPerformance {
    let ResponseTimes { count, min, max, last, quantiles: [p50, p95, p99], .. } = udp.responses;
    let measured = |ns: u64| (count != 0).then_some(us(ns));
    v1::UdpPerformance {
        application: udp.application.map_or("", Application::name).to_owned(),
        responses: count,
        response_min_us: measured(min),
        response_mean_us: measured(udp.responses.mean()),
        response_max_us: measured(max),
        response_last_us: measured(last),
        response_p50_us: measured(p50),
        response_p95_us: measured(p95),
        response_p99_us: measured(p99),
        repeated: udp.repeated,
        unanswered: udp.unanswered,
    }
}

/// Performance of a QUIC connection.
pub(crate) fn quic(quic: &fact::QuicPerformance) -> v1::QuicPerformance {
    let has = |bits: u8| quic.valid & bits == bits;
    let [forward, reverse] = &quic.spin;
    v1::QuicPerformance {
        client_is_reverse: quic.client == 1,
        server_rtt_us: has(quic_valid::SERVER_RTT).then_some(us(quic.server_rtt)),
        client_rtt_us: has(quic_valid::CLIENT_RTT).then_some(us(quic.client_rtt)),
        rtt_unambiguous: has(quic_valid::SERVER_RTT_KARN | quic_valid::CLIENT_RTT_KARN),
        forward_spin: has(quic_valid::SPIN).then(|| spin(forward)),
        reverse_spin: has(quic_valid::SPIN << 1).then(|| spin(reverse)),
        rtt_us: has(quic_valid::SERVER_RTT | quic_valid::CLIENT_RTT | quic_valid::SERVER_RTT_KARN | quic_valid::CLIENT_RTT_KARN)
            .then_some(us(quic.server_rtt.saturating_add(quic.client_rtt))),
    }
}

fn spin(times: &SpinTimes) -> v1::SpinTimes {
    let SpinTimes { count, min, max, last, .. } = *times;
    v1::SpinTimes { count, min_us: us(min), mean_us: us(times.mean()), max_us: us(max), last_us: us(last) }
}

/// One direction; `bits` are its validity bits as those of forward.
fn direction(way: &fact::TcpDirection, bits: u64) -> v1::TcpDirection {
    let has = |bit: u64| bits & bit != 0;
    let spread =
        |bit: u64, spread: &Spread| [spread.min, spread.mean, spread.max, spread.deviation].map(|value| has(bit).then_some(us(value)));
    let [delay_min_us, delay_mean_us, delay_max_us, delay_deviation_us] = spread(valid::DELAY, &way.delay);
    let [jitter_min_us, jitter_mean_us, jitter_max_us, jitter_deviation_us] = spread(valid::JITTER, &way.jitter);
    let syn = has(valid::SYN).then_some(&way.syn);
    v1::TcpDirection {
        payload_octets: way.payload,
        data_packets: way.data_packets,
        retransmissions: way.retransmitted,
        fast_retransmissions: way.fast.into(),
        spurious_retransmissions: way.spurious.into(),
        lost_upstream: way.lost_upstream.into(),
        lost_downstream: way.lost_downstream.into(),
        out_of_order: way.out_of_order,
        duplicate_acks: way.duplicate_acks,
        zero_window: way.zero_window.into(),
        window_full: way.window_full.into(),
        keep_alive: way.keep_alive.into(),
        syn_count: way.syn_count.into(),
        fin_count: way.fin_count.into(),
        rst_count: way.rst_count.into(),
        psh_count: way.psh_count,
        ack_count: way.ack_count,
        urg_count: way.urg_count.into(),
        ece_count: way.ece_count.into(),
        cwr_count: way.cwr_count.into(),
        delay_min_us,
        delay_mean_us,
        delay_max_us,
        delay_deviation_us,
        jitter_min_us,
        jitter_mean_us,
        jitter_max_us,
        jitter_deviation_us,
        syn_octets: syn.map(|syn| syn.octets.into()),
        syn_ttl: syn.map(|syn| syn.ttl.into()),
        syn_window: syn.map(|syn| syn.window.into()),
        mss: syn.filter(|_| has(valid::MSS)).map(|syn| syn.mss.into()),
        window_scale: syn.filter(|_| has(valid::WINDOW_SCALE)).map(|syn| syn.window_scale.into()),
        sack_permitted: syn.map(|syn| syn.sack_permitted),
        tcp_options: syn.map(|syn| syn.kinds),
        segments: way.packets,
        holes: way.holes.into(),
        initial_sequence_number: way.isn,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_measured_is_absent_and_zero_is_zero() {
        let mut measured = fact::TcpPerformance { valid: valid::SERVER_RTT | valid::SEEN << valid::REVERSE, ..<_>::default() };
        let shown = tcp(&measured);
        assert_eq!((shown.server_rtt_us, shown.client_rtt_us, shown.responses), (Some(0.0), None, None));
        assert!(shown.forward.is_none() && !shown.rtt_unambiguous);
        assert_eq!(shown.reverse.expect("seen").mss, None);
        measured.valid |= (valid::SYN | valid::MSS) << valid::REVERSE;
        measured.ways[1].syn.mss = 1460;
        assert_eq!(tcp(&measured).reverse.expect("seen").mss, Some(1460));
    }

    #[test]
    fn a_bit_that_does_not_spin_is_absent() {
        let times = SpinTimes { count: 4, min: 1000, sum: 12_000, ..<_>::default() };
        let valid = quic_valid::SERVER_RTT | quic_valid::SPIN << 1;
        let shown = quic(&fact::QuicPerformance { valid, client: 1, server_rtt: 2500, spin: [times; 2], ..<_>::default() });
        assert_eq!((shown.client_is_reverse, shown.server_rtt_us, shown.client_rtt_us), (true, Some(2.5), None));
        assert!(shown.forward_spin.is_none() && !shown.rtt_unambiguous);
        assert_eq!(shown.reverse_spin.map(|spin| (spin.count, spin.min_us, spin.mean_us)), Some((4, 1.0, 3.0)));
    }

    #[test]
    fn answers_have_a_mean_though_there_are_none() {
        let mut measured = fact::UdpPerformance { application: Some(Application::Radius), repeated: 2, ..<_>::default() };
        assert_eq!((udp(&measured).application.as_str(), udp(&measured).response_mean_us, udp(&measured).repeated), ("radius", None, 2));
        measured.responses = ResponseTimes { count: 2, sum: 5000, ..<_>::default() };
        assert_eq!(udp(&measured).response_mean_us, Some(2.5));
    }

    #[test]
    fn layers_are_text_where_they_are_there() {
        let shown =
            layers(&Layers { tunnels: [4, 1, 0, 0], depth: 2, outer: Network::V4([192, 0, 2, 1], [192, 0, 2, 2]), ..<_>::default() });
        assert_eq!((shown.tunnels.join("/"), shown.outer_source_address.as_str()), ("vxlan/gre".to_owned(), "192.0.2.1"));
        assert_eq!((shown.arp_sender.as_str(), shown.inner_source_mac.as_str()), ("", ""));
    }
}
