//! Elements of the operator's own enterprise: what no registry has, as the catalogue reads it, and RFC 5610's records of what they are.

mod outlet;

use std::collections::BTreeMap;

use outlet::{Outlet, sent};
use sonde_export::format::{Format, Sink, Statistics};
use sonde_export::{Encoder, Fields as Choice, Options};
use sonde_packet::{Layers, Network, SegmentRouting, Tunnel};
use sonde_record::catalogue::fields;
use sonde_record::fact::{
    Application, Closing, QuicPerformance, ResponseTimes, SpinTimes, Spread, Syn, TcpDirection, TcpPerformance, UdpPerformance,
};
use sonde_record::field::{Field, Origin, Registry, Value};
use sonde_record::{Head, Kind, Record, View};
use sonde_tests::collector::{Collected, Decoder};

const ENTERPRISE: u32 = 64_000;

fn options() -> Options {
    Options { message_octets_max: 9000, fields: Choice::Full, enterprise: ENTERPRISE, ..Options::default() }
}

/// Fields that have an element of ours, by its number.
fn own() -> BTreeMap<u16, Field> {
    let of = |field: Field| {
        let ours: Vec<_> = field.elements().filter(|(element, _)| element.registry == Registry::Own).collect();
        ours.into_iter().map(move |(element, _)| (element.id, field))
    };
    fields().flat_map(of).collect()
}

fn direction(n: u16) -> TcpDirection {
    let spread = |n: u64| Spread { min: n, mean: n + 1, max: n + 2, deviation: n + 3 };
    TcpDirection {
        jitter: spread(u64::from(n) * 1000),
        packets: u32::from(n) + 1,
        data_packets: u32::from(n) + 2,
        duplicate_acks: u32::from(n) + 5,
        fast: n + 6,
        spurious: n + 7,
        holes: n + 8,
        lost_upstream: n + 9,
        lost_downstream: n + 10,
        zero_window: n + 11,
        window_full: n + 12,
        keep_alive: n + 13,
        cwr_count: n + 18,
        ece_count: n + 19,
        syn: Syn { octets: n + 25, ttl: 63, sack_permitted: n == 100, ..Syn::default() },
        ..TcpDirection::default()
    }
}

fn records() -> Vec<Record> {
    let head = Head {
        kind: Kind::Ipv6,
        view: View::Inner,
        worker: 3,
        fragments: 7,
        syn_len: 60,
        syn_window: 64_240,
        syn_wscale: 7,
        packets: [1, 1],
        ..Head::default()
    };
    let layers = Layers {
        vlan: [1, 2, 3, 4],
        vlan_tags: 4,
        pppoe_session: 9,
        tunnels: [4, 1, 0, 0],
        depth: 2,
        tunnel_id: Some(123),
        identified: Some(Tunnel::Vxlan),
        service_instance: Some(0xe000_0007),
        outer: Network::V4([10, 0, 0, 1], [10, 0, 0, 2]),
        outer_ttl: 61,
        outer_tos: 8,
        inner_vlan: Some(11),
        inner_mpls: 12,
        srh: SegmentRouting { segments: 3, ..SegmentRouting::default() },
        ..Layers::default()
    };
    let responses = ResponseTimes { count: 4, min: 0, max: 9000, last: 5000, sum: 16_000, quantiles: [4000, 8000, 9000] };
    let tcp = TcpPerformance {
        valid: u64::MAX,
        client: 1,
        closing: Closing::FinReverse,
        syn_retries: 2,
        server_rtt: 20_000,
        client_rtt: 3_000,
        responses,
        transfer_time: 77_000,
        transfers: 6,
        ways: [direction(100), direction(200)],
        ..TcpPerformance::default()
    };
    let udp = UdpPerformance { application: Some(Application::Snmp), responses, repeated: 5, unanswered: 6 };
    let spin = |n: u64| SpinTimes { count: 3, min: n, max: 3 * n, last: 2 * n, sum: 6 * n };
    let quic = QuicPerformance { valid: u8::MAX, client: 0, server_rtt: 8_000, client_rtt: 9_000, spin: [spin(1000), spin(2000)] };
    let unmeasured = TcpPerformance { valid: sonde_record::fact::valid::SEEN | sonde_record::fact::valid::SEEN << 16, ..tcp };
    [
        Record::new(Head { flow_id: 1, ..head }).with(&layers).with(&tcp),
        Record::new(Head { flow_id: 2, ..head }).with(&udp),
        Record::new(Head { flow_id: 3, ..head }).with(&quic),
        Record::new(Head { flow_id: 4, view: View::First, ..head }).with(&unmeasured),
        Record::new(Head { flow_id: 5, syn_len: 0, syn_window: 0, ..head }),
    ]
    .into()
}

/// Whether octets are a value: what is absent is 0, none or nothing.
fn equal(value: &Value, octets: &[u8]) -> bool {
    let number = octets.iter().take(8).fold(0, |number: u64, octet| number << 8 | u64::from(*octet));
    let text = String::from_utf8_lossy(octets);
    let text = text.trim_end_matches('\0');
    match value {
        Value::Absent => number == 0 || octets.iter().all(|octet| *octet == 0xff) || octets == [7],
        Value::Unsigned(wanted) => number == *wanted,
        Value::Boolean(truth) => octets == [if *truth { 1 } else { 2 }],
        Value::Duration(ns) => number == (*ns).max(1),
        Value::Text(words) => text == *words,
        Value::List(items) => match items.first() {
            Some(Value::Text(_)) => {
                let names: Vec<_> = items.iter().map(|item| if let Value::Text(name) = item { *name } else { "" }).collect();
                text == names.join("/")
            }
            _ => items.iter().zip(octets.chunks(2)).all(|(item, octets)| equal(item, octets)),
        },
        other => panic!("{other:?} has no element of ours"),
    }
}

#[test]
fn every_element_of_ours_has_the_value_that_the_catalogue_reads() {
    let outlet = sent(&records(), &options());
    let (mut decoder, mut collected) = (Decoder::default(), Collected::default());
    outlet.messages.iter().for_each(|message| decoder.message(message, &mut collected));
    assert_eq!((collected.faults.as_slice(), collected.records.len()), ([].as_slice(), 5));
    let own = own();
    let mut seen: BTreeMap<u16, bool> = own.keys().map(|id| (*id, false)).collect();
    for found in &collected.records {
        let id = found.number((0, 148));
        let record = records().into_iter().find(|record| record.flow_id == id).expect("its record");
        let view = record.view().expect("a record");
        for ((_, id), octets) in found.values.iter().filter(|((pen, _), _)| *pen == ENTERPRISE) {
            let field = own[id];
            let value = field.read(&view);
            // A window scale means something where there was a SYN.
            let unknown = field.row.name == "syn_window_scale" && value == Value::Absent;
            assert!(unknown || equal(&value, octets), "{}: {value:?}, sent as {octets:?}", field.name());
            *seen.entry(*id).or_default() |= value != Value::Absent;
        }
    }
    let unseen: Vec<_> = seen.iter().filter(|(id, seen)| !**seen && matches!(own[id].row.origin, Origin::Record(_))).collect();
    assert!(unseen.is_empty(), "no record of this test says {unseen:?}");
}

#[test]
fn collectors_are_told_what_they_are() {
    let encoder = Encoder::new(options());
    let mut outlet = Outlet::new(&encoder);
    outlet.announce(encoder.options(7, &Statistics::default(), &[]));
    let (mut decoder, mut collected) = (Decoder::default(), Collected::default());
    outlet.messages.iter().for_each(|message| decoder.message(message, &mut collected));
    assert_eq!(collected.faults, Vec::<String>::new());
    let text = |octets: &[u8]| String::from_utf8(octets.to_vec()).expect("text");
    let told: BTreeMap<u64, (String, String, [u64; 3])> = collected
        .options
        .iter()
        .filter(|record| record.values.contains_key(&(0, 341)))
        .map(|record| {
            assert_eq!(record.number((0, 346)), u64::from(ENTERPRISE));
            let numbers = [339, 344, 345].map(|element| record.number((0, element)));
            (record.number((0, 303)), (text(&record.values[&(0, 341)]), text(&record.values[&(0, 340)]), numbers))
        })
        .collect();
    let own = own();
    assert_eq!(told.keys().copied().collect::<Vec<_>>(), own.keys().map(|id| u64::from(*id)).collect::<Vec<_>>());
    // unsigned64, quantity, nanoseconds; boolean; string; unsigned32, deltaCounter, packets.
    assert_eq!((told[&44].0.as_str(), told[&44].2), ("sondeServerRtt", [4, 1, 8]));
    assert_eq!((told[&2].2, told[&41].2, told[&60].2), ([11, 0, 0], [13, 0, 0], [3, 3, 3]));
    assert!(told[&1060].0 == "sondeSegmentsReverse" && told[&60].1 == "segments", "{told:?}");
}

#[test]
fn standard_templates_have_none_of_them_and_a_name_has_its_own() {
    let pens = |fields| {
        let outlet = sent(&records(), &Options { fields, ..options() });
        let (mut decoder, mut collected) = (Decoder::default(), Collected::default());
        outlet.messages.iter().for_each(|message| decoder.message(message, &mut collected));
        let of = |record: &sonde_tests::collector::Record| record.values.keys().filter(|(pen, _)| *pen == ENTERPRISE).count();
        collected.records.sort_by_key(|record| record.number((0, 148)));
        collected.records.iter().map(of).collect::<Vec<_>>()
    };
    assert_eq!(pens(Choice::Standard), [0; 5]);
    assert_eq!(pens(Choice::parse("flowId,sondeServerRtt").expect("names")), [1, 0, 1, 1, 0]);
}
