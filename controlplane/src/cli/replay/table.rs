//! Flows as a table for people. Its own columns join several fields; any field of the catalogue may stand beside them.

use super::chosen;
use super::sink::{Sink, Table};
use crate::cli::screen::{Align, GAP, Out, set};
use crate::cli::timing::{self, RESPONSE, RTT};
use crate::cli::value_names::reason;
use crate::notation::{address, mac, protocol};
use crate::{detail, place};
use sonde_enrich::Enricher;
use sonde_proto::v1::Place;
use sonde_record::fact::{Layers, QuicPerformance, TcpPerformance, UdpPerformance};
use sonde_record::{Kind, NO_VLAN, Output, RecordView, View};
use std::io::{self, Write};

const COLUMNS: usize = 15;
#[rustfmt::skip]
pub(super) const HEADINGS: [&str; COLUMNS] = [
    "START (UTC)", "SECONDS", "PROTO", "SOURCE", "DESTINATION", "VLAN", "PKTS", "<PKTS", "OCTETS", "<OCTETS", RTT, RESPONSE, "END", "TUNNEL",
    "WHERE",
];
/// Columns of numbers, which are set flush right.
const NUMBERS: std::ops::Range<usize> = 6..12;
const SECONDS: usize = 1;
const WHERE: usize = COLUMNS - 1;
/// What is left out where the terminal is too narrow, the first one first.
const LEAVE_OUT: [&str; 10] = ["WHERE", RESPONSE, RTT, "VLAN", "TUNNEL", "END", "SECONDS", "START (UTC)", "<PKTS", "PKTS"];
/// Columns that a flow without an IP header has nothing for.
const MEASURED: std::ops::Range<usize> = 10..12;
/// Lines that are set together: a column is as wide as its longest field among them, and never becomes narrower.
const SETTING: usize = 1000;

/// Gathers lines, aligns them, writes them.
#[derive(Debug)]
pub struct Columns<W: Write> {
    out: io::BufWriter<W>,
    table: Table,
    whose: Option<Enricher>,
    /// Fields of the catalogue that stand after the columns of the table's own.
    more: chosen::Columns,
    headings: Vec<String>,
    align: Vec<Align>,
    lines: Vec<Vec<String>>,
    widths: Vec<usize>,
    from: chosen::Origins,
    screen: Out,
    /// The columns of the heading that was printed last.
    shown: Vec<usize>,
    fault: Option<io::Error>,
}

impl<W: Write> Columns<W> {
    /// Writes to `out`; with a table to look up addresses, each flow with an IP header says what was found. `more` are the columns that
    /// were asked for and are not the table's own.
    pub(super) fn new(out: W, table: Table, whose: Option<Enricher>, more: chosen::Columns, screen: &Out) -> Self {
        let headings: Vec<String> = HEADINGS.into_iter().map(str::to_owned).chain(more.names().map(str::to_uppercase)).collect();
        let numbers = (0..COLUMNS).map(|at| at == SECONDS || NUMBERS.contains(&at)).chain(more.numbers());
        let align = numbers.map(|number| if number { Align::Right } else { Align::Left }).collect();
        let widths = headings.iter().map(String::len).collect();
        let (out, screen) = (io::BufWriter::with_capacity(256 << 10, out), screen.clone());
        let (lines, from, shown) = (Vec::new(), chosen::Origins::default(), Vec::new());
        Self { out, table, whose, more, headings, align, lines, widths, from, screen, shown, fault: None }
    }

    fn set(&mut self) -> io::Result<()> {
        for line in &self.lines {
            for (width, field) in self.widths.iter_mut().zip(line) {
                *width = field.len().max(*width);
            }
        }
        if self.lines.is_empty() {
            return Ok(());
        }
        let headings: Vec<&str> = self.headings.iter().map(String::as_str).collect();
        let mut shown = self.screen.choose(&headings, &self.widths, &LEAVE_OUT);
        // Where nothing is looked up there is nothing to say where.
        let empty = |at: usize| (self.table == Table::L2 && MEASURED.contains(&at)) || (self.whose.is_none() && at == WHERE);
        shown.retain(|at| !empty(*at));
        if shown != self.shown {
            self.shown = shown;
            self.print(&self.headings.clone())?;
        }
        for line in std::mem::take(&mut self.lines) {
            self.print(&line)?;
        }
        Ok(())
    }

    fn print(&mut self, fields: &[String]) -> io::Result<()> {
        let cells: Vec<String> = self.shown.iter().map(|at| set(&fields[*at], self.align[*at], self.widths[*at])).collect();
        writeln!(self.out, "{}", cells.join(GAP).trim_end())
    }
}

fn fields(record: &RecordView<'_>, places: Option<&[Place; 2]>) -> [String; COLUMNS] {
    let [packets, packets_reverse] = record.packets();
    let [octets, octets_reverse] = record.octets();
    let (proto, source, destination) = match record.kind() {
        Kind::Layer2 => (format!("0x{:04x}", record.ethertype()), mac(&record.smac()), mac(&record.dmac())),
        _ => (protocol(record.proto()), end(record, &record.src(), record.sport()), end(record, &record.dst(), record.dport())),
    };
    let tags: Vec<String> = record.vlan().iter().filter(|id| **id != NO_VLAN).map(u16::to_string).collect();
    let (tcp, udp, quic) = (
        record.get::<TcpPerformance>().as_ref().map(detail::tcp),
        record.get::<UdpPerformance>().as_ref().map(detail::udp),
        record.get::<QuicPerformance>().as_ref().map(detail::quic),
    );
    let [rtt, response] = timing::columns(tcp.as_ref(), udp.as_ref(), quic.as_ref());
    let span = record.end().saturating_sub(record.start());
    [
        time(record.start()),
        format!("{}.{:03}", span / 1_000_000_000, span / 1_000_000 % 1000),
        proto,
        source,
        destination,
        if tags.is_empty() { "-".to_owned() } else { tags.join(".") },
        packets.to_string(),
        packets_reverse.to_string(),
        octets.to_string(),
        octets_reverse.to_string(),
        rtt,
        response,
        reason(record.end_reason() as u32).to_owned(),
        tunnel(record),
        places.map(place::both).unwrap_or_default(),
    ]
}

/// Of a flow inside a tunnel: in which one; of a tunnel: what it is.
fn tunnel(record: &RecordView<'_>) -> String {
    let Some(layers) = record.get::<Layers>().filter(|layers| layers.depth > 0) else { return String::new() };
    let names: Vec<_> = layers.tunnel_names().collect();
    match (record.view(), layers.tunnel_id) {
        (View::First, _) => format!("is {}", names.join("/")),
        (View::Inner, None) => format!("in {}", names.join("/")),
        (View::Inner, Some(id)) => format!("in {} {id}", names.join("/")),
    }
}

/// Address and port; the address alone where the protocol has no ports.
fn end(record: &RecordView<'_>, bytes: &[u8; 16], port: u16) -> String {
    let text = address(record.kind(), bytes);
    match (sonde_packet::has_ports(record.proto()), record.kind()) {
        (false, _) => text,
        (true, Kind::Ipv6) => format!("[{text}]:{port}"),
        (true, _) => format!("{text}:{port}"),
    }
}

/// A time as `2023-11-14 22:13:20.123`, UTC.
fn time(ns: u64) -> String {
    let (seconds, ms) = (ns / 1_000_000_000, ns / 1_000_000 % 1000);
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    // Days since 1970 to a date of the Gregorian calendar, by years that begin in March (H. Hinnant, "chrono-compatible low-level
    // date algorithms"): then the leap day is the last of the year.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02}.{ms:03}", second / 3600, second / 60 % 60, second % 60)
}

impl<W: Write> Output for Columns<W> {
    fn put(&mut self, record: &RecordView<'_>) {
        if !self.table.takes(record) || self.fault.is_some() {
            return;
        }
        let places = self.whose.as_ref().and_then(|table| place::ends(record, table));
        let more = self.more.cells(record, &self.from, places.as_ref());
        self.lines.push(fields(record, places.as_ref()).into_iter().chain(more).collect());
        if self.lines.len() >= SETTING
            && let Err(error) = self.set()
        {
            self.fault = Some(error);
        }
    }
}

impl<W: Write> Sink for Columns<W> {
    fn begin(&mut self, file: &str, ethernet: bool) {
        self.from.begin(file, ethernet);
    }

    fn end(&mut self) -> io::Result<()> {
        self.fault.take().map_or(Ok(()), Err)
    }

    fn finish(&mut self) -> io::Result<()> {
        self.set()?;
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sonde_record::fact::{TcpPerformance, valid};
    use sonde_record::{Head, Record};

    #[test]
    fn dates() {
        for (seconds, text) in [
            (0, "1970-01-01 00:00:00.000"),
            (951_782_399, "2000-02-28 23:59:59.000"),
            (951_868_799, "2000-02-29 23:59:59.000"),
            (951_868_800, "2000-03-01 00:00:00.000"),
            (1_700_000_000, "2023-11-14 22:13:20.000"),
            (4_107_542_400, "2100-03-01 00:00:00.000"),
        ] {
            assert_eq!(time(seconds * 1_000_000_000), text);
        }
    }

    #[test]
    fn a_flow_without_an_ip_header_has_no_columns_of_performance() {
        let mut out = Vec::new();
        let mut table = Columns::new(&mut out, Table::L2, None, chosen::Columns::default(), &Out::new(false, true, &[]).without_width());
        Record::new(Head { kind: Kind::Layer2, ..Head::default() }).put(&mut table);
        table.finish().expect("memory");
        drop(table);
        let text = String::from_utf8(out).expect("text");
        assert!(text.contains("<OCTETS  END") && text.contains("idle"), "{text}");
    }

    #[test]
    fn fields_of_the_catalogue_stand_beside_the_columns_of_the_table() {
        let asked = ["destination_port", "octets", "ttl"].map(str::to_owned);
        let more = chosen::Columns::named(["destination_port", "ttl"]).expect("fields");
        let mut out = Vec::new();
        let mut table = Columns::new(&mut out, Table::Flows, None, more, &Out::new(false, true, &asked));
        Record::new(Head { proto: 6, dport: 443, packets: [1, 0], octets: [60, 0], ttl: [64, 0], ..Head::default() }).put(&mut table);
        table.finish().expect("memory");
        drop(table);
        assert_eq!(String::from_utf8(out).expect("text"), "DESTINATION_PORT  OCTETS  TTL\n             443      60   64\n");
    }

    #[test]
    fn columns_are_aligned() {
        let mut out = Vec::new();
        let mut table = Columns::new(&mut out, Table::Flows, None, chosen::Columns::default(), &Out::new(false, true, &[]).without_width());
        let mut head = Head { proto: 6, sport: 1, dport: 443, packets: [1, 12_345_678], vlan_tci: [NO_VLAN; 2], ..Head::default() };
        let valid = valid::SERVER_RTT | valid::CLIENT_RTT;
        let tcp = TcpPerformance { valid, server_rtt: 20_000_000, client_rtt: 3_456_000, ..TcpPerformance::default() };
        Record::new(head).with(&tcp).put(&mut table);
        head.proto = 1;
        head.vlan_tci = [100, 7];
        head.end = 1_234_567_890;
        Record::new(head).put(&mut table);
        Record::new(Head { kind: Kind::Layer2, ..head }).put(&mut table);
        let layers = Layers { tunnels: [4, 0, 0, 0], depth: 1, tunnel_id: Some(7), ..Layers::default() };
        Record::new(Head { view: View::Inner, ..head }).with(&layers).put(&mut table);
        Record::new(head).with(&layers).put(&mut table);
        table.finish().expect("memory");
        drop(table);
        assert_eq!(
            String::from_utf8(out).expect("text"),
            "\
START (UTC)              SECONDS  PROTO  SOURCE     DESTINATION  VLAN   PKTS     <PKTS  OCTETS  <OCTETS  RTT MS  RESP MS  END   TUNNEL
1970-01-01 00:00:00.000    0.000  tcp    0.0.0.0:1  0.0.0.0:443  -         1  12345678       0        0  23.456           idle
1970-01-01 00:00:00.000    1.234  icmp   0.0.0.0    0.0.0.0      100.7     1  12345678       0        0                   idle
1970-01-01 00:00:00.000    1.234  icmp   0.0.0.0    0.0.0.0      100.7     1  12345678       0        0                   idle  in vxlan 7
1970-01-01 00:00:00.000    1.234  icmp   0.0.0.0    0.0.0.0      100.7     1  12345678       0        0                   idle  is vxlan
"
        );
    }
}
