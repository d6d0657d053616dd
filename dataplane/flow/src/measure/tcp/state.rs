//! How a TCP connection performs, packet by packet.
//!
//! [`TcpMut::add`] has a straight path for what simply comes next, new data or a new acknowledgement: one cache line, the
//! [`Way`] of the segment's direction, no division, one branch that is rarely taken. Behind it are a turn from request to answer, data
//! that reaches the end of the window, and counters that are full; everything else (SYN, FIN, RST, loss, zero windows) goes through
//! `special`.
//!
//! Not here: what leaves (`report`), which segments belong together (the flow table).

use bytemuck::{Pod, Zeroable};
use sonde_packet::{SynOptions, Tcp};
use sonde_record::fact::WINDOW_SCALE_MAX;

use super::segment::Segment;
use super::sequence::{Class, Context, Holes, before, classify, taken};
use super::way::{FULL, LIMIT_AHEAD, Way, bits};
use crate::measure::response::Responses;
use crate::measure::span::{BACK_MAX_NS, Span, TICKS_MAX_NS, Tick, U48, tick, ticks_ns};

/// TCP flags beside those of [`Tcp`] (RFC 9293 section 3.1).
const PSH: u16 = 0x08;
const URG: u16 = 0x20;
pub(super) const ECE: u16 = 0x40;
pub(super) const CWR: u16 = 0x80;
/// The flags without reserved bits and AE.
const FLAGS: u16 = 0xff;
/// Payload that the straight path takes: what it counts between two looks stays far below the 2^32 octets of sequence numbers.
const PAYLOAD_MAX: u32 = 1 << 20;

/// A part of an answer that is summed up by itself, in nanoseconds: a quarter of what ticks can measure.
const PART_NS: u64 = TICKS_MAX_NS / 4;

/// What is known of a direction that is not in its [`Way`], one and a half cache lines: sums, taken over from there from time to time, what
/// seldom happens (counters of 16 bits stop at their greatest number), the traits of its SYN.
#[derive(Clone, Copy, Debug, Zeroable, Pod)]
#[repr(C)]
pub(super) struct Tally {
    /// Octets; what came since `next` was `mark` is not among them.
    pub(super) payload: U48,
    /// The time that delays are counted from, modulo 2^48 ns.
    pub(super) base: U48,
    /// Segments with the ACK flag in the records before this one.
    pub(super) acks_before: u32,
    pub(super) packets: u32,
    pub(super) data: u32,
    pub(super) psh: u32,
    /// Sequence number up to which `payload` is counted.
    pub(super) mark: u32,
    pub(super) retransmitted: u32,
    pub(super) out_of_order: u32,
    pub(super) duplicate_acks: u32,
    pub(super) fast: u16,
    pub(super) spurious: u16,
    pub(super) holes: u16,
    pub(super) lost_upstream: u16,
    pub(super) lost_downstream: u16,
    pub(super) zero_window: u16,
    pub(super) window_full: u16,
    pub(super) keep_alive: u16,
    pub(super) syn: u16,
    pub(super) fin: u16,
    pub(super) rst: u16,
    pub(super) urg: u16,
    pub(super) cwr: u16,
    pub(super) ece: u16,
    /// Segments without the ACK flag.
    pub(super) no_ack: u16,
    /// Duplicate acknowledgements in a row, as long as [`bits::DUPLICATE`] is set.
    duplicates: u8,
    /// Shift of the window in the lower four bits, 0 until SYNs of both ends offered it; above, segments of this record without a
    /// delay (0 or 1, one bit) and without a jitter (0 to 2, two bits).
    scale_without: u8,
    pub(super) traits: Traits,
}

impl Tally {
    #[inline]
    fn scale(&self) -> u8 {
        self.scale_without & 15
    }

    fn set_scale(&mut self, scale: u8) {
        self.scale_without = self.scale_without & !15 | scale & 15;
    }

    /// Segments with the ACK flag, of the flow, given how many segments there were in this record.
    pub(super) fn acks(&self, packets: u32) -> u32 {
        self.acks_before.saturating_add(packets.saturating_sub(u32::from(self.no_ack)))
    }

    /// Segments of this record without a delay, and without a jitter.
    pub(super) fn without(&self) -> [u32; 2] {
        [self.scale_without >> 4 & 1, self.scale_without >> 5].map(u32::from)
    }

    fn set_without(&mut self, delay: u8, jitter: u8) {
        self.scale_without = self.scale() | (delay & 1) << 4 | (jitter & 3) << 5;
    }
}

/// What the first SYN of a direction says.
#[derive(Clone, Copy, Debug, Zeroable, Pod)]
#[repr(C)]
pub(super) struct Traits {
    /// Sequence number of the SYN; one less than the first, where no SYN was seen.
    pub(super) isn: u32,
    pub(super) window: u16,
    pub(super) mss: u16,
    /// Kinds of options, two words of 32 bits.
    pub(super) kinds: [u32; 2],
    pub(super) octets: u16,
    pub(super) ttl: u8,
    /// Bits of `trait_bits`, window scale in the lower ones.
    pub(super) bits: u8,
}

/// Bits of [`Traits::bits`].
pub(super) mod trait_bits {
    pub(in super::super) const SCALE: u8 = 0x1f;
    pub(in super::super) const HAS_SCALE: u8 = 1 << 5;
    pub(in super::super) const SACK: u8 = 1 << 6;
    /// A SYN was seen.
    pub(in super::super) const SYN: u8 = 1 << 7;
}

/// Bits of [`Shared::bits`].
pub(super) mod shake {
    /// The client is the reverse end.
    pub(in super::super) const CLIENT: u16 = 1;
    /// The client's SYN was seen.
    pub(in super::super) const SYN: u16 = 1 << 1;
    /// The server's SYN/ACK was seen.
    pub(in super::super) const SYN_ACK: u16 = 1 << 2;
    /// The client's acknowledgement of it was seen.
    pub(in super::super) const ESTABLISHED: u16 = 1 << 3;
    /// RST instead of a SYN/ACK.
    pub(in super::super) const REFUSED: u16 = 1 << 4;
    /// More than one SYN before the SYN/ACK.
    pub(in super::super) const SYN_AGAIN: u16 = 1 << 5;
    /// More than one SYN/ACK before the acknowledgement.
    pub(in super::super) const SYN_ACK_AGAIN: u16 = 1 << 6;
    /// The client sent payload: what the server sends is an answer.
    pub(in super::super) const ASKED: u16 = 1 << 7;
    /// The server is answering since [`super::Shared::answer_tick`].
    pub(in super::super) const ANSWERING: u16 = 1 << 8;
    /// The server's half of the round trip could not be measured: the clock went back, or it is longer than can be kept.
    pub(in super::super) const NO_SERVER_RTT: u16 = 1 << 9;
    /// The client's half could not.
    pub(in super::super) const NO_CLIENT_RTT: u16 = 1 << 10;
    /// The clock went back in the answer that goes on.
    pub(in super::super) const NO_TRANSFER: u16 = 1 << 11;
}

/// What belongs to the connection, touched when it turns, one cache line.
#[derive(Clone, Copy, Debug, Zeroable, Pod)]
#[repr(C)]
pub(super) struct Shared {
    /// Time of the latest step of the handshake, modulo 2^48 ns.
    pub(super) step: U48,
    /// Time the server took to send its answers, in nanoseconds.
    pub(super) transfer_sum: U48,
    /// Segments of each direction of this record that the clock stamped before the ones that they follow: they have no delay.
    pub(super) unspaced: [u16; 2],
    pub(super) server_rtt: Span,
    pub(super) client_rtt: Span,
    pub(super) transfers: u32,
    pub(super) answer_tick: Tick,
    holes: Holes,
    pub(super) bits: u16,
    pub(super) closing: u8,
    pub(super) syn_retries: u8,
}

/// What every segment of a connection touches, a line for each direction. Directions are those of the flow.
#[derive(Clone, Copy, Debug, Zeroable, Pod)]
#[repr(C, align(64))]
pub(crate) struct Ways(pub(super) [Way; 2]);

/// What else is known of a connection.
#[derive(Clone, Copy, Debug, Zeroable, Pod)]
#[repr(C, align(64))]
pub(crate) struct Rest {
    // These two are touched when the connection turns.
    pub(super) shared: Shared,
    pub(super) responses: Responses,
    pub(super) tallies: [Tally; 2],
}

const _: () = assert!(size_of::<Tally>() == 96 && size_of::<Shared>() == 64);
// Seven lines, one of which every segment touches. Growing them is a design decision.
const _: () = assert!(size_of::<Ways>() == 128 && size_of::<Rest>() == 320);

/// One TCP connection: what is known of it, and what the next record will say.
#[derive(Debug)]
pub(crate) struct TcpMut<'a> {
    pub(crate) ways: &'a mut Ways,
    pub(crate) rest: &'a mut Rest,
}

/// One TCP connection, to be read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TcpRef<'a> {
    pub(crate) ways: &'a Ways,
    pub(crate) rest: &'a Rest,
}

/// A connection that stands for itself.
#[derive(Clone, Copy, Debug, Zeroable, Pod)]
#[repr(C)]
pub struct TcpState {
    pub(super) ways: Ways,
    pub(super) rest: Rest,
}

impl TcpState {
    fn parts(&mut self) -> TcpMut<'_> {
        TcpMut { ways: &mut self.ways, rest: &mut self.rest }
    }

    /// Begins with the first segment that was seen of a connection; `options` are those of its SYN.
    pub fn begin(&mut self, segment: &Segment, options: Option<&SynOptions>) {
        self.parts().begin(segment, options);
    }

    /// Adds a segment, in the order in which it passed the tap.
    pub fn add(&mut self, segment: &Segment) {
        self.parts().add(*segment);
    }

    /// Adds a SYN or SYN/ACK with its options. The first one of each direction says the traits.
    pub fn add_syn(&mut self, segment: &Segment, options: &SynOptions) {
        self.parts().add_syn(segment, options);
    }

    /// Begins the next record of a connection that goes on: counters restart, what is known stays.
    pub fn rest(&mut self) {
        self.parts().restart();
    }
}

/// The segment's own of two, and the other one.
#[inline]
pub(super) fn both<T>([forward, reverse]: &mut [T; 2], way: u8) -> (&mut T, &mut T) {
    if way & 1 == 0 { (forward, reverse) } else { (reverse, forward) }
}

/// What the first SYN of a direction says beside its options.
fn note_syn(traits: &mut Traits, segment: &Segment) {
    traits.window = segment.window;
    traits.octets = segment.octets;
    traits.ttl = segment.ttl;
    traits.bits |= trait_bits::SYN;
}

#[inline]
fn count(counter: &mut u16, happened: bool) {
    *counter = counter.saturating_add(u16::from(happened));
}

impl TcpMut<'_> {
    /// As [`TcpState::begin`].
    pub(crate) fn begin(&mut self, segment: &Segment, options: Option<&SynOptions>) {
        *self.ways = Ways([Way::new(); 2]);
        *self.rest = Rest::zeroed();
        // Who sends a SYN/ACK is the server, whoever else is seen first the client until more is known.
        let server = segment.flags & (Tcp::SYN | Tcp::ACK) == Tcp::SYN | Tcp::ACK;
        if (segment.way & 1 == 1) != server {
            self.rest.shared.bits |= shake::CLIENT;
        }
        match options {
            Some(options) => self.add_syn(segment, options),
            None => self.special(*segment),
        }
    }

    /// As [`TcpState::add_syn`].
    pub(crate) fn add_syn(&mut self, segment: &Segment, options: &SynOptions) {
        let known = both(&mut self.ways.0, segment.way).0.has(bits::KNOWN);
        let (tally, _) = both(&mut self.rest.tallies, segment.way);
        let traits = &mut tally.traits;
        // A SYN that is seen after what it came before has the number before it.
        let first = traits.bits & trait_bits::SYN == 0 && (!known || segment.seq == traits.isn);
        if segment.flags & Tcp::SYN != 0 && first {
            let scale = options.window_scale.map_or(0, |shift| shift.min(WINDOW_SCALE_MAX) | trait_bits::HAS_SCALE);
            let sack = if options.sack_permitted { trait_bits::SACK } else { 0 };
            traits.mss = options.mss.unwrap_or(0);
            traits.kinds = [low(options.kinds), low(options.kinds >> 32)];
            traits.bits = scale | sack;
            if known {
                note_syn(traits, segment);
            }
        }
        self.special(*segment);
    }

    /// As [`TcpState::add`]. Whether the peer is now sending. The segment comes by value: by reference it would be stored
    /// for those who seldom read it.
    #[inline(always)]
    pub(crate) fn add(&mut self, segment: Segment) -> bool {
        let (own, _) = both(&mut self.ways.0, segment.way);
        let end = segment.seq.wrapping_add(segment.payload);
        let data = segment.payload != 0;
        // One condition of many parts, not many branches: bits that must all be zero, and some that must not.
        let since = own.since(segment.time);
        let odd = u32::from(since < 0)
            | ((own.state() & (bits::STEADY | bits::KEEP_ALIVE)) ^ bits::STEADY)
            | (segment.seq ^ own.next)
            | u32::from((segment.flags & FLAGS & !PSH) ^ Tcp::ACK)
            | (segment.payload / PAYLOAD_MAX);
        let news = segment.payload | (segment.ack ^ own.ack) | u32::from(segment.window ^ own.window());
        let special = (odd != 0) | (news == 0) | (segment.window == 0);
        let pause = (data & (!own.has(bits::SPOKE) | own.reaches(end))) | (own.state() & FULL != 0);
        let mut turned = false;
        if special | pause {
            turned = data & !own.has(bits::SPOKE);
            if special || !self.pause(segment) {
                self.special(segment);
                return turned;
            }
        }
        let (own, _) = both(&mut self.ways.0, segment.way);
        let delay = since.cast_unsigned();
        own.space(delay);
        own.next = end;
        // A mask, since data and acknowledgements alternate as no branch can foresee.
        let moved = 0u32.wrapping_sub(u32::from(data));
        own.next_tick = own.next_tick & !moved | tick(segment.time) & moved;
        own.count(u32::from(data), u32::from(segment.flags & PSH != 0));
        own.mark(&segment, Some(delay));
        turned
    }

    /// What has to be done before a segment that simply comes next goes by: `false` when it does not after all.
    #[inline(never)]
    fn pause(&mut self, segment: Segment) -> bool {
        let segment = &segment;
        let (own, peer) = both(&mut self.ways.0, segment.way);
        if segment.payload != 0 && peer.has(bits::KNOWN) && peer.window() == 0 {
            return false;
        }
        let end = segment.seq.wrapping_add(segment.payload);
        if own.state() & FULL != 0 {
            self.settle(segment.way);
        }
        if segment.payload != 0 {
            self.turn(segment, Class::InOrder);
            let (own, _) = both(&mut self.ways.0, segment.way);
            if own.reaches(end) {
                self.find_limit(segment.way);
                let full = self.window_end(segment.way).is_some_and(|limit| end == limit);
                let (tally, _) = both(&mut self.rest.tallies, segment.way);
                count(&mut tally.window_full, full);
            }
        }
        true
    }

    /// Where the window that the peer gives this direction ends; `None` where its scale is not known.
    fn window_end(&self, way: u8) -> Option<u32> {
        let ([forward, reverse], [first, second]) = (&self.ways.0, &self.rest.tallies);
        let (peer, tally) = if way & 1 == 0 { (reverse, second) } else { (forward, first) };
        peer.has(bits::KNOWN | bits::SCALED).then(|| peer.window_end(tally.scale()))
    }

    /// Looks up how far the peer lets this direction go.
    fn find_limit(&mut self, way: u8) {
        let limit = self.window_end(way);
        let (own, peer) = both(&mut self.ways.0, way);
        let open = peer.has(bits::KNOWN) && peer.window() != 0;
        own.set_limit(if open { limit.unwrap_or(own.next.wrapping_add(LIMIT_AHEAD)) } else { own.next });
    }

    /// Takes over what was counted in the direction's line.
    fn settle(&mut self, way: u8) {
        let ((own, _), (tally, _)) = (both(&mut self.ways.0, way), both(&mut self.rest.tallies, way));
        let [segments, data, psh] = own.take();
        tally.packets = tally.packets.wrapping_add(segments);
        tally.data = tally.data.wrapping_add(data);
        tally.psh = tally.psh.wrapping_add(psh);
        tally.payload.add(u64::from(own.next.wrapping_sub(tally.mark)));
        tally.mark = own.next;
        // A long answer is summed up before ticks wrap.
        let shared = &mut self.rest.shared;
        if u16::from(way & 1) != shared.bits & shake::CLIENT
            && let Some(part) = shared.answer(own).filter(|part| *part > PART_NS)
        {
            shared.transfer_sum.add(part);
            shared.answer_tick = own.next_tick;
        }
    }

    /// As [`TcpState::rest`].
    pub(crate) fn restart(&mut self) {
        for (own, tally) in self.ways.0.iter_mut().zip(&mut self.rest.tallies) {
            own.restart_spacing();
            let [segments, _, psh_now] = own.counted();
            let Tally { duplicates, scale_without, traits, syn, fin, rst, urg, .. } = *tally;
            // The counts of flags are those of the whole flow.
            let psh = tally.psh.saturating_add(psh_now);
            let acks_before = tally.acks(tally.packets.wrapping_add(segments));
            let (mark, base) = (own.next, U48::of(own.last()));
            *tally = Tally { mark, base, duplicates, scale_without, traits, syn, fin, rst, urg, psh, acks_before, ..Tally::zeroed() };
            own.take();
            tally.set_without(0, u8::from(own.has(bits::KNOWN) && !own.has(bits::GAPPED)));
        }
        self.rest.responses = Responses::zeroed();
        let shared = &mut self.rest.shared;
        shared.transfer_sum = U48::default();
        shared.unspaced = [0; 2];
        shared.transfers = 0;
        // What of an answer is in this record is not in the next.
        if shared.bits & shake::ANSWERING != 0 {
            let [forward, reverse] = &self.ways.0;
            shared.answer_tick = if shared.bits & shake::CLIENT == 0 { reverse } else { forward }.next_tick;
            shared.bits &= !shake::NO_TRANSFER;
        }
        shared.syn_retries = 0;
    }

    /// A segment that is more than the next one.
    #[inline(never)]
    fn special(&mut self, segment: Segment) {
        let segment = &segment;
        self.settle(segment.way);
        self.handshake(segment);
        self.count_flags(segment);
        let known = both(&mut self.ways.0, segment.way).0.has(bits::KNOWN);
        if !known {
            self.first(segment);
        }
        let class = if known { self.order(segment) } else { Class::InOrder };
        self.windows(segment, known, class);
        self.turn(segment, class);
        self.advance(segment, class);
        self.tally(segment, class);
        self.find_limit(0);
        self.find_limit(1);
    }

    /// The first segment of a direction.
    fn first(&mut self, segment: &Segment) {
        let (own, peer) = both(&mut self.ways.0, segment.way);
        own.set(bits::KNOWN);
        own.begin(segment);
        own.next = segment.seq;
        own.next_tick = tick(segment.time);
        own.ack = segment.ack;
        let (tally, peers) = both(&mut self.rest.tallies, segment.way);
        tally.set_without(1, 2);
        tally.base = U48::of(own.last());
        let syn = segment.flags & Tcp::SYN != 0;
        let (traits, theirs) = (&mut tally.traits, &peers.traits);
        traits.isn = if syn { segment.seq } else { segment.seq.wrapping_sub(1) };
        if syn {
            note_syn(traits, segment);
        }
        // RFC 7323 section 2.2: both must have offered it.
        if traits.bits & theirs.bits & trait_bits::SYN != 0 {
            let scaled = traits.bits & theirs.bits & trait_bits::HAS_SCALE != 0;
            let [own_scale, peers_scale] = [traits.bits, theirs.bits].map(|bits| if scaled { bits & trait_bits::SCALE } else { 0 });
            tally.set_scale(own_scale);
            peers.set_scale(peers_scale);
            own.set(bits::SCALED);
            peer.set(bits::SCALED);
        }
    }

    fn count_flags(&mut self, segment: &Segment) {
        let (tally, _) = both(&mut self.rest.tallies, segment.way);
        let is = |flag: u16| segment.flags & flag != 0;
        count(&mut tally.syn, is(Tcp::SYN));
        count(&mut tally.fin, is(Tcp::FIN));
        count(&mut tally.rst, is(Tcp::RST));
        count(&mut tally.urg, is(URG));
        count(&mut tally.ece, is(ECE));
        count(&mut tally.cwr, is(CWR));
        count(&mut tally.no_ack, !is(Tcp::ACK));
    }

    /// Where the segment stands in the order, and what that says of loss.
    fn order(&mut self, segment: &Segment) -> Class {
        let rtt = self.rtt();
        let way = segment.way & 1;
        let (own, peer) = both(&mut self.ways.0, way);
        let (tally, peers) = both(&mut self.rest.tallies, way);
        let end = segment.seq.wrapping_add(taken(segment));
        let old = before(segment.seq, own.next);
        let unseen = old && end != segment.seq && self.rest.shared.holes.fill(way, segment.seq, end);
        let duplicates = if peer.has(bits::DUPLICATE) { peers.duplicates } else { 0 };
        let class = classify(own, peer, segment, Context { rtt, duplicates, unseen });
        match class {
            Class::InOrder | Class::WindowProbe => {}
            Class::KeepAlive => count(&mut tally.keep_alive, true),
            Class::AfterHole => {
                count(&mut tally.holes, true);
                self.rest.shared.holes.open(way, own.next, segment.seq);
            }
            Class::OutOfOrder => tally.out_of_order = tally.out_of_order.saturating_add(1),
            Class::Spurious | Class::Fast | Class::Retransmitted => {
                tally.retransmitted = tally.retransmitted.saturating_add(1);
                count(&mut tally.fast, class == Class::Fast);
                count(&mut tally.spurious, class == Class::Spurious);
                // What the tap had seen was lost behind it, if at all; what it had not seen before it.
                count(&mut tally.lost_upstream, unseen);
                count(&mut tally.lost_downstream, !unseen && class != Class::Spurious);
            }
        }
        own.clear(bits::KEEP_ALIVE);
        if class == Class::KeepAlive {
            own.set(bits::KEEP_ALIVE);
        }
        class
    }

    /// Windows of zero, windows used up, duplicate acknowledgements (RFC 5681 section 2).
    fn windows(&mut self, segment: &Segment, known: bool, class: Class) {
        let (own, peer) = both(&mut self.ways.0, segment.way);
        let (tally, peers) = both(&mut self.rest.tallies, segment.way);
        let bare = segment.flags & (Tcp::SYN | Tcp::FIN | Tcp::RST) == 0;
        let empty = segment.payload == 0;
        count(&mut tally.zero_window, bare && segment.window == 0);
        let end = segment.seq.wrapping_add(segment.payload);
        let full = peer.has(bits::KNOWN | bits::SCALED) && end == peer.window_end(peers.scale());
        count(&mut tally.window_full, bare && !empty && full && class != Class::WindowProbe);
        let same = segment.window == own.window() && segment.ack == own.ack && segment.seq == own.next;
        if known && bare && empty && segment.window != 0 && same && !peer.has(bits::KEEP_ALIVE) {
            let before = if own.has(bits::DUPLICATE) { tally.duplicates } else { 0 };
            tally.duplicates = before.saturating_add(1);
            own.set(bits::DUPLICATE);
            tally.duplicate_acks = tally.duplicate_acks.saturating_add(1);
        }
    }

    /// From request to answer and back. Only new payload counts.
    fn turn(&mut self, segment: &Segment, class: Class) {
        if segment.payload == 0 || !matches!(class, Class::InOrder | Class::AfterHole) {
            return;
        }
        let (own, peer) = both(&mut self.ways.0, segment.way);
        if own.has(bits::SPOKE) {
            return;
        }
        let shared = &mut self.rest.shared;
        let now = tick(segment.time);
        if u16::from(segment.way & 1) == shared.bits & shake::CLIENT {
            if let Some(ns) = shared.answer(peer) {
                shared.transfer_sum.add(ns);
                shared.transfers = shared.transfers.saturating_add(1);
            }
            shared.bits = shared.bits & !(shake::ANSWERING | shake::NO_TRANSFER) | shake::ASKED;
        } else if shared.bits & shake::ASKED != 0 {
            // Ticks cannot tell a clock that went back far from one that went on.
            let response = match u64::try_from(peer.since(segment.time)) {
                Ok(silent) if silent > TICKS_MAX_NS => Some(silent),
                Ok(_) => ticks_ns(peer.next_tick, now),
                Err(_) if peer.since(segment.time) < -BACK_MAX_NS => None,
                Err(_) => ticks_ns(peer.next_tick, now),
            };
            response.into_iter().for_each(|ns| self.rest.responses.add(ns));
            shared.bits |= shake::ANSWERING;
            shared.answer_tick = now;
        }
        own.set(bits::SPOKE);
        peer.clear(bits::SPOKE);
    }

    /// Moves what is expected next.
    fn advance(&mut self, segment: &Segment, class: Class) {
        let (own, _) = both(&mut self.ways.0, segment.way);
        let end = segment.seq.wrapping_add(taken(segment));
        if before(own.next, end) && class != Class::WindowProbe && segment.flags & Tcp::RST == 0 {
            own.next = end;
            own.next_tick = tick(segment.time);
        }
    }

    /// What every segment counts for, and the times between them.
    fn tally(&mut self, segment: &Segment, class: Class) {
        let (own, _) = both(&mut self.ways.0, segment.way);
        let (tally, _) = both(&mut self.rest.tallies, segment.way);
        let first = tally.packets == 0 && tally.without() == [1, 2];
        let since = if first { Ok(0) } else { u64::try_from(own.since(segment.time)) };
        match since {
            Ok(_) if first => {}
            Ok(delay) if own.has(bits::GAPPED) => own.space(delay),
            Ok(delay) => {
                own.space_first(delay);
                own.set(bits::GAPPED);
            }
            // Stamped before the one that it follows.
            Err(_) => {
                let (unspaced, _) = both(&mut self.rest.shared.unspaced, segment.way);
                *unspaced = unspaced.saturating_add(1);
                if own.since(segment.time) < -BACK_MAX_NS {
                    self.rest.shared.bits |= if self.rest.shared.bits & shake::ANSWERING == 0 { 0 } else { shake::NO_TRANSFER };
                }
            }
        }
        // The acknowledgement of the SYN/ACK must not go by on the straight path.
        let shared = &self.rest.shared;
        let waited_for = shared.bits & (shake::SYN_ACK | shake::ESTABLISHED) == shake::SYN_ACK;
        if own.has(bits::GAPPED) && !(waited_for && u16::from(segment.way & 1) == shared.bits & shake::CLIENT) {
            own.set(bits::STEADY);
        }
        own.mark(segment, since.ok());
        own.clear(bits::ACKED);
        if segment.flags & Tcp::ACK != 0 {
            own.set(bits::ACKED);
        }
        // The octet of a keep-alive is not the application's.
        let payload = if class == Class::KeepAlive { 0 } else { segment.payload };
        tally.payload.add(u64::from(payload));
        tally.mark = own.next;
        tally.packets = tally.packets.wrapping_add(1);
        tally.data = tally.data.wrapping_add(u32::from(payload != 0));
        tally.psh = tally.psh.wrapping_add(u32::from(segment.flags & PSH != 0));
    }
}

impl Shared {
    /// How long the answer that goes on took until now, as far as it was measured.
    pub(super) fn answer(&self, server: &Way) -> Option<u64> {
        let measured = self.bits & (shake::ANSWERING | shake::NO_TRANSFER) == shake::ANSWERING;
        ticks_ns(self.answer_tick, server.next_tick).filter(|_| measured)
    }
}

/// The lower half.
#[expect(clippy::cast_possible_truncation, reason = "the lower half is meant")]
const fn low(word: u64) -> u32 {
    word as u32
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
