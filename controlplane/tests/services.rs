//! Every service of the northbound API, against a dataplane of the test's own. The control plane runs in this process.

mod support;

use sonde_proto::v1::*;
use sonde_tests::mmdb::{Data, Writer};
use std::path::Path;
use support::plane::Plane;
use support::process::place;
use support::{FakeDataplane, filled, record, settings, until};
use tempfile::TempDir;
use tonic::Code;
use tonic_types::StatusExt;

impl Plane {
    async fn get(&self) -> GetConfigResponse {
        self.config().get(GetConfigRequest {}).await.expect("answers").into_inner()
    }

    /// Waits for the first generation, adopted from the dataplane.
    async fn adopted(&self) {
        until("adoption", async || self.get().await.converged).await;
    }

    async fn apply(&self, request: ApplyConfigRequest) -> Result<ApplyConfigResponse, tonic::Status> {
        self.config().apply(request).await.map(tonic::Response::into_inner)
    }

    async fn probe(&self) -> Status {
        self.status().get(GetStatusRequest {}).await.expect("answers").into_inner()
    }
}

fn run_dir(home: &TempDir) -> std::path::PathBuf {
    home.path().join("run")
}

fn idle(document: &Settings, idle_timeout_ms: u32) -> Settings {
    let mut changed = document.clone();
    changed.live.get_or_insert_default().timeouts.get_or_insert_default().idle_timeout_ms = idle_timeout_ms;
    changed
}

fn request(settings: Settings) -> ApplyConfigRequest {
    ApplyConfigRequest { settings: Some(settings), ..ApplyConfigRequest::default() }
}

#[tokio::test]
async fn the_first_generation_is_adopted_and_the_second_reaches_the_workers() {
    let (name, home, _cleared) = place();
    let fake = FakeDataplane::start(&name, &run_dir(&home), 2, 1);
    let plane = Plane::start(&name, home.path()).await;
    plane.adopted().await;
    let first = plane.get().await.desired.expect("adopted");
    assert_eq!((first.number, first.settings.clone()), (1, Some(settings(&name, 2))));
    assert!(fake.applied().is_empty(), "adopting changes nothing in the dataplane");

    let answer = plane.apply(request(idle(&settings(&name, 2), 5000))).await.expect("applied");
    assert!(answer.converged && answer.late_workers.is_empty() && answer.restart_required.is_empty());
    let second = answer.generation.expect("made");
    assert_eq!(second.number, 2);
    assert_ne!(second.etag, first.etag);
    assert_eq!(fake.in_force(), (2, idle(&settings(&name, 2), 5000)));
    let now = plane.get().await;
    assert!(now.converged);
    assert_eq!(now.generation_in_force, 2);
    assert!(second.author.starts_with("127.0.0.1:"), "{}", second.author);
    plane.stop().await;
}

#[tokio::test]
async fn a_repeated_request_has_no_further_effect_and_a_stale_etag_is_refused() {
    let (name, home, _cleared) = place();
    let fake = FakeDataplane::start(&name, &run_dir(&home), 1, 1);
    let plane = Plane::start(&name, home.path()).await;
    plane.adopted().await;
    let etag = plane.get().await.desired.expect("adopted").etag;
    let once = ApplyConfigRequest { request_id: "r-1".into(), etag: etag.clone(), ..request(idle(&settings(&name, 1), 5000)) };
    let first = plane.apply(once.clone()).await.expect("applied").generation;
    // The etag is old by now: that the request was done already counts first.
    let again = plane.apply(once).await.expect("the same answer");
    assert_eq!(again.generation, first);
    assert!(again.converged);
    assert_eq!(fake.applied().len(), 1);
    let stale = plane.apply(ApplyConfigRequest { etag, ..request(idle(&settings(&name, 1), 6000)) }).await.expect_err("stale");
    assert_eq!(stale.code(), Code::Aborted);
    assert!(stale.message().contains("have changed since"), "{}", stale.message());
    plane.stop().await;
}

#[tokio::test]
async fn every_fault_is_a_field_violation_and_checking_changes_nothing() {
    let (name, home, _cleared) = place();
    let fake = FakeDataplane::start(&name, &run_dir(&home), 1, 1);
    let plane = Plane::start(&name, home.path()).await;
    plane.adopted().await;
    let mut bad = idle(&settings(&name, 1), 1);
    bad.live.get_or_insert_default().exporters.push(Exporter {
        name: "exporters/x".into(),
        address: "nowhere".into(),
        ..Exporter::default()
    });
    let refused = plane.apply(request(bad.clone())).await.expect_err("two faults");
    assert_eq!(refused.code(), Code::InvalidArgument);
    let details = refused.get_error_details();
    let fields: Vec<&str> = details.bad_request().expect("BadRequest").field_violations.iter().map(|v| v.field.as_str()).collect();
    assert!(fields.contains(&"live.timeouts.idle_timeout_ms") && fields.contains(&"live.exporters[0].address"), "{fields:?}");
    let answer = plane.config().validate(ValidateConfigRequest { settings: Some(bad) }).await.expect("answers").into_inner();
    assert_eq!(answer.violations.len(), fields.len());
    let good = ValidateConfigRequest { settings: Some(idle(&settings(&name, 1), 5000)) };
    let answer = plane.config().validate(good).await.expect("answers").into_inner();
    assert_eq!((answer.violations.len(), answer.effective), (0, Some(idle(&settings(&name, 1), 5000))));
    let check = ApplyConfigRequest { validate_only: true, ..request(idle(&settings(&name, 1), 5000)) };
    assert_eq!(plane.apply(check).await.expect("good").generation.map(|g| g.number), Some(1));
    for (change, field) in [
        (ApplyConfigRequest { request_id: "x".repeat(65), ..request(settings(&name, 1)) }, "request_id"),
        (ApplyConfigRequest { deadline_ms: 60_001, ..request(settings(&name, 1)) }, "deadline_ms"),
        (ApplyConfigRequest::default(), "settings"),
        (request(settings("another", 1)), "boot.instance"),
    ] {
        let refused = plane.apply(change).await.expect_err(field);
        assert_eq!(refused.get_error_details().bad_request().expect("BadRequest").field_violations[0].field, field);
    }
    assert!(fake.applied().is_empty());
    assert_eq!(plane.get().await.desired.map(|g| g.number), Some(1));
    plane.stop().await;
}

#[tokio::test]
async fn a_change_of_boot_needs_a_word_and_holds_up_nothing_else() {
    let (name, home, _cleared) = place();
    let fake = FakeDataplane::start(&name, &run_dir(&home), 1, 1);
    let plane = Plane::start(&name, home.path()).await;
    plane.adopted().await;
    let wanted = idle(&settings(&name, 2), 5000);
    let refused = plane.apply(request(wanted.clone())).await.expect_err("boot differs");
    assert_eq!(refused.code(), Code::FailedPrecondition);
    let details = refused.get_error_details();
    let violation = &details.precondition_failure().expect("PreconditionFailure").violations[0];
    assert_eq!((violation.r#type.as_str(), violation.subject.as_str()), ("RESTART_REQUIRED", "boot.cores.workers"));

    let allowed = ApplyConfigRequest { allow_restart_required: true, ..request(wanted.clone()) };
    let answer = plane.apply(allowed).await.expect("stored");
    assert_eq!(answer.restart_required, ["boot.cores.workers"]);
    assert!(answer.converged, "what can change now has changed");
    let (number, now) = fake.in_force();
    assert_eq!((number, now.live), (2, wanted.live.clone()));
    assert_eq!(now.boot, settings(&name, 1).boot);
    let left = fake.applied().last().cloned().expect("delivered");
    assert!(left.for_next_start && left.settings == Some(wanted.clone()));
    assert_eq!(plane.get().await.restart_required, ["boot.cores.workers"]);

    let later = plane.apply(request(idle(&wanted, 7000))).await.expect("the difference was accepted before");
    assert!(later.converged);
    assert_eq!(fake.in_force().1.live, idle(&wanted, 7000).live);

    // Restarted with what was left for it: nothing waits any more, and nothing is sent.
    drop(fake);
    let fake = FakeDataplane::with(&name, &run_dir(&home), idle(&wanted, 7000), 3);
    until("the restarted dataplane to be seen", async || plane.get().await.restart_required.is_empty()).await;
    assert!(plane.get().await.converged);
    assert!(fake.applied().is_empty());
    plane.stop().await;
}

#[tokio::test]
async fn a_dataplane_started_with_other_boot_settings_keeps_them_and_gets_the_rest() {
    let (name, home, _cleared) = place();
    let fake = FakeDataplane::start(&name, &run_dir(&home), 1, 1);
    let plane = Plane::start(&name, home.path()).await;
    plane.adopted().await;
    plane.apply(request(idle(&settings(&name, 1), 5000))).await.expect("applied");
    drop(fake);
    let fake = FakeDataplane::start(&name, &run_dir(&home), 3, 1);
    until("convergence", async || fake.in_force() == (3, idle(&settings(&name, 3), 5000))).await;
    let desired = plane.get().await.desired.expect("desired");
    assert_eq!((desired.number, desired.author.as_str()), (3, "reconcile"));
    assert!(desired.comment.contains("boot.cores.workers"), "{}", desired.comment);
    plane.stop().await;
}

#[tokio::test]
async fn what_is_applied_while_no_dataplane_answers_reaches_it_when_it_does() {
    let (name, home, _cleared) = place();
    let plane = Plane::start(&name, home.path()).await;
    assert_eq!(plane.get().await, GetConfigResponse::default(), "nothing is desired, nothing in force");
    let wanted = idle(&settings(&name, 1), 5000);
    let stored = plane.apply(request(wanted.clone())).await.expect_err("nobody there");
    assert_eq!(stored.code(), Code::Unavailable);
    assert!(stored.message().starts_with("generation 1 is stored"), "{}", stored.message());
    // It begins with generation 1 too, of its own profile.
    let fake = FakeDataplane::start(&name, &run_dir(&home), 1, 1);
    until("delivery", async || fake.in_force() == (2, wanted.clone())).await;
    until("convergence", async || plane.get().await.converged).await;
    drop(fake);
    // A dataplane that was restarted without its last good settings gets them again.
    let fake = FakeDataplane::start(&name, &run_dir(&home), 1, 0);
    until("delivery after a restart", async || fake.in_force() == (2, wanted.clone())).await;
    drop(fake);
    let ahead = FakeDataplane::start(&name, &run_dir(&home), 1, 40);
    until("a dataplane that is ahead is brought back", async || ahead.in_force() == (41, wanted.clone())).await;
    plane.stop().await;
}

#[tokio::test]
async fn what_the_dataplane_refuses_was_never_there_and_late_workers_are_named() {
    let (name, home, _cleared) = place();
    let fake = FakeDataplane::start(&name, &run_dir(&home), 2, 1);
    let plane = Plane::start(&name, home.path()).await;
    plane.adopted().await;
    fake.temper(|t| t.refuse = Some(Violation { path: "live.exporters".into(), rule: "fewer".into(), found: "many".into() }));
    let refused = plane.apply(request(idle(&settings(&name, 2), 5000))).await.expect_err("refused");
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert_eq!(plane.get().await.desired.map(|g| g.number), Some(1));
    fake.temper(|t| (t.refuse, t.late) = (None, vec![1]));
    let answer = plane.apply(request(idle(&settings(&name, 2), 5000))).await.expect("delivered");
    assert_eq!((answer.generation.map(|g| g.number), answer.converged, answer.late_workers), (Some(2), false, vec![1]));
    plane.stop().await;
}

#[tokio::test]
async fn history_is_paged_and_can_be_gone_back_in() {
    let (name, home, _cleared) = place();
    let fake = FakeDataplane::start(&name, &run_dir(&home), 1, 1);
    let plane = Plane::start(&name, home.path()).await;
    plane.adopted().await;
    for (n, ms) in [(2, 2000), (3, 3000), (4, 4000)] {
        let change = ApplyConfigRequest { comment: format!("to {ms}"), ..request(idle(&settings(&name, 1), ms)) };
        assert_eq!(plane.apply(change).await.expect("applied").generation.map(|g| g.number), Some(n));
    }
    let page = async |size, token: &str| {
        let request = HistoryRequest { page_size: size, page_token: token.into(), include_settings: false };
        let answer = plane.config().history(request).await.expect("answers").into_inner();
        (answer.generations.iter().map(|g| g.number).collect::<Vec<_>>(), answer.next_page_token)
    };
    assert_eq!(page(3, "").await, (vec![4, 3, 2], "2".to_owned()));
    assert_eq!(page(3, "2").await, (vec![1], String::new()));
    let bad = plane.config().history(HistoryRequest { page_token: "x".into(), ..HistoryRequest::default() }).await.expect_err("no token");
    assert_eq!(bad.code(), Code::InvalidArgument);
    let back = plane.config().rollback(RollbackRequest { number: 2, ..RollbackRequest::default() }).await.expect("back").into_inner();
    let made = back.generation.expect("made");
    assert_eq!((made.number, made.comment.as_str()), (5, "back to generation 2"));
    assert_eq!(fake.in_force(), (5, idle(&settings(&name, 1), 2000)));
    let none = plane.config().rollback(RollbackRequest { number: 99, ..RollbackRequest::default() }).await.expect_err("none");
    assert_eq!((none.code(), none.message()), (Code::NotFound, "there is no generation 99: the history goes from 1 to 5"));
    plane.stop().await;
}

#[tokio::test]
async fn status_tells_absent_running_stuck_and_ended() {
    let (name, home, _cleared) = place();
    let plane = Plane::start(&name, home.path()).await;
    assert_eq!(plane.probe().await.state(), DataplaneState::Absent);
    let fake = FakeDataplane::start(&name, &run_dir(&home), 2, 1);
    fake.count(0, "received", 10);
    fake.count(0, "metered_ipv4", 7);
    fake.count(0, "not_metered.ipv4_truncated", 3);
    fake.count(1, "received", 5);
    fake.count(1, "metered_ipv4", 5);
    let uplink = fake.block(sonde_stats::Kind::Port, "uplink", &["ingress", "link_up", "imissed"]);
    uplink.set(0, 1);
    uplink.set(1, 1);
    uplink.set(2, 77);
    uplink.text("device", "net_null0");
    until("running", async || plane.probe().await.state() == DataplaneState::Running).await;
    let status = plane.probe().await;
    let balance = status.balance.expect("a balance");
    assert_eq!((balance.received, balance.metered, balance.balances), (15, 12, true));
    assert_eq!(balance.not_metered, [Reason { name: "ipv4_truncated".into(), count: 3 }]);
    assert_eq!((status.workers.len(), status.workers[1].core, status.generation_in_force), (2, 1, 1));
    assert_eq!((status.dataplane_pid, status.dataplane_version.as_str()), (std::process::id(), "9.9.9"));
    let port = &status.ports[0];
    assert_eq!((port.name.as_str(), port.device.as_str(), port.link_up, port.counters["imissed"]), ("uplink", "net_null0", true, 77));

    fake.count(1, "received", 6);
    let status = plane.probe().await;
    assert!(!status.balance.expect("a balance").balances, "a packet has no place");
    assert!(status.workers[0].balance.as_ref().expect("a balance").balances);
    fake.beat(false);
    until("stuck", async || plane.probe().await.state() == DataplaneState::Stuck).await;
    fake.beat(true);
    until("running again", async || plane.probe().await.state() == DataplaneState::Running).await;
    drop((fake, uplink));
    until("ended", async || plane.probe().await.state() == DataplaneState::Ended).await;
    plane.stop().await;
}

#[tokio::test]
async fn watch_sends_snapshots_one_after_the_other() {
    let (name, home, _cleared) = place();
    let fake = FakeDataplane::start(&name, &run_dir(&home), 1, 1);
    let plane = Plane::start(&name, home.path()).await;
    let mut stream = plane.status().watch(WatchStatusRequest { interval_ms: 100 }).await.expect("a stream").into_inner();
    for received in 0..3 {
        fake.count(0, "received", received);
        let mut seen = None;
        while seen != Some(received) {
            let answer = stream.message().await.expect("no error").expect("goes on");
            seen = answer.status.and_then(|s| s.balance).map(|b| b.received);
        }
    }
    let refused = plane.status().watch(WatchStatusRequest { interval_ms: 99 }).await.expect_err("too often");
    assert_eq!(refused.code(), Code::InvalidArgument);
    drop(stream);
    plane.stop().await;
}

/// Takes flows off a stream until there are `wanted`; the ids, what was lost, the last cursor.
async fn take(stream: &mut tonic::Streaming<TailResponse>, wanted: usize) -> (Vec<u64>, u64, String) {
    let (mut ids, mut lost, mut cursor) = (Vec::new(), 0, String::new());
    while ids.len() < wanted {
        let answer = stream.message().await.expect("no error").expect("goes on");
        ids.extend(answer.flows.iter().map(|f| f.flow_id));
        (lost, cursor) = (answer.lost, answer.cursor);
    }
    (ids, lost, cursor)
}

#[tokio::test]
async fn an_expression_selects_is_refused_with_its_place_and_warns() {
    let (name, home, _cleared) = place();
    let fake = FakeDataplane::start(&name, &run_dir(&home), 1, 1);
    let plane = Plane::start(&name, home.path()).await;
    plane.adopted().await;
    let where_ = |text: &str| Some(FlowFilter { r#where: text.into(), ..FlowFilter::default() });
    let request = TailRequest { filter: where_("source_address = 10.0.0.2 or http_url = '/'"), limit: 1, ..TailRequest::default() };
    let mut stream = plane.flows().tail(request).await.expect("a stream").into_inner();
    let first = stream.message().await.expect("no error").expect("an answer at once");
    assert_eq!(first.warnings.len(), 1, "{:?}", first.warnings);
    assert!(first.warnings[0].contains("line 1, column 30: http_url has no source"), "{:?}", first.warnings);
    fake.write(0, [record(1), record(2), record(3)]);
    let next = stream.message().await.expect("no error").expect("a flow");
    assert_eq!((next.flows.len(), next.flows[0].flow_id, next.warnings.len()), (1, 2, 0), "told once");
    let request = TailRequest { filter: where_("rtt > 5 or\n adress = 10.0.0.2"), ..TailRequest::default() };
    let refused = plane.flows().tail(request).await.expect_err("two faults");
    assert_eq!(refused.code(), Code::InvalidArgument);
    let details = refused.get_error_details();
    let faults: Vec<&str> = details.bad_request().expect("BadRequest").field_violations.iter().map(|v| v.description.as_str()).collect();
    assert_eq!(faults.len(), 2, "{faults:?}");
    assert!(
        faults[0].contains("line 1, column 7") && faults[1].contains("line 2, column 2") && faults[1].ends_with("Did you mean address?")
    );
    let refused = plane.flows().top(TopRequest { filter: where_("rtt > 5 ms"), ..TopRequest::default() }).await.expect_err("not kept");
    assert!(refused.message().contains("found rtt"), "{}", refused.message());
    let top =
        plane.flows().top(TopRequest { filter: where_("port = 443 and as_number = 1"), ..TopRequest::default() }).await.expect("good");
    assert_eq!(top.into_inner().warnings.len(), 1, "nothing is looked up");
    drop(stream);
    plane.stop().await;
}

#[tokio::test]
async fn tail_filters_ends_at_its_limit_and_resumes_behind_its_cursor() {
    let (name, home, _cleared) = place();
    let fake = FakeDataplane::start(&name, &run_dir(&home), 2, 1);
    let plane = Plane::start(&name, home.path()).await;
    plane.adopted().await;
    fake.write(0, [record(1)]);
    let filter = FlowFilter { source: "10.0.0.2".into(), ..FlowFilter::default() };
    let request = TailRequest { filter: Some(filter), limit: 2, ..TailRequest::default() };
    let mut few = plane.flows().tail(request).await.expect("a stream").into_inner();
    let mut all = plane.flows().tail(TailRequest::default()).await.expect("a stream").into_inner();
    for stream in [&mut few, &mut all] {
        let first = stream.message().await.expect("no error").expect("an answer at once");
        assert!(first.flows.is_empty() && !first.cursor.is_empty(), "what was written before is not shown");
    }
    fake.write(0, [record(2), record(3)]);
    fake.write(1, [record(2), record(4), record(2)]);
    assert_eq!(take(&mut few, 2).await.0, [2, 2]);
    assert_eq!(few.message().await.expect("no error"), None, "the limit ends the stream");
    let (mut ids, lost, cursor) = take(&mut all, 5).await;
    ids.sort_unstable();
    assert_eq!((ids, lost), (vec![2, 2, 2, 3, 4], 0));

    // The control plane is replaced; records are written meanwhile; the reader goes on behind its cursor.
    drop((few, all));
    plane.stop().await;
    fake.write(0, [record(5)]);
    fake.write(1, [record(6)]);
    let plane = Plane::start(&name, home.path()).await;
    let mut stream = plane.flows().tail(TailRequest { cursor, ..TailRequest::default() }).await.expect("a stream").into_inner();
    let (mut ids, lost, _) = take(&mut stream, 2).await;
    ids.sort_unstable();
    assert_eq!((ids, lost), (vec![5, 6], 0), "nothing missed, nothing repeated");
    for (cursor, filter) in [("nonsense", None), ("", Some(FlowFilter { address: "x".into(), ..FlowFilter::default() }))] {
        let refused = plane.flows().tail(TailRequest { cursor: cursor.into(), filter, limit: 0 }).await.expect_err("refused");
        assert_eq!(refused.code(), Code::InvalidArgument);
    }
    drop(stream);
    plane.stop().await;
}

#[tokio::test]
async fn a_slow_client_loses_records_knows_how_many_and_slows_nobody() {
    let (name, home, _cleared) = place();
    let fake = FakeDataplane::start(&name, &run_dir(&home), 1, 1);
    let plane = Plane::start(&name, home.path()).await;
    plane.adopted().await;
    let mut slow = plane.flows().tail(TailRequest::default()).await.expect("a stream").into_inner();
    slow.message().await.expect("no error").expect("an answer at once");
    // A ring of 256 KiB holds 1365 records; the client sleeps while many times as many are written.
    let mut written = 0u64;
    let began = std::time::Instant::now();
    for _ in 0..400 {
        fake.write(0, (0..500).map(|n| record(written + n)));
        written += 500;
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    assert!(began.elapsed() < std::time::Duration::from_secs(60), "the writer waited for nobody");
    let (mut seen, mut lost, mut last) = (0, 0, None);
    while last != Some(written - 1) {
        let answer = slow.message().await.expect("no error").expect("goes on");
        seen += answer.flows.len() as u64;
        lost = answer.lost;
        last = answer.flows.last().map(|f| f.flow_id).or(last);
    }
    assert_eq!(seen + lost, written, "each record was seen or is counted as lost");
    assert!(lost > 0, "it was slow enough to lose some");
    drop(slow);
    plane.stop().await;
}

#[tokio::test]
async fn top_sums_up_what_was_written() {
    let (name, home, _cleared) = place();
    let fake = FakeDataplane::start(&name, &run_dir(&home), 2, 1);
    let plane = Plane::start(&name, home.path()).await;
    plane.adopted().await;
    // Three of 10.0.0.1 and one of 10.0.0.2, over two workers.
    fake.write(0, [record(1), record(2)]);
    fake.write(1, [record(1), record(1)]);
    let ask = async |request: TopRequest| plane.flows().top(request).await.map(tonic::Response::into_inner);
    let by_source = TopRequest { by: "source".into(), ..TopRequest::default() };
    until("the window to fill", async || ask(by_source.clone()).await.expect("answers").total.is_some_and(|t| t.flows == 4)).await;
    let answer = ask(by_source.clone()).await.expect("answers");
    let rows: Vec<(&str, u64, u64)> = answer.entries.iter().map(|e| (e.value.as_str(), e.octets, e.flows)).collect();
    assert_eq!(rows, [("10.0.0.1", 4500, 3), ("10.0.0.2", 1500, 1)]);
    assert!(!answer.approximate && answer.lost == 0);
    let filter = Some(FlowFilter { address: "10.0.0.2".into(), ..FlowFilter::default() });
    let one = ask(TopRequest { filter, by: "flow".into(), ..TopRequest::default() }).await.expect("answers");
    assert_eq!((one.entries.len(), one.entries[0].value.as_str()), (1, "tcp 10.0.0.2:40000 > 192.0.2.1:443"));
    for bad in [
        TopRequest { by: "colour".into(), ..TopRequest::default() },
        TopRequest { order: "size".into(), ..TopRequest::default() },
        TopRequest { limit: 1001, ..TopRequest::default() },
        TopRequest { window_s: 301, ..TopRequest::default() },
    ] {
        assert_eq!(ask(bad).await.expect_err("refused").code(), Code::InvalidArgument);
    }
    plane.stop().await;
}

/// Settings in which addresses are looked up in this own prefix.
fn own_prefix(document: &Settings, prefix: &str, name: &str) -> Settings {
    let mut changed = document.clone();
    let prefixes = vec![OwnPrefix { prefix: prefix.into(), name: name.into() }];
    changed.live.get_or_insert_default().enrichment = Some(Enrichment { prefixes, ..Enrichment::default() });
    changed
}

/// The next flow that is written, and its source's own prefix; `None` where nothing is looked up.
async fn next_network(fake: &FakeDataplane, stream: &mut tonic::Streaming<TailResponse>) -> Option<String> {
    fake.write(0, [record(1)]);
    loop {
        let answer = stream.message().await.expect("no error").expect("goes on");
        if let Some(flow) = answer.flows.into_iter().next() {
            assert_eq!(flow.source_place.is_some(), flow.destination_place.is_some());
            return flow.source_place.map(|place| place.network);
        }
    }
}

#[tokio::test]
async fn flows_say_where_and_whose_their_ends_are_and_follow_the_settings() {
    let (name, home, _cleared) = place();
    let document = own_prefix(&settings(&name, 1), "10.0.0.0/24", "office");
    let fake = FakeDataplane::with(&name, &run_dir(&home), document.clone(), 1);
    let plane = Plane::start(&name, home.path()).await;
    plane.adopted().await;
    let mut stream = plane.flows().tail(TailRequest::default()).await.expect("a stream").into_inner();
    until("the prefix to be loaded", async || {
        let answer = plane.flows().top(TopRequest::default()).await.expect("answers").into_inner();
        fake.write(0, [record(1)]);
        answer.entries.iter().any(|entry| entry.place.as_ref().is_some_and(|place| place.network == "office"))
    })
    .await;
    let top = plane.flows().top(TopRequest { by: "destination".into(), ..TopRequest::default() }).await.expect("answers").into_inner();
    assert_eq!(top.entries[0].place.as_ref().map(|place| (place.network.as_str(), place.as_number)), Some(("", 0)), "not known");
    let ports = plane.flows().top(TopRequest { by: "port".into(), ..TopRequest::default() }).await.expect("answers").into_inner();
    assert!(ports.entries.iter().all(|entry| entry.place.is_none()), "a port is nowhere");
    // Records from before the table was there stand before those after.
    let mut found = next_network(&fake, &mut stream).await;
    while found.is_none() {
        found = next_network(&fake, &mut stream).await;
    }
    assert_eq!(found.as_deref(), Some("office"));
    // A change while the stream goes on.
    plane.apply(request(own_prefix(&document, "10.0.0.0/8", "lab"))).await.expect("accepted");
    until("the new name", async || next_network(&fake, &mut stream).await.as_deref() == Some("lab")).await;
    let mut nothing = document.clone();
    nothing.live.get_or_insert_default().enrichment = None;
    plane.apply(request(nothing)).await.expect("accepted");
    until("nothing to be looked up", async || next_network(&fake, &mut stream).await.is_none()).await;
    drop(stream);
    plane.stop().await;
}

/// A database that says of 10.0.0.0/24 whose it is and where.
fn database(path: &Path) {
    let mut writer = Writer::new("Test-Everything", 24);
    let place = Data::map([
        ("autonomous_system_number", Data::U32(64_500)),
        ("autonomous_system_organization", Data::text("Example")),
        ("country", Data::map([("iso_code", Data::text("CZ"))])),
    ]);
    writer.insert("10.0.0.0".parse().expect("an address"), 24, place);
    std::fs::write(path, writer.octets()).expect("written");
}

#[tokio::test]
async fn top_sums_up_by_as_country_and_own_prefix() {
    let (name, home, _cleared) = place();
    let document = settings(&name, 1);
    let fake = FakeDataplane::with(&name, &run_dir(&home), document.clone(), 1);
    fake.allow(document.clone(), Trust { databases_folder: home.path().display().to_string(), ..Trust::default() });
    let plane = Plane::start(&name, home.path()).await;
    plane.adopted().await;
    let ask =
        async |by: &str| plane.flows().top(TopRequest { by: by.into(), ..TopRequest::default() }).await.map(tonic::Response::into_inner);
    for by in ["as", "source_as", "destination_as", "country", "network"] {
        let refused = ask(by).await.expect_err("nothing is looked up");
        assert_eq!(refused.code(), Code::FailedPrecondition);
        assert!(refused.message().contains("live.enrichment") && refused.message().contains(by), "{}", refused.message());
        let details = refused.get_error_details();
        assert_eq!(details.precondition_failure().expect("PreconditionFailure").violations[0].subject, "by");
    }
    let unknown = ask("asn").await.expect_err("no such question");
    assert!(unknown.message().contains("by: must be one of flow, source,") && unknown.message().contains("network; found"), "{unknown}");

    database(&home.path().join("everything.mmdb"));
    let everything = "everything.mmdb".to_owned();
    let mut looked_up = own_prefix(&document, "10.0.0.1/32", "office");
    let enrichment = looked_up.live.get_or_insert_default().enrichment.get_or_insert_default();
    (enrichment.asn_database, enrichment.country_database) = (everything.clone(), everything);
    plane.apply(request(looked_up)).await.expect("accepted");
    until("the database to be loaded", async || ask("as").await.is_ok()).await;
    // The thread that sums up takes a new table with the records after.
    until("a row", async || {
        fake.write(0, [record(2)]);
        ask("country").await.expect("answers").entries.iter().any(|entry| entry.value == "CZ")
    })
    .await;
    fake.write(0, [record(1)]);
    until("the own prefix", async || !ask("network").await.expect("answers").entries.is_empty()).await;
    let rows = async |by: &str| -> Vec<(String, Option<Place>)> {
        ask(by).await.expect("answers").entries.into_iter().map(|entry| (entry.value, entry.place)).collect()
    };
    let example = Some(Place { as_number: 64_500, as_name: "Example".into(), ..Place::default() });
    assert_eq!(rows("source_as").await, [("AS64500".into(), example.clone())]);
    assert_eq!(rows("destination_as").await, [("unknown".into(), None)]);
    assert_eq!(rows("as").await, [("AS64500".into(), example), ("unknown".into(), None)]);
    let czech = Some(Place { country: "CZ".into(), country_number: 203, ..Place::default() });
    assert_eq!(rows("country").await, [("CZ".into(), czech), ("unknown".into(), None)]);
    assert_eq!(rows("network").await, [("office".into(), Some(Place { network: "office".into(), ..Place::default() }))]);
    let filter = Some(FlowFilter { address: "10.0.0.1".into(), ..FlowFilter::default() });
    let filtered = plane.flows().top(TopRequest { by: "source_as".into(), filter, ..TopRequest::default() }).await.expect("answers");
    assert_eq!((filtered.get_ref().entries[0].value.as_str(), filtered.get_ref().entries[0].flows), ("AS64500", 1));
    plane.stop().await;
}

#[tokio::test]
async fn exporters_are_added_changed_and_removed_as_generations() {
    let (name, home, _cleared) = place();
    let fake = FakeDataplane::start(&name, &run_dir(&home), 1, 1);
    let plane = Plane::start(&name, home.path()).await;
    plane.adopted().await;
    let core = Exporter { name: "exporters/core-1".into(), address: "192.0.2.10:4739".into(), ..Exporter::default() };
    let add = AddExporterRequest { exporter: Some(core.clone()), ..AddExporterRequest::default() };
    let added = plane.exporters().add(add.clone()).await.expect("added").into_inner();
    assert!(added.converged);
    let made = added.exporter.expect("it");
    assert_eq!((made.transport.as_str(), made.template_refresh_s, added.generation), ("udp", 600, 2), "defaults are filled in");
    assert_eq!(fake.in_force().1.live.expect("live").exporters, std::slice::from_ref(&made));
    let twice = plane.exporters().add(add).await.expect_err("taken");
    assert_eq!(twice.code(), Code::AlreadyExists);

    let update = |exporter: Exporter, paths: &[&str]| UpdateExporterRequest {
        exporter: Some(exporter),
        update_mask: Some(prost_types::FieldMask { paths: paths.iter().map(|p| (*p).to_owned()).collect() }),
        ..UpdateExporterRequest::default()
    };
    // The mask says the address alone; the rest of what is given does not count.
    let given = Exporter { address: "192.0.2.11:4739".into(), transport: "tcp".into(), ..core.clone() };
    let changed = plane.exporters().update(update(given, &["address"])).await.expect("changed").into_inner();
    let now = changed.exporter.expect("it");
    assert_eq!((now.address.as_str(), now.transport.as_str()), ("192.0.2.11:4739", "udp"));
    let off = Exporter { enabled: Some(false), ..Exporter { name: core.name.clone(), ..Exporter::default() } };
    let changed = plane.exporters().update(update(off, &[])).await.expect("without a mask: what is given").into_inner();
    assert_eq!(changed.exporter.map(|e| (e.enabled, e.address)), Some((Some(false), "192.0.2.11:4739".into())));
    let stats = plane.exporters().stats(ExporterStatsRequest { name: core.name.clone() }).await.expect("answers").into_inner();
    assert_eq!(stats.exporters[0].state, "disabled");
    for (refused, code) in [
        (update(core.clone(), &["colour"]), Code::InvalidArgument),
        (update(Exporter { address: "nowhere".into(), ..core.clone() }, &["address"]), Code::InvalidArgument),
        (update(Exporter { name: "exporters/none".into(), ..core.clone() }, &["address"]), Code::NotFound),
        (UpdateExporterRequest { etag: "old".into(), ..update(core.clone(), &["address"]) }, Code::Aborted),
    ] {
        assert_eq!(plane.exporters().update(refused).await.expect_err("refused").code(), code);
    }

    for n in [3, 2] {
        let exporter = Exporter { name: format!("exporters/core-{n}"), ..core.clone() };
        plane.exporters().add(AddExporterRequest { exporter: Some(exporter), ..AddExporterRequest::default() }).await.expect("added");
    }
    let list = async |page_size, token: &str| {
        let request = ListExportersRequest { page_size, page_token: token.into() };
        let answer = plane.exporters().list(request).await.expect("answers").into_inner();
        (answer.exporters.into_iter().map(|e| e.name).collect::<Vec<_>>(), answer.next_page_token)
    };
    assert_eq!(list(2, "").await, (vec!["exporters/core-1".into(), "exporters/core-2".into()], "exporters/core-2".into()));
    assert_eq!(list(2, "exporters/core-2").await, (vec!["exporters/core-3".into()], String::new()));

    let remove = RemoveExporterRequest { name: core.name.clone(), ..RemoveExporterRequest::default() };
    let gone = plane.exporters().remove(remove.clone()).await.expect("removed").into_inner();
    assert_eq!(gone.exporter.map(|e| e.address), Some("192.0.2.11:4739".into()), "as it was");
    let none = plane.exporters().remove(remove).await.expect_err("gone already");
    assert!(none.code() == Code::NotFound && none.message().contains("exporters/core-2, exporters/core-3"), "{}", none.message());
    plane.stop().await;
}

#[tokio::test]
async fn health_has_an_entry_for_each_subsystem() {
    use tonic_health::pb::health_check_response::ServingStatus;
    let (name, home, _cleared) = place();
    let plane = Plane::start(&name, home.path()).await;
    let check = async |service: &str| {
        let request = tonic_health::pb::HealthCheckRequest { service: service.into() };
        let mut client = tonic_health::pb::health_client::HealthClient::new(plane.channel.clone());
        client.check(request).await.map(|r| r.into_inner().status())
    };
    for service in ["", "sonde.v1.ConfigService", "sonde.v1.StatusService", "sonde.v1.FlowsService", "sonde.v1.ExportersService"] {
        assert_eq!(check(service).await.expect("known"), ServingStatus::Serving, "{service}");
    }
    until("no dataplane", async || check("dataplane").await.is_ok_and(|s| s == ServingStatus::NotServing)).await;
    let fake = FakeDataplane::start(&name, &run_dir(&home), 1, 1);
    until("a dataplane", async || check("dataplane").await.is_ok_and(|s| s == ServingStatus::Serving)).await;
    drop(fake);
    until("no dataplane again", async || check("dataplane").await.is_ok_and(|s| s == ServingStatus::NotServing)).await;
    assert_eq!(check("sonde.v1.Nonsense").await.expect_err("unknown").code(), Code::NotFound);
    plane.stop().await;
}

#[tokio::test]
async fn a_control_plane_that_comes_back_changes_nothing_and_remembers_everything() {
    let (name, home, _cleared) = place();
    let fake = FakeDataplane::start(&name, &run_dir(&home), 1, 1);
    let plane = Plane::start(&name, home.path()).await;
    plane.adopted().await;
    plane.apply(request(idle(&settings(&name, 1), 5000))).await.expect("applied");
    fake.count(0, "received", 1234);
    plane.stop().await;
    fake.count(0, "received", 2345);
    let sent = fake.applied().len();
    let plane = Plane::start(&name, home.path()).await;
    until("the dataplane to be found", async || plane.get().await.converged).await;
    assert_eq!(plane.get().await.desired.map(|g| g.number), Some(2));
    assert_eq!(plane.probe().await.balance.map(|b| b.received), Some(2345), "counters are the dataplane's");
    assert_eq!(fake.applied().len(), sent, "there was nothing to tell it");
    assert_eq!(fake.in_force(), (2, filled(&idle(&settings(&name, 1), 5000))));
    plane.stop().await;
}
