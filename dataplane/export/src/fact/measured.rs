//! Times that were measured, as fields.
//!
//! A time that was measured is never 0: it is rounded up to a whole unit, and is one unit at least. So a time of 0 says "not measured".

use sonde_record::fact::ResponseTimes;

use crate::cursor::Cursor;

/// In nanoseconds, as [`MILLISECOND`].
pub(crate) const MICROSECOND: u64 = 1_000;
pub(crate) const MILLISECOND: u64 = 1_000_000;

/// Nanoseconds as units, rounded up; 0 for what was not measured, and for nothing else.
#[inline]
pub(crate) fn time(nanoseconds: Option<u64>, unit: u64) -> [u8; 4] {
    let units = nanoseconds.map_or(0, |nanoseconds| nanoseconds.div_ceil(unit).max(1));
    u32::try_from(units).unwrap_or(u32::MAX).to_be_bytes()
}

/// The mean of the answers, in nanoseconds.
#[inline]
pub(crate) fn mean(responses: &ResponseTimes) -> Option<u64> {
    responses.sum.checked_div(responses.count.into())
}

/// Both halves of a round trip, in nanoseconds: `npnRoundTripTime`.
#[inline]
pub(crate) fn put_round_trip(out: &mut Cursor<'_>, server: Option<u64>, client: Option<u64>) {
    let both = server.zip(client).map(|(server, client)| server.saturating_add(client));
    out.put(time(both, MICROSECOND));
}

/// The ways to client and server, which are halves of the halves of the round trip: `CLIENT_NW_LATENCY_MS`, `SERVER_NW_LATENCY_MS`.
#[inline]
pub(crate) fn put_latencies(out: &mut Cursor<'_>, server: Option<u64>, client: Option<u64>) {
    for half in [client, server] {
        out.put(time(half.map(|half| half / 2), MILLISECOND));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_measured_time_is_never_0_and_another_is_nothing_else() {
        let read = |nanoseconds| u32::from_be_bytes(time(nanoseconds, MICROSECOND));
        assert_eq!([0, 1, 1000, 1001, u64::MAX].map(|nanoseconds| read(Some(nanoseconds))), [1, 1, 1, 2, u32::MAX]);
        assert_eq!(read(None), 0);
    }

    #[test]
    fn a_round_trip_needs_both_halves_and_a_latency_its_own() {
        let written = |server, client| {
            let mut out = [7; 12];
            let mut cursor = Cursor(&mut out);
            put_round_trip(&mut cursor, server, client);
            put_latencies(&mut cursor, server, client);
            out.as_chunks::<4>().0.iter().map(|value| u32::from_be_bytes(*value)).collect::<Vec<_>>()
        };
        assert_eq!(written(Some(9_000_000), Some(3_000_001)), [12_001, 2, 5]);
        assert_eq!([written(Some(0), None), written(None, Some(8_000_000))], [[0, 0, 1], [0, 4, 0]]);
    }
}
