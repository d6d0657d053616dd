//! The pattern of a flow's packets, as the northbound API shows it.

use sonde_proto::v1;
use sonde_record::fact::{Bursts, FirstPackets, Histograms, NetTisa};

pub(crate) fn histograms(histograms: &Histograms) -> v1::Histograms {
    let ([forward_sizes, reverse_sizes], [forward_times, reverse_times]) =
        (histograms.sizes.map(Vec::from), histograms.times.map(Vec::from));
    v1::Histograms { forward_sizes, reverse_sizes, forward_times, reverse_times }
}

pub(crate) fn first_packets(first: &FirstPackets) -> Vec<v1::FirstPacket> {
    let shown = first.packets().map(|packet| v1::FirstPacket {
        payload_octets: packet.payload.into(),
        time_us: packet.time / 1000,
        tcp_control_bits: packet.flags.into(),
        reverse: packet.way == 1,
    });
    shown.collect()
}

/// Bursts of a direction.
pub(crate) fn bursts(bursts: &Bursts, way: u8) -> Vec<v1::Burst> {
    let shown = bursts.bursts(way).map(|burst| v1::Burst {
        packets: burst.packets,
        payload_octets: burst.octets,
        start_ms: burst.start / 1_000_000,
        end_ms: burst.end / 1_000_000,
    });
    shown.collect()
}

pub(crate) fn nettisa(nettisa: &NetTisa) -> v1::NetTisa {
    let [
        mean,
        min,
        max,
        stdev,
        kurtosis,
        root_mean_square,
        average_dispersion,
        mean_scaled_time_us,
        mean_difftime_us,
        min_difftime_us,
        max_difftime_us,
        time_distribution,
        switching_ratio,
    ] = nettisa.values();
    v1::NetTisa {
        mean,
        min,
        max,
        stdev,
        kurtosis,
        root_mean_square,
        average_dispersion,
        mean_scaled_time_us,
        mean_difftime_us,
        min_difftime_us,
        max_difftime_us,
        time_distribution,
        switching_ratio,
    }
}

#[cfg(test)]
mod tests {
    use sonde_flow::pattern::{PatternState, Sample, Wants};
    use sonde_record::{Head, Record};

    #[test]
    fn patterns_are_shown_packet_by_packet() {
        let mut state = PatternState::default();
        for n in 0..4u64 {
            let way = u8::from(n == 3);
            state.add(Wants::ALL, &Sample { time: 1_000_000_000 + n * 20_000_000, payload: 100, flags: 0x18, way });
        }
        let mut rest = vec![0; 200];
        let filled = state.encode(Wants::ALL, &mut rest);
        let record = Record::of_words(Head::default(), &rest[..filled]);
        let shown = crate::flow::flow(&record.view().expect("a record"));
        let histograms = shown.histograms.expect("kept");
        assert_eq!((histograms.forward_sizes[3], histograms.reverse_sizes[3], histograms.forward_times[1]), (3, 1, 2));
        let first = shown.first_packets.last().expect("four");
        assert_eq!((shown.first_packets.len(), first.time_us, first.tcp_control_bits, first.reverse), (4, 1_060_000, 0x18, true));
        let [burst] = shown.forward_bursts.as_slice() else { panic!("{:?}", shown.forward_bursts) };
        assert_eq!((burst.packets, burst.payload_octets, burst.start_ms, burst.end_ms), (3, 300, 1000, 1040));
        assert!(shown.reverse_bursts.is_empty());
        assert_eq!(shown.nettisa.map(|series| (series.mean, series.max_difftime_us)), Some((100.0, 20_000.0)));
    }
}
