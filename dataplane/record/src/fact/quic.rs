//! How a QUIC connection performed.

use super::kind::{Fact, Facts, Id, open, read_fact};
use crate::field::Value::{Absent, Duration, Unsigned};
use crate::field::{Row, Rows, Type, Value, own};
use crate::view::RecordView;

/// Bits of [`QuicPerformance::valid`].
pub mod quic_valid {
    /// `server_rtt`.
    pub const SERVER_RTT: u8 = 1;
    /// `client_rtt`.
    pub const CLIENT_RTT: u8 = 1 << 1;
    /// `server_rtt` belongs to one Initial.
    pub const SERVER_RTT_KARN: u8 = 1 << 2;
    /// `client_rtt` belongs to one datagram of the server.
    pub const CLIENT_RTT_KARN: u8 = 1 << 3;
    /// `spin` of the forward direction; the reverse one is the next bit.
    pub const SPIN: u8 = 1 << 4;
}

/// Round trip times by the spin bit, in nanoseconds. Where a sender pauses they are longer than the network's; `min` is the best
/// estimate (RFC 9312 section 4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct SpinTimes {
    /// Round trips.
    pub count: u32,
    /// Shortest.
    pub min: u64,
    /// Longest.
    pub max: u64,
    /// Latest.
    pub last: u64,
    /// Sum; the mean is `sum / count`.
    pub sum: u64,
}

/// How a QUIC connection performed since its last record. Directions are those of the flow, forward first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct QuicPerformance {
    /// Bits of [`quic_valid`].
    pub valid: u8,
    /// Direction of the client: 0 forward, 1 reverse.
    pub client: u8,
    /// From the client's last Initial before the answer to the server's first packet, in nanoseconds.
    pub server_rtt: u64,
    /// From there to the client's next packet.
    pub client_rtt: u64,
    /// Round trips seen in each direction.
    pub spin: [SpinTimes; 2],
}

impl SpinTimes {
    /// Mean, in nanoseconds; 0 of none.
    pub fn mean(&self) -> u64 {
        self.sum.checked_div(self.count.into()).unwrap_or(0)
    }
}

/// Of a direction whose bit spins.
fn spin(record: &RecordView<'_>, way: usize, read: impl FnOnce(&SpinTimes) -> Value) -> Value {
    let Some(quic) = record.get::<QuicPerformance>() else { return Absent };
    quic.spin.get(way).filter(|_| quic.valid & quic_valid::SPIN << (way & 1) != 0).map_or(Absent, read)
}

/// Round trips by the spin bit; those of the handshake are beside those of TCP.
pub(crate) const ROWS: Rows = Rows {
    title: "Round trips of QUIC by the spin bit",
    facts: Facts::NONE.with(Id::Quic),
    rows: &[
        Row::new("spin_count", Type::Unsigned, "round trips; absent, as what follows, where the bit does not spin", |r, w| {
            spin(r, w, |s| Unsigned(s.count.into()))
        })
        .both()
        .api(&["quic.forward_spin.count", "quic.reverse_spin.count"])
        .source("RFC 9312 section 4")
        .elements(&[own(100, "sondeSpinCount"), own(1100, "sondeSpinCountReverse").back()]),
        Row::new("spin_min", Type::Duration, "shortest: the best estimate of the network's", |r, w| spin(r, w, |s| Duration(s.min)))
            .both()
            .api(&["quic.forward_spin.min_us", "quic.reverse_spin.min_us"])
            .elements(&[own(101, "sondeSpinMin"), own(1101, "sondeSpinMinReverse").back()]),
        Row::new("spin_mean", Type::Duration, "mean", |r, w| spin(r, w, |s| Duration(s.mean())))
            .both()
            .api(&["quic.forward_spin.mean_us", "quic.reverse_spin.mean_us"])
            .elements(&[own(102, "sondeSpinMean"), own(1102, "sondeSpinMeanReverse").back()]),
        Row::new("spin_max", Type::Duration, "longest", |r, w| spin(r, w, |s| Duration(s.max)))
            .both()
            .api(&["quic.forward_spin.max_us", "quic.reverse_spin.max_us"])
            .elements(&[own(103, "sondeSpinMax"), own(1103, "sondeSpinMaxReverse").back()]),
        Row::new("spin_last", Type::Duration, "latest", |r, w| spin(r, w, |s| Duration(s.last)))
            .both()
            .api(&["quic.forward_spin.last_us", "quic.reverse_spin.last_us"])
            .elements(&[own(104, "sondeSpinLast"), own(1104, "sondeSpinLastReverse").back()]),
    ],
};

impl Fact for QuicPerformance {
    const ID: Id = Id::Quic;
    const WORDS_MAX: usize = 14;

    fn encode(&self, words: &mut [u64]) -> usize {
        let Some(mut writer) = open(words, Self::ID, Self::WORDS_MAX) else { return 0 };
        writer.put([u64::from(self.valid) | u64::from(self.client) << 8, self.server_rtt, self.client_rtt]);
        for SpinTimes { count, min, max, last, sum } in self.spin {
            writer.put([u64::from(count), min, max, last, sum]);
        }
        Self::WORDS_MAX
    }

    fn decode(words: &[u64]) -> Option<Self> {
        let mut reader = read_fact(words, Self::ID, Self::WORDS_MAX)?;
        let [valid, client, rest @ ..] = reader.word()?.to_le_bytes();
        let [server_rtt, client_rtt] = reader.words()?;
        let mut times = || {
            let [count, min, max, last, sum] = reader.words()?;
            Some(SpinTimes { count: u32::try_from(count).ok()?, min, max, last, sum })
        };
        let spin = [times()?, times()?];
        (client <= 1 && rest == [0; 6]).then_some(Self { valid, client, server_rtt, client_rtt, spin })
    }
}
