//! One worker under measurement.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use sonde_flow::{Counter, Policy, Sizing, Tracker};
use sonde_memory::slab::Backing;
use sonde_memory::tags::Simd;
use sonde_record::ring::Writer;
use sonde_stats::{Block, Kind};
use sonde_worker::bench::{Metered, Muted, NEVER, Stages, stages};
use sonde_worker::mailbox::{Letter, Mailbox};
use sonde_worker::source::Source;
use sonde_worker::{Pace, Worker, counter_names};

/// Rounds of a measurement. In each, records are thrown away for a fifth of the time: what is spent less is the price of writing
/// them. Taken in turn, both meet the same machine.
const ROUNDS: u32 = 5;
/// Least packets that source and decoder are measured over.
const PACKETS_MIN: u64 = 4_000_000;

/// A worker, its source and its ring.
#[derive(Debug)]
pub(super) struct Rig<S> {
    source: S,
    frames: u64,
    worker: Worker<Muted<Writer>>,
    stages: Stages,
    bytes: u64,
    flows: u64,
    backing: Backing,
    simd: Simd,
    resident: u64,
}

/// What was measured of one worker, in CPU time.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Part {
    pub(super) seconds: f64,
    pub(super) packets: u64,
    pub(super) octets: u64,
    /// Records written in that time.
    pub(super) records: u64,
    /// The same without writing records.
    pub(super) muted_seconds: f64,
    pub(super) muted_packets: u64,
}

/// What stands when all is over.
#[derive(Clone, Copy, Debug)]
pub(super) struct Finished {
    pub(super) stages: Stages,
    pub(super) received: u64,
    pub(super) metered: u64,
    pub(super) not_metered: u64,
    pub(super) balances: bool,
    /// Records in the ring since it was made.
    pub(super) records: u64,
    /// Bytes of the tables, and flows they are for.
    pub(super) bytes: u64,
    pub(super) flows: u64,
    pub(super) flows_active: u64,
    pub(super) backing: Backing,
    pub(super) simd: Simd,
    /// Resident memory before the first measurement and after the last.
    pub(super) resident: [u64; 2],
}

impl<S: Source> Rig<S> {
    pub(super) fn new(source: S, frames: u64, sizing: &Sizing, ring: Writer) -> Result<Self> {
        let tracker = Tracker::new(sizing, Policy::default()).context("the flow tables of the benchmark")?;
        let (bytes, backing) = (tracker.bytes(), tracker.backing());
        let block = Block::detached(Kind::Worker, "bench", &counter_names());
        let mailbox = Arc::new(Mailbox::new(Letter { generation: 1, value: Policy::default() }));
        let worker = Worker::new(tracker, Muted { output: ring, mute: false }, block, mailbox, Pace::Live);
        let flows = sizing.ipv4 + sizing.wide;
        Ok(Self { source, frames, worker, stages: Stages::default(), bytes, flows, backing, simd: sizing.simd, resident: 0 })
    }

    /// Measures what does not need the worker, and fills the table: every frame goes through twice.
    pub(super) fn warm_up(&mut self) -> Result<()> {
        if self.frames == 0 {
            bail!("the capture holds no frame");
        }
        self.stages = stages(&mut self.source, self.frames.max(PACKETS_MIN));
        self.pass(self.frames.saturating_mul(2), Duration::ZERO);
        self.resident = resident();
        Ok(())
    }

    fn pass(&mut self, warm_up: u64, time: Duration) -> (Duration, (u64, u64)) {
        let mut metered = Metered::new(&mut self.source, warm_up, time);
        self.worker.run(&mut metered, &NEVER);
        (metered.elapsed, metered.measured)
    }

    /// Measures for so much CPU time.
    pub(super) fn measure(&mut self, time: Duration) -> Part {
        let mut part = Part::default();
        for _ in 0..ROUNDS {
            self.worker.output().mute = true;
            let (elapsed, (packets, _)) = self.pass(0, time / ROUNDS / 5);
            part.muted_seconds += elapsed.as_secs_f64();
            part.muted_packets += packets;
            self.worker.output().mute = false;
            let before = self.worker.output().output.records();
            let (elapsed, (packets, octets)) = self.pass(0, time / ROUNDS);
            part.seconds += elapsed.as_secs_f64();
            part.packets += packets;
            part.octets += octets;
            part.records += self.worker.output().output.records() - before;
        }
        part
    }

    /// Ends the ring and draws the balance.
    pub(super) fn finish(mut self) -> Finished {
        let counters = self.worker.tracker().counters();
        Finished {
            stages: self.stages,
            received: counters.get(Counter::Received),
            metered: counters.metered(),
            not_metered: counters.reasons().map(|(_, count)| count).sum(),
            balances: counters.balances(),
            flows_active: counters.get(Counter::FlowsActive),
            bytes: self.bytes,
            flows: self.flows,
            backing: self.backing,
            simd: self.simd,
            records: self.worker.output().output.records(),
            resident: [self.resident, resident()],
        }
    }
}

/// Resident memory of this process in bytes, with its reserved huge pages; 0 where the kernel does not say.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kib = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next()?.parse::<u64>().ok());
    (kib("VmRSS:").unwrap_or(0) + kib("HugetlbPages:").unwrap_or(0)) * 1024
}
