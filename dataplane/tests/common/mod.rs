//! The real program in a test's hands: started with a name of its own, talked to, stopped.
#![allow(dead_code, clippy::allow_attributes, reason = "each test file uses its part")]

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use hyper_util::rt::TokioIo;
use sonde_proto::southbound::dataplane_client::DataplaneClient;
use sonde_proto::southbound::{ApplyRequest, ApplyResponse, DescribeRequest, Description, ShutdownRequest};
use sonde_proto::v1;
use sonde_settings::paths::Paths;
use sonde_stats::{BlockView, Kind, View};
use tempfile::TempDir;
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint, Uri};

/// How long anything may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

static NUMBER: AtomicU32 = AtomicU32::new(0);

/// A place for one test: an instance name and a directory nobody else has.
pub(crate) struct Place {
    pub(crate) instance: String,
    pub(crate) dir: TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        let instance = format!("t{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        Self { instance, dir: TempDir::new().expect("temporary directory") }
    }

    pub(crate) fn paths(&self) -> Paths {
        Paths::of(&self.instance, Some(self.dir.path()))
    }

    /// A capture of `packets` in this place.
    pub(crate) fn capture(&self, packets: &[Vec<u8>]) -> PathBuf {
        let path = self.dir.path().join("traffic.pcap");
        std::fs::write(&path, pcap(packets)).expect("capture written");
        path
    }

    /// The program with small tables and no huge pages, and these sets on top.
    pub(crate) fn command(&self, sets: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sonde-dataplane"));
        let instance = format!("boot.instance={}", self.instance);
        let small = ["boot.table.ipv4_flows=4096", "boot.table.wide_flows=1024", "boot.records.ring_bytes=1048576"];
        command.arg("--run-dir").arg(self.dir.path()).args(["--set", &instance, "--set", "boot.eal.huge_pages=none"]);
        for set in small.iter().chain(sets) {
            command.args(["--set", set]);
        }
        command.env_remove("RUST_LOG").env_remove("SONDE_PROFILE").env_remove("SONDE_RUN_DIR");
        command
    }

    /// Runs the program, which is expected to end by itself.
    pub(crate) fn ends(&self, sets: &[&str]) -> Output {
        let mut child = self.command(sets).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("started");
        let deadline = Instant::now() + PATIENCE;
        while child.try_wait().expect("waited").is_none() {
            if Instant::now() > deadline {
                let _ = child.kill();
                panic!("it did not end");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        child.wait_with_output().expect("output")
    }

    /// Runs the program, which must refuse to start: the sentence it says on stderr.
    pub(crate) fn refused(&self, code: i32, sets: &[&str]) -> String {
        let output = self.ends(sets);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{said}\n{}", String::from_utf8_lossy(&output.stdout));
        said
    }

    /// Starts the program and waits until it runs.
    pub(crate) fn starts(&self, sets: &[&str]) -> Running {
        Running::of(self, self.command(sets))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(self.paths().shared());
    }
}

/// A dataplane that runs; killed when dropped.
pub(crate) struct Running {
    child: Child,
    /// What it said before it ran.
    pub(crate) said: String,
    out: BufReader<std::process::ChildStdout>,
    paths: Paths,
}

impl Running {
    pub(crate) fn of(place: &Place, mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("started");
        let out = BufReader::new(child.stdout.take().expect("piped"));
        let mut running = Self { child, said: String::new(), out, paths: place.paths() };
        loop {
            let before = running.said.len();
            if running.out.read_line(&mut running.said).expect("utf-8") == 0 {
                let mut errors = String::new();
                running.child.stderr.take().expect("piped").read_to_string(&mut errors).expect("utf-8");
                panic!("it did not start:\n{}{errors}", running.said);
            }
            if running.said[before..].starts_with("running:") {
                return running;
            }
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, name: &str) {
        let done = Command::new("kill").args([&format!("-{name}"), &self.pid().to_string()]).status().expect("kill");
        assert!(done.success());
    }

    /// Waits for its end: status, what it said on stdout after it ran, and on stderr.
    pub(crate) fn ended(mut self) -> (ExitStatus, String, String) {
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("waited") {
                break status;
            }
            assert!(Instant::now() < deadline, "it did not stop");
            std::thread::sleep(Duration::from_millis(10));
        };
        let (mut text, mut errors) = (String::new(), String::new());
        self.out.read_to_string(&mut text).expect("utf-8");
        self.child.stderr.take().expect("piped").read_to_string(&mut errors).expect("utf-8");
        assert!(!status.core_dumped(), "{errors}");
        (status, text, errors)
    }

    /// Stops it with SIGTERM and expects a clean end: what it counted.
    pub(crate) fn stop(self) -> String {
        self.signal("TERM");
        let (status, text, errors) = self.ended();
        assert_eq!(status.code(), Some(0), "{text}{errors}");
        text
    }

    /// What it shows in its stats segment.
    pub(crate) fn blocks(&self) -> Vec<BlockView> {
        View::open(&self.paths.stats()).expect("stats segment").blocks()
    }

    /// Sum of a counter over all blocks of a kind.
    pub(crate) fn counter(&self, kind: Kind, name: &str) -> u64 {
        self.blocks().iter().filter(|b| b.kind == kind).filter_map(|b| b.counter(name)).sum()
    }

    /// Waits until something is so.
    pub(crate) fn until(&self, what: &str, so: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !so(self) {
            assert!(Instant::now() < deadline, "not so in time: {what}: {:#?}", self.blocks());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub(crate) fn southbound(&self) -> Southbound {
        Southbound::new(&self.paths.southbound())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A control plane, as far as the dataplane can tell.
pub(crate) struct Southbound {
    runtime: tokio::runtime::Runtime,
    client: DataplaneClient<Channel>,
}

impl Southbound {
    pub(crate) fn new(path: &Path) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("runtime");
        let path = path.to_owned();
        let connector = tower::service_fn(move |_: Uri| {
            let path = path.clone();
            async move { UnixStream::connect(path).await.map(TokioIo::new) }
        });
        let _inside = runtime.enter();
        let client = DataplaneClient::new(Endpoint::from_static("http://dataplane").connect_with_connector_lazy(connector));
        drop(_inside);
        Self { runtime, client }
    }

    pub(crate) fn describe(&mut self) -> Description {
        let request = DescribeRequest { protocol_version: 1 };
        self.runtime.block_on(self.client.describe(request)).expect("described").into_inner()
    }

    pub(crate) fn apply(&mut self, generation: u64, settings: &v1::Settings) -> Result<ApplyResponse, tonic::Status> {
        self.send(ApplyRequest { generation, settings: Some(settings.clone()), deadline_ms: 20_000, for_next_start: false })
    }

    pub(crate) fn send(&mut self, request: ApplyRequest) -> Result<ApplyResponse, tonic::Status> {
        self.runtime.block_on(self.client.apply(request)).map(tonic::Response::into_inner)
    }

    pub(crate) fn shutdown(&mut self) {
        self.runtime.block_on(self.client.shutdown(ShutdownRequest {})).expect("shutting down");
    }
}

/// Ethernet, IPv4, UDP from 10.0.x.y to 10.1.0.1, with so many octets of payload.
pub(crate) fn udp(source: u16, port: u16, payload: u16) -> Vec<u8> {
    let [x, y] = source.to_be_bytes();
    let mut frame = vec![2; 6];
    frame.extend([4; 6]);
    frame.extend([0x08, 0x00, 0x45, 0]);
    frame.extend((28 + payload).to_be_bytes());
    frame.extend([0, 1, 0, 0, 64, 17, 0, 0, 10, 0, x, y, 10, 1, 0, 1]);
    frame.extend(port.to_be_bytes());
    frame.extend(53u16.to_be_bytes());
    frame.extend((8 + payload).to_be_bytes());
    frame.extend([0, 0]);
    frame.resize(frame.len() + usize::from(payload), 0xab);
    frame
}

/// A classic pcap file, microseconds, Ethernet.
pub(crate) fn pcap(packets: &[Vec<u8>]) -> Vec<u8> {
    let word = |n: usize| u32::try_from(n).expect("small").to_le_bytes();
    let mut file = Vec::new();
    file.extend(0xa1b2_c3d4u32.to_le_bytes());
    file.extend([2, 0, 4, 0]);
    file.extend([0; 8]);
    file.extend(word(65_535));
    file.extend(word(1));
    for (n, packet) in packets.iter().enumerate() {
        file.extend(word(n / 1000));
        file.extend(word(n % 1000));
        file.extend(word(packet.len()));
        file.extend(word(packet.len()));
        file.extend(packet);
    }
    file
}

/// A tiny file system, unmounted when dropped.
pub(crate) struct Tiny(PathBuf);

impl Tiny {
    pub(crate) fn mount(at: &Path, size: &str) -> Self {
        std::fs::create_dir_all(at).expect("mount point");
        let done =
            Command::new("mount").args(["-t", "tmpfs", "-o", &format!("size={size}"), "sonde-test"]).arg(at).status().expect("mount");
        assert!(done.success(), "tmpfs of {size} at {}", at.display());
        Self(at.to_owned())
    }

    /// Leaves no room in it; the file that takes it.
    pub(crate) fn fill(&self) -> PathBuf {
        let path = self.0.join("fill");
        let mut file = std::fs::File::create(&path).expect("created");
        while std::io::Write::write(&mut file, &[1; 4096]).is_ok_and(|n| n > 0) {}
        path
    }
}

impl Drop for Tiny {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}
