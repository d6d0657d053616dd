//! The frames of one burst while they are read.

use crate::source::BURST_MAX;
use sonde_packet::{Frame, Link};

/// A batch ends where the recording's time has advanced by this much inside it: flows then time out in the order
/// in which they would have on the wire, to within this.
pub const SPAN_NS: u64 = 1_000_000_000;

/// At most [`BURST_MAX`] frames of at most [`SPAN_NS`] of the recording's time.
#[derive(Debug)]
pub struct Batch<'a> {
    frames: [Frame<'a>; BURST_MAX],
    len: usize,
    horizon: u64,
    newest: u64,
}

impl<'a> Batch<'a> {
    /// An empty batch.
    pub fn new() -> Self {
        let nothing = Frame { bytes: &[], wire_len: 0, link: Link::Unknown, port: 0, time: 0 };
        Self { frames: [nothing; BURST_MAX], len: 0, horizon: 0, newest: 0 }
    }

    /// The frames, in the order of the file.
    pub fn frames(&self) -> &[Frame<'a>] {
        self.frames.get(..self.len).unwrap_or_default()
    }

    /// The latest time of any of the frames; 0 for an empty batch.
    pub fn newest(&self) -> u64 {
        self.newest
    }

    pub(crate) fn clear(&mut self) {
        (self.len, self.newest) = (0, 0);
    }

    /// Takes one frame. False, and the frame is not taken, when the batch is full or the frame is beyond its span.
    #[inline(always)]
    pub(super) fn push(&mut self, frame: Frame<'a>) -> bool {
        let Some(slot) = self.frames.get_mut(self.len) else { return false };
        if self.len == 0 {
            self.horizon = frame.time.saturating_add(SPAN_NS);
        } else if frame.time > self.horizon {
            return false;
        }
        *slot = frame;
        self.len = self.len.wrapping_add(1);
        self.newest = self.newest.max(frame.time);
        true
    }
}

impl Default for Batch<'_> {
    fn default() -> Self {
        Self::new()
    }
}
