//! Capture files as they lie in memory: pcap and pcapng to frames, without a copy and without a call for each packet.
//!
//! The readers are total functions: any bytes give frames, then an end or one [`Fault`] with the offset of what could not be read.
//!
//! Not here: compressed files. They are unpacked by whoever reads them in pieces ([`crate::source::feed`]).
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod batch;
mod fault;
mod limits;
mod linktype;
mod octets;
mod passed;
mod pcap;
mod pcapng;
mod pseudo;
#[cfg(test)]
mod tests;

use sonde_unpack::Packing;

pub(crate) use batch::Waiting;
pub use batch::{Batch, JUMP_MAX_NS, SPAN_NS};
pub use fault::{Damage, Fault};
pub(crate) use limits::RECORD_MAX;
pub use linktype::name as link_type_name;
pub use passed::Passed;

/// A capture in memory, or a piece of one, being read from front to back.
#[derive(Debug)]
pub struct Capture<'a> {
    state: State,
    rest: &'a [u8],
    size: usize,
    /// More octets follow: what is cut at the end is no fault.
    goes_on: bool,
}

/// Where the reading of a capture stands between two pieces of it.
#[derive(Debug, Default)]
pub(crate) struct State {
    /// `None` before the first octets have told it.
    format: Option<Format>,
    /// Octets of the pieces before.
    base: u64,
    fault: Option<Fault>,
    pub(crate) passed: Passed,
}

#[derive(Debug)]
enum Format {
    Pcap(pcap::Reader),
    Pcapng(pcapng::Reader),
}

impl Format {
    /// Recognises the format by its first four octets, and how many octets its header has.
    fn of(bytes: &[u8]) -> Result<(Self, usize), Damage> {
        match bytes.first_chunk::<4>() {
            Some(&pcapng::SECTION) => Ok((Self::Pcapng(pcapng::Reader::new()), 0)),
            Some(magic) if pcap::is_magic(*magic) => Ok((Self::Pcap(pcap::Reader::open(bytes)?), pcap::HEADER)),
            Some(_) if Packing::of(bytes) != Packing::Plain => Err(Damage::Compressed),
            Some(_) => Err(Damage::NotACapture),
            None if bytes.is_empty() => Err(Damage::Empty),
            None => Err(Damage::NotACapture),
        }
    }
}

impl<'a> Capture<'a> {
    /// Recognises the format by its first four octets.
    ///
    /// # Errors
    /// A fault at offset 0 when the bytes are no capture at all, or end inside the file header.
    pub fn open(bytes: &'a [u8]) -> Result<Self, Fault> {
        Self::resume(State::default(), bytes, false)
    }

    /// Goes on with the next piece of a capture. It begins where the piece before was read to.
    ///
    /// # Errors
    /// As [`Self::open`], for the first piece.
    pub(crate) fn resume(mut state: State, bytes: &'a [u8], goes_on: bool) -> Result<Self, Fault> {
        let mut rest = bytes;
        if state.format.is_none() {
            let (format, header) = Format::of(bytes).map_err(|what| Fault { offset: 0, what })?;
            state.format = Some(format);
            rest = bytes.get(header..).unwrap_or_default();
        }
        Ok(Self { state, rest, size: bytes.len(), goes_on })
    }

    /// Stops, and says how many octets of this piece were read.
    pub(crate) fn pause(mut self) -> (State, usize) {
        let read = self.size.saturating_sub(self.rest.len());
        self.state.base = self.state.base.saturating_add(read as u64);
        (self.state, read)
    }

    /// Fills `batch` from where the last call stopped. An empty batch means the end: of the capture or of this piece, or of what is
    /// readable.
    pub fn fill(&mut self, batch: &mut Batch<'a>) {
        batch.clear();
        if self.state.fault.is_some() {
            return;
        }
        let (rest, passed) = (&mut self.rest, &mut self.state.passed);
        let outcome = match &mut self.state.format {
            Some(Format::Pcap(reader)) => reader.fill(rest, batch, passed),
            Some(Format::Pcapng(reader)) => reader.fill(rest, batch, passed),
            None => Ok(()),
        };
        if let Err(what) = outcome
            && !(self.goes_on && what.is_cut())
        {
            // Nothing after a fault can be trusted: without the length of this record there is no next one.
            self.state.fault = Some(Fault { offset: self.position(), what });
            self.rest = &[];
        }
        if batch.frames().is_empty() && !self.goes_on {
            batch.end();
        }
    }

    /// What ended the reading before the end of the file. `None` while reading, and after a clean end.
    pub fn fault(&self) -> Option<Fault> {
        self.state.fault
    }

    /// Packets of link types that are not read.
    pub fn passed(&self) -> &Passed {
        &self.state.passed
    }

    /// Octets read so far.
    pub fn position(&self) -> u64 {
        self.state.base.saturating_add(self.size.saturating_sub(self.rest.len()) as u64)
    }

    /// Octets of this piece that are not read yet.
    pub(crate) fn left(&self) -> usize {
        self.rest.len()
    }
}

/// Reads all of `bytes` and returns how many frames it holds, the octets captured of them, and the fault that ended it, if any.
///
/// The entry of the fuzz target `capture`; also a quick check of a file.
///
/// # Errors
/// As [`Capture::open`].
pub fn survey(bytes: &[u8]) -> Result<(u64, u64, Option<Fault>), Fault> {
    let mut capture = Capture::open(bytes)?;
    let mut batch = Batch::new();
    let (mut frames, mut octets) = (0u64, 0u64);
    loop {
        capture.fill(&mut batch);
        if batch.frames().is_empty() {
            return Ok((frames, octets, capture.fault()));
        }
        for frame in batch.frames() {
            frames = frames.wrapping_add(1);
            octets = octets.wrapping_add(frame.bytes.len() as u64);
        }
    }
}
