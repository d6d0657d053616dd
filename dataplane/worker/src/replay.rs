//! A recording through the worker loop, from its first packet to the end of its last flow.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};

use sonde_flow::pattern::Wants;
use sonde_flow::record::Output;
use sonde_flow::{Counter, Counters, Policy, Room, Sizing, Timeouts, Tracker};
use sonde_memory::slab::{OutOfMemory, Wanted};
use sonde_memory::tags::Simd;
use sonde_memory::{FileMap, MapError};
use sonde_packet::{Link, Tunnels, View};
use sonde_stats::{Block, Kind};

use crate::capture::{Batch, Capture, Fault};
use crate::mailbox::{Letter, Mailbox};
use crate::source::FileSource;
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
    /// Packets that are in no flow, by reason; reasons that did not occur are not listed.
    pub reasons: Vec<(&'static str, u64)>,
    /// Flows.
    pub flows: u64,
    /// Records of them: several where timeouts have split a flow.
    pub records: u64,
    /// Records that were written early because the table was full.
    pub evicted: u64,
    /// What ended the reading before the end of the file.
    pub fault: Option<Fault>,
}

impl Summary {
    fn new(counters: &Counters, fault: Option<Fault>) -> Self {
        let occurred = counters.reasons().filter(|(_, count)| *count > 0);
        Self {
            received: counters.get(Counter::Received),
            metered: counters.metered(),
            layer2: counters.get(Counter::MeteredLayer2),
            reasons: occurred.map(|(reason, count)| (reason.name(), count)).collect(),
            flows: counters.get(Counter::FlowsCreated),
            records: counters.records(),
            evicted: counters.get(Counter::RecordsLackOfResources),
            fault,
        }
    }

    /// Whether every packet has its place: received = metered + every reason.
    pub fn balances(&self) -> bool {
        self.received == self.metered.saturating_add(self.reasons.iter().map(|(_, count)| count).sum())
    }
}

/// A capture file, open and mapped.
#[derive(Debug)]
pub struct Recording {
    map: FileMap,
    ethernet: bool,
}

/// Flows a table is made for in the beginning: it fits into a second-level cache.
const FLOWS_FIRST: u64 = 4096;

impl Recording {
    /// Opens a capture file.
    ///
    /// # Errors
    /// When it cannot be mapped, or is no capture.
    pub fn open(path: &Path) -> Result<Self, ReplayError> {
        let map = FileMap::open(path)?;
        let mut capture = Capture::open(map.bytes()).map_err(|fault| ReplayError::NotReadable { path: path.to_owned(), fault })?;
        let mut batch = Batch::new();
        capture.fill(&mut batch);
        let ethernet = batch.frames().first().is_some_and(|frame| frame.link == Link::Ethernet);
        Ok(Self { map, ethernet })
    }

    /// Whether its frames have MAC addresses, going by the first of them.
    pub fn ethernet(&self) -> bool {
        self.ethernet
    }

    /// Length of the file.
    pub fn octets(&self) -> u64 {
        self.map.bytes().len() as u64
    }

    /// Runs the recording through [`Worker::run`] with a table of its own, and ends what is left (end reason 4). Another thread may
    /// watch `position`, the octets read.
    ///
    /// # Errors
    /// When the table does not fit into memory. A damaged file is no error: [`Summary::fault`] says where reading ended.
    pub fn run(&self, settings: &ReplaySettings, output: &mut impl Output, position: Option<&AtomicU64>) -> Result<Summary, ReplayError> {
        let mut source =
            FileSource::open_map(&self.map).map_err(|fault| ReplayError::NotReadable { path: self.map.path().to_owned(), fault })?;
        if let Some(position) = position {
            source = source.with_position(position);
        }
        let policy = Policy {
            timeouts: Timeouts { idle: settings.idle_timeout_ns, active: settings.active_timeout_ns, linger: settings.tcp_end_linger_ns },
            vlan_in_key: settings.vlan_in_key,
            virtual_network_in_key: settings.virtual_network_in_key,
            tunnels: settings.tunnels,
        };
        let flows = FLOWS_FIRST.min(settings.flows_max);
        let room = Room { wants: settings.patterns, ..Room::whole(flows) };
        let sizing = Sizing {
            ipv4: room,
            wide: room,
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
        let mut worker = Worker::new(tracker, output, block, mailbox, Pace::Recorded { flows_max: settings.flows_max });
        worker.run(&mut source, &AtomicBool::new(false));
        worker.finish();
        Ok(Summary::new(worker.tracker().counters(), source.fault()))
    }
}

/// Opens and runs a recording.
///
/// # Errors
/// As [`Recording::open`] and [`Recording::run`].
pub fn run(path: &Path, settings: &ReplaySettings, output: &mut impl Output) -> Result<Summary, ReplayError> {
    Recording::open(path)?.run(settings, output, None)
}
