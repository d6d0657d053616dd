//! What a field of a record is: its names, its type, where it is registered, and how it is read.

use std::borrow::Cow;
use std::net::IpAddr;

use crate::fact::Facts;
use crate::view::RecordView;

/// The value of a field in one record.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// It was not measured, or the record has no such field.
    Absent,
    /// A number.
    Unsigned(u64),
    /// A number with a fraction.
    Float(f64),
    /// A truth value.
    Boolean(bool),
    /// An IP address.
    Address(IpAddr),
    /// A MAC address.
    Mac([u8; 6]),
    /// Nanoseconds since 1970 UTC.
    Time(u64),
    /// Nanoseconds.
    Duration(u64),
    /// A word of a closed set.
    Text(&'static str),
    /// A text put together of several values.
    Words(String),
    /// Several of the same type, in order.
    List(Vec<Self>),
}

impl Value {
    /// A value that may be absent.
    pub(crate) fn maybe<T>(value: Option<T>, of: impl FnOnce(T) -> Self) -> Self {
        value.map_or(Self::Absent, of)
    }
}

/// The type of a field's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// [`Value::Unsigned`].
    Unsigned,
    /// [`Value::Float`].
    Float,
    /// [`Value::Boolean`].
    Boolean,
    /// [`Value::Address`].
    Address,
    /// [`Value::Mac`].
    Mac,
    /// [`Value::Time`].
    Time,
    /// [`Value::Duration`].
    Duration,
    /// [`Value::Text`].
    Text,
}

impl Type {
    /// Its name in the reference.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unsigned => "unsigned",
            Self::Float => "float",
            Self::Boolean => "boolean",
            Self::Address => "address",
            Self::Mac => "mac",
            Self::Time => "time",
            Self::Duration => "duration",
            Self::Text => "text",
        }
    }
}

/// What a number counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Nothing: it is a name, a bit set, a share.
    None,
    /// Octets.
    Octets,
    /// Packets, segments or datagrams.
    Packets,
    /// Flow records.
    Flows,
    /// Hops: TTL, hop limit.
    Hops,
}

impl Unit {
    /// Its name in the reference; empty for none.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Octets => "octets",
            Self::Packets => "packets",
            Self::Flows => "flows",
            Self::Hops => "hops",
        }
    }
}

/// Who registers information elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Registry {
    /// IANA, "IPFIX Information Elements".
    Iana,
    /// CESNET, enterprise 8057.
    Cesnet,
    /// ntop, enterprise 35632.
    Ntop,
    /// Flowmon Networks, enterprise 39499.
    Flowmon,
    /// The operator (`export.enterprise`): what no other registry has.
    Own,
}

impl Registry {
    /// Private enterprise number; 0 is IANA's own registry. Of the operator's it is the default, RFC 5612's number for documentation.
    pub const fn pen(self) -> u32 {
        match self {
            Self::Own => DOCUMENTATION_PEN,
            Self::Iana => 0,
            Self::Cesnet => 8057,
            Self::Ntop => 35_632,
            Self::Flowmon => 39_499,
        }
    }

    /// Its name in the reference.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Iana => "IANA",
            Self::Cesnet => "CESNET",
            Self::Ntop => "ntop",
            Self::Flowmon => "Flowmon",
            Self::Own => "own",
        }
    }
}

/// Enterprise number for documentation (RFC 5612).
pub const DOCUMENTATION_PEN: u32 = 32_473;

/// Enterprise number of the elements of reverse directions (RFC 5103 section 6.1).
pub const REVERSE_PEN: u32 = 29_305;

/// An information element that carries a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Element {
    /// Who registers it.
    pub registry: Registry,
    /// Its number there.
    pub id: u16,
    /// Its name there.
    pub name: &'static str,
    /// Which direction it carries: 0 forward, or the flow as a whole; 1 reverse.
    pub way: u8,
    /// Whether its reverse (RFC 5103) carries the other direction.
    pub reversible: bool,
}

pub(crate) const fn iana(id: u16, name: &'static str) -> Element {
    Element { registry: Registry::Iana, id, name, way: 0, reversible: false }
}

/// An element of IANA's that also has a reverse.
pub(crate) const fn biflow(id: u16, name: &'static str) -> Element {
    Element { registry: Registry::Iana, id, name, way: 0, reversible: true }
}

pub(crate) const fn cesnet(id: u16, name: &'static str) -> Element {
    Element { registry: Registry::Cesnet, id, name, way: 0, reversible: false }
}

pub(crate) const fn ntop(id: u16, name: &'static str) -> Element {
    Element { registry: Registry::Ntop, id, name, way: 0, reversible: false }
}

pub(crate) const fn flowmon(id: u16, name: &'static str) -> Element {
    Element { registry: Registry::Flowmon, id, name, way: 0, reversible: false }
}

/// An element of the operator's enterprise: its number and name are never given to another field.
pub(crate) const fn own(id: u16, name: &'static str) -> Element {
    Element { registry: Registry::Own, id, name, way: 0, reversible: false }
}

impl Element {
    /// The same for the reverse direction: registries without RFC 5103 have an element for each.
    pub(crate) const fn back(self) -> Self {
        Self { way: 1, ..self }
    }
}

/// Another name of a field, of one direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Alias {
    /// The name.
    pub name: &'static str,
    /// Whose it is.
    pub of: Namer,
    /// 0 forward, or the flow as a whole; 1 reverse.
    pub way: u8,
}

/// Whose a name is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Namer {
    /// The heading of `sonde replay --format csv`.
    Csv,
    /// A display filter of Wireshark.
    Wireshark,
    /// A column of Flowmon.
    Flowmon,
}

impl Namer {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Csv, Self::Wireshark, Self::Flowmon];

    /// In the reference.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Wireshark => "Wireshark",
            Self::Flowmon => "Flowmon",
        }
    }
}

pub(crate) const fn csv(name: &'static str) -> Alias {
    Alias { name, of: Namer::Csv, way: 0 }
}

pub(crate) const fn wireshark(name: &'static str) -> Alias {
    Alias { name, of: Namer::Wireshark, way: 0 }
}

pub(crate) const fn flowmon_name(name: &'static str) -> Alias {
    Alias { name, of: Namer::Flowmon, way: 0 }
}

impl Alias {
    pub(crate) const fn back(self) -> Self {
        Self { way: 1, ..self }
    }
}

/// How a value is read from a record; the number says which direction: 0 forward, 1 reverse.
pub type ReadValue = fn(&RecordView<'_>, usize) -> Value;

/// How a number is read from a record; `None` where it is absent.
pub type ReadNumber = fn(&RecordView<'_>, usize) -> Option<u64>;

/// How a field is read from a record.
#[derive(Clone, Copy, Debug)]
pub enum Read {
    /// Any value.
    Value(ReadValue),
    /// A number, which fits into registers: conditions on it cost half as much (bench `evaluate` of `sonde-expression`).
    Number(ReadNumber),
}

impl Read {
    /// The value of a direction.
    #[inline]
    pub fn value(self, record: &RecordView<'_>, way: usize) -> Value {
        match self {
            Self::Value(read) => read(record, way),
            Self::Number(read) => read(record, way).map_or(Value::Absent, Value::Unsigned),
        }
    }
}

/// Which end of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Its source.
    Source,
    /// Its destination.
    Destination,
}

/// What is looked up of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// Number of the autonomous system.
    AsNumber,
    /// Its name.
    AsName,
    /// Length of the longest route's prefix.
    PrefixLength,
    /// Country, two letters.
    Country,
    /// Country, number.
    CountryNumber,
    /// City.
    City,
    /// Name of the operator's own prefix.
    Network,
}

/// Where a field's value comes from.
#[derive(Clone, Copy, Debug)]
pub enum Origin {
    /// From the record.
    Record(Read),
    /// It is looked up: whoever shows the record has the tables (`live.enrichment`).
    Lookup(End, Lookup),
}

/// One row of the catalogue: a field, of both directions where it has them.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Canonical name, of the forward direction; the other one's has [`REVERSE`] behind it.
    pub name: &'static str,
    /// Type of its values, or of the items of its lists.
    pub kind: Type,
    /// Whether a value is a list.
    pub list: bool,
    /// What its numbers count.
    pub unit: Unit,
    /// Whether it has a value for each direction.
    pub both: bool,
    /// Where the API's `Flow` has it: paths of names, joined by points; the first half forward or the flow, then as many of the reverse
    /// direction.
    pub api: &'static [&'static str],
    /// Information elements that carry it.
    pub elements: &'static [Element],
    /// Its other names, beside those of the elements.
    pub aliases: &'static [Alias],
    /// What it says.
    pub about: &'static str,
    /// RFC and section, or whose definition it is; empty where it is ours.
    pub source: &'static str,
    /// Where its value comes from.
    pub origin: Origin,
}

/// Ends the name of a field of the reverse direction.
pub const REVERSE: &str = "_reverse";

impl Row {
    /// A field of the flow as a whole. Everything else is added by the functions below.
    pub(crate) const fn new(name: &'static str, kind: Type, about: &'static str, read: ReadValue) -> Self {
        Self {
            name,
            kind,
            list: false,
            unit: Unit::None,
            both: false,
            api: &[],
            elements: &[],
            aliases: &[],
            about,
            source: "",
            origin: Origin::Record(Read::Value(read)),
        }
    }

    /// A number of the flow as a whole.
    pub(crate) const fn number(name: &'static str, about: &'static str, read: ReadNumber) -> Self {
        const NOTHING: ReadValue = |_, _| Value::Absent;
        Self { origin: Origin::Record(Read::Number(read)), ..Self::new(name, Type::Unsigned, about, NOTHING) }
    }

    pub(crate) const fn looked_up(name: &'static str, kind: Type, about: &'static str, end: End, lookup: Lookup) -> Self {
        const NOTHING: ReadValue = |_, _| Value::Absent;
        Self { origin: Origin::Lookup(end, lookup), ..Self::new(name, kind, about, NOTHING) }
    }

    /// It has a value for each direction.
    pub(crate) const fn both(self) -> Self {
        Self { both: true, ..self }
    }

    pub(crate) const fn list(self) -> Self {
        Self { list: true, ..self }
    }

    pub(crate) const fn unit(self, unit: Unit) -> Self {
        Self { unit, ..self }
    }

    pub(crate) const fn api(self, api: &'static [&'static str]) -> Self {
        Self { api, ..self }
    }

    pub(crate) const fn elements(self, elements: &'static [Element]) -> Self {
        Self { elements, ..self }
    }

    pub(crate) const fn aliases(self, aliases: &'static [Alias]) -> Self {
        Self { aliases, ..self }
    }

    pub(crate) const fn source(self, source: &'static str) -> Self {
        Self { source, ..self }
    }
}

/// A field of one direction, or of the flow as a whole.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Its row.
    pub row: &'static Row,
    /// 0 forward, or the flow as a whole; 1 reverse.
    pub way: u8,
}

impl Field {
    /// Canonical name.
    pub fn name(&self) -> Cow<'static, str> {
        if self.way == 0 { Cow::Borrowed(self.row.name) } else { Cow::Owned(format!("{}{REVERSE}", self.row.name)) }
    }

    /// Its paths in the API's `Flow`.
    pub fn api(&self) -> &'static [&'static str] {
        let (forward, reverse) = self.row.api.split_at(if self.row.both { self.row.api.len() / 2 } else { self.row.api.len() });
        if self.way == 0 { forward } else { reverse }
    }

    /// Its heading in comma-separated values.
    pub fn heading(&self) -> Cow<'static, str> {
        self.aliases().find(|alias| alias.of == Namer::Csv).map_or_else(|| self.name(), |alias| Cow::Borrowed(alias.name))
    }

    /// Its other names, beside those of [`Field::elements`].
    pub fn aliases(&self) -> impl Iterator<Item = &'static Alias> {
        let way = self.way;
        self.row.aliases.iter().filter(move |alias| alias.way == way)
    }

    /// Information elements that carry it, and whether by their reverse (RFC 5103).
    pub fn elements(&self) -> impl Iterator<Item = (&'static Element, bool)> {
        let way = self.way;
        self.row.elements.iter().filter_map(move |element| match (element.way == way, element.reversible && way == 1) {
            (true, _) => Some((element, false)),
            (false, true) => Some((element, true)),
            _ => None,
        })
    }

    /// Its value in a record; absent of what is looked up.
    pub fn read(&self, record: &RecordView<'_>) -> Value {
        match self.row.origin {
            Origin::Record(read) => read.value(record, self.way.into()),
            Origin::Lookup(..) => Value::Absent,
        }
    }
}

/// The rows of one fact.
#[derive(Clone, Copy, Debug)]
pub struct Rows {
    /// What they are of, for people.
    pub title: &'static str,
    /// The facts whose records have them; empty: every record has them, or they are looked up.
    pub facts: Facts,
    /// The rows.
    pub rows: &'static [Row],
}
