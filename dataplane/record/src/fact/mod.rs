//! Facts: what only some flows have, typed, behind the head of a record.
//!
//! The first word of a fact is its length in words (16 bits), its [`Id`] (8 bits), and what the fact makes of the rest. A reader passes
//! over facts that it does not know. One file is one fact: its values, its layout in words, writer and reader.

pub(crate) mod burst;
pub(crate) mod first;
pub(crate) mod histogram;
pub(crate) mod layers;
mod lone;
pub(crate) mod nettisa;
pub(crate) mod quic;
pub(crate) mod responses;
pub(crate) mod tcp;
pub(crate) mod udp;

use crate::head::{HEAD_WORDS, WORDS_MAX};
use crate::view::RecordView;
use crate::word::{Reader, Writer};

pub use burst::{BURSTS_MAX, Burst, Bursts, RawBurst};
pub use first::{FIRST_PACKETS_MAX, FirstPacket, FirstPackets};
pub use histogram::{BINS, Histograms};
pub use lone::LoneSyn;
pub use nettisa::NetTisa;
pub use quic::{QuicPerformance, SpinTimes, quic_valid};
pub use responses::ResponseTimes;
pub use sonde_packet::Layers;
pub use tcp::{Closing, Connection, Spread, Syn, TcpDirection, TcpPerformance, WINDOW_SCALE_MAX, valid};
pub use udp::{Application, UdpPerformance};

/// Which fact it is: its number in the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Id {
    /// [`TcpPerformance`].
    Tcp = 1,
    /// [`UdpPerformance`].
    Udp = 2,
    /// [`QuicPerformance`].
    Quic = 3,
    /// [`Layers`].
    Layers = 4,
    /// [`Histograms`].
    Histograms = 16,
    /// [`FirstPackets`].
    FirstPackets = 17,
    /// [`Bursts`].
    Bursts = 18,
    /// [`NetTisa`].
    NetTisa = 19,
}

impl Id {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 8] =
        [Self::Tcp, Self::Udp, Self::Quic, Self::Layers, Self::Histograms, Self::FirstPackets, Self::Bursts, Self::NetTisa];
}

/// A set of facts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, PartialOrd, Ord)]
pub struct Facts(u64);

impl Facts {
    /// No fact.
    pub const NONE: Self = Self(0);

    /// The set with this one in it.
    #[inline]
    #[must_use]
    pub const fn with(self, id: Id) -> Self {
        Self(self.0 | 1 << id as u8)
    }

    /// Whether it is in the set.
    #[inline]
    pub const fn has(self, id: Id) -> bool {
        self.0 >> id as u8 & 1 == 1
    }

    /// Whether there is none.
    #[inline]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// As a number: bit n is the fact with number n.
    #[inline]
    pub const fn bits(self) -> u64 {
        self.0
    }
}

/// What only some flows have.
pub trait Fact: Sized {
    /// Its number.
    const ID: Id;
    /// Most words it has, its head included.
    const WORDS_MAX: usize;

    /// Writes it at the beginning of `words` and returns its length; 0, and nothing is written, when there is no room for it, or it says
    /// nothing.
    fn encode(&self, words: &mut [u64]) -> usize;

    /// Reads it at the beginning of `words`. `None` when they are another fact, or hold no value of this type. Trusts nothing.
    fn decode(words: &[u64]) -> Option<Self>;

    /// Whether [`Fact::decode`] would read a value. Once a record; those facts that are long look at what may be wrong only.
    fn is_valid(words: &[u64]) -> bool {
        Self::decode(words).is_some()
    }

    /// What the head of a record alone says of it.
    fn of_head(_: &RecordView<'_>) -> Option<Self> {
        None
    }

    /// Adds nanoseconds to all times of day in it.
    fn shift(&mut self, _: i64) {}
}

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

/// The first word of a fact.
pub(crate) const fn first_word(id: Id, words: usize) -> u64 {
    words as u64 & 0xffff | (id as u64) << 16
}

/// The facts in the words behind a record's head: number and words. What is no fact ends them.
pub fn facts(mut rest: &[u64]) -> impl Iterator<Item = (u8, &[u64])> {
    std::iter::from_fn(move || {
        let [l0, l1, id, ..] = rest.first()?.to_le_bytes();
        let (words, behind) = rest.split_at_checked(usize::from(u16::from_le_bytes([l0, l1])).max(1))?;
        rest = behind;
        Some((id, words))
    })
}

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

/// Opens room for an fact of so many words, head written; `None` when there is not enough.
pub(crate) fn open(words: &mut [u64], id: Id, length: usize) -> Option<Writer<'_>> {
    let mut writer = Writer::new(words.get_mut(..length)?);
    writer.put([first_word(id, length)]);
    Some(writer)
}

/// The words of an fact behind its head, if it is of this kind and length.
pub(crate) fn read_fact(words: &[u64], id: Id, length: usize) -> Option<Reader<'_>> {
    let head = words.first()?;
    if *head != first_word(id, length) {
        return None;
    }
    Some(Reader::new(words.get(1..length)?))
}

#[cfg(test)]
mod tests {
    use super::*;

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
