//! What the program tells whoever started it. The log is another thing (`tracing`).

use std::io::Write;

/// Says a line to whoever started the program. One that closed the pipe does not want to know.
pub(crate) fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}
