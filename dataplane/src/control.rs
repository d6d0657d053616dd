//! The southbound service: what the control plane can ask and tell.
//!
//! Runs on the control thread. Nothing here touches a packet: a worker finds new settings in its mailbox between two bursts.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::RwLock;
use sonde_proto::southbound::dataplane_server::Dataplane;
use sonde_proto::southbound::{ApplyRequest, ApplyResponse, DescribeRequest, Description, ShutdownRequest, ShutdownResponse};
use sonde_proto::v1;
use sonde_settings::paths::SETTINGS;
use sonde_settings::{Settings, Violation, restart_required};
use sonde_system::Folder;
use tokio::sync::{Mutex, watch};
use tonic::{Request, Response, Status};

use crate::crew::Crew;
use crate::error::remedy;
use crate::exporters::{Exporters, From};
use crate::origin::{LastGood, Profile, Staged};

/// Version of the southbound protocol.
pub const PROTOCOL_VERSION: u32 = 1;
/// How long Apply waits for the workers when it is not said.
const DEADLINE: Duration = Duration::from_secs(5);
/// Longest wait.
const DEADLINE_MAX: Duration = Duration::from_secs(60);
/// How often the workers' generation is looked at while waiting.
const LOOK: Duration = Duration::from_millis(1);

/// Where settings reach the running dataplane. Changed by one Apply at a time.
#[derive(Debug)]
pub struct Reach {
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
    crew: Arc<Crew>,
    description: RwLock<Description>,
    reach: Mutex<Reach>,
    stop: watch::Sender<bool>,
}

impl Control {
    /// A service over what runs. `description` needs no settings and no generation.
    pub fn new(crew: Arc<Crew>, reach: Reach, description: Description) -> Self {
        let description = Description { settings: Some((&reach.settings).into()), ..description };
        let shared = Shared { crew, description: RwLock::new(description), reach: Mutex::new(reach), stop: watch::Sender::new(false) };
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

    /// What settings reach; waits for an Apply that is under way.
    pub async fn reach(&self) -> tokio::sync::MutexGuard<'_, Reach> {
        self.shared.reach.lock().await
    }

    async fn obey(&self, request: ApplyRequest) -> Result<ApplyResponse, Status> {
        let mut reach = self.shared.reach.lock().await;
        let document = request.settings.unwrap_or_default();
        let desired = match check(&reach, &document, request.generation) {
            Ok(desired) => desired,
            Err(violations) => {
                let violations = violations.into_iter().map(v1::Violation::from).collect();
                return Ok(ApplyResponse { violations, ..self.answer(Vec::new()) });
            }
        };
        let restart = restart_required(&reach.settings, &desired);
        let last = LastGood { generation: request.generation, profile: reach.profile.fingerprint.clone(), settings: desired.clone() };
        if request.for_next_start {
            known(&reach, request.generation, true)?;
            commit(stage(&reach, last).await?, &reach).await?;
            tracing::info!(generation = request.generation, fields = restart.join(", "), "settings kept for the next start");
            return Ok(ApplyResponse { restart_required: restart, ..self.answer(Vec::new()) });
        }
        if !restart.is_empty() {
            return Ok(ApplyResponse { restart_required: restart, ..self.answer(Vec::new()) });
        }
        if request.generation == reach.generation && desired == reach.settings {
            // Said twice: nothing to do but to wait for the workers.
            return Ok(self.answer(self.wait(request.generation, request.deadline_ms).await));
        }
        known(&reach, request.generation, false)?;
        // Everything that can fail comes before the first thing that changes.
        let staged = stage(&reach, last).await?;
        let plan = reach.exporters.plan(&desired.live, From::Now).map_err(|e| Status::resource_exhausted(unchanged(&e)))?;
        self.shared.crew.publish(&desired.live, request.generation);
        if desired.live.enrichment != reach.settings.live.enrichment {
            reach.exporters.lookups().set(&reach.profile.trust.sources(&desired.live));
        }
        let executed = reach.exporters.execute(plan).await;
        for set in newly_overridden(&reach, &desired) {
            tracing::warn!("generation {} of the control plane overrides --set {set}", request.generation);
        }
        reach.generation = request.generation;
        reach.settings = desired;
        self.shared.description.write().settings = Some((&reach.settings).into());
        commit(staged, &reach).await?;
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
            let late = self.shared.crew.late(generation);
            if late.is_empty() || Instant::now() >= deadline {
                return late;
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    fn answer(&self, late_workers: Vec<u32>) -> ApplyResponse {
        ApplyResponse { late_workers, generation_in_force: self.shared.crew.in_force(), ..ApplyResponse::default() }
    }
}

/// The settings, if they are good and this dataplane's.
fn check(reach: &Reach, document: &v1::Settings, generation: u64) -> Result<Settings, Vec<Violation>> {
    let settings = Settings::try_from(document)?;
    let own = &reach.settings.boot.instance;
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
    violations.extend(reach.profile.trust.violations(&settings));
    if violations.is_empty() { Ok(settings) } else { Err(violations) }
}

/// Each `--set` that was in force and will not be.
fn newly_overridden(reach: &Reach, desired: &Settings) -> Vec<String> {
    let before = reach.profile.overridden(&reach.settings);
    reach.profile.overridden(desired).into_iter().filter(|set| !before.contains(set)).collect()
}

fn known(reach: &Reach, generation: u64, same_is_good: bool) -> Result<(), Status> {
    if generation > reach.generation || same_is_good && generation == reach.generation {
        return Ok(());
    }
    let message = format!("generation {generation} is not newer than {}, which is in force; nothing was changed", reach.generation);
    Err(Status::failed_precondition(message))
}

fn unchanged(why: &str) -> String {
    format!("{why}; nothing was changed")
}

/// Writes the last good settings to the disk, off the control thread: a slow disk holds up this Apply and nothing else.
async fn stage(reach: &Reach, last: LastGood) -> Result<Staged, Status> {
    let folder = reach.folder.clone();
    let shown = folder.at(SETTINGS).display().to_string();
    let staged = tokio::task::spawn_blocking(move || last.stage(&folder)).await;
    staged
        .map_err(std::io::Error::other)
        .flatten()
        .map_err(|e| Status::resource_exhausted(unchanged(&format!("cannot write the last good settings to {shown}: {e}; {}", remedy(&e)))))
}

async fn commit(staged: Staged, reach: &Reach) -> Result<(), Status> {
    let done = tokio::task::spawn_blocking(move || staged.commit()).await;
    done.map_err(std::io::Error::other).flatten().map_err(|e| {
        let path = reach.folder.at(SETTINGS);
        let path = path.display();
        Status::internal(format!("the settings are in force, but not kept for the next start in {path}: {e}; {}", remedy(&e)))
    })
}

#[tonic::async_trait]
impl Dataplane for Control {
    async fn describe(&self, request: Request<DescribeRequest>) -> Result<Response<Description>, Status> {
        let spoken = request.into_inner().protocol_version;
        if spoken != PROTOCOL_VERSION {
            // Answered all the same: the description says which version this is, and the control plane decides.
            tracing::warn!("a control plane speaks southbound protocol {spoken}, this dataplane speaks {PROTOCOL_VERSION}");
        }
        let mut description = self.shared.description.read().clone();
        description.generation = self.shared.crew.in_force();
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
