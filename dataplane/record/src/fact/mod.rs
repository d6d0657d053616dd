//! Facts: what only some flows have, typed, behind the head of a record.
//!
//! The first word of a fact is its length in words (16 bits), its [`Id`] (8 bits), and what the fact makes of the rest. A reader passes
//! over facts that it does not know. One file is one fact: its values, its layout in words, its rows of the catalogue, its tests.
//! Strings are written and read by [`crate::text`].

pub(crate) mod burst;
pub(crate) mod first;
pub(crate) mod found;
pub(crate) mod histogram;
mod kind;
pub(crate) mod layers;
mod lone;
pub(crate) mod nettisa;
pub(crate) mod quic;
pub(crate) mod response_rows;
mod responses;
mod tcp;
pub(crate) mod tcp_rows;
pub(crate) mod udp;

pub use burst::{BURSTS_MAX, Burst, Bursts, RawBurst};
pub use first::{FIRST_PACKETS_MAX, FirstPacket, FirstPackets};
pub use found::{ALL_WORDS, FACTS_WORDS_MAX};
pub use histogram::{BINS, Histograms};
pub use kind::{Fact, Facts, Id, facts};
pub use lone::LoneSyn;
pub use nettisa::NetTisa;
pub use quic::{QuicPerformance, SpinTimes, quic_valid};
pub use responses::ResponseTimes;
pub use sonde_packet::Layers;
pub use tcp::{Closing, Connection, Spread, Syn, TcpDirection, TcpPerformance, WINDOW_SCALE_MAX, valid};
pub use udp::{Application, UdpPerformance};
