//! What can go wrong, as sentences for an operator: what was asked, what was found, and what to do about it.

use core::ffi::CStr;
use core::fmt;

use crate::sys;

/// A DPDK call that failed: the call's name, and its error number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DpdkError {
    /// The C function.
    pub call: &'static str,
    /// Its `errno`, positive.
    pub errno: i32,
}

impl fmt::Display for DpdkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} failed: {} (error {})", self.call, describe(self.errno), self.errno)
    }
}

impl std::error::Error for DpdkError {}

/// The text of an error number, DPDK's own numbers included.
fn describe(errno: i32) -> String {
    // SAFETY: rte_strerror answers any number with a terminated string, in a buffer of the calling thread or static.
    let text = unsafe { sys::fp_strerror(errno) };
    // SAFETY: as above; it is copied before this thread calls rte_strerror again.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}

/// Turns a DPDK return code (`>= 0` or `-errno`) into a `Result`.
pub(crate) fn check(call: &'static str, code: i32) -> Result<u32, DpdkError> {
    u32::try_from(code).map_err(|_| DpdkError { call, errno: code.wrapping_neg() })
}

/// `rte_errno` of the calling thread.
pub(crate) fn errno() -> i32 {
    // SAFETY: reads a thread-local integer.
    unsafe { sys::fp_errno() }
}

/// Why the environment did not start.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EalError {
    /// It starts once in a process's life.
    #[error("DPDK was already started in this process; it can be started only once, so restart the process")]
    AlreadyStarted,
    /// An argument cannot be passed to C, or the EAL does not know it.
    #[error("DPDK does not accept the arguments `{arguments}`: {said}")]
    BadArguments {
        /// The arguments, as given.
        arguments: String,
        /// What DPDK logged.
        said: String,
    },
    /// A core of the list is not there or not online.
    #[error("core {core} does not exist or is offline: this machine has cores {online}; change the cores in the settings")]
    NoSuchCore {
        /// The core asked for.
        core: u32,
        /// The kernel's list of online cores.
        online: String,
    },
    /// There are not enough free hugepages.
    #[error(
        "not enough hugepages for DPDK: {free_mib} MiB are free{}; reserve more (`sysctl vm.nr_hugepages=N`, 2 MiB each), ask for less memory, \
         or run without (--no-huge, slower); DPDK said: {said}",
        .asked_mib.map(|asked| format!(", {asked} MiB were asked for")).unwrap_or_default()
    )]
    Hugepages {
        /// Memory asked for with `-m`, in MiB.
        asked_mib: Option<u64>,
        /// Free hugepages of the default size, in MiB.
        free_mib: u64,
        /// What DPDK logged.
        said: String,
    },
    /// Another process runs with the same file prefix.
    #[error(
        "another DPDK process already runs with the file prefix `{prefix}`; stop it, or start this instance with a prefix of its own \
         (--file-prefix)"
    )]
    PrefixInUse {
        /// The prefix.
        prefix: String,
    },
    /// The process may not do what the EAL needs.
    #[error(
        "DPDK lacks a permission: {said}; run as root, or give CAP_IPC_LOCK and CAP_SYS_ADMIN and access to /dev/hugepages and /dev/vfio"
    )]
    Permission {
        /// What DPDK logged.
        said: String,
    },
    /// This DPDK was built for a newer processor.
    #[error("this build of DPDK does not run on this processor: {said}")]
    Processor {
        /// What DPDK logged.
        said: String,
    },
    /// A device named in the arguments did not come up.
    #[error("DPDK started, but a device of its arguments did not: {said}")]
    Device {
        /// What DPDK logged.
        said: String,
    },
    /// A thread could not be made known to DPDK.
    #[error("this thread cannot be registered with DPDK: {0}; at most 128 threads can be")]
    Register(#[source] DpdkError),
    /// None of the above.
    #[error("DPDK did not start: {source}; it said: {said}")]
    Other {
        /// The call and its error.
        source: DpdkError,
        /// What DPDK logged.
        said: String,
    },
}

/// Why a pool or a ring was not made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PoolError {
    /// The memory is not there.
    #[error(
        "no memory for pool `{name}`: {elements} packet buffers need {needed_mib} MiB{}; reserve more hugepages (`sysctl vm.nr_hugepages=N`), \
         give DPDK more memory (-m), or lower rx_descriptors or the number of workers",
        .socket.map(|node| format!(" on NUMA node {node}")).unwrap_or_default()
    )]
    NoMemory {
        /// The pool.
        name: String,
        /// Buffers asked for.
        elements: u32,
        /// What they take.
        needed_mib: u64,
        /// The NUMA node asked for.
        socket: Option<u32>,
    },
    /// The name is used already, or is too long.
    #[error("a pool or ring cannot be named `{name}`: {source}")]
    Name {
        /// The name.
        name: String,
        /// The call and its error.
        source: DpdkError,
    },
    /// None of the above.
    #[error("`{name}` was not made: {source}")]
    Other {
        /// The name.
        name: String,
        /// The call and its error.
        source: DpdkError,
    },
}

/// Why a port does not receive.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PortError {
    /// No such device on this machine.
    #[error("no device `{device}`: {hint}")]
    Missing {
        /// As given.
        device: String,
        /// Where to look.
        hint: String,
    },
    /// The kernel holds the device.
    #[error(
        "device `{device}` is held by the kernel driver `{driver}`; give it to DPDK: `modprobe vfio-pci && dpdk-devbind.py -b vfio-pci {device}`"
    )]
    Bound {
        /// As given.
        device: String,
        /// The kernel's driver.
        driver: String,
    },
    /// The text is no device.
    #[error(
        "`{device}` is neither a PCI address (\"0000:3b:00.0\") nor a virtual device DPDK knows \
         (\"net_pcap0,rx_pcap=/tmp/a.pcap\", \"net_af_packet0,iface=eth0\"): {said}"
    )]
    BadDevice {
        /// As given.
        device: String,
        /// What DPDK logged.
        said: String,
    },
    /// The arguments of a device are wrong.
    #[error("device `{device}`: {said}")]
    Arguments {
        /// As given.
        device: String,
        /// What is wrong, and what would be right.
        said: String,
    },
    /// The kernel does not let an interface be read.
    #[error("device `{device}` does not receive ({source}): {hint}")]
    Interface {
        /// As given.
        device: String,
        /// The call and its error.
        source: DpdkError,
        /// The remedy.
        hint: &'static str,
    },
    /// The driver refused the device or its arguments.
    #[error("device `{device}` did not come up ({source}): {said}")]
    Probe {
        /// As given.
        device: String,
        /// The call and its error.
        source: DpdkError,
        /// What DPDK logged.
        said: String,
    },
    /// The same device was opened twice.
    #[error("device `{device}` is already open in this process; each port of the settings needs a device of its own")]
    InUse {
        /// As given.
        device: String,
    },
    /// More queues than the device has.
    #[error("port `{port}` ({driver}) has at most {most} receive queues, {asked} were asked for; lower rx_queues, or leave it at 0")]
    TooManyQueues {
        /// The port's device.
        port: String,
        /// Its driver.
        driver: String,
        /// Asked for.
        asked: u16,
        /// What it has.
        most: u16,
    },
    /// The device refused the configuration.
    #[error("port `{port}` ({driver}) refused its configuration ({source}): {said}")]
    Refused {
        /// The port's device.
        port: String,
        /// Its driver.
        driver: String,
        /// The call and its error.
        source: DpdkError,
        /// What DPDK logged.
        said: String,
    },
    /// A question to the device failed.
    #[error("port `{port}` does not answer: {source}")]
    Silent {
        /// The port's device.
        port: String,
        /// The call and its error.
        source: DpdkError,
    },
}
