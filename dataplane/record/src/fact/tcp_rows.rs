//! Rows of the catalogue: how a TCP connection performed, and the round trips of QUIC's handshake.

use super::kind::{Facts, Id};
use super::quic::{QuicPerformance, quic_valid};
use super::tcp::{Closing, Syn, TcpDirection, TcpPerformance, valid};
use crate::field::Value::{Absent, Boolean, Duration, Text, Unsigned};
use crate::field::{Row, Rows, Type, Unit, Value, biflow, csv, flowmon, iana, ntop, own, wireshark};
use crate::view::RecordView;

/// The performance of a record's connection, if it was measured.
fn tcp(record: &RecordView<'_>, read: impl FnOnce(&TcpPerformance) -> Value) -> Value {
    record.get::<TcpPerformance>().map_or(Absent, |tcp| read(&tcp))
}

/// A direction of it, if a segment was seen; with the bits of [`valid`] as those of forward.
fn direction(record: &RecordView<'_>, way: usize, read: impl FnOnce(&TcpDirection, u64) -> Value) -> Value {
    tcp(record, |tcp| {
        let bits = if way == 0 { tcp.valid } else { tcp.valid >> valid::REVERSE };
        tcp.ways.get(way).filter(|_| bits & valid::SEEN != 0).map_or(Absent, |way| read(way, bits))
    })
}

fn count(record: &RecordView<'_>, way: usize, read: impl FnOnce(&TcpDirection) -> u32) -> Value {
    direction(record, way, |way, _| Unsigned(read(way).into()))
}

fn spread(record: &RecordView<'_>, way: usize, bit: u64, read: impl FnOnce(&TcpDirection) -> u64) -> Value {
    direction(record, way, |way, bits| if bits & bit == 0 { Absent } else { Duration(read(way)) })
}

fn syn(record: &RecordView<'_>, way: usize, bits: u64, read: impl FnOnce(&Syn) -> Value) -> Value {
    direction(record, way, |way, has| if has & bits == bits { read(&way.syn) } else { Absent })
}

/// The halves of the handshake's round trip: to the server, and to the client. Of TCP, or else of QUIC.
fn halves(record: &RecordView<'_>) -> [Option<u64>; 2] {
    if let Some(tcp) = record.get::<TcpPerformance>() {
        let half = |bit: u64, time: u64| (tcp.valid & bit != 0).then_some(time);
        return [half(valid::SERVER_RTT, tcp.server_rtt), half(valid::CLIENT_RTT, tcp.client_rtt)];
    }
    let Some(quic) = record.get::<QuicPerformance>() else { return [None; 2] };
    let half = |bit: u8, time: u64| (quic.valid & bit != 0).then_some(time);
    [half(quic_valid::SERVER_RTT, quic.server_rtt), half(quic_valid::CLIENT_RTT, quic.client_rtt)]
}

/// Whether both halves belong to packets that were sent once (Karn's rule); absent where the record has neither.
fn unambiguous(record: &RecordView<'_>) -> Option<bool> {
    if let Some(tcp) = record.get::<TcpPerformance>() {
        let both = valid::SERVER_RTT_KARN | valid::CLIENT_RTT_KARN;
        return Some(tcp.valid & both == both);
    }
    let both = quic_valid::SERVER_RTT_KARN | quic_valid::CLIENT_RTT_KARN;
    record.get::<QuicPerformance>().map(|quic| quic.valid & both == both)
}

/// How the connection performed.
pub(crate) const ROWS: Rows = Rows {
    title: "Performance of TCP connections (round trips: of QUIC, too)",
    facts: Facts::NONE.with(Id::Tcp).with(Id::Quic),
    rows: &[
        Row::new("client_is_reverse", Type::Boolean, "the reverse end is the client", |r, _| {
            let client = r.get::<TcpPerformance>().map(|tcp| tcp.client).or_else(|| r.get::<QuicPerformance>().map(|quic| quic.client));
            Value::maybe(client, |client| Boolean(client == 1))
        })
        .api(&["tcp.client_is_reverse", "quic.client_is_reverse"])
        .elements(&[own(40, "sondeClientIsReverse")]),
        Row::new("tcp_result", Type::Text, "mid-stream, unanswered, refused, half-open or established", |r, _| {
            tcp(r, |tcp| Text(tcp.result.name()))
        })
        .api(&["tcp.result"])
        .elements(&[own(41, "sondeTcpResult")]),
        Row::new("tcp_closing", Type::Text, "who closed it, and how: fin-forward, fin-reverse, rst-forward, rst-reverse", |r, _| {
            tcp(r, |tcp| if tcp.closing == Closing::None { Absent } else { Text(tcp.closing.name()) })
        })
        .api(&["tcp.closing"])
        .elements(&[own(42, "sondeTcpClosing")]),
        Row::new("syn_retries", Type::Unsigned, "SYNs of the client after its first, before an answer", |r, _| {
            tcp(r, |tcp| Unsigned(tcp.syn_retries.into()))
        })
        .unit(Unit::Packets)
        .api(&["tcp.syn_retries"])
        .elements(&[own(43, "sondeSynRetries")]),
        Row::new(
            "server_rtt",
            Type::Duration,
            "between tap and server: from the last SYN to the first SYN/ACK; of QUIC from the client's last Initial",
            |r, _| {
                let [server, _] = halves(r);
                Value::maybe(server, Duration)
            },
        )
        .api(&["tcp.server_rtt_us", "quic.server_rtt_us"])
        .elements(&[ntop(124, "SERVER_NW_LATENCY_MS"), own(44, "sondeServerRtt")])
        .aliases(&[csv("server_rtt")]),
        Row::new("client_rtt", Type::Duration, "between tap and client: from there to the client's next packet", |r, _| {
            let [_, client] = halves(r);
            Value::maybe(client, Duration)
        })
        .api(&["tcp.client_rtt_us", "quic.client_rtt_us"])
        .elements(&[ntop(123, "CLIENT_NW_LATENCY_MS"), own(45, "sondeClientRtt")])
        .aliases(&[csv("client_rtt")]),
        Row::new("rtt", Type::Duration, "both together, where neither was sent twice", |r, _| match (halves(r), unambiguous(r)) {
            ([Some(server), Some(client)], Some(true)) => Duration(server.saturating_add(client)),
            _ => Absent,
        })
        .api(&["tcp.rtt_us", "quic.rtt_us"])
        .elements(&[flowmon(69, "npnRoundTripTime")])
        .aliases(&[wireshark("tcp.analysis.initial_rtt")]),
        Row::new("rtt_unambiguous", Type::Boolean, "both halves belong to packets that were sent once", |r, _| {
            Value::maybe(unambiguous(r), Boolean)
        })
        .api(&["tcp.rtt_unambiguous", "quic.rtt_unambiguous"])
        .source("Karn's rule: RFC 6298 section 3")
        .elements(&[own(46, "sondeRttUnambiguous")]),
        Row::new("data_transfer_time", Type::Duration, "from the first to the last octets of the answers, all together", |r, _| {
            tcp(r, |tcp| if tcp.valid & valid::TRANSFER == 0 { Absent } else { Duration(tcp.transfer_time) })
        })
        .api(&["tcp.data_transfer_time_us"])
        .elements(&[own(47, "sondeDataTransferTime")]),
        Row::new("transfers", Type::Unsigned, "answers", |r, _| {
            tcp(r, |tcp| if tcp.valid & valid::TRANSFER == 0 { Absent } else { Unsigned(tcp.transfers.into()) })
        })
        .api(&["tcp.transfers"])
        .elements(&[own(48, "sondeTransfers")]),
        Row::new("segments", Type::Unsigned, "segments", |r, w| count(r, w, |d| d.packets))
            .both()
            .unit(Unit::Packets)
            .api(&["tcp.forward.segments", "tcp.reverse.segments"])
            .elements(&[own(60, "sondeSegments"), own(1060, "sondeSegmentsReverse").back()]),
        Row::new("payload_octets", Type::Unsigned, "payload, sent again or not; the elements: of the client, of the server", |r, w| {
            direction(r, w, |d, _| Unsigned(d.payload))
        })
        .both()
        .unit(Unit::Octets)
        .api(&["tcp.forward.payload_octets", "tcp.reverse.payload_octets"])
        .elements(&[iana(231, "initiatorOctets"), iana(232, "responderOctets").back()])
        .aliases(&[csv("payload_fwd"), csv("payload_rev").back()]),
        Row::new("data_packets", Type::Unsigned, "segments with payload", |r, w| count(r, w, |d| d.data_packets))
            .both()
            .unit(Unit::Packets)
            .api(&["tcp.forward.data_packets", "tcp.reverse.data_packets"])
            .aliases(&[csv("data_packets_fwd"), csv("data_packets_rev").back()])
            .elements(&[own(61, "sondeDataPackets"), own(1061, "sondeDataPacketsReverse").back()]),
        Row::new("retransmissions", Type::Unsigned, "segments sent again: fast and spurious ones included, keep-alives not", |r, w| {
            count(r, w, |d| d.retransmitted)
        })
        .both()
        .unit(Unit::Packets)
        .api(&["tcp.forward.retransmissions", "tcp.reverse.retransmissions"])
        .elements(&[flowmon(71, "npmTcpRetransmission"), ntop(109, "RETRANSMITTED_IN_PKTS"), ntop(110, "RETRANSMITTED_OUT_PKTS").back()])
        .aliases(&[csv("retrans_fwd"), csv("retrans_rev").back(), wireshark("tcp.analysis.retransmission")]),
        Row::new("fast_retransmissions", Type::Unsigned, "of these, those that duplicate acknowledgements asked for", |r, w| {
            count(r, w, |d| d.fast.into())
        })
        .both()
        .unit(Unit::Packets)
        .api(&["tcp.forward.fast_retransmissions", "tcp.reverse.fast_retransmissions"])
        .aliases(&[csv("fast_retrans_fwd"), csv("fast_retrans_rev").back(), wireshark("tcp.analysis.fast_retransmission")])
        .elements(&[own(62, "sondeFastRetransmissions"), own(1062, "sondeFastRetransmissionsReverse").back()]),
        Row::new("spurious_retransmissions", Type::Unsigned, "of these, those of what had been acknowledged", |r, w| {
            count(r, w, |d| d.spurious.into())
        })
        .both()
        .unit(Unit::Packets)
        .api(&["tcp.forward.spurious_retransmissions", "tcp.reverse.spurious_retransmissions"])
        .aliases(&[csv("spurious_fwd"), csv("spurious_rev").back(), wireshark("tcp.analysis.spurious_retransmission")])
        .elements(&[own(63, "sondeSpuriousRetransmissions"), own(1063, "sondeSpuriousRetransmissionsReverse").back()]),
        Row::new("lost_upstream", Type::Unsigned, "of these, those that the tap had not seen before", |r, w| {
            count(r, w, |d| d.lost_upstream.into())
        })
        .both()
        .unit(Unit::Packets)
        .api(&["tcp.forward.lost_upstream", "tcp.reverse.lost_upstream"])
        .elements(&[own(64, "sondeLostUpstream"), own(1064, "sondeLostUpstreamReverse").back()]),
        Row::new("lost_downstream", Type::Unsigned, "of these, those that the tap had seen", |r, w| {
            count(r, w, |d| d.lost_downstream.into())
        })
        .both()
        .unit(Unit::Packets)
        .api(&["tcp.forward.lost_downstream", "tcp.reverse.lost_downstream"])
        .elements(&[own(65, "sondeLostDownstream"), own(1065, "sondeLostDownstreamReverse").back()]),
        Row::new("holes", Type::Unsigned, "segments before which something is missing", |r, w| count(r, w, |d| d.holes.into()))
            .both()
            .unit(Unit::Packets)
            .api(&["tcp.forward.holes", "tcp.reverse.holes"])
            .aliases(&[csv("lost_segment_fwd"), csv("lost_segment_rev").back(), wireshark("tcp.analysis.lost_segment")])
            .elements(&[own(66, "sondeHoles"), own(1066, "sondeHolesReverse").back()]),
        Row::new("out_of_order", Type::Unsigned, "segments that later ones had overtaken", |r, w| count(r, w, |d| d.out_of_order))
            .both()
            .unit(Unit::Packets)
            .api(&["tcp.forward.out_of_order", "tcp.reverse.out_of_order"])
            .elements(&[flowmon(72, "npmTcpOutOfOrder"), ntop(111, "OOORDER_IN_PKTS"), ntop(112, "OOORDER_OUT_PKTS").back()])
            .aliases(&[csv("out_of_order_fwd"), csv("out_of_order_rev").back(), wireshark("tcp.analysis.out_of_order")]),
        Row::new("duplicate_acks", Type::Unsigned, "duplicate acknowledgements sent", |r, w| count(r, w, |d| d.duplicate_acks))
            .both()
            .unit(Unit::Packets)
            .api(&["tcp.forward.duplicate_acks", "tcp.reverse.duplicate_acks"])
            .aliases(&[csv("dup_ack_fwd"), csv("dup_ack_rev").back(), wireshark("tcp.analysis.duplicate_ack")])
            .source("RFC 5681 section 2")
            .elements(&[own(67, "sondeDuplicateAcks"), own(1067, "sondeDuplicateAcksReverse").back()]),
        Row::new("zero_window", Type::Unsigned, "segments with a window of 0", |r, w| count(r, w, |d| d.zero_window.into()))
            .both()
            .unit(Unit::Packets)
            .api(&["tcp.forward.zero_window", "tcp.reverse.zero_window"])
            .aliases(&[csv("zero_window_fwd"), csv("zero_window_rev").back(), wireshark("tcp.analysis.zero_window")])
            .elements(&[own(68, "sondeZeroWindow"), own(1068, "sondeZeroWindowReverse").back()]),
        Row::new("window_full", Type::Unsigned, "segments that used up the receiver's window", |r, w| {
            count(r, w, |d| d.window_full.into())
        })
        .both()
        .unit(Unit::Packets)
        .api(&["tcp.forward.window_full", "tcp.reverse.window_full"])
        .aliases(&[wireshark("tcp.analysis.window_full")])
        .elements(&[own(69, "sondeWindowFull"), own(1069, "sondeWindowFullReverse").back()]),
        Row::new("keep_alive", Type::Unsigned, "keep-alives", |r, w| count(r, w, |d| d.keep_alive.into()))
            .both()
            .unit(Unit::Packets)
            .api(&["tcp.forward.keep_alive", "tcp.reverse.keep_alive"])
            .aliases(&[csv("keep_alive_fwd"), csv("keep_alive_rev").back(), wireshark("tcp.analysis.keep_alive")])
            .elements(&[own(70, "sondeKeepAlive"), own(1070, "sondeKeepAliveReverse").back()]),
        Row::new("syn_count", Type::Unsigned, "segments with SYN of the whole flow, over all its records", |r, w| {
            count(r, w, |d| d.syn_count.into())
        })
        .both()
        .unit(Unit::Packets)
        .api(&["tcp.forward.syn_count", "tcp.reverse.syn_count"])
        .elements(&[biflow(218, "tcpSynTotalCount")]),
        Row::new("fin_count", Type::Unsigned, "with FIN, as the above", |r, w| count(r, w, |d| d.fin_count.into()))
            .both()
            .unit(Unit::Packets)
            .api(&["tcp.forward.fin_count", "tcp.reverse.fin_count"])
            .elements(&[biflow(219, "tcpFinTotalCount")])
            .aliases(&[csv("fin_fwd"), csv("fin_rev").back()]),
        Row::new("rst_count", Type::Unsigned, "with RST", |r, w| count(r, w, |d| d.rst_count.into()))
            .both()
            .unit(Unit::Packets)
            .api(&["tcp.forward.rst_count", "tcp.reverse.rst_count"])
            .elements(&[biflow(220, "tcpRstTotalCount")])
            .aliases(&[csv("rst_fwd"), csv("rst_rev").back()]),
        Row::new("psh_count", Type::Unsigned, "with PSH", |r, w| count(r, w, |d| d.psh_count))
            .both()
            .unit(Unit::Packets)
            .api(&["tcp.forward.psh_count", "tcp.reverse.psh_count"])
            .elements(&[biflow(221, "tcpPshTotalCount")]),
        Row::new("ack_count", Type::Unsigned, "with ACK", |r, w| count(r, w, |d| d.ack_count))
            .both()
            .unit(Unit::Packets)
            .api(&["tcp.forward.ack_count", "tcp.reverse.ack_count"])
            .elements(&[biflow(222, "tcpAckTotalCount")]),
        Row::new("urg_count", Type::Unsigned, "with URG", |r, w| count(r, w, |d| d.urg_count.into()))
            .both()
            .unit(Unit::Packets)
            .api(&["tcp.forward.urg_count", "tcp.reverse.urg_count"])
            .elements(&[biflow(223, "tcpUrgTotalCount")]),
        Row::new("ece_count", Type::Unsigned, "with ECE in this record", |r, w| count(r, w, |d| d.ece_count.into()))
            .both()
            .unit(Unit::Packets)
            .api(&["tcp.forward.ece_count", "tcp.reverse.ece_count"])
            .source("RFC 3168 section 6.1")
            .elements(&[own(71, "sondeEceCount"), own(1071, "sondeEceCountReverse").back()]),
        Row::new("cwr_count", Type::Unsigned, "with CWR in this record", |r, w| count(r, w, |d| d.cwr_count.into()))
            .both()
            .unit(Unit::Packets)
            .api(&["tcp.forward.cwr_count", "tcp.reverse.cwr_count"])
            .elements(&[own(72, "sondeCwrCount"), own(1072, "sondeCwrCountReverse").back()]),
        Row::new("delay_min", Type::Duration, "shortest time between two segments", |r, w| spread(r, w, valid::DELAY, |d| d.delay.min))
            .both()
            .api(&["tcp.forward.delay_min_us", "tcp.reverse.delay_min_us"])
            .elements(&[flowmon(67, "npmDelayMin"), ntop(531, "SRC_TO_DST_IAT_MIN"), ntop(535, "DST_TO_SRC_IAT_MIN").back()]),
        Row::new("delay_mean", Type::Duration, "mean", |r, w| spread(r, w, valid::DELAY, |d| d.delay.mean))
            .both()
            .api(&["tcp.forward.delay_mean_us", "tcp.reverse.delay_mean_us"])
            .elements(&[flowmon(66, "npmDelayAvg"), ntop(533, "SRC_TO_DST_IAT_AVG"), ntop(537, "DST_TO_SRC_IAT_AVG").back()]),
        Row::new("delay_max", Type::Duration, "longest", |r, w| spread(r, w, valid::DELAY, |d| d.delay.max))
            .both()
            .api(&["tcp.forward.delay_max_us", "tcp.reverse.delay_max_us"])
            .elements(&[flowmon(68, "npmDelayMax"), ntop(532, "SRC_TO_DST_IAT_MAX"), ntop(536, "DST_TO_SRC_IAT_MAX").back()]),
        Row::new("delay_deviation", Type::Duration, "standard deviation", |r, w| spread(r, w, valid::DELAY, |d| d.delay.deviation))
            .both()
            .api(&["tcp.forward.delay_deviation_us", "tcp.reverse.delay_deviation_us"])
            .elements(&[flowmon(65, "npmDelayDev"), ntop(534, "SRC_TO_DST_IAT_STDDEV"), ntop(538, "DST_TO_SRC_IAT_STDDEV").back()]),
        Row::new("jitter_min", Type::Duration, "least difference of two delays", |r, w| spread(r, w, valid::JITTER, |d| d.jitter.min))
            .both()
            .api(&["tcp.forward.jitter_min_us", "tcp.reverse.jitter_min_us"])
            .elements(&[flowmon(63, "npmJitterMin"), own(1080, "sondeJitterMinReverse").back()]),
        Row::new("jitter_mean", Type::Duration, "mean", |r, w| spread(r, w, valid::JITTER, |d| d.jitter.mean))
            .both()
            .api(&["tcp.forward.jitter_mean_us", "tcp.reverse.jitter_mean_us"])
            .elements(&[flowmon(62, "npmJitterAvg"), own(1081, "sondeJitterMeanReverse").back()]),
        Row::new("jitter_max", Type::Duration, "greatest", |r, w| spread(r, w, valid::JITTER, |d| d.jitter.max))
            .both()
            .api(&["tcp.forward.jitter_max_us", "tcp.reverse.jitter_max_us"])
            .elements(&[flowmon(64, "npmJitterMax"), own(1082, "sondeJitterMaxReverse").back()]),
        Row::new("jitter_deviation", Type::Duration, "standard deviation", |r, w| spread(r, w, valid::JITTER, |d| d.jitter.deviation))
            .both()
            .api(&["tcp.forward.jitter_deviation_us", "tcp.reverse.jitter_deviation_us"])
            .elements(&[flowmon(61, "npmJitterDev"), own(1083, "sondeJitterDeviationReverse").back()]),
        Row::new("initial_sequence_number", Type::Unsigned, "one less than the first seen where the SYN was not seen", |r, w| {
            direction(r, w, |d, _| Unsigned(d.isn.into()))
        })
        .both()
        .api(&["tcp.forward.initial_sequence_number", "tcp.reverse.initial_sequence_number"])
        .elements(&[biflow(184, "tcpSequenceNumber")])
        .aliases(&[wireshark("tcp.seq_raw")]),
        Row::new(
            "tcp_syn_octets",
            Type::Unsigned,
            "IP packet of the direction's first SYN or SYN/ACK; absent, as what follows, where none was seen",
            |r, w| syn(r, w, valid::SYN, |syn| Unsigned(syn.octets.into())),
        )
        .both()
        .unit(Unit::Octets)
        .api(&["tcp.forward.syn_octets", "tcp.reverse.syn_octets"])
        .elements(&[flowmon(80, "tcpSynSize"), own(1084, "sondeTcpSynOctetsReverse").back()]),
        Row::new("tcp_syn_ttl", Type::Unsigned, "its TTL or hop limit", |r, w| syn(r, w, valid::SYN, |syn| Unsigned(syn.ttl.into())))
            .both()
            .unit(Unit::Hops)
            .api(&["tcp.forward.syn_ttl", "tcp.reverse.syn_ttl"])
            .elements(&[flowmon(81, "tcpSynTtl"), own(1085, "sondeTcpSynTtlReverse").back()]),
        Row::new("tcp_syn_window", Type::Unsigned, "its window, unscaled", |r, w| syn(r, w, valid::SYN, |syn| Unsigned(syn.window.into())))
            .both()
            .unit(Unit::Octets)
            .api(&["tcp.forward.syn_window", "tcp.reverse.syn_window"])
            .elements(&[biflow(186, "tcpWindowSize")]),
        Row::new("mss", Type::Unsigned, "its maximum segment size", |r, w| {
            syn(r, w, valid::SYN | valid::MSS, |syn| Unsigned(syn.mss.into()))
        })
        .both()
        .unit(Unit::Octets)
        .api(&["tcp.forward.mss", "tcp.reverse.mss"])
        .elements(&[ntop(417, "TCP_WIN_MSS_IN"), ntop(421, "TCP_WIN_MSS_OUT").back()])
        .aliases(&[wireshark("tcp.options.mss_val")]),
        Row::new("window_scale", Type::Unsigned, "its window scale", |r, w| {
            syn(r, w, valid::SYN | valid::WINDOW_SCALE, |syn| Unsigned(syn.window_scale.into()))
        })
        .both()
        .api(&["tcp.forward.window_scale", "tcp.reverse.window_scale"])
        .elements(&[ntop(418, "TCP_WIN_SCALE_IN"), ntop(422, "TCP_WIN_SCALE_OUT").back()])
        .aliases(&[wireshark("tcp.options.wscale.shift")]),
        Row::new("sack_permitted", Type::Boolean, "whether it permits selective acknowledgements", |r, w| {
            syn(r, w, valid::SYN, |syn| Boolean(syn.sack_permitted))
        })
        .both()
        .api(&["tcp.forward.sack_permitted", "tcp.reverse.sack_permitted"])
        .source("RFC 2018 section 2")
        .elements(&[own(73, "sondeSackPermitted"), own(1073, "sondeSackPermittedReverse").back()]),
        Row::new("tcp_options", Type::Unsigned, "kinds of its options, kind 0 in the lowest bit", |r, w| {
            syn(r, w, valid::SYN, |syn| Unsigned(syn.kinds))
        })
        .both()
        .api(&["tcp.forward.tcp_options", "tcp.reverse.tcp_options"])
        .elements(&[biflow(209, "tcpOptions")]),
    ],
};
