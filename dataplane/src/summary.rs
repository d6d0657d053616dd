//! What was counted, printed when the dataplane stops.

use std::fmt::{self, Display};

use sonde_stats::{BlockView, Kind};

/// Beginning of the names of counters that are reasons of the balance.
const REASON: &str = "not_metered.";

/// What became of the records that an exporter had to send.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// The exporter.
    pub name: String,
    /// Handed to the network, and not refused.
    pub sent: u64,
    /// Whether nobody confirms that they arrived (UDP).
    pub unconfirmed: bool,
    /// Of those sent over TCP: in connections that ended before the collector's machine had acknowledged them.
    pub unacknowledged: u64,
    /// Known to be lost: overwritten, not sent, refused.
    pub lost: u64,
}

impl Sent {
    fn of(block: &BlockView) -> Self {
        let count = |name| block.counter(name).unwrap_or(0);
        let refused = count("lost_refused");
        Self {
            name: block.name.clone(),
            sent: count("records").saturating_sub(refused),
            unconfirmed: block.text("delivery") == Some("unconfirmed"),
            unacknowledged: count("unacknowledged"),
            lost: count("lost_ring") + count("lost_send") + count("lost_fault") + refused,
        }
    }
}

impl Display for Sent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, sent, lost, unacknowledged, .. } = self;
        let note = match unacknowledged {
            _ if self.unconfirmed => " (unconfirmed)".to_owned(),
            0 => String::new(),
            n => format!(" ({n} of them unacknowledged)"),
        };
        write!(f, "{name}: {sent} records sent{note}, {lost} lost")
    }
}

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
    /// Of each exporter.
    pub exporters: Vec<Sent>,
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
                Kind::Exporter => summary.exporters.push(Sent::of(block)),
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
        for exporter in &self.exporters {
            writeln!(f, "  {exporter}")?;
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
        BlockView { id: 1, kind, name: name.into(), counters, texts: Vec::new(), consistent: true }
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
            block(
                Kind::Exporter,
                "exporters/y",
                &[("records", 9), ("lost_ring", 1), ("lost_refused", 5), ("lost_send", 2), ("lost_fault", 3)],
            ),
            block(Kind::Exporter, "exporters/z", &[("records", 9), ("unacknowledged", 4)]),
        ];
        let mut blocks = blocks;
        let unconfirmed = blocks.iter_mut().find(|block| block.name == "exporters/y").expect("it is there");
        unconfirmed.texts.push(("delivery".into(), "unconfirmed".into()));
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
            "exporters/y: 4 records sent (unconfirmed), 11 lost",
            "exporters/z: 9 records sent (4 of them unacknowledged), 0 lost",
        ] {
            assert!(text.contains(line), "{line}: {text}");
        }
        let unbalanced = Summary::of(&[block(Kind::Worker, "worker-0", &[("received", 10), ("metered_ipv4", 6)])]);
        assert!(!unbalanced.balances() && unbalanced.to_string().contains("DOES NOT BALANCE"));
    }
}
