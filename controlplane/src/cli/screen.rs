//! What is printed: lines, tables, JSON, and live views that redraw in place.

use sonde_settings::terminal::colors;
use std::io::{self, IsTerminal, Write};

/// How output is wanted.
#[derive(Clone, Debug)]
pub(super) struct Out {
    /// For programs.
    pub(super) json: bool,
    color: bool,
    terminal: bool,
    /// Characters of a line, where there is a limit.
    width: Option<usize>,
    /// The columns that were asked for, by their headings in small letters; none: those that fit.
    columns: Vec<String>,
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
    pub(super) fn new(json: bool, no_color: bool, columns: &[String]) -> Self {
        let terminal = io::stdout().is_terminal() && std::env::var_os("TERM").is_none_or(|t| t != "dumb");
        let color = !no_color && colors(&io::stdout());
        Self { json, color, terminal, width: width(), columns: columns.iter().map(|name| name.trim().to_lowercase()).collect() }
    }

    /// The columns that were asked for and that no heading names.
    pub(super) fn beyond<'a>(&'a self, headings: &'a [&str]) -> impl Iterator<Item = &'a str> {
        self.columns().filter(move |asked| !headings.iter().any(|heading| name(heading) == *asked))
    }

    /// Refuses columns that none of these tables has.
    pub(super) fn check(&self, headings: &[&str]) -> anyhow::Result<()> {
        let names: Vec<String> = headings.iter().map(|heading| name(heading)).filter(|name| !name.is_empty()).collect();
        let unknown: Vec<&str> = self.beyond(headings).collect();
        anyhow::ensure!(unknown.is_empty(), "--columns: there is no column {}; there are: {}", unknown.join(", "), names.join(", "));
        Ok(())
    }

    /// The columns that were asked for.
    pub(super) fn columns(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().map(String::as_str)
    }

    /// Whether nobody asked for columns.
    pub(super) fn columns_are_free(&self) -> bool {
        self.columns.is_empty()
    }

    /// The same where lines may have any length.
    pub(super) fn without_width(&self) -> Self {
        Self { width: None, ..self.clone() }
    }

    /// The places of the columns that are shown: those that were asked for, else as many as fit. `leave_out` has headings in the order in
    /// which they go.
    pub(super) fn choose(&self, headings: &[&str], widths: &[usize], leave_out: &[&str]) -> Vec<usize> {
        if !self.columns.is_empty() {
            return self.columns.iter().filter_map(|asked| headings.iter().position(|heading| name(heading) == *asked)).collect();
        }
        let mut shown: Vec<usize> = (0..headings.len()).collect();
        let Some(limit) = self.width else { return shown };
        let length =
            |shown: &[usize]| shown.iter().map(|at| widths.get(*at).unwrap_or(&0) + GAP.len()).sum::<usize>().saturating_sub(GAP.len());
        let mut leave_out = leave_out.iter();
        while length(&shown) > limit {
            let Some(next) = leave_out.next() else { break };
            shown.retain(|at| headings.get(*at) != Some(next));
        }
        shown
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

/// Between two columns.
pub(super) const GAP: &str = "  ";

/// A column's name on the command line: its heading in small letters, words joined by hyphens; fields have underscores.
fn name(heading: &str) -> String {
    let words = heading.split(|c: char| !c.is_alphanumeric() && !matches!(c, '<' | '#' | '_')).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join("-").to_lowercase()
}

/// Width of the terminal. What is written elsewhere has no limit, unless $COLUMNS says one.
fn width() -> Option<usize> {
    let told = std::env::var("COLUMNS").ok().and_then(|text| text.parse().ok());
    let found = || rustix::termios::tcgetwinsize(io::stdout()).ok().map(|size| usize::from(size.ws_col));
    told.or_else(|| found().filter(|_| io::stdout().is_terminal())).filter(|columns| *columns > 0)
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
    leave_out: &'static [&'static str],
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(super) fn new(columns: &[(&'static str, Align)]) -> Self {
        Self { columns: columns.to_vec(), leave_out: &[], rows: Vec::new() }
    }

    /// Headings of columns that are left out where the terminal is too narrow, the first one first.
    pub(super) fn leaving_out(self, leave_out: &'static [&'static str]) -> Self {
        debug_assert!(leave_out.iter().all(|heading| self.columns.iter().any(|(known, _)| known == heading)), "a column of the table");
        Self { leave_out, ..self }
    }

    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let cells: Vec<String> = cells.into_iter().collect();
        debug_assert_eq!(cells.len(), self.columns.len(), "a cell for each column");
        self.rows.push(cells);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The headings of its columns.
    pub(super) fn headings(&self) -> Vec<&'static str> {
        self.columns.iter().map(|(heading, _)| *heading).collect()
    }

    /// The table as lines: no line ends in spaces. Columns for which there is no room are named below it.
    pub(super) fn lines(&self, out: &Out) -> Vec<String> {
        let headings: Vec<&str> = self.columns.iter().map(|(name, _)| *name).collect();
        let width = |(at, name): (usize, &&str)| {
            let cells = self.rows.iter().filter_map(|r| r.get(at)).map(|c| c.chars().count());
            cells.max().unwrap_or(0).max(name.chars().count())
        };
        let widths: Vec<usize> = headings.iter().enumerate().map(width).collect();
        let shown = out.choose(&headings, &widths, self.leave_out);
        if shown.is_empty() {
            return Vec::new();
        }
        let line = |cells: &[&str]| {
            let set = shown.iter().filter_map(|at| Some(set(cells.get(*at)?, self.columns.get(*at)?.1, *widths.get(*at)?)));
            set.collect::<Vec<_>>().join(GAP).trim_end().to_owned()
        };
        let mut lines = vec![out.tone(Tone::Head, &line(&headings))];
        lines.extend(self.rows.iter().map(|row| line(&row.iter().map(String::as_str).collect::<Vec<_>>())));
        if out.columns.is_empty() && shown.len() < headings.len() {
            let gone = headings.iter().enumerate().filter(|(at, _)| !shown.contains(at)).map(|(_, heading)| name(heading));
            let note = format!("no room for {}: --columns chooses", gone.collect::<Vec<_>>().join(", "));
            lines.extend(wrap(&note, out.width).iter().map(|line| out.tone(Tone::Dim, line)));
        }
        lines
    }
}

/// A cell in its column.
pub(super) fn set(cell: &str, align: Align, width: usize) -> String {
    match align {
        Align::Left => format!("{cell:<width$}"),
        Align::Right => format!("{cell:>width$}"),
    }
}

/// A text in lines of at most so many characters, as far as its words allow.
fn wrap(text: &str, width: Option<usize>) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if width.is_none_or(|width| line.chars().count() + 1 + word.chars().count() <= width) => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
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
        assert_eq!(table.lines(&plain(None, &[])), ["NAME           N  NOTE", "a          1,000", "long-name      7  \u{fc}"]);
    }

    fn plain(width: Option<usize>, columns: &[&str]) -> Out {
        Out { json: false, color: false, terminal: false, width, columns: columns.iter().map(|&name| name.to_owned()).collect() }
    }

    fn wide() -> Table {
        let columns = [("NAME", Align::Left), ("RX PACKETS", Align::Right), ("DRIVER", Align::Left), ("DEVICE", Align::Left)];
        let mut table = Table::new(&columns).leaving_out(&["DEVICE", "DRIVER"]);
        table.row(["uplink".into(), "12".into(), "net_pcap".into(), "net_pcap0,rx_pcap=a.pcap".into()]);
        table
    }

    #[test]
    fn what_has_no_room_is_left_out_and_named() {
        let all = ["NAME    RX PACKETS  DRIVER    DEVICE", "uplink          12  net_pcap  net_pcap0,rx_pcap=a.pcap"];
        assert_eq!(wide().lines(&plain(None, &[])), all);
        assert_eq!(wide().lines(&plain(Some(80), &[])), all);
        let narrow = wide().lines(&plain(Some(40), &[]));
        assert_eq!(narrow, ["NAME    RX PACKETS  DRIVER", "uplink          12  net_pcap", "no room for device: --columns chooses"]);
        let narrower = wide().lines(&plain(Some(20), &[]));
        assert_eq!(narrower, ["NAME    RX PACKETS", "uplink          12", "no room for driver,", "device: --columns", "chooses"]);
    }

    #[test]
    fn columns_are_chosen_by_name_in_any_order() {
        let lines = wide().lines(&plain(Some(10), &["device", "rx-packets"]));
        assert_eq!(lines, ["DEVICE                    RX PACKETS", "net_pcap0,rx_pcap=a.pcap          12"]);
        let fault = plain(None, &["devise"]).check(&["NAME", "RX PACKETS"]).expect_err("no such column");
        assert_eq!(fault.to_string(), "--columns: there is no column devise; there are: name, rx-packets");
    }
}
