//! What of a datagram the state of a UDP flow is told, and which flows have one.
//!
//! Requests and answers are known by their port, QUIC on its own port or another by the first datagram. They share one class of slots.

use bytemuck::Zeroable;
use sonde_packet::{Frame, proto};
use sonde_record::fact::Application;

use crate::about::Birthplace;
use crate::annex::Annex;
use crate::counters::Counter;
use crate::followed::Followed;
use crate::handle::{Class, Kind, Measured};
use crate::measure::quic::{QuicState, has_long_header, is_initial};
use crate::measure::udp::UdpState;
use crate::packet::Packet;

/// HTTP/3 and DNS over HTTPS (RFC 9114 section 3.1).
const QUIC: u16 = 443;
/// RFC 9000 section 14.1: no datagram with an Initial of the client is shorter.
const INITIAL_MIN: usize = 1200;

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

/// Adds a datagram that was counted already to what is known of its flow.
#[inline(never)]
pub(crate) fn add<K>(entry: &impl Followed, packet: &Packet<K>, frame: &Frame<'_>, annex: &mut Annex) {
    let measured = entry.measured();
    let Some(state) = annex.udp_mut(measured.place()) else { return };
    let Some(Datagram { payload, .. }) = datagram(packet, frame) else { return };
    let way = entry.way(packet.direction);
    match measured.kind() {
        Kind::Tcp | Kind::Syn => {}
        Kind::Udp => state.udp_mut().add(packet.time, way, payload),
        Kind::Quic => state.quic_mut().add(packet.time, way, payload),
    }
}

/// Begins to measure a flow with its first datagram; counts a flow for which there is no memory.
#[inline(never)]
pub(crate) fn begin<K>(entry: &mut impl Followed, packet: &Packet<K>, birth: &mut Birthplace<'_, '_>) {
    if entry.protocol().1 != proto::UDP {
        return;
    }
    let Some(datagram) = datagram(packet, birth.frame) else { return };
    let Datagram { sport, dport, payload, .. } = datagram;
    let application = Application::of_ports(sport, dport);
    if application.is_none() && !datagram.may_begin_quic() {
        return;
    }
    let annex = &mut *birth.annex;
    let Some(place) = annex.take(Class::Udp) else { return birth.counters.add(Counter::UdpPerformanceFull, 1) };
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
    entry.set_measured(Measured::new(kind, place));
}

#[cfg(test)]
#[path = "udp_tests.rs"]
mod tests;
