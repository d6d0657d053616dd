//! From a profile to running threads.
//!
//! The order is that of the price of a refusal: first what costs nothing to find out (settings, another dataplane, cores), then the
//! memory, then DPDK, the tables, the ports. What fails takes down what was made before it, and says one sentence.

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use dpdk_sys::Eal;
use sonde_flow::pattern::Wants;
use sonde_flow::{Room, Sizing};
use sonde_memory::slab::{Backing, Wanted};
use sonde_memory::tags::Simd;
use sonde_proto::SOUTHBOUND_VERSION;
use sonde_proto::southbound::Description;
use sonde_settings::paths::{self, Paths};
use sonde_settings::{Annex, Boot, Device, Patterns, Placement, Settings, Trust};
use sonde_stats::{Info, Segment};
use sonde_worker::clock::{Clock, Watch};
use sonde_worker::mailbox::Letter;
use tokio::net::UnixListener;

use crate::cli::RunArgs;
use crate::console::say;
use crate::control::{Control, InForce};
use crate::error::StartError;
use crate::exporters::{Exporters, From};
use crate::gauges::{Facts, Gauge};
use crate::guard;
use crate::lock::Lock;
use crate::lookups::Lookups;
use crate::machine::{self, Memory, mib};
use crate::memory::{self, Decision, Need};
use crate::origin::{self, Chosen, Profile};
use crate::places::Places;
use crate::privileges::{self, Privileges};
use crate::run::{DispatcherThread, Running, Supervisor};
use crate::source::{self, Dispatcher, Idle, NicSource, Opened, Options};
use crate::southbound;
use crate::workers::{self, Waiting, WorkerConfig};

/// What the EAL takes for itself beside packet buffers, in bytes.
const EAL_BYTES: u64 = 32 << 20;

/// Runs a dataplane from its profile to its summary.
///
/// # Errors
/// Why it did not start.
pub fn run(args: &RunArgs) -> Result<ExitCode, StartError> {
    let profile = Profile::read(&args.settings.profile, &args.settings.sets)?;
    let instance = profile.settings.boot.instance.clone();
    let paths = Paths::of(&instance, args.run_dir.as_deref());
    let places = Places::open(paths)?;
    let _lock = Lock::take(&instance, &places)?;
    guard::folders(&profile.trust)?;
    let chosen = origin::choose(&profile, &places.run, args.fresh);
    say(&format!("sonde-dataplane {}: instance {instance}, process {}", env!("CARGO_PKG_VERSION"), std::process::id()));
    say(&format!("settings: {}", chosen.origin));
    profile.converted.iter().for_each(|converted| say(&format!("  note: {}: {converted}", profile.origin)));
    chosen.remarks.iter().for_each(|remark| say(&format!("  note: {remark}")));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| StartError::Other(format!("cannot make the control thread's runtime: {e}; see `ulimit -n`")))?;
    let running = {
        let _inside = runtime.enter();
        build(profile, chosen, &places)?
    };
    Ok(runtime.block_on(running.live()))
}

/// Everything, up to the moment before the first packet.
fn build(profile: Profile, chosen: Chosen, places: &Places) -> Result<Running, StartError> {
    let Chosen { settings, generation, .. } = chosen;
    let boot = &settings.boot;
    let placement = boot.cores.place(&machine::cores()?).map_err(StartError::Cores)?;
    guard::inside(&profile.trust, boot)?;
    let ports = resolved(&profile.trust, boot);
    ports.iter().try_for_each(machine::look_at)?;
    ports.iter().try_for_each(privileges::check)?;
    // Whatever this thread starts without saying where inherits its core.
    machine::pin(placement.service)?;
    let removed = places.clean()?;
    if removed > 0 {
        say(&format!(
            "  note: removed {removed} stale {} left by an unclean stop from {}",
            if removed == 1 { "file" } else { "files" },
            places.shared.path().display()
        ));
    }
    let listener = southbound::listen(places)?;
    let worker_configs = worker_configs(boot, &placement, places)?;
    let decision = decide(boot, &worker_configs)?;
    say(&format!("memory: {}", decision.sentence));
    let worker_configs = worker_configs.into_iter().map(|config| huge(config, decision.tables_huge)).collect::<Vec<_>>();
    let eal = Eal::start(&eal_arguments(boot, &placement, &decision)).map_err(|e| StartError::Other(e.to_string()))?;
    log_dpdk();
    let segment = segment(boot, places, &decision)?;
    let policy = Letter { generation, value: workers::policy(&settings.live) };
    let seed = worker_configs.first().map_or(0, |config| config.sizing.seed);
    let rings: Vec<PathBuf> = (0..worker_configs.len()).map(|worker| places.paths.ring(worker)).collect();
    let waiting = workers::gather::<NicSource>(&eal, &segment, worker_configs, policy)?;
    if decision.tables_huge && waiting.backing != Backing::Huge {
        say("  note: some flow tables did not get huge pages, somebody else took them meanwhile");
    }
    let rest = Rest { settings, generation, profile, ports, placement, places, segment, rings, seed, listener, clock: Clock::new() };
    match rest.open(&eal) {
        Ok((opened, gauges, readers)) => rest.assemble(&eal, waiting, opened, gauges, readers),
        Err(e) => {
            waiting.disband();
            Err(e)
        }
    }
}

/// What is there once the workers have their memory.
struct Rest<'a> {
    settings: Settings,
    generation: u64,
    profile: Profile,
    /// As EAL opens them: names inside folders are paths.
    ports: Vec<sonde_settings::Port>,
    placement: Placement,
    places: &'a Places,
    segment: Segment,
    rings: Vec<PathBuf>,
    /// Secret of the hashes.
    seed: u64,
    listener: UnixListener,
    /// The clock of everything that receives.
    clock: Clock,
}

/// Who reads the rings, and what they look addresses up in.
struct Readers {
    privileges: Privileges,
    exporters: Exporters,
    lookups: Arc<Lookups>,
}

impl Rest<'_> {
    /// Opens the ports, and makes ready whoever reads the rings: nothing must be missed once packets come.
    fn open(&self, eal: &Eal) -> Result<(Opened, Vec<Gauge>, Readers), StartError> {
        let other = |e: String| StartError::Other(e);
        let boot = &self.settings.boot;
        let opened = source::open(eal, &self.ports, &self.options()).map_err(|e| other(e.to_string()))?;
        log_dpdk();
        // From here on: whatever is started by this thread has no more than this thread.
        let drivers = opened.ports.iter().map(|port| (port.name.as_str(), port.device.as_str(), port.port.info().driver.as_str()));
        let privileges = privileges::give_up(eal, drivers)?;
        let gauges = opened.ports.iter().map(|port| {
            let facts = Facts {
                name: port.name.clone(),
                ingress: port.ingress,
                device: port.device.clone(),
                rx_queues: port.rx_queues,
                dispatched: port.dispatched,
            };
            Gauge::new(&self.segment, &facts, &port.port).map_err(|e| other(e.to_string()))
        });
        let gauges = gauges.collect::<Result<_, _>>()?;
        let interfaces = boot.ports.iter().map(|port| (u32::from(port.ingress), port.name.clone())).collect();
        let lookups = Arc::new(Lookups::start(&self.segment, &self.profile.trust.sources(&self.settings.live)).map_err(other)?);
        let exporters = Exporters::new(self.segment.clone(), self.rings.clone(), interfaces, Arc::clone(&lookups));
        Ok((opened, gauges, Readers { privileges, exporters, lookups }))
    }

    fn options(&self) -> Options {
        let Placement { workers, dispatcher, service } = &self.placement;
        let virtual_only = self.settings.boot.ports.iter().all(|port| matches!(port.device, Device::Vdev(_)));
        let shared = workers.contains(service);
        Options {
            workers: u16::try_from(workers.len()).unwrap_or(u16::MAX),
            clock: self.clock,
            idle: if virtual_only || shared { Idle::Yield } else { Idle::Spin },
            dispatcher_shares_core: workers.contains(dispatcher),
            seed: self.seed,
            tunnels: self.settings.live.tunnels,
        }
    }

    /// The first packet is received in here.
    fn assemble(
        self,
        eal: &Eal,
        waiting: Waiting<NicSource>,
        opened: Opened,
        gauges: Vec<Gauge>,
        readers: Readers,
    ) -> Result<Running, StartError> {
        let Readers { privileges, mut exporters, lookups } = readers;
        let Opened { sources, dispatcher, ports, counts, notes } = opened;
        self.tell(&ports, &notes);
        let other = |e: String| StartError::Other(e);
        let begun = exporters.plan(&self.settings.live, From::Oldest).and_then(|plan| {
            let done = exporters.begin(plan);
            done.map_err(|faults| faults.join("; "))
        });
        if let Err(e) = begun {
            waiting.disband();
            return Err(other(e));
        }
        let post = dispatcher.as_ref().map(Dispatcher::mailbox);
        let dispatcher = match dispatcher.map(|d| DispatcherThread::start(eal, d, self.placement.dispatcher)).transpose() {
            Ok(dispatcher) => dispatcher,
            Err(e) => {
                waiting.disband();
                return Err(e);
            }
        };
        let watch = Watch::new(self.clock, waiting.offset.clone());
        let workers = Arc::new(waiting.go(sources, post));
        privileges.report().iter().for_each(|line| say(line));
        let description = Description {
            protocol_version: SOUTHBOUND_VERSION,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            stats_path: self.places.paths.stats().display().to_string(),
            ring_paths: self.rings.iter().map(|ring| ring.display().to_string()).collect(),
            profile: Some((&self.profile.settings).into()),
            trust: Some(self.profile.trust.document().clone()),
            ..Description::default()
        };
        let in_force = InForce {
            settings: self.settings,
            generation: self.generation,
            profile: self.profile,
            folder: self.places.run.clone(),
            exporters,
        };
        let control = Control::new(Arc::clone(&workers), in_force, description);
        let gauges = gauges.into_iter().zip(ports).collect();
        let supervisor = Supervisor { workers, counts, dispatcher, gauges, lookups, segment: self.segment, said: String::new(), watch };
        Ok(Running { supervisor, control, listener: self.listener, places: self.places.clone() })
    }

    fn tell(&self, ports: &[source::OpenPort], notes: &[String]) {
        let Placement { workers, dispatcher, service } = &self.placement;
        let cores: Vec<String> = workers.iter().map(u32::to_string).collect();
        say(&format!("cores: workers on {}, everything else on {service}", cores.join(", ")));
        if workers.contains(service) {
            say("  note: a worker shares its core with everything else; for full speed give it one of its own (boot.cores)");
        }
        for port in ports {
            let way = if port.dispatched { format!("the dispatcher on core {dispatcher}") } else { "a queue for each worker".to_owned() };
            let queues = if port.rx_queues == 1 { "1 queue".to_owned() } else { format!("{} queues", port.rx_queues) };
            say(&format!("port {} ({}): {}, {queues}, {way}", port.ingress, port.name, port.device));
        }
        notes.iter().for_each(|note| say(&format!("  note: {note}")));
        let exporters: Vec<String> =
            self.settings.live.exporters.iter().filter(|e| e.enabled).map(|e| format!("{} to {}", e.name, e.address())).collect();
        say(&format!("exporters: {}", if exporters.is_empty() { "none".to_owned() } else { exporters.join(", ") }));
    }
}

/// The ports with devices as EAL opens them.
fn resolved(trust: &Trust, boot: &Boot) -> Vec<sonde_settings::Port> {
    let mut ports = boot.ports.clone();
    ports.iter_mut().for_each(|port| port.device = trust.resolve(&port.device));
    ports
}

/// What each worker is made from.
fn worker_configs(boot: &Boot, placement: &Placement, places: &Places) -> Result<Vec<WorkerConfig>, StartError> {
    let mut secret = [0; 8];
    File::open("/dev/urandom")
        .and_then(|mut file| file.read_exact(&mut secret))
        .map_err(|e| StartError::Other(format!("cannot read a secret for the flow hash from /dev/urandom: {e}")))?;
    let first_id = first_id(SystemTime::now());
    let ring_bytes = usize::try_from(boot.records.ring_bytes).unwrap_or(usize::MAX);
    let config = |(worker, core): (u8, &u32)| WorkerConfig {
        core: *core,
        shared: places.shared.clone(),
        ring_bytes,
        sizing: Sizing {
            ipv4: boot.table.ipv4_flows,
            wide: boot.table.wide_flows,
            annex: room(boot),
            wanted: Wanted { huge: true, populate: true },
            simd: Simd::detect(),
            seed: u64::from_le_bytes(secret),
            worker,
            first_id,
        },
    };
    Ok((0..).zip(&placement.workers).map(config).collect())
}

/// The annex that the settings ask for.
fn room(boot: &Boot) -> Room {
    let Annex { layers, tcp, udp, .. } = boot.annex;
    Room { octets: boot.annex.octets(&boot.table, &boot.patterns), layers, tcp, udp, patterns: wants(&boot.patterns) }
}

fn wants(kept: &Patterns) -> Wants {
    Wants { histograms: kept.histograms, first_packets: kept.first_packets, bursts: kept.bursts, nettisa: kept.nettisa }
}

fn huge(config: WorkerConfig, huge: bool) -> WorkerConfig {
    let wanted = Wanted { huge, ..config.sizing.wanted };
    WorkerConfig { sizing: Sizing { wanted, ..config.sizing }, ..config }
}

/// Later than any flow id of an earlier run, as long as no worker makes more than 16 million flows a second all its life.
fn first_id(now: SystemTime) -> u64 {
    let micros = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
    u64::try_from(micros).unwrap_or(0).wrapping_mul(16)
}

fn decide(boot: &Boot, worker_configs: &[WorkerConfig]) -> Result<Decision, StartError> {
    let tables = worker_configs.iter().map(|config| config.sizing.footprint().bytes).fold(0, u64::saturating_add);
    let workers = u16::try_from(worker_configs.len()).unwrap_or(u16::MAX);
    let [buffers, buffers_ordinary] = [true, false].map(|huge| match boot.eal.memory_mib {
        Some(mib) => u64::from(mib) << 20,
        None => EAL_BYTES + source::buffer_octets(&boot.ports, workers, huge),
    });
    memory::decide(
        boot.eal.huge_pages,
        Need { buffers, buffers_ordinary, tables, workers: worker_configs.len() },
        &Memory::of_this_machine(),
    )
}

fn eal_arguments(boot: &Boot, placement: &Placement, decision: &Decision) -> Vec<String> {
    let mut arguments = vec![
        "-l".to_owned(),
        placement.service.to_string(),
        format!("--file-prefix=sonde-{}", boot.instance),
        "-m".to_owned(),
        mib(decision.buffers).to_string(),
    ];
    // Both leave nothing behind when the process is killed; the EAL refuses them together. Neither has files of run time, which for a
    // user would be in /tmp, where another user may have been first.
    let memory: &[&str] = if decision.buffers_huge { &["--in-memory"] } else { &["--no-huge", "--no-shconf"] };
    arguments.extend(memory.iter().map(|argument| (*argument).to_owned()));
    arguments.push("--no-telemetry".to_owned());
    // Only what the settings name: the other NICs of the machine are none of our business, and without a name EAL takes them all.
    if boot.eal.pci && boot.ports.iter().any(|port| matches!(port.device, Device::Pci(_))) {
        arguments.extend(boot.ports.iter().filter_map(|port| match &port.device {
            Device::Pci(address) => Some(format!("--allow={address}")),
            Device::Vdev(_) => None,
        }));
    } else {
        arguments.push("--no-pci".to_owned());
    }
    arguments.extend(boot.eal.extra_args.iter().cloned());
    arguments
}

fn segment(boot: &Boot, places: &Places, decision: &Decision) -> Result<Segment, StartError> {
    let started = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let memory = match (decision.buffers_huge, decision.tables_huge) {
        (true, true) => "huge",
        (true, false) => "transparent",
        (false, _) => "small",
    };
    let info = Info {
        instance: boot.instance.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pid: std::process::id(),
        started_ns: u64::try_from(started.as_nanos()).unwrap_or(u64::MAX),
        memory: memory.to_owned(),
        simd: Simd::detect().name().to_owned(),
    };
    Segment::create_in(&places.shared, paths::STATS, &info).map_err(|e| StartError::Other(format!("cannot make the stats segment: {e}")))
}

/// What DPDK said goes to our log, for who asks for it (RUST_LOG=debug).
fn log_dpdk() {
    for line in dpdk_sys::take_log().lines().filter(|line| !line.trim().is_empty()) {
        tracing::debug!(target: "dpdk", "{}", line.trim());
    }
}

#[cfg(test)]
mod tests {
    use sonde_flow::Shares;

    use super::*;

    #[test]
    fn flow_ids_of_a_later_run_are_later() {
        let now = SystemTime::now();
        let later = now + std::time::Duration::from_millis(1);
        assert!(first_id(now) > 0 && first_id(later) >= first_id(now) + 16_000);
        // Below the worker's number in the highest octet, until the year 2112.
        assert!(first_id(later) < 1 << 56);
    }

    #[test]
    fn the_annex_is_as_large_as_the_settings_say() {
        let boot = |sets: &[&str]| {
            let sets: Vec<String> = sets.iter().map(|s| (*s).to_owned()).collect();
            Profile::read(std::path::Path::new("virtual"), &sets).expect("good").settings.boot
        };
        let given = room(&boot(&["boot.annex.mib=7", "boot.annex.tcp=false", "boot.patterns.first_packets=7"]));
        let patterns = Wants { first_packets: 7, ..Wants::NONE };
        assert_eq!(given, Room { octets: 7 << 20, layers: true, tcp: false, udp: true, patterns });
        assert!(!room(&boot(&[])).patterns.any(), "no patterns unless they are switched on");
    }

    #[test]
    fn the_default_annex_has_room_for_the_flows_that_are_expected() {
        for (name, _) in sonde_settings::profiles::PROFILES {
            for sets in [vec![], vec!["boot.patterns.bursts=true".to_owned()]] {
                let boot = Profile::read(std::path::Path::new(name), &sets).expect("good").settings.boot;
                let (ipv4, wide) = (boot.table.ipv4_flows, boot.table.wide_flows);
                let (layers, half, quarter) = (ipv4 / 4 + wide, (ipv4 + wide) / 2, (ipv4 + wide) / 4);
                let both = if sets.is_empty() { 0 } else { quarter };
                let shares = Shares { layers: layers - both, tcp: half, udp: half, patterns: 0, both };
                let (given, needed) = (room(&boot), Room::of(shares, wants(&boot.patterns)));
                assert!(given.octets >= needed.octets, "{name} {sets:?}: {given:?}, {needed:?}");
                assert!(given.octets <= needed.octets + needed.octets / 100 + (1 << 20), "{name} {sets:?}: {given:?}, {needed:?}");
            }
        }
    }

    #[test]
    fn eal_gets_only_the_devices_of_the_settings() {
        let sets = ["boot.eal.pci=true", "boot.ports[0].device=0000:3b:00.0", "boot.cores.workers=[1]", "boot.cores.service=0"];
        let sets: Vec<String> = sets.iter().map(|s| (*s).to_owned()).collect();
        let boot = Profile::read(std::path::Path::new("virtual"), &sets).expect("good").settings.boot;
        let placement = boot.cores.place(&[0, 1]).expect("two cores");
        let decision = Decision { buffers: 100 << 20, buffers_huge: false, tables_huge: false, sentence: String::new() };
        let line = eal_arguments(&boot, &placement, &decision).join(" ");
        assert_eq!(line, "-l 0 --file-prefix=sonde-sonde -m 100 --no-huge --no-shconf --no-telemetry --allow=0000:3b:00.0");
        let sets = [sets[0].clone(), "boot.ports[0].device=net_null0".to_owned(), sets[2].clone(), sets[3].clone()];
        let boot = Profile::read(std::path::Path::new("virtual"), &sets).expect("good").settings.boot;
        let line = eal_arguments(&boot, &placement, &decision).join(" ");
        assert!(line.ends_with("--no-pci"), "no NIC is named, so none is taken: {line}");
    }
}
