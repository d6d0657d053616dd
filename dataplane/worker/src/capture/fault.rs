//! What can be wrong with a capture file.

use super::limits::RECORD_MAX;

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
    #[error("a compressed file, which cannot be read in place: uncompress it first (zcat, zstdcat, xzcat, lz4cat)")]
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
    #[error("a packet or block is longer than {} MiB, the most that is read of a pipe or a compressed file", RECORD_MAX >> 20)]
    TooLong,
    #[error("the compressed data are damaged, or end early")]
    Unpacking,
    #[error("the input cannot be read: {0}")]
    Input(std::io::ErrorKind),
}

impl Damage {
    /// Whether more octets would mend it.
    pub(crate) fn is_cut(self) -> bool {
        matches!(self, Self::Empty | Self::HeaderCut | Self::RecordCut | Self::BlockCut)
    }
}
