//! Tasks that go on for ever, and what becomes of one that ends by a fault of the program: it is said, and the task begins again.

use sonde_threads::{Death, Lives, Pauses};
use std::any::Any;
use std::future::Future;
use tokio::task::{AbortHandle, JoinHandle};
use tonic::Status;

/// A task that ends with its owner.
pub(crate) struct Background(AbortHandle);

impl Drop for Background {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Background {
    /// Starts a task that `life` makes, and makes it anew after it has ended by a panic. It ends when it returns, and with this.
    pub(crate) fn start<F: Future<Output = ()> + Send + 'static>(name: &'static str, life: impl Fn() -> F + Send + 'static) -> Self {
        Self(tokio::spawn(supervise(name, Pauses::USUAL, life)).abort_handle())
    }

    /// Starts a task that is not made anew.
    pub(crate) fn once(life: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(tokio::spawn(life).abort_handle())
    }

    /// As [`Background::start`], of a task that ends by itself when nobody needs it any more.
    pub(crate) fn detach<F: Future<Output = ()> + Send + 'static>(name: &'static str, life: impl Fn() -> F + Send + 'static) {
        tokio::spawn(supervise(name, Pauses::USUAL, life));
    }
}

/// Says that something ended by a fault of the program.
pub(crate) fn say(what: &str, death: &Death) {
    tracing::error!("{what} ended by a fault of the program: {}; it begins again in {} s", death.reason, death.pause.as_secs_f32());
}

async fn supervise<F: Future<Output = ()> + Send + 'static>(name: &'static str, pauses: Pauses, life: impl Fn() -> F) {
    let mut lives = Lives::new(pauses);
    loop {
        lives.begin();
        let Some(panic) = panic_of(tokio::spawn(life())).await else { return };
        let death = lives.died(&*panic);
        say(&format!("the task that {name}"), &death);
        tokio::time::sleep(death.pause).await;
    }
}

/// Waits for a task, which ends with the waiting; what it panicked with, if it did.
async fn panic_of(task: JoinHandle<()>) -> Option<Box<dyn Any + Send>> {
    let _ended = Background(task.abort_handle());
    task.await.err()?.try_into_panic().ok()
}

/// Runs the task that fills a stream. When it ends by a fault of the program, `tell` says so to the client: a stream that only ends would
/// look whole.
pub(crate) fn stream(life: impl Future<Output = ()> + Send + 'static, tell: impl FnOnce(Status) + Send + 'static) {
    tokio::spawn(async move {
        if let Some(panic) = panic_of(tokio::spawn(life)).await {
            let reason = sonde_threads::reason(&*panic);
            tracing::error!("a stream ended by a fault of the program: {reason}");
            tell(Status::internal(format!("the stream ended by a fault of the program: {reason}")));
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Duration;

    const QUICK: Pauses = Pauses { first: Duration::from_millis(1), longest: Duration::from_millis(4) };

    #[tokio::test]
    async fn a_task_that_panics_begins_again_and_one_that_returns_has_ended() {
        let lives = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&lives);
        let life = move || {
            let life = counted.fetch_add(1, Ordering::Relaxed);
            async move { assert!(life == 3, "life {life}") }
        };
        supervise("is tested", QUICK, life).await;
        assert_eq!(lives.load(Ordering::Relaxed), 4);
    }

    #[tokio::test]
    async fn a_task_ends_with_its_owner() {
        let (held, mut gone) = tokio::sync::mpsc::channel::<()>(1);
        let owner = Background::start("is tested", move || {
            let held = held.clone();
            async move {
                std::future::pending::<()>().await;
                drop(held);
            }
        });
        tokio::task::yield_now().await;
        drop(owner);
        assert_eq!(gone.recv().await, None);
    }

    #[tokio::test]
    async fn a_stream_that_dies_says_so() {
        let (tell, told) = tokio::sync::oneshot::channel();
        let told_of = |status| tell.send(status).expect("it is read");
        stream(async { std::panic::panic_any("out of order") }, told_of);
        let status = told.await.expect("its end");
        assert_eq!((status.code(), status.message()), (tonic::Code::Internal, "the stream ended by a fault of the program: out of order"));
    }
}
