//! Properties of the state machines of network performance, for any segments and datagrams.

use bytemuck::Zeroable;
use proptest::prelude::*;
use sonde_flow::measure::tcp::{Segment, TcpState};
use sonde_flow::measure::{QuicState, UdpState};
use sonde_record::fact::{Application, Fact, QuicPerformance, TcpPerformance, UdpPerformance, valid};

/// Segments of a narrow window, so that they meet, overlap and leave holes; a few from anywhere.
fn segments() -> impl Strategy<Value = Vec<Segment>> {
    let number = || prop_oneof![8 => 0u32..3000, 1 => any::<u32>()];
    let flags = prop_oneof![6 => Just(0x10u16), 2 => Just(0x18u16), 1 => any::<u16>()];
    let time = prop_oneof![8 => 0u64..50_000_000, 1 => any::<u64>()];
    let one = (time, number(), number(), number(), flags, prop_oneof![6 => Just(500u16), 1 => any::<u16>()], any::<u8>(), any::<bool>());
    let one = one.prop_map(|(time, seq, ack, payload, flags, window, ttl, reverse)| {
        let way = u8::from(reverse);
        Segment { time, seq, ack, payload, flags, window, octets: 40, ttl, way }
    });
    proptest::collection::vec(one, 1..200)
}

fn run(segments: &[Segment]) -> TcpState {
    let mut state = TcpState::zeroed();
    state.begin(&segments[0], None);
    segments[1..].iter().for_each(|segment| state.add(segment));
    state
}

proptest! {
    #[test]
    fn every_segment_is_counted_once_and_the_report_survives_the_ring(segments in segments(), rest in any::<prop::sample::Index>()) {
        let (head, tail) = segments.split_at(rest.index(segments.len()) + 1);
        let mut state = run(head);
        let first = state.report();
        state.rest();
        tail.iter().for_each(|segment| state.add(segment));
        // Flags are counted over all records of the flow (RFC 7012, elements 218 to 223), everything else in each.
        for (report, segments, so_far) in [(first, head, head), (state.report(), tail, &*segments)] {
            for (way, number) in report.ways.iter().zip(0u8..) {
                let own = segments.iter().filter(|segment| segment.way == number);
                prop_assert_eq!(own.clone().count(), way.packets as usize);
                let flagged = |flag: u16| so_far.iter().filter(|segment| segment.way == number && segment.flags & flag != 0).count();
                prop_assert_eq!(flagged(0x01), usize::from(way.fin_count));
                prop_assert_eq!(flagged(0x02), usize::from(way.syn_count));
                prop_assert_eq!(flagged(0x04), usize::from(way.rst_count));
                prop_assert_eq!(flagged(0x08), way.psh_count as usize);
                prop_assert_eq!(flagged(0x10), way.ack_count as usize);
                let octets: u64 = own.clone().map(|segment| u64::from(segment.payload)).sum();
                // Keep-alives have at most one octet each, which is not payload.
                prop_assert!(octets - way.payload <= u64::from(way.keep_alive));
                prop_assert!(way.spurious as u32 + u32::from(way.fast) <= way.retransmitted);
                prop_assert!(u32::from(way.lost_upstream) + u32::from(way.lost_downstream) <= way.retransmitted);
                prop_assert!(way.delay.min <= way.delay.max && way.jitter.min <= way.jitter.max);
            }
            let mut words = [0; 64];
            let length = report.encode(&mut words);
            prop_assert_eq!(TcpPerformance::decode(&words[..length]), Some(report));
            prop_assert!(report.valid & valid::CLIENT_RTT != 0 || report.client_rtt == 0);
        }
    }

    #[test]
    fn a_transfer_in_order_has_no_loss(sizes in proptest::collection::vec((any::<bool>(), 0u32..1461), 1..100), isn in any::<[u32; 2]>()) {
        let mut next = isn;
        let mut state = TcpState::zeroed();
        let mut expected = [0u64; 2];
        for (at, (reverse, payload)) in sizes.iter().enumerate() {
            let way = usize::from(*reverse);
            let segment = Segment {
                time: 1_000_000 * at as u64,
                seq: next[way],
                ack: next[1 - way],
                payload: *payload,
                flags: 0x10,
                window: 0xffff,
                octets: 40,
                ttl: 64,
                way: u8::from(*reverse),
            };
            next[way] = next[way].wrapping_add(*payload);
            expected[way] += u64::from(*payload);
            if at == 0 { state.begin(&segment, None) } else { state.add(&segment) }
        }
        for (way, expected) in state.report().ways.iter().zip(expected) {
            let counts = (way.retransmitted, way.out_of_order, way.holes, way.keep_alive, way.zero_window);
            prop_assert_eq!(counts, (0, 0, 0, 0, 0));
            prop_assert_eq!(way.payload, expected);
        }
    }

    #[test]
    fn words_are_a_value_or_refused(words in proptest::collection::vec(any::<u64>(), 0..64), kind in 1u64..4) {
        let mut words = words;
        let length = match kind { 1 => 52, 2 => 10, _ => 14 };
        if let Some(first) = words.first_mut() { *first = length | kind << 16; }
        let mut again = [0; 64];
        if let Some(value) = TcpPerformance::decode(&words) {
            let length = value.encode(&mut again);
            prop_assert_eq!(TcpPerformance::decode(&again[..length]), Some(value));
        }
        if let Some(value) = UdpPerformance::decode(&words) {
            let length = value.encode(&mut again);
            prop_assert_eq!(&again[..length], &words[..length]);
        }
        if let Some(value) = QuicPerformance::decode(&words) {
            let length = value.encode(&mut again);
            prop_assert_eq!(&again[..length], &words[..length]);
        }
    }

    #[test]
    fn any_datagrams_are_survived(datagrams in proptest::collection::vec((any::<u64>(), any::<u8>(), proptest::collection::vec(any::<u8>(), 0..80)), 0..50)) {
        let mut quic = QuicState::zeroed();
        for application in [Application::Dns, Application::Ntp, Application::Snmp, Application::Radius] {
            let mut state = UdpState::new(application);
            for (time, way, payload) in &datagrams {
                state.add(*time, *way, payload);
                quic.add(*time, *way, payload);
            }
            let report = state.report();
            prop_assert!(report.responses.count as usize <= datagrams.len());
            let mut words = [0; 64];
            let length = report.encode(&mut words);
            prop_assert_eq!(UdpPerformance::decode(&words[..length]), Some(report));
        }
        let report = quic.report();
        let mut words = [0; 64];
        let length = report.encode(&mut words);
        prop_assert_eq!(QuicPerformance::decode(&words[..length]), Some(report));
    }
}
