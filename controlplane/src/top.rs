//! The largest talkers of the last five minutes, in bounded memory.
//!
//! Every second has one table for each question that can be asked (by source, by port, ...) and one of whole flows, from which
//! questions with a filter are answered. A table that grows past its limit keeps its largest rows and says that it was cut.
//! Worst case: 300 seconds of [`FLOW_ROWS`] and six times [`VALUE_ROWS`] rows of 80 bytes, about 120 MB; a quiet link needs little.

use crate::filter::{Filter, has_ports};
use crate::flow;
use sonde_flow::record::{Kind, NO_VLAN, Record};
use sonde_proto::v1::{TopEntry, TopResponse};
use std::cmp::Reverse;
use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// Longest window, in seconds.
pub(crate) const WINDOW_S: u32 = 300;
/// Flows kept of one second.
pub(crate) const FLOW_ROWS: usize = 2048;
/// Addresses, ports and so on kept of one second, for each kind of question.
pub(crate) const VALUE_ROWS: usize = 512;

/// What is summed up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    octets: u64,
    packets: u64,
    flows: u64,
}

impl Counts {
    fn of(record: &Record) -> Self {
        let ([o, or], [p, pr]) = (record.octets, record.packets);
        Self { octets: o.saturating_add(or), packets: p.saturating_add(pr), flows: 1 }
    }

    fn add(&mut self, other: Self) {
        self.octets = self.octets.saturating_add(other.octets);
        self.packets = self.packets.saturating_add(other.packets);
        self.flows = self.flows.saturating_add(other.flows);
    }

    fn entry(self, value: String) -> TopEntry {
        TopEntry { value, octets: self.octets, packets: self.packets, flows: self.flows, place: None }
    }
}

/// What rows are grouped by. The discriminant is the index of a second's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub(crate) enum By {
    /// The whole key: addresses, ports, protocol, VLAN.
    Flow,
    /// Source address (a MAC address where there is no IP).
    Source,
    /// Destination address.
    Destination,
    /// Source and destination address: a flow counts for both.
    Address,
    /// Source and destination port: a flow counts for both.
    Port,
    /// IANA protocol.
    Protocol,
    /// VLAN of the first packet, outer.
    Vlan,
}

const TABLES: usize = By::Vlan as usize + 1;

impl By {
    /// Every one, in the order of their tables.
    pub(crate) const ALL: [Self; TABLES] =
        [Self::Flow, Self::Source, Self::Destination, Self::Address, Self::Port, Self::Protocol, Self::Vlan];

    /// Its name in the API.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Flow => "flow",
            Self::Source => "source",
            Self::Destination => "destination",
            Self::Address => "address",
            Self::Port => "port",
            Self::Protocol => "protocol",
            Self::Vlan => "vlan",
        }
    }

    fn rows(self) -> usize {
        if self == Self::Flow { FLOW_ROWS } else { VALUE_ROWS }
    }

    /// The values of a record: none, one, or two when both ends count.
    fn values(self, r: &Record) -> [Option<Value>; 2] {
        let both = |a: Value, b: Value| [Some(a), (a != b).then_some(b)];
        match self {
            Self::Flow => [Some(Value::Flow(FlowKey::of(r))), None],
            Self::Source => [Some(Value::source(r)), None],
            Self::Destination => [Some(Value::destination(r)), None],
            Self::Address => both(Value::source(r), Value::destination(r)),
            Self::Port if has_ports(r) => both(Value::Number(r.sport), Value::Number(r.dport)),
            Self::Port => [None, None],
            Self::Protocol if r.kind == Kind::Layer2 => [Some(Value::Ethertype(r.ethertype)), None],
            Self::Protocol => [Some(Value::Protocol(r.proto)), None],
            Self::Vlan => {
                let [outer, _] = r.vlan();
                [Some(Value::Number(outer)), None]
            }
        }
    }
}

/// What rows are ordered by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Octets of both directions.
    Octets,
    /// Packets of both directions.
    Packets,
    /// Records.
    Flows,
}

impl Order {
    fn of(self, counts: &Counts) -> u64 {
        match self {
            Self::Octets => counts.octets,
            Self::Packets => counts.packets,
            Self::Flows => counts.flows,
        }
    }
}

/// The key of a flow as far as filters and readers want it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct FlowKey {
    kind: Kind,
    proto: u8,
    vlan: u16,
    ports: [u16; 2],
    ethertype: u16,
    ends: [[u8; 16]; 2],
}

impl FlowKey {
    fn of(r: &Record) -> Self {
        let [vlan, _] = r.vlan();
        Self {
            kind: r.kind,
            proto: r.proto,
            vlan,
            ports: [r.sport, r.dport],
            ethertype: r.ethertype,
            ends: [end(r, &r.src, &r.smac), end(r, &r.dst, &r.dmac)],
        }
    }

    /// A record with this key and these sums, for a filter to look at.
    fn record(&self, counts: &Counts) -> Record {
        let ([sport, dport], [src, dst]) = (self.ports, self.ends);
        let mut record = Record {
            kind: self.kind,
            proto: self.proto,
            vlan_tci: [self.vlan, NO_VLAN],
            ethertype: self.ethertype,
            sport,
            dport,
            octets: [counts.octets, 0],
            packets: [counts.packets, 0],
            ..Record::default()
        };
        if self.kind == Kind::Layer2 {
            (record.smac, record.dmac) = (mac_of(&src), mac_of(&dst));
        } else {
            (record.src, record.dst) = (src, dst);
        }
        record
    }
}

/// The address of one end: of the network, or of the link where there is no network.
fn end(record: &Record, address: &[u8; 16], mac: &[u8; 6]) -> [u8; 16] {
    if record.kind != Kind::Layer2 {
        return *address;
    }
    let mut bytes = [0; 16];
    if let Some(tail) = bytes.last_chunk_mut::<6>() {
        *tail = *mac;
    }
    bytes
}

fn mac_of(end: &[u8; 16]) -> [u8; 6] {
    end.last_chunk::<6>().copied().unwrap_or_default()
}

fn end_text(kind: Kind, end: &[u8; 16]) -> String {
    if kind == Kind::Layer2 { flow::mac(&mac_of(end)) } else { flow::address(kind, end) }
}

/// A value rows are grouped by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Value {
    Flow(FlowKey),
    Address(Kind, [u8; 16]),
    Number(u16),
    Protocol(u8),
    Ethertype(u16),
}

impl Value {
    fn source(r: &Record) -> Self {
        Self::Address(r.kind, end(r, &r.src, &r.smac))
    }

    fn destination(r: &Record) -> Self {
        Self::Address(r.kind, end(r, &r.dst, &r.dmac))
    }

    fn text(&self, by: By) -> String {
        match self {
            Self::Number(NO_VLAN) if by == By::Vlan => "untagged".to_owned(),
            Self::Number(n) => n.to_string(),
            Self::Protocol(p) => flow::protocol(*p),
            Self::Ethertype(e) => format!("0x{e:04x}"),
            Self::Address(kind, bytes) => end_text(*kind, bytes),
            Self::Flow(k) => {
                let ([a, b], [sport, dport]) = (&k.ends, k.ports);
                let protocol = if k.kind == Kind::Layer2 { format!("0x{:04x}", k.ethertype) } else { flow::protocol(k.proto) };
                let ported = has_ports(&k.record(&Counts::default()));
                let show = |end: &[u8; 16], port: u16| match (ported, k.kind) {
                    (false, _) => end_text(k.kind, end),
                    (true, Kind::Ipv6) => format!("[{}]:{port}", end_text(k.kind, end)),
                    (true, _) => format!("{}:{port}", end_text(k.kind, end)),
                };
                let vlan = if k.vlan == NO_VLAN { String::new() } else { format!(" vlan {}", k.vlan) };
                format!("{protocol} {} > {}{vlan}", show(a, sport), show(b, dport))
            }
        }
    }
}

/// One question's rows of one second.
#[derive(Clone, Debug, Default)]
struct Table {
    rows: HashMap<Value, Counts>,
    cut: bool,
}

impl Table {
    fn add(&mut self, value: Value, counts: Counts, limit: usize) {
        match self.rows.entry(value) {
            Entry::Occupied(mut row) => row.get_mut().add(counts),
            Entry::Vacant(place) => {
                place.insert(counts);
                // Twice the limit before anything is thrown away: sorting out costs little for each row then.
                if self.rows.len() >= 2 * limit {
                    self.keep_largest(limit);
                }
            }
        }
    }

    /// Keeps `limit` rows: half of them the largest by octets, and a quarter each by packets and by flows.
    fn keep_largest(&mut self, limit: usize) {
        if self.rows.len() <= limit {
            return;
        }
        self.cut = true;
        let mut rest: Vec<(Value, Counts)> = self.rows.drain().collect();
        for (order, share) in [(Order::Octets, limit / 2), (Order::Packets, limit / 4), (Order::Flows, limit / 4)] {
            if rest.len() > share {
                rest.select_nth_unstable_by_key(share, |(_, c)| Reverse(order.of(c)));
            }
            let kept = share.min(rest.len());
            self.rows.extend(rest.drain(..kept));
        }
    }
}

/// One second of records.
#[derive(Clone, Debug, Default)]
struct Second {
    at: u64,
    tables: [Table; TABLES],
    total: Counts,
    lost: u64,
}

/// A question.
#[derive(Clone, Debug)]
pub(crate) struct Query {
    /// Which records.
    pub filter: Filter,
    /// Grouped by.
    pub by: By,
    /// Ordered by.
    pub order: Order,
    /// Rows wanted.
    pub limit: usize,
    /// Seconds back from now.
    pub window_s: u32,
}

/// The last [`WINDOW_S`] seconds.
#[derive(Debug)]
pub(crate) struct Window {
    /// When the first record could have been seen, Unix seconds.
    since: u64,
    open: Second,
    closed: VecDeque<Arc<Second>>,
}

/// What a question is answered from, taken out of the window so that its answer holds nobody up.
pub(crate) struct Snapshot {
    since: u64,
    now: u64,
    seconds: Vec<Arc<Second>>,
}

impl Window {
    /// An empty window that begins at `now` (Unix seconds).
    pub(crate) fn new(now: u64) -> Self {
        Self { since: now, open: Second { at: now, ..Second::default() }, closed: VecDeque::new() }
    }

    /// Takes a record that was read at `now`.
    pub(crate) fn add(&mut self, now: u64, record: &Record) {
        self.turn(now);
        let counts = Counts::of(record);
        self.open.total.add(counts);
        for (by, table) in By::ALL.into_iter().zip(&mut self.open.tables) {
            for value in by.values(record).into_iter().flatten() {
                table.add(value, counts, by.rows());
            }
        }
    }

    /// Takes note of records that were overwritten before they could be read.
    pub(crate) fn lost(&mut self, now: u64, records: u64) {
        self.turn(now);
        self.open.lost = self.open.lost.saturating_add(records);
    }

    /// Closes the open second when another has begun. A clock that steps back goes on in the open one.
    fn turn(&mut self, now: u64) {
        if now <= self.open.at {
            return;
        }
        let mut done = std::mem::replace(&mut self.open, Second { at: now, ..Second::default() });
        if done.total.flows != 0 || done.lost != 0 {
            for (by, table) in By::ALL.into_iter().zip(&mut done.tables) {
                table.keep_largest(by.rows());
                table.rows.shrink_to_fit();
            }
            self.closed.push_back(Arc::new(done));
        }
        while self.closed.front().is_some_and(|s| s.at + u64::from(WINDOW_S) < now) {
            self.closed.pop_front();
        }
    }

    /// The seconds of a window that ends at `now`.
    pub(crate) fn snapshot(&mut self, now: u64, window_s: u32) -> Snapshot {
        self.turn(now);
        let from = now.saturating_sub(u64::from(window_s));
        let mut seconds: Vec<Arc<Second>> = self.closed.iter().filter(|s| s.at >= from).map(Arc::clone).collect();
        if self.open.total.flows != 0 || self.open.lost != 0 {
            seconds.push(Arc::new(self.open.clone()));
        }
        Snapshot { since: self.since.max(from), now, seconds }
    }
}

impl Snapshot {
    /// Answers a question.
    pub(crate) fn top(&self, query: &Query) -> TopResponse {
        let mut sums: HashMap<Value, Counts> = HashMap::new();
        let mut total = Counts::default();
        let (mut lost, mut approximate) = (0u64, false);
        for second in &self.seconds {
            lost = lost.saturating_add(second.lost);
            if query.filter.is_empty() {
                total.add(second.total);
                let table = &second.tables[query.by as usize];
                approximate |= table.cut;
                for (value, counts) in &table.rows {
                    sums.entry(*value).or_default().add(*counts);
                }
                continue;
            }
            let flows = &second.tables[By::Flow as usize];
            approximate |= flows.cut;
            for (value, counts) in &flows.rows {
                let Value::Flow(key) = value else { continue };
                let record = key.record(counts);
                if query.filter.passes(&record) {
                    total.add(*counts);
                    for value in query.by.values(&record).into_iter().flatten() {
                        sums.entry(value).or_default().add(*counts);
                    }
                }
            }
        }
        let mut rows: Vec<(Value, Counts)> = sums.into_iter().collect();
        if rows.len() > query.limit {
            rows.select_nth_unstable_by_key(query.limit, |(_, c)| Reverse(query.order.of(c)));
            rows.truncate(query.limit);
        }
        let mut entries: Vec<TopEntry> = rows.into_iter().map(|(v, c)| c.entry(v.text(query.by))).collect();
        entries.sort_by(|a, b| key(query.order, b).cmp(&key(query.order, a)).then_with(|| a.value.cmp(&b.value)));
        let seen = u32::try_from(self.now.saturating_sub(self.since)).unwrap_or(u32::MAX).max(1);
        TopResponse { entries, total: Some(total.entry("total".to_owned())), lost, window_s: f64::from(seen), approximate }
    }
}

fn key(order: Order, e: &TopEntry) -> u64 {
    order.of(&Counts { octets: e.octets, packets: e.packets, flows: e.flows })
}

#[cfg(test)]
mod tests {
    use super::*;
    use sonde_proto::v1::FlowFilter;

    fn record(source: u32, dport: u16, octets: u64) -> Record {
        let mut r = Record {
            proto: 17,
            sport: 1000,
            dport,
            octets: [octets, 1],
            packets: [1, 1],
            vlan_tci: [NO_VLAN, NO_VLAN],
            ..Record::default()
        };
        r.src[12..].copy_from_slice(&source.to_be_bytes());
        r.dst[12..].copy_from_slice(&[192, 0, 2, 1]);
        r
    }

    fn ask(window: &mut Window, now: u64, by: By, order: Order, limit: usize) -> TopResponse {
        let query = Query { filter: Filter::default(), by, order, limit, window_s: 60 };
        window.snapshot(now, 60).top(&query)
    }

    #[test]
    fn rows_are_summed_over_seconds_and_ordered() {
        let mut window = Window::new(1000);
        for (now, source, octets) in [(1000, 0x0a00_0001, 100), (1001, 0x0a00_0002, 250), (1002, 0x0a00_0001, 200)] {
            window.add(now, &record(source, 53, octets));
        }
        let answer = ask(&mut window, 1002, By::Source, Order::Octets, 10);
        let rows: Vec<(&str, u64, u64)> = answer.entries.iter().map(|e| (e.value.as_str(), e.octets, e.flows)).collect();
        assert_eq!(rows, [("10.0.0.1", 302, 2), ("10.0.0.2", 251, 1)]);
        let total = answer.total.expect("a total");
        assert_eq!((total.octets, total.packets, total.flows), (553, 6, 3));
        assert!(!answer.approximate);
        let flow = &ask(&mut window, 1002, By::Flow, Order::Octets, 1).entries;
        assert_eq!(flow[0].value, "udp 10.0.0.1:1000 > 192.0.2.1:53");
        let port: Vec<String> = ask(&mut window, 1002, By::Port, Order::Flows, 9).entries.into_iter().map(|e| e.value).collect();
        assert_eq!(port, ["1000", "53"]);
        assert_eq!(ask(&mut window, 1002, By::Vlan, Order::Packets, 9).entries[0].value, "untagged");
    }

    #[test]
    fn old_seconds_leave_the_window() {
        let mut window = Window::new(1000);
        window.add(1000, &record(1, 53, 100));
        window.lost(1000, 7);
        assert_eq!(ask(&mut window, 1060, By::Source, Order::Octets, 10).lost, 7);
        let later = ask(&mut window, 1061, By::Source, Order::Octets, 10);
        assert_eq!((later.entries.len(), later.lost, later.window_s), (0, 0, 60.0));
        window.add(2000, &record(1, 53, 100));
        assert!(window.closed.is_empty(), "seconds older than the longest window are freed");
    }

    #[test]
    fn a_flood_of_values_is_cut_and_says_so_but_the_large_ones_stay() {
        let mut window = Window::new(5);
        for n in 0..50_000u32 {
            window.add(5, &record(n + 1, 80, 10));
            if n % 100 == 0 {
                window.add(5, &record(0xc0a8_0001, 443, 10_000));
            }
        }
        let answer = ask(&mut window, 6, By::Source, Order::Octets, 1);
        assert!(answer.approximate);
        assert_eq!((answer.entries[0].value.as_str(), answer.entries[0].flows), ("192.168.0.1", 500));
        assert_eq!(answer.total.expect("a total").flows, 50_500, "the total is exact");
        assert!(window.closed.iter().all(|s| s.tables.iter().all(|t| t.rows.len() <= FLOW_ROWS)));
        assert!(!ask(&mut window, 6, By::Port, Order::Octets, 1).approximate, "three ports are no flood");
    }

    #[test]
    fn a_filter_is_answered_from_the_flows() {
        let mut window = Window::new(5);
        window.add(5, &record(0x0a00_0001, 53, 100));
        window.add(5, &record(0x0b00_0001, 53, 900));
        let filter = Filter::new(Some(&FlowFilter { address: "10.0.0.0/8".into(), ..FlowFilter::default() })).expect("good");
        let query = Query { filter, by: By::Destination, order: Order::Octets, limit: 10, window_s: 60 };
        let answer = window.snapshot(5, 60).top(&query);
        assert_eq!(answer.entries.len(), 1);
        assert_eq!((answer.entries[0].value.as_str(), answer.entries[0].octets), ("192.0.2.1", 101));
        assert_eq!(answer.total.expect("a total").flows, 1);
    }
}
