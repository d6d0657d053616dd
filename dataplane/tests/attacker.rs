//! The dataplane of root on a machine where another local user was first: refused with the remedy, and nothing of root's is touched.
//! Then what it makes itself, and what it keeps of root's rights.

mod common;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use common::{Place, Running, udp};
use sonde_system::{Sharing, account};
use sonde_tests::attacker::{NOBODY, attack};
use sonde_tests::skip::{Need, root, skip};

/// A folder of root's with a file that matters.
struct Victim {
    dir: tempfile::TempDir,
    file: PathBuf,
}

impl Victim {
    fn new() -> Self {
        Self::inside(&std::env::temp_dir())
    }

    /// On the file system of this folder: a hard link does not lead to another one.
    fn inside(folder: &Path) -> Self {
        let dir = tempfile::tempdir_in(folder).expect("a directory");
        let file = dir.path().join("victim");
        fs::write(&file, "precious").expect("written");
        Self { dir, file }
    }

    fn is_untouched(&self) {
        assert_eq!(fs::read_to_string(&self.file).expect("still there"), "precious");
        assert_eq!(fs::metadata(&self.file).expect("there").mode() & 0o7777, 0o644);
        assert_eq!(fs::read_dir(self.dir.path()).expect("a directory").count(), 1, "nothing was made beside it");
    }
}

/// What stands in a folder, by name, with what a change would change.
fn listing(path: &Path) -> Vec<(String, u32, u32, u64, i64)> {
    let mut list: Vec<_> = fs::read_dir(path)
        .map(|entries| entries.map(|entry| entry.expect("readable")).collect::<Vec<_>>())
        .unwrap_or_default()
        .iter()
        .map(|entry| {
            let is = fs::symlink_metadata(entry.path()).expect("there");
            (entry.file_name().to_string_lossy().into_owned(), is.uid(), is.mode(), is.ino(), is.mtime_nsec())
        })
        .collect();
    list.sort();
    list
}

fn refused(place: &Place, words: &[&str]) {
    let said = place.refused(1, &["boot.ports[0].device=net_null0"]);
    for word in words.iter().chain(&["--run-dir", "--set boot.instance=NAME"]) {
        assert!(said.contains(word), "no {word:?} in: {said}");
    }
}

#[test]
fn shared_memory_that_another_user_made_first() {
    if !root("another user") {
        return;
    }
    let scripts = [
        ("mkdir $S; ln -s $V $S/lock; ln -s $V $S/stats; ln -s $V $S/ring-0; touch $S/ring-1", "belongs to user 65534"),
        ("mkdir -m 777 $S; mkfifo $S/lock; ln -s nowhere $S/stats", "belongs to user 65534"),
        ("ln -s $D $S", "is a symbolic link"),
        ("ln -s /dev/shm/nowhere-$$ $S", "is a symbolic link"),
        ("mkfifo $S", "is a pipe"),
        ("echo x >$S", "is a regular file"),
    ];
    for (script, words) in scripts {
        let (place, victim) = (Place::new(), Victim::new());
        let shared = place.paths().shared().to_owned();
        let script = script
            .replace("$S", &shared.display().to_string())
            .replace("$V", &victim.file.display().to_string())
            .replace("$D", &victim.dir.path().display().to_string());
        attack(Path::new("/dev/shm"), &script);
        let before = (listing(&shared), fs::symlink_metadata(&shared).expect("there").uid());
        refused(&place, &[&shared.display().to_string(), words, "remove it"]);
        assert_eq!((listing(&shared), fs::symlink_metadata(&shared).expect("still there").uid()), before, "{script}");
        victim.is_untouched();
        let _ = fs::remove_file(&shared);
    }
}

#[test]
fn a_run_folder_that_another_user_made_first() {
    if !root("another user") {
        return;
    }
    let scripts = [
        ("mkdir $R; ln -s $V $R/dataplane.lock; ln -s $V $R/settings.toml", "belongs to user 65534"),
        ("ln -s $D $R", "is a symbolic link"),
        ("ln -s nowhere $R", "is a symbolic link"),
    ];
    for (script, words) in scripts {
        let (place, victim) = (Place::new(), Victim::new());
        // The folder of runs is one like /tmp.
        fs::set_permissions(place.dir.path(), fs::Permissions::from_mode(0o1777)).expect("our own");
        let run = place.paths().run().to_owned();
        let script = script
            .replace("$R", &run.display().to_string())
            .replace("$V", &victim.file.display().to_string())
            .replace("$D", &victim.dir.path().display().to_string());
        attack(place.dir.path(), &script);
        let before = listing(&run);
        refused(&place, &[&run.display().to_string(), words, "remove it"]);
        assert_eq!(listing(&run), before, "{script}");
        assert!(!place.paths().shared().exists(), "the shared memory is not made for a run folder that is refused");
        victim.is_untouched();
    }
    // Where everybody can exchange it, it is not even made.
    let place = Place::new();
    fs::set_permissions(place.dir.path(), fs::Permissions::from_mode(0o777)).expect("our own");
    refused(&place, &["other users can write to", "chmod go-w"]);
}

#[test]
fn files_in_our_own_folders_that_are_something_else() {
    type Plant = fn(&Path, &Victim);
    let link: Plant = |at, victim| symlink(&victim.file, at).expect("made");
    let dangling: Plant = |at, victim| symlink(victim.dir.path().join("new"), at).expect("made");
    let second: Plant = |at, victim| fs::hard_link(&victim.file, at).expect("made");
    let pipe: Plant = |at, _| assert!(Command::new("mkfifo").arg(at).status().expect("mkfifo").success());
    let cases: [(&str, Plant, &str); 9] = [
        ("dataplane.lock", link, "is a symbolic link"),
        ("dataplane.lock", dangling, "is a symbolic link"),
        ("dataplane.lock", second, "2 names (hard links)"),
        ("dataplane.lock", pipe, "is a pipe"),
        ("lock", link, "is a symbolic link"),
        ("lock", second, "2 names (hard links)"),
        ("lock", pipe, "is a pipe"),
        ("southbound.sock", link, "is a symbolic link"),
        ("southbound.sock", second, "is a regular file, and a socket is needed"),
    ];
    for (name, plant, words) in cases {
        let place = Place::new();
        let folder = if name == "lock" { place.paths().shared().to_owned() } else { place.paths().run().to_owned() };
        let victim = Victim::inside(if name == "lock" { Path::new("/dev/shm") } else { place.dir.path() });
        fs::create_dir_all(&folder).expect("made");
        plant(&folder.join(name), &victim);
        refused(&place, &[name, words, "remove"]);
        victim.is_untouched();
    }
}

#[test]
fn links_in_the_place_of_what_is_replaced_lead_nowhere() {
    let (place, victim) = (Place::new(), Victim::new());
    let paths = place.paths();
    for folder in [paths.run(), paths.shared()] {
        fs::create_dir_all(folder).expect("made");
    }
    for at in [paths.settings(), paths.stats(), paths.ring(0), paths.ring(7)] {
        symlink(&victim.file, at).expect("made");
    }
    let running = place.starts(&["boot.ports[0].device=net_null0", "boot.ports[0].pace_pps=100"]);
    assert!(running.said.contains("settings.toml is a symbolic link and is not followed"), "{}", running.said);
    let mut control = running.southbound();
    let mut settings = control.describe().settings.expect("settings");
    settings.live.as_mut().expect("live").vlan_in_key = Some(false);
    control.apply(1, &settings).expect("applied");
    let is = |path: &Path| fs::symlink_metadata(path).map(|m| (m.is_file() || m.is_dir(), m.gid(), m.mode() & 0o7777)).expect("there");
    let us = rustix::process::getegid().as_raw();
    let group = match account::sharing() {
        Sharing::Own => us,
        Sharing::Group(gid) => gid,
    };
    assert_eq!([is(paths.run()), is(paths.shared())], [(true, group, if group == 0 { 0o750 } else { 0o2750 }); 2]);
    assert_eq!([is(&paths.stats()), is(&paths.ring(0))], [(true, group, 0o640); 2]);
    assert_eq!([is(&paths.settings()), is(&paths.lock()), is(&paths.shared().join("lock"))], [(true, group, 0o640); 3]);
    assert!(!paths.ring(7).is_symlink(), "what a predecessor left is removed");
    running.stop();
    victim.is_untouched();
}

/// What the kernel says of every thread: name, capabilities (inheritable, permitted, effective, bounding, ambient), no_new_privs.
fn threads(pid: u32) -> Vec<(String, [u64; 5], String)> {
    let read = |task: &Path| {
        let status = fs::read_to_string(task.join("status")).expect("a thread");
        let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).expect(name).trim().to_owned();
        let sets = ["CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"].map(|name| u64::from_str_radix(&field(name), 16).expect("hex"));
        (field("Name:"), sets, field("NoNewPrivs:"))
    };
    fs::read_dir(format!("/proc/{pid}/task")).expect("a process").map(|task| read(&task.expect("readable").path())).collect()
}

#[test]
fn every_thread_gives_up_what_it_does_not_need() {
    if !root("root's rights") {
        return;
    }
    let place = Place::new();
    let capture = place.capture(&[udp(1, 1, 1)]);
    let device = format!("boot.ports[0].device=net_pcap0,rx_pcap={},infinite_rx=1", capture.display());
    let exporter = ["live.exporters[0].name=exporters/a", "live.exporters[0].address=127.0.0.1:9"];
    let running = place.starts(&[&device, "boot.ports[0].pace_pps=100", "boot.cores.workers=[0, 1]", exporter[0], exporter[1]]);
    let line = running.said.lines().find(|line| line.starts_with("privileges: ")).expect("it says what it keeps");
    assert!(line.contains("user root (0), no capabilities"), "{line}");
    let threads = threads(running.pid());
    for name in ["worker-0", "worker-1", "dispatcher", "exp-a", "intr"] {
        // DPDK calls its interrupt thread eal-intr-thread, and dpdk-intr since 23.11.
        assert!(threads.iter().any(|(thread, ..)| thread.contains(name)), "{name} in {threads:?}");
    }
    for (name, sets, no_new_privs) in &threads {
        assert_eq!((sets, no_new_privs.as_str()), (&[0; 5], "1"), "{name}");
    }
    running.stop();
}

/// The program where any user can start it.
fn program_for_everybody() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).expect("our own");
    fs::copy(env!("CARGO_BIN_EXE_sonde-dataplane"), dir.path().join("sonde-dataplane")).expect("copied");
    dir
}

/// The dataplane in a network namespace of its own, on its `lo`, run by a user (0: root) with these capabilities.
fn in_a_namespace(place: &Place, program: &Path, user: u32, capabilities: &str) -> Command {
    fs::set_permissions(place.dir.path(), fs::Permissions::from_mode(0o755)).expect("our own");
    std::os::unix::fs::chown(place.dir.path(), Some(user), Some(user)).expect("given");
    let own = place.command(&["boot.ports[0].device=net_af_packet0,iface=lo"]);
    let mut command = Command::new("unshare");
    command.args(["-n", "sh", "-ec", "ip link set lo up; exec \"$@\"", "sh"]);
    if user != 0 {
        let (uid, keep) = (user.to_string(), capabilities.to_owned());
        command.args(["setpriv", "--reuid", &uid, "--regid", &uid, "--clear-groups", "--inh-caps", &keep, "--ambient-caps", &keep]);
    }
    command.arg(program).args(own.get_args());
    for variable in ["RUST_LOG", "SONDE_PROFILE", "SONDE_RUN_DIR", "XDG_RUNTIME_DIR"] {
        command.env_remove(variable);
    }
    command
}

#[test]
fn a_port_that_reads_an_interface_keeps_one_capability_and_names_it_when_it_is_missing() {
    if !root("a network namespace and another user") {
        return;
    }
    let able = Command::new("unshare").args(["-n", "true"]).stderr(Stdio::null()).status();
    if !able.is_ok_and(|status| status.success()) {
        skip(Need::Namespaces, "the capabilities of net_af_packet");
        return;
    }
    let programs = program_for_everybody();
    let program = programs.path().join("sonde-dataplane");
    for (capabilities, missing) in [("-all", "CAP_NET_RAW:"), ("+net_admin", "CAP_NET_RAW:")] {
        let place = Place::new();
        let output = in_a_namespace(&place, &program, NOBODY, capabilities).output().expect("run");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{said}");
        for word in ["port \"virtual\"", "(65534)", &format!("lacks {missing}"), "setcap cap_net_raw+ep"] {
            assert!(said.contains(word), "no {word:?} in: {said}");
        }
    }
    const RAW: u64 = 1 << 13;
    for (user, bounding) in [(NOBODY, None), (0, Some(0))] {
        let place = Place::new();
        let running = Running::of(&place, in_a_namespace(&place, &program, user, "+net_raw,+net_admin"));
        let line = running.said.lines().find(|line| line.starts_with("privileges: ")).expect("it says what it keeps").to_owned();
        assert!(line.contains("only CAP_NET_RAW (port \"virtual\" (net_af_packet): "), "{line}");
        for (name, [inheritable, permitted, effective, bound, ambient], no_new_privs) in threads(running.pid()) {
            assert_eq!((inheritable, permitted, effective, ambient, no_new_privs.as_str()), (0, RAW, RAW, 0, "1"), "{name} of user {user}");
            assert!(bounding.is_none_or(|expected| bound == expected), "{name} of user {user}: {bound:x}");
        }
        running.stop();
    }
}
