//! The protocol under the memory model: loom tries every interleaving (with at most so many preemptions) and every value that a
//! relaxed load may return, on rings so tiny that the writer overwrites what the reader reads.
//!
//! These tests have been seen to fail when one takes away the writer's fence, the reader's second fence, the check after the copy,
//! or the release of `COMMITTED`.

use loom::sync::Arc;
use loom::sync::atomic::{AtomicU64, Ordering, fence};

use super::Batch;
use super::consume::Consumer;
use super::layout::{Layout, Memory, Word};
use super::produce::Producer;

impl Word for AtomicU64 {
    fn set(&self, value: u64) {
        self.store(value, Ordering::Relaxed);
    }
    fn release(&self, value: u64) {
        self.store(value, Ordering::Release);
    }
    fn fence() {
        fence(Ordering::Release);
    }
}

impl Memory for Vec<AtomicU64> {
    fn load(&self, at: usize) -> u64 {
        self[at].load(Ordering::Relaxed)
    }
    fn copy(&self, at: usize, out: &mut [u64]) -> bool {
        for (out, word) in out.iter_mut().zip(&self[at..]) {
            *out = word.load(Ordering::Relaxed);
        }
        true
    }
    fn fence(&self) {
        fence(Ordering::Acquire);
    }
}

/// Words of a record here: head and one more.
const WORDS: usize = 2;

/// A record whose second word says which one it is.
fn record(number: u64) -> [u64; WORDS] {
    [WORDS as u64 | 1 << 16 | 4 << 24, number ^ 0x5555]
}

/// What a reader has found so far.
#[derive(Default)]
struct Found {
    next: u64,
    records: u64,
    lost: u64,
    ended: bool,
}

impl Found {
    fn read(&mut self, consumer: &mut Consumer, ring: &Vec<AtomicU64>) {
        let Self { next, .. } = self;
        let batch: Batch = consumer.read(ring, 8, |words| {
            let number = words[1] ^ 0x5555;
            assert_eq!(words[0] & 0xffff_ffff, record(0)[0], "a torn head");
            assert_eq!(words[0] >> 32, number, "a torn record");
            assert!(number >= *next, "backwards");
            *next = number + 1;
            true
        });
        assert_eq!(batch.damaged, 0);
        self.records += batch.records as u64;
        self.lost += batch.lost;
        self.ended |= batch.ended;
    }
}

/// Runs a writer of `written` records beside a reader that looks twice, or comes late (`late`), and then reads to the end.
fn model(preemptions: usize, layout: Layout, written: u64, publish_every: u64, late: bool) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(move || {
        let words = layout.data + usize::try_from(layout.capacity).expect("tiny");
        let ring: Arc<Vec<AtomicU64>> = Arc::new((0..words).map(|_| AtomicU64::new(0)).collect());
        let writer = {
            let ring = Arc::clone(&ring);
            loom::thread::spawn(move || {
                let mut producer = Producer::new(layout);
                for number in 0..written {
                    producer.put(&ring[..], &record(number), &[]);
                    if (number + 1) % publish_every == 0 {
                        producer.publish(&ring[..]);
                    }
                }
                producer.end(&ring[..]);
            })
        };
        let mut consumer = Consumer::new(layout);
        let mut found = Found::default();
        let mut first = Some(0);
        if late {
            consumer.seek_newest(&*ring, 2);
            first = consumer.expected;
        } else {
            found.read(&mut consumer, &ring);
        }
        found.read(&mut consumer, &ring);
        writer.join().expect("the writer");
        while !found.ended {
            found.read(&mut consumer, &ring);
        }
        if let Some(first) = first {
            assert_eq!(found.records + found.lost, written - first, "every record is read or counted as lost");
        }
    });
}

#[test]
fn a_reader_that_is_overtaken_in_mid_copy_throws_the_copy_away() {
    // Two segments of one record: the third record overwrites the first.
    model(2, Layout { control: 0, data: 5, capacity: 4, segment: 2, least: 2 }, 3, 1, false);
}

#[test]
fn a_reader_that_comes_late_knows_where_it_stands() {
    model(2, Layout { control: 0, data: 5, capacity: 8, segment: 4, least: 2 }, 3, 1, true);
}

#[test]
fn batches_and_padding_are_no_different() {
    // Segments of two records; five records in batches of two, the last of which is published by the end.
    model(2, Layout { control: 0, data: 5, capacity: 8, segment: 4, least: 2 }, 5, 2, false);
}
