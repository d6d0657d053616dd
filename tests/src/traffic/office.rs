//! An office at work: name look-ups, web visits, mail, shells, pings, neighbours asking for each other.
//!
//! The payloads are well-formed as far as a dissector looks: DNS messages, TLS hellos with a server name, HTTP, SSH banners, NTP.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::conversation::{Close, Endpoint, Path, TcpConversation, icmp_echo, udp_exchange};
use super::fragment::fragments;
use super::layer::{Arp, Layer, Tcp, tcp_flags};
use super::random::Random;
use super::stack::Stack;
use super::{MICROSECOND, MILLISECOND, Packet, SECOND, START};

/// The services the office uses.
const SITES: &[(&str, [u8; 4])] = &[
    ("www.example.com", [192, 0, 2, 10]),
    ("mail.example.com", [192, 0, 2, 25]),
    ("cdn.example.net", [198, 51, 100, 7]),
    ("api.example.net", [198, 51, 100, 20]),
    ("files.example.org", [203, 0, 113, 80]),
    ("meet.example.org", [203, 0, 113, 99]),
    ("updates.example.edu", [192, 0, 2, 200]),
    ("news.example.edu", [198, 51, 100, 111]),
];

/// VLANs of staff, guests and machines; machines are not tagged.
const VLANS: &[Option<u16>] = &[Some(10), Some(30), None];

const GATEWAY_MAC: [u8; 6] = [0x02, 0x60, 0x50, 0, 0, 1];

/// Packets of about `activities` activities spread over `span` nanoseconds, in order of time.
pub fn office(activities: u64, span: u64, seed: u64) -> Vec<Packet> {
    let mut office = Office { random: Random::new(seed), packets: Vec::new() };
    for _ in 0..activities {
        let start = START + office.random.below(span.max(1));
        match office.random.below(100) {
            0..50 => office.web(start),
            50..58 => office.plain_http(start),
            58..66 => office.quic(start),
            66..70 => office.shell(start),
            70..75 => office.time_sync(start),
            75..80 => office.ping(start),
            80..88 => office.neighbours(start),
            88..92 => office.closed_port(start),
            92..96 => office.multicast_dns(start),
            96..98 => office.large_datagram(start),
            _ => office.shaped_by_switch(start),
        }
    }
    office.packets.sort_by_key(|packet| packet.time);
    office.packets
}

struct Office {
    random: Random,
    packets: Vec<Packet>,
}

/// A person's machine.
struct Desk {
    mac: [u8; 6],
    v4: Ipv4Addr,
    v6: Ipv6Addr,
    vlan: Option<u16>,
}

impl Office {
    fn desk(&mut self) -> Desk {
        let vlan = *self.random.pick(VLANS);
        let number = self.random.between(10, 249);
        let host = u8::try_from(number).expect("a host number fits an octet");
        let net = u8::try_from(vlan.unwrap_or(1)).expect("the office's VLAN ids fit an octet");
        let v6 = Ipv6Addr::new(0x2001, 0xdb8, 0x10, u16::from(net), 0, 0, 0, u16::from(host));
        Desk { mac: [0x02, 0x1b, 0x21, 0, net, host], v4: Ipv4Addr::new(10, 10, net, host), v6, vlan }
    }

    /// The way from a desk to a server behind the gateway, by IPv6 for every fourth.
    fn path(&mut self, desk: &Desk, server: [u8; 4], port: u16) -> Path {
        let v6 = self.random.chance(1, 4);
        let [a, b, c, d] = server;
        let remote6 = Ipv6Addr::new(0x2001, 0xdb8, 0xff, 0, u16::from(a), u16::from(b), u16::from(c), u16::from(d));
        let (local, remote): (IpAddr, IpAddr) =
            if v6 { (desk.v6.into(), remote6.into()) } else { (desk.v4.into(), Ipv4Addr::from(server).into()) };
        let client = Endpoint::new(desk.mac, local, self.port());
        let server = Endpoint { ttl: 54, ..Endpoint::new(GATEWAY_MAC, remote, port) };
        let round_trip = self.random.between(4 * MILLISECOND, 90 * MILLISECOND);
        Path { vlans: desk.vlan.into_iter().collect(), round_trip, ..Path::new(client, server) }
    }

    fn port(&mut self) -> u16 {
        u16::try_from(self.random.between(32_768, 60_999)).expect("an ephemeral port")
    }

    /// Asks the office's resolver; returns when the answer is there.
    fn look_up(&mut self, desk: &Desk, name: &str, address: [u8; 4], start: u64) -> u64 {
        let client = Endpoint::new(desk.mac, desk.v4, self.port());
        let resolver = Endpoint::new(GATEWAY_MAC, Ipv4Addr::new(10, 10, 0, 53), 53);
        let path = Path {
            vlans: desk.vlan.into_iter().collect(),
            round_trip: self.random.between(300 * MICROSECOND, 20 * MILLISECOND),
            ..Path::new(client, resolver)
        };
        let id = self.random.next_u16();
        let (question, answer) = (dns_message(id, name, None), dns_message(id, name, Some(address)));
        self.packets.extend(udp_exchange(&path, start, &question, Some(&answer)));
        start + path.round_trip
    }

    fn web(&mut self, start: u64) {
        let desk = self.desk();
        let (name, address) = *self.random.pick(SITES);
        let ready = self.look_up(&desk, name, address, start);
        let path = self.path(&desk, address, 443);
        let mut tcp = TcpConversation::open(path, ready + MILLISECOND, [self.random.next_u32(), self.random.next_u32()]);
        tcp.send(true, &client_hello(&mut self.random, name));
        tcp.wait(15 * MILLISECOND);
        let (hello, certificate) = (server_hello(&mut self.random), self.random.between(2500, 4200));
        tcp.send(false, &[hello, tls_record(&mut self.random, certificate)].concat());
        tcp.wait(2 * MILLISECOND).send(true, &tls_record(&mut self.random, 74));
        for _ in 0..self.random.between(1, 4) {
            let (request, answer) = (self.random.between(180, 900), self.random.between(400, 24_000));
            tcp.wait(self.random.between(5 * MILLISECOND, 900 * MILLISECOND)).send(true, &tls_record(&mut self.random, request));
            tcp.wait(self.random.between(3 * MILLISECOND, 120 * MILLISECOND));
            // RFC 8446 section 5.2: a record holds at most 2^14 octets and the tag.
            tcp.send(false, &tls_record(&mut self.random, answer.min(16_384)));
        }
        let how = if self.random.chance(1, 12) { Close::Reset } else { Close::Fin };
        self.packets.extend(tcp.close(how));
    }

    fn plain_http(&mut self, start: u64) {
        let desk = self.desk();
        let (name, address) = *self.random.pick(SITES);
        let ready = self.look_up(&desk, name, address, start);
        let path = self.path(&desk, address, 80);
        let mut tcp = TcpConversation::open(path, ready + MILLISECOND, [self.random.next_u32(), self.random.next_u32()]);
        let request = format!("GET /packages/index HTTP/1.1\r\nHost: {name}\r\nUser-Agent: sonde-traffic/1\r\nAccept: */*\r\n\r\n");
        let body = vec![b'x'; usize::try_from(self.random.between(200, 30_000)).expect("a short body")];
        let head = format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n", body.len());
        tcp.send(true, request.as_bytes()).wait(20 * MILLISECOND).send(false, &[head.as_bytes(), &body].concat());
        self.packets.extend(tcp.close(Close::Fin));
    }

    /// UDP to port 443 with QUIC short-header packets (RFC 9000 section 17.3): a connection whose handshake was before.
    fn quic(&mut self, start: u64) {
        let desk = self.desk();
        let (_, address) = *self.random.pick(SITES);
        let path = self.path(&desk, address, 443);
        let mut time = start;
        for _ in 0..self.random.between(5, 40) {
            let (up, down) = (self.random.between(30, 80), self.random.between(200, 1250));
            let mut packet = |len: u64| [&[0x41], self.random.bytes(usize::try_from(len).expect("short")).as_slice()].concat();
            let (request, answer) = (packet(up), packet(down));
            self.packets.extend(udp_exchange(&path, time, &request, Some(&answer)));
            time += self.random.between(MILLISECOND, 40 * MILLISECOND);
        }
    }

    fn shell(&mut self, start: u64) {
        let desk = self.desk();
        let path = self.path(&desk, [10, 10, 1, 5], 22);
        let path = Path { round_trip: 400 * MICROSECOND, ..path };
        let mut tcp = TcpConversation::open(path, start, [self.random.next_u32(), self.random.next_u32()]);
        tcp.send(false, b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n").send(true, b"SSH-2.0-OpenSSH_9.6\r\n");
        for _ in 0..self.random.between(10, 60) {
            tcp.wait(self.random.between(60 * MILLISECOND, 400 * MILLISECOND));
            tcp.send(true, &self.random.bytes(36)).wait(MILLISECOND).send(false, &self.random.bytes(44));
        }
        // A shell stays open longer than the capture.
        self.packets.extend(tcp.close(Close::Open));
    }

    fn time_sync(&mut self, start: u64) {
        let desk = self.desk();
        let path = self.path(&desk, [192, 0, 2, 123], 123);
        let (mut request, mut answer) = (vec![0x23], vec![0x24, 2, 6, 0xec]);
        request.resize(48, 0);
        answer.extend(self.random.bytes(44));
        self.packets.extend(udp_exchange(&path, start, &request, Some(&answer)));
    }

    fn ping(&mut self, start: u64) {
        let desk = self.desk();
        let (_, address) = *self.random.pick(SITES);
        let path = self.path(&desk, address, 0);
        let count = u16::try_from(self.random.between(1, 5)).expect("a few");
        self.packets.extend(icmp_echo(&path, start, self.random.next_u16(), count));
    }

    /// ARP, or neighbour discovery by ICMPv6 (RFC 4861 section 4.3).
    fn neighbours(&mut self, start: u64) {
        let desk = self.desk();
        let tagged = |stack: Stack| desk.vlan.into_iter().fold(stack, Stack::vlan);
        let [_, _, net, _] = desk.v4.octets();
        let gateway = Ipv4Addr::new(10, 10, net, 1);
        let mut push = |time: u64, stack: Stack| self.packets.push(Packet { time, bytes: stack.build() });
        if self.random.chance(1, 3) {
            let gateway6 = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
            let group = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00, 1);
            let hops = |src: Ipv6Addr, dst: Ipv6Addr| super::layer::Ipv6 { hop_limit: 255, ..super::layer::Ipv6::new(src, dst) };
            let ask = tagged(Stack::between(desk.mac, [0x33, 0x33, 0xff, 0, 0, 1])).push(hops(desk.v6, group));
            push(start, ask.icmpv6(135, 0, [0; 4]).payload([&gateway6.octets()[..], &[1, 1], &desk.mac].concat()));
            let answer = tagged(Stack::between(GATEWAY_MAC, desk.mac)).push(hops(gateway6, desk.v6));
            let answer = answer.icmpv6(136, 0, [0xe0, 0, 0, 0]).payload([&gateway6.octets()[..], &[2, 1], &GATEWAY_MAC].concat());
            push(start + 150 * MICROSECOND, answer);
        } else {
            let ask = Arp { operation: 1, sender_mac: desk.mac, sender: desk.v4, target_mac: [0; 6], target: gateway };
            push(start, tagged(Stack::between(desk.mac, [0xff; 6])).push(ask));
            let answer = Arp { operation: 2, sender_mac: GATEWAY_MAC, sender: gateway, target_mac: desk.mac, target: desk.v4 };
            push(start + 150 * MICROSECOND, tagged(Stack::between(GATEWAY_MAC, desk.mac)).push(answer));
        }
    }

    /// A SYN that nobody waits for: answered by a reset.
    fn closed_port(&mut self, start: u64) {
        let desk = self.desk();
        let port = u16::try_from(self.random.between(1, 1023)).expect("a port");
        let path = self.path(&desk, [10, 10, 1, 8], port);
        let seq = self.random.next_u32();
        let local = path.client.port;
        let ask = path.below(true).push(Tcp::new(local, port, tcp_flags::SYN).at(seq, 0));
        let answer = path.below(false).push(Tcp::new(port, local, tcp_flags::RST | tcp_flags::ACK).at(0, seq.wrapping_add(1)));
        self.packets.push(Packet { time: start, bytes: ask.build() });
        self.packets.push(Packet { time: start + path.round_trip, bytes: answer.build() });
    }

    fn multicast_dns(&mut self, start: u64) {
        let desk = self.desk();
        let client = Endpoint::new(desk.mac, desk.v4, 5353);
        let group = Endpoint::new([0x01, 0, 0x5e, 0, 0, 0xfb], Ipv4Addr::new(224, 0, 0, 251), 5353);
        let path = Path { vlans: desk.vlan.into_iter().collect(), ..Path::new(client, group) };
        self.packets.extend(udp_exchange(&path, start, &dns_message(0, "_ipp._tcp.local", None), None));
    }

    /// A datagram larger than the MTU, as fragments.
    fn large_datagram(&mut self, start: u64) {
        let desk = self.desk();
        let path = self.path(&desk, [10, 10, 1, 9], 2049);
        let size = usize::try_from(self.random.between(3000, 8000)).expect("a datagram");
        let whole = path.below(true).udp(path.client.port, 2049).payload(self.random.bytes(size));
        for (at, bytes) in fragments(&whole, 1440, self.random.next_u16()).into_iter().enumerate() {
            self.packets.push(Packet { time: start + at as u64 * 12 * MICROSECOND, bytes });
        }
    }

    /// What the switch says by itself: LLDP and spanning tree.
    fn shaped_by_switch(&mut self, start: u64) {
        let switch = [0x02, 0x60, 0x50, 0, 1, 0];
        let lldp =
            Stack::between(switch, [0x01, 0x80, 0xc2, 0, 0, 0x0e]).push(Layer::Lldp { system: "access-1".into(), port: "ge-0/0/7".into() });
        // Configuration BPDU (IEEE 802.1D section 9.3.1): root and bridge are this switch.
        let bridge = [&[0x80, 0x00], switch.as_slice()].concat();
        let bpdu = [&[0; 5], bridge.as_slice(), &[0; 4], &bridge, &[0x80, 0x07, 0, 0, 20, 0, 2, 0, 15, 0]].concat();
        let stp = Stack::between(switch, [0x01, 0x80, 0xc2, 0, 0, 0]).push(Layer::Llc { dsap: 0x42, ssap: 0x42, control: 3 }).payload(bpdu);
        self.packets.push(Packet { time: start, bytes: lldp.build() });
        self.packets.push(Packet { time: start + SECOND / 2, bytes: stp.build() });
    }
}

/// A query for the A record of a name, or the answer to it (RFC 1035 section 4).
fn dns_message(id: u16, name: &str, answer: Option<[u8; 4]>) -> Vec<u8> {
    let mut message = id.to_be_bytes().to_vec();
    let (flags, answers) = if answer.is_some() { ([0x81, 0x80], 1) } else { ([0x01, 0x00], 0) };
    message.extend(flags);
    message.extend([0, 1, 0, answers, 0, 0, 0, 0]);
    for label in name.split('.') {
        message.push(u8::try_from(label.len()).expect("a label has at most 63 octets"));
        message.extend(label.as_bytes());
    }
    message.extend([0, 0, 1, 0, 1]);
    if let Some(address) = answer {
        message.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 1, 44, 0, 4]);
        message.extend(address);
    }
    message
}

/// A TLS 1.3 ClientHello with server name, versions, groups and signature algorithms (RFC 8446 section 4.1.2).
fn client_hello(random: &mut Random, name: &str) -> Vec<u8> {
    let sized = |bytes: &[u8]| [&u16::try_from(bytes.len()).expect("short").to_be_bytes(), bytes].concat();
    let extension = |kind: u16, body: &[u8]| [&kind.to_be_bytes(), sized(body).as_slice()].concat();
    let server_name = sized(&[&[0], sized(name.as_bytes()).as_slice()].concat());
    let key_share = sized(&[&[0, 29], sized(&random.bytes(32)).as_slice()].concat());
    let extensions = [
        extension(0, &server_name),
        extension(10, &sized(&[0, 29, 0, 23, 0, 24])),
        extension(13, &sized(&[4, 3, 8, 4, 4, 1, 5, 3, 8, 5])),
        extension(16, &sized(b"\x02h2\x08http/1.1")),
        extension(43, &[4, 3, 4, 3, 3]),
        extension(51, &key_share),
    ]
    .concat();
    let mut body = vec![3, 3];
    body.extend(random.bytes(32));
    body.push(32);
    body.extend(random.bytes(32));
    body.extend(sized(&[0x13, 1, 0x13, 2, 0x13, 3, 0xc0, 0x2b, 0xc0, 0x2f]));
    body.extend([1, 0]);
    body.extend(sized(&extensions));
    handshake(1, &body)
}

/// A TLS 1.3 ServerHello that takes TLS_AES_128_GCM_SHA256 and X25519.
fn server_hello(random: &mut Random) -> Vec<u8> {
    let mut body = vec![3, 3];
    body.extend(random.bytes(32));
    body.push(32);
    body.extend(random.bytes(32));
    body.extend([0x13, 1, 0, 0, 46, 0, 43, 0, 2, 3, 4, 0, 51, 0, 36, 0, 29, 0, 32]);
    body.extend(random.bytes(32));
    handshake(2, &body)
}

fn handshake(kind: u8, body: &[u8]) -> Vec<u8> {
    let [_, a, b, c] = u32::try_from(body.len()).expect("short").to_be_bytes();
    let message = [&[kind, a, b, c], body].concat();
    [&[22, 3, 1], u16::try_from(message.len()).expect("short").to_be_bytes().as_slice(), &message].concat()
}

/// An encrypted record: "application data" on the wire, whatever is in it (RFC 8446 section 5.2).
fn tls_record(random: &mut Random, length: u64) -> Vec<u8> {
    let length = u16::try_from(length).expect("a record has at most 2^14 octets and a tag");
    [&[23, 3, 3], length.to_be_bytes().as_slice(), &random.bytes(usize::from(length))].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::traffic::Totals;

    #[test]
    fn an_office_speaks_both_versions_of_ip_and_more() {
        let packets = office(400, 10 * SECOND, 1);
        assert!(packets.is_sorted_by_key(|packet| packet.time));
        let totals: Totals = packets.iter().map(|packet| packet.bytes.as_slice()).collect();
        assert_eq!(totals.frames, packets.len() as u64);
        assert!(totals.ipv4_packets > 1000 && totals.ipv6_packets > 300 && totals.other_frames > 20, "{totals:?}");
        assert_eq!(packets, office(400, 10 * SECOND, 1));
    }
}
