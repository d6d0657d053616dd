//! What is printed: lines, tables, JSON, and live views that redraw in place.

use std::io::{self, IsTerminal, Write};

/// How output is wanted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Out {
    /// For programs.
    pub(super) json: bool,
    color: bool,
    terminal: bool,
}

/// A colour with a meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tone {
    /// As it should be.
    Good,
    /// Worth a look.
    Warn,
    /// Wrong.
    Bad,
    /// A heading.
    Head,
    /// Less important.
    Dim,
}

impl Out {
    pub(super) fn new(json: bool, no_color: bool) -> Self {
        let terminal = io::stdout().is_terminal() && std::env::var_os("TERM").is_none_or(|t| t != "dumb");
        // https://no-color.org: any value but the empty one.
        let asked_not = no_color || std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty());
        Self { json, color: terminal && !asked_not, terminal }
    }

    /// Text in a tone, where there are colours.
    pub(super) fn tone(&self, tone: Tone, text: &str) -> String {
        if !self.color {
            return text.to_owned();
        }
        let code = match tone {
            Tone::Good => "32",
            Tone::Warn => "33",
            Tone::Bad => "31;1",
            Tone::Head => "1",
            Tone::Dim => "2",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }

    /// One JSON object on a line.
    pub(super) fn object(&self, value: &impl serde::Serialize) -> anyhow::Result<()> {
        write(&format!("{}\n", serde_json::to_string(value)?))?;
        Ok(())
    }

    /// Lines.
    pub(super) fn lines(&self, lines: &[String]) -> io::Result<()> {
        let mut text = lines.join("\n");
        text.push('\n');
        write(&text)
    }
}

/// Writes to standard output at once; a closed pipe is an error, not a panic.
pub(super) fn write(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// Where a column's values stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Align {
    /// Text.
    Left,
    /// Numbers.
    Right,
}

/// An aligned table.
pub(super) struct Table {
    columns: Vec<(&'static str, Align)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(super) fn new(columns: &[(&'static str, Align)]) -> Self {
        Self { columns: columns.to_vec(), rows: Vec::new() }
    }

    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let cells: Vec<String> = cells.into_iter().collect();
        debug_assert_eq!(cells.len(), self.columns.len(), "a cell for each column");
        self.rows.push(cells);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The table as lines: no line ends in spaces.
    pub(super) fn lines(&self, out: &Out) -> Vec<String> {
        let widths: Vec<usize> = self
            .columns
            .iter()
            .enumerate()
            .map(|(at, (name, _))| {
                let cells = self.rows.iter().filter_map(|r| r.get(at)).map(|c| c.chars().count());
                cells.max().unwrap_or(0).max(name.chars().count())
            })
            .collect();
        let line = |cells: &[String]| {
            let mut text = String::new();
            for (at, ((cell, (_, align)), width)) in cells.iter().zip(&self.columns).zip(&widths).enumerate() {
                if at != 0 {
                    text.push_str("  ");
                }
                match align {
                    Align::Left => text.push_str(&format!("{cell:<width$}")),
                    Align::Right => text.push_str(&format!("{cell:>width$}")),
                }
            }
            text.truncate(text.trim_end().len());
            text
        };
        let names: Vec<String> = self.columns.iter().map(|(name, _)| (*name).to_owned()).collect();
        let mut lines = vec![out.tone(Tone::Head, &line(&names))];
        lines.extend(self.rows.iter().map(|r| line(r)));
        lines
    }
}

/// A view that redraws: in the alternate screen of a terminal; one frame after the other where there is none.
pub(super) struct Live {
    terminal: bool,
    frames: usize,
    last: Vec<String>,
}

/// Alternate screen, no cursor, and long lines are cut by the terminal rather than wrapped.
const ENTER: &str = "\x1b[?1049h\x1b[?25l\x1b[?7l";
const LEAVE: &str = "\x1b[?7h\x1b[?25h\x1b[?1049l";

impl Live {
    pub(super) fn new(out: &Out) -> io::Result<Self> {
        let terminal = out.terminal && !out.json;
        if terminal {
            write(ENTER)?;
        }
        Ok(Self { terminal, frames: 0, last: Vec::new() })
    }

    /// Shows a frame.
    pub(super) fn draw(&mut self, lines: Vec<String>) -> io::Result<()> {
        if self.terminal {
            let rows = rustix::termios::tcgetwinsize(io::stdout()).map_or(24, |size| usize::from(size.ws_row)).max(2);
            let mut text = String::from("\x1b[H");
            for (at, line) in lines.iter().take(rows).enumerate() {
                // No newline behind the last row: it would scroll.
                text.push_str(if at == 0 { "" } else { "\r\n" });
                text.push_str(line);
                text.push_str("\x1b[K");
            }
            text.push_str("\x1b[J");
            write(&text)?;
        } else {
            let gap = if self.frames == 0 { "" } else { "\n" };
            write(&format!("{gap}{}\n", lines.join("\n")))?;
        }
        self.frames += 1;
        self.last = lines;
        Ok(())
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        if self.terminal {
            // The last frame stays on the screen. There is nobody to tell when the terminal is gone.
            let _ = write(&format!("{LEAVE}{}\n", self.last.join("\n")));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_lines_end_where_their_text_does() {
        let mut table = Table::new(&[("NAME", Align::Left), ("N", Align::Right), ("NOTE", Align::Left)]);
        table.row(["a".into(), "1,000".into(), String::new()]);
        table.row(["long-name".into(), "7".into(), "\u{fc}".into()]);
        let out = Out { json: false, color: false, terminal: false };
        assert_eq!(table.lines(&out), ["NAME           N  NOTE", "a          1,000", "long-name      7  \u{fc}"]);
    }
}
