//! Words become a record: what a reader checks, once.

use crate::fact::Id;
use crate::fact::found::found;
use crate::head::{EndReason, HEAD_WORDS, Initiator, Kind, LONE_SYN, VERSION, View, at};
use crate::view::RecordView;

impl<'a> RecordView<'a> {
    /// The record in these words; `None` when length, version or an enumeration is not of this version. Trusts nothing.
    #[inline]
    pub fn new(words: &'a [u64]) -> Option<Self> {
        let (head, rest) = words.split_first_chunk()?;
        Self::from_parts(head, rest)
    }

    /// The record with this head, and its facts.
    #[inline]
    pub fn from_parts(head: &'a [u64; HEAD_WORDS], rest: &'a [u64]) -> Option<Self> {
        let [len0, len1, version, kind_view, ..] = head[at::FIRST].to_le_bytes();
        if usize::from(u16::from_le_bytes([len0, len1])) < HEAD_WORDS || version != VERSION {
            return None;
        }
        let [_, end_reason, initiator, ..] = head[at::OCTETS_1].to_le_bytes();
        let mut facts = found(rest);
        if head[at::LONE_SYN] >> 48 == u64::from(LONE_SYN) {
            facts = facts.with(Id::Tcp);
        }
        Some(Self {
            head,
            rest,
            facts,
            kind: Kind::from_u8(kind_view & 0x0f)?,
            view: View::from_u8(kind_view >> 4)?,
            end_reason: EndReason::from_u8(end_reason)?,
            initiator: Initiator::from_u8(initiator)?,
        })
    }
}
