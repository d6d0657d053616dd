//! Collects violations while the parts of a document are constructed.

use std::fmt::{self, Display};
use std::ops::RangeInclusive;

use sonde_proto::v1;

/// Longest excerpt of an operator's text that is repeated in a violation, in characters.
const EXCERPT_MAX: usize = 100;

/// One fault of a settings document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Where: `live.exporters[2].address`; empty for the document as a whole.
    pub path: String,
    /// What must hold.
    pub rule: String,
    /// What was found.
    pub found: String,
}

impl Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = if self.path.is_empty() { "the document" } else { &self.path };
        write!(f, "{path}: must be {}; found {}", self.rule, self.found)
    }
}

impl From<Violation> for v1::Violation {
    fn from(Violation { path, rule, found }: Violation) -> Self {
        Self { path, rule, found }
    }
}

impl From<v1::Violation> for Violation {
    fn from(v1::Violation { path, rule, found }: v1::Violation) -> Self {
        Self { path, rule, found }
    }
}

/// Text of an operator as a violation repeats it: quoted, escaped, cut where it is long.
pub(crate) fn quote(text: &str) -> String {
    match text.char_indices().nth(EXCERPT_MAX) {
        Some((at, _)) => format!("{:?}... ({} octets)", &text[..at], text.len()),
        None => format!("{text:?}"),
    }
}

/// The violations found so far.
///
/// Each method returns a good value in any case, so that construction goes on and finds the rest; [`Check::verdict`] decides.
#[derive(Default)]
pub(crate) struct Check {
    violations: Vec<Violation>,
}

impl Check {
    /// Notes a violation.
    pub(crate) fn refuse(&mut self, path: impl Into<String>, rule: impl Into<String>, found: impl Into<String>) {
        self.violations.push(Violation { path: path.into(), rule: rule.into(), found: found.into() });
    }

    /// The value constructed, if nothing was refused.
    pub(crate) fn verdict<T>(self, value: T) -> Result<T, Vec<Violation>> {
        if self.violations.is_empty() { Ok(value) } else { Err(self.violations) }
    }

    /// A number whose absence is zero.
    pub(crate) fn number<T>(&mut self, path: String, value: T, default: T, range: RangeInclusive<T>) -> T
    where
        T: Copy + PartialOrd + Default + Display,
    {
        if value == T::default() {
            return default;
        }
        self.ranged(path, value, default, range)
    }

    /// A number that is there.
    pub(crate) fn ranged<T>(&mut self, path: String, value: T, default: T, range: RangeInclusive<T>) -> T
    where
        T: Copy + PartialOrd + Display,
    {
        if range.contains(&value) {
            return value;
        }
        self.refuse(path, format!("a whole number from {} to {}", range.start(), range.end()), value.to_string());
        default
    }

    /// One of a few words; empty is the first.
    pub(crate) fn choice<T: Copy>(&mut self, path: String, value: &str, words: &[(&str, T)]) -> T {
        let at = if value.is_empty() { Some(0) } else { words.iter().position(|(word, _)| *word == value) };
        if at.is_none() {
            let all: Vec<String> = words.iter().map(|(word, _)| format!("\"{word}\"")).collect();
            self.refuse(path, format!("one of {}", all.join(", ")), quote(value));
        }
        words[at.unwrap_or(0)].1
    }

    /// A name: 1 to 32 of [a-z0-9-].
    pub(crate) fn name(&mut self, path: &str, value: &str) -> String {
        if !is_name(value) {
            self.refuse(path, "1 to 32 characters of a-z, 0-9 and '-'", quote(value));
        }
        value.to_owned()
    }

    /// Notes every value that stood earlier in the list already.
    pub(crate) fn unique(&mut self, values: &[(String, String)], what: &str) {
        for (i, (path, value)) in values.iter().enumerate() {
            if let Some((first, _)) = values[..i].iter().find(|(_, earlier)| earlier == value) {
                self.refuse(path.clone(), format!("{what} that is not used twice"), format!("{value}, as in {first}"));
            }
        }
    }
}

/// The word of a value: what [`Check::choice`] reads.
pub(crate) fn word<T: PartialEq>(words: &[(&str, T)], value: &T) -> String {
    words.iter().find(|(_, v)| v == value).map(|(w, _)| (*w).to_owned()).unwrap_or_default()
}

/// Whether the text is a name of ours: 1 to 32 of [a-z0-9-].
pub(crate) fn is_name(text: &str) -> bool {
    (1..=32).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}
