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

#[cfg(test)]
mod tests {
    use crate::v1::{DataplaneState, Flow, Status};

    #[test]
    fn times_and_states_are_spelled_for_programs() {
        let start = Some(prost_types::Timestamp { seconds: 1_700_000_000, nanos: 5_000_000 });
        let flow = serde_json::to_value(Flow { start, ..Flow::default() }).expect("a flow is JSON");
        assert_eq!(flow["start"], "2023-11-14T22:13:20.005Z");
        assert_eq!(flow["end"], serde_json::Value::Null);
        let status = Status { state: DataplaneState::Running.into(), ..Status::default() };
        assert_eq!(serde_json::to_value(status).expect("a status is JSON")["state"], "running");
    }
}
