//! A recording through the worker loop, from its first packet to the end of its last flow.

use std::fs::{File, Metadata};
use std::io::Read;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use sonde_flow::pattern::Wants;
use sonde_flow::{Counter, Counters, Policy, Room, Sizing, Timeouts, Tracker};
use sonde_memory::slab::{OutOfMemory, Wanted};
use sonde_memory::tags::Simd;
use sonde_memory::{FileMap, MapError};
use sonde_packet::{Link, Tunnels, View};
use sonde_record::Output;
use sonde_stats::{Block, Kind};
use sonde_unpack::Packing;

use crate::capture::{Batch, Capture, Fault, Passed, Waiting};
use crate::mailbox::{Letter, Mailbox};
use crate::source::FileSource;
use crate::source::feed::Feed;
use crate::source::file::Carried;
use crate::worker::{Pace, Worker, counter_names};

/// How a recording is metered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplaySettings {
    /// A flow ends when no packet came for so long, nanoseconds.
    pub idle_timeout_ns: u64,
    /// A flow that goes on is reported so often, nanoseconds.
    pub active_timeout_ns: u64,
    /// A closed TCP connection waits so long for its last segments, nanoseconds.
    pub tcp_end_linger_ns: u64,
    /// Whether VLAN ids are part of the flow key.
    pub vlan_in_key: bool,
    /// Whether the type and code of ICMP are part of the flow key.
    pub icmp_type_in_key: bool,
    /// Whether virtual networks (VNI, VSID, I-SID) are part of the flow key.
    pub virtual_network_in_key: bool,
    /// Which flow of a tunnelled packet is metered.
    pub tunnels: Tunnels,
    /// Which patterns of packets are kept.
    pub patterns: Wants,
    /// Most flows at a time of each kind: IPv4, and all others. A table begins small and grows to this; then it evicts.
    pub flows_max: u64,
}

impl Default for ReplaySettings {
    fn default() -> Self {
        let Timeouts { idle, active, linger } = Timeouts::default();
        // Both views: a recording is looked at by people.
        let tunnels = Tunnels::new(View::Both, 4);
        Self {
            idle_timeout_ns: idle,
            active_timeout_ns: active,
            tcp_end_linger_ns: linger,
            vlan_in_key: true,
            icmp_type_in_key: true,
            virtual_network_in_key: true,
            tunnels,
            patterns: Wants::default(),
            flows_max: 4 << 20,
        }
    }
}

/// Why a recording could not be replayed at all.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The file cannot be opened or mapped.
    #[error(transparent)]
    Map(#[from] MapError),
    /// The file is no capture.
    #[error("{path}: {fault}", path = path.display())]
    NotReadable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        fault: Fault,
    },
    /// The system gives no thread to read the input with.
    #[error("cannot start the thread that reads the input: {0}; see `ulimit -u`")]
    Thread(std::io::Error),
    /// The flow table does not fit into memory.
    #[error("a table for {flows} flows does not fit: {source}; ask for fewer")]
    Memory {
        /// Flows of each kind that were asked for.
        flows: u64,
        /// What is there.
        source: OutOfMemory,
    },
}

/// What became of the packets of a recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Packets read.
    pub received: u64,
    /// Packets that are in a flow.
    pub metered: u64,
    /// Those of them that have no IP header.
    pub layer2: u64,
    /// Packets that were not captured whole.
    pub cut: u64,
    /// Packets that are in no flow, by reason; reasons that did not occur are not listed.
    pub reasons: Vec<(&'static str, u64)>,
    /// Flows.
    pub flows: u64,
    /// Records of them: several where timeouts have split a flow.
    pub records: u64,
    /// Records that were written early because the table was full.
    pub evicted: u64,
    /// Packets whose times were more than an hour away and not believed: they were metered with the time of the packet before.
    pub absurd_times: u64,
    /// What ended the reading before the end of the file.
    pub fault: Option<Fault>,
    /// Packets of link types that are not read. They are not among those received.
    pub passed: Passed,
}

/// What the source knows when the reading has ended.
struct Ended {
    fault: Option<Fault>,
    absurd_times: u64,
    passed: Passed,
}

impl Summary {
    fn new(counters: &Counters, ended: Ended) -> Self {
        let Ended { fault, absurd_times, passed } = ended;
        let occurred = counters.reasons().filter(|(_, count)| *count > 0);
        Self {
            received: counters.get(Counter::Received),
            metered: counters.metered(),
            layer2: counters.get(Counter::MeteredLayer2),
            cut: counters.get(Counter::FramesCut),
            reasons: occurred.map(|(reason, count)| (reason.name(), count)).collect(),
            flows: counters.get(Counter::FlowsCreated),
            records: counters.records(),
            evicted: counters.get(Counter::RecordsLackOfResources),
            absurd_times,
            fault,
            passed,
        }
    }

    /// Whether every packet has its place: received = metered + every reason.
    pub fn balances(&self) -> bool {
        self.received == self.metered.saturating_add(self.reasons.iter().map(|(_, count)| count).sum())
    }
}

/// A recording that is open: a file that is mapped, or input that is read in pieces (a pipe, a compressed file).
#[derive(Debug)]
pub struct Recording {
    input: Input,
    path: PathBuf,
    ethernet: bool,
    octets: Option<u64>,
}

#[derive(Debug)]
enum Input {
    Mapped(FileMap),
    Fed(Feed),
}

/// Flows a table is made for in the beginning: it fits into a second-level cache.
const FLOWS_FIRST: u64 = 4096;

impl Recording {
    /// Opens a capture: a file, compressed or not, or a pipe.
    ///
    /// # Errors
    /// When it cannot be opened or mapped, or is no capture.
    pub fn open(path: &Path) -> Result<Self, ReplayError> {
        let system = |action, cause| MapError::System { action, path: path.to_owned(), cause };
        let found = std::fs::metadata(path).map_err(|cause| system("open", cause))?;
        let kind = found.file_type();
        if kind.is_fifo() || kind.is_char_device() {
            let file = File::open(path).map_err(|cause| system("open", cause))?;
            return Self::fed(path, file, None);
        }
        let map = FileMap::open(path)?;
        if Packing::of(map.bytes()) != Packing::Plain {
            let file = File::open(path).map_err(|cause| system("open", cause))?;
            return Self::fed(path, file, Some(&found));
        }
        let mut capture = Capture::open(map.bytes()).map_err(|fault| ReplayError::NotReadable { path: path.to_owned(), fault })?;
        let ethernet = begins_with_ethernet(&mut capture);
        let octets = Some(map.bytes().len() as u64);
        Ok(Self { input: Input::Mapped(map), path: path.to_owned(), ethernet, octets })
    }

    /// Reads a capture, compressed or not, from an open pipe or file. `name` stands in messages.
    ///
    /// # Errors
    /// When it is no capture.
    pub fn read(name: &Path, input: impl Read + Send + 'static) -> Result<Self, ReplayError> {
        Self::fed(name, input, None)
    }

    fn fed(name: &Path, input: impl Read + Send + 'static, metadata: Option<&Metadata>) -> Result<Self, ReplayError> {
        let not_readable = |what| ReplayError::NotReadable { path: name.to_owned(), fault: Fault { offset: 0, what } };
        let mut feed = Feed::start(input, metadata.is_none()).map_err(ReplayError::Thread)?;
        // The first octets tell whether it is a capture at all; a pipe may hand them over one by one.
        let mut wanted = false;
        let ethernet = loop {
            let piece = feed.gather(wanted).map_err(not_readable)?;
            let goes_on = piece.goes_on;
            match Capture::open(piece.bytes) {
                Ok(mut capture) => break begins_with_ethernet(&mut capture),
                Err(fault) if goes_on && (fault.what.is_cut() || piece.bytes.len() < size_of::<u32>()) => wanted = true,
                Err(fault) => return Err(not_readable(feed.damage().unwrap_or(fault.what))),
            }
        };
        Ok(Self { input: Input::Fed(feed), path: name.to_owned(), ethernet, octets: metadata.map(Metadata::len) })
    }

    /// Whether its frames have MAC addresses, going by the first of them.
    pub fn ethernet(&self) -> bool {
        self.ethernet
    }

    /// Length of the file as it is stored; `None` for a pipe.
    pub fn octets(&self) -> Option<u64> {
        self.octets
    }

    /// Runs the recording through [`Worker::run`] with a table of its own, and ends what is left (end reason 4). Another thread may
    /// watch `position`, the octets read.
    ///
    /// # Errors
    /// When the table does not fit into memory. A damaged file is no error: [`Summary::fault`] says where reading ended.
    pub fn run(self, settings: &ReplaySettings, output: &mut impl Output, position: Option<&AtomicU64>) -> Result<Summary, ReplayError> {
        let mut worker = worker(settings, output)?;
        let not_readable = |fault| ReplayError::NotReadable { path: self.path.clone(), fault };
        let ended = match self.input {
            Input::Mapped(map) => {
                let mut source = FileSource::open_map(&map).map_err(not_readable)?;
                if let Some(position) = position {
                    source = source.with_position(position);
                }
                worker.run(&mut source, &AtomicBool::new(false));
                Ended { fault: source.fault(), absurd_times: source.absurd_times(), passed: source.passed().clone() }
            }
            Input::Fed(mut feed) => run_fed(&mut worker, &mut feed, position).map_err(not_readable)?,
        };
        worker.finish();
        Ok(Summary::new(worker.tracker().counters(), ended))
    }
}

/// Runs one piece after the other.
fn run_fed<O: Output>(worker: &mut Worker<O>, feed: &mut Feed, position: Option<&AtomicU64>) -> Result<Ended, Fault> {
    let mut carried = Carried::default();
    let mut waiting: Option<Waiting> = None;
    let (mut wanted, mut offset) = (false, 0u64);
    let ended = |carried: &Carried, fault| Ended { fault, absurd_times: carried.absurd_times(), passed: carried.passed().clone() };
    loop {
        if let Some(position) = position {
            position.store(feed.taken().load(Ordering::Relaxed), Ordering::Relaxed);
        }
        let piece = match feed.gather(wanted) {
            Ok(piece) => piece,
            Err(what) => return Ok(ended(&carried, Some(Fault { offset, what }))),
        };
        let goes_on = piece.goes_on;
        let mut source = FileSource::resume(carried, waiting.as_ref(), piece.bytes, piece.margin, goes_on)?;
        worker.run(&mut source, &AtomicBool::new(false));
        let fault = source.fault();
        let read;
        (carried, waiting, read) = source.pause();
        feed.read(read);
        wanted = read == 0;
        offset = offset.saturating_add(read as u64);
        if fault.is_some() || !goes_on {
            // What ended the input early is why the last packet is cut.
            let damaged = feed.damage().map(|what| Fault { offset, what });
            return Ok(ended(&carried, damaged.or(fault)));
        }
    }
}

fn begins_with_ethernet(capture: &mut Capture<'_>) -> bool {
    let mut batch = Batch::new();
    capture.fill(&mut batch);
    batch.frames().first().is_some_and(|frame| frame.link == Link::Ethernet)
}

/// A worker with a table of its own, on the recording's clock.
fn worker<O: Output>(settings: &ReplaySettings, output: O) -> Result<Worker<O>, ReplayError> {
    let policy = Policy {
        timeouts: Timeouts { idle: settings.idle_timeout_ns, active: settings.active_timeout_ns, linger: settings.tcp_end_linger_ns },
        vlan_in_key: settings.vlan_in_key,
        icmp_type_in_key: settings.icmp_type_in_key,
        virtual_network_in_key: settings.virtual_network_in_key,
        tunnels: settings.tunnels,
    };
    let flows = FLOWS_FIRST.min(settings.flows_max);
    let sizing = Sizing {
        ipv4: flows,
        wide: flows,
        annex: Room::whole(flows, settings.patterns),
        // Pages come as they are touched.
        wanted: Wanted { huge: false, populate: false },
        simd: Simd::detect(),
        // The same recording gives the same records in the same order.
        seed: 0x736f_6e64_6520_7270,
        worker: 0,
        first_id: 1,
    };
    let tracker = Tracker::new(&sizing, policy).map_err(|source| ReplayError::Memory { flows, source })?;
    let block = Block::detached(Kind::Worker, "replay", &counter_names());
    let mailbox = Arc::new(Mailbox::new(Letter { generation: 0, value: policy }));
    Ok(Worker::new(tracker, output, block, mailbox, Pace::Recorded { flows_max: settings.flows_max }))
}

/// Opens and runs a recording.
///
/// # Errors
/// As [`Recording::open`] and [`Recording::run`].
pub fn run(path: &Path, settings: &ReplaySettings, output: &mut impl Output) -> Result<Summary, ReplayError> {
    Recording::open(path)?.run(settings, output, None)
}
