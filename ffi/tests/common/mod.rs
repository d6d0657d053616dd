//! What the scenarios share. The environment starts once in a process, so each file beside this directory is one scenario,
//! and one test function.
#![allow(dead_code, clippy::allow_attributes, reason = "each scenario uses some of it; expect would fail in those that use all")]

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use dpdk_sys::{Burst, Eal, EalError, RxQueue};

/// A directory of this process's own, removed at the end; it also names the EAL's file prefix.
pub(crate) struct Scene {
    prefix: String,
    directory: PathBuf,
}

impl Scene {
    pub(crate) fn new(name: &str) -> Self {
        let prefix = format!("sonde-test-{name}-{}", std::process::id());
        let directory = std::env::temp_dir().join(&prefix);
        fs::create_dir_all(&directory).expect("a temporary directory");
        Self { prefix, directory }
    }

    pub(crate) fn arguments(&self, more: &[&str]) -> Vec<String> {
        let prefix = format!("--file-prefix={}", self.prefix);
        let ours = ["-l", "0", "--no-pci", "--no-huge", "-m", "128", "--no-telemetry", prefix.as_str()];
        ours.iter().chain(more).map(|&argument| argument.to_owned()).collect()
    }

    pub(crate) fn start(&self) -> Result<Eal, EalError> {
        Eal::start(&self.arguments(&[]))
    }

    /// Writes a capture file of these frames and answers its path.
    pub(crate) fn capture(&self, name: &str, frames: &[Vec<u8>]) -> String {
        let mut bytes = Vec::new();
        // pcap file format: magic, version 2.4, zone, accuracy, snapshot length, link type Ethernet.
        for word in [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 65_535, 1] {
            bytes.extend(word.to_ne_bytes());
        }
        for (at, frame) in frames.iter().enumerate() {
            let length = u32::try_from(frame.len()).expect("short frames");
            for word in [u32::try_from(at).expect("few frames"), 0, length, length] {
                bytes.extend(word.to_ne_bytes());
            }
            bytes.extend(frame);
        }
        let path = self.directory.join(name);
        fs::write(&path, bytes).expect("the capture is written");
        path.to_string_lossy().into_owned()
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
        let _ = fs::remove_dir_all(PathBuf::from("/var/run/dpdk").join(&self.prefix));
    }
}

/// `count` frames, each of its own length and content.
pub(crate) fn frames(count: usize) -> Vec<Vec<u8>> {
    (0..count).map(|at| (0..60 + at * 7).map(|octet| u8::try_from((at * 31 + octet) % 251).expect("below 251")).collect()).collect()
}

/// Polls until `count` frames have come (or 5 s are over); each is given to `see` and all are freed burst by burst.
pub(crate) fn receive(eal: &Eal, queue: &mut RxQueue, count: usize, mut see: impl FnMut(&Burst, usize)) -> usize {
    let mut burst = Burst::new(eal);
    let mut seen = 0;
    let until = Instant::now() + Duration::from_secs(5);
    while seen < count && Instant::now() < until {
        queue.receive(&mut burst, 32);
        for at in 0..burst.len() {
            see(&burst, at);
        }
        seen += burst.len();
        burst.clear();
    }
    seen
}
