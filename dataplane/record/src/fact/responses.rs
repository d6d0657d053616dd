//! Response times, a part of the facts of TCP and UDP.

use crate::word::{Reader, Writer};

/// Words of them, without their count.
pub(super) const WORDS: usize = 7;

/// Response times of one flow. All in nanoseconds, meaningless when `count` is 0.
///
/// Up to 2.1 s they are exact (to 256 ns where they come from TCP), above to the microsecond.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct ResponseTimes {
    /// Requests that were answered in a time that was measured: not those whose answer was stamped earlier, or after 35 minutes.
    pub count: u32,
    /// Shortest.
    pub min: u64,
    /// Longest.
    pub max: u64,
    /// Latest.
    pub last: u64,
    /// Sum; the mean is `sum / count`.
    pub sum: u64,
    /// Half, 95 % and 99 % of the answers came within so long: interpolated in a histogram whose buckets double.
    pub quantiles: [u64; 3],
}

impl ResponseTimes {
    /// Mean, in nanoseconds; 0 of none.
    pub fn mean(&self) -> u64 {
        self.sum.checked_div(self.count.into()).unwrap_or(0)
    }
}

pub(super) fn put_responses(writer: &mut Writer<'_>, responses: &ResponseTimes) {
    let ResponseTimes { count: _, min, max, last, sum, quantiles: [half, most, all] } = *responses;
    writer.put([sum, min, max, last, half, most, all]);
}

pub(super) fn get_responses(reader: &mut Reader<'_>, count: u32) -> Option<ResponseTimes> {
    let [sum, min, max, last, half, most, all] = reader.words()?;
    Some(ResponseTimes { count, min, max, last, sum, quantiles: [half, most, all] })
}
