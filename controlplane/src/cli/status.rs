//! `sonde status`, `sonde version`, and the stream of snapshots that every live view is made of.

use super::client::{Client, Nobody, RETRY, went_away};
use super::config::unwell;
use super::global::Global;
use super::number::{between, count, duration, moment};
use super::screen::{Live, Out, Tone};
use crate::fault::RESTART_REQUIRED;
use sonde_proto::v1::{
    Balance, DataplaneState, ExporterStatus, GetConfigRequest, GetConfigResponse, GetStatusRequest, Status, WatchStatusRequest,
    WatchStatusResponse,
};
use std::process::ExitCode;

/// Is the probe running, and well?
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  sonde status
  sonde status --watch
  sonde status --check || systemctl restart sonde-dataplane
  sonde status --json | jq .state

Exit status: 0 when the probe is well: its dataplane runs, what it shows can be read, and every packet has its place. 1 when it is not, or \
when nobody answers: the page, the line of --check or standard error says why.")]
pub(super) struct Args {
    /// One line for scripts: "well" or why not.
    #[arg(long, conflicts_with = "watch")]
    check: bool,
    /// Go on, and redraw.
    #[arg(long, short)]
    watch: bool,
    /// Milliseconds between two looks.
    #[arg(long, value_name = "MS", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(100..=60_000))]
    interval_ms: u32,
}

pub(super) async fn run(args: &Args, global: &Global, out: &Out) -> anyhow::Result<ExitCode> {
    if args.watch {
        watch(global, out, args.interval_ms, |status, _| page(status, None, out)).await?;
        return Ok(ExitCode::SUCCESS);
    }
    let client = Client::connect(global).await?;
    let status = client.status().get(GetStatusRequest {}).await?.into_inner();
    let trouble = trouble(&status);
    let code = if trouble.is_none() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    if args.check {
        match (out.json, &trouble) {
            (true, trouble) => out.object(&serde_json::json!({ "well": trouble.is_none(), "why": trouble }))?,
            (false, None) => out.lines(&[format!("probe {} is well", status.instance)])?,
            (false, Some(why)) => out.lines(&[format!("probe {} is not well: {why}", status.instance)])?,
        }
    } else if out.json {
        out.object(&status)?;
    } else {
        let config = client.config().get(GetConfigRequest {}).await?.into_inner();
        out.lines(&page(&status, Some(&config), out))?;
    }
    Ok(code)
}

/// Why the probe is not well, in one line.
fn trouble(status: &Status) -> Option<String> {
    let state = match status.state() {
        DataplaneState::Running => None,
        DataplaneState::Stuck => Some("its dataplane is stuck: a heartbeat has stopped"),
        DataplaneState::Ended => Some("its dataplane has ended"),
        DataplaneState::Absent if status.problems.is_empty() => Some("it has no dataplane"),
        DataplaneState::Absent | DataplaneState::Unspecified => Some("what its dataplane shows cannot be read"),
    };
    let balance = match &status.balance {
        Some(balance) if !balance.balances => Some("packets are counted that have no place, or twice"),
        _ => None,
    };
    let mut why: Vec<&str> = state.into_iter().chain(balance).collect();
    why.extend(status.problems.iter().map(String::as_str));
    (!why.is_empty()).then(|| why.join("; "))
}

/// Follows the snapshots and draws each with the one before it; a control plane that goes away is waited for.
pub(super) async fn watch(
    global: &Global,
    out: &Out,
    interval_ms: u32,
    mut page: impl FnMut(&Status, Option<&Status>) -> Vec<String>,
) -> anyhow::Result<()> {
    let mut client = Client::connect(global).await?;
    let mut live = Live::new(out)?;
    let mut before: Option<Status> = None;
    loop {
        let mut stream = match client.status().watch(WatchStatusRequest { interval_ms }).await {
            Ok(stream) => stream.into_inner(),
            Err(status) if went_away(&status) && before.is_some() => {
                client = again(global, &mut live, out).await?;
                continue;
            }
            Err(status) => return Err(status.into()),
        };
        let mut next = client.first(&mut stream, "the first answer of sonde.v1.StatusService/Watch").await;
        loop {
            match next {
                Ok(Some(WatchStatusResponse { status: Some(status), skipped })) => {
                    if out.json {
                        out.object(&status)?;
                    } else {
                        let mut lines = page(&status, before.as_ref());
                        if skipped != 0 {
                            lines.push(out.tone(Tone::Dim, &format!("{} snapshots skipped: this terminal was too slow", count(skipped))));
                        }
                        live.draw(lines)?;
                    }
                    before = Some(status);
                }
                Ok(Some(_)) => {}
                // The control plane is stopping, or is gone.
                Ok(None) => break,
                Err(status) if went_away(&status) => break,
                Err(status) => return Err(status.into()),
            }
            next = stream.message().await;
        }
        client = again(global, &mut live, out).await?;
    }
}

/// Waits until a control plane answers again.
async fn again(global: &Global, live: &mut Live, out: &Out) -> anyhow::Result<Client> {
    if !out.json {
        live.draw(vec![out.tone(Tone::Warn, &format!("the control plane at {} went away; waiting for it (Ctrl-C ends)", global.api))])?;
    }
    loop {
        match Client::connect(global).await {
            Ok(client) => return Ok(client),
            Err(error) if error.is::<Nobody>() => tokio::time::sleep(RETRY).await,
            Err(error) => return Err(error),
        }
    }
}

fn page(status: &Status, config: Option<&GetConfigResponse>, out: &Out) -> Vec<String> {
    let mut lines = vec![headline(status, out)];
    let mut field = |name: &str, value: String| lines.push(format!("  {name:<12} {value}"));
    if let Some(why) = trouble(status) {
        field("not well", out.tone(Tone::Bad, &why));
    }
    if !status.problems.is_empty() && status.workers.is_empty() {
        if status.dataplane_pid != 0 {
            field("dataplane", format!("version {}, process {}", status.dataplane_version, status.dataplane_pid));
        }
        field("counters", "not known".to_owned());
        return lines;
    }
    if status.state() == DataplaneState::Absent {
        field("remedy", format!("start sonde-dataplane (instance {:?}); the control plane finds it by itself", status.instance));
        lines.extend(api(status, out));
        return lines;
    }
    let version = &status.dataplane_version;
    field(
        "dataplane",
        format!("version {version}, process {}, memory {}, vector unit {}", status.dataplane_pid, status.memory, status.simd),
    );
    let up = between(&status.started_at, &status.time);
    field("started", format!("{} ({} ago)", moment(&status.started_at), duration(up)));
    field("settings", settings(status, config, out));
    for line in config.map(|config| unwell(&config.unreadable, &config.trouble)).unwrap_or_default() {
        field("trouble", out.tone(Tone::Bad, &line));
    }
    let cores: Vec<String> = status.workers.iter().map(|w| w.core.to_string()).collect();
    let flows: u64 = status.workers.iter().filter_map(|w| w.counters.get("flows_active")).sum();
    field("workers", format!("{} on cores {}, {} flows in their tables", cores.len(), cores.join(", "), count(flows)));
    for port in &status.ports {
        let words = if port.link.is_empty() { if port.link_up { "up" } else { "down" } } else { &port.link };
        let link = out.tone(if port.link_up { Tone::Good } else { Tone::Bad }, words);
        let speed = if port.speed_mbps == 0 || !port.link_up { String::new() } else { format!(" at {} Mbit/s", count(port.speed_mbps)) };
        field("port", format!("{} ({}): link {link}{speed}", port.name, port.device));
    }
    for exporter in &status.exporters {
        field("exporter", exporter_line(exporter, out));
    }
    field("packets", balance(status.balance.as_ref(), out));
    lines.extend(api(status, out));
    lines
}

/// What the operator should know of the API's connections: nothing, where everybody got in.
fn api(status: &Status, out: &Out) -> Option<String> {
    let api = status.api.as_ref()?;
    let parts = [
        (api.refused, "turned away"),
        (api.made_room, "idle ones ended to make room"),
        (api.no_preface, "closed that did not speak HTTP/2"),
        (api.accept_errors, "attempts to take one failed"),
    ];
    let told: Vec<String> = parts.iter().filter(|(n, _)| *n != 0).map(|(n, what)| format!("{} {what}", count(*n))).collect();
    let cut = (api.streams_cut != 0).then(|| format!("{} streams ended that nobody read", count(api.streams_cut)));
    let told = [told, cut.into_iter().collect()].concat().join(", ");
    let text = format!("{} of {} connections; {told}", count(api.connections), count(api.connections_max));
    (!told.is_empty()).then(|| format!("  {:<12} {}", "api", out.tone(Tone::Warn, &text)))
}

fn headline(status: &Status, out: &Out) -> String {
    let (tone, word, more) = match status.state() {
        DataplaneState::Running => (Tone::Good, "running", ""),
        DataplaneState::Stuck => (Tone::Bad, "stuck", ": its process is there, but a heartbeat has stopped"),
        DataplaneState::Ended if status.workers.is_empty() => (Tone::Bad, "ended", ": start sonde-dataplane again"),
        DataplaneState::Ended => (Tone::Bad, "ended", ": these are its last counters"),
        DataplaneState::Absent if !status.problems.is_empty() => (Tone::Bad, "unknown", ""),
        DataplaneState::Absent => (Tone::Bad, "absent", ": no dataplane of this instance has left counters on this machine"),
        DataplaneState::Unspecified => (Tone::Bad, "unknown", ": what the dataplane shows cannot be read"),
    };
    format!("{} is {}{more}", out.tone(Tone::Head, &format!("probe {}", status.instance)), out.tone(tone, word))
}

fn settings(status: &Status, config: Option<&GetConfigResponse>, out: &Out) -> String {
    let mut text = format!("generation {} in force", status.generation_in_force);
    let Some(config) = config else { return text };
    match &config.desired {
        // The dataplane's own word where it answers; its counters where it does not.
        Some(desired) if config.converged || desired.number == status.generation_in_force && config.generation_in_force == 0 => {
            text.push_str(&format!(", as desired since {}", moment(&desired.applied_at)))
        }
        Some(desired) => text.push_str(&out.tone(Tone::Warn, &format!(", generation {} desired", desired.number))),
        None => text.push_str(", none desired"),
    }
    if !config.restart_required.is_empty() {
        let note = format!("; {RESTART_REQUIRED} for {}", config.restart_required.join(", "));
        text.push_str(&out.tone(Tone::Warn, &note));
    }
    text
}

/// Records of an exporter that are known to be lost, whatever the reason.
pub(super) fn lost(counters: &std::collections::BTreeMap<String, u64>) -> u64 {
    let lost = counters.iter().filter(|(name, _)| name.starts_with("lost_"));
    lost.fold(0, |sum, (_, n)| sum.saturating_add(*n))
}

fn exporter_line(exporter: &ExporterStatus, out: &Out) -> String {
    let tone = match exporter.state.as_str() {
        "connected" => Tone::Good,
        "disabled" => Tone::Dim,
        "connecting" => Tone::Warn,
        _ => Tone::Bad,
    };
    let records = exporter.counters.get("records").copied().unwrap_or(0);
    let trouble = if exporter.last_error.is_empty() { String::new() } else { format!("; last trouble: {}", exporter.last_error) };
    let delivery = if exporter.delivery == "unconfirmed" { " sent, unconfirmed" } else { "" };
    let lost = match lost(&exporter.counters) {
        0 => String::new(),
        lost => format!(", {}", out.tone(Tone::Warn, &format!("{} known lost", count(lost)))),
    };
    format!("{}: {}, {} records{delivery}{lost}{trouble}", exporter.name, out.tone(tone, &exporter.state), count(records))
}

/// "received 10 = metered 7 + ipv4_truncated 3: balances".
pub(super) fn balance(balance: Option<&Balance>, out: &Out) -> String {
    let Some(b) = balance else { return "not known".to_owned() };
    let reasons: String = b.not_metered.iter().map(|r| format!(" + {} {}", r.name, count(r.count))).collect();
    let verdict = if b.balances {
        out.tone(Tone::Good, "balances")
    } else {
        let placed = b.not_metered.iter().fold(b.metered, |sum, r| sum.wrapping_add(r.count));
        let off = if b.received > placed {
            format!("{} have no place", count(b.received - placed))
        } else {
            format!("{} are counted twice", count(placed - b.received))
        };
        out.tone(Tone::Bad, &format!("DOES NOT BALANCE, {off}"))
    };
    format!("received {} = metered {}{reasons}: {verdict}", count(b.received), count(b.metered))
}

/// `sonde version`: of this program, and of the probe where one answers.
pub(super) async fn version(global: &Global, out: &Out) -> anyhow::Result<()> {
    let own = env!("CARGO_PKG_VERSION");
    let asked = async {
        let client = Client::connect(global).await?;
        anyhow::Ok((client.at().to_owned(), client.status().get(GetStatusRequest {}).await?.into_inner()))
    };
    // That nobody answers is no trouble here: this program's version is known all the same.
    let found = asked.await.ok();
    let (at, status) = found.map_or_else(|| (global.api.to_string(), None), |(at, status)| (at, Some(status)));
    if out.json {
        let of = |f: fn(&Status) -> &String| status.as_ref().map(f).filter(|v| !v.is_empty());
        let versions = serde_json::json!({ "sonde": own, "controlplane": of(|s| &s.version), "dataplane": of(|s| &s.dataplane_version) });
        return out.object(&versions);
    }
    let mut lines = vec![format!("sonde {own}")];
    match status {
        Some(s) => {
            lines.push(format!("sonde-controlplane {} at {at}", s.version));
            if !s.dataplane_version.is_empty() {
                lines.push(format!("sonde-dataplane {}", s.dataplane_version));
            }
        }
        None => lines.push(format!("no control plane answers at {at}")),
    }
    out.lines(&lines)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use sonde_proto::v1::Reason;

    #[test]
    fn a_probe_is_well_only_when_nothing_is_wrong_with_it() {
        let status = |state: DataplaneState| Status { state: state.into(), ..Status::default() };
        assert_eq!(trouble(&status(DataplaneState::Running)), None);
        for state in [DataplaneState::Stuck, DataplaneState::Ended, DataplaneState::Absent, DataplaneState::Unspecified] {
            assert!(trouble(&status(state)).is_some(), "{state:?}");
        }
        let off = Some(Balance { received: 2, metered: 1, ..Balance::default() });
        let why = trouble(&Status { balance: off, ..status(DataplaneState::Running) });
        assert_eq!(why.as_deref(), Some("packets are counted that have no place, or twice"));
        let problems = vec!["a ring cannot be read".to_owned()];
        let why = trouble(&Status { problems, ..status(DataplaneState::Ended) });
        assert_eq!(why.as_deref(), Some("its dataplane has ended; a ring cannot be read"));
    }

    #[test]
    fn the_balance_is_a_sum_one_can_check() {
        let out = Out::new(false, true, &[]);
        let reason = Reason { name: "ipv4_truncated".into(), count: 1003 };
        let good = Balance { received: 2010, metered: 1007, not_metered: vec![reason], balances: true };
        assert_eq!(balance(Some(&good), &out), "received 2,010 = metered 1,007 + ipv4_truncated 1,003: balances");
        let bad = Balance { received: 2011, balances: false, ..good.clone() };
        assert!(balance(Some(&bad), &out).ends_with("DOES NOT BALANCE, 1 have no place"));
        let twice = Balance { received: 2009, balances: false, ..good };
        assert!(balance(Some(&twice), &out).ends_with("DOES NOT BALANCE, 1 are counted twice"));
    }
}
