//! What the ports count, brought into the stats segment once a second by the control thread.

use dpdk_sys::{LinkState, Port, PortStats, Xstats};
use sonde_stats::{Block, COUNTERS_MAX, Kind, NAME_BYTES_MAX, Segment, StatsError};

/// Counters of every port. Of the losses behind them, a port has those that its driver counts; the NIC's own follow, as `xstat.<name>`.
const COUNTERS: [&str; 8] = ["ingress", "rx_queues", "dispatched", "link_up", "speed_mbps", "rx_packets", "rx_octets", "reopened"];
/// Losses, where the driver counts them.
const LOSSES: [&str; 3] = ["imissed", "rx_nombuf", "ierrors"];
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
    /// Index of the first counter that is the NIC's own.
    first: usize,
    /// Where in `xstats` each of them comes from.
    shown: Vec<usize>,
    link: Option<LinkState>,
    dropped: u64,
    silent: bool,
    /// It was said that the interface cannot be read again.
    refused: bool,
}

/// The values of [`LOSSES`] that a driver counts.
fn losses(stats: &PortStats) -> impl Iterator<Item = u64> {
    [stats.missed, stats.no_buffer, stats.errors].into_iter().flatten()
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
        let counts = port.info().counts;
        let known = [counts.missed, counts.no_buffer, counts.errors];
        let lost = || LOSSES.into_iter().zip(known).filter_map(|(name, known)| known.then_some(name));
        let first = COUNTERS.len() + lost().count();
        let room = COUNTERS_MAX - first;
        let shown: Vec<usize> = (0..own.len()).filter(|at| own[*at].len() <= NAME_BYTES_MAX).take(room).collect();
        let names: Vec<&str> = COUNTERS.into_iter().chain(lost()).chain(shown.iter().map(|at| own[*at].as_str())).collect();
        let block = segment.block(Kind::Port, &facts.name, &names)?;
        block.text("device", &facts.device);
        block.text("driver", &port.info().driver);
        block.set(0, facts.ingress.into());
        block.set(1, facts.rx_queues.into());
        block.set(2, facts.dispatched.into());
        let name = facts.name.clone();
        let mut gauge = Self { name, block, xstats, first, shown, link: None, dropped: 0, silent: false, refused: false };
        gauge.read(port);
        Ok(gauge)
    }

    /// Reads the port's counters, follows its interface, and logs what an operator should hear of: the link, the first drops.
    pub fn read(&mut self, port: &Port) {
        self.follow(port);
        let link = port.link().unwrap_or_default();
        self.tell(link.state, port);
        match port.stats() {
            Ok(stats) => {
                let values = [link.is_up().into(), link.speed_mbps.into(), stats.packets, stats.octets, port.reopened()];
                for (at, value) in values.into_iter().chain(losses(&stats)).enumerate() {
                    self.block.set(CHANGING + at, value);
                }
                self.tell_losses(&stats);
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
                self.block.set(self.first + at, values.get(*from).copied().unwrap_or(0));
            }
        }
    }

    /// Reads on from an interface that is back.
    fn follow(&mut self, port: &Port) {
        match port.follow() {
            Ok(true) => {
                tracing::warn!(
                    port = self.name,
                    "its interface was gone and is back: it is read again; what passed meanwhile was not seen"
                );
                self.refused = false;
            }
            Ok(false) => {}
            Err(e) if !self.refused => {
                tracing::error!(port = self.name, "its interface is back, and cannot be read: {e}; it is tried again every second");
                self.refused = true;
            }
            Err(_) => {}
        }
    }

    /// Says how the link is, when that has changed.
    fn tell(&mut self, state: LinkState, port: &Port) {
        if self.link == Some(state) {
            return;
        }
        self.block.text("link", state.text());
        match state {
            LinkState::Gone if port.info().follows => {
                tracing::error!(port = self.name, "the interface is gone: nothing is received until there is one of its name again");
            }
            LinkState::Gone => {
                tracing::error!(port = self.name, "the interface is gone: nothing is received; restart the dataplane when it is back");
            }
            LinkState::Up if self.link.is_none() => {}
            state => tracing::warn!(port = self.name, "the link is {}", state.text()),
        }
        self.link = Some(state);
    }

    fn tell_losses(&mut self, stats: &PortStats) {
        let (missed, no_buffer) = (stats.missed.unwrap_or(0), stats.no_buffer.unwrap_or(0));
        let dropped = missed + no_buffer;
        if dropped > self.dropped {
            tracing::warn!(
                port = self.name,
                imissed = missed,
                rx_nombuf = no_buffer,
                "packets were dropped before the workers saw them: they need more cores, or rx_descriptors is too small"
            );
            // Once for each doubling: a loaded port would say it every second.
            self.dropped = dropped.saturating_mul(2);
        }
    }

    /// What a reader of the segment sees.
    pub fn block(&self) -> &Block {
        &self.block
    }
}
