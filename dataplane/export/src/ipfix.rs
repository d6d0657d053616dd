//! Records to IPFIX messages (RFC 7011). Pure: no clock, no socket, no allocation a record.
//!
//! Each template has a [`Batch`] of its own: messages of one data set, all of the same size when they are full. So a batch goes
//! to the kernel in one call (UDP_SEGMENT wants equal segments, only the last may be shorter), and a record never waits for a
//! message to be shared with other templates. Sequence numbers are stamped when a batch is sent, so that they follow the wire.

use std::sync::Arc;

use sonde_enrich::Handle;
use sonde_flow::record::{Kind, NO_VLAN, Record};

use crate::enriched::{self, Enrichment};
use crate::template::{self, Template};

/// Octets of a message header (RFC 7011 section 3.1).
pub const HEADER_OCTETS: usize = 16;
/// Octets of a set header (RFC 7011 section 3.3.2).
pub const SET_HEADER_OCTETS: usize = 4;
/// Most octets of the messages of one batch: a UDP datagram's, because UDP_SEGMENT passes them as one.
const BATCH_OCTETS_MAX: usize = 65_000;
/// Most messages of one batch: UDP_SEGMENT takes 64 segments (newer kernels 128).
const BATCH_MESSAGES_MAX: usize = 64;

const IPV4_OCTETS: usize = template::IPV4.record_octets();
const IPV6_OCTETS: usize = template::IPV6.record_octets();
const LAYER2_OCTETS: usize = template::LAYER2.record_octets();
const ENRICHED_IPV4_OCTETS: usize = enriched::IPV4.record_octets();
const ENRICHED_IPV6_OCTETS: usize = enriched::IPV6.record_octets();

/// What a message header needs to know of the stream it is sent in.
#[derive(Clone, Copy, Debug)]
pub struct Stamp {
    /// Export time, seconds since 1970 UTC.
    pub time: u32,
    /// Observation domain id.
    pub domain: u32,
    /// Data records sent in this stream before this message, modulo 2^32 (RFC 7011 section 3.1).
    pub sequence: u32,
}

impl Stamp {
    /// Writes export time, sequence and domain into a message that has its version and length.
    pub fn write(&self, message: &mut [u8]) {
        let mut out = Cursor(&mut message[4..HEADER_OCTETS]);
        out.put(self.time.to_be_bytes());
        out.put(self.sequence.to_be_bytes());
        out.put(self.domain.to_be_bytes());
    }
}

/// Octets of zero that end a set of `octets` on a boundary of four (RFC 7011 section 3.3.1: zero, and shorter than any record
/// of the set; no record of ours is as short as three octets).
pub(crate) const fn padding(octets: usize) -> usize {
    octets.wrapping_neg() % 4
}

/// Writes fields one after the other. Of an array of known length nothing remains of it but the stores.
struct Cursor<'a>(&'a mut [u8]);

impl Cursor<'_> {
    #[inline(always)]
    fn put<const N: usize>(&mut self, octets: [u8; N]) {
        let rest = std::mem::take(&mut self.0);
        let (field, rest) = rest.split_first_chunk_mut().expect("the array is as long as its template");
        *field = octets;
        self.0 = rest;
    }
}

/// Nanoseconds since 1970 as the NTP timestamp of `dateTimeNanoseconds` (RFC 7011 section 6.1.10): seconds since 1900 modulo
/// 2^32 and 2^-32 fractions, rounded up so that a reader gets the same nanosecond back by rounding down.
#[inline(always)]
pub fn ntp(nanoseconds: u64) -> u64 {
    const FROM_1900_TO_1970: u64 = 2_208_988_800;
    const SECOND: u64 = 1_000_000_000;
    let seconds = (nanoseconds / SECOND).wrapping_add(FROM_1900_TO_1970);
    // Less than 2^62: no overflow.
    let fraction = ((nanoseconds % SECOND) << 32).div_ceil(SECOND);
    seconds << 32 | fraction
}

#[inline(always)]
fn vlan(id: u16) -> [u8; 2] {
    (if id == NO_VLAN { 0 } else { id }).to_be_bytes()
}

/// The fields every kind of flow has, in the order of `template::LAYER2`.
#[inline(always)]
fn put_head(out: &mut Cursor<'_>, record: &Record) {
    const MILLISECOND: u64 = 1_000_000;
    out.put(record.flow_id.to_be_bytes());
    out.put((record.start / MILLISECOND).to_be_bytes());
    out.put((record.end / MILLISECOND).to_be_bytes());
    out.put(ntp(record.start).to_be_bytes());
    out.put(ntp(record.end).to_be_bytes());
    out.put(record.octets[0].to_be_bytes());
    out.put(record.octets[1].to_be_bytes());
    out.put(record.packets[0].to_be_bytes());
    out.put(record.packets[1].to_be_bytes());
    out.put(record.wire[0].to_be_bytes());
    out.put(record.wire[1].to_be_bytes());
    out.put(u32::from(record.ingress).to_be_bytes());
    out.put([record.end_reason as u8]);
    out.put([record.initiator as u8]);
    out.put(vlan(record.vlan()[0]));
    out.put(vlan(record.vlan()[1]));
    out.put(record.smac);
    out.put(record.dmac);
    out.put(record.ethertype.to_be_bytes());
}

/// The fields IPv4 and IPv6 share.
#[inline(always)]
fn put_ip(out: &mut Cursor<'_>, record: &Record, version: u8) {
    out.put([version]);
    out.put([record.proto]);
    out.put([record.tos]);
    out.put([record.ttl[0]]);
    out.put([record.ttl[1]]);
    out.put(record.tcp_flags[0].to_be_bytes());
    out.put(record.tcp_flags[1].to_be_bytes());
    out.put(record.sport.to_be_bytes());
    out.put(record.dport.to_be_bytes());
    out.put([record.icmp[0]]);
    out.put([record.icmp[1]]);
}

fn encode_ipv4(record: &Record, out: &mut [u8; IPV4_OCTETS]) {
    let mut out = Cursor(out);
    put_head(&mut out, record);
    put_ip(&mut out, record, 4);
    let [.., a, b, c, d] = record.src;
    out.put([a, b, c, d]);
    let [.., a, b, c, d] = record.dst;
    out.put([a, b, c, d]);
}

fn encode_ipv6(record: &Record, out: &mut [u8; IPV6_OCTETS]) {
    let mut out = Cursor(out);
    put_head(&mut out, record);
    put_ip(&mut out, record, 6);
    out.put(record.src);
    out.put(record.dst);
}

fn encode_layer2(record: &Record, out: &mut [u8; LAYER2_OCTETS]) {
    put_head(&mut Cursor(out), record);
}

/// Splits the room of an enriched record into that of the plain one, which comes first, and the rest.
#[inline(always)]
fn split<const N: usize, const PLAIN: usize>(out: &mut [u8; N]) -> (&mut [u8; PLAIN], &mut [u8; enriched::OCTETS]) {
    const { assert!(N == PLAIN + enriched::OCTETS) };
    let (plain, rest) = out.split_first_chunk_mut().expect("the length was checked by the compiler");
    (plain, rest.first_chunk_mut().expect("the length was checked by the compiler"))
}

fn encode_enriched_ipv4(record: &Record, enrichment: &Enrichment, out: &mut [u8; ENRICHED_IPV4_OCTETS]) {
    let (plain, rest) = split(out);
    encode_ipv4(record, plain);
    enrichment.ipv4(record, rest);
}

fn encode_enriched_ipv6(record: &Record, enrichment: &Enrichment, out: &mut [u8; ENRICHED_IPV6_OCTETS]) {
    let (plain, rest) = split(out);
    encode_ipv6(record, plain);
    enrichment.ipv6(record, rest);
}

/// Messages of one template that wait to be sent.
#[derive(Debug)]
pub struct Batch {
    buffer: Box<[u8]>,
    set_id: u16,
    record_octets: usize,
    /// Records of a full message.
    records_max: usize,
    /// Octets of a full message, padding included.
    message_octets: usize,
    messages_max: usize,
    /// Full messages, which stand at the start of the buffer.
    full: usize,
    /// Records of the message behind them.
    open: usize,
    /// Where the next record goes.
    at: usize,
}

impl Batch {
    fn new(template: &Template, message_octets_max: usize, messages_max: usize) -> Self {
        let record_octets = template.record_octets();
        // The padding may need up to three octets more than the records: keep them.
        let room = message_octets_max.saturating_sub(HEADER_OCTETS + SET_HEADER_OCTETS) / 4 * 4;
        let records_max = (room / record_octets).max(1);
        let octets = HEADER_OCTETS + SET_HEADER_OCTETS + records_max * record_octets;
        let message_octets = octets + padding(octets);
        let messages_max = messages_max.min(BATCH_OCTETS_MAX / message_octets).clamp(1, BATCH_MESSAGES_MAX);
        let buffer = vec![0; message_octets * messages_max].into_boxed_slice();
        let at = HEADER_OCTETS + SET_HEADER_OCTETS;
        Self { buffer, set_id: template.id, record_octets, records_max, message_octets, messages_max, full: 0, open: 0, at }
    }

    /// Whether no further record fits: it must be sent and cleared first.
    pub fn is_full(&self) -> bool {
        self.full == self.messages_max
    }

    /// Whether it holds no record.
    pub fn is_empty(&self) -> bool {
        self.full == 0 && self.open == 0
    }

    /// Whether it holds a full message.
    pub fn has_full_messages(&self) -> bool {
        self.full > 0
    }

    /// Records it holds.
    pub fn records(&self) -> usize {
        self.full * self.records_max + self.open
    }

    #[inline(always)]
    fn put<const N: usize>(&mut self, record: &Record, encode: impl Fn(&Record, &mut [u8; N])) {
        debug_assert!(!self.is_full() && N == self.record_octets);
        let place = self.buffer[self.at..].first_chunk_mut().expect("a batch that is not full has room for a record");
        encode(record, place);
        self.at += N;
        self.open += 1;
        if self.open == self.records_max {
            self.close();
        }
    }

    /// Ends the open message: pads its set and writes the lengths. The next record begins a new one.
    #[cold]
    fn close(&mut self) {
        let start = self.full * self.message_octets;
        let end = self.at + padding(self.at - start);
        self.buffer[self.at..end].fill(0);
        let message = &mut self.buffer[start..end];
        write_header(message);
        let length = u16::try_from(message.len() - HEADER_OCTETS).expect("a message has less than 65536 octets");
        let mut out = Cursor(&mut message[HEADER_OCTETS..]);
        out.put(self.set_id.to_be_bytes());
        out.put(length.to_be_bytes());
        if self.open == self.records_max {
            self.full += 1;
            self.open = 0;
            self.at = end + HEADER_OCTETS + SET_HEADER_OCTETS;
        }
    }

    /// Lends the full messages to `send`, and with `partial` the one that is being filled as the last of them; then forgets them.
    /// Returns `None` when there was nothing to lend.
    pub fn drain<R>(&mut self, partial: bool, send: impl FnOnce(Sealed<'_>) -> R) -> Option<R> {
        let full_octets = self.full * self.message_octets;
        let (mut octets, mut last) = (full_octets, self.records_max);
        if partial && self.open > 0 {
            self.close();
            octets = self.at + padding(self.at - full_octets);
            last = self.open;
            self.open = 0;
        }
        if octets == 0 {
            return None;
        }
        let sealed = Sealed { octets: &mut self.buffer[..octets], segment: self.message_octets, records: self.records_max, last };
        let result = send(sealed);
        let first = HEADER_OCTETS + SET_HEADER_OCTETS;
        if self.open > 0 {
            // The message that is being filled moves to the start.
            self.buffer.copy_within(full_octets..self.at, 0);
            self.at -= full_octets;
        } else {
            self.at = first;
        }
        self.full = 0;
        Some(result)
    }
}

/// Writes version and length, the part of a message header that does not change any more.
pub(crate) fn write_header(message: &mut [u8]) {
    let length = u16::try_from(message.len()).expect("a message has less than 65536 octets");
    let mut out = Cursor(message);
    out.put(10u16.to_be_bytes());
    out.put(length.to_be_bytes());
}

/// Complete messages, one behind the other: all have `segment` octets, the last one maybe less.
#[derive(Debug)]
pub struct Sealed<'a> {
    /// The messages.
    pub octets: &'a mut [u8],
    /// Octets of every message but the last.
    pub segment: usize,
    records: usize,
    last: usize,
}

impl Sealed<'_> {
    /// How many messages there are.
    pub fn messages(&self) -> usize {
        self.octets.len().div_ceil(self.segment)
    }

    /// How many records they hold together.
    pub fn records(&self) -> usize {
        self.messages().checked_sub(1).map_or(0, |before| before * self.records + self.last)
    }

    /// Writes the headers of all messages; returns the sequence number that follows.
    pub fn stamp(&mut self, mut stamp: Stamp) -> u32 {
        for (message, records) in self.each() {
            stamp.write(message);
            stamp.sequence = stamp.sequence.wrapping_add(records);
        }
        stamp.sequence
    }

    /// Each message with the number of its records.
    pub fn each(&mut self) -> impl Iterator<Item = (&mut [u8], u32)> {
        let (messages, records, last) = (self.messages(), self.records, self.last);
        self.octets.chunks_mut(self.segment).enumerate().map(move |(at, message)| {
            let records = if at + 1 == messages { last } else { records };
            (message, u32::try_from(records).expect("a message holds less than 65536 records"))
        })
    }
}

/// Encodes records into the batch of their kind.
///
/// Budget: 25 ns a record, in cache (bench `encode`).
#[derive(Debug)]
pub struct Encoder {
    batches: [Batch; 3],
    enrichment: Option<Enrichment>,
}

impl Encoder {
    /// An encoder of messages of at most `message_octets_max` octets (512 to 65000), `messages_max` of them in a batch or as
    /// many as one UDP_SEGMENT call takes.
    pub fn new(message_octets_max: usize, messages_max: usize) -> Self {
        let batch = |template| Batch::new(template, message_octets_max, messages_max);
        Self { batches: [batch(&template::IPV4), batch(&template::IPV6), batch(&template::LAYER2)], enrichment: None }
    }

    /// An encoder that looks up the addresses of IP flows, and writes what it finds by the templates of [`enriched`].
    pub fn enriched(message_octets_max: usize, messages_max: usize, handle: Arc<Handle>) -> Self {
        let batch = |template| Batch::new(template, message_octets_max, messages_max);
        let batches = [batch(&enriched::IPV4), batch(&enriched::IPV6), batch(&template::LAYER2)];
        Self { batches, enrichment: Some(Enrichment::new(handle)) }
    }

    /// Looks up in a newer table from now on, if there is one: once a turn of a ring.
    #[inline]
    pub fn refresh(&mut self) {
        if let Some(enrichment) = &mut self.enrichment {
            enrichment.refresh();
        }
    }

    /// Encodes one record. Returns its batch when that is full now: it must be sent and cleared before the next record.
    #[inline]
    pub fn put(&mut self, record: &Record) -> Option<&mut Batch> {
        let [ipv4, ipv6, layer2] = &mut self.batches;
        let batch = match record.kind {
            Kind::Ipv4 => {
                match &self.enrichment {
                    None => ipv4.put(record, encode_ipv4),
                    Some(enrichment) => ipv4.put(record, |record, out| encode_enriched_ipv4(record, enrichment, out)),
                }
                ipv4
            }
            Kind::Ipv6 => {
                match &self.enrichment {
                    None => ipv6.put(record, encode_ipv6),
                    Some(enrichment) => ipv6.put(record, |record, out| encode_enriched_ipv6(record, enrichment, out)),
                }
                ipv6
            }
            Kind::Layer2 => {
                layer2.put(record, encode_layer2);
                layer2
            }
        };
        batch.is_full().then_some(batch)
    }

    /// The batches, to send what waits in them.
    pub fn batches(&mut self) -> &mut [Batch; 3] {
        &mut self.batches
    }

    /// Records that wait in all batches.
    pub fn records(&self) -> usize {
        self.batches.iter().map(Batch::records).sum()
    }
}
