//! `sonde flows`: records as they are written, and the largest talkers.

use super::client::{Client, Nobody, RETRY, asked, went_away};
use super::field_columns::Fields;
use super::global::Global;
use super::number::{between, clock, count, duration, float, octets, si};
use super::screen::{Align, GAP, Live, Out, Table, Tone, set, write};
use super::sheet;
use super::timing::{self, RESPONSE, RTT};
use super::value_names::{ethertype, flags, reason};
use crate::notation::protocol;
use crate::place;
use crate::top_keys::By;
use sonde_proto::v1::{Flow, FlowFilter, Place, TailRequest, TailResponse, TopEntry, TopRequest, TopResponse};
use std::time::Duration;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Flows as their records are written.
    #[command(after_help = "Examples:
  sonde flows tail
  sonde flows tail --address 10.0.0.0/8 --port 443
  sonde flows tail --protocol udp --limit 20
  sonde flows tail --where 'rtt > 200 ms and destination_port in (80, 443)'
  sonde flows tail --where 'tcp_flags has SYN and not tcp_flags has ACK'
  sonde flows tail --address 10.0.0.1 --detail -n 1
  sonde flows tail --columns source,destination,server_rtt,retransmissions
  sonde flows tail --json | jq -r '[.source_address, .octets] | @csv'

A flow's record is written when the flow ends, when it has been idle, or when it has gone on for the active timeout: what begins \
now appears later. The source is the side of the first packet.

Records that this client was too slow for are counted on standard error; the probe does not wait for it. A control plane that is restarted is waited for, and no record is missed or repeated.")]
    Tail {
        #[command(flatten)]
        filter: Filter,
        /// End after so many flows.
        #[arg(long, short = 'n', value_name = "N")]
        limit: Option<u64>,
        /// Go on behind this cursor (from an earlier --json --cursors).
        #[arg(long, value_name = "CURSOR", default_value = "")]
        cursor: String,
        /// With --json: print the answers of the API, with their cursors, rather than the flows alone.
        #[arg(long, requires = "json")]
        cursors: bool,
        /// Everything that is known of each flow, a field a line: layers, performance, patterns of packets.
        #[arg(long, conflicts_with = "json")]
        detail: bool,
    },
    /// The largest talkers of a window.
    #[command(after_help = "Examples:
  sonde flows top
  sonde flows top --by source --order packets --watch
  sonde flows top --by port --window 300 --limit 20
  sonde flows top --by flow --address 192.0.2.0/24
  sonde flows top --by source --where 'protocol = udp and destination_address not in 10.0.0.0/8'
  sonde flows top --by destination_as --window 300
  sonde flows top --by country --json

Records count when they are written, so a long flow appears after its active timeout. A flow counts for both its addresses, \
ports, autonomous systems (as), countries and own prefixes (network); the last three need sources in live.enrichment. \
An expression names those fields only that the sums are kept by; a refusal lists them.")]
    Top {
        #[command(flatten)]
        filter: Filter,
        /// What rows are.
        #[arg(long, default_value = "address", value_parser = By::ALL.map(By::name))]
        by: String,
        /// What they are ordered by: octets, packets or flows.
        #[arg(long, default_value = "octets", value_parser = ["octets", "packets", "flows"])]
        order: String,
        /// How many.
        #[arg(long, short = 'n', value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
        /// Length of the window in seconds.
        #[arg(long, value_name = "S", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=300))]
        window: u32,
        /// Go on, and redraw.
        #[arg(long, short)]
        watch: bool,
        /// Milliseconds between two looks.
        #[arg(long, value_name = "MS", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(100..=60_000))]
        interval_ms: u64,
    },
}

/// Which flows; every condition given must hold.
#[derive(Debug, Default, clap::Args)]
pub(super) struct Filter {
    /// An expression over any fields: 'rtt > 200 ms and port in (80, 443)'; see docs/expressions.md. The other conditions are short forms.
    #[arg(long = "where", value_name = "EXPRESSION", default_value = "", hide_default_value = true, help_heading = "Filter")]
    condition: String,
    /// Source or destination is in this prefix, or is this address.
    #[arg(long, value_name = "PREFIX", help_heading = "Filter")]
    address: Option<String>,
    /// Source is in this prefix.
    #[arg(long, value_name = "PREFIX", help_heading = "Filter")]
    source: Option<String>,
    /// Destination is in this prefix.
    #[arg(long, value_name = "PREFIX", help_heading = "Filter")]
    destination: Option<String>,
    /// Source or destination port.
    #[arg(long, value_name = "PORT", help_heading = "Filter")]
    port: Option<u16>,
    /// Protocol by name (tcp, udp, icmp, icmp6, sctp, gre, esp, ...) or IANA number.
    #[arg(long, value_name = "PROTOCOL", help_heading = "Filter", value_parser = protocol_number)]
    protocol: Option<u8>,
    /// VLAN id (outer).
    #[arg(long, value_name = "VLAN", help_heading = "Filter")]
    vlan: Option<u16>,
    /// At least so many octets, both directions together.
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true, help_heading = "Filter")]
    octets_min: u64,
    /// At least so many packets, both directions together.
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true, help_heading = "Filter")]
    packets_min: u64,
    /// IP version: 4, 6, or none for flows without IP.
    #[arg(long, value_name = "VERSION", help_heading = "Filter", value_parser = ["4", "6", "none"])]
    ip: Option<String>,
}

/// A protocol by the name it is shown with, or by number.
fn protocol_number(text: &str) -> Result<u8, String> {
    let name = text.to_ascii_lowercase();
    text.parse().or_else(|_| {
        (0..=u8::MAX)
            .find(|n| protocol(*n) == name)
            .ok_or_else(|| "a protocol's name as tcp, udp, icmp, or its number, 0 to 255".to_owned())
    })
}

impl Filter {
    fn message(&self) -> FlowFilter {
        let text = |t: &Option<String>| t.clone().unwrap_or_default();
        FlowFilter {
            address: text(&self.address),
            source: text(&self.source),
            destination: text(&self.destination),
            port: self.port.map(u32::from),
            protocol: self.protocol.map(u32::from),
            vlan: self.vlan.map(u32::from),
            octets_min: self.octets_min,
            packets_min: self.packets_min,
            kind: self.ip.as_deref().map(|ip| ip.parse().unwrap_or(2)),
            r#where: self.condition.clone(),
        }
    }
}

pub(super) async fn run(command: Command, global: &Global, out: &Out) -> anyhow::Result<()> {
    match command {
        Command::Tail { filter, limit, cursor, cursors, detail } => {
            let request = TailRequest { filter: Some(filter.message()), cursor, limit: limit.unwrap_or(0) };
            tail(request, Printer::new(out, cursors, detail)?, global).await.map_err(|error| asked(error, filter.condition))
        }
        Command::Top { filter, by, order, limit, window, watch, interval_ms } => {
            let known = By::ALL.into_iter().find(|known| known.name() == by).map_or("", rows);
            out.check(&["#", known, "OCTETS", "SHARE", "BIT/S", "PACKETS", "FLOWS", "NAME", "WHERE"])?;
            let request = TopRequest { filter: Some(filter.message()), by, order, limit, window_s: window };
            let every = watch.then(|| Duration::from_millis(interval_ms));
            top(request, every, global, out).await.map_err(|error| asked(error, filter.condition))
        }
    }
}

async fn tail(mut request: TailRequest, mut printer: Printer<'_>, global: &Global) -> anyhow::Result<()> {
    let limited = request.limit != 0;
    let mut client = Client::connect(global).await?;
    loop {
        let (mut lost, mut damaged) = (0, 0);
        match client.flows().tail(request.clone()).await {
            Ok(stream) => {
                let mut stream = stream.into_inner();
                // An end without an error is the control plane's stop, or the limit's.
                let mut next = client.first(&mut stream, "the first answer of sonde.v1.FlowsService/Tail").await;
                while let Some(answer) = next.or_else(|e| if went_away(&e) { Ok(None) } else { Err(e) })? {
                    request.cursor.clone_from(&answer.cursor);
                    request.limit = request.limit.saturating_sub(answer.flows.len() as u64);
                    printer.trouble(&answer, answer.lost.saturating_sub(lost), answer.damaged.saturating_sub(damaged));
                    printer.print(&answer)?;
                    (lost, damaged) = (answer.lost, answer.damaged);
                    if limited && request.limit == 0 {
                        return Ok(());
                    }
                    next = stream.message().await;
                }
            }
            Err(status) if went_away(&status) => {}
            Err(status) => return Err(status.into()),
        }
        eprintln!("the control plane at {} went away; waiting for it (Ctrl-C ends)", global.api);
        client = loop {
            tokio::time::sleep(RETRY).await;
            match Client::connect(global).await {
                Ok(client) => break client,
                Err(error) if error.is::<Nobody>() => {}
                Err(error) => return Err(error),
            }
        };
    }
}

struct Printer<'a> {
    out: &'a Out,
    cursors: bool,
    detail: bool,
    /// The columns of the heading that was printed last.
    shown: Vec<usize>,
    lost: u64,
    /// What was said last of rings that cannot be read.
    problems: Vec<String>,
    /// Whether a flow has said where and whose its ends are.
    placed: bool,
    /// Fields of the catalogue that were asked for beside the table's own columns.
    more: Fields,
    headings: Vec<String>,
    aligns: Vec<Align>,
    /// The lines to come are not known: a column is as wide as its widest cell so far.
    widths: Vec<usize>,
}

impl<'a> Printer<'a> {
    /// # Errors
    /// Columns that are neither the table's own nor fields.
    fn new(out: &'a Out, cursors: bool, detail: bool) -> anyhow::Result<Self> {
        let more = Fields::named(out.beyond(&HEADINGS))?;
        let fields = || more.columns().map(|(name, number)| (name.to_uppercase(), if number { Align::Right } else { Align::Left }));
        let headings: Vec<String> = HEADINGS.into_iter().map(str::to_owned).chain(fields().map(|(heading, _)| heading)).collect();
        let aligns = ALIGNS.into_iter().chain(fields().map(|(_, align)| align)).collect();
        let widths = WIDTHS.into_iter().chain(fields().map(|(heading, _)| heading.chars().count())).collect();
        let (shown, problems) = (Vec::new(), Vec::new());
        Ok(Self { out, cursors, detail, shown, lost: 0, problems, placed: false, more, headings, aligns, widths })
    }

    /// Says what the client does not get.
    fn trouble(&mut self, answer: &TailResponse, lost: u64, damaged: u64) {
        if damaged != 0 {
            eprintln!(
                "the record rings were damaged: in {} places no record could be read; see who writes to their folder",
                count(damaged)
            );
        }
        if lost != 0 {
            self.lost += lost;
            let why = if damaged == 0 { "this client was too slow for them" } else { "they were damaged, or this client was too slow" };
            eprintln!("{} flows were lost: {why} ({} so far)", count(lost), count(self.lost));
        }
        for warning in &answer.warnings {
            eprintln!("warning: {warning}");
        }
        for problem in answer.problems.iter().filter(|problem| !self.problems.contains(problem)) {
            eprintln!("{problem}");
        }
        self.problems.clone_from(&answer.problems);
    }

    fn print(&mut self, answer: &TailResponse) -> anyhow::Result<()> {
        if self.cursors {
            return self.out.object(answer);
        }
        if self.out.json {
            return answer.flows.iter().try_for_each(|flow| self.out.object(flow));
        }
        if self.detail {
            let sheet = |flow: &Flow| sheet::lines(heading(flow), flow).map(|lines| lines.join("\n") + "\n");
            let sheets: Vec<String> = answer.flows.iter().map(sheet).collect::<Result<_, _>>()?;
            return Ok(write(&sheets.concat())?);
        }
        let row = |flow: &Flow| self.more.cells(flow).map(|more| cells(flow).into_iter().chain(more).collect());
        let rows: Vec<Vec<String>> = answer.flows.iter().map(row).collect::<Result<_, _>>()?;
        for row in &rows {
            for (width, cell) in self.widths.iter_mut().zip(row) {
                *width = cell.chars().count().max(*width);
            }
        }
        self.placed |= answer.flows.iter().any(|flow| flow.source_place.is_some());
        let headings: Vec<&str> = self.headings.iter().map(String::as_str).collect();
        let mut shown = self.out.choose(&headings, &self.widths, &LEAVE_OUT);
        // Where nothing is looked up there is nothing to say where.
        shown.retain(|at| self.placed || *at != WHERE);
        let line = |cells: &[&str]| {
            let set = shown.iter().map(|at| set(cells[*at], self.aligns[*at], self.widths[*at]));
            set.collect::<Vec<_>>().join(GAP).trim_end().to_owned()
        };
        let mut text = String::new();
        if shown != self.shown {
            text.push_str(&self.out.tone(Tone::Head, &line(&headings)));
            text.push('\n');
        }
        for row in &rows {
            text.push_str(&line(&row.iter().map(String::as_str).collect::<Vec<_>>()));
            text.push('\n');
        }
        self.shown = shown;
        write(&text)?;
        Ok(())
    }
}

const COLUMNS: usize = 12;
const WHERE: usize = COLUMNS - 1;
/// The last column is there when addresses are looked up.
const HEADINGS: [&str; COLUMNS] =
    ["END (UTC)", "LASTED", "PROTO", "SOURCE", "DESTINATION", "PACKETS", "OCTETS", RTT, RESPONSE, "FLAGS", "END BY", "WHERE"];
#[rustfmt::skip]
const ALIGNS: [Align; COLUMNS] = [
    Align::Left, Align::Right, Align::Left, Align::Left, Align::Left, Align::Right, Align::Right, Align::Right, Align::Right, Align::Left,
    Align::Left, Align::Left,
];
/// What columns have from the beginning, so that they seldom become wider.
const WIDTHS: [usize; COLUMNS] = [12, 11, 5, 21, 21, 13, 13, 8, 8, 6, 7, 0];
/// What is left out where the terminal is too narrow, the first one first.
const LEAVE_OUT: [&str; 8] = ["WHERE", RESPONSE, RTT, "FLAGS", "END BY", "LASTED", "PACKETS", "END (UTC)"];

/// Where and whose the ends are.
fn places(f: &Flow) -> String {
    let (Some(source), Some(destination)) = (&f.source_place, &f.destination_place) else { return String::new() };
    place::both(&[source.clone(), destination.clone()])
}

/// What a flow is, in a few words.
pub(super) fn heading(f: &Flow) -> String {
    let [proto, source, destination] = ends(f);
    format!("{proto} {source} > {destination}")
}

/// Protocol, source and destination.
fn ends(f: &Flow) -> [String; 3] {
    let ported = f.kind != 2 && u8::try_from(f.protocol).is_ok_and(sonde_packet::has_ports);
    let end = |address: &str, mac: &str, port: u32| match (f.kind, ported) {
        (2, _) => mac.to_owned(),
        (6, true) => format!("[{address}]:{port}"),
        (_, true) => format!("{address}:{port}"),
        (_, false) => address.to_owned(),
    };
    let proto = match f.kind {
        2 => ethertype(f.ethernet_type),
        _ => u8::try_from(f.protocol).map_or_else(|_| f.protocol.to_string(), protocol),
    };
    let source = end(&f.source_address, &f.source_mac, f.source_port);
    [proto, source, end(&f.destination_address, &f.destination_mac, f.destination_port)]
}

fn cells(f: &Flow) -> [String; COLUMNS] {
    let [proto, source, destination] = ends(f);
    let [rtt, response] = timing::columns(f.tcp.as_ref(), f.udp.as_ref(), f.quic.as_ref());
    [
        clock(&f.end),
        duration(between(&f.start, &f.end)),
        proto,
        source,
        destination,
        format!("{} > < {}", count(f.packets), count(f.packets_reverse)),
        format!("{} > < {}", size(f.octets), size(f.octets_reverse)),
        rtt,
        response,
        if f.protocol == 6 && f.kind != 2 { flags(f.tcp_control_bits | f.tcp_control_bits_reverse) } else { icmp(f) },
        reason(f.end_reason).to_owned(),
        places(f),
    ]
}

/// Octets, short: 1.20M.
fn size(n: u64) -> String {
    si(float(n)).replace(' ', "")
}

fn icmp(f: &Flow) -> String {
    if f.kind != 2 && matches!(f.protocol, 1 | 58) && (f.icmp_type, f.icmp_code) != (255, 255) {
        format!("{}/{}", f.icmp_type, f.icmp_code)
    } else {
        String::new()
    }
}

async fn top(request: TopRequest, every: Option<Duration>, global: &Global, out: &Out) -> anyhow::Result<()> {
    let mut client = Client::connect(global).await?;
    let Some(every) = every else {
        let answer = client.flows().top(request.clone()).await?.into_inner();
        if out.json {
            return out.object(&answer);
        }
        out.lines(&talkers(&request, &answer, out))?;
        return Ok(());
    };
    let mut live = Live::new(out)?;
    loop {
        match client.flows().top(request.clone()).await {
            Ok(answer) if out.json => out.object(&answer.into_inner())?,
            Ok(answer) => live.draw(talkers(&request, &answer.into_inner(), out))?,
            Err(status) if went_away(&status) => {
                if !out.json {
                    live.draw(vec![format!("the control plane at {} went away; waiting for it (Ctrl-C ends)", global.api)])?;
                }
                if let Ok(again) = Client::connect(global).await {
                    client = again;
                }
            }
            Err(status) => return Err(status.into()),
        }
        tokio::time::sleep(every).await;
    }
}

/// Heading of what rows are.
fn rows(by: By) -> &'static str {
    match by {
        By::Flow => "FLOW",
        By::Source => "SOURCE",
        By::Destination => "DESTINATION",
        By::Address => "ADDRESS",
        By::Port => "PORT",
        By::Protocol => "PROTOCOL",
        By::Vlan => "VLAN",
        By::As => "AS",
        By::SourceAs => "SOURCE AS",
        By::DestinationAs => "DESTINATION AS",
        By::Country => "COUNTRY",
        By::Network => "NETWORK",
    }
}

fn talkers(request: &TopRequest, answer: &TopResponse, out: &Out) -> Vec<String> {
    let total = answer.total.clone().unwrap_or_default();
    let window = answer.window_s.max(1.0);
    let mut lines = vec![format!(
        "top by {}, ordered by {}, last {window:.0} s: {} flows, {} packets, {}",
        request.by,
        request.order,
        count(total.flows),
        count(total.packets),
        octets(total.octets)
    )];
    let share = |row: u64, all: u64| if all == 0 { "-".to_owned() } else { format!("{:.1} %", 100.0 * float(row) / float(all)) };
    let by = By::ALL.into_iter().find(|by| by.name() == request.by).unwrap_or(By::Address);
    let mut columns = vec![
        ("#", Align::Right),
        (rows(by), Align::Left),
        ("OCTETS", Align::Right),
        ("SHARE", Align::Right),
        ("BIT/S", Align::Right),
        ("PACKETS", Align::Right),
        ("FLOWS", Align::Right),
    ];
    // Of an address its place is told; of an AS its name; the others say themselves what they are.
    let (heading, about): (_, fn(&Place) -> String) = match by {
        By::As | By::SourceAs | By::DestinationAs => ("NAME", |place| place.as_name.clone()),
        By::Country | By::Network => ("", |_| String::new()),
        _ => ("WHERE", place::words),
    };
    let about = |entry: &TopEntry| entry.place.as_ref().map(about).unwrap_or_default();
    let told = answer.entries.iter().any(|entry| !about(entry).is_empty());
    if told {
        columns.push((heading, Align::Left));
    }
    let mut table = Table::new(&columns).leaving_out(match (told, heading) {
        (false, _) | (true, "") => &["SHARE", "FLOWS", "BIT/S"],
        (true, "NAME") => &["SHARE", "FLOWS", "BIT/S", "NAME"],
        (true, _) => &["SHARE", "FLOWS", "WHERE", "BIT/S"],
    });
    for (at, e) in answer.entries.iter().enumerate() {
        let part = match request.order.as_str() {
            "packets" => share(e.packets, total.packets),
            "flows" => share(e.flows, total.flows),
            _ => share(e.octets, total.octets),
        };
        let rate = si(float(e.octets) * 8.0 / window);
        let cells = [(at + 1).to_string(), e.value.clone(), octets(e.octets), part, rate, count(e.packets), count(e.flows)];
        table.row(cells.into_iter().chain(told.then(|| about(e))));
    }
    lines.push(String::new());
    lines.extend(table.lines(out));
    if table.is_empty() {
        lines.push("no flow's record was written in this time".to_owned());
    }
    if answer.approximate {
        lines.push(
            out.tone(Tone::Dim, "more different values than are kept: small ones may be missing, the total is exact without a filter"),
        );
    }
    if answer.lost != 0 {
        lines.push(out.tone(Tone::Warn, &format!("{} records came too fast for the control plane and are not in it", count(answer.lost))));
    }
    if answer.damaged != 0 {
        let places = count(answer.damaged);
        lines.push(out.tone(Tone::Warn, &format!("the record rings were damaged: in {places} places no record could be read")));
    }
    lines.extend(answer.warnings.iter().map(|warning| out.tone(Tone::Warn, &format!("warning: {warning}"))));
    lines.extend(answer.problems.iter().map(|problem| out.tone(Tone::Bad, problem)));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use sonde_proto::v1::TcpPerformance;

    #[test]
    fn a_flow_is_a_line() {
        let flow = Flow {
            kind: 4,
            protocol: 6,
            source_address: "10.0.0.1".into(),
            destination_address: "192.0.2.9".into(),
            source_port: 40_000,
            destination_port: 443,
            packets: 12,
            packets_reverse: 10,
            octets: 1_500,
            octets_reverse: 12_345,
            tcp_control_bits: 0x1b,
            end_reason: 3,
            tcp: Some(TcpPerformance { server_rtt_us: Some(20_000.0), client_rtt_us: Some(1500.0), ..TcpPerformance::default() }),
            ..Flow::default()
        };
        let [_, _, proto, source, destination, packets, octets, rtt, response, flags, reason, places] = cells(&flow);
        assert_eq!(places, "", "nothing is looked up");
        assert_eq!(
            [proto, source, destination, packets, octets, rtt, response, flags, reason].map(|cell| cell.to_owned()),
            ["tcp", "10.0.0.1:40000", "192.0.2.9:443", "12 > < 10", "1.50k > < 12.3k", "21.500", "", "FSPA", "end"]
        );
        assert_eq!(heading(&flow), "tcp 10.0.0.1:40000 > 192.0.2.9:443");
        let arp = Flow { kind: 2, ethernet_type: 0x0806, source_mac: "00:00:00:00:00:01".into(), ..Flow::default() };
        assert_eq!((cells(&arp)[2].as_str(), cells(&arp)[3].as_str()), ("arp", "00:00:00:00:00:01"));
    }

    #[test]
    fn protocols_are_known_by_name_and_number() {
        assert_eq!(["tcp", "UDP", "icmp6", "47"].map(protocol_number), [Ok(6), Ok(17), Ok(58), Ok(47)]);
        assert!(protocol_number("256").is_err() && protocol_number("web").is_err());
    }
}
