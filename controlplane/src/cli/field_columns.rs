//! Fields of the catalogue as columns: how they are named on the command line, and what a flow of the API says of them.
//!
//! Not here: what a record of a recording says of them (`replay::chosen`); a test holds that both say the same.

use crate::notation::seconds;
use serde_json::Value as Json;
use sonde_proto::v1::{Flow, FlowLayers};
use sonde_record::catalogue::{column, nearest};
use sonde_record::field::{Field, Type};

use super::number::between;
use super::sheet::SPARSE;

/// The fields of these names: headings of csv, canonical names, or others of the catalogue. `own` makes columns that are no fields.
///
/// # Errors
/// Every name that no field has, each with the nearest one there is.
pub(super) fn named<'a, T>(
    names: impl IntoIterator<Item = &'a str>,
    own: impl Fn(&str) -> Option<T>,
    of: impl Fn(String, Field) -> T,
) -> anyhow::Result<Vec<T>> {
    let (mut columns, mut unknown) = (Vec::new(), Vec::new());
    for name in names {
        match own(name).or_else(|| column(name).map(|field| of(name.to_owned(), field))) {
            Some(column) => columns.push(column),
            None => unknown.push(nearest(name).map_or_else(|| name.to_owned(), |near| format!("{name} (did you mean {near}?)"))),
        }
    }
    anyhow::ensure!(unknown.is_empty(), "--columns: there is no field {}; `sonde fields` lists all", unknown.join(", "));
    Ok(columns)
}

/// Whether a field's values are numbers, which are set flush right.
pub(super) fn is_number(field: &Field) -> bool {
    matches!(field.row.kind, Type::Unsigned | Type::Float | Type::Duration)
}

/// A number of the field as text.
pub(super) fn number(field: &Field, number: u64) -> String {
    if field.row.name == "ethernet_type" { format!("0x{number:04x}") } else { number.to_string() }
}

/// What is written between the items of a list.
pub(super) fn between_items(field: &Field) -> &'static str {
    if field.row.kind == Type::Text { "/" } else { "|" }
}

/// Fields of the catalogue, each under the name by which it was asked for.
#[derive(Clone, Debug, Default)]
pub(super) struct Fields(Vec<(String, Field)>);

impl Fields {
    /// # Errors
    /// As [`named`].
    pub(super) fn named<'a>(names: impl IntoIterator<Item = &'a str>) -> anyhow::Result<Self> {
        named(names, |_| None, |name, field| (name, field)).map(Self)
    }

    /// The names, and whether their values are numbers.
    pub(super) fn columns(&self) -> impl Iterator<Item = (&str, bool)> {
        self.0.iter().map(|(name, field)| (name.as_str(), is_number(field)))
    }

    /// What a flow says of each, as text; empty where it says nothing.
    ///
    /// # Errors
    /// None of a message of the API.
    pub(super) fn cells(&self, flow: &Flow) -> serde_json::Result<Vec<String>> {
        if self.0.is_empty() {
            return Ok(Vec::new());
        }
        // Through text: numbers of 32 bits stay as short as they are.
        let json = serde_json::from_str(&serde_json::to_string(flow)?)?;
        Ok(self.0.iter().map(|(_, field)| cell(field, flow, &json)).collect())
    }
}

/// What a flow, also as JSON, says of a field.
fn cell(field: &Field, flow: &Flow, json: &Json) -> String {
    if let Some(told) = otherwise(field, flow) {
        return told;
    }
    if !applies(field, flow) {
        return String::new();
    }
    // A field of several facts has several places, of which one is there.
    let values = field.api().iter().map(|path| (*path, at(json, path)));
    values.filter(|(path, value)| is_there(path, value)).map(|(path, value)| text(field, path, &value)).next().unwrap_or_default()
}

/// Fields that the API has in another shape than a record.
fn otherwise(field: &Field, flow: &Flow) -> Option<String> {
    let bits =
        |list: &[u32], tag: usize, shift: u32, mask: u32| list.get(tag).map(|tci| (tci >> shift & mask).to_string()).unwrap_or_default();
    let id = |tag| bits(&flow.vlan_ids, tag, 0, 0xfff);
    let [priority, dei] = [(13, 7), (12, 1)].map(|(shift, mask)| move |tag| bits(&flow.vlan_tci, tag, shift, mask));
    let time =
        |time: &Option<prost_types::Timestamp>| seconds(u64::try_from(between(&Some(<_>::default()), time).as_nanos()).unwrap_or(u64::MAX));
    let layers = flow.layers.as_ref();
    let stack = || layers.map(|layers| layers.mpls.as_slice()).unwrap_or_default();
    Some(match field.row.name {
        "kind" => flow.kind.to_string(),
        "end_reason" => flow.end_reason.to_string(),
        "biflow_direction" => flow.biflow_direction.to_string(),
        "view" => if flow.inner { "inner" } else { "outer" }.to_owned(),
        "start" => time(&flow.start),
        "end" => time(&flow.end),
        "duration" => seconds(u64::try_from(between(&flow.start, &flow.end).as_nanos()).unwrap_or(u64::MAX)),
        "vlan_id" => id(0),
        "customer_vlan_id" => id(1),
        "vlan_priority" => priority(0),
        "customer_vlan_priority" => priority(1),
        "vlan_dei" => dei(0),
        "customer_vlan_dei" => dei(1),
        "mpls_labels" => stack().iter().map(|entry| (entry >> 12).to_string()).collect::<Vec<_>>().join("|"),
        "mpls_label_stack_depth" if stack().is_empty() => String::new(),
        "mpls_label_stack_depth" => stack().len().to_string(),
        "tunnel_label" => layers.map(|layers| label(flow.inner, layers)).unwrap_or_default(),
        _ => return None,
    })
}

/// Kind and identifier of the tunnel that an inner flow is in, else the service instance.
fn label(inner: bool, layers: &FlowLayers) -> String {
    match (layers.tunnel_id.filter(|_| inner), layers.service_instance_tag) {
        (Some(id), _) => format!("{}={id}", layers.tunnel_id_kind),
        (None, Some(tag)) => format!("isid={}", tag & 0x00ff_ffff),
        (None, None) => String::new(),
    }
}

/// Whether a flow of this kind has the field: the API has 0 where a record has nothing.
fn applies(field: &Field, flow: &Flow) -> bool {
    let protocol = if flow.kind == 2 { None } else { u8::try_from(flow.protocol).ok() };
    match field.row.name {
        "source_port" | "destination_port" | "protocol" | "tcp_control_bits" => flow.kind != 2,
        "ttl" | "ttl_min" | "ttl_max" => {
            [flow.packets, flow.packets_reverse].get(usize::from(field.way)).is_some_and(|packets| *packets > 0)
        }
        "flow_label" => flow.kind == 6,
        "ip_flags" => flow.kind == 4,
        "icmp_type" | "icmp_code" => matches!(protocol, Some(1 | 58)) && (flow.icmp_type, flow.icmp_code) != (255, 255),
        _ => true,
    }
}

/// The value at a path; that of each item, where the path goes through a list.
fn at(json: &Json, path: &str) -> Json {
    match json {
        json if path.is_empty() => json.clone(),
        Json::Array(items) => items.iter().map(|item| at(item, path)).collect(),
        json => {
            let (name, rest) = path.split_once('.').unwrap_or((path, ""));
            json.get(name).map_or(Json::Null, |inner| at(inner, rest))
        }
    }
}

/// Whether the API says anything there.
fn is_there(path: &str, value: &Json) -> bool {
    match value {
        Json::Null => false,
        Json::String(text) => !text.is_empty(),
        Json::Array(items) => !items.is_empty(),
        Json::Number(number) => number.as_f64() != Some(0.0) || !SPARSE.iter().any(|sparse| path.starts_with(sparse)),
        Json::Bool(_) | Json::Object(_) => true,
    }
}

fn text(field: &Field, path: &str, value: &Json) -> String {
    match value {
        Json::Null => String::new(),
        Json::String(text) => text.clone(),
        Json::Bool(truth) => truth.to_string(),
        Json::Array(items) => items.iter().map(|item| text(field, path, item)).collect::<Vec<_>>().join(between_items(field)),
        Json::Number(found) if matches!(field.row.kind, Type::Duration | Type::Time) => {
            let unit: u32 = if path.ends_with("_us") { 1_000 } else { 1_000_000 };
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "times of a flow")]
            let rounded = || found.as_f64().map_or(0, |n| (n * f64::from(unit)).round() as u64);
            seconds(found.as_u64().and_then(|n| n.checked_mul(unit.into())).unwrap_or_else(rounded))
        }
        Json::Number(found) => found.as_u64().map_or_else(|| found.to_string(), |found| number(field, found)),
        other => other.to_string(),
    }
}

#[cfg(test)]
#[path = "field_columns_tests.rs"]
mod tests;
