//! IPFIX over UDP (RFC 7011 section 10.3): a connected socket, and UDP_SEGMENT, which passes up to 64 messages in one call.
//!
//! Nobody confirms a datagram. What can be known is that one was refused: the kernel said so, or an ICMP error quotes it. So an address is tried
//! with the templates alone, before it is sent records; and one that refuses gets none, until it was tried again. Records that were refused
//! are counted: those of the message that the error quotes, and those that were sent behind it before it came. Errors are limited in rate (RFC
//! 1812 section 4.3.2.8, RFC 4443 section 2.4), so that is the least that did not arrive; of the rest nothing is known.
//!
//! The socket never blocks. What the kernel has no room for waits here, and the records behind it in the ring.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::time::Instant;

use nix::errno::Errno;
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use socket2::SockRef;

use super::refusal::{self, Log, Refusal};
use super::route::Route;
use super::{Now, Room, State, Tally, Timing, Transport, explain};
use crate::format::{Message, Sealed, Stream};

/// Kernel buffer asked for; the kernel gives what `net.core.wmem_max` allows.
const SEND_BUFFER_OCTETS: usize = 4 << 20;
/// An address that has not refused the templates after this part of [`Timing::retry`] is sent records.
const TRIAL: u32 = 20;

#[derive(Debug)]
enum Phase {
    /// No socket.
    Down,
    /// Sends templates, since then if it has, and waits whether they are refused.
    Trial(UdpSocket, SocketAddr, Option<Instant>),
    /// Sends records.
    Up(UdpSocket, SocketAddr),
}

/// A message that waits for room in the kernel.
#[derive(Debug)]
struct Pending {
    octets: Vec<u8>,
    /// Flow records.
    flows: u32,
    /// Options data records.
    options: u32,
    templates: u32,
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Sent,
    /// Too long for the way: only this one is lost.
    Lost,
    /// The kernel has no room, or there is no way to the collector any more: it is not sent yet.
    Kept,
}

/// A UDP exporter's end of the stream.
#[derive(Debug)]
pub struct Udp {
    route: Route,
    timing: Timing,
    phase: Phase,
    /// When messages could last be handed over.
    progress: Instant,
    stream: Stream,
    log: Log,
    /// Whether this path takes UDP_SEGMENT.
    segmentation: bool,
    pending: VecDeque<Pending>,
    /// It is said that the kernel takes nothing.
    blocked: bool,
}

impl Udp {
    /// Sends this stream to `address` ("host:port"), which is resolved later.
    pub fn new(address: &str, stream: Stream, timing: Timing, now: Now) -> Self {
        Self {
            route: Route::new(address, timing, now),
            timing,
            phase: Phase::Down,
            progress: now.instant,
            stream,
            log: Log::new(stream),
            segmentation: true,
            pending: VecDeque::new(),
            blocked: false,
        }
    }

    /// Opens a socket to the next address.
    fn begin(&mut self, now: Now, tally: &mut Tally) {
        let Some(collector) = self.route.next(now) else { return };
        match open(collector) {
            Ok(socket) => {
                // A new socket is a new transport session: its sequence begins at 0, and it knows no templates.
                self.stream.restart();
                self.log.clear();
                self.segmentation = true;
                self.phase = Phase::Trial(socket, collector, None);
            }
            Err(error) => {
                tally.send_errors += 1;
                self.route.failed(now, explain(collector, &error));
            }
        }
    }

    fn is_late(&self, now: Now) -> bool {
        now.instant.duration_since(self.progress) >= self.timing.hold
    }

    /// Sends what waits, as far as the kernel has room; no flow record to an address that is on trial.
    fn send_pending(&mut self, now: Now, tally: &mut Tally) {
        while let Some(mut message) = self.pending.pop_front_if(|message| match self.phase {
            Phase::Down | Phase::Trial(_, _, None) => false,
            Phase::Trial(..) => message.flows == 0,
            Phase::Up(..) => true,
        }) {
            // RFC 7011 section 3.1: the sequence counts records sent, so what fails does not count.
            self.stream.stamp(&mut message.octets, now.unix);
            match self.send_one(&message.octets, message.flows, now, tally) {
                Fate::Sent => {
                    self.stream.sent(message.flows, message.options);
                    tally.records += u64::from(message.flows);
                    tally.templates += u64::from(message.templates);
                    if matches!(self.phase, Phase::Up(..)) {
                        self.progress = now.instant;
                    }
                }
                Fate::Lost => tally.lost_send += u64::from(message.flows),
                Fate::Kept => {
                    self.pending.push_front(message);
                    return;
                }
            }
        }
    }

    /// Sends all messages, each but the last of so many octets, in one call. False: nothing was sent, try them one by one.
    fn send_segments(&mut self, sealed: &mut Sealed<'_>, segment: usize, now: Now, tally: &mut Tally) -> bool {
        let Ok(segment) = u16::try_from(segment) else { return false };
        // An error of an earlier datagram is reported instead of sending, once.
        for _ in 0..2 {
            let Phase::Up(socket, collector) = &self.phase else { return false };
            let collector = *collector;
            match send_segmented(socket, sealed.octets, segment) {
                Ok(_) => {
                    let messages = sealed.messages() as u64;
                    tally.messages += messages;
                    tally.segments_batched += messages;
                    tally.octets += sealed.octets.len() as u64;
                    tally.records += sealed.records() as u64;
                    let mut stream = self.stream;
                    for (message, flows) in sealed.each() {
                        self.log.add(stream.sequence, message.len(), flows);
                        stream.sent(flows, 0);
                    }
                    return true;
                }
                Err(error) => match error {
                    Errno::EAGAIN | Errno::ENOBUFS => return false,
                    // Messages larger than the path's MTU, a device without checksum offload, a kernel before 4.18: one by one for good.
                    Errno::EINVAL | Errno::EMSGSIZE | Errno::EIO | Errno::EOPNOTSUPP | Errno::ENOPROTOOPT if !self.hear(now, tally) => {
                        self.segmentation = false;
                        return false;
                    }
                    _ => self.fault(collector, &error.into(), now, tally),
                },
            }
        }
        false
    }

    fn send_one(&mut self, message: &[u8], flows: u32, now: Now, tally: &mut Tally) -> Fate {
        // An error of an earlier datagram is reported instead of sending, once: the second attempt sends.
        for _ in 0..2 {
            let (Phase::Up(socket, collector) | Phase::Trial(socket, collector, _)) = &self.phase else { return Fate::Kept };
            let collector = *collector;
            let error = match socket.send(message) {
                Ok(_) => {
                    tally.messages += 1;
                    tally.octets += message.len() as u64;
                    self.log.add(self.stream.sequence, message.len(), flows);
                    return Fate::Sent;
                }
                Err(error) => error,
            };
            match error.raw_os_error().map(Errno::from_raw) {
                Some(Errno::EAGAIN | Errno::ENOBUFS) => return Fate::Kept,
                Some(Errno::EMSGSIZE) if !self.hear(now, tally) => {
                    tally.send_errors += 1;
                    self.route.say(format!(
                        "messages of {} octets are too long for the way to collector {collector}; lower message_octets_max",
                        message.len()
                    ));
                    return Fate::Lost;
                }
                _ => self.fault(collector, &error, now, tally),
            }
        }
        Fate::Kept
    }

    /// A call has failed: it was told what became of earlier datagrams, or it has none to tell, and this machine has no way to the collector.
    fn fault(&mut self, collector: SocketAddr, error: &io::Error, now: Now, tally: &mut Tally) {
        if self.hear(now, tally) {
            return;
        }
        tally.send_errors += 1;
        let about = refusal::About::Unknown;
        if error.kind() == io::ErrorKind::ConnectionRefused {
            tally.lost_refused += self.log.flows_from(about);
        }
        self.leave(now, explain(collector, error));
    }

    /// Takes what the network says of earlier datagrams; whether there was any.
    fn hear(&mut self, now: Now, tally: &mut Tally) -> bool {
        let mut heard = false;
        while let Phase::Up(socket, collector) | Phase::Trial(socket, collector, _) = &self.phase
            && let Some(refusal) = refusal::next(socket, &self.log)
        {
            heard = true;
            tally.send_errors += 1;
            let collector = *collector;
            if refusal.too_long() {
                // The kernel knows the path's MTU from now on, and fragments.
                tally.lost_refused += self.log.flows_of(refusal.about);
                self.route
                    .say(format!("a router on the way to collector {collector} says that messages are too long; lower message_octets_max"));
            } else {
                tally.lost_refused += self.log.flows_from(refusal.about);
                self.leave(now, sentence(collector, &refusal));
            }
        }
        heard
    }

    /// The address does not work: the next one is tried.
    fn leave(&mut self, now: Now, why: String) {
        self.phase = Phase::Down;
        self.log.clear();
        self.route.failed(now, why);
    }

    fn waiting(&self) -> u64 {
        self.pending.iter().map(|message| u64::from(message.flows)).sum()
    }
}

impl Transport for Udp {
    fn delivery(&self) -> &'static str {
        "unconfirmed"
    }

    fn repeats_templates(&self) -> bool {
        true
    }

    fn maintain(&mut self, now: Now, tally: &mut Tally) {
        self.hear(now, tally);
        match std::mem::replace(&mut self.phase, Phase::Down) {
            Phase::Down => self.begin(now, tally),
            Phase::Trial(socket, collector, Some(since)) if now.instant.duration_since(since) >= self.timing.retry / TRIAL => {
                self.route.works();
                self.phase = Phase::Up(socket, collector);
            }
            other => self.phase = other,
        }
        self.send_pending(now, tally);
        if matches!(self.phase, Phase::Up(..)) && self.pending.is_empty() {
            self.progress = now.instant;
            self.blocked = false;
        } else if matches!(self.phase, Phase::Up(..)) && !self.blocked && self.is_late(now) {
            self.blocked = true;
            tally.send_errors += 1;
            let seconds = self.timing.hold.as_secs_f32();
            self.route.say(format!(
                "the kernel took no datagram for {seconds} s; the interface towards the collector is too slow or blocked; records are dropped \
                 until it does"
            ));
        }
    }

    fn room(&self, now: Now) -> Room {
        if matches!(self.phase, Phase::Up(..)) && self.pending.is_empty() {
            Room::Ready
        } else if self.is_late(now) {
            Room::Drop
        } else {
            Room::Wait
        }
    }

    fn wants_templates(&self) -> bool {
        matches!(self.phase, Phase::Trial(_, _, None))
    }

    fn announce(&mut self, messages: Vec<Message>, now: Now, tally: &mut Tally) {
        let news =
            messages.into_iter().map(|Message { octets, records, templates }| Pending { octets, flows: 0, options: records, templates });
        if let Phase::Trial(_, _, since @ None) = &mut self.phase {
            // In a new stream they go first. What the last one has not sent of templates and options is old.
            *since = Some(now.instant);
            let old = std::mem::take(&mut self.pending);
            self.pending = news.chain(old.into_iter().filter(|message| message.flows > 0)).collect();
        } else {
            self.pending.extend(news);
        }
        self.send_pending(now, tally);
    }

    fn send(&mut self, mut sealed: Sealed<'_>, now: Now, tally: &mut Tally) {
        let free = matches!(self.phase, Phase::Up(..)) && self.pending.is_empty();
        if free && let Some(segment) = sealed.segment.filter(|_| self.segmentation && sealed.messages() > 1) {
            let mut following = self.stream;
            for (message, flows) in sealed.each() {
                following.stamp(message, now.unix);
                following.sent(flows, 0);
            }
            if self.send_segments(&mut sealed, segment, now, tally) {
                self.stream = following;
                return;
            }
        }
        for (octets, flows) in sealed.each() {
            self.pending.push_back(Pending { octets: octets.to_vec(), flows, options: 0, templates: 0 });
        }
        self.send_pending(now, tally);
    }

    /// Whether nothing waits, and it does not turn out in a moment whether anything can be sent.
    fn is_done(&self) -> bool {
        self.pending.is_empty() && !matches!(self.phase, Phase::Trial(..))
    }

    fn abandon(&mut self, tally: &mut Tally) {
        tally.lost_send += self.waiting();
        self.pending.clear();
    }

    fn status(&self) -> (State, &str) {
        let state = match self.phase {
            Phase::Up(..) => State::Connected,
            _ if self.route.has_failed() => State::Failed,
            _ => State::Connecting,
        };
        (state, self.route.trouble())
    }
}

/// Says who refuses datagrams, and why (RFC 792, RFC 1812 section 5.2.7.1, RFC 4443 section 3.1).
fn sentence(collector: SocketAddr, refusal: &Refusal) -> String {
    let (port, host, forbidden) = if collector.is_ipv4() {
        (&[(3, 3)][..], &[(3, 0), (3, 1)][..], &[(3, 9), (3, 10), (3, 13)][..])
    } else {
        (&[(1, 4)][..], &[(1, 0), (1, 3)][..], &[(1, 1), (1, 5), (1, 6)][..])
    };
    let (kind, code) = refusal.icmp;
    if port.contains(&refusal.icmp) {
        format!("collector {collector} refuses datagrams (ICMP port unreachable); is a collector listening there?")
    } else if host.contains(&refusal.icmp) {
        format!(
            "collector {collector} is not reached (ICMP type {kind} code {code}: host or network unreachable); check the address and the routes"
        )
    } else if forbidden.contains(&refusal.icmp) {
        format!(
            "a firewall on the way forbids sending to collector {collector} (ICMP type {kind} code {code}: administratively prohibited)"
        )
    } else {
        format!("datagrams to collector {collector} are refused (ICMP type {kind} code {code}: {})", refusal.error)
    }
}

fn send_segmented(socket: &UdpSocket, octets: &[u8], segment: u16) -> nix::Result<usize> {
    let control = [ControlMessage::UdpGsoSegments(&segment)];
    sendmsg::<()>(socket.as_raw_fd(), &[IoSlice::new(octets)], &control, MsgFlags::MSG_NOSIGNAL, None)
}

fn open(collector: SocketAddr) -> io::Result<UdpSocket> {
    let any: IpAddr = if collector.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind(SocketAddr::new(any, 0))?;
    // A smaller buffer than asked for is no error: the kernel caps it.
    SockRef::from(&socket).set_send_buffer_size(SEND_BUFFER_OCTETS)?;
    socket.set_nonblocking(true)?;
    refusal::listen(&socket, collector)?;
    socket.connect(collector)?;
    Ok(socket)
}
