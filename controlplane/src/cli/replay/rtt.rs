//! `--table tcp_rtt`: how TCP connections performed, one line a connection, from the client's point of view.
//!
//! Lines are in the order in which connections began, so they are written when the file has been read. Records of a connection that
//! timeouts have split are lines of their own: give `--active-timeout-ms` and `--idle-timeout-ms` what the recording needs.

use super::sink::Sink;
use super::whose::quoted;
use crate::notation::{address, seconds};
use sonde_packet::Layers;
use sonde_record::fact::{TcpDirection, TcpPerformance, valid};
use sonde_record::{Output, Record, RecordView};
use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::{self, Write};

/// Columns, in order.
pub const COLUMNS: &str = "file,src,sport,dst,dport,nth,start,server_rtt,client_rtt,data_packets_fwd,data_packets_rev,payload_fwd,payload_rev,\
     retrans_fwd,retrans_rev,fast_retrans_fwd,fast_retrans_rev,spurious_fwd,spurious_rev,out_of_order_fwd,out_of_order_rev,dup_ack_fwd,\
     dup_ack_rev,lost_segment_fwd,lost_segment_rev,zero_window_fwd,zero_window_rev,keep_alive_fwd,keep_alive_rev,fin_fwd,fin_rev,rst_fwd,\
     rst_rev,tunnel\n";

/// Writes the table.
#[derive(Debug)]
pub struct Rtt<W: Write> {
    out: io::BufWriter<W>,
    file: String,
    records: Vec<(Record, TcpPerformance)>,
}

impl<W: Write> Rtt<W> {
    /// Writes the heading.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn new(out: W) -> io::Result<Self> {
        let mut out = io::BufWriter::with_capacity(256 << 10, out);
        out.write_all(COLUMNS.as_bytes())?;
        Ok(Self { out, file: String::new(), records: Vec::new() })
    }
}

impl<W: Write> Output for Rtt<W> {
    fn put(&mut self, record: &RecordView<'_>) {
        if let Some(tcp) = record.get::<TcpPerformance>() {
            self.records.push((record.into(), tcp));
        }
    }
}

impl<W: Write> Sink for Rtt<W> {
    fn begin(&mut self, file: &str, _ethernet: bool) {
        self.file = quoted(file);
    }

    fn end(&mut self) -> io::Result<()> {
        self.records.sort_by_key(|(record, _)| (record.start, record.flow_id));
        let mut nth: HashMap<(String, String), u32> = HashMap::new();
        for (record, tcp) in std::mem::take(&mut self.records) {
            let (client, server) = ends(&record, &tcp);
            // Both directions of the same ports are the same connection's.
            let key = if client <= server { (client.clone(), server.clone()) } else { (server.clone(), client.clone()) };
            let count = nth.entry(key).or_default();
            *count += 1;
            let line = line(&self.file, &client, &server, *count, &record, &tcp);
            self.out.write_all(line.as_bytes())?;
        }
        Ok(())
    }

    fn finish(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Client and server, each as "address,port".
fn ends(record: &Record, tcp: &TcpPerformance) -> (String, String) {
    let source = format!("{},{}", address(record.kind, &record.src), record.sport);
    let destination = format!("{},{}", address(record.kind, &record.dst), record.dport);
    if tcp.client == 0 { (source, destination) } else { (destination, source) }
}

fn line(file: &str, client: &str, server: &str, nth: u32, record: &Record, tcp: &TcpPerformance) -> String {
    let rtt = |bit: u64, ns: u64| if tcp.valid & bit == 0 { String::new() } else { seconds(ns) };
    let [forward, reverse] = &tcp.ways;
    let (fwd, rev) = if tcp.client == 0 { (forward, reverse) } else { (reverse, forward) };
    let mut line = format!("{file},{client},{server},{nth},{}", seconds(record.start));
    // Writing to a String cannot fail.
    let _ = write!(line, ",{},{}", rtt(valid::SERVER_RTT, tcp.server_rtt), rtt(valid::CLIENT_RTT, tcp.client_rtt));
    for value in COUNTS {
        let _ = write!(line, ",{},{}", value(fwd), value(rev));
    }
    let tunnel: Vec<_> = record.get::<Layers>().iter().flat_map(Layers::tunnel_names).collect();
    let _ = writeln!(line, ",{}", tunnel.join("/"));
    line
}

/// The counters of a direction, in the order of the columns.
const COUNTS: [fn(&TcpDirection) -> u64; 12] = [
    |way| way.data_packets.into(),
    |way| way.payload,
    |way| way.retransmitted.into(),
    |way| way.fast.into(),
    |way| way.spurious.into(),
    |way| way.out_of_order.into(),
    |way| way.duplicate_acks.into(),
    |way| way.holes.into(),
    |way| way.zero_window.into(),
    |way| way.keep_alive.into(),
    |way| way.fin_count.into(),
    |way| way.rst_count.into(),
];

#[cfg(test)]
mod tests {
    use super::*;
    use sonde_record::Head;

    fn connection(start: u64, client: u8, server_rtt: u64) -> Record {
        let mut tcp = TcpPerformance { client, server_rtt, valid: valid::SERVER_RTT, ..<_>::default() };
        tcp.ways[0].retransmitted = 3;
        let mut head = Head { start, sport: 5000, dport: 80, proto: 6, ..Head::default() };
        head.src[12..].copy_from_slice(&[192, 0, 2, 1]);
        head.dst[12..].copy_from_slice(&[192, 0, 2, 2]);
        Record::new(head).with(&tcp)
    }

    #[test]
    fn lines_are_in_order_of_time_and_the_client_is_the_source() {
        let mut out = Vec::new();
        let mut rtt = Rtt::new(&mut out).expect("memory");
        rtt.begin("a.pcap", true);
        for record in [connection(2_000_000_000, 1, 7), connection(1_000_000_000, 0, 1_500_000_000), Head::default().into()] {
            record.put(&mut rtt);
        }
        rtt.end().expect("memory");
        rtt.finish().expect("memory");
        drop(rtt);
        let text = String::from_utf8(out).expect("text");
        let lines: Vec<_> = text.lines().collect();
        let [heading, first, second] = lines.as_slice() else { panic!("{text}") };
        assert_eq!(heading.split(',').count(), first.split(',').count());
        assert!(first.starts_with("a.pcap,192.0.2.1,5000,192.0.2.2,80,1,1.000000000,1.500000000,,0,0,0,0,3,0,"), "{first}");
        assert!(second.starts_with("a.pcap,192.0.2.2,80,192.0.2.1,5000,2,2.000000000,0.000000007,,0,0,0,0,0,3,"), "{second}");
    }
}
