//! What no registry has elements for, in elements of the operator's own enterprise (`enterprise` of an exporter). Their numbers, names, types and
//! descriptions are the catalogue's; collectors learn them by RFC 5610's records ([`types`]).
//!
//! Times are nanoseconds; 0 is "not measured", and what was measured is 1 at least. A truth value is 1 (true) or 2 (false). A window scale of
//! 255 is none, and so is an inner VLAN tag of 65,535. Texts are filled with zeros.

use sonde_enrich::Place;
use sonde_packet::Layers;
use sonde_record::catalogue::CATALOGUE;
use sonde_record::fact::{QuicPerformance, ResponseTimes, SpinTimes, TcpDirection, TcpPerformance, UdpPerformance, quic_valid, valid};
use sonde_record::field::{DOCUMENTATION_PEN, Registry, Row, Type, Unit};
use sonde_record::{NO_VLAN, RecordView, View};

use super::enriched::write_text;
use crate::cursor::Cursor;
use crate::format::ipfix::elements::Element;
use crate::format::ipfix::field::{Field, octets};

/// Stands in the tables for the enterprise number, which is put in when a template is made.
pub(crate) const OWN_PEN: u32 = DOCUMENTATION_PEN;

/// The row of the catalogue that an element of ours carries, and the element's name.
const fn row(id: u16) -> (&'static Row, &'static str) {
    let mut part = 0;
    while part < CATALOGUE.len() {
        let mut at = 0;
        while at < CATALOGUE[part].rows.len() {
            let row = &CATALOGUE[part].rows[at];
            let mut element = 0;
            while element < row.elements.len() {
                if matches!(row.elements[element].registry, Registry::Own) && row.elements[element].id == id {
                    return (row, row.elements[element].name);
                }
                element += 1;
            }
            at += 1;
        }
        part += 1;
    }
    panic!("no field of the catalogue has this element")
}

/// A field of so many octets.
const fn own(id: u16, length: u16) -> Field {
    let (_, name) = row(id);
    Field { element: Element { pen: OWN_PEN, id, length, name, reversible: false }, reverse: false, list: None }
}

const TUNNELS_OCTETS: u16 = 56;
const TEXT_OCTETS: u16 = 16;
const NAME_OCTETS: u16 = 32;

/// Of every record: worker, whether inside a tunnel, fragments, window and window scale of the first SYN.
pub(crate) const HEAD: [Field; 5] = [own(1, 1), own(2, 1), own(3, 4), own(4, 2), own(5, 1)];

/// Of records with layers.
pub(crate) const LAYERS: [Field; 10] = [
    own(20, 8),
    own(21, 2),
    own(22, TUNNELS_OCTETS),
    own(23, TEXT_OCTETS),
    own(24, 1),
    own(25, 1),
    own(26, 2),
    own(27, 4),
    own(28, 1),
    own(29, 4),
];

/// Of TCP connections.
pub(crate) const TCP: [Field; 51] = [
    own(40, 1),
    own(41, TEXT_OCTETS),
    own(42, TEXT_OCTETS),
    own(43, 1),
    own(44, 8),
    own(45, 8),
    own(46, 1),
    own(47, 8),
    own(48, 4),
    own(50, 4),
    own(51, 8),
    own(52, 8),
    own(53, 8),
    own(54, 8),
    own(55, 8),
    own(56, 8),
    own(57, 8),
    own(60, 4),
    own(1060, 4),
    own(61, 4),
    own(1061, 4),
    own(62, 2),
    own(1062, 2),
    own(63, 2),
    own(1063, 2),
    own(64, 2),
    own(1064, 2),
    own(65, 2),
    own(1065, 2),
    own(66, 2),
    own(1066, 2),
    own(67, 4),
    own(1067, 4),
    own(68, 2),
    own(1068, 2),
    own(69, 2),
    own(1069, 2),
    own(70, 2),
    own(1070, 2),
    own(71, 2),
    own(1071, 2),
    own(72, 2),
    own(1072, 2),
    own(73, 1),
    own(1073, 1),
    own(1080, 8),
    own(1081, 8),
    own(1082, 8),
    own(1083, 8),
    own(1084, 2),
    own(1085, 1),
];

/// Of requests over UDP.
pub(crate) const UDP: [Field; 10] =
    [own(50, 4), own(51, 8), own(52, 8), own(53, 8), own(54, 8), own(55, 8), own(56, 8), own(57, 8), own(90, 4), own(91, 4)];

/// Of QUIC connections.
pub(crate) const QUIC: [Field; 14] = [
    own(40, 1),
    own(44, 8),
    own(45, 8),
    own(46, 1),
    own(100, 4),
    own(1100, 4),
    own(101, 8),
    own(1101, 8),
    own(102, 8),
    own(1102, 8),
    own(103, 8),
    own(1103, 8),
    own(104, 8),
    own(1104, 8),
];

/// Of IP flows, where addresses are looked up: names of autonomous systems, numbers of countries.
pub(crate) const PLACES: [Field; 4] = [own(110, NAME_OCTETS), own(111, NAME_OCTETS), own(112, 2), own(113, 2)];

/// A truth value (RFC 7011 section 6.1.5).
const fn truth(value: bool) -> [u8; 1] {
    [if value { 1 } else { 2 }]
}

/// Nanoseconds; 0 of what was not measured, and of nothing else.
fn time(measured: bool, ns: u64) -> [u8; 8] {
    if measured { ns.max(1) } else { 0 }.to_be_bytes()
}

fn put_text<const N: usize>(out: &mut Cursor<'_>, text: &str) {
    write_text(text, out.take::<N>());
}

/// Writes the fields of every record.
pub(crate) fn head(record: &RecordView<'_>, out: &mut [u8; octets(&HEAD)]) {
    let mut out = Cursor(out);
    out.put([record.worker()]);
    out.put(truth(record.view() == View::Inner));
    out.put(record.fragments().to_be_bytes());
    out.put(record.syn_window().to_be_bytes());
    out.put([record.syn_wscale()]);
    out.end();
}

/// Writes the fields of layers.
pub(crate) fn layers(layers: &Layers, out: &mut [u8; octets(&LAYERS)]) {
    let mut out = Cursor(out);
    for (at, tci) in layers.vlan.into_iter().enumerate() {
        out.put(if at < usize::from(layers.vlan_tags) { tci } else { 0 }.to_be_bytes());
    }
    out.put(layers.pppoe_session.to_be_bytes());
    let names = out.take::<{ TUNNELS_OCTETS as usize }>();
    names.fill(0);
    let mut room = &mut names[..];
    for (at, name) in layers.tunnel_names().enumerate() {
        for octet in [if at == 0 { "" } else { "/" }, name].iter().flat_map(|text| text.bytes()) {
            if let Some((place, rest)) = std::mem::take(&mut room).split_first_mut() {
                *place = octet;
                room = rest;
            }
        }
    }
    put_text::<{ TEXT_OCTETS as usize }>(&mut out, layers.identified.map_or("", |kind| kind.name()));
    out.put([layers.outer_ttl]);
    out.put([layers.outer_tos]);
    out.put(layers.inner_vlan.unwrap_or(NO_VLAN).to_be_bytes());
    out.put(layers.inner_mpls.to_be_bytes());
    out.put([layers.srh.segments]);
    out.put(layers.service_instance.unwrap_or(0).to_be_bytes());
    out.end();
}

fn put_responses(out: &mut Cursor<'_>, responses: &ResponseTimes, measured: bool) {
    out.put(if measured { responses.count } else { 0 }.to_be_bytes());
    let [p50, p95, p99] = responses.quantiles;
    for ns in [responses.min, responses.mean(), responses.max, responses.last, p50, p95, p99] {
        out.put(time(measured, ns));
    }
}

/// Writes the fields of TCP.
pub(crate) fn tcp(tcp: &TcpPerformance, out: &mut [u8; octets(&TCP)]) {
    let mut out = Cursor(out);
    let has = |bits: u64| tcp.valid & bits == bits;
    out.put(truth(tcp.client == 1));
    put_text::<{ TEXT_OCTETS as usize }>(&mut out, tcp.result.name());
    put_text::<{ TEXT_OCTETS as usize }>(&mut out, tcp.closing.name());
    out.put([tcp.syn_retries]);
    out.put(time(has(valid::SERVER_RTT), tcp.server_rtt));
    out.put(time(has(valid::CLIENT_RTT), tcp.client_rtt));
    out.put(truth(has(valid::SERVER_RTT_KARN | valid::CLIENT_RTT_KARN)));
    out.put(time(has(valid::TRANSFER), tcp.transfer_time));
    out.put(if has(valid::TRANSFER) { tcp.transfers } else { 0 }.to_be_bytes());
    put_responses(&mut out, &tcp.responses, has(valid::RESPONSES));
    let ways = &tcp.ways;
    put_counts(&mut out, ways);
    let [_, reverse] = ways;
    let bits = [tcp.valid, tcp.valid >> valid::REVERSE];
    let syns = bits.map(|bits| bits & valid::SYN != 0);
    for (way, seen) in ways.iter().zip(syns) {
        out.put(if seen { truth(way.syn.sack_permitted) } else { [0] });
    }
    let jitter = bits[1] & valid::JITTER != 0;
    for ns in [reverse.jitter.min, reverse.jitter.mean, reverse.jitter.max, reverse.jitter.deviation] {
        out.put(time(jitter, ns));
    }
    out.put(if syns[1] { reverse.syn.octets } else { 0 }.to_be_bytes());
    out.put([if syns[1] { reverse.syn.ttl } else { 0 }]);
    out.end();
}

/// Segments by what they are, forward and reverse.
fn put_counts(out: &mut Cursor<'_>, ways: &[TcpDirection; 2]) {
    let mut long = |read: fn(&TcpDirection) -> u32| ways.iter().for_each(|way| out.put(read(way).to_be_bytes()));
    long(|way| way.packets);
    long(|way| way.data_packets);
    let mut short = |read: fn(&TcpDirection) -> u16| ways.iter().for_each(|way| out.put(read(way).to_be_bytes()));
    short(|way| way.fast);
    short(|way| way.spurious);
    short(|way| way.lost_upstream);
    short(|way| way.lost_downstream);
    short(|way| way.holes);
    ways.iter().for_each(|way| out.put(way.duplicate_acks.to_be_bytes()));
    let mut short = |read: fn(&TcpDirection) -> u16| ways.iter().for_each(|way| out.put(read(way).to_be_bytes()));
    short(|way| way.zero_window);
    short(|way| way.window_full);
    short(|way| way.keep_alive);
    short(|way| way.ece_count);
    short(|way| way.cwr_count);
}

/// Writes the fields of requests over UDP.
pub(crate) fn udp(udp: &UdpPerformance, out: &mut [u8; octets(&UDP)]) {
    let mut out = Cursor(out);
    put_responses(&mut out, &udp.responses, udp.responses.count != 0);
    out.put(udp.repeated.to_be_bytes());
    out.put(udp.unanswered.to_be_bytes());
    out.end();
}

/// Writes the fields of QUIC.
pub(crate) fn quic(quic: &QuicPerformance, out: &mut [u8; octets(&QUIC)]) {
    let mut out = Cursor(out);
    let has = |bits: u8| quic.valid & bits == bits;
    out.put(truth(quic.client == 1));
    out.put(time(has(quic_valid::SERVER_RTT), quic.server_rtt));
    out.put(time(has(quic_valid::CLIENT_RTT), quic.client_rtt));
    out.put(truth(has(quic_valid::SERVER_RTT_KARN | quic_valid::CLIENT_RTT_KARN)));
    let spins = [has(quic_valid::SPIN), has(quic_valid::SPIN << 1)];
    for (spin, spins) in quic.spin.iter().zip(spins) {
        out.put(if spins { spin.count } else { 0 }.to_be_bytes());
    }
    let values: [fn(&SpinTimes) -> u64; 4] = [|spin| spin.min, SpinTimes::mean, |spin| spin.max, |spin| spin.last];
    for value in values {
        quic.spin.iter().zip(spins).for_each(|(spin, spins)| out.put(time(spins, value(spin))));
    }
    out.end();
}

/// Writes what was found of both ends.
pub(crate) fn places(ends: &[Place<'_>; 2], out: &mut [u8; octets(&PLACES)]) {
    let mut out = Cursor(out);
    ends.iter().for_each(|place| put_text::<{ NAME_OCTETS as usize }>(&mut out, place.as_name));
    ends.iter().for_each(|place| out.put(place.country.map_or(0, |country| country.numeric()).to_be_bytes()));
    out.end();
}

/// What RFC 5610 says of an element of ours.
#[derive(Clone, Copy, Debug)]
pub(crate) struct InformationElement {
    pub(crate) id: u16,
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    /// `informationElementDataType`, 339: IANA's registry of data types.
    pub(crate) data_type: u8,
    /// `informationElementSemantics`, 344.
    pub(crate) semantics: u8,
    /// `informationElementUnits`, 345.
    pub(crate) units: u16,
}

/// All elements of ours, in the order of their numbers.
pub(crate) fn types() -> Vec<InformationElement> {
    let tables: [&[Field]; 6] = [&HEAD, &LAYERS, &TCP, &UDP, &QUIC, &PLACES];
    let mut fields: Vec<&Field> = tables.into_iter().flatten().collect();
    fields.sort_by_key(|field| field.element.id);
    fields.dedup_by_key(|field| field.element.id);
    fields.into_iter().map(describe).collect()
}

fn describe(field: &Field) -> InformationElement {
    let (row, name) = row(field.element.id);
    // IANA, "IPFIX Information Element Data Types", "... Semantics", "... Units".
    let data_type = match (row.kind, row.list, field.element.length) {
        (Type::Boolean, ..) => 11,
        (Type::Text, ..) => 13,
        (Type::Unsigned, true, _) => 0,
        (_, _, 1) => 1,
        (_, _, 2) => 2,
        (_, _, 4) => 3,
        _ => 4,
    };
    let semantics = match (row.kind, row.unit) {
        (Type::Unsigned, Unit::Packets) => 3,
        (Type::Duration, _) | (_, Unit::Octets) => 1,
        _ => 0,
    };
    let units = match (row.kind, row.unit) {
        (Type::Duration, _) => 8,
        (_, Unit::Octets) => 2,
        (_, Unit::Packets) => 3,
        (_, Unit::Flows) => 4,
        (_, Unit::Hops) => 11,
        _ => 0,
    };
    InformationElement { id: field.element.id, name, about: row.about, data_type, semantics, units }
}
