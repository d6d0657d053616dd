//! IPv4, IPv6 and the headers between IP and transport: one file a protocol. `decode.rs` has their sequence.

pub(crate) mod authentication;
pub(crate) mod extension;
pub(crate) mod fragment;
pub(crate) mod jumbo;
pub(crate) mod routing;
pub(crate) mod v4;
pub(crate) mod v6;
