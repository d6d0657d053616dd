//! A reader of a segment trusts nothing: whatever stands in it, it answers, and never panics.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::Path;

use sonde_stats::{Info, Kind, Segment, StatsError, View};

/// The words of a small segment with a block of every kind.
fn segment(path: &Path) -> Vec<u8> {
    let info = Info { instance: "core".to_owned(), version: "1".to_owned(), pid: 1, started_ns: 2, ..Info::default() };
    let segment = Segment::create_sized(path, &info, 32 << 10).expect("a segment");
    let kinds = [(Kind::Process, "process"), (Kind::Worker, "worker"), (Kind::Port, "port"), (Kind::Exporter, "exporter")];
    let blocks: Vec<_> =
        kinds.iter().map(|(kind, name)| segment.block_of(*kind, name, &["one", "two"], &["three"]).expect("a block")).collect();
    for block in &blocks {
        block.add(0, 5);
        block.text("state", "up");
    }
    let bytes = std::fs::read(path).expect("its bytes");
    drop(blocks);
    bytes
}

/// Everything a reader does. Returns the number of sound and of skipped blocks.
fn read(view: &View) -> (usize, usize) {
    let snapshot = view.snapshot();
    let _ = (view.heartbeat_ns(), view.ended(), view.info());
    (snapshot.blocks.len(), snapshot.skipped)
}

#[test]
fn no_changed_word_and_no_changed_byte_is_a_panic() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("stats");
    let good = segment(&path);
    let copy = folder.path().join("copy");
    std::fs::write(&copy, &good).expect("a copy");
    let file = OpenOptions::new().write(true).open(&copy).expect("the copy");
    let old = View::open(&copy).expect("a view");
    assert_eq!(read(&old), (4, 0));
    let mut refused = 0;
    let mut skipped = 0;
    let mut check = |at: usize, bytes: &[u8]| {
        file.write_all_at(bytes, at as u64).expect("to change the copy");
        // Both a reader that has it open and one that comes now.
        read(&old);
        match View::open(&copy) {
            Ok(new) => skipped += read(&new).1,
            Err(StatsError::Foreign { found, .. }) => {
                assert!(!found.is_empty());
                refused += 1;
            }
            Err(StatsError::Version { .. }) => refused += 1,
            Err(other) => panic!("byte {at}: {other}"),
        }
        file.write_all_at(&good[at..at + bytes.len()], at as u64).expect("to mend the copy");
    };
    let used = good.iter().rposition(|byte| *byte != 0).expect("something in it") + 64;
    // Entries 6 to 249 of the directory are like the fifth: empty. Leaving them out makes the test three times shorter.
    let alike = (96 + 6 * 8) * 8..(96 + 250 * 8) * 8;
    for at in (0..used.min(good.len() - 8)).step_by(8).filter(|at| !alike.contains(at)) {
        for value in [0, 1, 3, 0x400, 0x401, u64::from(u32::MAX), u64::MAX / 8, u64::MAX - 1, u64::MAX] {
            check(at, &value.to_le_bytes());
        }
    }
    for at in (0..used.min(good.len())).filter(|at| !alike.contains(at)) {
        check(at, &[!good[at]]);
    }
    assert!(refused > 50, "only {refused} changes of the header were refused");
    assert!(skipped > 20, "only {skipped} changes of blocks were noticed");
    assert_eq!(read(&View::open(&copy).expect("a view")), (4, 0), "mended");
}

#[test]
fn noise_is_no_segment_and_noise_behind_a_good_header_is_no_panic() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("stats");
    let good = segment(&path);
    let mut state = 1u64;
    for round in 0..200 {
        let mut bad = good.clone();
        let from = if round % 2 == 0 { 0 } else { 96 * 8 };
        for byte in &mut bad[from..] {
            // A linear congruential generator (Knuth, MMIX): the test must be the same each time.
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            *byte = (state >> 56).to_le_bytes()[0];
        }
        let noise = folder.path().join(format!("noise-{round}"));
        std::fs::write(&noise, &bad).expect("a file");
        match View::open(&noise) {
            Ok(view) => {
                assert_eq!(round % 2, 1);
                let (_, skipped) = read(&view);
                assert!(skipped > 0);
            }
            Err(error) => assert!(matches!(error, StatsError::Foreign { .. }), "{error}"),
        }
        std::fs::remove_file(&noise).expect("to clean up");
    }
}

#[test]
fn every_shorter_file_is_refused() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("stats");
    let good = segment(&path);
    let short = folder.path().join("short");
    for length in (0..good.len()).step_by(61).chain([1, 7, 8, 9, good.len() - 8]) {
        std::fs::write(&short, &good[..length]).expect("a file");
        let error = View::open(&short).expect_err("cut");
        assert!(matches!(error, StatsError::Foreign { .. } | StatsError::Map(_)), "{length}: {error}");
        assert!(error.to_string().contains("short"), "the path is named: {error}");
    }
}
