//! Virtual devices: which drivers may be used, and what each of their arguments is.
//!
//! A closed list, for profiles too: drivers of DPDK run shell commands (`net_failsafe`, `exec(...)`), load programs into the kernel
//! (`xdp_prog`) or take pointers (`internal` of `net_ring`) for the asking. What an argument names decides who may give it: numbers and
//! words are anybody's, files, sockets and interfaces are the profile's (see [`crate::trust`]).

use crate::check::quote;

/// Longest device string, in octets.
const TEXT_MAX: usize = 1024;

/// What the value of an argument is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A whole number.
    Number,
    /// One of these words.
    Word(&'static [&'static str]),
    /// A MAC address, or "fixed".
    Mac,
    /// A network interface.
    Interface,
    /// A file that is read.
    Recording,
    /// A file that is written.
    Output,
    /// A socket, or a device that is talked to like one.
    Socket,
}

const SWITCH: Kind = Kind::Word(&["0", "1"]);
const YES_NO: Kind = Kind::Word(&["yes", "no"]);

/// A driver that may be used.
#[derive(Debug)]
pub(crate) struct Driver {
    /// Its name, and its older one.
    names: &'static [&'static str],
    /// Its arguments, and what each is.
    arguments: &'static [(&'static str, Kind)],
    /// Without an argument that names something it takes nothing of the machine.
    pub(crate) alone: bool,
    /// Arguments without which it takes something of its own choice: what must be said, and the value where only one will do.
    pub(crate) must: &'static [(&'static str, Option<&'static str>)],
}

const DRIVERS: &[Driver] = &[
    Driver {
        names: &["net_af_packet", "eth_af_packet"],
        arguments: &[
            ("iface", Kind::Interface),
            ("qpairs", Kind::Number),
            ("blocksz", Kind::Number),
            ("framesz", Kind::Number),
            ("framecnt", Kind::Number),
            ("qdisc_bypass", SWITCH),
        ],
        alone: false,
        must: &[("iface", None)],
    },
    Driver {
        names: &["net_af_xdp"],
        arguments: &[
            ("iface", Kind::Interface),
            ("start_queue", Kind::Number),
            ("queue_count", Kind::Number),
            ("shared_umem", SWITCH),
            ("busy_budget", Kind::Number),
            ("force_copy", SWITCH),
        ],
        alone: false,
        must: &[("iface", None)],
    },
    Driver {
        names: &["net_pcap", "eth_pcap"],
        arguments: &[
            ("rx_pcap", Kind::Recording),
            ("tx_pcap", Kind::Output),
            ("rx_iface", Kind::Interface),
            ("rx_iface_in", Kind::Interface),
            ("tx_iface", Kind::Interface),
            ("iface", Kind::Interface),
            ("phy_mac", SWITCH),
            ("infinite_rx", SWITCH),
        ],
        alone: true,
        must: &[],
    },
    Driver {
        names: &["net_null", "eth_null"],
        arguments: &[("size", Kind::Number), ("copy", SWITCH), ("no-rx", SWITCH)],
        alone: true,
        must: &[],
    },
    Driver { names: &["net_ring", "eth_ring"], arguments: &[], alone: true, must: &[] },
    Driver {
        names: &["net_tap"],
        arguments: &[("iface", Kind::Interface), ("remote", Kind::Interface), ("mac", Kind::Mac)],
        alone: false,
        must: &[],
    },
    Driver {
        names: &["net_memif"],
        arguments: &[
            ("id", Kind::Number),
            ("role", Kind::Word(&["server", "client"])),
            ("bsize", Kind::Number),
            ("rsize", Kind::Number),
            ("socket", Kind::Socket),
            ("socket-abstract", YES_NO),
            ("mac", Kind::Mac),
            ("zero-copy", YES_NO),
        ],
        alone: true,
        // Unless it is told otherwise, its socket is in the abstract name space, which no permission guards.
        must: &[("socket", None), ("socket-abstract", Some("no"))],
    },
    Driver {
        names: &["net_vhost", "eth_vhost"],
        arguments: &[
            ("iface", Kind::Socket),
            ("queues", Kind::Number),
            ("client", SWITCH),
            ("iommu-support", SWITCH),
            ("postcopy-support", SWITCH),
            ("tso", SWITCH),
            ("linear-buffer", SWITCH),
            ("ext-buffer", SWITCH),
        ],
        alone: true,
        must: &[("iface", None)],
    },
    Driver {
        names: &["net_virtio_user"],
        arguments: &[
            ("path", Kind::Socket),
            ("iface", Kind::Interface),
            ("mac", Kind::Mac),
            ("queues", Kind::Number),
            ("queue_size", Kind::Number),
            ("cq", SWITCH),
            ("server", SWITCH),
            ("mrg_rxbuf", SWITCH),
            ("in_order", SWITCH),
            ("packed_vq", SWITCH),
            ("speed", Kind::Number),
            ("vectorized", SWITCH),
        ],
        alone: true,
        must: &[("path", None)],
    },
];

/// A virtual device, taken apart.
#[derive(Debug)]
pub(crate) struct Vdev<'a> {
    /// Its name: the driver's, and a number perhaps.
    pub(crate) name: &'a str,
    /// Its driver.
    pub(crate) driver: &'static Driver,
    /// Its arguments in their order: key, kind, value.
    pub(crate) arguments: Vec<(&'a str, Kind, &'a str)>,
}

impl Driver {
    /// The name it has today.
    pub(crate) fn name(&self) -> &'static str {
        self.names.first().copied().unwrap_or_default()
    }
}

impl<'a> Vdev<'a> {
    /// Takes a device string apart.
    ///
    /// # Errors
    /// The rule that it breaks, and what was found.
    pub(crate) fn parse(text: &'a str) -> Result<Self, (String, String)> {
        let mut parts = text.split(',');
        let name = parts.next().unwrap_or_default();
        let kind = name.trim_end_matches(|c: char| c.is_ascii_digit());
        let known = DRIVERS.iter().find(|driver| driver.names.contains(&kind));
        if text.len() > TEXT_MAX || text.chars().any(char::is_control) {
            return Err((format!("a device of at most {TEXT_MAX} octets without control characters"), quote(text)));
        }
        let Some(driver) = known else {
            let all: Vec<&str> = DRIVERS.iter().map(Driver::name).collect();
            let rule = format!(
                "a PCI address (\"0000:3b:00.0\") or a virtual device (\"net_af_packet0,iface=eth0\", \"net_pcap0,rx_pcap=/tmp/a.pcap\") \
                 of one of the drivers {}",
                all.join(", ")
            );
            return Err((rule, quote(text)));
        };
        let arguments = parts.map(|part| driver.argument(part)).collect::<Result<_, _>>()?;
        Ok(Self { name, driver, arguments })
    }

    /// What it takes of the machine: its driver, and every interface, file and socket it names, sorted.
    pub(crate) fn claims(&self) -> (&'static str, Vec<(&'a str, &'a str)>) {
        let named = |kind: &Kind| matches!(kind, Kind::Interface | Kind::Recording | Kind::Output | Kind::Socket);
        let mut claims: Vec<_> = self.arguments.iter().filter(|(_, kind, _)| named(kind)).map(|(key, _, value)| (*key, *value)).collect();
        claims.sort_unstable();
        claims.dedup();
        (self.driver.name(), claims)
    }
}

impl Driver {
    fn argument<'a>(&self, part: &'a str) -> Result<(&'a str, Kind, &'a str), (String, String)> {
        let (key, value) = part.split_once('=').unwrap_or((part, ""));
        let Some((_, kind)) = self.arguments.iter().find(|(known, _)| *known == key) else {
            let all: Vec<&str> = self.arguments.iter().map(|(known, _)| *known).collect();
            let all = if all.is_empty() { "none".to_owned() } else { all.join("=, ") + "=" };
            return Err((format!("a device whose arguments are among those of {} that Sonde knows: {all}", self.name()), quote(part)));
        };
        let Err(words) = kind.takes(value) else { return Ok((key, *kind, value)) };
        Err((format!("a device with {key}= and {words} behind it"), quote(part)))
    }
}

impl Kind {
    fn takes(self, value: &str) -> Result<(), String> {
        let (good, words) = match self {
            Self::Number => ((1..=10).contains(&value.len()) && value.bytes().all(|b| b.is_ascii_digit()), "a whole number".to_owned()),
            Self::Word(words) => (words.contains(&value), format!("one of {}", words.join(", "))),
            Self::Mac => (value == "fixed" || is_mac(value), "a MAC address".to_owned()),
            Self::Interface => (is_interface(value), "the name of an interface".to_owned()),
            Self::Recording | Self::Output => (is_path(value), "a file".to_owned()),
            Self::Socket => (is_path(value), "a socket".to_owned()),
        };
        if good { Ok(()) } else { Err(words) }
    }
}

fn is_mac(text: &str) -> bool {
    let octet = |part: &str| part.len() == 2 && part.bytes().all(|b| b.is_ascii_hexdigit());
    text.split(':').count() == 6 && text.split(':').all(octet)
}

/// What the kernel takes as the name of an interface, but for characters that DPDK reads otherwise.
fn is_interface(text: &str) -> bool {
    let clean = |b: u8| b.is_ascii_alphanumeric() || b"._-@:".contains(&b);
    (1..=15).contains(&text.len()) && text != "." && text != ".." && text.bytes().all(clean)
}

/// A path that DPDK reads as it stands: brackets and quotes hold lists in its arguments.
fn is_path(text: &str) -> bool {
    !text.is_empty() && !text.contains(['[', ']', '"', '\'', '\\'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_drivers_take_their_arguments() {
        for good in [
            "net_af_packet0,iface=eth0,blocksz=4096,qdisc_bypass=0",
            "net_af_packet1,iface=eth0.100",
            "eth_af_packet,iface=br-lan",
            "net_af_xdp0,iface=eth0,start_queue=0,queue_count=2",
            "net_pcap0,rx_pcap=/tmp/a.pcap,rx_pcap=/tmp/b c.pcap,infinite_rx=1",
            "net_pcap12,iface=lo",
            "net_null0",
            "net_null0,size=64,copy=1,no-rx=1",
            "net_ring0",
            "net_tap0,iface=tap0,mac=fixed",
            "net_tap0,remote=eth0,mac=02:00:00:00:00:01",
            "net_memif0,role=client,id=7,socket=/run/x.sock,socket-abstract=no",
            "net_vhost0,iface=/run/vhost.sock,queues=2",
            "net_virtio_user0,path=/dev/vhost-net,queues=1,iface=tap0",
        ] {
            let vdev = Vdev::parse(good).unwrap_or_else(|e| panic!("{good}: {e:?}"));
            assert_eq!(vdev.name, good.split(',').next().unwrap_or_default());
        }
    }

    #[test]
    fn every_other_driver_and_argument_is_refused() {
        for bad in [
            "net_failsafe0,exec(/bin/sh -c id)",
            "net_failsafe0,fd(3)",
            "net_bonding0,mode=0,slave=net_null0",
            "net_kni0",
            "net_softnic0,firmware=/tmp/x.cli",
            "net_vdev_netvsc0,iface=eth0",
            "crypto_openssl0",
            "event_sw0",
            "net_pcapx0,rx_pcap=/a",
            "net_null_0",
            "net_nullnet_pcap0",
            "NET_NULL0",
            "virtio_user0,path=/x",
            "net_af_xdp0,iface=eth0,xdp_prog=/tmp/x.o",
            "net_ring0,nodeaction=x:0:CREATE",
            "net_ring0,internal=0x7f0000000000",
            "net_tap0,iface=tap0,remote=../x",
            "net_memif0,secret=x",
            "net_memif0,owner-uid=0",
            "net_null0,",
            "net_null0,,size=64",
            "net_null0,size",
            "net_null0,size=",
            "net_null0,size=-1",
            "net_null0,size=64 ",
            "net_null0, size=64",
            "net_null0,Size=64",
            "net_pcap0,rx_pcap",
            "net_pcap0,rx_pcap=",
            "net_pcap0,rx_pcap=[/a",
            "net_pcap0,rx_pcap=/a,b]",
            "net_pcap0,infinite_rx=2",
            "net_af_packet0,iface=/dev/x",
            "net_af_packet0,iface=a,b",
            "net_af_packet0,iface=interface-name-too-long",
            "net_null0,\u{7}",
            "0000:3b:00.0,fw=/tmp/x",
            "",
            "eth0",
        ] {
            let (rule, found) = Vdev::parse(bad).map(|vdev| vdev.claims()).expect_err(bad);
            assert!(!rule.is_empty() && !found.is_empty(), "{bad}");
        }
        let (rule, _) = Vdev::parse("net_af_xdp0,xdp_prog=/x").map(|v| v.claims()).expect_err("a program");
        assert!(rule.contains("iface=, start_queue="), "{rule}");
    }

    #[test]
    fn claims_are_what_is_named_and_nothing_else() {
        let claims = |text| Vdev::parse(text).expect("good").claims();
        assert_eq!(claims("net_af_packet0,iface=eth0"), claims("eth_af_packet7,blocksz=4096,iface=eth0"));
        assert_ne!(claims("net_af_packet0,iface=eth0"), claims("net_af_packet0,iface=eth1"));
        assert_ne!(claims("net_af_packet0,iface=eth0"), claims("net_af_xdp0,iface=eth0"));
        assert_ne!(claims("net_pcap0,rx_pcap=a"), claims("net_pcap0,tx_pcap=a"));
        assert!(claims("net_null0,size=64").1.is_empty());
    }
}
