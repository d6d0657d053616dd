//! The frames of one burst while they are read.

use crate::source::BURST_MAX;
use sonde_packet::{Frame, Link};

/// A batch ends where the recording's time has advanced by this much inside it: flows then time out in the order
/// in which they would have on the wire, to within this.
pub const SPAN_NS: u64 = 1_000_000_000;

/// A frame whose time is further from that of the one before is believed only if the next frame does not contradict it.
pub const JUMP_MAX_NS: u64 = 3_600_000_000_000;

/// At most [`BURST_MAX`] frames of at most [`SPAN_NS`] of the recording's time.
///
/// One absurd time (a clock that was not set yet, a damaged record) must not end all flows, or stretch its own: a frame whose time jumps
/// waits for the next one, and is believed if that is nearer to it than to the frame before, as where captures of two days were put
/// together. A time that is not believed is that of the frame before, and counted.
#[derive(Debug)]
pub struct Batch<'a> {
    frames: [Frame<'a>; BURST_MAX],
    len: usize,
    horizon: u64,
    newest: u64,
    /// The time believed last; 0: none yet.
    clock: u64,
    /// A frame whose time jumps.
    held: Option<Frame<'a>>,
    absurd: u64,
}

/// A frame whose time jumps, at the end of a piece of a recording: its own octets, as those of the piece will be gone.
#[derive(Debug)]
pub(crate) struct Waiting {
    bytes: Vec<u8>,
    wire_len: u32,
    link: Link,
    port: u16,
    time: u64,
}

impl<'a> Batch<'a> {
    /// An empty batch.
    pub fn new() -> Self {
        Self::resume(0, 0, None)
    }

    /// An empty batch of the next piece of a recording.
    pub(crate) fn resume(clock: u64, absurd: u64, waiting: Option<&'a Waiting>) -> Self {
        let nothing = Frame { bytes: &[], wire_len: 0, link: Link::Unknown, port: 0, time: 0 };
        let held = waiting.map(|w| Frame { bytes: &w.bytes, wire_len: w.wire_len, link: w.link, port: w.port, time: w.time });
        Self { frames: [nothing; BURST_MAX], len: 0, horizon: 0, newest: 0, clock, held, absurd }
    }

    /// What the next piece needs: the time believed last, how many were not, and the frame that waits.
    pub(crate) fn pause(self) -> (u64, u64, Option<Waiting>) {
        let owned = |f: Frame<'_>| Waiting { bytes: f.bytes.to_vec(), wire_len: f.wire_len, link: f.link, port: f.port, time: f.time };
        (self.clock, self.absurd, self.held.map(owned))
    }

    /// The frames, in the order of the file.
    pub fn frames(&self) -> &[Frame<'a>] {
        self.frames.get(..self.len).unwrap_or_default()
    }

    /// Frames whose times were not believed, since the batch was made.
    pub fn absurd(&self) -> u64 {
        self.absurd
    }

    pub(crate) fn clear(&mut self) {
        (self.len, self.newest) = (0, 0);
    }

    /// Takes one frame. False, and the frame is not taken, when the batch is full or the frame is beyond its span.
    #[inline(always)]
    pub(super) fn push(&mut self, frame: Frame<'a>) -> bool {
        if self.held.is_some() && !self.release(Some(frame.time)) {
            return false;
        }
        if self.jumps(frame.time) {
            self.held = Some(frame);
            return true;
        }
        self.take(frame)
    }

    /// There is no further frame: takes the one that waits for it.
    pub(super) fn end(&mut self) {
        self.release(None);
    }

    #[inline(always)]
    fn jumps(&self, time: u64) -> bool {
        self.clock != 0 && time.abs_diff(self.clock) > JUMP_MAX_NS
    }

    /// Takes the frame that waits, given the time of the next one; false when the batch has no room for it.
    #[cold]
    fn release(&mut self, next: Option<u64>) -> bool {
        let Some(mut frame) = self.held else { return true };
        let believed = self.believes(frame.time, next);
        if !believed {
            frame.time = self.clock;
        } else if self.len > 0 {
            // It begins a batch: the clock jumps between two of them.
            return false;
        }
        let taken = self.take(frame);
        if taken {
            self.held = None;
            self.absurd = self.absurd.wrapping_add(u64::from(!believed));
        }
        taken
    }

    /// Whether the next frame's time is nearer to one that jumps than to the one before. Without a next frame a jump ahead is believed.
    fn believes(&self, time: u64, next: Option<u64>) -> bool {
        next.map_or(time > self.clock, |next| next.abs_diff(time) <= next.abs_diff(self.clock))
    }

    #[inline(always)]
    fn take(&mut self, frame: Frame<'a>) -> bool {
        let Some(slot) = self.frames.get_mut(self.len) else { return false };
        if self.len == 0 {
            self.horizon = frame.time.saturating_add(SPAN_NS);
        } else if frame.time > self.horizon {
            return false;
        }
        *slot = frame;
        self.len = self.len.wrapping_add(1);
        self.newest = self.newest.max(frame.time);
        self.clock = frame.time;
        true
    }
}

impl Default for Batch<'_> {
    fn default() -> Self {
        Self::new()
    }
}
