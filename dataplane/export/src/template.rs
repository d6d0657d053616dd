//! What a template is, the fields that every flow of a kind has, and the templates of what the exporter says of itself.
//!
//! Times are sent twice: as milliseconds (152, 153), which every collector reads and nfdump and Flowmon read only, and as
//! nanoseconds (156, 157), because a NIC's clock deserves them. Of a VLAN tag that is not there id and priority are 0
//! (`dot1qDEI`, a truth value, is not sent then: see [`crate::tags`]); the outer id is sent twice: `vlanId` (58) is what
//! most collectors read, and `dot1qVlanId` (243) what it is. ICMP type and code mean something where `protocolIdentifier` is 1 or 58,
//! TCP flags, `tcpMss` and `tcpSynSize` where it is 6: these are those of the flow's first SYN, and 0 where none was seen or it had no
//! such option. A direction without packets has TTLs of 0.
//!
//! Not here: what only some flows have ([`crate::group`]). Not sent: number of fragments, worker.

use crate::elements::{CESNET_PEN, Element, FLOWMON_PEN, NTOP_PEN, REVERSE_PEN, VARIABLE, element, enterprise};
use crate::group::PARTS;
use crate::pattern::list;

/// One field of a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Field {
    /// What it carries.
    pub element: Element,
    /// Whether it is the reverse direction's (RFC 5103).
    pub reverse: bool,
    /// What the items of a `basicList` are; `None`: the field is no list.
    pub list: Option<List>,
}

/// The items of a list (RFC 6313 section 4.5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct List {
    /// What each item is.
    pub item: Element,
    /// So many items have room in every record.
    pub least: u16,
    /// No record has more. Where it is `least`, every record has so many.
    pub most: u16,
}

impl Field {
    /// Enterprise number on the wire; 0 is IANA.
    pub const fn pen(&self) -> u32 {
        if self.reverse { REVERSE_PEN } else { self.element.pen }
    }
}

/// A field of IANA's registry.
pub(crate) const fn field(id: u16) -> Field {
    Field { element: element(id), reverse: false, list: None }
}

/// A field of CESNET's.
pub(crate) const fn cesnet(id: u16) -> Field {
    Field { element: enterprise(CESNET_PEN, id), reverse: false, list: None }
}

/// A list whose items are an element of CESNET's.
pub(crate) const fn cesnet_list(id: u16, least: u16, most: u16) -> Field {
    let list = Some(List { item: enterprise(CESNET_PEN, id), least, most });
    Field { element: element(291), reverse: false, list }
}

/// A field of ntop's.
pub(crate) const fn ntop(id: u16) -> Field {
    Field { element: enterprise(NTOP_PEN, id), reverse: false, list: None }
}

/// A field of Flowmon's.
pub(crate) const fn flowmon(id: u16) -> Field {
    Field { element: enterprise(FLOWMON_PEN, id), reverse: false, list: None }
}

/// A field of IANA's registry, of the reverse direction.
pub(crate) const fn reverse(id: u16) -> Field {
    let element = element(id);
    assert!(element.reversible && element.pen == 0, "this element has no reverse (RFC 5103 section 6.1)");
    Field { element, reverse: true, list: None }
}

/// A template, or an options template where `scope` is not 0.
#[derive(Clone, Copy, Debug)]
pub struct Template {
    /// Template id, 256 or above (RFC 7011 section 3.4.1).
    pub id: u16,
    /// How many of the first fields are the scope; 0 for a template of data records.
    pub scope: u16,
    /// Lists of fields, in the order of the record: the plain ones, then those of groups.
    pub parts: [&'static [Field]; PARTS],
}

const HEAD: [Field; 21] = [
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
    field(243),
    field(244),
    field(245),
    field(246),
    field(56),
    field(80),
];

const ETHERTYPE: [Field; 1] = [field(256)];

const IP: [Field; 15] = [
    field(60),
    field(4),
    field(5),
    field(192),
    reverse(192),
    field(52),
    reverse(52),
    field(53),
    reverse(53),
    field(6),
    reverse(6),
    cesnet(902),
    cesnet(900),
    field(7),
    field(11),
];

const IPV4_ONLY: [Field; 6] = [field(176), field(177), field(32), field(197), field(8), field(12)];

const IPV6_ONLY: [Field; 6] = [field(178), field(179), field(139), field(31), field(27), field(28)];

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

/// Octets of these fields; of lists that vary, with their least items.
///
/// # Panics
/// When a field that is no list has no fixed length.
pub(crate) const fn octets(fields: &[Field]) -> usize {
    let mut sum = 0;
    let mut at = 0;
    while at < fields.len() {
        sum += match fields[at].list {
            Some(List { item, least, .. }) => list::HEADER_OCTETS + least as usize * item.length as usize,
            None => fields[at].element.length as usize,
        };
        assert!(fields[at].list.is_some() || fields[at].element.length != VARIABLE, "a record of variable length");
        at += 1;
    }
    sum
}

const fn plain(id: u16, scope: u16, fields: &'static [Field]) -> Template {
    let mut parts: [&'static [Field]; PARTS] = [&[]; PARTS];
    parts[0] = fields;
    Template { id, scope, parts }
}

const LAYER2_FIELDS: [Field; 22] = join(HEAD, ETHERTYPE);
const IP_FIELDS: [Field; 37] = join(LAYER2_FIELDS, IP);
const IPV4_FIELDS: [Field; 43] = join(IP_FIELDS, IPV4_ONLY);
const IPV6_FIELDS: [Field; 43] = join(IP_FIELDS, IPV6_ONLY);

/// Bidirectional IPv4 flows.
pub const IPV4: Template = plain(256, 0, &IPV4_FIELDS);
/// Bidirectional IPv6 flows.
pub const IPV6: Template = plain(257, 0, &IPV6_FIELDS);
/// Bidirectional flows without IP.
pub const LAYER2: Template = plain(258, 0, &LAYER2_FIELDS);
/// What the exporting process sent, and what it could not (RFC 7011 section 4.3). `notSentPacketTotalCount` and
/// `notSentOctetTotalCount` are absent: of records that were overwritten before they were read nobody knows them.
pub const STATISTICS: Template = plain(259, 1, &[field(149), field(40), field(41), field(42), field(166)]);
/// The name behind each `ingressInterface`.
pub const INTERFACES: Template = plain(260, 1, &[field(10), field(82)]);

impl Template {
    /// Fields in the order of the record.
    pub fn fields(&self) -> impl Iterator<Item = &'static Field> + Clone {
        self.parts.into_iter().flatten()
    }

    /// Whether its records have different lengths.
    pub fn varies(&self) -> bool {
        self.fields().any(|field| field.list.is_some_and(|list| list.least != list.most))
    }

    /// Octets of one record; of one with lists that vary, with their least items.
    ///
    /// # Panics
    /// When a field that is no list has no fixed length.
    pub const fn record_octets(&self) -> usize {
        let mut sum = 0;
        let mut at = 0;
        while at < self.parts.len() {
            sum += octets(self.parts[at]);
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
        let count = self.fields().count();
        let mut out = Vec::with_capacity(6 + 8 * count);
        out.extend(self.id.to_be_bytes());
        let count = u16::try_from(count).expect("a template has few fields");
        out.extend(count.to_be_bytes());
        if self.scope > 0 {
            out.extend(self.scope.to_be_bytes());
        }
        for field in self.fields() {
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
    use std::collections::BTreeSet;

    use sonde_flow::pattern::Wants;

    use super::*;
    use crate::group::{self, Groups, KINDS};

    /// Every template there is where all patterns are kept.
    fn all() -> Vec<Template> {
        let sets = || Groups::all(Groups::kept(Wants::ALL)).flat_map(|set| [set, set.and(Groups::PLACES)]);
        let mut all = vec![STATISTICS, INTERFACES];
        for template in KINDS.into_iter().flat_map(|kind| sets().map(move |groups| group::of(kind, groups.that_fit(kind, 65_000)))) {
            if all.iter().all(|other| other.id != template.id || !other.fields().eq(template.fields())) {
                all.push(template);
            }
        }
        all
    }

    #[test]
    fn ids_are_those_of_data_sets_and_no_two_templates_have_one() {
        let ids: BTreeSet<_> = all().iter().map(|template| template.id).collect();
        assert!(ids.len() == all().len() && ids.first() == Some(&256), "{ids:?}");
    }

    #[test]
    fn no_field_stands_twice_in_a_template() {
        for template in all() {
            for (at, field) in template.fields().enumerate() {
                assert!(template.fields().skip(at + 1).all(|other| other != field), "{} {}", template.id, field.element.name);
            }
        }
    }

    #[test]
    fn every_element_of_the_table_is_sent() {
        let fields: Vec<_> = all().iter().flat_map(Template::fields).collect();
        for element in crate::elements::ELEMENTS {
            let sent = |field: &&Field| field.element == *element || field.list.is_some_and(|list| list.item == *element);
            assert!(fields.iter().any(sent), "{}", element.name);
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
    fn plain_templates_fit_the_smallest_message() {
        // Settings allow messages of 512 octets: message header 16, set header 4.
        for template in [IPV4, IPV6, LAYER2, STATISTICS, INTERFACES] {
            assert!(template.encode().len() <= 512 - 20, "{}", template.id);
        }
    }
}
