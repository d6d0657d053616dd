//! What somebody else does to the file: the counters survive it, and the file is whole again.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use sonde_stats::{Block, Info, Kind, Segment, StatsError, View};

/// What the log says of it, and what is done to the file.
type Spoil<'a> = (&'a str, &'a dyn Fn(&Path));

struct Shown {
    _folder: tempfile::TempDir,
    path: PathBuf,
    segment: Segment,
    worker: Block,
    exporter: Block,
}

fn shown() -> Shown {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("stats");
    let info = Info { instance: "core".to_owned(), version: "7.8.9".to_owned(), pid: 42, started_ns: 2, ..Info::default() };
    let segment = Segment::create(&path, &info).expect("a segment");
    let worker = segment.block_of(Kind::Worker, "worker-0", &["received", "metered"], &["core"]).expect("a block");
    let exporter = segment.block(Kind::Exporter, "exporters/a", &["records"]).expect("a block");
    worker.publish([10, 10, 3].iter());
    exporter.add(0, 5);
    exporter.text("state", "connected");
    Shown { _folder: folder, path, segment, worker, exporter }
}

fn write(path: &Path, at: u64, bytes: &[u8]) {
    OpenOptions::new().write(true).open(path).and_then(|file| file.write_all_at(bytes, at)).expect("to write into it");
}

/// Counters and texts of both blocks, as a reader that comes now sees them.
fn seen(path: &Path) -> String {
    let snapshot = View::open(path).expect("a segment").snapshot();
    assert_eq!(snapshot.skipped, 0);
    snapshot.blocks.iter().map(|block| format!("{} {:?} {:?} {};", block.name, block.counters, block.texts, block.consistent)).collect()
}

#[test]
fn a_segment_that_is_cut_removed_exchanged_or_overwritten_is_whole_again_with_every_count() {
    let noise: Vec<u8> = (0..1u32 << 20).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).take(2 << 20).collect();
    let spoil: [Spoil<'_>; 6] = [
        ("was cut", &|path| OpenOptions::new().write(true).open(path).and_then(|file| file.set_len(4096)).expect("cut")),
        ("was cut", &|path| OpenOptions::new().write(true).open(path).and_then(|file| file.set_len(0)).expect("cut")),
        ("was removed", &|path| std::fs::remove_file(path).expect("removed")),
        ("was replaced", &|path| {
            std::fs::write(path.with_extension("other"), "other")
                .and_then(|()| std::fs::rename(path.with_extension("other"), path))
                .expect("exchanged");
        }),
        ("was overwritten", &|path| write(path, 0, &noise)),
        // The value of one counter that nobody changes.
        ("was overwritten", &|path| {
            let bytes = std::fs::read(path).expect("its bytes");
            let records = bytes.chunks(8).rposition(|word| word == 5u64.to_le_bytes()).expect("the exporter's records");
            write(path, records as u64 * 8, &[1; 8]);
        }),
    ];
    for (what, spoil) in spoil {
        let Shown { path, segment, worker, exporter, _folder } = shown();
        let before = seen(&path);
        assert_eq!(segment.mend().expect("nothing to do"), None);
        let old = View::open(&path).expect("a view");
        spoil(&path);
        // Who had it open sees no block, or wrong ones, and lives.
        let _ = old.snapshot();
        // Noise is told from a word that is being written by a second look.
        let said = segment.mend().expect("a new file").or_else(|| segment.mend().expect("a new file"));
        assert!(said.as_ref().is_some_and(|said| said.starts_with(what)), "{what}: {said:?}");
        assert_eq!(seen(&path), before, "{what}");
        assert!(old.replaced());
        worker.publish([11, 11, 3].iter());
        exporter.add(0, 1);
        let after = seen(&path);
        assert!(after.contains(r#"[("received", 11), ("metered", 11), ("core", 3)]"#), "{after}");
        assert!(after.contains(r#"[("records", 6)]"#), "{after}");
        assert_eq!(segment.mend().expect("nothing to do"), None, "{what}");
    }
}

#[test]
fn a_writer_that_is_killed_in_the_middle_of_a_publication_leaves_the_one_before() {
    let Shown { path, worker, _folder, .. } = shown();
    worker.publish([20, 20, 3].iter());
    let bytes = std::fs::read(&path).expect("its bytes");
    // The slot that is not shown holds the publication before: its writer came as far as the first word of the next.
    let at = bytes.chunks(8).zip(bytes.chunks(8).skip(1)).position(|pair| pair == (&10u64.to_le_bytes()[..], &10u64.to_le_bytes()[..]));
    write(&path, at.expect("the slot") as u64 * 8, &30u64.to_le_bytes());
    let after = seen(&path);
    assert!(after.contains(r#"[("received", 20), ("metered", 20), ("core", 3)]"#), "{after}");
    assert!(after.contains("true"), "{after}");
}

#[test]
fn a_segment_of_another_version_says_which_side_is_older() {
    for (version, older) in
        [(1u64, "the dataplane is older: restart it"), (3, "this program is older: install the version of the dataplane")]
    {
        let Shown { path, _folder, .. } = shown();
        write(&path, 8, &version.to_le_bytes());
        let error = View::open(&path).expect_err("another version");
        assert!(matches!(error, StatsError::Version { .. }), "{error}");
        let said = error.to_string();
        assert!(said.contains("sonde-dataplane version 7.8.9, process 42") && said.contains(older), "{said}");
    }
    let Shown { path, _folder, .. } = shown();
    write(&path, 8, &u64::MAX.to_le_bytes());
    let error = View::open(&path).expect_err("damaged");
    assert!(error.to_string().contains("damaged"), "{error}");
}
