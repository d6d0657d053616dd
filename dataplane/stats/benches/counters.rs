//! What a counter costs its writer: `cargo bench -p sonde-stats`.
//!
//! Questions: is a block as cheap as plain memory (it should be: 0.6 ns for two counters), does a reader a millisecond cost
//! anything (it should not), and what does a reader pay for a look.

use std::hint::black_box;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use sonde_stats::{Block, Info, Kind, Segment, View};

const ROUNDS: u32 = 15;
const TIMES: u32 = 2_000_000;

/// Prints the least and the median nanoseconds of one call.
fn measure(name: &str, times: u32, mut call: impl FnMut()) {
    let mut figures: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let begin = Instant::now();
            for _ in 0..times {
                call();
            }
            begin.elapsed().as_secs_f64() * 1e9 / f64::from(times)
        })
        .collect();
    figures.sort_by(f64::total_cmp);
    println!("{name:<44} {:>9.2} {:>9.2}", figures[0], figures[figures.len() / 2]);
}

fn add_two(block: &Block) {
    block.add(black_box(1), black_box(1));
    block.add(black_box(2), black_box(64));
}

fn main() {
    let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a temporary folder");
    let path = folder.path().join("stats");
    let segment = Segment::create(&path, &Info::default()).expect("a segment");
    let names: Vec<String> = (0..80).map(|number| format!("counter_{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let blocks: Vec<Block> =
        (0..16).map(|number| segment.block(Kind::Worker, &format!("worker-{number}"), &names).expect("a block")).collect();
    let whole: Vec<Block> =
        (16..32).map(|number| segment.block_of(Kind::Worker, &format!("worker-{number}"), &names, &[]).expect("a block")).collect();
    let block = &blocks[0];
    let plain: Vec<AtomicU64> = (0..80).map(|_| AtomicU64::new(0)).collect();
    println!("{:<44} {:>9} {:>9}", "ns", "min", "median");
    measure("two counters, fetch_add (for comparison)", TIMES, || {
        plain[black_box(1)].fetch_add(black_box(1), Ordering::Relaxed);
        plain[black_box(2)].fetch_add(black_box(64), Ordering::Relaxed);
    });
    measure("two counters of a block", TIMES, || add_two(block));
    let totals: Vec<u64> = (0..80).collect();
    measure("80 words of plain memory stored (comparison)", 100_000, || {
        for (counter, total) in plain.iter().zip(black_box(&totals)) {
            AtomicU64::store(counter, *total, Ordering::Relaxed);
        }
    });
    measure("80 counters published together", 100_000, || whole[0].publish(black_box(&totals).iter()));
    measure("a text", 100_000, || {
        block.text("state", black_box("connected"));
    });
    let view = View::open(&path).expect("a view");
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                black_box(view.blocks());
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        measure("two counters of a block, a reader each ms", TIMES, || add_two(block));
        stop.store(true, Ordering::Relaxed);
    });
    measure("a look at 32 blocks of 80 counters", 100, || {
        black_box(view.blocks());
    });
}
