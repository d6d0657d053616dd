use super::*;
use sonde_record::fact::{Closing, Connection, Fact, TcpPerformance, valid};

const MS: u64 = 1_000_000;
const START: u64 = 1_700_000_000_000 * MS;
const A: u16 = Tcp::ACK;
const S: u16 = Tcp::SYN;
const F: u16 = Tcp::FIN;
const R: u16 = Tcp::RST;

/// Milliseconds from the start, direction, flags, sequence and acknowledgement number (from 1000 and 5000), payload.
type Step = (u64, u8, u16, u32, u32, u32);

const HANDSHAKE: [Step; 3] = [(0, 0, S, 0, 0, 0), (30, 1, S | A, 0, 1, 0), (40, 0, A, 1, 1, 0)];

fn segment((ms, way, flags, seq, ack, payload): Step) -> Segment {
    let [own, peer] = if way == 0 { [1000, 5000] } else { [5000, 1000] };
    Segment {
        time: START + ms * MS,
        seq: own + seq,
        ack: if flags & A == 0 { 0 } else { peer + ack },
        payload,
        flags,
        window: 1000,
        octets: 40,
        ttl: 64 - way,
        way,
    }
}

fn run(segments: impl IntoIterator<Item = Segment>) -> TcpState {
    let mut segments = segments.into_iter();
    let mut state = TcpState::zeroed();
    state.begin(&segments.next().expect("some"), None);
    segments.for_each(|segment| state.add(&segment));
    state
}

/// The report, having been in the ring and back.
fn report(state: &TcpState) -> TcpPerformance {
    let report = state.report();
    let mut words = [0; 64];
    assert_eq!(report.encode(&mut words), TcpPerformance::WORDS_MAX);
    assert_eq!(TcpPerformance::decode(&words), Some(report));
    report
}

fn check(steps: &[Step]) -> TcpPerformance {
    report(&run(steps.iter().copied().map(segment)))
}

/// Behind a handshake with round trip times of 30 and 10 ms.
fn connected(steps: &[Step]) -> TcpPerformance {
    check(&[&HANDSHAKE, steps].concat())
}

#[test]
fn the_halves_of_the_round_trip_meet_at_the_tap() {
    let found = connected(&[]);
    assert_eq!((found.server_rtt, found.client_rtt), (30 * MS, 10 * MS));
    let all = valid::SERVER_RTT | valid::CLIENT_RTT | valid::SERVER_RTT_KARN | valid::CLIENT_RTT_KARN | valid::BEGINNING;
    assert_eq!(found.valid & 0xffff, all);
    assert_eq!((found.result, found.client, found.syn_retries), (Connection::Established, 0, 0));
}

#[test]
fn a_syn_sent_again_makes_the_servers_half_ambiguous() {
    let found = check(&[(0, 0, S, 0, 0, 0), (1000, 0, S, 0, 0, 0), (1030, 1, S | A, 0, 1, 0), (1040, 0, A, 1, 1, 0)]);
    assert_eq!((found.server_rtt, found.client_rtt, found.syn_retries), (30 * MS, 10 * MS, 1));
    assert_eq!(found.valid & (valid::SERVER_RTT | valid::SERVER_RTT_KARN), valid::SERVER_RTT);
    assert_ne!(found.valid & valid::CLIENT_RTT_KARN, 0);
    assert_eq!(found.ways[0].retransmitted, 1);
}

#[test]
fn a_syn_ack_sent_again_makes_the_clients_half_ambiguous() {
    let found = check(&[(0, 0, S, 0, 0, 0), (30, 1, S | A, 0, 1, 0), (1030, 1, S | A, 0, 1, 0), (1040, 0, A, 1, 1, 0)]);
    assert_eq!((found.server_rtt, found.client_rtt), (30 * MS, 1010 * MS));
    assert_eq!(found.valid & (valid::CLIENT_RTT | valid::CLIENT_RTT_KARN), valid::CLIENT_RTT);
}

#[test]
fn the_acknowledgement_is_found_behind_a_syn_that_was_late() {
    let found = check(&[(0, 0, S, 0, 0, 0), (30, 1, S | A, 0, 1, 0), (31, 0, S, 0, 0, 0), (32, 0, S, 0, 0, 0), (40, 0, A, 1, 1, 0)]);
    assert_eq!((found.client_rtt, found.result), (10 * MS, Connection::Established));
}

#[test]
fn the_result_says_how_far_the_handshake_came() {
    let result = |steps: &[Step]| check(steps).result;
    assert_eq!(result(&HANDSHAKE[..1]), Connection::Unanswered);
    assert_eq!(result(&HANDSHAKE[..2]), Connection::HalfOpen);
    assert_eq!(result(&[HANDSHAKE[0], (20, 1, R | A, 0, 1, 0)]), Connection::Refused);
    assert_eq!(result(&[(0, 0, A, 1, 1, 10), (1, 1, A, 1, 11, 10)]), Connection::MidStream);
    assert_eq!(check(&HANDSHAKE[..1]).valid & valid::SERVER_RTT, 0);
}

#[test]
fn who_sends_the_syn_ack_is_the_server() {
    let found = check(&[(0, 0, S | A, 0, 1, 0), (10, 1, A, 1, 1, 0)]);
    assert_eq!((found.client, found.client_rtt), (1, 10 * MS));
    assert_eq!(found.valid & (valid::SERVER_RTT | valid::CLIENT_RTT), valid::CLIENT_RTT);
}

#[test]
fn the_first_to_end_is_who_closed_and_rst_outranks_fin() {
    let closing = |steps: &[Step]| connected(steps).closing;
    assert_eq!(closing(&[]), Closing::None);
    assert_eq!(closing(&[(50, 1, F | A, 1, 1, 0), (60, 0, F | A, 1, 2, 0)]), Closing::FinReverse);
    assert_eq!(closing(&[(50, 0, F | A, 1, 1, 0), (60, 1, R | A, 1, 2, 0), (61, 0, R, 2, 0, 0)]), Closing::RstReverse);
    assert_eq!(closing(&[(50, 0, R, 1, 1, 0)]), Closing::RstForward);
}

#[test]
fn an_answer_is_timed_from_the_end_of_its_request() {
    let found = connected(&[
        (50, 0, A, 1, 1, 100),
        (60, 0, A, 101, 1, 100), // the request goes on
        (61, 1, A, 1, 201, 0),   // acknowledged, not answered
        (100, 1, A, 1, 201, 500),
        (130, 1, A, 501, 201, 500), // the answer goes on
        (200, 0, A, 201, 1001, 10),
        (220, 1, A, 1001, 211, 10),
    ]);
    let responses = found.responses;
    let near = |found: u64, ms: u64| assert!(found.abs_diff(ms * MS) <= 512, "{found} is not {ms} ms");
    assert_eq!((responses.count, found.transfers), (2, 2));
    near(responses.min, 20);
    near(responses.max, 40);
    near(responses.last, 20);
    near(responses.sum, 60);
    near(found.transfer_time, 30);
    assert_eq!(found.valid & (valid::RESPONSES | valid::TRANSFER), valid::RESPONSES | valid::TRANSFER);
}

#[test]
fn a_greeting_is_no_answer() {
    let found = connected(&[(50, 1, A, 1, 1, 100), (60, 0, A, 1, 101, 10), (70, 1, A, 101, 11, 10)]);
    assert_eq!((found.responses.count, found.transfers), (1, 1));
}

#[test]
fn what_was_seen_and_comes_again_was_lost_behind_the_tap() {
    let found = connected(&[(50, 0, A, 1, 1, 100), (51, 0, A, 101, 1, 100), (300, 0, A, 1, 1, 100)]);
    let way = found.ways[0];
    assert_eq!((way.retransmitted, way.lost_downstream, way.lost_upstream, way.holes, way.out_of_order), (1, 1, 0, 0, 0));
    assert_eq!((way.payload, way.data_packets), (300, 3));
}

#[test]
fn what_fills_a_hole_late_was_lost_before_the_tap() {
    let found = connected(&[(50, 0, A, 1, 1, 100), (51, 0, A, 201, 1, 100), (300, 0, A, 101, 1, 100)]);
    let way = found.ways[0];
    assert_eq!((way.holes, way.retransmitted, way.lost_upstream, way.lost_downstream, way.out_of_order), (1, 1, 1, 0, 0));
}

#[test]
fn what_fills_a_hole_within_the_round_trip_time_is_out_of_order() {
    let found = connected(&[(50, 0, A, 1, 1, 100), (51, 0, A, 201, 1, 100), (89, 0, A, 101, 1, 100)]);
    let way = found.ways[0];
    assert_eq!((way.holes, way.out_of_order, way.retransmitted, way.lost_upstream), (1, 1, 0, 0));
    // Without a round trip time the limit is 3 ms.
    let late = |ms: u64| check(&[(0, 0, A, 1, 1, 100), (1, 0, A, 201, 1, 100), (1 + ms, 0, A, 101, 1, 100)]).ways[0].out_of_order;
    assert_eq!((late(2), late(3)), (1, 0));
}

#[test]
fn what_was_acknowledged_and_comes_again_is_spurious() {
    let found = connected(&[(50, 0, A, 1, 1, 100), (60, 1, A, 1, 101, 0), (300, 0, A, 1, 1, 100)]);
    let way = found.ways[0];
    assert_eq!((way.retransmitted, way.spurious, way.lost_downstream), (1, 1, 0));
}

#[test]
fn two_duplicate_acknowledgements_make_a_retransmission_fast() {
    let lossy = |ms: u64| {
        let steps = [
            (50, 0, A, 1, 1, 100),
            (50, 0, A, 101, 1, 100),
            (51, 0, A, 201, 1, 100),
            (52, 0, A, 301, 1, 100),
            (60, 1, A, 1, 101, 0),
            (61, 1, A, 1, 101, 0),
            (62, 1, A, 1, 101, 0),
            (62 + ms, 0, A, 101, 1, 100),
        ];
        let found = connected(&steps);
        (found.ways[0].fast, found.ways[0].retransmitted, found.ways[1].duplicate_acks)
    };
    assert_eq!(lossy(1), (1, 1, 2));
    assert_eq!(lossy(20), (0, 1, 2), "20 ms later it was the timer");
}

#[test]
fn one_octet_from_before_the_next_is_a_keep_alive_and_its_answer_no_duplicate() {
    for payload in [0, 1] {
        let found = connected(&[
            (50, 0, A, 1, 1, 100),
            (60, 1, A, 1, 101, 0),
            (9000, 0, A, 100, 1, payload),
            (9030, 1, A, 1, 101, 0),
            (18000, 0, A, 100, 1, payload),
            (18030, 1, A, 1, 101, 0),
        ]);
        let [client, server] = found.ways;
        assert_eq!((client.keep_alive, client.retransmitted, client.payload), (2, 0, 100), "{payload} octets");
        assert_eq!((server.duplicate_acks, server.keep_alive), (0, 0), "{payload} octets");
    }
}

#[test]
fn windows_of_zero_and_windows_used_up_are_counted() {
    let mut segments: Vec<Segment> = HANDSHAKE.into_iter().map(segment).collect();
    segments.push(segment((50, 0, A, 1, 1, 999)));
    segments.push(segment((51, 0, A, 1000, 1, 1)));
    segments.push(Segment { window: 0, ..segment((60, 1, A, 1, 1001, 0)) });
    // One octet into it is a probe, and moves nothing.
    segments.push(segment((500, 0, A, 1001, 1, 1)));
    segments.push(Segment { window: 0, ..segment((510, 1, A, 1, 1001, 0)) });
    segments.push(segment((600, 1, A, 1, 1001, 0)));
    segments.push(segment((610, 0, A, 1001, 1, 100)));
    let [client, server] = report(&run(segments)).ways;
    assert_eq!((client.window_full, server.zero_window), (1, 2));
    assert_eq!((client.retransmitted, client.holes, server.duplicate_acks), (0, 0, 0));
}

#[test]
fn windows_are_scaled_when_both_ends_offer_it() {
    let scaled = |client: Option<u8>, server: Option<u8>, octets: u32| {
        let options = |window_scale| SynOptions { window_scale, mss: Some(1460), ..SynOptions::default() };
        let mut state = TcpState::zeroed();
        state.begin(&segment(HANDSHAKE[0]), Some(&options(client)));
        state.add_syn(&segment(HANDSHAKE[1]), &options(server));
        state.add(&segment(HANDSHAKE[2]));
        state.add(&segment((50, 0, A, 1, 1, octets)));
        report(&state).ways[0].window_full
    };
    assert_eq!(scaled(Some(0), Some(2), 4000), 1);
    assert_eq!(scaled(None, Some(2), 4000), 0);
    assert_eq!(scaled(None, Some(2), 1000), 1);
}

#[test]
fn the_traits_are_those_of_the_first_syn() {
    let options = SynOptions { window: 1000, mss: Some(1460), window_scale: Some(7), sack_permitted: true, kinds: 1 << 34 | 0x1e };
    let mut state = TcpState::zeroed();
    state.begin(&segment(HANDSHAKE[0]), Some(&options));
    state.add_syn(&segment((5, 0, S, 0, 0, 0)), &SynOptions::default());
    let mut found = report(&state);
    let syn = found.ways[0].syn;
    assert_eq!((syn.window, syn.mss, syn.window_scale, syn.sack_permitted, syn.kinds), (1000, 1460, 7, true, 1 << 34 | 0x1e));
    assert_eq!((syn.octets, syn.ttl, found.ways[0].isn), (40, 64, 1000));
    let all = valid::SEEN | valid::SYN | valid::MSS | valid::WINDOW_SCALE | valid::DELAY;
    assert_eq!(found.valid >> 16, all >> 16, "and nothing of the other direction");
    found.set_ttl([[63, 64], [0, 0]]);
    assert_eq!((found.valid >> 16, found.ways[0].ttl), ((all | valid::TTL) >> 16, [63, 64]));
    found.set_ttl([[0, 0], [5, 5]]);
    assert_eq!(found.valid >> 16, (all | valid::TTL << valid::REVERSE) >> 16);
}

#[test]
fn delay_is_between_segments_of_one_direction() {
    let found = check(&[(0, 0, A, 1, 1, 10), (5, 1, A, 1, 11, 0), (10, 0, A, 11, 1, 10), (30, 0, A, 21, 1, 10), (40, 0, A, 31, 1, 10)]);
    let [forward, reverse] = found.ways;
    let near = |found: u64, expected: u64| assert!(found.abs_diff(expected) < 100, "{found} is not {expected}");
    near(forward.delay.min, 10 * MS);
    near(forward.delay.mean, 40 * MS / 3);
    near(forward.delay.max, 20 * MS);
    near(forward.delay.deviation, 4_714_045);
    assert_eq!(forward.jitter.mean, 10 * MS);
    assert_eq!(forward.jitter.deviation, 0);
    assert_eq!((reverse.delay, reverse.jitter), (<_>::default(), <_>::default()));
    let reverse = (valid::DELAY | valid::JITTER) << valid::REVERSE;
    assert_eq!(found.valid & (valid::DELAY | valid::JITTER | reverse), valid::DELAY | valid::JITTER);
}

#[test]
fn after_a_record_counters_restart_and_the_order_goes_on() {
    let mut state = run(HANDSHAKE.into_iter().map(segment));
    state.add(&segment((50, 0, A, 1, 1, 100)));
    state.add(&segment((60, 1, A, 1, 101, 100)));
    state.rest();
    let rested = report(&state);
    assert_eq!((rested.ways[0].packets, rested.ways[0].payload, rested.responses.count), (0, 0, 0));
    assert_eq!((rested.server_rtt, rested.result, rested.ways[0].isn), (30 * MS, Connection::Established, 1000));
    assert_eq!(rested.valid & (valid::TTL | valid::DELAY | valid::JITTER), 0);
    state.add(&segment((80, 0, A, 101, 101, 100)));
    state.add(&segment((400, 0, A, 101, 101, 100)));
    let found = report(&state).ways[0];
    assert_eq!((found.packets, found.payload, found.retransmitted, found.lost_downstream), (2, 200, 1, 1));
    assert_eq!((found.delay.max, found.delay.mean), (320 * MS, 175 * MS), "the delay over the border counts");
    assert!(found.jitter.max.abs_diff(300_000_000 - 10 * MS) <= 512, "19 binary digits of {}", found.jitter.max);
}

#[test]
fn a_direction_of_one_segment_has_its_first_jitter_after_the_third() {
    let mut state = run([segment((0, 0, A, 1, 1, 10))]);
    state.rest();
    state.add(&segment((10, 0, A, 11, 1, 10)));
    assert_eq!(report(&state).valid & (valid::DELAY | valid::JITTER), valid::DELAY);
    state.add(&segment((30, 0, A, 21, 1, 10)));
    assert_eq!((report(&state).ways[0].delay.mean, report(&state).ways[0].jitter.mean), (15 * MS, 10 * MS));
}

#[test]
fn a_syn_with_another_number_begins_another_connection() {
    let state = run(HANDSHAKE.into_iter().map(segment));
    assert!(!state.is_reused_by(&segment((3000, 0, S, 0, 0, 0))), "it asks again");
    assert!(state.is_reused_by(&segment((3000, 0, S, 7, 0, 0))));
    assert!(!state.is_reused_by(&segment((3000, 0, A, 7, 0, 0))));
}

#[test]
fn payload_counts_beyond_32_bits_on_both_paths() {
    let step = 0x4000_0000u32;
    let mut state = run(HANDSHAKE.into_iter().map(segment));
    let mut expected = 0u64;
    for n in 0..9u32 {
        state.add(&segment((50 + u64::from(n), 0, A, 1u32.wrapping_add(step.wrapping_mul(n)), 1, step)));
        expected += u64::from(step);
    }
    assert_eq!(report(&state).ways[0].payload, expected);
}

#[test]
fn flags_are_counted_in_each_direction() {
    let found = connected(&[
        (50, 0, A | PSH | URG, 1, 1, 10),
        (51, 0, A | PSH, 11, 1, 10),
        (52, 1, A | ECE, 1, 21, 0),
        (53, 0, A | CWR | F, 21, 1, 0),
    ]);
    let [client, server] = found.ways;
    assert_eq!(
        (client.syn_count, client.fin_count, client.psh_count, client.urg_count, client.cwr_count, client.ack_count),
        (1, 1, 2, 1, 1, 4)
    );
    assert_eq!((server.syn_count, server.ece_count, server.ack_count, server.rst_count), (1, 1, 2, 0));
}

#[test]
fn a_clock_that_goes_back_breaks_nothing() {
    let found = connected(&[(20, 0, A, 1, 1, 100), (10, 1, A, 1, 101, 100), (5, 0, A, 1, 101, 100)]);
    assert_eq!(found.ways[0].packets, 4);
    assert!(found.ways[0].delay.max <= 40 * MS, "{found:?}");
}

#[test]
fn words_that_are_no_such_value_are_refused() {
    let mut words = [0; 64];
    let length = connected(&[]).encode(&mut words);
    for end in 0..length {
        assert_eq!(TcpPerformance::decode(&words[..end]), None);
        assert_eq!(connected(&[]).encode(&mut vec![0; end]), 0);
    }
    for (word, bits) in [(0, 1), (0, 1 << 17), (0, 1 << 40), (2, 2), (2, 0xff00), (2, 0xff_0000), (3, 1 << 32)] {
        let mut broken = words;
        broken[word] |= bits;
        assert_eq!(TcpPerformance::decode(&broken), None, "word {word}");
    }
    for way in [0, 1] {
        let mut broken = words;
        broken[14 + 19 * way + 18] |= 2 << 48;
        assert_eq!(TcpPerformance::decode(&broken), None, "neither permitted nor not");
    }
}
