//! How the frames of a port reach the workers, and how many buffers that takes. Pure: what the device says is an argument.

use std::path::Path;

use dpdk_sys::{Hash, Pool, PoolSum, PortInfo, Spread, kept_octets};
use sonde_memory::FileMap;
use sonde_packet::Tunnels;
use sonde_settings::{Port, Rss};
use sonde_worker::capture::{Batch, Capture};
use sonde_worker::clock::Clock;

use super::nic::Idle;

/// Places in the ring of each worker: 0.4 ms of 10 Mpps, in which a worker may be held up.
pub(super) const RING_PLACES: u32 = 4096;
/// Longest frame when the settings do not say, in octets without FCS.
const FRAME_OCTETS: u32 = 9018;

/// What the ports are opened for.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Workers, at least one.
    pub workers: u16,
    /// The clock of all sources.
    pub clock: Clock,
    /// What workers and dispatcher do while nothing arrives.
    pub idle: Idle,
    /// The dispatcher will run on a worker's core.
    pub dispatcher_shares_core: bool,
    /// Secret of the hash that chooses a frame's worker.
    pub seed: u64,
    /// What is metered of tunnels: a worker is chosen by that.
    pub tunnels: Tunnels,
}

/// What chooses the queue, and with it the worker, of a port's frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spreading {
    /// The device, by the innermost addresses and ports.
    Inner,
    /// The device, by the outermost addresses and ports, or in a way of its own.
    OuterPorts,
    /// The device, by the outermost addresses alone.
    OuterAddresses,
    /// The dispatcher: the device cannot do what is wanted.
    Software,
}

impl Spreading {
    /// What the settings ask for, and what the device can.
    pub(super) fn of(asked: Rss, info: &PortInfo, tunnels: &Tunnels) -> Self {
        let inside = tunnels.enters_any();
        match (info.spread, asked) {
            // What each queue holds its operator chose.
            (Spread::Own, _) | (_, Rss::OuterPorts) => Self::OuterPorts,
            (Spread::Kernel, Rss::Auto) if !inside => Self::OuterPorts,
            (Spread::Kernel | Spread::One, _) => Self::Software,
            (Spread::Rss, Rss::Auto) if !inside => Self::OuterPorts,
            (Spread::Rss, Rss::Auto | Rss::Inner) if info.can_hash_inner() => Self::Inner,
            (Spread::Rss, Rss::Auto | Rss::OuterAddresses) if info.can_hash_addresses() => Self::OuterAddresses,
            // A dispatcher may be too slow for such a port: that is for its operator to decide.
            (Spread::Rss, Rss::Auto) => Self::OuterPorts,
            (Spread::Rss, Rss::Inner | Rss::OuterAddresses) => Self::Software,
        }
    }

    /// What the device is told.
    pub(super) fn hash(self) -> Hash {
        match self {
            Self::Inner => Hash::InnerPorts,
            Self::OuterPorts | Self::Software => Hash::OuterPorts,
            Self::OuterAddresses => Hash::OuterAddresses,
        }
    }

    /// What an operator should know of a port with several queues.
    pub(super) fn note(self, name: &str, asked: Rss, info: &PortInfo, tunnels: &Tunnels) -> Option<String> {
        let driver = &info.driver;
        let what = match self {
            Self::Inner => format!("{driver} spreads frames by the innermost addresses and ports"),
            Self::OuterPorts if info.spread == Spread::Rss && asked == Rss::Auto && tunnels.enters_any() => format!(
                "{driver} spreads frames by the outermost ports, which parts the directions of flows in tunnels over UDP; \
                 boot.ports[].rss = \"inner\" lets the dispatcher do it"
            ),
            Self::OuterPorts => return None,
            Self::OuterAddresses => format!(
                "{driver} spreads frames by the outermost addresses alone, which keeps both directions of a flow in a tunnel together; \
                 boot.ports[].rss = \"outer_ports\" spreads more evenly where there are no tunnels"
            ),
            Self::Software => format!(
                "{driver} would part the directions of flows in tunnels, so the dispatcher spreads its frames; \
                 boot.ports[].rss = \"outer_ports\" leaves it to the device"
            ),
        };
        Some(format!("port \"{name}\": {what}"))
    }
}

/// How the frames of a port reach the workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// Worker n polls queue n.
    Direct {
        /// As many as there are workers.
        queues: u16,
    },
    /// The dispatcher polls all queues.
    Dispatched {
        /// Fewer than there are workers, or as many where the device would part flows.
        queues: u16,
    },
}

impl Route {
    /// `asked` queues (`None`: one a worker), of the `most` that the port has. More than it has is not corrected here: the port refuses.
    pub(super) fn of(asked: Option<u16>, most: u16, workers: u16) -> Self {
        let queues = asked.unwrap_or_else(|| workers.min(most).max(1));
        if queues >= workers { Self::Direct { queues } } else { Self::Dispatched { queues } }
    }

    pub(super) fn queues(self) -> u16 {
        let (Self::Direct { queues } | Self::Dispatched { queues }) = self;
        queues
    }

    pub(super) fn is_dispatched(self) -> bool {
        matches!(self, Self::Dispatched { .. })
    }
}

/// What a recording that `net_pcap` repeats takes: the driver reads all of it into buffers first (`infinite_rx`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Repeated {
    /// Frames of all files together.
    pub(super) frames: u32,
    /// The longest of them: the driver refuses one that does not fit into a buffer.
    pub(super) octets_max: u32,
}

impl Repeated {
    /// Looks into the files of a device string. What cannot be read counts nothing: the driver will say why.
    pub(super) fn of(device: &str) -> Self {
        let mut arguments = device.split(',');
        let mut all = Self::default();
        if !arguments.next().is_some_and(|name| name.starts_with("net_pcap"))
            || !arguments.clone().any(|argument| argument == "infinite_rx=1")
        {
            return all;
        }
        for path in arguments.filter_map(|argument| argument.strip_prefix("rx_pcap=")) {
            let Ok(map) = FileMap::open(Path::new(path)) else { continue };
            let Ok(mut capture) = Capture::open(map.bytes()) else { continue };
            let mut batch = Batch::new();
            loop {
                capture.fill(&mut batch);
                let frames = batch.frames();
                if frames.is_empty() {
                    break;
                }
                all.frames = all.frames.saturating_add(u32::try_from(frames.len()).unwrap_or(u32::MAX));
                let longest = frames.iter().map(|frame| frame.bytes.len()).max().unwrap_or(0);
                all.octets_max = all.octets_max.max(u32::try_from(longest).unwrap_or(u32::MAX));
            }
        }
        all
    }
}

/// Buffers of one port, and octets of a frame that each holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Buffers {
    pub(super) sum: PoolSum,
    pub(super) frame_octets: u32,
}

impl Buffers {
    /// For a port whose frames are `frame_octets_max` long at most, in several buffers where `scattered`.
    pub(super) fn of(route: Route, descriptors: u16, workers: u16, frame_octets_max: u32, scattered: bool, repeated: Repeated) -> Self {
        let frame_octets = if scattered { Pool::FRAME_OCTETS } else { Pool::FRAME_OCTETS.max(frame_octets_max) };
        let frame_octets = frame_octets.max(repeated.octets_max);
        // A long frame takes several. In the rings it is not reckoned with: a ring full of nothing else is about to drop anyway.
        let segments = if scattered { frame_octets_max.div_ceil(frame_octets).max(1) } else { 1 };
        let workers = u32::from(workers);
        let (bursts, ring_places, threads) = match route {
            Route::Direct { .. } => (workers, 0, workers),
            // The dispatcher's burst, and what it has sorted of it.
            Route::Dispatched { .. } => (workers + 2, workers * (RING_PLACES + 1), workers + 1),
        };
        let sum = PoolSum {
            queues: route.queues().into(),
            descriptors: descriptors.into(),
            bursts: bursts * segments,
            ring_places,
            threads,
            kept_by_driver: repeated.frames,
        };
        Self { sum, frame_octets }
    }

    /// For an open port.
    pub(super) fn for_port(route: Route, settings: &Port, info: &PortInfo, workers: u16) -> Self {
        if let Some(octets) = kept(settings) {
            return Self::of(route, settings.rx_descriptors, workers, octets, false, Repeated::default());
        }
        let octets = longest_frame(settings).min(info.frame_octets_max);
        // Virtual devices take as many buffers as a frame needs, and do not say that they can.
        let scattered = info.can_scatter || matches!(info.spread, Spread::Own | Spread::Kernel);
        Self::of(route, settings.rx_descriptors, workers, octets, scattered, Repeated::of(settings.device.as_str()))
    }
}

/// Longest frame that is asked for, in octets without FCS.
pub(super) fn longest_frame(settings: &Port) -> u32 {
    kept(settings).unwrap_or_else(|| settings.frame_octets_max.map_or(FRAME_OCTETS, u32::from))
}

/// Octets that are kept of each frame by a device that tells the length of longer ones.
fn kept(settings: &Port) -> Option<u32> {
    kept_octets(settings.device.as_str(), settings.frame_octets_max.map(u32::from))
}

/// The most memory that the packet buffers of these ports can take, in octets, told before the environment is started: a port is
/// taken to be dispatched or direct, whichever needs more; `huge`: in huge pages. Add what the EAL needs for itself (about 32 MiB).
#[must_use]
pub fn buffer_octets(ports: &[Port], workers: u16, huge: bool) -> u64 {
    let of = |port: &Port| {
        let repeated = Repeated::of(port.device.as_str());
        let octets = |route| {
            let scattered = kept(port).is_none();
            let buffers = Buffers::of(route, port.rx_descriptors, workers, longest_frame(port), scattered, repeated);
            let (sum, frame) = (&buffers.sum, buffers.frame_octets);
            if huge { sum.octets(frame) } else { sum.octets_in_ordinary_pages(frame) }
        };
        let direct = octets(Route::Direct { queues: workers });
        let dispatched = if workers > 1 { octets(Route::Dispatched { queues: workers }) } else { 0 };
        // Objects do not cross pages, and the rings stand beside them.
        let most = direct.max(dispatched);
        most + most / 16 + u64::from(workers) * u64::from(RING_PLACES) * 16
    };
    ports.iter().map(of).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_for_each_worker_or_the_dispatcher() {
        let check = |asked, most, workers, expected| {
            assert_eq!(Route::of(asked, most, workers), expected, "{asked:?} of {most}, {workers} workers")
        };
        check(None, 64, 4, Route::Direct { queues: 4 });
        check(None, 4, 4, Route::Direct { queues: 4 });
        check(None, 3, 4, Route::Dispatched { queues: 3 });
        check(None, 1, 1, Route::Direct { queues: 1 });
        check(None, 0, 2, Route::Dispatched { queues: 1 });
        check(Some(1), 64, 4, Route::Dispatched { queues: 1 });
        check(Some(4), 1, 4, Route::Direct { queues: 4 });
    }

    #[test]
    fn buffers_are_what_can_be_in_use_at_once() {
        let direct = Buffers::of(Route::Direct { queues: 2 }, 1024, 2, 1514, true, Repeated::default());
        assert_eq!(direct.frame_octets, 2048);
        assert_eq!(direct.sum.elements(), 2 * 1024 + 2 * 128 + 2 * 384);
        let dispatched = Buffers::of(Route::Dispatched { queues: 1 }, 1024, 2, 1514, true, Repeated::default());
        assert_eq!(dispatched.sum.elements(), 1024 + 4 * 128 + 2 * 4097 + 3 * 384);
        let jumbo = Buffers::of(Route::Direct { queues: 1 }, 1024, 1, 9018, true, Repeated::default());
        assert_eq!(jumbo.sum.elements(), 1024 + 5 * 128 + 384);
        let whole = Buffers::of(Route::Direct { queues: 1 }, 1024, 1, 9018, false, Repeated::default());
        assert_eq!((whole.frame_octets, whole.sum.elements()), (9018, 1024 + 128 + 384));
        let repeated = Repeated { frames: 5000, octets_max: 3000 };
        let kept = Buffers::of(Route::Direct { queues: 1 }, 1024, 1, 1514, true, repeated);
        assert_eq!((kept.frame_octets, kept.sum.elements()), (3000, 1024 + 128 + 384 + 5000));
    }

    #[test]
    fn only_a_repeated_recording_is_kept_by_the_driver() {
        let path = std::env::temp_dir().join(format!("sonde-repeated-{}.pcap", std::process::id()));
        let mut bytes: Vec<u8> = [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 65_535, 1].iter().flat_map(|word| word.to_ne_bytes()).collect();
        for length in [60_u32, 3000, 64] {
            bytes.extend([0, 0, length, length].iter().flat_map(|word| word.to_ne_bytes()));
            bytes.resize(bytes.len() + length as usize, 0);
        }
        std::fs::write(&path, bytes).expect("written");
        let device = |arguments: &str| Repeated::of(&format!("{arguments},rx_pcap={}", path.display()));
        let all = Repeated { frames: 3, octets_max: 3000 };
        assert_eq!(device("net_pcap0,infinite_rx=1"), all);
        assert_eq!(device("net_pcap0"), Repeated::default());
        assert_eq!(device("net_null0,infinite_rx=1"), Repeated::default());
        assert_eq!(Repeated::of("net_pcap0,infinite_rx=1,rx_pcap=/nonexistent"), Repeated::default());
        std::fs::remove_file(path).expect("removed");
    }
}
