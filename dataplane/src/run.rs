//! The life of a dataplane that has started: the control thread's loop, and the clean stop.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use dpdk_sys::Eal;
use sonde_stats::{Block, BlockView, Segment};
use sonde_worker::clock::Watch;
use tokio::net::UnixListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::MissedTickBehavior;

use crate::console::say;
use crate::control::Control;
use crate::error::StartError;
use crate::gauges::Gauge;
use crate::lookups::Lookups;
use crate::machine;
use crate::places::Places;
use crate::source::{Dispatcher, OpenPort, WorkerCounts};
use crate::southbound;
use crate::summary::Summary;
use crate::workers::Workers;

/// How often the control thread shows its heartbeat and reads the ports.
const BEAT: Duration = Duration::from_secs(1);
/// How long clients of the southbound service get to hang up.
const HANG_UP: Duration = Duration::from_millis(500);
/// How long the workers get to take what the dispatcher has put into their rings.
const LAST_PACKETS: Duration = Duration::from_millis(200);

/// The dispatcher's thread.
#[derive(Debug)]
pub struct DispatcherThread {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl DispatcherThread {
    /// Starts it on its core.
    ///
    /// # Errors
    /// The system does not give a thread.
    pub fn start(eal: &Eal, mut dispatcher: Dispatcher, core: u32) -> Result<Self, StartError> {
        let eal = eal.clone();
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        let body = move || {
            // The core was among ours when the workers were pinned; unpinned it would only be slower.
            if let Err(e) = machine::pin(core) {
                tracing::warn!("the dispatcher is not pinned: {e}");
            }
            // Known to DPDK, it has a cache of packet buffers of its own; unknown it works too.
            let _registered = eal.register_thread().inspect_err(|e| tracing::warn!("the dispatcher: {e}"));
            dispatcher.run(&told);
        };
        let thread = Builder::new()
            .name("dispatcher".to_owned())
            .spawn(body)
            .map_err(|e| StartError::Other(format!("cannot start the thread of the dispatcher: {e}; see `ulimit -u`")))?;
        Ok(Self { stop, thread })
    }

    fn is_lost(&self) -> bool {
        self.thread.is_finished()
    }

    fn stop(self) -> bool {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().is_ok()
    }
}

/// A dataplane that runs.
#[derive(Debug)]
pub struct Running {
    /// What runs.
    pub supervisor: Supervisor,
    /// The southbound service.
    pub control: Control,
    /// The southbound socket.
    pub listener: UnixListener,
    /// The instance's places.
    pub places: Places,
}

/// Looks after what runs on the packet clock, for the control thread.
#[derive(Debug)]
pub struct Supervisor {
    /// The workers.
    pub workers: Arc<Workers>,
    /// What happens to each worker's frames before it sees them.
    pub counts: Vec<Arc<WorkerCounts>>,
    /// The dispatcher, where there is one.
    pub dispatcher: Option<DispatcherThread>,
    /// The ports, and what they count.
    pub gauges: Vec<(Gauge, OpenPort)>,
    /// What addresses are looked up in.
    pub lookups: Arc<Lookups>,
    /// The shared memory.
    pub segment: Segment,
    /// What was last said of it in vain.
    pub said: String,
    /// Looks whether the wall clock was stepped.
    pub watch: Watch,
}

/// Why the dataplane stops.
enum Cause {
    /// Somebody said so.
    Told(&'static str),
    /// It cannot go on.
    Fault(String),
}

/// The signals that mean: stop.
struct Signals([(&'static str, Signal); 3]);

impl Signals {
    fn new() -> std::io::Result<Self> {
        let listen = |kind: fn() -> SignalKind| signal(kind());
        Ok(Self([
            ("SIGINT", listen(SignalKind::interrupt)?),
            ("SIGTERM", listen(SignalKind::terminate)?),
            ("SIGHUP", listen(SignalKind::hangup)?),
        ]))
    }

    async fn next(&mut self) -> &'static str {
        let [int, term, hup] = &mut self.0;
        tokio::select! {
            _ = int.1.recv() => int.0,
            _ = term.1.recv() => term.0,
            _ = hup.1.recv() => hup.0,
        }
    }
}

impl Running {
    /// Lives until told to stop, and stops cleanly: flows become records, records are sent, counters are said.
    pub async fn live(self) -> ExitCode {
        let Self { mut supervisor, control, listener, places } = self;
        let mut asked = control.stop_asked();
        let mut hang_up = control.stop_asked();
        let until = async move {
            // An error is the end of the service as well.
            let _ = hang_up.wait_for(|stop| *stop).await;
        };
        let mut server = tokio::spawn(southbound::serve(listener, control.clone(), until));
        let signals = Signals::new();
        let paths = &places.paths;
        say(&format!("running: southbound {}, counters {}; Ctrl-C stops it", paths.southbound().display(), paths.stats().display()));
        let cause = match signals {
            Err(e) => Cause::Fault(format!("it cannot listen to signals: {e}")),
            Ok(mut signals) => {
                let cause = tokio::select! {
                    signal = signals.next() => Cause::Told(signal),
                    _ = asked.wait_for(|stop| *stop) => Cause::Told("a shutdown by the control plane"),
                    ended = &mut server => Cause::Fault(format!("the southbound service ended: {ended:?}")),
                    fault = supervisor.watch() => Cause::Fault(fault),
                };
                tokio::spawn(impatience(signals));
                cause
            }
        };
        match &cause {
            Cause::Told(by) => say(&format!("stopping, because of {by}; once more stops at once")),
            Cause::Fault(fault) => tracing::error!("stopping: {fault}"),
        }
        control.stop();
        // A client that holds its connection does not hold up the stop.
        if tokio::time::timeout(HANG_UP, &mut server).await.is_err() {
            server.abort();
        }
        let clean = supervisor.stop(&control, &places).await;
        match cause {
            Cause::Told(_) if clean => ExitCode::SUCCESS,
            _ => ExitCode::FAILURE,
        }
    }
}

/// A second signal: whoever sends it does not want to wait for collectors.
async fn impatience(mut signals: Signals) {
    let signal = signals.next().await;
    say(&format!("{signal} again: stopped at once, flows that were not sent are lost"));
    std::process::exit(1);
}

impl Supervisor {
    /// Shows that the process lives, and what the ports count. Ends with a sentence when something is broken.
    async fn watch(&mut self) -> String {
        let mut beat = tokio::time::interval(BEAT);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            beat.tick().await;
            self.beat();
            if let Some(worker) = self.workers.lost() {
                return format!("worker {worker} has ended by a fault of the program");
            }
            if self.dispatcher.as_ref().is_some_and(DispatcherThread::is_lost) {
                return "the dispatcher has ended by a fault of the program".to_owned();
            }
        }
    }

    fn beat(&mut self) {
        self.segment.heartbeat(now_ns());
        self.keep_segment();
        self.workers.keep_rings();
        self.workers.show_counts(&self.counts);
        if let Some(step) = self.watch.look() {
            let (seconds, way) = (step.unsigned_abs() as f64 / 1e9, if step < 0 { "back" } else { "ahead" });
            tracing::warn!(
                "the system's clock was stepped {way} by {seconds:.3} s: flows are shown by it from now on, their durations stay"
            );
            self.workers.show_clock(&self.watch);
        }
        for (gauge, port) in &mut self.gauges {
            gauge.read(&port.port);
        }
        self.lookups.show();
    }

    /// Makes the statistics whole where somebody else has damaged them, and says so: once, not every second.
    fn keep_segment(&mut self) {
        let path = self.segment.path().display();
        match self.segment.mend() {
            Ok(None) => self.said.clear(),
            Ok(Some(damage)) => {
                tracing::error!(
                    "the statistics {path} {damage}; they were made again, with every count. Find out who writes to that folder"
                );
            }
            Err(e) if e.to_string() != self.said => {
                self.said = e.to_string();
                tracing::error!("the statistics {path} are damaged, and cannot be made again: {e}; it is tried again every second");
            }
            Err(_) => {}
        }
    }

    /// Stops from the packets to the records, and says what was counted. Whether nothing was broken.
    async fn stop(mut self, control: &Control, places: &Places) -> bool {
        let mut faults = Vec::new();
        if let Some(dispatcher) = self.dispatcher.take()
            && !dispatcher.stop()
        {
            faults.push("the dispatcher had ended by a fault of the program".to_owned());
        }
        self.last_packets().await;
        let workers = Arc::clone(&self.workers);
        let mut flushed = tokio::task::spawn_blocking(move || workers.stop());
        // A large table takes a while to flush, and the process lives meanwhile.
        let lost = loop {
            match tokio::time::timeout(BEAT, &mut flushed).await {
                Ok(lost) => break lost.unwrap_or_default(),
                Err(_) => self.beat(),
            }
        };
        faults.extend(lost.iter().map(|worker| format!("worker {worker} had ended by a fault of the program; its last flows are lost")));
        self.beat();
        let mut in_force = control.in_force().await;
        faults.extend(in_force.exporters.stop().await.err().unwrap_or_default());
        let blocks: Vec<BlockView> = self.blocks().chain(in_force.exporters.blocks().map(AsRef::as_ref)).filter_map(Block::view).collect();
        let summary = Summary::of(&blocks);
        say(&summary.to_string());
        for fault in &faults {
            tracing::error!("{fault}");
        }
        // The rings have been read by whoever was there; a counter is worth reading later, so the segment stays.
        places.leave();
        self.segment.heartbeat(now_ns());
        // Before the blocks are dropped: they stay in the segment with their last counts.
        self.segment.end();
        faults.is_empty() && summary.balances()
    }

    fn blocks(&self) -> impl Iterator<Item = &Block> {
        self.workers.blocks().map(AsRef::as_ref).chain(self.gauges.iter().map(|(gauge, _)| gauge.block()))
    }

    /// Gives the workers a moment to take what stands in their rings: it was received.
    async fn last_packets(&self) {
        if self.counts.iter().all(|counts| counts.dispatched.load(Ordering::Relaxed) == 0) {
            return;
        }
        let deadline = Instant::now() + LAST_PACKETS;
        let taken = || self.workers.received() >= self.counts.iter().map(|counts| counts.dispatched.load(Ordering::Relaxed)).sum::<u64>();
        while !taken() && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

fn now_ns() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_nanos()).unwrap_or(u64::MAX)
}
