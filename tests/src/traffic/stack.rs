//! Layers on top of each other, built from the innermost outward so that every length and checksum is known.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::checksum::{crc32c, internet_checksum};
use super::header::{ETHERNET, Name, join, len8, len16};
use super::layer::{Arp, Icmp, Ipv4, Ipv6, Layer, Sctp, Tcp, TcpOption};

/// Least length of an Ethernet frame without its FCS.
const ETHERNET_MIN: usize = 60;

/// A frame in the making: push layers from the outside in, then [`Stack::build`].
#[derive(Clone, Debug, Default)]
pub struct Stack {
    layers: Vec<Layer>,
}

/// The addresses a transport's checksum covers (RFC 9293 section 3.1, RFC 8200 section 8.1).
#[derive(Clone, Copy)]
enum Pseudo {
    None,
    V4(Ipv4Addr, Ipv4Addr),
    V6(Ipv6Addr, Ipv6Addr),
}

impl Stack {
    /// Nothing yet: the first layer pushed is the outermost (raw IP, for instance).
    pub fn new() -> Self {
        Self::default()
    }

    /// An Ethernet header with two locally administered addresses.
    pub fn ethernet() -> Self {
        Self::between([0x02, 0, 0, 0, 0, 0x01], [0x02, 0, 0, 0, 0, 0x02])
    }

    /// An Ethernet header with these addresses.
    pub fn between(src: [u8; 6], dst: [u8; 6]) -> Self {
        Self::new().push(Layer::Ethernet { src, dst, ethertype: None })
    }

    /// Adds a layer inside the last one.
    pub fn push(mut self, layer: impl Into<Layer>) -> Self {
        self.layers.push(layer.into());
        self
    }

    /// Adds an 802.1Q tag with this id and priority 0.
    pub fn vlan(self, id: u16) -> Self {
        self.push(Layer::Vlan { tpid: 0x8100, tci: id, ethertype: None })
    }

    /// Adds an IPv4 header with usual fields.
    pub fn ipv4(self, src: impl Into<Ipv4Addr>, dst: impl Into<Ipv4Addr>) -> Self {
        self.push(Ipv4::new(src, dst))
    }

    /// Adds an IPv6 header with usual fields.
    pub fn ipv6(self, src: impl Into<Ipv6Addr>, dst: impl Into<Ipv6Addr>) -> Self {
        self.push(Ipv6::new(src, dst))
    }

    /// Adds a UDP header.
    pub fn udp(self, src: u16, dst: u16) -> Self {
        self.push(Layer::Udp { src, dst })
    }

    /// Adds an ICMP header.
    pub fn icmp(self, kind: u8, code: u8, rest: [u8; 4]) -> Self {
        self.push(Layer::Icmp(Icmp { kind, code, rest }))
    }

    /// Adds an ICMPv6 header.
    pub fn icmpv6(self, kind: u8, code: u8, rest: [u8; 4]) -> Self {
        self.push(Layer::Icmpv6(Icmp { kind, code, rest }))
    }

    /// Adds bytes.
    pub fn payload(self, bytes: impl Into<Vec<u8>>) -> Self {
        self.push(Layer::Raw(bytes.into()))
    }

    /// The frame. An Ethernet frame is padded to 60 octets, as a NIC would.
    ///
    /// # Panics
    /// When a layer is too long for its own length field: a mistake of the test that builds it.
    pub fn build(&self) -> Vec<u8> {
        let mut frame = self.build_unpadded();
        if matches!(self.layers.first(), Some(Layer::Ethernet { .. })) && frame.len() < ETHERNET_MIN {
            frame.resize(ETHERNET_MIN, 0);
        }
        frame
    }

    /// The frame without Ethernet's padding.
    pub fn build_unpadded(&self) -> Vec<u8> {
        self.build_from(0).0
    }

    /// The bytes of the layers from `first` on, and the protocol number of the layer at `first`.
    pub(super) fn build_above(&self, first: usize) -> (Vec<u8>, u8) {
        let (bytes, name) = self.build_from(first);
        (bytes, name.protocol())
    }

    pub(super) fn layers(&self) -> &[Layer] {
        &self.layers
    }

    fn build_from(&self, first: usize) -> (Vec<u8>, Name) {
        let mut body = Vec::new();
        let mut name = Name::Nothing;
        for at in (first..self.layers.len()).rev() {
            let pseudo = self.pseudo(at);
            (body, name) = put(&self.layers[at], body, name, pseudo);
        }
        (body, name)
    }

    /// The addresses that stand below layer `at`. A routing header that still has segments to visit names the final
    /// destination, which is what the checksum covers (RFC 8200 section 8.1). Source routes of IPv4 are not looked at.
    fn pseudo(&self, at: usize) -> Pseudo {
        let mut last_hop = None;
        for layer in self.layers[..at].iter().rev() {
            match layer {
                Layer::Ipv4(ip) => return Pseudo::V4(ip.src, ip.dst),
                Layer::Ipv6(ip) => return Pseudo::V6(ip.src, last_hop.unwrap_or(ip.dst)),
                Layer::Routing { segments_left, addresses, .. } if *segments_left > 0 => last_hop = addresses.last().copied(),
                // RFC 8754 section 2: the list begins with its end.
                Layer::SegmentRouting { segments_left, segments, .. } if *segments_left > 0 => last_hop = segments.first().copied(),
                _ => {}
            }
        }
        Pseudo::None
    }
}

/// Puts one layer in front of the body; returns both and the layer's own name.
fn put(layer: &Layer, body: Vec<u8>, above: Name, pseudo: Pseudo) -> (Vec<u8>, Name) {
    match layer {
        Layer::Raw(bytes) => (join(bytes, body), Name::Nothing),
        Layer::Ethernet { src, dst, ethertype } => {
            let kind = ethertype.unwrap_or_else(|| above.ethertype(body.len()));
            (join(&[dst.as_slice(), src, &kind.to_be_bytes()].concat(), body), Name::Both(ETHERNET, 143))
        }
        Layer::Vlan { tpid, tci, ethertype } => {
            let kind = ethertype.unwrap_or_else(|| above.ethertype(body.len()));
            (join(&[tci.to_be_bytes(), kind.to_be_bytes()].concat(), body), Name::Ethertype(*tpid))
        }
        Layer::Llc { dsap, ssap, control } => (join(&[*dsap, *ssap, *control], body), Name::Length),
        Layer::Ipv4(ip) => (put_ipv4(ip, body, above), Name::Both(0x0800, 4)),
        Layer::Ipv6(ip) => (put_ipv6(ip, body, above), Name::Both(0x86dd, 41)),
        Layer::HopByHop(options) => (put_options(options, body, above), Name::Protocol(0)),
        Layer::Destination(options) => (put_options(options, body, above), Name::Protocol(60)),
        Layer::Routing { kind, segments_left, addresses } => {
            let words = len8(addresses.len() * 2);
            let mut header = vec![above.protocol(), words, *kind, *segments_left, 0, 0, 0, 0];
            header.extend(addresses.iter().flat_map(Ipv6Addr::octets));
            (join(&header, body), Name::Protocol(43))
        }
        Layer::SegmentRouting { segments_left, flags, tag, segments } => {
            let words = len8(segments.len() * 2);
            let mut header = vec![above.protocol(), words, 4, *segments_left, len8(segments.len() - 1), *flags];
            header.extend(tag.to_be_bytes());
            header.extend(segments.iter().flat_map(Ipv6Addr::octets));
            (join(&header, body), Name::Protocol(43))
        }
        Layer::Fragment { offset, more, id, next } => {
            assert!(offset.is_multiple_of(8), "an IPv6 fragment's offset is a multiple of 8");
            let mut header = vec![next.unwrap_or(above.protocol()), 0];
            header.extend((offset | u16::from(*more)).to_be_bytes());
            header.extend(id.to_be_bytes());
            (join(&header, body), Name::Protocol(44))
        }
        Layer::Ah { spi, sequence, icv } => {
            assert!(icv.len().is_multiple_of(4), "an integrity check value has whole words");
            let mut header = vec![above.protocol(), len8(icv.len() / 4 + 1), 0, 0];
            header.extend(spi.to_be_bytes());
            header.extend(sequence.to_be_bytes());
            header.extend(icv);
            (join(&header, body), Name::Protocol(51))
        }
        Layer::Tcp(tcp) => (put_tcp(tcp, body, pseudo), Name::Protocol(6)),
        Layer::Esp { spi, sequence } => (join(&[spi.to_be_bytes(), sequence.to_be_bytes()].concat(), body), Name::Protocol(50)),
        Layer::Udp { src, dst } => (put_udp(*src, *dst, body, pseudo), Name::Protocol(17)),
        Layer::UdpLite { src, dst, coverage } => (put_udp_lite(*src, *dst, *coverage, body, pseudo), Name::Protocol(136)),
        Layer::Dccp { src, dst, sequence, service } => (put_dccp(*src, *dst, *sequence, *service, body, pseudo), Name::Protocol(33)),
        Layer::Sctp(sctp) => (put_sctp(sctp, body), Name::Protocol(132)),
        Layer::Icmp(icmp) => (put_icmp(icmp, body, Pseudo::None), Name::Protocol(1)),
        Layer::Icmpv6(icmp) => (put_icmp(icmp, body, pseudo), Name::Protocol(58)),
        // The same four octets before the checksum as ICMP has, and a group in place of the rest (RFC 2236 section 2).
        Layer::Igmp(igmp) => (put_icmp(igmp, body, Pseudo::None), Name::Protocol(2)),
        Layer::Carrier(carrier) => carrier.put(body, above),
        Layer::Arp(arp) => (join(&arp_bytes(arp), body), Name::Ethertype(0x0806)),
        Layer::Lldp { system, port } => (join(&lldp_bytes(system, port), body), Name::Ethertype(0x88cc)),
    }
}

fn put_ipv4(ip: &Ipv4, body: Vec<u8>, above: Name) -> Vec<u8> {
    let options = padded(&ip.options, 4);
    assert!(options.len() <= 40, "an IPv4 header has at most 40 octets of options");
    assert!(ip.offset.is_multiple_of(8), "a fragment's offset is a multiple of 8");
    let words = len8(5 + options.len() / 4);
    let total = ip.total_length.unwrap_or_else(|| len16(20 + options.len() + body.len()));
    let fragment = u16::from(ip.dont_fragment) << 14 | u16::from(ip.more_fragments) << 13 | (ip.offset / 8);
    let mut header = vec![0x40 | words, ip.tos];
    header.extend(total.to_be_bytes());
    header.extend(ip.id.to_be_bytes());
    header.extend(fragment.to_be_bytes());
    header.extend([ip.ttl, ip.protocol.unwrap_or_else(|| above.protocol()), 0, 0]);
    header.extend(ip.src.octets());
    header.extend(ip.dst.octets());
    header.extend(options);
    let sum = internet_checksum(&[&header]);
    header[10..12].copy_from_slice(&sum.to_be_bytes());
    join(&header, body)
}

fn put_ipv6(ip: &Ipv6, body: Vec<u8>, above: Name) -> Vec<u8> {
    let first = 6u32 << 28 | u32::from(ip.class) << 20 | ip.label & 0xf_ffff;
    let mut header = first.to_be_bytes().to_vec();
    header.extend(ip.payload_length.unwrap_or_else(|| len16(body.len())).to_be_bytes());
    header.extend([ip.next.unwrap_or_else(|| above.protocol()), ip.hop_limit]);
    header.extend(ip.src.octets());
    header.extend(ip.dst.octets());
    join(&header, body)
}

/// Hop-by-hop and destination options: next header, length in 8 octets without the first 8, options, PadN.
fn put_options(options: &[u8], body: Vec<u8>, above: Name) -> Vec<u8> {
    let mut header = vec![above.protocol(), 0];
    header.extend(options);
    match (8 - header.len() % 8) % 8 {
        0 => {}
        1 => header.push(0), // Pad1
        gap => {
            header.extend([1, len8(gap - 2)]); // PadN
            header.resize(header.len() + gap - 2, 0);
        }
    }
    header[1] = len8(header.len() / 8 - 1);
    join(&header, body)
}

fn put_tcp(tcp: &Tcp, body: Vec<u8>, pseudo: Pseudo) -> Vec<u8> {
    let mut options = Vec::new();
    for option in &tcp.options {
        match option {
            TcpOption::Mss(mss) => options.extend([&[2, 4], mss.to_be_bytes().as_slice()].concat()),
            TcpOption::WindowScale(shift) => options.extend([3, 3, *shift]),
            TcpOption::SackPermitted => options.extend([4, 2]),
            TcpOption::Timestamps(value, echo) => {
                options.extend([8, 10]);
                options.extend(value.to_be_bytes());
                options.extend(echo.to_be_bytes());
            }
            TcpOption::Nop => options.push(1),
            TcpOption::Raw(bytes) => options.extend(bytes),
        }
    }
    let options = padded(&options, 4);
    assert!(options.len() <= 40, "a TCP header has at most 40 octets of options");
    let words = u16::from(len8(5 + options.len() / 4));
    let mut header = Vec::with_capacity(20 + options.len());
    header.extend(tcp.src.to_be_bytes());
    header.extend(tcp.dst.to_be_bytes());
    header.extend(tcp.seq.to_be_bytes());
    header.extend(tcp.ack.to_be_bytes());
    header.extend((words << 12 | tcp.flags & 0x1ff).to_be_bytes());
    header.extend(tcp.window.to_be_bytes());
    header.extend([0, 0, 0, 0]);
    header.extend(options);
    let mut segment = join(&header, body);
    let sum = transport_checksum(&segment, 6, pseudo);
    segment[16..18].copy_from_slice(&sum.to_be_bytes());
    segment
}

fn put_udp(src: u16, dst: u16, body: Vec<u8>, pseudo: Pseudo) -> Vec<u8> {
    let mut header = Vec::with_capacity(8);
    header.extend(src.to_be_bytes());
    header.extend(dst.to_be_bytes());
    header.extend(len16(8 + body.len()).to_be_bytes());
    header.extend([0, 0]);
    let mut datagram = join(&header, body);
    // RFC 768: a computed zero is sent as all ones, for zero means "no checksum".
    let sum = match transport_checksum(&datagram, 17, pseudo) {
        0 => 0xffff,
        sum => sum,
    };
    datagram[6..8].copy_from_slice(&sum.to_be_bytes());
    datagram
}

/// RFC 3828 section 3.1: the pseudo header has the length of the whole packet, the sum covers `coverage` octets (0: all).
fn put_udp_lite(src: u16, dst: u16, coverage: u16, body: Vec<u8>, pseudo: Pseudo) -> Vec<u8> {
    let mut header = [src.to_be_bytes(), dst.to_be_bytes(), coverage.to_be_bytes()].concat();
    header.extend([0, 0]);
    let mut packet = join(&header, body);
    let covered = if coverage == 0 { packet.len() } else { usize::from(coverage) };
    let sum = sum_with_pseudo(&packet[..covered], packet.len(), 136, pseudo);
    packet[6..8].copy_from_slice(&sum.to_be_bytes());
    packet
}

/// A request with extended sequence numbers (RFC 4340 section 5.1 and 5.2).
fn put_dccp(src: u16, dst: u16, sequence: u32, service: u32, body: Vec<u8>, pseudo: Pseudo) -> Vec<u8> {
    let mut header = [src.to_be_bytes(), dst.to_be_bytes()].concat();
    // Data offset in words; the checksum covers everything; type 0 and the X bit; 48 bits of sequence.
    header.extend([5, 0, 0, 0, 0x01, 0, 0, 0]);
    header.extend(sequence.to_be_bytes());
    header.extend(service.to_be_bytes());
    let mut packet = join(&header, body);
    let sum = transport_checksum(&packet, 33, pseudo);
    packet[6..8].copy_from_slice(&sum.to_be_bytes());
    packet
}

fn put_sctp(sctp: &Sctp, body: Vec<u8>) -> Vec<u8> {
    let mut header = Vec::with_capacity(12);
    header.extend(sctp.src.to_be_bytes());
    header.extend(sctp.dst.to_be_bytes());
    header.extend(sctp.tag.to_be_bytes());
    header.extend([0; 4]);
    let mut packet = join(&header, body);
    let sum = crc32c(&packet);
    // RFC 9260 appendix A: the CRC is sent with its least significant octet first.
    packet[8..12].copy_from_slice(&sum.to_le_bytes());
    packet
}

fn put_icmp(icmp: &Icmp, body: Vec<u8>, pseudo: Pseudo) -> Vec<u8> {
    let mut message = join(&[&[icmp.kind, icmp.code, 0, 0], icmp.rest.as_slice()].concat(), body);
    let sum = transport_checksum(&message, 58, pseudo);
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    message
}

fn transport_checksum(segment: &[u8], protocol: u8, pseudo: Pseudo) -> u16 {
    sum_with_pseudo(segment, segment.len(), protocol, pseudo)
}

fn sum_with_pseudo(segment: &[u8], length: usize, protocol: u8, pseudo: Pseudo) -> u16 {
    let length = u32::try_from(length).expect("a segment has fewer than 2^32 octets").to_be_bytes();
    let tail = [0, 0, 0, protocol];
    match pseudo {
        Pseudo::None => internet_checksum(&[segment]),
        // The pseudo header of IPv4 has a 16-bit length; as a sum it makes no difference.
        Pseudo::V4(src, dst) => internet_checksum(&[&src.octets(), &dst.octets(), &length, &tail, segment]),
        Pseudo::V6(src, dst) => internet_checksum(&[&src.octets(), &dst.octets(), &length, &tail, segment]),
    }
}

fn arp_bytes(arp: &Arp) -> Vec<u8> {
    let mut bytes = vec![0, 1, 0x08, 0x00, 6, 4];
    bytes.extend(arp.operation.to_be_bytes());
    bytes.extend(arp.sender_mac);
    bytes.extend(arp.sender.octets());
    bytes.extend(arp.target_mac);
    bytes.extend(arp.target.octets());
    bytes
}

/// Chassis id (locally assigned), port id (interface name), time to live, system name, end (IEEE 802.1AB section 8).
fn lldp_bytes(system: &str, port: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut tlv = |kind: u16, value: &[u8]| {
        bytes.extend((kind << 9 | len16(value.len())).to_be_bytes());
        bytes.extend(value);
    };
    tlv(1, &[&[7], system.as_bytes()].concat());
    tlv(2, &[&[5], port.as_bytes()].concat());
    tlv(3, &120u16.to_be_bytes());
    tlv(5, system.as_bytes());
    tlv(0, &[]);
    bytes
}

fn padded(bytes: &[u8], unit: usize) -> Vec<u8> {
    let mut out = bytes.to_vec();
    out.resize(bytes.len().next_multiple_of(unit), 0);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::traffic::tcp_flags;

    fn check(stack: &Stack, hex: &str) {
        let bytes: String = stack.build_unpadded().iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(bytes, hex.replace([' ', '\n'], ""));
    }

    #[test]
    fn ipv4_header_of_a_known_packet() {
        // The example of a header with its checksum in Wikipedia's "Internet checksum": 45 00 00 73 ... b8 61.
        let mut ip = Ipv4::new([192, 168, 0, 1], [192, 168, 0, 199]);
        (ip.dont_fragment, ip.protocol, ip.total_length) = (true, Some(17), Some(0x73));
        check(&Stack::new().push(ip), "4500 0073 0000 4000 4011 b861 c0a8 0001 c0a8 00c7");
    }

    #[test]
    fn vlans_name_what_they_carry() {
        let qinq = Stack::ethernet().push(Layer::Vlan { tpid: 0x88a8, tci: 5, ethertype: None }).vlan(6).push(Layer::Raw(vec![1]));
        check(&qinq, "020000000002 020000000001 88a8 0005 8100 0006 88b5 01");
    }

    #[test]
    fn llc_makes_the_type_a_length() {
        let stp = Stack::ethernet().push(Layer::Llc { dsap: 0x42, ssap: 0x42, control: 3 }).payload([9, 9]);
        check(&stp, "020000000002 020000000001 0005 424203 0909");
    }

    #[test]
    fn extension_headers_are_chained() {
        let stack = Stack::new()
            .ipv6([0xfe80, 0, 0, 0, 0, 0, 0, 1], [0xff02, 0, 0, 0, 0, 0, 0, 2])
            .push(Layer::HopByHop(vec![5, 2, 0, 0]))
            .push(Layer::Fragment { offset: 0, more: false, id: 7, next: None })
            .payload([1, 2]);
        check(
            &stack,
            "60000000 0012 00 40 fe800000000000000000000000000001 ff020000000000000000000000000002
             2c00 05020000 0100 3b00 0000 00000007 0102",
        );
    }

    #[test]
    fn a_transport_with_its_pseudo_header_sums_to_zero() {
        let cases = [
            (Stack::new().ipv4([1, 2, 3, 4], [5, 6, 7, 8]).udp(1, 2).payload("odd"), 20, 17u8),
            (Stack::new().ipv4([1, 2, 3, 4], [5, 6, 7, 8]).push(Tcp::new(1, 2, tcp_flags::SYN)).payload("even"), 20, 6),
        ];
        for (stack, header, protocol) in cases {
            let bytes = stack.build();
            let length = u16::try_from(bytes.len() - header).unwrap().to_be_bytes();
            let pseudo = [&bytes[12..20], &[0, protocol], &length].concat();
            assert_eq!(internet_checksum(&[&pseudo, &bytes[header..]]), 0);
        }
    }

    #[test]
    fn short_ethernet_frames_are_padded() {
        assert_eq!(Stack::ethernet().ipv4([1, 2, 3, 4], [5, 6, 7, 8]).udp(1, 2).build().len(), ETHERNET_MIN);
    }
}
