//! `sonde.v1.FlowsService`: flow records as they are written, and the largest talkers.

use crate::filter::Filter;
use crate::place::{self, Lookups};
use crate::places::Places;
use crate::records::{IDLE, Rings, unix_seconds};
use crate::talker::By;
use crate::top::{Order, Query, WINDOW_S, Window};
use crate::{background, fault, flow};
use parking_lot::Mutex;
use sonde_enrich::Generation;
use sonde_proto::v1::flows_service_server::FlowsService;
use sonde_proto::v1::{Flow, TailRequest, TailResponse, TopRequest, TopResponse};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, async_trait};

/// Clients that can follow the records at the same time.
pub(crate) const TAILS_MAX: usize = 64;
/// Flows in one answer of a stream.
const BATCH: usize = 512;
/// Answers that wait for a slow client; then its own reader stands still, and what the ring overwrites meanwhile it has lost.
const WAITING: usize = 4;
/// A client that gets no flows is told its cursor so often.
const SIGN_OF_LIFE: Duration = Duration::from_secs(5);

/// The service.
pub(crate) struct Flows {
    places: Places,
    window: Arc<Mutex<Window>>,
    lookups: Lookups,
    tails: Arc<Semaphore>,
}

impl Flows {
    /// Over the rings, and the window that is kept of them; addresses are looked up in the latest table.
    pub(crate) fn new(places: Places, window: Arc<Mutex<Window>>, lookups: Lookups) -> Self {
        Self { places, window, lookups, tails: Arc::new(Semaphore::new(TAILS_MAX)) }
    }
}

#[async_trait]
impl FlowsService for Flows {
    type TailStream = ReceiverStream<Result<TailResponse, Status>>;

    async fn tail(&self, request: Request<TailRequest>) -> Result<Response<Self::TailStream>, Status> {
        let TailRequest { filter, cursor, limit } = request.into_inner();
        let filter = Filter::new(filter.as_ref())?;
        let permit = Arc::clone(&self.tails).try_acquire_owned().map_err(|_| {
            Status::resource_exhausted(format!("{TAILS_MAX} clients follow the records already: end one of them, or try again later"))
        })?;
        let rings = Rings::open(self.places.clone(), &cursor)?;
        let (tell, stream) = mpsc::channel(WAITING);
        let limit = if limit == 0 { u64::MAX } else { limit };
        let (lookups, held) = (self.lookups.clone(), self.lookups.latest());
        let tail = Tail { rings, filter, lookups, held, limit, lost: 0, tell: tell.clone(), _permit: permit };
        background::stream(tell, tail.run());
        Ok(Response::new(ReceiverStream::new(stream)))
    }

    async fn top(&self, request: Request<TopRequest>) -> Result<Response<TopResponse>, Status> {
        let query = query(&request.into_inner())?;
        let (window, held) = (Arc::clone(&self.window), self.lookups.latest());
        if query.by.is_looked_up() && held.table.is_none() {
            return Err(fault::nothing_looked_up("by", query.by.name()));
        }
        // Up to 300 seconds of rows are summed: not on a thread that others wait for.
        let answer = tokio::task::spawn_blocking(move || {
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
    tell: mpsc::Sender<Result<TailResponse, Status>>,
    _permit: OwnedSemaphorePermit,
}

impl Tail {
    async fn run(mut self) {
        // At once: the client knows from where on it follows.
        let mut said = self.send(Vec::new()).await.then(Instant::now);
        while let Some(last) = said {
            let mut flows: Vec<Flow> = Vec::new();
            // A record that is read is behind the cursor, so no more are read than may be sent.
            let room = usize::try_from(self.limit).unwrap_or(BATCH).min(BATCH);
            self.lookups.refresh(&mut self.held);
            let (filter, table) = (&self.filter, self.held.table.as_ref());
            let found = self.rings.read(room, |record| {
                if filter.passes(record) {
                    flows.push(flow::placed(record, table));
                }
            });
            self.lost = self.lost.saturating_add(found.lost);
            self.limit = self.limit.saturating_sub(flows.len() as u64);
            if !flows.is_empty() || found.lost != 0 || last.elapsed() >= SIGN_OF_LIFE {
                said = self.send(flows).await.then(Instant::now);
            }
            if self.limit == 0 {
                return;
            }
            if found.more {
                // Others have their turn between two batches.
                tokio::task::yield_now().await;
            } else {
                tokio::select! {
                    () = self.tell.closed() => return,
                    () = tokio::time::sleep(IDLE) => {}
                }
            }
        }
    }

    /// Waits until the client has room. `false` when it is gone.
    async fn send(&self, flows: Vec<Flow>) -> bool {
        self.tell.send(Ok(TailResponse { flows, cursor: self.rings.cursor(), lost: self.lost })).await.is_ok()
    }
}

fn query(asked: &TopRequest) -> Result<Query, Status> {
    let filter = Filter::new(asked.filter.as_ref())?;
    let by = match asked.by.as_str() {
        "" => By::Address,
        name => By::ALL
            .into_iter()
            .find(|by| by.name() == name)
            .ok_or_else(|| fault::bad_field("by", &format!("one of {}", By::ALL.map(By::name).join(", ")), name))?,
    };
    let order = match asked.order.as_str() {
        "" | "octets" => Order::Octets,
        "packets" => Order::Packets,
        "flows" => Order::Flows,
        other => return Err(fault::bad_field("order", "one of octets, packets, flows", other)),
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
