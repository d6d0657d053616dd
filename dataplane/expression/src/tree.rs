//! An expression as it was written: what the parser makes of the text, and how it is printed again.

use std::fmt::{self, Display, Write as _};
use std::net::IpAddr;

use crate::fault::Span;

/// An expression.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Tree {
    And(Vec<Self>),
    Or(Vec<Self>),
    Not(Box<Self>),
    Test(Test),
}

/// One condition.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Test {
    pub(crate) subject: Subject,
    pub(crate) relation: Relation,
}

/// What is looked at.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Subject {
    Field(Name),
    Call(Name, Vec<Literal>),
}

/// A name, and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Name {
    pub(crate) text: String,
    pub(crate) at: Span,
}

/// What must hold of it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Relation {
    /// Nothing is written: a field that is true or false, or a function that is.
    Holds,
    Compare(Comparison, Literal),
    In {
        not: bool,
        items: Vec<Item>,
    },
    Between {
        not: bool,
        low: Literal,
        high: Literal,
    },
    Like {
        not: bool,
        any_case: bool,
        pattern: Literal,
    },
    Matches {
        not: bool,
        pattern: Literal,
    },
    Has(Vec<Literal>),
    Null {
        not: bool,
    },
}

/// An item of a list.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Item {
    One(Literal),
    Range(Literal, Literal),
}

/// How two values compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Comparison {
    Equal,
    Unequal,
    Less,
    AtMost,
    Greater,
    AtLeast,
}

impl Comparison {
    pub(crate) const fn symbol(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::Unequal => "!=",
            Self::Less => "<",
            Self::AtMost => "<=",
            Self::Greater => ">",
            Self::AtLeast => ">=",
        }
    }
}

/// A value, and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Literal {
    pub(crate) value: Value,
    pub(crate) at: Span,
}

/// A value as it is written.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Number(Number),
    Quantity(Number, Unit),
    Text(String),
    /// Without quotes: a field, a flag, `true`, the name of a protocol.
    Word(String),
    Address(IpAddr),
    Prefix(IpAddr, u8),
    Mac([u8; 6]),
    /// Nanoseconds since 1970 UTC.
    Time(u64),
}

/// A decimal number: its digits, how many of them stand behind the point, and whether it is below zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Number {
    pub(crate) digits: u64,
    pub(crate) decimals: u8,
    pub(crate) negative: bool,
}

impl Number {
    /// The number, if it is whole and not below zero.
    pub(crate) fn whole(self) -> Option<u64> {
        let scale = 10u128.checked_pow(self.decimals.into())?;
        let whole = self.times(1)?;
        (u128::from(whole).checked_mul(scale) == Some(self.digits.into())).then_some(whole)
    }

    /// So many times the number, rounded down, if it is not below zero.
    pub(crate) fn times(self, factor: u64) -> Option<u64> {
        if self.negative && self.digits != 0 {
            return None;
        }
        let product = u128::from(self.digits).checked_mul(u128::from(factor))?;
        u64::try_from(product.checked_div(10u128.checked_pow(self.decimals.into())?)?).ok()
    }

    #[expect(clippy::cast_precision_loss, reason = "a float has 53 bits; a number that is compared with one has no more")]
    pub(crate) fn float(self) -> f64 {
        let number = self.digits as f64 / 10f64.powi(self.decimals.into());
        if self.negative { -number } else { number }
    }
}

/// The unit of a duration or a size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unit {
    pub(crate) name: &'static str,
    pub(crate) kind: UnitKind,
    /// Nanoseconds, or octets.
    pub(crate) factor: u64,
}

/// What a unit measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UnitKind {
    Duration,
    Size,
}

const fn duration(name: &'static str, factor: u64) -> Unit {
    Unit { name, kind: UnitKind::Duration, factor }
}

const fn size(name: &'static str, factor: u64) -> Unit {
    Unit { name, kind: UnitKind::Size, factor }
}

impl Unit {
    /// All units. IEC's have powers of 1024, SI's powers of 1000.
    pub(crate) const ALL: [Self; 17] = [
        duration("ns", 1),
        duration("us", 1_000),
        duration("ms", 1_000_000),
        duration("s", 1_000_000_000),
        duration("min", 60_000_000_000),
        duration("h", 3_600_000_000_000),
        duration("d", 86_400_000_000_000),
        size("B", 1),
        size("kB", 1_000),
        size("MB", 1_000_000),
        size("GB", 1_000_000_000),
        size("TB", 1_000_000_000_000),
        size("KiB", 1 << 10),
        size("MiB", 1 << 20),
        size("GiB", 1 << 30),
        size("TiB", 1 << 40),
        size("octets", 1),
    ];

    /// The unit of this name, whatever its case.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|unit| unit.name.eq_ignore_ascii_case(name))
    }
}

/// How tightly a tree holds together in print.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Strength {
    Or,
    And,
    Not,
}

impl Tree {
    fn strength(&self) -> Strength {
        match self {
            Self::Or(_) => Strength::Or,
            Self::And(_) => Strength::And,
            Self::Not(_) | Self::Test(_) => Strength::Not,
        }
    }

    /// Prints it as a part of something that holds together more tightly than `above`.
    fn part(&self, above: Strength, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.strength() > above || self.strength() == Strength::Not { write!(f, "{self}") } else { write!(f, "({self})") }
    }
}

impl Display for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (parts, word, strength) = match self {
            Self::And(parts) => (parts, " and ", Strength::And),
            Self::Or(parts) => (parts, " or ", Strength::Or),
            Self::Not(inner) => {
                f.write_str("not ")?;
                return inner.part(Strength::Not, f);
            }
            Self::Test(test) => return test.fmt(f),
        };
        for (at, part) in parts.iter().enumerate() {
            f.write_str(if at == 0 { "" } else { word })?;
            part.part(strength, f)?;
        }
        Ok(())
    }
}

fn list<T: Display>(items: &[T], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.write_char('(')?;
    for (at, item) in items.iter().enumerate() {
        write!(f, "{}{item}", if at == 0 { "" } else { ", " })?;
    }
    f.write_char(')')
}

impl Display for Test {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.subject {
            Subject::Field(name) => f.write_str(&name.text)?,
            Subject::Call(name, arguments) => {
                f.write_str(&name.text)?;
                list(arguments, f)?;
            }
        }
        let not = |not: &bool| if *not { " not" } else { "" };
        match &self.relation {
            Relation::Holds => Ok(()),
            Relation::Compare(comparison, value) => write!(f, " {} {value}", comparison.symbol()),
            Relation::In { not: n, items } => {
                write!(f, "{} in ", not(n))?;
                list(items, f)
            }
            Relation::Between { not: n, low, high } => write!(f, "{} between {low} and {high}", not(n)),
            Relation::Like { not: n, any_case, pattern } => {
                write!(f, "{} {} {pattern}", not(n), if *any_case { "ilike" } else { "like" })
            }
            Relation::Matches { not: n, pattern } => write!(f, "{} matches {pattern}", not(n)),
            Relation::Has(bits) => {
                f.write_str(" has ")?;
                list(bits, f)
            }
            Relation::Null { not: n } => write!(f, " is{} null", not(n)),
        }
    }
}

impl Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(value) => value.fmt(f),
            Self::Range(low, high) => write!(f, "{low} .. {high}"),
        }
    }
}

impl Display for Literal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            Value::Number(number) => number.fmt(f),
            Value::Quantity(number, unit) => write!(f, "{number} {}", unit.name),
            Value::Text(text) => write!(f, "'{}'", text.replace('\'', "''")),
            Value::Word(word) => f.write_str(word),
            Value::Address(address) => address.fmt(f),
            Value::Prefix(address, length) => write!(f, "{address}/{length}"),
            Value::Mac([a, b, c, d, e, g]) => write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}"),
            Value::Time(ns) => match jiff::Timestamp::from_nanosecond((*ns).into()) {
                Ok(time) => time.fmt(f),
                Err(_) => Err(fmt::Error),
            },
        }
    }
}

impl Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let decimals = usize::from(self.decimals);
        let digits = format!("{:0width$}", self.digits, width = decimals.saturating_add(1));
        let (whole, fraction) = digits.split_at_checked(digits.len().saturating_sub(decimals)).unwrap_or((&digits, ""));
        write!(f, "{}{whole}", if self.negative { "-" } else { "" })?;
        if fraction.is_empty() { Ok(()) } else { write!(f, ".{fraction}") }
    }
}
