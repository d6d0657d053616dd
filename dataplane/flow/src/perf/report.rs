//! What leaves of a TCP connection: [`TcpPerformance`], plain values, and its words in the record ring.

use super::response::ResponseTimes;
use super::spacing::Spread;
use super::tcp::{Closing, TcpRef, TcpState, shake, trait_bits};
use super::way::bits;

/// Type of the extension in the record ring.
pub const TCP_PERFORMANCE: u8 = 1;
/// Words of the extension.
pub const TCP_PERFORMANCE_WORDS: usize = HEAD + 2 * WAY;

/// Words before those of the directions.
const HEAD: usize = 14;
/// Words of a direction.
const WAY: usize = 19;

const _: () = assert!(TCP_PERFORMANCE_WORDS <= 64);

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

impl TcpState {
    /// What the record says, but for the TTLs, which the flow knows.
    pub fn report(&self) -> TcpPerformance {
        TcpRef { ways: &self.ways, rest: &self.rest }.report()
    }
}

impl TcpPerformance {
    /// Sets least and greatest TTL or hop limit of both directions; 0 where there was no packet.
    pub(crate) fn set_ttl(&mut self, ttl: [[u8; 2]; 2]) {
        for (way, (direction, ttl)) in self.ways.iter_mut().zip(ttl).enumerate() {
            direction.ttl = ttl;
            let bit = valid::TTL << (16 * way);
            self.valid = if ttl == [0; 2] { self.valid & !bit } else { self.valid | bit };
        }
    }
}

impl TcpRef<'_> {
    /// As [`TcpState::report`].
    pub(crate) fn report(&self) -> TcpPerformance {
        let shared = &self.rest.shared;
        let has = |bits| shared.bits & bits == bits;
        let mut valid = 0;
        let mut offer = |bit: u64, offered: bool| valid |= if offered { bit } else { 0 };
        let server = has(shake::SYN | shake::SYN_ACK) && !has(shake::NO_SERVER_RTT);
        let client = has(shake::ESTABLISHED) && !has(shake::NO_CLIENT_RTT);
        offer(valid::SERVER_RTT, server);
        offer(valid::SERVER_RTT_KARN, server && !has(shake::SYN_AGAIN));
        offer(valid::CLIENT_RTT, client);
        offer(valid::CLIENT_RTT_KARN, client && !has(shake::SYN_ACK_AGAIN));
        offer(valid::BEGINNING, has(shake::SYN) || has(shake::SYN_ACK));
        let responses = self.rest.responses.report();
        offer(valid::RESPONSES, responses.count != 0);
        let (transfer_time, transfers) = self.transfers();
        offer(valid::TRANSFER, transfers != 0);
        let [(forward, forward_valid), (reverse, reverse_valid)] = [self.direction(0), self.direction(1)];
        TcpPerformance {
            valid: valid | forward_valid | reverse_valid << valid::REVERSE,
            client: u8::from(has(shake::CLIENT)),
            result: self.result(),
            closing: Closing::from_u8(shared.closing).unwrap_or_default(),
            syn_retries: shared.syn_retries,
            server_rtt: if server { shared.server_rtt.ns() } else { 0 },
            client_rtt: if client { shared.client_rtt.ns() } else { 0 },
            responses,
            transfer_time,
            transfers,
            ways: [forward, reverse],
        }
    }

    fn result(&self) -> Connection {
        let has = |bits| self.rest.shared.bits & bits == bits;
        if has(shake::ESTABLISHED) {
            Connection::Established
        } else if has(shake::SYN_ACK) {
            Connection::HalfOpen
        } else if has(shake::REFUSED) {
            Connection::Refused
        } else if has(shake::SYN) {
            Connection::Unanswered
        } else {
            Connection::MidStream
        }
    }

    /// Time and number of the answers; the one that goes on counts as far as it is seen.
    fn transfers(&self) -> (u64, u32) {
        let shared = &self.rest.shared;
        let [forward, reverse] = &self.ways.0;
        let server = if shared.bits & shake::CLIENT == 0 { reverse } else { forward };
        let sum = shared.transfer_sum.get();
        shared.answer(server).map_or((sum, shared.transfers), |open| (sum.saturating_add(open), shared.transfers.saturating_add(1)))
    }

    /// One direction, with its validity bits as those of forward.
    fn direction(&self, way: usize) -> (TcpDirection, u64) {
        let (Some(own), Some(tally)) = (self.ways.0.get(way), self.rest.tallies.get(way)) else {
            return <_>::default();
        };
        let [segments, data, psh] = own.counted();
        let packets = tally.packets.wrapping_add(segments);
        let unspaced = self.rest.shared.unspaced.get(way).copied().unwrap_or(0);
        let [delays, jitters] = tally.without().map(|without| packets.saturating_sub(without).saturating_sub(unspaced.into()));
        let [delay, jitter] = own.spreads(tally.base.get(), delays, jitters);
        let traits = &tally.traits;
        let [low, high] = traits.kinds.map(u64::from);
        let mut valid = 0;
        let mut offer = |bit: u64, offered: bool| valid |= if offered { bit } else { 0 };
        let syn = traits.bits & trait_bits::SYN != 0;
        offer(valid::SEEN, own.has(bits::KNOWN));
        offer(valid::DELAY, delays != 0);
        offer(valid::JITTER, jitters != 0);
        offer(valid::SYN, syn);
        offer(valid::MSS, syn && traits.mss != 0);
        offer(valid::WINDOW_SCALE, traits.bits & trait_bits::HAS_SCALE != 0);
        offer(valid::SCALED, own.has(bits::SCALED));
        let direction = TcpDirection {
            delay,
            jitter,
            payload: tally.payload.get().wrapping_add(u64::from(own.next.wrapping_sub(tally.mark))),
            packets,
            data_packets: tally.data.wrapping_add(data),
            retransmitted: tally.retransmitted,
            out_of_order: tally.out_of_order,
            duplicate_acks: tally.duplicate_acks,
            fast: tally.fast,
            spurious: tally.spurious,
            holes: tally.holes,
            lost_upstream: tally.lost_upstream,
            lost_downstream: tally.lost_downstream,
            zero_window: tally.zero_window,
            window_full: tally.window_full,
            keep_alive: tally.keep_alive,
            syn_count: tally.syn,
            fin_count: tally.fin,
            rst_count: tally.rst,
            urg_count: tally.urg,
            cwr_count: tally.cwr,
            ece_count: tally.ece,
            psh_count: tally.psh.saturating_add(psh),
            ack_count: tally.acks(packets),
            isn: traits.isn,
            syn: Syn {
                kinds: low | high << 32,
                window: traits.window,
                mss: traits.mss,
                octets: traits.octets,
                ttl: traits.ttl,
                window_scale: traits.bits & trait_bits::SCALE,
                sack_permitted: traits.bits & trait_bits::SACK != 0,
            },
            ttl: [0; 2],
        };
        (direction, valid)
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
