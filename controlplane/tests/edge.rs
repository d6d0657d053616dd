//! The API's edge: who connects and says nothing, too much, or something else; who asks and never reads; a control plane that hangs.

mod support;

use sonde_proto::v1::*;
use sonde_tests::skip::root;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use support::process::{Process, adopted, controlplane, place, refusal, sonde, text};
use support::{FakeDataplane, record, until};
use tonic::Code;
use tonic::transport::Channel;
use tonic_types::StatusExt;

/// What begins every HTTP/2 connection, with an empty SETTINGS frame.
const GREETING: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// A control plane on a TCP port and on a socket, and where that is.
fn on_both(name: &str, home: &Path, more: &[&str]) -> (Process, String) {
    let socket = format!("unix:{}", home.join("run").join(name).join("api/api.sock").display());
    let mut command = controlplane(name, home);
    command.args(["--api", "127.0.0.1:0", "--api", &socket]).args(more);
    (Process::of(command), socket)
}

fn connect(api: &str) -> TcpStream {
    let stream = TcpStream::connect(api).expect("connects");
    stream.set_read_timeout(Some(Duration::from_secs(30))).expect("set");
    stream
}

/// Whether the other end has closed: reads until it has. `false` when it is open still after so long.
fn closed(mut stream: &TcpStream, patience: Duration) -> bool {
    stream.set_read_timeout(Some(patience)).expect("set");
    let mut some = [0; 4096];
    loop {
        match stream.read(&mut some) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(e) if matches!(e.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => return false,
            Err(_) => return true,
        }
    }
}

/// What the API says of the probe, whose dataplane may be absent: that is exit status 1, and an answer all the same.
fn status(api: &str) -> serde_json::Value {
    let output = sonde(api, &["status", "--json"]).output().expect("runs");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("at {api}: {e}: {}", text(&output.stderr)))
}

fn answers(api: &str) {
    assert!(status(api)["api"].is_object(), "at {api}");
}

async fn channel(plane: &Process) -> Channel {
    Channel::from_shared(format!("http://{}", plane.api)).expect("a uri").connect().await.expect("connects")
}

fn flows(channel: Channel) -> flows_service_client::FlowsServiceClient<Channel> {
    flows_service_client::FlowsServiceClient::new(channel)
}

/// Processor time of a process so far, in clock ticks: user and system, fields 14 and 15 of proc(5) stat.
fn ticks(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
    let fields: Vec<&str> = stat.rsplit_once(") ").expect("a name").1.split(' ').collect();
    fields[11].parse::<u64>().expect("a number") + fields[12].parse::<u64>().expect("a number")
}

/// Resident memory in octets.
fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).expect("there");
    line.trim().trim_end_matches(" kB").trim().parse::<u64>().expect("a number") * 1024
}

#[tokio::test(flavor = "multi_thread")]
async fn more_connections_than_there_is_room_for_keep_nobody_out() {
    let (name, home, _cleared) = place();
    let (plane, socket) = on_both(&name, home.path(), &[]);
    // Those that say nothing, and those that greet and then say nothing: neither may keep others out.
    for greeting in [&b""[..], GREETING] {
        let idle: Vec<TcpStream> = (0..1100)
            .map(|_| {
                let mut stream = connect(&plane.api);
                // One that was ended already need not hear it.
                let _ = stream.write_all(greeting);
                stream
            })
            .collect();
        answers(&socket);
        answers(&plane.api);
        let before = ticks(plane.child.id());
        std::thread::sleep(Duration::from_secs(2));
        let spent = ticks(plane.child.id()) - before;
        assert!(spent < 100, "a hundred ticks are a second of a core: it waits, and did {spent}");
        let status = status(&plane.api);
        assert_eq!(status["api"]["connections_max"], 256);
        assert!(status["api"]["connections"].as_u64().expect("a number") <= 128, "half is for TCP: {}", status["api"]);
        assert!(status["api"]["made_room"].as_u64().expect("a number") >= 1000, "{}", status["api"]);
        drop(idle);
    }
    assert!(text(&plane.sonde(&["status"]).stdout).contains("idle ones ended to make room"));
    assert!(plane.log().lines().count() < 20, "{}", plane.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn few_descriptors_are_said_and_enough() {
    let (name, home, _cleared) = place();
    let mut command = Command::new("sh");
    command.args(["-c", r#"ulimit -n 64 && exec "$@""#, "sh"]).arg(env!("CARGO_BIN_EXE_sonde-controlplane"));
    let socket = format!("unix:{}", home.path().join("run/api.sock").display());
    command.args(["--instance", &name, "--api", "127.0.0.1:0", "--api", &socket, "--state-dir"]).arg(home.path().join("state"));
    command.arg("--run-dir").arg(home.path().join("run")).env("NO_COLOR", "1").stderr(Stdio::piped());
    let plane = Process::of(command);
    let idle: Vec<TcpStream> = (0..200).map(|_| connect(&plane.api)).collect();
    answers(&plane.api);
    answers(&socket);
    let log = plane.log();
    assert!(log.contains("connections instead of 256: this process may have 64 files open"), "{log}");
    let before = ticks(plane.child.id());
    std::thread::sleep(Duration::from_secs(1));
    assert!(ticks(plane.child.id()) - before < 50, "it waits");
    drop(idle);
    answers(&plane.api);
    assert!(plane.log().lines().count() < 20, "{}", plane.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_speak_http2_is_closed_counted_and_said_once() {
    let (name, home, _cleared) = place();
    let (plane, _) = on_both(&name, home.path(), &[]);
    let silent = connect(&plane.api);
    let begun = Instant::now();
    let mut half = connect(&plane.api);
    half.write_all(b"PRI * HT").expect("sent");
    let mut strangers = 0u64;
    let mut noise = 0x9e37_79b9_7f4a_7c15u64;
    for round in 0..40 {
        let garbage: Vec<u8> = (0..200)
            .map(|_| {
                noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                noise.to_be_bytes()[0]
            })
            .collect();
        let spoken: [&[u8]; 4] = [
            b"GET / HTTP/1.1\r\nHost: probe\r\n\r\n",
            b"\x16\x03\x01\x00\xc8\x01\x00\x00\xc4\x03\x03",
            b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n",
            &garbage,
        ];
        let mut stream = connect(&plane.api);
        stream.write_all(spoken[round % 4]).expect("sent");
        assert!(closed(&stream, Duration::from_secs(10)), "round {round}");
        strangers += 1;
    }
    let counted = || status(&plane.api)["api"]["no_preface"].as_u64().expect("a number");
    until("counting", async || counted() == strangers).await;
    // A frame that is none, behind a good preface: HTTP/2 itself ends it.
    let mut stream = connect(&plane.api);
    stream.write_all(GREETING).and_then(|()| stream.write_all(&[0xff; 64])).expect("sent");
    assert!(closed(&stream, Duration::from_secs(20)));
    assert!(closed(&silent, Duration::from_secs(30)) && closed(&half, Duration::from_secs(30)));
    assert!(begun.elapsed() >= Duration::from_secs(9), "ten seconds are given");
    until("counting", async || counted() == strangers + 2).await;
    answers(&plane.api);
    let log = plane.log();
    assert!(log.contains("did not begin with the preface of HTTP/2"), "{log}");
    assert!(log.lines().count() < 12, "no flood: {log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_every_place_has_a_call_the_next_one_is_told() {
    let (name, home, _cleared) = place();
    let (plane, socket) = on_both(&name, home.path(), &["--connections-max", "8"]);
    let mut held = Vec::new();
    // Three eighths are one address's share.
    for _ in 0..3 {
        let mut watch = status_service_client::StatusServiceClient::new(channel(&plane).await);
        held.push(watch.watch(WatchStatusRequest { interval_ms: 0 }).await.expect("answers").into_inner());
    }
    let said = plane.refuses(&["status"]);
    // Where the connection ends before the call has begun, the client knows that only.
    assert!(said.contains("no room for another connection"), "{said}");
    answers(&socket);
    let mut turned = connect(&plane.api);
    let mut why = Vec::new();
    turned.read_to_end(&mut why).expect("told, then closed");
    assert_eq!(&why[3..4], b"\x04", "SETTINGS come first");
    assert_eq!((why[9 + 3], &why[9 + 9 + 4..9 + 9 + 8]), (7, &[0, 0, 0, 0x0b][..]), "GOAWAY, ENHANCE_YOUR_CALM");
    assert!(why.ends_with(b"no room for another connection"));
    let api = status(&socket);
    assert!(api["api"]["refused"].as_u64().expect("a number") >= 2, "{api}");
    assert!(plane.log().contains("turned away at 127.0.0.1:"), "{}", plane.log());
    drop(held);
    until("room", async || !plane.sonde(&["status"]).stdout.is_empty()).await;
}

/// 64 clients took 440 MB before: they open `Tail` and never read.
#[tokio::test(flavor = "multi_thread")]
async fn clients_that_never_read_take_little_and_are_told() {
    let (name, home, _cleared) = place();
    let fake = FakeDataplane::start(&name, &home.path().join("run"), 1, 1);
    let (plane, socket) = on_both(&name, home.path(), &[]);
    adopted(&plane).await;
    let before = resident(plane.child.id());
    let (mut held, mut refused) = (Vec::new(), 0);
    for n in 0..50 {
        let mut client = flows(channel(&plane).await);
        for _ in 0..if n < 48 { 1 } else { 76 } {
            match client.tail(TailRequest::default()).await {
                Ok(stream) => held.push(stream.into_inner()),
                Err(status) => {
                    assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
                    assert!(status.message().contains("64 clients follow the records already, or 48 of this address"), "{status}");
                    refused += 1;
                }
            }
        }
    }
    assert_eq!((held.len(), refused), (48, 152));
    // Another user reads on: here one who comes over the socket.
    let mut tail = sonde(&socket, &["flows", "tail", "--json", "-n", "2000"]).stdout(Stdio::piped()).spawn().expect("runs");
    let mut most = 0;
    let begun = Instant::now();
    let mut reader = tail.stdout.take().expect("piped");
    let lines = std::thread::spawn(move || {
        let mut all = String::new();
        reader.read_to_string(&mut all).map(|_| all.lines().count())
    });
    let cut = loop {
        fake.write(0, (0..500).map(record));
        tokio::time::sleep(Duration::from_millis(20)).await;
        most = most.max(resident(plane.child.id()).saturating_sub(before));
        let api = status(&socket);
        if api["api"]["streams_cut"] == 48 {
            break api;
        }
        assert!(begun.elapsed() < Duration::from_secs(120), "{api}");
    };
    assert_eq!(lines.join().expect("no panic").expect("readable"), 2000);
    assert!(tail.wait().expect("ended").success());
    assert_eq!(cut["api"]["connections_max"], 256);
    println!("48 clients that never read take {most} octets at most");
    assert!(most < 100 << 20, "{most} octets");
    // One that reads after all hears what happened, and where to go on.
    let mut stream = held.swap_remove(0);
    let (mut cursor, mut seen) = (String::new(), 0);
    let told = loop {
        match stream.message().await {
            Ok(Some(answer)) => (cursor, seen) = (answer.cursor, seen + answer.flows.len()),
            Ok(None) => panic!("ended without a word after {seen} flows"),
            Err(status) => break status,
        }
    };
    assert_eq!(told.code(), Code::ResourceExhausted, "{told}");
    assert!(told.message().contains("read nothing for 30 s") && told.message().ends_with(&cursor), "{told}; the last was {cursor}");
    assert!(plane.log().contains("streams ended because nobody read them"), "{}", plane.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_quoted_in_part_however_long_it_is() {
    let (name, home, _cleared) = place();
    let _fake = FakeDataplane::start(&name, &home.path().join("run"), 1, 1);
    let plane = Process::start(&name, home.path(), "127.0.0.1:0");
    adopted(&plane).await;
    let channel = channel(&plane).await;
    let (mut flows, mut config) = (flows(channel.clone()), config_service_client::ConfigServiceClient::new(channel.clone()));
    let mut exporters = exporters_service_client::ExportersServiceClient::new(channel.clone());
    let check = |what: &str, status: tonic::Status| {
        assert!(matches!(status.code(), Code::InvalidArgument | Code::NotFound | Code::Aborted), "{what}: {status}");
        assert!(status.message().len() < 1600 && status.message().contains("octets)"), "{what}: {}", status.message());
        let details = status.get_error_details();
        for v in details.bad_request().map(|b| b.field_violations.clone()).unwrap_or_default() {
            assert!(v.description.len() < 1200 && v.description.contains("octets)"), "{what}: {}", v.description);
        }
    };
    for long in ["x".repeat(1 << 20), "é%\n".repeat(1 << 18)] {
        let l = || long.clone();
        let named = Exporter { name: l(), address: l(), ..<_>::default() };
        check("add", exporters.add(AddExporterRequest { exporter: Some(named.clone()), ..<_>::default() }).await.expect_err("refused"));
        check("update", exporters.update(UpdateExporterRequest { exporter: Some(named), ..<_>::default() }).await.expect_err("refused"));
        let mask = Some(prost_types::FieldMask { paths: vec![l()] });
        let one = Some(Exporter { name: "exporters/x".into(), ..<_>::default() });
        let masked = UpdateExporterRequest { exporter: one, update_mask: mask, ..<_>::default() };
        check("mask", exporters.update(masked).await.expect_err("refused"));
        check("remove", exporters.remove(RemoveExporterRequest { name: l(), ..<_>::default() }).await.expect_err("refused"));
        check("stats", exporters.stats(ExporterStatsRequest { name: l() }).await.expect_err("refused"));
        check("page", exporters.list(ListExportersRequest { page_token: l(), ..<_>::default() }).await.expect_err("refused"));
        check("cursor", flows.tail(TailRequest { cursor: l(), ..<_>::default() }).await.expect_err("refused"));
        let filter = Some(FlowFilter { address: l(), source: l(), destination: l(), ..<_>::default() });
        check("filter", flows.tail(TailRequest { filter, ..<_>::default() }).await.expect_err("refused"));
        check("by", flows.top(TopRequest { by: l(), ..<_>::default() }).await.expect_err("refused"));
        check("order", flows.top(TopRequest { order: l(), ..<_>::default() }).await.expect_err("refused"));
        let history = HistoryRequest { page_token: l(), ..<_>::default() };
        check("history", config.history(history).await.expect_err("refused"));
        let settings = support::settings(&name, 1);
        let etag = ApplyConfigRequest { settings: Some(settings.clone()), etag: l(), ..<_>::default() };
        check("etag", config.apply(etag).await.expect_err("refused"));
        let id = ApplyConfigRequest { settings: Some(settings.clone()), request_id: l(), ..<_>::default() };
        check("request id", config.apply(id).await.expect_err("refused"));
        let mut wrong = settings;
        wrong.boot.get_or_insert_default().instance = l();
        check("instance", config.apply(ApplyConfigRequest { settings: Some(wrong), ..<_>::default() }).await.expect_err("refused"));
    }
    // A whole list of faults: all that have room, and how many more.
    let mut many = support::settings(&name, 1);
    many.live.get_or_insert_default().exporters = vec![Exporter { name: "é".repeat(400), ..<_>::default() }; 5000];
    let status = config.apply(ApplyConfigRequest { settings: Some(many.clone()), ..<_>::default() }).await.expect_err("refused");
    assert_eq!(status.code(), Code::InvalidArgument, "{status}");
    assert!(status.message().contains(" faults: ") && status.message().contains(" more: `sonde config validate`"), "{}", status.message());
    let answer = config.validate(ValidateConfigRequest { settings: Some(many) }).await.expect("answers").into_inner();
    assert_eq!(answer.violations.len(), 1001);
    assert!(answer.violations[1000].found.ends_with(" more, which are not listed"), "{:?}", answer.violations[1000]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_socket_is_for_its_group_and_says_who_asked() {
    let (name, home, _cleared) = place();
    let _fake = FakeDataplane::start(&name, &home.path().join("run"), 1, 1);
    let (plane, socket) = on_both(&name, home.path(), &[]);
    adopted(&plane).await;
    assert!(plane.log().contains(&format!("the gRPC API is at {socket}")), "{}", plane.log());
    let path = Path::new(socket.strip_prefix("unix:").expect("a socket"));
    let found = std::fs::metadata(path).expect("there");
    assert_eq!(found.permissions().mode() & 0o7777, 0o660);
    let applied =
        sonde(&socket, &["config", "rollback", "1"]).env("USER", "alice\u{1b}[31m").env_remove("SUDO_USER").output().expect("runs");
    assert!(applied.status.success(), "{}", text(&applied.stderr));
    let by = || plane.json(&["config", "history"])["generations"][0]["author"].as_str().expect("text").to_owned();
    let us = rustix::process::geteuid();
    assert!(by().starts_with(&format!("uid {us}")) && by().contains("says \"alice [31m@"), "{}", by());
    // By default the socket is taken where it is.
    let mut home_made = Command::new(env!("CARGO_BIN_EXE_sonde"));
    home_made.arg("version").env_remove("SONDE_API").env("SONDE_INSTANCE", &name).env("SONDE_RUN_DIR", home.path().join("run"));
    assert!(text(&home_made.output().expect("runs").stdout).contains(&format!(" at {socket}")));
    if !root("another user at the socket") {
        return;
    }
    // Another user, who may reach the socket; and one who may not.
    for folder in [home.path(), &home.path().join("run"), &home.path().join("run").join(&name), path.parent().expect("a folder")] {
        std::fs::set_permissions(folder, PermissionsExt::from_mode(0o755)).expect("opened");
    }
    let as_user = |arguments: &[&str]| {
        use std::os::unix::process::CommandExt;
        let copy = home.path().join("sonde");
        if !copy.exists() {
            std::fs::copy(env!("CARGO_BIN_EXE_sonde"), &copy).expect("copied");
        }
        Command::new(copy)
            .args(arguments)
            .env("SONDE_API", &socket)
            .env_remove("USER")
            .env_remove("LOGNAME")
            .env_remove("SUDO_USER")
            .uid(54321)
            .gid(54321)
            .output()
            .expect("runs")
    };
    let kept_out = as_user(&["status"]);
    assert_eq!(kept_out.status.code(), Some(1));
    assert!(text(&kept_out.stderr).contains("Permission denied"), "{}", text(&kept_out.stderr));
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o666)).expect("opened");
    let applied = as_user(&["config", "rollback", "1"]);
    assert!(applied.status.success(), "{}", text(&applied.stderr));
    assert_eq!(by(), "uid 54321");
    // Who asks over TCP has an address only.
    assert!(plane.sonde(&["config", "rollback", "1"]).status.success());
    assert!(by().starts_with("127.0.0.1:"), "{}", by());
}

#[tokio::test(flavor = "multi_thread")]
async fn it_listens_on_names_and_several_addresses() {
    let (name, home, _cleared) = place();
    let socket = format!("unix:{}", home.path().join("own/api.sock").display());
    let plane = Process::start(&name, home.path(), &format!("127.0.0.1:0,localhost:0,127.0.0.2:0,{socket}"));
    until("every address", async || plane.log().contains(&socket)).await;
    let log = plane.log();
    let at: Vec<&str> = log.lines().filter_map(|l| l.split_once("the gRPC API is at ")).map(|(_, at)| at.trim()).collect();
    assert!(at.len() >= 4 && at.iter().any(|a| a.starts_with("127.0.0.2:")), "{log}");
    at.iter().for_each(|at| answers(at));
    // The first that answers is taken.
    answers(&format!("127.0.0.1:1,{}", plane.api));
    let (other, elsewhere, _cleared) = place();
    let said = refusal(&other, elsewhere.path(), &["--api", &socket]);
    assert!(said.contains("another program listens there"), "{said}");
    let said = refusal(&other, elsewhere.path(), &["--api", "127.0.0.1:0", "--api", "192.0.2.1:0"]);
    assert!(said.contains("--allow-remote"), "{said}");
    let stopped = Command::new("kill").args(["-TERM", &plane.child.id().to_string()]).status().expect("runs");
    assert!(stopped.success());
    until("an end", async || !Path::new(socket.strip_prefix("unix:").expect("a socket")).exists()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_control_plane_that_hangs_is_said_with_what_was_waited_for() {
    // One that takes connections and says nothing.
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let api = listener.local_addr().expect("known").to_string();
    std::thread::spawn(move || listener.incoming().collect::<Vec<_>>());
    let commands = [
        &["status"][..],
        &["status", "--watch"],
        &["stats"],
        &["flows", "tail"],
        &["flows", "top"],
        &["config", "get"],
        &["exporters", "list"],
    ];
    for arguments in commands {
        let output = sonde(&api, &[arguments, &["--timeout", "0.5"]].concat()).output().expect("runs");
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {said}");
        assert!(said.contains(&format!("the control plane at {api} took the connection, but has not answered sonde.v1.")), "{said}");
        assert!(said.contains("within 0.5 s") && said.contains("--timeout") && said.lines().count() == 1, "{said}");
    }
    // A real one that is stopped, over TCP and over the socket; in the middle of a stream, too.
    let (name, home, _cleared) = place();
    let (plane, socket) = on_both(&name, home.path(), &[]);
    let mut watch = sonde(&plane.api, &["status", "--watch", "--json", "--timeout", "1"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("runs");
    let mut some = [0; 1];
    watch.stdout.as_mut().expect("piped").read_exact(&mut some).expect("it goes on");
    let signal = |which: &str| Command::new("kill").args([which, &plane.child.id().to_string()]).status().expect("runs");
    assert!(signal("-STOP").success());
    for api in [&plane.api, &socket] {
        let output = sonde(api, &["status", "--timeout", "1"]).output().expect("runs");
        assert_eq!(output.status.code(), Some(1));
        assert!(text(&output.stderr).contains("has not answered sonde.v1.StatusService/Get within 1 s"), "{}", text(&output.stderr));
    }
    let ended = watch.wait_with_output().expect("ends");
    assert!(signal("-CONT").success());
    assert_eq!(ended.status.code(), Some(1));
    assert!(text(&ended.stderr).contains("has not answered"), "{}", text(&ended.stderr));
    answers(&socket);
    drop(UnixStream::connect(socket.strip_prefix("unix:").expect("a socket")).expect("open again"));
}
