//! Every prefix of every packet is a value or a reason, and all decoders agree on it: of the traffic builder's frames always, of those
//! of the reference corpus when it is there.
//!
//! That the work is bounded is no matter of measuring: a decoder takes at least one octet of the frame a step, or counts its steps
//! (`TAGS_MAX`, `EXTENSIONS_MAX`, the depth of tunnels).

#[path = "../fuzz/src/agreement.rs"]
#[expect(unreachable_pub, reason = "a module of the library of the fuzzer's programs, a module here")]
mod agreement;

use agreement::agreement;
use sonde_packet::{Frame, Link, TUNNEL_DEPTH_MAX};
use sonde_tests::corpus;
use sonde_tests::traffic::{SECOND, office, samples};
use sonde_worker::capture::{Batch, Capture};
use std::path::{Path, PathBuf};

/// Up to so many octets every prefix is tried: no header that is looked into stands behind them, but in stacks of tunnels.
const WHOLE: usize = 200;
/// Behind them one of so many; a prime, so that other places are tried of other packets.
const STEP: usize = 97;

/// Decodes every prefix as a capture that was cut there; the number of prefixes.
fn prefixes(frame: &Frame<'_>) -> usize {
    let first = frame.bytes.len() % STEP;
    let lengths = (0..frame.bytes.len().min(WHOLE)).chain((WHOLE + first..frame.bytes.len()).step_by(STEP)).chain([frame.bytes.len()]);
    let cut = |length| agreement(&Frame { bytes: &frame.bytes[..length], ..*frame }, TUNNEL_DEPTH_MAX);
    lengths.map(cut).count()
}

#[test]
fn every_prefix_of_what_the_builder_makes() {
    let made = office(100, SECOND, 3).into_iter().map(|packet| packet.bytes).chain(samples().into_iter().map(|sample| sample.frame));
    let mut tried = 0;
    for bytes in made {
        let wire_len = u32::try_from(bytes.len()).unwrap();
        // As a frame of another link, or without its Ethernet header, it is something else, and still a value or a reason.
        for link in [Link::Ethernet, Link::RawIp, Link::LinuxSll, Link::LinuxSll2, Link::Null, Link::Unknown] {
            let frame = Frame { bytes: &bytes, wire_len, link, port: 1, time: 0 };
            tried += prefixes(&frame) + prefixes(&Frame { bytes: &bytes[14..], wire_len: wire_len - 14, ..frame });
        }
    }
    assert!(tried > 50_000, "only {tried} prefixes");
}

/// Captures below a folder.
fn captures(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("pcap" | "pcapng") => found.push(path),
            _ if path.is_dir() => captures(&path, found),
            _ => {}
        }
    }
}

#[test]
fn every_prefix_of_every_packet_of_the_corpus() {
    let Some(corpus) = corpus::corpus(&["pcaps"], "the decoder was, on prefixes of its packets,") else { return };
    let mut found = Vec::new();
    captures(&corpus.join("pcaps"), &mut found);
    let (mut packets, mut tried) = (0usize, 0usize);
    for path in &found {
        let bytes = std::fs::read(path).unwrap();
        let mut capture = Capture::open(&bytes).unwrap_or_else(|fault| panic!("{}: {fault}", path.display()));
        let mut batch = Batch::new();
        loop {
            capture.fill(&mut batch);
            if batch.frames().is_empty() {
                break;
            }
            packets += batch.frames().len();
            tried += batch.frames().iter().map(prefixes).sum::<usize>();
        }
    }
    println!("{tried} prefixes of {packets} packets of {} captures", found.len());
    assert!(packets > 100_000, "only {packets} packets in {} captures", found.len());
}
