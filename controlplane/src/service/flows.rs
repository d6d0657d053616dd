//! `sonde.v1.FlowsService`: flow records as they are written, and the largest talkers.

use super::connection;
use super::follow::{Followed, Teller, follow, full};
use crate::admit::{Registry, Streams};
use crate::filter::Filter;
use crate::place::{self, Lookups};
use crate::places::Places;
use crate::records::{IDLE, Rings, unix_seconds};
use crate::top::{Order, Query, WINDOW_S, Window};
use crate::top_keys::By;
use crate::{background, fault, flow};
use parking_lot::Mutex;
use sonde_enrich::Generation;
use sonde_proto::v1::flows_service_server::FlowsService;
use sonde_proto::v1::{Flow, TailRequest, TailResponse, TopRequest, TopResponse};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use tonic::{Request, Response, Status, async_trait};

/// Clients that can follow the records at the same time.
pub(crate) const TAILS_MAX: usize = 64;
/// Flows in one answer of a stream. One answer waits for a slow client and one is ready behind it; then its own reader stands still,
/// and what the ring overwrites meanwhile it has lost.
const BATCH: usize = 64;
/// A client that takes no answer for so long is told so, and its stream ended.
const STALLED: Duration = Duration::from_secs(30);
/// A client that gets no flows is told its cursor so often.
const SIGN_OF_LIFE: Duration = Duration::from_secs(5);
/// Windows summed up at a time: one takes memory, and a core.
const TOPS_MAX: usize = 2;

/// The service.
pub(crate) struct Flows {
    places: Places,
    window: Arc<Mutex<Window>>,
    lookups: Lookups,
    registry: Arc<Registry>,
    tails: Arc<Streams>,
    tops: Arc<Semaphore>,
}

impl Flows {
    /// Over the rings, and the window that is kept of them; addresses are looked up in the latest table.
    pub(crate) fn new(places: Places, window: Arc<Mutex<Window>>, lookups: Lookups, registry: Arc<Registry>) -> Self {
        Self { places, window, lookups, registry, tails: Streams::new(TAILS_MAX), tops: Arc::new(Semaphore::new(TOPS_MAX)) }
    }
}

#[async_trait]
impl FlowsService for Flows {
    type TailStream = Followed<TailResponse>;

    async fn tail(&self, request: Request<TailRequest>) -> Result<Response<Self::TailStream>, Status> {
        let connection = connection(&request).cloned();
        let TailRequest { filter, cursor, limit } = request.into_inner();
        let held = self.lookups.latest();
        let filter = Filter::new(filter.as_ref(), held.table.is_some())?;
        let seat = self.tails.take(connection.as_deref()).ok_or_else(|| full(TAILS_MAX, "the records"))?;
        let rings = Rings::open(self.places.clone(), &cursor)?;
        let (teller, stream) = follow(connection, seat, Arc::clone(&self.registry));
        let limit = if limit == 0 { u64::MAX } else { limit };
        let lookups = self.lookups.clone();
        let warnings = filter.warnings().to_vec();
        let tail = Tail { rings, filter, lookups, held, limit, lost: 0, damaged: 0, cursor, warnings };
        let fault = teller.fault();
        background::stream(tail.run(teller), fault);
        Ok(Response::new(stream))
    }

    async fn top(&self, request: Request<TopRequest>) -> Result<Response<TopResponse>, Status> {
        let (window, held) = (Arc::clone(&self.window), self.lookups.latest());
        let query = query(&request.into_inner(), held.table.is_some())?;
        if query.by.is_looked_up() && held.table.is_none() {
            return Err(fault::nothing_looked_up("by", query.by.name()));
        }
        // Up to 300 seconds of rows are summed: not on a thread that others wait for.
        let turn = Arc::clone(&self.tops).acquire_owned().await.map_err(|e| Status::internal(e.to_string()))?;
        let answer = tokio::task::spawn_blocking(move || {
            // Held to its end, also when nobody waits for it any more.
            let _turn = turn;
            let snapshot = window.lock().snapshot(unix_seconds(), query.window_s);
            let table = held.table.as_ref();
            let mut answer = snapshot.top(&query, table);
            if let Some(table) = table {
                match query.by {
                    By::Source | By::Destination | By::Address => place::of_addresses(&mut answer.entries, table),
                    By::As | By::SourceAs | By::DestinationAs => place::name_systems(&mut answer.entries, table),
                    _ => {}
                }
            }
            answer
        });
        answer.await.map(Response::new).map_err(|e| Status::internal(format!("summing up ended early: {e}")))
    }
}

/// One client that follows the records with cursors of its own. It slows nobody: not the workers, not the other clients.
struct Tail {
    rings: Rings,
    filter: Filter,
    lookups: Lookups,
    held: Arc<Generation>,
    limit: u64,
    lost: u64,
    damaged: u64,
    /// Where the client goes on that has read every answer so far.
    cursor: String,
    /// Of its filter, until they have been told.
    warnings: Vec<String>,
}

impl Tail {
    async fn run(mut self, teller: Teller<TailResponse>) {
        // At once: the client knows from where on it follows.
        let mut said = self.send(&teller, Vec::new()).await.then(Instant::now);
        let mut problems = self.rings.problems().to_vec();
        while let Some(last) = said {
            // Nothing is read that there is no room for.
            if !teller.room(STALLED).await {
                return teller.cut(self.stalled()).await;
            }
            let mut flows: Vec<Flow> = Vec::new();
            // A record that is read is behind the cursor, so no more are read than may be sent.
            let room = usize::try_from(self.limit).unwrap_or(BATCH).min(BATCH);
            self.lookups.refresh(&mut self.held);
            let (filter, table) = (&self.filter, self.held.table.as_ref());
            let found = self.rings.read(room, |record| {
                if filter.passes(record, table) {
                    flows.push(flow::placed(record, table));
                }
            });
            self.lost = self.lost.saturating_add(found.lost);
            self.damaged = self.damaged.saturating_add(found.damaged);
            self.limit = self.limit.saturating_sub(flows.len() as u64);
            let news = found.lost != 0 || found.damaged != 0 || problems != self.rings.problems();
            if !flows.is_empty() || news || last.elapsed() >= SIGN_OF_LIFE {
                said = self.send(&teller, flows).await.then(Instant::now);
                self.rings.problems().clone_into(&mut problems);
            }
            if self.limit == 0 {
                return;
            }
            if found.more {
                // Others have their turn between two batches.
                tokio::task::yield_now().await;
            } else {
                tokio::select! {
                    () = teller.gone() => return,
                    () = tokio::time::sleep(IDLE) => {}
                }
            }
        }
    }

    /// `false` when the client is gone. There is room: this is the only one that tells.
    async fn send(&mut self, teller: &Teller<TailResponse>, flows: Vec<Flow>) -> bool {
        self.cursor = self.rings.cursor();
        let problems = self.rings.problems().to_vec();
        let answer = TailResponse {
            flows,
            cursor: self.cursor.clone(),
            lost: self.lost,
            damaged: self.damaged,
            problems,
            warnings: std::mem::take(&mut self.warnings),
        };
        teller.tell(answer, STALLED).await
    }

    fn stalled(&self) -> Status {
        Status::resource_exhausted(format!(
            "this client read nothing for {} s while records waited for it, and its stream was ended: go on with the cursor {}",
            STALLED.as_secs(),
            self.cursor
        ))
    }
}

fn query(asked: &TopRequest, looks_up: bool) -> Result<Query, Status> {
    let filter = Filter::of_sums(asked.filter.as_ref(), looks_up)?;
    let by = match asked.by.as_str() {
        "" => By::Address,
        name => By::ALL
            .into_iter()
            .find(|by| by.name() == name)
            .ok_or_else(|| fault::bad_text("by", &format!("one of {}", By::ALL.map(By::name).join(", ")), name))?,
    };
    let order = match asked.order.as_str() {
        "" | "octets" => Order::Octets,
        "packets" => Order::Packets,
        "flows" => Order::Flows,
        other => return Err(fault::bad_text("order", "one of octets, packets, flows", other)),
    };
    let limit = match asked.limit {
        0 => 10,
        1..=1000 => asked.limit,
        _ => return Err(fault::bad_field("limit", "1 to 1000, or 0 for 10", asked.limit)),
    };
    let window_s = match asked.window_s {
        0 => 60,
        1..=WINDOW_S => asked.window_s,
        _ => return Err(fault::bad_field("window_s", "1 to 300, or 0 for 60", asked.window_s)),
    };
    let limit = usize::try_from(limit).map_err(|e| Status::internal(e.to_string()))?;
    Ok(Query { filter, by, order, limit, window_s })
}
