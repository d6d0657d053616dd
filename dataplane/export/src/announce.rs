//! What an exporter says of itself: templates, its statistics, the names of interfaces. On the operator's clock: it allocates.

use crate::batch::{HEADER_OCTETS, SET_HEADER_OCTETS, padding, write_header};
use crate::template::{self, Template};

/// One message that holds no flow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The message; export time, sequence and domain are stamped when it is sent.
    pub octets: Vec<u8>,
    /// Options data records in it: they count in the sequence (RFC 7011 section 3.1).
    pub records: u32,
    /// Template and options template records in it.
    pub templates: u32,
}

/// What the exporter statistics say (RFC 7011 section 4.3), counted since the exporter was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// `exportedOctetTotalCount`, 40.
    pub octets: u64,
    /// `exportedMessageTotalCount`, 41.
    pub messages: u64,
    /// `exportedFlowRecordTotalCount`, 42.
    pub records: u64,
    /// `notSentFlowTotalCount`, 166.
    pub not_sent: u64,
}

/// Fills messages with sets.
struct Builder {
    octets_max: usize,
    done: Vec<Message>,
    octets: Vec<u8>,
    set: Option<(u16, usize)>,
    records: u32,
    templates: u32,
}

impl Builder {
    fn new(octets_max: usize) -> Self {
        Self { octets_max, done: Vec::new(), octets: vec![0; HEADER_OCTETS], set: None, records: 0, templates: 0 }
    }

    /// Adds one record to a set with this id, in a new set or a new message where it must.
    fn add(&mut self, set_id: u16, record: &[u8]) {
        let same = self.set.is_some_and(|(id, _)| id == set_id);
        let need = record.len() + if same { 0 } else { padding(self.octets.len()) + SET_HEADER_OCTETS };
        // Three octets are kept for the padding of this set.
        if self.octets.len() + need + 3 > self.octets_max && self.octets.len() > HEADER_OCTETS {
            self.close_message();
        }
        if self.set.is_none_or(|(id, _)| id != set_id) {
            self.close_set();
            self.set = Some((set_id, self.octets.len()));
            self.octets.extend(set_id.to_be_bytes());
            self.octets.extend([0, 0]);
        }
        self.octets.extend(record);
        if set_id < 256 {
            self.templates += 1;
        } else {
            self.records += 1;
        }
    }

    fn close_set(&mut self) {
        let Some((_, start)) = self.set.take() else { return };
        self.octets.resize(self.octets.len() + padding(self.octets.len()), 0);
        let length = u16::try_from(self.octets.len() - start).expect("a set has less than 65536 octets");
        self.octets[start + 2..start + 4].copy_from_slice(&length.to_be_bytes());
    }

    fn close_message(&mut self) {
        self.close_set();
        let mut octets = std::mem::replace(&mut self.octets, vec![0; HEADER_OCTETS]);
        if octets.len() == HEADER_OCTETS {
            return;
        }
        write_header(&mut octets);
        let (records, templates) = (std::mem::take(&mut self.records), std::mem::take(&mut self.templates));
        self.done.push(Message { octets, records, templates });
    }

    fn finish(mut self) -> Vec<Message> {
        self.close_message();
        self.done
    }
}

/// These templates, in messages of at most `message_octets_max` octets (512 or more).
pub fn templates<'a>(templates: impl IntoIterator<Item = &'a Template>, message_octets_max: usize) -> Vec<Message> {
    let mut builder = Builder::new(message_octets_max);
    for template in templates {
        builder.add(template.set_id(), &template.encode());
    }
    builder.finish()
}

/// The options data: exporter statistics, and the name of each interface (number, name).
pub fn options(message_octets_max: usize, domain: u32, statistics: &Statistics, interfaces: &[(u32, String)]) -> Vec<Message> {
    let mut builder = Builder::new(message_octets_max);
    let mut record = Vec::with_capacity(64);
    record.extend(domain.to_be_bytes());
    for count in [statistics.octets, statistics.messages, statistics.records, statistics.not_sent] {
        record.extend(count.to_be_bytes());
    }
    builder.add(template::STATISTICS.id, &record);
    for (number, name) in interfaces {
        record.clear();
        record.extend(number.to_be_bytes());
        put_string(&mut record, name);
        builder.add(template::INTERFACES.id, &record);
    }
    builder.finish()
}

/// A string of variable length (RFC 7011 section 7), cut to the 254 octets of the short form at a character's boundary.
fn put_string(out: &mut Vec<u8>, text: &str) {
    let octets = text.floor_char_boundary(254);
    out.push(u8::try_from(octets).expect("at most 254"));
    out.extend(&text.as_bytes()[..octets]);
}
