//! The southbound service: what the control plane can ask and tell.
//!
//! Runs on the control thread. Nothing here touches a packet: a worker finds new settings in its mailbox between two bursts.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::RwLock;
use sonde_proto::SOUTHBOUND_VERSION;
use sonde_proto::southbound::dataplane_server::Dataplane;
use sonde_proto::southbound::{ApplyRequest, ApplyResponse, DescribeRequest, Description, ShutdownRequest, ShutdownResponse};
use sonde_proto::v1;
use sonde_settings::paths::SETTINGS;
use sonde_settings::{Settings, Violation, restart_required};
use sonde_system::Folder;
use tokio::sync::{Mutex, watch};
use tonic::{Request, Response, Status};

use crate::error::remedy;
use crate::exporters::{Exporters, From};
use crate::origin::{LastGood, Profile, Staged};
use crate::workers::Workers;

/// How long Apply waits for the workers when it is not said.
const DEADLINE: Duration = Duration::from_secs(5);
/// Longest wait.
const DEADLINE_MAX: Duration = Duration::from_secs(60);
/// How often the workers' generation is looked at while waiting.
const LOOK: Duration = Duration::from_millis(1);

/// What is in force. One Apply at a time changes it.
#[derive(Debug)]
pub struct InForce {
    /// In force, or on their way to a late worker.
    pub settings: Settings,
    /// Their generation.
    pub generation: u64,
    /// The profile the dataplane was started with.
    pub profile: Profile,
    /// Folder of the last good settings.
    pub folder: Folder,
    /// The exporters.
    pub exporters: Exporters,
}

/// The service. Clones share it.
#[derive(Clone, Debug)]
pub struct Control {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    workers: Arc<Workers>,
    description: RwLock<Description>,
    in_force: Mutex<InForce>,
    stop: watch::Sender<bool>,
}

impl Control {
    /// A service over what runs. `description` needs no settings and no generation.
    pub fn new(workers: Arc<Workers>, in_force: InForce, description: Description) -> Self {
        let description = Description { settings: Some((&in_force.settings).into()), ..description };
        let shared =
            Shared { workers, description: RwLock::new(description), in_force: Mutex::new(in_force), stop: watch::Sender::new(false) };
        Self { shared: Arc::new(shared) }
    }

    /// Becomes true when somebody asked for a shutdown.
    pub fn stop_asked(&self) -> watch::Receiver<bool> {
        self.shared.stop.subscribe()
    }

    /// Ends the service, as a shutdown by the control plane does.
    pub fn stop(&self) {
        self.shared.stop.send_replace(true);
    }

    /// What is in force; waits for an Apply that is under way.
    pub async fn in_force(&self) -> tokio::sync::MutexGuard<'_, InForce> {
        self.shared.in_force.lock().await
    }

    async fn obey(&self, request: ApplyRequest) -> Result<ApplyResponse, Status> {
        let mut in_force = self.shared.in_force.lock().await;
        let document = request.settings.unwrap_or_default();
        let desired = match check(&in_force, &document, request.generation) {
            Ok(desired) => desired,
            Err(violations) => {
                let violations = violations.into_iter().map(v1::Violation::from).collect();
                return Ok(ApplyResponse { violations, ..self.answer(Vec::new()) });
            }
        };
        let restart = restart_required(&in_force.settings, &desired);
        let last = LastGood { generation: request.generation, profile: in_force.profile.fingerprint.clone(), settings: desired.clone() };
        if request.for_next_start {
            known(&in_force, request.generation, true)?;
            commit(stage(&in_force, last).await?, &in_force).await?;
            tracing::info!(generation = request.generation, fields = restart.join(", "), "settings kept for the next start");
            return Ok(ApplyResponse { restart_required: restart, ..self.answer(Vec::new()) });
        }
        if !restart.is_empty() {
            return Ok(ApplyResponse { restart_required: restart, ..self.answer(Vec::new()) });
        }
        if request.generation == in_force.generation && desired == in_force.settings {
            // Said twice: nothing to do but to wait for the workers.
            return Ok(self.answer(self.wait(request.generation, request.deadline_ms).await));
        }
        known(&in_force, request.generation, false)?;
        // Everything that can fail comes before the first thing that changes.
        let staged = stage(&in_force, last).await?;
        let plan = in_force.exporters.plan(&desired.live, From::Now).map_err(|e| Status::resource_exhausted(unchanged(&e)))?;
        self.shared.workers.publish(&desired.live, request.generation);
        if desired.live.enrichment != in_force.settings.live.enrichment {
            in_force.exporters.lookups().set(&in_force.profile.trust.sources(&desired.live));
        }
        let executed = in_force.exporters.execute(plan).await;
        for set in newly_overridden(&in_force, &desired) {
            tracing::warn!("generation {} of the control plane overrides --set {set}", request.generation);
        }
        in_force.generation = request.generation;
        in_force.settings = desired;
        self.shared.description.write().settings = Some((&in_force.settings).into());
        commit(staged, &in_force).await?;
        let late = self.wait(request.generation, request.deadline_ms).await;
        tracing::info!(generation = request.generation, late = ?late, "settings applied");
        executed.map_err(|faults| Status::internal(format!("generation {} is in force, but {}", request.generation, faults.join("; "))))?;
        Ok(self.answer(late))
    }

    /// Waits until every worker obeys the generation; those that did not in time.
    async fn wait(&self, generation: u64, deadline_ms: u32) -> Vec<u32> {
        let patience = if deadline_ms == 0 { DEADLINE } else { Duration::from_millis(deadline_ms.into()).min(DEADLINE_MAX) };
        let deadline = Instant::now() + patience;
        loop {
            let late = self.shared.workers.late(generation);
            if late.is_empty() || Instant::now() >= deadline {
                return late;
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    fn answer(&self, late_workers: Vec<u32>) -> ApplyResponse {
        ApplyResponse { late_workers, generation_in_force: self.shared.workers.in_force(), ..ApplyResponse::default() }
    }
}

/// The settings, if they are good and this dataplane's.
fn check(in_force: &InForce, document: &v1::Settings, generation: u64) -> Result<Settings, Vec<Violation>> {
    let settings = Settings::try_from(document)?;
    let own = &in_force.settings.boot.instance;
    let mut violations = Vec::new();
    let mut refuse = |path: &str, rule: String, found: String| violations.push(Violation { path: path.into(), rule, found });
    if settings.boot.instance != *own {
        // Its files, its lock and its shared memory bear this name; another instance is another dataplane.
        let rule = format!("\"{own}\", the name this dataplane was started with (start another one for another instance)");
        refuse("boot.instance", rule, format!("{:?}", settings.boot.instance));
    }
    if generation == 0 || i64::try_from(generation).is_err() {
        refuse("generation", format!("a whole number from 1 to {}", i64::MAX), generation.to_string());
    }
    violations.extend(in_force.profile.trust.violations(&settings));
    if violations.is_empty() { Ok(settings) } else { Err(violations) }
}

/// Each `--set` that was in force and will not be.
fn newly_overridden(in_force: &InForce, desired: &Settings) -> Vec<String> {
    let before = in_force.profile.overridden(&in_force.settings);
    in_force.profile.overridden(desired).into_iter().filter(|set| !before.contains(set)).collect()
}

fn known(in_force: &InForce, generation: u64, same_is_good: bool) -> Result<(), Status> {
    if generation > in_force.generation || same_is_good && generation == in_force.generation {
        return Ok(());
    }
    let message = format!("generation {generation} is not newer than {}, which is in force; nothing was changed", in_force.generation);
    Err(Status::failed_precondition(message))
}

fn unchanged(why: &str) -> String {
    format!("{why}; nothing was changed")
}

/// Writes the last good settings to the disk, off the control thread: a slow disk holds up this Apply and nothing else.
async fn stage(in_force: &InForce, last: LastGood) -> Result<Staged, Status> {
    let folder = in_force.folder.clone();
    let shown = folder.at(SETTINGS).display().to_string();
    let staged = tokio::task::spawn_blocking(move || last.stage(&folder)).await;
    staged
        .map_err(std::io::Error::other)
        .flatten()
        .map_err(|e| Status::resource_exhausted(unchanged(&format!("cannot write the last good settings to {shown}: {e}; {}", remedy(&e)))))
}

async fn commit(staged: Staged, in_force: &InForce) -> Result<(), Status> {
    let done = tokio::task::spawn_blocking(move || staged.commit()).await;
    done.map_err(std::io::Error::other).flatten().map_err(|e| {
        let path = in_force.folder.at(SETTINGS);
        let path = path.display();
        Status::internal(format!("the settings are in force, but not kept for the next start in {path}: {e}; {}", remedy(&e)))
    })
}

#[tonic::async_trait]
impl Dataplane for Control {
    async fn describe(&self, request: Request<DescribeRequest>) -> Result<Response<Description>, Status> {
        let spoken = request.into_inner().protocol_version;
        if spoken != SOUTHBOUND_VERSION {
            // Answered all the same: the description says which version this is, and the control plane decides.
            tracing::warn!("a control plane speaks southbound protocol {spoken}, this dataplane speaks {SOUTHBOUND_VERSION}");
        }
        let mut description = self.shared.description.read().clone();
        description.generation = self.shared.workers.in_force();
        Ok(Response::new(description))
    }

    async fn apply(&self, request: Request<ApplyRequest>) -> Result<Response<ApplyResponse>, Status> {
        // A caller that goes away must not leave half of it done: it runs to its end in a task of its own.
        let control = self.clone();
        let done = tokio::spawn(async move { control.obey(request.into_inner()).await }).await;
        done.map_err(|e| Status::internal(format!("applying the settings ended early: {e}")))?.map(Response::new)
    }

    async fn shutdown(&self, _: Request<ShutdownRequest>) -> Result<Response<ShutdownResponse>, Status> {
        tracing::info!("shutdown was asked for");
        self.shared.stop.send_replace(true);
        Ok(Response::new(ShutdownResponse {}))
    }
}
