//! What a value must be: the rule of one condition.

use std::net::IpAddr;

use regex::Regex;
use sonde_record::field::Value;

/// Numbers from one to another, both included.
pub(crate) type Range = (u64, u64);

/// Addresses, as ranges of each family, in order and apart.
#[derive(Clone, Debug, Default)]
pub(crate) struct Addresses {
    pub(crate) v4: Box<[(u32, u32)]>,
    pub(crate) v6: Box<[(u128, u128)]>,
}

/// Numbers with a fraction, between two bounds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Floats {
    pub(crate) low: f64,
    pub(crate) high: f64,
    /// Whether the bounds themselves are left out.
    pub(crate) open: bool,
}

/// What a value must be.
#[derive(Clone, Debug)]
pub(crate) enum Rule {
    /// It was not measured.
    Null,
    Range(Range),
    /// In order and apart.
    Ranges(Box<[Range]>),
    /// All these bits are set.
    Bits(u64),
    Floats(Box<[Floats]>),
    Addresses(Addresses),
    /// In order.
    Texts(Box<[Box<str>]>),
    Starts(Box<str>),
    Pattern(Regex),
    /// The entropy of a text is one of these.
    Entropy(Box<[Floats]>),
}

/// A rule, or that it does not hold.
#[derive(Clone, Debug)]
pub(crate) struct Check {
    pub(crate) rule: Rule,
    pub(crate) not: bool,
}

/// What was seen of the values of a field.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Seen {
    /// There is one.
    pub(crate) present: bool,
    /// The rule holds of one.
    pub(crate) any: bool,
}

impl Seen {
    pub(crate) fn and(self, other: Self) -> Self {
        Self { present: self.present || other.present, any: self.any || other.any }
    }
}

impl Check {
    /// Whether the condition is true. Of several values one is enough; that it is *not* so must be so of all, and there must be one.
    #[inline]
    pub(crate) fn outcome(&self, seen: Seen) -> bool {
        match self.rule {
            Rule::Null => seen.present == self.not,
            _ => seen.present && seen.any != self.not,
        }
    }

    /// Looks at a value, or at those of a list.
    #[inline]
    pub(crate) fn look(&self, value: &Value) -> Seen {
        match value {
            Value::Absent => Seen::default(),
            Value::List(items) => items.iter().fold(Seen::default(), |seen, item| seen.and(self.look(item))),
            value => Seen { present: true, any: self.rule.holds(value) },
        }
    }
}

/// A value as a number, if it is one.
#[inline]
pub(crate) fn number(value: &Value) -> Option<u64> {
    match value {
        Value::Unsigned(n) | Value::Time(n) | Value::Duration(n) => Some(*n),
        Value::Boolean(b) => Some(u64::from(*b)),
        Value::Mac(mac) => Some(mac_number(*mac)),
        _ => None,
    }
}

/// A MAC address as a number.
#[inline]
pub(crate) fn mac_number([a, b, c, d, e, f]: [u8; 6]) -> u64 {
    u64::from_be_bytes([0, 0, a, b, c, d, e, f])
}

fn text(value: &Value) -> Option<&str> {
    match value {
        Value::Text(text) => Some(text),
        Value::Words(text) => Some(text),
        _ => None,
    }
}

impl Rule {
    #[inline]
    fn holds(&self, value: &Value) -> bool {
        match self {
            Self::Range((low, high)) => number(value).is_some_and(|n| *low <= n && n <= *high),
            rule => rule.holds_otherwise(value),
        }
    }

    fn holds_otherwise(&self, value: &Value) -> bool {
        match self {
            Self::Null => false,
            Self::Range(range) => number(value).is_some_and(|n| within(&[*range], n)),
            Self::Ranges(ranges) => number(value).is_some_and(|n| within(ranges, n)),
            Self::Bits(bits) => number(value).is_some_and(|n| n & bits == *bits),
            Self::Floats(ranges) => matches!(value, Value::Float(number) if float_within(ranges, *number)),
            Self::Addresses(addresses) => matches!(value, Value::Address(address) if addresses.hold(*address)),
            Self::Texts(texts) => text(value).is_some_and(|text| texts.binary_search_by(|one| (**one).cmp(text)).is_ok()),
            Self::Starts(start) => text(value).is_some_and(|text| text.starts_with(&**start)),
            Self::Pattern(pattern) => text(value).is_some_and(|text| pattern.is_match(text)),
            Self::Entropy(ranges) => text(value).is_some_and(|text| float_within(ranges, entropy(text.as_bytes()))),
        }
    }
}

impl Addresses {
    pub(crate) fn hold(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(address) => within(&self.v4, address.to_bits()),
            IpAddr::V6(address) => within(&self.v6, address.to_bits()),
        }
    }
}

/// Whether a number is in one of the ranges, which are in order and apart.
#[inline]
fn within<T: Ord + Copy>(ranges: &[(T, T)], number: T) -> bool {
    let behind = ranges.partition_point(|(low, _)| *low <= number);
    behind.checked_sub(1).and_then(|at| ranges.get(at)).is_some_and(|(_, high)| number <= *high)
}

fn float_within(ranges: &[Floats], number: f64) -> bool {
    ranges.iter().any(|Floats { low, high, open }| if *open { *low < number && number < *high } else { *low <= number && number <= *high })
}

/// Shannon's entropy of octets, in bits an octet: 0 of equal ones, 8 at most.
#[expect(clippy::cast_precision_loss, reason = "texts of a record are shorter than 2^53 octets")]
pub(crate) fn entropy(octets: &[u8]) -> f64 {
    let mut counts = [0u32; 256];
    for octet in octets {
        if let Some(count) = counts.get_mut(usize::from(*octet)) {
            *count = count.saturating_add(1);
        }
    }
    let all = octets.len() as f64;
    let shares = counts.iter().filter(|count| **count > 0).map(|count| f64::from(*count) / all);
    // A sum of nothing is -0.
    shares.map(|share| -share * share.log2()).sum::<f64>().abs()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_found_in_ranges() {
        let ranges = [(2u64, 4), (7, 7), (10, u64::MAX)];
        let inside: Vec<u64> = (0..13).filter(|n| within(&ranges, *n)).collect();
        assert_eq!(inside, [2, 3, 4, 7, 10, 11, 12]);
        assert!(within(&ranges, u64::MAX) && !within(&[], 1u64));
    }

    #[test]
    fn entropy_is_in_bits_an_octet() {
        assert_eq!(["", "aaaa", "abab", "abcd"].map(|text| entropy(text.as_bytes())), [0.0, 0.0, 1.0, 2.0]);
    }
}
