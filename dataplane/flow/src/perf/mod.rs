//! How well the network performs: pure state machines, one for each flow, fed with what the flow's packets say.
//!
//! [`TcpState`] follows a TCP connection, [`UdpState`] requests and answers over UDP, [`QuicState`] the round trips of QUIC. What
//! they find leaves as a [`TcpPerformance`], [`UdpPerformance`] or [`QuicPerformance`], each an extension of the flow's record: a
//! head word with length (16 bits) and type (8 bits), then its values as little-endian words.
//!
//! Not here: which packets are one flow, and when its record is due (the flow table); parsing of TCP headers (`sonde-packet`).

mod handshake;
mod lone;
mod quic;
mod report;
mod response;
mod sequence;
mod spacing;
mod span;
mod tcp;
mod udp;
mod way;
pub(crate) mod words;

pub(crate) use handshake::Opening;
pub(crate) use lone::LoneSyn;
pub use quic::{QUIC_PERFORMANCE, QUIC_PERFORMANCE_WORDS, QuicPerformance, QuicState, SpinTimes, quic_valid};
pub(crate) use quic::{has_long_header, is_initial};
pub use report::{Connection, Syn, TCP_PERFORMANCE, TCP_PERFORMANCE_WORDS, TcpDirection, TcpPerformance, valid};
pub use response::ResponseTimes;
pub use spacing::Spread;
pub use tcp::{Closing, Segment, TcpState};
pub(crate) use tcp::{Rest, TcpMut, TcpRef, Ways};
pub use udp::{Application, Message, UDP_PERFORMANCE, UDP_PERFORMANCE_WORDS, UdpPerformance, UdpState};
