//! How a TCP connection performs, packet by packet.
//!
//! [`TcpState::add`] has a straight path for what simply comes next, new data or a new acknowledgement: three cache lines (the
//! sequence numbers of both ends, the sums of the segment's direction), no division, one branch that is rarely taken. Everything
//! else (SYN, FIN, RST, a turn from request to answer, loss, zero windows) goes through `special`.
//!
//! Not here: what leaves (`report`), which segments belong together (the flow table).

use bytemuck::Zeroable;
use sonde_packet::{SynOptions, Tcp};

use super::response::Responses;
use super::sequence::{Class, Holes, Sequence, before, bits, classify, taken};
use super::spacing::Spacing;
use super::span::{Span, TICKS_MAX_NS, Tick, tick, ticks_ns};

/// TCP flags beside those of [`Tcp`] (RFC 9293 section 3.1).
const PSH: u16 = 0x08;
const URG: u16 = 0x20;
const ECE: u16 = 0x40;
const CWR: u16 = 0x80;
/// The flags without reserved bits and AE.
const FLAGS: u16 = 0xff;

/// One TCP segment of the flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Segment {
    /// When it was received, in nanoseconds.
    pub time: u64,
    /// Sequence number.
    pub seq: u32,
    /// Acknowledgement number.
    pub ack: u32,
    /// Octets of payload on the wire: what the length of the IP packet leaves behind the TCP header.
    pub payload: u32,
    /// Flags, as in [`Tcp::flags`].
    pub flags: u16,
    /// Window, unscaled.
    pub window: u16,
    /// Octets of the IP packet.
    pub octets: u16,
    /// TTL or hop limit.
    pub ttl: u8,
    /// Direction: 0 forward, 1 reverse.
    pub way: u8,
}

/// What every segment of a direction adds to, one cache line.
#[derive(Clone, Copy, Debug, Zeroable)]
#[repr(C)]
pub(super) struct Volume {
    pub(super) spacing: Spacing,
    /// Octets, modulo 2^32; [`Events::payload_high`] counts on.
    pub(super) payload: u32,
    pub(super) packets: u32,
    pub(super) data: u32,
    pub(super) psh: u32,
}

impl Volume {
    const EMPTY: Self = Self { spacing: Spacing::EMPTY, payload: 0, packets: 0, data: 0, psh: 0 };

    /// Whether the octets overflowed.
    #[inline]
    fn count(&mut self, segment: &Segment) -> bool {
        let (payload, over) = self.payload.overflowing_add(segment.payload);
        self.payload = payload;
        self.packets = self.packets.wrapping_add(1);
        self.data = self.data.wrapping_add(u32::from(segment.payload != 0));
        self.psh = self.psh.wrapping_add(u32::from(segment.flags & PSH != 0));
        over
    }
}

/// What seldom happens in a direction, one cache line: counters (they stop at their greatest number), then the traits of its SYN.
#[derive(Clone, Copy, Debug, Zeroable)]
#[repr(C)]
pub(super) struct Events {
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
    pub(super) payload_high: u16,
    pub(super) traits: Traits,
}

/// What the first SYN of a direction says.
#[derive(Clone, Copy, Debug, Zeroable)]
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
}

/// How the connection was closed, and by whom; what happened first counts, but RST above FIN.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Hash)]
#[repr(u8)]
pub enum Closing {
    /// Not closed yet, or nobody saw it.
    #[default]
    None = 0,
    /// The forward end sent the first FIN.
    FinForward = 1,
    /// The reverse end did.
    FinReverse = 2,
    /// The forward end sent the first RST.
    RstForward = 3,
    /// The reverse end did.
    RstReverse = 4,
}

/// What belongs to the connection, touched when it turns, one cache line.
#[derive(Clone, Copy, Debug, Zeroable)]
#[repr(C)]
pub(super) struct Shared {
    /// Time of the latest step of the handshake.
    step: u64,
    /// Time the server took to send its answers, in nanoseconds.
    pub(super) transfer_sum: u64,
    pub(super) server_rtt: Span,
    pub(super) client_rtt: Span,
    pub(super) transfers: u32,
    pub(super) answer_tick: Tick,
    holes: Holes,
    pub(super) bits: u16,
    pub(super) closing: u8,
    pub(super) syn_retries: u8,
}

/// One TCP connection: what is known of it, and what the next record will say. Directions are those of the flow.
#[derive(Clone, Copy, Debug, Zeroable)]
#[repr(C, align(64))]
pub struct TcpState {
    pub(super) sequences: [Sequence; 2],
    pub(super) volumes: [Volume; 2],
    pub(super) events: [Events; 2],
    pub(super) shared: Shared,
    pub(super) responses: Responses,
}

const _: () = assert!(size_of::<Volume>() == 64 && size_of::<Events>() == 64 && size_of::<Shared>() == 64);
// Seven lines, three of which every segment touches. Growing it is a design decision.
const _: () = assert!(size_of::<TcpState>() == 448);

/// The segment's own of two, and the other one.
#[inline]
fn both<T>([forward, reverse]: &mut [T; 2], way: u8) -> (&mut T, &mut T) {
    if way & 1 == 0 { (forward, reverse) } else { (reverse, forward) }
}

#[inline]
fn count(counter: &mut u16, happened: bool) {
    *counter = counter.saturating_add(u16::from(happened));
}

impl TcpState {
    /// Begins with the first segment that was seen of a connection; `options` are those of its SYN.
    pub fn begin(&mut self, segment: &Segment, options: Option<&SynOptions>) {
        *self = Self::zeroed();
        self.volumes = [Volume::EMPTY; 2];
        // Who sends a SYN/ACK is the server, whoever else is seen first the client until more is known.
        let server = segment.flags & (Tcp::SYN | Tcp::ACK) == Tcp::SYN | Tcp::ACK;
        if (segment.way & 1 == 1) != server {
            self.shared.bits |= shake::CLIENT;
        }
        match options {
            Some(options) => self.add_syn(segment, options),
            None => self.add(segment),
        }
    }

    /// Whether the segment begins another connection between the same ports: a SYN with another number than the first segment of its
    /// direction had. A SYN with the same number, even after RST, asks again for the same connection.
    pub fn is_reused_by(&self, segment: &Segment) -> bool {
        let [forward, reverse] = &self.events;
        let own = if segment.way & 1 == 0 { forward } else { reverse };
        let [first, second] = &self.sequences;
        let known = (if segment.way & 1 == 0 { first } else { second }).has(bits::KNOWN);
        segment.flags & (Tcp::SYN | Tcp::ACK) == Tcp::SYN && known && segment.seq != own.traits.isn
    }

    /// Adds a SYN or SYN/ACK with its options. The first one of each direction says the traits.
    pub fn add_syn(&mut self, segment: &Segment, options: &SynOptions) {
        let (events, _) = both(&mut self.events, segment.way);
        let traits = &mut events.traits;
        if segment.flags & Tcp::SYN != 0 && traits.bits & trait_bits::SYN == 0 {
            let scale = options.window_scale.map_or(0, |shift| shift.min(14) | trait_bits::HAS_SCALE);
            let sack = if options.sack_permitted { trait_bits::SACK } else { 0 };
            traits.mss = options.mss.unwrap_or(0);
            traits.kinds = [low(options.kinds), low(options.kinds >> 32)];
            traits.bits = scale | sack;
        }
        self.add(segment);
    }

    /// Adds a segment, in the order in which it passed the tap. The straight path takes about 130 instructions.
    #[inline]
    pub fn add(&mut self, segment: &Segment) {
        let (own, peer) = both(&mut self.sequences, segment.way);
        let end = segment.seq.wrapping_add(segment.payload);
        let data = segment.payload != 0;
        let same = (segment.ack == own.ack) & (segment.window == own.window);
        // One condition of many parts, not many branches.
        let special = (own.bits & (bits::STEADY | bits::KEEP_ALIVE) != bits::STEADY)
            | (segment.seq != own.next)
            | (segment.flags & FLAGS & !PSH != Tcp::ACK)
            | (segment.window == 0)
            | (!data & same)
            | (data & (own.bits & bits::SPOKE == 0))
            | (end == peer.limit());
        if special {
            self.special(segment);
            return;
        }
        let delay = segment.time.saturating_sub(own.last);
        let jitter = delay.abs_diff(own.gap.ns());
        own.next = end;
        // A mask, since data and acknowledgements alternate as no branch can foresee.
        let moved = 0u32.wrapping_sub(u32::from(data));
        own.next_tick = own.next_tick & !moved | tick(segment.time) & moved;
        own.mark(segment, delay);
        let (volume, _) = both(&mut self.volumes, segment.way);
        volume.spacing.add(delay, jitter);
        if volume.count(segment) {
            let (events, _) = both(&mut self.events, segment.way);
            count(&mut events.payload_high, true);
        }
    }

    /// Begins the next record of a connection that goes on: counters restart, what is known stays.
    pub fn rest(&mut self) {
        self.volumes = [Volume::EMPTY; 2];
        for events in &mut self.events {
            *events = Events { traits: events.traits, ..Events::zeroed() };
        }
        for sequence in &mut self.sequences {
            sequence.without = if sequence.has(bits::KNOWN) && !sequence.has(bits::GAPPED) { 0x10 } else { 0 };
            (sequence.ttl_min, sequence.ttl_max) = (u8::MAX, 0);
        }
        self.responses = Responses::zeroed();
        self.shared.transfer_sum = 0;
        self.shared.transfers = 0;
        self.shared.syn_retries = 0;
    }

    /// Both halves of the handshake's round trip, when both were seen.
    fn rtt(&self) -> Option<u64> {
        let Shared { bits, server_rtt, client_rtt, .. } = self.shared;
        let whole = shake::SYN | shake::SYN_ACK | shake::ESTABLISHED;
        (bits & whole == whole).then(|| server_rtt.ns().saturating_add(client_rtt.ns()))
    }

    /// A segment that is more than the next one.
    #[inline(never)]
    fn special(&mut self, segment: &Segment) {
        self.handshake(segment);
        self.count_flags(segment);
        let known = both(&mut self.sequences, segment.way).0.has(bits::KNOWN);
        if !known {
            self.first(segment);
        }
        let class = if known { self.order(segment) } else { Class::InOrder };
        self.windows(segment, known, class);
        self.turn(segment, class);
        self.advance(segment, class);
        // The octet of a keep-alive is not the application's.
        let payload = if class == Class::KeepAlive { 0 } else { segment.payload };
        self.tally(&Segment { payload, ..*segment });
    }

    /// The first segment of a direction.
    fn first(&mut self, segment: &Segment) {
        let (own, peer) = both(&mut self.sequences, segment.way);
        own.bits |= bits::KNOWN;
        own.without = 0x21;
        own.next = segment.seq;
        own.next_tick = tick(segment.time);
        own.ack = segment.ack;
        (own.ttl_min, own.ttl_max) = (u8::MAX, 0);
        let syn = segment.flags & Tcp::SYN != 0;
        let (events, others) = both(&mut self.events, segment.way);
        let (traits, theirs) = (&mut events.traits, &others.traits);
        traits.isn = if syn { segment.seq } else { segment.seq.wrapping_sub(1) };
        if syn {
            traits.window = segment.window;
            traits.octets = segment.octets;
            traits.ttl = segment.ttl;
            traits.bits |= trait_bits::SYN;
        }
        // RFC 7323 section 2.2: both must have offered it.
        if traits.bits & theirs.bits & trait_bits::SYN != 0 {
            let scaled = traits.bits & theirs.bits & trait_bits::HAS_SCALE != 0;
            own.scale = if scaled { traits.bits & trait_bits::SCALE } else { 0 };
            peer.scale = if scaled { theirs.bits & trait_bits::SCALE } else { 0 };
            own.bits |= bits::SCALED;
            peer.bits |= bits::SCALED;
        }
    }

    /// Steps of the handshake (RFC 9293 section 3.5), and how it ends.
    fn handshake(&mut self, segment: &Segment) {
        let shared = &mut self.shared;
        let client = u16::from(segment.way & 1) == shared.bits & shake::CLIENT;
        let since = segment.time.saturating_sub(shared.step);
        let opening = shared.bits & (shake::SYN | shake::SYN_ACK | shake::REFUSED) == shake::SYN;
        match (segment.flags & (Tcp::SYN | Tcp::ACK | Tcp::RST), client) {
            (Tcp::SYN, true) if shared.bits & shake::SYN_ACK == 0 => {
                if shared.bits & shake::SYN != 0 {
                    shared.bits |= shake::SYN_AGAIN;
                    shared.syn_retries = shared.syn_retries.saturating_add(1);
                }
                shared.bits |= shake::SYN;
                shared.step = segment.time;
            }
            (SYN_ACK, false) if shared.bits & shake::SYN_ACK == 0 => {
                shared.server_rtt = Span::from_ns(since);
                shared.bits |= shake::SYN_ACK;
                shared.step = segment.time;
                // `tally` gives it back with the acknowledgement.
                let (_, peer) = both(&mut self.sequences, segment.way);
                peer.bits &= !bits::STEADY;
            }
            (SYN_ACK, false) if shared.bits & shake::ESTABLISHED == 0 => shared.bits |= shake::SYN_ACK_AGAIN,
            (Tcp::ACK, true) if shared.bits & (shake::SYN_ACK | shake::ESTABLISHED) == shake::SYN_ACK => {
                shared.client_rtt = Span::from_ns(since);
                shared.bits |= shake::ESTABLISHED;
            }
            (flags, false) if flags & Tcp::RST != 0 && opening => shared.bits |= shake::REFUSED,
            _ => {}
        }
        let closing = match segment.flags & (Tcp::FIN | Tcp::RST) {
            0 => return,
            Tcp::FIN => 1,
            _ => 3,
        };
        if shared.closing == 0 || (closing == 3 && shared.closing < 3) {
            shared.closing = closing + (segment.way & 1);
        }
    }

    fn count_flags(&mut self, segment: &Segment) {
        let (events, _) = both(&mut self.events, segment.way);
        let is = |flag: u16| segment.flags & flag != 0;
        count(&mut events.syn, is(Tcp::SYN));
        count(&mut events.fin, is(Tcp::FIN));
        count(&mut events.rst, is(Tcp::RST));
        count(&mut events.urg, is(URG));
        count(&mut events.ece, is(ECE));
        count(&mut events.cwr, is(CWR));
        count(&mut events.no_ack, !is(Tcp::ACK));
    }

    /// Where the segment stands in the order, and what that says of loss.
    fn order(&mut self, segment: &Segment) -> Class {
        let rtt = self.rtt();
        let way = segment.way & 1;
        let (own, peer) = both(&mut self.sequences, way);
        let end = segment.seq.wrapping_add(taken(segment));
        let old = before(segment.seq, own.next);
        let unseen = old && end != segment.seq && self.shared.holes.fill(way, segment.seq, end);
        let class = classify(own, peer, segment, rtt, unseen);
        let (events, _) = both(&mut self.events, way);
        match class {
            Class::InOrder | Class::WindowProbe => {}
            Class::KeepAlive => count(&mut events.keep_alive, true),
            Class::AfterHole => {
                count(&mut events.holes, true);
                self.shared.holes.open(way, own.next, segment.seq);
            }
            Class::OutOfOrder => events.out_of_order = events.out_of_order.saturating_add(1),
            Class::Spurious | Class::Fast | Class::Retransmitted => {
                events.retransmitted = events.retransmitted.saturating_add(1);
                count(&mut events.fast, class == Class::Fast);
                count(&mut events.spurious, class == Class::Spurious);
                // What the tap had seen was lost behind it, if at all; what it had not seen before it.
                count(&mut events.lost_upstream, unseen);
                count(&mut events.lost_downstream, !unseen && class != Class::Spurious);
            }
        }
        own.bits &= !bits::KEEP_ALIVE;
        if class == Class::KeepAlive {
            own.bits |= bits::KEEP_ALIVE;
        }
        class
    }

    /// Windows of zero, windows used up, duplicate acknowledgements (RFC 5681 section 2).
    fn windows(&mut self, segment: &Segment, known: bool, class: Class) {
        let (own, peer) = both(&mut self.sequences, segment.way);
        let (events, _) = both(&mut self.events, segment.way);
        let bare = segment.flags & (Tcp::SYN | Tcp::FIN | Tcp::RST) == 0;
        let empty = segment.payload == 0;
        count(&mut events.zero_window, bare && segment.window == 0);
        let full = peer.has(bits::KNOWN | bits::SCALED) && segment.seq.wrapping_add(segment.payload) == peer.limit();
        count(&mut events.window_full, bare && !empty && full && class != Class::WindowProbe);
        let same = segment.window == own.window && segment.ack == own.ack && segment.seq == own.next;
        if known && bare && empty && segment.window != 0 && same && !peer.has(bits::KEEP_ALIVE) {
            own.duplicates = own.duplicates.saturating_add(1);
            events.duplicate_acks = events.duplicate_acks.saturating_add(1);
        }
    }

    /// From request to answer and back. Only new payload counts.
    fn turn(&mut self, segment: &Segment, class: Class) {
        if segment.payload == 0 || !matches!(class, Class::InOrder | Class::AfterHole) {
            return;
        }
        let (own, peer) = both(&mut self.sequences, segment.way);
        if own.has(bits::SPOKE) {
            return;
        }
        let shared = &mut self.shared;
        let now = tick(segment.time);
        if u16::from(segment.way & 1) == shared.bits & shake::CLIENT {
            if shared.bits & shake::ANSWERING != 0 {
                shared.transfer_sum = shared.transfer_sum.saturating_add(ticks_ns(shared.answer_tick, peer.next_tick));
                shared.transfers = shared.transfers.saturating_add(1);
            }
            shared.bits = shared.bits & !shake::ANSWERING | shake::ASKED;
        } else if shared.bits & shake::ASKED != 0 {
            let silent = segment.time.saturating_sub(peer.last);
            self.responses.add(if silent > TICKS_MAX_NS { silent } else { ticks_ns(peer.next_tick, now) });
            shared.bits |= shake::ANSWERING;
            shared.answer_tick = now;
        }
        own.bits |= bits::SPOKE;
        peer.bits &= !bits::SPOKE;
    }

    /// Moves what is expected next.
    fn advance(&mut self, segment: &Segment, class: Class) {
        let (own, _) = both(&mut self.sequences, segment.way);
        let end = segment.seq.wrapping_add(taken(segment));
        if before(own.next, end) && class != Class::WindowProbe && segment.flags & Tcp::RST == 0 {
            own.next = end;
            own.next_tick = tick(segment.time);
        }
    }

    /// What every segment counts for, and the times between them.
    fn tally(&mut self, segment: &Segment) {
        let (own, _) = both(&mut self.sequences, segment.way);
        let (volume, _) = both(&mut self.volumes, segment.way);
        let first = volume.packets == 0 && own.without & 1 != 0;
        let delay = if first { 0 } else { segment.time.saturating_sub(own.last) };
        if own.has(bits::GAPPED) {
            volume.spacing.add(delay, delay.abs_diff(own.gap.ns()));
        } else if !first {
            volume.spacing.add_delay(delay);
            own.bits |= bits::GAPPED;
        }
        // The acknowledgement of the SYN/ACK must not go by on the straight path.
        let waited_for = self.shared.bits & (shake::SYN_ACK | shake::ESTABLISHED) == shake::SYN_ACK;
        if own.has(bits::GAPPED) && !(waited_for && u16::from(segment.way & 1) == self.shared.bits & shake::CLIENT) {
            own.bits |= bits::STEADY;
        }
        own.mark(segment, delay);
        own.bits &= !bits::ACKED;
        if segment.flags & Tcp::ACK != 0 {
            own.bits |= bits::ACKED;
        }
        if volume.count(segment) {
            let (events, _) = both(&mut self.events, segment.way);
            count(&mut events.payload_high, true);
        }
    }
}

/// Flags of the second step of the handshake.
const SYN_ACK: u16 = Tcp::SYN | Tcp::ACK;

/// The lower half.
#[expect(clippy::cast_possible_truncation, reason = "the lower half is meant")]
const fn low(word: u64) -> u32 {
    word as u32
}

#[cfg(test)]
#[path = "tcp_tests.rs"]
mod tests;
