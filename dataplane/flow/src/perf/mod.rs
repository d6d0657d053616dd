//! How well the network performs: pure state machines, one for each flow, fed with what the flow's packets say.
//!
//! [`TcpState`] follows a TCP connection. What it finds leaves as a [`TcpPerformance`], an extension of the flow's record.
//!
//! Not here: which packets are one flow, and when its record is due (the flow table); parsing of TCP headers (`sonde-packet`).

mod report;
mod response;
mod sequence;
mod spacing;
mod span;
mod tcp;
mod words;

pub use report::{Connection, Syn, TCP_PERFORMANCE, TCP_PERFORMANCE_WORDS, TcpDirection, TcpPerformance, valid};
pub use response::ResponseTimes;
pub use spacing::Spread;
pub use tcp::{Closing, Segment, TcpState};
