//! A dataplane for the tests of the control plane: the southbound service on a unix socket, the stats segment and the record rings,
//! each made with the crates the real one uses, and driven by the test.
#![expect(dead_code, reason = "each test binary uses its part of it")]

pub(crate) mod plane;
pub(crate) mod process;

use parking_lot::Mutex;
use sonde_proto::southbound::dataplane_server::{Dataplane, DataplaneServer};
use sonde_proto::southbound::{ApplyRequest, ApplyResponse, DescribeRequest, Description, ShutdownRequest, ShutdownResponse};
use sonde_proto::v1;
use sonde_record::ring::Writer;
use sonde_record::{EndReason, Head, Kind as FlowKind, NO_VLAN, Output, Record};
use sonde_settings::Settings;
use sonde_settings::paths::{Paths, SOUTHBOUND};
use sonde_stats::{Block, Info, Kind, Segment};
use sonde_system::{Folder, FolderError, account};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::net::UnixListener;
use tokio::sync::oneshot;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::transport::Server;
use tonic::{Request, Response, Status, async_trait};

/// Counters of a worker in these tests; names as the real ones.
pub(crate) const WORKER: [&str; 9] = [
    "received",
    "received_octets",
    "metered_ipv4",
    "not_metered.ipv4_truncated",
    "flows_active",
    "records_idle",
    "generation",
    "heartbeat_ns",
    "core",
];
const GENERATION: usize = 6;
const HEARTBEAT: usize = 7;

/// Nanoseconds since 1970 UTC.
pub(crate) fn now_ns() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_nanos()).expect("before 2500")
}

/// An instance that no other test has.
pub(crate) fn instance() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("t{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Settings of an instance with so many workers, defaults filled in.
pub(crate) fn settings(instance: &str, workers: u32) -> v1::Settings {
    let port = v1::Port { name: "a".into(), device: "net_null0".into(), ..v1::Port::default() };
    let cores = v1::Cores { workers: (0..workers).collect(), ..v1::Cores::default() };
    let boot = v1::Boot { instance: instance.into(), ports: vec![port], cores: Some(cores), ..v1::Boot::default() };
    filled(&v1::Settings { boot: Some(boot), live: None })
}

/// The same with every default.
pub(crate) fn filled(document: &v1::Settings) -> v1::Settings {
    v1::Settings::from(&Settings::try_from(document).expect("good settings"))
}

/// How the fake answers Apply.
#[derive(Default)]
pub(crate) struct Temper {
    /// Workers that do not acknowledge.
    pub late: Vec<u32>,
    /// Refuses with this.
    pub refuse: Option<v1::Violation>,
}

struct Shared {
    description: Mutex<Description>,
    applied: Mutex<Vec<ApplyRequest>>,
    temper: Mutex<Temper>,
    workers: Mutex<Vec<Block>>,
    segment: Segment,
    beating: AtomicBool,
    done: AtomicBool,
}

/// Listens as the real one does.
fn listen(run: &Folder) -> UnixListener {
    let sharing = account::sharing();
    let listener = match run.listen(SOUTHBOUND, sharing) {
        // The fake before it has been dropped, and its server is about to end.
        Err(FolderError::InUse { .. }) => {
            run.remove(SOUTHBOUND).expect("removed");
            run.listen(SOUTHBOUND, sharing)
        }
        listener => listener,
    };
    let listener = listener.expect("a socket");
    listener.set_nonblocking(true).expect("a socket");
    UnixListener::from_std(listener).expect("a socket")
}

/// The fake. Stops when dropped.
pub(crate) struct FakeDataplane {
    shared: Arc<Shared>,
    rings: Mutex<Vec<Writer>>,
    /// Dropping it ends the server, with its connections.
    _stop: oneshot::Sender<()>,
    beats: Option<std::thread::JoinHandle<()>>,
    paths: Paths,
}

impl FakeDataplane {
    /// Starts one with `workers` workers and rings of 256 KiB.
    pub(crate) fn start(instance: &str, run_dir: &Path, workers: u32, generation: u64) -> Self {
        Self::with(instance, run_dir, settings(instance, workers), generation)
    }

    /// Starts one with these settings in force.
    pub(crate) fn with(instance: &str, run_dir: &Path, settings: v1::Settings, generation: u64) -> Self {
        let paths = Paths::of(instance, Some(run_dir));
        let sharing = account::sharing();
        // Held to the end of this function only: the segment and the rings are made in folders of the right group.
        let run = Folder::make(paths.run(), sharing).expect("a run directory");
        let _shared = Folder::make(paths.shared(), sharing).expect("shared memory");
        let info = Info {
            instance: instance.into(),
            version: "9.9.9".into(),
            pid: std::process::id(),
            started_ns: now_ns(),
            memory: "small".into(),
            simd: "portable".into(),
        };
        let segment = Segment::create(&paths.stats(), &info).expect("a segment");
        let count = settings.boot.as_ref().and_then(|b| b.cores.as_ref()).map_or(1, |c| c.workers.len().max(1));
        let mut blocks = Vec::new();
        let mut rings = Vec::new();
        for worker in 0..count {
            let block = segment.block(Kind::Worker, &format!("worker-{worker}"), &WORKER).expect("a block");
            block.set(GENERATION, generation);
            block.set(8, worker as u64);
            blocks.push(block);
            rings.push(Writer::create(&paths.ring(worker), 256 * 1024, u8::try_from(worker).expect("few workers")).expect("a ring"));
        }
        let ring_paths = (0..count).map(|w| paths.ring(w).display().to_string()).collect();
        let description = Description {
            protocol_version: 1,
            version: "9.9.9".into(),
            pid: std::process::id(),
            settings: Some(settings),
            generation,
            stats_path: paths.stats().display().to_string(),
            ring_paths,
            ..Description::default()
        };
        let shared = Arc::new(Shared {
            description: Mutex::new(description),
            applied: Mutex::default(),
            temper: Mutex::default(),
            workers: Mutex::new(blocks),
            segment,
            beating: AtomicBool::new(true),
            done: AtomicBool::new(false),
        });
        let listener = listen(&run);
        let service = DataplaneServer::new(Service(Arc::clone(&shared)));
        let (stop, stopped) = oneshot::channel::<()>();
        tokio::spawn(async move {
            let stopped = async { stopped.await.unwrap_or_default() };
            let incoming = UnixListenerStream::new(listener);
            Server::builder().add_service(service).serve_with_incoming_shutdown(incoming, stopped).await.expect("served");
        });
        let beaten = Arc::clone(&shared);
        let beats = std::thread::spawn(move || {
            while !beaten.done.load(Ordering::Relaxed) {
                if beaten.beating.load(Ordering::Relaxed) {
                    beaten.segment.heartbeat(now_ns());
                    beaten.workers.lock().iter().for_each(|w| w.set(HEARTBEAT, now_ns()));
                }
                std::thread::sleep(Duration::from_millis(50));
            }
        });
        Self { shared, rings: Mutex::new(rings), _stop: stop, beats: Some(beats), paths }
    }

    /// What Apply was asked, in order.
    pub(crate) fn applied(&self) -> Vec<ApplyRequest> {
        self.shared.applied.lock().clone()
    }

    /// Says that it was started with this profile.
    pub(crate) fn allow(&self, profile: v1::Settings, trust: v1::Trust) {
        let mut description = self.shared.description.lock();
        (description.profile, description.trust) = (Some(profile), Some(trust));
    }

    /// Says that it is of another version, with another southbound protocol.
    pub(crate) fn speaks(&self, protocol_version: u32) {
        self.shared.description.lock().protocol_version = protocol_version;
    }

    /// Settings in force.
    pub(crate) fn in_force(&self) -> (u64, v1::Settings) {
        let description = self.shared.description.lock();
        (description.generation, description.settings.clone().expect("there are some"))
    }

    /// Changes how it answers.
    pub(crate) fn temper(&self, change: impl FnOnce(&mut Temper)) {
        change(&mut self.shared.temper.lock());
    }

    /// Stops or resumes the heartbeats of workers and process.
    pub(crate) fn beat(&self, on: bool) {
        self.shared.beating.store(on, Ordering::Relaxed);
    }

    /// Sets a counter of a worker.
    pub(crate) fn count(&self, worker: usize, counter: &str, value: u64) {
        let at = WORKER.iter().position(|name| *name == counter).expect("a known counter");
        self.shared.workers.lock()[worker].set(at, value);
    }

    /// A block beside the workers'.
    pub(crate) fn block(&self, kind: Kind, name: &str, counters: &[&str]) -> Block {
        self.shared.segment.block(kind, name, counters).expect("a block")
    }

    /// Writes records into a worker's ring and publishes them.
    pub(crate) fn write(&self, worker: usize, records: impl IntoIterator<Item = Record>) {
        let ring = &mut self.rings.lock()[worker];
        records.into_iter().for_each(|r| r.put(ring));
        ring.publish();
    }
}

impl Drop for FakeDataplane {
    fn drop(&mut self) {
        self.shared.done.store(true, Ordering::Relaxed);
        if let Some(beats) = self.beats.take() {
            beats.join().expect("the beats end");
        }
    }
}

/// Removes an instance's shared memory when the test is over.
pub(crate) struct Cleared(pub String);

impl Drop for Cleared {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(Paths::of(&self.0, None).shared());
    }
}

struct Service(Arc<Shared>);

#[async_trait]
impl Dataplane for Service {
    async fn describe(&self, _: Request<DescribeRequest>) -> Result<Response<Description>, Status> {
        Ok(Response::new(self.0.description.lock().clone()))
    }

    async fn apply(&self, request: Request<ApplyRequest>) -> Result<Response<ApplyResponse>, Status> {
        let request = request.into_inner();
        self.0.applied.lock().push(request.clone());
        let mut description = self.0.description.lock();
        let temper = self.0.temper.lock();
        let mut answer = ApplyResponse { generation_in_force: description.generation, ..ApplyResponse::default() };
        if let Some(violation) = &temper.refuse {
            answer.violations = vec![violation.clone()];
            return Ok(Response::new(answer));
        }
        let document = request.settings.expect("settings are sent");
        let desired = Settings::try_from(&document).expect("only good settings are sent");
        let running = Settings::try_from(description.settings.as_ref().expect("settings")).expect("good");
        answer.restart_required = sonde_settings::restart_required(&running, &desired);
        if request.for_next_start || !answer.restart_required.is_empty() {
            return Ok(Response::new(answer));
        }
        if request.generation <= description.generation {
            return Err(Status::failed_precondition(format!("generation {} is in force", description.generation)));
        }
        for (number, worker) in (0u32..).zip(self.0.workers.lock().iter()) {
            if !temper.late.contains(&number) {
                worker.set(GENERATION, request.generation);
            }
        }
        description.settings = Some(document);
        if temper.late.is_empty() {
            description.generation = request.generation;
        }
        answer.late_workers.clone_from(&temper.late);
        answer.generation_in_force = description.generation;
        Ok(Response::new(answer))
    }

    async fn shutdown(&self, _: Request<ShutdownRequest>) -> Result<Response<ShutdownResponse>, Status> {
        Err(Status::permission_denied("no test asks for that"))
    }
}

/// A TCP flow from 10.0.0.`n mod 256` with its number as id.
pub(crate) fn record(n: u64) -> Record {
    let mut head = Head {
        flow_id: n,
        kind: FlowKind::Ipv4,
        end_reason: EndReason::Idle,
        proto: 6,
        sport: 40_000,
        dport: 443,
        octets: [1000, 500],
        packets: [10, 5],
        start: now_ns() - 1_000_000_000,
        end: now_ns(),
        vlan_tci: [NO_VLAN, NO_VLAN],
        ..Head::default()
    };
    head.src[12..].copy_from_slice(&[10, 0, 0, n.to_le_bytes()[0]]);
    head.dst[12..].copy_from_slice(&[192, 0, 2, 1]);
    head.into()
}

/// How long a test waits: a loaded machine of two cores is slow, a hang is longer.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until something holds; fails the test when it does not within [`PATIENCE`].
pub(crate) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds().await {
        assert!(Instant::now() < deadline, "{what} did not happen within {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Path of a file that belongs to these tests.
pub(crate) fn own_file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(name)
}
