//! How large packets are and how far apart, in eight bins whose limits double, for each direction.

use bytemuck::Zeroable;

use super::Sample;
use crate::perf::words::{extension, open};
use crate::word::pair;

/// Type of the extension in the record ring.
pub const HISTOGRAMS: u8 = 16;
/// Words of the extension.
pub const HISTOGRAMS_WORDS: usize = 17;
/// Bins: below 16, below 32 and so on to below 1024, and the rest.
pub const BINS: usize = 8;

/// Packets of each direction, forward first, by bin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Zeroable)]
#[repr(C)]
pub struct Histograms {
    /// By octets of payload (`phistSrcSizes` 8057:1060, `phistDstSizes` 8057:1062).
    pub sizes: [[u32; BINS]; 2],
    /// By whole milliseconds since the packet before in the same direction (`phistSrcInterPacketTime` 8057:1061,
    /// `phistDstInterPacketTime` 8057:1063).
    pub times: [[u32; BINS]; 2],
}

/// The histograms, and when the latest packet of each direction came; 0: none did.
#[derive(Clone, Copy, Debug, Zeroable)]
#[repr(C)]
pub(super) struct Gathered {
    histograms: Histograms,
    last: [u64; 2],
}

/// The bin of a value.
fn bin(value: u64) -> usize {
    usize::try_from(u64::BITS.saturating_sub((value >> 4).leading_zeros())).unwrap_or(BINS).min(BINS - 1)
}

fn count(histograms: &mut [[u32; BINS]; 2], way: usize, value: u64) {
    if let Some(count) = histograms.get_mut(way).and_then(|bins| bins.get_mut(bin(value))) {
        *count = count.saturating_add(1);
    }
}

impl Gathered {
    pub(super) fn add(&mut self, sample: &Sample) {
        let way = usize::from(sample.way & 1);
        count(&mut self.histograms.sizes, way, sample.payload.into());
        let Some(last) = self.last.get_mut(way) else { return };
        // A clock that went back measured nothing.
        if let Some(between) = sample.time.checked_sub(*last).filter(|_| *last != 0) {
            count(&mut self.histograms.times, way, between / 1_000_000);
        }
        *last = sample.time;
    }

    pub(super) fn report(&self) -> Histograms {
        self.histograms
    }
}

impl Histograms {
    /// Writes the extension and returns its length in words; 0, and nothing is written, when there is no room for it.
    pub fn encode(&self, words: &mut [u64]) -> usize {
        let Some(mut writer) = open(words, HISTOGRAMS, HISTOGRAMS_WORDS) else { return 0 };
        for [a, b, c, d, e, f, g, h] in self.sizes.into_iter().chain(self.times) {
            writer.put([pair(a, b), pair(c, d), pair(e, f), pair(g, h)]);
        }
        HISTOGRAMS_WORDS
    }

    /// Reads the extension at the beginning of `words`. `None` when it is another one.
    pub fn decode(words: &[u64]) -> Option<Self> {
        let mut reader = extension(words, HISTOGRAMS, HISTOGRAMS_WORDS)?;
        let mut bins = || {
            let ([a, b], [c, d], [e, f], [g, h]) = (reader.halves()?, reader.halves()?, reader.halves()?, reader.halves()?);
            Some([a, b, c, d, e, f, g, h])
        };
        Some(Self { sizes: [bins()?, bins()?], times: [bins()?, bins()?] })
    }
}
