//! What fuzzing begins with, and what it once found, without a fuzzer: every input, and its beginnings, through its target.
//!
//! `make fuzz` looks for new inputs; here those that are known are held to be harmless, by the same functions.

#[path = "../fuzz/src/lib.rs"]
#[expect(unreachable_pub, reason = "a library of its own for the fuzzer's programs, a module here")]
mod targets;

use std::path::Path;

/// Beginnings of one input: all of them are tried when it is short.
const CUTS: usize = 200;

fn check(name: &str) {
    let (_, target) = targets::TARGETS.iter().find(|(known, _)| *known == name).expect("a target");
    let mut inputs = targets::seeds(name);
    let found = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/found").join(name);
    if let Ok(entries) = std::fs::read_dir(&found) {
        inputs.extend(entries.map(|entry| std::fs::read(entry.expect("readable").path()).expect("readable")));
    }
    assert!(inputs.len() > 3, "{name} has only {} inputs", inputs.len());
    target(&[]);
    for input in &inputs {
        target(input);
        for length in (0..input.len()).step_by((input.len() / CUTS).max(1)) {
            target(&input[..length]);
        }
        // And each with some bytes turned over.
        let mut changed = input.clone();
        for at in (0..input.len()).step_by((input.len() / CUTS).max(1)) {
            changed[at] ^= 0xff;
            target(&changed);
            changed[at] ^= 0xff;
        }
    }
}

#[test]
fn frames_are_decoded_or_have_a_reason() {
    check("decode");
}

#[test]
fn captures_are_read_as_far_as_they_go() {
    check("capture");
}

#[test]
fn every_packet_of_any_frames_is_in_a_record() {
    check("flows");
}

#[test]
fn a_ring_that_was_written_over_is_read_to_an_end() {
    check("ring");
}

#[test]
fn a_stats_segment_that_was_written_over_is_read_to_an_end() {
    check("stats");
}

#[test]
fn settings_are_good_or_refused_with_reasons() {
    check("settings");
}

#[test]
fn no_segment_and_no_datagram_breaks_what_is_measured() {
    check("performance");
}

#[test]
fn a_database_is_a_table_or_a_sentence() {
    check("database");
}

#[test]
fn a_rib_dump_is_a_table_or_a_sentence() {
    check("rib");
}

#[test]
fn an_expression_is_good_or_refused_with_places() {
    check("expression");
}

#[test]
fn every_target_has_a_program() {
    for (name, _) in targets::TARGETS {
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/src/bin").join(format!("{name}.rs"));
        let text = std::fs::read_to_string(&program).unwrap_or_else(|error| panic!("{}: {error}", program.display()));
        assert!(text.contains(&format!("sonde_fuzz::{name}(data)")), "{text}");
    }
}
