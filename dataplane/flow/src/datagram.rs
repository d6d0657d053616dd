//! The performance of a UDP flow, kept beside its entry: which flows have it, and what of a datagram it is fed with.
//!
//! A port says which flows may have it, the first datagram whether they do. Requests and answers and QUIC share one kind of place.

use bytemuck::{Pod, Zeroable, must_cast_mut, must_cast_ref};
use sonde_packet::{Frame, proto};

use crate::counters::Counter;
use crate::entry::{Birthplace, Entry, Packet, Sides};
use crate::key::Key;
use crate::measure::{Kind, Measured};
use crate::perf::{Application, QuicState, UdpState, has_long_header};

/// Ports of [`Application`], and of QUIC.
const PORTS: [u16; 9] = [53, 123, 161, QUIC, 1645, 1646, 1812, 1813, 3799];
/// HTTP/3 and DNS over HTTPS (RFC 9114 section 3.1).
const QUIC: u16 = 443;

/// The place of a port in [`PLACES`]. The multiplier gives every port of [`PORTS`] a place of its own, and one of them that of port 0
/// (checked when this is compiled).
const fn place(port: u16) -> usize {
    (port.wrapping_mul(565) >> 12) as usize
}

/// The ports by their places.
const PLACES: [u16; 16] = {
    let mut places = [0; 16];
    let mut rest: &[u16] = &PORTS;
    while let [port, behind @ ..] = rest {
        let (_, from) = places.split_at_mut(place(*port));
        if let [free, ..] = from {
            assert!(*free == 0, "two ports have one place");
            *free = *port;
        }
        rest = behind;
    }
    let [first, ..] = places;
    assert!(first != 0, "port 0 would be found");
    places
};

/// `marked`, which is [`crate::entry::DATAGRAM`] or nothing, if a packet is of a flow whose performance may be measured.
///
/// Budget: no branch, one load a port from a line that is always near.
#[inline(always)]
pub(crate) fn mark(protocol: u8, sport: u16, dport: u16, marked: u16) -> u16 {
    let known = |port| PLACES.get(place(port)).is_some_and(|found| *found == port);
    if (protocol == proto::UDP) & (known(sport) | known(dport)) { marked } else { 0 }
}

/// What is known of the performance of a UDP flow: a [`UdpState`] or a [`QuicState`], the entry knows which. Two cache lines.
#[derive(Clone, Copy, Debug, Zeroable, Pod)]
#[repr(C, align(64))]
pub(crate) struct Datagrams([u64; 16]);

impl Datagrams {
    pub(crate) fn udp(&self) -> &UdpState {
        must_cast_ref(self)
    }

    pub(crate) fn udp_mut(&mut self) -> &mut UdpState {
        must_cast_mut(self)
    }

    pub(crate) fn quic(&self) -> &QuicState {
        must_cast_ref(self)
    }

    pub(crate) fn quic_mut(&mut self) -> &mut QuicState {
        must_cast_mut(self)
    }
}

/// A datagram as far as it was captured.
struct Datagram<'f> {
    sport: u16,
    dport: u16,
    payload: &'f [u8],
}

/// The datagram of a packet, from its frame; `None` when its header was not captured. What pads the frame is no payload.
#[inline]
fn datagram<'f, K>(packet: &Packet<K>, frame: &Frame<'f>) -> Option<Datagram<'f>> {
    let (header, behind) = frame.bytes.get(usize::from(packet.l4)..)?.split_first_chunk::<8>()?;
    let [p0, p1, q0, q1, ..] = *header;
    let length = (packet.octets as usize).saturating_sub(usize::from(packet.ip_header) + header.len());
    let payload = behind.get(..length).unwrap_or(behind);
    Some(Datagram { sport: u16::from_be_bytes([p0, p1]), dport: u16::from_be_bytes([q0, q1]), payload })
}

impl<K: Key> Entry<K> {
    /// Adds a datagram that was counted already to what is known of its flow.
    #[inline(never)]
    pub(crate) fn measure_datagram(&self, packet: &Packet<K>, frame: &Frame<'_>, sides: &mut Sides) {
        let measured = self.measured();
        let Some(state) = sides.udp.get_mut(measured.place()) else { return };
        let Some(Datagram { payload, .. }) = datagram(packet, frame) else { return };
        let way = self.way(packet);
        match measured.kind() {
            Kind::Tcp => {}
            Kind::Udp => state.udp_mut().add(packet.time, way, payload),
            Kind::Quic => state.quic_mut().add(packet.time, way, payload),
        }
    }

    /// Begins to measure a flow with its first datagram; counts a flow for which there is no place.
    #[inline(never)]
    pub(crate) fn begin_datagrams(&mut self, packet: &Packet<K>, birthplace: &mut Birthplace<'_, '_>) {
        let udp = &mut birthplace.sides.udp;
        if udp.is_empty() {
            return;
        }
        let Some(Datagram { sport, dport, payload }) = datagram(packet, &birthplace.frame) else { return };
        let application = Application::of_ports(sport, dport);
        if application.is_none() && !has_long_header(payload) {
            return;
        }
        let Some(place) = udp.take() else { return birthplace.counters.add(Counter::UdpPerformanceFull, 1) };
        let Some(state) = udp.get_mut(place) else { return };
        let kind = if let Some(application) = application {
            *state.udp_mut() = UdpState::new(application);
            state.udp_mut().add(packet.time, 0, payload);
            Kind::Udp
        } else {
            *state.quic_mut() = QuicState::zeroed();
            state.quic_mut().add(packet.time, 0, payload);
            Kind::Quic
        };
        self.set_measured(Measured::new(kind, place));
    }
}

#[cfg(test)]
#[path = "datagram_tests.rs"]
mod tests;
