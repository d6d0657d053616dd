//! How long requests over UDP wait for their answers: DNS, NTP, SNMP, RADIUS.
//!
//! A request is known by the number that its answer repeats. The first octets of a payload are enough; nothing is trusted of them.
//!
//! Not here: what is asked and answered; mDNS and LLMNR, whose answers come from elsewhere.

use bytemuck::{Pod, Zeroable};
use sonde_record::fact::{Application, UdpPerformance};

use crate::measure::response::Responses;

/// Requests of a flow that are remembered.
const OUTSTANDING: usize = 4;

/// What a payload of a protocol says; `None` when it is neither request nor answer, or cut off before its number.
pub fn message(application: Application, payload: &[u8]) -> Option<Message> {
    match application {
        Application::Dns => dns(payload),
        Application::Ntp => ntp(payload),
        Application::Snmp => snmp(payload),
        Application::Radius => radius(payload),
    }
}

/// A request, or the answer to one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    /// The number that request and answer share, folded to 32 bits.
    pub token: u32,
    /// Whether it answers.
    pub answer: bool,
}

/// RFC 1035 section 4.1.1: the identifier and the bit QR.
fn dns(payload: &[u8]) -> Option<Message> {
    let [i0, i1, flags, ..] = *payload.first_chunk::<12>()?;
    Some(Message { token: u32::from(u16::from_be_bytes([i0, i1])), answer: flags & 0x80 != 0 })
}

/// RFC 5905 section 7.3: an answer's origin timestamp is its request's transmit timestamp.
fn ntp(payload: &[u8]) -> Option<Message> {
    let header: &[u8; 48] = payload.first_chunk()?;
    let answer = match header.first()? & 7 {
        // Symmetric active, client.
        1 | 3 => false,
        // Symmetric passive, server.
        2 | 4 => true,
        _ => return None,
    };
    let [a, b, c, d, e, f, g, h] = *header.get(if answer { 24..32 } else { 40..48 })?.first_chunk()?;
    let [seconds, fraction] = [[a, b, c, d], [e, f, g, h]].map(u32::from_be_bytes);
    // An answer without an origin is a broadcast's or a broken server's.
    (seconds | fraction != 0).then_some(Message { token: seconds ^ fraction, answer })
}

/// RFC 2865 section 3: code and identifier. Codes that answer each other are one class.
fn radius(payload: &[u8]) -> Option<Message> {
    let [code, identifier, l0, l1, ..] = *payload.first_chunk::<20>()?;
    if u16::from_be_bytes([l0, l1]) < 20 {
        return None;
    }
    let (class, answer) = match code {
        1 | 12 => (1, false),
        2 | 3 | 11 => (1, true),
        4 => (2, false),
        5 => (2, true),
        40 => (3, false),
        41 | 42 => (3, true),
        43 => (4, false),
        44 | 45 => (4, true),
        _ => return None,
    };
    Some(Message { token: class << 8 | u32::from(identifier), answer })
}

/// A value in BER: its tag, its contents as far as they are there, and what follows. X.690 section 8.1; the definite form with at
/// most four octets of length, tags in one octet.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[tag, first], rest) = bytes.split_first_chunk()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x84 => {
            let (octets, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (octets.iter().fold(0, |length, octet| length << 8 | usize::from(*octet)), rest)
        }
        _ => return None,
    };
    let (contents, rest) = rest.split_at_checked(length).unwrap_or((rest, &[]));
    Some((tag, contents, rest))
}

/// The lower 32 bits of a whole INTEGER.
fn integer(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (0x02, contents @ [_, ..], rest) = element(bytes)? else { return None };
    let [_, length, ..] = *bytes else { return None };
    // Whole, and not longer than what numbers of 32 bits take.
    if contents.len() != usize::from(length) || length > 5 {
        return None;
    }
    Some((contents.iter().fold(0, |number: u32, octet| number << 8 | u32::from(*octet)), rest))
}

/// RFC 3416 section 3: the request-id behind version and community. RFC 3412 section 6: of version 3 the msgID, since the rest may
/// be encrypted; whoever wants an answer sets the reportable flag (section 6.4). Four values deep at most.
fn snmp(payload: &[u8]) -> Option<Message> {
    let (0x30, message, _) = element(payload)? else { return None };
    let (version, rest) = integer(message)?;
    let (tag, contents, pdu) = element(rest)?;
    if version == 3 {
        let (token, rest) = integer(contents)?;
        let (_, rest) = integer(rest)?;
        let (0x04, [flags, ..], _) = element(rest)? else { return None };
        return (tag == 0x30).then_some(Message { token, answer: flags & 0x04 == 0 });
    }
    let (pdu, contents, _) = element(pdu)?;
    let answer = match pdu {
        // Get, get-next, set, get-bulk, inform.
        0xa0 | 0xa1 | 0xa3 | 0xa5 | 0xa6 => false,
        0xa2 => true,
        _ => return None,
    };
    (tag == 0x04 && version < 2).then_some(Message { token: integer(contents)?.0, answer })
}

/// Requests of one flow over UDP that wait, and how long others waited: two cache lines.
#[derive(Clone, Copy, Debug, Zeroable, Pod)]
#[repr(C, align(64))]
pub struct UdpState {
    responses: Responses,
    times: [u64; OUTSTANDING],
    tokens: [u32; OUTSTANDING],
    repeated: u32,
    unanswered: u32,
    /// Direction of each request, plus 1; 0 where there is none.
    ways: [u8; OUTSTANDING],
    turn: u8,
    application: u8,
    /// Whether a message of it was seen.
    spoken: u8,
    _spare: u8,
}

const _: () = assert!(size_of::<UdpState>() == 128);

impl UdpState {
    /// A flow on the ports of a protocol.
    pub fn new(application: Application) -> Self {
        Self { application: application as u8, ..Self::zeroed() }
    }

    /// Adds a datagram: when it was received, its direction (0 forward, 1 reverse), the first octets of its payload.
    pub fn add(&mut self, time: u64, way: u8, payload: &[u8]) {
        let Some(application) = Application::from_u8(self.application) else { return };
        let Some(Message { token, answer }) = message(application, payload) else { return };
        self.spoken = 1;
        let way = way & 1;
        // Who answers stands on the other side.
        let asked = if answer { 2 - way } else { way + 1 };
        let same = self.ways.iter().zip(&self.tokens).position(|(owner, other)| *owner == asked && *other == token);
        match (answer, same) {
            (true, Some(at)) => {
                if let (Some(owner), Some(since)) = (self.ways.get_mut(at), self.times.get(at)) {
                    *owner = 0;
                    // A clock that went back measured nothing.
                    time.checked_sub(*since).into_iter().for_each(|ns| self.responses.add(ns));
                }
            }
            (true, None) => {}
            (false, Some(_)) => self.repeated = self.repeated.saturating_add(1),
            (false, None) => self.ask(token, asked, time),
        }
    }

    /// Remembers a request, in the place of the oldest when there is no room.
    fn ask(&mut self, token: u32, asked: u8, time: u64) {
        let at = self.ways.iter().position(|owner| *owner == 0).unwrap_or_else(|| {
            self.unanswered = self.unanswered.saturating_add(1);
            let at = usize::from(self.turn) % OUTSTANDING;
            self.turn = self.turn.wrapping_add(1);
            at
        });
        if let (Some(owner), Some(number), Some(since)) = (self.ways.get_mut(at), self.tokens.get_mut(at), self.times.get_mut(at)) {
            (*owner, *number, *since) = (asked, token, time);
        }
    }

    /// Begins the next record: counters restart, requests go on waiting.
    pub fn rest(&mut self) {
        self.responses = Responses::zeroed();
        (self.repeated, self.unanswered) = (0, 0);
    }

    /// What the record says.
    pub fn report(&self) -> UdpPerformance {
        UdpPerformance {
            application: Application::from_u8(self.application).filter(|_| self.spoken != 0),
            responses: self.responses.report(),
            repeated: self.repeated,
            unanswered: self.unanswered,
        }
    }
}

#[cfg(test)]
#[path = "udp_tests.rs"]
mod tests;
