//! What expressions select, and what is said of wrong ones.

use proptest::prelude::*;
use sonde_record::fact::{TcpPerformance, valid};
use sonde_record::field::{Lookup, Value};
use sonde_record::{Head, Kind, NO_VLAN, Record};
use std::net::IpAddr;

use super::*;

fn tcp() -> Head {
    let mut head = Head {
        kind: Kind::Ipv4,
        proto: 6,
        sport: 40_000,
        dport: 443,
        octets: [200 << 20, 50],
        packets: [3, 2],
        vlan_tci: [7, NO_VLAN],
        tcp_flags: [0x02, 0x10],
        start: 1_700_000_000_000_000_000,
        end: 1_700_000_000_250_000_000,
        smac: [0, 0x11, 0x22, 0x33, 0x44, 0x55],
        ..Head::default()
    };
    head.src[12..].copy_from_slice(&[10, 1, 2, 3]);
    head.dst[12..].copy_from_slice(&[192, 0, 2, 9]);
    head
}

fn udp6() -> Head {
    let address = |text: &str| text.parse::<std::net::Ipv6Addr>().expect("an address").octets();
    Head {
        kind: Kind::Ipv6,
        proto: 17,
        sport: 53,
        dport: 5353,
        src: address("2001:db8::1"),
        dst: address("fe80::9"),
        octets: [100, 0],
        packets: [1, 0],
        ..Head::default()
    }
}

fn arp() -> Head {
    Head { kind: Kind::Layer2, ethertype: 0x0806, octets: [46, 46], packets: [1, 1], ..Head::default() }
}

struct Countries;

impl Places for Countries {
    fn find(&self, address: IpAddr, what: Lookup) -> Value {
        match (what, address) {
            (Lookup::Country, IpAddr::V4(a)) if a.octets()[0] == 192 => Value::Words("CZ".into()),
            (Lookup::AsNumber, IpAddr::V4(_)) => Value::Unsigned(64_500),
            _ => Value::Absent,
        }
    }
}

fn good(text: &str) -> (Expression, Vec<Warning>) {
    let environment = Environment {
        lists: [("servers", vec!["192.0.2.0/24", "2001:db8::1"]), ("web", vec!["80", "443"])]
            .map(|(name, items)| (name.to_owned(), items.into_iter().map(str::to_owned).collect()))
            .into(),
        looks_up: true,
        ..Environment::default()
    };
    compile(text, &environment).unwrap_or_else(|refused| panic!("{text}: {refused}"))
}

/// Whether it matches each of a TCP, a UDP and an ARP flow.
fn check(text: &str, expected: [bool; 3]) {
    let (expression, _) = good(text);
    let found = [tcp(), udp6(), arp()].map(|head| {
        let record = Record::new(head);
        expression.matches_in(&record.view().expect("a record"), Some(&Countries))
    });
    assert_eq!(found, expected, "{text}");
    let printed = normalise(text).expect("good");
    assert_eq!(normalise(&printed).as_ref(), Ok(&printed), "{text}");
}

const TCP: [bool; 3] = [true, false, false];
const UDP: [bool; 3] = [false, true, false];
const ARP: [bool; 3] = [false, false, true];
const IP: [bool; 3] = [true, true, false];
const ALL: [bool; 3] = [true; 3];
const NONE: [bool; 3] = [false; 3];

#[test]
fn numbers_compare() {
    for (text, expected) in [
        ("destination_port = 443", TCP),
        ("destination_port == 0x1bb", TCP),
        ("dport <> 443", UDP),
        ("tcp.dstport != 443", UDP),
        ("destinationTransportPort >= 5353", UDP),
        ("DPORT < 444 AND protocol=6", TCP),
        ("octets > 100 MiB", TCP),
        ("octets > 209715199", TCP),
        ("octets > 0.2 GiB", NONE),
        ("octets > 0.19 GiB", TCP),
        ("octets >= 209.7152MB", TCP),
        ("octets < 1kB", [false, true, true]),
        ("packets < 0", NONE),
        ("packets > 18446744073709551615", NONE),
        ("packets <= 18446744073709551615", ALL),
        ("packets between 2 and 3", TCP),
        ("packets not between 2 and 3", [false, true, true]),
        ("ethernet_type = 0x0806", ARP),
        ("inner", NONE),
        ("not inner", ALL),
        ("inner = false", ALL),
        ("inner = 0 and protocol = udp", UDP),
        ("protocol = 'TCP'", TCP),
        ("protocol in (tcp, udp)", IP),
    ] {
        check(text, expected);
    }
}

#[test]
fn times_and_durations_compare() {
    for (text, expected) in [
        ("duration = 250 ms", TCP),
        ("duration between 0.2 s and 250000us", TCP),
        ("duration < 1 ns", [false, true, true]),
        ("start >= 2023-11-14T22:13:20Z", TCP),
        ("start > '2023-11-14T22:13:20Z'", NONE),
        ("end < 2023-11-15T00:13:20.3+02:00", ALL),
        ("start in (2023-01-01T00:00:00Z .. 2023-12-31T23:59:59Z)", TCP),
    ] {
        check(text, expected);
    }
}

#[test]
fn addresses_are_in_prefixes_lists_and_ranges() {
    for (text, expected) in [
        ("source_address in 10.0.0.0/8", TCP),
        ("source_address = 10.1.2.3", TCP),
        ("source_address = 10.1.2.3/24", TCP),
        ("source_address != 10.1.2.3", UDP),
        ("source_address not in (10.0.0.0/8, 2001:db8::/32)", NONE),
        ("source_address in (10.0.0.0/8, 2001:db8::/32)", IP),
        ("source_address in (10.1.2.0 .. 10.1.2.3)", TCP),
        ("source_address in (10.1.2.4..10.1.2.9)", NONE),
        ("source_address between 2001:db8:: and 2001:db8::ffff", UDP),
        ("source_address in 0.0.0.0/0", TCP),
        ("source_address in ::/0", UDP),
        ("source_address = ::a01:203", NONE),
        ("address = 192.0.2.9", TCP),
        ("address != 192.0.2.9", UDP),
        ("is_internal(source_address)", TCP),
        ("is_internal(address)", IP),
        ("is_internal(source_address) = 0", UDP),
        ("is_internal(destination_address) = false", TCP),
        ("in_list(address, 'servers')", IP),
        ("in_list(address, 'servers') != 1", NONE),
        ("in_list(port, 'web')", TCP),
        ("source_mac = 00:11:22:33:44:55", TCP),
        ("mac in (00:11:22:33:44:00 .. 00:11:22:33:44:ff)", TCP),
        ("source_address is null", ARP),
        ("address is not null", IP),
    ] {
        check(text, expected);
    }
}

#[test]
fn either_end_and_both_directions_have_names() {
    for (text, expected) in [
        ("port = 53", UDP),
        ("port in (50..60, 443)", IP),
        ("port != 443", UDP),
        ("not port = 443", [false, true, true]),
        ("port = 0", NONE),
        ("tcp_flags has SYN", TCP),
        ("tcp_flags has (syn, ACK)", TCP),
        ("tcp_flags has 0x12", TCP),
        ("tcp_control_bits has ACK", NONE),
        ("tcp_flags_rev has ack", TCP),
        ("not tcp_flags has RST", ALL),
        ("total_octets = 209715250", TCP),
        ("total_packets >= 2", [true, false, true]),
        ("country = 'CZ'", TCP),
        ("source_country = 'CZ'", NONE),
        ("as_number = 64500", TCP),
        ("vlan = 7", TCP),
        ("vlan_ids = 7", TCP),
        ("vlan_ids != 8", TCP),
        ("vlan_ids is null", [false, true, true]),
    ] {
        check(text, expected);
    }
    // A sum begins where one of its parts is known.
    assert_eq!(good("total_octets > 1 and port = 1").0.fields(), ["total_octets", "port"]);
}

#[test]
fn texts_match_patterns() {
    for (text, expected) in [
        ("end_reason_name = 'idle'", ALL),
        ("end_reason_name in ('active', \"idle\")", ALL),
        ("end_reason_name != 'idle'", NONE),
        ("end_reason_name like 'i%'", ALL),
        ("end_reason_name like 'I%'", NONE),
        ("end_reason_name ilike 'ID_E'", ALL),
        ("end_reason_name like 'id'", NONE),
        ("end_reason_name not like '%x%'", ALL),
        ("end_reason_name like '\\%'", NONE),
        ("end_reason_name like 'i.le'", NONE),
        ("end_reason_name matches '^i.l'", ALL),
        ("end_reason_name not matches '(?i)IDL'", NONE),
        ("re_match(end_reason_name, 'd.e')", ALL),
        ("Tools.re_match('d.e', 'end_reason_name') = 1", ALL),
        ("re_match('d.e', 'end_reason_name') = 0", NONE),
        ("starts_with(end_reason_name, 'id')", ALL),
        ("not starts_with(end_reason_name, 'dl')", ALL),
        ("entropy(end_reason_name) = 2", ALL),
        ("entropy(end_reason_name) > 2", NONE),
        ("entropy(end_reason_name) between 1.5 and 2.5", ALL),
    ] {
        check(text, expected);
    }
}

#[test]
fn conditions_are_joined() {
    for (text, expected) in [
        ("protocol = 6 or protocol = 17 and port = 1", TCP),
        ("(protocol = 6 or protocol = 17) and port = 53", UDP),
        ("not protocol = 6 and not protocol = 17", ARP),
        ("not (protocol = 6 or port = 53)", ARP),
        ("not not protocol = 6", TCP),
        ("# all of it\nprotocol = 6 # TCP\n  and port = 443#", TCP),
        ("end_reason_name != '#' and protocol = 17 # 'quoted", UDP),
        ("not (not (protocol = 6 and not (port = 1 or port = 2)))", TCP),
        ("protocol = 1 or protocol = 2 or protocol = 17 or protocol = 6 and octets = 0", UDP),
    ] {
        check(text, expected);
    }
}

#[test]
fn of_what_was_not_measured_only_null_is_true() {
    for (text, expected) in [
        ("rtt > 200 ms", NONE),
        ("rtt <= 200 ms", NONE),
        ("rtt != 200 ms", NONE),
        ("not (rtt > 200 ms)", ALL),
        ("rtt is null", ALL),
        ("rtt is not null", NONE),
        ("protocol is null", ARP),
        ("ttl_reverse is null", [false, true, false]),
    ] {
        check(text, expected);
    }
    let valid = valid::SERVER_RTT | valid::CLIENT_RTT | valid::SERVER_RTT_KARN | valid::CLIENT_RTT_KARN;
    let fact = TcpPerformance { valid, server_rtt: 150_000_000, client_rtt: 100_000_000, ..TcpPerformance::default() };
    let record = Record::new(tcp()).with(&fact);
    let view = record.view().expect("a record");
    for (text, expected) in [("rtt > 200 ms", true), ("rtt = 250ms", true), ("not (rtt > 200 ms)", false), ("rtt is not null", true)] {
        assert_eq!(good(text).0.matches(&view), expected, "{text}");
    }
}

/// The four expressions of Flowmon's manual are taken as they are.
#[test]
fn flowmons_expressions_are_accepted_unchanged() {
    let (expression, warnings) = good("req_transferred > 104857600 AND protocol = 17 AND destination_port = 80");
    assert_eq!(warnings, []);
    let mut head = Head { proto: 17, dport: 80, octets: [104_857_601, 0], packets: [1, 0], ..Head::default() };
    let matches = |head: Head| expression.matches(&Record::new(head).view().expect("a record"));
    assert!(matches(head));
    head.octets = [104_857_600, 1 << 40];
    assert!(!matches(head), "the reply is another field");
    for (text, at) in [
        ("http_url LIKE '/ICECVREU.js?%'", vec![1]),
        (r"Tools.re_match('.{1,4}[Oo][Rr].{1,4}\d.{1,3}\d', 'http_url') = 1", vec![50]),
        ("ua_os = 68 and ua_os_version = 5.1", vec![1, 16]),
    ] {
        check(text, NONE);
        let (_, warnings) = good(text);
        assert_eq!(warnings.iter().map(|warning| warning.position.column).collect::<Vec<_>>(), at, "{text}");
        assert!(warnings.iter().all(|warning| warning.message.contains("has no source in this version")), "{warnings:?}");
    }
}

fn refused(text: &str) -> Vec<String> {
    let refused = compile(text, &Environment::default()).expect_err(text);
    assert!(!refused.faults.is_empty());
    refused.faults.iter().map(ToString::to_string).collect()
}

#[test]
fn a_fault_of_form_names_its_place_and_what_was_expected() {
    for (text, expected) in [
        ("", "line 1, column 1: expected a field, a function, `not` or `(`; found the end"),
        ("and", "line 1, column 1: expected a field, a function, `not` or `(`; found and"),
        ("source_address = 10.0.0.0/33", "line 1, column 18: expected an IPv4 address, or a prefix as 10.0.0.0/8; found 10.0.0.0/33"),
        (
            "port = ",
            "line 1, column 8: expected a value: a number, a size, a duration, an address, a time or a text in quotes; found the end",
        ),
        ("port 80", "line 1, column 6: expected `and`, `or`, a comparison, or the end; found 80"),
        ("(port = 80", "line 1, column 11: expected `and`, `or`, a comparison, or `)`; found the end"),
        ("port = 80)", "line 1, column 10: expected `and`, `or`, a comparison, or the end; found )"),
        ("port in (80", "line 1, column 12: expected `,`, `..` or `)`; found the end"),
        ("port is 80", "line 1, column 9: expected `null` or `not null`; found 80"),
        ("port not 80", "line 1, column 10: expected `in`, `between`, `like`, `ilike` or `matches`; found 80"),
        ("port between 1 or 2", "line 1, column 16: expected `and`, and the upper end; found or"),
        (
            "start > 2026-13-01T00:00:00Z",
            "line 1, column 9: expected a time of RFC 3339 from 1970 to 2554, as 2026-11-24T10:00:00Z; found 2026-13-01T00:00:00Z",
        ),
        (
            "start > 2026-11-01",
            "line 1, column 9: expected a time of RFC 3339 from 1970 to 2554, as 2026-11-24T10:00:00Z; found 2026-11-01",
        ),
        ("http_url like '/x", "line 1, column 15: expected a closing quote; found '/x"),
        (
            "port = 80 && octets > 1",
            "line 1, column 11: expected a name, a number, an address, a text in quotes, an operator or a parenthesis; found &&",
        ),
        (
            "mac = 00:11:22:33:44",
            "line 1, column 7: expected an IPv6 address, a prefix as 2001:db8::/32, or a MAC address as 00:11:22:33:44:55; found 00:11:22:33:44",
        ),
        ("octets > 99999999999999999999", "line 1, column 10: expected a number of at most 19 digits; found 99999999999999999999"),
    ] {
        assert_eq!(refused(text), [expected], "{text}");
    }
}

#[test]
fn a_fault_of_names_and_types_names_the_nearest_name_or_the_remedy() {
    for (text, expected) in [
        (
            "octets > 1 and\n  (destnation_port = 80)",
            "line 2, column 4: expected a field of a flow record (`sonde fields` lists them); found destnation_port. Did you mean destination_port?",
        ),
        ("rtt > 200", "line 1, column 7: expected a duration as 200 ms for rtt (duration); found 200"),
        ("rtt > 200 MiB", "line 1, column 7: expected a duration as 200 ms for rtt (duration); found 200 MiB"),
        ("packets > 1 MiB", "line 1, column 11: expected a whole number for packets (unsigned); found 1 MiB"),
        ("octets > 1.5", "line 1, column 10: expected a whole number, or a size as 100 MiB for octets (unsigned); found 1.5"),
        ("octets > -5", "line 1, column 10: expected a whole number, or a size as 100 MiB for octets (unsigned); found -5"),
        (
            "octets > octets_reverse",
            "line 1, column 10: expected a whole number, or a size as 100 MiB for octets (unsigned): two fields are not compared with each other; found octets_reverse",
        ),
        ("end_reason_name = idle", "line 1, column 19: expected a text in quotes for end_reason_name (text): 'idle'; found idle"),
        (
            "source_address > 10.0.0.1",
            "line 1, column 18: expected `=`, `!=` or `in` and an address as 192.0.2.1, or a prefix as 192.0.2.0/24 for source_address (address): source_address has no order; found 10.0.0.1",
        ),
        (
            "source_address in (10.0.0.9 .. 10.0.0.1)",
            "line 1, column 20: expected two addresses of one family, the lower one first; found 10.0.0.9 .. 10.0.0.1",
        ),
        ("port in (9..1)", "line 1, column 10: expected a range from the lower end to the upper one; found 9..1"),
        (
            "port",
            "line 1, column 1: expected a comparison of port, for instance `port is not null`: it is a whole number, not true or false; found port",
        ),
        (
            "tcp_flags has SIN",
            "line 1, column 15: expected one of FIN, SYN, RST, PSH, ACK, URG, ECE, CWR, AE, or a number as 0x12; found SIN",
        ),
        ("port like '8%'", "line 1, column 11: expected a field of text before the pattern: port is a whole number; found '8%'"),
        (
            "http_url matches '('",
            "line 1, column 18: expected a regular expression, without look-around and back-references (unclosed group); found '('",
        ),
        (
            "frobnicate(port)",
            "line 1, column 1: expected a function: re_match, tools.re_match, starts_with, is_internal, entropy, in_list; found frobnicate",
        ),
        ("starts_with(port, 'x')", "line 1, column 13: expected a field of text for starts_with: port is a whole number; found port"),
        ("is_internal(address, 5)", "line 1, column 1: expected is_internal(FIELD); found is_internal(address, 5"),
        ("in_list(port, 'x')", "line 1, column 15: expected no in_list: there are no named lists here; write `in (...)`; found 'x'"),
        ("is_internal(address) = 2", "line 1, column 24: expected 1, 0, true or false; found 2"),
        (
            "entropy(http_url)",
            "line 1, column 1: expected a comparison of the entropy with bits an octet, as `entropy(http_url) > 4.5`; found entropy",
        ),
    ] {
        assert_eq!(refused(text), [expected], "{text}");
    }
}

#[test]
fn every_fault_of_names_and_types_is_named() {
    let faults = refused("nothing_such = 1 and (rtt > 5 or port in (80, x, 10.0.0.1)) and not octets = 'a'");
    let columns: Vec<&str> = faults.iter().filter_map(|fault| fault.split(':').next()).collect();
    assert_eq!(columns, ["line 1, column 1", "line 1, column 29", "line 1, column 47", "line 1, column 50", "line 1, column 78"]);
}

#[test]
fn limits_hold_and_are_named() {
    let refusal = |text: &str| refused(text).join("; ");
    assert!(refusal(&" ".repeat(LENGTH_MAX + 1)).contains("at most 16384 octets; found 16385 octets"));
    let deep = |depth: usize| format!("{}port = 1{}", "(".repeat(depth), ")".repeat(depth));
    check(&deep(DEPTH_MAX), NONE);
    assert!(refusal(&deep(DEPTH_MAX + 1)).contains("at most 64 open parentheses"));
    let long = |tests: usize| vec!["port = 1"; tests].join(" or ");
    check(&long(TESTS_MAX), NONE);
    assert!(refusal(&long(TESTS_MAX + 1)).contains("at most 512 conditions"));
    check(&format!("{}port = 53", "not ".repeat(4000)), UDP);
    let patterns = |count: usize| vec!["view like 'a'"; count].join(" or ");
    check(&patterns(PATTERNS_MAX), NONE);
    assert!(refusal(&patterns(PATTERNS_MAX + 1)).contains("at most 32 patterns"));
    assert!(refusal(&format!("view matches '{}'", "a".repeat(PATTERN_LENGTH_MAX + 1))).contains("at most 1024 octets"));
    assert!(refusal("view matches '((a{100}){100}){100}'").contains("octets of memory"));
    assert!(refusal(&format!("view matches '{}'", "(".repeat(100))).contains("regular expression"));
}

#[test]
fn what_is_looked_up_is_a_warning_where_nothing_is() {
    let (expression, warnings) = compile("source_country = 'CZ' or not city = 'Brno'", &Environment::default()).expect("good");
    assert_eq!(warnings.len(), 2);
    assert_eq!(
        warnings[0].to_string(),
        "line 1, column 1: source_country is looked up, and nothing is looked up here: no condition on it holds"
    );
    assert!(expression.matches(&Record::new(tcp()).view().expect("a record")), "by its second part");
}

/// Long expressions with everything in them.
const SAMPLES: [&str; 6] = [
    "req_transferred > 104857600 AND protocol = 17 AND destination_port = 80",
    r"Tools.re_match('.{1,4}[Oo][Rr].{1,4}\d.{1,3}\d', 'http_url') = 1 or ua_os_version = 5.1",
    "not (source_address in (10.0.0.0/8, 2001:db8::/32, 10.1.2.0 .. 10.1.2.9) and rtt between 0.2 s and 5 min) or mac != 00:11:22:33:44:55",
    "start >= 2023-11-14T22:13:20.5+01:00 and octets <> 1.5 KiB and tcp_flags has (SYN, 0x10) and view not ilike '%it''s \\% ü%'",
    "rtt is not null or inner and entropy(http_url) >= 4.25 and is_internal(address) = true and not starts_with(view, \"o\")",
    "port not in (1..2, 0x50) and start < '2030-01-01T00:00:00Z' and protocol = tcp and http_url matches '^/a(b|c)'",
];

#[test]
fn a_text_cut_anywhere_is_an_expression_or_has_faults() {
    for sample in SAMPLES {
        good(sample);
        for end in (0..sample.len()).filter(|end| sample.is_char_boundary(*end)) {
            for text in [&sample[..end], &sample[end..]] {
                match compile(text, &Environment::default()) {
                    Ok(_) => assert!(normalise(text).is_ok()),
                    Err(refused) => {
                        for fault in &refused.faults {
                            assert!(fault.at.start <= fault.at.end && fault.at.end <= text.len(), "{text}: {fault:?}");
                            assert!(caret(text, fault.position).ends_with('^'));
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn a_printed_expression_is_the_same_one() {
    for (text, printed) in [
        ("a=1 AND (b<>2 oR NOT(c in 5))", "a = 1 and (b != 2 or not c in (5))"),
        ("(a = 1 and (b = 2 and c = 3))", "a = 1 and (b = 2 and c = 3)"),
        ("((a = 1)) or (b = 2 and c = 3)", "a = 1 or b = 2 and c = 3"),
        ("not (a = 1 or b = 2)", "not (a = 1 or b = 2)"),
        ("a = 200MS and b = 1.50 kib", "a = 200 ms and b = 1.50 KiB"),
        ("a in (1 .. 2,3..4)", "a in (1 .. 2, 3 .. 4)"),
        ("a = \"it's\"", "a = 'it''s'"),
        ("a = 2001:DB8:0::1/32", "a = 2001:db8::/32"),
        ("a has SYN", "a has (SYN)"),
        ("a > 2026-11-24T10:00:00+01:00", "a > 2026-11-24T09:00:00Z"),
    ] {
        assert_eq!(normalise(text).as_deref(), Ok(printed));
        assert_eq!(normalise(printed).as_deref(), Ok(printed));
    }
}

/// Texts of trees, as they are written: with names that need not exist.
fn any_expression() -> impl Strategy<Value = String> {
    let value = prop_oneof![
        any::<u64>().prop_map(|n| (n / 2).to_string()),
        (any::<u32>(), 0u32..1000).prop_map(|(n, m)| format!("-{n}.{m:03}")),
        (any::<u32>(), 0usize..16).prop_map(|(n, unit)| format!("{n} {}", tree::Unit::ALL[unit].name)),
        any::<[u8; 4]>().prop_map(|a| IpAddr::from(a).to_string()),
        (any::<[u8; 16]>(), 0u8..129).prop_map(|(a, length)| format!("{}/{length}", IpAddr::from(a))),
        any::<[u8; 6]>().prop_map(|a| a.map(|b| format!("{b:02X}")).join(":")),
        "[ -~é]{0,12}".prop_map(|text| format!("'{}'", text.replace('\'', "''"))),
        "2[01][0-9][0-9]-0[1-9]-1[0-9]T1[0-9]:00:0[0-9](\\.[1-9])?Z",
        Just("TRUE".to_owned()),
    ];
    let value = value.boxed();
    let name = "[a-z][a-z_.]{0,9}[0-9a-z]".prop_filter("no key word", |name| {
        !parse::KEYWORDS.contains(&name.as_str()) && !name.contains("..") && tree::Unit::named(name).is_none()
    });
    let relation = prop_oneof![
        (prop_oneof![Just("="), Just("!="), Just("<="), Just("<"), Just(">"), Just(">=")], value.clone())
            .prop_map(|(op, v)| format!("{op} {v}")),
        (any::<bool>(), prop::collection::vec(value.clone(), 1..4)).prop_map(|(not, list)| format!(
            "{}in ({})",
            if not { "not " } else { "" },
            list.join(", ")
        )),
        (value.clone(), value.clone()).prop_map(|(a, b)| format!("between {a} and {b}")),
        (value.clone(), value.clone()).prop_map(|(a, b)| format!("in ({a} .. {b})")),
        value.clone().prop_map(|v| format!("not ilike {v}")),
        value.prop_map(|v| format!("has ({v})")),
        Just("is not null".to_owned()),
        Just(String::new()),
    ];
    let test = (name, relation).prop_map(|(name, relation)| format!("{name} {relation}").trim_end().to_owned());
    test.prop_recursive(5, 40, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 2..4).prop_map(|parts| format!("({})", parts.join(" and "))),
            prop::collection::vec(inner.clone(), 2..4).prop_map(|parts| format!("({})", parts.join(" or "))),
            inner.prop_map(|inner| format!("not ({inner})")),
        ]
    })
}

/// A tree without its places.
fn shape(text: &str) -> String {
    let tree = format!("{:?}", parse::parse(text).unwrap_or_else(|refused| panic!("{text}: {refused}")));
    let mut shape = String::new();
    let mut rest = tree.as_str();
    while let Some((before, behind)) = rest.split_once("Span {") {
        shape.push_str(before);
        rest = behind.split_once('}').map_or("", |(_, behind)| behind);
    }
    shape + rest
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_printed_is_read_as_the_same(text in any_expression()) {
        let printed = normalise(&text).expect("well-formed");
        prop_assert_eq!(shape(&printed), shape(&text));
        prop_assert_eq!(normalise(&printed), Ok(printed));
    }

    #[test]
    fn no_text_breaks_it(text in "\\PC{0,80}", tail in "[a-z_ ()=<>!.,'\"0-9:/-]{0,60}") {
        for text in [&text, &tail, &format!("{text} {tail}")] {
            let _ = compile(text, &Environment::default()).map_err(|refused| refused.to_string());
        }
    }
}
