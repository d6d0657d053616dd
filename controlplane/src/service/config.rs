//! `sonde.v1.ConfigService`: what is desired, what is in force, what was.

use super::{author, bad_token, page_size};
use crate::desired::{Change, Desired, Outcome};
use crate::{document, fault};
use sonde_proto::v1::config_service_server::ConfigService;
use sonde_proto::v1::{
    ApplyConfigRequest, ApplyConfigResponse, Generation, GetConfigRequest, GetConfigResponse, HistoryRequest, HistoryResponse,
    RollbackRequest, Settings, ValidateConfigRequest, ValidateConfigResponse,
};
use tonic::{Request, Response, Status, async_trait};

/// The service.
pub(crate) struct Config {
    desired: Desired,
}

impl Config {
    /// Over the desired settings.
    pub(crate) fn new(desired: Desired) -> Self {
        Self { desired }
    }
}

#[async_trait]
impl ConfigService for Config {
    async fn get(&self, _: Request<GetConfigRequest>) -> Result<Response<GetConfigResponse>, Status> {
        let desired = self.desired.newest();
        let converged = desired.as_ref().is_some_and(|g| self.desired.converged(g));
        let settings = desired.as_ref().and_then(|g| g.settings.as_ref());
        let restart_required = settings.map(|s| self.desired.restart_for(s)).unwrap_or_default();
        let generation_in_force = self.desired.link().description().map_or(0, |d| d.generation);
        let unreadable = self.desired.history(|store| store.unreadable());
        let trouble = self.desired.trouble();
        Ok(Response::new(GetConfigResponse { desired, generation_in_force, converged, restart_required, unreadable, trouble }))
    }

    async fn validate(&self, request: Request<ValidateConfigRequest>) -> Result<Response<ValidateConfigResponse>, Status> {
        let asked = request.into_inner().settings.ok_or_else(no_settings)?;
        let settings = self.desired.complete(asked, self.desired.newest().as_ref());
        Ok(Response::new(match document::effective(&settings) {
            Ok(effective) => {
                let violations = self.desired.forbidden(&effective);
                if !violations.is_empty() {
                    return Ok(Response::new(ValidateConfigResponse { violations, ..ValidateConfigResponse::default() }));
                }
                let restart_required = self.desired.restart_for(&effective);
                ValidateConfigResponse { violations: Vec::new(), restart_required, effective: Some(effective) }
            }
            Err(violations) => ValidateConfigResponse { violations: fault::listed(violations), ..ValidateConfigResponse::default() },
        }))
    }

    async fn apply(&self, request: Request<ApplyConfigRequest>) -> Result<Response<ApplyConfigResponse>, Status> {
        let author = author(&request).await;
        let asked = request.into_inner();
        let settings = asked.settings.ok_or_else(no_settings)?;
        let change = Change {
            etag: asked.etag,
            request_id: asked.request_id,
            validate_only: asked.validate_only,
            labelled: !asked.comment.is_empty(),
            comment: asked.comment,
            deadline_ms: asked.deadline_ms,
            allow_restart: asked.allow_restart_required,
            author,
        };
        self.desired.change(change, |_| Ok(settings)).await.map(answer)
    }

    async fn history(&self, request: Request<HistoryRequest>) -> Result<Response<HistoryResponse>, Status> {
        let HistoryRequest { page_size: asked, page_token, include_settings } = request.into_inner();
        let size = page_size(asked)?;
        let before = if page_token.is_empty() { None } else { Some(page_token.parse::<u64>().map_err(|_| bad_token(&page_token))?) };
        let mut generations: Vec<Generation> =
            self.desired.history(|store| store.older(before).take(size + 1).map(|g| shown(g, include_settings)).collect());
        let more = generations.len() > size;
        generations.truncate(size);
        let next_page_token = generations.last().filter(|_| more).map(|g| g.number.to_string()).unwrap_or_default();
        // A page behind a number is asked for that generation too: that its file is there and cannot be read is said as well.
        let unreadable = self.desired.history(|store| store.unreadable());
        Ok(Response::new(HistoryResponse { generations, next_page_token, unreadable }))
    }

    async fn rollback(&self, request: Request<RollbackRequest>) -> Result<Response<ApplyConfigResponse>, Status> {
        let author = author(&request).await;
        let RollbackRequest { number, request_id, validate_only, comment, etag, deadline_ms, allow_restart_required } =
            request.into_inner();
        let Some(earlier) = self.desired.history(|store| store.get(number).cloned()) else {
            if let Some(file) = self.desired.history(|store| store.unreadable()).into_iter().find(|file| file.number == number) {
                return Err(Status::failed_precondition(format!("generation {number} cannot be read: {}: {}", file.path, file.reason)));
            }
            let (oldest, newest) =
                self.desired.history(|store| (store.older(None).last().map_or(0, |g| g.number), store.newest().map_or(0, |g| g.number)));
            return Err(Status::not_found(format!("there is no generation {number}: the history goes from {oldest} to {newest}")));
        };
        let labelled = !comment.is_empty();
        let comment = if labelled { comment } else { format!("back to generation {number}") };
        let allow_restart = allow_restart_required;
        let change = Change { etag, request_id, validate_only, comment, labelled, deadline_ms, allow_restart, author };
        self.desired.change(change, |_| Ok(earlier.settings.unwrap_or_default())).await.map(answer)
    }
}

fn shown(generation: &Generation, settings: bool) -> Generation {
    let mut shown = generation.clone();
    if !settings {
        shown.settings = None;
    }
    shown
}

fn answer(outcome: Outcome) -> Response<ApplyConfigResponse> {
    let Outcome { generation, converged, late_workers, restart_required, effective: _ } = outcome;
    Response::new(ApplyConfigResponse { generation: Some(generation), converged, late_workers, restart_required })
}

fn no_settings() -> Status {
    fault::bad_field("settings", "a settings document", None::<Settings>)
}
