//! From the settings of the ports to sources for the workers.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use dpdk_sys::{Confirmed, Driver, Eal, Pool, PoolError, Port, PortConfig, PortError, RxQueue, Stamps, ring};

use super::counts::WorkerCounts;
use super::dispatch::Dispatcher;
use super::nic::{Intake, NicSource};
use super::pace::Pace;
use super::plan::{Buffers, Options, RING_PLACES, Route, Spreading, longest_frame};
use super::stamps::StampClock;

/// Ports that receive, and the sources that take their frames.
#[derive(Debug)]
pub struct Opened {
    /// One for each worker, in their order.
    pub sources: Vec<NicSource>,
    /// To be run by a thread of its own, where a port needs it.
    pub dispatcher: Option<Dispatcher>,
    /// The ports, in the order of the settings.
    pub ports: Vec<OpenPort>,
    /// What happens to each worker's frames before it sees them.
    pub counts: Vec<Arc<WorkerCounts>>,
    /// What an operator should know: sentences.
    pub notes: Vec<String>,
}

/// A port that receives, for the control thread: link state, statistics.
#[derive(Debug)]
pub struct OpenPort {
    /// Operator's name.
    pub name: String,
    /// Interface number.
    pub ingress: u16,
    /// The device, as the settings have it.
    pub device: String,
    /// Receive queues in use.
    pub rx_queues: u16,
    /// The dispatcher spreads its frames.
    pub dispatched: bool,
    /// What the device made of its configuration.
    pub confirmed: Confirmed,
    /// Packet buffers.
    pub pool: Pool,
    /// The port itself.
    pub port: Port,
}

/// Why the ports do not receive.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// A port of the settings.
    #[error("port \"{name}\": {cause}")]
    Port {
        /// Operator's name of it.
        name: String,
        /// Why.
        #[source]
        cause: PortError,
    },
    /// Its buffers.
    #[error("port \"{name}\": {cause}")]
    Buffers {
        /// Operator's name of the port.
        name: String,
        /// Why.
        #[source]
        cause: PoolError,
    },
    /// The rings between dispatcher and workers.
    #[error("the rings of the dispatcher: {0}")]
    Rings(#[source] PoolError),
}

/// Opens the ports and puts the sources together. The first thing that fails takes the others with it.
///
/// # Errors
/// A sentence with the name of the port, what was found, and the remedy.
///
/// # Panics
/// Without workers.
pub fn open(eal: &Eal, ports: &[sonde_settings::Port], options: &Options) -> Result<Opened, SourceError> {
    assert!(options.workers != 0, "no worker");
    let counts: Vec<Arc<WorkerCounts>> = (0..options.workers).map(|_| Arc::default()).collect();
    let sources = counts.iter().map(|counts| NicSource::new(eal, options.clock, options.idle, Arc::clone(counts))).collect();
    let mut opened = Opened { sources, dispatcher: None, ports: Vec::new(), counts, notes: Vec::new() };
    for settings in ports {
        let started = Started::new(eal, settings, options, &mut opened.notes)?;
        opened.connect(eal, settings, started, options)?;
    }
    opened.note_mixture();
    Ok(opened)
}

/// A port that has been started, with its queues still in one hand.
struct Started {
    port: Port,
    pool: Pool,
    route: Route,
    confirmed: Confirmed,
    queues: Vec<RxQueue>,
}

impl Started {
    fn new(eal: &Eal, settings: &sonde_settings::Port, options: &Options, notes: &mut Vec<String>) -> Result<Self, SourceError> {
        let name = || settings.name.clone();
        let refused = |cause| SourceError::Port { name: name(), cause };
        let mut port = Port::open(eal, settings.device.as_str()).map_err(refused)?;
        let spreading = Spreading::of(settings.rss, port.info(), &options.tunnels);
        let mut route = Route::of(settings.rx_queues.map(Into::into), port.info().rx_queues_max, options.workers);
        if let (Route::Direct { queues: 2.. }, 2..) = (route, options.workers) {
            notes.extend(spreading.note(&settings.name, settings.rss, port.info(), &options.tunnels));
            if spreading == Spreading::Software {
                route = Route::Dispatched { queues: route.queues() };
            }
        }
        loop {
            let buffers = Buffers::for_port(route, settings, port.info(), options.workers);
            let pool = Pool::create(eal, &buffers.sum, buffers.frame_octets, port.info().socket)
                .map_err(|cause| SourceError::Buffers { name: name(), cause })?;
            let config = PortConfig {
                rx_queues: route.queues(),
                descriptors: settings.rx_descriptors,
                frame_octets_max: Some(longest_frame(settings)),
                promiscuous: settings.promiscuous,
                timestamps: settings.hardware_timestamps,
                hash: spreading.hash(),
            };
            let (confirmed, queues) = port.start(&config, &pool).map_err(refused)?;
            if confirmed.symmetric || route == (Route::Dispatched { queues: 1 }) {
                if settings.promiscuous && !confirmed.promiscuous {
                    notes.push(format!("port \"{}\" cannot receive frames for other stations: its driver has no promiscuous mode", name()));
                }
                return Ok(Self { port, pool, route, confirmed, queues });
            }
            if route.is_dispatched() {
                // The dispatcher hashes anew: it does not matter which queue a frame came by.
                return Ok(Self { port, pool, route, confirmed, queues });
            }
            notes.push(format!(
                "port \"{}\" ({}) did not take the symmetric RSS key: its {} queues would part the directions of conversations, so it \
                 receives by one queue and the dispatcher",
                name(),
                port.info().driver,
                route.queues()
            ));
            route = Route::Dispatched { queues: 1 };
        }
    }
}

impl Opened {
    /// Gives the queues of a port to the workers or to the dispatcher.
    fn connect(&mut self, eal: &Eal, settings: &sonde_settings::Port, started: Started, options: &Options) -> Result<(), SourceError> {
        let Started { port, pool, route, confirmed, queues } = started;
        let scale = tick_scale(&port, confirmed, &settings.name, &mut self.notes);
        let pace = settings.pace_pps.map(|rate| Pace::new(rate, route.queues()));
        for (at, queue) in queues.into_iter().enumerate() {
            let stamps = queue.stamps().zip(scale).map(|(field, scale)| StampClock::new(field, scale));
            let intake = Intake { queue, port: settings.ingress, stamps, pace };
            if route.is_dispatched() {
                self.dispatcher(eal, options)?.add_intake(intake);
            } else {
                let worker = at % self.sources.len();
                self.sources[worker].add_queue(intake);
            }
        }
        self.ports.push(OpenPort {
            name: settings.name.clone(),
            ingress: settings.ingress,
            device: settings.device.as_str().to_owned(),
            rx_queues: route.queues(),
            dispatched: route.is_dispatched(),
            confirmed,
            pool,
            port,
        });
        Ok(())
    }

    /// The dispatcher, made with a ring to each worker when the first port needs it.
    fn dispatcher(&mut self, eal: &Eal, options: &Options) -> Result<&mut Dispatcher, SourceError> {
        if self.dispatcher.is_none() {
            let mut dispatcher = Dispatcher::new(eal, options);
            for (source, counts) in self.sources.iter_mut().zip(&self.counts) {
                let (sender, receiver) = ring::channel(eal, RING_PLACES, None).map_err(SourceError::Rings)?;
                source.add_ring(receiver);
                dispatcher.add_worker(eal, sender, Arc::clone(counts));
            }
            return Ok(self.dispatcher.insert(dispatcher));
        }
        self.dispatcher.as_mut().ok_or_else(|| unreachable!("it was just looked at"))
    }

    /// A tap gives each direction a port of its own: they meet only when both ports choose the worker alike.
    fn note_mixture(&mut self) {
        let kind = |port: &OpenPort| if port.dispatched { "the dispatcher".to_owned() } else { port.port.info().driver.clone() };
        let mut kinds: Vec<String> = self.ports.iter().map(kind).collect();
        kinds.sort_unstable();
        kinds.dedup();
        if self.sources.len() > 1 && kinds.len() > 1 {
            self.notes.push(format!(
                "the ports choose workers in different ways ({}): a conversation whose directions come by different ports may be metered \
                 as two flows; give such ports the same number of queues",
                kinds.join(", ")
            ));
        }
    }
}

/// Nanoseconds of one tick of the port's receive times, 32.32 fixed point; `None` when they are not used.
fn tick_scale(port: &Port, confirmed: Confirmed, name: &str, notes: &mut Vec<String>) -> Option<u64> {
    const ONE: u64 = 1 << 32;
    const LOOK: Duration = Duration::from_millis(50);
    if !confirmed.timestamps {
        return None;
    }
    if Driver::of(&port.info().driver, port.info().rss_offloads).stamps == Stamps::Nanoseconds {
        return Some(ONE);
    }
    let measured = || {
        let (from, ticks) = (Instant::now(), port.clock().ok()?);
        thread::sleep(LOOK);
        let more = port.clock().ok()?.wrapping_sub(ticks);
        let scale = (from.elapsed().as_nanos() << 32).checked_div(u128::from(more))?;
        // From 100 kHz to 10 GHz: anything else is no clock.
        u64::try_from(scale).ok().filter(|scale| (ONE / 10..=ONE * 10_000).contains(scale))
    };
    let scale = measured();
    if scale.is_none() {
        notes.push(format!("port \"{name}\": its receive times are not used, because its clock cannot be read"));
    }
    scale
}
