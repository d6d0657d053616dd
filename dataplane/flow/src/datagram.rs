//! The performance of a UDP flow, kept beside its entry: which flows have it, and what of a datagram it is fed with.
//!
//! Requests and answers are known by their port, QUIC on its own port or another by the first datagram. They share one kind of place.

use bytemuck::{Pod, Zeroable, must_cast_mut, must_cast_ref};
use sonde_packet::{Frame, proto};

use sonde_record::fact::Application;

use crate::annex::{Annex, Class};
use crate::counters::Counter;
use crate::entry::{Birthplace, Entry};
use crate::key::Key;
use crate::measure::{Kind, Measured};
use crate::packet::Packet;
use crate::perf::{QuicState, UdpState, has_long_header, is_initial};

/// HTTP/3 and DNS over HTTPS (RFC 9114 section 3.1).
const QUIC: u16 = 443;
/// RFC 9000 section 14.1: no datagram with an Initial of the client is shorter.
const INITIAL_MIN: usize = 1200;

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
    /// Octets of payload on the wire.
    length: usize,
}

impl Datagram<'_> {
    /// Whether a connection of QUIC may begin with it: on its port by any long header, as versions come and go; on another by an
    /// Initial of a version that is known.
    #[inline]
    fn may_begin_quic(&self) -> bool {
        if self.sport == QUIC || self.dport == QUIC {
            return has_long_header(self.payload);
        }
        self.length >= INITIAL_MIN && is_initial(self.payload)
    }
}

/// The datagram of a packet, from its frame; `None` when its header was not captured. What pads the frame is no payload.
#[inline]
fn datagram<'f, K>(packet: &Packet<K>, frame: &Frame<'f>) -> Option<Datagram<'f>> {
    if packet.l4 == 0 {
        return None;
    }
    let (header, behind) = frame.bytes.get(usize::from(packet.l4)..)?.split_first_chunk::<8>()?;
    let [p0, p1, q0, q1, ..] = *header;
    let length = (packet.octets as usize).saturating_sub(usize::from(packet.ip_header) + header.len());
    let payload = behind.get(..length).unwrap_or(behind);
    Some(Datagram { sport: u16::from_be_bytes([p0, p1]), dport: u16::from_be_bytes([q0, q1]), payload, length })
}

impl<K: Key> Entry<K> {
    /// Adds a datagram that was counted already to what is known of its flow.
    #[inline(never)]
    pub(crate) fn measure_datagram(&self, packet: &Packet<K>, frame: &Frame<'_>, annex: &mut Annex) {
        let measured = self.measured();
        let Some(state) = annex.udp_mut(measured.place()) else { return };
        let Some(Datagram { payload, .. }) = datagram(packet, frame) else { return };
        let way = self.way(packet);
        match measured.kind() {
            Kind::Tcp | Kind::Syn => {}
            Kind::Udp => state.udp_mut().add(packet.time, way, payload),
            Kind::Quic => state.quic_mut().add(packet.time, way, payload),
        }
    }

    /// Begins to measure a flow with its first datagram; counts a flow for which there is no place.
    #[inline(never)]
    pub(crate) fn begin_datagrams(&mut self, packet: &Packet<K>, birthplace: &mut Birthplace<'_, '_>) {
        if self.key.ends(0).protocol != proto::UDP {
            return;
        }
        let Some(datagram) = datagram(packet, birthplace.frame) else { return };
        let Datagram { sport, dport, payload, .. } = datagram;
        let application = Application::of_ports(sport, dport);
        if application.is_none() && !datagram.may_begin_quic() {
            return;
        }
        let annex = &mut *birthplace.annex;
        let Some(place) = annex.take(Class::Udp) else { return birthplace.counters.add(Counter::UdpPerformanceFull, 1) };
        let Some(state) = annex.udp_mut(place) else { return };
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
