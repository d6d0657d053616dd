//! `tags/*`: nanoseconds a line of tags in level-1 cache, for each vector unit this machine has.

use std::hint::black_box;
use std::time::Instant;

use sonde_memory::tags::{Line, Searcher, Simd};

/// Lines: 16 kB.
const LINES: u16 = 256;
const ROUNDS: usize = 4000;

fn measure(name: &str, simd: Simd, mut round: impl FnMut() -> u64) {
    let mut sum = 0u64;
    let mut times: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            sum = sum.wrapping_add(round());
            start.elapsed().as_nanos() as f64 / f64::from(LINES)
        })
        .collect();
    black_box(sum);
    times.sort_by(f64::total_cmp);
    println!("{:24} {:6.1} min {:6.1} median ns/line", format!("{name} {}", simd.name()), times[0], times[ROUNDS / 2]);
}

fn main() {
    let lines: Vec<Line> = (0..LINES).map(|n| Line(std::array::from_fn(|place| n * 32 + u16::try_from(place).unwrap_or(0) + 1))).collect();
    let wanted: Vec<(u32, u16)> = (0..LINES).map(|n| (u32::from(n), n * 32 + n * 7 % 31 + 1)).collect();
    for simd in [Simd::Avx512, Simd::Avx2, Simd::Portable].into_iter().filter(|simd| simd.at_most() == *simd) {
        let searcher = Searcher::new(simd);
        let mut masks = vec![0; lines.len()];
        measure("tags/search", simd, || {
            searcher.search(&lines, &wanted, &mut masks);
            masks.iter().map(|mask| u64::from(*mask)).sum()
        });
        measure("tags/first_from", simd, || lines.iter().map(|line| u64::from(searcher.first_from(line, 77))).sum());
    }
}
