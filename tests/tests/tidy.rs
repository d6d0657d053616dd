//! The limits of STYLE.md that no lint knows, as tests: what is not measured is not kept.

use std::fmt::Write as _;

use sonde_tests::source::{Source, files, root, sources};

const FILE_LINES_MAX: usize = 700;

/// Files that may be longer, with the reason.
const LONG_FILES: &[(&str, &str)] = &[];

/// Words of comments that say "not done"; code that says it is refused by clippy.
const UNFINISHED: &[&str] = &[concat!("FIX", "ME"), concat!("HA", "CK"), concat!("XX", "X")];

/// Beginnings of paths that exist on one machine only.
const MACHINES: &[&str] = &[concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/ho", "me/"), concat!("/tmp", "/t-")];

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
fn exceptions_are_needed() {
    let sources = sources();
    let find = |name: &str| sources.iter().find(|s| s.name == name);
    for (file, reason) in LONG_FILES {
        let needed = find(file).is_some_and(|s| s.text.lines().count() > FILE_LINES_MAX);
        assert!(needed && !reason.is_empty(), "{file} needs no exception any more, or has no reason");
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

/// What does not go through it cannot be required: `SONDE_REQUIRE` would say nothing.
#[test]
fn tests_are_skipped_in_one_place() {
    let word = concat!("SKIP", "PED");
    let faults = sources().into_iter().filter(|s| s.text.contains(word) && s.name != "tests/src/skip.rs");
    no_faults(&faults.map(|s| format!("{}: {word}; call sonde_tests::skip", s.name)).collect::<Vec<_>>());
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
