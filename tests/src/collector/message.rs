//! IPFIX messages (RFC 7011 section 3) as values.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

/// An information element: private enterprise number (0 for IANA's) and id.
pub type Element = (u32, u16);

/// Elements the tests ask for (IANA's registry; RFC 5103 for the reverse ones).
pub mod elements {
    use super::Element;

    /// octetDeltaCount.
    pub const OCTETS: Element = (0, 1);
    /// packetDeltaCount.
    pub const PACKETS: Element = (0, 2);
    /// protocolIdentifier.
    pub const PROTOCOL: Element = (0, 4);
    /// tcpControlBits.
    pub const TCP_FLAGS: Element = (0, 6);
    /// sourceIPv4Address.
    pub const SOURCE_IPV4: Element = (0, 8);
    /// destinationIPv4Address.
    pub const DESTINATION_IPV4: Element = (0, 12);
    /// sourceIPv6Address.
    pub const SOURCE_IPV6: Element = (0, 27);
    /// destinationIPv6Address.
    pub const DESTINATION_IPV6: Element = (0, 28);
    /// vlanId.
    pub const VLAN: Element = (0, 58);
    /// flowEndReason.
    pub const END_REASON: Element = (0, 136);
    /// flowId.
    pub const FLOW_ID: Element = (0, 148);
    /// ethernetType.
    pub const ETHERTYPE: Element = (0, 256);
}

/// The same element for the other direction (RFC 5103 section 6.1).
pub const fn reverse(element: Element) -> Element {
    (29_305, element.1)
}

/// One data record: the values of its elements, as they came. Of an element that comes twice the last value is kept, but all lists.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// Observation domain it came in.
    pub domain: u32,
    /// Template it was read by.
    pub template: u16,
    /// Values in network byte order.
    pub values: BTreeMap<Element, Vec<u8>>,
    /// Items of each list, by the element they are.
    pub lists: BTreeMap<Element, Vec<Vec<u8>>>,
}

impl Record {
    /// The value as an unsigned number; 0 when the record has no such element. Reduced-size encoding (RFC 7011 section 6.2) is read.
    pub fn number(&self, element: Element) -> u64 {
        self.value(element).unwrap_or_default()
    }

    /// The value as an unsigned number, if the element is there.
    pub fn value(&self, element: Element) -> Option<u64> {
        let bytes = self.values.get(&element)?;
        assert!(bytes.len() <= 8, "element {element:?} has {} octets and is no number", bytes.len());
        Some(bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    /// The items of a list as unsigned numbers, if it is there.
    pub fn list(&self, item: Element) -> Option<Vec<u64>> {
        let number = |bytes: &Vec<u8>| bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
        self.lists.get(&item).map(|items| items.iter().map(number).collect())
    }

    /// The value as text.
    pub fn text(&self, element: Element) -> Option<String> {
        self.values.get(&element).map(|bytes| String::from_utf8_lossy(bytes).into_owned())
    }

    /// Source and destination address, when the record has them.
    pub fn addresses(&self) -> Option<(IpAddr, IpAddr)> {
        let v4 = |e| self.values.get(&e).and_then(|b| <[u8; 4]>::try_from(b.as_slice()).ok()).map(|b| IpAddr::from(Ipv4Addr::from(b)));
        let v6 = |e| self.values.get(&e).and_then(|b| <[u8; 16]>::try_from(b.as_slice()).ok()).map(|b| IpAddr::from(Ipv6Addr::from(b)));
        v4(elements::SOURCE_IPV4)
            .zip(v4(elements::DESTINATION_IPV4))
            .or_else(|| v6(elements::SOURCE_IPV6).zip(v6(elements::DESTINATION_IPV6)))
    }

    /// Value and reverse value together.
    pub fn both(&self, element: Element) -> u64 {
        self.number(element) + self.number(reverse(element))
    }
}

/// Everything a collector got.
#[derive(Debug, Default)]
pub struct Collected {
    /// Flow records.
    pub records: Vec<Record>,
    /// Records of options templates: exporter statistics and the like.
    pub options: Vec<Record>,
    /// Messages.
    pub messages: u64,
    /// Octets of the messages.
    pub octets: u64,
    /// Templates and options templates, every repetition counted.
    pub templates: u64,
    /// Records that the sequence numbers say are missing (RFC 7011 section 3.1).
    pub missing: u64,
    /// What was wrong, in sentences.
    pub faults: Vec<String>,
    /// The messages as they came, for other decoders.
    pub raw: Vec<Vec<u8>>,
}

/// The messages of a file or a stream, by the lengths in their headers (RFC 5655, RFC 7011 section 10.4.3).
pub fn messages(mut octets: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let [_, _, high, low, ..] = octets else { return None };
        let (message, behind) = octets.split_at_checked(usize::from(u16::from_be_bytes([*high, *low])).max(4))?;
        octets = behind;
        Some(message)
    })
}

/// Templates and sequence numbers of one transport session.
#[derive(Debug, Default)]
pub struct Decoder {
    templates: HashMap<(u32, u16), Arc<Template>>,
    expected: HashMap<u32, u32>,
}

#[derive(Debug, PartialEq, Eq)]
struct Template {
    fields: Vec<(Element, u16)>,
    is_options: bool,
}

/// basicList.
const BASIC_LIST: Element = (0, 291);
/// Length that says "look into the record" (RFC 7011 section 7).
const VARIABLE: u16 = 65_535;

impl Template {
    /// Least octets of a record.
    fn least(&self) -> usize {
        self.fields.iter().map(|(_, length)| if *length == VARIABLE { 1 } else { usize::from(*length) }).sum()
    }
}

/// Reads numbers and pieces off the front of a slice.
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn bytes(&mut self, count: usize) -> Result<&'a [u8], String> {
        if self.0.len() < count {
            return Err(format!("{count} octets are wanted where {} are left", self.0.len()));
        }
        let (head, tail) = self.0.split_at(count);
        self.0 = tail;
        Ok(head)
    }

    fn u8(&mut self) -> Result<u8, String> {
        Ok(self.bytes(1)?[0])
    }

    fn u16(&mut self) -> Result<u16, String> {
        self.bytes(2).map(|b| u16::from_be_bytes([b[0], b[1]]))
    }

    fn u32(&mut self) -> Result<u32, String> {
        self.bytes(4).map(|b| u32::from_be_bytes([b[0], b[1], b[2], b[3]]))
    }
}

impl Decoder {
    /// Takes one message. What is wrong with it is added to the faults.
    pub fn message(&mut self, bytes: &[u8], collected: &mut Collected) {
        collected.messages += 1;
        collected.octets += bytes.len() as u64;
        if let Err(fault) = self.read(bytes, collected) {
            collected.faults.push(format!("message {}: {fault}", collected.messages));
        }
    }

    /// Reads a whole file.
    pub fn file(bytes: &[u8]) -> Collected {
        let (mut decoder, mut collected) = (Self::default(), Collected::default());
        messages(bytes).for_each(|message| decoder.message(message, &mut collected));
        if collected.octets != bytes.len() as u64 {
            collected.faults.push(format!("{} octets of {} are messages", collected.octets, bytes.len()));
        }
        collected
    }

    fn read(&mut self, bytes: &[u8], collected: &mut Collected) -> Result<(), String> {
        let mut message = Cursor(bytes);
        let (version, length) = (message.u16()?, message.u16()?);
        let (_export_time, sequence, domain) = (message.u32()?, message.u32()?, message.u32()?);
        if version != 10 || usize::from(length) != bytes.len() {
            return Err(format!("version {version}, length {length} in a message of {} octets", bytes.len()));
        }
        let expected = *self.expected.get(&domain).unwrap_or(&sequence);
        if expected != sequence {
            collected.missing += u64::from(sequence.wrapping_sub(expected));
        }
        let before = collected.records.len() + collected.options.len();
        while !message.0.is_empty() {
            let (id, length) = (message.u16()?, message.u16()?);
            let body = message.bytes(usize::from(length).checked_sub(4).ok_or_else(|| format!("a set of {length} octets"))?)?;
            match id {
                2 => self.templates(domain, body, false, collected)?,
                3 => self.templates(domain, body, true, collected)?,
                256.. => self.data(domain, id, body, collected)?,
                _ => return Err(format!("set id {id} is not assigned")),
            }
        }
        // RFC 7011 section 3.1: the sequence number counts data records, those of options templates too.
        let records = u32::try_from(collected.records.len() + collected.options.len() - before).map_err(|e| e.to_string())?;
        self.expected.insert(domain, sequence.wrapping_add(records));
        Ok(())
    }

    fn templates(&mut self, domain: u32, body: &[u8], is_options: bool, collected: &mut Collected) -> Result<(), String> {
        let mut set = Cursor(body);
        while set.0.len() >= 4 {
            let (id, count) = (set.u16()?, set.u16()?);
            if id < 256 {
                return Err(format!("template id {id} is below 256"));
            }
            if count == 0 {
                self.templates.remove(&(domain, id));
                continue;
            }
            if is_options && !(1..=count).contains(&set.u16()?) {
                return Err(format!("options template {id} has no scope, or more of it than fields"));
            }
            let fields = (0..count).map(|_| field(&mut set)).collect::<Result<_, _>>()?;
            collected.templates += 1;
            self.define(domain, id, Arc::new(Template { fields, is_options }))?;
        }
        padding(set.0)
    }

    fn define(&mut self, domain: u32, id: u16, template: Arc<Template>) -> Result<(), String> {
        let known = self.templates.entry((domain, id)).or_insert_with(|| Arc::clone(&template));
        // RFC 7011 section 8: a template that is sent again says the same.
        if *known == template { Ok(()) } else { Err(format!("template {id} was redefined without being withdrawn")) }
    }

    fn data(&self, domain: u32, id: u16, body: &[u8], collected: &mut Collected) -> Result<(), String> {
        let template = self.templates.get(&(domain, id)).ok_or_else(|| format!("data of template {id}, which was not sent"))?;
        let mut set = Cursor(body);
        // RFC 7011 section 3.3.1: padding is shorter than any record.
        while set.0.len() >= template.least().max(1) {
            let mut record = Record { domain, template: id, ..Record::default() };
            for (element, length) in &template.fields {
                let length = match *length {
                    VARIABLE => match set.u8()? {
                        255 => set.u16()?,
                        short => u16::from(short),
                    },
                    fixed => fixed,
                };
                let value = set.bytes(usize::from(length))?;
                if *element == BASIC_LIST {
                    let (item, items) = basic_list(value)?;
                    if record.lists.insert(item, items).is_some() {
                        return Err(format!("two lists of {item:?}"));
                    }
                } else {
                    record.values.insert(*element, value.to_vec());
                }
            }
            if template.is_options { collected.options.push(record) } else { collected.records.push(record) }
        }
        padding(set.0)
    }
}

fn field(set: &mut Cursor<'_>) -> Result<(Element, u16), String> {
    let (id, length) = (set.u16()?, set.u16()?);
    // RFC 7011 section 3.2: the top bit says that an enterprise number follows.
    let enterprise = if id & 0x8000 == 0 { 0 } else { set.u32()? };
    Ok(((enterprise, id & 0x7fff), length))
}

/// The element and the items of a list (RFC 6313 section 4.5.1).
fn basic_list(bytes: &[u8]) -> Result<(Element, Vec<Vec<u8>>), String> {
    let mut list = Cursor(bytes);
    let semantic = list.u8()?;
    if !matches!(semantic, 0..=4 | 255) {
        return Err(format!("semantic {semantic} of a list is not assigned"));
    }
    let (item, length) = field(&mut list)?;
    let length = usize::from(length);
    if length == 0 || length == usize::from(VARIABLE) || !list.0.len().is_multiple_of(length) {
        return Err(format!("items of {length} octets in {}", list.0.len()));
    }
    Ok((item, list.0.chunks(length).map(<[u8]>::to_vec).collect()))
}

fn padding(bytes: &[u8]) -> Result<(), String> {
    if bytes.iter().all(|byte| *byte == 0) { Ok(()) } else { Err(format!("padding that is not zero: {bytes:02x?}")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(sequence: u32, sets: &[u8]) -> Vec<u8> {
        let length = u16::try_from(16 + sets.len()).unwrap().to_be_bytes();
        [&[0, 10], &length[..], &[0; 4], &sequence.to_be_bytes(), &[0, 0, 0, 1], sets].concat()
    }

    fn collect(messages: &[Vec<u8>]) -> Collected {
        let (mut decoder, mut collected) = (Decoder::default(), Collected::default());
        messages.iter().for_each(|message| decoder.message(message, &mut collected));
        collected
    }

    /// Template 256: packetDeltaCount in 4 octets, its reverse in 2, interfaceName of variable length.
    const TEMPLATE: &[u8] = &[0, 2, 0, 24, 1, 0, 0, 3, 0, 2, 0, 4, 0x80, 2, 0, 2, 0, 0, 0x72, 0x79, 0, 82, 0xff, 0xff];

    #[test]
    fn reduced_enterprise_and_variable_fields_are_read() {
        let data = [1, 0, 0, 16, 0, 0, 0, 7, 0, 9, 3, b'e', b't', b'h', 0, 0];
        let collected = collect(&[message(0, TEMPLATE), message(0, &data)]);
        assert_eq!(collected.faults, Vec::<String>::new());
        let record = &collected.records[0];
        assert_eq!((record.number(elements::PACKETS), record.both(elements::PACKETS)), (7, 16));
        assert_eq!(record.text((0, 82)).as_deref(), Some("eth"));
    }

    #[test]
    fn lists_are_read_by_their_own_head() {
        let template = [0, 2, 0, 16, 1, 0, 0, 2, 1, 35, 0xff, 0xff, 1, 35, 0xff, 0xff];
        // Two octetDeltaCount of two octets, and no item of enterprise 9.
        let data = [1, 0, 0, 24, 9, 4, 0, 1, 0, 2, 1, 2, 3, 4, 9, 3, 0x80, 7, 0, 1, 0, 0, 0, 9];
        let collected = collect(&[message(0, &template), message(0, &data)]);
        assert_eq!(collected.faults, Vec::<String>::new());
        let record = &collected.records[0];
        assert_eq!((record.list((0, 1)), record.list((9, 7)), record.list((9, 8))), (Some(vec![0x102, 0x304]), Some(vec![]), None));
        for (at, wrong) in [(5, 77), (9, 3), (9, 0)] {
            let mut data = data;
            data[at] = wrong;
            assert_eq!(collect(&[message(0, &template), message(0, &data)]).faults.len(), 1, "{at} {wrong}");
        }
    }

    #[test]
    fn gaps_in_the_sequence_are_records_missing() {
        let data = [1, 0, 0, 11, 0, 0, 0, 7, 0, 9, 0];
        let collected = collect(&[message(0, TEMPLATE), message(0, &data), message(5, &data)]);
        assert_eq!((collected.records.len(), collected.missing), (2, 4));
    }

    #[test]
    fn faults_are_told() {
        let options_without_scope = [0, 3, 0, 14, 1, 1, 0, 1, 0, 0, 0, 2, 0, 4];
        for (sets, word) in [
            (vec![1, 0, 0, 8, 1, 2, 3, 4], "not sent"),
            (vec![0, 2, 0, 3], "a set of 3"),
            (vec![0, 9, 0, 4], "not assigned"),
            (vec![0, 2, 0, 12, 0, 200, 0, 1, 0, 2, 0, 4], "below 256"),
            (options_without_scope.to_vec(), "no scope"),
            (vec![0, 2, 0, 40, 1, 0], "are left"),
        ] {
            let collected = collect(&[message(0, &sets)]);
            assert!(collected.faults[0].contains(word), "{word}: {:?}", collected.faults);
        }
        assert!(collect(&[vec![0, 9, 0, 16]]).faults[0].contains("octets"));
        let redefined = [0, 2, 0, 12, 1, 0, 0, 1, 0, 1, 0, 8];
        assert!(collect(&[message(0, TEMPLATE), message(0, &redefined)]).faults[0].contains("redefined"));
    }
}
