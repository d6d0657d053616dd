//! `sonde.v1.ExportersService`: the exporters of the settings, one at a time. Each change is a generation like any other.

use super::{author, bad_token, page_size};
use crate::desired::{Change, Desired, Outcome};
use crate::fault;
use crate::stats_reader::StatsReader;
use sonde_proto::v1::exporters_service_server::ExportersService;
use sonde_proto::v1::{
    AddExporterRequest, Exporter, ExporterChange, ExporterStatsRequest, ExporterStatsResponse, ExporterStatus, Generation,
    ListExportersRequest, ListExportersResponse, RemoveExporterRequest, Settings, UpdateExporterRequest,
};
use sonde_settings::{EXCERPT_MAX, EXPORTER_PREFIX, excerpt, quote};
use std::sync::Arc;
use tonic::{Request, Response, Status, async_trait};

/// The service.
pub(crate) struct Exporters {
    desired: Desired,
    segment: Arc<StatsReader>,
}

impl Exporters {
    /// Over the desired settings, and the counters of what is in force.
    pub(crate) fn new(desired: Desired, segment: Arc<StatsReader>) -> Self {
        Self { desired, segment }
    }

    async fn change(
        &self,
        change: Change,
        name: &str,
        edit: impl FnOnce(&mut Vec<Exporter>) -> Result<Option<Exporter>, Status>,
    ) -> Result<Response<ExporterChange>, Status> {
        let mut gone = None;
        let outcome = self.desired.change(change, |newest| {
            let mut settings = newest.and_then(|g| g.settings.clone()).ok_or_else(no_settings)?;
            gone = edit(&mut settings.live.get_or_insert_default().exporters)?;
            Ok(settings)
        });
        let Outcome { generation, effective, converged, .. } = outcome.await?;
        let exporter = gone.or_else(|| exporters(&effective).iter().find(|e| e.name == name).cloned());
        Ok(Response::new(ExporterChange { exporter, generation: generation.number, converged, etag: generation.etag }))
    }
}

#[async_trait]
impl ExportersService for Exporters {
    async fn list(&self, request: Request<ListExportersRequest>) -> Result<Response<ListExportersResponse>, Status> {
        let ListExportersRequest { page_size: asked, page_token } = request.into_inner();
        let size = page_size(asked)?;
        let Generation { settings, etag, .. } = self.desired.newest().unwrap_or_default();
        let mut all = settings.map(|s| exporters(&s).to_vec()).unwrap_or_default();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        if !page_token.is_empty() {
            // The token is the last name given: what comes behind it is right even if that one was removed meanwhile.
            if !page_token.starts_with(EXPORTER_PREFIX) {
                return Err(bad_token(&page_token));
            }
            all.retain(|e| e.name > page_token);
        }
        let more = all.len() > size;
        all.truncate(size);
        let next_page_token = all.last().filter(|_| more).map(|e| e.name.clone()).unwrap_or_default();
        Ok(Response::new(ListExportersResponse { exporters: all, next_page_token, etag }))
    }

    async fn add(&self, request: Request<AddExporterRequest>) -> Result<Response<ExporterChange>, Status> {
        let author = author(&request).await;
        let AddExporterRequest { exporter, etag, request_id, validate_only } = request.into_inner();
        let exporter = exporter.ok_or_else(|| fault::bad_field("exporter", "an exporter", None::<Exporter>))?;
        let name = exporter.name.clone();
        let comment = format!("add {}", excerpt(&name, EXCERPT_MAX));
        let change = Change { etag, request_id, validate_only, comment, author, ..Change::default() };
        self.change(change, &name, |list| {
            if list.iter().any(|e| e.name == exporter.name) {
                return Err(Status::already_exists(format!(
                    "there is an exporter {} already: update it, or choose another name",
                    quote(&exporter.name)
                )));
            }
            list.push(exporter);
            Ok(None)
        })
        .await
    }

    async fn update(&self, request: Request<UpdateExporterRequest>) -> Result<Response<ExporterChange>, Status> {
        let author = author(&request).await;
        let UpdateExporterRequest { exporter, update_mask, etag, request_id, validate_only } = request.into_inner();
        let exporter = exporter.ok_or_else(|| fault::bad_field("exporter", "an exporter", None::<Exporter>))?;
        let name = exporter.name.clone();
        let fields = fields_to_change(&exporter, update_mask.map(|m| m.paths).unwrap_or_default())?;
        let comment = format!("update {}: {}", excerpt(&name, EXCERPT_MAX), fields.iter().map(|f| f.name).collect::<Vec<_>>().join(", "));
        let change = Change { etag, request_id, validate_only, comment, author, ..Change::default() };
        self.change(change, &name, |list| {
            let Some(found) = list.iter_mut().find(|e| e.name == exporter.name) else {
                return Err(unknown(&exporter.name, list));
            };
            for field in &fields {
                (field.copy)(&exporter, found);
            }
            Ok(None)
        })
        .await
    }

    async fn remove(&self, request: Request<RemoveExporterRequest>) -> Result<Response<ExporterChange>, Status> {
        let author = author(&request).await;
        let RemoveExporterRequest { name, etag, request_id, validate_only } = request.into_inner();
        let comment = format!("remove {}", excerpt(&name, EXCERPT_MAX));
        let change = Change { etag, request_id, validate_only, comment, author, ..Change::default() };
        self.change(change, &name, |list| match list.iter().position(|e| e.name == name) {
            Some(at) => Ok(Some(list.remove(at))),
            None => Err(unknown(&name, list)),
        })
        .await
    }

    async fn stats(&self, request: Request<ExporterStatsRequest>) -> Result<Response<ExporterStatsResponse>, Status> {
        let name = request.into_inner().name;
        let desired = self.desired.newest().and_then(|g| g.settings).unwrap_or_default();
        let mut all = self.segment.status().exporters;
        for exporter in exporters(&desired).iter().filter(|e| e.enabled == Some(false)) {
            // The dataplane may hold no counters for one that sends nothing; it exists all the same.
            if !all.iter().any(|e| e.name == exporter.name) {
                all.push(ExporterStatus { name: exporter.name.clone(), state: "disabled".to_owned(), ..ExporterStatus::default() });
            }
        }
        all.sort_by(|a, b| a.name.cmp(&b.name));
        if !name.is_empty() {
            all.retain(|e| e.name == name);
            let known = exporters(&desired);
            if all.is_empty() && !known.iter().any(|e| e.name == name) {
                return Err(unknown(&name, known));
            }
            if all.is_empty() {
                return Err(Status::unavailable(format!("no dataplane has counters of {} yet: is sonde-dataplane running?", quote(&name))));
            }
        }
        Ok(Response::new(ExporterStatsResponse { exporters: all }))
    }
}

/// A field that Update can change.
struct Field {
    name: &'static str,
    given: fn(&Exporter) -> bool,
    copy: fn(&Exporter, &mut Exporter),
}

const FIELDS: &[Field] = &[
    Field { name: "protocol", given: |e| !e.protocol.is_empty(), copy: |from, to| to.protocol.clone_from(&from.protocol) },
    Field { name: "transport", given: |e| !e.transport.is_empty(), copy: |from, to| to.transport.clone_from(&from.transport) },
    Field { name: "address", given: |e| !e.address.is_empty(), copy: |from, to| to.address.clone_from(&from.address) },
    Field {
        name: "observation_domain_id",
        given: |e| e.observation_domain_id.is_some(),
        copy: |from, to| to.observation_domain_id = from.observation_domain_id,
    },
    Field {
        name: "template_refresh_s",
        given: |e| e.template_refresh_s != 0,
        copy: |from, to| to.template_refresh_s = from.template_refresh_s,
    },
    Field {
        name: "message_octets_max",
        given: |e| e.message_octets_max != 0,
        copy: |from, to| to.message_octets_max = from.message_octets_max,
    },
    Field {
        name: "options_interval_s",
        given: |e| e.options_interval_s != 0,
        copy: |from, to| to.options_interval_s = from.options_interval_s,
    },
    Field { name: "enabled", given: |e| e.enabled.is_some(), copy: |from, to| to.enabled = from.enabled },
    Field { name: "icmp_in_port", given: |e| e.icmp_in_port.is_some(), copy: |from, to| to.icmp_in_port = from.icmp_in_port },
    Field { name: "fields", given: |e| !e.fields.is_empty(), copy: |from, to| to.fields.clone_from(&from.fields) },
    Field { name: "enterprise", given: |e| e.enterprise != 0, copy: |from, to| to.enterprise = from.enterprise },
    Field { name: "filter", given: |e| !e.filter.is_empty(), copy: |from, to| to.filter.clone_from(&from.filter) },
];

/// The fields a mask names; without a mask those that are given.
fn fields_to_change(exporter: &Exporter, mask: Vec<String>) -> Result<Vec<&'static Field>, Status> {
    let known = || FIELDS.iter().map(|f| f.name).collect::<Vec<_>>().join(", ");
    let fields: Vec<&Field> = if mask.is_empty() {
        FIELDS.iter().filter(|f| (f.given)(exporter)).collect()
    } else {
        let find = |path: &String| FIELDS.iter().find(|f| f.name == path);
        if let Some(stranger) = mask.iter().find(|path| find(path).is_none()) {
            return Err(fault::bad_text("update_mask", &format!("some of {}", known()), stranger));
        }
        mask.iter().filter_map(find).collect()
    };
    if fields.is_empty() {
        return Err(fault::bad_text("exporter", &format!("at least one of {} to change", known()), &exporter.name));
    }
    Ok(fields)
}

fn exporters(settings: &Settings) -> &[Exporter] {
    settings.live.as_ref().map_or(&[], |live| live.exporters.as_slice())
}

fn unknown(name: &str, list: &[Exporter]) -> Status {
    let mut names: Vec<&str> = list.iter().map(|e| e.name.as_str()).collect();
    names.sort_unstable();
    let there = if names.is_empty() { "there are none".to_owned() } else { format!("there are {}", fault::names(&names)) };
    Status::not_found(format!("there is no exporter {}; {there}", quote(name)))
}

fn no_settings() -> Status {
    Status::failed_precondition(
        "there are no settings yet that an exporter could stand in: start sonde-dataplane, whose settings are then adopted, or apply a \
         whole document with ConfigService.Apply",
    )
}
