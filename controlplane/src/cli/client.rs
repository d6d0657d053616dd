//! The connection to the control plane, and what is said when something goes wrong with it.

use super::global::Global;
use crate::address::Address;
use crate::service::CLAIM;
use hyper_util::rt::TokioIo;
use sonde_expression::{Position, caret};
use sonde_proto::v1::config_service_client::ConfigServiceClient;
use sonde_proto::v1::exporters_service_client::ExportersServiceClient;
use sonde_proto::v1::flows_service_client::FlowsServiceClient;
use sonde_proto::v1::status_service_client::StatusServiceClient;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::net::UnixStream;
use tonic::body::Body;
use tonic::codegen::http::{HeaderValue, Request, Response, Uri};
use tonic::codegen::{Service, StdError};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};
use tonic_types::StatusExt;
use tower::service_fn;

/// A connection that cannot be made is given up after this.
const CONNECT: Duration = Duration::from_secs(5);
/// A call that changes settings waits for its turn and the workers, so much longer than others.
const CHANGE: Duration = Duration::from_secs(20);
/// Methods that do.
const CHANGES: [&str; 5] = ["/Apply", "/Rollback", "/Add", "/Update", "/Remove"];
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
pub(super) struct Client {
    channel: Patient,
}

/// The channel, with an end to its patience: a control plane that hangs is said, and for what it was asked.
#[derive(Clone)]
pub(super) struct Patient {
    channel: Channel,
    patience: Duration,
    at: Arc<str>,
    claim: Option<HeaderValue>,
}

impl Patient {
    /// What was waited for in vain.
    fn gave_up(&self, what: &str, waited: Duration) -> Status {
        Status::deadline_exceeded(format!(
            "the control plane at {} took the connection, but has not answered {what} within {} s: it hangs, or is stopped. See its log, \
             start it again, or wait longer with --timeout",
            self.at,
            waited.as_secs_f32()
        ))
    }
}

impl Service<Request<Body>> for Patient {
    type Response = Response<Body>;
    type Error = StdError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, StdError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StdError>> {
        self.channel.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        // The one that is ready is this one; its clone stays.
        let fresh = self.channel.clone();
        let mut ready = std::mem::replace(&mut self.channel, fresh);
        let path = request.uri().path().to_owned();
        let more = if CHANGES.iter().any(|m| path.ends_with(m)) { CHANGE } else { Duration::ZERO };
        let patience = self.patience.saturating_add(more);
        let late = self.gave_up(path.trim_start_matches('/'), patience);
        if let Some(claim) = &self.claim {
            request.headers_mut().insert(CLAIM, claim.clone());
        }
        Box::pin(async move {
            match tokio::time::timeout(patience, ready.call(request)).await {
                Ok(answer) => answer.map_err(Into::into),
                Err(_) => Err(late.into()),
            }
        })
    }
}

/// What the history shows beside what the system knows: who this is, by its own word.
fn claim() -> Option<HeaderValue> {
    let user = ["SUDO_USER", "USER", "LOGNAME"].iter().find_map(|v| std::env::var(v).ok().filter(|u| !u.is_empty()))?;
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    HeaderValue::from_str(&sonde_settings::excerpt(&format!("{user}@{host}"), 64)).ok()
}

impl Client {
    /// Connects to the first address that answers.
    pub(super) async fn connect(global: &Global) -> anyhow::Result<Self> {
        let mut causes = Vec::new();
        for address in &global.api.0 {
            match channel(address, global.patience()).await {
                Ok(channel) => {
                    let at = address.to_string().into();
                    return Ok(Self { channel: Patient { channel, patience: global.patience(), at, claim: claim() } });
                }
                Err(error) => causes.push(innermost(&error)),
            }
        }
        causes.dedup();
        Err(Nobody { api: global.api.to_string().replace(',', " or "), cause: causes.join("; ") }.into())
    }

    /// The same with more patience: where the control plane itself waits so long.
    pub(super) fn waiting(mut self, more: Duration) -> Self {
        self.channel.patience = self.channel.patience.saturating_add(more);
        self
    }

    /// Where it is connected to.
    pub(super) fn at(&self) -> &str {
        &self.channel.at
    }

    /// The first answer of a stream, which comes at once.
    pub(super) async fn first<T>(&self, stream: &mut tonic::Streaming<T>, what: &str) -> Result<Option<T>, Status> {
        let patience = self.channel.patience;
        tokio::time::timeout(patience, stream.message()).await.unwrap_or_else(|_| Err(self.channel.gave_up(what, patience)))
    }

    pub(super) fn config(&self) -> ConfigServiceClient<Patient> {
        ConfigServiceClient::new(self.channel.clone())
    }

    pub(super) fn status(&self) -> StatusServiceClient<Patient> {
        StatusServiceClient::new(self.channel.clone())
    }

    pub(super) fn flows(&self) -> FlowsServiceClient<Patient> {
        FlowsServiceClient::new(self.channel.clone())
    }

    pub(super) fn exporters(&self) -> ExportersServiceClient<Patient> {
        ExportersServiceClient::new(self.channel.clone())
    }
}

async fn channel(address: &Address, patience: Duration) -> Result<Channel, tonic::transport::Error> {
    let uri = match address {
        Address::Tcp { .. } => format!("http://{address}"),
        // The name is for the HTTP/2 authority only; the connector knows where to go.
        Address::Unix(_) => "http://localhost".to_owned(),
    };
    let endpoint = Endpoint::from_shared(uri)?
        .connect_timeout(CONNECT.min(patience))
        .tcp_nodelay(true)
        // A control plane that hangs is noticed in the middle of a stream, too.
        .http2_keep_alive_interval(Duration::from_secs(10))
        .keep_alive_timeout(patience);
    match address {
        Address::Tcp { .. } => endpoint.connect().await,
        Address::Unix(path) => {
            let path = path.clone();
            let connector = service_fn(move |_: Uri| {
                let path = path.clone();
                async move { UnixStream::connect(path).await.map(TokioIo::new) }
            });
            endpoint.connect_with_connector(connector).await
        }
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

/// Whether the connection ended because there is no place for it.
fn turned_away(status: &Status) -> bool {
    // GOAWAY with ENHANCE_YOUR_CALM becomes this code; a server's own answer has no cause.
    status.code() == Code::ResourceExhausted && std::error::Error::source(status).is_some()
}

/// The expression that was asked with: if it is refused, its place is shown.
#[derive(Debug)]
struct Asked(String);

impl std::fmt::Display for Asked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "asked with --where {}", self.0)
    }
}

/// Adds to an error the expression that was asked with; `expression` is empty where there was none.
pub(super) fn asked(error: anyhow::Error, expression: String) -> anyhow::Error {
    if error.is::<Status>() && !expression.is_empty() { error.context(Asked(expression)) } else { error }
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
    let message = if turned_away(status) {
        format!("the control plane at {api} has no room for another connection: end clients, or give it more with --connections-max")
    } else if went_away(status) {
        format!(
            "the control plane at {api} went away: {}. Is sonde-controlplane still running? If it is, it may have no room for another \
             connection: its log says so",
            innermost(status)
        )
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
        if let (Some(Asked(expression)), Some(place)) = (error.downcast_ref(), Position::in_message(&rule)) {
            text.push_str(&format!("\n{}", caret(expression, place)));
        }
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
    use sonde_proto::v1::{FlowFilter, Violation};

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
        let wrong = FlowFilter { r#where: "rtt > 200".into(), ..FlowFilter::default() };
        let refused = crate::filter::Filter::new(Some(&wrong), false).expect_err("no duration");
        let shown = complaint(&super::asked(refused.into(), wrong.r#where), "x", false, false);
        assert_eq!(
            shown,
            "sonde: the request has one fault:\n  filter.where: must be a duration as 200 ms for rtt (duration), at line 1, column 7; found 200\n  \
             rtt > 200\n        ^"
        );
        let json: serde_json::Value = serde_json::from_str(&complaint(&error, "x", true, true)).expect("JSON");
        assert_eq!(json["error"]["code"], "INVALID_ARGUMENT");
        assert_eq!(json["error"]["violations"][1]["path"], "live.b");
    }
}
