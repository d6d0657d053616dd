//! Traffic from scratch: frames with right checksums, conversations, populations of flows, capture files.
//!
//! ```
//! use sonde_tests::traffic::{Stack, Tcp, tcp_flags};
//!
//! let frame = Stack::ethernet().vlan(100).ipv4([10, 0, 0, 1], [10, 0, 0, 2]).push(Tcp::new(40_000, 443, tcp_flags::SYN)).build();
//! assert_eq!(frame.len(), 60); // padded to Ethernet's least length
//! ```
//!
//! Everything is deterministic: the same seed makes the same bytes on every machine.

pub mod capture;
mod carrier;
mod checksum;
mod conversation;
mod fragment;
mod header;
mod layer;
mod office;
mod population;
mod random;
mod samples;
mod stack;
mod totals;

pub use capture::{ByteOrder, CaptureWriter, Format, Resolution};
pub use carrier::{Carrier, Erspan, Gre, Gtp, Ppp, aggregate};
pub use checksum::{crc32c, internet_checksum};
pub use conversation::{Close, Endpoint, Path, TcpConversation, icmp_echo, udp_exchange};
pub use fragment::fragments;
pub use layer::{Arp, Icmp, Ipv4, Ipv6, Layer, Sctp, Tcp, TcpOption, tcp_flags};
pub use office::office;
pub use population::{Mix, Population, Size};
pub use random::Random;
pub use samples::{Sample, samples};
pub use stack::Stack;
pub use totals::Totals;

/// A frame with its time, as a capture holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Nanoseconds since 1970-01-01 00:00:00 UTC.
    pub time: u64,
    /// The frame from its link header on, without FCS.
    pub bytes: Vec<u8>,
}

/// When generated traffic begins: 2026-01-05 08:00:00 UTC, in nanoseconds since 1970.
pub const START: u64 = 1_767_600_000 * SECOND;
/// Nanoseconds of a second.
pub const SECOND: u64 = 1_000_000_000;
/// Nanoseconds of a millisecond.
pub const MILLISECOND: u64 = 1_000_000;
/// Nanoseconds of a microsecond.
pub const MICROSECOND: u64 = 1_000;
