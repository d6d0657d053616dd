//! What one look at a ring found.

/// What a call of [`Reader::read`](super::Reader::read) found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Batch {
    /// Records handed over.
    pub records: usize,
    /// Records that were overwritten before they could be read.
    pub lost: u64,
    /// Records of an unknown version or kind, places where no record could be found, and times at which what the writer announces
    /// made no sense: how many records that cost cannot be told, unless a later one tells it. Zero unless somebody else wrote to the
    /// file.
    pub damaged: u64,
    /// More can be read at once.
    pub more: bool,
    /// The writer has left for good, and everything it wrote has been read: look for its successor with [`Reader::open`](super::Reader::open). A writer
    /// that was killed cannot say so; [`Reader::replaced`](super::Reader::replaced) finds its successor.
    pub ended: bool,
}
