use sonde_record::fact::Fact;

use super::*;

const MS: u64 = 1_000_000;
const START: u64 = 1_700_000_000_000 * MS;
const INITIAL: u8 = 0xc0;
const ZERO_RTT: u8 = 0xd0;
const HANDSHAKE: u8 = 0xe0;
const RETRY: u8 = 0xf0;
/// Short header, spin bit 0 and 1.
const SHORT: [u8; 2] = [0x40, 0x60];

fn datagram(first: u8, version: u32) -> Vec<u8> {
    let [a, b, c, d] = version.to_be_bytes();
    vec![first, a, b, c, d, 8, 1, 2, 3, 4, 5, 6, 7, 8, 0]
}

/// Milliseconds from the start, direction, first octet.
fn run(version: u32, steps: &[(u64, u8, u8)]) -> QuicPerformance {
    let mut state = QuicState::zeroed();
    for (ms, way, first) in steps {
        let datagram = datagram(*first, version);
        state.add(START + ms * MS, *way, &datagram);
    }
    let report = state.report();
    let mut words = [0; 64];
    assert_eq!(report.encode(&mut words), QuicPerformance::WORDS_MAX);
    assert_eq!(QuicPerformance::decode(&words), Some(report));
    report
}

const BOTH: u8 = quic_valid::SERVER_RTT | quic_valid::CLIENT_RTT;
const KARN: u8 = quic_valid::SERVER_RTT_KARN | quic_valid::CLIENT_RTT_KARN;

#[test]
fn the_halves_of_the_handshake_meet_at_the_tap() {
    let found = run(1, &[(0, 0, INITIAL), (30, 1, INITIAL), (40, 0, HANDSHAKE)]);
    assert_eq!((found.valid, found.client), (BOTH | KARN, 0));
    assert_eq!((found.server_rtt, found.client_rtt), (30 * MS, 10 * MS));
}

#[test]
fn the_fixed_bit_may_have_any_value_once_a_connection_is_known() {
    let found = run(1, &[(0, 0, INITIAL), (30, 1, INITIAL & !0x40), (40, 0, HANDSHAKE & !0x40)]);
    assert_eq!((found.valid, found.server_rtt, found.client_rtt), (BOTH | KARN, 30 * MS, 10 * MS));
    assert_eq!(run(1, &[(0, 0, INITIAL & !0x40), (30, 1, INITIAL & !0x40)]).valid, 0, "nothing says that it is QUIC");
}

#[test]
fn version_2_numbers_its_packets_otherwise() {
    let found = run(0x6b33_43cf, &[(0, 1, 0xd0), (30, 0, 0xd0), (40, 1, 0xf0)]);
    assert_eq!((found.valid, found.client, found.server_rtt, found.client_rtt), (BOTH | KARN, 1, 30 * MS, 10 * MS));
}

#[test]
fn what_is_sent_again_is_measured_and_marked() {
    let found = run(1, &[(0, 0, INITIAL), (100, 0, INITIAL), (130, 1, INITIAL), (131, 1, HANDSHAKE), (140, 0, INITIAL)]);
    assert_eq!((found.valid, found.server_rtt, found.client_rtt), (BOTH, 30 * MS, 10 * MS));
}

#[test]
fn after_a_retry_the_handshake_begins_again() {
    let found = run(1, &[(0, 0, INITIAL), (30, 1, RETRY), (40, 0, INITIAL), (75, 1, INITIAL), (85, 0, HANDSHAKE)]);
    assert_eq!((found.valid, found.server_rtt, found.client_rtt), (BOTH | KARN, 35 * MS, 10 * MS));
}

#[test]
fn a_second_retry_is_none() {
    let steps = [(0, 0, INITIAL), (30, 1, RETRY), (40, 0, INITIAL), (41, 1, RETRY), (75, 1, INITIAL), (85, 0, HANDSHAKE)];
    let found = run(1, &steps);
    assert_eq!((found.valid, found.client, found.server_rtt, found.client_rtt), (BOTH | KARN, 0, 35 * MS, 10 * MS));
}

#[test]
fn early_data_is_no_answer() {
    let found = run(1, &[(0, 0, INITIAL), (1, 0, ZERO_RTT), (30, 1, INITIAL), (31, 0, ZERO_RTT), (40, 0, HANDSHAKE)]);
    assert_eq!((found.valid, found.client_rtt), (BOTH | KARN, 10 * MS));
}

#[test]
fn other_versions_and_what_is_no_quic_are_passed_over() {
    let none = QuicPerformance::default();
    assert_eq!(run(0, &[(0, 0, INITIAL), (30, 1, INITIAL)]), none, "version negotiation");
    assert_eq!(run(0x5130_3530, &[(0, 0, INITIAL), (30, 1, INITIAL)]), none, "Google's");
    assert_eq!(run(1, &[(0, 0, HANDSHAKE), (30, 1, HANDSHAKE)]), none, "no beginning");
    assert_eq!(run(1, &[(0, 0, 0x40), (30, 0, 0x60), (60, 0, 0x40), (90, 0, 0x60)]), none, "perhaps not QUIC at all");
    let mut long = datagram(INITIAL, 1);
    long[5] = 21;
    assert_eq!(packet(&long), None);
}

#[test]
fn every_prefix_is_a_packet_or_nothing() {
    for first in 0..=255 {
        for version in [0, 1, 0x6b33_43cf, 0xff00_001d, u32::MAX] {
            let whole = datagram(first, version);
            for end in 0..whole.len() {
                let found = packet(&whole[..end]);
                assert!(found.is_none() || found == packet(&whole), "{end} octets of {whole:?}");
            }
        }
    }
}

/// Behind a handshake of 40 ms, short headers of the client: milliseconds, spin bit.
fn spins(steps: &[(u64, usize)]) -> QuicPerformance {
    let mut all = vec![(0, 0, INITIAL), (30, 1, INITIAL), (40, 0, HANDSHAKE)];
    all.extend(steps.iter().map(|(ms, spin)| (*ms, 0, SHORT[*spin])));
    run(1, &all)
}

#[test]
fn the_time_between_two_changes_is_a_round_trip() {
    let found = spins(&[(50, 0), (60, 1), (70, 1), (100, 0), (150, 1), (155, 1), (200, 0)]);
    let times = found.spin[0];
    assert_eq!(found.valid, BOTH | KARN | quic_valid::SPIN);
    assert_eq!((times.count, times.min, times.max, times.last, times.sum), (3, 40 * MS, 50 * MS, 50 * MS, 140 * MS));
    assert_eq!(found.spin[1], SpinTimes::default());
}

#[test]
fn a_bit_that_never_changes_measures_nothing() {
    assert_eq!(spins(&[(50, 0), (60, 0), (70, 0)]).valid, BOTH | KARN);
    assert_eq!(spins(&[(50, 0), (60, 1), (70, 1)]).valid, BOTH | KARN, "one change is no round trip");
}

#[test]
fn a_reordered_packet_makes_no_round_trip() {
    let found = spins(&[(50, 0), (60, 1), (61, 0), (62, 1), (100, 0), (102, 1), (140, 1), (180, 0)]);
    let times = found.spin[0];
    assert_eq!((times.count, times.min, times.max), (3, 40 * MS, 40 * MS));
}

#[test]
fn a_bit_of_chance_is_not_offered() {
    let steps: Vec<_> = (0..40).map(|n| (50 + n, usize::from(n % 3 == 0))).collect();
    let found = spins(&steps);
    assert_eq!((found.valid, found.spin[0]), (BOTH | KARN, SpinTimes::default()));
}

#[test]
fn the_bit_spins_on_beyond_a_record() {
    let mut state = QuicState::zeroed();
    for (ms, way, first) in [(0, 0, INITIAL), (30, 1, INITIAL), (40, 0, HANDSHAKE), (50, 0, SHORT[0]), (60, 0, SHORT[1])] {
        state.add(START + ms * MS, way, &datagram(first, 1));
    }
    state.rest();
    state.add(START + 100 * MS, 0, &datagram(SHORT[0], 1));
    assert_eq!((state.report().spin[0].count, state.report().spin[0].last), (1, 40 * MS));
}

#[test]
fn words_that_are_no_such_value_are_refused() {
    let mut words = [0; 64];
    let length = spins(&[]).encode(&mut words);
    for end in 0..length {
        assert_eq!(QuicPerformance::decode(&words[..end]), None);
    }
    for (word, bits) in [(0, 1), (0, 1 << 18), (1, 2 << 8), (1, 1 << 16), (4, 1 << 32)] {
        let mut broken = words;
        broken[word] |= bits;
        assert_eq!(QuicPerformance::decode(&broken), None, "word {word}");
    }
}
