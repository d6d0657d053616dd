//! IPFIX over UDP (RFC 7011 section 10.3): a connected socket, and UDP_SEGMENT, which passes up to 64 messages in one call.

use std::io::{self, IoSlice};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use socket2::SockRef;

use super::resolve::Resolver;
use super::{Now, Room, State, Tally, Timing, explain};
use crate::announce::Message;
use crate::batch::{Sealed, Stamp};

/// Kernel buffer asked for; the kernel gives what `net.core.wmem_max` allows.
const SEND_BUFFER_OCTETS: usize = 4 << 20;
/// A send waits so long for room in the kernel's buffer; then its records are lost.
const SEND_TIMEOUT: Duration = Duration::from_millis(100);
/// While a collector refuses datagrams, templates are sent this often: a collector that comes back has none.
const REFUSED_TEMPLATES: Duration = Duration::from_secs(1);

/// The name of a collector that refuses datagrams is resolved again after so long.
const RESOLVE_AGAIN: Duration = Duration::from_secs(60);

/// A UDP exporter's end of the stream.
#[derive(Debug)]
pub struct Udp {
    resolver: Resolver,
    domain: u32,
    timing: Timing,
    socket: Option<(UdpSocket, SocketAddr)>,
    retry_at: Instant,
    /// Since when there is no socket.
    down_since: Instant,
    sequence: u32,
    /// Whether this path takes UDP_SEGMENT.
    segmentation: bool,
    /// When the templates were sent in this stream.
    announced: Option<Instant>,
    opened_at: Instant,
    /// When a datagram was last refused or failed.
    trouble: Option<Instant>,
    last_error: String,
}

impl Udp {
    /// A stream of this observation domain to `address` ("host:port"), which is resolved later.
    pub fn new(address: &str, domain: u32, timing: Timing, now: Now) -> Self {
        Self {
            resolver: Resolver::new(address),
            domain,
            timing,
            socket: None,
            retry_at: now.instant,
            down_since: now.instant,
            sequence: 0,
            segmentation: true,
            announced: None,
            opened_at: now.instant,
            trouble: None,
            last_error: String::new(),
        }
    }

    pub(super) fn maintain(&mut self, now: Now) {
        if self.trouble.is_some_and(|at| now.instant.duration_since(at) > self.timing.retry) {
            self.trouble = None;
            self.announced = None; // Once more, for a collector that came back late.
        }
        // The name may mean another machine by now.
        let old = now.instant.duration_since(self.opened_at) > RESOLVE_AGAIN;
        if self.socket.is_some() && self.trouble.is_some() && old && !self.resolver.is_literal() {
            self.socket = None;
            self.trouble = None;
            (self.down_since, self.retry_at) = (now.instant, now.instant);
        }
        if self.socket.is_some() || now.instant < self.retry_at {
            return;
        }
        let Some(answer) = self.resolver.poll() else { return };
        let opened = answer.and_then(|found| {
            let mut last = String::new();
            for collector in found {
                match open(collector) {
                    Ok(socket) => return Ok((socket, collector)),
                    Err(error) => last = explain(collector, &error, self.timing.retry),
                }
            }
            Err(last)
        });
        match opened {
            Ok(socket) => {
                self.socket = Some(socket);
                // A new socket is a new transport session: its sequence begins at 0, and it knows no templates.
                self.opened_at = now.instant;
                self.sequence = 0;
                self.announced = None;
                self.segmentation = true;
            }
            Err(sentence) => {
                self.last_error = sentence;
                self.retry_at = now.instant + self.timing.retry;
            }
        }
    }

    pub(super) fn room(&self, now: Now) -> Room {
        if self.socket.is_some() {
            Room::Ready
        } else if now.instant.duration_since(self.down_since) < self.timing.hold {
            Room::Wait
        } else {
            Room::Drop
        }
    }

    pub(super) fn wants_templates(&self, now: Now) -> bool {
        self.socket.is_some()
            && match (self.announced, self.trouble) {
                (None, _) => true,
                (Some(at), Some(_)) => now.instant.duration_since(at) >= REFUSED_TEMPLATES,
                (Some(_), None) => false,
            }
    }

    pub(super) fn status(&self) -> (State, &str) {
        let state = if self.socket.is_some() && self.trouble.is_none() { State::Connected } else { State::Connecting };
        (state, &self.last_error)
    }

    pub(super) fn announce(&mut self, messages: Vec<Message>, now: Now, tally: &mut Tally) {
        for mut message in messages {
            Stamp { time: now.unix, domain: self.domain, sequence: self.sequence }.write(&mut message.octets);
            if self.send_one(&message.octets, now, tally) {
                self.sequence = self.sequence.wrapping_add(message.records);
                tally.templates += u64::from(message.templates);
            }
        }
        self.announced = Some(now.instant);
    }

    pub(super) fn send(&mut self, mut sealed: Sealed<'_>, now: Now, tally: &mut Tally) {
        let stamp = Stamp { time: now.unix, domain: self.domain, sequence: self.sequence };
        if let Some(segment) = sealed.segment.filter(|_| self.segmentation && sealed.messages() > 1) {
            let following = sealed.stamp(stamp);
            let records = sealed.records() as u64;
            if self.send_segments(&sealed, segment, now, tally) {
                self.sequence = following;
                tally.records += records;
                return;
            }
        }
        for (message, records) in sealed.each() {
            // RFC 7011 section 3.1: the sequence counts records sent, so what fails does not count.
            Stamp { sequence: self.sequence, ..stamp }.write(message);
            if self.send_one(message, now, tally) {
                self.sequence = self.sequence.wrapping_add(records);
                tally.records += u64::from(records);
            } else {
                tally.lost_send += u64::from(records);
            }
        }
    }

    /// Sends all messages, each but the last of so many octets, in one call. False: nothing was sent, try them one by one.
    fn send_segments(&mut self, sealed: &Sealed<'_>, segment: usize, now: Now, tally: &mut Tally) -> bool {
        let Some((socket, _)) = &self.socket else { return false };
        let Ok(segment) = u16::try_from(segment) else { return false };
        match send_segmented(socket, sealed.octets, segment) {
            Ok(_) => {
                let messages = sealed.messages() as u64;
                tally.messages += messages;
                tally.segments_batched += messages;
                tally.octets += sealed.octets.len() as u64;
                return true;
            }
            // Messages larger than the path's MTU, a device without checksum offload, a kernel before 4.18: one by one for good.
            Err(Errno::EINVAL | Errno::EMSGSIZE | Errno::EIO | Errno::EOPNOTSUPP | Errno::ENOPROTOOPT) => self.segmentation = false,
            Err(error) => self.troubled(&error.into(), now, tally),
        }
        false
    }

    fn send_one(&mut self, message: &[u8], now: Now, tally: &mut Tally) -> bool {
        // The kernel reports a refusal of an earlier datagram (ICMP) instead of sending, once: the second attempt sends.
        for _ in 0..2 {
            let Some((socket, _)) = &self.socket else { return false };
            match socket.send(message) {
                Ok(_) => {
                    tally.messages += 1;
                    tally.octets += message.len() as u64;
                    return true;
                }
                Err(error) => {
                    self.troubled(&error, now, tally);
                    if error.kind() != io::ErrorKind::ConnectionRefused {
                        return false;
                    }
                }
            }
        }
        false
    }

    fn troubled(&mut self, error: &io::Error, now: Now, tally: &mut Tally) {
        tally.send_errors += 1;
        let began = self.trouble.replace(now.instant).is_none();
        let Some((_, collector)) = self.socket else { return };
        if began {
            // Said once: formatting a sentence for each datagram would cost more than sending it.
            self.last_error = match error.kind() {
                io::ErrorKind::ConnectionRefused => format!(
                    "collector {collector} refuses datagrams (ICMP port unreachable); is a collector listening there? \
                     they are sent on, and lost until it does"
                ),
                io::ErrorKind::WouldBlock => format!(
                    "the kernel took no datagram for collector {collector} in {} ms; the interface towards it is too slow or blocked",
                    SEND_TIMEOUT.as_millis()
                ),
                _ => explain(collector, error, self.timing.retry),
            };
        }
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
    socket.set_write_timeout(Some(SEND_TIMEOUT))?;
    socket.connect(collector)?;
    Ok(socket)
}
