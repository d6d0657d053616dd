//! Which capabilities the dataplane needs, to open its ports and afterwards, and how every thread of it gives up the others.
//!
//! `docs/security.md` has the same table for operators. Capabilities are each thread's own (capabilities(7)): the control thread gives
//! them up when the ports are open, and what it starts later has no more than it has. Workers were started before, and do it before
//! their first packet; DPDK's own thread does it by an alarm.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use dpdk_sys::Eal;
use rustix::thread::CapabilitySet;
use sonde_settings::{Device, Port};
use sonde_system::{account, capability};

use crate::error::StartError;

/// How long workers may take to give theirs up: they do it before their first packet.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often they are looked at meanwhile.
const LOOK: Duration = Duration::from_millis(5);

/// What the threads of this process keep. Set once, when the ports are open.
static KEPT: OnceLock<CapabilitySet> = OnceLock::new();

/// What a driver needs of the kernel.
struct Needs {
    /// Begins the name of the device or of the driver.
    driver: &'static str,
    /// Only where the device string has an argument that begins so.
    argument: &'static str,
    /// Without these the port cannot be opened. Empty where it depends on the machine: then the driver says what is missing.
    to_open: CapabilitySet,
    /// Kept while it runs.
    to_run: CapabilitySet,
    /// What for.
    reason: &'static str,
}

/// Sockets of the kernel, and the address and the promiscuous mode of an interface.
const INTERFACE: CapabilitySet = CapabilitySet::NET_RAW.union(CapabilitySet::NET_ADMIN);
const AGAIN: &str = "its interface is opened again when it comes back";

/// Every other driver needs nothing once its port is open: the kernel hands over a device, a file, or nothing at all.
const NEEDS: &[Needs] = &[
    Needs { driver: "net_af_packet", argument: "iface=", to_open: CapabilitySet::NET_RAW, to_run: CapabilitySet::NET_RAW, reason: AGAIN },
    Needs { driver: "net_pcap", argument: "iface=", to_open: CapabilitySet::NET_RAW, to_run: CapabilitySet::NET_RAW, reason: AGAIN },
    Needs { driver: "net_pcap", argument: "rx_iface", to_open: CapabilitySet::NET_RAW, to_run: CapabilitySet::NET_RAW, reason: AGAIN },
    Needs {
        driver: "net_tap",
        argument: "",
        to_open: CapabilitySet::NET_ADMIN,
        to_run: CapabilitySet::NET_ADMIN,
        reason: "its interface is the kernel's",
    },
    Needs {
        driver: "net_af_xdp",
        argument: "",
        to_open: CapabilitySet::empty(),
        to_run: INTERFACE.union(CapabilitySet::BPF),
        reason: "its program stands in the kernel",
    },
    // The kernel's own driver stays in charge of the NIC, which obeys by its sockets.
    Needs {
        driver: "mlx",
        argument: "",
        to_open: CapabilitySet::empty(),
        to_run: INTERFACE,
        reason: "its NIC stays in the hands of the kernel's driver",
    },
];

fn needs<'a>(device: &'a str, driver: &'a str) -> impl Iterator<Item = &'static Needs> + 'a {
    NEEDS.iter().filter(move |needs| {
        (device.starts_with(needs.driver) || driver.starts_with(needs.driver))
            && (needs.argument.is_empty() || device.split(',').skip(1).any(|argument| argument.starts_with(needs.argument)))
    })
}

/// Looks whether a port can be opened at all: the driver's own words do not name the capability that is missing.
///
/// # Errors
/// A sentence with the port, what is missing, what it is for, and the remedy.
pub fn check(port: &Port) -> Result<(), StartError> {
    let Device::Vdev(device) = &port.device else { return Ok(()) };
    let held = capability::held().map_err(|e| StartError::Other(format!("cannot ask the kernel for this process's capabilities: {e}")))?;
    let wanted = needs(device, "").fold(CapabilitySet::empty(), |all, needs| all | needs.to_open);
    if held.contains(wanted) {
        return Ok(());
    }
    let list = capability::names(wanted).to_lowercase().replace(", ", ",");
    Err(StartError::Other(format!(
        "port \"{}\": {device} needs {} to open its interface, and this process (user {}) lacks {}: start it as root, or give the program \
         what it needs once, `setcap {list}+ep {}`",
        port.name,
        capability::names(wanted).replace(", ", " and "),
        account::whoami(),
        capability::names(wanted & !held).replace(", ", " and "),
        std::env::current_exe().map_or_else(|_| "sonde-dataplane".to_owned(), |path| path.display().to_string()),
    )))
}

/// What this process has left.
#[derive(Debug)]
pub struct Privileges {
    kept: CapabilitySet,
    reasons: Vec<String>,
}

/// Gives up, in the calling thread and in DPDK's, whatever the open ports (name, device, driver) do not need. Workers follow by
/// [`settle_thread`].
///
/// # Errors
/// When something could not be given up.
pub fn give_up<'a>(eal: &Eal, ports: impl Iterator<Item = (&'a str, &'a str, &'a str)>) -> Result<Privileges, StartError> {
    let mut wanted = CapabilitySet::empty();
    let mut reasons = Vec::new();
    for (name, device, driver) in ports {
        for needs in needs(device, driver) {
            wanted |= needs.to_run;
            let reason = format!("port \"{name}\" ({driver}): {}", needs.reason);
            if !reasons.contains(&reason) {
                reasons.push(reason);
            }
        }
    }
    let kept = *KEPT.get_or_init(|| wanted);
    let failed = |e: &dyn std::fmt::Display| StartError::Other(format!("cannot give up root's rights: {e}"));
    let kept = capability::keep(kept).map_err(|e| failed(&e))?;
    eal.on_own_thread(settle_thread).map_err(|e| failed(&e))?;
    Ok(Privileges { kept, reasons })
}

/// Gives up in the calling thread what [`give_up`] did not keep.
pub fn settle_thread() {
    let Some(kept) = KEPT.get() else { return };
    if let Err(e) = capability::keep(*kept) {
        // It is found by `report` as well, which names the thread.
        tracing::error!("a thread cannot give up root's rights: {e}");
    }
}

impl Privileges {
    /// Waits until every thread has given up what it does not need, and says what is left, with the reason. A thread that a driver has
    /// started for itself before is named when it holds more.
    pub fn report(&self) -> Vec<String> {
        let deadline = Instant::now() + PATIENCE;
        let others = loop {
            let mut others = match capability::holders() {
                Ok(holders) => holders,
                Err(e) => return vec![self.line(), format!("  note: what the threads may do is not known: {e}")],
            };
            others.retain(|holder| !holder.settled || !self.kept.contains(holder.permitted));
            if others.is_empty() || Instant::now() >= deadline {
                break others;
            }
            std::thread::sleep(LOOK);
        };
        let note = |holder: capability::Holder| {
            let more = capability::names(holder.permitted & !self.kept);
            format!("  note: the thread \"{}\" has not given up what it does not need; it still has: {more}", holder.name)
        };
        std::iter::once(self.line()).chain(others.into_iter().map(note)).collect()
    }

    fn line(&self) -> String {
        let user = account::whoami();
        if self.kept.is_empty() {
            return format!("privileges: user {user}, no capabilities: the ports are open and need none");
        }
        format!("privileges: user {user}, only {} ({})", capability::names(self.kept), self.reasons.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_needs_what_its_kind_of_driver_needs() {
        let to_run = |device: &str, driver: &str| needs(device, driver).fold(CapabilitySet::empty(), |all, needs| all | needs.to_run);
        assert_eq!(to_run("net_af_packet0,iface=eth0", "net_af_packet"), CapabilitySet::NET_RAW);
        assert_eq!(to_run("net_pcap0,iface=eth0", "net_pcap"), CapabilitySet::NET_RAW);
        assert_eq!(to_run("net_pcap0,rx_iface_in=eth0", "net_pcap"), CapabilitySet::NET_RAW);
        assert_eq!(to_run("net_pcap0,rx_pcap=/tmp/iface=.pcap", "net_pcap"), CapabilitySet::empty());
        assert_eq!(to_run("net_null0", "net_null"), CapabilitySet::empty());
        assert_eq!(to_run("0000:3b:00.0", "net_ice"), CapabilitySet::empty());
        assert_eq!(to_run("0000:3b:00.0", "mlx5_pci"), INTERFACE);
    }
}
