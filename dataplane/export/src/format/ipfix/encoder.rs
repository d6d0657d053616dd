//! Records to IPFIX messages (RFC 7011). Pure: no clock, no socket, no allocation a record.
//!
//! Each template has a [`Batch`] of its own: messages of one data set, all of the same size when they are full, but where records have
//! lists that vary. So a batch goes to the kernel in one call (UDP_SEGMENT wants equal segments, only the last may be shorter), and a record
//! never waits for a message to be shared with other templates. Sequence numbers are stamped when a batch is sent, so that they follow the wire.
//!
//! The first record of a kind with a set of facts makes its template, which is announced before that record's message.

use std::sync::Arc;

use sonde_enrich::{Handle, Place as Found};
use sonde_record::fact::{Bursts, FirstPackets, Histograms, Layers, NetTisa, QuicPerformance, TcpPerformance, UdpPerformance};
use sonde_record::{Kind, RecordView};

use super::announce;
use super::batch::{self, Batch};
use super::header::Header;
use crate::cursor::Cursor;
use crate::fact::enriched::{self, Enrichment};
use crate::fact::{
    self, FIXED_OCTETS_MAX, Facts, KINDS, arp, burst, first, histogram, layers, nettisa, own, plain, quic, tags, tcp, tunnel, udp,
};
use crate::format::{self, Format, LeftOut, Message, Sink, Statistics};
use crate::selection::Fields;
use crate::template::{self, Layout, Place, Registry, Template};

/// Most octets of a UDP message, and those of a file's.
const MESSAGE_OCTETS: std::ops::RangeInclusive<usize> = 512..=65_000;

/// What an encoder is told.
#[derive(Clone, Debug)]
pub struct Options {
    /// Largest message, 512 to 65000 octets. Facts and items of lists that do not fit are not sent, and counted.
    pub message_octets_max: usize,
    /// Messages that wait in a batch; more than one UDP_SEGMENT call takes are as many as it takes.
    pub messages_max: usize,
    /// Whether messages of records that vary are padded to equal size (`paddingOctets`), so that UDP_SEGMENT takes many at once: where
    /// calls are dearer than octets.
    pub equal_messages: bool,
    /// Which fields go out.
    pub fields: Fields,
    /// Where addresses of IP flows are looked up; `None`: they are not, and the templates have no fields for what would be found.
    pub enrichment: Option<Arc<Handle>>,
    /// Whether the destination port of ICMP and ICMPv6 is type * 256 + code.
    pub icmp_in_port: bool,
    /// Enterprise number of the elements that no registry has: the operator's own.
    pub enterprise: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            message_octets_max: 1400,
            messages_max: usize::MAX,
            equal_messages: false,
            fields: Fields::default(),
            enrichment: None,
            icmp_in_port: false,
            enterprise: own::OWN_PEN,
        }
    }
}

/// Places of a direct-mapped cache, a power of two: more than a network has templates.
const CACHE: usize = 256;

/// Kind and facts of records, and where their template is.
#[derive(Clone, Copy, Debug)]
struct Cached {
    key: u64,
    place: Place,
}

/// Where templates of records are that have been seen.
#[derive(Debug)]
struct Cache {
    /// Of records without facts.
    plain: [Place; KINDS.len()],
    /// Of others.
    others: Box<[Cached; CACHE]>,
}

impl Cache {
    fn new() -> Self {
        Self { plain: [Place::NOWHERE; KINDS.len()], others: Box::new([Cached { key: 0, place: Place::NOWHERE }; CACHE]) }
    }

    #[inline(always)]
    fn key(kind: Kind, facts: Facts) -> (u64, usize) {
        let key = u64::from(facts.bits()) << 2 | fact::position(kind) as u64;
        (key, (key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as usize % CACHE)
    }

    /// The place, or none.
    #[inline(always)]
    fn find(&self, kind: Kind, facts: Facts) -> Place {
        if facts == Facts::NONE {
            return self.plain[fact::position(kind)];
        }
        let (key, at) = Self::key(kind, facts);
        let cached = &self.others[at];
        if cached.key == key { cached.place } else { Place::NOWHERE }
    }

    fn add(&mut self, kind: Kind, facts: Facts, place: Place) {
        if facts == Facts::NONE {
            self.plain[fact::position(kind)] = place;
        } else {
            let (key, at) = Self::key(kind, facts);
            self.others[at] = Cached { key, place };
        }
    }
}

/// Messages of a template, and how its records are written.
#[derive(Debug)]
struct Lane {
    batch: Batch,
    layout: Layout,
}

/// What encoders of facts need beside the record.
#[derive(Debug)]
struct Context {
    enrichment: Option<Enrichment>,
    icmp_in_port: bool,
    /// Room for a record of which only some fields go out.
    scratch: Box<[u8]>,
}

/// Encodes records into the batch of their template.
///
/// Budget: 25 ns a record without facts, in cache (bench `encode`).
#[derive(Debug)]
pub struct Encoder {
    registry: Registry,
    /// The enterprise whose elements are described; `None`: none of them goes out.
    own: Option<u32>,
    /// One for each template of the registry.
    lanes: Vec<Lane>,
    cache: Cache,
    context: Context,
    left_out: LeftOut,
    message_octets_max: usize,
    messages_max: usize,
}

#[inline(always)]
fn put_plain(record: &RecordView<'_>, icmp_in_port: bool, out: &mut Cursor<'_>) {
    match record.kind() {
        Kind::Ipv4 => plain::ipv4(record, icmp_in_port, out.take()),
        Kind::Ipv6 => plain::ipv6(record, icmp_in_port, out.take()),
        Kind::Layer2 => plain::layer2(record, out.take()),
    }
}

/// Writes a record: the plain fields of its kind, then its facts, in the order of [`fact::FACTS`]; `layers` is that fact of it. Returns how many octets it has, and counts
/// items of lists that find no room.
#[inline]
fn encode(
    record: &RecordView<'_>,
    layers: Option<&Layers>,
    layout: &Layout,
    context: &mut Context,
    out: &mut [u8],
    items: &mut u64,
) -> usize {
    if layout.is_plain {
        put_plain(record, context.icmp_in_port, &mut Cursor(&mut *out));
        return out.len();
    }
    let room = out.len() - usize::from(layout.pads);
    let mut rest = Cursor(&mut out[..room]);
    *items += encode_facts(record, layers, layout, context, &mut rest) as u64;
    let octets = room - rest.0.len();
    if layout.pads {
        // No padding yet: the batch knows how much the message needs.
        out[octets] = 0;
    }
    octets + usize::from(layout.pads)
}

/// Returns how many items of lists found no room.
fn encode_facts(record: &RecordView<'_>, layers: Option<&Layers>, layout: &Layout, context: &mut Context, out: &mut Cursor<'_>) -> usize {
    if let Some(runs) = &layout.runs {
        let mut all = Cursor(&mut context.scratch);
        put_plain(record, context.icmp_in_port, &mut all);
        put_facts(record, layers, layout.facts, context.enrichment.as_ref(), &mut all);
        for run in runs {
            out.copy(context.scratch.get(run.start..run.end).unwrap_or_default());
        }
    } else {
        put_plain(record, context.icmp_in_port, out);
        put_facts(record, layers, layout.facts, context.enrichment.as_ref(), out);
    }
    if layout.facts.has(Facts::FIRST_PACKETS | Facts::BURSTS) { put_lists(record, layout, out) } else { 0 }
}

/// Every fact that the template has is there, or the record would have another one.
fn put_facts(record: &RecordView<'_>, layers: Option<&Layers>, facts: Facts, enrichment: Option<&Enrichment>, out: &mut Cursor<'_>) {
    let [outer, inner] = record.vlan_tci();
    if facts.has(Facts::TAG) {
        tags::encode(outer, out.take());
    }
    if facts.has(Facts::INNER_TAG) {
        tags::encode(inner, out.take());
    }
    let ends = enrichment.filter(|_| facts.has(Facts::ENRICHED | Facts::OWN_PLACES)).map(|enrichment| enrichment.ends(record));
    if facts.has(Facts::ENRICHED)
        && let Some(ends) = &ends
    {
        enriched::encode(ends, out.take());
    }
    if let Some(layers) = layers {
        if facts.has(Facts::LABELS) {
            layers::encode(layers, out.take());
        }
        if facts.has(Facts::TUNNEL) {
            tunnel::encode(layers, out.take());
        }
    }
    if facts.has(Facts::TCP)
        && let Some(tcp) = record.get::<TcpPerformance>()
    {
        tcp::encode(&tcp, out.take());
    }
    if facts.has(Facts::ARP)
        && let Some(layers) = layers
    {
        arp::encode(layers, out.take());
    }
    if facts.has(Facts::UDP)
        && let Some(udp) = record.get::<UdpPerformance>()
    {
        udp::encode(&udp, out.take());
    }
    if facts.has(Facts::QUIC)
        && let Some(quic) = record.get::<QuicPerformance>()
    {
        quic::encode(&quic, out.take());
    }
    if facts.has(Facts::PATTERNS) {
        put_patterns(record, facts, out);
    }
    if facts.has(Facts::OWN | Facts::OWN_LAYERS | Facts::OWN_TCP | Facts::OWN_UDP | Facts::OWN_QUIC | Facts::OWN_PLACES) {
        put_own(record, layers, facts, ends.as_ref(), out);
    }
}

/// What no registry has.
#[inline(never)]
fn put_own(record: &RecordView<'_>, layers: Option<&Layers>, facts: Facts, ends: Option<&[Found<'_>; 2]>, out: &mut Cursor<'_>) {
    if facts.has(Facts::OWN) {
        own::head(record, out.take());
    }
    if facts.has(Facts::OWN_LAYERS)
        && let Some(layers) = layers
    {
        own::layers(layers, out.take());
    }
    if facts.has(Facts::OWN_TCP)
        && let Some(tcp) = record.get::<TcpPerformance>()
    {
        own::tcp(&tcp, out.take());
    }
    if facts.has(Facts::OWN_UDP)
        && let Some(udp) = record.get::<UdpPerformance>()
    {
        own::udp(&udp, out.take());
    }
    if facts.has(Facts::OWN_QUIC)
        && let Some(quic) = record.get::<QuicPerformance>()
    {
        own::quic(&quic, out.take());
    }
    if facts.has(Facts::OWN_PLACES)
        && let Some(ends) = ends
    {
        own::places(ends, out.take());
    }
}

/// The patterns that do not vary in length.
#[inline(never)]
fn put_patterns(record: &RecordView<'_>, facts: Facts, out: &mut Cursor<'_>) {
    if facts.has(Facts::HISTOGRAMS)
        && let Some(histograms) = record.get::<Histograms>()
    {
        histogram::encode(&histograms, out.take());
    }
    if facts.has(Facts::NETTISA)
        && let Some(nettisa) = record.get::<NetTisa>()
    {
        nettisa::encode(&nettisa, out.take());
    }
}

/// The facts whose lists vary: first packets leave room for the least bursts. Returns how many items found no room.
#[inline(never)]
fn put_lists(record: &RecordView<'_>, layout: &Layout, out: &mut Cursor<'_>) -> usize {
    let mut items = 0;
    let bursts = if layout.facts.has(Facts::BURSTS) { record.get::<Bursts>() } else { None };
    if layout.facts.has(Facts::FIRST_PACKETS)
        && let Some(packets) = record.get::<FirstPackets>()
    {
        let leave = if bursts.is_some() { burst::least(layout.bursts) } else { 0 };
        items += first::encode(&packets, layout.first, out, leave);
    }
    if let Some(bursts) = bursts {
        items += burst::encode(&bursts, layout.bursts, out);
    }
    items
}

impl Encoder {
    /// An encoder that has seen no record.
    pub fn new(options: Options) -> Self {
        let message_octets_max = options.message_octets_max.clamp(*MESSAGE_OCTETS.start(), *MESSAGE_OCTETS.end());
        let looked_up = if options.enrichment.is_some() { Facts::ENRICHED } else { Facts::NONE };
        let own = options.fields.may_have_own();
        let always = looked_up.and(if own { Facts::OWN } else { Facts::NONE });
        Self {
            registry: Registry::new(options.fields, batch::room(message_octets_max), always, options.equal_messages, options.enterprise),
            own: own.then_some(options.enterprise),
            lanes: Vec::new(),
            cache: Cache::new(),
            context: Context {
                enrichment: options.enrichment.map(Enrichment::new),
                icmp_in_port: options.icmp_in_port,
                scratch: vec![0; FIXED_OCTETS_MAX].into(),
            },
            left_out: LeftOut::default(),
            message_octets_max,
            messages_max: options.messages_max,
        }
    }

    /// The templates that were announced yet: those of options, then those of records.
    pub fn known(&self) -> impl Iterator<Item = Template> {
        let options = [template::statistics(), template::interfaces()].into_iter().chain(self.own.map(|_| template::types()));
        options.chain(self.registry.templates().iter().cloned())
    }

    /// Writes a record whose place is not in the cache: the registry makes the template if it is new.
    #[cold]
    fn put_first(&mut self, record: &RecordView<'_>, facts: Facts, sink: &mut impl Sink) {
        let (place, new) = self.registry.place(record.kind(), facts);
        if let Some(layout) = new
            && let Some(template) = self.registry.templates().last()
        {
            sink.announce(announce::templates([template], self.message_octets_max));
            self.lanes.push(Lane { batch: Batch::new(template, self.message_octets_max, self.messages_max), layout });
        }
        self.cache.add(record.kind(), facts, place);
        self.put(record, sink);
    }
}

impl Format for Encoder {
    fn header(&self) -> &'static dyn format::Header {
        &Header
    }

    #[inline]
    fn put(&mut self, record: &RecordView<'_>, sink: &mut impl Sink) {
        let layers = record.get::<Layers>();
        let facts = Facts::of(record, layers.as_ref());
        let place = self.cache.find(record.kind(), facts);
        let Some(Lane { batch, layout }) = self.lanes.get_mut(place.at) else {
            return self.put_first(record, facts, sink);
        };
        self.left_out.groups += u64::from(place.missing);
        if batch.put(|out| encode(record, layers.as_ref(), layout, &mut self.context, out, &mut self.left_out.items)) {
            batch.drain(false, |sealed| sink.send(sealed));
        }
    }

    fn flush(&mut self, partial: bool, sink: &mut impl Sink) {
        for lane in &mut self.lanes {
            lane.batch.drain(partial, |sealed| sink.send(sealed));
        }
    }

    fn templates(&self) -> Vec<Message> {
        let known: Vec<Template> = self.known().collect();
        announce::templates(&known, self.message_octets_max)
    }

    fn templates_made(&self) -> usize {
        self.lanes.len()
    }

    fn options(&self, domain: u32, statistics: &Statistics, interfaces: &[(u32, String)]) -> Vec<Message> {
        announce::options(self.message_octets_max, domain, statistics, interfaces, self.own)
    }

    fn records(&self) -> usize {
        self.lanes.iter().map(|lane| lane.batch.records()).sum()
    }

    #[inline]
    fn refresh(&mut self) {
        if let Some(enrichment) = &mut self.context.enrichment {
            enrichment.refresh();
        }
    }

    fn take_left_out(&mut self) -> LeftOut {
        std::mem::take(&mut self.left_out)
    }
}
