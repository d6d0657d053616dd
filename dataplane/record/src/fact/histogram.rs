//! How large packets are and how far apart, in eight bins whose limits double, for each direction.

use bytemuck::{Pod, Zeroable};

use super::{Fact, Id, open, read_fact};
use crate::word::pair;

/// Bins: below 16, below 32 and so on to below 1024, and the rest.
pub const BINS: usize = 8;

/// Packets of each direction, forward first, by bin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Zeroable, Pod)]
#[repr(C)]
pub struct Histograms {
    /// By octets of payload (`phistSrcSizes` 8057:1060, `phistDstSizes` 8057:1062).
    pub sizes: [[u32; BINS]; 2],
    /// By whole milliseconds since the packet before in the same direction (`phistSrcInterPacketTime` 8057:1061,
    /// `phistDstInterPacketTime` 8057:1063).
    pub times: [[u32; BINS]; 2],
}

impl Fact for Histograms {
    const ID: Id = Id::Histograms;
    const WORDS_MAX: usize = 17;

    fn encode(&self, words: &mut [u64]) -> usize {
        let Some(mut writer) = open(words, Self::ID, Self::WORDS_MAX) else { return 0 };
        for [a, b, c, d, e, f, g, h] in self.sizes.into_iter().chain(self.times) {
            writer.put([pair(a, b), pair(c, d), pair(e, f), pair(g, h)]);
        }
        Self::WORDS_MAX
    }

    fn decode(words: &[u64]) -> Option<Self> {
        let mut reader = read_fact(words, Self::ID, Self::WORDS_MAX)?;
        let mut bins = || {
            let ([a, b], [c, d], [e, f], [g, h]) = (reader.halves()?, reader.halves()?, reader.halves()?, reader.halves()?);
            Some([a, b, c, d, e, f, g, h])
        };
        Some(Self { sizes: [bins()?, bins()?], times: [bins()?, bins()?] })
    }
}
