//! The connection to the control plane, and what is said when something goes wrong with it.

use anyhow::anyhow;
use sonde_proto::v1::config_service_client::ConfigServiceClient;
use sonde_proto::v1::exporters_service_client::ExportersServiceClient;
use sonde_proto::v1::flows_service_client::FlowsServiceClient;
use sonde_proto::v1::status_service_client::StatusServiceClient;
use std::time::Duration;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};
use tonic_types::StatusExt;

/// A machine that does not answer at all is given up after this.
const CONNECT: Duration = Duration::from_secs(5);
/// How often a control plane that went away is looked for.
pub(super) const RETRY: Duration = Duration::from_millis(500);

/// Nobody listens at the address.
#[derive(Debug, thiserror::Error)]
#[error(
    "no control plane answers at {api}: is sonde-controlplane running? Start it, or give the address of a running one with --api or \
     SONDE_API ({cause})"
)]
pub(super) struct Nobody {
    api: String,
    cause: String,
}

/// A connection.
pub(super) struct Client(Channel);

impl Client {
    /// Connects.
    pub(super) async fn connect(api: &str) -> anyhow::Result<Self> {
        let uri = if api.contains("://") { api.to_owned() } else { format!("http://{api}") };
        let endpoint = Endpoint::from_shared(uri)
            .map_err(|_| anyhow!("--api {api:?} is no address: give host:port, for example 127.0.0.1:4950 or [::1]:4950"))?
            .connect_timeout(CONNECT)
            .tcp_nodelay(true);
        let channel = endpoint.connect().await.map_err(|e| Nobody { api: api.to_owned(), cause: innermost(&e) })?;
        Ok(Self(channel))
    }

    pub(super) fn config(&self) -> ConfigServiceClient<Channel> {
        ConfigServiceClient::new(self.0.clone())
    }

    pub(super) fn status(&self) -> StatusServiceClient<Channel> {
        StatusServiceClient::new(self.0.clone())
    }

    pub(super) fn flows(&self) -> FlowsServiceClient<Channel> {
        FlowsServiceClient::new(self.0.clone())
    }

    pub(super) fn exporters(&self) -> ExportersServiceClient<Channel> {
        ExportersServiceClient::new(self.0.clone())
    }
}

fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

/// Whether the control plane went away, and may come back.
pub(super) fn went_away(status: &Status) -> bool {
    // tonic gives a broken connection as UNAVAILABLE, CANCELLED or UNKNOWN with the cause; a server's own answer has none.
    matches!(status.code(), Code::Unavailable | Code::Cancelled | Code::Unknown | Code::Internal)
        && std::error::Error::source(status).is_some()
}

/// What is printed on standard error: a sentence, and each violation on a line of its own; or one JSON object.
///
/// `changes`: the command was one that changes something.
pub(super) fn complaint(error: &anyhow::Error, api: &str, json: bool, changes: bool) -> String {
    let Some(status) = error.downcast_ref::<Status>() else {
        let code = if error.is::<Nobody>() { "UNAVAILABLE" } else { "FAILED" };
        return if json { object(code, &format!("{error:#}"), &[]) } else { format!("sonde: {error:#}") };
    };
    let details = status.get_error_details();
    let mut violations: Vec<(String, String)> = Vec::new();
    for v in details.bad_request().map(|b| b.field_violations.as_slice()).unwrap_or_default() {
        violations.push((v.field.clone(), v.description.clone()));
    }
    for v in details.precondition_failure().map(|p| p.violations.as_slice()).unwrap_or_default() {
        violations.push((v.subject.clone(), format!("{}: {}", v.r#type, v.description)));
    }
    let message = if went_away(status) {
        format!("the control plane at {api} went away: {}. Is sonde-controlplane still running?", innermost(status))
    } else {
        status.message().to_owned()
    };
    if json {
        return object(&code_name(status.code()), &message, &violations);
    }
    if status.code() != Code::InvalidArgument || violations.is_empty() {
        return format!("sonde: {message}");
    }
    let noun = if violations.len() == 1 { "one fault" } else { "these faults" };
    let mut text = if changes { format!("sonde: nothing was changed; it has {noun}:") } else { format!("sonde: the request has {noun}:") };
    for (path, rule) in violations {
        let path = if path.is_empty() { "the document" } else { &path };
        text.push_str(&format!("\n  {path}: {rule}"));
    }
    text
}

fn object(code: &str, message: &str, violations: &[(String, String)]) -> String {
    let violations: Vec<_> = violations.iter().map(|(path, rule)| serde_json::json!({ "path": path, "description": rule })).collect();
    serde_json::json!({ "error": { "code": code, "message": message, "violations": violations } }).to_string()
}

/// The code's name as the gRPC documentation writes it.
fn code_name(code: Code) -> String {
    let mut name = String::new();
    for c in format!("{code:?}").chars() {
        if c.is_ascii_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(c.to_ascii_uppercase());
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;
    use sonde_proto::v1::Violation;

    #[test]
    fn faults_stand_on_lines_of_their_own() {
        let fault = |path: &str| Violation { path: path.into(), rule: "1 to 9".into(), found: "0".into() };
        let error = anyhow::Error::new(crate::fault::invalid(&[fault("live.a"), fault("live.b")]));
        let text = complaint(&error, "x", false, true);
        assert_eq!(
            text,
            "sonde: nothing was changed; it has these faults:\n  live.a: must be 1 to 9; found 0\n  live.b: must be 1 to 9; found 0"
        );
        let asked = complaint(&error, "x", false, false);
        assert!(asked.starts_with("sonde: the request has these faults:\n  live.a"), "{asked}");
        let json: serde_json::Value = serde_json::from_str(&complaint(&error, "x", true, true)).expect("JSON");
        assert_eq!(json["error"]["code"], "INVALID_ARGUMENT");
        assert_eq!(json["error"]["violations"][1]["path"], "live.b");
    }
}
