//! Where frames come from. Everything that differs between a NIC, a recording and a benchmark is behind [`Source`].

pub(crate) mod feed;
pub(crate) mod file;
mod looped;

pub use file::FileSource;
pub use looped::LoopSource;

use sonde_packet::Frame;

pub mod template;

/// Most frames one burst holds: the table needs this many in flight to hide memory latency.
pub const BURST_MAX: usize = 128;

/// What a call of [`Source::burst`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Polled {
    /// Frames were lent.
    Frames,
    /// Nothing has arrived; ask again.
    Idle,
    /// There will be no more frames (end of a recording, end of a bounded benchmark).
    End,
}

/// A supplier of frames. One per worker; called by one thread only.
pub trait Source {
    /// Receives at most [`BURST_MAX`] frames, lends them to `work` together with the time of the burst
    /// (nanoseconds since 1970 UTC, never going backwards but where all flows have ended before), and takes them back when `work` returns.
    ///
    /// `work` is called exactly once per call, with an empty slice when nothing has arrived: timeouts go on without traffic.
    fn burst<F: FnOnce(&[Frame<'_>], u64)>(&mut self, work: F) -> Polled;
}

impl<S: Source> Source for &mut S {
    #[inline]
    fn burst<F: FnOnce(&[Frame<'_>], u64)>(&mut self, work: F) -> Polled {
        (**self).burst(work)
    }
}
