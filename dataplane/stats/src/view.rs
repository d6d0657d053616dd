//! A segment as others see it. Trusts nothing in it.

use std::path::Path;
use std::sync::atomic::{Ordering, fence};

use sonde_memory::{ReadMap, SharedMap};

use crate::layout::{
    BLOCKS_AT, COUNTERS_MAX, DIRECTORY_AT, ENDED_AT, ENTRIES, ENTRIES_AT, ENTRY, HEARTBEAT_AT, INFO_AT, INFO_WORDS, Kind, MAGIC, MAGIC_AT,
    Memory, NAME, PID_AT, STARTED_AT, Shape, TEXT, TEXTS_MAX, VALUE, VERSION, VERSION_AT, WORDS_AT, unpack,
};
use crate::{Info, StatsError};

/// No version of the layout will be above this: what is, is damage.
const VERSIONS_MAX: u64 = 10_000;
/// Tries to copy a block or text that its writer is changing.
const TRIES_MAX: usize = 8;
/// Tries to copy counters between two publications. A worker publishes every few microseconds, a copy takes less than one.
const TOGETHER_TRIES_MAX: usize = 1000;

/// A segment, mapped read-only.
#[derive(Debug)]
pub struct View {
    map: ReadMap,
    info: Info,
}

/// What a segment held at one look. Counters of one block that are published together belong to the same moment, others almost.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Snapshot {
    /// The blocks, in the order of the directory.
    pub blocks: Vec<BlockView>,
    /// Blocks that failed a check, or did not hold still. Zero unless somebody else wrote to the segment, or a block came or went
    /// at this moment.
    pub skipped: usize,
}

/// One block at one look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockView {
    /// Unique in the segment's life: a new block that took an old one's place has another id, and its counters began at zero.
    pub id: u64,
    /// What it counts.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// Names and values.
    pub counters: Vec<(String, u64)>,
    /// Labels and texts.
    pub texts: Vec<(String, String)>,
    /// Whether the counters that are published together are of one publication. `false` when the writer published faster, time after
    /// time, than they could be copied, or somebody else writes there: then they are the last that were seen.
    pub consistent: bool,
}

impl BlockView {
    /// The value of a counter, if there is one of this name.
    pub fn counter(&self, name: &str) -> Option<u64> {
        self.counters.iter().find(|(known, _)| known == name).map(|(_, value)| *value)
    }

    /// The text with this label, if there is one.
    pub fn text(&self, label: &str) -> Option<&str> {
        self.texts.iter().find(|(known, _)| known == label).map(|(_, value)| value.as_str())
    }
}

impl View {
    /// Maps the segment at `path`.
    ///
    /// # Errors
    /// [`StatsError::Missing`] when there is none, [`StatsError::Foreign`] when it is not a segment of this version.
    pub fn open(path: &Path) -> Result<Self, StatsError> {
        let map = SharedMap::open_readonly(path)
            .map_err(|error| if error.is_not_found() { StatsError::Missing { path: path.to_owned() } } else { StatsError::Map(error) })?;
        let word = |at| map.load(at).unwrap_or(0);
        if word(MAGIC_AT) == MAGIC && word(VERSION_AT) != VERSION && (1..=VERSIONS_MAX).contains(&word(VERSION_AT)) && !map.cut() {
            return Err(StatsError::Version {
                path: path.to_owned(),
                found: word(VERSION_AT),
                read: VERSION,
                program: read_text_at(&map, INFO_AT[1]).unwrap_or_default(),
                pid: u32::try_from(word(PID_AT)).unwrap_or(0),
            });
        }
        let info = read_info(&map).map_err(|found| StatsError::Foreign { path: path.to_owned(), found })?;
        Ok(Self { map, info })
    }

    /// Who writes it.
    pub fn info(&self) -> &Info {
        &self.info
    }

    /// When the process last said that it is alive, nanoseconds since 1970 UTC.
    pub fn heartbeat_ns(&self) -> u64 {
        self.map.load(HEARTBEAT_AT).unwrap_or(0)
    }

    /// Whether its writer has taken leave. One that crashed has not; its heartbeat stands still.
    pub fn ended(&self) -> bool {
        self.map.load(ENDED_AT).unwrap_or(0) != 0
    }

    /// Whether the path leads to another segment by now, or to none: the dataplane was restarted. Then open it again.
    pub fn replaced(&self) -> bool {
        self.map.replaced()
    }

    /// The blocks that are there. What fails a check is left out.
    pub fn blocks(&self) -> Vec<BlockView> {
        self.snapshot().blocks
    }

    /// The blocks that are there, and how many failed a check.
    pub fn snapshot(&self) -> Snapshot {
        let mut snapshot = Snapshot::default();
        for entry in 0..ENTRIES {
            match read_entry(&self.map, entry) {
                Entry::Free => {}
                Entry::Block(block) => snapshot.blocks.push(block),
                Entry::Skipped => snapshot.skipped += 1,
            }
        }
        snapshot
    }

    /// Whether the file was cut under this view: what was read of it before this said `false` is good.
    pub fn cut(&self) -> bool {
        self.map.cut()
    }

    /// The path it was opened by.
    pub fn path(&self) -> &Path {
        self.map.path()
    }
}

fn read_text_at(map: &ReadMap, at: usize) -> Option<String> {
    let mut words = [0; INFO_WORDS];
    map.copy(at, &mut words).and_then(|()| unpack(&words))
}

fn read_info(map: &ReadMap) -> Result<Info, String> {
    let word = |at| map.load(at).unwrap_or(0);
    if word(MAGIC_AT) != MAGIC {
        return Err("it does not begin as such".to_owned());
    }
    if word(VERSION_AT) != VERSION {
        return Err(format!("no layout has version {}", word(VERSION_AT)));
    }
    if word(WORDS_AT) != map.len() as u64 || map.len() < BLOCKS_AT || word(ENTRIES_AT) != ENTRIES as u64 {
        return Err(format!("it says {} words and {} blocks, and has {} words", word(WORDS_AT), word(ENTRIES_AT), map.len()));
    }
    let text = |at| read_text_at(map, at).ok_or_else(|| "one of its texts is damaged".to_owned());
    let [instance, version, memory, simd] = INFO_AT;
    Ok(Info {
        instance: text(instance)?,
        version: text(version)?,
        pid: u32::try_from(word(PID_AT)).map_err(|_| "its process id is out of range".to_owned())?,
        started_ns: word(STARTED_AT),
        memory: text(memory)?,
        simd: text(simd)?,
    })
}

enum Entry {
    Free,
    Block(BlockView),
    Skipped,
}

/// Reads the block of one entry of the directory. Its generation before and after says whether it held still.
fn read_entry(map: &ReadMap, entry: usize) -> Entry {
    let at = DIRECTORY_AT + entry * ENTRY;
    for _ in 0..TRIES_MAX {
        let Some(generation) = map.load(at) else { return Entry::Skipped };
        if generation % 2 == 0 {
            return Entry::Free;
        }
        fence(Ordering::Acquire);
        let block = read_block(map, at, generation << 16 | entry as u64);
        fence(Ordering::Acquire);
        if map.load(at) == Some(generation) {
            return block.map_or(Entry::Skipped, Entry::Block);
        }
    }
    Entry::Skipped
}

fn read_block(map: &ReadMap, at: usize, id: u64) -> Option<BlockView> {
    let kind = Kind::from_word(map.load(at + 1)?)?;
    let first = usize::try_from(map.load(at + 2)?).ok().filter(|first| (BLOCKS_AT..map.len()).contains(first))?;
    let counters = usize::try_from(map.load(at + 3)?).ok().filter(|counters| *counters <= COUNTERS_MAX)?;
    let together = usize::try_from(map.load(at + 4)?).ok().filter(|together| *together <= counters)?;
    parse(map, id, kind, first, Shape::new(counters, together))
}

/// Reads a block. `None` if it does not fit the memory, or a name is not one.
pub(crate) fn parse<M: Memory + ?Sized>(memory: &M, id: u64, kind: Kind, first: usize, shape: Shape) -> Option<BlockView> {
    let (mut values, consistent) = read_together(memory, first, shape)?;
    let behind = first.checked_add(shape.single)?;
    let mut words = vec![0; shape.texts - shape.single];
    memory.copy(behind, &mut words)?;
    values.extend(words.iter().take(shape.counters - shape.together));
    let part = |from: usize, to: usize| words.get(from - shape.single..to - shape.single);
    let name = unpack(part(shape.name, shape.texts)?)?;
    let names = part(shape.names, shape.name)?.chunks_exact(NAME).map(unpack);
    let counters = names.zip(&values).map(|(name, value)| Some((name?, *value))).collect::<Option<_>>()?;
    // A writer that died between two stores leaves a text half-made: the counters of the block are no worse for it.
    let places = (0..TEXTS_MAX).filter_map(|place| first.checked_add(shape.texts + place * TEXT));
    let texts = places.filter_map(|at| read_text(memory, at)).collect();
    Some(BlockView { id, kind, name, counters, texts, consistent })
}

/// The counters that are published together, and whether they are of one publication.
fn read_together<M: Memory + ?Sized>(memory: &M, first: usize, shape: Shape) -> Option<(Vec<u64>, bool)> {
    let mut values = vec![0; shape.together];
    if shape.together == 0 {
        return Some((values, true));
    }
    for _ in 0..TOGETHER_TRIES_MAX {
        let sequence = memory.load(first)?;
        fence(Ordering::Acquire);
        memory.copy(first.checked_add(shape.slot(sequence))?, &mut values)?;
        fence(Ordering::Acquire);
        if memory.load(first)? == sequence {
            return Some((values, true));
        }
        std::hint::spin_loop();
    }
    Some((values, false))
}

/// Reads a text; `None` where there is none yet, and where it is damaged or did not hold still.
fn read_text<M: Memory + ?Sized>(memory: &M, at: usize) -> Option<(String, String)> {
    let sequence_at = at.checked_add(NAME)?;
    for _ in 0..TRIES_MAX {
        let sequence = memory.load(sequence_at)?;
        if sequence == 0 {
            return None;
        }
        fence(Ordering::Acquire);
        let (mut label, mut value) = ([0; NAME], [0; VALUE]);
        memory.copy(at, &mut label)?;
        memory.copy(sequence_at.checked_add(1)?, &mut value)?;
        fence(Ordering::Acquire);
        if sequence % 2 == 0 && memory.load(sequence_at)? == sequence {
            return Some((unpack(&label)?, unpack(&value)?));
        }
        std::hint::spin_loop();
    }
    None
}
