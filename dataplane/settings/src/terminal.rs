//! Whether what is written somewhere may have colours: one rule for all three programs.

use std::env;
use std::io::IsTerminal;

/// Whether colour codes make sense on `to`: a terminal that knows them, and nobody asked for none (<https://no-color.org>: `NO_COLOR` with
/// any value but the empty one).
pub fn colors(to: &impl IsTerminal) -> bool {
    let told = |name: &str| env::var_os(name).filter(|value| !value.is_empty());
    to.is_terminal() && told("NO_COLOR").is_none() && told("TERM").is_some_and(|terminal| terminal != "dumb")
}
