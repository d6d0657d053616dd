//! Rows of the catalogue: server response times, of TCP and of UDP.

use super::kind::{Facts, Id};
use super::responses::ResponseTimes;
use super::tcp::{TcpPerformance, valid};
use super::udp::UdpPerformance;
use crate::field::Value::{Absent, Duration, Unsigned};
use crate::field::{Row, Rows, Type, Unit, Value, flowmon, ntop, own};
use crate::view::RecordView;

/// The response times of a record, of TCP or else of UDP, if any was measured.
fn of(record: &RecordView<'_>) -> Option<ResponseTimes> {
    if let Some(tcp) = record.get::<TcpPerformance>() {
        return Some(tcp.responses).filter(|_| tcp.valid & valid::RESPONSES != 0);
    }
    record.get::<UdpPerformance>().map(|udp| udp.responses).filter(|responses| responses.count != 0)
}

fn time(record: &RecordView<'_>, read: impl FnOnce(&ResponseTimes) -> u64) -> Value {
    of(record).map_or(Absent, |responses| Duration(read(&responses)))
}

/// What response times say, of TCP and of UDP.
pub(crate) const ROWS: Rows = Rows {
    title: "Server response times (TCP, and DNS, NTP, SNMP, RADIUS)",
    facts: Facts::NONE.with(Id::Tcp).with(Id::Udp),
    rows: &[
        Row::new("responses", Type::Unsigned, "requests that were answered", |r, _| {
            of(r).map_or(Absent, |responses| Unsigned(responses.count.into()))
        })
        .unit(Unit::Packets)
        .api(&["tcp.responses", "udp.responses"])
        .elements(&[own(50, "sondeResponses")]),
        Row::new("response_min", Type::Duration, "shortest time from a request to its answer", |r, _| time(r, |t| t.min))
            .api(&["tcp.response_min_us", "udp.response_min_us"])
            .elements(&[own(51, "sondeResponseMin")]),
        Row::new("response_mean", Type::Duration, "mean", |r, _| time(r, ResponseTimes::mean))
            .api(&["tcp.response_mean_us", "udp.response_mean_us"])
            .elements(&[flowmon(70, "npmServerResponseTime"), ntop(125, "APPL_LATENCY_MS"), own(52, "sondeResponseMean")]),
        Row::new("response_max", Type::Duration, "longest", |r, _| time(r, |t| t.max))
            .api(&["tcp.response_max_us", "udp.response_max_us"])
            .elements(&[own(53, "sondeResponseMax")]),
        Row::new("response_last", Type::Duration, "latest", |r, _| time(r, |t| t.last))
            .api(&["tcp.response_last_us", "udp.response_last_us"])
            .elements(&[own(54, "sondeResponseLast")]),
        Row::new("response_p50", Type::Duration, "half of the answers came within so long", |r, _| time(r, |t| quantile(t, 0)))
            .api(&["tcp.response_p50_us", "udp.response_p50_us"])
            .elements(&[own(55, "sondeResponseP50")]),
        Row::new("response_p95", Type::Duration, "95 % did", |r, _| time(r, |t| quantile(t, 1)))
            .api(&["tcp.response_p95_us", "udp.response_p95_us"])
            .elements(&[own(56, "sondeResponseP95")]),
        Row::new("response_p99", Type::Duration, "99 % did", |r, _| time(r, |t| quantile(t, 2)))
            .api(&["tcp.response_p99_us", "udp.response_p99_us"])
            .elements(&[own(57, "sondeResponseP99")]),
    ],
};

fn quantile(times: &ResponseTimes, at: usize) -> u64 {
    times.quantiles.get(at).copied().unwrap_or(0)
}
