//! What is said of a value that was converted.

use std::fmt;

use crate::check::{EXCERPT_MAX, excerpt};

/// A value that was converted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Converted {
    /// The field.
    pub path: String,
    /// The value it had.
    pub from: String,
    /// The value it has; `None`: its default.
    pub to: Option<String>,
    /// Why.
    pub sentence: &'static str,
}

impl fmt::Display for Converted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let to = self.to.as_deref().map_or_else(|| "its default".to_owned(), |to| excerpt(to, EXCERPT_MAX));
        write!(f, "{} is now {to}, it was {} ({})", self.path, excerpt(&self.from, EXCERPT_MAX), self.sentence)
    }
}
