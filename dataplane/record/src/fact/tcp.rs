//! How a TCP connection performed.

use super::lone::LoneSyn;
use super::responses::{self, ResponseTimes, get_responses, put_responses};
use super::{Fact, Id, first_word, open, read_fact};
use crate::view::RecordView;
use crate::word::{Reader, Writer, pair, quad};

mod rows;

pub(crate) use rows::ROWS;

/// Words before those of the directions: the head, bits and small numbers, round trips, response times, the transfer time.
const HEAD: usize = 7 + responses::WORDS;
/// Words of a direction.
const WAY: usize = 19;
/// Greatest shift of a window (RFC 7323 section 2.3).
pub const WINDOW_SCALE_MAX: u8 = 14;

/// Which values of a [`TcpPerformance`] were measured: what has no bit is 0 and means nothing.
///
/// Bits of a direction are given for forward; the reverse ones are [`valid::REVERSE`] higher.
pub mod valid {
    /// `server_rtt`.
    pub const SERVER_RTT: u64 = 1;
    /// `client_rtt`.
    pub const CLIENT_RTT: u64 = 1 << 1;
    /// `server_rtt` belongs to one SYN (Karn's rule: none was sent again before the answer).
    pub const SERVER_RTT_KARN: u64 = 1 << 2;
    /// `client_rtt` belongs to one SYN/ACK.
    pub const CLIENT_RTT_KARN: u64 = 1 << 3;
    /// `responses`.
    pub const RESPONSES: u64 = 1 << 4;
    /// `transfer_time` and `transfers`.
    pub const TRANSFER: u64 = 1 << 5;
    /// `client`, `result`: the beginning of the connection was seen.
    pub const BEGINNING: u64 = 1 << 6;
    /// A segment of the direction was seen: counters, `isn`, payload.
    pub const SEEN: u64 = 1 << 16;
    /// `delay`.
    pub const DELAY: u64 = 1 << 17;
    /// `jitter`.
    pub const JITTER: u64 = 1 << 18;
    /// A SYN of the direction was seen: `syn`.
    pub const SYN: u64 = 1 << 19;
    /// It had a maximum segment size.
    pub const MSS: u64 = 1 << 20;
    /// It had a window scale.
    pub const WINDOW_SCALE: u64 = 1 << 21;
    /// `ttl`: a packet of the direction is in this record.
    pub const TTL: u64 = 1 << 22;
    /// The window of the direction could be compared with what it allows: `window_full` of the other direction.
    pub const SCALED: u64 = 1 << 23;
    /// How much higher the bits of the reverse direction stand.
    pub const REVERSE: u32 = 16;
}

/// What became of the attempt to connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Hash)]
#[repr(u8)]
pub enum Connection {
    /// It was there before the first segment that was seen.
    #[default]
    MidStream = 0,
    /// A SYN, and no answer.
    Unanswered = 1,
    /// A SYN, answered by RST.
    Refused = 2,
    /// A SYN/ACK that the client did not acknowledge: a scan, or loss.
    HalfOpen = 3,
    /// The client acknowledged the SYN/ACK.
    Established = 4,
}

/// What the first SYN or SYN/ACK of a direction says (passive recognition of systems reads it).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Syn {
    /// Kinds of options below 64, kind 0 in bit 0 (`tcpOptions`, 209).
    pub kinds: u64,
    /// Window, unscaled (`tcpWindowSize`, 186).
    pub window: u16,
    /// Maximum segment size.
    pub mss: u16,
    /// Octets of its IP packet.
    pub octets: u16,
    /// Its TTL or hop limit.
    pub ttl: u8,
    /// Shift of later windows.
    pub window_scale: u8,
    /// Whether selective acknowledgements are permitted.
    pub sack_permitted: bool,
}

/// One direction of a connection. Counters of 16 bits stop at 65,535.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct TcpDirection {
    /// Time between two segments of the direction, in nanoseconds.
    pub delay: Spread,
    /// Difference of two delays.
    pub jitter: Spread,
    /// Octets of payload, sent again or not.
    pub payload: u64,
    /// Segments.
    pub packets: u32,
    /// Segments with payload.
    pub data_packets: u32,
    /// Segments sent again: FIN and SYN too, fast and spurious ones included, keep-alives not.
    pub retransmitted: u32,
    /// Segments that later ones had overtaken.
    pub out_of_order: u32,
    /// Duplicate acknowledgements sent.
    pub duplicate_acks: u32,
    /// Of the retransmissions, those that duplicate acknowledgements asked for.
    pub fast: u16,
    /// Of the retransmissions, those of what had been acknowledged.
    pub spurious: u16,
    /// Segments before which something is missing.
    pub holes: u16,
    /// Of the retransmissions, those that fill a hole: the segment was lost before it came to the tap.
    pub lost_upstream: u16,
    /// Of the retransmissions, those of what the tap had seen and the receiver had not acknowledged: lost behind the tap.
    pub lost_downstream: u16,
    /// Segments with a window of 0.
    pub zero_window: u16,
    /// Segments that used up the receiver's window.
    pub window_full: u16,
    /// Keep-alives.
    pub keep_alive: u16,
    /// Segments with SYN of the whole flow, over all its records (`tcpSynTotalCount`, 218).
    pub syn_count: u16,
    /// As `syn_count`, with FIN (219).
    pub fin_count: u16,
    /// With RST (220).
    pub rst_count: u16,
    /// With URG (223).
    pub urg_count: u16,
    /// Segments with CWR in this record.
    pub cwr_count: u16,
    /// Segments with ECE in this record.
    pub ece_count: u16,
    /// Of the whole flow as `syn_count`, with PSH (221); stops at 2^32 - 1.
    pub psh_count: u32,
    /// With ACK (222); stops at 2^32 - 1.
    pub ack_count: u32,
    /// Initial sequence number; without [`valid::SYN`] one less than the first number seen.
    pub isn: u32,
    /// Traits of the SYN.
    pub syn: Syn,
    /// Least and greatest TTL or hop limit (`minimumTTL` 52, `maximumTTL` 53).
    pub ttl: [u8; 2],
}

/// How a TCP connection performed since its last record. Times are in nanoseconds, directions those of the flow, forward first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct TcpPerformance {
    /// Bits of [`valid`].
    pub valid: u64,
    /// Direction of the client: 0 forward, 1 reverse.
    pub client: u8,
    /// What became of the attempt to connect.
    pub result: Connection,
    /// Who closed it, and how.
    pub closing: Closing,
    /// SYNs of the client after its first, before an answer.
    pub syn_retries: u8,
    /// From the last SYN to the first SYN/ACK.
    pub server_rtt: u64,
    /// From the first SYN/ACK to the client's acknowledgement.
    pub client_rtt: u64,
    /// From the last octets of a request to the first of its answer.
    pub responses: ResponseTimes,
    /// From the first to the last octets of the answers, all together; to 256 ns each.
    pub transfer_time: u64,
    /// Answers.
    pub transfers: u32,
    /// The directions.
    pub ways: [TcpDirection; 2],
}

/// Least, mean, greatest and standard deviation (of the population), in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Spread {
    /// Least; rounded to 19 binary digits: exact below half a millisecond, to two in a million above.
    pub min: u64,
    /// Mean.
    pub mean: u64,
    /// Greatest; rounded as `min`.
    pub max: u64,
    /// Standard deviation.
    pub deviation: u64,
}

/// How the connection was closed, and by whom; what happened first counts, but RST above FIN.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Hash)]
#[repr(u8)]
pub enum Closing {
    /// Not closed yet, or nobody saw it.
    #[default]
    None = 0,
    /// The forward end sent the first FIN.
    FinForward = 1,
    /// The reverse end did.
    FinReverse = 2,
    /// The forward end sent the first RST.
    RstForward = 3,
    /// The reverse end did.
    RstReverse = 4,
}

impl TcpPerformance {
    /// Sets least and greatest TTL or hop limit of both directions; 0 where there was no packet.
    pub fn set_ttl(&mut self, ttl: [[u8; 2]; 2]) {
        for (way, (direction, ttl)) in self.ways.iter_mut().zip(ttl).enumerate() {
            direction.ttl = ttl;
            let bit = valid::TTL << (16 * way);
            self.valid = if ttl == [0; 2] { self.valid & !bit } else { self.valid | bit };
        }
    }
}

impl Closing {
    /// The closing with this number, if there is one.
    pub fn from_u8(number: u8) -> Option<Self> {
        [Self::None, Self::FinForward, Self::FinReverse, Self::RstForward, Self::RstReverse].get(usize::from(number)).copied()
    }
}

impl Connection {
    /// The result with this number, if there is one.
    pub fn from_u8(number: u8) -> Option<Self> {
        [Self::MidStream, Self::Unanswered, Self::Refused, Self::HalfOpen, Self::Established].get(usize::from(number)).copied()
    }
}

impl Connection {
    /// Its name in the API.
    pub const fn name(self) -> &'static str {
        match self {
            Self::MidStream => "mid-stream",
            Self::Unanswered => "unanswered",
            Self::Refused => "refused",
            Self::HalfOpen => "half-open",
            Self::Established => "established",
        }
    }
}

impl Closing {
    /// Its name in the API; empty where the connection is not closed.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "",
            Self::FinForward => "fin-forward",
            Self::FinReverse => "fin-reverse",
            Self::RstForward => "rst-forward",
            Self::RstReverse => "rst-reverse",
        }
    }
}

impl Fact for TcpPerformance {
    const ID: Id = Id::Tcp;
    const WORDS_MAX: usize = HEAD + 2 * WAY;

    fn encode(&self, words: &mut [u64]) -> usize {
        let Some(mut writer) = open(words, Self::ID, Self::WORDS_MAX) else { return 0 };
        let small = u32::from_le_bytes([self.client, self.result as u8, self.closing as u8, self.syn_retries]);
        writer.put([self.valid, pair(small, self.transfers), u64::from(self.responses.count), self.server_rtt, self.client_rtt]);
        put_responses(&mut writer, &self.responses);
        let [forward, reverse] = &self.ways;
        writer.put([self.transfer_time]);
        put_direction(&mut writer, forward);
        put_direction(&mut writer, reverse);
        Self::WORDS_MAX
    }

    fn decode(words: &[u64]) -> Option<Self> {
        let mut reader = read_fact(words, Self::ID, Self::WORDS_MAX)?;
        let valid = reader.word()?;
        let [small, transfers] = reader.halves()?;
        let [client, result, closing, syn_retries] = small.to_le_bytes();
        let count = u32::try_from(reader.word()?).ok()?;
        let [server_rtt, client_rtt] = reader.words()?;
        let responses = get_responses(&mut reader, count)?;
        let transfer_time = reader.word()?;
        let (result, closing) = (Connection::from_u8(result)?, Closing::from_u8(closing)?);
        let ways = [get_direction(&mut reader)?, get_direction(&mut reader)?];
        (client <= 1).then_some(Self {
            valid,
            client,
            result,
            closing,
            syn_retries,
            server_rtt,
            client_rtt,
            responses,
            transfer_time,
            transfers,
            ways,
        })
    }

    fn is_valid(words: &[u64]) -> bool {
        let Some(words) = words.first_chunk::<{ HEAD + 2 * WAY }>() else { return false };
        let [client, result, closing, ..] = words[2].to_le_bytes();
        let ends = [words[HEAD + WAY - 1], words[HEAD + 2 * WAY - 1]];
        words[0] == first_word(Self::ID, Self::WORDS_MAX)
            && client <= 1
            && Connection::from_u8(result).is_some()
            && Closing::from_u8(closing).is_some()
            && u32::try_from(words[3]).is_ok()
            && ends.iter().all(|word| word >> 48 <= 1)
    }

    fn of_head(record: &RecordView<'_>) -> Option<Self> {
        LoneSyn::of(record).map(|syn| syn.performance())
    }
}

fn put_direction(writer: &mut Writer<'_>, way: &TcpDirection) {
    for Spread { min, mean, max, deviation } in [way.delay, way.jitter] {
        writer.put([min, mean, max, deviation]);
    }
    let Syn { kinds, window, mss, octets, ttl, window_scale, sack_permitted } = way.syn;
    let [ttl_min, ttl_max] = way.ttl;
    writer.put([
        way.payload,
        pair(way.packets, way.data_packets),
        pair(way.psh_count, way.ack_count),
        pair(way.retransmitted, way.out_of_order),
        pair(way.duplicate_acks, way.isn),
        quad(way.fast, way.spurious, way.holes, way.lost_upstream),
        quad(way.lost_downstream, way.zero_window, way.window_full, way.keep_alive),
        quad(way.syn_count, way.fin_count, way.rst_count, way.urg_count),
        quad(way.cwr_count, way.ece_count, window, mss),
        kinds,
        quad(octets, u16::from_le_bytes([ttl, window_scale]), u16::from_le_bytes([ttl_min, ttl_max]), u16::from(sack_permitted)),
    ]);
}

fn get_direction(reader: &mut Reader<'_>) -> Option<TcpDirection> {
    let mut spread = || {
        let [min, mean, max, deviation] = reader.words()?;
        Some(Spread { min, mean, max, deviation })
    };
    let (delay, jitter) = (spread()?, spread()?);
    let payload = reader.word()?;
    let [packets, data_packets] = reader.halves()?;
    let [psh_count, ack_count] = reader.halves()?;
    let [retransmitted, out_of_order] = reader.halves()?;
    let [duplicate_acks, isn] = reader.halves()?;
    let [fast, spurious, holes, lost_upstream] = reader.quarters()?;
    let [lost_downstream, zero_window, window_full, keep_alive] = reader.quarters()?;
    let [syn_count, fin_count, rst_count, urg_count] = reader.quarters()?;
    let [cwr_count, ece_count, window, mss] = reader.quarters()?;
    let kinds = reader.word()?;
    let [octets, first, ttl, sack] = reader.quarters()?;
    let [syn_ttl, window_scale] = first.to_le_bytes();
    let sack_permitted = match sack {
        0 => false,
        1 => true,
        _ => return None,
    };
    Some(TcpDirection {
        delay,
        jitter,
        payload,
        packets,
        data_packets,
        retransmitted,
        out_of_order,
        duplicate_acks,
        fast,
        spurious,
        holes,
        lost_upstream,
        lost_downstream,
        zero_window,
        window_full,
        keep_alive,
        syn_count,
        fin_count,
        rst_count,
        urg_count,
        cwr_count,
        ece_count,
        psh_count,
        ack_count,
        isn,
        syn: Syn { kinds, window, mss, octets, ttl: syn_ttl, window_scale, sack_permitted },
        ttl: ttl.to_le_bytes(),
    })
}
