//! How large packets are and how far apart, in eight bins whose limits double, for each direction.

use bytemuck::{Pod, Zeroable};

use super::kind::{Fact, Facts, Id, open, read_fact};
use crate::field::Value::{List, Unsigned};
use crate::field::{Row, Rows, Type, Unit, Value, cesnet};
use crate::view::RecordView;
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

fn bins(record: &RecordView<'_>, read: impl FnOnce(&Histograms) -> Option<[u32; BINS]>) -> Value {
    let bins = record.get::<Histograms>().and_then(|histograms| read(&histograms));
    Value::maybe(bins, |bins| List(bins.iter().map(|packets| Unsigned((*packets).into())).collect()))
}

/// Packets by size and by time.
pub(crate) const ROWS: Rows = Rows {
    title: "Histograms of packets (boot.patterns)",
    facts: Facts::NONE.with(Id::Histograms),
    rows: &[
        Row::new("size_histogram", Type::Unsigned, "packets by octets of payload: below 16, 32 and so on to 1024, and the rest", |r, w| {
            bins(r, |histograms| histograms.sizes.get(w).copied())
        })
        .both()
        .list()
        .unit(Unit::Packets)
        .api(&["histograms.forward_sizes", "histograms.reverse_sizes"])
        .elements(&[cesnet(1060, "phistSrcSizes"), cesnet(1062, "phistDstSizes").back()])
        .source("CESNET ipfixprobe, phists"),
        Row::new(
            "time_histogram",
            Type::Unsigned,
            "packets by whole milliseconds since the one before in the same direction, in the same bins",
            |r, w| bins(r, |histograms| histograms.times.get(w).copied()),
        )
        .both()
        .list()
        .unit(Unit::Packets)
        .api(&["histograms.forward_times", "histograms.reverse_times"])
        .elements(&[cesnet(1061, "phistSrcInterPacketTime"), cesnet(1063, "phistDstInterPacketTime").back()]),
    ],
};

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
