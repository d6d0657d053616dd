//! The largest talkers of the last five minutes, in bounded memory.
//!
//! Every second has one table for each question that can be asked (by source, by port, ...) and one of whole flows, from which
//! questions with a filter are answered. A table that grows past its limit keeps its largest rows and says that it was cut.
//! Worst case: 300 seconds of [`FLOW_ROWS`] and eleven times [`VALUE_ROWS`] rows of 80 bytes, about 180 MB; a quiet link needs little.
//!
//! Not here: what rows are grouped by (`top_keys`).

use crate::filter::Filter;
use crate::top_keys::{By, TABLES, Value, ends};
use sonde_enrich::Enricher;
use sonde_proto::v1::{Place, TopEntry, TopResponse};
use sonde_record::{Head, Record, RecordView};
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
    fn of(record: &RecordView<'_>) -> Self {
        let ([o, or], [p, pr]) = (record.octets(), record.packets());
        Self { octets: o.saturating_add(or), packets: p.saturating_add(pr), flows: 1 }
    }

    fn add(&mut self, other: Self) {
        self.octets = self.octets.saturating_add(other.octets);
        self.packets = self.packets.saturating_add(other.packets);
        self.flows = self.flows.saturating_add(other.flows);
    }

    fn entry(self, value: String, place: Option<Place>) -> TopEntry {
        TopEntry { value, octets: self.octets, packets: self.packets, flows: self.flows, place }
    }
}

/// Rows kept of one second.
fn rows(by: By) -> usize {
    if by == By::Flow { FLOW_ROWS } else { VALUE_ROWS }
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
    damaged: u64,
}

impl Second {
    fn is_empty(&self) -> bool {
        self.total.flows == 0 && self.lost == 0 && self.damaged == 0
    }
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
    problems: Vec<String>,
}

/// What a question is answered from, taken out of the window so that its answer holds nobody up.
pub(crate) struct Snapshot {
    since: u64,
    now: u64,
    seconds: Vec<Arc<Second>>,
    problems: Vec<String>,
}

impl Window {
    /// An empty window that begins at `now` (Unix seconds).
    pub(crate) fn new(now: u64) -> Self {
        Self { since: now, open: Second { at: now, ..Second::default() }, closed: VecDeque::new(), problems: Vec::new() }
    }

    /// Takes a record that was read at `now`. Its ends are looked up in `lookups`.
    pub(crate) fn add(&mut self, now: u64, record: &RecordView<'_>, lookups: Option<&Enricher>) {
        self.turn(now);
        let counts = Counts::of(record);
        self.open.total.add(counts);
        let ends = ends(record, lookups);
        for (by, table) in By::ALL.into_iter().zip(&mut self.open.tables) {
            for value in by.values(record, ends.as_ref()).into_iter().flatten() {
                table.add(value, counts, rows(by));
            }
        }
    }

    /// Takes note of records that were lost before they could be read, and of places where none could be.
    pub(crate) fn lost(&mut self, now: u64, records: u64, damaged: u64) {
        self.turn(now);
        self.open.lost = self.open.lost.saturating_add(records);
        self.open.damaged = self.open.damaged.saturating_add(damaged);
    }

    /// Takes note of the rings that cannot be read, as long as they cannot.
    pub(crate) fn problems(&mut self, problems: &[String]) {
        problems.clone_into(&mut self.problems);
    }

    /// Closes the open second when another has begun. A clock that steps back goes on in the open one.
    fn turn(&mut self, now: u64) {
        if now <= self.open.at {
            return;
        }
        let mut done = std::mem::replace(&mut self.open, Second { at: now, ..Second::default() });
        if !done.is_empty() {
            for (by, table) in By::ALL.into_iter().zip(&mut done.tables) {
                table.keep_largest(rows(by));
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
        if !self.open.is_empty() {
            seconds.push(Arc::new(self.open.clone()));
        }
        Snapshot { since: self.since.max(from), now, seconds, problems: self.problems.clone() }
    }
}

impl Snapshot {
    /// Answers a question. With a filter the ends of flows are looked up in `lookups`, without one they were when the flow came.
    pub(crate) fn top(&self, query: &Query, lookups: Option<&Enricher>) -> TopResponse {
        let mut sums: HashMap<Value, Counts> = HashMap::new();
        let mut total = Counts::default();
        let (mut lost, mut damaged, mut approximate) = (0u64, 0u64, false);
        for second in &self.seconds {
            lost = lost.saturating_add(second.lost);
            damaged = damaged.saturating_add(second.damaged);
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
                let record = Record::new(Head { octets: [counts.octets, 0], packets: [counts.packets, 0], ..key.head() });
                let Some(record) = record.view() else { continue };
                if query.filter.passes(&record, lookups) {
                    total.add(*counts);
                    let ends = if query.by.is_looked_up() { ends(&record, lookups) } else { None };
                    for value in query.by.values(&record, ends.as_ref()).into_iter().flatten() {
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
        let mut entries: Vec<TopEntry> = rows.into_iter().map(|(v, c)| c.entry(v.text(query.by), v.place())).collect();
        entries.sort_by(|a, b| key(query.order, b).cmp(&key(query.order, a)).then_with(|| a.value.cmp(&b.value)));
        let seen = u32::try_from(self.now.saturating_sub(self.since)).unwrap_or(u32::MAX).max(1);
        TopResponse {
            entries,
            total: Some(total.entry("total".to_owned(), None)),
            lost,
            window_s: f64::from(seen),
            approximate,
            damaged,
            problems: self.problems.clone(),
            warnings: query.filter.warnings().to_vec(),
        }
    }
}

fn key(order: Order, e: &TopEntry) -> u64 {
    order.of(&Counts { octets: e.octets, packets: e.packets, flows: e.flows })
}

#[cfg(test)]
mod tests {
    use super::*;
    use sonde_enrich::{Network, Sources};
    use sonde_proto::v1::FlowFilter;
    use sonde_record::NO_VLAN;

    fn record(source: u32, dport: u16, octets: u64) -> Record {
        let mut r =
            Head { proto: 17, sport: 1000, dport, octets: [octets, 1], packets: [1, 1], vlan_tci: [NO_VLAN, NO_VLAN], ..Head::default() };
        r.src[12..].copy_from_slice(&source.to_be_bytes());
        r.dst[12..].copy_from_slice(&[192, 0, 2, 1]);
        r.into()
    }

    fn add(window: &mut Window, now: u64, record: &Record, lookups: Option<&Enricher>) {
        window.add(now, &record.view().expect("a record"), lookups);
    }

    fn ask(window: &mut Window, now: u64, by: By, order: Order, limit: usize) -> TopResponse {
        let query = Query { filter: Filter::default(), by, order, limit, window_s: 60 };
        window.snapshot(now, 60).top(&query, None)
    }

    #[test]
    fn rows_are_summed_over_seconds_and_ordered() {
        let mut window = Window::new(1000);
        for (now, source, octets) in [(1000, 0x0a00_0001, 100), (1001, 0x0a00_0002, 250), (1002, 0x0a00_0001, 200)] {
            add(&mut window, now, &record(source, 53, octets), None);
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
        add(&mut window, 1000, &record(1, 53, 100), None);
        window.lost(1000, 7, 0);
        assert_eq!(ask(&mut window, 1060, By::Source, Order::Octets, 10).lost, 7);
        let later = ask(&mut window, 1061, By::Source, Order::Octets, 10);
        assert_eq!((later.entries.len(), later.lost, later.window_s), (0, 0, 60.0));
        add(&mut window, 2000, &record(1, 53, 100), None);
        assert!(window.closed.is_empty(), "seconds older than the longest window are freed");
    }

    #[test]
    fn a_flood_of_values_is_cut_and_says_so_but_the_large_ones_stay() {
        let mut window = Window::new(5);
        for n in 0..50_000u32 {
            add(&mut window, 5, &record(n + 1, 80, 10), None);
            if n % 100 == 0 {
                add(&mut window, 5, &record(0xc0a8_0001, 443, 10_000), None);
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
        add(&mut window, 5, &record(0x0a00_0001, 53, 100), None);
        add(&mut window, 5, &record(0x0b00_0001, 53, 900), None);
        let filter = Filter::new(Some(&FlowFilter { address: "10.0.0.0/8".into(), ..FlowFilter::default() }), false).expect("good");
        let query = Query { filter, by: By::Destination, order: Order::Octets, limit: 10, window_s: 60 };
        let answer = window.snapshot(5, 60).top(&query, None);
        assert_eq!(answer.entries.len(), 1);
        assert_eq!((answer.entries[0].value.as_str(), answer.entries[0].octets), ("192.0.2.1", 101));
        assert_eq!(answer.total.expect("a total").flows, 1);
    }

    #[test]
    fn what_is_looked_up_is_summed_up_by_the_table_of_its_time() {
        let table = |name: &str| {
            let networks = vec![Network::new("10.0.0.0/8", name).expect("a prefix")];
            Enricher::load(&Sources { networks, ..Sources::default() }).expect("nothing to read")
        };
        let (before, after) = (table("before"), table("after"));
        let mut window = Window::new(5);
        add(&mut window, 5, &record(0x0a00_0001, 53, 100), Some(&before));
        add(&mut window, 5, &record(0x0b00_0001, 53, 900), Some(&before));
        add(&mut window, 5, &record(0x0a00_0002, 80, 300), Some(&after));
        let rows = |answer: TopResponse| -> Vec<(String, u64)> { answer.entries.into_iter().map(|e| (e.value, e.octets)).collect() };
        let plain = ask(&mut window, 5, By::Network, Order::Octets, 10);
        assert_eq!((plain.total.as_ref().map(|total| total.flows), plain.entries[0].place.is_some()), (Some(3), true));
        assert_eq!(rows(plain), [("after".to_owned(), 301), ("before".to_owned(), 101)]);
        assert_eq!(rows(ask(&mut window, 5, By::SourceAs, Order::Octets, 10)), [("unknown".to_owned(), 1303)]);
        let filter = Filter::new(Some(&FlowFilter { port: Some(53), ..FlowFilter::default() }), false).expect("good");
        let query = Query { filter, by: By::Network, order: Order::Octets, limit: 10, window_s: 60 };
        let filtered = |lookups| rows(window.snapshot(5, 60).top(&query, lookups));
        let mut filtered = filtered;
        assert_eq!(filtered(Some(&after)), [("after".to_owned(), 101)], "as it is looked up now");
        assert_eq!(filtered(None), []);
    }
}
