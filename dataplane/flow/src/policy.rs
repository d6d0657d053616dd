//! What can change while a worker runs.

use sonde_packet::Tunnels;

use crate::timeouts::Timeouts;

/// What can change while a worker runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// When flows end.
    pub timeouts: Timeouts,
    /// Whether VLAN ids are part of the key.
    pub vlan_in_key: bool,
    /// Whether the type and code of ICMP and ICMPv6 are part of the key.
    pub icmp_type_in_key: bool,
    /// Whether virtual networks (VNI, VSID, I-SID) are part of the key.
    pub virtual_network_in_key: bool,
    /// Which flow of a tunnelled packet is metered.
    pub tunnels: Tunnels,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            timeouts: Timeouts::default(),
            vlan_in_key: true,
            icmp_type_in_key: true,
            virtual_network_in_key: true,
            tunnels: Tunnels::default(),
        }
    }
}
