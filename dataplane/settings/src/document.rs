//! The TOML spelling of a settings document.
//!
//! What a document may say is not written down a second time here: [`everything`] is a message with every field set, and its
//! serialized form is the shape every document is compared with. A field added to the proto does not compile until it stands there; a
//! kind of tunnel needs no more than its field.

use sonde_proto::v1;
use toml::{Table, Value};

use crate::annex::{GONE, SENTENCE};
use crate::check::{Check, Violation, quote};

/// Longest document read, in octets: a dataplane's settings are a few kilobytes.
pub const OCTETS_MAX: usize = 1 << 20;

/// Reads a TOML document; keys that do not exist and values of another type are violations, all of them listed.
///
/// # Errors
/// Every violation of the shape; ranges and relations are checked by `Settings::try_from`.
pub fn parse_toml(text: &str) -> Result<v1::Settings, Vec<Violation>> {
    from_table(&parse_table(text)?)
}

/// Reads a TOML text without looking at what it says.
///
/// # Errors
/// One violation that says where the text stops being TOML.
pub fn parse_table(text: &str) -> Result<Table, Vec<Violation>> {
    let refused = |found: String| vec![Violation { path: String::new(), rule: "a TOML document".into(), found }.bounded()];
    if text.len() > OCTETS_MAX {
        return Err(refused(format!("{} octets, more than {OCTETS_MAX}", text.len())));
    }
    text.parse::<Table>().map_err(|e| {
        let before = text.get(..e.span().map_or(0, |s| s.start)).unwrap_or_default();
        let line = before.matches('\n').count().saturating_add(1);
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count().saturating_add(1);
        refused(format!("line {line}, column {column}: {}", e.message().replace('\n', ", ")))
    })
}

/// Reads a document out of a table.
///
/// # Errors
/// As [`parse_toml`].
pub fn from_table(table: &Table) -> Result<v1::Settings, Vec<Violation>> {
    let mut check = Check::default();
    let mut document = table.clone();
    if document.remove(TRUST).is_some() {
        let rule =
            "left to the profile: what the API may name stands in a file on the probe's disk (write it there, restart sonde-dataplane)";
        check.refuse(TRUST, rule, "a table");
    }
    compare("", &Value::Table(document), &shape(), &mut check);
    check.verdict(())?;
    table.clone().try_into().map_err(|e: toml::de::Error| {
        vec![Violation { path: String::new(), rule: "a settings document".into(), found: e.message().to_owned() }.bounded()]
    })
}

/// The table of a profile that no document of the API has.
const TRUST: &str = "trust";

/// Takes `[trust]` out of a profile; what is left is a settings document.
///
/// # Errors
/// As [`parse_toml`].
pub fn take_trust(table: &mut Table) -> Result<v1::Trust, Vec<Violation>> {
    let Some(trust) = table.remove(TRUST) else { return Ok(v1::Trust::default()) };
    let mut check = Check::default();
    compare(TRUST, &trust, &Value::Table(trust_shape()), &mut check);
    check.verdict(())?;
    trust.try_into().map_err(|e: toml::de::Error| {
        vec![Violation { path: TRUST.into(), rule: "a table of a profile".into(), found: e.message().to_owned() }.bounded()]
    })
}

/// `[trust]` as TOML text.
pub fn trust_to_toml(trust: &v1::Trust) -> String {
    let table = Table::try_from(trust).expect("strings");
    Table::from_iter([(TRUST.to_owned(), Value::Table(table))]).to_string()
}

/// `[trust]` with every field set.
fn trust_shape() -> Table {
    let s = String::new;
    let all = v1::Trust { recordings_folder: s(), sockets_folder: s(), databases_folder: s(), devices: vec![s()] };
    Table::try_from(all).expect("strings")
}

/// The document as TOML text, defaults and all.
pub fn to_toml(settings: &v1::Settings) -> String {
    // Tables of strings, numbers and booleans: there is nothing in them TOML cannot say.
    tree(settings).to_string()
}

/// The document as a TOML tree.
pub fn tree(settings: &v1::Settings) -> Table {
    Table::try_from(settings).expect("a settings message holds only strings, numbers and booleans below i64::MAX")
}

/// Sets the value at `path` (`boot.ports[0].device`), as `--set path=value` does. A list grows by one when the index is its length.
///
/// The text is taken as the field's type asks: a string needs no quotes, a list is TOML (`[1, 2]`).
///
/// # Errors
/// A violation when the path does not exist or the text is of another type.
pub fn set(table: &mut Table, path: &str, text: &str) -> Result<(), Violation> {
    let refused = |rule: String, found: String| Violation { path: path.to_owned(), rule, found }.bounded();
    let mut shape = shape();
    if let Value::Table(known) = &mut shape {
        // What sets a value writes a profile.
        known.insert(TRUST.to_owned(), Value::Table(trust_shape()));
    }
    if GONE.contains(&path) {
        return Err(refused(SENTENCE.into(), quote(text)));
    }
    // On a copy, so that a refusal leaves no half-made list behind.
    let mut changed = Value::Table(table.clone());
    let mut at = &mut changed;
    for step in steps(path).ok_or_else(|| refused("a path such as boot.ports[0].device".into(), quote(path)))? {
        (at, shape) = descend(at, shape, &step).map_err(|(rule, found)| refused(rule, found))?;
    }
    *at = typed(text, &shape).ok_or_else(|| refused(rule_of(&shape), quote(text)))?;
    if let Value::Table(changed) = changed {
        *table = changed;
    }
    Ok(())
}

/// One step of a path.
enum Step {
    Key(String),
    Index(usize),
}

fn steps(path: &str) -> Option<Vec<Step>> {
    let mut steps = Vec::new();
    for part in path.split('.') {
        let (key, indices) = part.split_once('[').map_or((part, None), |(key, rest)| (key, Some(rest)));
        if key.is_empty() {
            return None;
        }
        steps.push(Step::Key(key.to_owned()));
        for index in indices.into_iter().flat_map(|i| i.split('[')) {
            steps.push(Step::Index(index.strip_suffix(']')?.parse().ok()?));
        }
    }
    Some(steps)
}

type Refusal = (String, String);

fn descend<'a>(at: &'a mut Value, shape: Value, step: &Step) -> Result<(&'a mut Value, Value), Refusal> {
    match (step, shape) {
        (Step::Key(key), Value::Table(known)) => {
            let Some(next) = known.get(key).cloned() else { return Err((known_keys(&known), quote(key))) };
            if !at.is_table() {
                *at = Value::Table(Table::new());
            }
            let table = at.as_table_mut().expect("made a table above");
            Ok((table.entry(key).or_insert_with(|| empty(&next)), next))
        }
        (Step::Index(index), Value::Array(known)) => {
            let next = known.into_iter().next().expect("`everything` has one element in each list");
            if !at.is_array() {
                *at = Value::Array(Vec::new());
            }
            let list = at.as_array_mut().expect("made a list above");
            if *index == list.len() {
                list.push(empty(&next));
            }
            let len = list.len();
            let found = format!("[{index}]");
            list.get_mut(*index).map(|v| (v, next)).ok_or_else(|| (format!("an index from 0 to {len} (the next new one)"), found))
        }
        (Step::Key(key), shape) => Err((rule_of(&shape), format!("a field {} of it", quote(key)))),
        (Step::Index(index), shape) => Err((rule_of(&shape), format!("an element [{index}] of it"))),
    }
}

fn empty(shape: &Value) -> Value {
    match shape {
        Value::Table(_) => Value::Table(Table::new()),
        Value::Array(_) => Value::Array(Vec::new()),
        other => other.clone(),
    }
}

/// The text as a value of the shape's type; ranges are checked with the whole document.
fn typed(text: &str, shape: &Value) -> Option<Value> {
    let parsed = format!("value = {text}").parse::<Table>().ok().and_then(|mut t| t.remove("value"));
    match (shape, parsed) {
        (Value::String(_), Some(Value::String(quoted))) => Some(Value::String(quoted)),
        (Value::String(_), _) => Some(Value::String(text.to_owned())),
        (_, Some(value)) if value.same_type(shape) => Some(value),
        _ => None,
    }
}

/// Notes every difference between the document and the shape.
fn compare(path: &str, found: &Value, shape: &Value, check: &mut Check) {
    match (found, shape) {
        (Value::Table(table), Value::Table(known)) => {
            for (key, value) in table {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                match known.get(key) {
                    Some(shape) => compare(&path, value, shape, check),
                    None if GONE.contains(&path.as_str()) => check.refuse(path, SENTENCE, describe(value)),
                    None => check.refuse(path, known_keys(known), format!("{}, which does not exist", quote(key))),
                }
            }
        }
        (Value::Array(list), Value::Array(known)) => {
            for (i, value) in list.iter().enumerate() {
                compare(&format!("{path}[{i}]"), value, &known[0], check);
            }
        }
        (Value::Integer(n), Value::Integer(max)) if (0..=*max).contains(n) => {}
        (Value::String(_), Value::String(_)) | (Value::Boolean(_), Value::Boolean(_)) => {}
        _ => check.refuse(path, rule_of(shape), describe(found)),
    }
}

fn known_keys(known: &Table) -> String {
    let keys: Vec<&str> = known.keys().map(String::as_str).collect();
    format!("one of the fields {}", keys.join(", "))
}

fn rule_of(shape: &Value) -> String {
    match shape {
        Value::Integer(max) => format!("a whole number from 0 to {max}"),
        Value::Boolean(_) => "true or false".into(),
        Value::Array(of) => format!("a list; each element {}", of.first().map(rule_of).unwrap_or_default()),
        Value::Table(known) => format!("a table with the fields {}", known.keys().map(String::as_str).collect::<Vec<_>>().join(", ")),
        _ => "a string".into(),
    }
}

fn describe(found: &Value) -> String {
    match found {
        Value::String(text) => format!("the string {}", quote(text)),
        Value::Integer(n) => format!("the number {n}"),
        Value::Float(n) => format!("the number {n}"),
        Value::Boolean(b) => b.to_string(),
        Value::Datetime(d) => format!("the time {d}"),
        Value::Array(list) => format!("a list of {}", list.len()),
        Value::Table(_) => "a table".into(),
    }
}

/// Notes the path of every difference between two trees; lists of different length differ as a whole.
pub(crate) fn differences(a: &Value, b: &Value, path: &str, out: &mut Vec<String>) {
    match (a, b) {
        (Value::Table(x), Value::Table(y)) => {
            let mut keys: Vec<&String> = x.keys().chain(y.keys().filter(|k| !x.contains_key(*k))).collect();
            keys.sort_unstable();
            for key in keys {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                match (x.get(key), y.get(key)) {
                    (Some(a), Some(b)) => differences(a, b, &path, out),
                    _ => out.push(path),
                }
            }
        }
        (Value::Array(x), Value::Array(y)) if x.len() == y.len() => {
            for (i, (a, b)) in x.iter().zip(y).enumerate() {
                differences(a, b, &format!("{path}[{i}]"), out);
            }
        }
        _ if a == b => {}
        _ => out.push(path.to_owned()),
    }
}

/// The shape of a document; numbers are the largest their field can hold.
fn shape() -> Value {
    Value::Table(tree(&everything()))
}

/// What is metered of tunnels, all of it set. A string is there when it is empty, so only the others are named.
fn tunnels() -> v1::Tunnels {
    v1::Tunnels { depth_max: Some(u32::MAX), ports: Some(ports()), ..v1::Tunnels::default() }
}

/// The ports of tunnels, one of each kind.
fn ports() -> v1::TunnelPorts {
    let kinds = Table::try_from(v1::TunnelPorts::default()).expect("lists");
    let one = Value::Array(vec![Value::Integer(u32::MAX.into())]);
    Table::from_iter(kinds.into_iter().map(|(kind, _)| (kind, one.clone()))).try_into().expect("the same fields")
}

/// The sizes of the tables, all of them set.
fn table() -> v1::Table {
    let flows = i64::MAX as u64;
    // The others are gone: see `annex`.
    v1::Table { ipv4_flows: flows, wide_flows: flows, layers_percent: None, performance_percent: None, udp_performance_percent: None }
}

/// A message with every field set: strings to anything, numbers to the largest the field holds, lists to one element.
fn everything() -> v1::Settings {
    let s = String::new;
    const N: u32 = u32::MAX;
    // TOML's integers are signed 64-bit numbers.
    const LONG: u64 = i64::MAX as u64;
    let eal = v1::Eal { huge_pages: s(), memory_mib: N, pci: true, extra_args: vec![s()] };
    let port = v1::Port {
        name: s(),
        device: s(),
        rx_queues: N,
        rx_descriptors: N,
        frame_octets_max: N,
        promiscuous: Some(true),
        hardware_timestamps: s(),
        rss: s(),
        pace_pps: N,
    };
    let exporter = v1::Exporter {
        name: s(),
        protocol: s(),
        transport: s(),
        address: s(),
        observation_domain_id: Some(N),
        template_refresh_s: N,
        message_octets_max: N,
        options_interval_s: N,
        enabled: Some(true),
        icmp_in_port: Some(false),
        fields: s(),
        enterprise: N,
        filter: s(),
    };
    let enrichment = v1::Enrichment {
        asn_database: s(),
        country_database: s(),
        city_database: s(),
        bgp_rib: s(),
        prefixes: vec![v1::OwnPrefix { prefix: s(), name: s() }],
    };
    v1::Settings {
        boot: Some(v1::Boot {
            instance: s(),
            eal: Some(eal),
            ports: vec![port],
            cores: Some(v1::Cores { workers: vec![N], dispatcher: Some(N), service: Some(N) }),
            table: Some(table()),
            records: Some(v1::Records { ring_bytes: LONG }),
            patterns: Some(v1::Patterns { histograms: true, first_packets: N, bursts: true, nettisa: true, percent: None }),
            annex: Some(v1::Annex { mib: LONG, layers: Some(true), tcp: Some(true), udp: Some(true) }),
        }),
        live: Some(v1::Live {
            timeouts: Some(v1::Timeouts { idle_timeout_ms: N, active_timeout_ms: N, tcp_end_linger_ms: Some(N) }),
            vlan_in_key: Some(true),
            icmp_type_in_key: Some(true),
            virtual_network_in_key: Some(true),
            exporters: vec![exporter],
            tunnels: Some(tunnels()),
            enrichment: Some(enrichment),
        }),
    }
}
