//! A source without a NIC: frames that were made once and are lent again and again. For benchmarks.
//!
//! The frames are read from memory in sequence, as a NIC's DMA would leave them; only their headers are kept, which is all
//! that metering reads. There are at least a million different ones: a shorter trace is learnt by the branch predictor, and
//! decoding looks three times faster than it is.
//!
//! Not here: what stands in a frame (`frames`).

mod frames;
mod traffic;

use sonde_memory::slab::{OutOfMemory, Slab, Wanted};
use sonde_packet::{Frame, Link};

use crate::clock::Clock;
use crate::source::{BURST_MAX, Polled, Source};
use frames::random;

pub use traffic::{Behind, Kind, Size, Traffic};

/// Least different frames.
const FRAMES_MIN: usize = 1 << 20;
/// Octets that are kept of most frames.
pub const PLAIN: usize = 64;
/// Octets that are kept of frames in a tunnel, behind tags, labels or a session, and of IPv6.
pub const LONG: usize = 128;

/// Lends template frames for ever, or until a number of frames; `KEPT` octets of each, [`PLAIN`] or [`LONG`].
#[derive(Debug)]
pub struct TemplateSource<const KEPT: usize> {
    frames: Slab<[u8; KEPT]>,
    wire: Slab<u16>,
    at: usize,
    pass: u32,
    kind: Kind,
    before: frames::Before,
    left: u64,
    clock: Clock,
}

impl<const KEPT: usize> TemplateSource<KEPT> {
    /// Makes the frames.
    ///
    /// # Errors
    /// The memory is not there.
    pub fn new(traffic: &Traffic, limit: Option<u64>) -> Result<Self, OutOfMemory> {
        let flows = if traffic.kind == Kind::Flood { FRAMES_MIN } else { traffic.flows.max(1) as usize };
        let round = flows * frames::round(traffic.kind);
        let frames = (round * FRAMES_MIN.div_ceil(round)).next_multiple_of(BURST_MAX);
        let wanted = Wanted { huge: false, populate: false };
        let mut source = Self {
            frames: Slab::zeroed(frames, wanted)?,
            wire: Slab::zeroed(frames, wanted)?,
            at: 0,
            pass: 0,
            kind: traffic.kind,
            before: frames::Before::of(traffic),
            left: limit.unwrap_or(u64::MAX),
            clock: Clock::new(),
        };
        source.fill(traffic, flows);
        Ok(source)
    }

    fn fill(&mut self, traffic: &Traffic, flows: usize) {
        let mut state = traffic.seed;
        // A shuffled order of flow numbers (Fisher-Yates).
        let count = self.frames.len();
        let mut order: Vec<u32> = (0..count).map(|n| u32::try_from(n % flows).unwrap_or(0)).collect();
        for n in (1..count).rev() {
            let other = usize::try_from(random(&mut state) % (n as u64 + 1)).unwrap_or(0);
            order.swap(n, other);
        }
        let mut maker = frames::Maker::new(traffic, flows, count);
        for ((frame, wire), flow) in self.frames.iter_mut().zip(&mut *self.wire).zip(order) {
            *wire = maker.make(flow, random(&mut state), frame);
        }
    }

    /// Different frames.
    pub fn frames(&self) -> usize {
        self.frames.len()
    }

    /// Makes the frames of a burst, lent before, new ones.
    #[inline]
    fn renew(&mut self, range: std::ops::Range<usize>) {
        let before = self.before;
        let frames = self.frames.get_mut(range).unwrap_or_default().iter_mut();
        match self.kind {
            Kind::Flood => {
                let [_, _, _, pass] = self.pass.to_be_bytes();
                frames.for_each(|frame| frames::renew_syn(frame, before.source(), pass));
            }
            Kind::Tcp if self.pass > 0 => {
                let before = before.octets();
                frames.for_each(|frame| frames::renew_segment(frame, before));
            }
            _ => {}
        }
    }
}

impl<const KEPT: usize> Source for TemplateSource<KEPT> {
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
        self.renew(range.clone());
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

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use sonde_packet::{Network, Tcp, decode};

    use super::*;

    /// What the frames of so many passes are.
    fn lent<const KEPT: usize>(kind: Kind, flows: u32, passes: usize, mut see: impl FnMut(&Frame<'_>)) {
        let mut source = TemplateSource::<KEPT>::new(&Traffic { flows, kind, behind: Behind::Ethernet, ipv6: false, seed: 3 }, None)
            .expect("some memory");
        for _ in 0..source.frames() * passes / BURST_MAX {
            assert_eq!(source.burst(|frames, _| frames.iter().for_each(&mut see)), Polled::Frames);
        }
    }

    /// Share of frames by size, in twelfths.
    fn twelfths<const KEPT: usize>(kind: Kind) -> HashMap<u32, u64> {
        let (mut sizes, mut all) = (HashMap::<u32, u64>::new(), 0);
        lent::<KEPT>(kind, 1000, 1, |frame| {
            *sizes.entry(frame.wire_len + 4).or_default() += 1;
            all += 1;
        });
        sizes.into_iter().map(|(size, count)| (size, (count * 12 + all / 2) / all)).collect()
    }

    #[test]
    fn simple_imix_is_7_to_4_to_1() {
        let imix = HashMap::from([(64, 7), (594, 4), (1518, 1)]);
        assert_eq!(twelfths::<PLAIN>(Kind::Udp(Size::Imix)), imix);
        assert_eq!(twelfths::<PLAIN>(Kind::Tcp), imix);
        assert_eq!(twelfths::<PLAIN>(Kind::Connections), imix);
        assert_eq!(twelfths::<LONG>(Kind::Vxlan(Size::Imix)), imix.into_iter().map(|(size, n)| (size + 50, n)).collect());
    }

    /// Sequence number, acknowledgement number and flags of a segment.
    fn segment(frame: &Frame<'_>) -> (u32, u32, u16) {
        let number = |at: usize| u32::from_be_bytes(*frame.bytes[at..].first_chunk().expect("kept"));
        (number(38), number(42), u16::from(frame.bytes[47]))
    }

    fn segments_follow_each_other(kind: Kind) {
        let mut next: HashMap<([u8; 4], u16, [u8; 4], u16), u32> = HashMap::new();
        let mut seen = 0u64;
        lent::<PLAIN>(kind, 100_000, 3, |frame| {
            let headers = decode(frame).expect("a segment");
            let (seq, ack, flags) = segment(frame);
            let Network::V4(src, dst) = headers.network else { panic!("{headers:?}") };
            let own = (src, headers.sport, dst, headers.dport);
            let other = (dst, headers.dport, src, headers.sport);
            if flags & Tcp::SYN == 0
                && let Some(expected) = next.get(&own)
            {
                assert_eq!(seq, *expected, "the next of its direction");
                assert!(next.get(&other).is_none_or(|sent| ack == *sent), "everything is acknowledged");
                seen += 1;
            }
            let taken = u32::from(flags & (Tcp::SYN | Tcp::FIN) != 0);
            next.insert(own, seq.wrapping_add(headers.octets - 40).wrapping_add(taken));
        });
        assert!(seen > 3 << 19, "{seen}");
    }

    #[test]
    fn segments_of_connections_that_go_on_follow_each_other_over_all_passes() {
        segments_follow_each_other(Kind::Tcp);
        segments_follow_each_other(Kind::Connections);
    }

    /// Two combinations over two passes, in the second of which segments are renewed; of the others the beginning.
    #[test]
    fn tags_labels_and_ipv6_change_nothing_else() {
        let behind = [Behind::Ethernet, Behind::Vlan, Behind::Qinq, Behind::Mpls, Behind::Pppoe];
        for (behind, ipv6) in behind.into_iter().flat_map(|behind| [(behind, false), (behind, true)]) {
            let traffic = Traffic { flows: 90_000, kind: Kind::Tcp, behind, ipv6, seed: 3 };
            let mut source = TemplateSource::<LONG>::new(&traffic, None).expect("some memory");
            let (longer, header) = ([0, 4, 8, 8, 8][behind as usize], if ipv6 { 60 } else { 40 });
            let whole = matches!((behind, ipv6), (Behind::Qinq, true) | (Behind::Mpls, false));
            let bursts = if whole { source.frames() * 2 / BURST_MAX } else { 100 };
            let (mut next, mut seen) = (HashMap::new(), 0u64);
            for _ in 0..bursts {
                source.burst(|frames, _| {
                    for frame in frames {
                        let headers = decode(frame).expect("a segment");
                        assert_eq!((matches!(headers.network, Network::V6(..)), headers.tags), (ipv6, [0, 1, 2, 0, 0][behind as usize]));
                        assert!([60, 590, 1514].contains(&(frame.wire_len + 40 - longer - header)), "{}", frame.wire_len);
                        let tcp = headers.tcp.expect("a segment");
                        // The last octets of both addresses, and the ports.
                        let l4 = usize::from(headers.l4_offset);
                        let last = |at: usize| u32::from_be_bytes(*frame.bytes[at..].first_chunk().expect("kept"));
                        let ends = (last(l4 - if ipv6 { 20 } else { 8 }), last(l4 - 4), last(l4));
                        let expected = next.insert(ends, tcp.seq.wrapping_add(headers.octets - header));
                        assert!(expected.is_none_or(|expected| tcp.seq == expected), "{behind:?} {ipv6}");
                        seen += u64::from(expected.is_some());
                    }
                });
            }
            assert!(seen > 1 << 20 || !whole, "{seen}");
        }
    }

    #[test]
    fn every_syn_of_a_flood_is_a_flow_of_its_own() {
        let mut seen = std::collections::HashSet::new();
        lent::<PLAIN>(Kind::Flood, 1, 2, |frame| assert!(seen.insert(<[u8; 12]>::try_from(&frame.bytes[26..38]).expect("kept"))));
    }

    #[test]
    fn what_is_in_a_tunnel_is_there_to_be_seen() {
        let mut flows = std::collections::HashSet::new();
        lent::<LONG>(Kind::Vxlan(Size::Fixed(64)), 1000, 1, |frame| {
            let outer = decode(frame).expect("a datagram");
            assert_eq!((outer.dport, outer.protocol, frame.wire_len), (4789, 17, 110));
            let inner = Frame { bytes: &frame.bytes[50..], wire_len: 60, ..*frame };
            let inner = decode(&inner).expect("what is inside");
            flows.insert(inner.sport.max(inner.dport));
        });
        assert!(flows.len() > 900);
    }
}
