//! Which facts a record has.

use super::kind::{Fact, Facts, Id, facts};
use super::{Bursts, FirstPackets, Histograms, Layers, NetTisa, QuicPerformance, TcpPerformance, UdpPerformance};
use crate::head::{HEAD_WORDS, WORDS_MAX};

/// Most words of the facts of one record.
pub const FACTS_WORDS_MAX: usize = WORDS_MAX - HEAD_WORDS;

/// Words of all facts that there are.
pub const ALL_WORDS: usize = Layers::WORDS_MAX
    + TcpPerformance::WORDS_MAX
    + UdpPerformance::WORDS_MAX
    + QuicPerformance::WORDS_MAX
    + Histograms::WORDS_MAX
    + FirstPackets::WORDS_MAX
    + Bursts::WORDS_MAX
    + NetTisa::WORDS_MAX;

// No record has to leave a fact out.
const _: () = assert!(ALL_WORDS <= FACTS_WORDS_MAX);

/// Which facts stand in the words behind a record's head: those whose values are all of this version.
#[inline]
pub(crate) fn found(rest: &[u64]) -> Facts {
    let known = facts(rest).filter_map(|(number, words)| Id::ALL.into_iter().find(|id| *id as u8 == number && id.is_valid(words)));
    known.fold(Facts::default(), Facts::with)
}

impl Id {
    /// Whether the words are a value of the fact.
    fn is_valid(self, words: &[u64]) -> bool {
        match self {
            Self::Tcp => TcpPerformance::is_valid(words),
            Self::Udp => UdpPerformance::is_valid(words),
            Self::Quic => QuicPerformance::is_valid(words),
            Self::Layers => Layers::is_valid(words),
            Self::Histograms => Histograms::is_valid(words),
            Self::FirstPackets => FirstPackets::is_valid(words),
            Self::Bursts => Bursts::is_valid(words),
            Self::NetTisa => NetTisa::is_valid(words),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fact::{Application, BURSTS_MAX, FirstPacket, RawBurst};

    #[test]
    fn an_unknown_fact_is_passed_over_and_a_broken_one_ends_them() {
        let mut layers = [0; Layers::WORDS_MAX];
        assert_eq!(Layers { spi: 7, ..Layers::default() }.encode(&mut layers), layers.len());
        let unknown = |id: u64, words: u64| words | id << 16;
        let words = [[unknown(200, 2), 0].as_slice(), &layers, &[unknown(201, 3), 0]].concat();
        let read: Vec<(u8, usize)> = facts(&words).map(|(id, words)| (id, words.len())).collect();
        assert_eq!(read, [(200, 2), (Id::Layers as u8, Layers::WORDS_MAX)]);
        assert_eq!(facts(&[0, 0, 0]).count(), 3, "a length of zero is passed over, word for word");
        assert_eq!(found(&words), Facts::default().with(Id::Layers));
    }

    #[test]
    fn a_fact_that_is_no_value_is_not_there() {
        let mut words = [0; Layers::WORDS_MAX];
        Layers { spi: 7, ..Layers::default() }.encode(&mut words);
        // A version of IP that does not exist.
        words[0] |= 1 << 48;
        assert!(found(&words).is_empty());
    }

    /// Every bit of every word of a fact, changed, and every length of it.
    fn check<F: Fact>(fact: &F) {
        let mut words = [0; 128];
        let length = fact.encode(&mut words);
        assert!(length > 0 && F::is_valid(&words), "{:?}", F::ID);
        for end in 0..=length {
            assert_eq!(F::is_valid(&words[..end]), F::decode(&words[..end]).is_some(), "{:?} of {end} words", F::ID);
        }
        for (word, bit) in (0..length).flat_map(|word| (0..64).map(move |bit| (word, bit))) {
            let mut broken = words;
            broken[word] ^= 1 << bit;
            assert_eq!(F::is_valid(&broken), F::decode(&broken).is_some(), "{:?}, word {word}, bit {bit}", F::ID);
        }
    }

    #[test]
    fn a_short_look_says_what_reading_would_say() {
        let network = sonde_packet::Network::V4([1, 2, 3, 4], [5, 6, 7, 8]);
        check(&Layers { tunnel_id: Some(1), identified: Some(sonde_packet::Tunnel::Vxlan), outer: network, ..Layers::default() });
        check(&Layers::default());
        check(&TcpPerformance::default());
        check(&UdpPerformance { application: Some(Application::Dns), ..UdpPerformance::default() });
        check(&QuicPerformance::default());
        check(&Histograms::default());
        check(&NetTisa::default());
        let mut first = FirstPackets::default();
        (1..=30).for_each(|time| first.add(FirstPacket { payload: 1, time, flags: 0, way: 0 }, 30));
        check(&first);
        let burst = RawBurst { packets: 3, octets: 4, start: 5, end: 6 };
        check(&Bursts { start: 7, bursts: [[burst; BURSTS_MAX]; 2], counts: [15, 14] });
    }

    #[test]
    fn numbers_are_unique_and_fit_the_set() {
        let mut all = Facts::default();
        for id in Id::ALL {
            assert!(!all.has(id) && (id as u8) < 64, "{id:?}");
            all = all.with(id);
        }
        assert_eq!(all.bits().count_ones() as usize, Id::ALL.len());
    }
}
