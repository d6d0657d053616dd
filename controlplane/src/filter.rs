//! A flow filter of the API: its short forms become an expression, its expression is read as it is. Both are asked for every record.

use crate::fault;
use crate::place::Tables;
use sonde_enrich::Enricher;
use sonde_expression::{Environment, Expression, compile};
use sonde_proto::v1::{FlowFilter, Violation};
use sonde_record::{Kind, RecordView};
use std::net::IpAddr;

/// A filter that was checked. The empty one passes everything.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filter {
    /// All of them must match.
    expressions: Vec<Expression>,
    warnings: Vec<String>,
}

/// What the short forms are, in words of expressions.
#[derive(Default)]
struct ShortForms {
    conditions: Vec<String>,
    faults: Vec<Violation>,
}

impl ShortForms {
    fn new(f: &FlowFilter) -> Self {
        let mut forms = Self::default();
        for (name, field, text) in [
            ("address", "address", &f.address),
            ("source", "source_address", &f.source),
            ("destination", "destination_address", &f.destination),
        ] {
            forms.prefix(name, field, text);
        }
        forms.number("port", "port", f.port, 65_535);
        forms.number("protocol", "protocol", f.protocol, 255);
        forms.number("vlan", "vlan_id", f.vlan, 4095);
        for (field, least) in [("total_octets", f.octets_min), ("total_packets", f.packets_min)] {
            if least != 0 {
                forms.conditions.push(format!("{field} >= {least}"));
            }
        }
        match f.kind {
            None => {}
            Some(kind @ (2 | 4 | 6)) => forms.conditions.push(format!("kind = {kind}")),
            Some(other) => forms.refuse("kind", "4, 6, or 2 for flows without IP", other.to_string()),
        }
        forms
    }

    fn refuse(&mut self, field: &str, rule: &str, found: String) {
        self.faults.push(Violation { path: format!("filter.{field}"), rule: rule.to_owned(), found });
    }

    fn number(&mut self, name: &str, field: &str, value: Option<u32>, most: u32) {
        match value {
            None => {}
            Some(value) if value <= most => self.conditions.push(format!("{field} = {value}")),
            Some(value) => self.refuse(name, &format!("0 to {most}"), value.to_string()),
        }
    }

    fn prefix(&mut self, name: &str, field: &str, text: &str) {
        match prefix(text) {
            _ if text.is_empty() => {}
            Some((address, length)) => self.conditions.push(format!("{field} in {address}/{length}")),
            None => self.refuse(name, "an IPv4 or IPv6 address or CIDR prefix, as 10.0.0.0/8", sonde_settings::quote(text)),
        }
    }
}

/// Reads "10.0.0.0/8", "2001:db8::/32" or a single address.
fn prefix(text: &str) -> Option<(IpAddr, u8)> {
    let (address, length) = text.split_once('/').map_or((text, None), |(address, length)| (address, Some(length)));
    let address: IpAddr = address.parse().ok()?;
    let widest = if address.is_ipv4() { 32 } else { 128 };
    let length = length.map_or(Some(widest), |length| length.parse().ok().filter(|length| *length <= widest))?;
    Some((address, length))
}

/// Fields that the sums of [`Window`](crate::top::Window) are kept by, beside those that are looked up.
const SUMMED: [&str; 12] = [
    "kind",
    "address",
    "source_address",
    "destination_address",
    "port",
    "source_port",
    "destination_port",
    "protocol",
    "vlan_id",
    "ethernet_type",
    "total_octets",
    "total_packets",
];

impl Filter {
    /// Checks a filter; `INVALID_ARGUMENT` names every field that is wrong, and of its expression every fault. `looks_up`: whether there is
    /// a table that addresses are looked up in.
    pub(crate) fn new(filter: Option<&FlowFilter>, looks_up: bool) -> Result<Self, tonic::Status> {
        let Some(f) = filter else { return Ok(Self::default()) };
        let ShortForms { conditions, mut faults } = ShortForms::new(f);
        let mut made = Self::default();
        let mut add = |path: &str, text: &str| match compile(text, &Environment { looks_up, ..Environment::default() }) {
            Ok((expression, warnings)) => {
                made.expressions.push(expression);
                made.warnings.extend(warnings.iter().map(|warning| format!("{path}: {warning}")));
            }
            Err(refused) => faults.extend(refused.faults.iter().map(|fault| Violation {
                path: path.to_owned(),
                rule: format!("{}, at {}", fault.expected, fault.position),
                found: fault.found(),
            })),
        };
        if !conditions.is_empty() {
            add("filter", &conditions.join(" and "));
        }
        if !f.r#where.trim().is_empty() {
            add("filter.where", &f.r#where);
        }
        if faults.is_empty() { Ok(made) } else { Err(fault::invalid(&faults)) }
    }

    /// The same for the largest talkers: it may name those fields only that they are kept by.
    pub(crate) fn of_sums(filter: Option<&FlowFilter>, looks_up: bool) -> Result<Self, tonic::Status> {
        let made = Self::new(filter, looks_up)?;
        let is_summed = |field: &String| {
            // Looked up when the question is asked: of the addresses, which are kept.
            SUMMED.contains(&field.as_str()) || sonde_expression::is_looked_up(field)
        };
        let fields = made.expressions.iter().flat_map(|expression| expression.fields());
        let others: Vec<&str> = fields.filter(|field| !is_summed(field)).map(String::as_str).collect();
        if others.is_empty() {
            return Ok(made);
        }
        let rule = format!("of the fields that sums are kept by ({}, and those that are looked up)", SUMMED.join(", "));
        Err(fault::invalid(&[Violation { path: "filter.where".to_owned(), rule, found: others.join(", ") }]))
    }

    /// Whether it passes everything.
    pub(crate) fn is_empty(&self) -> bool {
        self.expressions.is_empty()
    }

    /// Parts of it that can never hold, a sentence each.
    pub(crate) fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Whether a record passes. Addresses are looked up in `table`.
    pub(crate) fn passes(&self, record: &RecordView<'_>, table: Option<&Enricher>) -> bool {
        let tables = table.map(Tables);
        let places = tables.as_ref().map(|tables| tables as &dyn sonde_expression::Places);
        self.expressions.iter().all(|expression| expression.matches_in(record, places))
    }
}

/// Whether a record's protocol has ports: one of IP, and TCP, UDP, SCTP, DCCP or UDP-Lite.
pub(crate) fn has_ports(kind: Kind, protocol: u8) -> bool {
    kind != Kind::Layer2 && sonde_packet::has_ports(protocol)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sonde_record::{Head, NO_VLAN, Record};
    use tonic_types::StatusExt;

    fn record() -> Record {
        let mut r =
            Head { proto: 6, sport: 40_000, dport: 443, octets: [100, 50], packets: [3, 2], vlan_tci: [7, NO_VLAN], ..Head::default() };
        r.src[12..].copy_from_slice(&[10, 1, 2, 3]);
        r.dst[12..].copy_from_slice(&[192, 0, 2, 9]);
        r.into()
    }

    fn check(filter: FlowFilter, passes: bool) {
        let made = Filter::new(Some(&filter), false).expect("a good filter");
        assert_eq!(made.passes(&record().view().expect("a record"), None), passes, "{filter:?}");
        assert!(!made.is_empty(), "{filter:?}");
    }

    #[test]
    fn each_condition_passes_and_refuses() {
        let d = FlowFilter::default;
        assert!(Filter::new(Some(&d()), false).expect("empty").is_empty());
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
            r#where: "rtt > 5 and prot = 6".into(),
            ..FlowFilter::default()
        };
        let status = Filter::new(Some(&filter), false).expect_err("nothing in it is right");
        let details = status.get_error_details();
        let mut named: Vec<&str> =
            details.bad_request().expect("BadRequest").field_violations.iter().map(|v| v.field.trim_start_matches("filter.")).collect();
        named.sort_unstable();
        assert_eq!(named, ["address", "destination", "kind", "port", "protocol", "source", "vlan", "where", "where"]);
    }

    #[test]
    fn an_expression_is_asked_beside_the_short_forms() {
        let filter = |text: &str| FlowFilter { r#where: text.into(), port: Some(443), ..FlowFilter::default() };
        check(filter("source_address in 10.0.0.0/8 # ours"), true);
        check(filter("protocol = 17"), false);
        check(FlowFilter { port: Some(80), ..filter("protocol = 6") }, false);
        assert!(Filter::new(Some(&FlowFilter { r#where: " \n".into(), ..FlowFilter::default() }), false).expect("nothing").is_empty());
        let injected = FlowFilter { address: "10.0.0.0/8 or port = 1".into(), ..FlowFilter::default() };
        assert!(Filter::new(Some(&injected), false).is_err(), "a short form is no expression");
        let warned = Filter::new(Some(&filter("source_country = 'CZ' or http_url = 'x'")), false).expect("good");
        assert_eq!(warned.warnings().len(), 2);
        assert!(warned.warnings()[0].starts_with("filter.where: line 1, column 1: source_country is looked up"), "{:?}", warned.warnings());
    }

    #[test]
    fn sums_are_asked_for_what_they_are_kept_by() {
        let filter = |text: &str| FlowFilter { r#where: text.into(), source: "10.0.0.0/8".into(), octets_min: 5, ..FlowFilter::default() };
        assert!(Filter::of_sums(Some(&filter("dport = 443 or country = 'CZ' and vlan = 7")), true).is_ok());
        let refused = Filter::of_sums(Some(&filter("rtt > 200 ms or octets > 1 MiB and port = 1")), true).expect_err("not kept");
        assert!(refused.message().ends_with("found rtt, octets"), "{}", refused.message());
    }
}
