//! Values as they are written become values of a field's type: numbers, ranges, addresses.

use std::net::IpAddr;

use sonde_record::field::{Type, Unit};

use crate::name::Named;
use crate::rule::{Addresses, Floats, Range, mac_number};
use crate::token::nanoseconds;
use crate::tree::{Comparison, Literal, UnitKind, Value};

/// What a value of this field looks like, for messages.
pub(crate) fn expected(field: &Named) -> String {
    let what = match (field.kind, field.unit) {
        (Type::Unsigned, Unit::Octets) => "a whole number, or a size as 100 MiB",
        (Type::Unsigned, _) if field.is_protocol() => "a whole number, or the name of a protocol as tcp",
        (Type::Unsigned, _) if field.is_flags() => "a whole number, as 0x12",
        (Type::Unsigned, _) => "a whole number",
        (Type::Float, _) => "a number",
        (Type::Boolean, _) => "true or false",
        (Type::Address, _) => "an address as 192.0.2.1, or a prefix as 192.0.2.0/24",
        (Type::Mac, _) => "a MAC address as 00:11:22:33:44:55",
        (Type::Time, _) => "a time as 2026-11-24T10:00:00Z",
        (Type::Duration, _) => "a duration as 200 ms",
        (Type::Text, _) => "a text in quotes",
    };
    format!("{what} for {} ({})", field.name, field.kind.name())
}

/// A value of a field whose values are numbers, or count as such.
pub(crate) fn number(field: &Named, literal: &Literal) -> Option<u64> {
    match (field.kind, &literal.value) {
        (Type::Unsigned, Value::Number(number)) => number.whole(),
        (Type::Unsigned, Value::Quantity(number, unit)) if field.unit == Unit::Octets && unit.kind == UnitKind::Size => {
            number.times(unit.factor)
        }
        (Type::Unsigned, Value::Word(name) | Value::Text(name)) if field.is_protocol() => {
            let is = |number: &u8| sonde_packet::proto::name(*number).is_some_and(|known| known.eq_ignore_ascii_case(name));
            (0..=u8::MAX).find(is).map(u64::from)
        }
        (Type::Boolean, Value::Word(word)) => ["false", "true"].iter().position(|known| known.eq_ignore_ascii_case(word)).map(|n| n as u64),
        (Type::Boolean, Value::Number(number)) => number.whole().filter(|n| *n < 2),
        (Type::Duration, Value::Quantity(number, unit)) if unit.kind == UnitKind::Duration => number.times(unit.factor),
        (Type::Time, Value::Time(time)) => Some(*time),
        (Type::Time, Value::Text(text)) => nanoseconds(text),
        (Type::Mac, Value::Mac(mac)) => Some(mac_number(*mac)),
        _ => None,
    }
}

/// The numbers that compare so with one; empty where there is none.
pub(crate) fn compared(comparison: Comparison, number: u64) -> Option<Range> {
    match comparison {
        Comparison::Equal | Comparison::Unequal => Some((number, number)),
        Comparison::Less => number.checked_sub(1).map(|high| (0, high)),
        Comparison::AtMost => Some((0, number)),
        Comparison::Greater => number.checked_add(1).map(|low| (low, u64::MAX)),
        Comparison::AtLeast => Some((number, u64::MAX)),
    }
}

/// A value of a field with fractions.
pub(crate) fn float(literal: &Literal) -> Option<f64> {
    match &literal.value {
        Value::Number(number) => Some(number.float()),
        _ => None,
    }
}

/// The floats that compare so with one.
pub(crate) fn compared_float(comparison: Comparison, number: f64) -> Floats {
    let (low, high, open) = match comparison {
        Comparison::Equal | Comparison::Unequal => (number, number, false),
        Comparison::Less => (f64::NEG_INFINITY, number, true),
        Comparison::AtMost => (f64::NEG_INFINITY, number, false),
        Comparison::Greater => (number, f64::INFINITY, true),
        Comparison::AtLeast => (number, f64::INFINITY, false),
    };
    Floats { low, high, open }
}

/// Ranges in order, and those that touch joined.
pub(crate) fn ordered<T: Ord + Copy>(mut ranges: Vec<(T, T)>, next: fn(T) -> Option<T>) -> Box<[(T, T)]> {
    ranges.retain(|(low, high)| low <= high);
    ranges.sort_unstable();
    let mut joined: Vec<(T, T)> = Vec::with_capacity(ranges.len());
    for (low, high) in ranges {
        match joined.last_mut() {
            Some((_, last)) if low <= *last || next(*last) == Some(low) => *last = high.max(*last),
            _ => joined.push((low, high)),
        }
    }
    joined.into()
}

/// Ranges of addresses, as they are read.
#[derive(Default)]
pub(crate) struct AddressList {
    v4: Vec<(u32, u32)>,
    v6: Vec<(u128, u128)>,
}

impl AddressList {
    /// Adds an address or a prefix; `false`, and nothing is added, where it is neither.
    pub(crate) fn add(&mut self, literal: &Literal) -> bool {
        match &literal.value {
            Value::Address(address) => self.add_range(*address, *address),
            Value::Prefix(address, length) => self.add_prefix(*address, *length),
            _ => false,
        }
    }

    /// Adds a prefix.
    pub(crate) fn add_prefix(&mut self, first: IpAddr, length: u8) -> bool {
        match first {
            IpAddr::V4(first) => {
                let host = u32::MAX.checked_shr(length.into()).unwrap_or(0);
                self.v4.push((first.to_bits() & !host, first.to_bits() | host));
            }
            IpAddr::V6(first) => {
                let host = u128::MAX.checked_shr(length.into()).unwrap_or(0);
                self.v6.push((first.to_bits() & !host, first.to_bits() | host));
            }
        }
        true
    }

    /// Adds the addresses from one to another of the same family, in order.
    pub(crate) fn add_range(&mut self, low: IpAddr, high: IpAddr) -> bool {
        match (low, high) {
            (IpAddr::V4(low), IpAddr::V4(high)) if low <= high => self.v4.push((low.to_bits(), high.to_bits())),
            (IpAddr::V6(low), IpAddr::V6(high)) if low <= high => self.v6.push((low.to_bits(), high.to_bits())),
            _ => return false,
        }
        true
    }

    /// As a rule has them.
    pub(crate) fn ordered(self) -> Addresses {
        Addresses { v4: ordered(self.v4, |n| n.checked_add(1)), v6: ordered(self.v6, |n| n.checked_add(1)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_put_in_order_and_joined() {
        let joined = ordered(vec![(7u64, 9), (1, 2), (3, 3), (8, 20), (30, 29), (u64::MAX, u64::MAX)], |n| n.checked_add(1));
        assert_eq!(*joined, [(1, 3), (7, 20), (u64::MAX, u64::MAX)]);
    }
}
