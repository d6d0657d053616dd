//! `encode/*`: nanoseconds a record from its view to finished messages, stamped, in cache. `encode/view` makes the views of plain
//! records, as a ring's reader does. `encode/table` interprets the template field by field: what straight-line code saves. `encode/facts_v4` has
//! labels, a tunnel and TCP performance, all fields; `encode/standard_v4` the most telling fields of the same; `encode/patterns_v4` all patterns of
//! twenty packets; `encode/enriched_*` look up both addresses.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use sonde_enrich::{Enricher, Handle, Network, Sources};
use sonde_export::fact;
use sonde_export::format::ipfix::field::Field;
use sonde_export::format::{Format, Message, Sealed, Sink, Stream};
use sonde_export::{Encoder, Fields, Options};
use sonde_flow::pattern::{PatternState, Sample, Wants};
use sonde_packet::Layers;
use sonde_record::fact::TcpPerformance;
use sonde_record::{Head, Kind, Record};

/// Records in the input: together 230 kB, in level-2 cache.
const RECORDS: usize = 1024;
const ROUNDS: usize = 400;

fn records(kinds: &[Kind]) -> Vec<Record> {
    // A generator whose kinds no branch predictor learns.
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let head = |n: u64| Head {
        flow_id: n,
        kind: kinds[usize::try_from(n).unwrap_or(0) % kinds.len()],
        start: 1_700_000_000_000_000_000 + n % 1_000_000_007,
        end: 1_700_000_001_000_000_000 + n % 998_244_353,
        octets: [n >> 20, n >> 30],
        packets: [n >> 40, n >> 50],
        ..Head::default()
    };
    (0..RECORDS).map(|_| Record::new(head(next()))).collect()
}

fn measure(name: &str, mut round: impl FnMut()) {
    let mut times: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            round();
            start.elapsed().as_nanos() as f64 / RECORDS as f64
        })
        .collect();
    times.sort_by(f64::total_cmp);
    println!("{name:24} {:6.1} min {:6.1} median ns/record", times[0], times[ROUNDS / 2]);
}

fn encode(name: &str, kinds: &[Kind], encoder: Encoder) {
    encode_all(name, &records(kinds), encoder);
}

/// Stamps messages as if they were sent.
struct Sent(Stream);

impl Sink for Sent {
    fn announce(&mut self, messages: Vec<Message>) {
        black_box(messages);
    }

    fn send(&mut self, mut sealed: Sealed<'_>) {
        for (message, flows) in sealed.each() {
            self.0.stamp(message, 1_700_000_000);
            self.0.sent(flows, 0);
        }
        black_box(&sealed.octets);
    }
}

fn encode_all(name: &str, input: &[Record], mut encoder: Encoder) {
    let mut sent = Sent(Stream::new(encoder.header(), 1));
    let views: Vec<_> = input.iter().filter_map(Record::view).collect();
    measure(name, || views.iter().for_each(|record| encoder.put(record, &mut sent)));
    black_box(sent.0.sequence);
}

/// One field by its number, as an encoder does whose templates are data.
fn interpret(record: &Record, fields: &[Field], out: &mut Vec<u8>) {
    for field in fields {
        let way = usize::from(field.reverse);
        match field.element.id {
            1 => out.extend(record.octets[way].to_be_bytes()),
            2 => out.extend(record.packets[way].to_be_bytes()),
            352 => out.extend(record.wire[way].to_be_bytes()),
            148 => out.extend(record.flow_id.to_be_bytes()),
            152 => out.extend((record.start / 1_000_000).to_be_bytes()),
            153 => out.extend((record.end / 1_000_000).to_be_bytes()),
            156 => out.extend(fact::plain::ntp(record.start).to_be_bytes()),
            157 => out.extend(fact::plain::ntp(record.end).to_be_bytes()),
            6 => out.extend(record.tcp_flags[way].to_be_bytes()),
            192 => out.push(record.ttl[way]),
            4 => out.push(record.proto),
            7 => out.extend(record.sport.to_be_bytes()),
            11 => out.extend(record.dport.to_be_bytes()),
            8 => out.extend(&record.src[12..]),
            12 => out.extend(&record.dst[12..]),
            56 => out.extend(record.smac),
            80 => out.extend(record.dmac),
            _ => out.extend(&[0; 16][..usize::from(field.element.length)]),
        }
    }
}

fn main() {
    let ipv4 = records(&[Kind::Ipv4]);
    measure("encode/view", || {
        for record in &ipv4 {
            black_box(record.view());
        }
    });
    let mut out = Vec::with_capacity(1 << 20);
    measure("encode/table", || {
        out.clear();
        for record in &ipv4 {
            interpret(record, fact::plain_fields(Kind::Ipv4), &mut out);
        }
        black_box(&out);
    });
    let plain = || Encoder::new(Options::default());
    let full = || Encoder::new(Options { fields: Fields::Full, ..Options::default() });
    encode("encode/ipfix_v4", &[Kind::Ipv4], plain());
    encode("encode/ipfix_v6", &[Kind::Ipv6], plain());
    encode("encode/ipfix_layer2", &[Kind::Layer2], plain());
    encode("encode/ipfix_mixed", &[Kind::Ipv4, Kind::Ipv4, Kind::Ipv4, Kind::Ipv6], plain());
    let layers = Layers { depth: 1, mpls_labels: 1, ..Layers::default() };
    let tcp = TcpPerformance { valid: u64::MAX, ..TcpPerformance::default() };
    let grouped: Vec<_> = records(&[Kind::Ipv4]).into_iter().map(|record| record.with(&layers).with(&tcp)).collect();
    encode_all("encode/facts_v4", &grouped, full());
    encode_all("encode/standard_v4", &grouped, plain());
    let mut state = PatternState::default();
    (1..=20).for_each(|time| state.add(Wants::ALL, &Sample { time, payload: 500, flags: 0x18, way: u8::from(time % 3 == 0) }));
    let mut words = [0; 232];
    let filled = state.encode(Wants::ALL, &mut words);
    let patterned = |record: Record| Record::of_words(*record, &words[..filled]);
    let patterned: Vec<_> = records(&[Kind::Ipv4]).into_iter().map(patterned).collect();
    encode_all("encode/patterns_v4", &patterned, full());
    // In a table that stays in the caches: what the fields cost beyond the memory of a look-up, which `enrich/lookup` tells.
    let handle = Arc::new(Handle::default());
    let networks = vec![Network::new("0.0.0.0/1", "office").expect("a prefix")];
    handle.post(Enricher::load(&Sources { networks, ..Sources::default() }).ok());
    let enriched = |handle: &Arc<Handle>| Encoder::new(Options { enrichment: Some(Arc::clone(handle)), ..Options::default() });
    encode("encode/enriched_v4", &[Kind::Ipv4], enriched(&handle));
    encode("encode/enriched_v6", &[Kind::Ipv6], enriched(&handle));
}
