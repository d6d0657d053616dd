//! expression: conditions on flow records, as an operator writes them: `protocol = 6 and rtt > 200 ms`.
//!
//! [`compile`] reads a text once: tokens (`token`), a tree (`parse`, `tree`), names and types by the catalogue of `sonde-record` (`name`,
//! `typing`), and last a list of conditions that says for each which one is next (`program`). [`Expression::matches`] is asked for every record:
//! 3 ns a comparison of a number of the head, 12 of an address (bench `evaluate`). It allocates nothing for fields of the head that are no lists.
//!
//! A condition is true or false. Of a value that was not measured every condition is false, but `is null`; so `not (rtt > 200 ms)` is true where
//! no round trip was measured, and `rtt <= 200 ms` is false there.
//!
//! Not here: where records come from, and what is done with those that match.
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::unwrap_used, clippy::expect_used, clippy::panic)
)]

mod fault;
mod limits;
mod name;
mod parse;
mod program;
mod rule;
mod token;
mod tree;
mod typing;
mod values;

pub use fault::{Fault, Position, Refused, Span, Warning, caret};
pub use limits::{DEPTH_MAX, LENGTH_MAX, PATTERN_LENGTH_MAX, PATTERN_MEMORY_MAX, PATTERNS_MAX, TESTS_MAX};
pub use name::{Combined, combined, is_looked_up};
pub use program::{Expression, Places};
pub use typing::Environment;

/// Reads an expression.
///
/// The warnings are of parts that are well-formed but can never hold here.
///
/// # Errors
/// Everything that is wrong with its names and types, or the first thing that is wrong with its form.
pub fn compile(text: &str, environment: &Environment) -> Result<(Expression, Vec<Warning>), Refused> {
    let tree = parse::parse(text)?;
    typing::compile(text, &tree, environment)
}

/// Prints an expression anew: one blank between words, key words in small letters, parentheses where they are needed.
///
/// # Errors
/// What is wrong with its form; names and types are not looked at.
pub fn normalise(text: &str) -> Result<String, Refused> {
    parse::parse(text).map(|tree| tree.to_string())
}

#[cfg(test)]
mod tests;
