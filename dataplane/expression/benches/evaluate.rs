//! `evaluate/*`: nanoseconds to ask an expression of one record. At most 20 for three comparisons of fields of the head, all of which hold.
//!
//! A thousand records take turns, so that what is measured is no single branch that the core has learnt. `fact` reads a fact behind the head.

use std::hint::black_box;
use std::time::Instant;

use sonde_expression::{Environment, compile};
use sonde_record::{Head, NO_VLAN, Record};

const RECORDS: u16 = 1000;
const ROUNDS: usize = 5000;

fn records() -> Vec<Record> {
    (0..RECORDS)
        .map(|n| {
            let mut head = Head { proto: 17, sport: 1024 + n, dport: 80, octets: [200 << 20, u64::from(n)], ..Head::default() };
            head.packets = [1000, 1000];
            head.vlan_tci = [7, NO_VLAN];
            head.src[12..].copy_from_slice(&[10, 1, n.to_be_bytes()[0], n.to_be_bytes()[1]]);
            head.dst[12..].copy_from_slice(&[192, 0, 2, 1]);
            head.into()
        })
        .collect()
}

fn main() {
    let records = records();
    let views: Vec<_> = records.iter().filter_map(Record::view).collect();
    for (name, text) in [
        ("one", "destination_port = 80"),
        ("three", "req_transferred > 104857600 AND protocol = 17 AND destination_port = 80"),
        ("first_fails", "protocol = 6 and req_transferred > 104857600 and destination_port = 80"),
        ("prefix", "source_address in 10.0.0.0/8"),
        ("either_end", "address in 192.0.2.0/24 and port = 80"),
        ("fact", "rtt > 200 ms"),
    ] {
        let (expression, _) = compile(text, &Environment::default()).expect("good");
        let mut times: Vec<f64> = (0..ROUNDS)
            .map(|_| {
                let start = Instant::now();
                black_box(views.iter().filter(|view| expression.matches(black_box(view))).count());
                start.elapsed().as_nanos() as f64 / views.len() as f64
            })
            .collect();
        times.sort_by(f64::total_cmp);
        println!("{:24} {:6.1} min {:6.1} median ns/record", format!("evaluate/{name}"), times[0], times[ROUNDS / 2]);
    }
}
