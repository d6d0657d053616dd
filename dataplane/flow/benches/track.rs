//! `track/hit/*`, `track/miss/*`: nanoseconds a packet of [`Tracker::meter`], from frame to flow, with so many flows in the table.
//! `track/hit/*` is UDP, `track/hit_tcp/*` TCP, `track/hit_vxlan/*` UDP in VXLAN, in the wide table.
//! A hit goes to one of them at random; a miss is the SYN of a new flow, and the table is full, so that another one has to go.
//! `decode/*`: nanoseconds a packet of the first of its two stages, [`Tracker::decode`]. `sweep/*`: nanoseconds a line of the table whose
//! flows are not due.
//! `emit/*`: nanoseconds a record from the entry into the ring when a table is written from one end to the other; `emit/nothing` puts
//! it together and throws it away, `emit/evicted` is `track/miss/1048576` with the records going into the ring.
//!
//! `cargo bench -p sonde-flow --bench track -- track/hit` measures the names that contain the argument only; a number is one of flows.

use std::hint::black_box;
use std::path::Path;
use std::time::Duration;

use sonde_flow::{BURST, Counter, Flush, Policy, Room, Sizing, Tracker};
use sonde_memory::slab::{Slab, Wanted};
use sonde_memory::tags::Simd;
use sonde_packet::{Frame, Link};
use sonde_record::ring::Writer;
use sonde_record::{HEAD_WORDS, Output, RecordView};

const FLOWS: [u64; 4] = [1_000, 100_000, 1_000_000, 8_000_000];
/// Fewer different frames are learnt by the branch predictor.
const FRAMES_MIN: usize = 1 << 20;
/// Packets of one sample: short enough that some of them have the machine for themselves.
const PART: usize = 1 << 15;
/// CPU time of one case.
const TIME: Duration = Duration::from_millis(1500);
const SYN: u8 = 2;
const ACK: u8 = 16;
/// The first packet's time.
const START: u64 = 1_700_000_000_000_000_000;

/// Takes a record's words and forgets them.
struct Nothing;

impl Output for Nothing {
    fn put(&mut self, record: &RecordView<'_>) {
        black_box(record);
    }

    fn put_words(&mut self, words: &[u64; HEAD_WORDS], _: &[u64]) {
        black_box(words);
    }
}

fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// splitmix64.
fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (*state ^ *state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}

/// A frame of 60 octets from the client of a flow, or, turned, from its server: TCP with these flags, or UDP.
fn frame(flow: u64, turned: bool, flags: Option<u8>) -> [u8; PLAIN] {
    let mut bytes = [0; PLAIN];
    let [_, _, _, _, f0, f1, f2, f3] = flow.to_be_bytes();
    let (client, server) = ([10 ^ f0, f1, f2, f3, 0xc3, 0x50], [192, 0, 2, 1, 1, 187]);
    let (from, to) = if turned { (server, client) } else { (client, server) };
    bytes[12..26].copy_from_slice(&[8, 0, 0x45, 0, 0, 46, 0, 0, 0x40, 0, 64, if flags.is_some() { 6 } else { 17 }, 0, 0]);
    bytes[26..30].copy_from_slice(&from[..4]);
    bytes[30..34].copy_from_slice(&to[..4]);
    bytes[34..36].copy_from_slice(&from[4..]);
    bytes[36..38].copy_from_slice(&to[4..]);
    bytes[46..50].copy_from_slice(&[0x50, flags.unwrap_or(0), 0xff, 0xff]);
    bytes
}

/// Octets of a frame that are kept; of one in VXLAN.
const PLAIN: usize = 64;
const TUNNELLED: usize = 128;

/// Puts a frame into a place, if that has room for it, in VXLAN (RFC 7348).
fn put<const KEPT: usize>(place: &mut [u8; KEPT], frame: &[u8; PLAIN]) {
    if KEPT == TUNNELLED {
        place[12..24].copy_from_slice(&[8, 0, 0x45, 0, 0, 96, 0, 0, 0x40, 0, 64, 17]);
        place[26..50].copy_from_slice(&[10, 1, 0, 1, 10, 1, 0, 2, 0xc0, 0, 0x12, 0xb5, 0, 76, 0, 0, 8, 0, 0, 0, 0, 0, 7, 0]);
    }
    let at = if KEPT == TUNNELLED { 50 } else { 0 };
    place[at..at + PLAIN].copy_from_slice(frame);
}

/// Frames in memory and a table for `flows` flows.
struct Case<const KEPT: usize> {
    frames: Slab<[u8; KEPT]>,
    tracker: Tracker,
    now: u64,
}

impl<const KEPT: usize> Case<KEPT> {
    fn new(flows: u64, flags: Option<u8>) -> Self {
        let hits = flags != Some(SYN);
        let wanted = Wanted { huge: true, populate: true };
        let count = if hits { FRAMES_MIN.next_multiple_of(usize::try_from(flows).unwrap_or(1)) } else { FRAMES_MIN };
        let mut frames = Slab::<[u8; KEPT]>::zeroed(count.next_multiple_of(BURST), wanted).expect("memory for the frames");
        let mut state = flows;
        let kinds = if hits { flows } else { u64::MAX };
        for (n, bytes) in (0..).zip(&mut *frames) {
            put(bytes, &frame(n % kinds, hits && random(&mut state) & 1 == 1, flags));
        }
        for n in (1..frames.len()).rev() {
            let other = usize::try_from(random(&mut state) % (n as u64 + 1)).unwrap_or(0);
            frames.swap(n, other);
        }
        let (ipv4, wide) = if KEPT == TUNNELLED { (1, flows) } else { (flows, 1) };
        let sizing = Sizing { ipv4, wide, annex: Room::NONE, wanted, simd: Simd::detect(), seed: 7, worker: 0, first_id: 0 };
        let tracker = Tracker::new(&sizing, Policy::default()).expect("memory for the table");
        Self { frames, tracker, now: START }
    }

    /// Gives every frame a source address that it never had.
    fn renew(&mut self) {
        for bytes in &mut *self.frames {
            bytes[26] = bytes[26].wrapping_add(1);
        }
    }

    /// All frames once; notes the time of each [`PART`].
    fn pass(&mut self, out: &mut impl Output, times: &mut Vec<f64>) {
        let mut frames: Vec<Frame<'_>> = Vec::with_capacity(BURST);
        for part in self.frames.chunks(PART) {
            let start = cpu_time();
            for burst in part.chunks(BURST) {
                self.now += 10_000;
                let now = self.now;
                frames.clear();
                let wire_len = if KEPT == TUNNELLED { 110 } else { 60 };
                frames.extend(burst.iter().map(|bytes| Frame { bytes, wire_len, link: Link::Ethernet, time: now, port: 1 }));
                self.tracker.meter(&frames, now, out);
                out.publish();
            }
            times.push(ns(start, part.len()));
        }
    }
}

impl<const KEPT: usize> Case<KEPT> {
    /// Decodes all frames once; notes the time of each [`PART`].
    fn decode(&mut self, times: &mut Vec<f64>) {
        let mut frames: Vec<Frame<'_>> = Vec::with_capacity(BURST);
        for part in self.frames.chunks(PART) {
            let start = cpu_time();
            for burst in part.chunks(BURST) {
                frames.clear();
                let wire_len = if KEPT == TUNNELLED { 110 } else { 60 };
                frames.extend(burst.iter().map(|bytes| Frame { bytes, wire_len, link: Link::Ethernet, time: START, port: 1 }));
                black_box(self.tracker.decode(&frames, START));
            }
            times.push(ns(start, part.len()));
        }
    }
}

fn ns(start: Duration, count: usize) -> f64 {
    cpu_time().saturating_sub(start).as_secs_f64() * 1e9 / count as f64
}

fn show(name: &str, mut times: Vec<f64>) {
    times.sort_by(f64::total_cmp);
    let (Some(min), Some(median)) = (times.first(), times.get(times.len() / 2)) else { return };
    println!("{name:24} {min:6.1} min {median:6.1} median ns");
}

/// Takes samples for [`TIME`].
fn repeat(mut take: impl FnMut(&mut Vec<f64>)) -> Vec<f64> {
    let start = cpu_time();
    let mut times = Vec::new();
    while times.is_empty() || cpu_time().saturating_sub(start) < TIME {
        take(&mut times);
    }
    times
}

fn hit(flows: u64) {
    hits::<PLAIN>(&format!("track/hit/{flows}"), flows, None);
}

fn hit_tcp(flows: u64) {
    hits::<PLAIN>(&format!("track/hit_tcp/{flows}"), flows, Some(ACK));
}

fn hit_vxlan(flows: u64) {
    hits::<TUNNELLED>(&format!("track/hit_vxlan/{flows}"), flows, None);
}

fn hits<const KEPT: usize>(name: &str, flows: u64, flags: Option<u8>) {
    let mut case = Case::<KEPT>::new(flows, flags);
    case.pass(&mut Nothing, &mut Vec::new());
    show(name, repeat(|times| case.pass(&mut Nothing, times)));
}

fn decode<const KEPT: usize>(name: &str, flags: Option<u8>) {
    let mut case = Case::<KEPT>::new(100_000, flags);
    show(name, repeat(|times| case.decode(times)));
}

/// Sweeps a table of a million flows, a quarter of a second at a time.
fn sweep(name: &str) {
    let mut case = Case::<PLAIN>::new(FRAMES_MIN as u64, None);
    case.pass(&mut Nothing, &mut Vec::new());
    let times = repeat(|times| {
        // All of them came at most so long ago.
        for quarter in 0..4 {
            let now = case.now + quarter * 250_000_000;
            let (start, before) = (cpu_time(), case.tracker.counters().get(Counter::SweptLines));
            case.tracker.sweep(now, u32::MAX, &mut Nothing);
            let lines = case.tracker.counters().get(Counter::SweptLines) - before;
            if lines > 1000 {
                times.push(ns(start, usize::try_from(lines).unwrap_or(1)));
            }
        }
        case.now += 1_000_000_000;
        case.pass(&mut Nothing, &mut Vec::new());
    });
    show(name, times);
}

fn miss(flows: u64) {
    evict(&format!("track/miss/{flows}"), flows, &mut Nothing);
}

/// Every packet begins a flow in a full table, and the record of another one goes to `out`.
fn evict(name: &str, flows: u64, out: &mut impl Output) {
    let mut case = Case::<PLAIN>::new(flows, Some(SYN));
    for _ in 0..flows.div_ceil(FRAMES_MIN as u64) + 1 {
        case.renew();
        case.pass(out, &mut Vec::new());
    }
    let times = repeat(|times| {
        case.renew();
        case.pass(out, times);
    });
    show(name, times);
}

/// Fills a table and writes all of it.
fn emit(name: &str, out: &mut impl Output) {
    let mut case = Case::<PLAIN>::new(FRAMES_MIN as u64, None);
    let times = repeat(|times| {
        case.pass(&mut Nothing, &mut Vec::new());
        let mut flush = Flush::default();
        let mut more = true;
        while more {
            let (start, before) = (cpu_time(), case.tracker.counters().records());
            more = case.tracker.flush(&mut flush, out);
            out.publish();
            let records = case.tracker.counters().records() - before;
            if records > 1000 {
                times.push(ns(start, usize::try_from(records).unwrap_or(1)));
            }
        }
    });
    show(name, times);
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let (numbers, names): (Vec<_>, Vec<_>) = arguments.iter().partition(|argument| argument.parse::<u64>().is_ok());
    let numbers: Vec<u64> = numbers.iter().filter_map(|number| number.parse().ok()).collect();
    let wanted = |name: &str| names.is_empty() || names.iter().any(|part| name.contains(part.as_str()));
    let flows = if numbers.is_empty() { &FLOWS[..] } else { &numbers };
    for (name, measure) in
        [("track/hit/", hit as fn(u64)), ("track/hit_tcp/", hit_tcp), ("track/hit_vxlan/", hit_vxlan), ("track/miss/", miss)]
    {
        flows.iter().filter(|_| wanted(name)).for_each(|flows| measure(*flows));
    }
    if wanted("decode/udp") {
        decode::<PLAIN>("decode/udp", None);
    }
    if wanted("decode/tcp") {
        decode::<PLAIN>("decode/tcp", Some(ACK));
    }
    if wanted("decode/vxlan") {
        decode::<TUNNELLED>("decode/vxlan", None);
    }
    if wanted("sweep/") {
        sweep("sweep/1048576");
    }
    if wanted("emit/nothing") {
        emit("emit/nothing", &mut Nothing);
    }
    if wanted("emit/ring") || wanted("emit/evicted") {
        let shared = Path::new("/dev/shm");
        let place = if shared.is_dir() { tempfile::tempdir_in(shared) } else { tempfile::tempdir() }.expect("a directory");
        let mut ring = Writer::create(&place.path().join("ring"), 64 << 20, 0).expect("a ring of 64 MiB");
        emit("emit/ring", &mut ring);
        evict("emit/evicted", FRAMES_MIN as u64, &mut ring);
    }
}
