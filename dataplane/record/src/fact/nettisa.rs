//! Thirteen statistics of the sizes and times of all packets of a flow, both directions together, as one series (`NetTiSA`).

use super::{Fact, Id, open, read_fact};
use crate::word::pair;

/// The statistics, as bits: so that two records are equal or not, whatever the numbers are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct NetTisa([u32; 13]);

impl NetTisa {
    /// Of these values, in the order of [`NetTisa::values`].
    #[expect(clippy::cast_possible_truncation, reason = "the elements are float32")]
    pub fn of(values: [f64; 13]) -> Self {
        Self(values.map(|value| (value as f32).to_bits()))
    }

    /// The values in the order of their elements (8057:1020 to 8057:1032): of the payload mean, least, greatest, standard deviation,
    /// kurtosis, root mean square and average dispersion, in octets; mean time since the first packet; mean, least and greatest time
    /// since the packet before, in microseconds; how evenly those are spread; the share of packets whose size is not that of the one
    /// before.
    pub fn values(&self) -> [f32; 13] {
        self.0.map(f32::from_bits)
    }
}

impl Fact for NetTisa {
    const ID: Id = Id::NetTisa;
    const WORDS_MAX: usize = 8;

    fn encode(&self, words: &mut [u64]) -> usize {
        let Some(mut writer) = open(words, Self::ID, Self::WORDS_MAX) else { return 0 };
        let [a, b, c, d, e, f, g, h, i, j, k, l, m] = self.0;
        writer.put([pair(a, b), pair(c, d), pair(e, f), pair(g, h), pair(i, j), pair(k, l), pair(m, 0)]);
        Self::WORDS_MAX
    }

    fn decode(words: &[u64]) -> Option<Self> {
        let mut reader = read_fact(words, Self::ID, Self::WORDS_MAX)?;
        let mut values = [0; 13];
        for pair in values.chunks_mut(2) {
            for (value, half) in pair.iter_mut().zip(reader.halves()?) {
                *value = half;
            }
        }
        Some(Self(values))
    }
}
