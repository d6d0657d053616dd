//! How messages reach a collector, or a file: a file each with one type that implements [`Transport`]. Name resolution, and what to tell the
//! operator when it does not work.
//!
//! A transport never waits longer than a moment. While it cannot send, its session leaves the records in the ring for
//! [`Timing::hold`] (the ring is the buffer); after that it takes and drops them, so that the loss is counted when it happens.
//!
//! Not here: SCTP, TLS and DTLS, Kafka.

pub mod file;
mod refusal;
mod resolve;
mod route;
pub mod tcp;
pub mod udp;

use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use std::{fmt, io};

use crate::format::{Message, Sealed};

/// One reading of both clocks.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// For intervals.
    pub instant: Instant,
    /// Seconds since 1970 UTC, for message headers.
    pub unix: u32,
}

impl Now {
    /// Reads the clocks.
    pub fn read() -> Self {
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        // RFC 7011 section 3.1: 32 bits, which suffice until 2106.
        Self { instant: Instant::now(), unix: u32::try_from(seconds).unwrap_or(u32::MAX) }
    }
}

/// How long things may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// The longest pause between two rounds of attempts to reach one of a collector's addresses, and the longest an attempt may take.
    pub retry: Duration,
    /// Records stay in the ring so long while nothing can be sent; then they are dropped and counted.
    pub hold: Duration,
    /// A message that is not full is sent after so long.
    pub flush: Duration,
    /// Where an announcement may be lost, templates that were made since the last one of all are announced again after so long.
    pub repeat: Duration,
    /// A stopping exporter gives the collector so long to take what is left.
    pub linger: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self { retry: seconds(5), hold: seconds(5), flush: seconds(1), repeat: seconds(10), linger: seconds(2) }
    }
}

/// What happened since it was last taken; the session adds it to the exporter's counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Flow records handed to the kernel. Of these, [`Tally::lost_refused`] and [`Tally::unacknowledged`].
    pub records: u64,
    /// Messages handed to the kernel.
    pub messages: u64,
    /// Octets of these messages.
    pub octets: u64,
    /// Flow records that could not be sent.
    pub lost_send: u64,
    /// Flow records handed over that are known not to have arrived: an ICMP error refused them.
    pub lost_refused: u64,
    /// Flow records handed over to a connection that ended before the collector's machine had acknowledged them: they may be lost.
    pub unacknowledged: u64,
    /// Template and options template records sent.
    pub templates: u64,
    /// Failed calls: a refused or failed send, a lost connection.
    pub send_errors: u64,
    /// Messages that went to the kernel together with others by UDP_SEGMENT.
    pub segments_batched: u64,
}

/// Whether the session may hand over messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// Go on.
    Ready,
    /// Not now: leave the records where they are.
    Wait,
    /// Not for long now: drop the records and count them.
    Drop,
}

/// State of an exporter, as operators read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Messages are sent.
    Connected,
    /// The collector is not reached yet, or not any more; it is tried.
    Connecting,
    /// None of its addresses works, or its name has none; it is tried again after a pause.
    Failed,
}

impl State {
    /// The state's name in the status of an exporter.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connected => "connected",
            Self::Connecting => "connecting",
            Self::Failed => "failed",
        }
    }
}

/// What carries the messages of one exporter. It writes what their headers say of the stream.
pub trait Transport: fmt::Debug {
    /// What can be known of the arrival of records that were sent: "unconfirmed", "acknowledged", "written".
    fn delivery(&self) -> &'static str;

    /// Whether templates have to be announced again and again, because an announcement may be lost (RFC 7011 section 8.4).
    fn repeats_templates(&self) -> bool;

    /// Goes on with whatever is under way: resolving, connecting, writing. Never blocks.
    fn maintain(&mut self, now: Now, tally: &mut Tally);

    /// Whether messages may be handed over now.
    fn room(&self, now: Now) -> Room;

    /// Whether the collector has to be told all templates now: a new stream, or a collector that was gone.
    fn wants_templates(&self) -> bool;

    /// Sends templates or options, before what is handed over next.
    fn announce(&mut self, messages: Vec<Message>, now: Now, tally: &mut Tally);

    /// Sends flow records. What cannot be sent is counted, not kept.
    fn send(&mut self, sealed: Sealed<'_>, now: Now, tally: &mut Tally);

    /// Whether everything that was handed over is sent and, where that can be known, has arrived at the collector's machine.
    fn is_done(&self) -> bool;

    /// Gives up what is not sent yet and counts it.
    fn abandon(&mut self, tally: &mut Tally);

    /// What to tell operators: the state, and the last trouble in a sentence (empty when there was none).
    fn status(&self) -> (State, &str);
}

/// Says in a sentence why the collector is not reached, with the remedy.
fn explain(collector: SocketAddr, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => format!("collector {collector} refused the connection; is a collector listening there?"),
        io::ErrorKind::NetworkUnreachable | io::ErrorKind::HostUnreachable => {
            format!("there is no route to collector {collector}; check the address and this machine's routes")
        }
        io::ErrorKind::TimedOut => {
            format!("collector {collector} does not answer; check the address, the port and the firewalls between")
        }
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::UnexpectedEof => {
            format!("collector {collector} closed the connection; see the collector's log for the reason")
        }
        io::ErrorKind::PermissionDenied => {
            format!("this machine forbids sending to collector {collector} ({error}); check its firewall rules")
        }
        _ => format!("sending to collector {collector} failed: {error}"),
    }
}
