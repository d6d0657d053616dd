//! Thirteen statistics of the sizes and times of all packets of a flow, both directions together, as one series (`NetTiSA`).
//!
//! They are gathered packet by packet: where a deviation from a mean is asked for, it is that from the mean so far, as ipfixprobe has
//! it. All are of 32-bit floating point. Times are microseconds.

use bytemuck::{Pod, Zeroable};
use sonde_record::fact::NetTisa;

use super::sample::Sample;

/// What is gathered.
#[derive(Clone, Copy, Debug, Zeroable, Pod)]
#[repr(C)]
pub(super) struct Series {
    first: u64,
    last: u64,
    squares: u64,
    mean: f64,
    dispersion: f64,
    fourth: f64,
    scaled_time: f64,
    difference: f64,
    difference_min: f64,
    difference_max: f64,
    distribution: f64,
    packets: u32,
    min: u32,
    max: u32,
    previous: u32,
    switches: u32,
    /// Packets whose clock had gone back: they have no difference.
    back: u32,
}

/// Nanoseconds as microseconds.
#[expect(clippy::cast_precision_loss, reason = "exact up to 104 days")]
fn us(ns: u64) -> f64 {
    ns as f64 / 1000.0
}

#[expect(clippy::cast_precision_loss, reason = "sums beyond 2^53 are of 32 bits in the end")]
fn float(sum: u64) -> f64 {
    sum as f64
}

impl Series {
    pub(super) fn add(&mut self, sample: &Sample) {
        let (payload, began) = (f64::from(sample.payload), self.packets == 0);
        if began {
            (self.first, self.last, self.min) = (sample.time, sample.time, sample.payload);
        }
        self.packets = self.packets.saturating_add(1);
        let packets = f64::from(self.packets);
        let deviation = payload - self.mean;
        self.squares = self.squares.wrapping_add(u64::from(sample.payload).wrapping_mul(sample.payload.into()));
        self.mean += deviation / packets;
        self.dispersion += deviation.abs();
        self.fourth += deviation.powi(4);
        self.min = self.min.min(sample.payload);
        self.max = self.max.max(sample.payload);
        self.switches = self.switches.saturating_add(u32::from(self.previous != sample.payload));
        self.previous = sample.payload;
        self.add_time(sample.time, began);
    }

    /// What was stamped before the packet that it follows has no place in the series of times.
    fn add_time(&mut self, time: u64, began: bool) {
        let Some(difference) = time.checked_sub(self.last).map(us) else {
            self.back = self.back.saturating_add(1);
            return;
        };
        self.last = time;
        let timed = self.packets.saturating_sub(self.back);
        let packets = f64::from(timed);
        self.scaled_time += (us(time.saturating_sub(self.first)) - self.scaled_time) / packets;
        // The first packet has a difference of zero, which counts for the mean.
        self.difference += (difference - self.difference) / packets;
        self.distribution += (self.difference - difference).abs();
        self.difference_max = self.difference_max.max(difference);
        if !began {
            self.difference_min = if timed == 2 { difference } else { self.difference_min.min(difference) };
        }
    }

    pub(super) fn report(&self) -> NetTisa {
        if self.packets == 0 {
            return NetTisa::default();
        }
        let (packets, timed) = (f64::from(self.packets), f64::from(self.packets.saturating_sub(self.back)));
        let mean_square = float(self.squares) / packets;
        let variance = (mean_square - self.mean * self.mean).max(0.0);
        let over = |value: f64, by: f64| if by > 0.0 { value / by } else { 0.0 };
        NetTisa::of([
            self.mean,
            self.min.into(),
            self.max.into(),
            variance.sqrt(),
            over(self.fourth, packets * variance * variance),
            mean_square.sqrt(),
            self.dispersion / packets,
            self.scaled_time,
            self.difference,
            self.difference_min,
            self.difference_max,
            over(self.distribution, (timed - 1.0) * self.difference_max),
            f64::from(self.switches) / packets,
        ])
    }
}
