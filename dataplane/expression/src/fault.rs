//! What is wrong with an expression, or doubtful: the place, what was expected, what was found, and the remedy.

use std::fmt;

/// A part of the text, in octets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// First octet.
    pub start: usize,
    /// First octet behind it.
    pub end: usize,
}

impl Span {
    /// From the beginning of this part to the end of another.
    #[must_use]
    pub fn to(self, other: Self) -> Self {
        Self { start: self.start.min(other.start), end: self.end.max(other.end) }
    }

    /// The text of the part.
    pub fn of(self, text: &str) -> &str {
        text.get(self.start..self.end).unwrap_or_default()
    }
}

/// A place in a text, as an editor shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
}

impl Position {
    /// The place of an octet of the text.
    pub fn of(text: &str, octet: usize) -> Self {
        let before = text.get(..octet).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |at| at.saturating_add(1));
        let column = before.get(line_start..).unwrap_or_default().chars().count();
        Self { line: before.matches('\n').count().saturating_add(1), column: column.saturating_add(1) }
    }

    /// The first place that a message names, in the form that [`Position`] is displayed in.
    pub fn in_message(message: &str) -> Option<Self> {
        let number = |text: &str| text.chars().take_while(char::is_ascii_digit).collect::<String>().parse().ok();
        let (_, behind) = message.split_once("line ")?;
        let (line, behind) = behind.split_once(", column ")?;
        Some(Self { line: number(line)?, column: number(behind)? })
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

/// One thing that is wrong with an expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The part that is wrong.
    pub at: Span,
    /// Where it begins.
    pub position: Position,
    /// What was expected there.
    pub expected: String,
    /// What was found.
    pub found: String,
    /// The name that was probably meant.
    pub nearest: Option<String>,
}

/// Most characters of a text that a message repeats.
const FOUND_MAX: usize = 60;

impl Fault {
    pub(crate) fn new(text: &str, at: Span, expected: impl Into<String>) -> Self {
        let found = match at.of(text) {
            "" => "the end".to_owned(),
            part if part.chars().count() > FOUND_MAX => format!("{}...", part.chars().take(FOUND_MAX).collect::<String>()),
            part => part.to_owned(),
        };
        Self { at, position: Position::of(text, at.start), expected: expected.into(), found, nearest: None }
    }
}

impl Fault {
    /// What was found, and the name that was probably meant.
    pub fn found(&self) -> String {
        match &self.nearest {
            Some(name) => format!("{}. Did you mean {name}?", self.found),
            None => self.found.clone(),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: expected {}; found {}", self.position, self.expected, self.found())
    }
}

/// An expression is refused. Of its form the first fault is named, of its fields and types every one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
pub struct Refused {
    /// At least one.
    pub faults: Vec<Fault>,
}

/// An expression is good, but a part of it can never hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// The part.
    pub at: Span,
    /// Where it begins.
    pub position: Position,
    /// A sentence.
    pub message: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.position, self.message)
    }
}

/// The line of the text that has this place, and below it a caret.
pub fn caret(text: &str, position: Position) -> String {
    let line = text.lines().nth(position.line.saturating_sub(1)).unwrap_or_default();
    // Tabs stay tabs, so that the caret stands below its character.
    let before = line.chars().take(position.column.saturating_sub(1)).map(|c| if c == '\t' { '\t' } else { ' ' });
    format!("  {line}\n  {}^", before.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_counted_in_lines_and_characters() {
        let text = "é = 1\nand žluť > 2";
        let at = text.find('>').expect("it is there");
        let position = Position::of(text, at);
        assert_eq!((position.line, position.column), (2, 10));
        assert_eq!(Position::in_message(&format!("filter: {position}: expected")), Some(position));
        assert_eq!(Position::in_message("a line of nothing"), None);
        assert_eq!(caret(text, position), "  and žluť > 2\n           ^");
        assert_eq!(Position::of("ab", 99).column, 3, "an octet behind the end is the end");
    }
}
