//! What the network says of datagrams that were sent: the socket's error queue (`IP_RECVERR`, ip(7)), which quotes the datagram that an ICMP error is
//! about, and the log of what was sent, which says how many records that was.

use std::collections::VecDeque;
use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;

use nix::errno::Errno;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt, sockopt};

use crate::format::Stream;

/// Messages that are remembered. What is refused is so within a round trip, or within the seconds that a neighbour is asked for.
const REMEMBERED: usize = 8192;

/// `ee_origin` of errors that this machine found before it sent anything: the call that sent has told them.
const LOCAL: u8 = 1;

/// Octets of a quoted message that are looked at: its header.
const QUOTED_OCTETS: usize = 32;

/// A message that was sent.
#[derive(Clone, Copy, Debug)]
struct Sent {
    sequence: u32,
    octets: u16,
    flows: u32,
}

/// The messages sent lately in one stream.
#[derive(Debug)]
pub(super) struct Log {
    stream: Stream,
    sent: VecDeque<Sent>,
}

/// Which of the messages sent an error is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum About {
    /// The one at this place of the log.
    Message(usize),
    /// One of them; the error does not quote enough to tell which.
    Unknown,
}

/// One error.
#[derive(Debug)]
pub(super) struct Refusal {
    /// As a failed call would say it.
    pub(super) error: io::Error,
    /// ICMP or ICMPv6 type and code.
    pub(super) icmp: (u8, u8),
    pub(super) about: About,
}

impl Refusal {
    /// Whether the datagram was too long for the path, and nothing is wrong with the collector.
    pub(super) fn too_long(&self) -> bool {
        self.error.raw_os_error() == Some(Errno::EMSGSIZE as i32)
    }
}

impl Log {
    pub(super) fn new(stream: Stream) -> Self {
        Self { stream, sent: VecDeque::new() }
    }

    pub(super) fn clear(&mut self) {
        self.sent.clear();
    }

    pub(super) fn add(&mut self, sequence: u32, octets: usize, flows: u32) {
        if self.sent.len() == REMEMBERED {
            self.sent.pop_front();
        }
        self.sent.push_back(Sent { sequence, octets: u16::try_from(octets).unwrap_or(u16::MAX), flows });
    }

    /// Flow records of one message; of which one is not known: none.
    pub(super) fn flows_of(&self, about: About) -> u64 {
        match about {
            About::Message(at) => self.sent.get(at).map_or(0, |sent| sent.flows.into()),
            About::Unknown => 0,
        }
    }

    /// Flow records of a message and of everything that was sent behind it; where it is not known which one it was, of the last.
    pub(super) fn flows_from(&self, about: About) -> u64 {
        let at = match about {
            About::Message(at) => at,
            About::Unknown => self.sent.len().saturating_sub(1),
        };
        self.sent.iter().skip(at).map(|sent| u64::from(sent.flows)).sum()
    }

    /// Which message is quoted; `None`: none of these.
    fn find(&self, quoted: &[u8]) -> Option<About> {
        let header = self.stream.header;
        if quoted.len() < header.octets() {
            // RFC 792: a router need not quote more than the UDP header.
            return Some(About::Unknown);
        }
        let quoted = header.read(quoted).filter(|quoted| quoted.domain == self.stream.domain)?;
        let found = self.sent.iter().position(|sent| sent.sequence == quoted.sequence && sent.octets == quoted.octets);
        found.map(About::Message)
    }
}

/// Asks the kernel to keep what the network says of datagrams.
pub(super) fn listen(socket: &UdpSocket, collector: SocketAddr) -> io::Result<()> {
    match collector {
        SocketAddr::V4(_) => setsockopt(socket, sockopt::Ipv4RecvErr, &true),
        SocketAddr::V6(_) => setsockopt(socket, sockopt::Ipv6RecvErr, &true),
    }
    .map_err(io::Error::from)
}

/// The next error that was kept; one that quotes a message that was never sent is nobody's, and passed over.
pub(super) fn next(socket: &UdpSocket, log: &Log) -> Option<Refusal> {
    loop {
        let mut quoted = [0; QUOTED_OCTETS];
        let mut control = nix::cmsg_space!([u8; 128]);
        let mut parts = [IoSliceMut::new(&mut quoted)];
        let flags = MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT;
        let message = recvmsg::<SockaddrStorage>(socket.as_raw_fd(), &mut parts, Some(&mut control), flags).ok()?;
        let octets = message.bytes.min(QUOTED_OCTETS);
        let error = message.cmsgs().ok().and_then(|mut all| {
            all.find_map(|one| match one {
                ControlMessageOwned::Ipv4RecvErr(error, _) | ControlMessageOwned::Ipv6RecvErr(error, _) => Some(error),
                _ => None,
            })
        });
        let Some(error) = error.filter(|error| error.ee_origin != LOCAL) else { continue };
        let Some(about) = log.find(quoted.get(..octets).unwrap_or_default()) else { continue };
        let errno = i32::try_from(error.ee_errno).unwrap_or(0);
        return Some(Refusal { error: io::Error::from_raw_os_error(errno), icmp: (error.ee_type, error.ee_code), about });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::ipfix::header::Header;

    fn log(domain: u32) -> Log {
        Log::new(Stream::new(&Header, domain))
    }

    fn header(domain: u32, sequence: u32, octets: u16) -> Vec<u8> {
        [&[0, 10], &octets.to_be_bytes()[..], &[0; 4], &sequence.to_be_bytes(), &domain.to_be_bytes()].concat()
    }

    #[test]
    fn a_refusal_is_of_the_message_it_quotes_and_of_those_behind_it() {
        let mut log = log(7);
        // Templates do not count in the sequence: the message behind them has the same.
        for (sequence, octets, flows) in [(0, 900, 0), (0, 1400, 10), (10, 1400, 10), (20, 80, 0), (21, 200, 1)] {
            log.add(sequence, octets, flows);
        }
        let from = |quoted: &[u8]| log.find(quoted).map(|about| (log.flows_of(about), log.flows_from(about)));
        assert_eq!(from(&header(7, 0, 900)), Some((0, 21)));
        assert_eq!(from(&header(7, 0, 1400)), Some((10, 21)));
        assert_eq!(from(&header(7, 10, 1400)), Some((10, 11)));
        assert_eq!(from(&header(7, 21, 200)), Some((1, 1)));
        assert_eq!(from(&header(7, 10, 1400)[..8]), Some((0, 1)), "a router that quotes little: the last one, at least");
        for stranger in [header(8, 10, 1400), header(7, 11, 1400), header(7, 10, 1300), vec![0; 16]] {
            assert_eq!(from(&stranger), None, "{stranger:?}");
        }
    }

    #[test]
    fn the_log_forgets_what_is_old() {
        let mut log = log(1);
        (0..10_000).for_each(|n| log.add(n, 100, 1));
        assert_eq!(log.find(&header(1, 0, 100)), None);
        assert_eq!(log.find(&header(1, 9_999, 100)).map(|about| log.flows_from(about)), Some(1));
        assert_eq!(log.find(&header(1, 1_808, 100)).map(|about| log.flows_from(about)), Some(REMEMBERED as u64));
    }
}
