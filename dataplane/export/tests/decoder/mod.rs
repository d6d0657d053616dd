#![expect(unreachable_pub, reason = "a module of test programs")]
//! A reader of IPFIX messages that shares no code with the encoder: it knows RFC 7011 and nothing of Sonde's templates.

use std::collections::HashMap;

/// (enterprise, element id, length).
pub type Specifier = (u32, u16, u16);

/// A data record: each field's enterprise, id and octets.
pub type Fields = Vec<(u32, u16, Vec<u8>)>;

#[derive(Debug, Clone)]
pub struct Template {
    pub scope: u16,
    pub fields: Vec<Specifier>,
}

#[derive(Debug)]
pub struct Message {
    pub octets: usize,
    pub time: u32,
    pub sequence: u32,
    pub domain: u32,
    /// Ids of the templates in it.
    pub templates: Vec<u16>,
    /// Template id and fields of each data record.
    pub records: Vec<(u16, Fields)>,
}

/// A collecting process: remembers templates, checks everything it can.
#[derive(Debug, Default)]
pub struct Collector {
    pub templates: HashMap<u16, Template>,
}

fn u16_at(octets: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([octets[at], octets[at + 1]])
}

fn u32_at(octets: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([octets[at], octets[at + 1], octets[at + 2], octets[at + 3]])
}

impl Collector {
    /// Reads all messages of a stream. Panics, with the reason, on whatever the RFC forbids.
    pub fn stream(&mut self, mut octets: &[u8]) -> Vec<Message> {
        let mut messages = Vec::new();
        while !octets.is_empty() {
            let length = usize::from(u16_at(octets, 2));
            messages.push(self.message(&octets[..length]));
            octets = &octets[length..];
        }
        messages
    }

    pub fn message(&mut self, octets: &[u8]) -> Message {
        assert_eq!(u16_at(octets, 0), 10, "version");
        assert_eq!(usize::from(u16_at(octets, 2)), octets.len(), "length of the message");
        let mut message = Message {
            octets: octets.len(),
            time: u32_at(octets, 4),
            sequence: u32_at(octets, 8),
            domain: u32_at(octets, 12),
            templates: Vec::new(),
            records: Vec::new(),
        };
        let mut at = 16;
        while at < octets.len() {
            let (id, length) = (u16_at(octets, at), usize::from(u16_at(octets, at + 2)));
            assert!(length > 4, "a set holds at least one record");
            let set = &octets[at + 4..at + length];
            match id {
                2 | 3 => self.templates(id == 3, set, &mut message),
                256.. => self.data(id, set, &mut message),
                _ => panic!("set id {id}"),
            }
            at += length;
        }
        assert_eq!(at, octets.len(), "sets fill the message");
        message
    }

    fn templates(&mut self, options: bool, set: &[u8], message: &mut Message) {
        let head = if options { 6 } else { 4 };
        let mut at = 0;
        while set.len() - at >= head {
            let (id, count) = (u16_at(set, at), u16_at(set, at + 2));
            let scope = if options { u16_at(set, at + 4) } else { 0 };
            assert!(id >= 256 && count > 0 && scope < count, "template {id} of {count} fields");
            at += head;
            let fields = (0..count).map(|_| {
                let (id, length) = (u16_at(set, at), u16_at(set, at + 2));
                at += 4;
                let pen = if id & 0x8000 == 0 { 0 } else { u32_at(set, at) };
                at += if pen == 0 { 0 } else { 4 };
                (pen, id & 0x7fff, length)
            });
            let fields = fields.collect();
            self.templates.insert(id, Template { scope, fields });
            message.templates.push(id);
        }
        assert!(set[at..].iter().all(|octet| *octet == 0), "padding is zero");
    }

    fn data(&self, id: u16, set: &[u8], message: &mut Message) {
        let template = self.templates.get(&id).unwrap_or_else(|| panic!("data of template {id}, which was not announced"));
        // RFC 7011 section 3.3.1: padding is shorter than any record.
        let least: usize = template.fields.iter().map(|(_, _, length)| if *length == 0xffff { 1 } else { usize::from(*length) }).sum();
        let mut at = 0;
        while set.len() - at >= least {
            let mut record = Fields::new();
            for &(pen, element, length) in &template.fields {
                let length = if length == 0xffff {
                    let short = usize::from(set[at]);
                    at += 1;
                    if short == 255 {
                        at += 2;
                        usize::from(u16_at(set, at - 2))
                    } else {
                        short
                    }
                } else {
                    usize::from(length)
                };
                record.push((pen, element, set[at..at + length].to_vec()));
                at += length;
            }
            message.records.push((id, record));
        }
        assert!(set[at..].iter().all(|octet| *octet == 0), "padding is zero");
    }
}

/// The value of an unsigned field.
pub fn number(fields: &Fields, pen: u32, id: u16) -> u64 {
    octets(fields, pen, id).iter().fold(0, |value, octet| value << 8 | u64::from(*octet))
}

/// The octets of a field.
pub fn octets(fields: &Fields, pen: u32, id: u16) -> &[u8] {
    let found = fields.iter().find(|(p, i, _)| (*p, *i) == (pen, id));
    &found.unwrap_or_else(|| panic!("no field {pen}:{id}")).2
}
