//! What the tests of ports share. The environment starts once in a process, so each test file has one test function.
#![allow(dead_code, clippy::allow_attributes, reason = "each test file uses some of it; expect would fail in those that use all")]

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use dpdk_sys::Eal;
use sonde_dataplane::source::{Idle, NicSource, Opened, Options, SourceError, open};
use sonde_settings::{Settings, parse_toml};
use sonde_worker::clock::Clock;
use sonde_worker::source::{Polled, Source};

/// The environment, and a directory that is removed at the end.
pub(crate) struct Scene {
    pub(crate) eal: Eal,
    directory: PathBuf,
    prefix: String,
}

/// What a worker was lent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Lent {
    pub(crate) bytes: Vec<u8>,
    pub(crate) wire_len: u32,
    pub(crate) port: u16,
    pub(crate) time: u64,
}

impl Scene {
    pub(crate) fn new(name: &str) -> Self {
        let prefix = format!("sonde-ports-{name}-{}", std::process::id());
        let directory = std::env::temp_dir().join(&prefix);
        fs::create_dir_all(&directory).expect("a temporary directory");
        let own = format!("--file-prefix={prefix}");
        let eal = Eal::start(&["-l", "0", "--no-pci", "--no-huge", "-m", "256", "--no-telemetry", &own]).expect("the environment starts");
        Self { eal, directory, prefix }
    }

    /// Writes a capture and answers its path.
    pub(crate) fn capture(&self, name: &str, frames: &[Vec<u8>]) -> String {
        // pcap file format: magic, version 2.4, zone, accuracy, snapshot length, link type Ethernet.
        let mut bytes: Vec<u8> = [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 65_535, 1].iter().flat_map(|word| word.to_ne_bytes()).collect();
        for frame in frames {
            let length = u32::try_from(frame.len()).expect("short frames");
            bytes.extend([0, 0, length, length].iter().flat_map(|word| word.to_ne_bytes()));
            bytes.extend(frame);
        }
        let path = self.directory.join(name);
        fs::write(&path, bytes).expect("the capture is written");
        path.to_string_lossy().into_owned()
    }

    /// Opens ports given as (device, further settings in TOML).
    pub(crate) fn open(&self, workers: u16, ports: &[(&str, &str)]) -> Result<Opened, SourceError> {
        let mut text = format!("[boot.cores]\nworkers = {:?}\n", (0..workers).collect::<Vec<_>>());
        for (at, (device, more)) in ports.iter().enumerate() {
            let descriptors = if more.contains("rx_descriptors") { "" } else { "rx_descriptors = 256" };
            writeln!(text, "[[boot.ports]]\nname = \"port-{at}\"\ndevice = \"{device}\"\n{descriptors}\n{more}").expect("a string");
        }
        let settings = Settings::try_from(&parse_toml(&text).expect("good TOML")).expect("good settings");
        let tunnels = settings.live.tunnels;
        let options = Options { workers, clock: Clock::new(), idle: Idle::Yield, dispatcher_shares_core: false, seed: 7, tunnels };
        open(&self.eal, &settings.boot.ports, &options)
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
        let _ = fs::remove_dir_all(PathBuf::from("/var/run/dpdk").join(&self.prefix));
    }
}

/// Takes bursts until nothing has come for `vain` polls.
pub(crate) fn drain(source: &mut NicSource, vain: u32) -> Vec<Lent> {
    let mut all = Vec::new();
    let (mut polls, mut last) = (0, 0);
    while polls < vain {
        let polled = source.burst(|frames, now| {
            assert!(now >= last && frames.len() <= 128, "a burst of {} at {now} after {last}", frames.len());
            last = now;
            for frame in frames {
                assert!(frame.time <= now && now - frame.time < 60_000_000_000, "received at {} of {now}", frame.time);
                all.push(Lent { bytes: frame.bytes.to_vec(), wire_len: frame.wire_len, port: frame.port, time: frame.time });
            }
        });
        polls = if polled == Polled::Idle { polls + 1 } else { 0 };
    }
    all
}

/// An IPv4 or IPv6 packet of a conversation below `tags` VLAN tags; `back` is the other direction. The last four octets are its serial.
pub(crate) fn packet(conversation: u16, back: bool, tags: usize, serial: u32) -> Vec<u8> {
    let [high, low] = conversation.to_be_bytes();
    let sides = [(10, 1024 + conversation), (172, 443)];
    let [source, destination] = if back { [sides[1], sides[0]] } else { sides };
    let v6 = conversation.is_multiple_of(3);
    let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
    for _ in 0..tags {
        frame.extend([0x81, 0, 0, 9]);
    }
    let transport = [&source.1.to_be_bytes()[..], &destination.1.to_be_bytes(), &[0, 12, 0, 0], &serial.to_be_bytes()].concat();
    if v6 {
        frame.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, 12, 17, 64]);
        for side in [source.0, destination.0] {
            frame.extend([0x20, 1, 0xd, 0xb8, side, 0, 0, 0, 0, 0, 0, 0, 0, 0, high, low]);
        }
    } else {
        frame.extend([8, 0, 0x45, 0, 0, 32, 0, 0, 0x40, 0, 64, 17, 0, 0]);
        for side in [source.0, destination.0] {
            frame.extend([side, 0, high, low]);
        }
    }
    frame.extend(transport);
    frame
}

/// The serial of a packet made by [`packet`].
pub(crate) fn serial(bytes: &[u8]) -> u32 {
    bytes.last_chunk().map_or(u32::MAX, |last| u32::from_be_bytes(*last))
}
