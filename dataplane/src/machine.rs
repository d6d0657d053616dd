//! What this machine has: cores, memory, huge pages.

use std::fs::{self, File};
use std::path::Path;

use rustix::thread::CpuSet;
use sonde_settings::{Device, Port};

use crate::error::StartError;

/// Cores this process may run on, in order.
///
/// # Errors
/// When the kernel does not say.
pub fn cores() -> Result<Vec<u32>, StartError> {
    let set = rustix::thread::sched_getaffinity(None)
        .map_err(|e| StartError::Other(format!("cannot ask the kernel for this process's cores: {e}")))?;
    let most = u32::try_from(CpuSet::MAX_CPU).unwrap_or(u32::MAX);
    Ok((0..most).filter(|core| set.is_set(*core as usize)).collect())
}

/// Pins the calling thread to a core.
///
/// # Errors
/// What the kernel said.
pub fn pin(core: u32) -> Result<(), StartError> {
    let mut set = CpuSet::new();
    set.set(core as usize);
    rustix::thread::sched_setaffinity(None, &set).map_err(|e| {
        StartError::Other(format!("cannot pin a thread to core {core}: {e}; see that the core is online and in this process's cpuset"))
    })
}

/// Memory of this machine, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// Ordinary memory the kernel could give (`MemAvailable`).
    pub available: u64,
    /// In free huge pages of every size.
    pub huge_free: u64,
    /// Number of 2 MiB pages reserved, free or not.
    pub huge_reserved: u64,
}

impl Memory {
    /// Asks the kernel.
    pub fn of_this_machine() -> Self {
        let mut huge_free = 0;
        let mut huge_reserved = 0;
        for entry in fs::read_dir("/sys/kernel/mm/hugepages").into_iter().flatten().flatten() {
            let number = |file: &str| fs::read_to_string(entry.path().join(file)).ok().and_then(|t| t.trim().parse::<u64>().ok());
            let name = entry.file_name();
            let kib = name.to_str().and_then(|n| n.strip_prefix("hugepages-")?.strip_suffix("kB")?.parse::<u64>().ok());
            let (Some(kib), Some(free)) = (kib, number("free_hugepages")) else { continue };
            // Pages that are promised to a mapping but not touched yet count as free until they are.
            huge_free += free.saturating_sub(number("resv_hugepages").unwrap_or(0)) * kib * 1024;
            if kib == 2048 {
                huge_reserved = number("nr_hugepages").unwrap_or(0);
            }
        }
        Self { available: sonde_memory::slab::available(), huge_free, huge_reserved }
    }
}

/// Looks at what a virtual device's arguments name: the driver's own words for something that is missing are no help.
///
/// # Errors
/// A sentence with the port, what was found and the remedy.
pub fn look_at(port: &Port) -> Result<(), StartError> {
    let Device::Vdev(device) = &port.device else { return Ok(()) };
    let field = format!("boot.ports[{}].device", port.ingress.saturating_sub(1));
    for argument in device.split(',').skip(1) {
        match argument.split_once('=') {
            Some(("iface" | "rx_iface", name)) if !device.starts_with("net_tap") => interface(&port.name, name, &field)?,
            Some(("rx_pcap", path)) => {
                File::open(path).map_err(|e| {
                    StartError::Other(format!(
                        "port \"{}\": cannot open the capture {path}: {e}; name one that can be read in {field}",
                        port.name
                    ))
                })?;
            }
            _ => {}
        }
    }
    Ok(())
}

fn interface(port: &str, name: &str, field: &str) -> Result<(), StartError> {
    if Path::new("/sys/class/net").join(name).exists() {
        return Ok(());
    }
    let mut there: Vec<String> =
        fs::read_dir("/sys/class/net").into_iter().flatten().flatten().map(|e| e.file_name().to_string_lossy().into_owned()).collect();
    there.sort_unstable();
    let there = there.join(", ");
    Err(StartError::Other(format!(
        "port \"{port}\": there is no network interface {name:?}; this machine has {there}; name one of them in {field}"
    )))
}

/// Whole MiB that hold so many bytes.
pub fn mib(bytes: u64) -> u64 {
    bytes.div_ceil(1 << 20)
}
