//! Flows as comma-separated values: the columns of `reference/flows` of the corpus, and the file before them.

use super::sink::{Sink, Table};
use super::text_writer::TextWriter;
use super::whose::{self, quoted};
use sonde_enrich::Enricher;
use sonde_packet::{Layers, MPLS_LABELS_KEPT};
use sonde_record::{Kind, NO_ICMP, NO_VLAN, NO_WSCALE, Output, RecordView, View};
use std::io::{self, Write};

/// Columns of `--table flows`, in order.
pub const FLOW_COLUMNS: &str = "file,view,start,end,src,sport,dst,dport,proto,packets_fwd,packets_rev,bytes_fwd,bytes_rev,wire_fwd,wire_rev,\
     tcp_flags_fwd,tcp_flags_rev,ttl_fwd,ttl_rev,tos_fwd,vlan,vlan_inner,mpls,smac,dmac,tunnel,tunnel_id,fragments,icmp_type,icmp_code,\
     syn_len,syn_win,syn_mss,syn_wscale\n";
/// Columns of `--table l2`: flows without an IP header.
pub const L2_COLUMNS: &str =
    "file,start,end,smac,dmac,ethertype,vlan,vlan_inner,packets_fwd,packets_rev,bytes_fwd,bytes_rev,wire_fwd,wire_rev\n";
/// Longest line of either table without the file's name: 30 numbers of 20 digits and two addresses.
const LINE_MAX: usize = 800;

/// Writes one of the tables.
#[derive(Debug)]
pub struct Csv<W: Write> {
    writer: TextWriter<W>,
    table: Table,
    /// First column of every line of this file, and what always follows it.
    prefix: Vec<u8>,
    /// Whether frames of this file have MAC addresses: a loopback's are zeros, and still addresses.
    ethernet: bool,
    /// Where addresses are looked up, if they are.
    whose: Option<Enricher>,
    fault: Option<io::Error>,
}

impl<W: Write> Csv<W> {
    /// Writes the heading.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn new(out: W, table: Table) -> io::Result<Self> {
        Self::enriched(out, table, None)
    }

    /// Writes the heading; with a table to look up addresses, each flow with an IP header has [`whose::COLUMNS`] behind the others.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn enriched(out: W, table: Table, whose: Option<Enricher>) -> io::Result<Self> {
        let mut writer = TextWriter::new(out);
        let whose = whose.filter(|_| table == Table::Flows);
        let columns = match table {
            Table::Flows | Table::TcpRtt => FLOW_COLUMNS.trim_end(),
            Table::L2 => L2_COLUMNS.trim_end(),
        };
        writer.room(LINE_MAX + whose::COLUMNS.len())?;
        writer.text(columns.as_bytes());
        writer.text(if whose.is_some() { whose::COLUMNS.as_bytes() } else { b"" });
        writer.byte(b'\n');
        Ok(Self { writer, table, prefix: Vec::new(), ethernet: false, whose, fault: None })
    }

    fn line(&mut self, record: &RecordView<'_>) -> io::Result<()> {
        let whose = self.whose.as_ref().map(|table| whose::columns(record, table)).unwrap_or_default();
        self.writer.room(LINE_MAX + self.prefix.len() + whose.len())?;
        self.writer.text(&self.prefix);
        match self.table {
            Table::Flows | Table::TcpRtt => flow(&mut self.writer, record, self.ethernet),
            Table::L2 => l2(&mut self.writer, record, self.ethernet),
        }
        self.writer.extend_line(whose.as_bytes());
        Ok(())
    }
}

impl<W: Write> Sink for Csv<W> {
    fn begin(&mut self, file: &str, ethernet: bool) {
        self.ethernet = ethernet;
        self.prefix = quoted(file).into_bytes();
        self.prefix.push(b',');
    }

    fn end(&mut self) -> io::Result<()> {
        self.fault.take().map_or(Ok(()), Err)
    }

    fn finish(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

impl<W: Write> Output for Csv<W> {
    fn put(&mut self, record: &RecordView<'_>) {
        if self.table.takes(record)
            && self.fault.is_none()
            && let Err(error) = self.line(record)
        {
            self.fault = Some(error);
        }
    }
}

/// Budget: 110 ns a line, a tenth of what `fmt` takes.
fn flow<W: Write>(writer: &mut TextWriter<W>, record: &RecordView<'_>, ethernet: bool) {
    let [packets, packets_reverse] = record.packets();
    let [octets, octets_reverse] = record.octets();
    let [wire, wire_reverse] = record.wire();
    let [flags, flags_reverse] = record.tcp_flags();
    let [ttl, ttl_reverse] = record.ttl();
    writer.text(match record.view() {
        View::First => b"outer,".as_slice(),
        View::Inner => b"inner,",
    });
    writer.time(record.start());
    writer.time(record.end());
    address(writer, record.kind(), &record.src());
    writer.number(record.sport().into());
    address(writer, record.kind(), &record.dst());
    writer.number(record.dport().into());
    writer.number(record.proto().into());
    for count in [packets, packets_reverse, octets, octets_reverse, wire, wire_reverse, flags.into(), flags_reverse.into()] {
        writer.number(count);
    }
    known(writer, ttl.into(), packets > 0);
    known(writer, ttl_reverse.into(), packets_reverse > 0);
    writer.number(record.tos().into());
    vlans(writer, record.vlan());
    let layers = record.get::<Layers>();
    let layers = layers.as_ref();
    mpls(writer, layers);
    macs(writer, record, ethernet);
    tunnels(writer, record, layers);
    writer.number(record.fragments().into());
    let [icmp_type, icmp_code] = record.icmp();
    let icmp = matches!(record.proto(), 1 | 58) && record.icmp() != NO_ICMP;
    known(writer, icmp_type.into(), icmp);
    known(writer, icmp_code.into(), icmp);
    let syn = record.syn_len() > 0;
    known(writer, record.syn_len().into(), syn);
    known(writer, record.syn_window().into(), syn);
    known(writer, record.syn_mss().into(), syn && record.syn_mss() > 0);
    known(writer, record.syn_wscale().into(), syn && record.syn_wscale() != NO_WSCALE);
    writer.end_line();
}

fn l2<W: Write>(writer: &mut TextWriter<W>, record: &RecordView<'_>, ethernet: bool) {
    writer.time(record.start());
    writer.time(record.end());
    macs(writer, record, ethernet);
    writer.ethertype(record.ethertype());
    vlans(writer, record.vlan());
    for count in [record.packets(), record.octets(), record.wire()].as_flattened() {
        writer.number(*count);
    }
    writer.end_line();
}

fn address<W: Write>(writer: &mut TextWriter<W>, kind: Kind, address: &[u8; 16]) {
    match kind {
        Kind::Ipv4 => {
            let [.., a, b, c, d] = *address;
            writer.ipv4([a, b, c, d]);
        }
        Kind::Ipv6 => writer.ipv6(address),
        Kind::Layer2 => writer.byte(b','),
    }
}

/// A number that stands for something only if `there`.
fn known<W: Write>(writer: &mut TextWriter<W>, value: u64, there: bool) {
    if there {
        writer.number(value);
    } else {
        writer.byte(b',');
    }
}

fn vlans<W: Write>(writer: &mut TextWriter<W>, ids: [u16; 2]) {
    for id in ids {
        known(writer, id.into(), id != NO_VLAN);
    }
}

/// Labels of the stack, top first, joined by "|".
fn mpls<W: Write>(writer: &mut TextWriter<W>, layers: Option<&Layers>) {
    let labels = layers.map_or([0; MPLS_LABELS_KEPT], |layers| layers.mpls);
    let count = layers.map_or(0, |layers| usize::from(layers.mpls_labels)).min(MPLS_LABELS_KEPT);
    joined(writer, b'|', labels.iter().take(count), |writer, entry| writer.digits(u64::from(*entry >> 12)));
    writer.byte(b',');
}

/// What stands between the first IP header and the last: the tunnels, outermost first, joined by "/", and the identifier of the
/// innermost that has one. An outer flow has the tunnels and not the identifier: it may carry many. Where no tunnel has one, the service
/// instance of a provider's backbone bridges.
fn tunnels<W: Write>(writer: &mut TextWriter<W>, record: &RecordView<'_>, layers: Option<&Layers>) {
    joined(writer, b'/', layers.into_iter().flat_map(Layers::tunnel_names), |writer, name| writer.text(name.as_bytes()));
    writer.byte(b',');
    if let Some((kind, id)) = layers.filter(|_| record.view() == View::Inner).and_then(|layers| layers.identified.zip(layers.tunnel_id)) {
        writer.text(kind.name().as_bytes());
        writer.byte(b'=');
        writer.digits(id.into());
    } else if let Some(tag) = layers.and_then(|layers| layers.service_instance) {
        writer.text(b"isid=");
        writer.digits(u64::from(tag & 0x00ff_ffff));
    }
    writer.byte(b',');
}

fn joined<W: Write, T>(
    writer: &mut TextWriter<W>,
    between: u8,
    values: impl Iterator<Item = T>,
    mut write: impl FnMut(&mut TextWriter<W>, T),
) {
    for (at, value) in values.enumerate() {
        if at > 0 {
            writer.byte(between);
        }
        write(writer, value);
    }
}

/// MAC addresses, of Ethernet frames only: cooked ones know one of the two, raw ones none.
fn macs<W: Write>(writer: &mut TextWriter<W>, record: &RecordView<'_>, ethernet: bool) {
    if ethernet {
        writer.mac(record.smac());
        writer.mac(record.dmac());
    } else {
        writer.text(b",,");
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use sonde_record::{Head, Record};

    fn lines(table: Table, file: &str, ethernet: bool, heads: &[Head]) -> Vec<String> {
        let records: Vec<Record> = heads.iter().copied().map(Record::new).collect();
        lines_of(table, file, ethernet, &records)
    }

    fn lines_of(table: Table, file: &str, ethernet: bool, records: &[Record]) -> Vec<String> {
        let mut out = Vec::new();
        let mut csv = Csv::new(&mut out, table).expect("memory");
        csv.begin(file, ethernet);
        records.iter().for_each(|record| record.put(&mut csv));
        csv.end().expect("memory");
        csv.finish().expect("memory");
        drop(csv);
        String::from_utf8(out).expect("text").lines().map(str::to_owned).collect()
    }

    /// A connection with a SYN, behind one VLAN tag.
    pub(in crate::cli::replay) fn tcp() -> Head {
        let mut record = Head {
            start: 1_700_000_000_000_000_001,
            end: 1_700_000_001_000_000_000,
            sport: 40_000,
            dport: 443,
            proto: 6,
            packets: [3, 2],
            octets: [180, 104],
            wire: [222, 132],
            tcp_flags: [0x1b, 0x12],
            ttl: [64, 57],
            tos: 184,
            vlan_tci: [0xa064, NO_VLAN],
            smac: [2, 0, 0, 0, 0, 1],
            dmac: [2, 0, 0, 0, 0, 2],
            syn_len: 60,
            syn_window: 64_240,
            syn_mss: 1460,
            syn_wscale: 7,
            ..Head::default()
        };
        record.src[12..].copy_from_slice(&[192, 0, 2, 1]);
        record.dst[12..].copy_from_slice(&[198, 51, 100, 20]);
        record
    }

    #[test]
    fn every_column_stands_in_its_place() {
        let seen = lines(Table::Flows, "a.pcap", true, &[tcp()]);
        assert_eq!(seen.len(), 2);
        assert_eq!(seen[0], FLOW_COLUMNS.trim_end());
        assert_eq!(
            seen[1],
            "a.pcap,outer,1700000000.000000001,1700000001.000000000,192.0.2.1,40000,198.51.100.20,443,6,3,2,180,104,222,132,27,18,64,57,\
             184,100,,,02:00:00:00:00:01,02:00:00:00:00:02,,,0,,,60,64240,1460,7"
        );
        assert_eq!(seen[1].split(',').count(), seen[0].split(',').count());
    }

    #[test]
    fn what_is_not_known_is_empty() {
        let record = Head { packets: [1, 0], syn_len: 0, vlan_tci: [NO_VLAN; 2], ..tcp() };
        let seen = lines(Table::Flows, "a.pcap", false, &[record]);
        let fields: Vec<&str> = seen[1].split(',').collect();
        let named = |name: &str| fields[seen[0].split(',').position(|c| c == name).expect("a column")];
        for column in [
            "ttl_rev",
            "vlan",
            "vlan_inner",
            "mpls",
            "smac",
            "dmac",
            "tunnel",
            "tunnel_id",
            "icmp_type",
            "icmp_code",
            "syn_len",
            "syn_wscale",
        ] {
            assert_eq!(named(column), "", "{column}");
        }
        assert_eq!((named("ttl_fwd"), named("fragments")), ("64", "0"));
    }

    #[test]
    fn a_flow_inside_tunnels_names_them() {
        let layers = Layers {
            mpls: [0x0006_4140, 0x0006_5140, 0, 0, 0, 0],
            mpls_labels: 2,
            // A VXLAN with an identifier, and a GRE without.
            tunnels: [4, 1, 0, 0],
            depth: 2,
            tunnel_id: Some(123),
            identified: Some(sonde_packet::Tunnel::Vxlan),
            ..Layers::default()
        };
        let records = [View::Inner, View::First].map(|view| Record::new(Head { view, ..tcp() }).with(&layers));
        let seen = lines_of(Table::Flows, "a.pcap", false, &records);
        assert!(seen[1].starts_with("a.pcap,inner,") && seen[2].starts_with("a.pcap,outer,"), "{seen:?}");
        assert!(seen[1].contains(",100,,100|101,,,vxlan/gre,vxlan=123,0,"), "{}", seen[1]);
        assert!(seen[2].contains(",100,,100|101,,,vxlan/gre,,0,"), "{}", seen[2]);
    }

    #[test]
    fn what_is_looked_up_stands_behind_all_other_columns() {
        let networks = vec![sonde_enrich::Network::new("198.51.100.0/24", "a, b").expect("a prefix")];
        let sources = sonde_enrich::Sources { networks, ..Default::default() };
        let table = || Enricher::load(&sources).expect("good");
        let seen = |kind: Table| {
            let mut out = Vec::new();
            let mut csv = Csv::enriched(&mut out, kind, Some(table())).expect("memory");
            csv.begin("a", true);
            [tcp(), Head { kind: Kind::Layer2, ..tcp() }].into_iter().for_each(|head| Record::new(head).put(&mut csv));
            csv.finish().expect("memory");
            drop(csv);
            String::from_utf8(out).expect("text").lines().map(str::to_owned).collect::<Vec<_>>()
        };
        let plain = lines(Table::Flows, "a", true, &[tcp()]);
        let found = seen(Table::Flows);
        assert_eq!(found[0], format!("{}{}", plain[0], whose::COLUMNS));
        assert_eq!(found[1], format!("{},,,,,,,,,,,,,,\"a, b\"", plain[1]));
        assert_eq!(seen(Table::L2)[0], L2_COLUMNS.trim_end(), "flows without an IP header have no addresses");
    }

    #[test]
    fn a_syn_without_options_has_neither_of_them() {
        let seen = lines(Table::Flows, "a", true, &[Head { syn_mss: 0, syn_wscale: NO_WSCALE, ..tcp() }]);
        assert!(seen[1].ends_with(",60,64240,,"), "{}", seen[1]);
    }

    #[test]
    fn icmp_has_type_and_code() {
        let seen = lines(Table::Flows, "a", true, &[Head { proto: 1, icmp: [3, 13], syn_len: 0, ..tcp() }]);
        assert!(seen[1].ends_with(",3,13,,,,"), "{}", seen[1]);
    }

    #[test]
    fn each_table_has_its_own_flows() {
        let records = [tcp(), Head { kind: Kind::Layer2, ethertype: 0x0806, proto: 0, ..tcp() }];
        assert_eq!(lines(Table::Flows, "a", true, &records).len(), 2);
        let seen = lines(Table::L2, "a", true, &records);
        assert_eq!(seen.len(), 2);
        assert_eq!(
            seen[1],
            "a,1700000000.000000001,1700000001.000000000,02:00:00:00:00:01,02:00:00:00:00:02,0x0806,100,,3,2,180,104,222,132"
        );
        assert_eq!(seen[1].split(',').count(), seen[0].split(',').count());
    }

    #[test]
    fn a_file_name_is_quoted_where_it_must_be() {
        assert!(lines(Table::Flows, "a,\"b\".pcap", true, &[tcp()])[1].starts_with("\"a,\"\"b\"\".pcap\",outer,"));
    }

    #[test]
    fn the_longest_line_fits() {
        let head = Head {
            kind: Kind::Ipv6,
            start: u64::MAX,
            end: u64::MAX,
            src: [0xff; 16],
            dst: [0xff; 16],
            sport: u16::MAX,
            dport: u16::MAX,
            proto: 58,
            octets: [u64::MAX; 2],
            packets: [u64::MAX; 2],
            wire: [u64::MAX; 2],
            tcp_flags: [u16::MAX; 2],
            ttl: [255; 2],
            tos: 255,
            vlan_tci: [4095; 2],
            view: View::Inner,
            fragments: u32::MAX,
            icmp: [255; 2],
            syn_len: u16::MAX,
            syn_window: u16::MAX,
            syn_mss: u16::MAX,
            syn_wscale: 254,
            ..tcp()
        };
        let layers = Layers {
            mpls: [u32::MAX; 6],
            mpls_labels: 9,
            tunnels: [3; 4],
            depth: 9,
            tunnel_id: Some(u32::MAX),
            identified: Some(sonde_packet::Tunnel::Vxlan),
            ..Layers::default()
        };
        // Enough of them to cross the end of the buffer several times.
        let seen = lines_of(Table::Flows, "a", true, &vec![Record::new(head).with(&layers); 5000]);
        assert!(seen[1].len() < LINE_MAX);
        assert_eq!(seen.len(), 5001);
        assert!(seen.iter().skip(1).all(|line| *line == seen[1]));
    }
}
