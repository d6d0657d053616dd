//! Templates: a kind of record and a set of facts. They are made when the first record needs them.
//!
//! A template's id follows from its fields: the same fields have the same id in every session, unless two templates of a session would
//! share one. So a collector that missed the announcement of a session over UDP finds the template of the session before, or none, and
//! reads no record by another one's fields.
//!
//! Not here: which fields go out ([`crate::selection`]), how a template is announced ([`crate::format::ipfix::announce`]).

use std::collections::HashMap;

use sonde_record::Kind;

use crate::fact::own::OWN_PEN;
use crate::fact::{self, FACTS, Facts, LEAVE, burst, first};
use crate::format::ipfix::field::{Field, field, octets};
use crate::selection::Fields;

/// A template, or an options template where `scope` is not 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    /// Template id, 256 or above (RFC 7011 section 3.4.1).
    pub id: u16,
    /// How many of the first fields are the scope; 0 for a template of data records.
    pub scope: u16,
    /// Fields in the order of the record.
    pub fields: Vec<Field>,
}

/// Id of [`statistics`].
pub const STATISTICS: u16 = 256;
/// Id of [`interfaces`].
pub const INTERFACES: u16 = 257;
/// Id of [`types`].
pub const TYPES: u16 = 258;
/// The least id of a template of data records.
const DATA: u16 = 259;
/// A session makes so many templates at most; records of further ones go out with their plain fields. Each takes a buffer of messages
/// (65 kB over UDP), and whoever sends packets can ask for all combinations of facts.
const TEMPLATES_MAX: usize = 512;

/// What the exporting process sent, and what it could not (RFC 7011 section 4.3). `notSentPacketTotalCount` and
/// `notSentOctetTotalCount` are absent: of records that were overwritten before they were read nobody knows them.
pub fn statistics() -> Template {
    Template { id: STATISTICS, scope: 1, fields: [149, 40, 41, 42, 166].map(field).into() }
}

/// The name behind each `ingressInterface`.
pub fn interfaces() -> Template {
    Template { id: INTERFACES, scope: 1, fields: [10, 82].map(field).into() }
}

/// What an element of the operator's own is (RFC 5610 section 3.9).
pub fn types() -> Template {
    Template { id: TYPES, scope: 2, fields: [346, 303, 339, 344, 345, 341, 340].map(field).into() }
}

/// Octets of zero behind a record that varies, so that messages have equal sizes.
pub(crate) const PADDING: Field = field(210);

/// Every field that may be sent, of flows and of options.
pub fn all_fields() -> impl Iterator<Item = Field> {
    fact::all_fields().copied().chain(statistics().fields).chain(interfaces().fields).chain(types().fields).chain([PADDING])
}

impl Template {
    /// Whether its records have different lengths.
    pub fn varies(&self) -> bool {
        self.fields.iter().any(Field::varies)
    }

    /// Octets of one record; of one that varies, the least.
    pub fn record_octets(&self) -> usize {
        octets(&self.fields)
    }

    /// Octets of its announcement (RFC 7011 sections 3.2, 3.4.1).
    pub fn announced_octets(&self) -> usize {
        4 + self.fields.iter().map(|field| if field.pen() == 0 { 4 } else { 8 }).sum::<usize>()
    }
}

/// Octets of a record that are kept, one run of chosen fields behind the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) start: usize,
    pub(crate) end: usize,
}

/// How the records of a template are written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Layout {
    /// Whether its records are the plain fields, all of them.
    pub(crate) is_plain: bool,
    /// The facts behind the plain fields.
    pub(crate) facts: Facts,
    /// Octets of the fields that do not vary, all of them.
    pub(crate) fixed_octets: usize,
    /// Those of them that are kept; `None`: all.
    pub(crate) runs: Option<Box<[Run]>>,
    /// The lists of first packets that are kept: bit n is field n.
    pub(crate) first: u16,
    /// The lists of bursts that are kept.
    pub(crate) bursts: u16,
    /// Whether [`PADDING`] ends it.
    pub(crate) pads: bool,
}

impl Layout {
    fn new(kind: Kind, facts: Facts, chosen: &[bool]) -> Self {
        let mut layout = Self { facts, ..Self::default() };
        let (mut runs, mut at): (Vec<Run>, _) = (Vec::new(), 0);
        for (field, _) in fact::fields(kind, facts).zip(chosen).filter(|(field, _)| !field.varies()) {
            layout.fixed_octets += field.octets();
        }
        for (field, chosen) in fact::fields(kind, facts).zip(chosen).filter(|(field, _)| !field.varies()) {
            let end = at + field.octets();
            match runs.last_mut() {
                Some(run) if *chosen && run.end == at => run.end = end,
                _ if *chosen => runs.push(Run { start: at, end }),
                _ => {}
            }
            at = end;
        }
        if runs.as_slice() != [Run { start: 0, end: layout.fixed_octets }] {
            layout.runs = Some(runs.into());
        }
        layout.is_plain = facts == Facts::NONE && layout.runs.is_none();
        let bits = |fields: &[Field]| {
            let is_chosen = |wanted: &Field| fact::fields(kind, facts).zip(chosen).any(|(field, chosen)| *chosen && field == wanted);
            fields.iter().enumerate().fold(0, |bits, (at, field)| bits | u16::from(is_chosen(field)) << at)
        };
        (layout.first, layout.bursts) = (bits(&first::FIELDS), bits(burst::FIELDS));
        layout
    }
}

/// What the records of a kind with a set of facts are written by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// Number of the template, in the order in which they were made.
    pub(crate) at: usize,
    /// Facts of such records that the template has no room for.
    pub(crate) missing: u32,
}

impl Place {
    /// No template.
    pub(crate) const NOWHERE: Self = Self { at: usize::MAX, missing: 0 };
}

/// The templates of a session, by what their records say.
#[derive(Debug)]
pub(crate) struct Registry {
    fields: Fields,
    /// Octets of a record or a template that a message has room for.
    room: usize,
    /// Said by every record that may.
    always: Facts,
    /// Whether records that vary end with [`PADDING`].
    pads: bool,
    /// Enterprise number of the elements that no registry has.
    enterprise: u32,
    places: HashMap<(usize, Facts), Place>,
    templates: Vec<Template>,
    /// Kind and facts of each template. Two may have the same fields: those of TCP and QUIC that were chosen, say.
    made: Vec<(usize, Facts)>,
}

impl Registry {
    pub(crate) fn new(fields: Fields, room: usize, always: Facts, pads: bool, enterprise: u32) -> Self {
        Self { fields, room, always, pads, enterprise, places: HashMap::new(), templates: Vec::new(), made: Vec::new() }
    }

    /// The templates of data records, in the order in which they were made.
    pub(crate) fn templates(&self) -> &[Template] {
        &self.templates
    }

    /// The place of records of this kind with these facts. When its template is new, how its records are written: it is the last one.
    pub(crate) fn place(&mut self, kind: Kind, facts: Facts) -> (Place, Option<Layout>) {
        let key = (fact::position(kind), facts);
        if let Some(place) = self.places.get(&key) {
            return (*place, None);
        }
        let wanted = facts.and(self.always).with_own().of_kind(kind);
        let (mut kept, mut fields, mut layout) = self.fitting(kind, wanted);
        if self.templates.len() >= TEMPLATES_MAX {
            (kept, fields, layout) = self.fitting(kind, self.always.with_own().of_kind(kind));
        }
        // Facts without a chosen field are left out by choice, not for want of room.
        let missing = self.chosen(kind, wanted).without(kept).count();
        let made = (key.0, kept);
        let known = self.made.iter().position(|other| *other == made);
        let place = Place { at: known.unwrap_or(self.templates.len()), missing };
        self.places.insert(key, place);
        if known.is_some() {
            return (place, None);
        }
        let id = self.free_id(&fields);
        self.templates.push(Template { id, scope: 0, fields });
        self.made.push(made);
        (place, Some(layout))
    }

    /// Those of these facts that have a chosen field.
    fn chosen(&self, kind: Kind, facts: Facts) -> Facts {
        let mut left = facts;
        let (chosen, _) = self.choose(kind, facts);
        let mut rest = chosen.get(fact::plain_fields(kind).len()..).unwrap_or_default();
        for fact in FACTS.iter().filter(|fact| facts.has(fact.bit)) {
            let (own, behind) = rest.split_at(fact.fields_of(kind).len());
            rest = behind;
            if !own.contains(&true) {
                left = left.without(fact.bit);
            }
        }
        left
    }

    /// Which fields of a record with these facts go out, and whether padding ends it.
    fn choose(&self, kind: Kind, facts: Facts) -> (Vec<bool>, bool) {
        let choose = |others| self.fields.choose(fact::fields(kind, facts), others);
        let varies = |chosen: &[bool]| fact::fields(kind, facts).zip(chosen).any(|(field, chosen)| *chosen && field.varies());
        let chosen = choose(0);
        if self.pads && varies(&chosen) {
            let padded = choose(1);
            let pads = varies(&padded);
            return (padded, pads);
        }
        (chosen, false)
    }

    /// As many of these facts as a message has room for, with their chosen fields.
    fn fitting(&self, kind: Kind, facts: Facts) -> (Facts, Vec<Field>, Layout) {
        let mut kept = facts;
        let mut leave = LEAVE.iter();
        loop {
            let facts = self.chosen(kind, kept);
            let (chosen, pads) = self.choose(kind, facts);
            let fields = fact::fields(kind, facts).zip(&chosen).filter(|(_, chosen)| **chosen).map(|(field, _)| self.numbered(*field));
            let fields = fields.chain(pads.then_some(PADDING)).collect();
            let template = Template { id: 0, scope: 0, fields };
            let fits = template.record_octets() <= self.room && template.announced_octets() <= self.room;
            match leave.next() {
                Some(fact) if !fits => kept = kept.without(*fact),
                _ => return (facts, template.fields, Layout { pads, ..Layout::new(kind, facts, &chosen) }),
            }
        }
    }

    /// The field with the enterprise number that it goes out with.
    fn numbered(&self, mut field: Field) -> Field {
        if field.element.pen == OWN_PEN {
            field.element.pen = self.enterprise;
        }
        field
    }

    /// The id of a template with these fields: a hash of them (FNV-1a), or the next one that is free.
    fn free_id(&self, fields: &[Field]) -> u16 {
        let octets = fields.iter().flat_map(|field| {
            let item = field.list.map_or((0, 0), |list| (list.item.pen, list.item.id));
            let numbers = [field.pen(), field.element.id.into(), field.element.length.into(), item.0, item.1.into()];
            numbers.into_iter().flat_map(u32::to_be_bytes)
        });
        let hash = octets.fold(0xcbf2_9ce4_8422_2325u64, |hash, octet| (hash ^ u64::from(octet)).wrapping_mul(0x0100_0000_01b3));
        let ids = u64::from(u16::MAX - DATA) + 1;
        let id = |hash: u64| DATA + u16::try_from(hash % ids).unwrap_or(0);
        let is_free = |id: &u16| self.templates.iter().all(|template| template.id != *id);
        // There are far more ids than templates.
        (0..ids).map(|step| id((hash >> 32).wrapping_add(step))).find(is_free).unwrap_or(DATA)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::fact::KINDS;
    use crate::selection::STANDARD_MAX;

    /// Every set of facts that a record may have: one of performance, an inner tag behind an outer one.
    fn sets() -> impl Iterator<Item = Facts> {
        let performance = [Facts::NONE, Facts::TCP, Facts::UDP, Facts::QUIC];
        let tags = [Facts::NONE, Facts::TAG, Facts::TAG | Facts::INNER_TAG];
        let others = [
            Facts::ENRICHED,
            Facts::LABELS,
            Facts::TUNNEL,
            Facts::ARP,
            Facts::HISTOGRAMS,
            Facts::NETTISA,
            Facts::FIRST_PACKETS | Facts::BURSTS,
        ];
        let subset = move |bits: usize| {
            let chosen = others.iter().enumerate().filter(|(at, _)| bits >> at & 1 != 0);
            chosen.fold(Facts::NONE, |set, (_, fact)| set | *fact)
        };
        let sets = (0..1 << others.len()).map(subset);
        sets.flat_map(move |set| performance.map(|one| one | set)).flat_map(move |set| tags.map(|tags| tags | set))
    }

    /// The template of these records in messages with so much room.
    fn template(fields: &Fields, room: usize, kind: Kind, facts: Facts) -> (Template, u32) {
        of(Registry::new(fields.clone(), room, Facts::NONE, false, OWN_PEN), kind, facts)
    }

    fn of(mut registry: Registry, kind: Kind, facts: Facts) -> (Template, u32) {
        let (place, layout) = registry.place(kind, facts);
        assert!(layout.is_some(), "it is new");
        (registry.templates()[place.at].clone(), place.missing)
    }

    #[test]
    fn ids_are_those_of_data_sets_and_no_two_templates_have_one() {
        let mut registry = Registry::new(Fields::Full, 65_000, Facts::NONE, false, OWN_PEN);
        for (kind, facts) in sets().flat_map(|facts| KINDS.map(|kind| (kind, facts))) {
            registry.place(kind, facts);
        }
        let ids: BTreeSet<_> = registry.templates().iter().map(|template| template.id).collect();
        assert_eq!((ids.len(), registry.templates().len()), (TEMPLATES_MAX, TEMPLATES_MAX), "and there are not more");
        assert!(ids.first() >= Some(&DATA), "{ids:?}");
    }

    #[test]
    fn the_same_fields_have_the_same_id_in_whatever_order_templates_are_made() {
        let some: Vec<_> = sets().step_by(37).flat_map(|facts| KINDS.map(|kind| (kind, facts))).collect();
        let made = |order: &mut dyn Iterator<Item = &(Kind, Facts)>| {
            let mut registry = Registry::new(Fields::Standard, 1380, Facts::NONE, false, OWN_PEN);
            order.for_each(|(kind, facts)| _ = registry.place(*kind, *facts));
            registry.templates().iter().map(|template| template.id).collect::<BTreeSet<_>>()
        };
        assert_eq!(made(&mut some.iter()), made(&mut some.iter().rev()));
    }

    #[test]
    fn records_beyond_the_most_templates_have_their_plain_fields() {
        let mut registry = Registry::new(Fields::Full, 65_000, Facts::NONE, false, OWN_PEN);
        for facts in sets().filter(|facts| *facts != Facts::NONE) {
            registry.place(Kind::Ipv4, facts);
            registry.place(Kind::Ipv6, facts);
        }
        assert_eq!(registry.templates().len(), TEMPLATES_MAX);
        let (place, _) = registry.place(Kind::Layer2, Facts::ARP);
        assert_eq!((registry.templates()[place.at].fields.as_slice(), place.missing), (fact::plain_fields(Kind::Layer2), 1));
        assert_eq!(registry.templates().len(), TEMPLATES_MAX + 1, "a plain one comes when it is needed");
    }

    #[test]
    fn no_field_stands_twice_in_a_template() {
        for (kind, facts) in sets().flat_map(|facts| KINDS.map(|kind| (kind, facts))) {
            let fields: Vec<_> = fact::fields(kind, facts).collect();
            for (at, field) in fields.iter().enumerate() {
                assert!(!fields[at + 1..].contains(field), "{kind:?} {facts:?} {}", field.element.name);
            }
        }
    }

    #[test]
    fn every_element_of_the_table_is_sent() {
        let fields: Vec<_> = all_fields().collect();
        for element in crate::format::ipfix::elements::ELEMENTS {
            let sent = |field: &Field| field.element == *element || field.list.is_some_and(|list| list.item == *element);
            assert!(fields.iter().any(sent), "{}", element.name);
        }
    }

    #[test]
    fn a_standard_template_has_60_fields_at_most_and_what_every_collector_asks_for() {
        for (kind, facts) in sets().flat_map(|facts| KINDS.map(|kind| (kind, facts))) {
            let (template, missing) = template(&Fields::Standard, 1380, kind, facts);
            assert!(template.fields.len() <= STANDARD_MAX, "{kind:?} {facts:?}: {}", template.fields.len());
            assert_eq!(missing, 0, "what is left out by choice is not missing");
            let (padded, _) = of(Registry::new(Fields::Standard, 1380, Facts::NONE, true, OWN_PEN), kind, facts);
            assert!(padded.fields.len() <= STANDARD_MAX && padded.fields.contains(&PADDING) == template.varies(), "{kind:?} {facts:?}");
            let all = fact::fields(kind, facts.of_kind(kind)).count();
            assert!(template.fields.len() == all.min(STANDARD_MAX), "no more is left out than must be");
            let ids = [1, 2, 10, 56, 58, 80, 136, 148, 152, 153, 239, 256];
            let ids = ids.iter().chain(match kind {
                Kind::Ipv4 => [4, 5, 6, 7, 8, 11, 12, 32, 60].as_slice(),
                Kind::Ipv6 => &[4, 5, 6, 7, 11, 27, 28, 60, 139],
                Kind::Layer2 => &[],
            });
            for id in ids {
                assert!(template.fields.iter().any(|field| (field.pen(), field.element.id) == (0, *id)), "{id}");
            }
        }
    }

    #[test]
    fn plain_templates_fit_the_smallest_message() {
        // Settings allow messages of 512 octets: message header 16, set header 4.
        for kind in KINDS {
            let (template, missing) = template(&Fields::Full, 512 - 20, kind, Facts::ENRICHED);
            assert_eq!((missing, template.fields.len()), (0, fact::fields(kind, Facts::ENRICHED).count()));
        }
        assert!([statistics(), interfaces()].iter().all(|template| 2 + template.announced_octets() <= 512 - 20));
    }

    #[test]
    fn facts_leave_one_after_the_other_until_record_and_template_fit() {
        for (kind, facts) in sets().step_by(5).flat_map(|facts| KINDS.map(|kind| (kind, facts))) {
            let patterns = facts.has(Facts::HISTOGRAMS | Facts::NETTISA | Facts::FIRST_PACKETS);
            let (all, missing) = template(&Fields::Full, if patterns { 1134 } else { 850 } - 20, kind, facts);
            let expected = fact::fields(kind, facts.of_kind(kind)).count();
            assert_eq!((all.fields.len(), missing), (expected, 0), "what docs/ipfix.md says has room for everything");
            let mut before = 0;
            for room in (400..1400).step_by(7) {
                let (template, _) = template(&Fields::Full, room, kind, facts);
                assert!(template.record_octets() <= room && template.announced_octets() <= room, "{room}");
                assert!(template.record_octets() >= before, "{room}: more room, and less in it");
                before = template.record_octets();
            }
        }
    }

    #[test]
    fn a_layout_keeps_the_runs_of_chosen_fields() {
        let mut registry =
            Registry::new(Fields::parse("flowId,octetDeltaCount,packetDeltaCount,packetTime").unwrap(), 1380, Facts::NONE, false, OWN_PEN);
        let (_, layout) = registry.place(Kind::Ipv4, Facts::TCP | Facts::FIRST_PACKETS);
        // flowId; four times of 8 octets behind it; octets and packets in both directions.
        let runs = [Run { start: 0, end: 8 }, Run { start: 40, end: 72 }];
        let layout = layout.unwrap();
        assert_eq!((layout.runs.as_deref(), layout.first, layout.facts), (Some(runs.as_slice()), 0b10, Facts::FIRST_PACKETS));
        let (_, layout) = registry.place(Kind::Layer2, Facts::NONE);
        assert_eq!(layout.unwrap().fixed_octets, octets(fact::plain_fields(Kind::Layer2)));
    }
}
