//! Whole numbers for people.

use std::fmt::Display;

/// A whole number with thousands separators: 1,234,567.
pub(crate) fn grouped(n: impl Display) -> String {
    let digits = n.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at != 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
