//! What was counted, printed when the dataplane stops.

use std::fmt::{self, Display};

use sonde_stats::{BlockView, Kind};

/// Beginning of the names of counters that are reasons of the balance.
const REASON: &str = "not_metered.";

/// The counters of a dataplane's life.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Packets taken from the ports.
    pub received: u64,
    /// Packets metered into a flow.
    pub metered: u64,
    /// Packets not metered, by reason; only reasons that occurred.
    pub reasons: Vec<(String, u64)>,
    /// Flows made.
    pub flows: u64,
    /// Records by why they were written; only those that occurred.
    pub records: Vec<(String, u64)>,
    /// Of each exporter: name, records sent, records lost.
    pub exporters: Vec<(String, u64, u64)>,
    /// Packets the dispatcher dropped because a worker's ring was full.
    pub dispatch_dropped: u64,
    /// Of each port: name, packets dropped before they were received (`imissed` and `rx_nombuf`); `None` where its driver does not know.
    pub dropped: Vec<(String, Option<u64>)>,
}

impl Summary {
    /// Adds up the blocks of a stats segment.
    pub fn of(blocks: &[BlockView]) -> Self {
        let mut summary = Self::default();
        for block in blocks {
            match block.kind {
                Kind::Worker => summary.add_worker(block),
                Kind::Exporter => {
                    let count = |name| block.counter(name).unwrap_or(0);
                    summary.exporters.push((block.name.clone(), count("records"), count("lost_ring") + count("lost_send")));
                }
                Kind::Port => {
                    let count = |name| block.counter(name);
                    let dropped = count("imissed").map(|missed| missed + count("rx_nombuf").unwrap_or(0));
                    summary.dropped.push((block.name.clone(), dropped));
                }
                Kind::Process => {}
            }
        }
        summary
    }

    fn add_worker(&mut self, block: &BlockView) {
        let add = |list: &mut Vec<(String, u64)>, name: &str, n: u64| match list.iter_mut().find(|(known, _)| known == name) {
            Some((_, sum)) => *sum += n,
            None => list.push((name.to_owned(), n)),
        };
        for (name, n) in block.counters.iter().filter(|(_, n)| *n > 0) {
            match name.as_str() {
                "received" => self.received += n,
                "flows_created" => self.flows += n,
                "dispatch_dropped" => self.dispatch_dropped += n,
                name if name.starts_with("metered_") => self.metered += n,
                name if name.starts_with(REASON) => add(&mut self.reasons, &name[REASON.len()..], *n),
                name if name.starts_with("records_") => add(&mut self.records, &name["records_".len()..], *n),
                _ => {}
            }
        }
    }

    /// Whether every received packet has its place.
    pub fn balances(&self) -> bool {
        self.received == self.metered + self.reasons.iter().map(|(_, n)| n).sum::<u64>()
    }
}

impl Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let listed = |list: &[(String, u64)]| list.iter().map(|(name, n)| format!("{n} {name}")).collect::<Vec<_>>().join(", ");
        writeln!(f, "counted in all:")?;
        writeln!(
            f,
            "  packets   {} received = {} metered + {} not metered",
            self.received,
            self.metered,
            self.received - self.metered.min(self.received)
        )?;
        for (reason, n) in &self.reasons {
            writeln!(f, "            {n} {reason}")?;
        }
        writeln!(
            f,
            "  balance   {}",
            if self.balances() { "every packet has its place" } else { "DOES NOT BALANCE: a fault of the program" }
        )?;
        for (port, n) in &self.dropped {
            match n {
                Some(n) => writeln!(f, "  port      {port}: {n} dropped before they were received")?,
                None => writeln!(f, "  port      {port}: dropped before they were received: not known with this driver")?,
            }
        }
        if self.dispatch_dropped > 0 {
            writeln!(f, "            {} dropped by the dispatcher, because a worker did not keep up", self.dispatch_dropped)?;
        }
        let records: u64 = self.records.iter().map(|(_, n)| n).sum();
        writeln!(f, "  flows     {}", self.flows)?;
        writeln!(f, "  records   {records}{}", if records > 0 { format!(": {}", listed(&self.records)) } else { String::new() })?;
        for (name, sent, lost) in &self.exporters {
            writeln!(f, "  {name}: {sent} records sent, {lost} lost")?;
        }
        if self.exporters.is_empty() {
            writeln!(f, "  no exporter was configured")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(kind: Kind, name: &str, counters: &[(&str, u64)]) -> BlockView {
        let counters = counters.iter().map(|(name, n)| ((*name).to_owned(), *n)).collect();
        BlockView { id: 1, kind, name: name.into(), counters, texts: Vec::new() }
    }

    #[test]
    fn workers_add_up_and_the_balance_is_said() {
        let worker = [
            ("received", 10),
            ("metered_ipv4", 6),
            ("metered_ipv6", 1),
            ("not_metered.ipv4_truncated", 3),
            ("records_idle", 2),
            ("flows_created", 4),
            ("dispatch_dropped", 7),
        ];
        let blocks = [
            block(Kind::Worker, "worker-0", &worker),
            block(Kind::Worker, "worker-1", &worker),
            block(Kind::Port, "a", &[("imissed", 5), ("rx_nombuf", 1)]),
            block(Kind::Port, "b", &[("rx_packets", 5), ("rx_nombuf", 0)]),
            block(Kind::Exporter, "exporters/x", &[("records", 3), ("lost_ring", 1), ("lost_send", 0)]),
        ];
        let summary = Summary::of(&blocks);
        assert!(summary.balances());
        let text = summary.to_string();
        for line in [
            "20 received = 14 metered + 6 not metered",
            "6 ipv4_truncated",
            "every packet has its place",
            "a: 6 dropped",
            "b: dropped before they were received: not known with this driver",
            "14 dropped by the dispatcher",
            "4: 4 idle",
            "exporters/x: 3 records sent, 1 lost",
        ] {
            assert!(text.contains(line), "{line}: {text}");
        }
        let unbalanced = Summary::of(&[block(Kind::Worker, "worker-0", &[("received", 10), ("metered_ipv4", 6)])]);
        assert!(!unbalanced.balances() && unbalanced.to_string().contains("DOES NOT BALANCE"));
    }
}
