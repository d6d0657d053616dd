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

/// A worker's packets: each is received and metered, or received and not.
#[test]
fn counters_that_are_published_together_are_of_one_publication_at_every_look() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("stats");
    let segment = Segment::create_sized(&path, &Info::default(), 64 << 10).expect("a segment");
    // In several cache lines, so that a copy takes its time.
    let names: Vec<String> = (0..40).map(|at| format!("counter_{at}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let block = segment.block_of(Kind::Worker, "worker-0", &names, &["beside"]).expect("a block");
    let stop = AtomicBool::new(false);
    let mut looks = 0u64;
    let mut last = 0;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut number = 0u64;
            while !stop.load(Ordering::Relaxed) {
                number += 1;
                let values: Vec<u64> = (0..40).map(|at| number * (at + 1)).collect();
                block.publish(values.iter());
                // A pause as that between two bursts, now and then a longer one.
                let pause = if number.is_multiple_of(1000) { 100_000 } else { 200 };
                (0..pause).for_each(|_| std::hint::spin_loop());
            }
        });
        // Another writer of the other counters does not disturb.
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                block.add(40, 1);
            }
        });
        let view = View::open(&path).expect("a view");
        let end = std::time::Instant::now() + std::time::Duration::from_millis(1500);
        while std::time::Instant::now() < end {
            let blocks = view.blocks();
            let seen = &blocks[0];
            assert!(seen.consistent);
            let number = seen.counters[0].1;
            for (at, (_, value)) in (1..).zip(&seen.counters[..40]) {
                assert_eq!(*value, number * at, "of another publication than {number}");
            }
            assert!(number >= last, "backwards");
            last = number;
            looks += 1;
            let own = block.get(39);
            assert!(own.is_multiple_of(40) && own / 40 >= number, "who asks the block itself sees no less");
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert!(looks > 100 && last > 1000, "the test saw too little: {looks} looks, {last} publications");
}
