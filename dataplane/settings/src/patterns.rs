//! `boot.patterns`: which patterns of a flow's packets are kept.

use sonde_proto::v1;

use crate::check::Check;

/// Patterns of packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Patterns {
    /// Histograms of sizes and of times between packets.
    pub histograms: bool,
    /// First packets, 0 to 30.
    pub first_packets: u8,
    /// Bursts.
    pub bursts: bool,
    /// Statistics of `NetTiSA`.
    pub nettisa: bool,
}

impl Patterns {
    /// Whether any are kept.
    pub fn any(&self) -> bool {
        self.histograms || self.first_packets != 0 || self.bursts || self.nettisa
    }

    /// Constructs them, noting what is wrong.
    pub(crate) fn construct(patterns: v1::Patterns, check: &mut Check) -> Self {
        let v1::Patterns { histograms, first_packets, bursts, nettisa, .. } = patterns;
        let first_packets = check.ranged("boot.patterns.first_packets".into(), first_packets, 0, 0..=30);
        Self { histograms, first_packets: u8::try_from(first_packets).unwrap_or(0), bursts, nettisa }
    }
}

impl From<&Patterns> for v1::Patterns {
    fn from(patterns: &Patterns) -> Self {
        let Patterns { histograms, first_packets, bursts, nettisa } = *patterns;
        Self { histograms, first_packets: first_packets.into(), bursts, nettisa, ..Self::default() }
    }
}
