//! The worker threads: one on each core named, from its tables to its last record.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{Builder, JoinHandle};

use dpdk_sys::Eal;
use sonde_flow::{Policy, Sizing, Tracker};
use sonde_memory::slab::Backing;
use sonde_packet::Tunnels;
use sonde_record::ring::{Keeper, Writer};
use sonde_settings::{Live, paths};
use sonde_stats::{Block, Kind, Segment};
use sonde_system::Folder;
use sonde_worker::clock::{Offset, Watch};
use sonde_worker::mailbox::{Letter, Mailbox};
use sonde_worker::source::Source;
use sonde_worker::{Pace, Worker, counter_names};

use crate::error::StartError;
use crate::machine::{self, mib};
use crate::privileges;
use crate::source::WorkerCounts;

/// What one worker is made from.
#[derive(Clone, Debug)]
pub struct WorkerConfig {
    /// Core it is pinned to.
    pub core: u32,
    /// Folder of the shared memory.
    pub shared: Folder,
    /// Bytes of its record ring.
    pub ring_bytes: usize,
    /// Its tables; `worker` is its number.
    pub sizing: Sizing,
}

/// The policy of the workers, from the settings.
pub fn policy(live: &Live) -> Policy {
    let ns = |ms: u32| u64::from(ms) * 1_000_000;
    let t = live.timeouts;
    Policy {
        timeouts: sonde_flow::Timeouts { idle: ns(t.idle_timeout_ms), active: ns(t.active_timeout_ms), linger: ns(t.tcp_end_linger_ms) },
        vlan_in_key: live.vlan_in_key,
        icmp_type_in_key: live.icmp_type_in_key,
        virtual_network_in_key: live.virtual_network_in_key,
        tunnels: live.tunnels,
    }
}

/// Counters in a worker's block behind the worker's own; the control thread writes them.
const BESIDE: [&str; 8] =
    ["core", "dispatched", "dispatch_dropped", "segmented", "rings_renewed", "clock_steps", "clock_step_ahead_ms", "clock_step_back_ms"];
/// Places of those among them that are written by themselves.
const RINGS_RENEWED: usize = 4;
const CLOCK: usize = 5;

/// Index of the counter that is the acknowledgement.
fn generation_index() -> usize {
    counter_names().iter().position(|name| *name == "generation").expect("workers show their generation")
}

/// A worker as the control thread knows it.
#[derive(Debug)]
struct Member {
    number: u8,
    mailbox: Arc<Mailbox<Policy>>,
    /// Shown until this is dropped, when the thread has long ended.
    block: Arc<Block>,
    /// Whether the worker ran until it was told to stop.
    thread: JoinHandle<bool>,
}

/// Workers that have their memory and wait for their sources.
#[derive(Debug)]
pub struct Waiting<S> {
    members: Vec<Member>,
    sources: Vec<Sender<S>>,
    stop: Arc<AtomicBool>,
    keepers: Vec<Keeper>,
    /// What the workers add to times for records to show them by the wall clock.
    pub offset: Offset,
    /// The pages the tables stand in: the least good of all workers'.
    pub backing: Backing,
    /// Bytes of all tables.
    pub table_bytes: u64,
}

/// Starts the threads: each makes its tables and its ring on its own core, so that the memory is local to it, and waits.
///
/// # Errors
/// The first thing that is not there: memory, shared memory, a core. Every thread has ended then.
pub fn gather<S: Source + Send + 'static>(
    eal: &Eal,
    segment: &Segment,
    configs: Vec<WorkerConfig>,
    first: Letter<Policy>,
) -> Result<Waiting<S>, StartError> {
    let stop = Arc::new(AtomicBool::new(false));
    let mut waiting = Waiting {
        members: Vec::new(),
        sources: Vec::new(),
        stop,
        keepers: Vec::new(),
        offset: Offset::default(),
        backing: Backing::Huge,
        table_bytes: 0,
    };
    let mut answers = Vec::new();
    let mut outcome = Ok(());
    for config in configs {
        match waiting.admit(eal, segment, config, first) {
            Ok(answer) => answers.push(answer),
            Err(e) => {
                outcome = Err(e);
                break;
            }
        }
    }
    for answer in answers {
        // A thread that ends without an answer has panicked; its message is on stderr.
        let answer = answer.recv().unwrap_or_else(|_| Err(StartError::Other("a worker ended by a fault of the program".into())));
        match answer {
            Ok((backing, bytes, keeper)) => {
                waiting.keepers.push(keeper);
                waiting.backing = waiting.backing.max(backing);
                waiting.table_bytes += bytes;
            }
            Err(e) => outcome = outcome.and(Err(e)),
        }
    }
    match outcome {
        Ok(()) => Ok(waiting),
        Err(e) => {
            waiting.disband();
            Err(e)
        }
    }
}

/// Pages and bytes of a worker's tables, and who looks after its ring; or why there are none.
type Answer = Result<(Backing, u64, Keeper), StartError>;

impl<S: Source + Send + 'static> Waiting<S> {
    /// Starts one thread, and gives the end of its answer.
    fn admit(&mut self, eal: &Eal, segment: &Segment, config: WorkerConfig, first: Letter<Policy>) -> Result<Receiver<Answer>, StartError> {
        let number = config.sizing.worker;
        let name = format!("worker-{number}");
        let names = counter_names();
        let block = segment.block_of(Kind::Worker, &name, &names, &BESIDE).map_err(|e| StartError::Other(e.to_string()))?;
        block.set(names.len(), config.core.into());
        // It is made to obey this generation from its first packet on: who asks before that gets the same answer.
        block.set(generation_index(), first.generation);
        let block = Arc::new(block);
        let mailbox = Arc::new(Mailbox::new(first));
        let (source, sources) = channel();
        let (answer, answered) = channel();
        let worker = WorkerThread {
            eal: eal.clone(),
            block: Arc::clone(&block),
            mailbox: Arc::clone(&mailbox),
            stop: Arc::clone(&self.stop),
            sources,
            offset: self.offset.clone(),
        };
        let thread = Builder::new()
            .name(name)
            .spawn(move || worker.work(&config, &answer))
            .map_err(|e| StartError::Other(format!("cannot start the thread of worker {number}: {e}; see `ulimit -u`")))?;
        self.members.push(Member { number, mailbox, block, thread });
        self.sources.push(source);
        Ok(answered)
    }
}

/// What a worker's thread holds.
struct WorkerThread<S> {
    eal: Eal,
    block: Arc<Block>,
    mailbox: Arc<Mailbox<Policy>>,
    stop: Arc<AtomicBool>,
    sources: Receiver<S>,
    offset: Offset,
}

impl<S: Source> WorkerThread<S> {
    /// The life of a worker. Answers whether it ran until it was told to stop.
    fn work(self, config: &WorkerConfig, answer: &Sender<Answer>) -> bool {
        let (tracker, ring) = match furnish(config, self.mailbox.latest().value) {
            Ok(made) => made,
            Err(e) => {
                // Nobody listens when another worker has failed before.
                let _ = answer.send(Err(e));
                return false;
            }
        };
        // Known to DPDK, the thread has a cache of packet buffers of its own.
        let _registered = match self.eal.register_thread() {
            Ok(registered) => registered,
            Err(e) => {
                let _ = answer.send(Err(StartError::Other(e.to_string())));
                return false;
            }
        };
        self.block.text("memory", &tracker.backing().to_string());
        let _ = answer.send(Ok((tracker.backing(), tracker.bytes(), ring.keeper())));
        // No source comes when another worker has failed.
        let Ok(mut source) = self.sources.recv() else { return false };
        privileges::settle_thread();
        let mut worker = Worker::new(tracker, ring, self.block, self.mailbox, Pace::Live).with_offset(self.offset);
        worker.run(&mut source, &self.stop);
        // The frames go back first: the flush takes a while, and needs none.
        drop(source);
        worker.finish();
        // With the worker goes the writing end of its ring, which tells the readers that it was the last record.
        drop(worker);
        self.stop.load(Ordering::Relaxed)
    }
}

fn furnish(config: &WorkerConfig, policy: Policy) -> Result<(Tracker, Writer), StartError> {
    let number = config.sizing.worker;
    machine::pin(config.core)?;
    let tracker = Tracker::new(&config.sizing, policy).map_err(|e| StartError::Memory {
        what: format!("the flow tables of worker {number}"),
        needed_mib: mib(e.needed),
        available_mib: e.available >> 20,
    })?;
    let ring = Writer::create_in(&config.shared, &paths::ring(number.into()), config.ring_bytes, number)
        .map_err(|e| StartError::Other(format!("cannot make the record ring of worker {number}: {e}; or lower boot.records.ring_bytes")))?;
    Ok((tracker, ring))
}

impl<S> Waiting<S> {
    /// Gives each worker its source (in the order of their numbers) and lets it run.
    /// `dispatcher`: where the dispatcher is told what is metered of tunnels.
    pub fn go(self, sources: Vec<S>, dispatcher: Option<Arc<Mailbox<Tunnels>>>) -> Workers {
        assert_eq!(sources.len(), self.members.len(), "a source for each worker");
        for (sender, source) in self.sources.iter().zip(sources) {
            // A thread that is gone is found by `Workers::lost`.
            let _ = sender.send(source);
        }
        let mut posts = Vec::new();
        let mut threads = Vec::new();
        for Member { number, mailbox, block, thread } in self.members {
            posts.push((mailbox, block));
            threads.push((number, thread));
        }
        let (generation, beside) = (generation_index(), counter_names().len());
        let keepers = parking_lot::Mutex::new(self.keepers.into_iter().map(|keeper| (keeper, String::new())).collect());
        Workers { posts, dispatcher, threads: parking_lot::Mutex::new(threads), stop: self.stop, keepers, generation, beside }
    }

    /// Ends the threads and waits for it: the environment must not be cleaned up while they hold some of it.
    pub fn disband(self) {
        drop(self.sources);
        for member in self.members {
            // A panic has been said on stderr by now.
            let _ = member.thread.join();
        }
    }
}

/// The workers at work.
#[derive(Debug)]
pub struct Workers {
    posts: Vec<(Arc<Mailbox<Policy>>, Arc<Block>)>,
    dispatcher: Option<Arc<Mailbox<Tunnels>>>,
    threads: parking_lot::Mutex<Vec<(u8, JoinHandle<bool>)>>,
    stop: Arc<AtomicBool>,
    /// Who looks after each worker's ring, and what was last said of it in vain.
    keepers: parking_lot::Mutex<Vec<(Keeper, String)>>,
    /// Index of the counter that is the acknowledgement.
    generation: usize,
    /// Index of the first counter of [`BESIDE`].
    beside: usize,
}

impl Workers {
    /// Posts settings to every worker.
    pub fn publish(&self, live: &Live, generation: u64) {
        for (post, _) in &self.posts {
            post.post(Letter { generation, value: policy(live) });
        }
        if let Some(post) = &self.dispatcher {
            post.post(Letter { generation, value: live.tunnels });
        }
    }

    /// Generation each worker obeys, as it says itself in its block.
    fn generations(&self) -> impl Iterator<Item = u64> {
        self.posts.iter().map(|(_, block)| block.get(self.generation))
    }

    /// Workers that do not obey the generation yet.
    pub fn late(&self, generation: u64) -> Vec<u32> {
        (0..).zip(self.generations()).filter(|(_, obeyed)| *obeyed != generation).map(|(worker, _)| worker).collect()
    }

    /// Generation every worker obeys.
    pub fn in_force(&self) -> u64 {
        self.generations().min().unwrap_or(0)
    }

    /// Packets all workers took from their sources.
    pub fn received(&self) -> u64 {
        self.blocks().map(|block| block.get(sonde_flow::Counter::Received as usize)).sum()
    }

    /// The blocks, in the order of the workers.
    pub fn blocks(&self) -> impl Iterator<Item = &Arc<Block>> {
        self.posts.iter().map(|(_, block)| block)
    }

    /// Shows what happened to a worker's frames before it saw them.
    pub fn show_counts(&self, counts: &[Arc<WorkerCounts>]) {
        for ((_, block), counts) in self.posts.iter().zip(counts) {
            let values = [&counts.dispatched, &counts.dispatch_dropped, &counts.segmented];
            for (at, value) in values.into_iter().enumerate() {
                block.set(self.beside + 1 + at, value.load(Ordering::Relaxed));
            }
        }
    }

    /// Looks after the workers' rings, and says what somebody else has done to them: once, not every second.
    pub fn keep_rings(&self) {
        for ((_, block), (keeper, said)) in self.posts.iter().zip(self.keepers.lock().iter_mut()) {
            let path = keeper.path().display();
            match keeper.check() {
                Ok(None) => said.clear(),
                Ok(Some(damage)) => {
                    block.add(self.beside + RINGS_RENEWED, 1);
                    tracing::error!(
                        "the record ring {path} {damage}; a new one takes its place. Who had not read its records counts them as lost. Find out \
                         who writes to that folder"
                    );
                }
                Err(e) if e.to_string() != *said => {
                    *said = e.to_string();
                    tracing::error!("the record ring {path} is damaged, and a new one cannot be made: {e}; it is tried again every second");
                }
                Err(_) => {}
            }
        }
    }

    /// Shows how often the wall clock was stepped, and by how much the last time.
    pub fn show_clock(&self, watch: &Watch) {
        let [ahead, back] = watch.latest_ms();
        for block in self.blocks() {
            for (at, value) in [watch.steps(), ahead, back].into_iter().enumerate() {
                block.set(self.beside + CLOCK + at, value);
            }
        }
    }

    /// A worker whose thread has ended although nobody told it to: a fault of the program.
    pub fn lost(&self) -> Option<u8> {
        self.threads.lock().iter().find(|(_, thread)| thread.is_finished()).map(|(number, _)| *number)
    }

    /// Stops the workers and waits until each has written all its flows; the numbers of those that had ended by a fault. Blocks:
    /// not for the control thread.
    pub fn stop(&self) -> Vec<u8> {
        self.stop.store(true, Ordering::Relaxed);
        let threads = std::mem::take(&mut *self.threads.lock());
        threads.into_iter().filter_map(|(number, thread)| (!thread.join().unwrap_or(false)).then_some(number)).collect()
    }
}
