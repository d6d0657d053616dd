//! `docs/expressions.md` is true: each of its examples selects the flows that it says, and it names everything there is.

use std::net::{IpAddr, Ipv6Addr};
use std::path::Path;

use sonde_expression::{Environment, Places, combined, compile};
use sonde_record::fact::{Connection, TcpPerformance, valid};
use sonde_record::field::{Lookup, Value};
use sonde_record::{Head, Kind, NO_VLAN, Record};
use sonde_tests::expressions::{Example, examples};

fn page() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/expressions.md");
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

struct Czech;

impl Places for Czech {
    fn find(&self, address: IpAddr, what: Lookup) -> Value {
        if what == Lookup::Country && address.is_ipv4() { Value::Words("CZ".into()) } else { Value::Absent }
    }
}

/// The flows that the page describes.
fn flows() -> [(&'static str, Record); 3] {
    let mut web =
        Head { proto: 6, sport: 40_000, dport: 443, octets: [2000, 90_000], packets: [20, 70], tcp_flags: [0x1b, 0x1b], ..Head::default() };
    web.src[12..].copy_from_slice(&[10, 1, 2, 3]);
    web.dst[12..].copy_from_slice(&[192, 0, 2, 9]);
    web.vlan_tci = [7, NO_VLAN];
    (web.start, web.end) = (1_700_000_000_000_000_000, 1_700_000_000_250_000_000);
    web.smac = [0, 0x11, 0x22, 0x33, 0x44, 0x55];
    let valid = valid::SERVER_RTT | valid::CLIENT_RTT | valid::SERVER_RTT_KARN | valid::CLIENT_RTT_KARN;
    let tcp = TcpPerformance {
        valid,
        server_rtt: 150_000_000,
        client_rtt: 100_000_000,
        result: Connection::Established,
        ..TcpPerformance::default()
    };
    let address = |text: &str| text.parse::<Ipv6Addr>().expect("an address").octets();
    let (src, dst) = (address("2001:db8::1"), address("2001:db8::53"));
    let dns = Head { kind: Kind::Ipv6, proto: 17, sport: 50_000, dport: 53, src, dst, octets: [80, 0], packets: [1, 0], ..Head::default() };
    let arp = Head { kind: Kind::Layer2, ethertype: 0x0806, octets: [46, 46], packets: [1, 1], ..Head::default() };
    [("web", Record::new(web).with(&tcp)), ("dns", dns.into()), ("arp", arp.into())]
}

#[test]
fn every_example_selects_the_flows_that_it_says() {
    let examples = examples(&page());
    assert!(examples.len() > 40, "{}", examples.len());
    let environment = Environment { looks_up: true, ..Environment::default() };
    let flows = flows();
    let mut wrong = Vec::new();
    for Example { text, matches } in examples {
        let (expression, warnings) = compile(&text, &environment).unwrap_or_else(|refused| panic!("{text}: {refused}"));
        assert_eq!(!warnings.is_empty(), ["http_url", "ua_os"].iter().any(|name| text.contains(name)), "{text}: {warnings:?}");
        let selects = |record: &Record| expression.matches_in(&record.view().expect("a record"), Some(&Czech));
        let found: Vec<&str> = flows.iter().filter(|(_, record)| selects(record)).map(|(name, _)| *name).collect();
        if found != matches {
            wrong.push(format!("{text}: {found:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_page_names_everything_there_is() {
    let page = page();
    let unnamed: Vec<&str> = combined().iter().map(|combined| combined.name).filter(|name| !page.contains(&format!("`{name}`"))).collect();
    assert_eq!(unnamed, Vec::<&str>::new());
    let protocols = (0..=u8::MAX).filter_map(sonde_packet::proto::name);
    let unnamed: Vec<&str> = protocols.filter(|name| !page.split(['`', ' ', '\n']).any(|word| word == *name)).collect();
    assert_eq!(unnamed, Vec::<&str>::new());
    let numbers = [sonde_expression::LENGTH_MAX, sonde_expression::DEPTH_MAX, sonde_expression::TESTS_MAX, sonde_expression::PATTERNS_MAX];
    assert!(numbers.iter().all(|number| page.contains(&format!(" {number} "))), "{numbers:?}");
    // Whoever asks with a wrong expression is answered in the words of the page.
    let text = "rtt > 200 and destnation_port = 80";
    let refused = compile(text, &Environment::default()).expect_err("two faults");
    for fault in refused.faults {
        let line = format!("filter.where: must be {}, at {}; found {}", fault.expected, fault.position, fault.found());
        assert!(page.contains(&line), "{line}");
    }
}
