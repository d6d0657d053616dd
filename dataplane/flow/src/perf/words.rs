//! [`TcpPerformance`] as words of the record ring, and back.
//!
//! A reader trusts nothing it reads.

use super::report::{Connection, Syn, TCP_PERFORMANCE, TCP_PERFORMANCE_WORDS, TcpDirection, TcpPerformance};
use super::response::ResponseTimes;
use super::spacing::Spread;
use super::tcp::Closing;
use crate::extension::first_word;
use crate::word::{pair, quad, unpair, unquad};

/// Writes words in order; what has no room is not written.
pub(crate) struct Writer<'a>(core::slice::IterMut<'a, u64>);

impl Writer<'_> {
    #[inline]
    pub(crate) fn put<const N: usize>(&mut self, words: [u64; N]) {
        for (word, place) in words.into_iter().zip(&mut self.0) {
            *place = word;
        }
    }
}

/// Reads words in order.
pub(crate) struct Reader<'a>(core::slice::Iter<'a, u64>);

impl Reader<'_> {
    pub(crate) fn word(&mut self) -> Option<u64> {
        self.0.next().copied()
    }

    pub(crate) fn words<const N: usize>(&mut self) -> Option<[u64; N]> {
        let mut words = [0; N];
        for word in &mut words {
            *word = self.word()?;
        }
        Some(words)
    }

    pub(crate) fn halves(&mut self) -> Option<[u32; 2]> {
        self.word().map(unpair)
    }

    fn quarters(&mut self) -> Option<[u16; 4]> {
        self.word().map(unquad)
    }
}

/// Opens room for an extension of so many words, head written; `None` when there is not enough.
pub(crate) fn open(words: &mut [u64], kind: u8, length: usize) -> Option<Writer<'_>> {
    let mut writer = Writer(words.get_mut(..length)?.iter_mut());
    writer.put([first_word(kind, length)]);
    Some(writer)
}

/// The words of an extension behind its head, if it is of this kind and length.
pub(crate) fn extension(words: &[u64], kind: u8, length: usize) -> Option<Reader<'_>> {
    let head = words.first()?;
    if *head != first_word(kind, length) {
        return None;
    }
    Some(Reader(words.get(1..length)?.iter()))
}

pub(crate) fn put_responses(writer: &mut Writer<'_>, responses: &ResponseTimes) {
    let ResponseTimes { count: _, min, max, last, sum, quantiles: [half, most, all] } = *responses;
    writer.put([sum, min, max, last, half, most, all]);
}

pub(crate) fn get_responses(reader: &mut Reader<'_>, count: u32) -> Option<ResponseTimes> {
    let [sum, min, max, last, half, most, all] = reader.words()?;
    Some(ResponseTimes { count, min, max, last, sum, quantiles: [half, most, all] })
}

impl TcpPerformance {
    /// Writes the extension and returns its length in words; 0, and nothing is written, when there is no room for it.
    pub fn encode(&self, words: &mut [u64]) -> usize {
        let Some(mut writer) = open(words, TCP_PERFORMANCE, TCP_PERFORMANCE_WORDS) else { return 0 };
        let small = u32::from_le_bytes([self.client, self.result as u8, self.closing as u8, self.syn_retries]);
        writer.put([self.valid, pair(small, self.transfers), u64::from(self.responses.count), self.server_rtt, self.client_rtt]);
        put_responses(&mut writer, &self.responses);
        // `HEAD` counts the head, these, and the transfer time.
        let [forward, reverse] = &self.ways;
        writer.put([self.transfer_time]);
        put_direction(&mut writer, forward);
        put_direction(&mut writer, reverse);
        TCP_PERFORMANCE_WORDS
    }

    /// Reads the extension at the beginning of `words`. `None` when it is another one, or no value of this type.
    pub fn decode(words: &[u64]) -> Option<Self> {
        let mut reader = extension(words, TCP_PERFORMANCE, TCP_PERFORMANCE_WORDS)?;
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
