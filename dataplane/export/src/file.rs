//! IPFIX files (RFC 5655): the messages of one stream, one behind the other.

use std::io::{self, Write};
use std::sync::Arc;

use sonde_enrich::Handle;
use sonde_flow::pattern::Wants;
use sonde_record::{Output, RecordView};

use crate::announce::{self, Message, Statistics};
use crate::batch::{Batch, Stamp};
use crate::ipfix::Encoder;

/// Largest message of a file: there is no path whose MTU it could exceed.
const MESSAGE_OCTETS_MAX: usize = 65_000;
const NANOSECONDS: u64 = 1_000_000_000;

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
pub struct FileWriter<W> {
    out: W,
    encoder: Encoder,
    domain: u32,
    sequence: u32,
    time: u32,
    interfaces: Vec<(u32, String)>,
    announced: bool,
    totals: Totals,
    failed: Option<io::Error>,
}

impl<W: Write> FileWriter<W> {
    /// A file of this observation domain; `interfaces` are the numbers (`ingressInterface`) and names of ports. Addresses are looked
    /// up in the table that `enrichment` holds now, if it is given; `patterns` of packets are those that records have.
    pub fn new(out: W, domain: u32, interfaces: Vec<(u32, String)>, enrichment: Option<Arc<Handle>>, patterns: Wants) -> Self {
        let encoder = Encoder::new(MESSAGE_OCTETS_MAX, 1, enrichment, patterns);
        let totals = Totals::default();
        Self { out, encoder, domain, sequence: 0, time: 0, interfaces, announced: false, totals, failed: None }
    }

    /// Writes type * 256 + code as the destination port of ICMP and ICMPv6.
    #[must_use]
    pub fn with_icmp_in_port(mut self, icmp_in_port: bool) -> Self {
        self.encoder = self.encoder.with_icmp_in_port(icmp_in_port);
        self
    }

    /// Writes one record, or keeps it until its message is full.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&mut self, record: &RecordView<'_>) -> io::Result<()> {
        let seconds = u32::try_from(record.end() / NANOSECONDS).unwrap_or(u32::MAX);
        self.time = self.time.max(seconds);
        self.totals.records += 1;
        if !self.announced {
            self.announced = true;
            self.announce(announce::templates(self.encoder.templates(), MESSAGE_OCTETS_MAX))?;
        }
        if let Some(full) = self.encoder.put(record) {
            let stamp = Stamp { time: self.time, domain: self.domain, sequence: self.sequence };
            self.sequence = drain(full, stamp, &mut self.out, &mut self.totals)?;
        }
        Ok(())
    }

    /// Writes what is left, and the exporter statistics as the last message.
    ///
    /// # Errors
    /// When the file cannot be written, or could not in an earlier [`Output::put`].
    pub fn finish(mut self) -> io::Result<(W, Totals)> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        if !self.announced {
            self.announce(announce::templates(self.encoder.templates(), MESSAGE_OCTETS_MAX))?;
        }
        for batch in self.encoder.batches() {
            let stamp = Stamp { time: self.time, domain: self.domain, sequence: self.sequence };
            self.sequence = drain(batch, stamp, &mut self.out, &mut self.totals)?;
        }
        let Totals { records, messages, octets } = self.totals;
        let statistics = Statistics { octets, messages, records, not_sent: 0 };
        self.announce(announce::options(MESSAGE_OCTETS_MAX, self.domain, &statistics, &self.interfaces))?;
        self.out.flush()?;
        Ok((self.out, self.totals))
    }

    fn announce(&mut self, messages: Vec<Message>) -> io::Result<()> {
        for mut message in messages {
            Stamp { time: self.time, domain: self.domain, sequence: self.sequence }.write(&mut message.octets);
            self.out.write_all(&message.octets)?;
            self.sequence = self.sequence.wrapping_add(message.records);
            self.totals.messages += 1;
            self.totals.octets += message.octets.len() as u64;
        }
        Ok(())
    }
}

impl<W: Write> Output for FileWriter<W> {
    /// Writes one record. The first failure is kept for [`FileWriter::finish`], and nothing is written after it.
    fn put(&mut self, record: &RecordView<'_>) {
        if self.failed.is_none() {
            self.failed = self.write(record).err();
        }
    }
}

/// Writes all messages of a batch; returns the sequence number that follows.
fn drain(batch: &mut Batch, stamp: Stamp, out: &mut impl Write, totals: &mut Totals) -> io::Result<u32> {
    let written = batch.drain(true, |mut sealed| {
        let following = sealed.stamp(stamp);
        out.write_all(sealed.octets)?;
        totals.messages += sealed.messages() as u64;
        totals.octets += sealed.octets.len() as u64;
        Ok(following)
    });
    written.unwrap_or(Ok(stamp.sequence))
}
