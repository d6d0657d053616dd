//! Sequence numbers of one direction, holes in them, and what a segment that is not simply the next one is.
//!
//! The classes are those of Wireshark's user's guide, section 7.5 "TCP Analysis", so that figures can be compared. All arithmetic is
//! modulo 2^32 (RFC 9293 section 3.4).

use bytemuck::{Pod, Zeroable};
use sonde_packet::Tcp;

use super::segment::Segment;
use super::way::{Way, bits};
use crate::measure::span::{tick, ticks_ns};

/// Without a round trip time, what arrives so much later than its place in the order was retransmitted.
const REORDERING_NS: u64 = 3_000_000;
/// A retransmission so soon after duplicate acknowledgements is their answer (RFC 5681 section 3.2).
const FAST_NS: u64 = 20_000_000;
/// Duplicate acknowledgements that ask for it. The RFC says three; one may have passed the tap unseen.
const FAST_DUPLICATES: u8 = 2;

/// Whether `a` stands before `b`.
#[inline]
pub(super) const fn before(a: u32, b: u32) -> bool {
    a.wrapping_sub(b).cast_signed() < 0
}

/// Sequence numbers that a segment takes (RFC 9293 section 3.4: SYN and FIN take one each; together they are no real segment).
#[inline]
pub(super) fn taken(segment: &Segment) -> u32 {
    segment.payload.wrapping_add(u32::from(segment.flags & (Tcp::SYN | Tcp::FIN) != 0))
}

/// What a segment is in the order of its direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// Next, or without anything to order.
    InOrder,
    /// One octet into a window of zero: it does not move the order.
    WindowProbe,
    /// At most one octet, from before the next one (RFC 9293 section 3.8.4).
    KeepAlive,
    /// Behind a hole.
    AfterHole,
    /// It was acknowledged before it came.
    Spurious,
    /// The answer to duplicate acknowledgements.
    Fast,
    /// Overtaken by what was sent later.
    OutOfOrder,
    /// Sent again.
    Retransmitted,
}

/// What is known of the segment from elsewhere.
#[derive(Clone, Copy, Debug)]
pub(super) struct Context {
    /// Both halves of the round trip.
    pub(super) rtt: Option<u64>,
    /// Duplicate acknowledgements of the peer in a row.
    pub(super) duplicates: u8,
    /// Whether the segment fills a hole.
    pub(super) unseen: bool,
}

/// Class of the segment, which is not the first of its direction.
pub(super) fn classify(own: &Way, peer: &Way, segment: &Segment, context: Context) -> Class {
    let Context { rtt, duplicates, unseen } = context;
    let Segment { seq, payload, flags, .. } = *segment;
    let opens_or_ends = flags & (Tcp::SYN | Tcp::FIN) != 0;
    let bare = !opens_or_ends && flags & Tcp::RST == 0;
    if payload == 1 && seq == own.next && peer.has(bits::KNOWN) && peer.window() == 0 && peer.has(bits::ACKED) {
        return Class::WindowProbe;
    }
    if before(own.next, seq) {
        return if flags & Tcp::RST == 0 { Class::AfterHole } else { Class::InOrder };
    }
    if payload <= 1 && bare && seq == own.next.wrapping_sub(1) {
        return Class::KeepAlive;
    }
    if !before(seq, own.next) || (payload == 0 && !opens_or_ends) {
        return Class::InOrder;
    }
    let end = seq.wrapping_add(payload);
    if payload > 0 && peer.has(bits::KNOWN | bits::ACKED) && !before(peer.ack, end) {
        return Class::Spurious;
    }
    // What was a window probe comes again, and more with it.
    if payload > 1 && seq == own.next.wrapping_sub(1) {
        return Class::InOrder;
    }
    let wanted = peer.has(bits::KNOWN | bits::ACKED) && duplicates >= FAST_DUPLICATES && peer.ack == seq;
    if wanted && peer.since(segment.time) < FAST_NS.cast_signed() {
        return Class::Fast;
    }
    // Ticks wrap; what moved the order came no later than the latest segment.
    let late = ticks_ns(own.next_tick, tick(segment.time)).unwrap_or(0).max(own.since(segment.time).max(0).cast_unsigned());
    if unseen && late < rtt.unwrap_or(REORDERING_NS) && seq.wrapping_add(taken(segment)) != own.next {
        return Class::OutOfOrder;
    }
    Class::Retransmitted
}

/// Holes that are remembered, of both directions together.
pub(super) const HOLES: usize = 3;

/// Sequence numbers that were not seen: from `from` up to, not including, `to`.
#[derive(Clone, Copy, Debug, Zeroable, Pod)]
#[repr(C)]
struct Hole {
    from: u32,
    to: u32,
}

/// The latest holes.
#[derive(Clone, Copy, Debug, Zeroable, Pod)]
#[repr(C)]
pub(super) struct Holes {
    holes: [Hole; HOLES],
    /// Whose they are: 0 nobody's, 1 of the forward direction, 2 of the reverse one.
    ways: [u8; HOLES],
    /// The one that is given up next.
    turn: u8,
}

impl Holes {
    /// Remembers a hole, and forgets the oldest when there is no room.
    pub(super) fn open(&mut self, way: u8, from: u32, to: u32) {
        let at = self.ways.iter().position(|w| *w == 0).unwrap_or_else(|| {
            let at = usize::from(self.turn) % HOLES;
            self.turn = self.turn.wrapping_add(1);
            at
        });
        if let (Some(hole), Some(owner)) = (self.holes.get_mut(at), self.ways.get_mut(at)) {
            *hole = Hole { from, to };
            *owner = way.saturating_add(1);
        }
    }

    /// Whether what stands between the numbers fills a hole, or a part of it; from then on it is filled.
    pub(super) fn fill(&mut self, way: u8, from: u32, to: u32) -> bool {
        let mut filled = false;
        let mut rest = None;
        for (hole, owner) in self.holes.iter_mut().zip(&mut self.ways) {
            if *owner != way.saturating_add(1) || !before(from, hole.to) || !before(hole.from, to) {
                continue;
            }
            filled = true;
            match (before(hole.from, from), before(to, hole.to)) {
                (false, false) => *owner = 0,
                (false, true) => hole.from = to,
                (true, false) => hole.to = from,
                (true, true) => {
                    rest = Some((to, hole.to));
                    hole.to = from;
                }
            }
        }
        if let Some((from, to)) = rest {
            self.open(way, from, to);
        }
        filled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_compared_modulo_two_to_the_32() {
        assert!(before(u32::MAX, 0) && before(5, 6) && !before(6, 6) && !before(0, u32::MAX));
    }

    #[test]
    fn a_hole_is_filled_from_both_ends_and_from_the_middle() {
        let mut holes = Holes::zeroed();
        holes.open(0, 100, 200);
        assert!(!holes.fill(1, 100, 200), "of the other direction");
        assert!(!holes.fill(0, 200, 300) && !holes.fill(0, 0, 100), "beside it");
        assert!(holes.fill(0, 100, 110) && !holes.fill(0, 100, 110));
        assert!(holes.fill(0, 190, 210) && !holes.fill(0, 190, 200));
        assert!(holes.fill(0, 140, 150), "in its middle");
        assert!(holes.fill(0, 110, 140) && holes.fill(0, 150, 190));
        assert!(!holes.fill(0, 0, 1000), "nothing is left");
    }

    #[test]
    fn the_oldest_hole_is_forgotten_first() {
        let mut holes = Holes::zeroed();
        (0..4).for_each(|n| holes.open(1, n * 100, n * 100 + 50));
        assert!(!holes.fill(1, 0, 50));
        assert!((1..4).all(|n| holes.fill(1, n * 100, n * 100 + 50)));
    }
}
