//! Fields: elements of a template, with their direction, and what the items of a list are.
//!
//! Not here: which fields a fact has (`fact`), which of them are sent (`selection`).

use super::elements::{CESNET_PEN, Element, FLOWMON_PEN, NTOP_PEN, REVERSE_PEN, VARIABLE, element, enterprise};

/// Octets of a list before its items (RFC 6313 section 4.5.1): length, semantic, element of the items, their length, enterprise.
pub(crate) const LIST_HEADER_OCTETS: usize = 1 + 1 + 2 + 2 + 4;

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

    /// Whether its values have different lengths.
    pub const fn varies(&self) -> bool {
        match self.list {
            Some(list) => list.least != list.most,
            None => self.element.length == VARIABLE,
        }
    }

    /// Octets of its values; of a list that varies, with its least items; of another value that varies, of its length alone.
    pub const fn octets(&self) -> usize {
        match self.list {
            Some(List { item, least, .. }) => LIST_HEADER_OCTETS + least as usize * item.length as usize,
            None if self.element.length == VARIABLE => 1,
            None => self.element.length as usize,
        }
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

/// Octets of these fields; of those that vary, the least ([`Field::octets`]).
pub(crate) const fn octets(fields: &[Field]) -> usize {
    let mut sum = 0;
    let mut at = 0;
    while at < fields.len() {
        sum += fields[at].octets();
        at += 1;
    }
    sum
}
