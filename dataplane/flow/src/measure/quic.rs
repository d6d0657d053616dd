//! Round trip times of a QUIC connection: of its handshake, and by its spin bit.
//!
//! The handshake has two halves that meet at the tap, as TCP's: the client's Initial to the server's first packet, and that to the
//! client's next one. Afterwards the spin bit changes once a round trip in each direction (RFC 9000 section 17.4, RFC 9312
//! section 4), for those who let it.
//!
//! Not here: decryption, packet numbers, Google's QUIC before the IETF's.

use bytemuck::{Pod, Zeroable};
use sonde_record::fact::{QuicPerformance, SpinTimes, quic_valid};

use crate::measure::span::Span;

/// Bits of [`QuicState::bits`].
mod bits {
    /// The client is the reverse end.
    pub(super) const CLIENT: u16 = 1;
    /// An Initial of the client was seen: what has a short header is QUIC, too.
    pub(super) const INITIAL: u16 = 1 << 1;
    /// A packet of the server was seen.
    pub(super) const ANSWERED: u16 = 1 << 2;
    /// A packet of the client after that.
    pub(super) const ESTABLISHED: u16 = 1 << 3;
    /// More than one Initial before the answer.
    pub(super) const AGAIN: u16 = 1 << 4;
    /// More than one datagram of the server before the client's next: which of them the client answers is not known.
    pub(super) const ANSWERED_AGAIN: u16 = 1 << 5;
    /// The server asked the client to begin again.
    pub(super) const RETRIED: u16 = 1 << 6;
    /// And the client has not yet.
    pub(super) const ANEW: u16 = 1 << 7;
    /// The server's half could not be measured: the clock went back, or it is longer than can be kept.
    pub(super) const NO_SERVER_RTT: u16 = 1 << 8;
    /// The client's half could not.
    pub(super) const NO_CLIENT_RTT: u16 = 1 << 9;
}

/// A direction's spin bit, 40 octets.
#[derive(Clone, Copy, Debug, Zeroable, Pod)]
#[repr(C)]
struct Spin {
    /// When it changed last; 0 when that was not seen.
    edge: u64,
    sum: u64,
    count: u32,
    min: Span,
    max: Span,
    last: Span,
    /// Changes that came too early.
    early: u16,
    /// 0 nothing seen, 1 the bit was 0, 2 it was 1.
    value: u8,
    _spare: [u8; 5],
}

/// One QUIC connection.
#[derive(Clone, Copy, Debug, Zeroable, Pod)]
#[repr(C, align(64))]
pub struct QuicState {
    spins: [Spin; 2],
    /// Time of the latest step of the handshake.
    step: u64,
    server_rtt: Span,
    client_rtt: Span,
    bits: u16,
    _spare: [u8; 30],
}

const _: () = assert!(size_of::<QuicState>() == 128);

/// What a datagram begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Packet {
    Initial,
    ZeroRtt,
    Handshake,
    Retry,
    /// Short header, with the spin bit.
    Short(bool),
}

/// RFC 9000 section 17.2, RFC 9369 section 3.2; the drafts number as version 1 does. The fixed bit is not looked at: in a connection
/// it may have any value (RFC 9287 section 3).
fn packet(payload: &[u8]) -> Option<Packet> {
    let first = *payload.first()?;
    if first & 0x80 == 0 {
        return Some(Packet::Short(first & 0x20 != 0));
    }
    let [_, v0, v1, v2, v3, connection_id] = *payload.first_chunk()?;
    let kinds = [Packet::Initial, Packet::ZeroRtt, Packet::Handshake, Packet::Retry];
    let kind = usize::from(first >> 4 & 3);
    let at = match u32::from_be_bytes([v0, v1, v2, v3]) {
        1 | 0xff00_0000..=0xff00_00ff | 0xface_b000..=0xface_b00f => kind,
        0x6b33_43cf => (kind + 3) % 4,
        _ => return None,
    };
    // RFC 9000 section 17.2: no connection id is longer.
    if connection_id > 20 {
        return None;
    }
    kinds.get(at).copied()
}

/// RFC 8999 section 5.1: whether a payload has a long header of any version but 0, which is the server's.
pub(crate) fn has_long_header(payload: &[u8]) -> bool {
    payload.first_chunk().is_some_and(|[first, version @ .., connection_id]: &[u8; 6]| {
        first & 0x80 != 0 && u32::from_be_bytes(*version) != 0 && *connection_id <= 20
    })
}

/// Whether a payload begins with an Initial of a version that is known. What is none is mostly told by its first octet: a client does
/// not know yet whether the server wants the fixed bit (RFC 9287 section 3).
pub(crate) fn is_initial(payload: &[u8]) -> bool {
    payload.first().is_some_and(|first| *first >= 0xc0) && packet(payload) == Some(Packet::Initial)
}

impl QuicState {
    /// Whether the client's Initial was seen: what has only short headers may be anything.
    pub fn is_known(&self) -> bool {
        self.bits & bits::INITIAL != 0
    }

    /// Adds a datagram: when it was received, its direction (0 forward, 1 reverse), the first octets of its payload (six are enough).
    pub fn add(&mut self, time: u64, way: u8, payload: &[u8]) {
        let way = way & 1;
        if self.bits & bits::INITIAL == 0 {
            // The first Initial is the client's: a server never begins. Without it nothing is known to be QUIC.
            if is_initial(payload) {
                self.bits |= bits::INITIAL | u16::from(way);
                self.step = time;
            }
            return;
        }
        let Some(packet) = packet(payload) else { return };
        if let Packet::Short(spin) = packet {
            self.spin(time, way, spin);
        }
        if self.bits & bits::ESTABLISHED == 0 {
            self.handshake(time, u16::from(way) == self.bits & bits::CLIENT, packet);
        }
    }

    fn handshake(&mut self, time: u64, client: bool, packet: Packet) {
        let half = time.checked_sub(self.step).and_then(Span::measured);
        match (client, self.bits & bits::ANSWERED != 0, packet) {
            // RFC 9000 section 17.2.5.2: the client begins again, once. What it sends next counts.
            (false, false, Packet::Retry) if self.bits & bits::RETRIED == 0 => {
                self.bits = self.bits & !bits::AGAIN | bits::RETRIED | bits::ANEW;
            }
            (true, false, Packet::Initial) => {
                self.bits |= if self.bits & bits::ANEW == 0 { bits::AGAIN } else { 0 };
                self.bits &= !bits::ANEW;
                self.step = time;
            }
            (false, false, Packet::Initial | Packet::Handshake) => {
                self.server_rtt = half.unwrap_or_default();
                self.bits |= bits::ANSWERED | if half.is_none() { bits::NO_SERVER_RTT } else { 0 };
                self.step = time;
            }
            (false, true, _) => self.bits |= bits::ANSWERED_AGAIN,
            // 0-RTT was under way before the answer came.
            (true, true, Packet::Initial | Packet::Handshake | Packet::Short(_)) => {
                self.client_rtt = half.unwrap_or_default();
                self.bits |= bits::ESTABLISHED | if half.is_none() { bits::NO_CLIENT_RTT } else { 0 };
            }
            _ => {}
        }
    }

    /// RFC 9312 section 4.2: the time between two changes is a round trip. One that comes within an eighth of the handshake's round
    /// trip is of a reordered packet, or of an end that sends any value (RFC 9000 section 17.4), and is passed over.
    fn spin(&mut self, time: u64, way: u8, spin: bool) {
        let shortest = self.server_rtt.ns().saturating_add(self.client_rtt.ns()) / 8;
        let [forward, reverse] = &mut self.spins;
        let own = if way == 0 { forward } else { reverse };
        let value = 1 + u8::from(spin);
        if own.value == value {
            return;
        }
        if own.value == 0 {
            own.value = value;
            return;
        }
        let since = time.checked_sub(own.edge).filter(|_| own.edge != 0);
        if since.is_some_and(|since| since < shortest) {
            own.early = own.early.saturating_add(1);
            return;
        }
        own.value = value;
        // Where the clock went back nothing was measured.
        if let Some(span) = since.and_then(Span::measured) {
            own.min = if own.count == 0 || span.ns() < own.min.ns() { span } else { own.min };
            own.max = if span.ns() > own.max.ns() { span } else { own.max };
            own.last = span;
            own.sum = own.sum.saturating_add(span.ns());
            own.count = own.count.saturating_add(1);
        }
        own.edge = time;
    }

    /// Begins the next record: counters restart, what is known stays.
    pub fn rest(&mut self) {
        for spin in &mut self.spins {
            *spin = Spin { edge: spin.edge, value: spin.value, ..Spin::zeroed() };
        }
    }

    /// What the record says.
    pub fn report(&self) -> QuicPerformance {
        let has = |bits| self.bits & bits == bits;
        let mut valid = 0;
        let mut offer = |bit: u8, offered: bool| valid |= if offered { bit } else { 0 };
        let answered = has(bits::ANSWERED) && !has(bits::NO_SERVER_RTT);
        let established = has(bits::ESTABLISHED) && !has(bits::NO_CLIENT_RTT);
        offer(quic_valid::SERVER_RTT, answered);
        offer(quic_valid::SERVER_RTT_KARN, answered && !has(bits::AGAIN));
        offer(quic_valid::CLIENT_RTT, established);
        offer(quic_valid::CLIENT_RTT_KARN, established && !has(bits::ANSWERED_AGAIN));
        let [forward, reverse] = &self.spins;
        // More early changes than others: the bit does not spin.
        let spins = |spin: &Spin| spin.count > u32::from(spin.early);
        offer(quic_valid::SPIN, spins(forward));
        offer(quic_valid::SPIN << 1, spins(reverse));
        let times = |spin: &Spin| {
            let times = SpinTimes { count: spin.count, min: spin.min.ns(), max: spin.max.ns(), last: spin.last.ns(), sum: spin.sum };
            if spins(spin) { times } else { SpinTimes::default() }
        };
        QuicPerformance {
            valid,
            client: u8::from(has(bits::CLIENT)),
            server_rtt: if answered { self.server_rtt.ns() } else { 0 },
            client_rtt: if established { self.client_rtt.ns() } else { 0 },
            spin: [times(forward), times(reverse)],
        }
    }
}

#[cfg(test)]
#[path = "quic_tests.rs"]
mod tests;
