//! What follows IP and is no tunnel: one file a protocol. [`crate::decode`] has their sequence.

pub(crate) mod esp;
pub(crate) mod icmp;
pub(crate) mod ports;
pub(crate) mod tcp;
pub(crate) mod udp;
