//! How a TCP connection performs: a pure state machine, fed with what its segments say.
//!
//! [`TcpState`] follows a connection; what it finds leaves as a [`TcpPerformance`](sonde_record::fact::TcpPerformance).

mod handshake;
pub(crate) mod lone;
mod report;
mod segment;
mod sequence;
mod spacing;
mod state;
mod way;

pub(crate) use handshake::Opening;
pub use segment::Segment;
pub use state::TcpState;
pub(crate) use state::{Rest, TcpMut, TcpRef, Ways};
