//! Messages that wait to be sent, and the messages that are lent to be sent (RFC 7011 section 3).

use crate::cursor::Cursor;
use crate::group::Groups;
use crate::template::Template;

/// Octets of a message header (RFC 7011 section 3.1).
pub const HEADER_OCTETS: usize = 16;
/// Octets of a set header (RFC 7011 section 3.3.2).
pub const SET_HEADER_OCTETS: usize = 4;
/// Most octets of the messages of one batch: a UDP datagram's, because UDP_SEGMENT passes them as one.
const BATCH_OCTETS_MAX: usize = 65_000;
/// Most messages of one batch: UDP_SEGMENT takes 64 segments (newer kernels 128).
const BATCH_MESSAGES_MAX: usize = 64;

/// What a message header needs to know of the stream it is sent in.
#[derive(Clone, Copy, Debug)]
pub struct Stamp {
    /// Export time, seconds since 1970 UTC.
    pub time: u32,
    /// Observation domain id.
    pub domain: u32,
    /// Data records sent in this stream before this message, modulo 2^32 (RFC 7011 section 3.1).
    pub sequence: u32,
}

impl Stamp {
    /// Writes export time, sequence and domain into a message that has its version and length.
    pub fn write(&self, message: &mut [u8]) {
        let mut out = Cursor(&mut message[4..HEADER_OCTETS]);
        out.put(self.time.to_be_bytes());
        out.put(self.sequence.to_be_bytes());
        out.put(self.domain.to_be_bytes());
    }
}

/// Octets of zero that end a set of `octets` on a boundary of four (RFC 7011 section 3.3.1: zero, and shorter than any record
/// of the set; no record of ours is as short as three octets).
pub(crate) const fn padding(octets: usize) -> usize {
    octets.wrapping_neg() % 4
}

/// Messages of one template that wait to be sent.
#[derive(Debug)]
pub struct Batch {
    /// Empty until there is a first record: most templates are never needed.
    buffer: Box<[u8]>,
    set_id: u16,
    /// What its records say beside the plain fields.
    groups: Groups,
    record_octets: usize,
    /// Records of a full message.
    records_max: usize,
    /// Octets of a full message, padding included.
    message_octets: usize,
    messages_max: usize,
    /// Full messages, which stand at the start of the buffer.
    full: usize,
    /// Records of the message behind them.
    open: usize,
    /// Where the next record goes.
    at: usize,
}

impl Batch {
    pub(crate) fn new(template: &Template, groups: Groups, message_octets_max: usize, messages_max: usize) -> Self {
        let record_octets = template.record_octets();
        // The padding may need up to three octets more than the records: keep them.
        let room = message_octets_max.saturating_sub(HEADER_OCTETS + SET_HEADER_OCTETS) / 4 * 4;
        let records_max = (room / record_octets).max(1);
        let octets = HEADER_OCTETS + SET_HEADER_OCTETS + records_max * record_octets;
        let message_octets = octets + padding(octets);
        let messages_max = messages_max.min(BATCH_OCTETS_MAX / message_octets).clamp(1, BATCH_MESSAGES_MAX);
        let at = HEADER_OCTETS + SET_HEADER_OCTETS;
        Self {
            buffer: Box::default(),
            set_id: template.id,
            groups,
            record_octets,
            records_max,
            message_octets,
            messages_max,
            full: 0,
            open: 0,
            at,
        }
    }

    /// Whether no further record fits: it must be sent and cleared first.
    pub fn is_full(&self) -> bool {
        self.full == self.messages_max
    }

    /// Whether it holds no record.
    pub fn is_empty(&self) -> bool {
        self.full == 0 && self.open == 0
    }

    /// Whether it holds a full message.
    pub fn has_full_messages(&self) -> bool {
        self.full > 0
    }

    /// Records it holds.
    pub fn records(&self) -> usize {
        self.full * self.records_max + self.open
    }

    /// What its records say beside the plain fields.
    #[inline]
    pub(crate) fn groups(&self) -> Groups {
        self.groups
    }

    /// Lends the room of one more record, which there must be.
    #[inline(always)]
    pub(crate) fn put(&mut self, encode: impl FnOnce(&mut [u8])) {
        debug_assert!(!self.is_full());
        if self.buffer.is_empty() {
            self.furnish();
        }
        let end = self.at + self.record_octets;
        encode(&mut self.buffer[self.at..end]);
        self.at = end;
        self.open += 1;
        if self.open == self.records_max {
            self.close();
        }
    }

    /// Before the first record.
    #[cold]
    fn furnish(&mut self) {
        self.buffer = vec![0; self.message_octets * self.messages_max].into_boxed_slice();
    }

    /// Ends the open message: pads its set and writes the lengths. The next record begins a new one.
    #[cold]
    fn close(&mut self) {
        let start = self.full * self.message_octets;
        let end = self.at + padding(self.at - start);
        self.buffer[self.at..end].fill(0);
        let message = &mut self.buffer[start..end];
        write_header(message);
        let length = u16::try_from(message.len() - HEADER_OCTETS).expect("a message has less than 65536 octets");
        let mut out = Cursor(&mut message[HEADER_OCTETS..]);
        out.put(self.set_id.to_be_bytes());
        out.put(length.to_be_bytes());
        if self.open == self.records_max {
            self.full += 1;
            self.open = 0;
            self.at = end + HEADER_OCTETS + SET_HEADER_OCTETS;
        }
    }

    /// Lends the full messages to `send`, and with `partial` the one that is being filled as the last of them; then forgets them.
    /// Returns `None` when there was nothing to lend.
    pub fn drain<R>(&mut self, partial: bool, send: impl FnOnce(Sealed<'_>) -> R) -> Option<R> {
        let full_octets = self.full * self.message_octets;
        let (mut octets, mut last) = (full_octets, self.records_max);
        if partial && self.open > 0 {
            self.close();
            octets = self.at + padding(self.at - full_octets);
            last = self.open;
            self.open = 0;
        }
        if octets == 0 {
            return None;
        }
        let sealed = Sealed { octets: &mut self.buffer[..octets], segment: self.message_octets, records: self.records_max, last };
        let result = send(sealed);
        let first = HEADER_OCTETS + SET_HEADER_OCTETS;
        if self.open > 0 {
            // The message that is being filled moves to the start.
            self.buffer.copy_within(full_octets..self.at, 0);
            self.at -= full_octets;
        } else {
            self.at = first;
        }
        self.full = 0;
        Some(result)
    }
}

/// Writes version and length, the part of a message header that does not change any more.
pub(crate) fn write_header(message: &mut [u8]) {
    let length = u16::try_from(message.len()).expect("a message has less than 65536 octets");
    let mut out = Cursor(message);
    out.put(10u16.to_be_bytes());
    out.put(length.to_be_bytes());
}

/// Complete messages, one behind the other: all have `segment` octets, the last one maybe less.
#[derive(Debug)]
pub struct Sealed<'a> {
    /// The messages.
    pub octets: &'a mut [u8],
    /// Octets of every message but the last.
    pub segment: usize,
    records: usize,
    last: usize,
}

impl Sealed<'_> {
    /// How many messages there are.
    pub fn messages(&self) -> usize {
        self.octets.len().div_ceil(self.segment)
    }

    /// How many records they hold together.
    pub fn records(&self) -> usize {
        self.messages().checked_sub(1).map_or(0, |before| before * self.records + self.last)
    }

    /// Writes the headers of all messages; returns the sequence number that follows.
    pub fn stamp(&mut self, mut stamp: Stamp) -> u32 {
        for (message, records) in self.each() {
            stamp.write(message);
            stamp.sequence = stamp.sequence.wrapping_add(records);
        }
        stamp.sequence
    }

    /// Each message with the number of its records.
    pub fn each(&mut self) -> impl Iterator<Item = (&mut [u8], u32)> {
        let (messages, records, last) = (self.messages(), self.records, self.last);
        self.octets.chunks_mut(self.segment).enumerate().map(move |(at, message)| {
            let records = if at + 1 == messages { last } else { records };
            (message, u32::try_from(records).expect("a message holds less than 65536 records"))
        })
    }
}
