//! The state machines of `sonde_flow::measure`, patterns of packets, and what leaves of them.

use bytemuck::Zeroable;
use sonde_flow::measure::tcp::{Segment, TcpState};
use sonde_flow::measure::{QuicState, UdpState, message};
use sonde_flow::pattern::{PatternState, Sample, Wants};
use sonde_packet::syn_options;
use sonde_record::fact::{
    Application, Bursts, Fact, FirstPackets, Histograms, Layers, NetTisa, QuicPerformance, TcpPerformance, UdpPerformance,
};
use sonde_record::{Head, Record};

use super::input::Input;

/// One byte of choice, then segments, datagrams of one protocol, sizes and times of packets, or words of the ring.
///
/// No segment or datagram breaks a state, and what is reported comes back from its words; words are a value that is written as they
/// stand, or refused; a message is the same in every longer payload.
pub fn performance(data: &[u8]) {
    let mut input = Input(data);
    match input.byte() % 8 {
        0 => tcp(&mut input),
        1 => udp(Application::Dns, &mut input),
        2 => udp(Application::Ntp, &mut input),
        3 => udp(Application::Snmp, &mut input),
        4 => udp(Application::Radius, &mut input),
        5 => quic(&mut input),
        6 => pattern(&mut input),
        _ => words(&mut input),
    }
}

/// Numbers near each other, so that segments meet; a byte of choice makes some of them far.
fn segment(input: &mut Input<'_>, now: &mut u64) -> Segment {
    let choice = input.byte();
    let number = |input: &mut Input<'_>| u32::from(input.byte()).wrapping_mul(if choice & 1 == 0 { 1 } else { 0x0101_0101 });
    *now = if choice & 2 == 0 { now.wrapping_add(u64::from(input.byte()) << (choice & 31)) } else { input.word() };
    let flags = u16::from(input.byte());
    Segment {
        time: *now,
        seq: number(input),
        ack: number(input),
        payload: if choice & 4 == 0 { u32::from(input.byte()) } else { number(input) },
        flags: if choice & 8 == 0 { flags & 0x18 | 0x10 } else { flags },
        window: u16::from(input.byte()),
        octets: u16::from(choice),
        ttl: input.byte(),
        way: choice >> 7,
    }
}

fn tcp(input: &mut Input<'_>) {
    let mut now = 1_700_000_000_000_000_000;
    let mut state = TcpState::zeroed();
    let mut packets = 0u64;
    state.begin(&segment(input, &mut now), None);
    while !input.is_empty() {
        packets += 1;
        let segment = segment(input, &mut now);
        match segment.octets {
            7 => {
                state.rest();
                packets = 0;
                state.add(&segment);
            }
            15 => state.add_syn(&segment, &syn_options(input.bytes(40))),
            _ => state.add(&segment),
        }
    }
    let report = state.report();
    let found: u64 = report.ways.iter().map(|way| u64::from(way.packets)).sum();
    assert_eq!(found.abs_diff(packets), 1, "the first one, or the one after a record");
    let mut words = [0; 64];
    let length = report.encode(&mut words);
    assert_eq!(TcpPerformance::decode(&words[..length]), Some(report));
}

fn udp(application: Application, input: &mut Input<'_>) {
    if let Some(found) = message(application, input.0) {
        let mut longer = input.0.to_vec();
        longer.push(0);
        assert_eq!(message(application, &longer), Some(found));
    }
    let mut state = UdpState::new(application);
    let mut now = 0u64;
    while !input.is_empty() {
        now = now.wrapping_add(u64::from(input.byte()) << 20);
        let (way, length) = (input.byte(), usize::from(input.byte()));
        state.add(now, way, input.bytes(length));
    }
    let report = state.report();
    let mut words = [0; 64];
    let length = report.encode(&mut words);
    assert_eq!(UdpPerformance::decode(&words[..length]), Some(report));
}

fn quic(input: &mut Input<'_>) {
    let mut state = QuicState::zeroed();
    let mut now = 0u64;
    while !input.is_empty() {
        now = now.wrapping_add(u64::from(input.byte()) << 20);
        let (way, length) = (input.byte(), usize::from(input.byte() & 15));
        state.add(now, way, input.bytes(length));
    }
    let report = state.report();
    let mut words = [0; 64];
    let length = report.encode(&mut words);
    assert_eq!(QuicPerformance::decode(&words[..length]), Some(report));
}

/// What is wanted, then packets: how the clock moves, size, flags and direction.
fn pattern(input: &mut Input<'_>) {
    let choice = input.byte();
    let wants = Wants { histograms: choice & 1 != 0, first_packets: choice >> 3, bursts: choice & 2 != 0, nettisa: choice & 4 != 0 };
    let mut state = PatternState::default();
    let mut now = 1_700_000_000_000_000_000u64;
    while !input.is_empty() {
        let clock = input.byte();
        now = if clock == 0xff { input.word() } else { now.wrapping_add(u64::from(clock) << 23) };
        let (size, flags) = (input.byte(), input.byte());
        let payload = u32::from(size) << (flags & 31).min(24);
        if flags == 0x77 {
            state.rest();
        }
        state.add(wants, &Sample { time: now, payload, flags: flags.into(), way: flags >> 7 });
    }
    let mut words = [0; 200];
    let filled = state.encode(wants, &mut words);
    let record = Record::of_words(Head::default(), &words[..filled]);
    assert!(wants.histograms == record.get::<Histograms>().is_some() && wants.nettisa == record.get::<NetTisa>().is_some());
    assert!(wants.bursts || record.get::<Bursts>().is_none());
    assert!(record.get::<FirstPackets>().unwrap_or_default().packets().len() <= usize::from(wants.first_packets).min(30));
}

/// A fact says by a short look what reading it would say.
fn valid<F: Fact>(words: &[u64]) {
    assert_eq!(F::is_valid(words), F::decode(words).is_some(), "{:?}", F::ID);
}

/// A value is written as the words it was read from, but for bits that mean nothing.
fn words(input: &mut Input<'_>) {
    let mut words = Vec::new();
    while !input.is_empty() {
        words.push(input.word());
    }
    valid::<TcpPerformance>(&words);
    valid::<UdpPerformance>(&words);
    valid::<QuicPerformance>(&words);
    valid::<Layers>(&words);
    valid::<Histograms>(&words);
    valid::<FirstPackets>(&words);
    valid::<Bursts>(&words);
    valid::<NetTisa>(&words);
    let mut again = [0; 128];
    if let Some(value) = TcpPerformance::decode(&words) {
        let length = value.encode(&mut again);
        assert_eq!(TcpPerformance::decode(&again[..length]), Some(value));
    }
    if let Some(value) = Histograms::decode(&words) {
        let length = value.encode(&mut again);
        assert_eq!(again[..length], words[..length]);
    }
    if let Some(value) = FirstPackets::decode(&words) {
        let length = value.encode(&mut again);
        assert_eq!(again[..length], words[..length]);
        assert!(value.packets().all(|packet| packet.flags < 0x1000 && packet.way < 2));
    }
    if let Some(value) = Bursts::decode(&words) {
        let length = value.encode(&mut again);
        assert_eq!(again[..length], words[..length]);
        assert_eq!(2 + 2 * (value.bursts(0).len() + value.bursts(1).len()), length);
    }
    if let Some(value) = NetTisa::decode(&words) {
        let length = value.encode(&mut again);
        assert_eq!(NetTisa::decode(&again[..length]), Some(value));
    }
    if let Some(value) = UdpPerformance::decode(&words) {
        let length = value.encode(&mut again);
        assert_eq!(again[..length], words[..length]);
    }
    if let Some(value) = QuicPerformance::decode(&words) {
        let length = value.encode(&mut again);
        assert_eq!(again[..length], words[..length]);
    }
}
