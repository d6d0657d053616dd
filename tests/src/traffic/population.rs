//! Populations: millions of packets of many flows, made one at a time into the same buffer.

use super::checksum::internet_checksum;
use super::layer::{Tcp, TcpOption, tcp_flags};
use super::random::{Random, mix};
use super::stack::Stack;
use super::{SECOND, START};

/// What the packets of a population are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mix {
    /// UDP datagrams of the population's flows in random order.
    Udp,
    /// As `Udp`, every eighth flow by IPv6.
    UdpDual,
    /// Complete TCP connections, all at once: every flow has the same number of packets, taken in turns.
    Tcp,
    /// Every packet a SYN of a flow of its own, from addresses all over the Internet.
    SynFlood,
}

/// Lengths of frames, without FCS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// All of this many octets.
    Fixed(usize),
    /// Seven of 60, four of 590 and one of 1514 octets: the "simple IMIX".
    Imix,
}

impl Size {
    fn of(self, random: &mut Random) -> usize {
        match self {
            Self::Fixed(octets) => octets,
            Self::Imix => match random.below(12) {
                0..7 => 60,
                7..11 => 590,
                _ => 1514,
            },
        }
    }
}

/// An endless stream of packets of a bounded number of flows.
///
/// Flow `n` has addresses and ports that are a bijection of `n`: no two flows are one by accident.
#[derive(Clone, Debug)]
pub struct Population {
    mix: Mix,
    flows: u64,
    size: Size,
    random: Random,
    salt: u64,
    /// Packets made so far.
    made: u64,
    /// Nanoseconds between two packets, in 2^-20: so that 148.8 Mpps can be said.
    gap: u64,
    /// Packets of one flow, where the order is by turns.
    rounds: u64,
}

/// Octets of Ethernet, IPv4 and UDP headers.
const UDP4: usize = 42;
/// Octets of Ethernet, IPv6 and UDP headers.
const UDP6: usize = 62;

impl Population {
    /// Packets of `flows` flows at `packets_per_second`. For `Mix::Tcp` each flow gets `packets / flows` packets, at least 6.
    pub fn new(mix: Mix, flows: u64, packets: u64, size: Size, packets_per_second: u64, seed: u64) -> Self {
        assert!(flows > 0 && flows < 1 << 40, "a population has from 1 to 2^40 flows");
        let random = Random::new(seed);
        let gap = u64::try_from((u128::from(SECOND) << 20) / u128::from(packets_per_second.max(1))).unwrap_or(u64::MAX);
        Self { mix, flows, size, random, salt: super::random::mix(seed), made: 0, gap, rounds: (packets / flows).max(6) }
    }

    /// Makes the next packet in `frame` and returns its time.
    pub fn next_into(&mut self, frame: &mut Vec<u8>) -> u64 {
        let at = self.made;
        self.made += 1;
        match self.mix {
            Mix::Udp => {
                let flow = self.random.below(self.flows);
                self.udp4(frame, flow);
            }
            Mix::UdpDual => {
                let flow = self.random.below(self.flows);
                if flow.is_multiple_of(8) { self.udp6(frame, flow) } else { self.udp4(frame, flow) }
            }
            Mix::Tcp => self.tcp(frame, at % self.flows, at / self.flows % self.rounds),
            Mix::SynFlood => self.syn(frame, at),
        }
        START + u64::try_from((u128::from(at) * u128::from(self.gap)) >> 20).expect("a population lasts less than 584 years")
    }

    /// Source and destination address and source port of a flow: 40 bits of the number, turned about.
    fn tuple(&self, flow: u64) -> ([u8; 4], [u8; 4], u16) {
        // 24 bits choose the source address of 10/8, 16 the port; both are bijections, salted by the seed.
        let [_, _, _, _, _, a, b, c] = ((flow ^ self.salt) & 0xff_ffff).wrapping_mul(0x9e_3779).to_be_bytes();
        let port = u16::try_from((flow >> 24) & 0xffff).expect("16 bits");
        let [.., d, e] = mix(flow ^ self.salt).to_be_bytes();
        ([10, a, b, c], [198, 18 | d & 1, d, e], 1024u16.wrapping_add(port))
    }

    fn udp4(&mut self, frame: &mut Vec<u8>, flow: u64) {
        let (src, dst, port) = self.tuple(flow);
        let octets = self.size.of(&mut self.random).max(UDP4);
        frame.clear();
        frame.resize(octets, 0);
        let ip = u16::try_from(octets - 14).expect("a frame fits 16 bits");
        frame[..14].copy_from_slice(&[2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0]);
        frame[14..24].copy_from_slice(&[0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, 17]);
        frame[16..18].copy_from_slice(&ip.to_be_bytes());
        frame[26..30].copy_from_slice(&src);
        frame[30..34].copy_from_slice(&dst);
        frame[34..36].copy_from_slice(&port.to_be_bytes());
        frame[36..38].copy_from_slice(&4433u16.to_be_bytes());
        frame[38..40].copy_from_slice(&(ip - 20).to_be_bytes());
        let sum = internet_checksum(&[&frame[14..34]]);
        frame[24..26].copy_from_slice(&sum.to_be_bytes());
        udp_checksum(frame, 26..34, 34, ip - 20);
    }

    fn udp6(&mut self, frame: &mut Vec<u8>, flow: u64) {
        let octets = self.size.of(&mut self.random).max(UDP6);
        frame.clear();
        frame.resize(octets, 0);
        let udp = u16::try_from(octets - 54).expect("a frame fits 16 bits");
        frame[..14].copy_from_slice(&[2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x86, 0xdd]);
        frame[14] = 0x60;
        frame[18..20].copy_from_slice(&udp.to_be_bytes());
        frame[20..22].copy_from_slice(&[17, 64]);
        frame[22..26].copy_from_slice(&[0x20, 0x01, 0x0d, 0xb8]);
        frame[30..38].copy_from_slice(&flow.to_be_bytes());
        frame[38..42].copy_from_slice(&[0x20, 0x01, 0x0d, 0xb8]);
        frame[46..54].copy_from_slice(&mix(flow ^ self.salt).to_be_bytes());
        frame[54..58].copy_from_slice(&[0xc0, 0, 0x11, 0x51]);
        frame[58..60].copy_from_slice(&udp.to_be_bytes());
        udp_checksum(frame, 22..54, 54, udp);
    }

    /// Packet number `round` of a connection: handshake, data by turns, three segments to close.
    fn tcp(&mut self, frame: &mut Vec<u8>, flow: u64, round: u64) {
        use tcp_flags::{ACK, FIN, PSH, SYN};
        let (client, server, port) = self.tuple(flow);
        // One size a connection: sequence numbers then follow from the round alone.
        let mut own = Random::new(flow ^ self.salt);
        let payload = vec![0x5a; self.size.of(&mut own).saturating_sub(54).max(1)];
        let step = u32::try_from(payload.len()).expect("a frame is short");
        let data = self.rounds - 6;
        // Data packets before this one, by each side; the client begins.
        let before = round.saturating_sub(3).min(data);
        let [sent, answered] = [before.div_ceil(2), before / 2]
            .map(|n| u32::try_from(n % (1 << 32)).expect("reduced below 2^32").wrapping_mul(step).wrapping_add(1));
        let (up, flags, data) = match round {
            0 => (true, SYN, false),
            1 => (false, SYN | ACK, false),
            2 => (true, ACK, false),
            r if r < 3 + data => ((r - 3).is_multiple_of(2), PSH | ACK, true),
            r if r == 3 + data => (true, FIN | ACK, false),
            r if r == 4 + data => (false, FIN | ACK, false),
            _ => (true, ACK, false),
        };
        let closing = |after: u64| u32::from(round >= 3 + data_rounds(self.rounds) + after);
        let (client_seq, server_seq) = match round {
            0 => (0, 0),
            1 => (1, 0),
            _ => (sent.wrapping_add(closing(1)), answered.wrapping_add(closing(2))),
        };
        let tcp =
            if up { Tcp::new(port, 443, flags).at(client_seq, server_seq) } else { Tcp::new(443, port, flags).at(server_seq, client_seq) };
        let tcp = if flags & SYN == 0 { tcp } else { tcp.with([TcpOption::Mss(1460)]) };
        let stack = if up {
            Stack::ethernet().ipv4(client, server)
        } else {
            Stack::between([2, 0, 0, 0, 0, 2], [2, 0, 0, 0, 0, 1]).ipv4(server, client)
        };
        let stack = stack.push(tcp);
        *frame = if data { stack.payload(payload).build() } else { stack.build() };
    }

    fn syn(&mut self, frame: &mut Vec<u8>, at: u64) {
        // A bijection of the packet's number gives source address and port: no flow comes twice in 2^48 packets.
        let number = (at ^ self.salt & 0xffff_ffff_ffff).wrapping_mul(0x5851_f42d_4c95_7f2d) & 0xffff_ffff_ffff;
        let [_, _, a, b, c, d, e, f] = number.to_be_bytes();
        let syn = Tcp::new(u16::from_be_bytes([a, b]), 80, tcp_flags::SYN).at(self.random.next_u32(), 0);
        *frame = Stack::ethernet().ipv4([c, d, e, f], [203, 0, 113, 10]).push(syn.with([TcpOption::Mss(1460)])).build();
    }
}

fn data_rounds(rounds: u64) -> u64 {
    rounds - 6
}

/// Fills in the checksum of the UDP datagram at `at`, whose pseudo header's addresses stand at `addresses`.
fn udp_checksum(frame: &mut [u8], addresses: std::ops::Range<usize>, at: usize, length: u16) {
    let [high, low] = length.to_be_bytes();
    let sum = match internet_checksum(&[&frame[addresses], &[0, 17, high, low], &frame[at..]]) {
        0 => 0xffff,
        sum => sum,
    };
    frame[at + 6..at + 8].copy_from_slice(&sum.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn tuples(mix: Mix, flows: u64, packets: u64) -> HashSet<Vec<u8>> {
        let mut population = Population::new(mix, flows, packets, Size::Fixed(60), 1_000_000, 3);
        let mut frame = Vec::new();
        let mut seen = HashSet::new();
        for _ in 0..packets {
            population.next_into(&mut frame);
            let end = if frame[12] == 0x86 { 58 } else { 38 };
            seen.insert(frame[22..end].to_vec());
        }
        seen
    }

    #[test]
    fn flows_are_as_many_as_asked() {
        // 20 packets a flow on average: none of 500 is missed but once in a million seeds; checksums are part of a tuple here,
        // and do not tell packets of one flow apart because their payload is the same.
        assert_eq!(tuples(Mix::Udp, 500, 20_000).len(), 500);
        assert_eq!(tuples(Mix::UdpDual, 512, 20_480).len(), 512);
        assert_eq!(tuples(Mix::SynFlood, 1, 10_000).len(), 10_000);
    }

    #[test]
    fn populations_repeat_themselves() {
        let run = || {
            let mut population = Population::new(Mix::UdpDual, 100, 1000, Size::Imix, 1000, 42);
            let mut frame = Vec::new();
            (0..1000).map(|_| (population.next_into(&mut frame), frame.clone())).collect::<Vec<_>>()
        };
        assert_eq!(run(), run());
        assert_eq!(run()[999].0 - START, 999 * 1_000_000);
    }

    #[test]
    fn a_fast_udp_frame_is_the_one_the_stack_builds() {
        let mut population = Population::new(Mix::Udp, 7, 7, Size::Fixed(80), 1, 9);
        let mut frame = Vec::new();
        population.next_into(&mut frame);
        let part = |at: usize| <[u8; 4]>::try_from(&frame[at..at + 4]).unwrap();
        let port = u16::from_be_bytes([frame[34], frame[35]]);
        let ip = crate::traffic::Ipv4 { dont_fragment: true, ..crate::traffic::Ipv4::new(part(26), part(30)) };
        assert_eq!(Stack::ethernet().push(ip).udp(port, 4433).payload([0; 38]).build(), frame);
    }

    #[test]
    fn a_connection_of_the_population_closes() {
        let mut population = Population::new(Mix::Tcp, 1, 10, Size::Fixed(154), 1000, 9);
        let mut frame = Vec::new();
        let mut seen = Vec::new();
        for _ in 0..10 {
            population.next_into(&mut frame);
            let number = |at: usize| u32::from_be_bytes(frame[at..at + 4].try_into().unwrap());
            seen.push((frame[47], number(38), number(42)));
        }
        let (syn, syn_ack, ack, data, fin) = (0x02, 0x12, 0x10, 0x18, 0x11);
        let expected = [
            (syn, 0, 0),
            (syn_ack, 0, 1),
            (ack, 1, 1),
            (data, 1, 1),
            (data, 1, 101),
            (data, 101, 101),
            (data, 101, 201),
            (fin, 201, 201),
            (fin, 201, 202),
            (ack, 202, 202),
        ];
        assert_eq!(seen, expected);
    }
}
