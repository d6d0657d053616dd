//! IPFIX over TCP (RFC 7011 section 10.4): a non-blocking connection behind a bounded buffer of whole messages.
//!
//! A message counts as sent when the kernel has all of it. When the connection is lost, the messages it has not are sent first in
//! the next one, with new sequence numbers and after the templates: a new connection is a new transport session. Those that the kernel has
//! and the collector's machine had not acknowledged may be lost: they are counted, and not sent again, because they may have arrived, too.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::mem;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use socket2::{Domain, SockAddr, Socket, TcpKeepalive, Type};

use super::route::Route;
use super::{Now, Room, State, Tally, Timing, Transport, explain};
use crate::format::{Message, Sealed, Stream};

/// Octets that may wait for the kernel. Beyond it the records stay in the ring.
const PENDING_OCTETS_MAX: usize = 1 << 20;
/// A collector whose machine vanished is found out after so long, by keep-alives or unacknowledged data.
const DEAD_AFTER: Duration = Duration::from_secs(30);

/// Messages are remembered until so many octets were written behind them: more than a kernel's buffer holds.
const REMEMBERED_OCTETS: u64 = 64 << 20;

/// A message that waits.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    octets: usize,
    /// Flow records.
    flows: u32,
    /// Options data records.
    options: u32,
    templates: u32,
}

#[derive(Debug)]
enum Phase {
    /// Nothing is under way before `retry_at`.
    Down,
    /// The handshake goes on.
    Connecting(TcpStream, SocketAddr),
    /// Connected, but the collector does not know the templates yet.
    New(TcpStream, SocketAddr),
    /// Connected.
    Up(TcpStream, SocketAddr),
}

/// A TCP exporter's end of the connection.
#[derive(Debug)]
pub struct Tcp {
    route: Route,
    stream: Stream,
    timing: Timing,
    phase: Phase,
    /// The attempt ends by then.
    attempt_until: Instant,
    /// When the collector last took something, or when there was nothing for it to take.
    progress: Instant,
    /// The collector reads nothing, and that was said.
    silent: bool,
    pending: Vec<u8>,
    /// Octets of `pending` the kernel has; less than the first message's.
    written: usize,
    messages: VecDeque<Waiting>,
    /// Octets the kernel of this connection has taken.
    taken: u64,
    /// Where messages end among them, with their flow records; the latest.
    sent: VecDeque<(u64, u32)>,
}

impl Tcp {
    /// A connection for this stream to `address` ("host:port"), which is resolved and connected later.
    pub fn new(address: &str, stream: Stream, timing: Timing, now: Now) -> Self {
        Self {
            route: Route::new(address, timing, now),
            stream,
            timing,
            phase: Phase::Down,
            attempt_until: now.instant,
            progress: now.instant,
            silent: false,
            pending: Vec::new(),
            written: 0,
            messages: VecDeque::new(),
            taken: 0,
            sent: VecDeque::new(),
        }
    }

    /// Starts the next attempt.
    fn begin(&mut self, now: Now, tally: &mut Tally) {
        let Some(collector) = self.route.next(now) else { return };
        self.attempt_until = now.instant + self.timing.retry;
        match connect(collector) {
            Ok(stream) => self.phase = Phase::Connecting(stream, collector),
            Err(error) => self.lost(collector, &error, now, tally),
        }
    }

    /// Asks what became of the handshake.
    fn finish(&mut self, stream: TcpStream, collector: SocketAddr, now: Now, tally: &mut Tally) {
        match stream.take_error() {
            Ok(None) if stream.peer_addr().is_ok() => {
                // On loopback a connection to an unused port may meet itself.
                if stream.local_addr().ok() == stream.peer_addr().ok() {
                    return self.lost(collector, &ErrorKind::ConnectionRefused.into(), now, tally);
                }
                // RFC 7011 section 3.1: the sequence is that of the stream, and this one is new.
                self.stream.restart();
                self.route.works();
                (self.taken, self.progress) = (0, now.instant);
                self.sent.clear();
                self.phase = Phase::New(stream, collector);
            }
            Ok(None) if now.instant < self.attempt_until => self.phase = Phase::Connecting(stream, collector),
            Ok(None) => self.lost(collector, &ErrorKind::TimedOut.into(), now, tally),
            Ok(Some(error)) | Err(error) => self.lost(collector, &error, now, tally),
        }
    }

    fn lost(&mut self, collector: SocketAddr, error: &io::Error, now: Now, tally: &mut Tally) {
        tally.send_errors += 1;
        self.phase = Phase::Down;
        // The collector throws half a message away with the connection, so it is sent again as a whole.
        self.written = 0;
        self.route.failed(now, explain(collector, error));
    }

    /// Octets that the kernel has and the collector's machine has not acknowledged.
    fn unacknowledged(&self) -> u64 {
        match &self.phase {
            Phase::Up(stream, _) => sonde_memory::socket::unacknowledged(stream.as_fd()).map_or(0, u64::from),
            _ => 0,
        }
    }

    /// Counts the flow records of messages that the kernel has, but of which the collector's machine has not acknowledged everything.
    fn count_unacknowledged(&mut self, stream: &TcpStream, tally: &mut Tally) {
        let open = sonde_memory::socket::unacknowledged(stream.as_fd()).map_or(0, u64::from);
        let arrived = self.taken.saturating_sub(open);
        tally.unacknowledged +=
            self.sent.iter().rev().take_while(|(end, _)| *end > arrived).map(|(_, flows)| u64::from(*flows)).sum::<u64>();
        self.sent.clear();
    }

    fn write(&mut self, stream: &mut TcpStream, now: Now, tally: &mut Tally) -> io::Result<()> {
        // A collector has nothing to say; what can be read is the end of the connection. Seen before writing, it saves what
        // the kernel would still take.
        match stream.read(&mut [0; 64]) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Err(error) if error.kind() != ErrorKind::WouldBlock => return Err(error),
            _ => {}
        }
        if self.pending.is_empty() {
            self.progress = now.instant;
            return Ok(());
        }
        let mut at = self.written;
        let outcome = loop {
            match stream.write(&self.pending[at..]) {
                Ok(0) => break Ok(()),
                Ok(written) => at += written,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        if at > self.written {
            self.progress = now.instant;
            self.silent = false;
        } else if !self.silent && self.pending.len() > PENDING_OCTETS_MAX && now.instant.duration_since(self.progress) >= self.timing.hold {
            self.silent = true;
            tally.send_errors += 1;
            if let Ok(collector) = stream.peer_addr() {
                self.route.say(format!(
                    "collector {collector} has read nothing for {} s; is it overloaded or stopped? records are dropped until it reads",
                    self.timing.hold.as_secs_f32()
                ));
            }
        }
        self.taken += (at - self.written) as u64;
        self.count_written(at, tally);
        outcome
    }

    /// Counts the messages that end before `at`, and forgets them.
    fn count_written(&mut self, at: usize, tally: &mut Tally) {
        let mut done = 0;
        while let Some(message) = self.messages.front()
            && done + message.octets <= at
        {
            done += message.octets;
            tally.messages += 1;
            tally.octets += message.octets as u64;
            tally.records += u64::from(message.flows);
            tally.templates += u64::from(message.templates);
            self.sent.push_back((self.taken - (at - done) as u64, message.flows));
            self.messages.pop_front();
        }
        while self.sent.front().is_some_and(|(end, _)| *end + REMEMBERED_OCTETS < self.taken) {
            self.sent.pop_front();
        }
        self.pending.drain(..done);
        self.written = at - done;
    }

    /// Whether nothing moves: no connection, or a collector that does not read.
    fn stalled(&self) -> bool {
        !matches!(self.phase, Phase::Up(..) | Phase::New(..)) || self.pending.len() > PENDING_OCTETS_MAX
    }

    fn push(&mut self, octets: &mut [u8], message: Waiting, now: Now) {
        self.stream.stamp(octets, now.unix);
        self.stream.sent(message.flows, message.options);
        self.pending.extend_from_slice(octets);
        self.messages.push_back(message);
    }

    fn waiting(&self) -> u64 {
        self.messages.iter().map(|message| u64::from(message.flows)).sum()
    }
}

impl Transport for Tcp {
    fn delivery(&self) -> &'static str {
        "acknowledged"
    }

    fn repeats_templates(&self) -> bool {
        false
    }

    fn maintain(&mut self, now: Now, tally: &mut Tally) {
        match mem::replace(&mut self.phase, Phase::Down) {
            Phase::Down => self.begin(now, tally),
            Phase::Connecting(stream, collector) => self.finish(stream, collector, now, tally),
            Phase::New(stream, collector) => self.phase = Phase::New(stream, collector),
            Phase::Up(mut stream, collector) => match self.write(&mut stream, now, tally) {
                Ok(()) => self.phase = Phase::Up(stream, collector),
                Err(error) => {
                    self.count_unacknowledged(&stream, tally);
                    self.lost(collector, &error, now, tally);
                }
            },
        }
    }

    fn room(&self, now: Now) -> Room {
        if !self.stalled() {
            Room::Ready
        } else if now.instant.duration_since(self.progress) < self.timing.hold {
            Room::Wait
        } else {
            Room::Drop
        }
    }

    fn wants_templates(&self) -> bool {
        matches!(self.phase, Phase::New(..))
    }

    fn announce(&mut self, messages: Vec<Message>, now: Now, _tally: &mut Tally) {
        // On a new connection the templates go first, then the flows that the last one did not take. What it did not take of
        // templates and options is old.
        let (mut old, waiting) = match mem::replace(&mut self.phase, Phase::Down) {
            Phase::New(stream, collector) => {
                self.phase = Phase::Up(stream, collector);
                (mem::take(&mut self.pending), mem::take(&mut self.messages))
            }
            other => {
                self.phase = other;
                Default::default()
            }
        };
        for mut message in messages {
            let waiting = Waiting { octets: message.octets.len(), flows: 0, options: message.records, templates: message.templates };
            self.push(&mut message.octets, waiting, now);
        }
        let mut rest = old.as_mut_slice();
        for message in waiting {
            let (octets, behind) = rest.split_at_mut(message.octets);
            if message.flows > 0 {
                self.push(octets, message, now);
            }
            rest = behind;
        }
    }

    fn send(&mut self, mut sealed: Sealed<'_>, now: Now, _tally: &mut Tally) {
        for (octets, flows) in sealed.each() {
            let waiting = Waiting { octets: octets.len(), flows, options: 0, templates: 0 };
            self.push(octets, waiting, now);
        }
    }

    fn is_done(&self) -> bool {
        self.waiting() == 0 && self.unacknowledged() == 0
    }

    fn abandon(&mut self, tally: &mut Tally) {
        tally.lost_send += self.waiting();
        if let Phase::Up(stream, _) = mem::replace(&mut self.phase, Phase::Down) {
            self.count_unacknowledged(&stream, tally);
        }
        self.messages.clear();
        self.pending.clear();
        self.written = 0;
    }

    fn status(&self) -> (State, &str) {
        match self.phase {
            Phase::Up(..) | Phase::New(..) => (State::Connected, self.route.trouble()),
            Phase::Down | Phase::Connecting(..) if self.route.has_failed() => (State::Failed, self.route.trouble()),
            Phase::Down | Phase::Connecting(..) => (State::Connecting, self.route.trouble()),
        }
    }
}

/// Begins a handshake.
fn connect(collector: SocketAddr) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(collector), Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_user_timeout(Some(DEAD_AFTER))?;
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(DEAD_AFTER / 2).with_interval(DEAD_AFTER / 6))?;
    match socket.connect(&SockAddr::from(collector)) {
        Err(error) if error.raw_os_error() != Some(Errno::EINPROGRESS as i32) => Err(error),
        _ => Ok(socket.into()),
    }
}
