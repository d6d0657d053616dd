//! Records with where and whose their ends are, read back by a decoder that shares no code with the encoder.

mod outlet;

use std::sync::Arc;

use outlet::{Outlet, sent};
use sonde_enrich::{Enricher, Handle, Network, Sources};
use sonde_export::elements::NTOP_PEN;
use sonde_export::format::Format;
use sonde_export::{Encoder, Options};
use sonde_record::{Head, Kind, Record};
use sonde_tests::collector::{Collected, Decoder, Record as Fields};
use sonde_tests::mmdb::{Data, Writer};
use sonde_tests::mrt::{Dump, Segment, route};

fn ipv4(address: [u8; 4]) -> [u8; 16] {
    let mut octets = [0; 16];
    octets[12..].copy_from_slice(&address);
    octets
}

fn ipv6(text: &str) -> [u8; 16] {
    text.parse::<std::net::Ipv6Addr>().unwrap().octets()
}

/// Sources of every kind, in files that may go once they were read.
fn table() -> Enricher {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, octets: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, octets).unwrap();
        Some(path)
    };
    let mut city = Writer::new("Test-City", 24);
    let place = |code: &str, name: &str| {
        let names = Data::map([("names", Data::map([("en", Data::text(name))]))]);
        Data::map([("country", Data::map([("iso_code", Data::text(code))])), ("city", names)])
    };
    city.insert("192.0.2.0".parse().unwrap(), 24, place("CZ", "Brno"));
    city.insert("2001:db8::".parse().unwrap(), 32, place("AR", "Villa General Belgrano"));
    let mut dump = Dump::new(&[64_499]);
    let mut add = |address: &str, length, number| {
        dump.rib(address.parse().unwrap(), length, false, &[(0, route(&[Segment::Sequence(&[64_499, number])]))]);
    };
    add("192.0.2.0", 25, 64_500);
    add("2001:db8::", 33, 4_200_000_000);
    let networks = vec![Network::new("198.51.100.0/24", "a name of 24 octets long").unwrap()];
    let (city_database, bgp_rib) = (write("city", &city.octets()), write("rib", dump.octets()));
    Enricher::load(&Sources { city_database, bgp_rib, networks, ..Sources::default() }).unwrap()
}

/// An encoder's options that looks up in what this handle holds.
fn options(handle: &Arc<Handle>) -> Options {
    Options { enrichment: Some(Arc::clone(handle)), ..Options::default() }
}

/// What a collector gets.
fn read(outlet: &Outlet) -> Vec<Fields> {
    let (mut decoder, mut collected) = (Decoder::default(), Collected::default());
    outlet.messages.iter().for_each(|message| decoder.message(message, &mut collected));
    assert_eq!(collected.faults, Vec::<String>::new());
    collected.records
}

/// AS number, prefix length, country, city and name of one end; texts without the zeros behind them.
fn end(fields: &Fields, numbers: [u16; 2], texts: [u16; 3]) -> (u64, u64, [String; 3]) {
    let number = |id| fields.value((0, id)).unwrap();
    let text = |id| fields.text((NTOP_PEN, id)).unwrap().trim_end_matches('\0').to_owned();
    (number(numbers[0]), number(numbers[1]), texts.map(text))
}

fn place(asn: u64, length: u64, texts: [&str; 3]) -> (u64, u64, [String; 3]) {
    (asn, length, texts.map(str::to_owned))
}

#[test]
fn both_ends_are_said_in_the_elements_of_their_family() {
    let handle = Arc::new(Handle::default());
    handle.post(Some(table()));
    let four =
        Record::new(Head { kind: Kind::Ipv4, src: ipv4([192, 0, 2, 1]), dst: ipv4([198, 51, 100, 1]), flow_id: 4, ..Head::default() });
    let six = Record::new(Head { kind: Kind::Ipv6, src: ipv6("2001:db9::1"), dst: ipv6("2001:db8::1"), flow_id: 6, ..Head::default() });
    let two = Record::new(Head { kind: Kind::Layer2, flow_id: 2, ..Head::default() });
    let found = read(&sent(&[four, six, two], &options(&handle)));
    let [four, six, two] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!([four, six, two].map(|fields| fields.values.len()), [53, 53, 22], "a flow of layer 2 has no address to look up");
    assert_eq!([four, six, two].map(|fields| fields.number((0, 148))), [4, 6, 2]);
    let (source, destination) = ([101, 102, 525], [103, 104, 526]);
    assert_eq!(end(four, [16, 9], source), place(64_500, 25, ["CZ", "Brno", ""]));
    assert_eq!(end(four, [17, 13], destination), place(0, 0, ["", "", "a name of 24 octets long"]));
    assert_eq!(end(six, [16, 29], source), place(0, 0, ["", "", ""]));
    assert_eq!(end(six, [17, 30], destination), place(4_200_000_000, 33, ["AR", "Villa General Be", ""]));
}

#[test]
fn a_table_is_changed_between_two_batches_and_not_within_one() {
    let handle = Arc::new(Handle::default());
    let mut encoder = Encoder::new(options(&handle));
    let mut outlet = Outlet::new(&encoder);
    let record = Record::new(Head { kind: Kind::Ipv4, src: ipv4([192, 0, 2, 1]), ..Head::default() });
    encoder.put(&record.view().unwrap(), &mut outlet);
    handle.post(Some(table()));
    encoder.put(&record.view().unwrap(), &mut outlet);
    encoder.refresh();
    encoder.put(&record.view().unwrap(), &mut outlet);
    handle.post(None);
    encoder.refresh();
    encoder.put(&record.view().unwrap(), &mut outlet);
    encoder.flush(true, &mut outlet);
    let found: Vec<u64> = read(&outlet).iter().map(|fields| fields.number((0, 16))).collect();
    assert_eq!(found, [0, 0, 64_500, 0]);
}
