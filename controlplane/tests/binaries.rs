//! The programs as an operator has them: `sonde-controlplane` and `sonde`, and a client of another language.

mod support;

use sonde_tests::skip::{Need, skip};
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};
use support::process::{Process, adopted, controlplane, place, refusal, sonde, text, user};
use support::{FakeDataplane, own_file, record, settings, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_control_plane_disturbs_nobody_and_its_readers_go_on() {
    let (name, home, _cleared) = place();
    let fake = FakeDataplane::start(&name, &home.path().join("run"), 1, 1);
    let plane = Process::start(&name, home.path(), "127.0.0.1:0");
    adopted(&plane).await;
    fake.count(0, "received", 1000);
    fake.count(0, "metered_ipv4", 1000);
    let api = plane.api.clone();
    let mut tail =
        sonde(&api, &["flows", "tail", "--json", "--limit", "300"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("runs");
    let (tell, ids) = mpsc::channel();
    let lines = BufReader::new(tail.stdout.take().expect("piped"));
    std::thread::spawn(move || {
        for line in lines.lines() {
            let flow: serde_json::Value = serde_json::from_str(&line.expect("readable")).expect("JSON");
            tell.send(flow["flow_id"].as_u64().expect("an id")).expect("somebody listens");
        }
    });
    // The reader is there when it gets the first record; those before are nobody's.
    let mut next = 0u64;
    let first = loop {
        fake.write(0, [record(next)]);
        next += 1;
        if let Ok(id) = ids.recv_timeout(Duration::from_millis(50)) {
            break id;
        }
        assert!(next < 200, "the reader got nothing");
    };
    plane.kill();
    for _ in 0..100 {
        fake.write(0, [record(next)]);
        next += 1;
    }
    fake.count(0, "received", 2000);
    fake.count(0, "metered_ipv4", 2000);
    let plane = Process::start(&name, home.path(), &api);
    while next < first + 300 {
        fake.write(0, [record(next)]);
        next += 1;
    }
    let seen: Vec<u64> =
        std::iter::once(first).chain((1..300).map(|_| ids.recv_timeout(Duration::from_secs(10)).expect("goes on"))).collect();
    assert_eq!(seen, (first..first + 300).collect::<Vec<_>>(), "nothing lost, nothing twice");
    assert!(tail.wait().expect("ended").success());
    let mut said = String::new();
    tail.stderr.take().expect("piped").read_to_string(&mut said).expect("readable");
    assert!(said.contains("went away; waiting for it") && !said.contains("lost"), "{said}");
    assert_eq!(plane.json(&["status"])["balance"]["received"], 2000);
    assert_eq!(plane.json(&["config", "history"])["generations"].as_array().map(Vec::len), Some(1), "the history survived");
    assert!(fake.applied().is_empty(), "the dataplane was left alone");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_does_what_it_says() {
    let (name, home, _cleared) = place();
    let fake = FakeDataplane::start(&name, &home.path().join("run"), 2, 1);
    fake.count(0, "received", 1_234_567);
    fake.count(0, "metered_ipv4", 1_234_500);
    fake.count(0, "not_metered.ipv4_truncated", 67);
    let plane = Process::start(&name, home.path(), "127.0.0.1:0");
    adopted(&plane).await;

    let status = plane.says(&["status"]);
    assert!(status.starts_with(&format!("probe {name} is running\n")) && status.contains("generation 1 in force, as desired"), "{status}");
    let stats = plane.says(&["stats"]);
    assert!(stats.contains("worker 0: received 1,234,567 = metered 1,234,500 + ipv4_truncated 67: balances"), "{stats}");
    assert!(stats.contains("\npackets: received 1,234,567 = ") && !stats.contains('\x1b'), "no escape codes in a pipe: {stats}");
    assert!(plane.says(&["stats", "--all"]).contains("not_metered.ipv4_truncated"));

    // get, edit, validate, diff, apply: the document goes round.
    let file = home.path().join("probe.toml");
    let path = file.to_str().expect("UTF-8");
    let document = plane.says(&["config", "get"]);
    assert!(document.starts_with("# generation 1, applied "), "{document}");
    std::fs::write(&file, document.replace("idle_timeout_ms = 30000", "idle_timeout_ms = 15000")).expect("written");
    assert_eq!(plane.says(&["config", "validate", path]), format!("{path} is good\n"));
    let diff = plane.says(&["config", "diff", "desired", path]);
    assert_eq!(diff, "- live.timeouts.idle_timeout_ms = 30000\n+ live.timeouts.idle_timeout_ms = 15000\n");
    assert_eq!(plane.says(&["config", "apply", path, "--dry-run"]), "it could be applied; nothing was changed\n");
    assert_eq!(plane.says(&["config", "apply", path, "-m", "shorter"]), "generation 2 is in force: every worker obeys it\n");
    assert!(plane.says(&["config", "history"]).lines().nth(1).is_some_and(|l| l.trim_start().starts_with("2  ") && l.ends_with("shorter")));
    assert_eq!(plane.says(&["config", "diff"]), diff);
    assert_eq!(plane.says(&["config", "rollback", "1"]), "generation 3 is in force: every worker obeys it\n");
    assert!(plane.says(&["config", "get", "--generation", "2"]).contains("# shorter"));
    // JSON goes round as well.
    let json = home.path().join("probe.json");
    std::fs::write(&json, plane.says(&["config", "get", "--json"])).expect("written");
    assert_eq!(plane.says(&["config", "diff", "desired", json.to_str().expect("UTF-8")]).lines().count(), 1);

    std::fs::write(&file, "[live.timeouts]\nidle_timeout_ms = 1\nidle = 2\n[[live.exporters]]\nname = \"x\"\n").expect("written");
    let faults = plane.refuses(&["config", "apply", path]);
    assert!(faults.contains("live.timeouts.idle") && faults.contains("which does not exist"), "{faults}");
    std::fs::write(&file, "[live.timeouts]\nidle_timeout_ms = 1\n[[live.exporters]]\nname = \"exporters/x\"\n").expect("written");
    let faults = plane.refuses(&["config", "apply", path]);
    assert!(
        faults.contains("\n  live.timeouts.idle_timeout_ms: must be ") && faults.contains("\n  live.exporters[0].address: "),
        "{faults}"
    );
    let faults = plane.sonde(&["config", "validate", path]);
    assert_eq!((faults.status.code(), text(&faults.stdout).lines().count()), (Some(1), 2));

    assert!(plane.says(&["exporters", "list"]).starts_with("no exporters"));
    let added = plane.says(&["exporters", "add", "core-1", "192.0.2.10:4739", "--domain", "7"]);
    assert_eq!(added, "exporters/core-1 added: generation 4 is in force\n");
    let changed = plane.json(&["exporters", "update", "core-1", "--enabled", "false"]);
    assert_eq!((changed["exporter"]["enabled"].clone(), changed["exporter"]["observation_domain_id"].clone()), (false.into(), 7.into()));
    assert!(plane.says(&["exporters", "list"]).contains("exporters/core-1  ipfix     udp        192.0.2.10:4739"));
    assert!(plane.says(&["exporters", "stats"]).starts_with("exporters/core-1: disabled"));
    assert!(plane.says(&["exporters", "remove", "core-1"]).contains("removed"));
    assert!(plane.refuses(&["exporters", "remove", "core-1"]).contains("there is no exporter"));
    let error: serde_json::Value = serde_json::from_str(&plane.refuses(&["exporters", "stats", "x", "--json"])).expect("JSON on stderr");
    assert_eq!(error["error"]["code"], "NOT_FOUND");

    assert!(plane.says(&["version"]).contains("sonde-dataplane 9.9.9"));
    assert!(plane.says(&["completions", "bash"]).contains("_sonde"));
}

#[tokio::test(flavor = "multi_thread")]
async fn flows_are_lines_and_live_views_go_on_until_interrupted() {
    let (name, home, _cleared) = place();
    let fake = FakeDataplane::start(&name, &home.path().join("run"), 1, 1);
    let plane = Process::start(&name, home.path(), "127.0.0.1:0");
    adopted(&plane).await;
    let tail = sonde(&plane.api, &["flows", "tail", "--port", "443", "-n", "2"]).stdout(Stdio::piped()).spawn().expect("runs");
    let begun = Instant::now();
    let mut tail = Some(tail);
    let output = loop {
        fake.write(0, [record(1)]);
        std::thread::sleep(Duration::from_millis(50));
        assert!(begun.elapsed() < Duration::from_secs(60), "no two flows");
        if tail.as_mut().expect("there").try_wait().expect("known").is_some() {
            break tail.take().expect("there").wait_with_output().expect("read");
        }
    };
    let shown = text(&output.stdout);
    assert_eq!(shown.lines().count(), 3, "a heading and two flows: {shown}");
    assert!(shown.contains("10.0.0.1:40000") && shown.contains("192.0.2.1:443") && shown.contains("1.00k > < 500"), "{shown}");
    assert!(shown.contains("RTT MS") && shown.contains("RESP MS"), "{shown}");
    let mut detail = sonde(&plane.api, &["flows", "tail", "--detail", "-n", "1"]).stdout(Stdio::piped()).spawn().expect("runs");
    while detail.try_wait().expect("known").is_none() {
        fake.write(0, [record(1)]);
        std::thread::sleep(Duration::from_millis(50));
        assert!(begun.elapsed() < Duration::from_secs(60), "no flow");
    }
    let sheet = text(&detail.wait_with_output().expect("read").stdout);
    assert!(sheet.starts_with("tcp 10.0.0.1:40000 > 192.0.2.1:443\n  flow_id "), "{sheet}");
    assert!(sheet.contains("  packets              10 > < 5\n") && sheet.ends_with("\n\n"), "{sheet}");
    // Columns of the table's own, and fields of the catalogue by any of their names.
    let chosen = ["flows", "tail", "-n", "1", "--columns", "source,dport,end_reason"];
    let mut fields = sonde(&plane.api, &chosen).stdout(Stdio::piped()).spawn().expect("runs");
    while fields.try_wait().expect("known").is_none() {
        fake.write(0, [record(1)]);
        std::thread::sleep(Duration::from_millis(50));
        assert!(begun.elapsed() < Duration::from_secs(60), "no flow");
    }
    let fields = text(&fields.wait_with_output().expect("read").stdout);
    let words: Vec<Vec<&str>> = fields.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(words, [vec!["SOURCE", "DPORT", "END_REASON"], vec!["10.0.0.1:40000", "443", "1"]], "{fields}");
    let unknown = sonde(&plane.api, &["flows", "tail", "--columns", "source,destnation_port"]).output().expect("runs");
    assert!(text(&unknown.stderr).contains("destnation_port (did you mean destination_port?)"), "{}", text(&unknown.stderr));
    let both = sonde(&plane.api, &["flows", "tail", "--detail", "--json"]).output().expect("runs");
    assert_eq!(both.status.code(), Some(2), "one or the other: {}", text(&both.stderr));
    let top = plane.says(&["flows", "top", "--by", "source"]);
    assert!(top.contains("SOURCE") && top.contains("10.0.0.1") && top.contains("100.0 %"), "{top}");

    for view in
        [&["stats", "--watch", "--interval-ms", "100"][..], &["flows", "top", "-w", "--interval-ms", "100"], &["status", "-w", "--json"]]
    {
        let mut child = sonde(&plane.api, view).stdout(Stdio::piped()).spawn().expect("runs");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        for _ in 0..3 {
            lines.next().expect("goes on").expect("readable");
        }
        let interrupted = Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill runs");
        assert!(interrupted.success());
        assert!(lines.by_ref().all(|line| line.is_ok()), "the rest is whole lines");
        assert!(child.wait().expect("ended").success(), "Ctrl-C is no failure: {view:?}");
    }
    // A reader that has seen enough is no failure either.
    let mut child = sonde(&plane.api, &["status", "-w", "--interval-ms", "100"]).stdout(Stdio::piped()).spawn().expect("runs");
    BufReader::new(child.stdout.take().expect("piped")).lines().next().expect("a line").expect("readable");
    assert!(child.wait().expect("ended").success());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_says_where_and_whose_addresses_are() {
    let (name, home, _cleared) = place();
    let mut document = settings(&name, 1);
    let prefixes = vec![sonde_proto::v1::OwnPrefix { prefix: "10.0.0.0/24".into(), name: "office, Brno".into() }];
    let enrichment = sonde_proto::v1::Enrichment { prefixes, ..<_>::default() };
    document.live.get_or_insert_default().enrichment = Some(enrichment);
    let fake = FakeDataplane::with(&name, &home.path().join("run"), document, 1);
    let plane = Process::start(&name, home.path(), "127.0.0.1:0");
    adopted(&plane).await;
    let begun = Instant::now();
    let top = loop {
        fake.write(0, [record(1)]);
        std::thread::sleep(Duration::from_millis(50));
        let top = plane.says(&["flows", "top", "--by", "source"]);
        assert!(begun.elapsed() < Duration::from_secs(60), "nothing is looked up: {top}");
        if top.contains("office, Brno") {
            break top;
        }
    };
    assert!(top.contains("WHERE"), "{top}");
    let by_source: serde_json::Value = serde_json::from_str(&plane.says(&["flows", "top", "--by", "source", "--json"])).expect("JSON");
    assert_eq!(by_source["entries"][0]["place"]["network"], "office, Brno", "{by_source}");
    let networks = plane.says(&["flows", "top", "--by", "network"]);
    assert!(networks.contains("NETWORK") && networks.contains("office, Brno") && !networks.contains("WHERE"), "{networks}");
    let systems = plane.says(&["flows", "top", "--by", "as"]);
    assert!(systems.contains("AS") && systems.contains("unknown") && !systems.contains("NAME"), "{systems}");
    for arguments in [&["flows", "tail", "-n", "1"][..], &["flows", "tail", "-n", "1", "--json"]] {
        let mut tail = sonde(&plane.api, arguments).stdout(Stdio::piped()).spawn().expect("runs");
        while tail.try_wait().expect("known").is_none() {
            fake.write(0, [record(1)]);
            std::thread::sleep(Duration::from_millis(50));
            assert!(begun.elapsed() < Duration::from_secs(120), "no flow");
        }
        let said = text(&tail.wait_with_output().expect("read").stdout);
        if arguments.contains(&"--json") {
            let flow: serde_json::Value = serde_json::from_str(&said).expect("JSON");
            assert_eq!((&flow["source_place"]["network"], &flow["destination_place"]["network"]), (&"office, Brno".into(), &"".into()));
        } else {
            assert!(said.contains("WHERE") && said.contains("office, Brno > -"), "{said}");
        }
    }
}

#[test]
fn nobody_at_the_address_is_a_sentence_with_the_remedy() {
    // Port 1 of the loopback: nobody listens there.
    for arguments in [&["status"][..], &["flows", "tail"], &["exporters", "list"], &["config", "get"], &["stats", "--watch"]] {
        let output = sonde("127.0.0.1:1", arguments).output().expect("runs");
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1));
        assert!(said.starts_with("sonde: no control plane answers at 127.0.0.1:1: is sonde-controlplane running?"), "{said}");
        assert_eq!(said.lines().count(), 1);
    }
    let output = sonde("no address", &["status"]).output().expect("runs");
    assert!(text(&output.stderr).contains("is no address: give host:port"), "{}", text(&output.stderr));
    assert!(sonde("127.0.0.1:1", &["version"]).status().expect("runs").success(), "this program's version is known all the same");
}

#[test]
fn other_machines_are_kept_out_unless_told_otherwise() {
    let (name, home, _cleared) = place();
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:4950"] {
        let said = refusal(&name, home.path(), &["--api", address]);
        assert!(said.contains("no TLS") && said.contains("--allow-remote") && said.contains("ssh -L"), "{said}");
    }
    let mut open = controlplane(&name, home.path()).args(["--api", "0.0.0.0:0", "--allow-remote"]).spawn().expect("starts");
    let mut said = BufReader::new(open.stderr.take().expect("piped")).lines().map_while(Result::ok).take(4);
    assert!(said.any(|line| line.contains("the gRPC API is at 0.0.0.0:")), "it listens");
    open.kill().expect("killed");
    open.wait().expect("ended");
}

#[test]
fn what_keeps_it_from_starting_is_a_sentence_with_the_remedy() {
    let (name, home, _cleared) = place();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("known").to_string();
    let said = refusal(&name, home.path(), &["--api", &address]);
    assert!(said.contains(&format!("cannot listen on {address}")) && said.contains("choose another with --api"), "{said}");
    let _first = Process::start(&name, home.path(), "127.0.0.1:0");
    let said = refusal(&name, home.path(), &["--api", "127.0.0.1:0"]);
    assert!(said.contains("in use by another control plane of this instance"), "{said}");
    let other = tempfile::tempdir().expect("a directory");
    std::fs::write(other.path().join("state"), "").expect("written");
    let said = refusal(&name, other.path(), &["--api", "127.0.0.1:0"]);
    assert!(said.contains("give another directory with --state-dir"), "{said}");
    let output = controlplane("Bad Name", home.path()).output().expect("runs");
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("an instance name has 1 to 32"));
}

/// A file system of its own that is soon full, in a mount namespace of its own: for root only.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_said_and_nothing_is_lost() {
    let (name, home, _cleared) = place();
    let state = home.path().join("state");
    std::fs::create_dir_all(&state).expect("made");
    let script = r#"mount -t tmpfs -o size=64k none "$1" && shift && exec "$@""#;
    let able = Command::new("unshare").args(["-m", "sh", "-c", script, "sh"]).arg(&state).arg("true").output();
    if !able.is_ok_and(|o| o.status.success()) {
        skip(Need::Namespaces, "a full disk");
        return;
    }
    let fake = FakeDataplane::start(&name, &home.path().join("run"), 1, 1);
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-c", script, "sh"]).arg(&state).arg(env!("CARGO_BIN_EXE_sonde-controlplane"));
    command.args(["--instance", &name, "--api", "127.0.0.1:0", "--state-dir"]).arg(&state).arg("--run-dir").arg(home.path().join("run"));
    let plane = Process::running(command.args(user()).stderr(Stdio::piped()).spawn().expect("starts"));
    adopted(&plane).await;
    // Generations of 4 KiB of comment each: soon there is no room.
    let comment = "x".repeat(4000);
    let mut made = 1;
    let said = loop {
        let output = plane.sonde(&["config", "rollback", "1", "-m", &comment]);
        if !output.status.success() {
            break text(&output.stderr);
        }
        made += 1;
        assert!(made < 100, "64 KiB hold no hundred generations");
    };
    assert!(said.contains("is full: generation") && said.contains("nothing was changed; free some space"), "{said}");
    assert_eq!(fake.in_force().0, made, "the dataplane obeys what is stored");
    let history = plane.json(&["config", "history", "--limit", "1000"]);
    assert_eq!(history["generations"].as_array().map(Vec::len), usize::try_from(made).ok());
}

/// What an operator sees of a history that is not whole, and of a control plane that cannot store.
#[tokio::test(flavor = "multi_thread")]
async fn a_generation_that_cannot_be_read_is_shown_wherever_one_looks() {
    let (name, home, _cleared) = place();
    let fake = FakeDataplane::start(&name, &home.path().join("run"), 1, 1);
    let plane = Process::start(&name, home.path(), "127.0.0.1:0");
    adopted(&plane).await;
    let first = plane.says(&["config", "get", "1"]);
    assert!(first.starts_with("# generation 1, ") && first == plane.says(&["config", "get", "--generation", "1"]), "{first}");
    assert_eq!(sonde(&plane.api, &["config", "get", "1", "--generation", "1"]).output().expect("runs").status.code(), Some(2));
    let file = home.path().join("same.toml");
    std::fs::write(&file, plane.says(&["config", "get"])).expect("written");
    let again = plane.says(&["config", "apply", file.to_str().expect("UTF-8"), "-m", "the same"]);
    assert!(again.contains("generation 2 is in force"), "{again}");
    plane.kill();
    let damaged = home.path().join("state").join(&name).join("generation-2.json");
    std::fs::write(&damaged, "no JSON").expect("written");
    let plane = Process::start(&name, home.path(), "127.0.0.1:0");
    until("what runs to be taken", async || plane.json(&["config", "get"])["desired"]["number"] == 3).await;
    let said = format!("generation 2 cannot be read and is left out: {}: expected", damaged.display());
    for command in [&["config", "history"][..], &["config", "get"], &["status"]] {
        let shown = plane.says(command);
        assert!(shown.contains(&said), "{command:?}: {shown}");
    }
    assert_eq!(plane.json(&["config", "history"])["unreadable"][0]["number"], 2);
    assert!(plane.refuses(&["config", "get", "2"]).contains(&said));
    assert!(plane.says(&["config", "history"]).contains("the file of generation 2 cannot be read"));
    drop(fake);
}

/// The first generation finds no room: nobody is told to start a dataplane that runs.
#[tokio::test(flavor = "multi_thread")]
async fn a_dataplane_of_another_protocol_is_named_with_the_side_to_restart() {
    let (name, home, _cleared) = place();
    let fake = FakeDataplane::start(&name, &home.path().join("run"), 1, 1);
    let plane = Process::start(&name, home.path(), "127.0.0.1:0");
    adopted(&plane).await;
    for (protocol, remedy) in
        [(0, "the dataplane is older: restart it"), (2, "this program is older: install the version of the dataplane")]
    {
        fake.speaks(protocol);
        let told = format!("sonde-dataplane version 9.9.9, process {}, speaks southbound protocol {protocol}", std::process::id());
        until("the other protocol to be seen", async || text(&plane.sonde(&["status"]).stdout).contains(&told)).await;
        let status = plane.sonde(&["status", "--check"]);
        assert_eq!(status.status.code(), Some(1), "{}", text(&status.stdout));
        assert!(text(&plane.sonde(&["status"]).stdout).contains(remedy));
        assert!(plane.log().contains(&told) && plane.log().contains(remedy), "{}", plane.log());
        let refused = plane.refuses(&["exporters", "add", &format!("a{protocol}"), "192.0.2.1:4739"]);
        assert!(refused.contains(remedy), "{refused}");
    }
    assert!(fake.applied().is_empty(), "the dataplane goes on as it is");
    fake.speaks(1);
    until("its own protocol again", async || !text(&plane.sonde(&["status"]).stdout).contains("southbound protocol")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_is_full_from_the_beginning_is_said() {
    let (name, home, _cleared) = place();
    let state = home.path().join("state");
    std::fs::create_dir_all(&state).expect("made");
    let folder = state.join(&name);
    let script =
        r#"mount -t tmpfs -o size=16k none "$1" && mkdir "$2" && touch "$2/lock" && { cat /dev/zero > "$1/fill"; shift 2; exec "$@"; }"#;
    let able = Command::new("unshare").args(["-m", "sh", "-c", script, "sh"]).arg(&state).arg(&folder).arg("true").output();
    if !able.is_ok_and(|o| o.status.success()) {
        skip(Need::Namespaces, "a full disk");
        return;
    }
    let _fake = FakeDataplane::start(&name, &home.path().join("run"), 1, 1);
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-c", script, "sh"]).arg(&state).arg(&folder).arg(env!("CARGO_BIN_EXE_sonde-controlplane"));
    command.args(["--instance", &name, "--api", "127.0.0.1:0", "--state-dir"]).arg(&state).arg("--run-dir").arg(home.path().join("run"));
    let plane = Process::running(command.args(user()).stderr(Stdio::piped()).spawn().expect("starts"));
    let file = format!("the disk that holds {} is full", folder.join("generation-1.json").display());
    until("the trouble to be known", async || plane.refuses(&["config", "get"]).contains(&file)).await;
    let said = plane.refuses(&["config", "get"]);
    assert!(said.contains("could not be adopted") && said.contains("free some space there (`df "), "{said}");
    assert!(!said.contains("start sonde-dataplane"), "it runs: {said}");
    assert!(plane.says(&["status"]).contains(&file), "{}", plane.says(&["status"]));
}

/// The API as a program of another language finds it. Needs grpcio, grpcio-reflection and grpcio-tools, which Debian does not have
/// all of: `pip install` of the three.
#[tokio::test(flavor = "multi_thread")]
async fn a_python_client_made_from_the_protos_calls_every_method() {
    let python = std::env::var("SONDE_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let able = Command::new(&python).args(["-c", "import grpc, grpc_reflection, grpc_tools"]).output();
    if !able.is_ok_and(|o| o.status.success()) {
        skip(Need::PythonGrpc, "a client in Python");
        return;
    }
    let (name, home, _cleared) = place();
    let fake = FakeDataplane::start(&name, &home.path().join("run"), 2, 1);
    let plane = Process::start(&name, home.path(), "127.0.0.1:0");
    adopted(&plane).await;
    until("a dataplane that runs", async || plane.json(&["status"])["state"] == "running").await;
    let mut command = Command::new(python);
    command.arg(own_file("python/northbound.py")).args(["--api", &plane.api, "--protos"]);
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("../proto")).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("runs");
    let begun = Instant::now();
    while child.try_wait().expect("known").is_none() {
        fake.write(0, (1..4).map(record));
        std::thread::sleep(Duration::from_millis(50));
        if begun.elapsed() > Duration::from_secs(90) {
            child.kill().expect("killed");
        }
    }
    let output = child.wait_with_output().expect("read");
    let (said, trouble) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{said}\n{trouble}");
    for service in ["sonde.v1.ConfigService", "sonde.v1.StatusService", "sonde.v1.FlowsService", "sonde.v1.ExportersService"] {
        assert!(said.lines().any(|l| l == service), "grpcurl list would show {service}: {said}");
    }
    assert!(said.ends_with("every method of every service answered\n"), "{said}");
}
