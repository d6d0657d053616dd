//! Ports as sources: frames of NICs and virtual devices, brought to the workers.
//!
//! [`open`] decides for each port how its frames reach the workers, and starts it:
//! - **direct**: the port has a receive queue for each worker, filled so that both directions of a conversation come by the same
//!   queue (symmetric RSS, or a device's own way). Worker *n* polls queue *n* of each such port. Nothing stands between.
//! - **dispatched**: it has fewer, or its device would part the two directions of flows in tunnels. One [`Dispatcher`] thread polls its queues, asks [`sonde_packet::Affinity`] for the worker of each
//!   frame, and hands the buffers over rings, a burst at a time. A full ring drops and counts.
//!
//! A worker sees one [`NicSource`] either way, which lends the frames where they lie and gives them back when the burst is done.
//!
//! *Not here*: recordings and templates as sources (they need no DPDK: `sonde_worker::source`).

mod counts;
mod dispatch;
mod nic;
mod open;
mod pace;
mod plan;
mod stamps;

pub use counts::WorkerCounts;
pub use dispatch::Dispatcher;
pub use nic::{Idle, NicSource};
pub use open::{OpenPort, Opened, SourceError, open};
pub use plan::{Options, buffer_octets};
