//! How a TCP connection performed, since its last record.
//!
//! IANA's elements where there are some: flags by direction (218 to 223), payload of client and server (231, 232), and what the SYNs
//! say. Flowmon's for round trip, response time, delay and jitter, which have no reverse and mean the forward direction; ntop's where they
//! come in pairs, "in" being forward. No registry has elements for windows, kinds of retransmissions, duplicate acknowledgements,
//! quantiles of response times and the way a connection was opened: those are in [`super::own`].
//!
//! **What was not measured** is 0 ([`measured`]), as is a round trip whose SYN was sent more than once (Karn's rule: nobody knows which
//! was answered). Where no SYN of a direction was seen its `tcpOptions`, window, MSS and scale are 0; where one was seen without an option, the bit of
//! the option in `tcpOptions` is 0, too. Counters of 16 bits stop at 65,535.

use sonde_record::fact::{Spread, Syn, TcpDirection, TcpPerformance, valid};

use super::measured::{self, MICROSECOND, MILLISECOND, time};
use crate::cursor::Cursor;
use crate::format::ipfix::field::{Field, field, flowmon, ntop, octets, reverse};

pub(crate) const FIELDS: [Field; 52] = [
    flowmon(69),
    flowmon(70),
    ntop(123),
    ntop(124),
    field(231),
    field(232),
    flowmon(71),
    ntop(109),
    ntop(110),
    flowmon(72),
    ntop(111),
    ntop(112),
    flowmon(67),
    flowmon(66),
    flowmon(68),
    flowmon(65),
    flowmon(63),
    flowmon(62),
    flowmon(64),
    flowmon(61),
    ntop(531),
    ntop(533),
    ntop(532),
    ntop(534),
    ntop(535),
    ntop(537),
    ntop(536),
    ntop(538),
    field(218),
    reverse(218),
    field(219),
    reverse(219),
    field(220),
    reverse(220),
    field(221),
    reverse(221),
    field(222),
    reverse(222),
    field(223),
    reverse(223),
    field(184),
    reverse(184),
    field(209),
    reverse(209),
    field(186),
    reverse(186),
    ntop(417),
    ntop(421),
    ntop(418),
    ntop(422),
    flowmon(80),
    flowmon(81),
];

/// Octets of these fields.
const OCTETS: usize = octets(&FIELDS);

/// Writes the fields. Once a connection and record: 52 fields.
pub(crate) fn encode(tcp: &TcpPerformance, out: &mut [u8; OCTETS]) {
    let mut out = Cursor(out);
    let [forward, reverse] = &tcp.ways;
    put_times(&mut out, tcp);
    let (client, server) = if tcp.client == 0 { (forward, reverse) } else { (reverse, forward) };
    out.put(client.payload.to_be_bytes());
    out.put(server.payload.to_be_bytes());
    for [ahead, back] in [[forward.retransmitted, reverse.retransmitted], [forward.out_of_order, reverse.out_of_order]] {
        out.put(ahead.to_be_bytes());
        out.put(ahead.to_be_bytes());
        out.put(back.to_be_bytes());
    }
    let valid = [tcp.valid, tcp.valid >> valid::REVERSE];
    let has = |way: usize, bit: u64| valid[way] & bit != 0;
    put_spread(&mut out, &forward.delay, has(0, valid::DELAY), MICROSECOND);
    put_spread(&mut out, &forward.jitter, has(0, valid::JITTER), MICROSECOND);
    put_spread(&mut out, &forward.delay, has(0, valid::DELAY), MILLISECOND);
    put_spread(&mut out, &reverse.delay, has(1, valid::DELAY), MILLISECOND);
    put_counts(&mut out, [forward, reverse]);
    put_syns(&mut out, [syn(forward, valid[0]), syn(reverse, valid[1])], usize::from(tcp.client));
    out.end();
}

/// Round trip, mean response time, halves of the halves of the round trip.
#[inline]
fn put_times(out: &mut Cursor<'_>, tcp: &TcpPerformance) {
    let has = |bits: u64| tcp.valid & bits == bits;
    let server = has(valid::SERVER_RTT_KARN).then_some(tcp.server_rtt);
    let client = has(valid::CLIENT_RTT_KARN).then_some(tcp.client_rtt);
    measured::put_round_trip(out, server, client);
    out.put(time(measured::mean(&tcp.responses).filter(|_| has(valid::RESPONSES)), MICROSECOND));
    measured::put_latencies(out, server, client);
}

#[inline]
fn put_spread(out: &mut Cursor<'_>, spread: &Spread, measured: bool, unit: u64) {
    for value in [spread.min, spread.mean, spread.max, spread.deviation] {
        out.put(time(measured.then_some(value), unit));
    }
}

/// Flags, and the first sequence numbers.
#[inline]
fn put_counts(out: &mut Cursor<'_>, ways: [&TcpDirection; 2]) {
    ways.into_iter().for_each(|way| out.put(way.syn_count.to_be_bytes()));
    ways.into_iter().for_each(|way| out.put(way.fin_count.to_be_bytes()));
    ways.into_iter().for_each(|way| out.put(way.rst_count.to_be_bytes()));
    ways.into_iter().for_each(|way| out.put(way.psh_count.to_be_bytes()));
    ways.into_iter().for_each(|way| out.put(way.ack_count.to_be_bytes()));
    ways.into_iter().for_each(|way| out.put(way.urg_count.to_be_bytes()));
    ways.into_iter().for_each(|way| out.put(way.isn.to_be_bytes()));
}

/// What the SYN of a direction says, as far as it says something; `bits` are validity bits as those of forward.
#[inline]
fn syn(way: &TcpDirection, bits: u64) -> Syn {
    if bits & valid::SYN == 0 { Syn::default() } else { way.syn }
}

#[inline]
fn put_syns(out: &mut Cursor<'_>, syns: [Syn; 2], client: usize) {
    syns.iter().for_each(|syn| out.put(syn.kinds.to_be_bytes()));
    syns.iter().for_each(|syn| out.put(syn.window.to_be_bytes()));
    syns.iter().for_each(|syn| out.put(syn.mss.to_be_bytes()));
    syns.iter().for_each(|syn| out.put([syn.window_scale]));
    let client = syns[client & 1];
    out.put([u8::try_from(client.octets).unwrap_or(u8::MAX)]);
    out.put([client.ttl]);
}
