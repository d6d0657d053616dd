//! The thread of one exporter: rings -> messages -> collector.

use std::borrow::Borrow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use sonde_enrich::Handle;
use sonde_expression::Expression;
use sonde_record::RecordView;
use sonde_record::field::DOCUMENTATION_PEN;
use sonde_record::ring::Reader;
use sonde_stats::Block;
use sonde_threads::trap;

use crate::format::ipfix::encoder::{Encoder, Options};
use crate::format::{Format, Message, Sealed, Sink, Statistics, Stream};
use crate::selection::Fields;
pub use crate::transport::Timing;
use crate::transport::tcp::Tcp;
use crate::transport::udp::Udp;
use crate::transport::{Now, Room, Tally, Transport};

/// Names of an exporter's counters, in the order of its stats block.
///
/// Every record of a ring is in one of six places: `records` (handed to the kernel), `filtered` (not selected by [`Config::filter`]), `lost_ring` (overwritten before it was read,
/// or in a ring that was damaged), `lost_send` (read, and not sent), `lost_fault` (in hand when the thread ended by a fault), or still on
/// its way. `damaged_ring` counts places of a ring where no record could be read.
///
/// Of `records`, those in `lost_refused` are known not to have arrived, and those in `unacknowledged` may not have.
pub const COUNTERS: &[&str] = &[
    "records",
    "messages",
    "octets",
    "lost_ring",
    "lost_send",
    "templates",
    "send_errors",
    "segments_batched",
    "damaged_ring",
    "lost_refused",
    "unacknowledged",
    "lost_fault",
    "restarts",
    "groups_left_out",
    "list_items_left_out",
    "filtered",
];
/// Names of an exporter's texts in its stats block: "connected", "connecting" or "failed"; the last trouble in a sentence; and what `records`
/// says of their arrival: "unconfirmed" (UDP), "acknowledged" (TCP: by the collector's machine, but for `unacknowledged`).
pub const TEXTS: &[&str] = &["state", "last_error", "delivery"];

const RECORDS: usize = 0;
const MESSAGES: usize = 1;
const OCTETS: usize = 2;
const LOST_RING: usize = 3;
const LOST_SEND: usize = 4;
const TEMPLATES: usize = 5;
const SEND_ERRORS: usize = 6;
const SEGMENTS_BATCHED: usize = 7;
const DAMAGED_RING: usize = 8;
const LOST_REFUSED: usize = 9;
const UNACKNOWLEDGED: usize = 10;
const LOST_FAULT: usize = 11;
/// Index of the counter of threads that ended by a fault and were started again; whoever starts them counts.
pub const RESTARTS: usize = 12;
const GROUPS_LEFT_OUT: usize = 13;
const LIST_ITEMS_LEFT_OUT: usize = 14;
const FILTERED: usize = 15;

/// Most records taken from one ring before the others get their turn.
const TURN: usize = 256;
/// Sleep of a session whose rings hold little: short first, then longer, so that an idle exporter costs next to nothing and a
/// record waits milliseconds at most.
const SLEEP: [Duration; 2] = [Duration::from_micros(200), Duration::from_millis(5)];

/// How often a session that has nothing to read looks whether a ring has got a successor.
const LOOK: Duration = Duration::from_millis(500);

/// What carries the messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// RFC 7011 section 10.3.
    Udp,
    /// RFC 7011 section 10.4.
    Tcp,
}

impl Protocol {
    /// Whether many messages of equal size go in one call.
    const fn wants_equal_messages(self) -> bool {
        match self {
            Self::Udp => true,
            Self::Tcp => false,
        }
    }

    /// A transport for this stream to "host:port".
    fn open(self, address: &str, stream: Stream, timing: Timing, now: Now) -> Box<dyn Transport> {
        match self {
            Self::Udp => Box::new(Udp::new(address, stream, timing, now)),
            Self::Tcp => Box::new(Tcp::new(address, stream, timing, now)),
        }
    }
}

/// What an exporter is told. The meaning of each field is that of the settings (`sonde.v1.Exporter`).
#[derive(Clone, Debug)]
pub struct Config {
    /// What carries the messages.
    pub protocol: Protocol,
    /// "host:port" of the collector.
    pub address: String,
    /// Observation domain id.
    pub observation_domain_id: u32,
    /// Templates are sent again so often over UDP.
    pub template_refresh: Duration,
    /// Largest message, 512 to 65000 octets.
    pub message_octets_max: usize,
    /// Exporter statistics and interface names are sent so often.
    pub options_interval: Duration,
    /// Number (`ingressInterface`) and name of each port.
    pub interfaces: Vec<(u32, String)>,
    /// Where addresses are looked up; `None`: they are not, and the templates have no fields for what would be found.
    pub enrichment: Option<Arc<Handle>>,
    /// Which fields go out.
    pub fields: Fields,
    /// Enterprise number of the elements that no registry has.
    pub enterprise: u32,
    /// Whether the destination port of ICMP is its type * 256 + code.
    pub icmp_in_port: bool,
    /// Which records go out; `None`: all. The others are counted, whether the collector is there or not.
    pub filter: Option<Expression>,
    /// How long things may take.
    pub timing: Timing,
}

impl Config {
    /// An exporter to `address` with the defaults of the settings.
    pub fn new(protocol: Protocol, address: &str) -> Self {
        Self {
            protocol,
            address: address.to_owned(),
            observation_domain_id: 1,
            template_refresh: Duration::from_secs(600),
            message_octets_max: 1400,
            options_interval: Duration::from_secs(60),
            interfaces: Vec::new(),
            enrichment: None,
            fields: Fields::default(),
            enterprise: DOCUMENTATION_PEN,
            icmp_in_port: false,
            filter: None,
            timing: Timing::default(),
        }
    }
}

/// Exports the records of `inputs` until told to stop; then sends what the rings still hold. Where it stopped in each is where they stand
/// then, so that a successor ([`Reader::seek`]) loses nothing. After a panic they stand behind the record that was read last: those that
/// were in hand are counted as lost, and it can be called again.
///
/// The counters of `block` are [`COUNTERS`]; they are added to, so that a successor may go on with the same block (pass an `Arc`). A collector
/// that is down never makes this fail: it is a state and a sentence in the block.
///
/// When told to stop, the collector gets [`Timing::linger`] to take what is left. What it does not take stays in the ring for a
/// successor; but where the writer has left for good there is none, and the rest is counted as lost.
pub fn run(config: &Config, inputs: &mut [Reader], block: impl Borrow<Block>, stop: &AtomicBool) {
    let encoder = Encoder::new(Options {
        message_octets_max: config.message_octets_max,
        messages_max: usize::MAX,
        equal_messages: config.protocol.wants_equal_messages(),
        fields: config.fields.clone(),
        enterprise: config.enterprise,
        enrichment: config.enrichment.clone(),
        icmp_in_port: config.icmp_in_port,
    });
    let mut session = Session::new(config, encoder, inputs, block.borrow());
    let mut stop_at = None;
    loop {
        let now = Now::read();
        let stopping = stop.load(Ordering::Relaxed);
        let taken = session.step(now);
        if stopping {
            let deadline = *stop_at.get_or_insert(now.instant + config.timing.linger);
            if taken == 0 && session.flush(now) || now.instant >= deadline {
                break;
            }
        }
        session.rest(taken);
    }
    session.finish();
}

/// Whether a record goes out.
fn selects(filter: Option<&Expression>, record: &RecordView<'_>) -> bool {
    filter.is_none_or(|filter| filter.matches(record))
}

/// Where the format's messages go.
struct Outlet {
    transport: Box<dyn Transport>,
    tally: Tally,
    now: Now,
}

impl Sink for Outlet {
    fn announce(&mut self, messages: Vec<Message>) {
        self.transport.announce(messages, self.now, &mut self.tally);
    }

    fn send(&mut self, sealed: Sealed<'_>) {
        self.transport.send(sealed, self.now, &mut self.tally);
    }
}

/// An exporter at work: records in, messages of a format out.
struct Session<'a, F: Format> {
    config: &'a Config,
    inputs: &'a mut [Reader],
    block: &'a Block,
    format: F,
    outlet: Outlet,
    lost_ring: u64,
    damaged_ring: u64,
    filtered: u64,
    looked: Instant,
    /// Flow records read, and not counted as sent or lost yet.
    in_hand: u64,
    templates_at: Option<Instant>,
    /// How many templates were announced then.
    templates_told: usize,
    options_at: Option<Instant>,
    /// Since when records may wait in messages that are not full.
    flushed: Instant,
    sleep: Duration,
    /// What the block says.
    told: (&'static str, String),
}

impl<'a, F: Format> Session<'a, F> {
    fn new(config: &'a Config, format: F, inputs: &'a mut [Reader], block: &'a Block) -> Self {
        let now = Now::read();
        let stream = Stream::new(format.header(), config.observation_domain_id);
        let transport = config.protocol.open(&config.address, stream, config.timing, now);
        block.text(TEXTS[2], transport.delivery());
        Self {
            config,
            inputs,
            block,
            format,
            outlet: Outlet { transport, tally: Tally::default(), now },
            lost_ring: 0,
            damaged_ring: 0,
            filtered: 0,
            looked: now.instant,
            in_hand: 0,
            templates_at: None,
            templates_told: 0,
            options_at: None,
            flushed: now.instant,
            sleep: SLEEP[0],
            told: ("", String::new()),
        }
    }

    /// One round: the collector's news, templates and options that are due, a turn of each ring. Returns how many records it took.
    fn step(&mut self, now: Now) -> usize {
        self.outlet.now = now;
        self.outlet.transport.maintain(now, &mut self.outlet.tally);
        let room = self.outlet.transport.room(now);
        if room == Room::Ready || self.outlet.transport.wants_templates() {
            self.announce(now);
        }
        // The templates may have been refused.
        let room = if room == Room::Ready { self.outlet.transport.room(now) } else { room };
        let taken = match room {
            Room::Ready => self.take(),
            Room::Wait => 0,
            Room::Drop => self.lose(),
        };
        if room == Room::Ready {
            let due = now.instant.duration_since(self.flushed) >= self.config.timing.flush;
            if due || taken == 0 {
                self.send(due);
            }
        }
        if taken == 0 && now.instant.duration_since(self.looked) >= LOOK {
            self.looked = now.instant;
            // One that is not there yet is found at the next look.
            self.inputs.iter_mut().for_each(|input| _ = input.follow());
        }
        trap();
        self.publish();
        taken
    }

    /// Reads and encodes; sends what is full.
    fn take(&mut self) -> usize {
        let mut taken = 0;
        self.format.refresh();
        let filter = self.config.filter.as_ref();
        for input in &mut *self.inputs {
            let batch = input.read(TURN, |record| {
                if selects(filter, record) {
                    self.in_hand += 1;
                    self.format.put(record, &mut self.outlet);
                } else {
                    self.filtered += 1;
                }
            });
            self.lost_ring += batch.lost;
            self.damaged_ring += batch.damaged;
            taken += batch.records;
        }
        taken
    }

    /// Reads and drops.
    fn lose(&mut self) -> usize {
        let (mut taken, mut lost) = (0, 0);
        let filter = self.config.filter.as_ref();
        for input in &mut *self.inputs {
            let batch = input.read(TURN, |record| *if selects(filter, record) { &mut lost } else { &mut self.filtered } += 1);
            self.lost_ring += batch.lost;
            self.damaged_ring += batch.damaged;
            taken += batch.records;
        }
        self.in_hand += lost;
        self.outlet.tally.lost_send += lost;
        taken
    }

    /// Sends the full messages, and with `partial` the others too.
    fn send(&mut self, partial: bool) {
        self.format.flush(partial, &mut self.outlet);
        if partial {
            self.flushed = self.outlet.now.instant;
        }
    }

    /// Sends the templates that were made yet, and options, where they are due. A template that is made later is sent by the format.
    fn announce(&mut self, now: Now) {
        let older = |at: Option<Instant>, interval| at.is_none_or(|at| now.instant.duration_since(at) >= interval);
        let transport = &self.outlet.transport;
        // RFC 7011 section 8.4: over UDP templates are repeated. Over TCP they must not be (section 8.1): once a connection.
        // One that was made meanwhile was sent once, which may be lost: it need not wait so long.
        let made = self.format.templates_made();
        let due = if made == self.templates_told { self.config.template_refresh } else { self.config.timing.repeat };
        let refresh = transport.repeats_templates() && older(self.templates_at, due.min(self.config.template_refresh));
        let new = transport.wants_templates();
        if new || refresh {
            self.outlet.announce(self.format.templates());
            (self.templates_at, self.templates_told) = (Some(now.instant), made);
        }
        if new || older(self.options_at, self.config.options_interval) {
            let options = self.format.options(self.config.observation_domain_id, &self.statistics(), &self.config.interfaces);
            self.outlet.announce(options);
            self.options_at = Some(now.instant);
        }
    }

    fn statistics(&self) -> Statistics {
        Statistics {
            octets: self.block.get(OCTETS) + self.outlet.tally.octets,
            messages: self.block.get(MESSAGES) + self.outlet.tally.messages,
            records: self.block.get(RECORDS) + self.outlet.tally.records,
            not_sent: self.block.get(LOST_RING)
                + self.lost_ring
                + self.block.get(LOST_SEND)
                + self.outlet.tally.lost_send
                + self.block.get(LOST_FAULT),
        }
    }

    /// Adds what happened to the counters, and says how it goes.
    fn publish(&mut self) {
        self.count();
        self.tell();
    }

    /// Adds what happened to the counters.
    fn count(&mut self) {
        let tally = std::mem::take(&mut self.outlet.tally);
        let left_out = self.format.take_left_out();
        self.in_hand = self.in_hand.saturating_sub(tally.records + tally.lost_send);
        let counts = [
            (RECORDS, tally.records),
            (MESSAGES, tally.messages),
            (OCTETS, tally.octets),
            (LOST_RING, std::mem::take(&mut self.lost_ring)),
            (DAMAGED_RING, std::mem::take(&mut self.damaged_ring)),
            (FILTERED, std::mem::take(&mut self.filtered)),
            (LOST_SEND, tally.lost_send),
            (TEMPLATES, tally.templates),
            (SEND_ERRORS, tally.send_errors),
            (SEGMENTS_BATCHED, tally.segments_batched),
            (LOST_REFUSED, tally.lost_refused),
            (UNACKNOWLEDGED, tally.unacknowledged),
            (GROUPS_LEFT_OUT, left_out.groups),
            (LIST_ITEMS_LEFT_OUT, left_out.items),
        ];
        for (counter, count) in counts {
            if count > 0 {
                self.block.add(counter, count);
            }
        }
    }

    /// Says how it goes.
    fn tell(&mut self) {
        let (state, trouble) = self.outlet.transport.status();
        if self.told.0 != state.name() {
            self.told.0 = state.name();
            self.block.text(TEXTS[0], state.name());
        }
        if self.told.1 != trouble {
            trouble.clone_into(&mut self.told.1);
            self.block.text(TEXTS[1], trouble);
        }
    }

    /// Sends everything that was read; whether nothing is left to send.
    fn flush(&mut self, now: Now) -> bool {
        self.outlet.now = now;
        if self.outlet.transport.room(now) == Room::Ready {
            self.send(true);
            self.outlet.transport.maintain(now, &mut self.outlet.tally);
        }
        self.format.records() == 0 && self.outlet.transport.is_done()
    }

    /// Sleeps, the longer the less there was to do.
    fn rest(&mut self, taken: usize) {
        self.sleep = if taken > 0 { SLEEP[0] } else { (self.sleep * 2).min(SLEEP[1]) };
        if taken < TURN {
            thread::sleep(self.sleep);
        }
    }

    /// Counts what will not be sent any more, and leaves the rings where the successor goes on.
    fn finish(mut self) {
        self.outlet.tally.lost_send += self.format.records() as u64;
        self.outlet.transport.abandon(&mut self.outlet.tally);
        let filter = self.config.filter.as_ref();
        for input in &mut *self.inputs {
            let cursor = input.cursor();
            let (mut left, mut filtered, mut lost) = (0, 0, 0);
            let ended = loop {
                let batch = input.read(TURN, |record| *if selects(filter, record) { &mut left } else { &mut filtered } += 1);
                lost += batch.lost;
                self.damaged_ring += batch.damaged;
                if !batch.more {
                    break batch.ended;
                }
            };
            if ended {
                self.outlet.tally.lost_send += left;
                self.in_hand += left;
                self.filtered += filtered;
                self.lost_ring += lost;
            } else {
                // Refused only where somebody else has overwritten the ring meanwhile: then the successor goes on from here.
                let _ = input.seek(cursor);
            }
        }
        self.publish();
    }
}

impl<F: Format> Drop for Session<'_, F> {
    /// After a panic: what was sent and lost is counted, and so are the records that were in hand.
    fn drop(&mut self) {
        if thread::panicking() {
            self.count();
            self.block.add(LOST_FAULT, self.in_hand);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_session_sleeps_longer_and_longer_and_a_busy_one_does_not() {
        let config = Config::new(Protocol::Udp, "127.0.0.1:9");
        let block = Block::detached(sonde_stats::Kind::Exporter, "exporters/test", COUNTERS);
        let mut session = Session::new(&config, Encoder::new(Options::default()), &mut [], &block);
        let sleeps: Vec<_> = (0..7)
            .map(|_| {
                session.rest(0);
                session.sleep.as_micros()
            })
            .collect();
        assert_eq!(sleeps, [400, 800, 1600, 3200, 5000, 5000, 5000]);
        session.rest(1);
        assert_eq!(session.sleep, SLEEP[0]);
        let start = Instant::now();
        for _ in 0..1000 {
            session.rest(TURN);
        }
        assert!(start.elapsed() < Duration::from_millis(100), "a full turn is followed by the next at once");
    }
}
