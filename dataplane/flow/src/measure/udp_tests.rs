use sonde_record::fact::Fact;

use super::*;

const MS: u64 = 1_000_000;

fn dns_message(id: u16, answer: bool) -> Vec<u8> {
    let [i0, i1] = id.to_be_bytes();
    vec![i0, i1, if answer { 0x81 } else { 1 }, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, b'a', 0, 0, 1, 0, 1]
}

fn ntp_message(mode: u8, origin: u64, transmit: u64) -> Vec<u8> {
    let mut message = vec![0; 48];
    message[0] = 4 << 3 | mode;
    message[24..32].copy_from_slice(&origin.to_be_bytes());
    message[40..48].copy_from_slice(&transmit.to_be_bytes());
    message
}

/// RFC 1157 section 4: GetRequest of community "public" with request-id 0x01020304.
const SNMP_GET: [u8; 43] = [
    0x30, 0x29, 0x02, 0x01, 0x00, 0x04, 0x06, b'p', b'u', b'b', b'l', b'i', b'c', 0xa0, 0x1c, 0x02, 0x04, 1, 2, 3, 4, 0x02, 0x01, 0, 0x02,
    0x01, 0, 0x30, 0x0e, 0x30, 0x0c, 0x06, 0x08, 0x2b, 6, 1, 2, 1, 1, 5, 0, 0x05, 0,
];

/// RFC 3412 section 6: msgID 0x0a0b, flags auth, priv and reportable, encrypted data.
const SNMP_V3: [u8; 28] = [
    0x30, 0x1a, 0x02, 0x01, 0x03, 0x30, 0x0e, 0x02, 0x02, 0x0a, 0x0b, 0x02, 0x03, 0, 0xff, 0xe3, 0x04, 0x01, 0x07, 0x02, 0x00, 0x04, 0x00,
    0x04, 0x03, 1, 2, 3,
];

fn radius_message(code: u8, identifier: u8) -> Vec<u8> {
    let mut message = vec![0; 20];
    message[..4].copy_from_slice(&[code, identifier, 0, 20]);
    message
}

/// The message, and that every prefix of it is one, too, or nothing.
fn check(application: Application, payload: &[u8], expected: Option<(u32, bool)>) {
    let found = |payload| message(application, payload).map(|m| (m.token, m.answer));
    assert_eq!(found(payload), expected, "{application:?} {payload:?}");
    for end in 0..payload.len() {
        let prefix = found(&payload[..end]);
        assert!(prefix.is_none() || prefix == expected, "{application:?}: {end} octets of {payload:?} are {prefix:?}");
    }
}

#[test]
fn dns_is_known_by_its_identifier() {
    check(Application::Dns, &dns_message(0xabcd, false), Some((0xabcd, false)));
    check(Application::Dns, &dns_message(0xabcd, true), Some((0xabcd, true)));
    check(Application::Dns, &[0; 11], None);
}

#[test]
fn an_ntp_answer_repeats_the_transmit_timestamp_as_its_origin() {
    check(Application::Ntp, &ntp_message(3, 0, 0x1_0000_0002), Some((3, false)));
    check(Application::Ntp, &ntp_message(4, 0x1_0000_0002, 9), Some((3, true)));
    check(Application::Ntp, &ntp_message(4, 0, 9), None);
    check(Application::Ntp, &ntp_message(5, 1, 1), None);
    check(Application::Ntp, &ntp_message(6, 1, 1), None);
}

#[test]
fn snmp_is_known_by_its_request_id_or_message_id() {
    check(Application::Snmp, &SNMP_GET, Some((0x0102_0304, false)));
    let mut response = SNMP_GET;
    response[13] = 0xa2;
    check(Application::Snmp, &response, Some((0x0102_0304, true)));
    response[13] = 0xa7;
    check(Application::Snmp, &response, None);
    check(Application::Snmp, &SNMP_V3, Some((0x0a0b, false)));
    let mut report = SNMP_V3;
    report[18] = 3;
    check(Application::Snmp, &report, Some((0x0a0b, true)));
}

#[test]
fn lengths_that_are_not_definite_or_too_long_are_no_snmp() {
    for length in [0x80, 0x85, 0xff] {
        let mut broken = SNMP_GET;
        broken[1] = length;
        check(Application::Snmp, &broken, None);
    }
    let mut long = SNMP_GET;
    long[16] = 6;
    check(Application::Snmp, &long, None);
    let mut empty = SNMP_GET;
    empty[16] = 0;
    check(Application::Snmp, &empty, None);
    // The long form for what would be short.
    let mut wide = vec![0x30, 0x84, 0, 0, 0, 0x29];
    wide.extend_from_slice(&SNMP_GET[2..]);
    check(Application::Snmp, &wide, Some((0x0102_0304, false)));
}

#[test]
fn radius_is_known_by_its_identifier_and_the_class_of_its_code() {
    check(Application::Radius, &radius_message(1, 7), Some((0x107, false)));
    for code in [2, 3, 11] {
        check(Application::Radius, &radius_message(code, 7), Some((0x107, true)));
    }
    check(Application::Radius, &radius_message(4, 7), Some((0x207, false)));
    check(Application::Radius, &radius_message(5, 7), Some((0x207, true)));
    check(Application::Radius, &radius_message(99, 7), None);
    let mut short = radius_message(1, 7);
    short[3] = 19;
    check(Application::Radius, &short, None);
}

#[test]
fn ports_say_the_protocol_the_destination_first() {
    assert_eq!(Application::of_ports(40_000, 53), Some(Application::Dns));
    assert_eq!(Application::of_ports(53, 40_000), Some(Application::Dns));
    assert_eq!(Application::of_ports(123, 161), Some(Application::Snmp));
    assert_eq!(Application::of_ports(1812, 9), Some(Application::Radius));
    assert_eq!(Application::of_ports(5353, 5353), None);
}

/// Time in milliseconds, direction, identifier, whether it answers.
fn run(steps: &[(u64, u8, u16, bool)]) -> UdpPerformance {
    let mut state = UdpState::new(Application::Dns);
    for (ms, way, id, answer) in steps {
        state.add(ms * MS, *way, &dns_message(*id, *answer));
    }
    let report = state.report();
    let mut words = [0; 64];
    assert_eq!(report.encode(&mut words), UdpPerformance::WORDS_MAX);
    assert_eq!(UdpPerformance::decode(&words), Some(report));
    report
}

#[test]
fn answers_find_their_requests_in_any_order() {
    let found = run(&[(0, 0, 1, false), (1, 0, 2, false), (5, 1, 2, true), (12, 1, 1, true), (13, 1, 1, true)]);
    let times = found.responses;
    assert_eq!((times.count, times.min, times.max, times.last), (2, 4 * MS, 12 * MS, 12 * MS));
    assert_eq!((found.application, found.repeated, found.unanswered), (Some(Application::Dns), 0, 0));
}

#[test]
fn a_request_sent_again_waits_since_its_first_time() {
    let found = run(&[(0, 0, 1, false), (1000, 0, 1, false), (1010, 1, 1, true)]);
    assert_eq!((found.responses.last, found.repeated), (1010 * MS, 1));
}

#[test]
fn only_the_other_side_answers() {
    let found = run(&[(0, 0, 1, false), (5, 0, 1, true), (6, 1, 2, true)]);
    assert_eq!(found.responses.count, 0);
    let both = run(&[(0, 0, 1, false), (1, 1, 1, false), (5, 0, 1, true), (7, 1, 1, true)]);
    assert_eq!((both.responses.min, both.responses.max), (4 * MS, 7 * MS));
}

#[test]
fn four_requests_wait_and_a_fifth_takes_the_place_of_the_oldest() {
    let steps: Vec<_> = (0..5).map(|id| (u64::from(id), 0, id, false)).chain((0..5).map(|id| (10, 1, id, true))).collect();
    let found = run(&steps);
    assert_eq!((found.responses.count, found.unanswered, found.responses.max), (4, 1, 9 * MS));
}

#[test]
fn a_request_waits_beyond_a_record() {
    let mut state = UdpState::new(Application::Dns);
    state.add(0, 0, &dns_message(1, false));
    state.add(MS, 0, &dns_message(1, false));
    state.rest();
    state.add(2 * MS, 1, &dns_message(1, true));
    let found = state.report();
    assert_eq!((found.responses.last, found.repeated), (2 * MS, 0));
}

#[test]
fn words_that_are_no_such_value_are_refused() {
    let mut words = [0; 64];
    let length = run(&[(0, 0, 1, false)]).encode(&mut words);
    for end in 0..length {
        assert_eq!(UdpPerformance::decode(&words[..end]), None);
    }
    for (word, bits) in [(0, 1), (0, 1 << 16), (1, 6), (1, 1 << 31)] {
        let mut broken = words;
        broken[word] |= bits;
        assert_eq!(UdpPerformance::decode(&broken), None, "word {word}");
    }
}
