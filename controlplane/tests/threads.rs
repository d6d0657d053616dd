//! Every thread and task of the control plane, killed in a process that runs: by a trap, which only a build with debug assertions has.
#![cfg(debug_assertions)]

mod support;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use parking_lot::Mutex;
use sonde_proto::v1::TopRequest;
use sonde_proto::v1::flows_service_client::FlowsServiceClient;
use support::process::{place, user};
use support::{FakeDataplane, record, until};
use tonic::transport::Channel;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

/// A control plane in a process of its own; what it logs is kept.
struct Plane {
    child: Child,
    log: Arc<Mutex<String>>,
    channel: Channel,
}

impl Plane {
    async fn start(instance: &str, home: &Path) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sonde-controlplane"));
        command.args(["--api", "127.0.0.1:0", "--instance", instance, "--state-dir"]).arg(home.join("state"));
        command.arg("--run-dir").arg(home.join("run")).args(user()).env("SONDE_TRAPS", home.join("traps"));
        command.env_remove("SONDE_API").env_remove("RUST_LOG").env("NO_COLOR", "1").stderr(Stdio::piped()).stdout(Stdio::null());
        let mut child = command.spawn().expect("starts");
        let log = Arc::new(Mutex::new(String::new()));
        let (kept, lines) = (Arc::clone(&log), BufReader::new(child.stderr.take().expect("piped")));
        std::thread::spawn(move || lines.lines().map_while(Result::ok).for_each(|line| kept.lock().push_str(&format!("{line}\n"))));
        let mut api = None;
        until("its address", async || {
            api = log.lock().lines().find_map(|line| Some(line.split_once("the gRPC API is at ")?.1.trim().to_owned()));
            api.is_some()
        })
        .await;
        let uri = format!("http://{}", api.expect("said"));
        let channel = Channel::from_shared(uri).expect("a uri").connect().await.expect("connects");
        Self { child, log, channel }
    }

    async fn serves(&self, service: &str) -> bool {
        let request = HealthCheckRequest { service: service.into() };
        let answer = HealthClient::new(self.channel.clone()).check(request).await.expect("it answers").into_inner();
        answer.status() == ServingStatus::Serving
    }
}

impl Drop for Plane {
    fn drop(&mut self) {
        // Ended already where it was told to.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_dies_is_said_and_begins_again() {
    let (name, home, _cleared) = place();
    let traps = home.path().join("traps");
    std::fs::create_dir(&traps).expect("made");
    // The service user disarms them.
    std::fs::set_permissions(&traps, std::os::unix::fs::PermissionsExt::from_mode(0o777)).expect("our own");
    let fake = FakeDataplane::start(&name, &home.path().join("run"), 1, 1);
    let plane = Plane::start(&name, home.path()).await;
    until("the dataplane", async || plane.serves("dataplane").await).await;
    let said = |what: &str| plane.log.lock().matches(what).count();

    // The thread that reads the records: its service does not serve meanwhile.
    assert!(plane.serves("sonde.v1.FlowsService").await);
    std::fs::write(traps.join("records"), "").expect("written");
    until("the reader to be missed", async || !plane.serves("sonde.v1.FlowsService").await).await;
    assert_eq!(said("the thread that reads the records ended by a fault of the program"), 1);
    until("the reader to be back", async || plane.serves("sonde.v1.FlowsService").await).await;
    fake.write(0, (0..10).map(record));
    until("it to read", async || {
        let request = TopRequest::default();
        let answer = FlowsServiceClient::new(plane.channel.clone()).top(request).await.expect("it answers").into_inner();
        !answer.entries.is_empty()
    })
    .await;

    // The tasks.
    let tasks = [
        ("enrich", ""),
        ("reconcile", "compares the settings"),
        ("lookups", "follows what addresses are looked up in"),
        ("report", "reports the state"),
        ("link", "asks the dataplane"),
    ];
    for (name, _) in tasks {
        std::fs::write(traps.join(name), "").expect("written");
    }
    until("the loader's end", async || said("The thread that loads databases ended by a fault of the program") == 1).await;
    for (_, what) in &tasks[1..] {
        let sentence = format!("the task that {what} ended by a fault of the program");
        until(&sentence, async || said(&sentence) == 1).await;
    }
    drop(fake);
    until("the end of the dataplane to be said", async || !plane.serves("dataplane").await).await;
    let _fake = FakeDataplane::start(&name, &home.path().join("run"), 1, 1);
    until("the dataplane again", async || plane.serves("dataplane").await).await;
    assert!(std::fs::read_dir(&traps).expect("readable").next().is_none(), "each has died once");
}
