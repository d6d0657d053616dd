//! The frames of a template: what stands in them, and how they become new ones when they are lent again.

use super::traffic::{Behind, Kind, Size, Traffic};

/// Frames that belong together: each flow has so many, or a multiple, in their order.
pub(super) fn round(kind: Kind) -> usize {
    match kind {
        Kind::Udp(_) | Kind::Vxlan(_) | Kind::Flood => 1,
        Kind::Tcp => EXCHANGE.len(),
        Kind::Connections => CONNECTION.len(),
    }
}

/// splitmix64.
pub(super) fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}

/// A segment of a TCP connection.
#[derive(Clone, Copy, Debug)]
struct Segment {
    /// 0: the client sends it, 1: the server.
    from: usize,
    /// Octets on the wire with FCS.
    size: u16,
    /// Flags (RFC 9293 section 3.1).
    flags: u8,
    window: u16,
}

const FIN: u8 = 1;
const SYN: u8 = 2;
const PSH: u8 = 8;
const ACK: u8 = 16;

const fn data(from: usize, size: u16, flags: u8) -> Segment {
    Segment { from, size, flags: flags | ACK, window: WINDOW }
}

const fn bare(from: usize, flags: u8, window: u16) -> Segment {
    Segment { from, size: 64, flags, window }
}

/// Far larger than what is on its way, unscaled.
const WINDOW: u16 = 0xf000;

/// A request, its answer of four segments, and what acknowledges them: simple IMIX.
const EXCHANGE: [Segment; 12] = [
    data(0, 594, PSH),
    bare(1, ACK, WINDOW),
    data(1, 594, 0),
    bare(0, ACK, WINDOW),
    data(1, 594, 0),
    bare(0, ACK, WINDOW),
    data(1, 594, 0),
    bare(0, ACK, WINDOW),
    data(1, 1518, PSH),
    bare(0, ACK, WINDOW),
    // The application has read: windows have moved.
    bare(0, ACK, WINDOW + 1),
    bare(1, ACK, WINDOW + 1),
];

/// A whole connection: simple IMIX.
const CONNECTION: [Segment; 24] = [
    bare(0, SYN, WINDOW),
    bare(1, SYN | ACK, WINDOW),
    bare(0, ACK, WINDOW),
    data(0, 594, PSH),
    data(1, 594, 0),
    bare(0, ACK, WINDOW),
    data(1, 594, 0),
    bare(0, ACK, WINDOW),
    data(1, 594, 0),
    bare(0, ACK, WINDOW),
    data(1, 1518, PSH),
    bare(0, ACK, WINDOW),
    data(0, 594, PSH),
    data(1, 594, 0),
    bare(0, ACK, WINDOW),
    data(1, 594, 0),
    bare(0, ACK, WINDOW),
    data(1, 594, 0),
    bare(0, ACK, WINDOW),
    data(1, 1518, PSH),
    bare(0, ACK, WINDOW),
    bare(0, FIN | ACK, WINDOW),
    bare(1, FIN | ACK, WINDOW),
    bare(0, ACK, WINDOW),
];

impl Segment {
    /// Octets of payload.
    fn payload(&self) -> u32 {
        // Ethernet with FCS, IPv4, TCP.
        if self.size == 64 { 0 } else { u32::from(self.size).saturating_sub(18 + 20 + 20) }
    }

    /// Sequence numbers it takes (RFC 9293 section 3.4).
    fn taken(&self) -> u32 {
        self.payload() + u32::from(self.flags & (SYN | FIN) != 0)
    }
}

/// Where a connection stands.
#[derive(Clone, Copy, Debug, Default)]
struct Connection {
    /// Segments made.
    made: u32,
    /// Next sequence number of each end.
    next: [u32; 2],
}

/// Makes frames, for each flow in their order.
#[derive(Debug)]
pub(super) struct Maker {
    kind: Kind,
    seed: u64,
    before: Before,
    /// Of every flow; none where flows are not connections.
    connections: Vec<Connection>,
    /// Flows that have one frame more than the others: the first ones.
    more: u32,
    /// By how much the sequence numbers of both ends grow until a frame is lent again: of those flows, and of the others.
    growths: [[u32; 2]; 2],
}

impl Maker {
    /// For so many flows and frames.
    pub(super) fn new(traffic: &Traffic, flows: usize, frames: usize) -> Self {
        let connections = if matches!(traffic.kind, Kind::Tcp | Kind::Connections) { flows } else { 0 };
        Self {
            kind: traffic.kind,
            seed: traffic.seed,
            before: Before::of(traffic),
            connections: vec![Connection::default(); connections],
            more: u32::try_from(frames % flows).unwrap_or(u32::MAX),
            growths: [frames / flows + 1, frames / flows].map(growth),
        }
    }

    /// Makes the next frame of a flow; `r` is random. Returns its octets on the wire, without the FCS that does not reach a probe.
    pub(super) fn make(&mut self, flow: u32, r: u64, frame: &mut [u8]) -> u16 {
        let ends = Ends::new(flow, self.seed);
        match self.kind {
            Kind::Udp(size) => {
                let wire = octets(size, r);
                self.put(frame, &ends.udp(r & 1 == 1, wire), wire)
            }
            Kind::Vxlan(size) => {
                let wire = octets(size, r);
                let inner = ends.udp(r & 1 == 1, wire);
                self.put(frame, &ends.vxlan(r & 1 == 1, wire, &inner), wire + 50)
            }
            Kind::Flood => self.put(frame, &ends.tcp(&bare(0, SYN, 0xffff), [0, 0]), 60),
            Kind::Tcp => {
                let [more, others] = self.growths;
                let [client, server] = if flow < self.more { more } else { others };
                let (segment, numbers) = self.segment(flow, &EXCHANGE);
                let wire = self.put(frame, &ends.tcp(&segment, numbers), segment.size - 4);
                // Behind the headers that are kept: what the numbers grow by until the frame is lent again.
                let [own, other] = if segment.from == 0 { [client, server] } else { [server, client] };
                if let Some(rest) = frame.get_mut(RENEWAL + self.before.octets()..) {
                    put(rest, &[own.to_be_bytes(), other.to_be_bytes()].concat());
                }
                wire
            }
            Kind::Connections => {
                let (segment, numbers) = self.segment(flow, &CONNECTION);
                self.put(frame, &ends.tcp(&segment, numbers), segment.size - 4)
            }
        }
    }

    /// Keeps a frame, with what stands before its IP header. Its octets on the wire; `wire`: those without.
    fn put(&self, kept: &mut [u8], frame: &[u8], wire: u16) -> u16 {
        put(kept, &self.before.put(frame));
        wire + u16::try_from(self.before.octets()).unwrap_or(0)
    }

    /// The next segment of a connection, with its sequence and acknowledgement numbers.
    fn segment(&mut self, flow: u32, script: &[Segment]) -> (Segment, [u32; 2]) {
        let Some(connection) = self.connections.get_mut(flow as usize) else { return (bare(0, ACK, WINDOW), [0, 0]) };
        let segment = step(script, connection.made);
        if segment.flags & SYN != 0 && segment.flags & ACK == 0 {
            connection.next = [1000, 5000];
        }
        let [own, other] = [segment.from & 1, !segment.from & 1];
        let numbers = [connection.next[own], if segment.flags & ACK == 0 { 0 } else { connection.next[other] }];
        connection.next[own] = connection.next[own].wrapping_add(segment.taken());
        connection.made += 1;
        (segment, numbers)
    }
}

/// By how much the sequence numbers of client and server grow in so many segments of exchanges.
fn growth(segments: usize) -> [u32; 2] {
    let mut sent = [0u32; 2];
    for segment in EXCHANGE.iter().cycle().take(segments) {
        sent[segment.from] = sent[segment.from].wrapping_add(segment.taken());
    }
    sent
}

fn step(script: &[Segment], made: u32) -> Segment {
    script[made as usize % script.len()]
}

/// Octets of a frame without FCS.
fn octets(size: Size, r: u64) -> u16 {
    let size = match size {
        Size::Fixed(size) => size,
        Size::Imix => match r >> 32 & 0xfff {
            0..2389 => 64,
            2389..3754 => 594,
            _ => 1518,
        },
    };
    size.saturating_sub(4).max(60)
}

fn put(frame: &mut [u8], bytes: &[u8]) {
    for (to, from) in frame.iter_mut().zip(bytes) {
        *to = *from;
    }
}

/// The ends of a flow, a function of its number.
struct Ends {
    addresses: [[u8; 4]; 2],
    ports: [u16; 2],
    salt: u8,
}

impl Ends {
    fn new(flow: u32, seed: u64) -> Self {
        let mut identity = u64::from(flow) ^ seed.rotate_left(32);
        let [port, salt, _, s0, s1, p0, p1, s2] = random(&mut identity).to_be_bytes();
        let [_, f1, f2, f3] = flow.to_be_bytes();
        Self {
            // The flow number is in the client's address, so that flows are different whatever the hash gives.
            addresses: [[10, f1, f2, f3], [172, 16 | s2 & 15, s0, s1]],
            ports: [u16::from_be_bytes([p0 | 0x40, p1]), [443, 3478, 8801, 9993][usize::from(port & 3)]],
            salt,
        }
    }

    /// Ethernet and IPv4; `turned`: from server to client.
    fn ip(&self, turned: bool, protocol: u8, octets: u16) -> Vec<u8> {
        let [client, server] = &self.addresses;
        let (src, dst) = if turned { (server, client) } else { (client, server) };
        [
            [2, 0, 0, 0, 0, self.salt].as_slice(),
            &[2, 0, 0, 0, self.salt, 0],
            &[8, 0, 0x45, 0],
            &octets.to_be_bytes(),
            &[0, 0, 0x40, 0, 64, protocol, 0, 0],
            src,
            dst,
        ]
        .concat()
    }

    fn ports(&self, turned: bool) -> [u8; 4] {
        let [client, server] = self.ports.map(u16::to_be_bytes);
        let [[a, b], [c, d]] = if turned { [server, client] } else { [client, server] };
        [a, b, c, d]
    }

    /// A UDP datagram in a frame of so many octets.
    fn udp(&self, turned: bool, wire: u16) -> Vec<u8> {
        let octets = wire - 14;
        [self.ip(turned, 17, octets).as_slice(), &self.ports(turned), &(octets - 20).to_be_bytes(), &[0, 0]].concat()
    }

    fn tcp(&self, segment: &Segment, [seq, ack]: [u32; 2]) -> Vec<u8> {
        let turned = segment.from == 1;
        let octets = 40 + u16::try_from(segment.payload()).unwrap_or(u16::MAX - 40);
        [
            self.ip(turned, 6, octets).as_slice(),
            &self.ports(turned),
            &seq.to_be_bytes(),
            &ack.to_be_bytes(),
            &[0x50, segment.flags],
            &segment.window.to_be_bytes(),
            &[0; 4],
        ]
        .concat()
    }

    /// The frame `inner`, of which `wire` octets pass, in VXLAN between two tunnel ends (RFC 7348 section 5).
    fn vxlan(&self, turned: bool, wire: u16, inner: &[u8]) -> Vec<u8> {
        let tunnel = Self {
            addresses: [[192, 0, 2, self.salt], [198, 51, 100, self.salt & 15]],
            ports: [49152 | u16::from(self.salt), 4789],
            salt: self.salt,
        };
        // What is sent back has a source port of its own, and the same destination port.
        let mut outer = tunnel.udp(false, wire + 50);
        if turned {
            outer.splice(26..34, tunnel.addresses.into_iter().rev().flatten());
        }
        [outer.as_slice(), &[8, 0, 0, 0, 0, 0, self.salt & 3, 0], inner].concat()
    }
}

/// What frames have more than Ethernet and IPv4.
#[derive(Clone, Copy, Debug)]
pub(super) struct Before {
    behind: Behind,
    ipv6: bool,
}

impl Before {
    pub(super) fn of(traffic: &Traffic) -> Self {
        Self { behind: traffic.behind, ipv6: traffic.ipv6 }
    }

    /// Tags, labels or session of a packet of so many octets, from the first ethertype to the last, or what stands in its place.
    fn link(self, packet: usize) -> Vec<u8> {
        let [high, low] = if self.ipv6 { [0x86, 0xdd] } else { [8, 0] };
        let ppp = if self.ipv6 { 0x57 } else { 0x21 };
        let octets = u16::try_from(packet + 2).unwrap_or(u16::MAX).to_be_bytes();
        match self.behind {
            Behind::Ethernet => vec![high, low],
            Behind::Vlan => vec![0x81, 0, 0, 100, high, low],
            Behind::Qinq => vec![0x88, 0xa8, 0, 200, 0x81, 0, 0, 100, high, low],
            Behind::Mpls => vec![0x88, 0x47, 0, 6, 0x40, 64, 0, 6, 0x51, 64],
            Behind::Pppoe => vec![0x88, 0x64, 0x11, 0, 0, 7, octets[0], octets[1], 0, ppp],
        }
    }

    /// By how much it makes a frame longer.
    pub(super) fn octets(self) -> usize {
        self.link(0).len() - 2 + if self.ipv6 { 20 } else { 0 }
    }

    /// A frame of Ethernet and IPv4, with it.
    fn put(self, frame: &[u8]) -> Vec<u8> {
        let (Some((macs, packet)), true) = (frame.split_first_chunk::<12>(), frame.len() > 34) else { return frame.to_vec() };
        let [header, transport] = [&packet[2..22], &packet[22..]];
        let octets = usize::from(u16::from_be_bytes([header[2], header[3]]));
        if !self.ipv6 {
            return [macs.as_slice(), &self.link(octets), header, transport].concat();
        }
        let payload = u16::try_from(octets.saturating_sub(20)).unwrap_or(0).to_be_bytes();
        let address = |ipv4: &[u8]| [[0x20, 1, 0x0d, 0xb8].as_slice(), &[0; 8], ipv4].concat();
        let start = [0x60, 0, 0, 0, payload[0], payload[1], header[9], header[8]];
        let ends = [address(&header[12..16]), address(&header[16..20])].concat();
        [macs.as_slice(), &self.link(octets + 20), &start, &ends, transport].concat()
    }

    /// Where the source address of a frame has its last four octets.
    pub(super) fn source(self) -> usize {
        14 + self.octets() + 12
    }
}

/// Where the renewal of a segment stands in a frame of Ethernet and IPv4.
const RENEWAL: usize = 54;

/// A new flow: the source address, at `source`, is the number of the pass in its first byte and the template's beyond, new for 2^32 packets.
#[inline]
pub(super) fn renew_syn(frame: &mut [u8], source: usize, pass: u8) {
    if let Some(octet) = frame.get_mut(source) {
        *octet = pass;
    }
}

/// The segment that stands at this place in the connection's next rounds; `before`: by how much its headers are longer than Ethernet and
/// IPv4.
#[inline]
pub(super) fn renew_segment(frame: &mut [u8], before: usize) {
    let Some(header) = frame.get_mut(before..).and_then(<[u8]>::first_chunk_mut::<{ RENEWAL + 8 }>) else { return };
    for (number, growth) in [(38, RENEWAL), (42, RENEWAL + 4)] {
        let read = |at: usize| u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        let renewed = read(number).wrapping_add(read(growth));
        header[number..number + 4].copy_from_slice(&renewed.to_be_bytes());
    }
}
