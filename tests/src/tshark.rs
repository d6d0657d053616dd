//! What tshark reads of a capture; and of IPFIX: messages as a capture, and the flow records it finds there.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use serde_json::Value;

use crate::harness::{Said, run};
use crate::skip::{Need, skip};
use crate::traffic::{Packet, SECOND, Stack, capture};

/// Values of a flow record by the name of their field, in the order in which they came: forward and reverse have one name.
pub type Flow = BTreeMap<String, Vec<String>>;

/// A preference without which tshark refuses templates of more than 60 fields.
const LONG_TEMPLATES: &str = "cflow.max_template_fields:0";

/// tshark over a capture, with the preferences that it has by itself; `None`, said loudly, where it is not installed.
pub fn tshark(path: &Path) -> Option<Command> {
    static FAULT: OnceLock<Option<String>> = OnceLock::new();
    let fault = FAULT.get_or_init(|| Command::new("tshark").arg("-v").output().err().map(|error| error.to_string()));
    if let Some(error) = fault {
        skip(Need::Tshark, &format!("what tshark reads of {} ({error})", path.display()));
        return None;
    }
    let mut command = Command::new("tshark");
    command.args(["-n", "-r"]).arg(path);
    Some(command)
}

/// Asks for these fields, a line a frame, separated by tabs. What it says of its status is the caller's to judge: it fails at the end
/// of a damaged capture.
pub fn ask<'a>(command: &mut Command, fields: impl IntoIterator<Item = &'a str>) -> Said {
    command.args(["-T", "fields"]);
    for field in fields {
        command.args(["-e", field]);
    }
    run(command)
}

/// The lines of [`ask`], of a capture that is whole.
///
/// # Panics
/// When it fails.
pub fn lines<'a>(command: &mut Command, fields: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let said = ask(command, fields);
    assert_eq!(said.code, Some(0), "tshark: {}", said.stderr);
    said.stdout.lines().map(str::to_owned).collect()
}

/// Wraps messages, each with the source port of its stream, into UDP datagrams to port 4739, so that tshark takes them for what they are.
///
/// # Panics
/// When the file cannot be written.
pub fn as_capture<'a>(path: &Path, messages: impl IntoIterator<Item = (u16, &'a [u8])>) {
    let packet = |(port, message)| {
        let stack = Stack::ethernet().ipv4([127, 0, 0, 1], [127, 0, 0, 1]).udp(port, 4739).payload(message);
        Packet { time: SECOND, bytes: stack.build() }
    };
    capture::save(path, messages.into_iter().map(packet));
}

/// The flow records that tshark reads of a capture, each with the source port of its stream as `udp.srcport`. It has the preferences that it
/// has by itself.
///
/// # Panics
/// When it fails.
pub fn flows(path: &Path) -> Option<Vec<Flow>> {
    Some(read(&mut tshark(path)?))
}

/// The same where templates may have more than 60 fields.
///
/// # Panics
/// When it fails.
pub fn flows_of_long_templates(path: &Path) -> Option<Vec<Flow>> {
    Some(read(tshark(path)?.args(["-o", LONG_TEMPLATES])))
}

fn read(tshark: &mut Command) -> Vec<Flow> {
    let said = run(tshark.args(["-T", "json", "--no-duplicate-keys"]));
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let frames: Vec<Value> = serde_json::from_str(&said.stdout).expect("JSON");
    let mut found = Vec::new();
    for frame in &frames {
        let before = found.len();
        gather(frame, &mut found);
        let port = frame.pointer("/_source/layers/udp/udp.srcport").and_then(Value::as_str).expect("a datagram");
        for flow in found.iter_mut().skip(before) {
            flow.insert("udp.srcport".to_owned(), vec![port.to_owned()]);
        }
    }
    found
}

/// Every object that has a flow's number is a flow.
fn gather(value: &Value, found: &mut Vec<Flow>) {
    match value {
        Value::Object(map) if map.contains_key("cflow.flow_id") => {
            let mut flow = Flow::new();
            fields(value, &mut flow);
            found.push(flow);
        }
        Value::Object(map) => map.values().for_each(|value| gather(value, found)),
        Value::Array(values) => values.iter().for_each(|value| gather(value, found)),
        _ => {}
    }
}

fn fields(value: &Value, flow: &mut Flow) {
    let Value::Object(map) = value else { return };
    for (name, value) in map {
        let texts = |value: &Value| value.as_str().map(str::to_owned);
        match value {
            Value::String(text) => flow.entry(name.clone()).or_default().push(text.clone()),
            Value::Array(values) => flow.entry(name.clone()).or_default().extend(values.iter().filter_map(texts)),
            _ => fields(value, flow),
        }
    }
}
