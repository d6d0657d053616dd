//! `boot`: what is fixed while the dataplane runs.

use std::fmt;
use std::num::{NonZeroU16, NonZeroU32};

use sonde_proto::v1;

use crate::annex::Annex;
use crate::arguments;
use crate::check::{Check, quote, word};
use crate::devices::Vdev;
use crate::patterns::Patterns;
use crate::table::Table;

/// Most workers of one dataplane: DPDK 22.11 knows 128 threads, one of them is the control thread's.
pub const WORKERS_MAX: usize = 127;
/// Most ports of one dataplane (`RTE_MAX_ETHPORTS` of Debian's DPDK).
const PORTS_MAX: usize = 32;
/// Highest core number accepted; Linux supports 8192 processors on x86-64.
const CORE_MAX: u32 = 8191;

/// What is fixed while the dataplane runs.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Boot {
    /// Name of this probe among others on the machine; 1 to 32 of [a-z0-9-].
    pub instance: String,
    /// DPDK environment.
    pub eal: Eal,
    /// The ports that are read, 1 to 32, in the order of their ingress numbers.
    pub ports: Vec<Port>,
    /// Where threads run, as far as it was said.
    pub cores: Cores,
    /// Size of the flow tables of one worker.
    pub table: Table,
    /// Size of one worker's record ring.
    pub records: Records,
    /// Which patterns of packets are kept.
    pub patterns: Patterns,
    /// One worker's memory for what only some flows have.
    pub annex: Annex,
}

/// DPDK environment.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Eal {
    /// Where packet buffers and tables stand.
    pub huge_pages: HugePages,
    /// Memory for packet buffers in MiB, 16 to 1048576; `None`: as much as the ports need.
    pub memory_mib: Option<u32>,
    /// Whether EAL scans the PCI bus.
    pub pci: bool,
    /// Further EAL arguments, known to be harmless.
    pub extra_args: Vec<String>,
}

/// Where packet buffers and tables stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HugePages {
    /// In huge pages when there are enough, else in small ones.
    Auto,
    /// In huge pages, or the dataplane does not start.
    Require,
    /// In small pages (`--no-huge`).
    None,
}

const HUGE_PAGES: &[(&str, HugePages)] = &[("auto", HugePages::Auto), ("require", HugePages::Require), ("none", HugePages::None)];

/// One port that is read.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Port {
    /// Operator's name, unique; 1 to 32 of [a-z0-9-].
    pub name: String,
    /// Interface number (ingressInterface, element 10), counted from 1.
    pub ingress: u16,
    /// What EAL opens.
    pub device: Device,
    /// Receive queues, at most one a worker; `None`: one a worker, as many as the port has.
    pub rx_queues: Option<NonZeroU16>,
    /// Descriptors of one receive queue, 64 to 32768, a multiple of 32.
    pub rx_descriptors: u16,
    /// Longest frame in octets without FCS, 64 to 16383; `None`: 9018 where the port can, else what it can. `net_af_packet` keeps so many
    /// octets of each frame, at least 1982, and receives longer ones.
    pub frame_octets_max: Option<u16>,
    /// Receive frames for other stations.
    pub promiscuous: bool,
    /// Use the NIC's receive timestamps where it has them.
    pub hardware_timestamps: bool,
    /// By what the device spreads frames over several queues.
    pub rss: Rss,
    /// Packets a second taken from this port, all queues together; `None`: as they come. Virtual devices only.
    pub pace_pps: Option<NonZeroU32>,
}

/// By what a device spreads frames over several queues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rss {
    /// So that both directions of what is metered come by one queue, as far as the device can.
    Auto,
    /// The innermost addresses and ports.
    Inner,
    /// The outermost addresses and ports.
    OuterPorts,
    /// The outermost addresses alone.
    OuterAddresses,
}

const RSS: &[(&str, Rss)] =
    &[("auto", Rss::Auto), ("inner", Rss::Inner), ("outer_ports", Rss::OuterPorts), ("outer_addresses", Rss::OuterAddresses)];

/// What EAL opens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Device {
    /// A PCI address with its domain, in lower case: `0000:3b:00.0`.
    Pci(String),
    /// A virtual device with its arguments: `net_af_packet0,iface=eth0`.
    Vdev(String),
}

impl Device {
    /// As DPDK is told.
    pub fn as_str(&self) -> &str {
        let (Self::Pci(text) | Self::Vdev(text)) = self;
        text
    }

    /// Name DPDK gives the port: the PCI address, or the vdev's name without its arguments.
    pub fn name(&self) -> &str {
        self.as_str().split(',').next().unwrap_or_default()
    }
}

/// Where threads run. Core numbers are the kernel's.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Cores {
    /// One packet worker each, each core once; empty: one worker on the last core.
    pub workers: Vec<u32>,
    /// Core of the software dispatcher; `None`: the first worker's.
    pub dispatcher: Option<u32>,
    /// Core of exporters, control and everything else; `None`: core 0, or the first there is.
    pub service: Option<u32>,
}

/// Size of one worker's record ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Records {
    /// Bytes, a power of two from 256 KiB to 4 GiB.
    pub ring_bytes: u64,
}

/// Threads on cores this machine has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// Core of each worker; at least one.
    pub workers: Vec<u32>,
    /// Core of the dispatcher, if there is one.
    pub dispatcher: u32,
    /// Core of everything else.
    pub service: u32,
}

/// A core was named that this process may not run on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlacementError {
    /// Path of the field.
    pub path: String,
    /// The core that is not there.
    pub core: u32,
    /// Cores there are.
    pub available: Vec<u32>,
}

impl fmt::Display for PlacementError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all: Vec<String> = self.available.iter().map(u32::to_string).collect();
        write!(
            f,
            "{}: core {} does not exist or is not given to this process; name one of {} (see `lscpu`, `taskset -p $$`)",
            self.path,
            self.core,
            all.join(", ")
        )
    }
}

impl std::error::Error for PlacementError {}

impl Cores {
    /// Number of workers there will be.
    pub fn worker_count(&self) -> usize {
        self.workers.len().max(1)
    }

    /// Puts every thread on a core of `available` (sorted, not empty: the cores this process may run on), or names every
    /// core that is not there.
    ///
    /// # Errors
    /// One error for each core named that is not available.
    pub fn place(&self, available: &[u32]) -> Result<Placement, Vec<PlacementError>> {
        let missing = |path: String, core: u32| PlacementError { path, core, available: available.to_vec() };
        let named = self.workers.iter().enumerate().map(|(i, core)| (format!("boot.cores.workers[{i}]"), *core));
        let named = named.chain(self.dispatcher.map(|core| ("boot.cores.dispatcher".to_owned(), core)));
        let named = named.chain(self.service.map(|core| ("boot.cores.service".to_owned(), core)));
        let faults: Vec<_> = named.filter(|(_, core)| !available.contains(core)).map(|(path, core)| missing(path, core)).collect();
        if !faults.is_empty() {
            return Err(faults);
        }
        let last = available.last().copied().unwrap_or_default();
        let workers = if self.workers.is_empty() { vec![last] } else { self.workers.clone() };
        let service = self.service.or(available.first().copied()).unwrap_or_default();
        Ok(Placement { dispatcher: self.dispatcher.unwrap_or(workers[0]), service, workers })
    }
}

/// Constructs `boot`, noting what is wrong.
pub(crate) fn construct(boot: &v1::Boot, check: &mut Check) -> Boot {
    let instance = if boot.instance.is_empty() { "sonde" } else { &boot.instance };
    let instance = check.name("boot.instance", instance);
    let cores = cores(boot.cores.as_ref().unwrap_or(&v1::Cores::default()), check);
    let ports = ports(&boot.ports, cores.worker_count(), check);
    let eal = eal(boot.eal.as_ref().unwrap_or(&v1::Eal::default()), &ports, check);
    let table = Table::construct(boot.table.unwrap_or_default(), check);
    let records = records(boot.records.unwrap_or_default(), check);
    let patterns = Patterns::construct(boot.patterns.unwrap_or_default(), check);
    let annex = Annex::construct(boot, check);
    Boot { instance, eal, ports, cores, table, records, patterns, annex }
}

fn records(records: v1::Records, check: &mut Check) -> Records {
    const RULE: &str = "a power of two from 262144 (256 KiB) to 4294967296 (4 GiB), in bytes";
    match records.ring_bytes {
        0 => Records { ring_bytes: 64 << 20 },
        bytes if bytes.is_power_of_two() && (1 << 18..=1 << 32).contains(&bytes) => Records { ring_bytes: bytes },
        bytes => {
            check.refuse("boot.records.ring_bytes", RULE, bytes.to_string());
            Records { ring_bytes: 64 << 20 }
        }
    }
}

fn eal(eal: &v1::Eal, ports: &[Port], check: &mut Check) -> Eal {
    arguments::check(&eal.extra_args, check);
    if !eal.pci
        && let Some((i, port)) = ports.iter().enumerate().find(|(_, p)| matches!(p.device, Device::Pci(_)))
    {
        let found = format!("false, and boot.ports[{i}].device = {}", quote(port.device.as_str()));
        check.refuse("boot.eal.pci", "true where a port is a PCI device", found);
    }
    let memory_mib = (eal.memory_mib != 0).then(|| check.ranged("boot.eal.memory_mib".into(), eal.memory_mib, 16, 16..=1 << 20));
    Eal {
        huge_pages: check.choice("boot.eal.huge_pages".into(), &eal.huge_pages, HUGE_PAGES),
        memory_mib,
        pci: eal.pci,
        extra_args: eal.extra_args.clone(),
    }
}

fn cores(cores: &v1::Cores, check: &mut Check) -> Cores {
    if cores.workers.len() > WORKERS_MAX {
        check.refuse("boot.cores.workers", format!("at most {WORKERS_MAX} cores"), format!("{} cores", cores.workers.len()));
    }
    let named: Vec<_> = cores.workers.iter().enumerate().map(|(i, core)| (format!("boot.cores.workers[{i}]"), *core)).collect();
    for (path, core) in &named {
        check.ranged(path.clone(), *core, 0, 0..=CORE_MAX);
    }
    let named: Vec<_> = named.into_iter().map(|(path, core)| (path, format!("core {core}"))).collect();
    check.unique(&named, "a core");
    for (path, core) in [("boot.cores.dispatcher", cores.dispatcher), ("boot.cores.service", cores.service)] {
        check.ranged(path.into(), core.unwrap_or_default(), 0, 0..=CORE_MAX);
    }
    Cores { workers: cores.workers.clone(), dispatcher: cores.dispatcher, service: cores.service }
}

fn ports(ports: &[v1::Port], workers: usize, check: &mut Check) -> Vec<Port> {
    if ports.is_empty() || ports.len() > PORTS_MAX {
        check.refuse("boot.ports", format!("1 to {PORTS_MAX} ports"), format!("{} ports", ports.len()));
    }
    let good: Vec<Port> = (1..).zip(ports).map(|(ingress, port)| construct_port(ingress, port, workers, check)).collect();
    let at = |field: &str, value: fn(&Port) -> &str| -> Vec<(String, String)> {
        good.iter().enumerate().map(|(i, port)| (format!("boot.ports[{i}].{field}"), format!("{:?}", value(port)))).collect()
    };
    check.unique(&at("name", |p| &p.name), "a name");
    check.unique(&at("device", |p| p.device.name()), "a device");
    good
}

fn construct_port(ingress: u16, port: &v1::Port, workers: usize, check: &mut Check) -> Port {
    let path = |field: &str| format!("boot.ports[{}].{field}", ingress.wrapping_sub(1));
    let workers = u32::try_from(workers).unwrap_or(u32::MAX);
    if port.rx_queues > workers {
        let rule = format!("0 (automatic) or a whole number from 1 to {workers}, the number of boot.cores.workers");
        check.refuse(path("rx_queues"), rule, port.rx_queues.to_string());
    }
    let descriptors = check.number(path("rx_descriptors"), port.rx_descriptors, 2048, 64..=32_768);
    if !descriptors.is_multiple_of(32) {
        check.refuse(path("rx_descriptors"), "a multiple of 32", descriptors.to_string());
    }
    let octets = match port.frame_octets_max {
        0 => None,
        octets => Some(check.ranged(path("frame_octets_max"), octets, 9018, 64..=16_383)),
    };
    let device = device(path("device"), &port.device, check);
    if port.pace_pps != 0 && matches!(device, Device::Pci(_)) {
        // A NIC does not wait: what is not taken in time is lost.
        check.refuse(path("pace_pps"), "0 for a PCI device", port.pace_pps.to_string());
    }
    Port {
        name: check.name(&path("name"), &port.name),
        ingress,
        device,
        rx_queues: u16::try_from(port.rx_queues).ok().and_then(NonZeroU16::new),
        rx_descriptors: u16::try_from(descriptors).unwrap_or(2048),
        frame_octets_max: octets.and_then(|o| u16::try_from(o).ok()),
        promiscuous: port.promiscuous.unwrap_or(true),
        hardware_timestamps: check.choice(path("hardware_timestamps"), &port.hardware_timestamps, &[("auto", true), ("off", false)]),
        rss: check.choice(path("rss"), &port.rss, RSS),
        pace_pps: NonZeroU32::new(port.pace_pps),
    }
}

fn device(path: String, text: &str, check: &mut Check) -> Device {
    if let Some(address) = pci_address(text) {
        return Device::Pci(address);
    }
    if let Err((rule, found)) = Vdev::parse(text) {
        check.refuse(path, rule, found);
    }
    Device::Vdev(text.to_owned())
}

/// The PCI address with its domain, in lower case. DPDK takes `3b:00.0` for `0000:3b:00.0`.
pub(crate) fn pci_address(text: &str) -> Option<String> {
    let hex = |part: &str, len: usize| part.len() == len && part.bytes().all(|b| b.is_ascii_hexdigit());
    let (head, function) = text.rsplit_once('.')?;
    let mut parts = head.split(':').rev();
    let (device, bus) = (parts.next()?, parts.next()?);
    let domain = parts.next().unwrap_or("0000");
    // A PCI device has 32 slots of 8 functions.
    let slot = u8::from_str_radix(device, 16).ok()?;
    let function_ok = function.len() == 1 && function.bytes().all(|b| (b'0'..=b'7').contains(&b));
    let good = parts.next().is_none() && function_ok && slot < 32 && hex(device, 2) && hex(bus, 2) && hex(domain, 4);
    good.then(|| format!("{domain}:{bus}:{device}.{function}").to_ascii_lowercase())
}

impl From<&Boot> for v1::Boot {
    fn from(boot: &Boot) -> Self {
        Self {
            instance: boot.instance.clone(),
            eal: Some(v1::Eal {
                huge_pages: word(HUGE_PAGES, &boot.eal.huge_pages),
                memory_mib: boot.eal.memory_mib.unwrap_or_default(),
                pci: boot.eal.pci,
                extra_args: boot.eal.extra_args.clone(),
            }),
            ports: boot.ports.iter().map(v1::Port::from).collect(),
            cores: Some(v1::Cores { workers: boot.cores.workers.clone(), dispatcher: boot.cores.dispatcher, service: boot.cores.service }),
            table: Some(v1::Table { ipv4_flows: boot.table.ipv4_flows, wide_flows: boot.table.wide_flows, ..v1::Table::default() }),
            records: Some(v1::Records { ring_bytes: boot.records.ring_bytes }),
            patterns: Some((&boot.patterns).into()),
            annex: Some((&boot.annex).into()),
        }
    }
}

impl From<&Port> for v1::Port {
    fn from(port: &Port) -> Self {
        Self {
            name: port.name.clone(),
            device: port.device.as_str().to_owned(),
            rx_queues: port.rx_queues.map_or(0, |n| u32::from(n.get())),
            rx_descriptors: port.rx_descriptors.into(),
            frame_octets_max: port.frame_octets_max.map_or(0, u32::from),
            promiscuous: Some(port.promiscuous),
            hardware_timestamps: if port.hardware_timestamps { "auto" } else { "off" }.to_owned(),
            rss: word(RSS, &port.rss),
            pace_pps: port.pace_pps.map_or(0, NonZeroU32::get),
        }
    }
}
