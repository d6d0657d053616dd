//! The programs in processes of their own.

use super::{Cleared, instance, until};
use parking_lot::Mutex;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use tempfile::TempDir;

/// A control plane in a process of its own, on a port that was free.
pub(crate) struct Process {
    pub child: Child,
    /// Where its API is: the first address.
    pub api: String,
    log: Arc<Mutex<String>>,
}

impl Process {
    pub(crate) fn start(instance: &str, home: &Path, api: &str) -> Self {
        let mut command = controlplane(instance, home);
        command.args(["--api", api]);
        Self::of(command)
    }

    /// The process of a command that was made by [`controlplane`], when it answers.
    pub(crate) fn of(mut command: Command) -> Self {
        Self::running(command.spawn().expect("starts"))
    }

    /// One that was started already.
    pub(crate) fn running(mut child: Child) -> Self {
        let mut log = BufReader::new(child.stderr.take().expect("piped"));
        let (mut line, mut all) = (String::new(), String::new());
        let api = loop {
            line.clear();
            assert_ne!(log.read_line(&mut line).expect("readable"), 0, "it ended: {all}");
            all.push_str(&line);
            if let Some((_, at)) = line.split_once("the gRPC API is at ") {
                break at.trim().to_owned();
            }
        };
        let kept = Arc::new(Mutex::new(all));
        let keep = Arc::clone(&kept);
        // Somebody must read the rest, or it stands still when the pipe is full.
        std::thread::spawn(move || log.lines().map_while(Result::ok).for_each(|line| keep.lock().push_str(&(line + "\n"))));
        Self { child, api, log: kept }
    }

    /// What it has said so far.
    pub(crate) fn log(&self) -> String {
        self.log.lock().clone()
    }

    pub(crate) fn sonde(&self, arguments: &[&str]) -> Output {
        sonde(&self.api, arguments).output().expect("runs")
    }

    /// Standard output of a command that goes well.
    pub(crate) fn says(&self, arguments: &[&str]) -> String {
        let output = self.sonde(arguments);
        assert!(output.status.success(), "sonde {arguments:?}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    /// Standard error of one that does not.
    pub(crate) fn refuses(&self, arguments: &[&str]) -> String {
        let output = self.sonde(arguments);
        assert_eq!(output.status.code(), Some(1), "sonde {arguments:?}: {}", text(&output.stdout));
        text(&output.stderr)
    }

    pub(crate) fn json(&self, arguments: &[&str]) -> serde_json::Value {
        serde_json::from_str(&self.says(&[arguments, &["--json"]].concat())).expect("one JSON object")
    }

    pub(crate) fn kill(mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("ended");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Ended already where the test ended it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn controlplane(instance: &str, home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sonde-controlplane"));
    command.args(["--instance", instance, "--state-dir"]).arg(home.join("state")).arg("--run-dir").arg(home.join("run")).args(user());
    command.env_remove("SONDE_API").env_remove("RUST_LOG").env("NO_COLOR", "1").stderr(Stdio::piped()).stdout(Stdio::null());
    command
}

/// Root's control plane becomes the service user by itself, where there is that user.
pub(crate) fn user() -> &'static [&'static str] {
    if !rustix::process::geteuid().is_root() || sonde_system::Account::service().is_some() {
        return &[];
    }
    eprintln!("NOTE: there is no user sonde (`make deps` makes it), so the control plane keeps root's rights in these tests");
    &["--user", "root"]
}

pub(crate) fn sonde(api: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sonde"));
    command.args(arguments).env("SONDE_API", api);
    command
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

pub(crate) fn place() -> (String, TempDir, Cleared) {
    let name = instance();
    let home = tempfile::tempdir().expect("a directory");
    // Started by root, the control plane becomes the service user, who passes through to the dataplane's socket.
    std::fs::set_permissions(home.path(), std::os::unix::fs::PermissionsExt::from_mode(0o711)).expect("our own directory");
    (name.clone(), home, Cleared(name))
}

/// Standard error of a control plane that does not start.
pub(crate) fn refusal(instance: &str, home: &Path, arguments: &[&str]) -> String {
    let output = controlplane(instance, home).args(arguments).output().expect("runs");
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    text(&output.stderr)
}

pub(crate) async fn adopted(plane: &Process) {
    until("adoption", async || plane.json(&["config", "get"])["converged"] == true).await;
}
