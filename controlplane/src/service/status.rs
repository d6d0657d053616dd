//! `sonde.v1.StatusService`: what the probe does now, out of the shared memory.

use super::connection;
use super::follow::{Followed, Teller, follow, full};
use crate::admit::{Counters, Registry, Streams};
use crate::stats_reader::StatsReader;
use crate::{background, fault};
use sonde_proto::v1::status_service_server::StatusService;
use sonde_proto::v1::{self, GetStatusRequest, WatchStatusRequest, WatchStatusResponse};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tonic::{Request, Response, Status, async_trait};

/// Clients that can follow the snapshots at the same time.
const WATCHES_MAX: usize = 64;
/// One that takes no snapshot for so long is told so, and its stream ended.
const STALLED: Duration = Duration::from_secs(120);

/// The service.
pub(crate) struct StatusView {
    source: Source,
    watches: Arc<Streams>,
}

/// What a snapshot is made of.
#[derive(Clone)]
struct Source {
    segment: Arc<StatsReader>,
    registry: Arc<Registry>,
}

impl Source {
    fn snapshot(&self) -> v1::Status {
        let mut status = self.segment.status();
        let (connections, connections_max) = self.registry.room();
        let Counters { accepted, refused, made_room, no_preface, idle, accept_errors, streams_cut } = &self.registry.counters;
        let now = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        status.api = Some(v1::ApiStatus {
            connections: connections as u64,
            connections_max: connections_max as u64,
            accepted: now(accepted),
            refused: now(refused),
            made_room: now(made_room),
            no_preface: now(no_preface),
            idle: now(idle),
            accept_errors: now(accept_errors),
            streams_cut: now(streams_cut),
        });
        status
    }
}

impl StatusView {
    /// Over a stats segment, and the connections of the API.
    pub(crate) fn new(segment: Arc<StatsReader>, registry: Arc<Registry>) -> Self {
        Self { source: Source { segment, registry }, watches: Streams::new(WATCHES_MAX) }
    }
}

#[async_trait]
impl StatusService for StatusView {
    async fn get(&self, _: Request<GetStatusRequest>) -> Result<Response<v1::Status>, Status> {
        Ok(Response::new(self.source.snapshot()))
    }

    type WatchStream = Followed<WatchStatusResponse>;

    async fn watch(&self, request: Request<WatchStatusRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let connection = connection(&request).cloned();
        let asked = request.into_inner().interval_ms;
        let interval = match asked {
            0 => 1000,
            100..=60_000 => asked,
            _ => return Err(fault::bad_field("interval_ms", "100 to 60000, or 0 for 1000", asked)),
        };
        // One snapshot waits for a slow client; the next ones it misses and is told.
        let seat = self.watches.take(connection.as_deref()).ok_or_else(|| full(WATCHES_MAX, "the snapshots"))?;
        let (teller, stream) = follow(connection, seat, Arc::clone(&self.source.registry));
        let fault = teller.fault();
        background::stream(watch(self.source.clone(), Duration::from_millis(interval.into()), teller), fault);
        Ok(Response::new(stream))
    }
}

async fn watch(source: Source, interval: Duration, teller: Teller<WatchStatusResponse>) {
    let mut ticks = tokio::time::interval(interval);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    let mut skipped = 0;
    let mut taken = Instant::now();
    loop {
        tokio::select! {
            () = teller.gone() => return,
            _ = ticks.tick() => {}
        }
        if teller.has_room() {
            taken = Instant::now();
            if !teller.tell(WatchStatusResponse { status: Some(source.snapshot()), skipped }, STALLED).await {
                return;
            }
        } else if taken.elapsed() >= STALLED {
            let said = format!("this client took no snapshot for {} s, and its stream was ended: ask again", STALLED.as_secs());
            return teller.cut(Status::resource_exhausted(said)).await;
        } else {
            skipped += 1;
        }
    }
}
