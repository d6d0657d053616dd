//! `sonde config`: the probe's settings and their history.

use super::client::Client;
use super::global::Global;
use super::number::moment;
use super::screen::{Align, Out, Table, Tone, write};
use anyhow::{Context, anyhow, bail};
use sonde_proto::v1::{
    ApplyConfigRequest, ApplyConfigResponse, Generation, GetConfigRequest, HistoryRequest, RollbackRequest, Settings, UnreadableGeneration,
    ValidateConfigRequest,
};
use sonde_settings::document;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// The desired settings, as TOML that can be edited and applied again.
    #[command(after_help = "Examples:
  sonde config get
  sonde config get 3                       an earlier generation
  sonde config get > probe.toml
  sonde config get --json | jq .generation_in_force")]
    Get {
        /// An earlier generation.
        #[arg(value_name = "GENERATION", conflicts_with = "generation")]
        number: Option<u64>,
        /// The same, by name.
        #[arg(long, value_name = "N")]
        generation: Option<u64>,
    },
    /// Check a file and list every fault; changes nothing.
    #[command(after_help = "Examples:
  sonde config validate probe.toml
  sonde config validate - < probe.json")]
    Validate {
        /// TOML, or JSON where its name or its first character says so; - is standard input.
        file: PathBuf,
    },
    /// Make a file's settings the desired ones, and wait until every worker obeys them.
    #[command(after_help = "Examples:
  sonde config apply probe.toml --comment 'shorter idle timeout'
  sonde config apply probe.toml --dry-run
  sonde config apply probe.toml --allow-restart      a change of [boot] waits for the next start

What the file leaves out gets its default; only [boot] as a whole stays as it is when it is left out.")]
    Apply {
        /// TOML, or JSON where its name or its first character says so; - is standard input.
        file: PathBuf,
        /// For the history.
        #[arg(long, short = 'm', default_value = "", hide_default_value = true)]
        comment: String,
        /// Refuse unless this is the etag of the desired settings (from `get --json`).
        #[arg(long, default_value = "", hide_default_value = true)]
        etag: String,
        #[command(flatten)]
        how: How,
    },
    /// Generations, newest first.
    #[command(after_help = "Examples:
  sonde config history
  sonde config history --limit 5 --json")]
    History {
        /// How many.
        #[arg(long, short = 'n', value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
    },
    /// Apply the settings of an earlier generation as a new one.
    #[command(after_help = "Examples:
  sonde config rollback 3
  sonde config rollback 3 --dry-run")]
    Rollback {
        /// The generation whose settings are wanted.
        number: u64,
        /// For the history.
        #[arg(long, short = 'm', default_value = "", hide_default_value = true)]
        comment: String,
        #[command(flatten)]
        how: How,
    },
    /// What differs between two generations, or between a generation and a file.
    #[command(after_help = "Examples:
  sonde config diff                       the desired settings and those before
  sonde config diff 3                     generation 3 and the desired settings
  sonde config diff 3 5
  sonde config diff desired probe.toml    what applying the file would change")]
    Diff {
        /// A generation's number, a file, or \"desired\"; the generation before the desired one when left out.
        from: Option<String>,
        /// The same; \"desired\" when left out.
        to: Option<String>,
    },
}

/// How a change is made.
#[derive(Debug, clap::Args)]
pub(super) struct How {
    /// Check only.
    #[arg(long)]
    dry_run: bool,
    /// Store a change of [boot] for the dataplane's next start.
    #[arg(long)]
    allow_restart: bool,
    /// Milliseconds to wait for the workers.
    #[arg(long, value_name = "MS", default_value_t = 5000, value_parser = clap::value_parser!(u32).range(1..=60_000))]
    deadline_ms: u32,
}

impl How {
    /// How much longer an answer takes that waits for the workers.
    fn patience(&self) -> Duration {
        Duration::from_millis(self.deadline_ms.into())
    }
}

pub(super) async fn run(command: Command, global: &Global, out: &Out) -> anyhow::Result<()> {
    // A file that cannot be read is said before anybody is asked.
    match command {
        Command::Get { number, generation } => get(number.or(generation), &Client::connect(global).await?, out).await,
        Command::Validate { file } => {
            let settings = load(&file)?;
            validate(settings, &file, &Client::connect(global).await?, out).await
        }
        Command::Apply { file, comment, etag, how } => {
            let request = ApplyConfigRequest {
                settings: Some(load(&file)?),
                etag,
                request_id: uuid::Uuid::new_v4().to_string(),
                validate_only: how.dry_run,
                comment,
                deadline_ms: how.deadline_ms,
                allow_restart_required: how.allow_restart,
            };
            let answer = Client::connect(global).await?.waiting(how.patience()).config().apply(request).await?.into_inner();
            applied(&answer, how.dry_run, out)
        }
        Command::History { limit } => history(limit, &Client::connect(global).await?, out).await,
        Command::Rollback { number, comment, how } => {
            let request = RollbackRequest {
                number,
                request_id: uuid::Uuid::new_v4().to_string(),
                validate_only: how.dry_run,
                comment,
                etag: String::new(),
                deadline_ms: how.deadline_ms,
                allow_restart_required: how.allow_restart,
            };
            let answer = Client::connect(global).await?.waiting(how.patience()).config().rollback(request).await?.into_inner();
            applied(&answer, how.dry_run, out)
        }
        Command::Diff { from, to } => diff(from, to, global, out).await,
    }
}

/// Faults of one file that are shown.
const FAULTS_SHOWN: usize = 1000;

/// Reads a settings file. Every fault of its shape is listed.
fn load(file: &Path) -> anyhow::Result<Settings> {
    let mut text = String::new();
    let name = file.display();
    if file == Path::new("-") {
        std::io::stdin().take(document::OCTETS_MAX as u64 + 1).read_to_string(&mut text).context("cannot read standard input")?;
    } else {
        let opened = std::fs::File::open(file).with_context(|| format!("cannot open {name}"))?;
        // One octet more than may be: the parser refuses it by its size.
        opened.take(document::OCTETS_MAX as u64 + 1).read_to_string(&mut text).with_context(|| format!("cannot read {name}"))?;
    }
    let json = file.extension().is_some_and(|e| e.eq_ignore_ascii_case("json")) || text.trim_start().starts_with('{');
    parse(&text, json).map_err(|faults| {
        let mut list: Vec<String> = faults.iter().take(FAULTS_SHOWN).map(|f| format!("\n  {f}")).collect();
        if faults.len() > FAULTS_SHOWN {
            list.push(format!("\n  and {} more", crate::count::grouped(faults.len() - FAULTS_SHOWN)));
        }
        anyhow!("{name} is no settings document:{}", list.concat())
    })
}

fn parse(text: &str, json: bool) -> Result<Settings, Vec<sonde_settings::Violation>> {
    if !json {
        return sonde_settings::parse_toml(text);
    }
    let refused = |found: String| vec![sonde_settings::Violation { path: String::new(), rule: "a JSON object".into(), found }.bounded()];
    let mut value: serde_json::Value = serde_json::from_str(text).map_err(|e| refused(e.to_string()))?;
    // `config get --json` and what the API answers hold the settings in a generation: both are what people have at hand.
    for inner in ["desired", "settings"] {
        if let Some(found) = value.get_mut(inner) {
            value = found.take();
        }
    }
    let table = crate::document::from_json(value).map_err(refused)?;
    document::from_table(&table)
}

async fn get(number: Option<u64>, client: &Client, out: &Out) -> anyhow::Result<()> {
    if let Some(number) = number {
        let generation = generation(number, client).await?;
        return if out.json { out.object(&generation) } else { document_of(&generation, "") };
    }
    let answer = client.config().get(GetConfigRequest {}).await?.into_inner();
    if out.json {
        return out.object(&answer);
    }
    let Some(desired) = &answer.desired else {
        if !answer.trouble.is_empty() {
            bail!("there are no settings yet, and those of the dataplane could not be adopted: {}", answer.trouble);
        }
        bail!("there are no settings yet: start sonde-dataplane, whose settings are then adopted, or apply a file")
    };
    let force = match answer.generation_in_force {
        _ if answer.converged => "in force".to_owned(),
        0 => "not in force: no dataplane answers".to_owned(),
        other => format!("not in force: the dataplane obeys generation {other}"),
    };
    let mut note = format!("# {force}\n");
    if !answer.restart_required.is_empty() {
        note.push_str(&format!("# waits for a restart of the dataplane: {}\n", answer.restart_required.join(", ")));
    }
    for line in unwell(&answer.unreadable, &answer.trouble) {
        note.push_str(&format!("# {line}\n"));
    }
    document_of(desired, &note)
}

fn document_of(generation: &Generation, note: &str) -> anyhow::Result<()> {
    let settings = generation.settings.clone().unwrap_or_default();
    let Generation { number, applied_at, author, comment, etag, .. } = generation;
    let comment: String = comment.lines().map(|line| format!("# {line}\n")).collect();
    let head = format!("# generation {number}, applied {} by {author}, etag {etag}\n{comment}{note}\n", moment(applied_at));
    write(&format!("{head}{}", document::to_toml(&settings)))?;
    Ok(())
}

async fn validate(settings: Settings, file: &Path, client: &Client, out: &Out) -> anyhow::Result<()> {
    let answer = client.config().validate(ValidateConfigRequest { settings: Some(settings) }).await?.into_inner();
    let faults = answer.violations.len();
    if out.json {
        out.object(&answer)?;
    } else if faults == 0 {
        let mut lines = vec![format!("{} is good", file.display())];
        if !answer.restart_required.is_empty() {
            let fields = answer.restart_required.join(", ");
            lines.push(out.tone(Tone::Warn, &format!("a restart of the dataplane would be needed for {fields}")));
        }
        out.lines(&lines)?;
    } else {
        out.lines(&answer.violations.iter().map(crate::fault::sentence).collect::<Vec<_>>())?;
    }
    if faults != 0 {
        bail!("{} has {faults} fault{}", file.display(), if faults == 1 { "" } else { "s" });
    }
    Ok(())
}

fn applied(answer: &ApplyConfigResponse, dry_run: bool, out: &Out) -> anyhow::Result<()> {
    if out.json {
        return out.object(answer);
    }
    let number = answer.generation.as_ref().map_or(0, |g| g.number);
    let mut lines = vec![if dry_run {
        "it could be applied; nothing was changed".to_owned()
    } else if answer.converged {
        out.tone(Tone::Good, &format!("generation {number} is in force: every worker obeys it"))
    } else {
        let late: Vec<String> = answer.late_workers.iter().map(ToString::to_string).collect();
        let who = if late.is_empty() { "not every worker has".to_owned() } else { format!("workers {} have not", late.join(", ")) };
        out.tone(
            Tone::Warn,
            &format!("generation {number} is stored and was delivered, but {who} acknowledged it in time: see `sonde status`"),
        )
    }];
    if !answer.restart_required.is_empty() {
        let fields = answer.restart_required.join(", ");
        let note = if dry_run { "would wait" } else { "waits" };
        lines.push(out.tone(Tone::Warn, &format!("{note} for a restart of the dataplane: {fields}")));
    }
    out.lines(&lines)?;
    Ok(())
}

/// What is wrong with the history, and with what is done by it, line by line.
pub(super) fn unwell(unreadable: &[UnreadableGeneration], trouble: &str) -> Vec<String> {
    let one = |g: &UnreadableGeneration| format!("generation {} cannot be read and is left out: {}: {}", g.number, g.path, g.reason);
    let mut lines: Vec<String> = unreadable.iter().map(one).collect();
    if !trouble.is_empty() {
        lines.push(format!("the dataplane cannot be brought to what is desired: {trouble}"));
    }
    lines
}

async fn history(limit: u32, client: &Client, out: &Out) -> anyhow::Result<()> {
    let request = HistoryRequest { page_size: limit, page_token: String::new(), include_settings: false };
    let answer = client.config().history(request).await?.into_inner();
    if out.json {
        return out.object(&answer);
    }
    let unwell: Vec<String> = unwell(&answer.unreadable, "").iter().map(|line| out.tone(Tone::Bad, line)).collect();
    let mut table = Table::new(&[("GEN", Align::Right), ("APPLIED", Align::Left), ("BY", Align::Left), ("COMMENT", Align::Left)])
        .leaving_out(&["BY", "APPLIED"]);
    out.check(&table.headings())?;
    for g in &answer.generations {
        let comment = g.comment.lines().next().unwrap_or_default().to_owned();
        table.row([g.number.to_string(), moment(&g.applied_at), g.author.clone(), comment]);
    }
    if table.is_empty() {
        out.lines(&["no generation yet".to_owned()])?;
    } else {
        out.lines(&table.lines(out))?;
    }
    out.lines(&unwell)?;
    Ok(())
}

/// One generation with its settings.
async fn generation(number: u64, client: &Client) -> anyhow::Result<Generation> {
    // Pages go from a number downwards, so the page behind number + 1 begins with it.
    let request = HistoryRequest { page_size: 1, page_token: number.saturating_add(1).to_string(), include_settings: true };
    let answer = client.config().history(request).await?.into_inner();
    if let Some(unreadable) = answer.unreadable.iter().find(|g| g.number == number) {
        bail!("{}", unwell(std::slice::from_ref(unreadable), "").concat());
    }
    answer
        .generations
        .into_iter()
        .next()
        .filter(|g| g.number == number)
        .ok_or_else(|| anyhow!("there is no generation {number}: see `sonde config history`"))
}

/// One side of a comparison.
async fn side(what: &str, global: &Global) -> anyhow::Result<Settings> {
    if what != "desired" && what.parse::<u64>().is_err() {
        let settings = load(Path::new(what))?;
        // Filled in, so that what a file leaves out is compared as what it means.
        let client = Client::connect(global).await?;
        let answer = client.config().validate(ValidateConfigRequest { settings: Some(settings.clone()) }).await?.into_inner();
        let mut filled = answer.effective.unwrap_or_else(|| settings.clone());
        if settings.boot.is_none() {
            filled.boot = None;
        }
        return Ok(filled);
    }
    let client = Client::connect(global).await?;
    let found = match what.parse() {
        Ok(number) => Some(generation(number, &client).await?),
        Err(_) => client.config().get(GetConfigRequest {}).await?.into_inner().desired,
    };
    found.and_then(|g| g.settings).ok_or_else(|| anyhow!("there are no settings yet to compare with"))
}

async fn diff(from: Option<String>, to: Option<String>, global: &Global, out: &Out) -> anyhow::Result<()> {
    let from = match from {
        Some(from) => from,
        None => {
            let client = Client::connect(global).await?;
            let request = HistoryRequest { page_size: 2, page_token: String::new(), include_settings: false };
            let two = client.config().history(request).await?.into_inner().generations;
            two.get(1).map(|g| g.number.to_string()).ok_or_else(|| anyhow!("there is no generation before the desired one"))?
        }
    };
    let to = to.unwrap_or_else(|| "desired".to_owned());
    let (mut a, mut b) = (side(&from, global).await?, side(&to, global).await?);
    if a.boot.is_none() || b.boot.is_none() {
        // Left out altogether: as it is, so there is nothing to compare.
        (a.boot, b.boot) = (None, None);
    }
    let changes = changes(&document::tree(&a), &document::tree(&b));
    if out.json {
        let list: Vec<_> = changes.iter().map(|(path, from, to)| serde_json::json!({ "path": path, "from": from, "to": to })).collect();
        return out.object(&serde_json::json!({ "from": from, "to": to, "changes": list }));
    }
    let mut lines = Vec::new();
    for (path, old, new) in &changes {
        lines.extend(old.iter().map(|v| out.tone(Tone::Bad, &format!("- {path} = {v}"))));
        lines.extend(new.iter().map(|v| out.tone(Tone::Good, &format!("+ {path} = {v}"))));
    }
    if lines.is_empty() {
        lines.push(format!("no difference between {from} and {to}"));
    }
    out.lines(&lines)?;
    Ok(())
}

/// A path, its value on one side, its value on the other.
type Difference = (String, Option<toml::Value>, Option<toml::Value>);

fn changes(a: &toml::Table, b: &toml::Table) -> Vec<Difference> {
    let (mut left, mut right) = (Vec::new(), Vec::new());
    leaves(&toml::Value::Table(a.clone()), "", &mut left);
    leaves(&toml::Value::Table(b.clone()), "", &mut right);
    let value = |side: &[(String, toml::Value)], path: &str| side.iter().find(|(p, _)| p == path).map(|(_, v)| v.clone());
    let mut paths: Vec<&String> = left.iter().chain(&right).map(|(path, _)| path).collect();
    paths.sort_unstable();
    paths.dedup();
    let all = paths.into_iter().map(|path| (path.clone(), value(&left, path), value(&right, path)));
    all.filter(|(_, a, b)| a != b).collect()
}

/// Every value with its path; things of a list that have names go by them, so that removing the first does not change all.
fn leaves(value: &toml::Value, path: &str, found: &mut Vec<(String, toml::Value)>) {
    match value {
        toml::Value::Table(fields) => {
            for (key, value) in fields {
                leaves(value, &if path.is_empty() { key.clone() } else { format!("{path}.{key}") }, found);
            }
        }
        toml::Value::Array(list) if list.iter().any(toml::Value::is_table) => {
            for (at, value) in list.iter().enumerate() {
                let name = value.get("name").and_then(toml::Value::as_str).map_or_else(|| at.to_string(), str::to_owned);
                leaves(value, &format!("{path}[{name}]"), found);
            }
        }
        other => found.push((path.to_owned(), other.clone())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_and_toml_say_the_same() {
        let toml = parse("[live]\nvlan_in_key = false\n[live.timeouts]\nidle_timeout_ms = 500\n", false).expect("TOML");
        let json = parse(r#"{"live":{"vlan_in_key":false,"timeouts":{"idle_timeout_ms":500}},"boot":null}"#, true).expect("JSON");
        assert_eq!(toml, json);
        let answer = r#"{"desired":{"number":3,"settings":{"live":{"vlan_in_key":false,"timeouts":{"idle_timeout_ms":500}}}}}"#;
        assert_eq!(parse(answer, true).expect("an answer of the API"), json);
    }

    #[test]
    fn unknown_fields_are_named_in_both() {
        let faults = parse(r#"{"live":{"vlan":true},"bot":{}}"#, true).expect_err("two strangers");
        let mut paths: Vec<&str> = faults.iter().map(|f| f.path.as_str()).collect();
        paths.sort_unstable();
        assert_eq!(paths, ["bot", "live.vlan"]);
        assert_eq!(parse("{", true).expect_err("no JSON").len(), 1);
    }

    #[test]
    fn differences_go_by_names() {
        let of = |text: &str| document::tree(&sonde_settings::parse_toml(text).expect("good"));
        let a = of(
            "[[live.exporters]]\nname = \"exporters/a\"\naddress = \"x:1\"\n[[live.exporters]]\nname = \"exporters/b\"\naddress = \"y:1\"\n",
        );
        let b = of("[[live.exporters]]\nname = \"exporters/b\"\naddress = \"y:2\"\n");
        let changes = changes(&a, &b);
        let address = changes.iter().find(|(path, _, _)| path == "live.exporters[exporters/b].address").expect("b's address differs");
        assert_eq!((address.1.clone(), address.2.clone()), (Some("y:1".into()), Some("y:2".into())));
        assert!(changes.iter().any(|(path, _, new)| path == "live.exporters[exporters/a].address" && new.is_none()));
    }
}
