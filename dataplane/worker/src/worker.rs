//! THE LOOP.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sonde_flow::{Flush, NAMES, Policy, Tracker};
use sonde_record::Output;
use sonde_stats::Block;

use crate::clock::Offset;
use crate::mailbox::{Letter, Mailbox};
use crate::source::{Polled, Source};

/// Lines of each table the sweep may pass in one burst: bounded work, and a pass a second up to 32,000 lines per millisecond.
const SWEEP_BUDGET: u32 = 32;
/// Most records a second that are written when the probe stops, so that exporters can follow (a ring holds some hundred thousand).
const FLUSH_PAUSE: std::time::Duration = std::time::Duration::from_millis(4);

/// A worker at work shows its counters so often, in nanoseconds of its clock: often enough for whoever looks, and seldom enough for a
/// reader to copy one publication between two.
const SHOW_EVERY_NS: u64 = 10_000;

/// Counters of a worker beside those of its tracker, in the stats block behind them.
const OWN: [&str; 5] = ["generation", "heartbeat_ns", "bursts", "idle_polls", "table_bytes"];

/// Names of a worker's counters in its stats block.
pub fn counter_names() -> Vec<&'static str> {
    NAMES.iter().chain(&OWN).copied().collect()
}

/// How the worker deals with time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// The clock goes on by itself: the sweep does bounded work a burst.
    Live,
    /// The clock is the recording's and may jump: the sweep does whatever a jump asks for, and stopping does not wait for readers.
    ///
    /// The table begins small, and grows to at most so many flows of each kind: nobody knows a recording's number of flows before.
    Recorded {
        /// Most flows of each kind.
        flows_max: u64,
    },
}

/// One worker: a source's frames become flows, flows become records.
#[derive(Debug)]
pub struct Worker<O: Output> {
    tracker: Tracker,
    output: O,
    block: Arc<Block>,
    mailbox: Arc<Mailbox<Policy>>,
    held: Arc<Letter<Policy>>,
    pace: Pace,
    bursts: u64,
    idle_polls: u64,
    now: u64,
    shown_at: u64,
    offset: Offset,
}

impl<O: Output> Worker<O> {
    /// Puts a worker together. `block` must have been made with [`counter_names`], or begin with them; whoever shares it may go on
    /// showing it when the worker has ended.
    pub fn new(tracker: Tracker, output: O, block: impl Into<Arc<Block>>, mailbox: Arc<Mailbox<Policy>>, pace: Pace) -> Self {
        let held = mailbox.latest();
        let block = block.into();
        let (shown_at, offset) = (0, Offset::default());
        let mut worker = Self { tracker, output, block, mailbox, held, pace, bursts: 0, idle_polls: 0, now: 0, shown_at, offset };
        worker.tracker.obey(worker.held.value);
        worker
    }

    /// Records show times by the wall clock, whose distance from the source's this is.
    #[must_use]
    pub fn with_offset(self, offset: Offset) -> Self {
        Self { offset, ..self }
    }

    /// Runs until told to stop or until the source ends. Everything that a packet costs is in this function's callees.
    ///
    /// Between start and stop nothing is allocated, no lock is waited for, nothing is logged.
    pub fn run<S: Source>(&mut self, source: &mut S, stop: &AtomicBool) {
        let budget = match self.pace {
            Pace::Live => SWEEP_BUDGET,
            Pace::Recorded { .. } => u32::MAX,
        };
        self.show();
        while !stop.load(Ordering::Relaxed) {
            let (tracker, output, clock) = (&mut self.tracker, &mut self.output, &mut self.now);
            // Receive: frames are lent until the end of this closure.
            let polled = source.burst(|frames, now| {
                *clock = now;
                tracker.sweep(now, budget, output); //         ended flows -> records
                let mut left = frames;
                loop {
                    let taken = tracker.decode(left, now); // frames -> packets with keys
                    tracker.track(left, now, output); //       packets -> flows
                    // Classify: payload of tracked packets -> application. Not yet.
                    // Mirror: received frames, tracked or not -> capture. Not yet.
                    left = left.get(taken..).unwrap_or_default();
                    if left.is_empty() {
                        break;
                    }
                }
                output.publish(); //                           records -> readers
            });
            self.bursts = self.bursts.wrapping_add(u64::from(polled == Polled::Frames));
            self.idle_polls = self.idle_polls.wrapping_add(u64::from(polled == Polled::Idle));
            self.quiesce();
            self.make_room();
            if polled == Polled::End {
                break;
            }
        }
        self.show();
    }

    /// A recording's table grows where a live one evicts.
    #[inline]
    fn make_room(&mut self) {
        if let Pace::Recorded { flows_max } = self.pace
            && self.tracker.make_room(flows_max, self.now, &mut self.output).is_err()
        {
            // The memory is not there: from now on it evicts, and the records say so.
            self.pace = Pace::Recorded { flows_max: 0 };
        }
    }

    /// Writes every flow that is left, with end reason 4 (forced end).
    pub fn finish(&mut self) {
        self.tracker.settle(self.now, &mut self.output);
        let mut flush = Flush::default();
        let mut records = self.tracker.counters().records();
        loop {
            let more = self.tracker.flush(&mut flush, &mut self.output);
            self.output.publish();
            self.show();
            if !more {
                return;
            }
            // Nobody sends packets any more: now the worker may wait for the readers of its ring.
            if self.pace == Pace::Live && self.tracker.counters().records() - records > 4000 {
                records = self.tracker.counters().records();
                std::thread::sleep(FLUSH_PAUSE);
            }
        }
    }

    /// Between two bursts: takes over new settings, and shows the counters when it is time. The generation in the stats block is the
    /// acknowledgement.
    #[inline]
    fn quiesce(&mut self) {
        if self.mailbox.collect(&mut self.held) {
            self.tracker.obey(self.held.value);
            self.show();
        } else if self.now.wrapping_sub(self.shown_at) >= SHOW_EVERY_NS {
            self.show();
        }
        self.tracker.set_offset(self.offset.get());
    }

    /// Shows the counters as they are: all of one moment, so that what was received is what was metered and what was not.
    fn show(&mut self) {
        self.shown_at = self.now;
        let heartbeat = self.now.saturating_add_signed(self.offset.get());
        let own = [self.held.generation, heartbeat, self.bursts, self.idle_polls, self.tracker.bytes()];
        self.block.publish(self.tracker.counters().values().iter().chain(&own));
    }

    /// The flows.
    pub fn tracker(&self) -> &Tracker {
        &self.tracker
    }

    /// Where records go.
    pub fn output(&mut self) -> &mut O {
        &mut self.output
    }
}
