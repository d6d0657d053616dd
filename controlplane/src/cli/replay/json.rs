//! The fields of the API's `Flow` message, and the file before them: as JSON, one object a line, or a field a line.

use super::sink::{Sink, Table};
use crate::cli::flows::heading;
use crate::cli::sheet;
use serde::Serialize;
use sonde_enrich::Enricher;
use sonde_proto::v1::Flow;
use sonde_record::{Output, RecordView};
use std::io::{self, Write};

/// Writes one object, or one sheet, for each flow.
#[derive(Debug)]
pub struct Json<W: Write> {
    out: io::BufWriter<W>,
    table: Table,
    sheets: bool,
    file: String,
    whose: Option<Enricher>,
    fault: Option<io::Error>,
}

#[derive(Serialize)]
struct Line<'a> {
    file: &'a str,
    #[serde(flatten)]
    flow: Flow,
}

impl<W: Write> Json<W> {
    /// Writes to `out`; with a table to look up addresses, each flow with an IP header says what was found.
    pub fn new(out: W, table: Table, whose: Option<Enricher>) -> Self {
        Self { out: io::BufWriter::with_capacity(256 << 10, out), table, sheets: false, file: String::new(), whose, fault: None }
    }

    /// As [`Json::new`], for people: a field a line.
    pub fn sheets(out: W, table: Table, whose: Option<Enricher>) -> Self {
        Self { sheets: true, ..Self::new(out, table, whose) }
    }

    fn line(&mut self, record: &RecordView<'_>) -> io::Result<()> {
        let line = Line { file: &self.file, flow: crate::flow::placed(record, self.whose.as_ref()) };
        if self.sheets {
            return sheet::lines(heading(&line.flow), &line)?.iter().try_for_each(|line| writeln!(self.out, "{line}"));
        }
        serde_json::to_writer(&mut self.out, &line)?;
        self.out.write_all(b"\n")
    }
}

impl<W: Write> Output for Json<W> {
    fn put(&mut self, record: &RecordView<'_>) {
        if self.table.takes(record)
            && self.fault.is_none()
            && let Err(error) = self.line(record)
        {
            self.fault = Some(error);
        }
    }
}

impl<W: Write> Sink for Json<W> {
    fn begin(&mut self, file: &str, _ethernet: bool) {
        file.clone_into(&mut self.file);
    }

    fn end(&mut self) -> io::Result<()> {
        self.fault.take().map_or(Ok(()), Err)
    }

    fn finish(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
