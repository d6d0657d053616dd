//! What is known of the performance of a UDP flow.

use bytemuck::{Pod, Zeroable, must_cast_mut, must_cast_ref};

use crate::measure::quic::QuicState;
use crate::measure::udp::UdpState;

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
