//! The templates Sonde sends: one for each kind of flow, and two for what the exporter says of itself.
//!
//! Times are sent twice: as milliseconds (152, 153), which every collector reads and nfdump and Flowmon read only, and as
//! nanoseconds (156, 157), because a NIC's clock deserves them. A VLAN id of 0 means "no tag": 0 is not an id (IEEE 802.1Q).
//! ICMP type and code mean something where `protocolIdentifier` is 1 or 58, TCP flags where it is 6.
//!
//! Not here: window, MSS and size of the SYN. IANA's elements 186 and 238 are those of a flow's first packet, which the SYN
//! need not be, and have no value for "not seen"; MSS and SYN size have no IANA element at all.

use crate::elements::{Element, REVERSE_PEN, VARIABLE, element};
use crate::enriched;

/// One field of a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// What it carries.
    pub element: Element,
    /// Whether it is the reverse direction's (RFC 5103).
    pub reverse: bool,
}

impl Field {
    /// Enterprise number on the wire; 0 is IANA.
    pub const fn pen(&self) -> u32 {
        if self.reverse { REVERSE_PEN } else { self.element.pen }
    }
}

const fn field(id: u16) -> Field {
    Field { element: element(id), reverse: false }
}

const fn reverse(id: u16) -> Field {
    let element = element(id);
    assert!(element.reversible && element.pen == 0, "this element has no reverse (RFC 5103 section 6.1)");
    Field { element, reverse: true }
}

/// A template, or an options template where `scope` is not 0.
#[derive(Clone, Copy, Debug)]
pub struct Template {
    /// Template id, 256 or above (RFC 7011 section 3.4.1).
    pub id: u16,
    /// How many of the first fields are the scope; 0 for a template of data records.
    pub scope: u16,
    /// Fields in the order of the record.
    pub fields: &'static [Field],
}

const HEAD: [Field; 18] = [
    field(148),
    field(152),
    field(153),
    field(156),
    field(157),
    field(1),
    reverse(1),
    field(2),
    reverse(2),
    field(352),
    reverse(352),
    field(10),
    field(136),
    field(239),
    field(58),
    field(245),
    field(56),
    field(80),
];

const ETHERTYPE: [Field; 1] = [field(256)];

const IP: [Field; 9] = [field(60), field(4), field(5), field(192), reverse(192), field(6), reverse(6), field(7), field(11)];

const IPV4_ONLY: [Field; 4] = [field(176), field(177), field(8), field(12)];

const IPV6_ONLY: [Field; 4] = [field(178), field(179), field(27), field(28)];

const fn join<const A: usize, const B: usize, const N: usize>(a: [Field; A], b: [Field; B]) -> [Field; N] {
    assert!(A + B == N, "the joined list has the length of both");
    let mut all = [a[0]; N];
    let mut at = 0;
    while at < N {
        all[at] = if at < A { a[at] } else { b[at - A] };
        at += 1;
    }
    all
}

/// A list with more fields behind it.
pub(crate) const fn append<const B: usize, const N: usize>(a: &[Field], b: [Field; B]) -> [Field; N] {
    assert!(a.len() + B == N, "the joined list has the length of both");
    let mut all = [a[0]; N];
    let mut at = 0;
    while at < N {
        all[at] = if at < a.len() { a[at] } else { b[at - a.len()] };
        at += 1;
    }
    all
}

const LAYER2_FIELDS: [Field; 19] = join(HEAD, ETHERTYPE);
const IP_FIELDS: [Field; 28] = join(LAYER2_FIELDS, IP);
const IPV4_FIELDS: [Field; 32] = join(IP_FIELDS, IPV4_ONLY);
const IPV6_FIELDS: [Field; 32] = join(IP_FIELDS, IPV6_ONLY);

/// Bidirectional IPv4 flows.
pub const IPV4: Template = Template { id: 256, scope: 0, fields: &IPV4_FIELDS };
/// Bidirectional IPv6 flows.
pub const IPV6: Template = Template { id: 257, scope: 0, fields: &IPV6_FIELDS };
/// Bidirectional flows without IP.
pub const LAYER2: Template = Template { id: 258, scope: 0, fields: &LAYER2_FIELDS };
/// What the exporting process sent, and what it could not (RFC 7011 section 4.3). `notSentPacketTotalCount` and
/// `notSentOctetTotalCount` are absent: of records that were overwritten before they were read nobody knows them.
pub const STATISTICS: Template = Template { id: 259, scope: 1, fields: &[field(149), field(40), field(41), field(42), field(166)] };
/// The name behind each `ingressInterface`.
pub const INTERFACES: Template = Template { id: 260, scope: 1, fields: &[field(10), field(82)] };

/// All of them, in the order they are announced.
pub const TEMPLATES: [Template; 5] = [IPV4, IPV6, LAYER2, STATISTICS, INTERFACES];
/// All of an exporter that looks up addresses.
pub const ENRICHED: [Template; 5] = [enriched::IPV4, enriched::IPV6, LAYER2, STATISTICS, INTERFACES];

impl Template {
    /// Octets of one record.
    ///
    /// # Panics
    /// When a field has no fixed length.
    pub const fn record_octets(&self) -> usize {
        let mut sum = 0;
        let mut at = 0;
        while at < self.fields.len() {
            assert!(self.fields[at].element.length != VARIABLE, "a record of variable length");
            sum += self.fields[at].element.length as usize;
            at += 1;
        }
        sum
    }

    /// Set id of the set this template is announced in (RFC 7011 section 3.3.2).
    pub const fn set_id(&self) -> u16 {
        if self.scope == 0 { 2 } else { 3 }
    }

    /// The template record (RFC 7011 sections 3.4.1 and 3.4.2.2).
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(6 + 8 * self.fields.len());
        out.extend(self.id.to_be_bytes());
        let count = u16::try_from(self.fields.len()).expect("a template has few fields");
        out.extend(count.to_be_bytes());
        if self.scope > 0 {
            out.extend(self.scope.to_be_bytes());
        }
        for field in self.fields {
            let enterprise = if field.pen() == 0 { 0 } else { 0x8000 };
            out.extend((field.element.id | enterprise).to_be_bytes());
            out.extend(field.element.length.to_be_bytes());
            if field.pen() != 0 {
                out.extend(field.pen().to_be_bytes());
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_unique_and_above_those_of_sets() {
        for (at, template) in TEMPLATES.iter().chain(&ENRICHED).enumerate() {
            assert!(template.id >= 256);
            let others = TEMPLATES.iter().chain(&ENRICHED).skip(at + 1);
            // The one kind of flow without addresses, and what an exporter says of itself, are the same in both lists.
            assert!(others.into_iter().all(|other| other.id != template.id || other.fields == template.fields));
        }
    }

    #[test]
    fn no_field_stands_twice_in_a_template() {
        for template in TEMPLATES.iter().chain(&ENRICHED) {
            for (at, field) in template.fields.iter().enumerate() {
                assert!(template.fields[at + 1..].iter().all(|other| other != field), "{} {}", template.id, field.element.name);
            }
        }
    }

    #[test]
    fn every_element_of_the_table_is_sent() {
        for element in crate::elements::ELEMENTS {
            assert!(ENRICHED.iter().any(|t| t.fields.iter().any(|f| f.element == *element)), "{}", element.name);
        }
    }

    #[test]
    fn a_template_record_is_encoded_as_rfc_7011_draws_it() {
        let out = STATISTICS.encode();
        assert_eq!(out[..10], [0x01, 0x03, 0, 5, 0, 1, 0, 149, 0, 4], "id 259, 5 fields, 1 of scope, observationDomainId of 4");
        assert_eq!(out.len(), 6 + 5 * 4);
        let out = LAYER2.encode();
        // octetDeltaCount and its reverse: fields 5 and 6.
        assert_eq!(out[24..36], [0, 1, 0, 8, 0x80, 1, 0, 8, 0, 0, 0x72, 0x79]);
    }

    #[test]
    fn every_template_fits_the_smallest_message() {
        // Settings allow messages of 512 octets: message header 16, set header 4.
        for template in TEMPLATES.iter().chain(&ENRICHED) {
            assert!(template.encode().len() <= 512 - 20, "{}", template.id);
        }
    }
}
