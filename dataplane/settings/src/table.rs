//! `boot.table`: how many flows a worker keeps.

use sonde_proto::v1;

use crate::check::Check;

/// Sizes of one worker's flow tables, in flows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Table {
    /// IPv4 flows, 1024 to 2^28.
    pub ipv4_flows: u64,
    /// IPv6 and layer-2 flows and flows inside tunnels, 1024 to 2^28.
    pub wide_flows: u64,
}

impl Table {
    /// IPv4 flows where nothing is said.
    pub(crate) const IPV4_FLOWS: u64 = 1 << 20;
    /// Flows of the other table where nothing is said.
    pub(crate) const WIDE_FLOWS: u64 = 1 << 18;

    /// Constructs it, noting what is wrong.
    pub(crate) fn construct(table: v1::Table, check: &mut Check) -> Self {
        let flows = 1024..=1 << 28;
        Self {
            ipv4_flows: check.number("boot.table.ipv4_flows".into(), table.ipv4_flows, Self::IPV4_FLOWS, flows.clone()),
            wide_flows: check.number("boot.table.wide_flows".into(), table.wide_flows, Self::WIDE_FLOWS, flows),
        }
    }
}
