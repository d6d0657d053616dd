//! Where and whose addresses are: the table exporters look up in, kept as new as its files, and what is said of it.

use std::sync::Arc;

use parking_lot::Mutex;
use sonde_enrich::{Handle, Sources, Status, Watcher};
use sonde_stats::{Block, Kind, Segment};

/// Counters of its block: number of the table in use, how much it was made of, and how often its thread had to begin again.
const COUNTERS: [&str; 4] = ["tables_loaded", "networks", "routes_passed_over", "restarts"];

/// The table and the thread that loads it.
#[derive(Debug)]
pub struct Lookups {
    handle: Arc<Handle>,
    watcher: Watcher,
    block: Block,
    told: Mutex<Status>,
}

impl Lookups {
    /// Starts the thread; it loads `sources`, and nobody waits for it: until they are loaded, nothing is known of an address.
    ///
    /// # Errors
    /// A sentence: there is no room in the segment, or the system gives no thread.
    pub fn start(segment: &Segment, sources: &Sources) -> Result<Self, String> {
        let block = segment.block(Kind::Process, "enrichment", &COUNTERS).map_err(|e| format!("cannot show the enrichment: {e}"))?;
        block.text("last_error", "");
        let handle = Arc::new(Handle::default());
        let watcher = Watcher::start(Arc::clone(&handle), Sources::default())
            .map_err(|e| format!("cannot start the thread that loads databases: {e}; see `ulimit -u`"))?;
        if !sources.is_empty() {
            watcher.set(sources.clone());
        }
        Ok(Self { handle, watcher, block, told: Mutex::default() })
    }

    /// Changes what is looked up. The table before is used until the new one is loaded.
    pub fn set(&self, sources: &Sources) {
        self.watcher.set(sources.clone());
    }

    /// Where the latest table is found.
    pub fn handle(&self) -> &Arc<Handle> {
        &self.handle
    }

    /// Shows how it stands in the stats segment, and logs what an operator should hear of. Once a second.
    pub fn show(&self) {
        let status = self.handle.status();
        let mut told = self.told.lock();
        if *told == status {
            return;
        }
        if status.faults != told.faults {
            self.block.set(3, status.faults);
            tracing::error!("{}", status.last_fault);
        }
        if status.last_error != told.last_error {
            self.block.text("last_error", &status.last_error);
            if !status.last_error.is_empty() {
                tracing::warn!("addresses are looked up as before: {}", status.last_error);
            }
        }
        if status.generation != told.generation {
            let sum = |what: fn(&sonde_enrich::Loaded) -> u64| status.loaded.iter().map(what).sum::<u64>();
            self.block.set(0, status.generation);
            self.block.set(1, sum(|loaded| loaded.networks));
            self.block.set(2, sum(|loaded| loaded.passed_over));
            for loaded in &status.loaded {
                tracing::info!(networks = loaded.networks, path = %loaded.path.display(), "{} loaded", loaded.what);
            }
        }
        *told = status;
    }
}
