//! What the probe should obey: the one place where settings change, whoever asks.
//!
//! `change` checks, stores and delivers; `reconcile` brings the dataplane to what is stored, for ever. Both take their turn, so that
//! there is never more than one generation on its way.

use crate::link::{Link, Peer};
use crate::store::{Note, Store, StoreError};
use crate::{document, fault};
use parking_lot::Mutex;
use sonde_proto::southbound::{ApplyRequest, ApplyResponse, Description};
use sonde_proto::v1::{Generation, Settings, Violation};
use sonde_settings::Trust;
use std::sync::Arc;
use std::time::SystemTime;
use tonic::{Code, Status};

/// How long Apply waits for the workers when it is not said, in milliseconds.
pub(crate) const DEADLINE_MS: u32 = 5000;
/// Longest deadline, in milliseconds.
pub(crate) const DEADLINE_MAX_MS: u32 = 60_000;
/// Longest request id, in characters.
const REQUEST_ID_MAX: usize = 64;
/// Longest comment, in octets.
const COMMENT_MAX: usize = 4096;

/// A change that is asked for, but for the settings themselves.
#[derive(Clone, Debug, Default)]
pub(crate) struct Change {
    /// Refuse unless it is the etag of the desired settings; empty: do not ask.
    pub etag: String,
    /// Same id, no further effect; empty: one is made.
    pub request_id: String,
    /// Check only.
    pub validate_only: bool,
    /// For the history.
    pub comment: String,
    /// The comment is the operator's: such a generation is kept for ever.
    pub labelled: bool,
    /// Milliseconds to wait for the workers; 0: [`DEADLINE_MS`].
    pub deadline_ms: u32,
    /// Accept a change of `boot` for the next start.
    pub allow_restart: bool,
    /// Who asks.
    pub author: String,
}

/// What became of a change.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    /// The generation that was made, or was made by the first request of this id; the one desired when only checked.
    pub generation: Generation,
    /// The settings that were checked, with every default.
    pub effective: Settings,
    /// Whether every worker obeys it.
    pub converged: bool,
    /// Workers that did not acknowledge in time.
    pub late_workers: Vec<u32>,
    /// Fields of `boot` that wait for a restart.
    pub restart_required: Vec<String>,
}

/// The desired settings, and the way to the dataplane. Clones share them.
#[derive(Clone)]
pub(crate) struct Desired {
    store: Arc<Mutex<Store>>,
    link: Link,
    instance: Arc<str>,
    turn: Arc<tokio::sync::Mutex<Delivered>>,
    trouble: Arc<Mutex<String>>,
}

/// What was last handed over for the next start: to which process, which generation.
#[derive(Default)]
struct Delivered(Option<(u32, u64)>);

impl Desired {
    /// Joins a history and a link of one instance.
    pub(crate) fn new(store: Store, link: Link, instance: &str) -> Self {
        Self { store: Arc::new(Mutex::new(store)), link, instance: instance.into(), turn: Arc::default(), trouble: Arc::default() }
    }

    /// Reads the history.
    pub(crate) fn history<T>(&self, read: impl FnOnce(&Store) -> T) -> T {
        read(&self.store.lock())
    }

    /// Why the dataplane could not be brought to what is desired; empty when all is well.
    pub(crate) fn trouble(&self) -> String {
        self.trouble.lock().clone()
    }

    /// Takes note of it. Whether it is news.
    pub(crate) fn note_trouble(&self, trouble: &str) -> bool {
        let mut known = self.trouble.lock();
        let news = *known != trouble;
        trouble.clone_into(&mut known);
        news
    }

    /// What the API may name: what the dataplane's profile says where it answers, else what is desired already.
    fn trust(&self) -> Trust {
        if let Some(trust) = self.link.description().and_then(|description| document::trust(&description)) {
            return trust;
        }
        let desired = self.newest().and_then(|g| g.settings).and_then(|settings| sonde_settings::Settings::try_from(&settings).ok());
        Trust::unknown(desired.as_ref())
    }

    /// What a document names and may not, every violation.
    pub(crate) fn forbidden(&self, settings: &Settings) -> Vec<Violation> {
        document::forbidden(&self.trust(), settings)
    }

    /// What is desired now.
    pub(crate) fn newest(&self) -> Option<Generation> {
        self.history(|store| store.newest().cloned())
    }

    /// The link.
    pub(crate) fn link(&self) -> &Link {
        &self.link
    }

    /// Fields of `boot` in which a document differs from what runs, or from what is desired when nothing runs.
    pub(crate) fn restart_for(&self, settings: &Settings) -> Vec<String> {
        let running = self.link.description().and_then(|d| d.settings.clone());
        let base = running.or_else(|| self.newest().and_then(|g| g.settings));
        base.map(|base| document::restart_required(&base, settings)).unwrap_or_default()
    }

    /// Whether a generation is in force, by what the link knows.
    pub(crate) fn converged(&self, generation: &Generation) -> bool {
        self.link.description().is_some_and(|d| in_force(&d, generation))
    }

    /// Changes the settings: `edit` makes the new document from the desired generation.
    ///
    /// # Errors
    /// Those of `ConfigService.Apply`, and what `edit` returns.
    pub(crate) async fn change(
        &self,
        change: Change,
        edit: impl FnOnce(Option<&Generation>) -> Result<Settings, Status>,
    ) -> Result<Outcome, Status> {
        check(&change)?;
        let mut turn = self.turn.lock().await;
        if let Some(done) = self.repeated(&change.request_id) {
            return Ok(self.outcome(done, None));
        }
        let newest = self.newest();
        if !change.etag.is_empty() && newest.as_ref().is_none_or(|g| g.etag != change.etag) {
            return Err(stale(&change.etag, newest.as_ref()));
        }
        let effective = document::checked(&self.complete(edit(newest.as_ref())?, newest.as_ref()))?;
        self.own(&effective)?;
        let forbidden = self.forbidden(&effective);
        if !forbidden.is_empty() {
            return Err(fault::invalid(&forbidden));
        }
        let restart = self.restart_for(&effective);
        if !restart.is_empty() && !change.allow_restart && !self.accepted(newest.as_ref(), &effective) {
            return Err(fault::restart_required(&restart));
        }
        if change.validate_only {
            return Ok(self.outcome(newest.unwrap_or_default(), Some((effective, restart))));
        }
        let deadline = if change.deadline_ms == 0 { DEADLINE_MS } else { change.deadline_ms };
        let note = Note {
            author: change.author,
            comment: change.comment,
            labelled: change.labelled,
            request_id: if change.request_id.is_empty() { uuid::Uuid::new_v4().to_string() } else { change.request_id },
            boot_pending: !restart.is_empty(),
        };
        let least = self.link.description().map_or(0, |d| d.generation.saturating_add(1));
        let generation = self.append(effective.clone(), note, least).await?;
        let answer = match self.deliver(&mut turn, &generation, &restart, deadline).await {
            Ok(answer) => answer,
            // Refused as a whole, or there was no room for it: nothing has changed, here neither.
            Err(status) if matches!(status.code(), Code::InvalidArgument | Code::ResourceExhausted) => {
                self.withdraw(generation.number).await?;
                return Err(status);
            }
            // It is in force but for something that the dataplane names.
            Err(status) if status.code() == Code::Internal => return Err(status),
            Err(status) => return Err(stored(generation.number, &status)),
        };
        tracing::info!(generation = generation.number, author = %generation.author, "settings applied");
        let converged = answer.late_workers.is_empty() && answer.generation_in_force >= generation.number;
        Ok(Outcome { generation, effective, converged, late_workers: answer.late_workers, restart_required: restart })
    }

    /// Fills in what is not a default but this probe's: `boot` as it is when it is left out altogether, and the name of the instance.
    pub(crate) fn complete(&self, mut document: Settings, newest: Option<&Generation>) -> Settings {
        let as_it_is = || newest.and_then(|g| g.settings.as_ref()).and_then(|s| s.boot.clone()).unwrap_or_default();
        let boot = document.boot.get_or_insert_with(as_it_is);
        if boot.instance.is_empty() {
            boot.instance = self.instance.to_string();
        }
        document
    }

    /// Another instance is another dataplane, with files and memory of its own.
    fn own(&self, effective: &Settings) -> Result<(), Status> {
        match effective.boot.as_ref().map(|b| &b.instance) {
            Some(name) if **name != *self.instance => {
                let rule = format!("{:?}, the probe this control plane drives (ask the control plane of the other one)", self.instance);
                Err(fault::bad_text("boot.instance", &rule, name))
            }
            _ => Ok(()),
        }
    }

    /// Whether a difference of `boot` was accepted before: the document asks for nothing new there.
    fn accepted(&self, newest: Option<&Generation>, effective: &Settings) -> bool {
        let desired = newest.and_then(|g| g.settings.as_ref());
        self.history(Store::boot_pending) && desired.is_some_and(|d| document::restart_required(d, effective).is_empty())
    }

    fn repeated(&self, request_id: &str) -> Option<Generation> {
        if request_id.is_empty() { None } else { self.history(|store| store.by_request(request_id).cloned()) }
    }

    /// An outcome without a change.
    fn outcome(&self, generation: Generation, checked: Option<(Settings, Vec<String>)>) -> Outcome {
        let (effective, restart_required) = checked.unwrap_or_else(|| {
            let settings = generation.settings.clone().unwrap_or_default();
            let restart = self.restart_for(&settings);
            (settings, restart)
        });
        Outcome { converged: self.converged(&generation), generation, effective, late_workers: Vec::new(), restart_required }
    }

    /// Stores a generation off the async threads: a slow disk holds up this change and nothing else.
    async fn append(&self, settings: Settings, note: Note, least: u64) -> Result<Generation, Status> {
        let store = Arc::clone(&self.store);
        let stored = tokio::task::spawn_blocking(move || store.lock().append(settings, note, SystemTime::now().into(), least)).await;
        stored.map_err(|e| Status::internal(format!("storing the settings ended early: {e}")))?.map_err(|e| match e {
            StoreError::Full { .. } => Status::resource_exhausted(e.to_string()),
            other => Status::internal(other.to_string()),
        })
    }

    async fn withdraw(&self, number: u64) -> Result<(), Status> {
        let store = Arc::clone(&self.store);
        let gone = tokio::task::spawn_blocking(move || store.lock().withdraw(number)).await;
        let failed = match gone {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(e)) => e.to_string(),
            Err(e) => e.to_string(),
        };
        // Named with its file: what is left there is the newest generation at the next start.
        Err(Status::internal(format!("the dataplane refused generation {number}, and it could not be taken out of the history: {failed}")))
    }

    /// The restart that a change of `boot` waited for has happened.
    async fn boot_taken(&self) -> Result<(), Status> {
        let store = Arc::clone(&self.store);
        let written = tokio::task::spawn_blocking(move || store.lock().boot_taken()).await;
        let failed = |e: String| Status::internal(format!("it is not written down that the new boot settings run: {e}"));
        written.map_err(|e| failed(e.to_string()))?.map_err(|e| failed(e.to_string()))
    }

    /// Hands a generation to the dataplane: what can change now, and then what the next start is to take.
    async fn deliver(
        &self,
        delivered: &mut Delivered,
        generation: &Generation,
        restart: &[String],
        deadline_ms: u32,
    ) -> Result<ApplyResponse, Status> {
        let Some(description) = self.link.description() else {
            let absent = "no dataplane answers. Is sonde-dataplane running with the same --instance and run directory?";
            return Err(Status::unavailable(self.link.stranger().unwrap_or_else(|| absent.to_owned())));
        };
        let whole = generation.settings.clone().unwrap_or_default();
        let running = description.settings.as_ref().and_then(|s| s.boot.clone());
        let now = Settings { boot: if restart.is_empty() { whole.boot.clone() } else { running }, live: whole.live.clone() };
        let request = ApplyRequest { generation: generation.number, settings: Some(now), deadline_ms, for_next_start: false };
        let answer = self.send(request).await?;
        if !answer.restart_required.is_empty() {
            // It was started anew, with another `boot`, between our look and our request: reconcile sees that.
            return Err(Status::unavailable(format!("the dataplane runs with other {}", fault::names(&answer.restart_required))));
        }
        if !restart.is_empty() {
            self.leave_for_next_start(delivered, description.pid, generation, whole).await?;
        }
        Ok(answer)
    }

    async fn leave_for_next_start(
        &self,
        delivered: &mut Delivered,
        pid: u32,
        generation: &Generation,
        whole: Settings,
    ) -> Result<(), Status> {
        let request = ApplyRequest { generation: generation.number, settings: Some(whole), deadline_ms: DEADLINE_MS, for_next_start: true };
        self.send(request).await?;
        *delivered = Delivered(Some((pid, generation.number)));
        Ok(())
    }

    async fn send(&self, request: ApplyRequest) -> Result<ApplyResponse, Status> {
        let answer = self.link.apply(request).await?;
        if answer.violations.is_empty() { Ok(answer) } else { Err(fault::invalid(&answer.violations)) }
    }

    /// Compares desired with in force once and brings the dataplane to what is desired. Says what it did, if anything.
    ///
    /// # Errors
    /// Why it could not; the next turn tries again.
    pub(crate) async fn reconcile(&self) -> Result<Option<String>, Status> {
        if self.settled(self.link.description().as_deref()) {
            return Ok(None);
        }
        let mut turn = self.turn.lock().await;
        // What looked different may have been on its way: ask again, now that nothing is.
        let Peer::Present(description) = self.link.describe().await else { return Ok(None) };
        let running = description.settings.clone().unwrap_or_default();
        let Some(newest) = self.newest() else {
            let note = Note { author: "dataplane".into(), comment: "adopted from the running dataplane".into(), ..Note::default() };
            let adopted = self.append(running, note, description.generation).await?;
            return Ok(Some(format!("adopted the settings of the running dataplane as generation {}", adopted.number)));
        };
        let mut desired = newest;
        let mut did = None;
        let damaged = self.history(Store::damaged_newest).filter(|number| *number == description.generation);
        if let Some(number) = damaged.filter(|number| *number > desired.number) {
            // What runs is what the damaged file said: an older generation must not take its place.
            let comment = format!("taken from the running dataplane, because the file of generation {number} cannot be read");
            desired = self.renumber(running.clone(), comment, description.generation).await?;
            did = Some(format!("generation {}: {}", desired.number, desired.comment));
        }
        if let Some(trust) = document::trust(&description) {
            let (left, notes) = document::allowed(&trust, desired.settings.as_ref().unwrap_or(&Settings::default()), running.boot.as_ref());
            if !notes.is_empty() {
                let comment = format!("of generation {}: {}", desired.number, notes.join("; "));
                tracing::warn!("the dataplane's profile does not allow all of generation {}: {}", desired.number, notes.join("; "));
                desired = self.renumber(left, comment, description.generation).await?;
                did = Some(format!("generation {}: {}", desired.number, desired.comment));
            }
        }
        let mut restart = self.restart_for(desired.settings.as_ref().unwrap_or(&Settings::default()));
        if !restart.is_empty() && !self.history(Store::boot_pending) {
            // Somebody started the dataplane with another `boot`: that is a fact, and the rest of what is desired stands.
            let settings = Settings { boot: running.boot.clone(), ..desired.settings.clone().unwrap_or_default() };
            let comment = format!("the dataplane was started with other {}", fault::names(&restart));
            desired = self.renumber(settings, comment, description.generation).await?;
            did = Some(format!("generation {}: {}", desired.number, desired.comment));
            restart.clear();
        }
        if !in_force(&description, &desired) {
            if desired.number <= description.generation {
                let comment = format!("generation {} again; the dataplane was at {}", desired.number, description.generation);
                desired = self.renumber(desired.settings.unwrap_or_default(), comment, description.generation).await?;
            }
            let answer = self.deliver(&mut turn, &desired, &restart, DEADLINE_MS).await?;
            did = Some(match answer.late_workers.as_slice() {
                [] => format!("the dataplane obeys generation {}", desired.number),
                late => format!("generation {} was delivered; workers {late:?} have not acknowledged it yet", desired.number),
            });
        } else if !restart.is_empty() && turn.0 != Some((description.pid, desired.number)) {
            let whole = desired.settings.clone().unwrap_or_default();
            self.leave_for_next_start(&mut turn, description.pid, &desired, whole).await?;
            did = Some(format!("generation {} waits for a restart: {}", desired.number, fault::names(&restart)));
        }
        if restart.is_empty() && self.history(Store::boot_pending) {
            self.boot_taken().await?;
        }
        Ok(did)
    }

    /// Stores a generation that nobody asked for.
    async fn renumber(&self, settings: Settings, comment: String, above: u64) -> Result<Generation, Status> {
        let boot_pending = !self.restart_for(&settings).is_empty();
        let note = Note { author: "reconcile".into(), comment, boot_pending, ..Note::default() };
        self.append(settings, note, above.saturating_add(1)).await
    }

    /// Whether there is nothing to do, by what is known without asking.
    fn settled(&self, description: Option<&Description>) -> bool {
        let Some(description) = description else { return true };
        let Some(desired) = self.newest() else { return false };
        let restart = self.restart_for(desired.settings.as_ref().unwrap_or(&Settings::default()));
        let left = self.turn.try_lock().is_ok_and(|turn| turn.0 == Some((description.pid, desired.number)));
        in_force(description, &desired) && if self.history(Store::boot_pending) { left && !restart.is_empty() } else { restart.is_empty() }
    }
}

/// Whether a dataplane obeys a generation, as far as it can without a restart.
fn in_force(description: &Description, generation: &Generation) -> bool {
    let same = |a: &Settings, b: &Settings| document::same_live(a, b);
    description.generation == generation.number
        && description.settings.as_ref().zip(generation.settings.as_ref()).is_some_and(|(a, b)| same(a, b))
}

fn check(change: &Change) -> Result<(), Status> {
    let id = &change.request_id;
    if id.chars().count() > REQUEST_ID_MAX || id.chars().any(char::is_control) {
        return Err(fault::bad_text("request_id", "at most 64 printable characters", id));
    }
    if change.comment.len() > COMMENT_MAX {
        return Err(fault::bad_field("comment", "at most 4096 octets", change.comment.len()));
    }
    if change.deadline_ms > DEADLINE_MAX_MS {
        return Err(fault::bad_field("deadline_ms", "0 to 60000", change.deadline_ms));
    }
    Ok(())
}

fn stale(etag: &str, newest: Option<&Generation>) -> Status {
    let etag = sonde_settings::quote(etag);
    Status::aborted(match newest {
        Some(g) => format!(
            "the settings have changed since they were read: the etag {etag} is not that of generation {} ({:?}). Read them again and \
             repeat the change",
            g.number, g.etag
        ),
        None => format!("there are no settings yet, so the etag {etag} is of another history; leave the etag out"),
    })
}

/// The generation is on disk, but the dataplane could not be told.
fn stored(number: u64, why: &Status) -> Status {
    Status::unavailable(format!(
        "generation {number} is stored and will be handed to the dataplane when it answers; now: {}",
        fault::message(why.message())
    ))
}
