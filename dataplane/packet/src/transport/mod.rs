//! What follows IP and is no tunnel: one file a protocol. `decode.rs` has their sequence.

pub(crate) mod esp;
pub(crate) mod icmp;
pub(crate) mod ports;
pub(crate) mod tcp;
pub(crate) mod udp;
