//! Which worker a frame belongs to: the same for both directions of every flow that is metered of it.
//!
//! What is hashed, the first that applies:
//! 1. IP, of the flow that is metered ([`Tunnels`]): the innermost addresses, ports and protocol where that is the inner flow, the
//!    outermost where it is the outer one. Of a protocol without ports, addresses and protocol.
//! 2. A tunnel of which both flows are metered, and one whose frames can carry packets of several flows at once (A-MSDU of IEEE 802.11,
//!    which CAPWAP has, too): the outermost addresses alone, so that all its flows are at one worker.
//! 3. Everything else: both MAC addresses.
//!
//! Neither VLANs nor the identifiers of tunnels are hashed: the two directions of a flow may have different ones. The hash has a key, so
//! that nobody outside can aim at one worker.
//!
//! **Fragments** have no ports but for the first. [`Affinity`] remembers for a while where the first one of a datagram went, and the
//! others follow it to the worker that has the rest of their flow. One that comes before the first goes by its addresses, and then the
//! first follows it: all fragments of a datagram are at one worker, in whatever order they come.

use crate::choice::{Tunnels, View};
use crate::cursor::Cursor;
use crate::decapsulate::{Packets, decapsulate};
use crate::fast::{Fast4, fast4, inner4};
use crate::frame::{Frame, Link};
use crate::headers::{Headers, Network};
use crate::link::ethernet;
use crate::located::{FastIp, located};
use crate::tunnel::Tunnel;

/// Datagrams whose fragments are remembered; one takes the place of another.
const PLACES: usize = 4096;
/// A first fragment is followed so long, in nanoseconds: what comes later would not be reassembled either (RFC 8200 section 4.5).
const FOLLOW_MAX: u64 = 60_000_000_000;
/// A later fragment waits for its first one so long, as in the workers' tables.
const WAIT_MAX: u64 = 2_000_000_000;

/// What decides on a frame's worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// The hash of its flow.
    Flow(u64),
    /// A fragment: what all fragments of its datagram have in common, its flow's hash where it is the first one, and that of its
    /// addresses.
    Fragment {
        /// Addresses and identification.
        datagram: u64,
        /// The flow, of the first fragment.
        flow: Option<u64>,
        /// Addresses alone.
        addresses: u64,
    },
}

/// The function: a key, and what is metered of tunnels.
#[derive(Clone, Copy, Debug)]
pub struct Hasher {
    key: [u64; 4],
    tunnels: Tunnels,
}

/// Both halves of the product: each bit of the result depends on all of both factors.
#[inline(always)]
fn mix(a: u64, b: u64) -> u64 {
    let product = u128::from(a).wrapping_mul(u128::from(b));
    #[expect(clippy::cast_possible_truncation, reason = "the two halves")]
    let folded = product as u64 ^ (product >> 64) as u64;
    folded
}

impl Hasher {
    /// `seed` is a secret.
    pub fn new(seed: u64, tunnels: &Tunnels) -> Self {
        let mut state = seed;
        // splitmix64, with another increment than the flow tables' keys have: the worker says nothing of the place in its table.
        let key = std::array::from_fn(|_| {
            state = state.wrapping_add(0x9fb2_1c65_1e98_df25);
            mix(state ^ 0xbf58_476d_1ce4_e5b9, 0x94d0_49bb_1331_11eb) | 1
        });
        let mut hasher = Self { key, tunnels: *tunnels };
        hasher.obey(tunnels);
        hasher
    }

    /// Takes over what is metered of tunnels from now on.
    pub fn obey(&mut self, tunnels: &Tunnels) {
        self.tunnels = *tunnels;
        for kind in [Tunnel::Ieee80211, Tunnel::Capwap] {
            if tunnels.view(kind) == View::Inner {
                // By the outermost addresses.
                self.tunnels = self.tunnels.with(kind, View::Both);
            }
        }
    }

    /// What decides on the worker of a frame. A total function of its bytes.
    #[inline(always)]
    pub fn choose(&self, frame: &Frame<'_>) -> Choice {
        if let Some(fast) = fast4(frame, &self.tunnels) {
            return Choice::Flow(self.common(&fast));
        }
        self.uncommon(frame)
    }

    #[inline(never)]
    fn uncommon(&self, frame: &Frame<'_>) -> Choice {
        if let Some(found) = located(frame, &self.tunnels) {
            return Choice::Flow(match found.packet {
                FastIp::V4(packet) => self.common(&packet),
                FastIp::V6(packet) => {
                    let ends = Ends::V6(halves(packet.src), halves(packet.dst));
                    let [from, to] = self.ends(&ends, [packet.sport, packet.dport]);
                    self.pair(from, to, packet.protocol)
                }
            });
        }
        if let Some(inner) = inner4(frame, &self.tunnels) {
            return Choice::Flow(self.common(&inner.packet));
        }
        match decapsulate(frame, &self.tunnels) {
            Ok(packets) => self.general(&packets),
            // It becomes no flow.
            Err(_) => Choice::Flow(if frame.link == Link::Ethernet { self.stations(frame) } else { 0 }),
        }
    }

    fn general(&self, packets: &Packets) -> Choice {
        let outer = &packets.outer;
        let metered = packets.inner.as_ref().filter(|inner| !inner.keep_outer).map_or(outer, |inner| &inner.headers);
        let Some(ends) = Ends::of(&metered.network) else {
            return Choice::Flow(self.pair(number(metered.smac), number(metered.dmac), 0));
        };
        let flow = if packets.inner.is_some_and(|inner| inner.keep_outer) { self.addresses(&ends) } else { self.flow(&ends, metered) };
        // The outermost fragment: of a tunnel that is sent in fragments the first one alone shows what is inside.
        for headers in [outer, metered] {
            if let Some(ends) = Ends::of(&headers.network).filter(|_| headers.fragment.is_fragment()) {
                let addresses = self.addresses(&ends);
                let [from, to] = self.ends(&ends, [0, 0]);
                let [k0, k1, _, k3] = self.key;
                let datagram = mix(mix(from ^ k0, to ^ k1) ^ u64::from(headers.fragment.id), k3);
                return Choice::Fragment { datagram, flow: (headers.fragment.offset == 0).then_some(flow), addresses };
            }
        }
        Choice::Flow(flow)
    }

    #[inline(always)]
    fn common(&self, fast: &Fast4) -> u64 {
        let end = |address: u32, port: u16| u64::from(address) << 16 | u64::from(port);
        self.pair(end(fast.src, fast.sport), end(fast.dst, fast.dport), fast.protocol)
    }

    fn flow(&self, ends: &Ends, headers: &Headers) -> u64 {
        let [from, to] = self.ends(ends, [headers.sport, headers.dport]);
        self.pair(from, to, headers.protocol)
    }

    fn addresses(&self, ends: &Ends) -> u64 {
        let [from, to] = self.ends(ends, [0, 0]);
        self.pair(from, to, 0)
    }

    fn ends(&self, ends: &Ends, [sport, dport]: [u16; 2]) -> [u64; 2] {
        match ends {
            Ends::V4(source, destination) => {
                [u64::from(*source) << 16 | u64::from(sport), u64::from(*destination) << 16 | u64::from(dport)]
            }
            Ends::V6(source, destination) => {
                let end = |[high, low]: [u64; 2], port: u16| mix(high ^ self.key[2], low ^ self.key[3]).wrapping_add(u64::from(port));
                [end(*source, sport), end(*destination, dport)]
            }
        }
    }

    /// The same for (a, b) and (b, a).
    #[inline(always)]
    fn pair(&self, a: u64, b: u64, protocol: u8) -> u64 {
        let [k0, k1, k2, _] = self.key;
        mix(mix(a.min(b) ^ k0, a.max(b) ^ k1) ^ u64::from(protocol), k2)
    }

    fn stations(&self, frame: &Frame<'_>) -> u64 {
        let Some(header) = ethernet::Header::peek(Cursor::new(frame.bytes)) else { return 0 };
        self.pair(number(header.destination()), number(header.source()), 0)
    }
}

/// Addresses as numbers.
enum Ends {
    V4(u32, u32),
    V6([u64; 2], [u64; 2]),
}

impl Ends {
    fn of(network: &Network) -> Option<Self> {
        match network {
            Network::None => None,
            Network::V4(source, destination) => Some(Self::V4(u32::from_be_bytes(*source), u32::from_be_bytes(*destination))),
            Network::V6(source, destination) => {
                Some(Self::V6(halves(u128::from_be_bytes(*source)), halves(u128::from_be_bytes(*destination))))
            }
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the two halves are what is wanted")]
fn halves(address: u128) -> [u64; 2] {
    [(address >> 64) as u64, address as u64]
}

fn number([a, b, c, d, e, f]: [u8; 6]) -> u64 {
    u64::from_be_bytes([0, 0, a, b, c, d, e, f])
}

/// Where a datagram's fragments go.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    datagram: u64,
    hash: u64,
    time: u64,
    /// The first fragment has come; else those that came are followed.
    first: bool,
}

/// [`Hasher`], with a memory for fragments. One for each dispatcher; the memory is bounded and made once.
#[derive(Debug)]
pub struct Affinity {
    hasher: Hasher,
    places: Box<[Place]>,
}

impl Affinity {
    /// `seed` is a secret: whoever knows it can aim at one worker.
    pub fn new(seed: u64, tunnels: &Tunnels) -> Self {
        Self { hasher: Hasher::new(seed, tunnels), places: vec![Place::default(); PLACES].into_boxed_slice() }
    }

    /// Takes over what is metered of tunnels from now on.
    pub fn obey(&mut self, tunnels: &Tunnels) {
        self.hasher.obey(tunnels);
    }

    /// The hash of a frame: [`worker_of`] makes a worker of it. `now` is its time, in nanoseconds.
    #[inline(always)]
    pub fn hash(&mut self, frame: &Frame<'_>, now: u64) -> u64 {
        match self.hasher.choose(frame) {
            Choice::Flow(hash) => hash,
            Choice::Fragment { datagram, flow, addresses } => self.fragment(datagram, flow, addresses, now),
        }
    }

    #[inline(never)]
    fn fragment(&mut self, datagram: u64, flow: Option<u64>, addresses: u64, now: u64) -> u64 {
        #[expect(clippy::cast_possible_truncation, reason = "the low bits")]
        let at = datagram as usize % PLACES;
        let Some(place) = self.places.get_mut(at) else { return addresses };
        let age = now.abs_diff(place.time);
        let known = place.datagram == datagram && age <= if place.first { FOLLOW_MAX } else { WAIT_MAX };
        match flow {
            // A first fragment goes with those that came before it; identifications are used again, so another first one is none of them.
            Some(hash) if !known || place.first => {
                *place = Place { datagram, hash, time: now, first: true };
                hash
            }
            Some(_) => {
                place.first = true;
                place.hash
            }
            None if known => place.hash,
            None => {
                *place = Place { datagram, hash: addresses, time: now, first: false };
                addresses
            }
        }
    }
}

/// The worker, of `workers`, that a hash stands for.
#[inline(always)]
pub fn worker_of(hash: u64, workers: usize) -> usize {
    // The high half of hash times workers: as even as the hash, without a division.
    let wide = u128::from(hash).wrapping_mul(workers as u128);
    usize::try_from(wide >> 64).unwrap_or(0)
}

#[cfg(test)]
#[path = "affinity_tests.rs"]
mod tests;
