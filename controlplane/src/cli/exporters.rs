//! `sonde exporters`: where flow records are sent.

use super::client::Client;
use super::global::Global;
use super::number::{count, octets};
use super::screen::{Align, Out, Table, Tone};
use sonde_proto::v1::{
    AddExporterRequest, Exporter, ExporterChange, ExporterStatsRequest, ExporterStatsResponse, ListExportersRequest, RemoveExporterRequest,
    UpdateExporterRequest,
};
use sonde_settings::EXPORTER_PREFIX;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Exporters as they are desired.
    #[command(after_help = "Examples:
  sonde exporters list
  sonde exporters list --json | jq -r '.exporters[].address'")]
    List,
    /// Add one.
    #[command(after_help = "Examples:
  sonde exporters add core-1 192.0.2.10:4739
  sonde exporters add core-2 '[2001:db8::10]:4739' --transport tcp --domain 7
  sonde exporters add core-3 collector.example:4739 --dry-run")]
    Add {
        /// Its name: 1 to 32 of a-z, 0-9 and -.
        name: String,
        /// host:port of the collector; an IPv6 address stands in brackets.
        address: String,
        #[command(flatten)]
        fields: Fields,
        #[command(flatten)]
        how: How,
    },
    /// Change one.
    #[command(after_help = "Examples:
  sonde exporters update core-1 --address 192.0.2.11:4739
  sonde exporters update core-1 --enabled false")]
    Update {
        /// Its name.
        name: String,
        /// host:port of the collector.
        #[arg(long, value_name = "HOST:PORT")]
        address: Option<String>,
        #[command(flatten)]
        fields: Fields,
        #[command(flatten)]
        how: How,
    },
    /// Remove one. What it has not sent yet is sent first.
    #[command(after_help = "Examples:
  sonde exporters remove core-1")]
    Remove {
        /// Its name.
        name: String,
        #[command(flatten)]
        how: How,
    },
    /// Counters and state of one, or of all.
    #[command(after_help = "Examples:
  sonde exporters stats
  sonde exporters stats core-1 --json")]
    Stats {
        /// Its name; all when it is left out.
        name: Option<String>,
    },
}

/// What can be said of an exporter; what is left out has its default, or stays as it is.
#[derive(Debug, clap::Args)]
pub(super) struct Fields {
    /// udp or tcp.
    #[arg(long, value_parser = ["udp", "tcp"])]
    transport: Option<String>,
    /// Observation domain id.
    #[arg(long, value_name = "ID")]
    domain: Option<u32>,
    /// Seconds between two sendings of the templates over UDP.
    #[arg(long, value_name = "S")]
    template_refresh_s: Option<u32>,
    /// Largest IPFIX message in octets.
    #[arg(long, value_name = "OCTETS")]
    message_octets_max: Option<u32>,
    /// Seconds between two sendings of the exporter's statistics.
    #[arg(long, value_name = "S")]
    options_interval_s: Option<u32>,
    /// false: keep its settings, send nothing.
    #[arg(long, value_name = "BOOL")]
    enabled: Option<bool>,
    /// true: the destination port of ICMP is type * 256 + code, as nfdump and Flowmon read it.
    #[arg(long, value_name = "BOOL")]
    icmp_in_port: Option<bool>,
    /// Which fields go out: standard (at most 60 a template), full, or names of elements separated by commas.
    #[arg(long = "fields", value_name = "FIELDS")]
    chosen: Option<String>,
    /// Enterprise number of the elements that no registry has: your own.
    #[arg(long, value_name = "NUMBER")]
    enterprise: Option<u32>,
    /// Which records go out: an expression as 'protocol = tcp and octets > 1 MiB' (docs/expressions.md); "" for all.
    #[arg(long, value_name = "EXPRESSION")]
    filter: Option<String>,
}

/// How a change is made.
#[derive(Debug, clap::Args)]
pub(super) struct How {
    /// Check only.
    #[arg(long)]
    dry_run: bool,
    /// Refuse unless this is the etag of the settings (from `list --json`).
    #[arg(long, default_value = "", hide_default_value = true)]
    etag: String,
}

pub(super) fn full_name(name: &str) -> String {
    if name.starts_with(EXPORTER_PREFIX) { name.to_owned() } else { format!("{EXPORTER_PREFIX}{name}") }
}

impl Fields {
    /// The exporter they make, and the names of the fields that were given.
    fn exporter(self, name: &str, address: Option<String>) -> (Exporter, Vec<String>) {
        let given = [
            ("address", address.is_some()),
            ("transport", self.transport.is_some()),
            ("observation_domain_id", self.domain.is_some()),
            ("template_refresh_s", self.template_refresh_s.is_some()),
            ("message_octets_max", self.message_octets_max.is_some()),
            ("options_interval_s", self.options_interval_s.is_some()),
            ("enabled", self.enabled.is_some()),
            ("icmp_in_port", self.icmp_in_port.is_some()),
            ("fields", self.chosen.is_some()),
            ("enterprise", self.enterprise.is_some()),
            ("filter", self.filter.is_some()),
        ];
        let exporter = Exporter {
            name: full_name(name),
            protocol: String::new(),
            transport: self.transport.unwrap_or_default(),
            address: address.unwrap_or_default(),
            observation_domain_id: self.domain,
            template_refresh_s: self.template_refresh_s.unwrap_or(0),
            message_octets_max: self.message_octets_max.unwrap_or(0),
            options_interval_s: self.options_interval_s.unwrap_or(0),
            enabled: self.enabled,
            icmp_in_port: self.icmp_in_port,
            fields: self.chosen.unwrap_or_default(),
            enterprise: self.enterprise.unwrap_or(0),
            filter: self.filter.unwrap_or_default(),
        };
        (exporter, given.into_iter().filter(|(_, given)| *given).map(|(name, _)| name.to_owned()).collect())
    }
}

pub(super) async fn run(command: Command, global: &Global, out: &Out) -> anyhow::Result<()> {
    let client = Client::connect(global).await?;
    let mut service = client.exporters();
    let request_id = uuid::Uuid::new_v4().to_string();
    match command {
        Command::List => list(&client, out).await,
        Command::Add { name, address, fields, how } => {
            let (exporter, _) = fields.exporter(&name, Some(address));
            let request = AddExporterRequest { exporter: Some(exporter), etag: how.etag, request_id, validate_only: how.dry_run };
            let change = service.add(request).await?.into_inner();
            said(&change, "added", how.dry_run, out)
        }
        Command::Update { name, address, fields, how } => {
            let (exporter, paths) = fields.exporter(&name, address);
            let update_mask = Some(prost_types::FieldMask { paths });
            let request =
                UpdateExporterRequest { exporter: Some(exporter), update_mask, etag: how.etag, request_id, validate_only: how.dry_run };
            let change = service.update(request).await?.into_inner();
            said(&change, "changed", how.dry_run, out)
        }
        Command::Remove { name, how } => {
            let name = full_name(&name);
            let request = RemoveExporterRequest { name, etag: how.etag, request_id, validate_only: how.dry_run };
            let change = service.remove(request).await?.into_inner();
            said(&change, "removed", how.dry_run, out)
        }
        Command::Stats { name } => {
            let name = name.map(|n| full_name(&n)).unwrap_or_default();
            let answer = service.stats(ExporterStatsRequest { name }).await?.into_inner();
            if out.json {
                return out.object(&answer);
            }
            out.lines(&stats(&answer, out))?;
            Ok(())
        }
    }
}

async fn list(client: &Client, out: &Out) -> anyhow::Result<()> {
    let mut whole = client.exporters().list(ListExportersRequest { page_size: 1000, page_token: String::new() }).await?.into_inner();
    while !whole.next_page_token.is_empty() {
        let request = ListExportersRequest { page_size: 1000, page_token: std::mem::take(&mut whole.next_page_token) };
        let page = client.exporters().list(request).await?.into_inner();
        whole.exporters.extend(page.exporters);
        whole.next_page_token = page.next_page_token;
    }
    if out.json {
        return out.object(&whole);
    }
    let mut table = Table::new(&[
        ("NAME", Align::Left),
        ("PROTOCOL", Align::Left),
        ("TRANSPORT", Align::Left),
        ("ADDRESS", Align::Left),
        ("DOMAIN", Align::Right),
        ("TEMPLATES EVERY", Align::Right),
        ("MESSAGE MAX", Align::Right),
        ("ENABLED", Align::Left),
    ])
    .leaving_out(&["MESSAGE MAX", "TEMPLATES EVERY", "DOMAIN", "PROTOCOL"]);
    out.check(&table.headings())?;
    for e in whole.exporters {
        table.row([
            e.name,
            e.protocol,
            e.transport,
            e.address,
            e.observation_domain_id.unwrap_or(1).to_string(),
            format!("{} s", e.template_refresh_s),
            format!("{} B", count(e.message_octets_max.into())),
            if e.enabled.unwrap_or(true) { "yes" } else { "no" }.to_owned(),
        ]);
    }
    if table.is_empty() {
        out.lines(&["no exporters: records are not sent anywhere. Add one: sonde exporters add NAME HOST:PORT".to_owned()])?;
    } else {
        out.lines(&table.lines(out))?;
    }
    Ok(())
}

fn said(change: &ExporterChange, done: &str, dry_run: bool, out: &Out) -> anyhow::Result<()> {
    if out.json {
        return out.object(change);
    }
    let name = change.exporter.as_ref().map_or("", |e| e.name.as_str());
    let line = if dry_run {
        format!("{name} could be {done}; nothing was changed")
    } else if change.converged {
        format!("{name} {done}: generation {} is in force", change.generation)
    } else {
        let note = format!("generation {} is stored but not in force everywhere yet: see `sonde config get`", change.generation);
        format!("{name} {done}: {}", out.tone(Tone::Warn, &note))
    };
    out.lines(&[line])?;
    Ok(())
}

fn stats(answer: &ExporterStatsResponse, out: &Out) -> Vec<String> {
    if answer.exporters.is_empty() {
        return vec!["no exporters".to_owned()];
    }
    let mut lines = Vec::new();
    for e in &answer.exporters {
        if !lines.is_empty() {
            lines.push(String::new());
        }
        lines.push(format!("{}: {}", out.tone(Tone::Head, &e.name), e.state));
        if !e.last_error.is_empty() {
            lines.push(format!("  last trouble: {}", e.last_error));
        }
        match e.delivery.as_str() {
            "unconfirmed" => lines.push("  records sent are unconfirmed: over UDP nobody tells whether they arrive".to_owned()),
            "acknowledged" => lines.push("  records sent are acknowledged by the collector's machine, but for unacknowledged".to_owned()),
            _ => {}
        }
        let width = e.counters.keys().map(String::len).max().unwrap_or(0);
        for (name, value) in &e.counters {
            let shown = if name.contains("octets") { format!("{} ({})", count(*value), octets(*value)) } else { count(*value) };
            lines.push(format!("  {name:<width$}  {shown}"));
        }
    }
    lines
}
