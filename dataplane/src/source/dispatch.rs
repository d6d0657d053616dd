//! The software dispatcher: one thread polls the ports that have fewer queues than there are workers, and hands each frame to the
//! worker of its conversation.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use dpdk_sys::{Burst, Eal, ring};
use sonde_packet::{Affinity, Frame, Link, Tunnels, worker_of};
use sonde_worker::clock::Clock;
use sonde_worker::mailbox::{Letter, Mailbox};

use super::counts::WorkerCounts;
use super::nic::{AHEAD, Idle, Intake, Patience};
use super::plan::{Options, RING_PLACES};

/// Turns given to a worker on the same core before the dispatcher goes on, whatever its ring looks like.
const TURNS_MAX: u32 = 256;

/// Polls queues and fills rings. Its thread calls [`Dispatcher::run`].
#[derive(Debug)]
pub struct Dispatcher {
    intakes: Vec<Intake>,
    burst: Burst,
    senders: Vec<ring::Sender>,
    /// Frames of the burst in hand, sorted by worker.
    sorted: Vec<Burst>,
    counts: Vec<Arc<WorkerCounts>>,
    clock: Clock,
    now: u64,
    patience: Patience,
    shares_core: bool,
    affinity: Affinity,
    /// What is metered of tunnels: the worker is chosen by that.
    tunnels: Arc<Mailbox<Tunnels>>,
    held: Arc<Letter<Tunnels>>,
}

impl Dispatcher {
    pub(super) fn new(eal: &Eal, options: &Options) -> Self {
        let Options { clock, idle, dispatcher_shares_core: shares_core, seed, ref tunnels, .. } = *options;
        let mailbox = Arc::new(Mailbox::new(Letter { generation: 0, value: *tunnels }));
        Self {
            affinity: Affinity::new(seed, tunnels),
            held: mailbox.latest(),
            tunnels: mailbox,
            intakes: Vec::new(),
            burst: Burst::new(eal),
            senders: Vec::new(),
            sorted: Vec::new(),
            counts: Vec::new(),
            clock,
            now: clock.now(),
            patience: Patience::new(if shares_core { Idle::Yield } else { idle }),
            shares_core,
        }
    }

    pub(super) fn add_worker(&mut self, eal: &Eal, sender: ring::Sender, counts: Arc<WorkerCounts>) {
        self.senders.push(sender);
        self.sorted.push(Burst::new(eal));
        self.counts.push(counts);
    }

    pub(super) fn add_intake(&mut self, intake: Intake) {
        self.intakes.push(intake);
    }

    /// Where it is told what is metered of tunnels.
    pub fn mailbox(&self) -> Arc<Mailbox<Tunnels>> {
        Arc::clone(&self.tunnels)
    }

    /// Polls until told to stop. The thread should be registered with DPDK (`Eal::register_thread`) and pinned.
    pub fn run(&mut self, stop: &AtomicBool) {
        while !stop.load(Ordering::Relaxed) {
            if self.shares_core {
                self.give_turns();
            }
            // Not in a release build.
            sonde_threads::trap();
            if self.poll() == 0 {
                self.patience.nothing();
            } else {
                self.patience.found();
            }
        }
    }

    /// One round: a burst of each queue. Answers how many frames were received.
    pub fn poll(&mut self) -> usize {
        let mut received = 0;
        for at in 0..self.intakes.len() {
            let intake = &mut self.intakes[at];
            intake.receive(&mut self.burst, self.now);
            let count = self.burst.len();
            if count == 0 {
                continue;
            }
            received += count;
            let now = self.clock.now();
            self.now = now;
            if let Some(stamps) = &mut intake.stamps {
                stamps.learn(&self.burst, count - 1, now);
            }
            for frame in 0..count {
                self.burst.prefetch(frame + AHEAD);
                let time = intake.stamps.as_ref().map_or(now, |stamps| stamps.time(&self.burst, frame, now));
                self.burst.mark(frame, intake.port, time);
            }
            self.hand_over(now);
        }
        if received == 0 {
            self.now = self.clock.now();
        }
        received
    }

    /// Sorts the burst by worker and fills the rings.
    fn hand_over(&mut self, now: u64) {
        if self.tunnels.collect(&mut self.held) {
            self.affinity.obey(&self.held.value);
        }
        let (workers, affinity) = (self.senders.len(), &mut self.affinity);
        let lost = self.burst.scatter(&mut self.sorted, |burst, at| {
            let frame = Frame { bytes: burst.bytes(at), wire_len: burst.wire_octets(at), link: Link::Ethernet, port: 0, time: now };
            worker_of(affinity.hash(&frame, now), workers)
        });
        debug_assert_eq!(lost, 0, "each worker's burst was empty and as large as this one");
        for ((sender, frames), counts) in self.senders.iter_mut().zip(&mut self.sorted).zip(&self.counts) {
            let count = frames.len();
            if count == 0 {
                continue;
            }
            let dropped = sender.send(frames);
            add(&counts.dispatched, count - dropped);
            if dropped != 0 {
                add(&counts.dispatch_dropped, dropped);
            }
        }
    }

    /// On a worker's core: lets it run while a ring is more than half full, else this thread would fill the rings in its time slice
    /// and drop what the worker could have taken in its own. The port's queue holds the frames meanwhile.
    fn give_turns(&self) {
        for _ in 0..TURNS_MAX {
            if self.senders.iter().all(|sender| sender.waiting() <= RING_PLACES / 2) {
                return;
            }
            thread::yield_now();
        }
    }
}

/// Adds to a counter that only this thread writes.
#[inline]
fn add(counter: &AtomicU64, count: usize) {
    counter.store(counter.load(Ordering::Relaxed) + count as u64, Ordering::Relaxed);
}
