//! The whole journey under load, measured: what `sonde-dataplane bench` runs.

use std::sync::atomic::AtomicBool;
use std::time::Duration;

use sonde_packet::{Fast4, FastIp, Frame, Tunnels, decapsulate, fast4, inner4, located};
use sonde_record::RecordView;
use sonde_record::{HEAD_WORDS, Output};

use crate::source::{Polled, Source};

/// CPU time of the calling thread. A worker polls, so on an idle machine it is the same as the time that passed; on a shared
/// machine it is what the worker had.
pub fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Nanoseconds a packet of one stage.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Stages {
    /// Lending the frames.
    pub source_ns: f64,
    /// Decoding them.
    pub decode_ns: f64,
}

/// Measures the source alone, and the source with decoding, over `packets` packets each.
pub fn stages<S: Source>(source: &mut S, packets: u64) -> Stages {
    let source_ns = pass(source, packets, |_| 0);
    let tunnels = Tunnels::default();
    let both = pass(source, packets, |frame| match fast4(frame, &tunnels) {
        Some(fast) => seen(&fast),
        None => uncommon(frame, &tunnels),
    });
    Stages { source_ns, decode_ns: (both - source_ns).max(0.0) }
}

#[inline(always)]
fn seen(fast: &Fast4) -> u64 {
    u64::from(fast.sport) ^ u64::from(fast.src ^ fast.dst) ^ u64::from(fast.octets)
}

/// What stage 1 of tracking does with a frame that is none of the common ones.
#[inline(never)]
fn uncommon(frame: &Frame<'_>, tunnels: &Tunnels) -> u64 {
    match located(frame, tunnels).map(|found| found.packet) {
        Some(FastIp::V4(packet)) => return seen(&packet),
        Some(FastIp::V6(packet)) => return u64::from(packet.sport) ^ u64::from(packet.octets),
        None => {}
    }
    match inner4(frame, tunnels) {
        Some(inner) => seen(&inner.packet) ^ u64::from(inner.network),
        None => decapsulate(frame, tunnels).map_or(0, |packets| {
            let headers = packets.inner.map_or(packets.outer, |inner| inner.headers);
            u64::from(headers.sport) ^ u64::from(headers.octets)
        }),
    }
}

fn pass<S: Source>(source: &mut S, packets: u64, mut work: impl FnMut(&sonde_packet::Frame<'_>) -> u64) -> f64 {
    let mut sum = 0u64;
    let mut done = 0u64;
    let start = cpu_time();
    while done < packets {
        let polled = source.burst(|frames, _| {
            done += frames.len() as u64;
            for frame in frames {
                sum = sum.wrapping_add(work(frame));
            }
        });
        if polled == Polled::End {
            break;
        }
    }
    std::hint::black_box(sum);
    ns_per(cpu_time().saturating_sub(start), done)
}

fn ns_per(time: Duration, packets: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a measurement, not an account")]
    let packets = packets.max(1) as f64;
    time.as_secs_f64() * 1e9 / packets
}

/// Stops a measurement: wraps a source, counts what it lends, and reads the time at the marks set from outside.
#[derive(Debug)]
pub struct Metered<S> {
    source: S,
    /// Packets lent since the beginning.
    pub packets: u64,
    /// Octets lent, as on the wire.
    pub octets: u64,
    warm_up: u64,
    until: Duration,
    started: Option<(Duration, u64, u64)>,
    /// CPU time from the end of the warm-up to the end.
    pub elapsed: Duration,
    /// Packets and octets in that time.
    pub measured: (u64, u64),
}

impl<S: Source> Metered<S> {
    /// Measures `source` for `until` after the first `warm_up` packets.
    pub fn new(source: S, warm_up: u64, until: Duration) -> Self {
        Self { source, packets: 0, octets: 0, warm_up, until, started: None, elapsed: Duration::ZERO, measured: (0, 0) }
    }
}

impl<S: Source> Source for Metered<S> {
    #[inline]
    fn burst<F: FnOnce(&[sonde_packet::Frame<'_>], u64)>(&mut self, work: F) -> Polled {
        let (packets, octets) = (&mut self.packets, &mut self.octets);
        let polled = self.source.burst(|frames, now| {
            *packets += frames.len() as u64;
            *octets += frames.iter().map(|f| u64::from(f.wire_len)).sum::<u64>();
            work(frames, now);
        });
        if self.packets < self.warm_up {
            return polled;
        }
        let (start, packets, octets) = *self.started.get_or_insert_with(|| (cpu_time(), self.packets, self.octets));
        // The time is read once in 64 bursts.
        if polled == Polled::End || (self.packets / 128).is_multiple_of(64) && cpu_time().saturating_sub(start) >= self.until {
            self.elapsed = cpu_time().saturating_sub(start);
            self.measured = (self.packets - packets, self.octets - octets);
            return Polled::End;
        }
        polled
    }
}

/// An output that can be muted: records are put together and thrown away then, so that writing them can be told from the rest.
#[derive(Debug)]
pub struct Muted<O> {
    /// Where records go otherwise.
    pub output: O,
    /// Whether they are thrown away.
    pub mute: bool,
}

impl<O: Output> Output for Muted<O> {
    fn put(&mut self, record: &RecordView<'_>) {
        if self.mute {
            std::hint::black_box(record);
        } else {
            self.output.put(record);
        }
    }

    #[inline]
    fn put_words(&mut self, head: &[u64; HEAD_WORDS], rest: &[u64]) {
        if self.mute {
            std::hint::black_box((head, rest));
        } else {
            self.output.put_words(head, rest);
        }
    }

    #[inline]
    fn publish(&mut self) {
        self.output.publish();
    }
}

/// A stop flag that is never set.
pub static NEVER: AtomicBool = AtomicBool::new(false);
