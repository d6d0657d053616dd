//! What is counted of frames before a worker sees them.

use std::sync::atomic::AtomicU64;

/// What happens to a worker's frames before it sees them. One writer for each; read by the control thread.
#[derive(Debug, Default)]
pub struct WorkerCounts {
    /// Frames the dispatcher put into the worker's ring.
    pub dispatched: AtomicU64,
    /// Frames the dispatcher dropped because the ring was full. They are in the port's received packets, and in no worker's.
    pub dispatch_dropped: AtomicU64,
    /// Frames that came in several buffers, of which the worker sees the first.
    pub segmented: AtomicU64,
}
