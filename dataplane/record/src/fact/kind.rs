//! What every fact has: its number, its frame of words, how it is written and read.

use crate::head::HEAD_WORDS;
use crate::word::{Reader, Writer};

/// Which fact it is: its number in the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Id {
    /// [`TcpPerformance`](super::TcpPerformance).
    Tcp = 1,
    /// [`UdpPerformance`](super::UdpPerformance).
    Udp = 2,
    /// [`QuicPerformance`](super::QuicPerformance).
    Quic = 3,
    /// [`Layers`](super::Layers).
    Layers = 4,
    /// [`Histograms`](super::Histograms).
    Histograms = 16,
    /// [`FirstPackets`](super::FirstPackets).
    FirstPackets = 17,
    /// [`Bursts`](super::Bursts).
    Bursts = 18,
    /// [`NetTisa`](super::NetTisa).
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
    fn of_head(_: &[u64; HEAD_WORDS]) -> Option<Self> {
        None
    }

    /// Adds nanoseconds to all times of day in it.
    fn shift(&mut self, _: i64) {}
}

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

/// Opens room for a fact of so many words, head written; `None` when there is not enough.
pub(crate) fn open(words: &mut [u64], id: Id, length: usize) -> Option<Writer<'_>> {
    let mut writer = Writer::new(words.get_mut(..length)?);
    writer.put([first_word(id, length)]);
    Some(writer)
}

/// The words of a fact behind its head, if it is of this kind and length.
pub(crate) fn read_fact(words: &[u64], id: Id, length: usize) -> Option<Reader<'_>> {
    let head = words.first()?;
    if *head != first_word(id, length) {
        return None;
    }
    Some(Reader::new(words.get(1..length)?))
}
