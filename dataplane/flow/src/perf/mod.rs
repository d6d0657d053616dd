//! How well the network performs: pure state machines, one for each flow, fed with what the flow's packets say.
//!
//! [`TcpState`] follows a TCP connection, [`UdpState`] requests and answers over UDP, [`QuicState`] the round trips of QUIC. What
//! they find leaves as a [`TcpPerformance`](sonde_record::fact::TcpPerformance),
//! [`UdpPerformance`](sonde_record::fact::UdpPerformance) or [`QuicPerformance`](sonde_record::fact::QuicPerformance), each a fact of the
//! flow's record.
//!
//! Not here: which packets are one flow, and when its record is due (the flow table); parsing of TCP headers (`sonde-packet`).

mod handshake;
pub(crate) mod lone;
mod quic;
mod report;
mod response;
mod sequence;
mod spacing;
mod span;
mod tcp;
mod udp;
mod way;

pub(crate) use handshake::Opening;
pub use quic::QuicState;
pub(crate) use quic::{has_long_header, is_initial};
pub(crate) use tcp::{Rest, TcpMut, TcpRef, Ways};
pub use tcp::{Segment, TcpState};
pub use udp::{Message, UdpState, message};
