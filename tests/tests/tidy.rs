//! The limits of STYLE.md, as tests: what is not measured is not kept.

use std::fmt::Write as _;

use sonde_tests::source::{Source, blank, files, root, sources};

const FILE_LINES_MAX: usize = 700;
const FUNCTION_LINES_MAX: usize = 70;

/// Files that may be longer, with the reason.
const LONG_FILES: &[(&str, &str)] = &[];

/// Functions that may be longer: file, function, reason.
const LONG_FUNCTIONS: &[(&str, &str, &str)] = &[];

/// Where unsafe code may stand.
const UNSAFE: &[&str] = &["ffi/", "dataplane/memory/"];

/// Words that say "not done".
const UNFINISHED: &[&str] =
    &[concat!("to", "do!("), concat!("unimple", "mented!("), concat!("FIX", "ME"), concat!("HA", "CK"), concat!("XX", "X")];

/// Beginnings of paths that exist on one machine only.
const MACHINES: &[&str] = &[concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/ho", "me/"), concat!("/tmp", "/t-")];

/// Name and lines of every function with a body.
fn functions(code: &str) -> Vec<(String, usize)> {
    let mut found = Vec::new();
    let bytes = code.as_bytes();
    for (at, _) in code.match_indices("fn ") {
        let word = at == 0 || !(bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'_');
        let name: String = code[at + 3..].chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        if !word || name.is_empty() {
            continue;
        }
        // The body begins at the first brace outside brackets; a declaration ends with a semicolon before one.
        let mut nesting = 0i32;
        let open = code[at..].char_indices().find(|(_, c)| {
            nesting += i32::from("([".contains(*c)) - i32::from(")]".contains(*c));
            nesting == 0 && "{;".contains(*c)
        });
        let Some((open, '{')) = open else { continue };
        let mut depth = 0i32;
        let close = code[at + open..].char_indices().find(|(_, c)| {
            depth += i32::from(*c == '{') - i32::from(*c == '}');
            depth == 0
        });
        let end = at + open + close.map_or(0, |(i, _)| i);
        found.push((name, code[at..end].matches('\n').count() + 1));
    }
    found
}

/// Every place a word stands in code as a word of its own: line numbers from 1.
fn word_lines(code: &str, word: &str) -> Vec<usize> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    code.lines().enumerate().filter(|(_, line)| line.split(|c| !is_word(c)).any(|part| part == word)).map(|(at, _)| at + 1).collect()
}

fn no_faults(faults: &[String]) {
    let mut list = String::new();
    faults.iter().for_each(|fault| writeln!(list, "  {fault}").unwrap());
    assert!(faults.is_empty(), "{} faults:\n{list}", faults.len());
}

#[test]
fn files_are_short() {
    let long = |s: &Source| s.text.lines().count() > FILE_LINES_MAX && !LONG_FILES.iter().any(|(file, _)| *file == s.name);
    let faults: Vec<_> = sources().iter().filter(|s| long(s)).map(|s| format!("{}: {} lines", s.name, s.text.lines().count())).collect();
    no_faults(&faults);
}

#[test]
fn functions_are_short() {
    let mut faults = Vec::new();
    for source in sources() {
        for (name, lines) in functions(&source.code) {
            let excused = LONG_FUNCTIONS.iter().any(|(file, function, _)| *file == source.name && *function == name);
            if lines > FUNCTION_LINES_MAX && !excused {
                faults.push(format!("{}: fn {name} has {lines} lines", source.name));
            }
        }
    }
    no_faults(&faults);
}

#[test]
fn exceptions_are_needed() {
    let sources = sources();
    let find = |name: &str| sources.iter().find(|s| s.name == name);
    for (file, reason) in LONG_FILES {
        let needed = find(file).is_some_and(|s| s.text.lines().count() > FILE_LINES_MAX);
        assert!(needed && !reason.is_empty(), "{file} needs no exception any more, or has no reason");
    }
    for (file, function, reason) in LONG_FUNCTIONS {
        let long = |s: &Source| functions(&s.code).iter().any(|(name, lines)| name == function && *lines > FUNCTION_LINES_MAX);
        assert!(find(file).is_some_and(long) && !reason.is_empty(), "{file}: {function} needs no exception any more, or has no reason");
    }
}

#[test]
fn nothing_is_left_undone() {
    let mut faults = Vec::new();
    for source in sources() {
        for (at, line) in source.text.lines().enumerate() {
            faults.extend(UNFINISHED.iter().filter(|word| line.contains(**word)).map(|word| format!("{}:{}: {word}", source.name, at + 1)));
        }
        let attribute = concat!("#[igno", "re");
        if source.code.contains(attribute) {
            faults.push(format!("{}: an ignored test", source.name));
        }
    }
    no_faults(&faults);
}

#[test]
fn unsafe_code_stands_where_it_may_and_says_why() {
    let mut faults = Vec::new();
    for source in sources() {
        let allowed = UNSAFE.iter().any(|path| source.name.starts_with(path));
        let text: Vec<&str> = source.text.lines().collect();
        let code: Vec<&str> = source.code.lines().collect();
        for line in word_lines(&source.code, "unsafe") {
            if !allowed {
                faults.push(format!("{}:{line}: unsafe code outside {UNSAFE:?}", source.name));
            }
            let declares = code[line - 1].contains("unsafe fn") || code[line - 1].contains("unsafe extern");
            if !declares && !explained(&text, line - 1) {
                faults.push(format!("{}:{line}: no SAFETY comment above", source.name));
            }
        }
    }
    no_faults(&faults);
}

/// Whether a comment with "SAFETY:" stands directly above line `at`, or above the statement the line belongs to, or on it.
fn explained(text: &[&str], at: usize) -> bool {
    let mut line = at;
    for _ in 0..12 {
        if text[line].contains("SAFETY:") {
            return true;
        }
        // The statement before ends there, and no comment was found on the way up.
        let ends = |l: &str| !l.starts_with("//") && !l.starts_with("#[") && (l.ends_with(';') || l.ends_with('}') || l.is_empty());
        let Some(above) = line.checked_sub(1) else { return false };
        if ends(text[above].trim()) {
            return false;
        }
        line = above;
    }
    false
}

#[test]
fn no_file_knows_the_machine_it_was_written_on() {
    let mut faults = Vec::new();
    for name in files() {
        let Ok(text) = std::fs::read_to_string(root().join(&name)) else { continue };
        for (at, line) in text.lines().enumerate() {
            faults.extend(MACHINES.iter().filter(|path| line.contains(**path)).map(|path| format!("{name}:{}: {path}", at + 1)));
        }
    }
    no_faults(&faults);
}

#[test]
fn decoding_and_metering_do_no_io_and_read_no_clock() {
    let mut faults = Vec::new();
    for source in sources().iter().filter(|s| s.name.starts_with("dataplane/packet/src") || s.name.starts_with("dataplane/flow/src")) {
        let product = source.code.split("#[cfg(test)]").next().unwrap();
        for word in ["std::fs", "std::net", "std::time", "std::thread", "println!", "SystemTime", "Instant"] {
            if product.contains(word) && !source.name.ends_with("tests.rs") {
                faults.push(format!("{}: {word}", source.name));
            }
        }
    }
    no_faults(&faults);
}

#[test]
fn functions_are_measured() {
    let code = blank("fn a() { let s = \"}\"; } // fn b() {\nfn c<'a>(x: &'a [u8; 2]) -> [u8; 2] {\n}\nfn declared();\n");
    assert_eq!(functions(&code), [("a".to_owned(), 1), ("c".to_owned(), 2)]);
}
