use sonde_record::fact::{Burst, Bursts, Histograms, Id, NetTisa, facts};

use super::*;

const MS: u64 = 1_000_000;
const START: u64 = 1_700_000_000_000 * MS;

/// Milliseconds, octets, direction.
fn run(wants: Wants, packets: &[(u64, u32, u8)]) -> PatternState {
    let mut state = PatternState::zeroed();
    for (ms, payload, way) in packets {
        state.add(wants, &Sample { time: START + ms * MS, payload: *payload, flags: 0x18, way: *way });
    }
    state
}

/// The extensions of a state, and their types.
fn words(state: &PatternState, wants: Wants) -> (Vec<u64>, Vec<u8>) {
    let mut words = vec![0; 232];
    let filled = state.encode(wants, &mut words);
    words.truncate(filled);
    let kinds = facts(&words).map(|(kind, _)| kind).collect();
    (words, kinds)
}

#[test]
fn bins_double_from_sixteen_on() {
    let sizes = [1, 15, 16, 31, 32, 63, 64, 127, 128, 255, 256, 511, 512, 1023, 1024, 1460];
    let packets: Vec<_> = sizes.iter().map(|size| (0, *size, 1)).collect();
    let found = run(Wants::ALL, &packets).histograms.report();
    assert_eq!((found.sizes, found.times), ([[0; 8], [2; 8]], [[0; 8], [15, 0, 0, 0, 0, 0, 0, 0]]));
}

#[test]
fn times_are_between_packets_of_one_direction() {
    let found = run(Wants::ALL, &[(0, 1, 0), (10, 1, 1), (20, 1, 0), (2000, 1, 1), (2020, 0, 1)]).histograms.report();
    assert_eq!(found.times, [[0, 1, 0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 0, 1]], "what has no payload is left out");
}

#[test]
fn as_many_first_packets_are_kept_as_are_wanted() {
    let packets: Vec<_> = (0..40).map(|n| (n, 100 + u32::try_from(n).expect("small"), u8::from(n % 3 == 0))).collect();
    for (wanted, kept) in [(1, 1), (7, 7), (30, 30), (255, 30)] {
        let wants = Wants { first_packets: wanted, ..Wants::default() };
        let found: Vec<_> = run(wants, &packets).first.packets().collect();
        let expected = packets.iter().take(kept).map(|(ms, payload, way)| FirstPacket {
            payload: u16::try_from(*payload).expect("small"),
            time: START + ms * MS,
            flags: 0x18,
            way: *way,
        });
        assert_eq!(found, expected.collect::<Vec<_>>());
    }
}

#[test]
fn what_does_not_fit_is_the_most_that_does() {
    let mut state = PatternState::zeroed();
    state.add(Wants::ALL, &Sample { time: START, payload: 1, flags: 0, way: 0 });
    state.add(Wants::ALL, &Sample { time: START + (1 << 62), payload: 70_000, flags: 0xffff, way: 3 });
    let last = state.first.packets().last().expect("two");
    assert_eq!((last.payload, last.flags, last.way, last.time), (65_535, 0xfff, 1, START + ((1 << 35) - 1) * 1000));
}

#[test]
fn three_packets_within_a_second_of_each_other_are_a_burst() {
    let steps = [
        (0, 10, 0),
        (900, 20, 0),
        (1800, 30, 0),
        (1900, 5, 1),
        (2800, 1, 0),
        (2900, 1, 0),
        (5000, 7, 0),
        (5001, 0, 0),
        (5002, 7, 0),
        (5003, 7, 0),
    ];
    let found = run(Wants::ALL, &steps).bursts.report();
    let burst = |packets, octets, start, end| Burst { packets, octets, start: START + start * MS, end: START + end * MS };
    // 1000 ms are a pause.
    assert_eq!(found.bursts(0).collect::<Vec<_>>(), [burst(3, 60, 0, 1800), burst(3, 21, 5000, 5003)]);
    assert_eq!(found.bursts(1).len(), 0);
}

#[test]
fn the_sixteenth_burst_is_none() {
    let steps: Vec<_> = (0..60).map(|n| (n / 3 * 5000 + n % 3, 1, 0)).collect();
    let found = run(Wants::ALL, &steps).bursts.report();
    let last = found.bursts(0).last().expect("fifteen");
    assert_eq!((found.bursts(0).len(), last.start, last.end), (15, START + 70_000 * MS, START + 70_002 * MS));
}

#[test]
fn a_series_has_the_values_of_its_definition() {
    // 68, 68, 76 octets at 0, 1 and 4 ms.
    let found = run(Wants::ALL, &[(0, 68, 0), (1, 68, 0), (4, 76, 1)]).nettisa.report();
    let fourth = 68f64.powi(4) + 8f64.powi(4);
    let variance = 15_024.0 / 3.0 - (212.0f64 / 3.0).powi(2);
    let expected = [
        212.0 / 3.0,
        68.0,
        76.0,
        variance.sqrt(),
        fourth / 3.0 / variance.powi(2),
        5008f64.sqrt(),
        76.0 / 3.0,
        5000.0 / 3.0,
        4000.0 / 3.0,
        1000.0,
        3000.0,
        // Means so far are 0, 500, 1333.3; two of three differences, of at most 3000.
        (500.0 + 5000.0 / 3.0) / 2.0 / 3000.0,
        2.0 / 3.0,
    ];
    for (at, (found, expected)) in found.values().into_iter().zip(expected).enumerate() {
        assert!((f64::from(found) / expected - 1.0).abs() < 1e-6, "8057:{}: {found}, not {expected}", 1020 + at);
    }
}

#[test]
fn one_packet_divides_nothing_by_zero() {
    let values = run(Wants::ALL, &[(0, 100, 0)]).nettisa.report().values();
    assert_eq!(values, [100.0, 100.0, 100.0, 0.0, 0.0, 100.0, 100.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0]);
    assert_eq!(PatternState::zeroed().nettisa.report(), NetTisa::default());
}

#[test]
fn only_what_is_wanted_is_written() {
    let packets: Vec<_> = (0..200).map(|n| (n * 100, 50, u8::from(n % 2 == 0))).collect();
    for (wants, kinds) in [
        (Wants::default(), vec![]),
        (Wants { histograms: true, ..Wants::default() }, vec![Id::Histograms]),
        (Wants { first_packets: 4, nettisa: true, ..Wants::default() }, vec![Id::FirstPackets, Id::NetTisa]),
        (Wants { bursts: true, ..Wants::default() }, vec![Id::Bursts]),
        (Wants::ALL, vec![Id::Histograms, Id::FirstPackets, Id::Bursts, Id::NetTisa]),
    ] {
        let kinds: Vec<u8> = kinds.into_iter().map(|id: Id| id as u8).collect();
        assert_eq!(words(&run(wants, &packets), wants).1, kinds);
    }
}

#[test]
fn extensions_survive_their_words_and_no_beginning_of_them_is_one() {
    let packets: Vec<_> = (0..300).map(|n| (n / 8 * 1500 + n % 8, 50 + u32::try_from(n).expect("small"), u8::from(n % 2 == 0))).collect();
    let state = run(Wants::ALL, &packets);
    let (all, kinds) = words(&state, Wants::ALL);
    assert_eq!(kinds.len(), 4);
    assert!(all.len() <= Histograms::WORDS_MAX + FirstPackets::WORDS_MAX + Bursts::WORDS_MAX + NetTisa::WORDS_MAX);
    let mut behind = all.as_slice();
    for kind in kinds {
        let (found, rest) = behind.split_at(usize::try_from(behind[0] & 0xffff).expect("short"));
        for end in 0..=found.len() {
            let cut = &found[..end];
            let read = [
                Histograms::decode(cut).map(|value| value == state.histograms.report()),
                FirstPackets::decode(cut).map(|value| value == state.first),
                Bursts::decode(cut).map(|value| value == state.bursts.report()),
                NetTisa::decode(cut).map(|value| value == state.nettisa.report()),
            ];
            let mut expected = [None; 4];
            expected[usize::from(kind - Id::Histograms as u8)] = (end == found.len()).then_some(true);
            assert_eq!(read, expected, "type {kind}, {end} words");
        }
        behind = rest;
    }
}

#[test]
fn foreign_words_are_refused() {
    let word = |kind: Id, length: u64| length | (kind as u64) << 16;
    let words = |head| [[head].as_slice(), &[u64::MAX; 70]].concat();
    for (kind, length) in [(Id::FirstPackets, 2), (Id::FirstPackets, 33), (Id::FirstPackets, 0), (Id::FirstPackets, 1)] {
        assert_eq!(FirstPackets::decode(&words(word(kind, length))), None, "{length} words");
    }
    for (length, forward) in [(2, 0), (3, 0), (4, 2), (4, 255), (34, 16), (36, 0), (64, 16), (66, 15), (0, 0), (1, 0), (4, 1 << 20)] {
        assert_eq!(Bursts::decode(&words(word(Id::Bursts, length) | forward << 24)), None, "{length} words, {forward} forward");
    }
    assert!(Bursts::decode(&words(word(Id::Bursts, 62) | 15 << 24)).is_some());
}

#[test]
fn a_record_begins_anew() {
    let mut state = run(Wants::ALL, &[(0, 10, 0), (1, 10, 0), (2, 10, 0)]);
    state.rest();
    state.add(Wants::ALL, &Sample { time: START + 10 * MS, payload: 5, flags: 0x18, way: 1 });
    let expected = run(Wants::ALL, &[(10, 5, 1)]);
    assert_eq!(words(&state, Wants::ALL), words(&expected, Wants::ALL));
}
