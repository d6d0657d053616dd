//! IPFIX files (RFC 5655): the messages of one stream, one behind the other. [`File`] is the transport, [`FileWriter`] writes records
//! without a session.

use std::fmt;
use std::io::{self, Write};

use sonde_record::{Output, RecordView};

use super::{Now, Room, State, Tally, Transport};
use crate::format::ipfix::encoder::{Encoder, Options};
use crate::format::{Format, Message, Sealed, Sink, Statistics, Stream};

/// Largest message of a file: there is no path whose MTU it could exceed.
const MESSAGE_OCTETS_MAX: usize = 65_000;
const NANOSECONDS: u64 = 1_000_000_000;

/// A file that messages are written to. Nothing is written after the first failure.
pub struct File<W> {
    out: W,
    stream: Stream,
    /// Templates have been written.
    announced: bool,
    failed: Option<io::Error>,
    trouble: String,
}

impl<W> fmt::Debug for File<W> {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.debug_struct("File").field("stream", &self.stream).field("failed", &self.failed).finish_non_exhaustive()
    }
}

impl<W: Write> File<W> {
    /// Writes this stream.
    pub fn new(out: W, stream: Stream) -> Self {
        Self { out, stream, announced: false, failed: None, trouble: String::new() }
    }

    /// The first failure since this was last asked. What comes behind it is not written all the same.
    pub fn take_failure(&mut self) -> Option<io::Error> {
        self.failed.take()
    }

    /// Writes a message; whether it could.
    fn write(&mut self, message: &mut [u8], flows: u32, others: u32, now: Now, tally: &mut Tally) -> bool {
        if self.is_broken() {
            return false;
        }
        self.stream.stamp(message, now.unix);
        if let Err(error) = self.out.write_all(message) {
            self.trouble = format!("the file cannot be written: {error}; check the disk");
            self.failed = Some(error);
            tally.send_errors += 1;
            return false;
        }
        self.stream.sent(flows, others);
        tally.messages += 1;
        tally.octets += message.len() as u64;
        true
    }

    fn is_broken(&self) -> bool {
        !self.trouble.is_empty()
    }
}

impl<W: Write> Transport for File<W> {
    fn delivery(&self) -> &'static str {
        "written"
    }

    fn repeats_templates(&self) -> bool {
        false
    }

    fn maintain(&mut self, _now: Now, _tally: &mut Tally) {}

    fn room(&self, _now: Now) -> Room {
        if self.is_broken() { Room::Drop } else { Room::Ready }
    }

    fn wants_templates(&self) -> bool {
        !self.announced
    }

    fn announce(&mut self, messages: Vec<Message>, now: Now, tally: &mut Tally) {
        self.announced = true;
        for mut message in messages {
            if self.write(&mut message.octets, 0, message.records, now, tally) {
                tally.templates += u64::from(message.templates);
            }
        }
    }

    fn send(&mut self, mut sealed: Sealed<'_>, now: Now, tally: &mut Tally) {
        for (message, flows) in sealed.each() {
            let sent = self.write(message, flows, 0, now, tally);
            let count = if sent { &mut tally.records } else { &mut tally.lost_send };
            *count += u64::from(flows);
        }
    }

    fn is_done(&self) -> bool {
        true
    }

    fn abandon(&mut self, _tally: &mut Tally) {}

    fn status(&self) -> (State, &str) {
        (if self.is_broken() { State::Failed } else { State::Connected }, &self.trouble)
    }
}

/// What was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Flow records.
    pub records: u64,
    /// Messages.
    pub messages: u64,
    /// Octets.
    pub octets: u64,
}

/// Writes flow records as IPFIX messages.
///
/// The export time of a message is the end of the last flow seen before it, so that the same records make the same file.
#[derive(Debug)]
pub struct FileWriter<W: Write> {
    encoder: Encoder,
    target: Target<W>,
    domain: u32,
    interfaces: Vec<(u32, String)>,
    records: u64,
}

/// Where the encoder's messages go.
#[derive(Debug)]
struct Target<W: Write> {
    file: File<W>,
    now: Now,
    tally: Tally,
}

impl<W: Write> Sink for Target<W> {
    fn announce(&mut self, messages: Vec<Message>) {
        self.file.announce(messages, self.now, &mut self.tally);
    }

    fn send(&mut self, sealed: Sealed<'_>) {
        self.file.send(sealed, self.now, &mut self.tally);
    }
}

impl<W: Write> Target<W> {
    fn check(&mut self) -> io::Result<()> {
        self.file.take_failure().map_or(Ok(()), Err)
    }
}

impl<W: Write> FileWriter<W> {
    /// A file of this observation domain. Of `options` the sizes of messages do not count: they are as large as they may be.
    pub fn new(out: W, domain: u32, options: Options) -> Self {
        let encoder = Encoder::new(Options { message_octets_max: MESSAGE_OCTETS_MAX, messages_max: 1, ..options });
        let now = Now { unix: 0, ..Now::read() };
        let file = File::new(out, Stream::new(encoder.header(), domain));
        Self { encoder, target: Target { file, now, tally: Tally::default() }, domain, interfaces: Vec::new(), records: 0 }
    }

    /// With the numbers (`ingressInterface`) and names of ports.
    #[must_use]
    pub fn with_interfaces(self, interfaces: Vec<(u32, String)>) -> Self {
        Self { interfaces, ..self }
    }

    /// Writes one record, or keeps it until its message is full.
    ///
    /// # Errors
    /// When the file cannot be written, once.
    pub fn write(&mut self, record: &RecordView<'_>) -> io::Result<()> {
        let seconds = u32::try_from(record.end() / NANOSECONDS).unwrap_or(u32::MAX);
        self.target.now.unix = self.target.now.unix.max(seconds);
        self.records += 1;
        self.begin();
        self.encoder.put(record, &mut self.target);
        self.target.check()
    }

    /// Writes what is left, and the exporter statistics as the last message.
    ///
    /// # Errors
    /// When the file cannot be written, or could not in an earlier [`Output::put`].
    pub fn finish(mut self) -> io::Result<(W, Totals)> {
        self.begin();
        self.encoder.flush(true, &mut self.target);
        let Tally { messages, octets, .. } = self.target.tally;
        let statistics = Statistics { octets, messages, records: self.records, not_sent: 0 };
        self.target.announce(self.encoder.options(self.domain, &statistics, &self.interfaces));
        self.target.check()?;
        let Target { file, tally: Tally { messages, octets, .. }, .. } = self.target;
        let mut out = file.out;
        out.flush()?;
        Ok((out, Totals { records: self.records, messages, octets }))
    }

    /// Before the first record.
    fn begin(&mut self) {
        if self.target.file.wants_templates() {
            self.target.announce(self.encoder.templates());
        }
    }
}

impl<W: Write> Output for FileWriter<W> {
    /// Writes one record. The first failure is kept for [`FileWriter::finish`], and nothing is written after it.
    fn put(&mut self, record: &RecordView<'_>) {
        if let Err(error) = self.write(record) {
            self.target.file.failed = Some(error);
        }
    }
}
