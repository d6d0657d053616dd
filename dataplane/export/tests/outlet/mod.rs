#![expect(unreachable_pub, reason = "a module of test programs")]
//! Takes what an encoder hands over, as an exporter would send it.

use sonde_export::format::{Format, Message, Sealed, Sink, Stream};
use sonde_export::{Encoder, Options};
use sonde_record::Record;

/// Export time of all messages.
pub const TIME: u32 = 1_700_000_000;
/// Their observation domain.
pub const DOMAIN: u32 = 7;

/// What was handed over.
#[derive(Debug)]
pub struct Outlet {
    stream: Stream,
    /// Each message on its own, in the order of the wire.
    pub messages: Vec<Vec<u8>>,
    /// Of each call with flow records: octets of its segments, of its messages, and records.
    pub calls: Vec<(Option<usize>, Vec<usize>, usize)>,
}

impl Outlet {
    pub fn new(encoder: &Encoder) -> Self {
        let mut outlet = Self { stream: Stream::new(encoder.header(), DOMAIN), messages: Vec::new(), calls: Vec::new() };
        outlet.announce(encoder.templates());
        outlet
    }
}

impl Sink for Outlet {
    fn announce(&mut self, messages: Vec<Message>) {
        for mut message in messages {
            self.stream.stamp(&mut message.octets, TIME);
            self.stream.sent(0, message.records);
            self.messages.push(message.octets);
        }
    }

    fn send(&mut self, mut sealed: Sealed<'_>) {
        let (segment, records) = (sealed.segment, sealed.records());
        let mut sizes = Vec::new();
        for (message, flows) in sealed.each() {
            self.stream.stamp(message, TIME);
            self.stream.sent(flows, 0);
            sizes.push(message.len());
            self.messages.push(message.to_vec());
        }
        assert_eq!(sizes.len(), sealed.messages());
        self.calls.push((segment, sizes, records));
    }
}

/// Everything an exporter sends for these records.
pub fn sent(records: &[Record], options: &Options) -> Outlet {
    let mut encoder = Encoder::new(options.clone());
    let mut outlet = Outlet::new(&encoder);
    records.iter().for_each(|record| encoder.put(&record.view().expect("a record"), &mut outlet));
    encoder.flush(false, &mut outlet);
    encoder.flush(true, &mut outlet);
    assert_eq!(encoder.records(), 0);
    outlet
}
