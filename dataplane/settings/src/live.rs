//! `live`: what is taken over between two bursts.

use std::net::{Ipv4Addr, Ipv6Addr};

use sonde_enrich::Sources;
use sonde_export::{DOCUMENTATION_PEN, Fields, TAKEN};
use sonde_packet::{TUNNEL_DEPTH_MAX, Tunnel, Tunnels, View};
use sonde_proto::v1;
use toml::{Table, Value};

use crate::check::{Check, is_name, quote, word};
use crate::enrichment;
use crate::record_filter::RecordFilter;

/// Begins the name of every exporter.
pub const EXPORTER_PREFIX: &str = "exporters/";
/// Most exporters of one dataplane: each has a thread and a reader on every ring.
const EXPORTERS_MAX: usize = 32;
/// Most names of fields.
const FIELDS_MAX: usize = 256;

/// What can be changed while the dataplane runs.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Live {
    /// When a flow's record is written.
    pub timeouts: Timeouts,
    /// Whether VLAN ids are part of the flow key.
    pub vlan_in_key: bool,
    /// Whether the type and code of ICMP and ICMPv6 are part of the flow key.
    pub icmp_type_in_key: bool,
    /// Whether virtual networks (VNI, VSID, I-SID) are part of the flow key.
    pub virtual_network_in_key: bool,
    /// Where records are sent; names are unique.
    pub exporters: Vec<Exporter>,
    /// Which flow of a tunnelled packet is metered.
    pub tunnels: Tunnels,
    /// What addresses are looked up in; nothing is looked up where it is empty.
    pub enrichment: Sources,
}

/// Flow timeouts, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Timeouts {
    /// A flow ends when no packet came for so long; 100 to 3600000 (flowIdleTimeout, element 37).
    pub idle_timeout_ms: u32,
    /// A flow that goes on is reported at least so often; 1000 to 86400000 (flowActiveTimeout, element 36).
    pub active_timeout_ms: u32,
    /// A closed TCP connection stays in the table so long; 0 to 60000.
    pub tcp_end_linger_ms: u32,
}

/// One destination of flow records.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Exporter {
    /// Resource name: `exporters/core-1`.
    pub name: String,
    /// How records are written.
    pub protocol: Protocol,
    /// How messages travel.
    pub transport: Transport,
    /// Host of the collector: a name, or an address without brackets.
    pub host: String,
    /// Port of the collector, not 0.
    pub port: u16,
    /// Observation domain id (RFC 7011 section 3.1).
    pub observation_domain_id: u32,
    /// Templates are sent again so often over UDP, in seconds; 1 to 86400 (RFC 7011 section 8.4).
    pub template_refresh_s: u32,
    /// Largest message in octets, 512 to 65000.
    pub message_octets_max: u16,
    /// Exporter statistics are sent so often, in seconds; 1 to 86400.
    pub options_interval_s: u32,
    /// Whether it sends.
    pub enabled: bool,
    /// Whether the destination port of ICMP is its type * 256 + code.
    pub icmp_in_port: bool,
    /// Which fields go out.
    pub fields: Fields,
    /// Enterprise number of the elements that no registry has.
    pub enterprise: u32,
    /// Which records go out.
    pub filter: RecordFilter,
}

/// How records are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// RFC 7011, biflows as in RFC 5103.
    Ipfix,
}

/// How messages travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// RFC 7011 section 10.3.
    Udp,
    /// RFC 7011 section 10.4.
    Tcp,
}

impl Exporter {
    /// `host:port`, an IPv6 address in brackets.
    pub fn address(&self) -> String {
        if self.host.contains(':') { format!("[{}]:{}", self.host, self.port) } else { format!("{}:{}", self.host, self.port) }
    }
}

/// Constructs `live`, noting what is wrong.
pub(crate) fn construct(live: &v1::Live, check: &mut Check) -> Live {
    let t = live.timeouts.unwrap_or_default();
    let path = |field: &str| format!("live.timeouts.{field}");
    let timeouts = Timeouts {
        idle_timeout_ms: check.number(path("idle_timeout_ms"), t.idle_timeout_ms, 30_000, 100..=3_600_000),
        active_timeout_ms: check.number(path("active_timeout_ms"), t.active_timeout_ms, 300_000, 1000..=86_400_000),
        tcp_end_linger_ms: check.ranged(path("tcp_end_linger_ms"), t.tcp_end_linger_ms.unwrap_or(2000), 2000, 0..=60_000),
    };
    if live.exporters.len() > EXPORTERS_MAX {
        check.refuse("live.exporters", format!("at most {EXPORTERS_MAX} exporters"), format!("{} exporters", live.exporters.len()));
    }
    let exporters: Vec<Exporter> = live.exporters.iter().enumerate().map(|(i, exporter)| construct_exporter(i, exporter, check)).collect();
    let names: Vec<_> = exporters.iter().enumerate().map(|(i, e)| (format!("live.exporters[{i}].name"), format!("{:?}", e.name))).collect();
    check.unique(&names, "a name");
    let tunnels = construct_tunnels(live.tunnels.as_ref().unwrap_or(&v1::Tunnels::default()), check);
    let enrichment = enrichment::construct(live.enrichment.as_ref().unwrap_or(&v1::Enrichment::default()), check);
    let (vlan_in_key, icmp_type_in_key) = (live.vlan_in_key.unwrap_or(true), live.icmp_type_in_key.unwrap_or(true));
    let virtual_network_in_key = live.virtual_network_in_key.unwrap_or(true);
    Live { timeouts, vlan_in_key, icmp_type_in_key, virtual_network_in_key, exporters, tunnels, enrichment }
}

/// The words of a view; the first is the default.
const VIEWS: &[(&str, View)] = &[("inner", View::Inner), ("outer", View::Outer), ("both", View::Both)];

/// The field of a kind of tunnel, in `live.tunnels` and in `live.tunnels.ports`.
fn field(kind: Tunnel) -> String {
    kind.name().replace('-', "_")
}

fn construct_ports(mut chosen: Tunnels, ports: &v1::TunnelPorts, check: &mut Check) -> Tunnels {
    // By name, so that a kind of tunnel finds its field.
    let fields = Table::try_from(ports).expect("lists of numbers");
    for kind in Tunnel::ALL.into_iter().filter(|kind| kind.has_udp_ports()) {
        let wanted = fields.get(&field(kind)).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_integer);
        for (at, port) in wanted.enumerate() {
            let added = u16::try_from(port).map_err(|_| "a UDP port, 1 to 65535").and_then(|port| chosen.with_port(kind, port));
            match added {
                Ok(with) => chosen = with,
                Err(rule) => check.refuse(format!("live.tunnels.ports.{}[{at}]", field(kind)), rule, port.to_string()),
            }
        }
    }
    chosen
}

fn construct_tunnels(tunnels: &v1::Tunnels, check: &mut Check) -> Tunnels {
    let depth_max = check.ranged("live.tunnels.depth_max".to_owned(), tunnels.depth_max.unwrap_or(4), 4, 0..=u32::from(TUNNEL_DEPTH_MAX));
    let chosen = Tunnels::new(View::Inner, u8::try_from(depth_max).unwrap_or(TUNNEL_DEPTH_MAX));
    let chosen = construct_ports(chosen, &tunnels.ports.clone().unwrap_or_default(), check);
    let fields = Table::try_from(tunnels).expect("strings and small numbers");
    Tunnel::ALL.into_iter().fold(chosen, |chosen, kind| {
        let word = fields.get(&field(kind)).and_then(Value::as_str).unwrap_or_default();
        chosen.with(kind, check.choice(format!("live.tunnels.{}", field(kind)), word, VIEWS))
    })
}

/// The document's words for what was chosen.
fn tunnels(chosen: &Tunnels) -> v1::Tunnels {
    let views = Tunnel::ALL.into_iter().map(|kind| (field(kind), Value::String(word(VIEWS, &chosen.view(kind)))));
    let mut document: v1::Tunnels = Table::from_iter(views).try_into().expect("strings");
    let ports = Tunnel::ALL.into_iter().filter(|kind| kind.has_udp_ports()).map(|kind| {
        let added = chosen.ports().added().filter(|(_, of)| *of == kind).map(|(port, _)| Value::Integer(port.into()));
        (field(kind), Value::Array(added.collect()))
    });
    document.depth_max = Some(chosen.depth_max().into());
    document.ports = Some(Table::from_iter(ports).try_into().expect("lists of small numbers"));
    document
}

fn construct_exporter(at: usize, exporter: &v1::Exporter, check: &mut Check) -> Exporter {
    let path = |field: &str| format!("live.exporters[{at}].{field}");
    if !exporter.name.strip_prefix(EXPORTER_PREFIX).is_some_and(is_name) {
        check.refuse(path("name"), "\"exporters/\" and 1 to 32 characters of a-z, 0-9 and '-'", quote(&exporter.name));
    }
    let (host, port) = endpoint(&exporter.address).unwrap_or_else(|rule| {
        check.refuse(path("address"), rule, quote(&exporter.address));
        (String::new(), 1)
    });
    let octets = check.number(path("message_octets_max"), exporter.message_octets_max, 1400, 512..=65_000);
    Exporter {
        name: exporter.name.clone(),
        protocol: check.choice(path("protocol"), &exporter.protocol, &[("ipfix", Protocol::Ipfix)]),
        transport: check.choice(path("transport"), &exporter.transport, &[("udp", Transport::Udp), ("tcp", Transport::Tcp)]),
        host,
        port,
        observation_domain_id: exporter.observation_domain_id.unwrap_or(1),
        template_refresh_s: check.number(path("template_refresh_s"), exporter.template_refresh_s, 600, 1..=86_400),
        message_octets_max: u16::try_from(octets).unwrap_or(1400),
        options_interval_s: check.number(path("options_interval_s"), exporter.options_interval_s, 60, 1..=86_400),
        enabled: exporter.enabled.unwrap_or(true),
        icmp_in_port: exporter.icmp_in_port.unwrap_or(false),
        fields: construct_fields(path("fields"), &exporter.fields, check),
        enterprise: construct_enterprise(path("enterprise"), exporter.enterprise, check),
        filter: construct_filter(&path("filter"), &exporter.filter, check),
    }
}

/// Which records go out; each fault of the expression is a violation of its own.
fn construct_filter(path: &str, text: &str, check: &mut Check) -> RecordFilter {
    RecordFilter::parse(text).unwrap_or_else(|faults| {
        faults.into_iter().for_each(|(rule, found)| check.refuse(path.to_owned(), rule, found));
        RecordFilter::default()
    })
}

/// The operator's enterprise: not one of those whose elements Sonde sends.
fn construct_enterprise(path: String, number: u32, check: &mut Check) -> u32 {
    let enterprise = check.number(path.clone(), number, DOCUMENTATION_PEN, 1..=u32::MAX);
    if TAKEN.contains(&enterprise) {
        let taken = TAKEN.map(|number| number.to_string()).join(", ");
        check.refuse(path, format!("the operator's own enterprise number, none of {taken}"), enterprise.to_string());
    }
    enterprise
}

/// Which fields go out; each name that is none is a violation of its own.
fn construct_fields(path: String, text: &str, check: &mut Check) -> Fields {
    let names = text.split(',').count();
    if names > FIELDS_MAX {
        check.refuse(path, format!("at most {FIELDS_MAX} names"), format!("{names} names"));
        return Fields::default();
    }
    Fields::parse(text).unwrap_or_else(|unknown| {
        for name in unknown {
            let rule = "\"standard\", \"full\" or names of elements separated by commas";
            check.refuse(path.clone(), format!("{rule}; the nearest is {}", name.nearest), quote(&name.name));
        }
        Fields::default()
    })
}

/// Splits `host:port`; the error is the rule that is broken.
fn endpoint(text: &str) -> Result<(String, u16), &'static str> {
    const RULE: &str = "\"host:port\", with a port from 1 to 65535 (IPFIX: 4739)";
    let (host, port) = text.rsplit_once(':').ok_or(RULE)?;
    // `u16::from_str` takes a sign; an operator's port has none.
    let digits = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
    let port = port.parse::<u16>().ok().filter(|p| *p != 0 && digits).ok_or(RULE)?;
    if let Some(inner) = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
        let address: Ipv6Addr = inner.parse().map_err(|_| "an IPv6 address in brackets and a port: \"[2001:db8::1]:4739\"")?;
        return Ok((address.to_string(), port));
    }
    if host.contains(':') {
        return Err("an IPv6 address in brackets and a port: \"[2001:db8::1]:4739\"");
    }
    // What looks like an IPv4 address must be one: resolvers take "10.1" for 10.0.0.1.
    if host.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        return host.parse::<Ipv4Addr>().map(|a| (a.to_string(), port)).map_err(|_| "an IPv4 address of four octets and a port");
    }
    // RFC 1123 section 2.1; the underscore is not a host name's, but resolvers and container networks use it.
    let label = |l: &str| {
        (1..=63).contains(&l.len())
            && !l.starts_with('-')
            && !l.ends_with('-')
            && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    let name = host.strip_suffix('.').unwrap_or(host);
    if name.len() <= 253 && name.split('.').all(label) { Ok((host.to_owned(), port)) } else { Err("a host name or address, and a port") }
}

impl From<&Live> for v1::Live {
    fn from(live: &Live) -> Self {
        Self {
            timeouts: Some(v1::Timeouts {
                idle_timeout_ms: live.timeouts.idle_timeout_ms,
                active_timeout_ms: live.timeouts.active_timeout_ms,
                tcp_end_linger_ms: Some(live.timeouts.tcp_end_linger_ms),
            }),
            vlan_in_key: Some(live.vlan_in_key),
            icmp_type_in_key: Some(live.icmp_type_in_key),
            virtual_network_in_key: Some(live.virtual_network_in_key),
            exporters: live.exporters.iter().map(v1::Exporter::from).collect(),
            tunnels: Some(tunnels(&live.tunnels)),
            enrichment: Some(enrichment::document(&live.enrichment)),
        }
    }
}

impl From<&Exporter> for v1::Exporter {
    fn from(exporter: &Exporter) -> Self {
        let Protocol::Ipfix = exporter.protocol;
        let transport = match exporter.transport {
            Transport::Udp => "udp",
            Transport::Tcp => "tcp",
        };
        Self {
            name: exporter.name.clone(),
            protocol: "ipfix".to_owned(),
            transport: transport.to_owned(),
            address: exporter.address(),
            observation_domain_id: Some(exporter.observation_domain_id),
            template_refresh_s: exporter.template_refresh_s,
            message_octets_max: exporter.message_octets_max.into(),
            options_interval_s: exporter.options_interval_s,
            enabled: Some(exporter.enabled),
            icmp_in_port: Some(exporter.icmp_in_port),
            fields: exporter.fields.to_string(),
            enterprise: exporter.enterprise,
            filter: exporter.filter.text().to_owned(),
        }
    }
}
