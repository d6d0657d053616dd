//! What a measurement prints.

use serde_json::{Map, Value, json};

use super::export::Outcome;
use super::rig::{Finished, Part};
use crate::console::say;

/// Everything that was found.
pub(super) struct Report {
    pub(super) measured: Vec<Measured>,
    /// Cores of the workers.
    pub(super) workers: Vec<u32>,
    /// Core of the exporter, if there is one and it has one of its own.
    pub(super) exporter: Option<Option<u32>>,
}

/// What one worker's thread found.
#[derive(Debug)]
pub(super) struct Measured {
    /// The first worker, without the others.
    pub(super) alone: Option<Part>,
    /// All of them together.
    pub(super) part: Part,
    pub(super) finished: Finished,
    pub(super) outcome: Option<Outcome>,
}

#[expect(clippy::cast_precision_loss, reason = "a measurement, not an account")]
fn rate(count: u64, seconds: f64) -> f64 {
    count as f64 / seconds.max(f64::MIN_POSITIVE)
}

impl Part {
    fn mpps(&self) -> f64 {
        rate(self.packets, self.seconds) / 1e6
    }

    fn ns(&self) -> f64 {
        1e9 / rate(self.packets, self.seconds)
    }

    /// Nanoseconds a packet for writing records: what the time is longer by when they are written.
    fn emit_ns(&self) -> f64 {
        if self.records == 0 { 0.0 } else { (self.ns() - 1e9 / rate(self.muted_packets, self.muted_seconds)).max(0.0) }
    }
}

impl Measured {
    fn value(&self) -> Value {
        let (part, end) = (&self.part, &self.finished);
        let stages = end.stages;
        json!({
            "mpps": part.mpps(),
            // Octets of the frames without FCS, preamble and gap: what the flows say.
            "gbit_per_s": rate(part.octets, part.seconds) * 8.0 / 1e9,
            "ns_per_packet": part.ns(),
            "source_ns": stages.source_ns,
            "decode_ns": stages.decode_ns,
            "track_ns": (part.ns() - stages.source_ns - stages.decode_ns - part.emit_ns()).max(0.0),
            "emit_ns": part.emit_ns(),
            "records_per_s": rate(part.records, part.seconds),
            "bytes_per_flow": rate(end.bytes, rate(end.flows, 1.0)),
            "table_bytes": end.bytes,
            "flows_active": end.flows_active,
            "resident_before": end.resident[0],
            "resident_after": end.resident[1],
            "memory": end.backing.to_string(),
            "simd": end.simd.name(),
        })
    }

    fn accounts(&self) -> Value {
        let end = &self.finished;
        let mut accounts = json!({
            "received": end.received,
            "metered": end.metered,
            "not_metered": end.not_metered,
            "packets_balance": end.balances,
            "records": end.records,
        });
        if let (Some(sent), Some(accounts)) = (self.outcome, accounts.as_object_mut()) {
            accounts.insert("records_sent".into(), sent.sent.into());
            accounts.insert("records_lost_ring".into(), sent.lost_ring.into());
            accounts.insert("records_lost_send".into(), sent.lost_send.into());
            accounts.insert("export_octets".into(), sent.octets.into());
            accounts.insert("records_balance".into(), (end.records == sent.sent + sent.lost_ring + sent.lost_send).into());
        }
        accounts
    }
}

impl Report {
    fn export(&self) -> String {
        match self.exporter {
            Some(Some(core)) => format!("IPFIX over UDP by a thread on core {core}, to a socket nobody reads"),
            Some(None) => "IPFIX over UDP by a thread on the worker's core, because there is no other".to_owned(),
            None if self.workers.len() > 1 => "none: the cores are the workers', records go into rings that nobody reads".to_owned(),
            None => "none: records go into a ring that nobody reads".to_owned(),
        }
    }

    fn value(&self) -> Value {
        let mut value = Map::new();
        value.insert("export".into(), self.export().into());
        if let [one] = self.measured.as_slice() {
            value.extend([one.value(), one.accounts()].into_iter().filter_map(|part| part.as_object().cloned()).flatten());
            return Value::Object(value);
        }
        let together: f64 = self.measured.iter().map(|one| one.part.mpps()).sum();
        let alone = self.measured.iter().find_map(|one| one.alone).map_or(0.0, |part| part.mpps());
        value.insert("mpps_alone".into(), alone.into());
        value.insert("mpps".into(), together.into());
        value.insert("ratio".into(), (together / alone.max(f64::MIN_POSITIVE)).into());
        for (core, one) in self.workers.iter().zip(&self.measured) {
            let parts = [one.value(), one.accounts()].into_iter().filter_map(|part| part.as_object().cloned());
            value.insert(format!("worker_on_core_{core}"), Value::Object(parts.flatten().collect()));
        }
        Value::Object(value)
    }

    /// Prints for people, or for programs.
    pub(super) fn print(&self, json: bool) {
        if json {
            say(&self.value().to_string());
        } else {
            lines(&self.value(), 0);
        }
    }
}

fn lines(value: &Value, indent: usize) {
    for (name, value) in value.as_object().into_iter().flatten() {
        match value {
            Value::Object(_) => {
                say(name);
                lines(value, indent + 2);
            }
            Value::Number(number) if number.is_f64() => {
                say(&format!("{:indent$}{name:18} {:.2}", "", number.as_f64().unwrap_or_default()));
            }
            Value::String(text) => say(&format!("{:indent$}{name:18} {text}", "")),
            _ => say(&format!("{:indent$}{name:18} {value}", "")),
        }
    }
}
