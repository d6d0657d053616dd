//! A flow filter, checked once and then asked for every record.

use crate::fault;
use sonde_proto::v1::{FlowFilter, Violation};
use sonde_record::{Kind, NO_VLAN, RecordView};
use std::net::IpAddr;

/// A CIDR prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Prefix {
    kind: Kind,
    bits: u128,
    mask: u128,
}

impl Prefix {
    /// Reads "10.0.0.0/8", "2001:db8::/32" or a single address.
    fn parse(text: &str) -> Option<Self> {
        let (address, length) = text.split_once('/').map_or((text, None), |(a, l)| (a, Some(l)));
        let address: IpAddr = address.parse().ok()?;
        // IPv4 stands in the last four bytes, as in a record.
        let (kind, bits, widest) = match address {
            IpAddr::V4(a) => (Kind::Ipv4, u128::from(a.to_bits()), 32u32),
            IpAddr::V6(a) => (Kind::Ipv6, a.to_bits(), 128),
        };
        let length = match length {
            Some(l) => l.parse::<u32>().ok().filter(|l| *l <= widest)?,
            None => widest,
        };
        let mask = u128::MAX.checked_shl(widest - length).unwrap_or(0);
        Some(Self { kind, bits: bits & mask, mask })
    }

    fn holds(&self, kind: Kind, address: &[u8; 16]) -> bool {
        kind == self.kind && u128::from_be_bytes(*address) & self.mask == self.bits
    }
}

/// A filter that was checked. The empty one passes everything.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filter {
    address: Option<Prefix>,
    source: Option<Prefix>,
    destination: Option<Prefix>,
    port: Option<u16>,
    protocol: Option<u8>,
    vlan: Option<u16>,
    octets_min: u64,
    packets_min: u64,
    kind: Option<Kind>,
}

impl Filter {
    /// Checks a filter; `INVALID_ARGUMENT` names every field that is wrong.
    pub(crate) fn new(filter: Option<&FlowFilter>) -> Result<Self, tonic::Status> {
        let Some(f) = filter else { return Ok(Self::default()) };
        let mut faults = Vec::new();
        let mut refuse = |field: &str, rule: &str, found: String| {
            faults.push(Violation { path: format!("filter.{field}"), rule: rule.to_owned(), found });
        };
        let mut prefix = |field: &str, text: &str| {
            let parsed = Prefix::parse(text);
            if parsed.is_none() && !text.is_empty() {
                refuse(field, "an IPv4 or IPv6 address or CIDR prefix, as 10.0.0.0/8", sonde_settings::quote(text));
            }
            parsed
        };
        let (address, source, destination) =
            (prefix("address", &f.address), prefix("source", &f.source), prefix("destination", &f.destination));
        let kind = match f.kind {
            None => None,
            Some(4) => Some(Kind::Ipv4),
            Some(6) => Some(Kind::Ipv6),
            Some(2) => Some(Kind::Layer2),
            Some(other) => {
                refuse("kind", "4, 6, or 2 for flows without IP", other.to_string());
                None
            }
        };
        let port = f.port.and_then(|v| u16::try_from(v).inspect_err(|_| refuse("port", "0 to 65535", v.to_string())).ok());
        let protocol = f.protocol.and_then(|v| u8::try_from(v).inspect_err(|_| refuse("protocol", "0 to 255", v.to_string())).ok());
        let vlan = f.vlan.and_then(|v| {
            let id = u16::try_from(v).ok().filter(|id| *id < 4096);
            if id.is_none() {
                refuse("vlan", "0 to 4095", v.to_string());
            }
            id
        });
        if !faults.is_empty() {
            return Err(fault::invalid(&faults));
        }
        Ok(Self { address, source, destination, port, protocol, vlan, octets_min: f.octets_min, packets_min: f.packets_min, kind })
    }

    /// Whether it passes everything.
    pub(crate) fn is_empty(&self) -> bool {
        let Self { address, source, destination, port, protocol, vlan, octets_min, packets_min, kind } = self;
        address.is_none()
            && source.is_none()
            && destination.is_none()
            && port.is_none()
            && protocol.is_none()
            && vlan.is_none()
            && *octets_min == 0
            && *packets_min == 0
            && kind.is_none()
    }

    /// Whether a record passes.
    pub(crate) fn passes(&self, record: &RecordView<'_>) -> bool {
        let within = |prefix: &Option<Prefix>, address: &[u8; 16]| prefix.is_none_or(|p| p.holds(record.kind(), address));
        let [octets, octets_back] = record.octets();
        let [packets, packets_back] = record.packets();
        let [outer, _] = record.vlan();
        within(&self.source, &record.src())
            && within(&self.destination, &record.dst())
            && (within(&self.address, &record.src()) || within(&self.address, &record.dst()))
            && self.port.is_none_or(|p| has_ports(record.kind(), record.proto()) && (record.sport() == p || record.dport() == p))
            && self.protocol.is_none_or(|p| record.kind() != Kind::Layer2 && record.proto() == p)
            && self.vlan.is_none_or(|v| outer != NO_VLAN && outer == v)
            && octets.saturating_add(octets_back) >= self.octets_min
            && packets.saturating_add(packets_back) >= self.packets_min
            && self.kind.is_none_or(|k| k == record.kind())
    }
}

/// Whether a record's protocol has ports: one of IP, and TCP, UDP, SCTP, DCCP or UDP-Lite.
pub(crate) fn has_ports(kind: Kind, protocol: u8) -> bool {
    kind != Kind::Layer2 && sonde_packet::has_ports(protocol)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sonde_record::{Head, Record};
    use tonic_types::StatusExt;

    fn record() -> Record {
        let mut r =
            Head { proto: 6, sport: 40_000, dport: 443, octets: [100, 50], packets: [3, 2], vlan_tci: [7, NO_VLAN], ..Head::default() };
        r.src[12..].copy_from_slice(&[10, 1, 2, 3]);
        r.dst[12..].copy_from_slice(&[192, 0, 2, 9]);
        r.into()
    }

    fn check(filter: FlowFilter, passes: bool) {
        let made = Filter::new(Some(&filter)).expect("a good filter");
        assert_eq!(made.passes(&record().view().expect("a record")), passes, "{filter:?}");
        assert!(!made.is_empty(), "{filter:?}");
    }

    #[test]
    fn each_condition_passes_and_refuses() {
        let d = FlowFilter::default;
        assert!(Filter::new(Some(&d())).expect("empty").is_empty());
        for (text, passes) in
            [("10.0.0.0/8", true), ("192.0.2.9", true), ("192.0.2.8", false), ("::/0", false), ("0.0.0.0/0", true), ("::a01:203", false)]
        {
            check(FlowFilter { address: text.into(), ..d() }, passes);
        }
        check(FlowFilter { source: "10.1.2.0/24".into(), ..d() }, true);
        check(FlowFilter { source: "192.0.2.9/32".into(), ..d() }, false);
        check(FlowFilter { destination: "192.0.2.9/31".into(), ..d() }, true);
        check(FlowFilter { destination: "10.1.2.3".into(), ..d() }, false);
        for (port, passes) in [(443, true), (40_000, true), (80, false)] {
            check(FlowFilter { port: Some(port), ..d() }, passes);
        }
        for (protocol, passes) in [(6, true), (17, false), (0, false)] {
            check(FlowFilter { protocol: Some(protocol), ..d() }, passes);
        }
        for (vlan, passes) in [(7, true), (8, false)] {
            check(FlowFilter { vlan: Some(vlan), ..d() }, passes);
        }
        for (least, passes) in [(150, true), (151, false)] {
            check(FlowFilter { octets_min: least, ..d() }, passes);
        }
        for (least, passes) in [(5, true), (6, false)] {
            check(FlowFilter { packets_min: least, ..d() }, passes);
        }
        for (kind, passes) in [(4, true), (6, false), (2, false)] {
            check(FlowFilter { kind: Some(kind), ..d() }, passes);
        }
    }

    #[test]
    fn every_wrong_field_is_named() {
        let filter = FlowFilter {
            address: "10.0.0.0/33".into(),
            source: "host".into(),
            destination: "1::/129".into(),
            port: Some(70_000),
            protocol: Some(256),
            vlan: Some(4096),
            kind: Some(5),
            ..FlowFilter::default()
        };
        let status = Filter::new(Some(&filter)).expect_err("nothing in it is right");
        let details = status.get_error_details();
        let mut named: Vec<&str> =
            details.bad_request().expect("BadRequest").field_violations.iter().map(|v| v.field.trim_start_matches("filter.")).collect();
        named.sort_unstable();
        assert_eq!(named, ["address", "destination", "kind", "port", "protocol", "source", "vlan"]);
    }
}
