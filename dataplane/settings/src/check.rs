//! Collects violations while the parts of a document are constructed.

use std::fmt::{self, Display};
use std::ops::RangeInclusive;

use sonde_proto::v1;

/// Longest name inside a folder, in octets: the kernel's.
const FILE_NAME_OCTETS_MAX: usize = 255;
/// Longest excerpt of somebody's text that is repeated in an answer or a log line, in characters as they are shown.
pub const EXCERPT_MAX: usize = 200;
/// Longest rule: those that list every field of a table are the longest of ours.
const RULE_MAX: usize = 1000;

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

impl Violation {
    /// The same, with every text of a length that an answer has room for.
    pub fn bounded(self) -> Self {
        let Self { path, rule, found } = self;
        // What was found may be quoted already: the quotes and the length stand beside the excerpt.
        Self { path: excerpt(&path, EXCERPT_MAX), rule: excerpt(&rule, RULE_MAX), found: excerpt(&found, EXCERPT_MAX + 40) }
    }
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

/// Somebody's text as an answer or a log line repeats it: quoted, escaped, cut behind [`EXCERPT_MAX`] characters with its full length.
pub fn quote(text: &str) -> String {
    let shown = |c: char| if c == '\'' { 1 } else { c.escape_debug().count() };
    match cut(text, EXCERPT_MAX, shown) {
        Some(head) => format!("{head:?}... ({} octets)", text.len()),
        None => format!("{text:?}"),
    }
}

/// Text that holds somebody's text: as it is, but for control characters and what is behind `max` characters.
pub fn excerpt(text: &str, max: usize) -> String {
    let plain = |text: &str| text.replace(char::is_control, " ");
    match cut(text, max, |_| 1) {
        Some(head) => format!("{}... ({} octets)", plain(head), text.len()),
        None => plain(text),
    }
}

/// The beginning of a text that takes more than `max` characters when each is shown as `shown` says; `None`: the whole fits.
fn cut(text: &str, max: usize, shown: impl Fn(char) -> usize) -> Option<&str> {
    let mut sum = 0;
    let at = text.char_indices().find(|(_, c)| {
        sum += shown(*c);
        sum > max
    });
    at.map(|(at, _)| &text[..at])
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
        self.violations.push(Violation { path: path.into(), rule: rule.into(), found: found.into() }.bounded());
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
        let mut firsts = std::collections::HashMap::new();
        for (path, value) in values {
            match firsts.get(value.as_str()) {
                Some(first) => {
                    self.refuse(path.clone(), format!("{what} that is not used twice"), format!("{}, as in {first}", excerpt(value, 100)))
                }
                None => {
                    firsts.insert(value.as_str(), path.as_str());
                }
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

/// The name of something inside a folder: no path, nothing hidden, nothing that DPDK or a shell reads otherwise.
pub(crate) fn is_file_name(text: &str) -> bool {
    let clean = |b: u8| b.is_ascii_alphanumeric() || b"._-+@".contains(&b);
    (1..=FILE_NAME_OCTETS_MAX).contains(&text.len()) && !text.starts_with(['.', '-']) && text.bytes().all(clean)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_quoted_whole_or_cut_with_its_length() {
        assert_eq!(quote("it's \"so\""), r#""it's \"so\"""#);
        for (long, octets) in
            [("x".repeat(1_000_000), 1_000_000), ("é".repeat(300), 600), ("\u{1}".repeat(300), 300), ("🦀".repeat(201), 804)]
        {
            let quoted = quote(&long);
            let (head, tail) = quoted.rsplit_once("... ").expect("cut");
            assert_eq!(tail, format!("({octets} octets)"));
            assert!((190..=EXCERPT_MAX + 2).contains(&head.chars().count()), "{head}");
        }
        assert_eq!(quote(&"x".repeat(EXCERPT_MAX)).len(), EXCERPT_MAX + 2, "what fits is whole");
    }

    #[test]
    fn every_part_of_a_violation_is_bounded() {
        let mut check = Check::default();
        let long = "a\n".repeat(500_000);
        check.refuse(long.clone(), long.clone(), long);
        let violations = check.verdict(()).expect_err("one was refused");
        let Violation { path, rule, found } = &violations[0];
        for text in [path, rule, found] {
            assert!(text.len() < 1100 && text.ends_with("... (1000000 octets)") && !text.contains('\n'), "{text}");
        }
    }
}
