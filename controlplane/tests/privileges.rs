//! As whom the control plane runs, and what it does where another local user was first.

mod support;

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;

use parking_lot::Mutex;
use sonde_system::Account;
use sonde_tests::attacker::attack;
use sonde_tests::skip::{Need, skip};
use support::{Cleared, FakeDataplane, instance, until};
use tempfile::TempDir;

/// A control plane that listens; killed when dropped.
struct Process {
    child: Child,
    api: String,
    said: Arc<Mutex<String>>,
}

impl Process {
    fn start(mut command: Command) -> Self {
        let mut child = command.spawn().expect("starts");
        let mut log = BufReader::new(child.stderr.take().expect("piped"));
        let mut said = String::new();
        let api = loop {
            let before = said.len();
            assert_ne!(log.read_line(&mut said).expect("readable"), 0, "it ended: {said}");
            if let Some((_, at)) = said[before..].split_once("the gRPC API is at ") {
                break at.trim().to_owned();
            }
        };
        let said = Arc::new(Mutex::new(said));
        let heard = Arc::clone(&said);
        std::thread::spawn(move || log.lines().map_while(Result::ok).for_each(|line| heard.lock().push_str(&line)));
        Self { child, api, said }
    }

    fn said(&self) -> String {
        self.said.lock().clone()
    }

    fn sonde(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_sonde")).args(arguments).env("SONDE_API", &self.api).output().expect("runs")
    }

    fn json(&self, arguments: &[&str]) -> serde_json::Value {
        let output = self.sonde(&[arguments, &["--json"]].concat());
        assert!(output.status.success(), "{output:?}");
        serde_json::from_slice(&output.stdout).expect("JSON")
    }

    async fn adopted(&self) {
        until("adoption", async || self.json(&["config", "get"])["converged"] == true).await;
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Ended already where the test ended it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn place() -> (String, TempDir, Cleared) {
    let name = instance();
    let home = tempfile::tempdir().expect("a directory");
    fs::set_permissions(home.path(), fs::Permissions::from_mode(0o711)).expect("our own");
    (name.clone(), home, Cleared(name))
}

fn command(instance: &str, home: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sonde-controlplane"));
    command.args(["--instance", instance, "--api", "127.0.0.1:0", "--state-dir"]).arg(home.join("state"));
    command.arg("--run-dir").arg(home.join("run")).args(arguments);
    command.env_remove("RUST_LOG").env("NO_COLOR", "1").stderr(Stdio::piped()).stdout(Stdio::null());
    command
}

/// What a control plane says that does not start.
fn refused(mut command: Command) -> String {
    let output = command.output().expect("runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    said
}

/// Root, on a machine with the service user. Where it is not, the test is skipped.
fn service(what: &str) -> Option<Account> {
    let account = Account::service().filter(|_| rustix::process::geteuid().is_root());
    if account.is_none() {
        skip(Need::ServiceUser, what);
    }
    account
}

#[tokio::test(flavor = "multi_thread")]
async fn root_s_control_plane_becomes_the_service_user_for_good_and_works() {
    let Some(account) = service("root's control plane") else { return };
    let (name, home, _cleared) = place();
    let fake = FakeDataplane::start(&name, &home.path().join("run"), 1, 1);
    // The history of an earlier control plane that kept root's rights.
    let earlier = Process::start(command(&name, home.path(), &["--user", "root"]));
    assert!(earlier.said().contains("user root (0) with every capability, as --user root asks"), "{}", earlier.said());
    earlier.adopted().await;
    drop(earlier);

    let plane = Process::start(command(&name, home.path(), &[]));
    let words = format!("privileges: user sonde ({}), no capabilities", account.uid);
    assert!(plane.said().contains(&words), "{}", plane.said());
    plane.adopted().await;
    let said = plane.sonde(&["config", "rollback", "1", "-m", "as sonde"]);
    assert!(said.status.success(), "{said:?}");
    assert_eq!(fake.in_force().0, 2, "it reaches the dataplane, and its history goes on");
    until("the counters", async || plane.json(&["status"])["state"] == "running").await;

    let state = home.path().join("state").join(&name);
    let is = |path: &Path| fs::symlink_metadata(path).map(|m| (m.uid(), m.gid(), m.mode() & 0o7777)).expect("there");
    assert_eq!(is(&state), (account.uid, account.gid, 0o750));
    for file in ["lock", "generation-1.json", "generation-2.json"] {
        assert_eq!(is(&state.join(file)), (account.uid, account.gid, 0o640), "{file}");
    }
    for task in fs::read_dir(format!("/proc/{}/task", plane.child.id())).expect("a process") {
        let status = fs::read_to_string(task.expect("readable").path().join("status")).expect("a thread");
        let field =
            |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).expect(name).split_whitespace().collect::<Vec<_>>();
        let (uid, gid) = (account.uid.to_string(), account.gid.to_string());
        assert_eq!((field("Uid:"), field("Gid:")), (vec![uid.as_str(); 4], vec![gid.as_str(); 4]));
        assert_eq!(field("Groups:"), [gid.as_str()]);
        for set in ["CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"] {
            assert_eq!(u64::from_str_radix(field(set)[0], 16), Ok(0), "{set}");
        }
        assert_eq!(field("NoNewPrivs:"), ["1"]);
    }
}

#[test]
fn whom_it_cannot_become_is_said() {
    let (name, home, _cleared) = place();
    if rustix::process::geteuid().is_root() {
        let said = refused(command(&name, home.path(), &["--user", "sonde-nobody-knows"]));
        for word in ["there is no user \"sonde-nobody-knows\"", "make deps", "scripts/deps.sh", "--user NAME", "--user root"] {
            assert!(said.contains(word), "no {word:?} in: {said}");
        }
    } else {
        let said = refused(command(&name, home.path(), &["--user", "root"]));
        assert!(said.contains("only root can start the control plane for another user"), "{said}");
    }
    assert!(!home.path().join("state").exists(), "nothing is made");
}

#[test]
fn a_history_that_another_user_made_first_is_refused_and_left() {
    if service("another user's history").is_none() {
        return;
    }
    let scripts = [
        ("mkdir state", "belongs to user 65534"),
        ("ln -s $D state", "is a symbolic link"),
        ("mkdir -p state/$N; ln -s $D/victim state/$N/lock", "belongs to user 65534"),
    ];
    for (script, words) in scripts {
        let (name, home, _cleared) = place();
        fs::set_permissions(home.path(), fs::Permissions::from_mode(0o1777)).expect("our own");
        let victim = tempfile::tempdir().expect("a directory");
        fs::write(victim.path().join("victim"), "precious").expect("written");
        attack(home.path(), &script.replace("$D", &victim.path().display().to_string()).replace("$N", &name));
        for user in ["sonde", "root"] {
            let said = refused(command(&name, home.path(), &["--user", user]));
            assert!(said.contains(words) && said.contains("remove it") && said.contains("--state-dir"), "{said}");
        }
        let is = fs::metadata(victim.path().join("victim")).expect("still there");
        assert_eq!((is.uid(), fs::read_to_string(victim.path().join("victim")).expect("read")), (0, "precious".to_owned()));
        assert_eq!(fs::read_dir(victim.path()).expect("a directory").count(), 1, "nothing was made behind the link");
    }
    // A folder of something else is not given to the service user, whatever --state-dir says.
    let (name, home, _cleared) = place();
    let state = home.path().join("state").join(&name);
    fs::create_dir_all(&state).expect("made");
    fs::write(state.join("shadow"), "precious").expect("written");
    let said = refused(command(&name, home.path(), &[]));
    assert!(said.contains("shadow is not a part of what this folder is for"), "{said}");
    assert_eq!((fs::metadata(&state).expect("there").uid(), fs::metadata(state.join("shadow")).expect("there").uid()), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dataplane_that_another_user_pretends_to_be_is_not_spoken_to() {
    if service("another user's dataplane").is_none() {
        return;
    }
    let (name, home, _cleared) = place();
    fs::set_permissions(home.path(), fs::Permissions::from_mode(0o1777)).expect("our own");
    let shared = format!("/dev/shm/sonde.{name}");
    attack(home.path(), &format!("mkdir -p run/{name}; chmod 755 run run/{name}; mkfifo run/{name}/southbound.sock"));
    attack(home.path(), &format!("mkdir -m 755 {shared}; mkfifo {shared}/stats {shared}/ring-0; chmod 666 {shared}/*"));
    let plane = Process::start(command(&name, home.path(), &[]));
    until("the reason", async || plane.said().contains("/run belongs to user 65534")).await;
    // Pipes in the place of counters and records hold nobody up.
    let output = plane.sonde(&["status", "--json"]);
    let status: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!((output.status.code(), &status["dataplane_pid"]), (Some(1), &serde_json::json!(0)), "{status}");
    assert!(status["problems"][0].as_str().is_some_and(|said| said.contains(&format!("{shared} belongs to user 65534"))), "{status}");
}
