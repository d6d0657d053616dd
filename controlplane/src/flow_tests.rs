//! The catalogue of fields and the API's `Flow` say the same: every field has its place, every place its field, and the values are equal.

use std::collections::BTreeSet;

use prost::Message;
use prost_types::field_descriptor_proto::Type;
use prost_types::{DescriptorProto, FileDescriptorSet};
use serde_json::Value as Json;
use sonde_packet::{Arp, Layers, Network, SegmentRouting, Tunnel};
use sonde_record::catalogue::fields;
use sonde_record::fact::{
    Application, Bursts, FirstPacket, FirstPackets, Histograms, NetTisa, QuicPerformance, RawBurst, ResponseTimes, SpinTimes, Spread, Syn,
    TcpDirection, TcpPerformance, UdpPerformance,
};
use sonde_record::field::{Field, Origin, Value};
use sonde_record::{EndReason, Head, Initiator, Kind, Record, View};

use super::flow;

/// Paths of the values of a message: names joined by points.
fn leaves(message: &DescriptorProto, all: &[DescriptorProto], prefix: &str, found: &mut BTreeSet<String>) {
    for field in &message.field {
        let path = format!("{prefix}{}", field.name());
        let inner = field.type_name().rsplit('.').next().and_then(|name| all.iter().find(|message| message.name() == name));
        match inner.filter(|_| field.r#type() == Type::Message) {
            Some(inner) => leaves(inner, all, &format!("{path}."), found),
            None => _ = found.insert(path),
        }
    }
}

fn api() -> BTreeSet<String> {
    let set = FileDescriptorSet::decode(sonde_proto::DESCRIPTOR_SET).expect("descriptors");
    let all: Vec<DescriptorProto> =
        set.file.into_iter().filter(|file| file.package() == "sonde.v1").flat_map(|file| file.message_type).collect();
    let message = all.iter().find(|message| message.name() == "Flow").expect("the message of a flow");
    let mut found = BTreeSet::new();
    leaves(message, &all, "", &mut found);
    found
}

#[test]
fn every_field_has_its_place_in_the_api_and_every_place_its_field() {
    let api = api();
    assert!(api.len() > 150 && api.contains("tcp.forward.mss"), "{api:?}");
    let named: BTreeSet<String> = fields().flat_map(|field| field.api()).map(|path| (*path).to_owned()).collect();
    assert_eq!(named.difference(&api).collect::<Vec<_>>(), Vec::<&String>::new(), "no such place");
    assert_eq!(api.difference(&named).collect::<Vec<_>>(), Vec::<&String>::new(), "no field of the catalogue");
}

fn direction(n: u32) -> TcpDirection {
    let spread = |n: u64| Spread { min: 1000 * n, mean: 2000 * n, max: 3000 * n, deviation: 4000 * n };
    let small = |by: u32| u16::try_from(n + by).expect("small");
    TcpDirection {
        delay: spread(n.into()),
        jitter: spread(u64::from(n) + 7),
        payload: 1 << 40 | u64::from(n),
        packets: n + 1,
        data_packets: n + 2,
        retransmitted: n + 3,
        out_of_order: n + 4,
        duplicate_acks: n + 5,
        fast: small(6),
        spurious: small(7),
        holes: small(8),
        lost_upstream: small(9),
        lost_downstream: small(10),
        zero_window: small(11),
        window_full: small(12),
        keep_alive: small(13),
        syn_count: small(14),
        fin_count: small(15),
        rst_count: small(16),
        urg_count: small(17),
        cwr_count: small(18),
        ece_count: small(19),
        psh_count: n + 20,
        ack_count: n + 21,
        isn: n + 22,
        syn: Syn {
            kinds: 30 + u64::from(n),
            window: small(23),
            mss: small(24),
            octets: small(25),
            ttl: 63,
            window_scale: 7,
            sack_permitted: true,
        },
        ttl: [1, 2],
    }
}

fn head() -> Head {
    Head {
        flow_id: 77,
        kind: Kind::Ipv6,
        end_reason: EndReason::EndOfFlow,
        view: View::Inner,
        initiator: Initiator::Destination,
        worker: 3,
        ingress: 4,
        start: 1_700_000_000_000_000_000,
        end: 1_700_000_002_000_000_000,
        src: *b"source-address-1",
        dst: *b"destin-address-2",
        sport: 40_000,
        dport: 443,
        proto: 6,
        octets: [180, 104],
        packets: [3, 2],
        wire: [222, 132],
        tcp_flags: [0x1b, 0x12],
        ttl: [64, 57],
        ttl_min: [60, 50],
        ttl_max: [65, 58],
        flow_label: 0xf_ffff,
        tos: 184,
        vlan_tci: [0xa064, 0x3007],
        smac: [2, 0, 0, 0, 0, 1],
        dmac: [2, 0, 0, 0, 0, 2],
        ethertype: 0x86dd,
        fragments: 5,
        syn_len: 60,
        syn_window: 64_240,
        syn_mss: 1460,
        syn_wscale: 7,
        ..Head::default()
    }
}

fn layers() -> Layers {
    Layers {
        vlan: [1, 2, 3, 4],
        vlan_tags: 4,
        mpls: [0x0006_4140, 0x0006_5140, 0, 0, 0, 0],
        mpls_labels: 2,
        pppoe_session: 9,
        tunnels: [4, 1, 0, 0],
        depth: 2,
        tunnel_id: Some(123),
        identified: Some(Tunnel::Vxlan),
        service_instance: Some(0xe000_0007),
        outer: Network::V4([10, 0, 0, 1], [10, 0, 0, 2]),
        outer_ports: [5000, 4789],
        outer_protocol: 17,
        outer_ttl: 61,
        outer_tos: 8,
        inner_macs: *b"destinsource",
        inner_vlan: Some(11),
        inner_mpls: 12,
        gre_key: Some(13),
        spi: 14,
        arp: Arp { operation: 2, sender: [10, 0, 0, 3], target: [10, 0, 0, 4] },
        srh: SegmentRouting { segments: 3, segments_left: 1, flags: 4, tag: 5, last: *b"lastlastlastlast" },
    }
}

/// Records that together have a value for every field but those that are looked up.
pub(crate) fn records() -> Vec<Record> {
    let responses = ResponseTimes { count: 4, min: 1000, max: 9000, last: 5000, sum: 16_000, quantiles: [4000, 8000, 9000] };
    let tcp = TcpPerformance {
        valid: u64::MAX,
        client: 1,
        closing: sonde_record::fact::Closing::FinReverse,
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
    let spin = |n: u64| SpinTimes { count: 3, min: 1000 * n, max: 3000 * n, last: 2000 * n, sum: 6000 * n };
    let quic = QuicPerformance { valid: u8::MAX, client: 1, server_rtt: 8_000, client_rtt: 9_000, spin: [spin(1), spin(2)] };
    let mut first = FirstPackets::default();
    for (n, way) in [(1, 0), (2, 1)] {
        first.add(FirstPacket { payload: n, time: 1_700_000_000_000_000_000 + u64::from(n) * 1000, flags: 0x18, way }, 30);
    }
    let burst = |n: u32| RawBurst { packets: n, octets: 100 * n, start: 5, end: 6 };
    let mut bursts = Bursts { start: 1_700_000_000_000_000_000, counts: [1, 2], ..Bursts::default() };
    [bursts.bursts[0][0], bursts.bursts[1][0], bursts.bursts[1][1]] = [burst(3), burst(4), burst(5)];
    let histograms = Histograms { sizes: [[1, 2, 3, 4, 5, 6, 7, 8], [9; 8]], times: [[10; 8], [11, 12, 13, 14, 15, 16, 17, 18]] };
    let series = NetTisa::of([1.5, 2.5, 3.5, 4.5, 5.5, 6.5, 7.5, 8.5, 9.5, 10.5, 11.5, 12.5, 13.5]);
    let four = Head { kind: Kind::Ipv4, proto: 1, icmp: [3, 13], ip_flags: 0x40, flow_label: 0, ..head() };
    let without_ip = Head { kind: Kind::Layer2, smac: [7; 6], ethertype: 0x0806, packets: [1, 0], ..Head::default() };
    vec![
        Record::new(head()).with(&layers()).with(&tcp).with(&histograms).with(&first).with(&bursts).with(&series),
        Record::new(four).with(&udp),
        Record::new(head()).with(&quic),
        Record::new(without_ip),
    ]
}

/// The value at a path; that of each item, where the path goes through a list.
fn at(json: &Json, path: &str) -> Json {
    match json {
        Json::Array(items) if !path.is_empty() => Json::Array(items.iter().map(|item| at(item, path)).collect()),
        json if path.is_empty() => json.clone(),
        json => {
            let (name, rest) = path.split_once('.').unwrap_or((path, ""));
            json.get(name).map_or(Json::Null, |inner| at(inner, rest))
        }
    }
}

/// Whether a value of the API is that of the catalogue; `None` where the API has it in another shape: a list of which it is one, a name.
fn equal(value: &Value, json: &Json, path: &str) -> Option<bool> {
    let close = |a: f64, b: f64| (a - b).abs() <= 1e-6 * a.abs().max(1.0);
    let unit = [("_us", 1000.0), ("_ms", 1_000_000.0)].into_iter().find(|(suffix, _)| path.ends_with(suffix)).map(|(_, unit)| unit);
    #[expect(clippy::cast_precision_loss, reason = "compared as the API has them")]
    match (value, json) {
        // What is absent is 0, empty or not there.
        (Value::Absent, Json::Null) => Some(true),
        (Value::Absent, Json::Number(number)) => Some(number.as_f64() == Some(0.0)),
        (Value::Absent, Json::String(text)) => Some(text.is_empty()),
        (Value::Absent, Json::Array(items)) => Some(items.is_empty()),
        (Value::Absent, Json::Bool(truth)) => Some(!truth),
        (Value::Unsigned(a), Json::Number(b)) => Some(close(*a as f64, b.as_f64()?)),
        (Value::Float(a), Json::Number(b)) => Some(close(*a, b.as_f64()?)),
        (Value::Boolean(a), Json::Bool(b)) => Some(a == b),
        (Value::Address(a), Json::String(b)) => Some(a.to_string() == *b),
        (Value::Mac(a), Json::String(b)) => Some(crate::notation::mac(a) == *b),
        (Value::Duration(a) | Value::Time(a), Json::Number(b)) => Some(close(*a as f64 / unit?, b.as_f64()?)),
        (Value::Text(a), Json::String(b)) => Some(*a == b),
        (Value::List(a), Json::Array(b)) => Some(a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b, path) == Some(true))),
        _ => None,
    }
}

/// Fields whose value is a part of what the API has at their place.
const PARTS: [&str; 2] = ["mpls_labels", "duration"];

#[test]
fn values_are_those_of_the_api() {
    let (mut compared, mut seen) = (BTreeSet::new(), BTreeSet::new());
    for record in records() {
        let view = record.view().expect("a record");
        let json: Json = serde_json::from_str(&serde_json::to_string(&flow(&view)).expect("JSON")).expect("JSON");
        for field in fields().filter(|field| matches!(field.row.origin, Origin::Record(_)) && !PARTS.contains(&field.row.name)) {
            let value = field.read(&view);
            // The first place that says something: a field of several facts has several.
            let places = field.api().iter().map(|path| (*path, at(&json, path)));
            let Some((path, found)) = { places }.max_by_key(|(_, json)| !json.is_null()) else { panic!("{} has no place", field.name()) };
            let same = equal(&value, &found, path);
            assert_ne!(same, Some(false), "{} is {value:?}, {path} {found}", field.name());
            if same == Some(true) && value != Value::Absent {
                compared.insert(field.name());
            }
            if value != Value::Absent {
                seen.insert(field.name());
            }
        }
    }
    let read: Vec<_> = fields().filter(|field| matches!(field.row.origin, Origin::Record(_))).map(|field: Field| field.name()).collect();
    let unseen: Vec<_> = read.iter().filter(|name| !seen.contains(*name) && !PARTS.contains(&name.as_ref())).collect();
    assert!(unseen.is_empty(), "no record of this test has {unseen:?}");
    assert!(compared.len() > 140, "{} of {} were compared", compared.len(), read.len());
}
