//! What makes packets one conversation: both endpoints in a fixed order, protocol, VLAN ids; the type and code of ICMP (`icmp`); for a
//! flow inside a tunnel the virtual network, too, and behind a provider's backbone the service instance.
//!
//! A key is canonical: the smaller endpoint comes first, so that both directions have one key, and a direction bit says which
//! way a packet went. It is compared whole after a tag match: identity by hash would merge two customers' flows.

use bytemuck::Zeroable;
use sonde_packet::{Fast4, Fast6, Headers, Inner4, Network, has_ports};
use sonde_record::{Kind, View};

use crate::icmp::is_icmp;

/// Random words that the hash is mixed with, so that nobody outside can aim at one line of the table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seed([u64; 6]);

impl Seed {
    /// Six words from one (splitmix64). Two workers may share a seed.
    pub(crate) fn from_u64(mut state: u64) -> Self {
        Self(std::array::from_fn(|_| {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = state;
            z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
            (z ^ z >> 31) | 1
        }))
    }
}

/// One 64 x 64 -> 128 bit multiplication, folded.
#[inline(always)]
fn fold(a: u64, b: u64) -> u64 {
    let wide = u128::from(a).wrapping_mul(u128::from(b));
    #[expect(clippy::cast_possible_truncation, reason = "the two halves are what is wanted")]
    let halves = (wide as u64, (wide >> 64) as u64);
    halves.0 ^ halves.1
}

/// A flow key of one of the tables.
pub(crate) trait Key: Copy + Eq + Zeroable + Send + std::fmt::Debug + 'static {
    /// 64 bits, all of them usable.
    fn hash(&self, seed: &Seed) -> u64;
    /// The key's part of a record; `forward` is the direction bit of its first packet.
    fn ends(&self, forward: u8) -> Ends;
}

/// What a record says of its key. IPv4 addresses are the last four octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ends {
    pub(crate) kind: Kind,
    pub(crate) view: View,
    pub(crate) src: [u8; 16],
    pub(crate) dst: [u8; 16],
    pub(crate) sport: u16,
    pub(crate) dport: u16,
    pub(crate) protocol: u8,
}

/// VLAN ids of a packet as the key holds them: outer in the high twelve bits. Untagged and VLAN 0 (priority tag) are the same.
#[inline(always)]
pub(crate) fn vlan_bits([outer, inner]: [u16; 2]) -> u32 {
    u32::from(outer & 0xfff) << 12 | u32::from(inner & 0xfff)
}

/// What stands in the place of ports: the ports, or else the security parameters index, whose two halves they are (RFC 4301: it names
/// the association together with the destination). Each direction of ESP has its own, and is a flow of its own.
#[inline(always)]
pub(crate) fn ports(headers: &Headers) -> (u16, u16) {
    if headers.spi == 0 || has_ports(headers.protocol) || (headers.sport != 0 && is_icmp(headers.protocol)) {
        return (headers.sport, headers.dport);
    }
    let [a, b, c, d] = headers.spi.to_be_bytes();
    (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]))
}

/// Ports as a record shows them: none where the protocol has none.
#[inline(always)]
fn shown(protocol: u8, sport: u16, dport: u16) -> (u16, u16) {
    if has_ports(protocol) { (sport, dport) } else { (0, 0) }
}

/// Key of an IPv4 flow, 16 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Zeroable)]
#[repr(C)]
pub(crate) struct Key4 {
    /// Protocol (8 bits), first VLAN bits (8), lower endpoint: address (32), port (16).
    low: u64,
    /// Other VLAN bits (16), higher endpoint.
    high: u64,
}

impl Key4 {
    /// The key of a packet and its direction: 1 when it goes from the higher endpoint to the lower.
    #[inline(always)]
    pub(crate) fn new(src: u32, dst: u32, sport: u16, dport: u16, protocol: u8, vlan: u32) -> (Self, u8) {
        let from = u64::from(src) << 16 | u64::from(sport);
        let to = u64::from(dst) << 16 | u64::from(dport);
        let (low, high) = (from.min(to), from.max(to));
        let vlan = u64::from(vlan);
        let key = Self { low: low | u64::from(protocol) << 56 | (vlan >> 16) << 48, high: high | vlan << 48 };
        (key, u8::from(from > to))
    }

    /// The key of a packet a fast decoder knows.
    #[inline(always)]
    pub(crate) fn of(fast: &Fast4, vlan: u32) -> (Self, u8) {
        Self::new(fast.src, fast.dst, fast.sport, fast.dport, fast.protocol, vlan)
    }
}

/// The four 16-bit numbers of a word, highest first.
fn quarters(word: u64) -> [u16; 4] {
    let [a, b, c, d, e, f, g, h] = word.to_be_bytes();
    [u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]), u16::from_be_bytes([e, f]), u16::from_be_bytes([g, h])]
}

impl Key for Key4 {
    #[inline(always)]
    fn hash(&self, seed: &Seed) -> u64 {
        let [s0, s1, s2, s3, ..] = seed.0;
        fold(fold(self.low ^ s0, self.high ^ s1) ^ s2, s3)
    }

    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "parts of a word, by their width")]
    fn ends(&self, forward: u8) -> Ends {
        let (from, to) = if forward == 0 { (self.low, self.high) } else { (self.high, self.low) };
        let address = |word: u64| u128::from(word >> 16 & 0xffff_ffff).to_be_bytes();
        let protocol = (self.low >> 56) as u8;
        let (sport, dport) = shown(protocol, from as u16, to as u16);
        Ends { kind: Kind::Ipv4, view: View::First, src: address(from), dst: address(to), sport, dport, protocol }
    }
}

/// Key of an IPv6 flow or of a flow without IP, 48 bytes. IPv4 flows never pay for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Zeroable)]
#[repr(C)]
pub(crate) struct KeyWide {
    low: [u64; 2],
    high: [u64; 2],
    /// Lower port (16 bits), higher port (16), protocol (8), VLAN ids (24).
    rest: u64,
    /// 4, 6, or 2 for a flow without IP; from bit 8 on [`View`]; in the high half the virtual network, or service instance, it is in.
    kind: u64,
}

impl KeyWide {
    /// The key of an IPv6 packet, or of any packet inside a tunnel, and its direction. `from` and `to` are addresses with ports; `kind` is
    /// the word of that name.
    #[inline(always)]
    fn ip(from: (u128, u16), to: (u128, u16), protocol: u8, vlan: u32, kind: u64) -> (Self, u8) {
        let turned = from > to;
        let (low, high) = if turned { (to, from) } else { (from, to) };
        #[expect(clippy::cast_possible_truncation, reason = "the two halves are what is wanted")]
        let halves = |address: u128| [(address >> 64) as u64, address as u64];
        let rest = u64::from(low.1) << 48 | u64::from(high.1) << 32 | u64::from(protocol) << 24 | u64::from(vlan);
        (Self { low: halves(low.0), high: halves(high.0), rest, kind }, u8::from(turned))
    }

    /// The word `kind` of a packet of this IP version.
    #[inline(always)]
    fn kind(version: u8, view: View, network: u32) -> u64 {
        u64::from(version) | (view as u64) << 8 | u64::from(network) << 32
    }

    /// The key of an IPv6 packet that the fast decoder knows, and its direction: as [`KeyWide::of`] makes it.
    #[inline(always)]
    pub(crate) fn six(packet: &Fast6, vlan: u32) -> (Self, u8) {
        Self::ip((packet.src, packet.sport), (packet.dst, packet.dport), packet.protocol, vlan, Self::kind(6, View::First, 0))
    }

    /// The key of a packet in a tunnel that the fast decoder knows, and its direction: as [`KeyWide::of`] makes it. `vlan`: the VLAN ids,
    /// `networks`: the bits of the virtual network that are part of the key, all or none.
    #[inline(always)]
    pub(crate) fn inner4(inner: &Inner4, vlan: u32, networks: u32) -> (Self, u8) {
        let packet = &inner.packet;
        let from = u64::from(packet.src) << 16 | u64::from(packet.sport);
        let to = u64::from(packet.dst) << 16 | u64::from(packet.dport);
        let (low, high) = (from.min(to), from.max(to));
        let rest = low << 48 | (high & 0xffff) << 32 | u64::from(packet.protocol) << 24 | u64::from(vlan);
        let kind = Self::kind(4, View::Inner, inner.network & networks);
        (Self { low: [0, low >> 16], high: [0, high >> 16], rest, kind }, u8::from(from > to))
    }

    /// The key of a frame without IP, MAC addresses and ethertype, and its direction.
    fn layer2(headers: &Headers, vlan: u32, network: u32) -> (Self, u8) {
        let number = |[a, b, c, d, e, f]: [u8; 6]| u64::from_be_bytes([0, 0, a, b, c, d, e, f]);
        let (from, to) = (number(headers.smac), number(headers.dmac));
        let (low, high) = ([from.min(to), 0], [from.max(to), u64::from(headers.ethertype)]);
        let key = Self { low, high, rest: u64::from(vlan), kind: 2 | u64::from(network) << 32 };
        (key, u8::from(from > to))
    }

    /// Key and direction of whatever is not IPv4 by its first header. `network` is that of the tunnel a packet was in.
    pub(crate) fn of(headers: &Headers, view: View, vlan: u32, network: u32) -> (Self, u8) {
        let ip = |version, src: u128, dst: u128| {
            let (sport, dport) = ports(headers);
            Self::ip((src, sport), (dst, dport), headers.protocol, vlan, Self::kind(version, view, network))
        };
        match &headers.network {
            Network::V6(src, dst) => ip(6, u128::from_be_bytes(*src), u128::from_be_bytes(*dst)),
            Network::V4(src, dst) => {
                let number = |address: &[u8; 4]| u128::from(u32::from_be_bytes(*address));
                ip(4, number(src), number(dst))
            }
            Network::None => Self::layer2(headers, vlan, network),
        }
    }
}

impl Key for KeyWide {
    #[inline(always)]
    fn hash(&self, seed: &Seed) -> u64 {
        let [s0, s1, s2, s3, s4, s5] = seed.0;
        let ([l0, l1], [h0, h1]) = (self.low, self.high);
        let addresses = fold(l0 ^ s0, l1 ^ s1) ^ fold(h0 ^ s2, h1 ^ s3).rotate_left(32);
        fold(fold(addresses ^ s4, self.rest ^ s5) ^ self.kind, s2)
    }

    fn ends(&self, forward: u8) -> Ends {
        let [version, view, ..] = self.kind.to_le_bytes();
        let kind = match version {
            4 => Kind::Ipv4,
            6 => Kind::Ipv6,
            _ => return Ends { kind: Kind::Layer2, view: View::First, src: [0; 16], dst: [0; 16], sport: 0, dport: 0, protocol: 0 },
        };
        let [low_port, high_port, third, _] = quarters(self.rest);
        let [protocol, _] = third.to_be_bytes();
        let address = |[high, low]: [u64; 2]| (u128::from(high) << 64 | u128::from(low)).to_be_bytes();
        let (low, high) = ((address(self.low), low_port), (address(self.high), high_port));
        let ((src, sport), (dst, dport)) = if forward == 0 { (low, high) } else { (high, low) };
        let (sport, dport) = shown(protocol, sport, dport);
        Ends { kind, view: if view == 0 { View::First } else { View::Inner }, src, dst, sport, dport, protocol }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_directions_have_one_key_and_opposite_bits() {
        for (a, b, p, q) in [(1, 2, 80, 90), (2, 1, 80, 90), (7, 7, 5, 4), (u32::MAX, 0, 0, 65_535)] {
            let (there, forward) = Key4::new(a, b, p, q, 6, 0x00f_00a);
            let (back, backward) = Key4::new(b, a, q, p, 6, 0x00f_00a);
            assert_eq!(there, back);
            assert_ne!(forward, backward);
            let [src, dst] = [a, b].map(|address| u128::from(address).to_be_bytes());
            let ends = Ends { kind: Kind::Ipv4, view: View::First, src, dst, sport: p, dport: q, protocol: 6 };
            assert_eq!(there.ends(forward), ends);
        }
        assert_eq!(Key4::new(7, 7, 5, 5, 17, 0).1, 0, "a packet to itself is forward");
    }

    #[test]
    fn wide_keys_keep_their_fields() {
        let headers = Headers {
            network: Network::V6(*b"bbbbbbbbbbbbbbbb", *b"aaaaaaaaaaaaaaaa"),
            sport: 9,
            dport: 8,
            protocol: 17,
            ..Headers::default()
        };
        let (key, forward) = KeyWide::of(&headers, View::First, 5, 0);
        assert_eq!(forward, 1);
        let (src, dst) = (*b"bbbbbbbbbbbbbbbb", *b"aaaaaaaaaaaaaaaa");
        assert_eq!(key.ends(forward), Ends { kind: Kind::Ipv6, view: View::First, src, dst, sport: 9, dport: 8, protocol: 17 });
        let turned = Headers { network: Network::V6(*b"aaaaaaaaaaaaaaaa", *b"bbbbbbbbbbbbbbbb"), sport: 8, dport: 9, ..headers };
        assert_eq!(KeyWide::of(&turned, View::First, 5, 0), (key, 0));
        assert_ne!(KeyWide::of(&headers, View::First, 6, 0).0, key);
    }

    #[test]
    fn a_flow_in_a_tunnel_is_neither_the_outer_one_nor_that_of_another_network() {
        let headers =
            Headers { network: Network::V4([10, 0, 0, 1], [10, 0, 0, 2]), sport: 9, dport: 8, protocol: 17, ..Headers::default() };
        let keys: std::collections::HashSet<_> = [(View::First, 0), (View::Inner, 0), (View::Inner, 7), (View::Inner, 8)]
            .map(|(view, network)| KeyWide::of(&headers, view, 5, network).0)
            .into_iter()
            .map(|key| format!("{key:?}"))
            .collect();
        assert_eq!(keys.len(), 4);
        let (key, forward) = KeyWide::of(&headers, View::Inner, 5, 7);
        let ends = key.ends(forward);
        let [src, dst] = [0x0a00_0001u128, 0x0a00_0002].map(u128::to_be_bytes);
        assert_eq!((ends.kind, ends.view, ends.src, ends.dst), (Kind::Ipv4, View::Inner, src, dst));
        assert_eq!((ends.sport, ends.dport, ends.protocol), (9, 8, 17));
    }

    #[test]
    fn an_spi_stands_in_the_key_in_place_of_ports_and_is_shown_as_none() {
        let esp = |spi| Headers { network: Network::V4([10, 0, 0, 1], [10, 0, 0, 2]), protocol: 50, spi, ..Headers::default() };
        assert_eq!(ports(&esp(0x0001_0002)), (1, 2));
        assert_eq!(ports(&Headers { protocol: 17, sport: 5, dport: 6, ..esp(9) }), (5, 6), "an authentication header before ports");
        let (sport, dport) = ports(&esp(0x0001_0002));
        let (key, forward) = Key4::new(0x0a00_0001, 0x0a00_0002, sport, dport, 50, 0);
        assert_eq!((key.ends(forward).sport, key.ends(forward).dport), (0, 0));
    }

    #[test]
    fn the_hash_spreads_structured_keys() {
        // One client, many ports and servers: 2^17 keys in 2^12 bins; chi squared over its degrees of freedom is near 1.
        for seed in [1, 2, 3] {
            let seed = Seed::from_u64(seed);
            for shift in [0, 20, 32, 52] {
                let mut bins = vec![0u32; 4096];
                for server in 0..512u32 {
                    for port in 0..256u16 {
                        let (key, _) = Key4::new(0x0a00_0001, 0xc0a8_0000 + server, 1024 + port, 443, 6, 0);
                        bins[(key.hash(&seed) >> shift & 0xfff) as usize] += 1;
                    }
                }
                let chi: f64 = bins.iter().map(|n| (f64::from(*n) - 32.0).powi(2) / 32.0).sum::<f64>() / 4095.0;
                assert!((0.8..1.25).contains(&chi), "seed {seed:?} shift {shift}: {chi}");
            }
        }
    }
}
