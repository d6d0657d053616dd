//! packet: bytes -> [`Headers`]. No dependency, no unsafe, no allocation for a packet, no clock.
//!
//! [`decode`] is a total function: every byte string is a value or a [`Malformed`] reason. [`fast4`] is its straight-line
//! twin for the frames that make up most traffic; what it does not recognise goes to [`decode`].
//!
//! [`decapsulate`] goes on through tunnels to the innermost packet ([`inner4`] is its twin for common packets in one tunnel), [`layers`]
//! tells what was passed on the way.
//!
//! [`Affinity`] says to which worker a frame goes.
//!
//! The folders `link`, `ip`, `transport` and `tunnel` have one file a protocol; `decode` is the sequence in which they read a frame.
//!
//! Not here: reassembly, and what ESP hides.
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::unwrap_used, clippy::panic, clippy::expect_used)
)]

mod affinity;
mod choice;
mod cursor;
mod decapsulate;
mod decode;
mod fast;
mod frame;
mod headers;
mod ip;
mod layers;
mod link;
mod listener;
mod located;
mod ports;
pub mod proto;
mod recognise;
mod transport;
mod tunnel;

pub use affinity::{Affinity, Choice, Hasher, worker_of};
pub use choice::{TUNNEL_DEPTH_MAX, Tunnels, View};
pub use decapsulate::{Inner, Packets, Part, decapsulate, decapsulate_part, layers, layers_part};
pub use decode::decode;
pub use fast::{Fast4, Inner4, fast4, inner4};
pub use frame::{Frame, Link};
pub use headers::{Fragment, Headers, Malformed, Network, ServiceInstance, Tcp};
pub use ip::extension::EXTENSIONS_MAX;
pub use layers::{Layers, MPLS_LABELS_KEPT, TUNNELS_KEPT, VLAN_TAGS_KEPT};
pub use link::vlan::TAGS_MAX;
pub use listener::{Arp, SegmentRouting};
pub use located::{Fast6, FastIp, Located, located};
pub use ports::{TUNNEL_PORTS_MAX, UdpPorts};
pub use proto::has_ports;
pub use transport::tcp::{SynOptions, TcpHeader, syn_options};
pub use tunnel::Tunnel;

#[cfg(test)]
mod frame_tests;
#[cfg(test)]
mod lengths_tests;
