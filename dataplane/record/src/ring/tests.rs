//! The ring in one thread: what is put is read, what is overwritten is counted, what is broken is survived.

use std::path::PathBuf;

use super::{BYTES_MIN, Batch, Reader, RingError, Writer};
use crate::head::{HEAD_WORDS, Head, WORDS_MAX};
use crate::output::Output;
use crate::record::Record;

/// A ring's path in a folder that is removed in the end.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary folder"))
    }

    fn ring(&self) -> PathBuf {
        self.0.path().join("ring-0")
    }
}

fn record(number: u64) -> Record {
    Head { flow_id: number, octets: [number * 3, !number], ..Head::default() }.into()
}

fn put(writer: &mut Writer, numbers: std::ops::Range<u64>) {
    for number in numbers {
        record(number).put(writer);
    }
    writer.publish();
}

/// Reads until there is no more; each record must be whole and the next one of its ring.
fn drain(reader: &mut Reader) -> (Vec<u64>, Batch) {
    let mut numbers = Vec::new();
    let mut sum = Batch::default();
    loop {
        let batch = reader.read(100, |read| {
            assert_eq!(Record::from(read), record(read.flow_id()));
            numbers.push(read.flow_id());
        });
        sum.records += batch.records;
        sum.lost += batch.lost;
        sum.damaged += batch.damaged;
        sum.ended |= batch.ended;
        if !batch.more {
            return (numbers, sum);
        }
    }
}

#[test]
fn what_is_published_is_read_in_order() {
    let place = Place::new();
    let mut writer = Writer::create(&place.ring(), BYTES_MIN, 3).expect("a ring");
    let mut reader = Reader::open(&place.ring()).expect("a reader");
    assert_eq!(reader.worker(), 3);
    assert_eq!(reader.pid(), std::process::id());
    assert_eq!(reader.instance(), writer.instance());
    put(&mut writer, 0..1000);
    let (numbers, sum) = drain(&mut reader);
    assert_eq!(numbers, (0..1000).collect::<Vec<_>>());
    assert_eq!(sum, Batch { records: 1000, ..Batch::default() });
}

#[test]
fn a_record_that_does_not_fit_is_told_as_lost() {
    let place = Place::new();
    let mut writer = Writer::create(&place.ring(), BYTES_MIN, 0).expect("a ring");
    let mut reader = Reader::open(&place.ring()).expect("a reader");
    let long = |words: usize| vec![200 << 16 | words as u64 & 0xffff; words];
    put(&mut writer, 0..10);
    writer.put_words(&record(10).encode(), &long(WORDS_MAX - HEAD_WORDS + 1));
    put(&mut writer, 11..20);
    let (numbers, sum) = drain(&mut reader);
    assert_eq!((numbers.len(), sum.records, sum.lost, sum.damaged), (19, 19, 1, 0));
    // Also the last one, behind which no record tells.
    writer.put_words(&record(20).encode(), &long(WORDS_MAX));
    assert_eq!(writer.records(), 21);
    drop(writer);
    let (numbers, sum) = drain(&mut reader);
    assert_eq!((numbers.len(), sum.lost, sum.ended), (0, 1, true));
}

#[test]
fn a_ring_below_the_minimum_is_refused_with_the_minimum() {
    let error = Writer::create(&Place::new().ring(), BYTES_MIN - 8, 0).expect_err("too small");
    assert!(matches!(error, RingError::TooSmall { .. }), "{error}");
    assert!(error.to_string().contains("262144"), "{error}");
}
