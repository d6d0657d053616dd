//! What a device says of itself.

use crate::cstr::text;
use crate::driver::{Counts, Driver, Spread};
use crate::sys;

/// What the device says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortInfo {
    /// The device as it was given, without arguments.
    pub name: String,
    /// DPDK's name of its driver.
    pub driver: String,
    /// The MAC address.
    pub mac: [u8; 6],
    /// The NUMA node it hangs on, if it hangs on one.
    pub socket: Option<u32>,
    /// Receive queues it has, those only that its way of spreading can fill.
    pub rx_queues_max: u16,
    /// How frames come to be in one queue or the other.
    pub spread: Spread,
    /// Octets of its RSS key; 0 without RSS.
    pub rss_key_octets: u8,
    /// The hash functions it knows (`RTE_ETH_RSS_*`).
    pub rss_offloads: u64,
    /// Entries of its redirection table.
    pub reta_size: u16,
    /// Longest frame it can receive, in octets without FCS.
    pub frame_octets_max: u32,
    /// Largest MTU it accepts.
    pub mtu_max: u16,
    /// Descriptors of one queue: least and most.
    pub descriptors: (u16, u16),
    /// Puts a long frame into several buffers.
    pub can_scatter: bool,
    /// Has receive times of its own.
    pub can_timestamp: bool,
    /// Which losses it counts.
    pub counts: Counts,
    /// Reads on by itself when the kernel's interface was gone and is back.
    pub follows: bool,
}

/// `RTE_ETH_RSS_LEVEL_INNERMOST` (rte_ethdev.h).
const RSS_LEVEL_INNERMOST: u64 = 2 << 50;
/// `RTE_ETH_RSS_IPV4` and `RTE_ETH_RSS_IPV6`. A device without them (i40e) hashes what each of its packet types has, and nothing of a
/// type that is left out.
const RSS_ADDRESSES: u64 = 1 << 2 | 1 << 8;
/// An Ethernet header without tags, in octets.
pub(crate) const HEADER: u32 = 14;
/// An Ethernet header with FCS: what a driver adds to the MTU when it does not say.
const OVERHEAD: u32 = 18;

impl PortInfo {
    /// Of a port of DPDK's.
    pub(crate) fn from_raw(name: String, raw: &sys::fp_port_info) -> Self {
        let info = Self::of_driver(text(&raw.driver), name, raw);
        // DPDK's own driver of this name does not ask the kernel what it dropped.
        let counts = if info.driver == "net_af_packet" { Driver::of("", 0).counts } else { info.counts };
        Self { counts, ..info }
    }

    pub(crate) fn of_driver(driver: String, name: String, raw: &sys::fp_port_info) -> Self {
        let row = Driver::of(&driver, raw.rss_offloads);
        let most = row.rss_queues_max.map_or(raw.rx_queues_max, |limit| limit.min(raw.rx_queues_max));
        Self {
            name,
            mac: raw.mac,
            socket: u32::try_from(raw.socket).ok(),
            rx_queues_max: if row.spread == Spread::One { most.min(1) } else { most },
            spread: row.spread,
            driver,
            rss_key_octets: match (raw.rss_offloads, raw.hash_key_size) {
                (0, _) => 0,
                // rte_eth_rss_conf: 40 octets where the device does not say.
                (_, 0) => 40,
                (_, octets) => octets,
            },
            rss_offloads: raw.rss_offloads,
            reta_size: raw.reta_size,
            frame_octets_max: raw.frame_octets_max.saturating_sub(4),
            mtu_max: raw.mtu_max,
            descriptors: (raw.descriptors_min, raw.descriptors_max),
            can_scatter: raw.can_scatter != 0,
            can_timestamp: raw.can_timestamp != 0,
            counts: row.counts,
            follows: false,
        }
    }

    /// Whether RSS can be told to hash the innermost headers (`RTE_ETH_RSS_LEVEL_INNERMOST`).
    #[must_use]
    pub fn can_hash_inner(&self) -> bool {
        self.rss_offloads & RSS_LEVEL_INNERMOST != 0
    }

    /// Whether RSS can hash the addresses of all IP packets, whatever they carry.
    #[must_use]
    pub fn can_hash_addresses(&self) -> bool {
        self.rss_offloads & RSS_ADDRESSES == RSS_ADDRESSES
    }

    /// The MTU that lets frames of `octets` (without FCS) in, or the largest that the device accepts.
    pub(crate) fn mtu_for(&self, octets: u32) -> u32 {
        let with_fcs = self.frame_octets_max.saturating_add(4);
        let mtu_max = u32::from(self.mtu_max);
        // rte_eth_dev_configure checks MTU + overhead against the longest frame, the overhead being their difference.
        let overhead = if mtu_max != u32::from(u16::MAX) && with_fcs > mtu_max { with_fcs - mtu_max } else { OVERHEAD };
        octets.saturating_sub(HEADER).min(mtu_max).min(with_fcs.saturating_sub(overhead))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mtu_stays_within_what_the_device_can() {
        let raw = sys::fp_port_info { frame_octets_max: 1514, mtu_max: u16::MAX, ..Default::default() };
        assert_eq!(PortInfo::from_raw(String::new(), &raw).mtu_for(9018), 1496);
        // An E810: 9728 octets with FCS, MTU 9702.
        let raw = sys::fp_port_info { frame_octets_max: 9728, mtu_max: 9702, ..Default::default() };
        assert_eq!(PortInfo::from_raw(String::new(), &raw).mtu_for(9018), 9004);
        assert_eq!(PortInfo::from_raw(String::new(), &raw).mtu_for(20_000), 9702);
    }
}
