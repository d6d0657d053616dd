//! A segment, written by one side and read by the other.

use std::path::PathBuf;

use sonde_stats::{Block, COUNTERS_MAX, Info, Kind, NAME_BYTES_MAX, Segment, StatsError, TEXT_BYTES_MAX, View};

fn info() -> Info {
    Info {
        instance: "core".to_owned(),
        version: "0.1.0".to_owned(),
        pid: std::process::id(),
        started_ns: 1_700_000_000_000_000_000,
        memory: "hugepages 2 MiB".to_owned(),
        simd: "avx512".to_owned(),
    }
}

fn place() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("stats");
    (folder, path)
}

fn names(view: &View) -> Vec<String> {
    view.blocks().into_iter().map(|block| block.name).collect()
}

#[test]
fn what_is_written_is_seen_with_its_names() {
    let (_folder, path) = place();
    let segment = Segment::create(&path, &info()).expect("a segment");
    let worker = segment.block(Kind::Worker, "worker-0", &["received", "metered"]).expect("a block");
    let exporter = segment.block(Kind::Exporter, "core-1", &["sent"]).expect("a block");
    worker.add(0, 5);
    worker.add(0, 6);
    worker.set(1, 9);
    worker.add(1, u64::MAX);
    exporter.text("state", "connecting");
    exporter.text("collector", "192.0.2.1:4739");
    exporter.text("state", "connected");

    let view = View::open(&path).expect("a view");
    assert_eq!(view.info(), &info());
    assert!(!view.ended() && !view.replaced());
    let snapshot = view.snapshot();
    assert_eq!(snapshot.skipped, 0);
    let [seen_worker, seen_exporter] = snapshot.blocks.as_slice() else { panic!("two blocks, not {:?}", snapshot.blocks) };
    assert_eq!((seen_worker.kind, seen_worker.name.as_str()), (Kind::Worker, "worker-0"));
    assert_eq!(seen_worker.counters, [("received".to_owned(), 11), ("metered".to_owned(), 8)]);
    assert_eq!(worker.get(0), 11);
    assert_eq!(seen_worker.counter("metered"), Some(8));
    assert_eq!(seen_worker.counter("lost"), None);
    assert!(seen_worker.texts.is_empty());
    assert_eq!(seen_exporter.text("state"), Some("connected"));
    assert_eq!(seen_exporter.text("collector"), Some("192.0.2.1:4739"));
    assert_eq!(worker.view().as_ref(), Some(seen_worker));
}

#[test]
fn a_block_goes_when_dropped_and_its_successor_has_another_id() {
    let (_folder, path) = place();
    let segment = Segment::create(&path, &info()).expect("a segment");
    let view = View::open(&path).expect("a view");
    let first = segment.block(Kind::Exporter, "a", &["sent"]).expect("a block");
    let _second = segment.block(Kind::Exporter, "b", &["sent"]).expect("a block");
    first.add(0, 7);
    first.text("state", "failed");
    let id = view.blocks()[0].id;
    drop(first);
    assert_eq!(names(&view), ["b"]);
    let _third = segment.block(Kind::Exporter, "c", &["sent"]).expect("a block");
    let blocks = view.blocks();
    assert_eq!(blocks[0].name, "c");
    assert_eq!(blocks[0].counter("sent"), Some(0), "a new block begins at zero");
    assert!(blocks[0].texts.is_empty(), "and without texts");
    assert_ne!(blocks[0].id, id);
}

#[test]
fn room_is_given_back_whatever_the_order() {
    let (_folder, path) = place();
    // The smallest segment that holds three blocks of this size.
    let segment = (0..).step_by(128).map(|more| Segment::create_sized(&path, &info(), 17_152 + more).expect("a segment")).find(|segment| {
        let blocks: Vec<_> = (0..3).map(|_| segment.block(Kind::Port, "p", &["x"; 100])).collect();
        blocks.iter().all(Result::is_ok)
    });
    let segment = segment.expect("three blocks fit some segment");
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let mut blocks: Vec<Option<Block>> = (0..3).map(|_| Some(segment.block(Kind::Port, "p", &["x"; 100]).expect("room"))).collect();
        let error = segment.block(Kind::Port, "one too many", &["x"; 100]).expect_err("no room");
        assert!(matches!(error, StatsError::Full { blocks: 3, .. }), "{error}");
        for at in order {
            blocks[at] = None;
        }
        let whole = segment.block(Kind::Port, "whole", &["x"; 301]).expect("the gaps have grown together");
        drop(whole);
    }
}

#[test]
fn the_directory_has_an_end_and_says_so() {
    let (_folder, path) = place();
    let segment = Segment::create(&path, &info()).expect("a segment");
    let mut blocks = Vec::new();
    let error = loop {
        match segment.block(Kind::Port, "p", &[]) {
            Ok(block) => blocks.push(block),
            Err(error) => break error,
        }
    };
    assert_eq!(blocks.len(), 256);
    assert!(error.to_string().contains("256 of 256"), "{error}");
}

#[test]
fn names_and_lists_that_do_not_fit_are_refused_and_texts_are_cut() {
    let (_folder, path) = place();
    let segment = Segment::create(&path, &info()).expect("a segment");
    let long = "n".repeat(NAME_BYTES_MAX + 1);
    for (name, counters) in [(long.as_str(), vec!["x"]), ("p", vec![long.as_str()]), ("p", vec!["x"; COUNTERS_MAX + 1])] {
        let error = segment.block(Kind::Port, name, &counters).expect_err("too long");
        assert!(matches!(error, StatsError::TooLong { .. }), "{error}");
    }
    let fits = "n".repeat(NAME_BYTES_MAX);
    let block = segment.block(Kind::Port, &fits, &[fits.as_str()]).expect("a name of the full length");
    // 247 is odd and every character has two bytes: the last whole one ends at 246.
    block.text("error", &"é".repeat(200));
    let view = View::open(&path).expect("a view");
    assert_eq!(view.blocks()[0].counter(&fits), Some(0));
    assert_eq!(view.blocks()[0].text("error"), Some("é".repeat(TEXT_BYTES_MAX / 2).as_str()));
}

#[test]
fn the_end_of_a_writer_is_seen_and_its_last_words_stay() {
    let (_folder, path) = place();
    let segment = Segment::create(&path, &info()).expect("a segment");
    let view = View::open(&path).expect("a view");
    assert_eq!(view.heartbeat_ns(), info().started_ns);
    segment.heartbeat(42);
    assert_eq!(view.heartbeat_ns(), 42);
    let block = segment.block(Kind::Process, "process", &["uptime"]).expect("a block");
    drop(segment);
    assert!(!view.ended(), "a block still holds the segment");
    drop(block);
    assert!(view.ended());
    assert!(!view.replaced(), "the file stays: its maker removes it");
    let _successor = Segment::create(&path, &info()).expect("a segment");
    assert!(view.replaced());
}

#[test]
fn blocks_of_a_segment_that_has_ended_stay_with_their_last_counts() {
    let (_folder, path) = place();
    let segment = Segment::create(&path, &info()).expect("a segment");
    let view = View::open(&path).expect("a view");
    let before = segment.block(Kind::Worker, "before", &["received"]).expect("a block");
    let last = segment.block(Kind::Worker, "last", &["received"]).expect("a block");
    last.set(0, 9);
    drop(before);
    segment.end();
    drop((last, segment));
    assert_eq!((names(&view), view.blocks()[0].counter("received"), view.ended()), (vec!["last".to_owned()], Some(9), true));
}

#[test]
fn a_detached_block_counts_and_shows_itself() {
    let block = Block::detached(Kind::Worker, "replay", &["received"]);
    block.add(0, 3);
    block.text("file", "a.pcap");
    let view = block.view().expect("its view");
    assert_eq!((view.name.as_str(), view.counter("received"), view.text("file")), ("replay", Some(3), Some("a.pcap")));
}

#[test]
fn a_missing_segment_is_a_question_whether_the_dataplane_runs() {
    let (_folder, path) = place();
    let error = View::open(&path).expect_err("nothing there");
    assert!(matches!(error, StatsError::Missing { .. }), "{error}");
    assert!(error.to_string().contains("running"), "{error}");
}
