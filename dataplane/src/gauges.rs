//! What the ports count, brought into the stats segment once a second by the control thread.

use dpdk_sys::{Port, Xstats};
use sonde_stats::{Block, COUNTERS_MAX, Kind, NAME_BYTES_MAX, Segment, StatsError};

/// Counters of every port; the NIC's own follow, as `xstat.<name>`.
const COUNTERS: [&str; 10] =
    ["ingress", "rx_queues", "dispatched", "link_up", "speed_mbps", "rx_packets", "rx_octets", "imissed", "rx_nombuf", "ierrors"];
/// Index of the first counter that changes.
const CHANGING: usize = 3;

/// What a port's block says that does not change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Operator's name.
    pub name: String,
    /// Interface number.
    pub ingress: u16,
    /// Device as it was given.
    pub device: String,
    /// Receive queues in use.
    pub rx_queues: u16,
    /// Whether a software dispatcher spreads its packets.
    pub dispatched: bool,
}

/// The counters of one port.
#[derive(Debug)]
pub struct Gauge {
    name: String,
    block: Block,
    xstats: Option<Xstats>,
    /// Where in `xstats` the counter at each place comes from.
    shown: Vec<usize>,
    link_up: Option<bool>,
    dropped: u64,
    silent: bool,
}

impl Gauge {
    /// A block for the port.
    ///
    /// # Errors
    /// The segment has no room for it.
    pub fn new(segment: &Segment, facts: &Facts, port: &Port) -> Result<Self, StatsError> {
        let xstats = port.xstats().ok();
        let own: Vec<String> = xstats.iter().flat_map(|x| x.names()).map(|name| format!("xstat.{name}")).collect();
        // A NIC may have thousands (one set a queue); names that are too long to tell apart are left out.
        let room = COUNTERS_MAX - COUNTERS.len();
        let shown: Vec<usize> = (0..own.len()).filter(|at| own[*at].len() <= NAME_BYTES_MAX).take(room).collect();
        let names: Vec<&str> = COUNTERS.into_iter().chain(shown.iter().map(|at| own[*at].as_str())).collect();
        let block = segment.block(Kind::Port, &facts.name, &names)?;
        block.text("device", &facts.device);
        block.text("driver", &port.info().driver);
        block.set(0, facts.ingress.into());
        block.set(1, facts.rx_queues.into());
        block.set(2, facts.dispatched.into());
        let mut gauge = Self { name: facts.name.clone(), block, xstats, shown, link_up: None, dropped: 0, silent: false };
        gauge.read(port);
        Ok(gauge)
    }

    /// Reads the port's counters, and logs what an operator should hear of: the link, the first drops.
    pub fn read(&mut self, port: &Port) {
        let link = port.link().unwrap_or_default();
        if self.link_up != Some(link.up) {
            if self.link_up.is_some() || !link.up {
                tracing::warn!(port = self.name, "the link is {}", if link.up { "up" } else { "down" });
            }
            self.link_up = Some(link.up);
        }
        match port.stats() {
            Ok(stats) => {
                let values =
                    [link.up.into(), link.speed_mbps.into(), stats.packets, stats.octets, stats.missed, stats.no_buffer, stats.errors];
                for (at, value) in values.into_iter().enumerate() {
                    self.block.set(CHANGING + at, value);
                }
                let dropped = stats.missed + stats.no_buffer;
                if dropped > self.dropped {
                    tracing::warn!(
                        port = self.name,
                        imissed = stats.missed,
                        rx_nombuf = stats.no_buffer,
                        "packets were dropped before the workers saw them: they need more cores, or rx_descriptors is too small"
                    );
                    // Once for each doubling: a loaded port would say it every second.
                    self.dropped = dropped.saturating_mul(2);
                }
                self.silent = false;
            }
            Err(e) if !self.silent => {
                tracing::warn!(port = self.name, "{e}");
                self.silent = true;
            }
            Err(_) => {}
        }
        if let Some(Ok(values)) = self.xstats.as_mut().map(Xstats::read) {
            for (at, from) in self.shown.iter().enumerate() {
                self.block.set(COUNTERS.len() + at, values.get(*from).copied().unwrap_or(0));
            }
        }
    }

    /// What a reader of the segment sees.
    pub fn block(&self) -> &Block {
        &self.block
    }

    /// Lets go of the port. The block goes on showing its last counters until it is dropped.
    pub fn into_block(self) -> Block {
        self.block
    }
}
