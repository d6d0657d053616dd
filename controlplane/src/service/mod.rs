//! The northbound API: one file for each service of the protos.

pub(crate) mod config;
pub(crate) mod exporters;
pub(crate) mod flows;
pub(crate) mod status;

use crate::fault;
use tonic::{Request, Status};

/// Rows of a page when it is not said.
const PAGE: u32 = 50;
/// Most rows of a page.
const PAGE_MAX: u32 = 1000;

/// Who asks, as far as the transport tells. Roles come with TLS; this is their place.
fn author<T>(request: &Request<T>) -> String {
    request.remote_addr().map_or_else(|| "unknown".to_owned(), |address| address.to_string())
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
    fault::bad_field("page_token", "the next_page_token of the answer before, or empty", token)
}
