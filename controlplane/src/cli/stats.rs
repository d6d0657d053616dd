//! `sonde stats`: every worker with its balance, every port with what the NIC dropped, every exporter.

use super::client::Client;
use super::global::Global;
use super::number::{between, count, float, octets, si};
use super::screen::{Align, Out, Table, Tone};
use super::status::{balance, watch};
use prost_types::Timestamp;
use sonde_proto::v1::{GetStatusRequest, Status};
use std::collections::BTreeMap;
use std::time::Duration;

/// Counters: workers with their balance, ports with what the NIC dropped, exporters.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  sonde stats
  sonde stats --watch --interval-ms 500
  sonde stats --all                      every counter by its name
  sonde stats --json | jq '.balance'
  sonde stats --watch --json             one object a line

Of each packet a worker received it is known what became of it: received = metered + every counted reason.

What the NIC dropped before a worker saw it is not in that sum: imissed (no free descriptor: the worker was too slow), \
rx_nombuf (no free packet buffer), ierrors (damaged on the wire), dispatch_dropped (the software dispatcher found a worker's queue full). What a driver does not count is \"not known\" (docs/counters.md).")]
pub(super) struct Args {
    /// Go on, redraw, and show rates.
    #[arg(long, short)]
    watch: bool,
    /// Milliseconds between two looks.
    #[arg(long, value_name = "MS", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(100..=60_000))]
    interval_ms: u32,
    /// Every counter by its name.
    #[arg(long, short)]
    all: bool,
}

pub(super) async fn run(args: &Args, global: &Global, out: &Out) -> anyhow::Result<()> {
    let nothing = Status::default();
    let rates = Rates::new(&nothing, None);
    let tables = [workers(&nothing, &rates), ports(&nothing, &BTreeMap::new()), exporters(&nothing, &rates)];
    out.check(&tables.iter().flat_map(Table::headings).collect::<Vec<_>>())?;
    if args.watch {
        let mut pace = Pace::default();
        return watch(global, out, args.interval_ms, |status, before| page(status, before, &pace.of(status), args.all, out)).await;
    }
    let client = Client::connect(global).await?;
    let status = client.status().get(GetStatusRequest {}).await?.into_inner();
    if out.json {
        return out.object(&status);
    }
    out.lines(&page(&status, None, &BTreeMap::new(), args.all, out))?;
    Ok(())
}

fn page(status: &Status, before: Option<&Status>, ports_pace: &BTreeMap<String, f64>, all: bool, out: &Out) -> Vec<String> {
    let state = status.state().as_str_name().trim_start_matches("DATAPLANE_STATE_").to_ascii_lowercase();
    let mut lines = vec![format!("probe {}, dataplane {state}, generation {} in force", status.instance, status.generation_in_force)];
    lines.extend(status.problems.iter().map(|problem| out.tone(Tone::Bad, problem)));
    if status.workers.is_empty() && !status.problems.is_empty() {
        return lines;
    }
    if status.workers.is_empty() && status.ports.is_empty() {
        lines.push("no counters: no dataplane of this instance has left any on this machine".to_owned());
        return lines;
    }
    // First what matters most: a small screen cuts the end.
    lines.push(format!("packets: {}", balance(status.balance.as_ref(), out)));
    lines.push(dropped(status, out));
    let rates = Rates::new(status, before);
    let mut section = |table: Table| {
        if !table.is_empty() {
            lines.push(String::new());
            lines.extend(table.lines(out));
        }
    };
    section(workers(status, &rates));
    section(ports(status, ports_pace));
    section(exporters(status, &rates));
    lines.push(String::new());
    for worker in &status.workers {
        lines.push(format!("worker {}: {}", worker.worker, balance(worker.balance.as_ref(), out)));
    }
    if all {
        lines.extend(everything(status));
    }
    lines
}

/// Counters a second, from two snapshots of the same dataplane.
struct Rates<'a> {
    before: Option<&'a Status>,
    seconds: f64,
}

impl<'a> Rates<'a> {
    fn new(status: &Status, before: Option<&'a Status>) -> Self {
        let before = before.filter(|b| b.started_at == status.started_at);
        Self { before, seconds: before.map_or(0.0, |b| between(&b.time, &status.time).as_secs_f64()) }
    }

    fn a_second(&self, now: u64, find: impl Fn(&Status) -> Option<u64>) -> Option<f64> {
        let then = self.before.and_then(find)?;
        (self.seconds > 0.0).then(|| float(now.saturating_sub(then)) / self.seconds)
    }
}

/// Packets a second of each port. The dataplane reads its NICs once a second or so, whatever our interval is: a rate is taken from one
/// change of the counter to the next.
#[derive(Default)]
struct Pace(BTreeMap<String, Seen>);

struct Seen {
    packets: u64,
    changed: Option<Timestamp>,
    rate: Option<f64>,
}

/// A counter that has not changed for so long stands still.
const STILL: Duration = Duration::from_millis(2500);

impl Pace {
    fn of(&mut self, status: &Status) -> BTreeMap<String, f64> {
        for port in &status.ports {
            let packets = get(&port.counters, "rx_packets");
            let seen = self.0.entry(port.name.clone()).or_insert(Seen { packets, changed: None, rate: None });
            if seen.packets == packets {
                if seen.changed.is_some() && between(&seen.changed, &status.time) > STILL {
                    seen.rate = Some(0.0);
                }
                continue;
            }
            let elapsed = between(&seen.changed, &status.time).as_secs_f64();
            // The first change says nothing: it is not known since when; nor does one after the dataplane was restarted.
            seen.rate =
                (seen.changed.is_some() && packets > seen.packets && elapsed > 0.0).then(|| float(packets - seen.packets) / elapsed);
            (seen.packets, seen.changed) = (packets, status.time);
        }
        self.0.iter().filter_map(|(name, seen)| Some((name.clone(), seen.rate?))).collect()
    }
}

fn shown(rate: Option<f64>) -> String {
    rate.map_or_else(|| "-".to_owned(), si)
}

fn get(counters: &BTreeMap<String, u64>, name: &str) -> u64 {
    counters.get(name).copied().unwrap_or(0)
}

/// Sum of the counters whose name begins so.
fn sum(counters: &BTreeMap<String, u64>, prefix: &str) -> u64 {
    counters.iter().filter(|(name, _)| name.starts_with(prefix)).fold(0, |sum, (_, v)| sum.saturating_add(*v))
}

fn workers(status: &Status, rates: &Rates<'_>) -> Table {
    use Align::{Left, Right};
    let mut table = Table::new(&[
        ("WORKER", Left),
        ("CORE", Right),
        ("GEN", Right),
        ("RECEIVED", Right),
        ("METERED", Right),
        ("NOT METERED", Right),
        ("PACKET/S", Right),
        ("BIT/S", Right),
        ("FLOWS", Right),
        ("RECORDS", Right),
        ("RECORD/S", Right),
        ("BEAT", Right),
    ])
    .leaving_out(&["BEAT", "RECORD/S", "GEN", "CORE", "BIT/S", "RECORDS", "FLOWS", "PACKET/S"]);
    for w in &status.workers {
        let b = w.balance.clone().unwrap_or_default();
        let then = |s: &Status, of: &dyn Fn(&BTreeMap<String, u64>) -> u64| {
            s.workers.iter().find(|old| old.worker == w.worker).map(|old| of(&old.counters))
        };
        let (bits, records) = (get(&w.counters, "received_octets"), sum(&w.counters, "records_"));
        table.row([
            w.worker.to_string(),
            w.core.to_string(),
            w.generation.to_string(),
            count(b.received),
            count(b.metered),
            count(b.not_metered.iter().map(|r| r.count).sum()),
            shown(rates.a_second(b.received, |s| then(s, &|c| get(c, "received")))),
            shown(rates.a_second(bits, |s| then(s, &|c| get(c, "received_octets"))).map(|octets| octets * 8.0)),
            count(get(&w.counters, "flows_active")),
            count(records),
            shown(rates.a_second(records, |s| then(s, &|c| sum(c, "records_")))),
            format!("{} ms", w.heartbeat_age_ms),
        ]);
    }
    table
}

fn ports(status: &Status, pace: &BTreeMap<String, f64>) -> Table {
    use Align::{Left, Right};
    let mut table = Table::new(&[
        ("PORT", Left),
        ("IF", Right),
        ("LINK", Left),
        ("QUEUES", Right),
        ("RX PACKETS", Right),
        ("RX OCTETS", Right),
        ("PACKET/S", Right),
        ("IMISSED", Right),
        ("RX_NOMBUF", Right),
        ("IERRORS", Right),
        ("DRIVER", Left),
        ("DEVICE", Left),
    ])
    .leaving_out(&["DEVICE", "DRIVER", "QUEUES", "IF", "PACKET/S", "RX OCTETS"]);
    for p in &status.ports {
        let packets = get(&p.counters, "rx_packets");
        let speed = if p.speed_mbps == 0 || !p.link_up { String::new() } else { format!(" {}", si(float(p.speed_mbps) * 1e6)) };
        // The first word: the others are for `sonde status`.
        let link = p.link.split(':').next().filter(|word| !word.is_empty()).unwrap_or(if p.link_up { "up" } else { "down" });
        let lost = |name: &str| p.counters.get(name).map_or_else(|| "not known".to_owned(), |n| count(*n));
        table.row([
            p.name.clone(),
            p.ingress.to_string(),
            format!("{link}{speed}"),
            format!("{}{}", p.rx_queues, if p.dispatched { " +dispatcher" } else { "" }),
            count(packets),
            octets(get(&p.counters, "rx_octets")),
            shown(pace.get(&p.name).copied()),
            lost("imissed"),
            lost("rx_nombuf"),
            lost("ierrors"),
            p.driver.clone(),
            p.device.clone(),
        ]);
    }
    table
}

fn exporters(status: &Status, rates: &Rates<'_>) -> Table {
    use Align::{Left, Right};
    let mut table = Table::new(&[
        ("EXPORTER", Left),
        ("STATE", Left),
        ("RECORDS", Right),
        ("RECORD/S", Right),
        ("MESSAGES", Right),
        ("OCTETS", Right),
        ("LOST RING", Right),
        ("LOST SEND", Right),
        ("REFUSED", Right),
        ("LAST TROUBLE", Left),
    ])
    .leaving_out(&["LAST TROUBLE", "MESSAGES", "OCTETS", "RECORD/S"]);
    for e in &status.exporters {
        let records = get(&e.counters, "records");
        let then = |s: &Status| s.exporters.iter().find(|old| old.name == e.name).map(|old| get(&old.counters, "records"));
        table.row([
            e.name.clone(),
            e.state.clone(),
            count(records),
            shown(rates.a_second(records, then)),
            count(get(&e.counters, "messages")),
            octets(get(&e.counters, "octets")),
            count(get(&e.counters, "lost_ring")),
            count(get(&e.counters, "lost_send").saturating_add(get(&e.counters, "lost_fault"))),
            count(get(&e.counters, "lost_refused")),
            e.last_error.clone(),
        ]);
    }
    table
}

/// What never reached a worker, beside the balance and not in it.
fn dropped(status: &Status, out: &Out) -> String {
    let of_ports = |name: &'static str| {
        let sum = status.ports.iter().filter_map(|p| p.counters.get(name)).fold(0u64, |sum, n| sum.saturating_add(*n));
        let unknown: Vec<&str> = status.ports.iter().filter(|p| !p.counters.contains_key(name)).map(|p| p.name.as_str()).collect();
        (name, (unknown.len() < status.ports.len() || unknown.is_empty()).then_some(sum), unknown)
    };
    // What the software dispatcher could not hand to a worker, where there is one: its workers were too slow.
    let dispatcher = status.workers.iter().fold(0u64, |sum, w| sum.saturating_add(get(&w.counters, "dispatch_dropped")));
    let places = [of_ports("imissed"), of_ports("rx_nombuf"), of_ports("ierrors"), ("dispatch_dropped", Some(dispatcher), Vec::new())];
    let tone = if places.iter().all(|(_, n, _)| n.unwrap_or(0) == 0) { Tone::Good } else { Tone::Warn };
    let text = places.map(|(name, n, unknown)| match n {
        None => format!("{name} not known with this driver"),
        Some(n) if unknown.is_empty() => format!("{name} {}", count(n)),
        Some(n) => format!("{name} {} (not known of {})", count(n), unknown.join(", ")),
    });
    format!("dropped before the workers: {}", out.tone(tone, &text.join(", ")))
}

fn everything(status: &Status) -> Vec<String> {
    let mut lines = Vec::new();
    let mut block = |title: String, counters: &BTreeMap<String, u64>| {
        lines.push(String::new());
        lines.push(title);
        let width = counters.keys().map(String::len).max().unwrap_or(0);
        lines.extend(counters.iter().map(|(name, value)| format!("  {name:<width$}  {:>20}", count(*value))));
    };
    for w in &status.workers {
        block(format!("worker {}", w.worker), &w.counters);
    }
    for p in &status.ports {
        block(format!("port {}", p.name), &p.counters);
    }
    for e in &status.exporters {
        block(e.name.clone(), &e.counters);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use sonde_proto::v1::{Balance, PortStatus, WorkerStatus};

    fn status(at: i64, received: u64) -> Status {
        let counters: BTreeMap<String, u64> = [("received", received), ("received_octets", received * 100), ("records_idle", 5)]
            .into_iter()
            .map(|(n, v)| (n.to_owned(), v))
            .collect();
        let balance = Balance { received, metered: received, not_metered: Vec::new(), balances: true };
        let losses = BTreeMap::from([("imissed".into(), 12), ("rx_nombuf".into(), 0)]);
        let port = PortStatus { name: "uplink".into(), counters: losses, ..PortStatus::default() };
        Status {
            time: Some(Timestamp { seconds: at, nanos: 0 }),
            workers: vec![WorkerStatus { counters, balance: Some(balance), ..WorkerStatus::default() }],
            ports: vec![port],
            ..Status::default()
        }
    }

    #[test]
    fn rates_are_differences_over_time_and_drops_stand_beside_the_balance() {
        let out = Out::new(false, true, &[]);
        let (then, now) = (status(100, 1_000), status(102, 5_000));
        let text = page(&now, Some(&then), &BTreeMap::new(), false, &out).join("\n");
        assert!(text.contains("2.00 k") && text.contains("1.60 M"), "2000 packets and 1.6 Mbit a second:\n{text}");
        assert!(text.contains("worker 0: received 5,000 = metered 5,000: balances"), "{text}");
        assert!(
            text.contains("dropped before the workers: imissed 12, rx_nombuf 0, ierrors not known with this driver, dispatch_dropped 0"),
            "{text}"
        );
        assert!(text.contains("not known"), "{text}");
    }

    #[test]
    fn a_port_s_rate_is_taken_between_changes_of_its_counter() {
        let mut pace = Pace::default();
        let mut at = |ms: i32, packets: u64| {
            let mut s = status(0, 0);
            s.time = Some(Timestamp { seconds: i64::from(ms / 1000), nanos: ms % 1000 * 1_000_000 });
            s.ports[0].counters.insert("rx_packets".into(), packets);
            pace.of(&s).get("uplink").copied()
        };
        let seen = [at(0, 0), at(500, 0), at(1000, 100), at(1500, 100), at(2000, 300), at(2500, 300), at(4000, 300), at(5000, 300)];
        assert_eq!(seen, [None, None, None, None, Some(200.0), Some(200.0), Some(200.0), Some(0.0)]);
    }

    #[test]
    fn a_dataplane_that_was_restarted_has_no_rates_yet() {
        let (mut then, now) = (status(100, 9_000), status(102, 5_000));
        then.started_at = Some(Timestamp { seconds: 1, nanos: 0 });
        assert_eq!(Rates::new(&now, Some(&then)).a_second(5_000, |_| Some(9_000)), None);
    }
}
