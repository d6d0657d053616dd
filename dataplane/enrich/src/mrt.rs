//! RIB dumps as public route collectors publish them: MRT records of type TABLE_DUMP_V2 (RFC 6396 section 4.3, RFC 8050).
//!
//! The file is not trusted: every octet string is routes or a [`Fault`]. A route whose attributes make no sense is passed over and
//! counted, as RFC 7606 has it; a record whose frame makes no sense is a fault, because nothing behind it could be believed.
//!
//! Not here: update files (BGP4MP), TABLE_DUMP of 16-bit AS numbers, multicast.

use std::io::Read;

use crate::fault::Fault;
use crate::ranges::{Address, Prefix};

/// Octets of a record's header (RFC 6396 section 2).
const HEADER: usize = 12;
/// Longest record that is believed. A prefix seen by a thousand peers has a few hundred kilobytes.
const RECORD_OCTETS_MAX: u32 = 64 << 20;
/// Most octets of an unpacked file: the largest dumps have a tenth of it.
const FILE_OCTETS_MAX: u64 = 64 << 30;
/// Most routes a family: twenty times what the Internet has.
const ROUTES_MAX: usize = 20_000_000;
/// The AS number that stands for one of 32 bits in a path of 16-bit numbers (RFC 6793 section 9).
const AS_TRANS: u32 = 23_456;

/// What a dump says: prefixes with the AS that originates them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rib {
    /// IPv4 prefixes; the value is the AS number.
    pub(crate) ipv4: Vec<Prefix<u32>>,
    /// IPv6 prefixes; the value is the AS number.
    pub(crate) ipv6: Vec<Prefix<u128>>,
    /// Routes that were passed over, because their attributes make no sense.
    pub(crate) passed_over: u64,
    /// AS number of each peer, from the index table.
    peers: Vec<u32>,
    /// How often each origin of the prefix at hand was seen.
    votes: Vec<(u32, u32)>,
}

/// Why a route was passed over: not said, only counted.
#[derive(Debug, PartialEq, Eq)]
struct Senseless;

impl Rib {
    /// Reads a whole dump, already unpacked.
    pub(crate) fn read(mut input: impl Read) -> Result<Self, Fault> {
        let mut rib = Self::default();
        let mut body = Vec::new();
        let mut at = 0u64;
        loop {
            body.clear();
            let header = match fill(&mut input, &mut body, HEADER as u64, at)? {
                0 => return Ok(rib),
                _ => body.first_chunk::<HEADER>().copied().ok_or(Fault::Cut { at })?,
            };
            let [_, _, _, _, t0, t1, s0, s1, length @ ..] = header;
            let length = u32::from_be_bytes(length);
            if length > RECORD_OCTETS_MAX {
                return Err(Fault::BadMrt { at, what: "it announces more than 64 MiB" });
            }
            body.clear();
            if fill(&mut input, &mut body, length.into(), at)? < u64::from(length) {
                return Err(Fault::Cut { at });
            }
            rib.record(u16::from_be_bytes([t0, t1]), u16::from_be_bytes([s0, s1]), &body, at)?;
            at = at.saturating_add(HEADER as u64).saturating_add(length.into());
            if at > FILE_OCTETS_MAX {
                return Err(Fault::TooLong { limit: FILE_OCTETS_MAX, unpacked: true });
            }
        }
    }

    fn record(&mut self, kind: u16, subtype: u16, body: &[u8], at: u64) -> Result<(), Fault> {
        let bad = |what| Fault::BadMrt { at, what };
        let mut body = Cursor(body);
        match (kind, subtype) {
            (13, 1) => self.peers(&mut body).ok_or(bad("a PEER_INDEX_TABLE that goes beyond its end")),
            // RIB_IPV4_UNICAST and its twin with path identifiers (RFC 8050 section 4).
            (13, 2 | 8) => self.ipv4(&mut body, subtype == 8).map_err(bad),
            (13, 4 | 10) => self.ipv6(&mut body, subtype == 10).map_err(bad),
            // Multicast, and families nobody meters.
            (13, _) => Ok(()),
            (12, _) => Err(bad("it is of type TABLE_DUMP, whose AS numbers have 16 bits; TABLE_DUMP_V2 is needed")),
            (16 | 17, _) => Err(bad("it is of type BGP4MP, an update; a RIB dump is needed")),
            // RFC 6396 section 4 and its registry: OSPF, IS-IS and what is still to come may stand between.
            (11 | 32 | 33 | 48 | 49, _) => Ok(()),
            _ => Err(bad("it is of a type that does not exist")),
        }
    }

    /// RFC 6396 section 4.3.1.
    fn peers(&mut self, body: &mut Cursor<'_>) -> Option<()> {
        let _collector = body.take(4)?;
        let name = body.u16()?;
        body.take(name.into())?;
        let count = body.u16()?;
        self.peers.clear();
        for _ in 0..count {
            let kind = body.u8()?;
            let _id = body.take(4)?;
            body.take(if kind & 1 == 0 { 4 } else { 16 })?;
            let number = if kind & 2 == 0 { body.u16()?.into() } else { body.u32()? };
            self.peers.push(number);
        }
        Some(())
    }

    fn ipv4(&mut self, body: &mut Cursor<'_>, path_ids: bool) -> Result<(), &'static str> {
        let (octets, length) = prefix::<4>(body)?;
        let value = self.origin(body, path_ids)?;
        add(&mut self.ipv4, u32::from_be_bytes(octets), length, value)
    }

    fn ipv6(&mut self, body: &mut Cursor<'_>, path_ids: bool) -> Result<(), &'static str> {
        let (octets, length) = prefix::<16>(body)?;
        let value = self.origin(body, path_ids)?;
        add(&mut self.ipv6, u128::from_be_bytes(octets), length, value)
    }

    /// The AS most peers see as the origin of a prefix; of equally many, the lowest (RFC 6396 section 4.3.4 for the entries).
    fn origin(&mut self, body: &mut Cursor<'_>, path_ids: bool) -> Result<Option<u32>, &'static str> {
        self.votes.clear();
        let count = body.u16().ok_or("a RIB entry goes beyond its end")?;
        for _ in 0..count {
            let (peer, attributes) = entry(body, path_ids).ok_or("a RIB entry goes beyond its end")?;
            // What a peer announces without a path is its own.
            let own = || self.peers.get(usize::from(peer)).copied().filter(|number| *number != 0);
            match origin(attributes).map(|found| found.or_else(own)) {
                Ok(Some(number)) => match self.votes.iter_mut().find(|(voted, _)| *voted == number) {
                    Some((_, votes)) => *votes = votes.saturating_add(1),
                    None => self.votes.push((number, 1)),
                },
                Ok(None) | Err(Senseless) => self.passed_over = self.passed_over.saturating_add(1),
            }
        }
        Ok(self.votes.iter().max_by_key(|(number, votes)| (*votes, !*number)).map(|(number, _)| *number))
    }
}

/// Reads up to `octets` octets behind what `out` has; returns how many came.
fn fill(input: &mut impl Read, out: &mut Vec<u8>, octets: u64, at: u64) -> Result<u64, Fault> {
    let before = out.len();
    // Grows as octets come, so that a length that lies costs nothing.
    let read = input.take(octets).read_to_end(out);
    let came = out.len().saturating_sub(before) as u64;
    match read {
        Ok(_) => Ok(came),
        Err(error) => Err(Fault::Damaged { octets: at.saturating_add(came), what: error.to_string() }),
    }
}

/// Sequence number, length and prefix of a RIB record (RFC 6396 section 4.3.2).
fn prefix<const N: usize>(body: &mut Cursor<'_>) -> Result<([u8; N], u8), &'static str> {
    let ends = "its prefix goes beyond its end";
    let _sequence = body.u32().ok_or(ends)?;
    let length = body.u8().ok_or(ends)?;
    let found = body.take(usize::from(length).div_ceil(8)).ok_or(ends)?;
    let mut octets = [0; N];
    octets.get_mut(..found.len()).ok_or("its prefix is longer than an address")?.copy_from_slice(found);
    if usize::from(length) > N * 8 { Err("its prefix is longer than an address") } else { Ok((octets, length)) }
}

fn add<A: Address>(routes: &mut Vec<Prefix<A>>, address: A, length: u8, origin: Option<u32>) -> Result<(), &'static str> {
    if routes.len() >= ROUTES_MAX {
        return Err("there are more routes than the Internet has");
    }
    // A default route says nothing of whose an address is.
    if let Some(value) = origin.filter(|_| length > 0) {
        routes.push(Prefix { start: address.first(length), length, value });
    }
    Ok(())
}

/// Peer index and attributes of one RIB entry.
fn entry<'a>(body: &mut Cursor<'a>, path_ids: bool) -> Option<(u16, &'a [u8])> {
    let peer = body.u16()?;
    let _originated = body.u32()?;
    if path_ids {
        let _path = body.u32()?;
    }
    let octets = body.u16()?;
    Some((peer, body.take(octets.into())?))
}

/// The AS a route comes from, by its attributes (RFC 4271 section 4.3); `None` where the path is empty or missing.
fn origin(attributes: &[u8]) -> Result<Option<u32>, Senseless> {
    const AS_PATH: u8 = 2;
    const AS4_PATH: u8 = 17;
    const EXTENDED_LENGTH: u8 = 0x10;
    let (mut found, mut found4) = (None, None);
    let mut rest = Cursor(attributes);
    while !rest.0.is_empty() {
        let flags = rest.u8().ok_or(Senseless)?;
        let kind = rest.u8().ok_or(Senseless)?;
        let octets = if flags & EXTENDED_LENGTH == 0 { rest.u8().map(u16::from) } else { rest.u16() };
        let value = rest.take(octets.ok_or(Senseless)?.into()).ok_or(Senseless)?;
        match kind {
            AS_PATH => found = path_origin(value)?,
            AS4_PATH => found4 = path_origin(value)?,
            _ => {}
        }
    }
    // RFC 6396 section 4.3.4: paths have 32-bit numbers, so AS4_PATH has nothing to add, but a collector that only widened the
    // numbers of a 16-bit peer left AS_TRANS in their place.
    Ok(if found == Some(AS_TRANS) { found4.or(found) } else { found })
}

/// The AS at the end of a path of 32-bit numbers.
///
/// A path that ends with an AS_SET is that of an aggregate (RFC 4271 section 9.2.2.2): a set of one is the origin; of more, nobody is
/// alone, so it is the AS that made the aggregate, the last before the set; and the lowest of the set where nothing stands before it.
/// Segments of a confederation (RFC 5065) are inside an AS and no part of the way. AS 0 is nobody (RFC 7607).
fn path_origin(path: &[u8]) -> Result<Option<u32>, Senseless> {
    const AS_SET: u8 = 1;
    const AS_SEQUENCE: u8 = 2;
    let mut origin = None;
    let mut rest = Cursor(path);
    while !rest.0.is_empty() {
        let kind = rest.u8().ok_or(Senseless)?;
        let count = rest.u8().ok_or(Senseless)?;
        let numbers = rest.take(usize::from(count).wrapping_mul(4)).ok_or(Senseless)?;
        let mut numbers = numbers.as_chunks::<4>().0.iter().map(|octets| u32::from_be_bytes(*octets)).filter(|number| *number != 0);
        match kind {
            AS_SEQUENCE => origin = numbers.next_back().or(origin),
            AS_SET => {
                let (lowest, highest) = (numbers.clone().min(), numbers.max());
                origin = if lowest == highest { lowest.or(origin) } else { origin.or(lowest) };
            }
            3 | 4 => {}
            _ => return Err(Senseless),
        }
    }
    Ok(origin)
}

/// Octets that are taken from the front.
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, octets: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(octets)?;
        self.0 = rest;
        Some(taken)
    }

    fn chunk<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    fn u8(&mut self) -> Option<u8> {
        self.chunk().map(u8::from_be_bytes)
    }

    fn u16(&mut self) -> Option<u16> {
        self.chunk().map(u16::from_be_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.chunk().map(u32::from_be_bytes)
    }
}
