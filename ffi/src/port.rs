//! A port: a NIC or a virtual device that frames come in by.

use std::ffi::CString;
use std::fs;
use std::path::Path;
use std::sync::{Arc, PoisonError};

use crate::config::{Confirmed, Hash, PortConfig};
use crate::cstr::literal;
use crate::driver::{Driver, Spread};
use crate::eal::{Eal, last_words, take_log};
use crate::error::{DpdkError, PortError, check};
use crate::frame::StampField;
use crate::info::{HEADER, PortInfo};
use crate::interface::{self, Interface};
use crate::link::{Link, LinkState};
use crate::open_port::{INTERFACES, NO_NUMBER, OPEN, OpenPort};
use crate::packet::{Arguments, Packets};
use crate::pool::Pool;
use crate::queue::RxQueue;
use crate::symmetric;
use crate::sys;
use crate::xstats::Xstats;

/// An open port. Its queues are given out when it is started; it stops and closes when the port and all its queues are dropped.
#[derive(Debug)]
pub struct Port {
    inner: Arc<OpenPort>,
    info: PortInfo,
}

/// What the port has counted since it was started. `None`: the driver does not know ([`Counts`]).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PortStats {
    /// Frames received (`ipackets`).
    pub packets: u64,
    /// Their octets, without FCS (`ibytes`).
    pub octets: u64,
    /// Frames the NIC, or the kernel, dropped because no descriptor or slot was free (`imissed`).
    pub missed: Option<u64>,
    /// Frames received with an error (`ierrors`).
    pub errors: Option<u64>,
    /// Times that no buffer was free (`rx_nombuf`).
    pub no_buffer: Option<u64>,
}

impl Port {
    /// Opens a device: a PCI address (`0000:3b:00.0`, `3b:00.0`) or a virtual device with its arguments
    /// (`net_pcap0,rx_pcap=/tmp/a.pcap`). One that the environment was started with is found by its name.
    ///
    /// # Errors
    /// A sentence with the remedy: no such device, held by the kernel, bad arguments, opened twice.
    pub fn open(eal: &Eal, device: &str) -> Result<Self, PortError> {
        let device = full_address(device.trim());
        let name = device.split(',').next().unwrap_or_default().to_owned();
        let text = CString::new(device.as_str())
            .map_err(|_| PortError::BadDevice { device: name.clone(), said: "it holds a zero octet".to_owned() })?;
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        let mut probed_here = false;
        let mut number = u16::MAX;
        // SAFETY: the environment runs; `text` and `number` are live.
        if unsafe { sys::fp_port_find(text.as_ptr(), &raw mut number) } != 0 {
            if let Some(arguments) = Arguments::of(&device) {
                return Self::open_interface(eal, arguments?, device);
            }
            probe(&device, &text)?;
            probed_here = true;
            // SAFETY: as above.
            let code = unsafe { sys::fp_port_find(text.as_ptr(), &raw mut number) };
            check("rte_eth_dev_get_port_by_name", code).map_err(|source| PortError::Probe {
                device: name.clone(),
                source,
                said: last_words(&take_log()),
            })?;
        }
        if open.contains(&number) {
            return Err(PortError::InUse { device: name });
        }
        let mut raw = sys::fp_port_info::default();
        // SAFETY: the port exists, `raw` is live.
        let code = unsafe { sys::fp_port_info(number, &raw mut raw) };
        check("rte_eth_dev_info_get", code).map_err(|source| PortError::Silent { port: name.clone(), source })?;
        open.push(number);
        let info = PortInfo::from_raw(name.clone(), &raw);
        let inner =
            OpenPort { number, device: name, whole: device, packets: None, probed_here, started: false, pool: None, eal: eal.clone() };
        Ok(Self { inner: Arc::new(inner), info })
    }

    /// Opens a Linux interface that is read by AF_PACKET.
    fn open_interface(eal: &Eal, arguments: Arguments, whole: String) -> Result<Self, PortError> {
        let device = arguments.name.clone();
        let found = Interface::find(&arguments.interface, 0).map_err(|source| kernel_refused(&device, source))?;
        found.check(&device)?;
        let mut open = INTERFACES.lock().unwrap_or_else(PoisonError::into_inner);
        if open.contains(&device) {
            return Err(PortError::InUse { device });
        }
        open.push(device.clone());
        let raw = sys::fp_port_info {
            mac: found.mac(),
            socket: -1,
            rx_queues_max: arguments.queues,
            frame_octets_max: u32::from(u16::MAX),
            mtu_max: u16::MAX,
            descriptors_max: u16::MAX,
            ..Default::default()
        };
        let info = PortInfo { follows: true, ..PortInfo::of_driver("net_af_packet".to_owned(), device.clone(), &raw) };
        let inner = OpenPort {
            number: NO_NUMBER,
            device,
            whole,
            packets: Some(Packets::new(arguments)),
            probed_here: false,
            started: false,
            pool: None,
            eal: eal.clone(),
        };
        Ok(Self { inner: Arc::new(inner), info })
    }

    /// What the device says of itself.
    #[must_use]
    pub fn info(&self) -> &PortInfo {
        &self.info
    }

    /// Configures and starts the port, and gives out its queues, numbered from 0. `pool` supplies the buffers.
    ///
    /// Can be done again once all queues have been dropped.
    ///
    /// # Errors
    /// When the device refuses, with its driver's words.
    pub fn start(&mut self, config: &PortConfig, pool: &Pool) -> Result<(Confirmed, Vec<RxQueue>), PortError> {
        let (device, driver) = (self.info.name.clone(), self.info.driver.clone());
        let most = self.info.rx_queues_max;
        if config.rx_queues == 0 || config.rx_queues > most {
            return Err(PortError::TooManyQueues { port: device, driver, asked: config.rx_queues, most });
        }
        if self.inner.packets.is_some() {
            return self.start_interface(config, pool);
        }
        let raw = self.raw_config(config, pool);
        let Some(inner) = Arc::get_mut(&mut self.inner) else { return Err(PortError::InUse { device }) };
        inner.stop();
        let mut answer = sys::fp_port_started::default();
        // SAFETY: the port is open and nobody polls it (`get_mut`); `raw` and `answer` are live; the pool is kept below for as
        // long as the port, whether the call succeeds or not.
        let code = unsafe { sys::fp_port_start(inner.number, &raw const raw, pool.as_ptr(), &raw mut answer) };
        // The pool before this one goes only now that no queue of the device refers to it.
        inner.pool = Some(pool.clone());
        if code != 0 {
            let source = DpdkError { call: call_name(&answer), errno: code.wrapping_neg() };
            return Err(PortError::Refused { port: device, driver, source, said: last_words(&take_log()) });
        }
        inner.started = true;
        let row = Driver::of(&driver, self.info.rss_offloads);
        let by_function = row.symmetric_function && raw.key_length != 0 && symmetric::toeplitz(inner.number, config.rx_queues, config.hash);
        let stamps = if raw.timestamps != 0 { StampField::find(&inner.eal) } else { None };
        let confirmed = Confirmed {
            descriptors: answer.descriptors,
            promiscuous: answer.promiscuous != 0,
            symmetric: config.rx_queues == 1
                || by_function
                || answer.symmetric != 0
                || matches!(self.info.spread, Spread::Own | Spread::Kernel),
            timestamps: stamps.is_some(),
            mtu: raw.mtu,
        };
        let queues = (0..config.rx_queues).map(|queue| RxQueue::new(Arc::clone(&self.inner), queue, stamps)).collect();
        Ok((confirmed, queues))
    }

    fn start_interface(&mut self, config: &PortConfig, pool: &Pool) -> Result<(Confirmed, Vec<RxQueue>), PortError> {
        let device = self.info.name.clone();
        let Some(inner) = Arc::get_mut(&mut self.inner) else { return Err(PortError::InUse { device }) };
        inner.stop();
        inner.pool = Some(pool.clone());
        let Some(packets) = &inner.packets else { unreachable!("it was just looked at") };
        let (slots, queues) = packets.start(pool, config).map_err(|source| kernel_refused(&device, source))?;
        let confirmed = Confirmed {
            descriptors: u16::try_from(slots).unwrap_or(u16::MAX),
            promiscuous: config.promiscuous,
            symmetric: true,
            timestamps: false,
            mtu: 0,
        };
        let queues = (0..).zip(queues).map(|(number, queue)| RxQueue::of_packets(Arc::clone(&self.inner), number, queue)).collect();
        Ok((confirmed, queues))
    }

    /// Reads on from the kernel's interface where the one that was read is gone, and another of its name is there: to be called now and
    /// then. Whether it did.
    ///
    /// # Errors
    /// When the kernel does not let it be read.
    pub fn follow(&self) -> Result<bool, PortError> {
        let Some(packets) = &self.inner.packets else { return Ok(false) };
        packets.follow().map_err(|source| kernel_refused(&self.info.name, source))
    }

    /// How often it has read on from another interface of the name.
    #[must_use]
    pub fn reopened(&self) -> u64 {
        self.inner.packets.as_ref().map_or(0, |packets| packets.counted().reopened)
    }

    /// State of the link, without waiting for it. Of a kernel's interface, the kernel says it.
    ///
    /// # Errors
    /// When the driver does not answer.
    pub fn link(&self) -> Result<Link, PortError> {
        let found = match &self.inner.packets {
            Some(packets) => Some(packets.interface()),
            None => interface::named(&self.inner.whole).map(|name| Interface::find(name, 0)),
        };
        if let Some(found) = found {
            return Ok(found.map_or(Link { state: LinkState::Gone, ..Link::default() }, |interface| interface.link()));
        }
        let mut raw = sys::fp_link::default();
        // SAFETY: the port is open, `raw` is live.
        let code = unsafe { sys::fp_port_link(self.inner.number, &raw mut raw) };
        self.answered("rte_eth_link_get_nowait", code)?;
        let state = if raw.up != 0 { LinkState::Up } else { LinkState::Down };
        Ok(Link { state, speed_mbps: raw.speed_mbps, full_duplex: raw.full_duplex != 0 })
    }

    /// What the port has counted since it was started.
    ///
    /// # Errors
    /// When the driver does not answer.
    pub fn stats(&self) -> Result<PortStats, PortError> {
        if let Some(packets) = &self.inner.packets {
            let counted = packets.counted();
            // A frame for which there is no buffer waits in its slot.
            let (missed, no_buffer) = (Some(counted.dropped), Some(0));
            return Ok(PortStats { packets: counted.packets, octets: counted.octets, missed, no_buffer, errors: None });
        }
        let mut raw = sys::fp_stats::default();
        // SAFETY: the port is open, `raw` is live.
        let code = unsafe { sys::fp_port_stats(self.inner.number, &raw mut raw) };
        self.answered("rte_eth_stats_get", code)?;
        let counts = self.info.counts;
        Ok(PortStats {
            packets: raw.packets,
            octets: raw.octets,
            missed: counts.missed.then_some(raw.missed),
            errors: counts.errors.then_some(raw.errors),
            no_buffer: counts.no_buffer.then_some(raw.no_buffer),
        })
    }

    /// A reader of the extended statistics.
    ///
    /// # Errors
    /// When the driver does not answer.
    pub fn xstats(&self) -> Result<Xstats, PortError> {
        Xstats::of(Arc::clone(&self.inner))
    }

    /// The NIC's clock now, in the units of its receive times.
    ///
    /// # Errors
    /// When it has none that can be read.
    pub fn clock(&self) -> Result<u64, PortError> {
        let mut ticks = 0;
        // SAFETY: the port is open, `ticks` is live.
        let code = unsafe { sys::fp_read_clock(self.inner.number, &raw mut ticks) };
        self.answered("rte_eth_read_clock", code)?;
        Ok(ticks)
    }

    fn answered(&self, call: &'static str, code: i32) -> Result<u32, PortError> {
        check(call, code).map_err(|source| PortError::Silent { port: self.info.name.clone(), source })
    }

    fn raw_config(&self, config: &PortConfig, pool: &Pool) -> sys::fp_port_config {
        let row = Driver::of(&self.info.driver, self.info.rss_offloads);
        let mut raw = sys::fp_port_config {
            rx_queues: config.rx_queues,
            tx_queues: if row.paired_queues { config.rx_queues } else { 0 },
            descriptors: config.descriptors,
            mtu: config.frame_octets_max.map_or(0, |octets| self.info.mtu_for(octets)),
            timestamps: u8::from(config.timestamps && self.info.can_timestamp),
            promiscuous: u8::from(config.promiscuous),
            hash_addresses: u8::from(config.hash == Hash::OuterAddresses),
            hash_inner: u8::from(config.hash == Hash::InnerPorts),
            ..Default::default()
        };
        raw.scatter = u8::from(self.info.can_scatter && raw.mtu.saturating_add(HEADER) > pool.frame_octets());
        let key = usize::from(self.info.rss_key_octets);
        // The key 6d5a 6d5a ... makes the Toeplitz hash of (a, b) and of (b, a) the same.
        if config.rx_queues > 1 && (1..=raw.key.len()).contains(&key) {
            raw.key_length = self.info.rss_key_octets;
            for (at, octet) in raw.key.iter_mut().take(key).enumerate() {
                *octet = if at % 2 == 0 { 0x6d } else { 0x5a };
            }
        }
        raw
    }
}

/// Plugs a device in.
fn probe(device: &str, text: &CString) -> Result<(), PortError> {
    let name = device.split(',').next().unwrap_or_default();
    if let Some(address) = is_pci(name).then_some(name) {
        check_pci(address)?;
    }
    let _ = take_log();
    // SAFETY: the environment runs; `text` is live.
    let code = unsafe { sys::fp_port_probe(text.as_ptr()) };
    let Err(source) = check("rte_dev_probe", code) else { return Ok(()) };
    let said = last_words(&take_log());
    if said.contains("failed to parse device") || said.contains("Unable to find a bus") {
        return Err(PortError::BadDevice { device: name.to_owned(), said });
    }
    if is_pci(name) && source.errno == 19 {
        let hint = "DPDK does not see it; start it without --no-pci, and look with `dpdk-devbind.py --status`".to_owned();
        return Err(PortError::Missing { device: name.to_owned(), hint });
    }
    Err(PortError::Probe { device: name.to_owned(), source, said })
}

/// What the kernel knows of a PCI device tells more than the probe that would fail.
fn check_pci(address: &str) -> Result<(), PortError> {
    let path = Path::new("/sys/bus/pci/devices").join(address);
    if !path.exists() {
        let hint = "there is nothing at this PCI address; `dpdk-devbind.py --status-dev net` lists the NICs of this machine".to_owned();
        return Err(PortError::Missing { device: address.to_owned(), hint });
    }
    let driver = fs::read_link(path.join("driver")).ok().and_then(|link| Some(link.file_name()?.to_string_lossy().into_owned()));
    match driver {
        Some(driver) if !KERNEL_SIDE.contains(&driver.as_str()) => Err(PortError::Bound { device: address.to_owned(), driver }),
        _ => Ok(()),
    }
}

/// Kernel drivers that give a device to user space, or share it with DPDK.
const KERNEL_SIDE: &[&str] = &["vfio-pci", "uio_pci_generic", "igb_uio", "mlx5_core", "mlx4_core", "mana"];

/// Whether the text has the form of a PCI address, with its domain.
fn is_pci(name: &str) -> bool {
    let fields: Vec<&str> = name.split([':', '.']).collect();
    let hex = |field: &str, length: usize| field.len() == length && field.bytes().all(|octet| octet.is_ascii_hexdigit());
    matches!(fields.as_slice(), [domain, bus, slot, function] if hex(domain, 4) && hex(bus, 2) && hex(slot, 2) && hex(function, 1))
}

/// Adds the domain that `lspci` leaves out.
fn full_address(device: &str) -> String {
    let with_domain = format!("0000:{device}");
    let name = with_domain.split(',').next().unwrap_or_default();
    if is_pci(name) { with_domain } else { device.to_owned() }
}

/// The DPDK function that failed, as the shim left it.
fn call_name(answer: &sys::fp_port_started) -> &'static str {
    if answer.call.is_null() { "rte_eth_dev_start" } else { literal(answer.call) }
}

/// What the kernel said to AF_PACKET, and what to do about it.
fn kernel_refused(device: &str, source: DpdkError) -> PortError {
    let hint = match source.errno {
        // EPERM, EACCES
        1 | 13 => "run it as root or with the capability CAP_NET_RAW (`setcap cap_net_raw+ep`)",
        // ENOMEM, ENOBUFS
        12 | 105 => "no memory for its ring; lower rx_descriptors, or framesz and framecnt of the device",
        // ENODEV, ENXIO
        19 | 6 => "there is no such network interface; `ip link` lists those of this machine",
        // EINVAL, ENETDOWN of a group of sockets
        22 | 100 => "is the interface switched on? With several queues (qpairs) it has to be: `ip link set ... up`",
        // EAFNOSUPPORT
        97 => "this kernel has no AF_PACKET; load the module af_packet",
        _ => "see packet(7)",
    };
    PortError::Interface { device: device.to_owned(), source, hint }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pci_addresses_are_told_from_virtual_devices() {
        assert!(is_pci("0000:3b:00.0"));
        assert!(!is_pci("3b:00.0") && !is_pci("net_pcap0") && !is_pci("0000:3b:00") && !is_pci("zzzz:3b:00.0"));
        assert_eq!(full_address("3b:00.1,x=1"), "0000:3b:00.1,x=1");
        assert_eq!(full_address("net_null0,size=64"), "net_null0,size=64");
    }
}
