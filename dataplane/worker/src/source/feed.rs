//! Input that cannot be mapped: pipes, and compressed files, which are unpacked by a thread of their own, a few megabytes ahead.
//!
//! The worker's loop reads it in pieces that lie in one buffer. The memory for all of it is bounded: the buffer, what is under way from the
//! thread, and what a decoder needs.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::Duration;

use sonde_unpack::Packing;

use crate::capture::{Damage, RECORD_MAX};

/// Octets of the buffer, as long as no packet is longer.
const WINDOW: usize = 16 << 20;
/// A piece ends when fewer octets are left, as long as more can be read: bursts are full, as those of a mapped file.
const MARGIN: usize = 4 << 20;
/// Octets that the thread hands over at a time.
const CHUNK: usize = 1 << 20;
/// Chunks that are under way.
const AHEAD: usize = 4;
/// A pipe that pauses for so long is metered as far as it came: a program may be writing it right now.
const PAUSE: Duration = Duration::from_millis(200);

/// Input as one piece after the other.
#[derive(Debug)]
pub(crate) struct Feed {
    chunks: Receiver<Result<Vec<u8>, Damage>>,
    buffer: Vec<u8>,
    /// Octets of the buffer that were read already.
    start: usize,
    end: Option<Option<Damage>>,
    /// It may pause: it is no file.
    pipe: bool,
    taken: Arc<AtomicU64>,
}

/// What can be read now.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Piece<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) margin: usize,
    pub(crate) goes_on: bool,
}

impl Feed {
    /// Starts the thread that reads `input`, which unpacks it if it is compressed. `pipe`: what came is metered when no more comes for a
    /// while.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(crate) fn start(input: impl Read + Send + 'static, pipe: bool) -> io::Result<Self> {
        let (sender, chunks) = mpsc::sync_channel(AHEAD);
        let taken = Arc::new(AtomicU64::new(0));
        let counted = Counted { inner: input, octets: Arc::clone(&taken) };
        std::thread::Builder::new().name("input".to_owned()).spawn(move || {
            let fault = |packing, error: &io::Error| match (packing, error.kind()) {
                // What decoders say of damaged data; other errors are those of the input itself.
                (Packing::Plain, kind) => Damage::Input(kind),
                (_, io::ErrorKind::PermissionDenied | io::ErrorKind::IsADirectory | io::ErrorKind::TimedOut) => Damage::Input(error.kind()),
                _ => Damage::Unpacking,
            };
            let (packing, mut input) = match sonde_unpack::unpacked(counted) {
                Ok(opened) => opened,
                Err(error) => {
                    // Nobody to tell: the reader has ended before.
                    let _ = sender.send(Err(fault(Packing::Plain, &error)));
                    return;
                }
            };
            loop {
                let mut chunk = Vec::with_capacity(CHUNK);
                let outcome = fill(&mut input, &mut chunk, packing);
                let octets = chunk.len();
                if octets != 0 && sender.send(Ok(chunk)).is_err() {
                    return;
                }
                match outcome {
                    Ok(()) if octets == 0 => return,
                    Ok(()) => {}
                    Err(error) => {
                        let _ = sender.send(Err(fault(packing, &error)));
                        return;
                    }
                }
            }
        })?;
        Ok(Self { chunks, buffer: Vec::new(), start: 0, end: None, pipe, taken })
    }

    /// Waits until a whole window can be read, the input ends, or it pauses. `wanted`: more octets than those that can be read already.
    ///
    /// # Errors
    /// [`Damage::TooLong`] when more are wanted than the longest record may have.
    pub(crate) fn gather(&mut self, wanted: bool) -> Result<Piece<'_>, Damage> {
        self.buffer.drain(..self.start);
        self.start = 0;
        let before = self.buffer.len();
        let room = if wanted && before >= WINDOW { before.saturating_mul(2).min(RECORD_MAX) } else { WINDOW };
        if wanted && before >= RECORD_MAX {
            return Err(Damage::TooLong);
        }
        let mut paused = false;
        while self.end.is_none() && self.buffer.len() < room && !paused {
            match self.chunks.recv_timeout(PAUSE) {
                Ok(Ok(chunk)) => self.buffer.extend_from_slice(&chunk),
                Ok(Err(damage)) => self.end = Some(Some(damage)),
                // The thread has ended.
                Err(RecvTimeoutError::Disconnected) => self.end = Some(None),
                Err(RecvTimeoutError::Timeout) => paused = self.pipe && self.buffer.len() > before,
            }
        }
        let goes_on = self.end.is_none();
        Ok(Piece { bytes: &self.buffer, margin: if goes_on && !paused && !wanted { MARGIN } else { 0 }, goes_on })
    }

    /// So many octets of the piece were read.
    pub(crate) fn read(&mut self, octets: usize) {
        self.start = octets.min(self.buffer.len());
    }

    /// What ended the input early.
    pub(crate) fn damage(&self) -> Option<Damage> {
        self.end.flatten()
    }

    /// Octets that were taken from the input, as they are there: packed.
    pub(crate) fn taken(&self) -> &Arc<AtomicU64> {
        &self.taken
    }
}

/// Reads until the chunk is full or the input ends. Of a pipe only what it has: its writer may pause.
fn fill(input: &mut impl Read, chunk: &mut Vec<u8>, packing: Packing) -> io::Result<()> {
    let mut octets = [0; 1 << 16];
    loop {
        let found = match input.read(&mut octets) {
            Ok(found) => found,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        chunk.extend_from_slice(octets.get(..found).unwrap_or_default());
        if found == 0 || chunk.len() >= CHUNK || packing == Packing::Plain && found < octets.len() {
            return Ok(());
        }
    }
}

/// Counts what is read.
struct Counted<R> {
    inner: R,
    octets: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let octets = self.inner.read(out)?;
        self.octets.fetch_add(octets as u64, Ordering::Relaxed);
        Ok(octets)
    }
}
