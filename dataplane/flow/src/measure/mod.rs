//! How well the network performs, and what the pattern of packets is: pure state machines, one for each flow, fed with what the flow's
//! packets say.
//!
//! [`TcpState`](tcp::TcpState) follows a TCP connection, [`UdpState`] requests and answers over UDP, [`QuicState`] the round trips of QUIC,
//! [`PatternState`](pattern::PatternState) sizes and times. What they find leaves as facts of the flow's record.
//!
//! `feed` says what of a packet each is told, and which flows have one; `follow` is what a flow goes through, from its first packet to
//! its record. Both know the entry only as [`crate::followed::Followed`].
//!
//! Not here: which packets are one flow, and when its record is due (the flow table); where states stand (`annex`); parsing of TCP headers
//! (`sonde-packet`).

pub(crate) mod datagrams;
mod feed;
pub(crate) mod follow;
pub mod pattern;
mod quic;
mod response;
mod span;
pub mod tcp;
mod udp;

pub use quic::QuicState;
pub use udp::{Message, UdpState, message};
