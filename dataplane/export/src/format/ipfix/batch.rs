//! Messages of one template that wait to be sent (RFC 7011 section 3).

use super::header::{HEADER_OCTETS, SET_HEADER_OCTETS, padding, seal};
use crate::cursor::Cursor;
use crate::format::{Extent, Sealed};
use crate::template::{self, Template};

/// Most octets of the messages of one batch: a UDP datagram's, because UDP_SEGMENT passes them as one.
const BATCH_OCTETS_MAX: usize = 65_000;
/// Most messages of one batch: UDP_SEGMENT takes 64 segments (newer kernels 128).
const BATCH_MESSAGES_MAX: usize = 64;

/// Messages of one template that wait to be sent.
///
/// Where all records have one size, a message is full when no further one fits, and all full messages have one size. Where records vary, it is
/// full when one did not fit any more: that one is moved behind it, and begins the next. Those end with padding where full messages are to have
/// one size all the same.
#[derive(Debug)]
pub(crate) struct Batch {
    /// Empty until there is a first record: most templates are never needed.
    buffer: Box<[u8]>,
    set_id: u16,
    varies: bool,
    /// Whether its records end with padding, of which the last one of a message takes what the message lacks.
    equal: bool,
    /// Whether sets end on a boundary of four: not where the padding could be taken for another record (RFC 7011 section 3.3.1).
    pads: bool,
    /// Octets of a record; where they vary, most that one may have, which are those of a message.
    record_octets: usize,
    /// Octets of a full message, padding included; where records vary, most it may have.
    message_octets: usize,
    messages_max: usize,
    /// Each full message. These stand at the start of the buffer.
    full: Vec<Extent>,
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
    pub(crate) fn new(template: &Template, message_octets_max: usize, messages_max: usize) -> Self {
        let head = HEADER_OCTETS + SET_HEADER_OCTETS;
        let room = room(message_octets_max);
        let varies = template.varies();
        let equal = template.fields.last() == Some(&template::PADDING);
        // To a collector the least value of variable length is an octet.
        let least: usize = template.fields.iter().map(|field| if field.list.is_some() { 1 } else { field.octets() }).sum();
        let pads = least > 3;
        let record_octets = if varies { room } else { template.record_octets() };
        let octets = head + (room / record_octets).max(1) * record_octets;
        let message_octets = octets + if pads { padding(octets) } else { 0 };
        let messages_max = messages_max.min(BATCH_OCTETS_MAX / message_octets).clamp(1, BATCH_MESSAGES_MAX);
        let span = if varies { message_octets } else { octets - 1 };
        Self {
            buffer: Box::default(),
            set_id: template.id,
            varies,
            equal,
            pads,
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

    /// Whether no further record fits.
    fn is_full(&self) -> bool {
        self.full.len() == self.messages_max
    }

    /// Records it holds.
    pub(crate) fn records(&self) -> usize {
        self.full.iter().map(|extent| extent.records as usize).sum::<usize>() + self.open as usize
    }

    /// Lends the room of one more record, which there must be; `encode` says how many octets of it the record has.
    /// Returns whether no further record fits: the batch must be drained first.
    #[inline(always)]
    pub(crate) fn put(&mut self, encode: impl FnOnce(&mut [u8]) -> usize) -> bool {
        debug_assert!(!self.is_full());
        if self.buffer.is_empty() {
            self.furnish();
        }
        let end = self.at + self.record_octets;
        let octets = encode(&mut self.buffer[self.at..end]);
        debug_assert!(self.varies || octets == self.record_octets, "{octets} octets of {}", self.record_octets);
        self.at += octets;
        self.open += 1;
        if self.at <= self.brink {
            return false;
        }
        self.turn(octets);
        self.is_full()
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
        let end = if self.equal { self.start + self.message_octets } else { self.at + self.padding() };
        let next = end + HEADER_OCTETS + SET_HEADER_OCTETS;
        self.buffer.copy_within(record, next);
        self.fill();
        self.close();
        debug_assert_eq!(self.at, next);
        self.at += octets;
        self.open = 1;
    }

    /// Gives the padding of the last record what the open message lacks to be as long as all (RFC 7011 section 7: 255 and two octets say a
    /// length above 254).
    fn fill(&mut self) {
        let end = self.start + self.message_octets;
        if !self.equal || self.at == end {
            return;
        }
        let octets = end - self.at;
        let padding = &mut self.buffer[self.at - 1..end];
        padding.fill(0);
        let mut out = Cursor(padding);
        match u8::try_from(octets) {
            Ok(octets) if octets < 255 => out.put([octets]),
            _ => {
                out.put([255]);
                out.put(u16::try_from(octets - 2).expect("a message has less than 65536 octets").to_be_bytes());
            }
        }
        self.at = end;
    }

    /// Octets that the open message's set wants behind its records.
    fn padding(&self) -> usize {
        if self.pads { padding(self.at - self.start) } else { 0 }
    }

    /// Ends the open message: pads its set and writes the lengths. The next record begins a new one.
    #[cold]
    fn close(&mut self) {
        let end = self.at + self.padding();
        self.buffer[self.at..end].fill(0);
        let message = &mut self.buffer[self.start..end];
        seal(message);
        let length = u16::try_from(message.len() - HEADER_OCTETS).expect("a message has less than 65536 octets");
        let mut out = Cursor(&mut message[HEADER_OCTETS..]);
        out.put(self.set_id.to_be_bytes());
        out.put(length.to_be_bytes());
        self.full.push(Extent { octets: end - self.start, records: std::mem::take(&mut self.open) });
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
    pub(crate) fn drain<R>(&mut self, partial: bool, send: impl FnOnce(Sealed<'_>) -> R) -> Option<R> {
        if partial && self.open > 0 {
            self.close();
        }
        if self.full.is_empty() {
            return None;
        }
        let segment = (!self.varies || self.equal).then_some(self.message_octets);
        let result = send(Sealed { octets: &mut self.buffer[..self.start], segment, extents: &self.full });
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
