//! What is known of drivers that their devices do not say. Everything else is asked of the device.

/// How the frames of a port with several queues come to be in one or the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spread {
    /// The NIC hashes addresses and ports (RSS) with the key that it is given.
    Rss,
    /// Its operator chose what each queue holds.
    Own,
    /// The kernel hashes the outermost addresses and ports, the same for both directions.
    Kernel,
    /// Neither: only one queue can be relied on.
    One,
}

/// What a hardware receive time counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stamps {
    /// Nanoseconds of the NIC's clock.
    Nanoseconds,
    /// Ticks of a free-running counter whose rate has to be measured.
    Ticks,
}

/// Which losses a driver counts. What it does not count is not 0: it is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Frames that were dropped because the workers were too slow (`imissed`).
    pub missed: bool,
    /// Frames that were dropped because there was no packet buffer (`rx_nombuf`).
    pub no_buffer: bool,
    /// Damaged frames (`ierrors`).
    pub errors: bool,
}

impl Counts {
    const ALL: Self = Self { missed: true, no_buffer: true, errors: true };
    const NONE: Self = Self { missed: false, no_buffer: false, errors: false };
}

/// One driver.
#[derive(Clone, Copy, Debug)]
pub struct Driver {
    /// DPDK's name of it (`rte_eth_dev_info.driver_name`).
    pub name: &'static str,
    /// What it drives.
    pub hardware: &'static str,
    /// How queues are filled.
    pub spread: Spread,
    /// Most queues that RSS can address, where that is fewer than the queues the device reports.
    pub rss_queues_max: Option<u16>,
    /// Knows the symmetric Toeplitz function by rte_flow; the others are symmetric by the key 6d5a.
    pub symmetric_function: bool,
    /// What its receive times count, when the device says it has them.
    pub stamps: Stamps,
    /// Wants a transmit queue for each receive queue, although nothing is transmitted.
    pub paired_queues: bool,
    /// Which losses it counts.
    pub counts: Counts,
    /// What has to be done before DPDK can use it.
    pub needs: &'static str,
}

const VFIO: &str = "bind to vfio-pci: `modprobe vfio-pci && dpdk-devbind.py -b vfio-pci <address>`";
const NOTHING: &str = "nothing";

/// A virtual device, from which the NICs differ.
const VIRTUAL: Driver = Driver {
    name: "",
    hardware: "virtual",
    spread: Spread::Own,
    rss_queues_max: None,
    symmetric_function: false,
    stamps: Stamps::Nanoseconds,
    paired_queues: false,
    counts: Counts::NONE,
    needs: NOTHING,
};

/// A NIC that hashes with the key it is given.
const NIC: Driver = Driver { hardware: "NIC", spread: Spread::Rss, stamps: Stamps::Ticks, counts: Counts::ALL, needs: VFIO, ..VIRTUAL };

/// The drivers that are known, sorted by name. Any other is treated as [`Driver::of`] says.
pub const DRIVERS: &[Driver] = &[
    // PACKET_FANOUT_HASH hashes symmetrically (packet(7), __skb_get_hash_symmetric). This crate reads the interface itself, and the
    // kernel says what its ring had no room for; DPDK's own driver of the name, opened by EAL arguments, does not ask it.
    Driver {
        name: "net_af_packet",
        hardware: "Linux interface by AF_PACKET",
        spread: Spread::Kernel,
        counts: Counts { errors: false, ..Counts::ALL },
        needs: "CAP_NET_RAW",
        ..VIRTUAL
    },
    // The kernel driver's RSS fills the queues, with a key that DPDK cannot set.
    Driver {
        name: "net_af_xdp",
        hardware: "Linux interface by AF_XDP",
        spread: Spread::One,
        counts: Counts { missed: true, ..Counts::NONE },
        needs: "CAP_NET_RAW, CAP_NET_ADMIN and CAP_BPF",
        ..VIRTUAL
    },
    Driver { name: "net_i40e", hardware: "Intel X710, XL710, X722", symmetric_function: true, ..NIC },
    Driver {
        name: "net_ice",
        hardware: "Intel E810, E830",
        symmetric_function: true,
        stamps: Stamps::Nanoseconds,
        needs: "bind to vfio-pci, and the DDP package (firmware ice.pkg) for RSS: `dpdk-devbind.py -b vfio-pci <address>`",
        ..NIC
    },
    // 82599 datasheet section 7.1.2.8: the redirection table holds 4-bit indices.
    Driver { name: "net_ixgbe", hardware: "Intel 82599, X520, X540, X550", rss_queues_max: Some(16), ..NIC },
    Driver { name: "net_memif", hardware: "shared memory with another process", spread: Spread::One, ..VIRTUAL },
    Driver { name: "net_null", hardware: "generator of empty frames", counts: Counts::ALL, ..VIRTUAL },
    // pcap_stats says what libpcap's ring had no room for; of a recording nothing is lost.
    Driver { name: "net_pcap", hardware: "capture file, or Linux interface by libpcap", counts: Counts::ALL, ..VIRTUAL },
    Driver { name: "net_ring", hardware: "rings inside the process", ..VIRTUAL },
    // tun_automq_select_queue hashes symmetrically; the driver insists on queue pairs.
    // What found no room in its queue, only the interface's own statistics say (tx_dropped).
    Driver {
        name: "net_tap",
        hardware: "Linux TAP interface",
        spread: Spread::Kernel,
        paired_queues: true,
        counts: Counts { missed: false, ..Counts::ALL },
        needs: "CAP_NET_ADMIN and /dev/net/tun",
        ..VIRTUAL
    },
    Driver {
        name: "net_virtio",
        hardware: "virtio-net",
        paired_queues: true,
        // What the host's ring had no room for, the host knows.
        counts: Counts { missed: false, ..Counts::ALL },
        needs: "bind to vfio-pci or uio_pci_generic: `dpdk-devbind.py -b vfio-pci <address>`",
        ..NIC
    },
    Driver {
        name: "mlx5_pci",
        hardware: "NVIDIA ConnectX-4 Lx to ConnectX-7, BlueField",
        needs: "stay with the kernel driver mlx5_core; libibverbs1 and ibverbs-providers installed",
        ..NIC
    },
];

impl Driver {
    /// The row of the driver of that name; of one that is not listed, what can be assumed: a NIC with RSS where the device
    /// reports hash functions, else one queue only.
    #[must_use]
    pub fn of(name: &str, rss_offloads: u64) -> Self {
        let (spread, counts) = if rss_offloads == 0 { (Spread::One, Counts::NONE) } else { (Spread::Rss, Counts::ALL) };
        let unlisted = Self { spread, counts, hardware: "not listed", ..NIC };
        DRIVERS.iter().find(|row| row.name == name).copied().unwrap_or(unlisted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_the_four_nic_families_are_there() {
        for (at, row) in DRIVERS.iter().enumerate() {
            assert!(DRIVERS[at + 1..].iter().all(|other| other.name != row.name), "{} is there twice", row.name);
            assert!(!row.hardware.is_empty() && !row.needs.is_empty(), "{}", row.name);
        }
        for name in ["net_ice", "net_i40e", "net_ixgbe", "mlx5_pci"] {
            assert_eq!(Driver::of(name, 1).spread, Spread::Rss, "{name}");
        }
        assert_eq!((Driver::of("net_future", 0).spread, Driver::of("net_future", 0).counts), (Spread::One, Counts::NONE));
        assert!(["net_tap", "net_memif", "net_virtio"].iter().all(|name| !Driver::of(name, 0).counts.missed));
        assert_eq!(Driver::of("net_future", 1).spread, Spread::Rss);
    }
}
