//! Flows as an IPFIX file (RFC 5655): what an exporter would have sent, one message behind the other.

use super::sink::Sink;
use sonde_enrich::{Enricher, Handle};
use sonde_export::{Fields, FileWriter, Options};
use sonde_record::{Output, RecordView};
use std::io::{self, BufWriter, Write};
use std::sync::Arc;

/// The observation domain of a replay (RFC 7011 section 3.1): all files of one run are one stream.
const DOMAIN: u32 = 1;

/// Writes IPFIX messages.
#[derive(Debug)]
pub struct Ipfix<W: Write> {
    /// `None` once finished.
    writer: Option<FileWriter<BufWriter<W>>>,
    fault: Option<io::Error>,
}

impl<W: Write> Ipfix<W> {
    /// Writes these fields to `out`; with a table to look up addresses, each record of an IP flow says what was found. `icmp_in_port`: the
    /// destination port of ICMP is its type * 256 + code.
    pub fn new(out: W, whose: Option<Enricher>, fields: Fields, icmp_in_port: bool, enterprise: u32) -> Self {
        let out = BufWriter::with_capacity(256 << 10, out);
        let enrichment = whose.map(|table| {
            let handle = Handle::default();
            handle.post(Some(table));
            Arc::new(handle)
        });
        let writer = FileWriter::new(out, DOMAIN, Options { fields, enrichment, icmp_in_port, enterprise, ..Options::default() });
        Self { writer: Some(writer), fault: None }
    }
}

impl<W: Write> Output for Ipfix<W> {
    fn put(&mut self, record: &RecordView<'_>) {
        if self.fault.is_none()
            && let Some(writer) = self.writer.as_mut()
            && let Err(error) = writer.write(record)
        {
            self.fault = Some(error);
        }
    }
}

impl<W: Write> Sink for Ipfix<W> {
    fn begin(&mut self, _file: &str, _ethernet: bool) {}

    fn end(&mut self) -> io::Result<()> {
        self.fault.take().map_or(Ok(()), Err)
    }

    fn finish(&mut self) -> io::Result<()> {
        match self.writer.take() {
            Some(writer) => writer.finish().map(|_| ()),
            None => Ok(()),
        }
    }
}
