//! Records to IPFIX messages (RFC 7011). Pure: no clock, no socket, no allocation a record.
//!
//! Each template has a [`Batch`] of its own: messages of one data set, all of the same size when they are full, but where records have
//! lists that vary. So a batch goes to the kernel in one call (UDP_SEGMENT wants equal segments, only the last may be shorter), and a record
//! never waits for a message to be shared with other templates. Sequence numbers are stamped when a batch is sent, so that they follow the wire.

use std::sync::Arc;

use sonde_enrich::Handle;
use sonde_flow::pattern::Wants;
use sonde_packet::proto;
use sonde_record::fact::{Bursts, FirstPackets, Histograms, Layers, NetTisa, QuicPerformance, TcpPerformance, UdpPerformance};
use sonde_record::{Kind, NO_VLAN, RecordView};

use crate::batch::{self, Batch};
use crate::cursor::Cursor;
use crate::enriched::Enrichment;
use crate::group::{self, Groups, KINDS, LANES};
use crate::pattern::{burst, first, histogram, nettisa};
use crate::template::{self, Template};
use crate::{arp, quic, stack, tags, tcp, tunnel, udp};

const IPV4_OCTETS: usize = template::IPV4.record_octets();
const IPV6_OCTETS: usize = template::IPV6.record_octets();
const LAYER2_OCTETS: usize = template::LAYER2.record_octets();

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

/// The id of a tag, 0 where there is none.
#[inline(always)]
fn vlan(tci: u16) -> u16 {
    if tci == NO_VLAN { 0 } else { tci & 0x0fff }
}

/// Id and priority (IEEE 802.1Q section 9.6).
#[inline(always)]
fn put_tag(out: &mut Cursor<'_>, tci: u16) {
    out.put(vlan(tci).to_be_bytes());
    out.put([if tci == NO_VLAN { 0 } else { (tci >> 13) as u8 }]);
}

/// The fields every kind of flow has, in the order of `template::LAYER2`.
#[inline(always)]
fn put_head(out: &mut Cursor<'_>, record: &RecordView<'_>) {
    const MILLISECOND: u64 = 1_000_000;
    out.put(record.flow_id().to_be_bytes());
    out.put((record.start() / MILLISECOND).to_be_bytes());
    out.put((record.end() / MILLISECOND).to_be_bytes());
    out.put(ntp(record.start()).to_be_bytes());
    out.put(ntp(record.end()).to_be_bytes());
    out.put(record.octets()[0].to_be_bytes());
    out.put(record.octets()[1].to_be_bytes());
    out.put(record.packets()[0].to_be_bytes());
    out.put(record.packets()[1].to_be_bytes());
    out.put(record.wire()[0].to_be_bytes());
    out.put(record.wire()[1].to_be_bytes());
    out.put(u32::from(record.ingress()).to_be_bytes());
    out.put([record.end_reason() as u8]);
    out.put([record.initiator() as u8]);
    let [outer, customer] = record.vlan_tci();
    out.put(vlan(outer).to_be_bytes());
    put_tag(out, outer);
    put_tag(out, customer);
    out.put(record.smac());
    out.put(record.dmac());
    out.put(record.ethertype().to_be_bytes());
}

/// The fields IPv4 and IPv6 share.
#[inline(always)]
fn put_ip(out: &mut Cursor<'_>, record: &RecordView<'_>, version: u8, icmp_in_port: bool) {
    out.put([version]);
    out.put([record.proto()]);
    out.put([record.tos()]);
    for ttl in [record.ttl(), record.ttl_min(), record.ttl_max()] {
        out.put([ttl[0]]);
        out.put([ttl[1]]);
    }
    out.put(record.tcp_flags()[0].to_be_bytes());
    out.put(record.tcp_flags()[1].to_be_bytes());
    out.put(record.syn_len().to_be_bytes());
    out.put(record.syn_mss().to_be_bytes());
    out.put(record.sport().to_be_bytes());
    let type_and_code = u16::from_be_bytes(record.icmp());
    let icmp = icmp_in_port && matches!(record.proto(), proto::ICMP | proto::ICMPV6);
    out.put(if icmp { type_and_code } else { record.dport() }.to_be_bytes());
    out.put(record.icmp());
    out.put(type_and_code.to_be_bytes());
}

fn encode_ipv4(record: &RecordView<'_>, icmp_in_port: bool, out: &mut [u8; IPV4_OCTETS]) {
    let mut out = Cursor(out);
    put_head(&mut out, record);
    put_ip(&mut out, record, 4, icmp_in_port);
    out.put([record.ip_flags()]);
    let [.., a, b, c, d] = record.src();
    out.put([a, b, c, d]);
    let [.., a, b, c, d] = record.dst();
    out.put([a, b, c, d]);
    out.end();
}

fn encode_ipv6(record: &RecordView<'_>, icmp_in_port: bool, out: &mut [u8; IPV6_OCTETS]) {
    let mut out = Cursor(out);
    put_head(&mut out, record);
    put_ip(&mut out, record, 6, icmp_in_port);
    out.put(record.flow_label().to_be_bytes());
    out.put(record.src());
    out.put(record.dst());
    out.end();
}

fn encode_layer2(record: &RecordView<'_>, out: &mut [u8; LAYER2_OCTETS]) {
    let mut out = Cursor(out);
    put_head(&mut out, record);
    out.end();
}

/// Writes a record: the plain fields of its kind, then its groups, in the order of their bits. Returns how many octets it has, and counts items
/// of lists that find no room.
#[inline]
fn encode(
    record: &RecordView<'_>,
    groups: Groups,
    enrichment: Option<&Enrichment>,
    icmp_in_port: bool,
    out: &mut [u8],
    items: &mut u64,
) -> usize {
    let room = out.len();
    let mut out = Cursor(out);
    match record.kind() {
        Kind::Ipv4 => encode_ipv4(record, icmp_in_port, out.take()),
        Kind::Ipv6 => encode_ipv6(record, icmp_in_port, out.take()),
        Kind::Layer2 => encode_layer2(record, out.take()),
    }
    if groups != Groups::NONE {
        *items += encode_groups(record, groups, enrichment, &mut out) as u64;
    }
    room - out.0.len()
}

/// Every group that the template has is there, or the record would have another one.
fn encode_groups(record: &RecordView<'_>, groups: Groups, enrichment: Option<&Enrichment>, out: &mut Cursor<'_>) -> usize {
    let [outer, inner] = record.vlan_tci();
    if groups.has(Groups::TAG) {
        tags::encode(outer, out.take());
    }
    if groups.has(Groups::TAGS) {
        tags::encode(inner, out.take());
    }
    if groups.has(Groups::PLACES)
        && let Some(enrichment) = enrichment
    {
        match record.kind() {
            Kind::Ipv6 => enrichment.ipv6(record, out.take()),
            _ => enrichment.ipv4(record, out.take()),
        }
    }
    if let Some(layers) = record.get::<Layers>() {
        if groups.has(Groups::STACK) {
            stack::encode(&layers, out.take());
        }
        if groups.has(Groups::TUNNEL) {
            tunnel::encode(&layers, out.take());
        }
    }
    if groups.has(Groups::TCP)
        && let Some(tcp) = record.get::<TcpPerformance>()
    {
        tcp::encode(&tcp, out.take());
    }
    if groups.has(Groups::ARP)
        && let Some(layers) = record.get::<Layers>()
    {
        arp::encode(&layers, out.take());
    }
    if groups.has(Groups::UDP)
        && let Some(udp) = record.get::<UdpPerformance>()
    {
        udp::encode(&udp, out.take());
    }
    if groups.has(Groups::QUIC)
        && let Some(quic) = record.get::<QuicPerformance>()
    {
        quic::encode(&quic, out.take());
    }
    if groups.has(Groups::PATTERNS) { encode_patterns(record, groups, out) } else { 0 }
}

/// A record has all patterns that its probe keeps. Of first packets and bursts it may have none. Returns how many items of lists found no
/// room.
#[inline(never)]
fn encode_patterns(record: &RecordView<'_>, groups: Groups, out: &mut Cursor<'_>) -> usize {
    let mut items = 0;
    if groups.has(Groups::HISTOGRAMS) {
        histogram::encode(&record.get::<Histograms>().unwrap_or_default(), out.take());
    }
    if groups.has(Groups::NETTISA) {
        nettisa::encode(&record.get::<NetTisa>().unwrap_or_default(), out.take());
    }
    let bursts = groups.has(Groups::BURSTS);
    if groups.has(Groups::FIRST_PACKETS) {
        items += first::encode(&record.get::<FirstPackets>().unwrap_or_default(), out, if bursts { burst::OCTETS_LEAST } else { 0 });
    }
    if bursts {
        items += burst::encode(&record.get::<Bursts>().unwrap_or_default(), out);
    }
    items
}

/// What records had and messages had no room for (`message_octets_max`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// Groups of fields.
    pub groups: u64,
    /// Items of lists.
    pub items: u64,
}

/// Encodes records into the batch of their template.
///
/// Budget: 25 ns a record without groups, in cache (bench `encode`).
#[derive(Debug)]
pub struct Encoder {
    /// One for each template.
    batches: Vec<Batch>,
    templates: Vec<Template>,
    /// Which of them is that of a kind of flow with a set of groups.
    lanes: [[u8; LANES]; KINDS.len()],
    /// How many groups of a record have no room in that template.
    missing: [[u8; LANES]; KINDS.len()],
    left_out: LeftOut,
    /// The patterns that the probe keeps.
    kept: Groups,
    enrichment: Option<Enrichment>,
    icmp_in_port: bool,
}

impl Encoder {
    /// An encoder of messages of at most `message_octets_max` octets (512 to 65000), `messages_max` of them in a batch or as
    /// many as one UDP_SEGMENT call takes. Groups that do not fit such a message are not sent, and counted.
    ///
    /// With an `enrichment` the addresses of IP flows are looked up there, and what is found is sent. `patterns` are those that the probe
    /// keeps: others are not sent.
    pub fn new(message_octets_max: usize, messages_max: usize, enrichment: Option<Arc<Handle>>, patterns: Wants) -> Self {
        let kept = Groups::kept(patterns);
        let always = if enrichment.is_some() { Groups::PLACES } else { Groups::NONE };
        let mut encoder = Self {
            batches: Vec::new(),
            templates: Vec::new(),
            lanes: [[0; LANES]; KINDS.len()],
            missing: [[0; LANES]; KINDS.len()],
            left_out: LeftOut::default(),
            kept,
            enrichment: enrichment.map(Enrichment::new),
            icmp_in_port: false,
        };
        let room = batch::room(message_octets_max);
        for (kind, set) in KINDS.into_iter().flat_map(|kind| Groups::all(kept).map(move |set| (kind, set))) {
            let [lanes, own] = [group::position(kind), set.of_kind(kind).lane()];
            if own != set.lane() {
                // Fewer groups have smaller numbers: it is known already.
                encoder.lanes[lanes][set.lane()] = encoder.lanes[lanes][own];
                encoder.missing[lanes][set.lane()] = encoder.missing[lanes][own];
                continue;
            }
            let wanted = set.and(always).of_kind(kind);
            let groups = wanted.that_fit(kind, room);
            encoder.missing[lanes][own] = u8::try_from(wanted.count() - groups.count()).expect("few groups");
            let template = group::of(kind, groups);
            let known = encoder.templates.iter().position(|other| other.id == template.id);
            let at = known.unwrap_or_else(|| {
                encoder.batches.push(Batch::new(&template, groups, message_octets_max, messages_max));
                encoder.templates.push(template);
                encoder.templates.len() - 1
            });
            encoder.lanes[lanes][own] = u8::try_from(at).expect("at most 240 templates");
        }
        encoder
    }

    /// Sends type * 256 + code as the destination port of ICMP and ICMPv6.
    #[must_use]
    pub fn with_icmp_in_port(self, icmp_in_port: bool) -> Self {
        Self { icmp_in_port, ..self }
    }

    /// The templates that records are written by, and those of what an exporter says of itself, in the order they are announced.
    pub fn templates(&self) -> impl Iterator<Item = &Template> {
        self.templates.iter().chain(&[template::STATISTICS, template::INTERFACES])
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
    pub fn put(&mut self, record: &RecordView<'_>) -> Option<&mut Batch> {
        let [kind, lane] = [group::position(record.kind()), Groups::of(record, self.kept).lane()];
        self.left_out.groups += u64::from(self.missing[kind][lane]);
        let lane = self.lanes[kind][lane];
        let batch = &mut self.batches[usize::from(lane)];
        let groups = batch.groups();
        let (enrichment, icmp_in_port, items) = (self.enrichment.as_ref(), self.icmp_in_port, &mut self.left_out.items);
        batch.put(|out| encode(record, groups, enrichment, icmp_in_port, out, items));
        batch.is_full().then_some(batch)
    }

    /// What found no room since this was last asked.
    pub fn take_left_out(&mut self) -> LeftOut {
        std::mem::take(&mut self.left_out)
    }

    /// The batches, to send what waits in them.
    pub fn batches(&mut self) -> &mut [Batch] {
        &mut self.batches
    }

    /// Records that wait in all batches.
    pub fn records(&self) -> usize {
        self.batches.iter().map(Batch::records).sum()
    }
}
