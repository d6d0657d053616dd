//! `sonde.v1.StatusService`: what the probe does now, out of the shared memory.

use crate::seg::Segment;
use crate::{background, fault};
use sonde_proto::v1::status_service_server::StatusService;
use sonde_proto::v1::{self, GetStatusRequest, WatchStatusRequest, WatchStatusResponse};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, async_trait};

/// The service.
pub(crate) struct StatusView {
    segment: Arc<Segment>,
}

impl StatusView {
    /// Over a stats segment.
    pub(crate) fn new(segment: Arc<Segment>) -> Self {
        Self { segment }
    }
}

#[async_trait]
impl StatusService for StatusView {
    async fn get(&self, _: Request<GetStatusRequest>) -> Result<Response<v1::Status>, Status> {
        Ok(Response::new(self.segment.status()))
    }

    type WatchStream = ReceiverStream<Result<WatchStatusResponse, Status>>;

    async fn watch(&self, request: Request<WatchStatusRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let asked = request.into_inner().interval_ms;
        let interval = match asked {
            0 => 1000,
            100..=60_000 => asked,
            _ => return Err(fault::bad_field("interval_ms", "100 to 60000, or 0 for 1000", asked)),
        };
        // One snapshot waits for a slow client; the next ones it misses and is told.
        let (tell, stream) = mpsc::channel(1);
        background::stream(tell.clone(), watch(Arc::clone(&self.segment), Duration::from_millis(interval.into()), tell));
        Ok(Response::new(ReceiverStream::new(stream)))
    }
}

async fn watch(segment: Arc<Segment>, interval: Duration, tell: mpsc::Sender<Result<WatchStatusResponse, Status>>) {
    let mut ticks = tokio::time::interval(interval);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    let mut skipped = 0;
    loop {
        tokio::select! {
            () = tell.closed() => return,
            _ = ticks.tick() => {}
        }
        match tell.try_send(Ok(WatchStatusResponse { status: Some(segment.status()), skipped })) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => skipped += 1,
            Err(TrySendError::Closed(_)) => return,
        }
    }
}
