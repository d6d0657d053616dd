//! The northbound API: one file for each service of the protos.

pub(crate) mod config;
pub(crate) mod exporters;
pub(crate) mod flows;
mod follow;
pub(crate) mod status;

use crate::admit::{Connection, Peer};
use crate::fault;
use std::sync::Arc;
use std::time::Duration;
use tonic::{Request, Status};

/// Rows of a page when it is not said.
const PAGE: u32 = 50;
/// Most rows of a page.
const PAGE_MAX: u32 = 1000;

/// What a client says of itself, for the history: `alice@host`.
pub(crate) const CLAIM: &str = "sonde-client";
/// Longest claim that is kept, in characters.
const CLAIM_MAX: usize = 64;
/// A name service that takes longer is done without.
const NAMING: Duration = Duration::from_secs(1);

/// The connection a request came over.
fn connection<T>(request: &Request<T>) -> Option<&Arc<Connection>> {
    request.extensions().get()
}

/// Who asks: what the system tells of the other end, and what the client says of itself. Roles come with TLS; this is their place.
fn author<T>(request: &Request<T>) -> impl Future<Output = String> + Send + use<T> {
    let peer = connection(request).map(|c| c.peer);
    let claim = request.metadata().get(CLAIM).and_then(|c| c.to_str().ok()).map(|c| sonde_settings::excerpt(c, CLAIM_MAX));
    async move {
        let who = match peer {
            None => "unknown".to_owned(),
            Some(Peer::Unix(Some(user))) => match user_name(user).await {
                Some(name) => format!("uid {user} ({name})"),
                None => format!("uid {user}"),
            },
            Some(peer) => peer.to_string(),
        };
        match claim {
            Some(claim) if !claim.is_empty() => format!("{who}, says {claim:?}"),
            _ => who,
        }
    }
}

/// The name of a user of this machine. The name service may be a network away.
async fn user_name(user: u32) -> Option<String> {
    let asked = tokio::task::spawn_blocking(move || nix::unistd::User::from_uid(user.into()));
    let found = tokio::time::timeout(NAMING, asked).await.ok()?.ok()?.ok()??;
    Some(sonde_settings::excerpt(&found.name, CLAIM_MAX))
}

/// Rows of a page that is asked for.
fn page_size(asked: u32) -> Result<usize, Status> {
    let size = if asked == 0 { PAGE } else { asked };
    if size > PAGE_MAX {
        return Err(fault::bad_field("page_size", "at most 1000", asked));
    }
    usize::try_from(size).map_err(|e| Status::internal(e.to_string()))
}

/// A page token that this server never gave.
fn bad_token(token: &str) -> Status {
    fault::bad_text("page_token", "the next_page_token of the answer before, or empty", token)
}
