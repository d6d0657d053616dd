//! The beginning and the end of a TCP connection: its handshake (RFC 9293 section 3.5), whose halves meet at the tap, and which connection
//! a SYN opens.

use sonde_packet::Tcp;

use super::segment::Segment;
use super::state::{Shared, TcpMut, TcpRef, TcpState, both, shake, trait_bits};
use super::way::bits;
use crate::measure::span::{Span, U48};

/// Which connection a SYN opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opening {
    /// Another one than that of the flow.
    Another,
    /// That of the flow: it is seen after what it came before.
    This,
    /// Not known: another one, where the flow's was closed.
    Unknown,
}

impl TcpState {
    /// Whether the segment begins another connection between the same ports: a SYN with another number than the first segment of its
    /// direction had. A SYN with the same number, even after RST, asks again for the same connection.
    pub fn is_reused_by(&self, segment: &Segment) -> bool {
        let opens = segment.flags & (Tcp::SYN | Tcp::ACK) == Tcp::SYN;
        opens && TcpRef { ways: &self.ways, rest: &self.rest }.opening_of(segment) == Opening::Another
    }
}

impl TcpRef<'_> {
    /// Which connection a SYN without ACK opens: that of the flow where it has the number before the first one of its direction, or
    /// the one that the other end has acknowledged.
    pub(crate) fn opening_of(&self, segment: &Segment) -> Opening {
        let ([forward, reverse], [first, second]) = (&self.ways.0, &self.rest.tallies);
        let (own, peer, tally) = if segment.way & 1 == 0 { (forward, reverse, first) } else { (reverse, forward, second) };
        if !own.has(bits::KNOWN) {
            let acknowledged = peer.has(bits::KNOWN | bits::ACKED) && peer.ack == segment.seq.wrapping_add(1);
            return if acknowledged { Opening::This } else { Opening::Unknown };
        }
        match (segment.seq == tally.traits.isn, tally.traits.bits & trait_bits::SYN != 0) {
            (false, _) => Opening::Another,
            (true, false) => Opening::This,
            (true, true) => Opening::Unknown,
        }
    }
}

impl TcpMut<'_> {
    /// Both halves of the handshake's round trip, when both were seen.
    pub(super) fn rtt(&self) -> Option<u64> {
        let Shared { bits, server_rtt, client_rtt, .. } = self.rest.shared;
        let whole = shake::SYN | shake::SYN_ACK | shake::ESTABLISHED;
        (bits & (whole | shake::NO_SERVER_RTT | shake::NO_CLIENT_RTT) == whole).then(|| server_rtt.ns().saturating_add(client_rtt.ns()))
    }

    /// Steps of the handshake (RFC 9293 section 3.5), and how it ends.
    pub(super) fn handshake(&mut self, segment: &Segment) {
        let shared = &mut self.rest.shared;
        let client = u16::from(segment.way & 1) == shared.bits & shake::CLIENT;
        let half = half(shared.step, segment.time);
        let late = both(&mut self.ways.0, segment.way).0.has(bits::KNOWN) && shared.bits & shake::SYN == 0;
        let opening = shared.bits & (shake::SYN | shake::SYN_ACK | shake::REFUSED) == shake::SYN;
        match (segment.flags & (Tcp::SYN | Tcp::ACK | Tcp::RST), client) {
            // One that is seen after what it came before begins nothing.
            (Tcp::SYN, true) if shared.bits & shake::SYN_ACK == 0 && !late => {
                if shared.bits & shake::SYN != 0 {
                    shared.bits |= shake::SYN_AGAIN;
                    shared.syn_retries = shared.syn_retries.saturating_add(1);
                }
                shared.bits |= shake::SYN;
                shared.step = U48::of(segment.time);
            }
            (SYN_ACK, false) if shared.bits & shake::SYN_ACK == 0 => {
                shared.server_rtt = half.unwrap_or_default();
                shared.bits |= shake::SYN_ACK | if half.is_none() { shake::NO_SERVER_RTT } else { 0 };
                shared.step = U48::of(segment.time);
                // `tally` gives it back with the acknowledgement.
                let (_, peer) = both(&mut self.ways.0, segment.way);
                peer.clear(bits::STEADY);
            }
            (SYN_ACK, false) if shared.bits & shake::ESTABLISHED == 0 => shared.bits |= shake::SYN_ACK_AGAIN,
            (Tcp::ACK, true) if shared.bits & (shake::SYN_ACK | shake::ESTABLISHED) == shake::SYN_ACK => {
                shared.client_rtt = half.unwrap_or_default();
                shared.bits |= shake::ESTABLISHED | if half.is_none() { shake::NO_CLIENT_RTT } else { 0 };
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
}

/// Half of a round trip; `None` when the clock went back, or it is longer than can be kept.
fn half(from: U48, to: u64) -> Option<Span> {
    let since = (to << 16).wrapping_sub(from.get() << 16).cast_signed() >> 16;
    Span::measured(u64::try_from(since).ok()?)
}

/// Flags of the second step of the handshake.
const SYN_ACK: u16 = Tcp::SYN | Tcp::ACK;
