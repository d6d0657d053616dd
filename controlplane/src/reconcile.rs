//! Compares what is desired with what is in force, for ever.

use crate::desired::Desired;
use std::time::Duration;

/// How often it looks when nothing happens.
const PERIOD: Duration = Duration::from_secs(1);
/// How long it waits after it could not do what it had to.
const AFTER_TROUBLE: Duration = Duration::from_secs(5);

/// Runs until its task is dropped.
pub(crate) async fn run(desired: Desired) {
    let mut peer = desired.link().follow();
    loop {
        sonde_threads::trap_as("reconcile");
        let pause = match desired.reconcile().await {
            Ok(done) => {
                desired.note_trouble("");
                if let Some(done) = done {
                    tracing::info!("{done}");
                }
                PERIOD
            }
            Err(status) => {
                // The same trouble is said once, not every five seconds.
                if desired.note_trouble(status.message()) {
                    tracing::warn!("cannot bring the dataplane to the desired settings: {}", status.message());
                }
                AFTER_TROUBLE
            }
        };
        tokio::select! {
            changed = peer.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(pause) => {}
        }
    }
}
