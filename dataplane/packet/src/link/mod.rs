//! Link headers, tags and labels: one file a protocol. `decode.rs` has their sequence.

pub(crate) mod arp;
pub(crate) mod cisco_metadata;
pub(crate) mod cooked;
pub(crate) mod ethernet;
pub(crate) mod ethertype;
pub(crate) mod fabric_path;
pub(crate) mod hdlc;
pub(crate) mod llc;
pub(crate) mod loopback;
pub(crate) mod macsec;
pub(crate) mod mpls;
pub(crate) mod nsh;
pub(crate) mod ppp;
pub(crate) mod pppoe;
pub(crate) mod raw;
pub(crate) mod service_instance;
pub(crate) mod skipped_tag;
pub(crate) mod vlan;
pub(crate) mod wireless;
