//! A stream whose client may read slowly, or never: one answer waits for it, and it is told when it is given up.

use crate::admit::{Connection, Registry, Seat, Seldom, more};
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::mpsc;
use tonic::Status;
use tonic::codegen::tokio_stream::Stream;

/// A client that was given up and reads nothing for so long even now loses its connection: what waits for it takes memory.
const LINGER: Duration = Duration::from_secs(30);

/// What the client reads.
pub(crate) struct Followed<T> {
    answers: mpsc::Receiver<T>,
    end: Arc<OnceLock<Status>>,
    ended: bool,
}

/// What tells it.
pub(crate) struct Teller<T> {
    tell: mpsc::Sender<T>,
    end: Arc<OnceLock<Status>>,
    connection: Option<Arc<Connection>>,
    registry: Arc<Registry>,
    seat: Option<Seat>,
}

/// Why there is no seat.
pub(crate) fn full(most: usize, what: &str) -> Status {
    Status::resource_exhausted(format!(
        "{most} clients follow {what} already, or {} of this address or user: end one of them, or try again later",
        most * 3 / 4
    ))
}

/// Both ends of a stream.
pub(crate) fn follow<T>(connection: Option<Arc<Connection>>, seat: Seat, registry: Arc<Registry>) -> (Teller<T>, Followed<T>) {
    let (tell, answers) = mpsc::channel(1);
    let end = Arc::default();
    (Teller { tell, end: Arc::clone(&end), connection, registry, seat: Some(seat) }, Followed { answers, end, ended: false })
}

impl<T> Teller<T> {
    /// Ready when the client is gone.
    pub(crate) async fn gone(&self) {
        self.tell.closed().await;
    }

    /// Whether the client has taken the last answer.
    pub(crate) fn has_room(&self) -> bool {
        self.tell.capacity() != 0
    }

    /// Ready when it has, or is gone. `false`: it did not within this time.
    pub(crate) async fn room(&self, patience: Duration) -> bool {
        tokio::time::timeout(patience, self.tell.reserve()).await.is_ok()
    }

    /// Gives an answer when there is room. `false` when the client is gone, or there was no room for so long.
    pub(crate) async fn tell(&self, answer: T, patience: Duration) -> bool {
        self.tell.send_timeout(answer, patience).await.is_ok()
    }

    /// Ends the stream with a fault of the program. It stays open until this is called or dropped, so that the fault is read.
    pub(crate) fn fault(&self) -> impl FnOnce(Status) + Send + use<T>
    where
        T: Send + 'static,
    {
        let (held, end) = (self.tell.clone(), Arc::clone(&self.end));
        move |why| {
            // It was set already where the client had been given up.
            let _ = end.set(why);
            drop(held);
        }
    }

    /// Gives the client up. It reads what waits for it, and then why.
    pub(crate) async fn cut(mut self, why: Status) {
        static CUT: Seldom = Seldom::new();
        let count = more(&self.registry.counters.streams_cut);
        if let Some(new) = CUT.happened(count) {
            let of = self.connection.as_ref().map_or_else(|| "unknown".to_owned(), |c| c.peer.to_string());
            tracing::warn!("{new} streams ended because nobody read them; the last one of {of}");
        }
        // Nobody else sets it.
        let _ = self.end.set(why);
        self.seat = None;
        if !self.room(LINGER).await
            && let Some(connection) = &self.connection
        {
            connection.hang_up.notify_one();
        }
    }
}

impl<T> Stream for Followed<T> {
    type Item = Result<T, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.ended {
            return Poll::Ready(None);
        }
        self.answers.poll_recv(cx).map(|answer| match answer {
            Some(answer) => Some(Ok(answer)),
            None => {
                self.ended = true;
                self.end.get().map(|why| Err(why.clone()))
            }
        })
    }
}
