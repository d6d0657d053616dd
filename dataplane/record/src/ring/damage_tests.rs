//! What somebody else does to a ring's file: both sides survive it, go on, and tell no loss that cannot be.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::{BYTES_MIN, Reader, RingError, Writer};
use crate::head::{HEAD_WORDS, Head};
use crate::output::Output;
use crate::record::Record;

/// What the log says of it, and what is done to the file.
type Spoil<'a> = (&'a str, &'a dyn Fn(&Path));

const CONTROL: u64 = 16 * 8;

fn place() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("ring-0");
    (folder, path)
}

fn record(number: u64) -> Record {
    Head { flow_id: number, octets: [number * 3, !number], ..Head::default() }.into()
}

fn put(writer: &mut Writer, numbers: std::ops::Range<u64>) {
    numbers.for_each(|number| record(number).put(writer));
    writer.publish();
}

fn spoil(path: &Path, at: u64, bytes: &[u8]) {
    OpenOptions::new().write(true).open(path).and_then(|file| file.write_all_at(bytes, at)).expect("to write into it");
}

/// Everything that can be read: numbers, lost, damaged.
fn drain(reader: &mut Reader) -> (Vec<u64>, u64, u64) {
    let (mut numbers, mut lost, mut damaged) = (Vec::new(), 0u64, 0u64);
    for _ in 0..100_000 {
        let batch = reader.read(100, |read| numbers.push(read.flow_id()));
        lost = lost.checked_add(batch.lost).expect("a loss that can be");
        damaged += batch.damaged;
        if !batch.more {
            return (numbers, lost, damaged);
        }
    }
    panic!("reading comes to no end");
}

/// Random numbers that are the same each time (Knuth, MMIX).
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 ^ self.0 >> 32
    }

    fn below(&mut self, end: u64) -> u64 {
        (self.next() >> 16) % end
    }

    fn bytes(&mut self, words: u64) -> Vec<u8> {
        (0..words).flat_map(|_| self.next().to_le_bytes()).collect()
    }
}

#[test]
fn a_ring_that_is_cut_removed_exchanged_or_overwritten_gets_a_successor_that_tells_the_loss() {
    let cut = |bytes| move |path: &Path| OpenOptions::new().write(true).open(path).and_then(|file| file.set_len(bytes)).expect("cut");
    let noise = Noise(7).bytes(8192);
    let spoils: [Spoil<'_>; 6] = [
        ("was cut", &cut(0)),
        ("was cut", &cut(4096)),
        ("was cut", &cut(100_000)),
        ("was removed", &|path| std::fs::remove_file(path).expect("removed")),
        ("was replaced", &|path| {
            let other = path.with_extension("other");
            std::fs::write(&other, "other").and_then(|()| std::fs::rename(&other, path)).expect("exchanged");
        }),
        ("was overwritten", &|path| spoil(path, 0, &noise)),
    ];
    for (what, spoil) in spoils {
        let (_folder, path) = place();
        let mut writer = Writer::create(&path, BYTES_MIN, 3).expect("a ring");
        let keeper = writer.keeper();
        let mut reader = Reader::open(&path).expect("a reader");
        put(&mut writer, 0..500);
        assert_eq!(drain(&mut reader), ((0..500).collect(), 0, 0));
        let mut late = Reader::open(&path).expect("a reader");
        late.seek_oldest();
        let cursor = reader.cursor();
        assert_eq!(keeper.check().expect("nothing to do"), None);
        spoil(&path);
        let _ = drain(&mut late);
        // Nobody has noticed yet: these are written to where nobody reads, or are read.
        put(&mut writer, 500..600);
        let (read, lost, _) = drain(&mut reader);
        assert_eq!(lost, 0, "{what}");
        let said = keeper.check().expect("a new file").expect(what);
        assert!(said.starts_with(what), "{said}");
        put(&mut writer, 600..650);
        assert!(!reader.follow().unwrap_or(false), "it has no name yet");
        assert_eq!(keeper.check().expect("named"), None);
        let (more, lost, _) = drain(&mut reader);
        assert_eq!(lost, 0, "{what}");
        assert!(reader.follow().expect("the new ring"), "{what}");
        put(&mut writer, 650..700);
        let (numbers, lost, _) = drain(&mut reader);
        assert_eq!(numbers, (650..700).collect::<Vec<_>>(), "{what}");
        assert_eq!((read.len() + more.len()) as u64 + lost, 150, "{what}: every record is read or counted as lost");
        assert_eq!((reader.worker(), writer.records()), (3, 700));
        // A client that comes back with a cursor of the old ring.
        let mut back = Reader::open(&path).expect("a reader");
        assert!(back.seek(cursor));
        assert_eq!(drain(&mut back), ((650..700).collect(), 150, 0), "{what}");
        assert_eq!(keeper.check().expect("nothing to do"), None, "{what}");
    }
}

#[test]
fn noise_in_a_live_ring_is_no_loss_beyond_what_was_written_and_the_reader_comes_back() {
    let holds = (BYTES_MIN / 8 / HEAD_WORDS) as u64;
    for seed in 0..150 {
        let (_folder, path) = place();
        let mut noise = Noise(seed);
        let mut writer = Writer::create(&path, BYTES_MIN, 0).expect("a ring");
        let mut reader = Reader::open(&path).expect("a reader");
        let (mut written, mut read, mut lost, mut damaged) = (0, 0u64, 0u64, 0);
        for _ in 0..60 {
            let count = noise.below(400);
            put(&mut writer, written..written + count);
            written += count;
            if noise.below(3) != 0 {
                let (numbers, more, bad) = drain(&mut reader);
                assert!(numbers.iter().all(|number| *number < written), "seed {seed}");
                (read, lost, damaged) = (read + numbers.len() as u64, lost + more, damaged + bad);
            }
            match noise.below(6) {
                // One word of what the writer announces, with a number that might be one.
                0 => {
                    let value = match noise.below(5) {
                        0 => noise.next(),
                        1 => noise.below(1 << 20),
                        2 => noise.below(1 << 40) << 12,
                        3 => 0,
                        _ => u64::MAX,
                    };
                    spoil(&path, CONTROL + noise.below(5) * 8, &value.to_le_bytes());
                }
                // The whole line.
                1 => spoil(&path, CONTROL, &noise.bytes(5)),
                // Some records.
                2 => spoil(&path, 512 + noise.below(BYTES_MIN as u64 / 8 - 64) * 8, &noise.bytes(64)),
                // All of it, or zeros.
                3 if noise.below(4) == 0 => spoil(&path, CONTROL, &noise.bytes(BYTES_MIN as u64 / 8)),
                3 => spoil(&path, CONTROL, &[0; 512]),
                _ => {}
            }
            assert!(lost <= written + holds, "seed {seed}: {lost} lost of {written}");
        }
        // The noise is over: what the writer writes now is read. ENDED alone is its own only at the very end.
        spoil(&path, CONTROL + 32, &[0; 8]);
        for _ in 0..3 {
            put(&mut writer, written..written + 400);
            written += 400;
            let (numbers, more, bad) = drain(&mut reader);
            (read, lost, damaged) = (read + numbers.len() as u64, lost + more, damaged + bad);
        }
        put(&mut writer, written..written + 100);
        written += 100;
        let (numbers, more, bad) = drain(&mut reader);
        assert_eq!((numbers, more, bad), ((written - 100..written).collect(), 0, 0), "seed {seed}: {damaged} damages");
        assert!(read + lost <= written + holds, "seed {seed}: {read} read and {lost} lost of {written}");
    }
}

#[test]
fn what_a_reader_that_comes_meanwhile_finds_is_no_trap() {
    let (_folder, path) = place();
    let mut writer = Writer::create(&path, BYTES_MIN, 0).expect("a ring");
    put(&mut writer, 0..100);
    spoil(&path, CONTROL, &Noise(3).bytes(4));
    let mut reader = Reader::open(&path).expect("a reader");
    assert_eq!(drain(&mut reader), (vec![], 0, 1), "counted once");
    assert_eq!(drain(&mut reader), (vec![], 0, 0), "not at every look");
    put(&mut writer, 100..110);
    assert_eq!(drain(&mut reader), (vec![], 0, 0), "it begins with what comes now");
    put(&mut writer, 110..120);
    assert_eq!(drain(&mut reader), ((110..120).collect(), 0, 0));
}

#[test]
fn a_ring_of_another_version_says_which_side_is_older() {
    let newer = "this program is older: install the version of the dataplane";
    let older = "the dataplane is older: restart it in this version";
    let records = u64::from(crate::VERSION);
    for (at, version, says) in
        [(1, 2u64, newer), (10, records - 1, older), (10, records + 1, newer), (1, u64::MAX, "damaged"), (10, 1 << 40, "damaged")]
    {
        let (_folder, path) = place();
        let _writer = Writer::create(&path, BYTES_MIN, 0).expect("a ring");
        spoil(&path, at * 8, &version.to_le_bytes());
        let error = Reader::open(&path).expect_err("another version");
        assert!(error.to_string().contains(says), "{error}");
        if says != "damaged" {
            assert!(matches!(error, RingError::Version { .. }), "{error}");
            let program = format!("sonde-dataplane version {}, process {}", env!("CARGO_PKG_VERSION"), std::process::id());
            assert!(error.to_string().contains(&program), "{error}");
        }
    }
}
