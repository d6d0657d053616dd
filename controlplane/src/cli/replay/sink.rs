//! Takes flows and prints them: what every format does.

use sonde_record::fact::TcpPerformance;
use sonde_record::{Kind, Output, RecordView};
use std::io;

/// Which flows are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Table {
    /// Flows with an IP header.
    Flows,
    /// Flows without: ARP, LLDP and whatever else was on the wire.
    L2,
    /// TCP connections; with `--format csv` how they performed, client first.
    #[value(name = "tcp_rtt")]
    TcpRtt,
}

impl Table {
    /// Whether a flow is printed.
    pub(super) fn takes(self, record: &RecordView<'_>) -> bool {
        match self {
            Self::Flows => record.kind() != Kind::Layer2,
            Self::L2 => record.kind() == Kind::Layer2,
            Self::TcpRtt => record.has::<TcpPerformance>(),
        }
    }
}

/// Takes the flows of one file after the other, and prints them.
///
/// [`Output::put`] cannot fail; what went wrong in it comes out of [`Sink::end`].
pub trait Sink: Output {
    /// Another file begins. `ethernet`: whether its frames have MAC addresses.
    fn begin(&mut self, file: &str, ethernet: bool);

    /// The file has ended.
    ///
    /// # Errors
    /// When the output could not be written, now or before.
    fn end(&mut self) -> io::Result<()>;

    /// There are no more files: writes what was held back.
    ///
    /// # Errors
    /// When the output could not be written.
    fn finish(&mut self) -> io::Result<()>;
}
