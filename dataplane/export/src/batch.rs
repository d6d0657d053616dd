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
///
/// Where all records have one size, a message is full when no further one fits, and all full messages have one size. Where records vary, it is
/// full when one did not fit any more: that one is moved behind it, and begins the next.
#[derive(Debug)]
pub struct Batch {
    /// Empty until there is a first record: most templates are never needed.
    buffer: Box<[u8]>,
    set_id: u16,
    /// What its records say beside the plain fields.
    groups: Groups,
    varies: bool,
    /// Octets of a record; where they vary, most that one may have, which are those of a message.
    record_octets: usize,
    /// Octets of a full message, padding included; where records vary, most it may have.
    message_octets: usize,
    messages_max: usize,
    /// Records of each full message. These stand at the start of the buffer.
    full: Vec<u32>,
    /// Where the message behind them begins.
    start: usize,
    /// Its records.
    open: u32,
    /// Where the next record goes.
    at: usize,
    /// A record that ends behind this fills the message, or is too much for it.
    brink: usize,
    /// How far that is from the start of a message.
    span: usize,
}

impl Batch {
    pub(crate) fn new(template: &Template, groups: Groups, message_octets_max: usize, messages_max: usize) -> Self {
        let head = HEADER_OCTETS + SET_HEADER_OCTETS;
        let room = room(message_octets_max);
        let varies = template.varies();
        let record_octets = if varies { room } else { template.record_octets() };
        let octets = head + (room / record_octets).max(1) * record_octets;
        let message_octets = octets + padding(octets);
        let messages_max = messages_max.min(BATCH_OCTETS_MAX / message_octets).clamp(1, BATCH_MESSAGES_MAX);
        let span = if varies { message_octets } else { octets - 1 };
        Self {
            buffer: Box::default(),
            set_id: template.id,
            groups,
            varies,
            record_octets,
            message_octets,
            messages_max,
            full: Vec::new(),
            start: 0,
            open: 0,
            at: head,
            brink: span,
            span,
        }
    }

    /// Whether no further record fits: it must be sent and cleared first.
    pub fn is_full(&self) -> bool {
        self.full.len() == self.messages_max
    }

    /// Whether it holds no record.
    pub fn is_empty(&self) -> bool {
        self.full.is_empty() && self.open == 0
    }

    /// Whether it holds a full message.
    pub fn has_full_messages(&self) -> bool {
        !self.full.is_empty()
    }

    /// Records it holds.
    pub fn records(&self) -> usize {
        sum(&self.full) + self.open as usize
    }

    /// What its records say beside the plain fields.
    #[inline]
    pub(crate) fn groups(&self) -> Groups {
        self.groups
    }

    /// Lends the room of one more record, which there must be; `encode` says how many octets of it the record has.
    #[inline(always)]
    pub(crate) fn put(&mut self, encode: impl FnOnce(&mut [u8]) -> usize) {
        debug_assert!(!self.is_full());
        if self.buffer.is_empty() {
            self.furnish();
        }
        let end = self.at + self.record_octets;
        let octets = encode(&mut self.buffer[self.at..end]);
        debug_assert!(self.varies || octets == self.record_octets, "{octets} octets of {}", self.record_octets);
        self.at += octets;
        self.open += 1;
        if self.at > self.brink {
            self.turn(octets);
        }
    }

    /// Before the first record.
    #[cold]
    fn furnish(&mut self) {
        // A record that is too much for the last message stands behind it.
        let messages = self.messages_max + usize::from(self.varies);
        self.buffer = vec![0; self.message_octets * messages].into_boxed_slice();
    }

    /// Ends a message that is full. Where records vary, its last one, of so many octets, is too much: it moves to the next.
    #[cold]
    fn turn(&mut self, octets: usize) {
        if !self.varies {
            return self.close();
        }
        let record = self.at - octets..self.at;
        self.at = record.start;
        self.open -= 1;
        let next = self.at + padding(self.at - self.start) + HEADER_OCTETS + SET_HEADER_OCTETS;
        self.buffer.copy_within(record, next);
        self.close();
        debug_assert_eq!(self.at, next);
        self.at += octets;
        self.open = 1;
    }

    /// Ends the open message: pads its set and writes the lengths. The next record begins a new one.
    #[cold]
    fn close(&mut self) {
        let end = self.at + padding(self.at - self.start);
        self.buffer[self.at..end].fill(0);
        let message = &mut self.buffer[self.start..end];
        write_header(message);
        let length = u16::try_from(message.len() - HEADER_OCTETS).expect("a message has less than 65536 octets");
        let mut out = Cursor(&mut message[HEADER_OCTETS..]);
        out.put(self.set_id.to_be_bytes());
        out.put(length.to_be_bytes());
        self.full.push(std::mem::take(&mut self.open));
        self.begin(end);
    }

    /// The next message begins here.
    fn begin(&mut self, start: usize) {
        self.start = start;
        self.at = start + HEADER_OCTETS + SET_HEADER_OCTETS;
        self.brink = start + self.span;
    }

    /// Lends the full messages to `send`, and with `partial` the one that is being filled as the last of them; then forgets them.
    /// Returns `None` when there was nothing to lend.
    pub fn drain<R>(&mut self, partial: bool, send: impl FnOnce(Sealed<'_>) -> R) -> Option<R> {
        if partial && self.open > 0 {
            self.close();
        }
        if self.full.is_empty() {
            return None;
        }
        let segment = (!self.varies).then_some(self.message_octets);
        let result = send(Sealed { octets: &mut self.buffer[..self.start], segment, records: &self.full });
        self.full.clear();
        // The message that is being filled moves to the start.
        let octets = self.at - self.start;
        if self.open > 0 {
            self.buffer.copy_within(self.start..self.at, 0);
        }
        self.begin(0);
        self.at = octets;
        Some(result)
    }
}

/// Octets of records and padding that a message has room for. The padding may need up to three more than the records: they are kept.
pub(crate) const fn room(message_octets_max: usize) -> usize {
    message_octets_max.saturating_sub(HEADER_OCTETS + SET_HEADER_OCTETS) / 4 * 4
}

fn sum(records: &[u32]) -> usize {
    records.iter().map(|records| *records as usize).sum()
}

/// Writes version and length, the part of a message header that does not change any more.
pub(crate) fn write_header(message: &mut [u8]) {
    let length = u16::try_from(message.len()).expect("a message has less than 65536 octets");
    let mut out = Cursor(message);
    out.put(10u16.to_be_bytes());
    out.put(length.to_be_bytes());
}

/// Complete messages, one behind the other.
#[derive(Debug)]
pub struct Sealed<'a> {
    /// The messages.
    pub octets: &'a mut [u8],
    /// Octets of every message but the last, which may have less; `None` where each has its own length.
    pub segment: Option<usize>,
    /// How many records each message holds.
    records: &'a [u32],
}

impl Sealed<'_> {
    /// How many messages there are.
    pub fn messages(&self) -> usize {
        self.records.len()
    }

    /// How many records they hold together.
    pub fn records(&self) -> usize {
        sum(self.records)
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
        let mut rest = &mut *self.octets;
        self.records.iter().map(move |records| {
            let length = usize::from(u16::from_be_bytes([rest[2], rest[3]]));
            let (message, behind) = std::mem::take(&mut rest).split_at_mut(length);
            rest = behind;
            (message, *records)
        })
    }
}
