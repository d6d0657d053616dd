//! What the probe does now, read from the dataplane's stats segment: no RPC, so it answers when the dataplane is stuck, and after it
//! has crashed. Counters are the dataplane's own: a control plane that was restarted goes on where they are.

use crate::link::Link;
use crate::notation::timestamp;
use crate::places::Places;
use parking_lot::Mutex;
use sonde_proto::v1::{Balance, DataplaneState, ExporterStatus, PortStatus, Reason, Status, WorkerStatus};
use sonde_settings::EXPORTER_PREFIX;
use sonde_stats::{BlockView, Kind, StatsError, View};
use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A heartbeat older than this has stopped: workers beat every burst or poll, the control thread about once a second.
pub(crate) const STOPPED: Duration = Duration::from_secs(3);
/// How often heartbeats are looked at, so that the age of one is known when somebody asks.
pub(crate) const SAMPLE: Duration = Duration::from_millis(500);
/// Begins the name of each counter of metered packets.
const METERED: &str = "metered_";
/// Begins the name of each counter of packets that were not metered.
const NOT_METERED: &str = "not_metered.";

/// Reads the segment of one instance.
pub(crate) struct StatsReader {
    places: Places,
    instance: String,
    seen: Mutex<Seen>,
}

/// What was seen at earlier looks: shows whether a heartbeat goes on, whatever clock it is made of.
#[derive(Default)]
struct Seen {
    started_ns: u64,
    beats: HashMap<u64, (u64, Instant)>,
    /// Blocks that could not be read at the last look.
    skipped: usize,
    /// What was said in the log.
    said: Vec<String>,
}

/// The block id that the heartbeat of the process as a whole has here; real ones are odd in their higher bits, never zero.
const PROCESS: u64 = 0;

impl Seen {
    /// Takes note of a heartbeat and says how long it has stood still.
    fn age(&mut self, id: u64, beat: u64) -> Duration {
        let now = Instant::now();
        let (last, since) = self.beats.entry(id).or_insert((beat, now));
        if *last != beat {
            (*last, *since) = (beat, now);
        }
        now.duration_since(*since)
    }
}

impl StatsReader {
    /// Reads the segment at these places.
    pub(crate) fn new(places: Places, instance: &str) -> Self {
        Self { places, instance: instance.to_owned(), seen: Mutex::default() }
    }

    /// A snapshot.
    pub(crate) fn status(&self) -> Status {
        let mut status = Status {
            time: Some(SystemTime::now().into()),
            instance: self.instance.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            state: DataplaneState::Absent.into(),
            balance: Some(Balance { balances: true, ..Balance::default() }),
            ..Status::default()
        };
        status.problems.extend(self.places.link().stranger());
        match View::open(&self.places.stats()) {
            Ok(view) => {
                self.read(&view, &mut status);
                if view.cut() {
                    unreadable(self.places.link(), &mut status, damaged(&view, "the file was cut"));
                }
            }
            Err(StatsError::Missing { .. }) if self.places.link().description().is_none() => {}
            Err(error @ StatsError::Version { .. }) => unreadable(self.places.link(), &mut status, error.to_string()),
            Err(error) => unreadable(self.places.link(), &mut status, format!("{error}; {AGAIN}")),
        }
        self.say(&status.problems);
        status
    }

    /// Writes to the log what is new.
    fn say(&self, problems: &[String]) {
        let mut seen = self.seen.lock();
        problems.iter().filter(|problem| !seen.said.contains(problem)).for_each(|problem| tracing::error!("{problem}"));
        problems.clone_into(&mut seen.said);
    }

    fn read(&self, view: &View, status: &mut Status) {
        let info = view.info();
        status.dataplane_pid = info.pid;
        status.dataplane_version.clone_from(&info.version);
        status.started_at = Some(timestamp(info.started_ns));
        status.memory.clone_from(&info.memory);
        status.simd.clone_from(&info.simd);
        let mut seen = self.seen.lock();
        if seen.started_ns != info.started_ns {
            *seen = Seen { started_ns: info.started_ns, said: std::mem::take(&mut seen.said), ..Seen::default() };
        }
        let beat = view.heartbeat_ns();
        let mut oldest = seen.age(PROCESS, beat).max(since_ns(beat));
        let snapshot = view.snapshot();
        // A block that came or went at this moment is there, or not, at the next look.
        let skipped = std::mem::replace(&mut seen.skipped, snapshot.skipped).min(snapshot.skipped);
        if skipped != 0 {
            status.problems.push(damaged(view, &format!("{skipped} blocks of counters cannot be read and are not shown")));
        }
        for block in snapshot.blocks {
            if !block.consistent {
                status
                    .problems
                    .push(damaged(view, &format!("the counters of {} do not hold still, and may not be of one moment", block.name)));
            }
            match block.kind {
                Kind::Worker => {
                    let beat = block.counter("heartbeat_ns").or_else(|| block.counter("heartbeat")).unwrap_or(0);
                    let age = seen.age(block.id, beat);
                    oldest = oldest.max(age);
                    status.workers.push(worker(&block, age));
                }
                Kind::Port => status.ports.push(port(&block)),
                Kind::Exporter => status.exporters.push(exporter(&block)),
                Kind::Process => {}
            }
        }
        drop(seen);
        status.workers.sort_by_key(|w| w.worker);
        status.ports.sort_by_key(|p| p.ingress);
        status.exporters.sort_by(|a, b| a.name.cmp(&b.name));
        status.generation_in_force = status.workers.iter().map(|w| w.generation).min().unwrap_or(0);
        status.balance = Some(total(&status.workers));
        let beats = oldest < STOPPED;
        status.state = if view.ended() || !(alive(info.pid, info.started_ns) || beats && self.beats_on(view)) {
            DataplaneState::Ended
        } else if beats {
            DataplaneState::Running
        } else {
            DataplaneState::Stuck
        }
        .into();
    }

    /// Whether the process's heartbeat has moved since it was first seen: a process that is not in our list of processes, because
    /// it lives in another container, lives all the same.
    fn beats_on(&self, view: &View) -> bool {
        let seen = self.seen.lock();
        let moved = seen.beats.get(&PROCESS).is_some_and(|(last, since)| *last == view.heartbeat_ns() && since.elapsed() < STOPPED);
        // One that was killed a moment ago had its last heartbeat before: only a process we cannot see at all is given the benefit.
        moved && !same_processes()
    }
}

/// Whether /proc shows this machine's processes, the first one included, rather than only those of a container.
fn same_processes() -> bool {
    fs::read_to_string("/proc/1/comm").is_ok_and(|name| matches!(name.trim(), "systemd" | "init"))
}

/// What is to be done about damaged statistics.
const AGAIN: &str = "a dataplane that runs makes them again within a few seconds: if this stays, restart it";

fn damaged(view: &View, what: &str) -> String {
    format!("the statistics {} are damaged: {what}; {AGAIN}", view.path().display())
}

/// Without its statistics a dataplane runs if it answers; else nobody knows. What was read of them is worth nothing.
fn unreadable(link: &Link, status: &mut Status, problem: String) {
    let mut problems = std::mem::take(&mut status.problems);
    problems.push(problem);
    *status = Status {
        time: status.time,
        instance: std::mem::take(&mut status.instance),
        version: std::mem::take(&mut status.version),
        problems,
        ..Status::default()
    };
    if let Some(description) = link.description() {
        status.dataplane_pid = description.pid;
        status.dataplane_version.clone_from(&description.version);
        status.generation_in_force = description.generation;
        status.state = DataplaneState::Running.into();
    }
}

fn balance(block: &BlockView) -> Balance {
    let mut metered = 0u64;
    let mut not_metered = Vec::new();
    for (name, count) in &block.counters {
        if let Some(reason) = name.strip_prefix(NOT_METERED) {
            if *count != 0 {
                not_metered.push(Reason { name: reason.to_owned(), count: *count });
            }
        } else if name.starts_with(METERED) {
            metered = metered.wrapping_add(*count);
        }
    }
    let received = block.counter("received").unwrap_or(0);
    weigh(received, metered, not_metered)
}

fn weigh(received: u64, metered: u64, not_metered: Vec<Reason>) -> Balance {
    let placed = not_metered.iter().fold(metered, |sum, reason| sum.wrapping_add(reason.count));
    Balance { received, metered, not_metered, balances: received == placed }
}

fn total(workers: &[WorkerStatus]) -> Balance {
    let (mut received, mut metered) = (0u64, 0u64);
    let mut reasons: BTreeMap<&str, u64> = BTreeMap::new();
    for balance in workers.iter().filter_map(|w| w.balance.as_ref()) {
        received = received.wrapping_add(balance.received);
        metered = metered.wrapping_add(balance.metered);
        for reason in &balance.not_metered {
            let sum = reasons.entry(&reason.name).or_default();
            *sum = sum.wrapping_add(reason.count);
        }
    }
    let all = workers.iter().filter_map(|w| w.balance.as_ref()).all(|b| b.balances);
    let reasons = reasons.into_iter().map(|(name, count)| Reason { name: name.to_owned(), count }).collect();
    let sum = weigh(received, metered, reasons);
    // Two workers that are wrong by the same number must not make a right whole.
    Balance { balances: sum.balances && all, ..sum }
}

fn counters(block: &BlockView) -> BTreeMap<String, u64> {
    block.counters.iter().cloned().collect()
}

fn small(block: &BlockView, name: &str) -> u32 {
    block.counter(name).and_then(|v| u32::try_from(v).ok()).unwrap_or(0)
}

fn text(block: &BlockView, label: &str) -> String {
    block.text(label).unwrap_or_default().to_owned()
}

/// The number at the end of a name: 3 for "worker-3".
fn number(name: &str) -> u32 {
    let digits = name.trim_end_matches(|c: char| c.is_ascii_digit()).len();
    name.get(digits..).and_then(|n| n.parse().ok()).unwrap_or(0)
}

fn worker(block: &BlockView, age: Duration) -> WorkerStatus {
    WorkerStatus {
        worker: number(&block.name),
        core: small(block, "core"),
        generation: block.counter("generation").unwrap_or(0),
        heartbeat_age_ms: u64::try_from(age.as_millis()).unwrap_or(u64::MAX),
        counters: counters(block),
        balance: Some(balance(block)),
    }
}

fn port(block: &BlockView) -> PortStatus {
    PortStatus {
        name: block.name.clone(),
        ingress: small(block, "ingress"),
        device: text(block, "device"),
        driver: text(block, "driver"),
        link_up: block.counter("link_up").unwrap_or(0) != 0,
        speed_mbps: block.counter("speed_mbps").unwrap_or(0),
        rx_queues: small(block, "rx_queues"),
        dispatched: block.counter("dispatched").unwrap_or(0) != 0,
        counters: counters(block),
        link: text(block, "link"),
    }
}

fn exporter(block: &BlockView) -> ExporterStatus {
    let name = if block.name.starts_with(EXPORTER_PREFIX) { block.name.clone() } else { format!("{EXPORTER_PREFIX}{}", block.name) };
    ExporterStatus {
        name,
        state: text(block, "state"),
        last_error: text(block, "last_error"),
        delivery: text(block, "delivery"),
        counters: counters(block),
    }
}

/// How long ago a time of the system's clock was; nothing when it is ahead of us.
fn since_ns(ns: u64) -> Duration {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    now.saturating_sub(Duration::from_nanos(ns))
}

/// Whether the process that made the segment runs: there is one of this number, it is no zombie, and it is not younger than the
/// segment (the number would have gone to somebody else).
fn alive(pid: u32, started_ns: u64) -> bool {
    let Ok(line) = fs::read_to_string(format!("/proc/{pid}/stat")) else { return false };
    // proc(5): the name stands in parentheses and may hold anything; state is the first field behind it, starttime the twentieth.
    let mut fields = line.rsplit_once(')').map_or("", |(_, rest)| rest).split_ascii_whitespace();
    if matches!(fields.next(), Some("Z" | "X") | None) {
        return false;
    }
    let ticks: Option<u64> = fields.nth(18).and_then(|f| f.parse().ok());
    let Some((ticks, boot)) = ticks.zip(boot_time()) else { return true };
    // USER_HZ is 100 on every Linux that DPDK runs on. Seconds are exact enough: two of them are given.
    boot + ticks / 100 <= started_ns / 1_000_000_000 + 2
}

/// When the machine was started, Unix seconds.
fn boot_time() -> Option<u64> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    stat.lines().find_map(|l| l.strip_prefix("btime "))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(counters: &[(&str, u64)]) -> BlockView {
        BlockView {
            id: 1,
            kind: Kind::Worker,
            name: "worker-12".into(),
            counters: counters.iter().map(|(n, v)| ((*n).to_owned(), *v)).collect(),
            texts: Vec::new(),
            consistent: true,
        }
    }

    #[test]
    fn a_worker_balances_when_every_packet_has_its_place() {
        let good =
            block(&[("received", 10), ("metered_ipv4", 6), ("metered_layer2", 1), ("not_metered.ipv4_truncated", 3), ("not_metered.x", 0)]);
        let b = balance(&good);
        assert_eq!((b.received, b.metered, b.balances), (10, 7, true));
        assert_eq!(b.not_metered, [Reason { name: "ipv4_truncated".into(), count: 3 }], "only reasons that occurred");
        assert!(!balance(&block(&[("received", 10), ("metered_ipv4", 6)])).balances);
    }

    #[test]
    fn two_wrong_workers_make_no_right_probe() {
        let of = |received, metered| worker(&block(&[("received", received), ("metered_ipv4", metered)]), Duration::ZERO);
        assert!(total(&[of(5, 5), of(7, 7)]).balances);
        let wrong = total(&[of(5, 6), of(7, 6)]);
        assert_eq!((wrong.received, wrong.metered, wrong.balances), (12, 12, false));
    }

    #[test]
    fn a_heartbeat_that_stands_still_gets_older() {
        let mut seen = Seen::default();
        seen.age(1, 5);
        std::thread::sleep(Duration::from_millis(20));
        assert!(seen.age(1, 5) >= Duration::from_millis(20));
        assert!(seen.age(1, 6) < Duration::from_millis(20));
    }

    #[test]
    fn this_process_is_alive_and_another_start_is_another_process() {
        let now = u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_nanos()).expect("before 2500");
        assert!(alive(std::process::id(), now));
        assert!(!alive(std::process::id(), 1_000_000_000), "it did not run in 1970");
        assert!(!alive(u32::MAX, now));
    }

    #[test]
    fn a_worker_has_the_number_of_its_name() {
        assert_eq!([number("worker-12"), number("3"), number("worker")], [12, 3, 0]);
    }
}
