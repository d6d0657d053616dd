//! How large packets are and how far apart, in eight bins whose limits double, for each direction.

use bytemuck::{Pod, Zeroable};
use sonde_record::fact::{BINS, Histograms};

use super::sample::Sample;

/// The histograms, and when the latest packet of each direction came; 0: none did.
#[derive(Clone, Copy, Debug, Zeroable, Pod)]
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
