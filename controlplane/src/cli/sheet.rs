//! A flow on a sheet of its own: everything the API says of it, a field a line, under the API's names.
//!
//! Both directions of a field stand in one line. What is absent, and what is empty, is left out.

use super::value_names::{ethertype, flags};
use crate::notation::protocol;
use serde::Serialize;
use serde_json::{Map, Value};

/// Messages in which 0 is "not there".
pub(super) const SPARSE: [&str; 3] = ["layers", "source_place", "destination_place"];
/// Ends the name of a field of the reverse direction.
const REVERSE: &str = "_reverse";

/// The sheet of a flow: a heading, its fields, an empty line.
///
/// # Errors
/// None of a message of the API.
pub(super) fn lines(heading: String, flow: &impl Serialize) -> serde_json::Result<Vec<String>> {
    // Through text: numbers of 32 bits stay as short as they are.
    let fields: Map<String, Value> = serde_json::from_str(&serde_json::to_string(flow)?)?;
    let mut lines = vec![heading];
    message(&fields, false, 2, &mut lines);
    lines.push(String::new());
    Ok(lines)
}

/// The fields of a message, in their order.
fn message(fields: &Map<String, Value>, sparse: bool, indent: usize, lines: &mut Vec<String>) {
    let there = |value: &Value| match value {
        Value::Null => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(values) => !values.is_empty(),
        Value::Number(number) => !sparse || number.as_f64() != Some(0.0),
        Value::Bool(_) | Value::Object(_) => true,
    };
    let reverse_of = |name: &str| fields.get(&format!("{name}{REVERSE}"));
    let shown: Vec<(&String, &Value)> = fields
        .iter()
        .filter(|(name, value)| there(value) && !name.strip_suffix(REVERSE).is_some_and(|forward| fields.contains_key(forward)))
        .collect();
    let width = shown.iter().filter(|(_, value)| !value.is_object()).map(|(name, _)| name.len()).max().unwrap_or(0);
    let ways = ["forward", "reverse"].map(|way| fields.get(way).and_then(Value::as_object));
    for (name, value) in shown {
        match value {
            Value::Object(_) if name == "forward" || (name == "reverse" && ways[0].is_none()) => both_ways(ways, indent, lines),
            Value::Object(_) if name == "reverse" => {}
            Value::Object(inner) => {
                let mut within = Vec::new();
                message(inner, SPARSE.contains(&name.as_str()), indent + 2, &mut within);
                if !within.is_empty() {
                    lines.push(format!("{:indent$}{name}", ""));
                    lines.append(&mut within);
                }
            }
            Value::Array(values) if values.iter().all(Value::is_object) => {
                lines.push(format!("{:indent$}{name}", ""));
                rows(values, indent + 2, lines);
            }
            value => {
                let back = reverse_of(name).map(|back| format!(" > < {}", text(name, back))).unwrap_or_default();
                lines.push(format!("{:indent$}{name:<width$}  {}{back}", "", text(name, value)));
            }
        }
    }
}

/// Messages of one kind for both directions, beside each other.
fn both_ways(ways: [Option<&Map<String, Value>>; 2], indent: usize, lines: &mut Vec<String>) {
    let cell = |way: usize, name: &str| ways[way].and_then(|way| way.get(name)).filter(|value| !value.is_null());
    let Some(any) = ways.into_iter().flatten().next() else { return };
    let mut table = vec![["".to_owned(), "forward".to_owned(), "reverse".to_owned()]];
    for name in any.keys().filter(|name| (0..2).any(|way| cell(way, name).is_some())) {
        let value = |way| cell(way, name).map_or_else(|| "-".to_owned(), |value| text(name, value));
        table.push([name.clone(), value(0), value(1)]);
    }
    aligned(&table, indent, lines);
}

/// Messages of one kind below each other.
fn rows(messages: &[Value], indent: usize, lines: &mut Vec<String>) {
    let messages: Vec<&Map<String, Value>> = messages.iter().filter_map(Value::as_object).collect();
    let Some(first) = messages.first() else { return };
    let mut table = vec![first.keys().cloned().collect::<Vec<_>>()];
    table.extend(messages.iter().map(|fields| fields.iter().map(|(name, value)| text(name, value)).collect()));
    aligned(&table, indent, lines);
}

/// The first column flush left, the others right.
fn aligned(table: &[impl AsRef<[String]>], indent: usize, lines: &mut Vec<String>) {
    let columns = table.iter().map(|row| row.as_ref().len()).max().unwrap_or(0);
    let cell = |row: &[String], at: usize| row.get(at).map_or(0, |cell| cell.chars().count());
    let widths: Vec<usize> = (0..columns).map(|at| table.iter().map(|row| cell(row.as_ref(), at)).max().unwrap_or(0)).collect();
    for row in table {
        let mut line = " ".repeat(indent);
        for (at, (text, width)) in row.as_ref().iter().zip(&widths).enumerate() {
            line.push_str(&if at == 0 { format!("{text:<width$}") } else { format!("  {text:>width$}") });
        }
        lines.push(line.trim_end().to_owned());
    }
}

/// A value, and what its number means where people know it by another name.
fn text(name: &str, value: &Value) -> String {
    let plain = match value {
        Value::String(text) => text.clone(),
        Value::Array(values) => return values.iter().map(|value| text(name, value)).collect::<Vec<_>>().join(" "),
        // Nanoseconds of microseconds: more digits are noise of the division.
        Value::Number(number) if number.is_f64() => {
            let digits = format!("{:.3}", number.as_f64().unwrap_or(0.0));
            digits.trim_end_matches('0').trim_end_matches('.').to_owned()
        }
        other => other.to_string(),
    };
    let number = value.as_u64().and_then(|number| u32::try_from(number).ok());
    let meaning = number.and_then(|number| match name.strip_suffix(REVERSE).unwrap_or(name) {
        "protocol" | "outer_protocol" => u8::try_from(number).ok().map(protocol),
        "tcp_control_bits" => Some(flags(number)),
        "ethernet_type" => Some(ethertype(number)),
        _ => None,
    });
    match meaning.filter(|meaning| !meaning.is_empty() && *meaning != plain) {
        Some(meaning) => format!("{plain} ({meaning})"),
        None => plain,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sonde_proto::v1::{Burst, FirstPacket, Flow, FlowLayers, Histograms, NetTisa, Place, TcpDirection, TcpPerformance};

    fn sheet(flow: &Flow) -> String {
        lines("heading".into(), flow).expect("a message").join("\n")
    }

    /// The line of a field, without what aligns it.
    fn line<'a>(sheet: &'a str, name: &str) -> Option<Vec<&'a str>> {
        let found = sheet.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()).find(|words| words.first() == Some(&name));
        found.map(|words| words[1..].to_vec())
    }

    #[test]
    fn both_directions_of_a_field_are_one_line_and_numbers_have_their_names() {
        let shown = sheet(&Flow { octets: 1500, octets_reverse: 7, protocol: 6, end_reason: 3, tcp_control_bits: 2, ..Flow::default() });
        assert!(shown.starts_with("heading\n  flow_id "), "{shown}");
        assert_eq!(line(&shown, "octets"), Some(vec!["1500", ">", "<", "7"]));
        assert_eq!(line(&shown, "octets_reverse"), None);
        assert_eq!(line(&shown, "protocol"), Some(vec!["6", "(tcp)"]));
        assert_eq!(line(&shown, "end_reason"), Some(vec!["end_of_flow"]));
        assert_eq!(line(&shown, "tcp_control_bits"), Some(vec!["2", "(S)", ">", "<", "0"]));
        assert_eq!((line(&shown, "source_address"), line(&shown, "tcp"), line(&shown, "vlan_ids")), (None, None, None), "{shown}");
        assert!(shown.ends_with('\n'), "an empty line follows");
    }

    #[test]
    fn performance_stands_in_columns_of_its_directions() {
        let forward = TcpDirection { payload_octets: 700, mss: Some(1460), ..TcpDirection::default() };
        let reverse = TcpDirection { payload_octets: 20_000, ..TcpDirection::default() };
        let tcp = TcpPerformance { server_rtt_us: Some(0.0), forward: Some(forward), reverse: Some(reverse), ..<_>::default() };
        let shown = sheet(&Flow { tcp: Some(tcp), ..Flow::default() });
        assert_eq!(line(&shown, "server_rtt_us"), Some(vec!["0"]), "0 is a value: {shown}");
        assert_eq!((line(&shown, "client_rtt_us"), line(&shown, "forward")), (None, Some(vec!["reverse"])), "{shown}");
        assert_eq!(line(&shown, "payload_octets"), Some(vec!["700", "20000"]));
        assert_eq!((line(&shown, "mss"), line(&shown, "window_scale")), (Some(vec!["1460", "-"]), None));
        let one = TcpPerformance { reverse: Some(reverse), ..<_>::default() };
        let shown = sheet(&Flow { tcp: Some(one), ..Flow::default() });
        assert_eq!(line(&shown, "payload_octets"), Some(vec!["-", "20000"]), "{shown}");
    }

    #[test]
    fn patterns_are_rows() {
        let packet =
            |payload_octets| FirstPacket { payload_octets, time_us: 1_000_000, tcp_control_bits: 24, reverse: payload_octets == 9 };
        let flow = Flow {
            histograms: Some(Histograms { forward_sizes: vec![1, 0, 2], ..Histograms::default() }),
            first_packets: vec![packet(700), packet(9)],
            forward_bursts: vec![Burst { packets: 3, ..Burst::default() }],
            nettisa: Some(NetTisa { mean: 0.1, ..NetTisa::default() }),
            ..Flow::default()
        };
        let shown = sheet(&flow);
        assert_eq!(line(&shown, "forward_sizes"), Some(vec!["1", "0", "2"]), "{shown}");
        assert_eq!(line(&shown, "700"), Some(vec!["1000000", "24", "(PA)", "false"]), "{shown}");
        assert_eq!(line(&shown, "9"), Some(vec!["1000000", "24", "(PA)", "true"]), "{shown}");
        assert_eq!((line(&shown, "mean"), line(&shown, "kurtosis")), (Some(vec!["0.1"]), Some(vec!["0"])), "{shown}");
    }

    #[test]
    fn a_place_of_which_nothing_is_known_is_left_out() {
        let known = Place { as_number: 64_500, ..Place::default() };
        let shown = sheet(&Flow { source_place: Some(Place::default()), destination_place: Some(known), ..Flow::default() });
        assert_eq!((line(&shown, "source_place"), line(&shown, "destination_place")), (None, Some(vec![])), "{shown}");
        assert_eq!((line(&shown, "as_number"), line(&shown, "prefix_length")), (Some(vec!["64500"]), None));
    }

    #[test]
    fn layers_are_those_that_are_there() {
        let layers = FlowLayers { tunnels: vec!["gre".into(), "vxlan".into()], tunnel_id: Some(7), ..FlowLayers::default() };
        let shown = sheet(&Flow { layers: Some(layers), ..Flow::default() });
        assert_eq!((line(&shown, "tunnels"), line(&shown, "gre_key")), (Some(vec!["gre", "vxlan"]), None), "{shown}");
    }
}
