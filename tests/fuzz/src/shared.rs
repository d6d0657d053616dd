//! Shared memory that another process wrote: the record ring and the stats segment.

use std::cell::RefCell;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use sonde_export::{Fields, FileWriter, Options};
use sonde_record::RecordView;
use sonde_record::ring::{BYTES_MIN, Reader, Writer};
use sonde_stats::{Block, Info, Kind, Segment, View};
use sonde_tests::collector::Decoder;
use tempfile::TempDir;

use super::input::Input;

/// A file that begins as something good, is changed for one input, and mended.
struct Victim {
    _folder: TempDir,
    path: PathBuf,
    file: File,
    good: Vec<u8>,
}

impl Victim {
    /// `make` gives what has to live for the file to stay good until it is read.
    fn new<T>(make: impl FnOnce(&std::path::Path) -> T) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (made, path) = (folder.path().join("made"), folder.path().join("victim"));
        let owner = make(&made);
        let good = std::fs::read(&made).expect("what was made");
        drop(owner);
        std::fs::write(&path, &good).expect("a copy");
        let file = OpenOptions::new().write(true).open(&path).expect("the copy");
        Self { _folder: folder, path, file, good }
    }

    /// Writes at a byte, as far as the file goes.
    fn write(&self, at: usize, bytes: &[u8]) {
        let room = self.good.len().saturating_sub(at).min(bytes.len());
        self.file.write_all_at(&bytes[..room], at as u64).expect("to change the copy");
    }

    /// Puts back what stood there.
    fn mend(&self, at: usize, length: usize) {
        let end = at.saturating_add(length).min(self.good.len());
        if let Some(bytes) = self.good.get(at..end) {
            self.write(at, bytes);
        }
    }
}

/// Words of a ring's file that the reader takes for its shape, and those the writer announces with (`dataplane/record/src/ring/layout.rs`).
pub(super) const SHAPE_AT: usize = 2 * 8;
pub(super) const SHAPE: usize = 5 * 8;
pub(super) const CONTROL_AT: usize = 16 * 8;
pub(super) const CONTROL: usize = 5 * 8;
pub(super) const DATA_AT: usize = 64 * 8;
/// Records asked for at once, and calls: more than a ring of the least size holds.
const AT_ONCE: usize = 64;
const CALLS_MAX: usize = 64;

/// A ring's file. One byte of choices; the shape, if it says so; what the writer announces; the words of the records. What the last
/// byte of choices says is written while a reader has it open.
///
/// The reader hands over no more than it was asked for, and comes to an end; what it hands over can be exported, and a collector
/// finds as many records.
pub fn ring(data: &[u8]) {
    thread_local!(static VICTIM: RefCell<Option<Victim>> = const { RefCell::new(None) });
    VICTIM.with_borrow_mut(|victim| {
        let victim = victim.get_or_insert_with(|| Victim::new(|path| drop(Writer::create(path, BYTES_MIN, 1).expect("a ring"))));
        let mut input = Input(data);
        let choice = input.byte();
        if choice & 1 != 0 {
            victim.write(SHAPE_AT, input.bytes(SHAPE));
        }
        victim.write(CONTROL_AT, input.bytes(CONTROL));
        let (later, now) = if choice & 2 != 0 { input.0.split_at(input.0.len() / 2) } else { ([].as_slice(), input.0) };
        victim.write(DATA_AT, now);
        if let Ok(mut reader) = Reader::open(&victim.path) {
            drain(&mut reader, Fields::Standard);
            reader.seek_oldest();
            drain(&mut reader, Fields::Full);
            let cursor = reader.cursor();
            // The writer goes on meanwhile.
            victim.write(DATA_AT, later);
            victim.write(CONTROL_AT, later);
            drain(&mut reader, Fields::Standard);
            reader.seek_oldest();
            drain(&mut reader, Fields::Standard);
            reader.seek(cursor);
            drain(&mut reader, Fields::Standard);
        }
        victim.mend(0, DATA_AT + data.len());
    });
}

fn drain(reader: &mut Reader, fields: Fields) {
    let mut file = FileWriter::new(Vec::new(), 1, Options { fields, ..Options::default() });
    drain_into(reader, |record| file.write(record).expect("memory is never full"));
    let (bytes, totals) = file.finish().expect("memory is never full");
    let collected = Decoder::file(&bytes);
    assert_eq!(collected.faults, Vec::<String>::new());
    assert_eq!((collected.records.len() as u64, collected.missing), (totals.records, 0));
}

fn drain_into(reader: &mut Reader, mut take: impl FnMut(&RecordView<'_>)) {
    for _ in 0..CALLS_MAX {
        let mut taken = 0;
        let batch = reader.read(AT_ONCE, |record| {
            taken += 1;
            take(record);
        });
        assert_eq!(batch.records, taken);
        assert!(taken <= AT_ONCE, "{taken} records, and {AT_ONCE} were asked for");
        if !batch.more {
            return;
        }
    }
}

/// A stats segment. With a first byte that is even: all of its file. Else changes of a good one: two bytes which word, then its value.
///
/// Whatever stands in it, looking at it comes to an end.
pub fn stats(data: &[u8]) {
    thread_local!(static VICTIM: RefCell<Option<Victim>> = const { RefCell::new(None) });
    VICTIM.with_borrow_mut(|victim| {
        let victim = victim.get_or_insert_with(|| Victim::new(good_segment));
        let mut input = Input(data);
        if input.byte() & 1 == 0 {
            let path = victim.path.with_extension("whole");
            std::fs::write(&path, input.0).expect("room for it");
            if let Ok(view) = View::open(&path) {
                look(&view);
            }
            return;
        }
        let old = View::open(&victim.path).expect("it was mended");
        let mut changed = Vec::new();
        while !input.is_empty() {
            let at = (usize::from(input.byte()) | usize::from(input.byte()) << 8) % (victim.good.len() / 8) * 8;
            victim.write(at, &input.word().to_le_bytes());
            changed.push(at);
        }
        look(&old);
        if let Ok(new) = View::open(&victim.path) {
            look(&new);
        }
        changed.iter().for_each(|at| victim.mend(*at, 8));
    });
}

/// Makes a segment. Its blocks are in it until they are dropped.
pub(super) fn good_segment(path: &std::path::Path) -> [Block; 4] {
    let info = Info { instance: "core".to_owned(), version: "1".to_owned(), pid: 1, started_ns: 2, ..Info::default() };
    let segment = Segment::create_sized(path, &info, 32 << 10).expect("a segment");
    let kinds = [(Kind::Process, "process"), (Kind::Worker, "worker"), (Kind::Port, "port"), (Kind::Exporter, "exporter")];
    kinds.map(|(kind, name)| {
        let block = segment.block(kind, name, &["one", "two"]).expect("a block");
        block.add(0, 5);
        block.text("state", "up");
        block
    })
}

/// Everything a reader does.
fn look(view: &View) {
    let snapshot = view.snapshot();
    for block in &snapshot.blocks {
        let _ = (block.counter("one"), block.text("state"));
    }
    let _ = (view.heartbeat_ns(), view.ended(), view.replaced(), view.info());
}
