//! What the stages need, except for table and lane.

use sonde_packet::{Frame, Link, Tunnels};
use sonde_record::Output;

use crate::expiry::Context;
use crate::fragments::Head;
use crate::packet::BURST;
use crate::timeouts::{Near, Timeouts};

/// One burst's work.
pub(crate) struct Work<'a, 'f, O> {
    pub(crate) frames: &'a [Frame<'f>],
    /// What is left of the frames of fragments that waited: they are numbered from [`BURST`].
    pub(crate) gone: &'f [Head],
    pub(crate) now: u64,
    pub(crate) timeouts: &'a Timeouts,
    pub(crate) near: Near,
    pub(crate) tunnels: &'a Tunnels,
    pub(crate) next_id: &'a mut u64,
    pub(crate) context: Context<'a, O>,
}

impl<'f, O: Output> Work<'_, 'f, O> {
    /// The frame of a packet.
    #[inline(always)]
    pub(super) fn frame(&self, at: u16) -> Frame<'f> {
        self.frames.get(usize::from(at)).copied().unwrap_or_else(|| self.gone(at))
    }

    /// What is left of the frame of a fragment that waited.
    #[cold]
    fn gone(&self, at: u16) -> Frame<'f> {
        let nothing = Frame { bytes: &[], wire_len: 0, link: Link::Unknown, port: 0, time: self.now };
        usize::from(at).checked_sub(BURST).and_then(|at| self.gone.get(at)).map_or(nothing, Head::frame)
    }

    pub(super) fn id(&mut self) -> u64 {
        let id = *self.next_id;
        *self.next_id = id.wrapping_add(1);
        id
    }
}
