//! What this machine has: cores, memory, huge pages.

use std::fs::{self, File};
use std::path::Path;

use rustix::thread::CpuSet;
use sonde_memory::slab::{self, HugePages};
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

/// Memory of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Memory {
    /// Bytes of ordinary memory the kernel could give (`MemAvailable`).
    pub available: u64,
    /// Huge pages of each size, the smallest first.
    pub huge: Vec<HugePages>,
}

impl Memory {
    /// Asks the kernel.
    pub fn of_this_machine() -> Self {
        Self { available: slab::available(), huge: slab::huge_pages() }
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
