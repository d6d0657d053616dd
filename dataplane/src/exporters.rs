//! The exporter threads: one for each enabled exporter of the settings, started, replaced and stopped as the settings say.
//!
//! A replaced exporter hands its cursors to its successor, so that no record falls between the two.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use sonde_export::DOCUMENTATION_PEN;
use sonde_export::session::{self, Config};
use sonde_record::ring::{Cursor, Reader};
use sonde_settings::{EXPORTER_PREFIX, Exporter, Live, Transport};
use sonde_stats::{Block, Kind, Segment};
use sonde_threads::{Death, Pauses};

use crate::lookups::Lookups;

/// How often a thread that was told to stop is looked at.
const LOOK: Duration = Duration::from_millis(2);

/// The exporters of a dataplane.
#[derive(Debug)]
pub struct Exporters {
    all: BTreeMap<String, Running>,
    segment: Segment,
    rings: Vec<PathBuf>,
    interfaces: Vec<(u32, String)>,
    lookups: Arc<Lookups>,
}

#[derive(Debug)]
struct Running {
    settings: Exporter,
    /// Whether it looks up addresses: its templates depend on it, and templates never change.
    enriched: bool,
    /// Shown as long as this is held, sending or not; a successor of the same name goes on with it, so that counters do not jump.
    block: Arc<Block>,
    /// None: disabled.
    thread: Option<Thread>,
}

#[derive(Debug)]
struct Thread {
    stop: Arc<AtomicBool>,
    handle: JoinHandle<Vec<Cursor>>,
}

/// A thread that was told to stop gets so long: what it lingers for its collector ([`session::Timing::linger`]), and more than enough for the
/// rest. One that does not end then is left alone, so that it holds up neither an Apply nor the end of the dataplane.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where a new exporter begins to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// With the oldest record that is there: the dataplane starts.
    Oldest,
    /// With the next record: the exporter is new.
    Now,
}

/// An exporter that is ready to start: everything that can fail has been done.
#[derive(Debug)]
struct Ready {
    settings: Exporter,
    enriched: bool,
    block: Arc<Block>,
    readers: Vec<Reader>,
}

/// What will change.
#[derive(Debug)]
pub struct Plan {
    leave: Vec<String>,
    come: Vec<Ready>,
}

impl Exporters {
    /// None yet. They will read these rings, tell collectors the names of these interfaces, and look up addresses here.
    pub fn new(segment: Segment, rings: Vec<PathBuf>, interfaces: Vec<(u32, String)>, lookups: Arc<Lookups>) -> Self {
        Self { all: BTreeMap::new(), segment, rings, interfaces, lookups }
    }

    /// Does everything that can fail for `desired` to run, and changes nothing.
    ///
    /// # Errors
    /// A sentence: a ring cannot be opened, or the stats segment has no room.
    pub fn plan(&self, live: &Live, from: From) -> Result<Plan, String> {
        let (desired, enriched) = (&live.exporters, !live.enrichment.is_empty());
        let unchanged = |e: &Exporter, running: &Running| running.settings == *e && running.enriched == enriched;
        let same = |e: &&Exporter| self.all.get(&e.name).is_some_and(|running| unchanged(e, running));
        let stays: Vec<&str> = desired.iter().filter(same).map(|e| e.name.as_str()).collect();
        let leave = self.all.keys().filter(|name| !stays.contains(&name.as_str())).cloned().collect();
        let come = desired.iter().filter(|e| !same(e)).map(|e| self.ready(e, enriched, from)).collect::<Result<_, _>>()?;
        Ok(Plan { leave, come })
    }

    fn ready(&self, settings: &Exporter, enriched: bool, from: From) -> Result<Ready, String> {
        let failed = |e: &dyn std::fmt::Display| format!("cannot start {}: {e}", settings.name);
        let block = match self.all.get(&settings.name) {
            Some(predecessor) => Arc::clone(&predecessor.block),
            None => Arc::new(self.segment.block(Kind::Exporter, &settings.name, session::COUNTERS).map_err(|e| failed(&e))?),
        };
        let mut readers = Vec::new();
        for ring in self.rings.iter().filter(|_| settings.enabled) {
            let mut reader = Reader::open(ring).map_err(|e| failed(&e))?;
            if from == From::Oldest {
                reader.seek_oldest();
            }
            readers.push(reader);
        }
        Ok(Ready { settings: settings.clone(), enriched, block, readers })
    }

    /// Carries out a plan: those that leave send what they have read; their successors go on where they stopped.
    ///
    /// # Errors
    /// A sentence for each thread the system would not start or that had ended by a fault. The other exporters run.
    pub async fn execute(&mut self, plan: Plan) -> Result<(), Vec<String>> {
        let mut faults = Vec::new();
        let mut leaving: Vec<Running> = plan.leave.iter().filter_map(|name| self.all.remove(name)).collect();
        let threads: Vec<_> = leaving.iter_mut().filter_map(Running::tell_to_stop).collect();
        let mut cursors: BTreeMap<String, Vec<Cursor>> = BTreeMap::new();
        for (name, thread) in threads {
            match ended(&name, thread).await {
                Ok(left) => _ = cursors.insert(name, left),
                Err(fault) => faults.push(fault),
            }
        }
        faults.extend(self.begin_all(plan.come, cursors).err().unwrap_or_default());
        if faults.is_empty() { Ok(()) } else { Err(faults) }
    }

    /// Carries out a plan where nothing runs yet: nobody has to be waited for.
    ///
    /// # Errors
    /// As [`Exporters::execute`].
    pub fn begin(&mut self, plan: Plan) -> Result<(), Vec<String>> {
        debug_assert!(plan.leave.is_empty(), "nothing runs yet");
        self.begin_all(plan.come, BTreeMap::new())
    }

    fn begin_all(&mut self, come: Vec<Ready>, mut cursors: BTreeMap<String, Vec<Cursor>>) -> Result<(), Vec<String>> {
        let faults: Vec<String> = come
            .into_iter()
            .filter_map(|ready| {
                let from = cursors.remove(&ready.settings.name).unwrap_or_default();
                self.start(ready, &from).err()
            })
            .collect();
        if faults.is_empty() { Ok(()) } else { Err(faults) }
    }

    /// What they look up addresses in.
    pub fn lookups(&self) -> &Lookups {
        &self.lookups
    }

    /// What the exporters count, in the order of their names.
    pub fn blocks(&self) -> impl Iterator<Item = &Arc<Block>> {
        self.all.values().map(|running| &running.block)
    }

    fn start(&mut self, mut ready: Ready, from: &[Cursor]) -> Result<(), String> {
        for reader in &mut ready.readers {
            // A cursor of another ring is refused by the reader itself: each reader takes the one that is its own.
            let _ = from.iter().any(|cursor| reader.seek(*cursor));
        }
        let Ready { settings, enriched, block, readers } = ready;
        block.text("state", if settings.enabled { "connecting" } else { "disabled" });
        block.text("last_error", "");
        block.text("address", &settings.address());
        let thread = if settings.enabled { Some(self.spawn(&settings, enriched, Arc::clone(&block), readers)?) } else { None };
        self.all.insert(settings.name.clone(), Running { settings, enriched, block, thread });
        Ok(())
    }

    fn spawn(&self, settings: &Exporter, enriched: bool, block: Arc<Block>, readers: Vec<Reader>) -> Result<Thread, String> {
        let enrichment = enriched.then(|| Arc::clone(self.lookups.handle()));
        let config = Config { enrichment, ..self.config(settings) };
        if config.fields.may_have_own() && config.enterprise == DOCUMENTATION_PEN {
            tracing::warn!(
                "{} sends elements of enterprise {DOCUMENTATION_PEN}, the number for documentation (RFC 5612): set `enterprise` to your own",
                settings.name
            );
        }
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        // The kernel shows 15 octets of a thread's name.
        let label = format!("exp-{}", settings.name.trim_start_matches(EXPORTER_PREFIX));
        let name = settings.name.clone();
        let body = move || live(&name, &config, readers, &block, &told);
        let spawned = Builder::new().name(label).spawn(body);
        let handle = spawned.map_err(|e| format!("cannot start a thread for {}: {e}", settings.name))?;
        Ok(Thread { stop, handle })
    }

    fn config(&self, settings: &Exporter) -> Config {
        let protocol = match settings.transport {
            Transport::Udp => session::Protocol::Udp,
            Transport::Tcp => session::Protocol::Tcp,
        };
        Config {
            observation_domain_id: settings.observation_domain_id,
            template_refresh: Duration::from_secs(settings.template_refresh_s.into()),
            message_octets_max: settings.message_octets_max.into(),
            options_interval: Duration::from_secs(settings.options_interval_s.into()),
            interfaces: self.interfaces.clone(),
            fields: settings.fields.clone(),
            enterprise: settings.enterprise,
            icmp_in_port: settings.icmp_in_port,
            filter: settings.filter.expression().cloned(),
            ..Config::new(protocol, &settings.address())
        }
    }

    /// Stops all of them: each sends what the rings still hold, as far as its collector takes it. They are shown until this is
    /// dropped.
    ///
    /// # Errors
    /// A sentence for each thread that had ended by a fault.
    pub async fn stop(&mut self) -> Result<(), Vec<String>> {
        let threads: Vec<_> = self.all.values_mut().filter_map(Running::tell_to_stop).collect();
        let mut faults = Vec::new();
        for (name, thread) in threads {
            faults.extend(ended(&name, thread).await.err());
        }
        if faults.is_empty() { Ok(()) } else { Err(faults) }
    }
}

impl Running {
    /// Its name and thread, if it has one: told to stop, not yet ended.
    fn tell_to_stop(&mut self) -> Option<(String, JoinHandle<Vec<Cursor>>)> {
        let Thread { stop, handle } = self.thread.take()?;
        stop.store(true, Ordering::Relaxed);
        Some((self.settings.name.clone(), handle))
    }
}

/// The life of an exporter's thread. After a fault it begins again behind the record that was read last, and counts those that it had in hand.
fn live(name: &str, config: &Config, mut readers: Vec<Reader>, block: &Block, stop: &AtomicBool) -> Vec<Cursor> {
    let life = || session::run(config, &mut readers, block, stop);
    let died = |death: &Death| {
        let seconds = death.pause.as_secs_f32();
        block.add(session::RESTARTS, 1);
        block.text("state", "failed");
        block.text("last_error", &format!("its thread ended by a fault of the program ({}); it begins again in {seconds} s", death.reason));
        tracing::error!("the thread of {name} ended by a fault of the program: {}; it begins again in {seconds} s", death.reason);
    };
    sonde_threads::supervise(Pauses::USUAL, stop, life, died);
    readers.iter().map(Reader::cursor).collect()
}

/// Waits until a thread has ended, without holding up the control thread, and not for ever.
async fn ended(name: &str, thread: JoinHandle<Vec<Cursor>>) -> Result<Vec<Cursor>, String> {
    let deadline = Instant::now() + PATIENCE;
    while !thread.is_finished() {
        if Instant::now() >= deadline {
            let seconds = PATIENCE.as_secs();
            return Err(format!("the thread of {name} has not ended within {seconds} s and is left alone; what it had read may be lost"));
        }
        tokio::time::sleep(LOOK).await;
    }
    thread.join().map_err(|_| format!("the thread of {name} had ended by a fault of the program; its records from there on are lost"))
}
