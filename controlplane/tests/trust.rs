//! What the API may name, what it may not, and what becomes of settings that no longer may: against a dataplane of the test's own.

mod support;

use sonde_proto::v1::*;
use support::plane::Plane;
use support::process::place;
use support::{FakeDataplane, settings, until};
use tempfile::TempDir;
use tonic::{Code, Status};
use tonic_types::StatusExt;

impl Plane {
    async fn get(&self) -> GetConfigResponse {
        self.config().get(GetConfigRequest {}).await.expect("answers").into_inner()
    }

    async fn converged(&self) {
        until("convergence", async || self.get().await.converged).await;
    }

    async fn apply(&self, settings: &Settings) -> Result<ApplyConfigResponse, Status> {
        let settings = Some(settings.clone());
        // Every word a caller has for "do it all the same".
        let request = ApplyConfigRequest { settings, allow_restart_required: true, ..ApplyConfigRequest::default() };
        self.config().apply(request).await.map(tonic::Response::into_inner)
    }

    async fn rollback(&self, number: u64) -> Result<ApplyConfigResponse, Status> {
        let request = RollbackRequest { number, allow_restart_required: true, ..RollbackRequest::default() };
        self.config().rollback(request).await.map(tonic::Response::into_inner)
    }

    async fn history(&self) -> HistoryResponse {
        self.config().history(HistoryRequest::default()).await.expect("answers").into_inner()
    }

    /// Stops it, and waits until it has let go of its history.
    async fn stop_wholly(self, home: &TempDir, instance: &str) {
        self.stop().await;
        let lock = home.path().join("state").join(instance).join("lock");
        until("the lock to be free", async || std::fs::File::open(&lock).expect("there").try_lock().is_ok()).await;
    }
}

fn run_dir(home: &TempDir) -> std::path::PathBuf {
    home.path().join("run")
}

fn device(document: &Settings, device: &str) -> Settings {
    let mut changed = document.clone();
    changed.boot.get_or_insert_default().ports[0].device = device.into();
    changed
}

fn extra_args(document: &Settings, arguments: &[&str]) -> Settings {
    let mut changed = document.clone();
    changed.boot.get_or_insert_default().eal.get_or_insert_default().extra_args = arguments.iter().map(|a| (*a).into()).collect();
    changed
}

fn asn(document: &Settings, file: &str) -> Settings {
    let mut changed = document.clone();
    changed.live.get_or_insert_default().enrichment.get_or_insert_default().asn_database = file.into();
    changed
}

fn fields(refused: &Status) -> Vec<String> {
    let details = refused.get_error_details();
    details.bad_request().map(|bad| bad.field_violations.iter().map(|v| v.field.clone()).collect()).unwrap_or_default()
}

fn places(home: &TempDir) -> Trust {
    let folder = |name: &str| home.path().join(name).display().to_string();
    Trust {
        recordings_folder: folder("recordings"),
        sockets_folder: folder("sockets"),
        databases_folder: folder("databases"),
        devices: vec!["net_af_packet,iface=eth7".into()],
    }
}

#[tokio::test]
async fn what_the_profile_does_not_allow_is_refused_with_the_field_and_stored_nowhere() {
    let (name, home, _cleared) = place();
    let document = settings(&name, 1);
    let fake = FakeDataplane::with(&name, &run_dir(&home), document.clone(), 1);
    fake.allow(document.clone(), places(&home));
    let plane = Plane::start(&name, home.path()).await;
    plane.converged().await;
    for (bad, field) in [
        (extra_args(&document, &["-d", "/tmp/evil.so"]), "boot.eal.extra_args[0]"),
        (extra_args(&document, &["-d/tmp/evil.so"]), "boot.eal.extra_args[0]"),
        (extra_args(&document, &["--vd=net_null7"]), "boot.eal.extra_args[0]"),
        (extra_args(&document, &["--log-level=8"]), "boot.eal.extra_args"),
        (device(&document, "net_pcap0,rx_pcap=/etc/shadow"), "boot.ports[0].device"),
        (device(&document, "net_pcap0,rx_pcap=../secret.pcap"), "boot.ports[0].device"),
        (device(&document, "net_pcap0,rx_pcap=a.pcap,tx_pcap=b.pcap"), "boot.ports[0].device"),
        (device(&document, "net_pcap0,tx_pcap=/etc/cron.d/x"), "boot.ports[0].device"),
        (device(&document, "net_memif0,socket=/run/other.sock,socket-abstract=no"), "boot.ports[0].device"),
        (device(&document, "net_af_packet0,iface=eth0"), "boot.ports[0].device"),
        (device(&document, "net_failsafe0,exec(id)"), "boot.ports[0].device"),
        (device(&document, "0000:3b:00.0"), "boot.eal.pci"),
        (asn(&document, "/etc/shadow"), "live.enrichment.asn_database"),
        (asn(&document, "../shadow"), "live.enrichment.asn_database"),
    ] {
        let refused = plane.apply(&bad).await.expect_err(field);
        assert_eq!((refused.code(), fields(&refused).first().map(String::as_str)), (Code::InvalidArgument, Some(field)), "{refused}");
        let request = ValidateConfigRequest { settings: Some(bad) };
        let checked = plane.config().validate(request).await.expect("answers").into_inner();
        assert_eq!(checked.violations.first().map(|v| v.path.as_str()), Some(field));
    }
    assert!(fake.applied().is_empty(), "the dataplane was told nothing");
    assert_eq!(plane.get().await.desired.map(|g| g.number), Some(1));
    for good in [
        asn(&document, "GeoLite2-ASN.mmdb"),
        device(&document, "net_af_packet3,iface=eth7"),
        device(&document, "net_pcap0,rx_pcap=monday.pcap,infinite_rx=1"),
        document.clone(),
    ] {
        plane.apply(&good).await.expect("allowed");
    }
    plane.stop_wholly(&home, &name).await;
}

#[tokio::test]
async fn what_is_in_force_may_be_said_again_and_an_earlier_generation_that_names_more_may_not() {
    let (name, home, _cleared) = place();
    let first = asn(&extra_args(&device(&settings(&name, 1), "net_af_packet0,iface=eth0"), &["--log-level=8"]), "/srv/first.mmdb");
    let fake = FakeDataplane::with(&name, &run_dir(&home), first.clone(), 1);
    let plane = Plane::start(&name, home.path()).await;
    plane.converged().await;
    let get = plane.get().await.desired.and_then(|g| g.settings).expect("adopted");
    assert!(plane.apply(&get).await.expect("config get | config apply").converged);
    drop(fake);
    // Started with another profile: what runs is a fact, and the files that it does not name are left out.
    let second = device(&settings(&name, 1), "net_af_packet0,iface=eth1");
    let fake = FakeDataplane::with(&name, &run_dir(&home), second.clone(), 0);
    fake.allow(second.clone(), Trust::default());
    until("the new profile", async || fake.in_force().0 > 2 && plane.get().await.converged).await;
    let now = plane.get().await;
    assert_eq!(now.desired.clone().and_then(|g| g.settings), Some(second.clone()), "{}", now.trouble);
    let said: Vec<String> = plane.history().await.generations.into_iter().map(|g| g.comment).collect();
    let all = said.join("\n");
    assert!(all.contains("live.enrichment.asn_database is now \"\", it was \"/srv/first.mmdb\""), "{all}");
    let (before, applied) = (plane.history().await, fake.applied().len());
    let refused = plane.rollback(1).await.expect_err("it named what this profile does not");
    assert_eq!(fields(&refused), ["boot.eal.extra_args", "boot.ports[0].device", "live.enrichment.asn_database"]);
    assert!(refused.message().contains("EAL's arguments never come by the API"), "{refused}");
    assert_eq!((plane.history().await, fake.applied().len()), (before, applied), "nothing was changed");
    plane.stop_wholly(&home, &name).await;
}

#[tokio::test]
async fn without_a_dataplane_only_what_takes_nothing_may_be_named() {
    let (name, home, _cleared) = place();
    let plane = Plane::start(&name, home.path()).await;
    let refused = plane.apply(&device(&settings(&name, 1), "net_af_packet0,iface=lo")).await.expect_err("not known");
    assert_eq!((refused.code(), fields(&refused)), (Code::InvalidArgument, vec!["boot.ports[0].device".to_owned()]));
    assert!(refused.message().contains("start sonde-dataplane first"), "{refused}");
    assert_eq!(plane.get().await.desired, None);
    let stored = plane.apply(&settings(&name, 1)).await.expect_err("nobody there");
    assert_eq!(stored.code(), Code::Unavailable);
    plane.stop_wholly(&home, &name).await;
}

#[tokio::test]
async fn a_damaged_newest_generation_is_shown_and_takes_nothing_back() {
    let (name, home, _cleared) = place();
    let document = settings(&name, 1);
    let fake = FakeDataplane::with(&name, &run_dir(&home), document.clone(), 1);
    let plane = Plane::start(&name, home.path()).await;
    plane.converged().await;
    let mut changed = document.clone();
    changed.live.get_or_insert_default().timeouts.get_or_insert_default().idle_timeout_ms = 7000;
    plane.apply(&changed).await.expect("applied");
    plane.stop_wholly(&home, &name).await;
    let path = home.path().join("state").join(&name).join("generation-2.json");
    std::fs::write(&path, "{\"format\": 1,").expect("written");
    let plane = Plane::start(&name, home.path()).await;
    until("what runs to be taken", async || plane.get().await.desired.is_some_and(|g| g.number == 3)).await;
    plane.converged().await;
    let now = plane.get().await;
    let desired = now.desired.expect("taken");
    assert_eq!(desired.settings, Some(changed.clone()), "the dataplane is not brought back to generation 1");
    assert!(desired.comment.contains("generation 2 cannot be read"), "{}", desired.comment);
    assert_eq!(fake.in_force().1, changed);
    let shown = &now.unreadable[0];
    assert_eq!((shown.number, shown.path.as_str()), (2, path.display().to_string().as_str()));
    assert_eq!(plane.history().await.unreadable, now.unreadable);
    let refused = plane.rollback(2).await.expect_err("damaged");
    assert!(refused.code() == Code::FailedPrecondition && refused.message().contains("generation 2 cannot be read"), "{refused}");
    plane.stop_wholly(&home, &name).await;
}
