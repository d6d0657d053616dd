//! A worker's frames from DPDK: its queues, and its ring from the dispatcher where there is one.

use std::array;
use std::hint;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;

use dpdk_sys::{BURST, Burst, Eal, RxQueue, ring};
use sonde_packet::{Frame, Link};
use sonde_worker::clock::Clock;
use sonde_worker::source::{BURST_MAX, Polled, Source};

use super::counts::WorkerCounts;
use super::pace::Pace;
use super::stamps::StampClock;

const _: () = assert!(BURST == BURST_MAX);

/// Frames asked for in one call.
const ASKED: usize = 64;
/// A queue that gives fewer than this is empty for now; some drivers never give more in one call. Nor is a call worth it for fewer.
const FEW: usize = 32;
/// How many frames ahead of the one being looked at the next are brought near. 24 to 32 is best: 32 and more evicts what was
/// fetched first, 4 hides next to nothing.
pub(super) const AHEAD: usize = 28;
/// Polls in vain before a thread that yields does so.
const PATIENCE: u32 = 16;

/// What a thread does while nothing arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Idle {
    /// Polls on: for a core of its own.
    Spin,
    /// Lets others run after some polls in vain: for a core that is shared, and for machines that are not only a probe.
    Yield,
}

/// Counts the polls in vain.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    idle: Idle,
    polls: u32,
}

impl Patience {
    pub(super) fn new(idle: Idle) -> Self {
        Self { idle, polls: 0 }
    }

    #[inline]
    pub(super) fn found(&mut self) {
        self.polls = 0;
    }

    pub(super) fn nothing(&mut self) {
        self.polls = self.polls.saturating_add(1);
        if self.idle == Idle::Yield && self.polls > PATIENCE {
            thread::yield_now();
        } else {
            hint::spin_loop();
        }
    }
}

/// A receive queue with what belongs to it.
#[derive(Debug)]
pub(super) struct Intake {
    pub(super) queue: RxQueue,
    /// Interface number of its port.
    pub(super) port: u16,
    pub(super) stamps: Option<StampClock>,
    pub(super) pace: Option<Pace>,
}

impl Intake {
    /// Receives until the queue is empty, the burst nearly full, or the pace is met. `now` is a recent time.
    #[inline]
    pub(super) fn receive(&mut self, burst: &mut Burst, now: u64) {
        let mut allowed = self.pace.as_mut().map_or(usize::MAX, |pace| pace.allowed(now));
        while burst.room() >= FEW && allowed != 0 {
            let asked = ASKED.min(allowed);
            let got = self.queue.receive(burst, asked);
            if let Some(pace) = &mut self.pace {
                pace.took(got);
                allowed -= got;
            }
            if got < FEW {
                break;
            }
        }
    }
}

/// One of the places a worker's frames come from.
#[derive(Debug)]
enum Input {
    Queue(Intake),
    /// Frames that the dispatcher marked with their port and time.
    Ring(ring::Receiver),
}

impl Input {
    /// The port of frame `at` and the time when it was received.
    #[inline]
    fn place(&self, burst: &Burst, at: usize, now: u64) -> (u16, u64) {
        match self {
            Self::Queue(Intake { port, stamps: None, .. }) => (*port, now),
            Self::Queue(Intake { port, stamps: Some(stamps), .. }) => (*port, stamps.time(burst, at, now)),
            // The dispatcher read its clock earlier, on another core.
            Self::Ring(_) => (burst.marked_port(at), burst.marked_time(at).min(now)),
        }
    }
}

/// Lends a worker the frames of its queues (one on each port that has enough) and of its ring.
///
/// A burst costs one C call for each 64 frames, one to give them back, and one clock read; no allocation, no lock. Frames that came
/// in several buffers (jumbo) show the bytes of the first and their whole length.
#[derive(Debug)]
pub struct NicSource {
    inputs: Vec<Input>,
    /// The input that is asked first in the next burst, so that a busy one does not starve the others.
    first: usize,
    burst: Burst,
    /// Which input each frame of the burst came from.
    from: [u8; BURST_MAX],
    clock: Clock,
    now: u64,
    patience: Patience,
    counts: Arc<WorkerCounts>,
}

const NOTHING: Frame<'static> = Frame { bytes: &[], wire_len: 0, link: Link::Ethernet, port: 0, time: 0 };

impl NicSource {
    pub(super) fn new(eal: &Eal, clock: Clock, idle: Idle, counts: Arc<WorkerCounts>) -> Self {
        Self {
            inputs: Vec::new(),
            first: 0,
            burst: Burst::new(eal),
            from: [0; BURST_MAX],
            clock,
            now: clock.now(),
            patience: Patience::new(idle),
            counts,
        }
    }

    pub(super) fn add_queue(&mut self, intake: Intake) {
        self.inputs.push(Input::Queue(intake));
        assert!(self.inputs.len() <= usize::from(u8::MAX), "more inputs than a worker can tell apart");
    }

    pub(super) fn add_ring(&mut self, ring: ring::Receiver) {
        self.inputs.push(Input::Ring(ring));
        assert!(self.inputs.len() <= usize::from(u8::MAX), "more inputs than a worker can tell apart");
    }

    /// Fills the burst from all inputs, beginning with `first`.
    #[inline]
    fn fill(&mut self) {
        let inputs = self.inputs.len();
        let mut at = self.first;
        for _ in 0..inputs {
            let before = self.burst.len();
            match &mut self.inputs[at] {
                Input::Queue(intake) => intake.receive(&mut self.burst, self.now),
                Input::Ring(ring) => {
                    ring.receive(&mut self.burst, BURST_MAX);
                }
            }
            let tag = u8::try_from(at).unwrap_or(u8::MAX);
            self.from[before..self.burst.len()].fill(tag);
            at = if at + 1 == inputs { 0 } else { at + 1 };
        }
        self.first = if self.first + 1 >= inputs { 0 } else { self.first + 1 };
    }

    /// Lets the NICs' clocks learn from the newest frame of each.
    fn learn(&mut self, now: u64) {
        for (at, input) in self.inputs.iter_mut().enumerate() {
            let Input::Queue(Intake { stamps: Some(stamps), .. }) = input else { continue };
            let newest = self.from[..self.burst.len()].iter().rposition(|&from| usize::from(from) == at);
            if let Some(newest) = newest {
                stamps.learn(&self.burst, newest, now);
            }
        }
    }
}

impl Source for NicSource {
    #[inline]
    fn burst<F: FnOnce(&[Frame<'_>], u64)>(&mut self, work: F) -> Polled {
        // Not in a release build.
        sonde_threads::trap();
        self.fill();
        let now = self.clock.now();
        self.now = now;
        let count = self.burst.len();
        if count == 0 {
            work(&[], now);
            self.patience.nothing();
            return Polled::Idle;
        }
        self.patience.found();
        self.learn(now);
        let burst = &self.burst;
        for at in 0..AHEAD {
            burst.prefetch(at);
        }
        let mut segmented = 0;
        let frames: [Frame<'_>; BURST_MAX] = array::from_fn(|at| {
            if at >= count {
                return NOTHING;
            }
            burst.prefetch(at + AHEAD);
            segmented += u64::from(burst.segments(at) > 1);
            let (port, time) = self.inputs[usize::from(self.from[at])].place(burst, at, now);
            Frame { bytes: burst.bytes(at), wire_len: burst.wire_octets(at), link: Link::Ethernet, port, time }
        });
        work(&frames[..count], now);
        self.burst.clear();
        if segmented != 0 {
            // One writer: no read-modify-write on the bus.
            let before = self.counts.segmented.load(Ordering::Relaxed);
            self.counts.segmented.store(before + segmented, Ordering::Relaxed);
        }
        Polled::Frames
    }
}
