//! `sonde replay`: captures through the worker loop, flows to a file or the terminal.

pub(super) mod chosen;
mod condition;
pub mod csv;
pub mod ipfix;
pub mod json;
mod progress;
pub mod rtt;
mod sink;
pub mod table;
pub mod text_writer;
pub mod whose;

use super::screen::Out;
use anyhow::Context;
use condition::Condition;
use progress::Progress;
use sonde_enrich::Enricher;
use sonde_export::Fields;
use sonde_flow::pattern::Wants;
use sonde_memory::MapError;
use sonde_packet::{TUNNEL_DEPTH_MAX, Tunnel, Tunnels, View};
use sonde_record::{Output, RecordView};
use sonde_worker::capture::{Passed, link_type_name};
use sonde_worker::replay::{Recording, ReplayError, ReplaySettings, Summary};
use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

pub use sink::{Sink, Table};

/// Runs capture files (pcap, pcapng) through the worker loop with the recording's own clock, and prints the flows.
///
/// Each file is a world of its own: no flow goes on from one to the next. Exit status: 0 when every file was read to its end,
/// 1 when one was damaged, cut off, or has packets of a link type that is not read (what was readable is printed), 2 when one could not be
/// read or the output not be written.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  sonde replay capture.pcapng
  sonde replay *.pcap --format csv --out flows.csv
  sonde replay capture.pcap --table l2
  sonde replay capture.pcap --where 'tcp_flags has SYN and not tcp_flags has ACK'
  sonde replay capture.pcap --patterns --format detail
  sonde replay capture.pcap.zst --format ipfix --out flows.ipfix
  tcpdump -i eth0 -U -w - | sonde replay -
  sonde replay capture.pcap --json | jq -r '[.source_address, .octets] | @csv'

Each file is a world of its own: no flow goes on from one to the next.

Exit status: 0 when every file was read to its end; 1 when one was damaged or cut off, or has packets of a link type that is not read
(what was readable is printed), or when the flows could not be written; 2 when a file could not be read at all.")]
pub struct Args {
    /// Capture files or pipes, "-" for standard input; plain, or compressed by gzip, bzip2, zstd, xz or lz4. Ethernet, raw IP, Linux
    /// cooked v1 and v2, null/loopback, PPP, Cisco HDLC, PPPoE, MPLS, IEEE 802.11 (plain, radiotap, AVS, Prism, PPI), NFLOG, PFLOG, ENC,
    /// Juniper's.
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// How flows are printed.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub format: Format,
    /// Which flows: those with an IP header, those without, or TCP connections. An IPFIX file holds all.
    #[arg(long, value_enum, default_value_t = Table::Flows)]
    pub table: Table,
    /// Only those flows for which this expression over any fields holds: 'rtt > 200 ms and port in (80, 443)'; see docs/expressions.md.
    #[arg(long = "where", value_name = "EXPRESSION", value_parser = condition::argument)]
    pub condition: Option<String>,
    /// Where flows are written; standard output if not given, or "-".
    #[arg(long, short, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// A flow ends when no packet came for so many milliseconds of the recording.
    #[arg(long, value_name = "MS", default_value_t = 30_000, value_parser = clap::value_parser!(u64).range(1..=86_400_000))]
    pub idle_timeout_ms: u64,
    /// A flow that goes on is reported at least every so many milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 300_000, value_parser = clap::value_parser!(u64).range(1..=86_400_000))]
    pub active_timeout_ms: u64,
    /// A closed TCP connection waits so many milliseconds for its last segments.
    #[arg(long, value_name = "MS", default_value_t = 2_000, value_parser = clap::value_parser!(u64).range(0..=60_000))]
    pub tcp_end_linger_ms: u64,
    /// One flow for all VLANs, instead of one for each.
    #[arg(long)]
    pub no_vlan_in_key: bool,
    /// One flow for all ICMP between two hosts, instead of one for each type and code (an answer has those of its request).
    #[arg(long)]
    pub no_icmp_type_in_key: bool,
    /// In an IPFIX file the destination port of ICMP is type * 256 + code, as some collectors read it.
    #[arg(long)]
    pub icmp_in_port: bool,
    /// Fields of an IPFIX file: standard (at most 60 a template, which Wireshark decodes), full, or names of elements separated by commas.
    #[arg(long, value_name = "FIELDS", default_value = "standard", value_parser = fields)]
    pub fields: Fields,
    /// Enterprise number of the elements in an IPFIX file that no registry has (they go out with `--fields full`, or by name): your own. The
    /// default is the number for documentation (RFC 5612).
    #[arg(long, value_name = "NUMBER", default_value_t = sonde_export::DOCUMENTATION_PEN, value_parser = enterprise)]
    pub enterprise: u32,
    /// One flow for all virtual networks (VNI, VSID, I-SID), instead of one for each: where each direction has its own.
    #[arg(long)]
    pub no_virtual_network_in_key: bool,
    /// Which flow of a tunnelled packet is metered.
    #[arg(long, value_enum, default_value_t = TunnelView::Both)]
    pub tunnels: TunnelView,
    /// Further UDP ports of tunnels, beside the standard ones.
    #[arg(long, value_name = "KIND=PORT", value_delimiter = ',', value_parser = tunnel_port, help = tunnel_ports_help())]
    pub tunnel_ports: Vec<(Tunnel, u16)>,
    /// Keep the patterns of packets, too: histograms of sizes and times, the first 30 packets, bursts, `NetTiSA`. In `json`, `detail` and
    /// `ipfix`.
    #[arg(long)]
    pub patterns: bool,
    /// Most flows at a time: more memory for recordings with more than this many at once.
    #[arg(long, value_name = "N", default_value_t = 4 << 20, value_parser = clap::value_parser!(u32).range(1024..=1 << 28))]
    pub flows_max: u32,
    /// Where addresses are looked up.
    #[command(flatten, next_help_heading = "Where and whose addresses are")]
    pub whose: whose::Files,
    /// Print what became of the packets of each file (standard error); always done with `--format table`.
    #[arg(long)]
    pub summary: bool,
    /// What is wrong with a file is said as a JSON object (`--json`).
    #[arg(skip)]
    pub json_errors: bool,
}

/// Which flow of a tunnelled packet is metered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum TunnelView {
    /// The innermost.
    Inner,
    /// The tunnel itself.
    Outer,
    /// Both; the column `view` says which it is.
    Both,
}

/// The kinds of tunnels that can have further ports.
fn kinds_over_udp() -> String {
    Tunnel::ALL.into_iter().filter(|kind| kind.has_udp_ports()).map(Tunnel::name).collect::<Vec<_>>().join(", ")
}

fn tunnel_ports_help() -> String {
    format!("Further UDP ports of tunnels, beside the standard ones: `vxlan=48879,geneve=6082`. Kinds: {}", kinds_over_udp())
}

/// A kind of tunnel and a port, as `--tunnel-ports` has them.
fn tunnel_port(text: &str) -> Result<(Tunnel, u16), String> {
    let (name, port) = text.split_once('=').ok_or("wanted: a kind and a port, \"vxlan=48879\"")?;
    let kind = Tunnel::ALL
        .into_iter()
        .find(|kind| kind.name() == name)
        .ok_or_else(|| format!("\"{name}\" is no kind of tunnel; wanted: {}", kinds_over_udp()))?;
    let port = port.parse().map_err(|_| format!("\"{port}\" is no port; wanted: 1 to 65535"))?;
    Tunnels::default().with_port(kind, port).map_err(|rule| format!("wanted: {rule}"))?;
    Ok((kind, port))
}

impl Args {
    /// What is metered of tunnels.
    ///
    /// # Errors
    /// A port is named for two kinds.
    fn chosen_tunnels(&self) -> anyhow::Result<Tunnels> {
        self.tunnel_ports.iter().try_fold(Tunnels::new(self.tunnels.into(), TUNNEL_DEPTH_MAX), |chosen, (kind, port)| {
            chosen.with_port(*kind, *port).map_err(|rule| anyhow::anyhow!("--tunnel-ports {}={port}: wanted: {rule}", kind.name()))
        })
    }
}

impl From<TunnelView> for View {
    fn from(view: TunnelView) -> Self {
        match view {
            TunnelView::Inner => Self::Inner,
            TunnelView::Outer => Self::Outer,
            TunnelView::Both => Self::Both,
        }
    }
}

/// How flows are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Aligned, for people.
    Table,
    /// Comma-separated, one line a record.
    Csv,
    /// One JSON object a line, with the fields of the API.
    Json,
    /// The same for people: everything that is known of each flow, a field a line.
    Detail,
    /// An IPFIX file (RFC 5655).
    Ipfix,
}

/// One instance of the worker loop serves all formats: a record costs an indirect call.
struct Dispatch<'a> {
    sink: &'a mut dyn Sink,
    condition: Option<&'a mut Condition>,
}

impl Output for Dispatch<'_> {
    fn put(&mut self, record: &RecordView<'_>) {
        if self.condition.as_mut().is_none_or(|condition| condition.selects(record)) {
            self.sink.put(record);
        }
    }
}

/// What "-" is called.
const STDIN: &str = "standard input";

/// A file was damaged: what was readable is printed.
const DAMAGED: u8 = 1;
/// A file could not be read at all.
const UNREADABLE: u8 = 2;

/// Runs the command.
///
/// # Errors
/// When the output cannot be written. What is wrong with a capture is said on standard error and shows in the exit code.
pub(super) fn run(args: &Args, screen: &Out) -> anyhow::Result<ExitCode> {
    let columns = columns(args, screen)?;
    let whose = args.whose.load()?;
    let tunnels = args.chosen_tunnels()?;
    let condition = args.condition.as_deref().map(|text| Condition::new(text, whose.as_ref())).transpose()?;
    let condition = condition.map(|(condition, warnings)| {
        warnings.iter().for_each(|warning| eprintln!("warning: --where: {warning}"));
        condition
    });
    let target = args.out.as_deref().filter(|path| *path != Path::new("-"));
    let out: Box<dyn Write> = match target {
        // A terminal would get the lines of each `write` late through the lock's line buffer: the sinks gather themselves.
        None => Box::new(File::from(std::os::fd::AsFd::as_fd(&io::stdout()).try_clone_to_owned().context("cannot use standard output")?)),
        Some(path) => Box::new(File::create(path).with_context(|| format!("cannot create {}", path.display()))?),
    };
    let quiet_output = target.is_some() || !io::stdout().is_terminal();
    // A file has no width.
    let screen = if target.is_some() { screen.without_width() } else { screen.clone() };
    match replay_all(args, (tunnels, whose, columns, condition), out, quiet_output, &screen) {
        Ok(code) => Ok(ExitCode::from(code)),
        // The reader of a pipe has seen enough (`| head`): not our failure.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(ExitCode::SUCCESS),
        Err(error) => {
            let remedy = match error.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ": make room there, or name another file with --out",
                _ => "",
            };
            let name = target.map_or_else(|| "standard output".to_owned(), |path| path.display().to_string());
            Err(anyhow::Error::new(error).context(format!("cannot write the flows to {name}{remedy}")))
        }
    }
}

/// The fields that were asked for as columns, beside a table's own.
fn columns(args: &Args, screen: &Out) -> anyhow::Result<chosen::Columns> {
    if args.format == Format::Table {
        let fields: Vec<&str> = screen.beyond(&table::HEADINGS).collect();
        if !fields.iter().all(|name| chosen::Columns::has(name)) {
            screen.check(&table::HEADINGS).map_err(|error| anyhow::anyhow!("{error}, and the fields that `sonde fields` lists"))?;
        }
        return chosen::Columns::named(fields);
    }
    let takes = matches!(args.format, Format::Csv | Format::Json) && args.table != Table::TcpRtt;
    anyhow::ensure!(
        takes || screen.columns_are_free(),
        "--columns: chooses columns of --format table, csv and json; detail, ipfix and --table tcp_rtt always have theirs"
    );
    chosen::Columns::named(screen.columns())
}

fn replay_all(
    args: &Args,
    (tunnels, whose, columns, mut condition): (Tunnels, Option<Enricher>, chosen::Columns, Option<Condition>),
    out: Box<dyn Write>,
    progress: bool,
    screen: &Out,
) -> io::Result<u8> {
    let mut sink: Box<dyn Sink> = match args.format {
        Format::Table => Box::new(table::Columns::new(out, args.table, whose, columns, screen)),
        Format::Csv if args.table == Table::TcpRtt => Box::new(rtt::Rtt::new(out)?),
        Format::Csv if !screen.columns_are_free() => Box::new(chosen::Chosen::csv(out, args.table, columns, whose)?),
        Format::Json if !screen.columns_are_free() => Box::new(chosen::Chosen::json(out, args.table, columns, whose)),
        Format::Csv => Box::new(csv::Csv::enriched(out, args.table, whose)?),
        Format::Json => Box::new(json::Json::new(out, args.table, whose)),
        Format::Detail => Box::new(json::Json::sheets(out, args.table, whose)),
        Format::Ipfix => Box::new(ipfix::Ipfix::new(out, whose, args.fields.clone(), args.icmp_in_port, args.enterprise)),
    };
    let progress = (progress && io::stderr().is_terminal()).then(Progress::start);
    let mut code = 0;
    for path in &args.files {
        let outcome = replay_one(args, tunnels, path, (sink.as_mut(), condition.as_mut()), progress.as_ref());
        let left_out = condition.as_mut().map_or(0, Condition::left_out);
        match outcome {
            Ok(summary) => {
                sink.end()?;
                if let Some(fault) = summary.fault {
                    code = code.max(DAMAGED);
                    let message = format!("{}: {fault}; what comes before it was read", path.display());
                    complain(progress.as_ref(), &fault_line(args, "DATA_LOSS", path, &message));
                }
                if summary.passed.packets() > 0 {
                    code = code.max(DAMAGED);
                    complain(progress.as_ref(), &fault_line(args, "UNIMPLEMENTED", path, &unread(path, &summary.passed)));
                }
                if args.summary || args.format == Format::Table {
                    complain(progress.as_ref(), &describe(path, &summary, left_out));
                }
            }
            Err(error) => {
                sink.end()?;
                code = UNREADABLE;
                complain(progress.as_ref(), &fault_line(args, "INVALID_ARGUMENT", path, &error.to_string()));
            }
        }
    }
    sink.finish()?;
    Ok(code)
}

/// The operator's enterprise.
fn enterprise(text: &str) -> Result<u32, String> {
    let number = text.parse().ok().filter(|number| *number != 0 && !sonde_export::TAKEN.contains(number));
    number.ok_or_else(|| {
        format!("an enterprise number of your own, none of {}", sonde_export::TAKEN.map(|number| number.to_string()).join(", "))
    })
}

/// Which fields go out; the error names all that are none.
fn fields(text: &str) -> Result<Fields, String> {
    Fields::parse(text).map_err(|unknown| {
        let wrong = unknown.iter().map(|unknown| format!("\"{}\" is no element; did you mean {}?", unknown.name, unknown.nearest));
        wrong.collect::<Vec<_>>().join(" ")
    })
}

/// All, or none.
fn patterns(args: &Args) -> Wants {
    if args.patterns { Wants::ALL } else { Wants::default() }
}

fn replay_one(
    args: &Args,
    tunnels: Tunnels,
    path: &Path,
    (sink, condition): (&mut dyn Sink, Option<&mut Condition>),
    progress: Option<&Progress>,
) -> Result<Summary, ReplayError> {
    let recording = open(path)?;
    let settings = ReplaySettings {
        idle_timeout_ns: args.idle_timeout_ms * 1_000_000,
        active_timeout_ns: args.active_timeout_ms * 1_000_000,
        tcp_end_linger_ns: args.tcp_end_linger_ms * 1_000_000,
        vlan_in_key: !args.no_vlan_in_key,
        icmp_type_in_key: !args.no_icmp_type_in_key,
        virtual_network_in_key: !args.no_virtual_network_in_key,
        tunnels,
        patterns: patterns(args),
        flows_max: args.flows_max.into(),
    };
    sink.begin(&path.to_string_lossy(), recording.ethernet());
    let mut dispatch = Dispatch { sink, condition };
    match progress {
        None => recording.run(&settings, &mut dispatch, None),
        Some(progress) => {
            let position = progress.watch(path, recording.octets());
            let outcome = recording.run(&settings, &mut dispatch, Some(&position));
            progress.rest();
            outcome
        }
    }
}

/// Opens a file, a pipe, or standard input.
fn open(path: &Path) -> Result<Recording, ReplayError> {
    if path != Path::new("-") {
        return Recording::open(path);
    }
    if io::stdin().is_terminal() {
        let cause = io::Error::new(io::ErrorKind::InvalidInput, "it is a terminal: pipe a capture into it, or name a file");
        return Err(MapError::System { action: "read a capture from", path: STDIN.into(), cause }.into());
    }
    Recording::read(Path::new(STDIN), io::stdin())
}

/// The packets that were passed over, and why: a sentence.
fn unread(path: &Path, passed: &Passed) -> String {
    let types = passed.types().iter().map(|(number, packets)| format!("{packets} of link type {number} ({})", link_type_name(*number)));
    let mut kinds: Vec<String> = types.collect();
    if passed.others() > 0 {
        kinds.push(format!("{} of others", passed.others()));
    }
    format!(
        "{}: {} packets are not read: {}; `sonde replay --help` lists the link types that are",
        path.display(),
        passed.packets(),
        kinds.join(", ")
    )
}

/// What is wrong with a file, for people or for programs: an object as the other commands' errors, and which file.
fn fault_line(args: &Args, code: &str, path: &Path, message: &str) -> String {
    if args.json_errors {
        let file = path.to_string_lossy();
        return serde_json::json!({"error": {"code": code, "file": file, "message": message, "violations": []}}).to_string();
    }
    format!("sonde: {message}")
}

/// Says a line on standard error, above the progress display if there is one.
fn complain(progress: Option<&Progress>, line: &str) {
    match progress {
        Some(progress) => progress.say(line),
        None => eprintln!("{line}"),
    }
}

/// What became of the packets of a file: `received = metered + every reason`.
fn describe(path: &Path, summary: &Summary, left_out: u64) -> String {
    let mut text = format!(
        "{}: {} packets received, {} metered in {} records of {} flows",
        path.display(),
        summary.received,
        summary.metered,
        summary.records,
        summary.flows
    );
    for (name, count) in summary.reasons.iter().filter(|(_, count)| *count > 0) {
        text.push_str(&format!(", {count} {name}"));
    }
    if summary.layer2 > 0 {
        text.push_str(&format!("; {} packets had no IP header (--table l2 shows their flows)", summary.layer2));
    }
    if left_out > 0 {
        text.push_str(&format!("; {left_out} records did not match --where"));
    }
    if summary.passed.packets() > 0 {
        text.push_str(&format!("; {} packets of link types that are not read", summary.passed.packets()));
    }
    if summary.cut > 0 {
        text.push_str(&format!("; {} packets were cut by the capture (octets are those of the network)", summary.cut));
    }
    if summary.absurd_times > 0 {
        let times = summary.absurd_times;
        text.push_str(&format!("; {times} packets had times more than an hour away, and were metered with the time of the packet before"));
    }
    if !summary.balances() {
        text.push_str("; THE SUM DOES NOT BALANCE");
    }
    text
}
