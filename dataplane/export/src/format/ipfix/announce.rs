//! What an exporter says of itself: templates, its statistics, the names of interfaces. On the operator's clock: it allocates.

use super::header::{HEADER_OCTETS, SET_HEADER_OCTETS, padding, seal};
use crate::fact::own;
use crate::format::{Message, Statistics};
use crate::template::{self, Template};

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
        seal(&mut octets);
        let (records, templates) = (std::mem::take(&mut self.records), std::mem::take(&mut self.templates));
        self.done.push(Message { octets, records, templates });
    }

    fn finish(mut self) -> Vec<Message> {
        self.close_message();
        self.done
    }
}

/// Set id of the set a template is announced in (RFC 7011 section 3.3.2).
fn set_id(template: &Template) -> u16 {
    if template.scope == 0 { 2 } else { 3 }
}

/// The template record (RFC 7011 sections 3.4.1 and 3.4.2.2).
fn encode(template: &Template) -> Vec<u8> {
    let mut out = Vec::with_capacity(2 + template.announced_octets());
    out.extend(template.id.to_be_bytes());
    let count = u16::try_from(template.fields.len()).expect("a template has few fields");
    out.extend(count.to_be_bytes());
    if template.scope > 0 {
        out.extend(template.scope.to_be_bytes());
    }
    for field in &template.fields {
        let enterprise = if field.pen() == 0 { 0 } else { 0x8000 };
        out.extend((field.element.id | enterprise).to_be_bytes());
        out.extend(field.element.length.to_be_bytes());
        if field.pen() != 0 {
            out.extend(field.pen().to_be_bytes());
        }
    }
    out
}

/// These templates, in messages of at most `message_octets_max` octets (512 or more).
pub fn templates<'a>(templates: impl IntoIterator<Item = &'a Template>, message_octets_max: usize) -> Vec<Message> {
    let mut builder = Builder::new(message_octets_max);
    for template in templates {
        builder.add(set_id(template), &encode(template));
    }
    builder.finish()
}

/// The options data: exporter statistics, and the name of each interface (number, name).
/// With the number of the operator's enterprise, what its elements are (RFC 5610).
pub fn options(
    message_octets_max: usize,
    domain: u32,
    statistics: &Statistics,
    interfaces: &[(u32, String)],
    enterprise: Option<u32>,
) -> Vec<Message> {
    let mut builder = Builder::new(message_octets_max);
    let mut record = Vec::with_capacity(64);
    record.extend(domain.to_be_bytes());
    for count in [statistics.octets, statistics.messages, statistics.records, statistics.not_sent] {
        record.extend(count.to_be_bytes());
    }
    builder.add(template::STATISTICS, &record);
    for (number, name) in interfaces {
        record.clear();
        record.extend(number.to_be_bytes());
        put_string(&mut record, name);
        builder.add(template::INTERFACES, &record);
    }
    if let Some(enterprise) = enterprise {
        put_types(&mut builder, enterprise);
    }
    builder.finish()
}

/// What the elements of the operator's own enterprise are.
fn put_types(builder: &mut Builder, enterprise: u32) {
    for element in own::types() {
        let mut record = Vec::with_capacity(128);
        record.extend(enterprise.to_be_bytes());
        record.extend(element.id.to_be_bytes());
        record.extend([element.data_type, element.semantics]);
        record.extend(element.units.to_be_bytes());
        put_string(&mut record, element.name);
        put_string(&mut record, element.about);
        builder.add(template::TYPES, &record);
    }
}

/// A string of variable length (RFC 7011 section 7), cut to the 254 octets of the short form at a character's boundary.
fn put_string(out: &mut Vec<u8>, text: &str) {
    let octets = text.floor_char_boundary(254);
    out.push(u8::try_from(octets).expect("at most 254"));
    out.extend(&text.as_bytes()[..octets]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fact;
    use crate::format::ipfix::field::Field;

    #[test]
    fn a_template_record_is_encoded_as_rfc_7011_draws_it() {
        let out = encode(&template::statistics());
        assert_eq!(out[..10], [0x01, 0x00, 0, 5, 0, 1, 0, 149, 0, 4], "id 256, 5 fields, 1 of scope, observationDomainId of 4");
        assert_eq!(out.len(), 6 + 5 * 4);
        let fields: Vec<Field> = fact::plain_fields(sonde_record::Kind::Layer2).into();
        let out = encode(&Template { id: 300, scope: 0, fields });
        // octetDeltaCount and its reverse: fields 5 and 6.
        assert_eq!(out[24..36], [0, 1, 0, 8, 0x80, 1, 0, 8, 0, 0, 0x72, 0x79]);
    }
}
