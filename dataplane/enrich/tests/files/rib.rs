//! RIB dumps: what is believed, what is passed over, what is refused.

use crate::{Files, ask, load, refused};
use sonde_enrich::{Enricher, Sources};
use sonde_tests::mrt::{Dump, Segment, TABLE_DUMP_V2, attribute, path, route};

const PEERS: [u32; 4] = [64_496, 64_497, 4_200_000_001, 64_499];

fn sources(files: &Files, octets: &[u8]) -> Sources {
    Sources { bgp_rib: Some(files.write("rib", octets)), ..Sources::default() }
}

fn table(dump: &Dump) -> Enricher {
    load(&sources(&Files::new(), dump.octets()))
}

/// The origin of a prefix whose routes, from peer 0 on, have these attributes; 0: none.
fn origin(routes: &[Vec<u8>]) -> u32 {
    let mut dump = Dump::new(&PEERS);
    let routes: Vec<(u16, Vec<u8>)> = (0u16..).zip(routes.iter().cloned()).collect();
    dump.rib("198.51.100.0".parse().unwrap(), 24, false, &routes);
    // So that the dump is never without a route.
    dump.rib("203.0.113.0".parse().unwrap(), 24, false, &[(0, route(&[Segment::Sequence(&[64_511])]))]);
    ask(&table(&dump), "198.51.100.7").asn
}

fn sequence(numbers: &[u32]) -> Vec<u8> {
    route(&[Segment::Sequence(numbers)])
}

#[test]
fn the_origin_is_the_last_as_of_the_path() {
    assert_eq!(origin(&[sequence(&[64_496, 65_001, 65_002])]), 65_002);
    assert_eq!(origin(&[sequence(&[64_496, 4_200_000_000])]), 4_200_000_000, "32 bits");
    assert_eq!(origin(&[route(&[Segment::Sequence(&[64_496, 65_001]), Segment::Sequence(&[65_003])])]), 65_003);
}

#[test]
fn an_aggregate_belongs_to_who_made_it() {
    assert_eq!(origin(&[route(&[Segment::Sequence(&[64_496, 65_001]), Segment::Set(&[65_009])])]), 65_009, "a set of one");
    assert_eq!(origin(&[route(&[Segment::Sequence(&[64_496, 65_001]), Segment::Set(&[65_009, 65_007])])]), 65_001);
    assert_eq!(origin(&[route(&[Segment::Set(&[65_009, 65_007])])]), 65_007, "nothing before the set");
    assert_eq!(origin(&[route(&[Segment::Set(&[]), Segment::Sequence(&[64_496, 65_002])])]), 65_002);
}

#[test]
fn a_confederation_is_no_part_of_the_way() {
    assert_eq!(origin(&[route(&[Segment::Sequence(&[64_496, 65_001]), Segment::ConfederationSequence(&[65_100])])]), 65_001);
}

#[test]
fn a_route_without_a_path_is_the_peers_own() {
    assert_eq!([origin(&[route(&[])]), origin(&[vec![]])], [64_496; 2]);
    assert_eq!(origin(&[sequence(&[65_001]), sequence(&[65_001]), route(&[])]), 65_001);
    let third = || sequence(&[]);
    assert_eq!(origin(&[vec![0x40], vec![0x40], third()]), 4_200_000_001, "a peer with an IPv4 address and a number of 32 bits");
}

#[test]
fn as_trans_is_replaced_by_the_number_it_stands_for() {
    let narrow = [sequence(&[64_496, 23_456]), attribute(0xc0, 17, &path(&[Segment::Sequence(&[64_496, 4_200_000_007])]))].concat();
    assert_eq!(origin(&[narrow]), 4_200_000_007);
    assert_eq!(origin(&[sequence(&[64_496, 23_456])]), 23_456, "nobody knows better");
}

#[test]
fn of_several_origins_the_one_most_peers_see_counts() {
    let seen = |origins: &[u32]| origin(&origins.iter().map(|number| sequence(&[64_496, *number])).collect::<Vec<_>>());
    assert_eq!([seen(&[65_002, 65_001, 65_002]), seen(&[65_002, 65_001])], [65_002, 65_001]);
}

#[test]
fn a_route_whose_attributes_make_no_sense_is_passed_over() {
    let beyond = attribute(0x40, 2, &[2, 9, 0, 0, 0, 1]);
    let unknown_segment = attribute(0x40, 2, &[9, 1, 0, 0, 0, 1]);
    for broken in [beyond, unknown_segment, vec![0x40, 2, 200], vec![0x50, 2, 0]] {
        assert_eq!(origin(&[broken.clone(), sequence(&[64_496, 65_001])]), 65_001);
        let mut dump = Dump::new(&PEERS);
        dump.rib("198.51.100.0".parse().unwrap(), 24, false, &[(0, broken), (1, sequence(&[65_001]))]);
        assert_eq!(table(&dump).loaded()[0].passed_over, 1);
    }
    let long = [attribute(0xd0, 8, &[7; 300]), sequence(&[64_496, 65_001])].concat();
    assert_eq!(origin(&[long]), 65_001, "an attribute with a length of two octets");
}

#[test]
fn the_longest_prefix_counts_in_both_families_and_a_default_route_is_none() {
    let mut dump = Dump::new(&PEERS);
    let mut add = |address: &str, length, path_ids, number| {
        dump.rib(address.parse().unwrap(), length, path_ids, &[(0, sequence(&[64_496, number]))]);
    };
    add("0.0.0.0", 0, false, 1);
    add("::", 0, false, 2);
    add("198.51.0.0", 16, false, 3);
    add("198.51.100.0", 23, true, 4);
    add("198.51.100.255", 32, false, 5);
    add("2001:db8::", 32, false, 6);
    add("2001:db8:8000::", 33, true, 7);
    dump.record(TABLE_DUMP_V2, 3, &[1; 40]);
    dump.record(11, 0, &[1; 40]);
    let table = table(&dump);
    let found = |address: &str| {
        let place = ask(&table, address);
        (place.asn, place.prefix_length)
    };
    assert_eq!(found("198.51.1.1"), (3, 16));
    assert_eq!(found("198.51.101.255"), (4, 23));
    assert_eq!(found("198.51.100.255"), (5, 32));
    assert_eq!(found("::ffff:198.51.100.255"), (5, 32));
    assert_eq!(found("::198.51.100.255"), (5, 32));
    assert_eq!(found("2001:db8:7fff::1"), (6, 32));
    assert_eq!(found("2001:db8:8000::1"), (7, 33));
    assert_eq!([found("192.0.2.1"), found("2001:db9::"), found("::1")], [(0, 0); 3]);
    assert_eq!(table.loaded()[0].networks, 5);
}

fn small() -> Dump {
    let mut dump = Dump::new(&PEERS);
    dump.rib("198.51.100.0".parse().unwrap(), 24, false, &[(0, sequence(&[64_496, 65_001])), (2, sequence(&[65_001]))]);
    dump.rib("2001:db8::".parse().unwrap(), 32, false, &[(1, sequence(&[64_497, 65_002]))]);
    dump
}

#[test]
fn packed_dumps_are_read_whatever_their_name_is() {
    let plain = small();
    let packed = sonde_tests::packed::packed(plain.octets()).into_iter().map(|(_, octets)| octets);
    for octets in std::iter::once(plain.octets().to_vec()).chain(packed) {
        let files = Files::new();
        assert_eq!(ask(&load(&sources(&files, &octets)), "2001:db8::1").asn, 65_002);
        let cut = refused(&sources(&files, &octets[..octets.len() - 9]));
        assert!(cut[0].contains("it ends within") || cut[0].contains("compressed data are damaged"), "{cut:?}");
    }
}

#[test]
fn a_dump_that_ends_anywhere_is_refused_or_ends_between_records() {
    let whole = small();
    let octets = whole.octets();
    // Where the peers end, where the first route ends, where all ends.
    let lengths: Vec<usize> = {
        let mut ends = vec![];
        let mut at = 0;
        while at < octets.len() {
            at += 12 + u32::from_be_bytes(octets[at + 8..at + 12].try_into().unwrap()) as usize;
            ends.push(at);
        }
        ends
    };
    let files = Files::new();
    for end in 0..octets.len() {
        match Enricher::load(&sources(&files, &octets[..end])) {
            Ok(table) => assert_eq!((end, ask(&table, "198.51.100.1").asn), (lengths[1], 65_001)),
            Err(violations) => assert_eq!(violations.len(), 1, "{violations:?}"),
        }
    }
}

#[test]
fn any_octet_may_be_wrong() {
    let whole = small();
    let files = Files::new();
    for at in 0..whole.octets().len() {
        for value in [0, 1, 0x7f, 0xff] {
            let mut octets = whole.octets().to_vec();
            octets[at] = value;
            if let Err(violations) = Enricher::load(&sources(&files, &octets)) {
                assert_eq!(violations.len(), 1, "octet {at} is {value}: {violations:?}");
            }
        }
    }
}

/// Loads a dump of one more record, which makes it bad.
fn check(kind: u16, subtype: u16, body: &[u8], sentence: &str) {
    let mut dump = small();
    let at = dump.octets().len();
    dump.record(kind, subtype, body);
    let found = refused(&sources(&Files::new(), dump.octets()));
    assert!(found[0].contains(&format!("the MRT record at octet {at}: {sentence}")), "{found:?}");
}

#[test]
fn a_record_that_breaks_its_frame_is_refused_with_its_place() {
    check(12, 1, &[0; 30], "it is of type TABLE_DUMP, whose AS numbers have 16 bits");
    check(16, 4, &[0; 30], "it is of type BGP4MP, an update");
    check(0, 0, &[], "it is of a type that does not exist");
    check(TABLE_DUMP_V2, 1, &[0; 5], "a PEER_INDEX_TABLE that goes beyond its end");
    check(TABLE_DUMP_V2, 2, &[0, 0, 0, 1, 33, 1, 2, 3, 4, 5, 0, 0], "its prefix is longer than an address");
    check(TABLE_DUMP_V2, 2, &[0, 0, 0, 1, 48, 1, 2, 3, 4, 5, 6, 0, 0], "its prefix is longer than an address");
    check(TABLE_DUMP_V2, 4, &[0, 0, 0, 1, 24, 1, 2], "its prefix goes beyond its end");
    check(TABLE_DUMP_V2, 2, &[0, 0, 0, 1, 8, 10], "a RIB entry goes beyond its end");
    check(TABLE_DUMP_V2, 2, &[0, 0, 0, 1, 8, 10, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1], "a RIB entry goes beyond its end");
}

#[test]
fn a_length_that_lies_is_found_out() {
    let mut octets = small().octets().to_vec();
    octets.extend([0, 0, 0, 0, 0, 13, 0, 2, 0xff, 0xff, 0xff, 0xff]);
    let found = refused(&sources(&Files::new(), &octets));
    assert!(found[0].contains("it announces more than 64 MiB"), "{found:?}");
}

#[test]
fn a_dump_without_routes_is_not_what_was_asked_for() {
    let files = Files::new();
    for octets in [&[][..], Dump::new(&PEERS).octets()] {
        let found = refused(&sources(&files, octets));
        assert!(found[0].contains("it holds no unicast route") && found[0].ends_with("that the setting asks for."), "{found:?}");
    }
}
