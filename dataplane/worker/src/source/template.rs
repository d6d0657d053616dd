//! A source without a NIC: frames that were made once and are lent again and again. For benchmarks.
//!
//! The frames are read from memory in sequence, as a NIC's DMA would leave them; only their first 64 bytes are kept, which is all
//! that metering reads. There are at least a million different ones: a shorter trace is learnt by the branch predictor, and
//! decoding looks three times faster than it is.

use sonde_memory::slab::{OutOfMemory, Slab, Wanted};
use sonde_packet::{Frame, Link};

use crate::clock::Clock;
use crate::source::{BURST_MAX, Polled, Source};

/// Sizes of the frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// All of one size, in octets on the wire with FCS (64 is the smallest Ethernet frame).
    Fixed(u16),
    /// Simple IMIX: 7 of 64, 4 of 594, 1 of 1518 octets.
    Imix,
}

/// What the frames are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Traffic {
    /// Different flows; each is hit equally often, in random order, in both directions.
    pub flows: u32,
    /// Frame sizes.
    pub size: Size,
    /// TCP (established, no flags but ACK) instead of UDP.
    pub tcp: bool,
    /// Every packet is the SYN of a new flow; `flows` does not matter.
    pub flood: bool,
    /// Seed of the order.
    pub seed: u64,
}

/// Least different frames.
const FRAMES_MIN: usize = 1 << 20;
const KEPT: usize = 64;

/// Lends template frames for ever, or until a number of frames.
#[derive(Debug)]
pub struct TemplateSource {
    frames: Slab<[u8; KEPT]>,
    wire: Slab<u16>,
    at: usize,
    pass: u32,
    flood: bool,
    left: u64,
    clock: Clock,
}

/// splitmix64.
fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}

impl TemplateSource {
    /// Makes the frames.
    ///
    /// # Errors
    /// The memory is not there.
    pub fn new(traffic: &Traffic, limit: Option<u64>) -> Result<Self, OutOfMemory> {
        let flows = if traffic.flood { FRAMES_MIN } else { traffic.flows.max(1) as usize };
        let frames = flows * FRAMES_MIN.div_ceil(flows);
        let frames = frames.next_multiple_of(BURST_MAX);
        let wanted = Wanted { huge: false, populate: false };
        let mut source = Self {
            frames: Slab::zeroed(frames, wanted)?,
            wire: Slab::zeroed(frames, wanted)?,
            at: 0,
            pass: 0,
            flood: traffic.flood,
            left: limit.unwrap_or(u64::MAX),
            clock: Clock::new(),
        };
        source.fill(traffic, flows);
        Ok(source)
    }

    fn fill(&mut self, traffic: &Traffic, flows: usize) {
        let mut state = traffic.seed;
        // A shuffled order of flow numbers (Fisher-Yates), in a slab because there may be many.
        let count = self.frames.len();
        let mut order: Vec<u32> = (0..count).map(|n| u32::try_from(n % flows).unwrap_or(0)).collect();
        for n in (1..count).rev() {
            let other = usize::try_from(random(&mut state) % (n as u64 + 1)).unwrap_or(0);
            order.swap(n, other);
        }
        for ((frame, wire), flow) in self.frames.iter_mut().zip(&mut *self.wire).zip(order) {
            let r = random(&mut state);
            let size = match traffic.size {
                Size::Fixed(size) => size,
                Size::Imix => match r >> 32 & 0xfff {
                    0..2389 => 64,
                    2389..3754 => 594,
                    _ => 1518,
                },
            };
            // The FCS does not reach a probe.
            *wire = size.saturating_sub(4).max(60);
            *frame = make(flow, r, *wire, traffic);
        }
    }

    /// Different frames.
    pub fn frames(&self) -> usize {
        self.frames.len()
    }
}

/// One frame of a flow: endpoints are a function of the flow number, the rest of `r`.
fn make(flow: u32, r: u64, wire: u16, traffic: &Traffic) -> [u8; KEPT] {
    let mut identity = u64::from(flow) ^ traffic.seed.rotate_left(32);
    let ends = random(&mut identity);
    let [c0, c1, c2, s0, s1, p0, p1, s2] = ends.to_be_bytes();
    let [_, f1, f2, f3] = flow.to_be_bytes();
    // The flow number is in the client's address, so that flows are different whatever the hash gives.
    let client = [10, f1, f2, f3];
    let server = [172, 16 | s2 & 15, s0, s1];
    let (client_port, server_port) = (u16::from_be_bytes([p0 | 0x40, p1]), [53u16, 443, 123, 161][usize::from(c0 & 3)]);
    let turned = r & 1 == 1 && !traffic.flood;
    let (src, dst, sport, dport) =
        if turned { (server, client, server_port, client_port) } else { (client, server, client_port, server_port) };
    let octets = wire - 14;
    let tcp = traffic.tcp || traffic.flood;
    let mut bytes = [0u8; KEPT];
    let header = [
        [2, 0, 0, 0, c1, c2].as_slice(),
        &[2, 0, 0, 0, c2, c1],
        &[8, 0, 0x45, 0],
        &octets.to_be_bytes(),
        &[0, 0, 0x40, 0, 64, if tcp { 6 } else { 17 }, 0, 0],
        &src,
        &dst,
        &sport.to_be_bytes(),
        &dport.to_be_bytes(),
    ]
    .concat();
    let rest = if tcp {
        vec![0, 0, 0, 1, 0, 0, 0, 1, 0x50, if traffic.flood { 2 } else { 0x10 }, 0xff, 0xff, 0, 0, 0, 0]
    } else {
        [(octets - 20).to_be_bytes().as_slice(), &[0, 0]].concat()
    };
    for (to, from) in bytes.iter_mut().zip(header.iter().chain(&rest)) {
        *to = *from;
    }
    bytes
}

impl Source for TemplateSource {
    #[inline]
    fn burst<F: FnOnce(&[Frame<'_>], u64)>(&mut self, work: F) -> Polled {
        let now = self.clock.now();
        if self.left == 0 {
            work(&[], now);
            return Polled::End;
        }
        if self.at + BURST_MAX > self.frames.len() {
            self.at = 0;
            self.pass = self.pass.wrapping_add(1);
        }
        let range = self.at..self.at + BURST_MAX;
        self.at = range.end;
        self.left = self.left.saturating_sub(BURST_MAX as u64);
        if self.flood {
            // The source address is the number of the pass in its first byte and the template's beyond: new for 2^32 packets.
            let [_, _, _, pass] = self.pass.to_be_bytes();
            for frame in self.frames.get_mut(range.clone()).unwrap_or_default() {
                frame[26] = pass;
            }
        }
        let (Some(bytes), Some(wire)) = (self.frames.get(range.clone()), self.wire.get(range)) else {
            work(&[], now);
            return Polled::End;
        };
        let (Some(bytes), Some(wire)) = (bytes.first_chunk::<BURST_MAX>(), wire.first_chunk::<BURST_MAX>()) else {
            work(&[], now);
            return Polled::End;
        };
        let frames: [Frame<'_>; BURST_MAX] = std::array::from_fn(|n| {
            let wire_len = u32::from(wire[n]);
            Frame { bytes: &bytes[n], wire_len, link: Link::Ethernet, time: now, port: 1 }
        });
        work(&frames, now);
        Polled::Frames
    }
}
