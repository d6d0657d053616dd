//! Capture files as they lie in memory: pcap and pcapng to frames, without a copy and without a call for each packet.
//!
//! The readers are total functions: any bytes give frames, then an end or one [`Fault`] with the offset of what could not be read.
//!
//! Not here: compressed files, and the FCS that a few captures keep (`if_fcslen`): it counts as part of the frame.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod batch;
mod pcap;
mod pcapng;
#[cfg(test)]
mod tests;

pub use batch::{Batch, JUMP_MAX_NS, SPAN_NS};

use sonde_packet::Link;

/// Where a capture stops being readable, and why. What came before it has been read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at offset {offset}: {what}")]
pub struct Fault {
    /// First octet of the record or block that could not be read.
    pub offset: u64,
    /// What is wrong with it.
    pub what: Damage,
}

/// What can be wrong with a capture file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[expect(missing_docs, reason = "the message of each variant is its documentation")]
pub enum Damage {
    #[error("neither pcap nor pcapng: the first four octets are no magic number of either")]
    NotACapture,
    #[error("the file is empty")]
    Empty,
    #[error("a compressed file: uncompress it first (zcat, zstdcat, xzcat)")]
    Compressed,
    #[error("the file ends inside its header")]
    HeaderCut,
    #[error("the file ends inside a packet record")]
    RecordCut,
    #[error("the file ends inside a block")]
    BlockCut,
    #[error("a block's length is below the least of its kind, or no multiple of four")]
    BlockLength,
    #[error("a block's length differs at its beginning and its end")]
    BlockLengthsDiffer,
    #[error("a section's byte-order magic is neither of the two")]
    ByteOrder,
    #[error("a format version that is not known")]
    Version,
    #[error("a packet names an interface that the section has not described")]
    NoInterface,
    #[error("a packet is longer than the block it is in")]
    PacketLength,
    #[error("another process made the file shorter while it was read")]
    Shrunk,
}

/// Longest frame a record may claim: what is above is a damaged field, and would drown the sums.
const WIRE_MAX: u32 = i32::MAX.cast_unsigned();

/// The byte order a file, or a section of it, was written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Little,
    Big,
}

impl Order {
    const fn u16(self, bytes: [u8; 2]) -> u16 {
        match self {
            Self::Little => u16::from_le_bytes(bytes),
            Self::Big => u16::from_be_bytes(bytes),
        }
    }

    const fn u32(self, bytes: [u8; 4]) -> u32 {
        match self {
            Self::Little => u32::from_le_bytes(bytes),
            Self::Big => u32::from_be_bytes(bytes),
        }
    }

    const fn i64(self, bytes: [u8; 8]) -> i64 {
        match self {
            Self::Little => i64::from_le_bytes(bytes),
            Self::Big => i64::from_be_bytes(bytes),
        }
    }
}

/// A capture file in memory, being read from front to back.
#[derive(Debug)]
pub struct Capture<'a> {
    format: Format<'a>,
    size: usize,
    fault: Option<Fault>,
}

#[derive(Debug)]
enum Format<'a> {
    Pcap(pcap::Reader<'a>),
    Pcapng(pcapng::Reader<'a>),
}

impl<'a> Capture<'a> {
    /// Recognises the format by its first four octets.
    ///
    /// # Errors
    /// A fault at offset 0 when the bytes are no capture at all, or end inside the file header.
    pub fn open(bytes: &'a [u8]) -> Result<Self, Fault> {
        let refuse = |what| Fault { offset: 0, what };
        let format = match bytes.first_chunk::<4>() {
            Some(&pcapng::SECTION) => Format::Pcapng(pcapng::Reader::new(bytes)),
            Some(magic) if pcap::is_magic(*magic) => Format::Pcap(pcap::Reader::open(bytes).map_err(refuse)?),
            Some([0x1f, 0x8b, ..] | [0x28, 0xb5, 0x2f, 0xfd] | [0xfd, b'7', b'z', b'X'] | [b'B', b'Z', b'h', _]) => {
                return Err(refuse(Damage::Compressed));
            }
            None if bytes.is_empty() => return Err(refuse(Damage::Empty)),
            _ => return Err(refuse(Damage::NotACapture)),
        };
        Ok(Self { format, size: bytes.len(), fault: None })
    }

    /// Fills `batch` from where the last call stopped. An empty batch means the end: of the file, or of what is readable.
    pub fn fill(&mut self, batch: &mut Batch<'a>) {
        batch.clear();
        let outcome = match &mut self.format {
            Format::Pcap(reader) => reader.fill(batch),
            Format::Pcapng(reader) => reader.fill(batch),
        };
        if let Err(what) = outcome {
            self.fault = Some(Fault { offset: self.position(), what });
            // Nothing after a fault can be trusted: without the length of this record there is no next one.
            match &mut self.format {
                Format::Pcap(reader) => reader.stop(),
                Format::Pcapng(reader) => reader.stop(),
            }
        }
        if batch.frames().is_empty() {
            batch.end();
        }
    }

    /// What ended the reading before the end of the file. `None` while reading, and after a clean end.
    pub fn fault(&self) -> Option<Fault> {
        self.fault
    }

    /// Octets read so far.
    pub fn position(&self) -> u64 {
        let left = match &self.format {
            Format::Pcap(reader) => reader.left(),
            Format::Pcapng(reader) => reader.left(),
        };
        self.size.saturating_sub(left) as u64
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

/// The link type of a LINKTYPE number of the pcap registry (<https://www.tcpdump.org/linktypes.html>).
///
/// 12 and 14 are the DLT_RAW of the BSDs, which old files carry in the place of 101.
fn link(number: u32) -> Link {
    match number {
        1 => Link::Ethernet,
        0 | 108 => Link::Null,
        12 | 14 | 101 | 228 | 229 => Link::RawIp,
        113 => Link::LinuxSll,
        276 => Link::LinuxSll2,
        _ => Link::Unknown,
    }
}
