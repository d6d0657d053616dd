//! The project's own files, and Rust text with everything blanked that is not code: what the tests of STYLE.md read.

use std::path::{Path, PathBuf};
use std::process::Command;

/// One Rust file of the project.
pub struct Source {
    /// Its path below the root.
    pub name: String,
    /// All of it.
    pub text: String,
    /// The text with comments, strings and characters blanked out, line for line.
    pub code: String,
}

/// The root of the project.
///
/// # Panics
/// Never: this package is below it.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace above this package").to_owned()
}

/// The project's files: what git tracks, or everything outside `target` in a source archive.
///
/// # Panics
/// If they cannot be listed.
pub fn files() -> Vec<String> {
    let git = Command::new("git").arg("-C").arg(root()).args(["ls-files", "-z"]).output();
    if let Ok(output) = git
        && output.status.success()
    {
        let names = String::from_utf8(output.stdout).unwrap();
        // A file that was deleted and is not committed yet is still in the index.
        return names.split('\0').filter(|name| !name.is_empty() && root().join(name).is_file()).map(str::to_owned).collect();
    }
    let mut found = Vec::new();
    let mut open = vec![root()];
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(directory).unwrap().map(Result::unwrap) {
            let path = entry.path();
            if path.is_dir() {
                let name = entry.file_name();
                if name != "target" && name != ".git" {
                    open.push(path);
                }
            } else {
                found.push(path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    found
}

/// The project's Rust files.
///
/// # Panics
/// If they cannot be read, or there are next to none.
pub fn sources() -> Vec<Source> {
    let read = |name: String| {
        let text = std::fs::read_to_string(root().join(&name)).unwrap();
        let code = blank(&text);
        Source { name, text, code }
    };
    let sources: Vec<_> = files().into_iter().filter(|name| name.ends_with(".rs")).map(read).collect();
    assert!(sources.len() > 10, "the sources were not found");
    sources
}

/// Replaces comments and the contents of literals by spaces, so that what is left is code, line for line.
pub fn blank(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let end = token_end(&chars, at);
        let keep = end == at + 1;
        for c in &chars[at..end] {
            out.push(if keep || *c == '\n' { *c } else { ' ' });
        }
        at = end;
    }
    out
}

/// End of the comment or literal that begins at `at`; `at + 1` when none does.
fn token_end(chars: &[char], at: usize) -> usize {
    let next = chars.get(at + 1).copied();
    match chars[at] {
        '/' if next == Some('/') => (at..chars.len()).find(|i| chars[*i] == '\n').unwrap_or(chars.len()),
        '/' if next == Some('*') => block_comment_end(chars, at),
        '"' => string_end(chars, at + 1),
        'r' if matches!(next, Some('"' | '#')) && !identifier_before(chars, at) => raw_string_end(chars, at).unwrap_or(at + 1),
        'b' if next == Some('r') && !identifier_before(chars, at) => raw_string_end(chars, at + 1).unwrap_or(at + 1),
        // A character, not a lifetime: 'x' or '\...'.
        '\'' if next == Some('\\') => (at + 3..chars.len()).find(|i| chars[*i] == '\'').map_or(chars.len(), |i| i + 1),
        '\'' if chars.get(at + 2) == Some(&'\'') => at + 3,
        _ => at + 1,
    }
}

fn identifier_before(chars: &[char], at: usize) -> bool {
    at > 0 && (chars[at - 1].is_alphanumeric() || chars[at - 1] == '_')
}

fn block_comment_end(chars: &[char], mut at: usize) -> usize {
    let mut depth = 0;
    while at + 1 < chars.len() {
        match (chars[at], chars[at + 1]) {
            ('/', '*') => depth += 1,
            ('*', '/') => depth -= 1,
            _ => {
                at += 1;
                continue;
            }
        }
        at += 2;
        if depth == 0 {
            return at;
        }
    }
    chars.len()
}

fn string_end(chars: &[char], mut at: usize) -> usize {
    while at < chars.len() {
        match chars[at] {
            '\\' => at += 2,
            '"' => return at + 1,
            _ => at += 1,
        }
    }
    chars.len()
}

/// `None` when it is not a raw string (a raw identifier).
fn raw_string_end(chars: &[char], at: usize) -> Option<usize> {
    let hashes = chars[at + 1..].iter().take_while(|c| **c == '#').count();
    let open = at + 1 + hashes;
    if chars.get(open) != Some(&'"') {
        return None;
    }
    let closes = |i: &usize| chars[*i] == '"' && chars[i + 1..].iter().take(hashes).filter(|c| **c == '#').count() == hashes;
    Some((open + 1..chars.len()).find(closes).map_or(chars.len(), |i| i + 1 + hashes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_are_blanked_line_for_line() {
        let text = "fn a() { /* fn x() { /* */ } */ let s = \"}\\\"\"; let c = '}'; let r = r#\"}\"#; } // fn b() {\nfn c<'a>(x: &'a [u8; 2]) -> [u8; 2] {\n}\n";
        let code = blank(text);
        assert_eq!(code.matches('}').count(), 2);
        assert_eq!(code.lines().count(), text.lines().count());
        assert!(code.contains("fn c<'a>(x: &'a [u8; 2])") && !code.contains("fn b") && !code.contains("fn x"));
    }
}
