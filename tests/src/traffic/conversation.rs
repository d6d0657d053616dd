//! Conversations between two stations: what an application does, as frames in both directions.

use std::net::IpAddr;

use super::layer::{Ipv4, Ipv6, Layer, Tcp, TcpOption, tcp_flags};
use super::stack::Stack;
use super::{MICROSECOND, MILLISECOND, Packet};

/// A station: where it is and which port it uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// MAC address (of the station or of the router before it).
    pub mac: [u8; 6],
    /// IP address.
    pub address: IpAddr,
    /// Port.
    pub port: u16,
    /// TTL or hop limit its packets arrive with.
    pub ttl: u8,
}

impl Endpoint {
    /// A station on this segment: TTL 64.
    pub fn new(mac: [u8; 6], address: impl Into<IpAddr>, port: u16) -> Self {
        Self { mac, address: address.into(), port, ttl: 64 }
    }
}

/// The way between two stations.
#[derive(Clone, Debug)]
pub struct Path {
    /// Who begins.
    pub client: Endpoint,
    /// Who answers.
    pub server: Endpoint,
    /// VLAN ids, outermost first; more than one gives 802.1ad tags with an 802.1Q tag inside.
    pub vlans: Vec<u16>,
    /// From the probe to the server and back, nanoseconds.
    pub round_trip: u64,
}

impl Path {
    /// A way without tags and with a round trip of one millisecond.
    pub fn new(client: Endpoint, server: Endpoint) -> Self {
        Self { client, server, vlans: Vec::new(), round_trip: MILLISECOND }
    }

    /// Everything below the transport, from client to server or back.
    pub fn below(&self, from_client: bool) -> Stack {
        let (from, to) = if from_client { (&self.client, &self.server) } else { (&self.server, &self.client) };
        let mut stack = Stack::between(from.mac, to.mac);
        for (at, id) in self.vlans.iter().enumerate() {
            let tpid = if at + 1 < self.vlans.len() { 0x88a8 } else { 0x8100 };
            stack = stack.push(Layer::Vlan { tpid, tci: *id, ethertype: None });
        }
        match (from.address, to.address) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => stack.push(Ipv4 { ttl: from.ttl, dont_fragment: true, ..Ipv4::new(src, dst) }),
            (IpAddr::V6(src), IpAddr::V6(dst)) => stack.push(Ipv6 { hop_limit: from.ttl, ..Ipv6::new(src, dst) }),
            mixed => panic!("both stations of a path speak the same version of IP, not {mixed:?}"),
        }
    }
}

/// How a TCP connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Close {
    /// FIN from the client, FIN from the server, last ACK.
    Fin,
    /// RST from the client.
    Reset,
    /// Not at all: the capture ends before.
    Open,
}

/// A TCP connection being written down.
pub struct TcpConversation {
    path: Path,
    time: u64,
    seq: [u32; 2],
    mss: usize,
    packets: Vec<Packet>,
}

impl TcpConversation {
    /// Three-way handshake at `start` (nanoseconds since 1970), with the options of a usual system.
    pub fn open(path: Path, start: u64, initial: [u32; 2]) -> Self {
        let mss: u16 = if path.client.address.is_ipv4() { 1460 } else { 1440 };
        let mut this = Self { path, time: start, seq: initial, mss: usize::from(mss) - 12, packets: Vec::new() };
        let options = |shift| {
            vec![TcpOption::Mss(mss), TcpOption::SackPermitted, TcpOption::Timestamps(1, 0), TcpOption::Nop, TcpOption::WindowScale(shift)]
        };
        this.segment(true, tcp_flags::SYN, options(7), &[]);
        this.seq[0] = this.seq[0].wrapping_add(1);
        this.time += this.path.round_trip;
        this.segment(false, tcp_flags::SYN | tcp_flags::ACK, options(9), &[]);
        this.seq[1] = this.seq[1].wrapping_add(1);
        this.time += 50 * MICROSECOND;
        this.segment(true, tcp_flags::ACK, Vec::new(), &[]);
        this
    }

    /// Sends data, split into segments, and an acknowledgement for every second one as receivers do.
    pub fn send(&mut self, from_client: bool, data: &[u8]) -> &mut Self {
        let chunks = data.len().div_ceil(self.mss);
        for (at, chunk) in data.chunks(self.mss).enumerate() {
            self.time += 12 * MICROSECOND;
            let last = at + 1 == chunks;
            let push = if last { tcp_flags::PSH } else { 0 };
            self.segment(from_client, tcp_flags::ACK | push, Vec::new(), chunk);
            let side = usize::from(!from_client);
            self.seq[side] = self.seq[side].wrapping_add(u32::try_from(chunk.len()).expect("a segment is short"));
            if at % 2 == 1 || last {
                self.time += 20 * MICROSECOND;
                self.segment(!from_client, tcp_flags::ACK, Vec::new(), &[]);
            }
        }
        self
    }

    /// Lets time pass: a user thinks, a server computes.
    pub fn wait(&mut self, nanoseconds: u64) -> &mut Self {
        self.time += nanoseconds;
        self
    }

    /// Ends the connection and gives its packets, in order of time.
    pub fn close(mut self, how: Close) -> Vec<Packet> {
        self.time += MILLISECOND;
        match how {
            Close::Open => {}
            Close::Reset => self.segment(true, tcp_flags::RST | tcp_flags::ACK, Vec::new(), &[]),
            Close::Fin => {
                self.segment(true, tcp_flags::FIN | tcp_flags::ACK, Vec::new(), &[]);
                self.seq[0] = self.seq[0].wrapping_add(1);
                self.time += self.path.round_trip;
                self.segment(false, tcp_flags::FIN | tcp_flags::ACK, Vec::new(), &[]);
                self.seq[1] = self.seq[1].wrapping_add(1);
                self.time += 40 * MICROSECOND;
                self.segment(true, tcp_flags::ACK, Vec::new(), &[]);
            }
        }
        self.packets
    }

    fn segment(&mut self, from_client: bool, flags: u16, mut options: Vec<TcpOption>, data: &[u8]) {
        let (src, dst) =
            if from_client { (self.path.client.port, self.path.server.port) } else { (self.path.server.port, self.path.client.port) };
        let (mine, theirs) = if from_client { (self.seq[0], self.seq[1]) } else { (self.seq[1], self.seq[0]) };
        let ack = if flags & tcp_flags::ACK == 0 { 0 } else { theirs };
        if options.is_empty() && flags & tcp_flags::RST == 0 {
            let tick = u32::try_from(self.time / MILLISECOND % u64::from(u32::MAX)).expect("reduced below 2^32");
            options = vec![TcpOption::Nop, TcpOption::Nop, TcpOption::Timestamps(tick, tick.wrapping_sub(1))];
        }
        let tcp = Tcp { window: 502, ..Tcp::new(src, dst, flags).at(mine, ack).with(options) };
        let bytes = self.path.below(from_client).push(tcp).payload(data).build();
        self.packets.push(Packet { time: self.time, bytes });
    }
}

/// One datagram to the server and, after the round trip, its answer when there is one.
pub fn udp_exchange(path: &Path, start: u64, request: &[u8], answer: Option<&[u8]>) -> Vec<Packet> {
    let (client, server) = (path.client.port, path.server.port);
    let mut packets = vec![Packet { time: start, bytes: path.below(true).udp(client, server).payload(request).build() }];
    if let Some(answer) = answer {
        let bytes = path.below(false).udp(server, client).payload(answer).build();
        packets.push(Packet { time: start + path.round_trip, bytes });
    }
    packets
}

/// `count` echo requests, one a second, and their replies. ICMP or ICMPv6 as the path has it.
pub fn icmp_echo(path: &Path, start: u64, id: u16, count: u16) -> Vec<Packet> {
    let v4 = path.client.address.is_ipv4();
    let message = |from_client: bool, sequence: u16| {
        let [a, b] = id.to_be_bytes();
        let [c, d] = sequence.to_be_bytes();
        let stack = path.below(from_client);
        let stack = match (v4, from_client) {
            (true, true) => stack.icmp(8, 0, [a, b, c, d]),
            (true, false) => stack.icmp(0, 0, [a, b, c, d]),
            (false, true) => stack.icmpv6(128, 0, [a, b, c, d]),
            (false, false) => stack.icmpv6(129, 0, [a, b, c, d]),
        };
        stack.payload((0x10..0x48).collect::<Vec<u8>>()).build()
    };
    let mut packets = Vec::new();
    for sequence in 1..=count {
        let time = start + u64::from(sequence - 1) * super::SECOND;
        packets.push(Packet { time, bytes: message(true, sequence) });
        packets.push(Packet { time: time + path.round_trip, bytes: message(false, sequence) });
    }
    packets
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path() -> Path {
        let client = Endpoint::new([2, 0, 0, 0, 0, 1], [10, 0, 0, 1], 40_000);
        Path::new(client, Endpoint::new([2, 0, 0, 0, 0, 2], [10, 0, 0, 2], 80))
    }

    #[test]
    fn a_connection_acknowledges_every_octet() {
        let mut tcp = TcpConversation::open(path(), 0, [1000, 2000]);
        tcp.send(true, &[1; 100]).wait(MILLISECOND).send(false, &[2; 5000]);
        let packets = tcp.close(Close::Fin);
        // 3 + (1 data, 1 ack) + (4 data, 2 acks) + 3
        assert_eq!(packets.len(), 14);
        assert!(packets.is_sorted_by_key(|p| p.time));
        let field = |p: &Packet, at: usize| u32::from_be_bytes(p.bytes[at..at + 4].try_into().unwrap());
        let last = packets.last().unwrap();
        assert_eq!((field(last, 38), field(last, 42)), (1000 + 1 + 100 + 1, 2000 + 1 + 5000 + 1));
    }

    #[test]
    fn answers_come_back_the_other_way() {
        let packets = udp_exchange(&path(), 5, b"question", Some(b"answer"));
        assert_eq!(packets[0].bytes[26..34], [10, 0, 0, 1, 10, 0, 0, 2]);
        assert_eq!(packets[1].bytes[26..34], [10, 0, 0, 2, 10, 0, 0, 1]);
        assert_eq!(packets[1].time, 5 + MILLISECOND);
    }
}
