//! What a worker counts. The enum is the index, and one place increments each.

use sonde_packet::Malformed;

/// A counter of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
#[expect(missing_docs, reason = "NAMES says it, in the same order, with its meaning in docs/counters.md")]
pub enum Counter {
    Received,
    ReceivedOctets,
    MeteredIpv4,
    MeteredIpv6,
    MeteredLayer2,
    Fragments,
    TransportTruncated,
    FlowsCreated,
    FlowsActive,
    RecordsIdle,
    RecordsActive,
    RecordsEndOfFlow,
    RecordsForced,
    RecordsLackOfResources,
    TableFullLines,
    SweptLines,
    MeteredTwice,
    TunnelTooDeep,
    TunnelUnreadable,
    LayersFull,
    PerformanceFull,
    UdpPerformanceFull,
    PatternsFull,
    FramesCut,
    Subframes,
    SubframesSkipped,
    FragmentsWaiting,
}

/// Counters before the reasons.
const PLAIN: usize = 27;
/// How many there are.
pub const COUNTERS: usize = PLAIN + Malformed::ALL.len();

/// Their names, in the order of the values. Those that begin with "not_metered." are the reasons of the balance.
pub const NAMES: [&str; COUNTERS] = [
    "received",
    "received_octets",
    "metered_ipv4",
    "metered_ipv6",
    "metered_layer2",
    "fragments",
    "transport_truncated",
    "flows_created",
    "flows_active",
    "records_idle",
    "records_active",
    "records_end_of_flow",
    "records_forced",
    "records_lack_of_resources",
    "table_full_lines",
    "swept_lines",
    "metered_twice",
    "tunnel_too_deep",
    "tunnel_unreadable",
    "layers_full",
    "performance_full",
    "udp_performance_full",
    "patterns_full",
    "frames_cut",
    "subframes",
    "subframes_skipped",
    "not_metered.fragment_waiting",
    "not_metered.link_truncated",
    "not_metered.vlan_truncated",
    "not_metered.too_many_tags",
    "not_metered.mpls_truncated",
    "not_metered.pppoe_truncated",
    "not_metered.nsh_truncated",
    "not_metered.ipv4_truncated",
    "not_metered.ipv4_bad_version",
    "not_metered.ipv4_bad_header_length",
    "not_metered.ipv4_bad_total_length",
    "not_metered.ipv6_truncated",
    "not_metered.ipv6_bad_version",
    "not_metered.too_many_extensions",
    "not_metered.unknown_ip_version",
];

/// One worker's counters, private to it; the loop copies them into the stats segment once a burst.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counters {
    values: [u64; COUNTERS],
}

impl Default for Counters {
    fn default() -> Self {
        Self { values: [0; COUNTERS] }
    }
}

impl Counters {
    /// Adds `n`.
    #[inline(always)]
    pub fn add(&mut self, counter: Counter, n: u64) {
        if let Some(value) = self.values.get_mut(counter as usize) {
            *value = value.wrapping_add(n);
        }
    }

    /// Takes `n` away: for what goes down again (active flows).
    #[inline(always)]
    pub fn sub(&mut self, counter: Counter, n: u64) {
        if let Some(value) = self.values.get_mut(counter as usize) {
            *value = value.wrapping_sub(n);
        }
    }

    /// Counts a frame that was not metered. The only place.
    #[inline(always)]
    pub fn not_metered(&mut self, reason: Malformed) {
        if let Some(value) = self.values.get_mut(PLAIN + reason as usize) {
            *value = value.wrapping_add(1);
        }
    }

    /// One value.
    pub fn get(&self, counter: Counter) -> u64 {
        self.values.get(counter as usize).copied().unwrap_or(0)
    }

    /// All values, in the order of [`NAMES`].
    pub fn values(&self) -> &[u64; COUNTERS] {
        &self.values
    }

    /// Frames not metered, with their reasons.
    pub fn reasons(&self) -> impl Iterator<Item = (Malformed, u64)> {
        Malformed::ALL.into_iter().zip(self.values.iter().skip(PLAIN).copied())
    }

    /// Packets metered into flows.
    pub fn metered(&self) -> u64 {
        [Counter::MeteredIpv4, Counter::MeteredIpv6, Counter::MeteredLayer2].into_iter().map(|c| self.get(c)).sum()
    }

    /// Whether every packet received has its place: received = metered + every reason, of which waiting for the first fragment is one.
    pub fn balances(&self) -> bool {
        self.get(Counter::Received) == self.metered() + self.get(Counter::FragmentsWaiting) + self.reasons().map(|(_, n)| n).sum::<u64>()
    }

    /// Records written.
    pub fn records(&self) -> u64 {
        use Counter::{RecordsActive, RecordsEndOfFlow, RecordsForced, RecordsIdle, RecordsLackOfResources};
        [RecordsIdle, RecordsActive, RecordsEndOfFlow, RecordsForced, RecordsLackOfResources].into_iter().map(|c| self.get(c)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_at_the_index_of_their_counter() {
        assert_eq!(Counter::FragmentsWaiting as usize + 1, PLAIN);
        assert_eq!(NAMES[Counter::FlowsActive as usize], "flows_active");
        assert_eq!(NAMES[Counter::RecordsLackOfResources as usize], "records_lack_of_resources");
        for (at, reason) in Malformed::ALL.iter().enumerate() {
            assert_eq!(NAMES[PLAIN + at], format!("not_metered.{}", reason.name()));
        }
    }

    #[test]
    fn a_reason_is_counted_once_and_keeps_the_balance() {
        for reason in Malformed::ALL {
            let mut counters = Counters::default();
            counters.add(Counter::Received, 1);
            assert!(!counters.balances());
            counters.not_metered(reason);
            assert!(counters.balances());
            assert_eq!(counters.reasons().filter(|(_, n)| *n == 1).map(|(r, _)| r).collect::<Vec<_>>(), [reason]);
        }
    }
}
