//! Thirteen statistics of the sizes and times of all packets of a flow, both directions together, as one series (`NetTiSA`).

use super::{Fact, Facts, Id, open, read_fact};
use crate::field::Value::Float;
use crate::field::{Row, Rows, Type, Unit, Value, cesnet};
use crate::view::RecordView;
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

fn series(record: &RecordView<'_>, at: usize) -> Value {
    let value = record.get::<NetTisa>().and_then(|nettisa| nettisa.values().get(at).copied());
    Value::maybe(value, |value| Float(value.into()))
}

/// The statistics.
pub(crate) const ROWS: Rows = Rows {
    title: "Statistics of the series of packets (boot.patterns)",
    facts: Facts::NONE.with(Id::NetTisa),
    rows: &[
        Row::new("nettisa_mean", Type::Float, "mean of the payload", |r, _| series(r, 0))
            .unit(Unit::Octets)
            .api(&["nettisa.mean"])
            .elements(&[cesnet(1020, "ntsMeanPacketPayload")])
            .source("CESNET ipfixprobe, NetTiSA"),
        Row::new("nettisa_min", Type::Float, "least", |r, _| series(r, 1))
            .unit(Unit::Octets)
            .api(&["nettisa.min"])
            .elements(&[cesnet(1021, "ntsMinPacketPayload")]),
        Row::new("nettisa_max", Type::Float, "greatest", |r, _| series(r, 2))
            .unit(Unit::Octets)
            .api(&["nettisa.max"])
            .elements(&[cesnet(1022, "ntsMaxPacketPayload")]),
        Row::new("nettisa_stdev", Type::Float, "standard deviation", |r, _| series(r, 3))
            .unit(Unit::Octets)
            .api(&["nettisa.stdev"])
            .elements(&[cesnet(1023, "ntsStdevPacketPayload")]),
        Row::new("nettisa_kurtosis", Type::Float, "kurtosis, by deviations from the mean so far", |r, _| series(r, 4))
            .api(&["nettisa.kurtosis"])
            .elements(&[cesnet(1024, "ntsKurtosisPacketPayload")]),
        Row::new("nettisa_root_mean_square", Type::Float, "root mean square", |r, _| series(r, 5))
            .unit(Unit::Octets)
            .api(&["nettisa.root_mean_square"])
            .elements(&[cesnet(1025, "ntsRootMeanSquarePacketPayload")]),
        Row::new("nettisa_average_dispersion", Type::Float, "mean deviation from the mean so far", |r, _| series(r, 6))
            .unit(Unit::Octets)
            .api(&["nettisa.average_dispersion"])
            .elements(&[cesnet(1026, "ntsAverageDispersionPacketPayload")]),
        Row::new("nettisa_mean_scaled_time_us", Type::Float, "mean time since the first packet, in microseconds", |r, _| series(r, 7))
            .api(&["nettisa.mean_scaled_time_us"])
            .elements(&[cesnet(1027, "ntsMeanScaledTime")]),
        Row::new("nettisa_mean_difftime_us", Type::Float, "mean time since the packet before, in microseconds", |r, _| series(r, 8))
            .api(&["nettisa.mean_difftime_us"])
            .elements(&[cesnet(1028, "ntsMeanDifftimes")]),
        Row::new("nettisa_min_difftime_us", Type::Float, "shortest, in microseconds", |r, _| series(r, 9))
            .api(&["nettisa.min_difftime_us"])
            .elements(&[cesnet(1029, "ntsMinDifftimes")]),
        Row::new("nettisa_max_difftime_us", Type::Float, "longest, in microseconds", |r, _| series(r, 10))
            .api(&["nettisa.max_difftime_us"])
            .elements(&[cesnet(1030, "ntsMaxDifftimes")]),
        Row::new(
            "nettisa_time_distribution",
            Type::Float,
            "mean deviation of the times between packets from their mean so far, as a part of the longest",
            |r, _| series(r, 11),
        )
        .api(&["nettisa.time_distribution"])
        .elements(&[cesnet(1031, "ntsTimeDistribution")]),
        Row::new(
            "nettisa_switching_ratio",
            Type::Float,
            "packets whose payload is not as long as that of the one before, as a part of all",
            |r, _| series(r, 12),
        )
        .api(&["nettisa.switching_ratio"])
        .elements(&[cesnet(1032, "ntsSwitchingRatio")]),
    ],
};

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
