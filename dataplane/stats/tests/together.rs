//! Readers and the writer at once, against an oracle: what is shown belongs together.

use std::sync::atomic::{AtomicBool, Ordering};

use sonde_stats::{BlockView, Info, Kind, Segment, View};

/// Blocks that come and go have counters named after the block, and texts of one letter repeated.
fn check(block: &BlockView) {
    let number: u64 = block.name.strip_prefix("block-").and_then(|number| number.parse().ok()).expect("a name that was given");
    assert_eq!(block.counters.len(), usize::try_from(number % 7 + 1).expect("small"));
    for (name, value) in &block.counters {
        assert!(name.starts_with(&block.name), "{name} in {}", block.name);
        assert!(*value == 0 || *value == number, "{value} in {}", block.name);
    }
    for (label, text) in &block.texts {
        assert_eq!(label, "state");
        assert!(text.len() > 30 && text.bytes().all(|byte| Some(&byte) == text.as_bytes().first()), "torn: {text}");
    }
}

#[test]
fn blocks_that_come_and_go_are_seen_whole_or_not() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("stats");
    let segment = Segment::create_sized(&path, &Info::default(), 64 << 10).expect("a segment");
    let stop = AtomicBool::new(false);
    let (mut seen, mut texts) = (0u64, 0u64);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut live = std::collections::VecDeque::new();
            let mut number = 1u64;
            while !stop.load(Ordering::Relaxed) {
                let name = format!("block-{number}");
                let counters: Vec<String> = (0..number % 7 + 1).map(|at| format!("{name}.{at}")).collect();
                let counters: Vec<&str> = counters.iter().map(String::as_str).collect();
                let block = segment.block(Kind::Exporter, &name, &counters).expect("room for five");
                for at in 0..counters.len() {
                    block.add(at, number);
                }
                for letter in ["a", "b", "c", "d"] {
                    block.text("state", &letter.repeat(40 + usize::try_from(number % 70).expect("small")));
                }
                live.push_back(block);
                if live.len() > 4 {
                    live.pop_front();
                }
                number += 1;
            }
        });
        let view = View::open(&path).expect("a view");
        let end = std::time::Instant::now() + std::time::Duration::from_millis(1500);
        while std::time::Instant::now() < end {
            for block in view.blocks() {
                check(&block);
                seen += 1;
                texts += block.texts.len() as u64;
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert!(seen > 1000 && texts > 100, "the test saw too little: {seen} blocks, {texts} texts");
}
