//! How answers are spelled in JSON where their Rust type has no spelling of its own.

use prost_types::Timestamp;
use serde::Serializer;

/// A time as RFC 3339 in UTC with nanoseconds as far as there are any; `null` when absent.
pub(crate) fn time<S: Serializer>(value: &Option<Timestamp>, to: S) -> Result<S::Ok, S::Error> {
    match value {
        // `Timestamp` writes RFC 3339 itself.
        Some(t) => to.serialize_str(&t.to_string()),
        None => to.serialize_none(),
    }
}

/// The dataplane's state by its short name: "running".
pub(crate) fn state<S: Serializer>(value: &i32, to: S) -> Result<S::Ok, S::Error> {
    let name = crate::v1::DataplaneState::try_from(*value).map_or("unknown", |s| s.as_str_name());
    to.serialize_str(&name.trim_start_matches("DATAPLANE_STATE_").to_ascii_lowercase())
}

/// What a flow is metered by, as the API's `kind`: "ipv4", "ipv6", "layer2".
pub fn kind(value: u32) -> Option<&'static str> {
    Some(match value {
        4 => "ipv4",
        6 => "ipv6",
        2 => "layer2",
        _ => return None,
    })
}

/// flowEndReason (IANA IPFIX element 136) by the registry's words.
pub fn end_reason(value: u32) -> Option<&'static str> {
    Some(match value {
        1 => "idle",
        2 => "active",
        3 => "end_of_flow",
        4 => "forced",
        5 => "lack_of_resources",
        _ => return None,
    })
}

/// biflowDirection (IANA IPFIX element 239, RFC 5103 section 6.3) by the registry's words.
pub fn biflow_direction(value: u32) -> Option<&'static str> {
    Some(match value {
        0 => "arbitrary",
        1 => "initiator",
        2 => "reverse_initiator",
        3 => "perimeter",
        _ => return None,
    })
}

/// A value by its name; one that has none stays a number.
fn named<S: Serializer>(value: u32, name: Option<&'static str>, to: S) -> Result<S::Ok, S::Error> {
    match name {
        Some(name) => to.serialize_str(name),
        None => to.serialize_u32(value),
    }
}

pub(crate) fn named_kind<S: Serializer>(value: &u32, to: S) -> Result<S::Ok, S::Error> {
    named(*value, kind(*value), to)
}

pub(crate) fn named_end_reason<S: Serializer>(value: &u32, to: S) -> Result<S::Ok, S::Error> {
    named(*value, end_reason(*value), to)
}

pub(crate) fn named_biflow_direction<S: Serializer>(value: &u32, to: S) -> Result<S::Ok, S::Error> {
    named(*value, biflow_direction(*value), to)
}

#[cfg(test)]
mod tests {
    use crate::v1::{DataplaneState, Flow, Status};

    #[test]
    fn times_and_states_are_spelled_for_programs() {
        let start = Some(prost_types::Timestamp { seconds: 1_700_000_000, nanos: 5_000_000 });
        let flow = serde_json::to_value(Flow { start, ..Flow::default() }).expect("a flow is JSON");
        assert_eq!(flow["start"], "2023-11-14T22:13:20.005Z");
        assert_eq!(flow["end"], serde_json::Value::Null);
        let flow = serde_json::to_value(Flow { kind: 2, end_reason: 1, biflow_direction: 2, ..Flow::default() }).expect("a flow is JSON");
        assert_eq!((&flow["kind"], &flow["end_reason"]), (&"layer2".into(), &"idle".into()));
        assert_eq!(flow["biflow_direction"], "reverse_initiator");
        let unknown = serde_json::to_value(Flow { end_reason: 77, ..Flow::default() }).expect("a flow is JSON");
        assert_eq!((&unknown["end_reason"], &unknown["biflow_direction"]), (&77.into(), &"arbitrary".into()));
        let status = Status { state: DataplaneState::Running.into(), ..Status::default() };
        assert_eq!(serde_json::to_value(status).expect("a status is JSON")["state"], "running");
    }
}
