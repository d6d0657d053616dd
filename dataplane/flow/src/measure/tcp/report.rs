//! What leaves of a TCP connection, as plain values.

use sonde_record::fact::{Closing, Connection, Syn, TcpDirection, TcpPerformance, valid};

use super::state::{TcpRef, TcpState, shake, trait_bits};
use super::way::bits;

impl TcpState {
    /// What the record says, but for the TTLs, which the flow knows.
    pub fn report(&self) -> TcpPerformance {
        TcpRef { ways: &self.ways, rest: &self.rest }.report()
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
