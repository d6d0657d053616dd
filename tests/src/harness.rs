//! The real programs, started and stopped: unique names and places, bounded waits, nothing ended but what was started here.
//!
//! ```no_run
//! use sonde_tests::harness::Lab;
//!
//! let lab = Lab::new("flows");
//! let dataplane = lab.dataplane(&["boot.ports[0].device=net_null0,size=64"]);
//! let control_plane = lab.control_plane();
//! println!("{}", control_plane.sonde(&["status"]).stdout);
//! println!("{}", dataplane.stop().text);
//! ```

mod binaries;
mod process;

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

pub use binaries::binary;
pub use process::{Ended, PATIENCE, Process};

/// Instances made by this process.
static MADE: AtomicU32 = AtomicU32::new(0);

/// A probe's name and places, which nobody else has; removed when dropped.
#[derive(Debug)]
pub struct Lab {
    instance: String,
    home: tempfile::TempDir,
}

/// A control plane and where it answers.
#[derive(Debug)]
pub struct ControlPlane {
    process: Process,
    api: String,
}

/// What a command said.
#[derive(Debug)]
pub struct Said {
    /// Exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Lab {
    /// A lab; `what` is part of the instance's name, for whoever looks at the machine meanwhile.
    pub fn new(what: &str) -> Self {
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let instance = format!("test-{what}-{}-{number}", std::process::id());
        assert!(instance.len() <= 32, "{instance} is too long for an instance's name");
        let home = tempfile::tempdir().expect("a temporary directory");
        // Started by root, the control plane becomes the service user, who passes through to the dataplane's socket.
        std::fs::set_permissions(home.path(), Permissions::from_mode(0o711)).expect("our own directory");
        Self { instance, home }
    }

    /// Name of the instance.
    pub fn instance(&self) -> &str {
        &self.instance
    }

    /// A directory for what the test needs.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// A path in the lab's directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// The dataplane's command, not started: the embedded profile "virtual", small buffers, these `--set`s.
    pub fn dataplane_command(&self, sets: &[&str]) -> Command {
        let mut command = Command::new(binary("sonde-dataplane"));
        let instance = format!("boot.instance={}", self.instance);
        // Small rings of buffers: several labs run at a time.
        for set in [instance.as_str(), "boot.ports[0].rx_descriptors=256", "boot.ports[0].frame_octets_max=2034"].iter().chain(sets) {
            command.args(["--set", set]);
        }
        self.surroundings(&mut command);
        command
    }

    /// A dataplane that runs.
    ///
    /// # Panics
    /// When it does not, with everything it said.
    pub fn dataplane(&self, sets: &[&str]) -> Process {
        let process = Process::start(self.dataplane_command(sets), "sonde-dataplane");
        process.wait_for("running: ", PATIENCE);
        process
    }

    /// The control plane's command, not started, with its API at `api`.
    pub fn control_plane_command(&self, api: &str) -> Command {
        let mut command = Command::new(binary("sonde-controlplane"));
        command.args(["--instance", &self.instance, "--api", api]).args(control_plane_user());
        self.surroundings(&mut command);
        command
    }

    /// A control plane that answers, on a free port.
    ///
    /// # Panics
    /// When it does not, with everything it said.
    pub fn control_plane(&self) -> ControlPlane {
        let process = Process::start(self.control_plane_command("127.0.0.1:0"), "sonde-controlplane");
        let line = process.wait_for("the gRPC API is at ", PATIENCE);
        let api = line.rsplit(' ').next().expect("an address at the end of the line").to_owned();
        ControlPlane { process, api }
    }

    fn surroundings(&self, command: &mut Command) {
        for variable in ["SONDE_API", "SONDE_PROFILE", "SONDE_INSTANCE", "RUST_LOG"] {
            command.env_remove(variable);
        }
        command.env("SONDE_RUN_DIR", self.path("run")).env("SONDE_STATE_DIR", self.path("state")).env("NO_COLOR", "1");
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        // The stats segment outlives the dataplane on purpose; here nobody will read it. It may not be there.
        let _ = std::fs::remove_dir_all(format!("/dev/shm/sonde.{}", self.instance));
    }
}

impl ControlPlane {
    /// Where the gRPC API is.
    pub fn api(&self) -> &str {
        &self.api
    }

    /// Its process.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Ends it with SIGKILL: no chance to say goodbye.
    pub fn kill(self) {
        self.process.kill();
    }

    /// Ends it with SIGTERM.
    pub fn stop(self) -> Ended {
        self.process.stop()
    }

    /// Runs `sonde` against it.
    pub fn sonde(&self, arguments: &[&str]) -> Said {
        sonde(&self.api, arguments)
    }

    /// Runs `sonde ... --json` against it.
    ///
    /// # Panics
    /// When it fails or prints something else.
    pub fn json(&self, arguments: &[&str]) -> Value {
        let said = self.sonde(&[arguments, &["--json"]].concat());
        // Of a probe that is not well `status` says so by its exit status, too.
        assert!(said.code == Some(0) || arguments.first() == Some(&"status"), "sonde {arguments:?}: {said:?}");
        serde_json::from_str(&said.stdout).unwrap_or_else(|error| panic!("sonde {arguments:?} --json: {error}: {}", said.stdout))
    }
}

/// Which user the control plane is told to become: the one it becomes by itself, where there is that one.
fn control_plane_user() -> &'static [&'static str] {
    let root = rustix::process::geteuid().is_root();
    let known = || std::fs::read_to_string("/etc/passwd").is_ok_and(|users| users.lines().any(|user| user.starts_with("sonde:")));
    if !root || known() {
        return &[];
    }
    eprintln!("NOTE: there is no user sonde (`make deps` makes it), so the control plane keeps root's rights in these tests");
    &["--user", "root"]
}

/// Runs `sonde` against the API at `api`.
pub fn sonde(api: &str, arguments: &[&str]) -> Said {
    let mut command = Command::new(binary("sonde"));
    command.args(arguments).env("SONDE_API", api).env("NO_COLOR", "1");
    run(&mut command)
}

/// Runs a command to its end.
pub fn run(command: &mut Command) -> Said {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Said { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// What `sonde replay` with these options prints of a capture in JSON, of all tables, and what it writes in IPFIX with all
/// fields.
///
/// # Panics
/// If it cannot read the capture.
pub fn replayed(capture: &Path, options: &[&str]) -> (Vec<Value>, Vec<u8>) {
    let replay = |rest: &[&str]| {
        let mut command = Command::new(binary("sonde"));
        command.arg("replay").arg(capture).args(options).args(rest);
        command
    };
    let mut lines = Vec::new();
    for table in ["flows", "l2"] {
        let said = run(replay(&["--json", "--table", table]).env("NO_COLOR", "1"));
        assert!(said.code.is_some_and(|code| code < 2), "{said:?}");
        lines.extend(said.stdout.lines().map(|line| serde_json::from_str::<Value>(line).expect("an object a line")));
    }
    let ipfix = replay(&["--format", "ipfix", "--fields", "full"]).output().unwrap_or_else(|error| panic!("sonde replay: {error}"));
    (lines, ipfix.stdout)
}

/// Tries until it succeeds, at most [`PATIENCE`].
///
/// # Panics
/// When it never does, saying what was awaited.
pub fn until<T>(what: &str, mut attempt: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(value) = attempt() {
            return value;
        }
        assert!(Instant::now() < deadline, "waited {} s in vain for {what}", PATIENCE.as_secs());
        std::thread::sleep(Duration::from_millis(50));
    }
}
