//! MaxMind-format databases: our reader against a writer that knows nothing of it, and against another reader.

use std::net::IpAddr;

use crate::{Files, ask, load, refused};
use sonde_enrich::{Country, Enricher, Network, Sources};
use sonde_tests::mmdb::{Data, Writer};

fn autonomous(number: u32, name: &str) -> Data {
    Data::map([("autonomous_system_number", Data::U32(number)), ("autonomous_system_organization", Data::text(name))])
}

fn city(code: &str, name: &str) -> Data {
    let names = Data::map([("de", Data::text("anders")), ("en", Data::text(name))]);
    let location = Data::map([("latitude", Data::Double(50.1)), ("accuracy_radius", Data::U16(20))]);
    Data::map([
        ("location", location),
        ("city", Data::map([("geoname_id", Data::U32(3_067_696)), ("names", names)])),
        ("country", country(code)),
        ("subdivisions", Data::Array(vec![Data::map([("iso_code", Data::text("10"))])])),
    ])
}

fn country(code: &str) -> Data {
    Data::map([("is_in_european_union", Data::Bool(true)), ("iso_code", Data::text(code))])
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn asn_writer(record_bits: u16) -> Writer {
    let mut writer = Writer::new("Test-ASN", record_bits);
    writer.insert(address("198.51.100.0"), 22, autonomous(64_500, "Example Carrier"));
    writer.insert(address("198.51.101.0"), 24, autonomous(4_200_000_000, "Customer \u{10d}. 1"));
    writer.insert(address("203.0.113.128"), 25, Data::map([("autonomous_system_number", Data::U32(64_500))]));
    writer.insert(address("2001:db8::"), 32, autonomous(64_501, &"long ".repeat(20)));
    writer.insert(address("2001:db8::42"), 128, autonomous(64_502, &"very long ".repeat(40)));
    writer.alias();
    writer
}

fn city_writer() -> Writer {
    let mut writer = Writer::new("Test-City", 28);
    writer.insert(address("198.51.100.0"), 24, city("CZ", "Prague"));
    writer.insert(address("198.51.101.0"), 24, Data::map([("country", country("SK"))]));
    writer.insert(address("2001:db8::"), 48, city("AT", "Vienna"));
    writer
}

#[test]
fn every_record_size_gives_what_was_written() {
    for bits in [24, 28, 32] {
        let files = Files::new();
        let table = load(&Sources { asn_database: Some(files.write("asn", &asn_writer(bits).octets())), ..Sources::default() });
        let found = |text: &str| {
            let place = ask(&table, text);
            (place.asn, place.prefix_length, place.as_name.to_owned())
        };
        assert_eq!(found("198.51.101.7"), (4_200_000_000, 24, "Customer \u{10d}. 1".into()));
        assert_eq!(found("198.51.103.255"), (64_500, 23, "Example Carrier".into()), "the tree has its own networks");
        assert_eq!(found("203.0.113.200"), (64_500, 25, "Example Carrier".into()), "named elsewhere in the database");
        assert_eq!(found("2001:db8::42"), (64_502, 128, "very long ".repeat(40)));
        assert_eq!(found("2001:db8::43").0, 64_501);
        assert_eq!([found("203.0.113.1"), found("2001:db9::1"), found("::1")], [const { (0, 0, String::new()) }; 3]);
    }
}

#[test]
fn answers_are_those_of_another_reader() {
    #[derive(Debug, Default)]
    struct Answer {
        asn: u32,
        name: String,
    }
    let octets = asn_writer(28).octets();
    let reader = maxminddb::Reader::from_source(octets.clone()).unwrap();
    let theirs = |address: IpAddr| {
        let found = reader.lookup(address).unwrap();
        let asn = found.decode_path::<u32>(&[maxminddb::PathElement::Key("autonomous_system_number")]).unwrap();
        let name = found.decode_path::<String>(&[maxminddb::PathElement::Key("autonomous_system_organization")]).unwrap();
        (asn.map(|asn| Answer { asn, name: name.unwrap_or_default() }), found.network().unwrap().prefix())
    };
    let files = Files::new();
    let table = load(&Sources { asn_database: Some(files.write("asn", &octets)), ..Sources::default() });
    let ipv4 = (0..1024u32).map(|n| IpAddr::V4((0xc633_6300 + n).into()));
    let ipv6 = (0..256u128).map(|n| IpAddr::V6(((0x2001_0db8 << 96) + n).into()));
    for address in ipv4.chain(ipv6).chain(["203.0.113.129", "2001:db9::"].map(|text| text.parse().unwrap())) {
        let (expected, length) = theirs(address);
        let ours = table.lookup(address);
        let expected = expected.unwrap_or_default();
        assert_eq!(ours.asn, expected.asn, "{address}");
        if !expected.name.is_empty() {
            assert_eq!((ours.as_name, ours.prefix_length), (expected.name.as_str(), length), "{address}");
        }
    }
}

#[test]
fn sources_complete_each_other() {
    let files = Files::new();
    let mut countries = Writer::new("Test-Country", 24);
    countries.insert(address("198.51.100.0"), 25, Data::map([("country", country("PL"))]));
    let mut dump = sonde_tests::mrt::Dump::new(&[64_499]);
    let path = |number| sonde_tests::mrt::route(&[sonde_tests::mrt::Segment::Sequence(&[64_499, number])]);
    dump.rib(address("198.51.100.0"), 23, false, &[(0, path(64_500))]);
    dump.rib(address("198.51.100.128"), 26, false, &[(0, path(64_510))]);
    let sources = Sources {
        asn_database: Some(files.write("asn", &asn_writer(24).octets())),
        country_database: Some(files.write("country", &countries.octets())),
        city_database: Some(files.write("city", &city_writer().octets())),
        bgp_rib: Some(files.write("rib", dump.octets())),
        networks: vec![Network::new("198.51.100.0/26", "core").unwrap(), Network::new("2001:db8::/32", "six").unwrap()],
        folder: None,
    };
    let table = load(&sources);
    let found = |text: &str| {
        let place = ask(&table, text);
        let country = place.country.map(|country| country.to_string()).unwrap_or_default();
        format!("{}/{} {} {country} {} {}", place.asn, place.prefix_length, place.as_name, place.city, place.network)
    };
    assert_eq!(found("198.51.100.1"), "64500/23 Example Carrier PL Prague core");
    assert_eq!(found("198.51.100.130"), "64510/26  CZ Prague ", "an AS the database does not know; the city's country");
    assert_eq!(found("198.51.101.1"), "64500/23 Example Carrier SK  ", "the route counts, and the name is that of its AS");
    assert_eq!(found("198.51.102.1"), "64500/23 Example Carrier   ", "no route: the database counts");
    assert_eq!(found("2001:db8:0:1::1"), format!("64501/33 {} AT Vienna six", "long ".repeat(20)).replace("/33", &prefix(&table)));
    assert_eq!(found("192.0.2.1"), "0/0    ");
    let what: Vec<_> = table.loaded().iter().map(|loaded| (loaded.what, loaded.networks > 0)).collect();
    let all = ["ASN database", "country database", "city database", "BGP RIB dump", "own prefix"];
    assert_eq!(what, all.map(|name| (name, true)));
}

/// The network that 2001:db8:0:1::1 has in the tree, from which 2001:db8::42 was cut out.
fn prefix(table: &Enricher) -> String {
    format!("/{}", ask(table, "2001:db8:0:1::1").prefix_length)
}

#[test]
fn a_country_is_its_code_and_its_number() {
    let files = Files::new();
    let table = load(&Sources { country_database: Some(files.write("city", &city_writer().octets())), ..Sources::default() });
    let place = ask(&table, "198.51.100.1");
    assert_eq!(place.country.map(Country::numeric), Some(203));
    assert_eq!(place.city, "", "a database is asked for what it was given for");
}

#[test]
fn a_database_of_another_kind_is_refused_and_named() {
    let files = Files::new();
    let cities = files.write("city", &city_writer().octets());
    let asns = files.write("asn", &asn_writer(24).octets());
    let sources =
        Sources { asn_database: Some(cities), country_database: Some(asns.clone()), city_database: Some(asns), ..Sources::default() };
    let found = refused(&sources);
    assert_eq!(found.len(), 3, "every fault is named: {found:?}");
    assert!(found[0].contains("it holds no autonomous_system_number; it is a Test-City database. Give the file"), "{found:?}");
    assert!(found[1].contains("no country.iso_code; it is a Test-ASN database"), "{found:?}");
    assert!(found[2].contains("no city.names.en; it is a Test-ASN database"), "{found:?}");
}

#[test]
fn a_database_that_ends_anywhere_is_refused() {
    let octets = asn_writer(24).octets();
    let files = Files::new();
    for end in 0..octets.len() {
        let sources = Sources { asn_database: Some(files.write("asn", &octets[..end])), ..Sources::default() };
        assert!(Enricher::load(&sources).is_err(), "{end} octets of {}", octets.len());
    }
}

#[test]
fn any_octet_may_be_wrong() {
    let octets = asn_writer(24).octets();
    let files = Files::new();
    for at in (0..octets.len()).step_by(3) {
        for value in [0, 0x20, 0xe1, 0xff] {
            let mut octets = octets.clone();
            octets[at] = value;
            let sources = Sources { asn_database: Some(files.write("asn", &octets)), ..Sources::default() };
            if let Err(violations) = Enricher::load(&sources) {
                assert_eq!(violations.len(), 1, "octet {at} is {value}: {violations:?}");
            }
        }
    }
}

/// A database of one node whose records and data are these, with other metadata.
fn raw(tree: &[u8], data: &[u8], change: impl Fn(Vec<u8>) -> Vec<u8>) -> Vec<u8> {
    let empty = Writer::new("Raw", 24).octets();
    let metadata = empty[6 + 16..].to_vec();
    [tree, &[0; 16], data, &change(metadata)].concat()
}

fn check(octets: &[u8], sentence: &str) {
    let found = refused(&Sources { asn_database: Some(Files::new().write("asn", octets)), ..Sources::default() });
    assert!(found[0].contains(sentence), "{found:?}");
}

#[test]
fn a_broken_database_is_refused_with_the_reason() {
    let same = |metadata: Vec<u8>| metadata;
    check(b"", "no MaxMind DB metadata");
    check(&raw(&[0, 0, 0, 0, 0, 1], &[], same), "node 0 of its search tree is reached by two ways");
    check(&raw(&[0, 0, 1, 0, 0, 0], &[], same), "node 0 of its search tree is reached by two ways");
    check(&raw(&[0, 0, 1, 0, 0, 9], &[0xe0], same), "a record of node 0 of its search tree points to 9");
    check(&raw(&[0, 0, 1, 0, 0, 99], &[0xe0], same), "a record of node 0 of its search tree points to 99");
    check(&raw(&[], &[], same), "announce a search tree of 1 nodes, 6 octets");
    let rename = |from: &'static [u8], to: &'static [u8]| {
        move |metadata: Vec<u8>| {
            let at = metadata.windows(from.len()).position(|window| window == from).unwrap();
            [&metadata[..at], to, &metadata[at + from.len()..]].concat()
        }
    };
    check(&raw(&[0; 6], &[], rename(b"record_size", b"record_sizE")), "its metadata field record_size is missing");
    check(&raw(&[0; 6], &[], rename(b"record_size\xa1\x18", b"record_size\xa1\x19")), "record_size is 25, not 24, 28 or 32");
}

#[test]
fn a_broken_value_is_refused_with_its_place() {
    // The right half of all addresses leads to the value at the start of the data section.
    let check = |data: &[u8], sentence: &str| check(&raw(&[0, 0, 1, 0, 0, 17], data, |metadata| metadata), sentence);
    check(&[0xe1], "octet 1 of its data section: a value that goes beyond the end");
    check(&[0x42, b'a'], "octet 0 of its data section: text that is not UTF-8, or goes beyond the end");
    check(&[0x42, 0xff, 0xff], "octet 0 of its data section: text that is not UTF-8");
    check(&[0x67, 0, 0, 0, 0, 0, 0, 0], "octet 0 of its data section: a float of the wrong length");
    check(&[0xa3, 0, 0, 0], "octet 0 of its data section: a number with too many octets");
    check(&[0x01, 0x09], "octet 0 of its data section: a value of a type that does not exist");
    check(&[0x20, 0x00], "octet 0 of its data section: a pointer to a pointer");
    check(&[0x20, 0x09], "octet 0 of its data section: a pointer beyond the end");
    let many = [&[0x1e, 0x04, 0xff, 0xff][..], &[0xa0; 70_000]].concat();
    check(&many, "octet 0 of its data section: a value of more than 2048 parts");
}

#[test]
fn pointers_in_a_circle_come_to_an_end() {
    // A map whose one value points to the map.
    let octets = raw(&[0, 0, 1, 0, 0, 17], &[0xe1, 0x41, b'a', 0x20, 0x00], |metadata| metadata);
    check(&octets, "it holds no autonomous_system_number; it is a Raw database");
}

#[test]
fn own_prefixes_are_checked() {
    assert!(Network::new("192.0.2.0/24", "a").is_ok() && Network::new("::/0", "a").is_ok() && Network::new("0.0.0.0/0", "a").is_ok());
    assert!(Network::new("192.0.2.1/32", "a").is_ok() && Network::new("2001:db8::1/128", "a").is_ok());
    for bad in ["192.0.2.1/24", "192.0.2.0/33", "192.0.2.0", "192.0.2.0/", "192.0.2.0/+24", "2001:db8::1/127", "::/129", "x/1", ""] {
        assert!(Network::new(bad, "a").is_err(), "{bad}");
    }
    let network = Network { address: address("192.0.2.0"), length: 33, name: "a".into() };
    let found = refused(&Sources { networks: vec![network], ..Sources::default() });
    assert_eq!(found, ["own prefix 192.0.2.0/33: its length is above 32. Correct the prefix."]);
}
