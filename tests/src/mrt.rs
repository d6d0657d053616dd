//! Writes RIB dumps as route collectors publish them: MRT records of type TABLE_DUMP_V2 (RFC 6396 section 4.3).

use std::net::IpAddr;

/// MRT type TABLE_DUMP_V2.
pub const TABLE_DUMP_V2: u16 = 13;

/// One segment of an AS path (RFC 4271 section 4.3, RFC 5065 section 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Segment<'a> {
    /// AS_SET.
    Set(&'a [u32]),
    /// AS_SEQUENCE.
    Sequence(&'a [u32]),
    /// AS_CONFED_SEQUENCE.
    ConfederationSequence(&'a [u32]),
}

/// A path attribute.
pub fn attribute(flags: u8, kind: u8, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(value.len()).expect("a short attribute");
    // Flag 0x10: the length has two octets.
    match u8::try_from(length) {
        Ok(length) if flags & 0x10 == 0 => [&[flags, kind, length], value].concat(),
        _ => [&[flags | 0x10, kind], &length.to_be_bytes()[..], value].concat(),
    }
}

/// The value of an AS_PATH or AS4_PATH attribute.
pub fn path(segments: &[Segment<'_>]) -> Vec<u8> {
    let mut out = Vec::new();
    for segment in segments {
        let (kind, numbers) = match segment {
            Segment::Set(numbers) => (1, numbers),
            Segment::Sequence(numbers) => (2, numbers),
            Segment::ConfederationSequence(numbers) => (3, numbers),
        };
        out.extend([kind, u8::try_from(numbers.len()).expect("a short path")]);
        numbers.iter().for_each(|number| out.extend(number.to_be_bytes()));
    }
    out
}

/// Attributes of a route: ORIGIN, AS_PATH, and a NEXT_HOP.
pub fn route(segments: &[Segment<'_>]) -> Vec<u8> {
    [attribute(0x40, 1, &[0]), attribute(0x40, 2, &path(segments)), attribute(0x40, 3, &[192, 0, 2, 1])].concat()
}

/// A dump that grows record by record.
#[derive(Clone, Debug, Default)]
pub struct Dump {
    octets: Vec<u8>,
    sequence: u32,
}

impl Dump {
    /// A dump that begins with its PEER_INDEX_TABLE: peers by AS number, with addresses of both families and numbers of both widths.
    pub fn new(peers: &[u32]) -> Self {
        let mut body = vec![192, 0, 2, 254, 0, 4];
        body.extend(b"test");
        body.extend(u16::try_from(peers.len()).expect("few peers").to_be_bytes());
        for (at, number) in peers.iter().enumerate() {
            let short = u16::try_from(*number).ok().filter(|_| at % 4 < 2);
            let kind = u8::from(at % 2 == 1) | if short.is_some() { 0 } else { 2 };
            body.extend([kind, 192, 0, 2, 7]);
            body.extend(&[0x20; 16][..if kind & 1 == 0 { 4 } else { 16 }]);
            match short {
                Some(short) => body.extend(short.to_be_bytes()),
                None => body.extend(number.to_be_bytes()),
            }
        }
        let mut dump = Self::default();
        dump.record(TABLE_DUMP_V2, 1, &body);
        dump
    }

    /// A record of any kind.
    pub fn record(&mut self, kind: u16, subtype: u16, body: &[u8]) {
        self.octets.extend(1_700_000_000u32.to_be_bytes());
        self.octets.extend(kind.to_be_bytes());
        self.octets.extend(subtype.to_be_bytes());
        self.octets.extend(u32::try_from(body.len()).expect("a short record").to_be_bytes());
        self.octets.extend(body);
    }

    /// RIB_IPV4_UNICAST or RIB_IPV6_UNICAST: a prefix with the attributes each peer sent. With `path_ids` as RFC 8050 has it.
    pub fn rib(&mut self, address: IpAddr, length: u8, path_ids: bool, routes: &[(u16, Vec<u8>)]) {
        let mut body = self.sequence.to_be_bytes().to_vec();
        self.sequence += 1;
        body.push(length);
        let octets = match address {
            IpAddr::V4(v4) => v4.octets().to_vec(),
            IpAddr::V6(v6) => v6.octets().to_vec(),
        };
        body.extend(&octets[..usize::from(length).div_ceil(8)]);
        body.extend(u16::try_from(routes.len()).expect("few routes").to_be_bytes());
        for (peer, attributes) in routes {
            body.extend(peer.to_be_bytes());
            body.extend(1_699_999_999u32.to_be_bytes());
            if path_ids {
                body.extend(7u32.to_be_bytes());
            }
            body.extend(u16::try_from(attributes.len()).expect("few attributes").to_be_bytes());
            body.extend(attributes);
        }
        let subtype = if address.is_ipv4() { 2 } else { 4 } + if path_ids { 6 } else { 0 };
        self.record(TABLE_DUMP_V2, subtype, &body);
    }

    /// The file so far.
    pub fn octets(&self) -> &[u8] {
        &self.octets
    }
}
