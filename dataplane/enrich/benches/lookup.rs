//! `enrich/lookup`: nanoseconds an address, from the address to all that is known of it, in a table as large as the Internet's:
//! 1,000,000 IPv4 and 250,000 IPv6 prefixes of 80,000 ASes. Addresses are random, so that each look-up misses the caches as much as it can;
//! `enrich/lookup_again` asks for the same 1,024, as flows of one conversation do.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Instant;

use sonde_enrich::{Enricher, Sources};
use sonde_tests::mrt::{Dump, Segment, route};

const ROUTES4: usize = 1_000_000;
const ROUTES6: usize = 250_000;
const ASKED: usize = 1 << 20;
/// Addresses of one measurement: short, so that some of them are not disturbed by whatever else the machine does.
const PART: usize = 1 << 12;

fn random(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

/// A random unicast address; IPv6 ones are in /32s that registries give out.
fn address4(n: u64) -> Ipv4Addr {
    Ipv4Addr::from_bits(u32::try_from(n >> 32).unwrap_or(0) % 0xdf00_0000 + 0x0100_0000)
}

fn address6(n: u64) -> Ipv6Addr {
    const REGISTRIES: [u128; 6] = [0x2001, 0x2400, 0x2600, 0x2800, 0x2a00, 0x2c00];
    let top = REGISTRIES[usize::try_from(n % 6).unwrap_or(0)] + u128::from(n >> 8 & 0xf);
    Ipv6Addr::from_bits(top << 112 | u128::from(n >> 12) << 60 | 1)
}

fn dump(state: &mut u64) -> Dump {
    let mut dump = Dump::new(&[64_500]);
    let mut add = |address: IpAddr, length: u64, n: u64| {
        let number = u32::try_from(n % 80_000).unwrap_or(0) + 1;
        let length = u8::try_from(length).unwrap_or(0);
        dump.rib(address, length, false, &[(0, route(&[Segment::Sequence(&[64_500, number])]))]);
    };
    for _ in 0..ROUTES4 {
        let n = random(state);
        // Six of ten are /24, as in the Internet.
        add(address4(n).into(), if n % 10 < 6 { 24 } else { 12 + n % 12 }, random(state));
    }
    for _ in 0..ROUTES6 {
        let n = random(state);
        add(address6(n).into(), if n % 10 < 5 { 48 } else { 29 + n % 19 }, random(state));
    }
    dump
}

fn measure(name: &str, table: &Enricher, asked: &[IpAddr]) {
    let mut times: Vec<f64> = asked
        .chunks(PART)
        .map(|part| {
            let start = Instant::now();
            let sum = part.iter().fold(0u64, |sum, address| sum + u64::from(table.lookup(black_box(*address)).asn));
            black_box(sum);
            start.elapsed().as_nanos() as f64 / part.len() as f64
        })
        .collect();
    times.sort_by(f64::total_cmp);
    println!("{name:28} {:6.1} min {:6.1} median ns/address", times[0], times[times.len() / 2]);
}

fn main() {
    let mut state = 0x9e37_79b9_7f4a_7c15;
    let folder = tempfile::tempdir().expect("a folder for the dump");
    let path = folder.path().join("rib.mrt");
    std::fs::write(&path, dump(&mut state).octets()).expect("room for the dump");
    let start = Instant::now();
    let table = Enricher::load(&Sources { bgp_rib: Some(path), ..Sources::default() }).expect("a good dump");
    let (ipv4, ipv6) = table.ranges();
    println!("loaded in {:.2} s: {ipv4} IPv4 and {ipv6} IPv6 ranges", start.elapsed().as_secs_f64());
    let ipv4: Vec<IpAddr> = (0..ASKED).map(|_| address4(random(&mut state)).into()).collect();
    let ipv6: Vec<IpAddr> = (0..ASKED).map(|_| address6(random(&mut state)).into()).collect();
    measure("enrich/lookup_v4", &table, &ipv4);
    measure("enrich/lookup_v6", &table, &ipv6);
    let again = |few: &[IpAddr]| few.iter().cycle().take(ASKED).copied().collect::<Vec<_>>();
    measure("enrich/lookup_again_v4", &table, &again(&ipv4[..1024]));
    measure("enrich/lookup_again_v6", &table, &again(&ipv6[..1024]));
}
