//! Bursts: three and more packets with payload in one direction, each less than a second after the one before.

use bytemuck::{Pod, Zeroable};
use sonde_record::fact::{Bursts, RawBurst};

use super::sample::Sample;

/// Fewer packets are no burst.
const PACKETS_MIN: u32 = 3;
/// A pause that ends a burst, in nanoseconds.
const PAUSE: u64 = 1_000_000_000;

/// The bursts; the one behind the last of each direction may become one.
#[derive(Clone, Copy, Debug, Zeroable, Pod)]
#[repr(C)]
pub(super) struct Gathered {
    bursts: Bursts,
    /// When the latest packet of each direction came.
    last: [u64; 2],
}

impl Gathered {
    pub(super) fn add(&mut self, sample: &Sample) {
        let Self { bursts: Bursts { start, bursts, counts }, last } = self;
        let way = usize::from(sample.way & 1);
        let (Some(bursts), Some(count), Some(last)) = (bursts.get_mut(way), counts.get_mut(way), last.get_mut(way)) else { return };
        if *start == 0 {
            *start = sample.time;
        }
        let since = sample.time.wrapping_sub(*start).cast_signed() / 1_000_000;
        let now = i32::try_from(since).unwrap_or(if since < 0 { i32::MIN } else { i32::MAX });
        let Some(open) = bursts.get_mut(*count as usize) else { return };
        // A clock that goes back so far is a pause, too.
        let goes_on = open.packets != 0 && sample.time.abs_diff(*last) < PAUSE;
        *last = sample.time;
        if goes_on {
            open.packets = open.packets.saturating_add(1);
            open.octets = open.octets.saturating_add(sample.payload);
            (open.start, open.end) = (open.start.min(now), open.end.max(now));
            return;
        }
        *count += u32::from(open.packets >= PACKETS_MIN);
        if let Some(next) = bursts.get_mut(*count as usize) {
            *next = RawBurst { packets: 1, octets: sample.payload, start: now, end: now };
        }
    }

    /// The bursts, those that go on as far as they have come.
    pub(super) fn report(&self) -> Bursts {
        let mut report = self.bursts;
        for (count, bursts) in report.counts.iter_mut().zip(&self.bursts.bursts) {
            let open = bursts.get(*count as usize).is_some_and(|open| open.packets >= PACKETS_MIN);
            *count += u32::from(open);
        }
        for (count, bursts) in report.counts.iter().zip(&mut report.bursts) {
            bursts.iter_mut().skip(*count as usize).for_each(|burst| *burst = RawBurst::default());
        }
        report
    }
}
