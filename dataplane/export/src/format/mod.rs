//! Formats: how records become messages, and what a session and a transport need to know of them.
//!
//! A format is a folder or a file here with one type that implements [`Format`] and one that implements [`Header`].
//!
//! Not here: `NetFlow` 5 and 9.

pub mod ipfix;

use std::fmt::Debug;

use sonde_record::RecordView;

/// Messages that hold no flow: templates, options.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The message; what depends on the stream is written when it is sent ([`Header::write`]).
    pub octets: Vec<u8>,
    /// Data records in it that are no flows (options).
    pub records: u32,
    /// Template and options template records in it.
    pub templates: u32,
}

/// What the exporter statistics say (RFC 7011 section 4.3), counted since the exporter was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// `exportedOctetTotalCount`, 40.
    pub octets: u64,
    /// `exportedMessageTotalCount`, 41.
    pub messages: u64,
    /// `exportedFlowRecordTotalCount`, 42.
    pub records: u64,
    /// `notSentFlowTotalCount`, 166.
    pub not_sent: u64,
}

/// What records had and messages had no room for (`message_octets_max`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// Facts, each a group of fields.
    pub groups: u64,
    /// Items of lists.
    pub items: u64,
}

/// Octets and flow records of one message of [`Sealed`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Octets.
    pub octets: usize,
    /// Flow records.
    pub records: u32,
}

/// Complete messages of flow records, one behind the other.
#[derive(Debug)]
pub struct Sealed<'a> {
    /// The messages.
    pub octets: &'a mut [u8],
    /// Octets of every message but the last, which may have less; `None` where each has its own length.
    pub segment: Option<usize>,
    /// Each message.
    pub extents: &'a [Extent],
}

impl Sealed<'_> {
    /// How many messages there are.
    pub fn messages(&self) -> usize {
        self.extents.len()
    }

    /// How many records they hold together.
    pub fn records(&self) -> usize {
        self.extents.iter().map(|extent| extent.records as usize).sum()
    }

    /// Each message with the number of its records.
    pub fn each(&mut self) -> impl Iterator<Item = (&mut [u8], u32)> {
        let mut rest = &mut *self.octets;
        self.extents.iter().map(move |extent| {
            let (message, behind) = std::mem::take(&mut rest).split_at_mut(extent.octets);
            rest = behind;
            (message, extent.records)
        })
    }
}

/// Takes messages as they are made.
pub trait Sink {
    /// Templates that flow records behind them need.
    fn announce(&mut self, messages: Vec<Message>);

    /// Flow records.
    fn send(&mut self, sealed: Sealed<'_>);
}

/// Encodes records into messages.
pub trait Format {
    /// How headers of its messages are written.
    fn header(&self) -> &'static dyn Header;

    /// Encodes one record. What is full by that, and templates that it needs first, goes to `sink`.
    fn put(&mut self, record: &RecordView<'_>, sink: &mut impl Sink);

    /// Hands over the messages that are full, and with `partial` the others too.
    fn flush(&mut self, partial: bool, sink: &mut impl Sink);

    /// All templates that were announced yet: what a collector that comes now has to know.
    fn templates(&self) -> Vec<Message>;

    /// How many those are.
    fn templates_made(&self) -> usize;

    /// What the exporter says of itself: its statistics, and the name of each interface (number, name).
    fn options(&self, domain: u32, statistics: &Statistics, interfaces: &[(u32, String)]) -> Vec<Message>;

    /// Records that wait in messages.
    fn records(&self) -> usize;

    /// Looks up in newer tables from now on, if there are some: once a turn of a ring.
    fn refresh(&mut self);

    /// What found no room since this was last asked.
    fn take_left_out(&mut self) -> LeftOut;
}

/// What a message header says of the stream that the message is sent in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Export time, seconds since 1970 UTC.
    pub time: u32,
    /// Observation domain id.
    pub domain: u32,
    /// Of the message, as [`Header::step`] counts.
    pub sequence: u32,
}

/// What a quoted message header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quoted {
    /// Observation domain id.
    pub domain: u32,
    /// Of the message.
    pub sequence: u32,
    /// Octets of the message.
    pub octets: u16,
}

/// The headers of a format's messages.
pub trait Header: Debug + Sync {
    /// Writes what the message says of its stream; the rest of its header is there.
    fn write(&self, message: &mut [u8], stamp: Stamp);

    /// By how much a message of so many flow records and other data records moves the sequence number on.
    fn step(&self, flows: u32, others: u32) -> u32;

    /// Reads the header of a message of which this is the beginning; `None` where it is none of this format. Not enough octets: none.
    fn read(&self, message: &[u8]) -> Option<Quoted>;

    /// Octets that [`Header::read`] needs.
    fn octets(&self) -> usize;
}

/// One stream of messages to one collector: a transport session (RFC 7011 section 2).
#[derive(Clone, Copy, Debug)]
pub struct Stream {
    /// How its headers are written.
    pub header: &'static dyn Header,
    /// Observation domain id.
    pub domain: u32,
    /// Of the next message.
    pub sequence: u32,
}

impl Stream {
    /// A stream that nothing was sent in.
    pub fn new(header: &'static dyn Header, domain: u32) -> Self {
        Self { header, domain, sequence: 0 }
    }

    /// Begins again: a new connection or socket is a new transport session.
    pub fn restart(&mut self) {
        self.sequence = 0;
    }

    /// Writes the header of the next message.
    pub fn stamp(&self, message: &mut [u8], time: u32) {
        self.header.write(message, Stamp { time, domain: self.domain, sequence: self.sequence });
    }

    /// The message was sent.
    pub fn sent(&mut self, flows: u32, others: u32) {
        self.sequence = self.sequence.wrapping_add(self.header.step(flows, others));
    }
}
