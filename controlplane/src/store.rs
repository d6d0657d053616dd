//! The history of the settings: one file a generation, written whole or not at all.
//!
//! A generation is written under a temporary name, synced, renamed, and its directory synced: after a crash or on a full disk the
//! history is what it was before, or what it was with the new generation. A file that cannot be read is left where it is, said,
//! and its number is not used again.

use crate::document;
use serde::{Deserialize, Serialize};
use sonde_proto::v1::{Generation, Settings, UnreadableGeneration};
use sonde_settings::{convert, excerpt};
use sonde_system::{Folder, FolderError, Sharing};
use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// Generations kept that no operator labelled; the oldest ones beyond are removed.
const UNLABELLED_MAX: usize = 1000;
/// Those with an operator's words that are kept: nobody fills a disk with them.
const LABELLED_MAX: usize = 10_000;

/// Most characters of what is wrong in a file that cannot be read.
const REASON_MAX: usize = 1000;

/// Why the history cannot be used. Written for the operator.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The directory cannot be made or read.
    #[error("cannot use {} for the history of the settings: {cause}; give another directory with --state-dir", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// The directory, or a file in it, is one that another user could exchange.
    #[error("the history of the settings cannot be used: {0}; or give another directory with --state-dir")]
    Folder(#[from] FolderError),
    /// Another control plane has it.
    #[error("{} is in use by another control plane of this instance: stop that one, or give this one its own --state-dir or --instance", path.display())]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// No room for the new generation; the history is as it was.
    #[error(
        "the disk that holds {} is full: generation {number} was not stored and nothing was changed; free some space there (`df {}`) and \
         apply it again",
        path.display(),
        path.parent().unwrap_or(path).display()
    )]
    Full {
        /// The file.
        path: PathBuf,
        /// What was to be stored.
        number: u64,
    },
    /// The new generation could not be written; the history is as it was.
    #[error("generation {number} was not stored in {}, and nothing was changed: {cause}; see that this file can be written", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What was to be stored.
        number: u64,
        /// What the system said.
        cause: io::Error,
    },
}

/// A file that stands in the history and cannot be read.
#[derive(Clone, Debug)]
pub(crate) struct Damaged {
    /// Its number.
    pub number: u64,
    /// Which.
    pub path: PathBuf,
    /// Why.
    pub cause: String,
}

/// A generation as it stands on disk.
#[derive(Serialize, Deserialize)]
struct OnDisk {
    format: u32,
    number: u64,
    applied_at: String,
    author: String,
    comment: String,
    request_id: String,
    /// Its `boot` was meant to differ from what ran, and to be taken at the next start.
    #[serde(default)]
    boot_pending: bool,
    /// Version of the program that wrote it; one that did not say is older than 0.1.0.
    #[serde(default)]
    version: String,
    /// The comment is an operator's; `None`: of a version that did not tell.
    #[serde(default)]
    labelled: Option<bool>,
    settings: Settings,
}

const FORMAT: u32 = 1;
/// The file whose lock says that a control plane has the history.
const LOCK: &str = "lock";

/// What is written down with the settings.
#[derive(Clone, Debug, Default)]
pub(crate) struct Note {
    /// Who.
    pub author: String,
    /// Why.
    pub comment: String,
    /// The request.
    pub request_id: String,
    /// The comment is an operator's: the generation is kept when others are removed.
    pub labelled: bool,
    /// Its `boot` is meant to differ from what runs, and to be taken at the next start.
    pub boot_pending: bool,
}

/// A generation and what is kept of it beside.
#[derive(Clone, Debug, PartialEq)]
struct Kept {
    generation: Generation,
    labelled: bool,
    boot_pending: bool,
}

/// The history. One control plane at a time has it.
#[derive(Debug)]
pub(crate) struct Store {
    folder: Folder,
    generations: BTreeMap<u64, Kept>,
    /// Highest number that is or was taken.
    highest: u64,
    /// Files that cannot be read.
    damaged: Vec<Damaged>,
    /// Most generations without and with a label.
    most: [usize; 2],
    /// Held for its lock.
    _lock: File,
}

impl Store {
    /// Opens the history in a directory, which is made when it is not there.
    ///
    /// # Errors
    /// When the directory cannot be used, or another control plane has it.
    pub(crate) fn open(directory: &Path) -> Result<(Self, Vec<Damaged>), StoreError> {
        let made = Folder::make(directory, Sharing::Own).map_err(|error| match error {
            FolderError::System { path, cause, .. } => StoreError::Directory { path, cause },
            other => StoreError::Folder(other),
        })?;
        Self::open_in(&made)
    }

    /// Opens the history in a directory that is open.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub(crate) fn open_in(folder: &Folder) -> Result<(Self, Vec<Damaged>), StoreError> {
        let directory = folder.path();
        let lock = folder.open_or_create(LOCK)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(StoreError::InUse { path: directory.to_owned() }),
            Err(TryLockError::Error(cause)) => return Err(StoreError::Directory { path: directory.to_owned(), cause }),
        }
        let most = [UNLABELLED_MAX, LABELLED_MAX];
        let mut store = Self { folder: folder.clone(), generations: BTreeMap::new(), highest: 0, damaged: Vec::new(), most, _lock: lock };
        let mut damaged = Vec::new();
        for name in folder.names()? {
            let name = name.to_string_lossy().into_owned();
            if name.ends_with(".tmp") {
                // Left by a crash before its rename: never part of the history.
                folder.remove(&name)?;
                continue;
            }
            let Some(number) = name.strip_prefix("generation-").and_then(|n| n.strip_suffix(".json")).and_then(|n| n.parse().ok()) else {
                continue;
            };
            store.highest = store.highest.max(number);
            let path = folder.at(&name);
            match read(folder, &name, number) {
                Ok(kept) => {
                    store.generations.insert(number, kept);
                }
                Err(cause) => damaged.push(Damaged { number, path, cause }),
            }
        }
        damaged.sort_by_key(|file| file.number);
        store.damaged.clone_from(&damaged);
        store.forget_oldest();
        Ok((store, damaged))
    }

    /// Files that stand in the history and cannot be read, for who asks.
    pub(crate) fn unreadable(&self) -> Vec<UnreadableGeneration> {
        let one = |file: &Damaged| UnreadableGeneration {
            number: file.number,
            path: file.path.display().to_string(),
            reason: format!("{}; the file is left as it is, remove it when nobody needs it", file.cause),
        };
        self.damaged.iter().map(one).collect()
    }

    /// The number of the newest generation, where its file cannot be read.
    pub(crate) fn damaged_newest(&self) -> Option<u64> {
        let newest = self.damaged.last()?.number;
        self.generations.last_key_value().is_none_or(|(number, _)| *number < newest).then_some(newest)
    }

    /// The generation that is desired: the newest.
    pub(crate) fn newest(&self) -> Option<&Generation> {
        self.generations.last_key_value().map(|(_, k)| &k.generation)
    }

    /// Takes note that the newest generation's `boot` runs now: it is pending no more.
    ///
    /// # Errors
    /// When that could not be written.
    pub(crate) fn boot_taken(&mut self) -> Result<(), StoreError> {
        let Some(newest) = self.generations.last_key_value().map(|(_, kept)| kept.clone()) else { return Ok(()) };
        let number = newest.generation.number;
        let taken = Kept { boot_pending: false, ..newest };
        self.replace(number, &OnDisk::of(taken.clone())).map_err(|cause| self.failed(number, cause))?;
        self.generations.insert(number, taken);
        Ok(())
    }

    fn path(&self, number: u64) -> PathBuf {
        self.folder.at(&name(number))
    }

    fn failed(&self, number: u64, cause: io::Error) -> StoreError {
        let path = self.path(number);
        match cause.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StoreError::Full { path, number },
            _ => StoreError::Write { path, number, cause },
        }
    }

    /// Whether the newest generation's `boot` was meant to differ from what ran when it was stored.
    pub(crate) fn boot_pending(&self) -> bool {
        self.generations.last_key_value().is_some_and(|(_, k)| k.boot_pending)
    }

    /// One generation.
    pub(crate) fn get(&self, number: u64) -> Option<&Generation> {
        self.generations.get(&number).map(|k| &k.generation)
    }

    /// The generation a request made, if it made one.
    pub(crate) fn by_request(&self, request_id: &str) -> Option<&Generation> {
        self.generations.values().rev().map(|k| &k.generation).find(|g| g.request_id == request_id)
    }

    /// Generations older than `before` (all when `None`), newest first.
    pub(crate) fn older(&self, before: Option<u64>) -> impl Iterator<Item = &Generation> {
        self.generations.range(..before.unwrap_or(u64::MAX)).rev().map(|(_, k)| &k.generation)
    }

    /// The number the next generation gets, at least `least`.
    pub(crate) fn next_number(&self, least: u64) -> u64 {
        (self.highest + 1).max(least)
    }

    /// Appends a generation with [`Store::next_number`]`(least)`. When this returns it is on disk.
    ///
    /// # Errors
    /// When it could not be written; the history is as it was.
    pub(crate) fn append(
        &mut self,
        settings: Settings,
        note: Note,
        now: prost_types::Timestamp,
        least: u64,
    ) -> Result<Generation, StoreError> {
        let number = self.next_number(least);
        let on_disk = OnDisk {
            format: FORMAT,
            number,
            applied_at: now.to_string(),
            author: note.author,
            comment: note.comment,
            request_id: note.request_id,
            boot_pending: note.boot_pending,
            version: convert::VERSION.to_owned(),
            labelled: Some(note.labelled),
            settings,
        };
        self.write(number, &on_disk).map_err(|cause| self.failed(number, cause))?;
        let kept = on_disk.kept(now);
        let generation = kept.generation.clone();
        self.highest = number;
        self.generations.insert(number, kept);
        self.forget_oldest();
        Ok(generation)
    }

    fn write(&self, number: u64, on_disk: &OnDisk) -> io::Result<()> {
        let written = self.replace(number, on_disk);
        if written.is_err() {
            // It may have been renamed and not be synced: the history stays what it was. That it is not there is no trouble.
            let _ = self.folder.remove(&name(number));
        }
        written
    }

    fn replace(&self, number: u64, on_disk: &OnDisk) -> io::Result<()> {
        let mut draft = self.folder.draft(&name(number)).map_err(FolderError::into_io)?;
        serde_json::to_writer_pretty(draft.file(), on_disk)?;
        draft.file().write_all(b"\n")?;
        draft.file().sync_all()?;
        draft.commit().map_err(FolderError::into_io)?;
        self.folder.sync().map_err(FolderError::into_io)
    }

    /// Takes the newest generation back: the dataplane refused it, and it was never in force.
    pub(crate) fn withdraw(&mut self, number: u64) -> io::Result<()> {
        let path = self.path(number);
        let named = |cause: FolderError| {
            let cause = cause.into_io();
            io::Error::new(cause.kind(), format!("{}: {cause}; remove it by hand", path.display()))
        };
        self.folder.remove(&name(number)).map_err(named)?;
        self.generations.remove(&number);
        self.highest = number.saturating_sub(1);
        self.folder.sync().map_err(named)
    }

    /// Removes the oldest generations that are too many; the newest never is one.
    fn forget_oldest(&mut self) {
        for (labelled, most) in [false, true].into_iter().zip(self.most) {
            let alike = |kept: &&Kept| kept.labelled == labelled;
            let numbers: Vec<u64> = self.generations.values().filter(alike).map(|kept| kept.generation.number).collect();
            let newest = self.generations.last_key_value().map(|(number, _)| *number);
            let many = numbers.len().saturating_sub(most);
            for number in numbers.into_iter().take(many).filter(|number| Some(*number) != newest) {
                self.generations.remove(&number);
                // The file of a forgotten generation is harmless where it cannot be removed.
                let _ = self.folder.remove(&name(number));
            }
        }
    }
}

/// Name of a generation's file.
fn name(number: u64) -> String {
    format!("generation-{number}.json")
}

/// Whether a file of this name is part of a history: nothing else may stand in a directory that root hands over.
pub(crate) fn is_part(name: &str) -> bool {
    name == LOCK || name.ends_with(".tmp") || name.starts_with("generation-") && name.ends_with(".json")
}

impl OnDisk {
    fn of(kept: Kept) -> Self {
        let Kept { generation, labelled, boot_pending } = kept;
        let Generation { number, applied_at, author, comment, request_id, settings, etag: _, version: _ } = generation;
        let applied_at = applied_at.unwrap_or_default().to_string();
        let (version, labelled, settings) = (convert::VERSION.to_owned(), Some(labelled), settings.unwrap_or_default());
        Self { format: FORMAT, number, applied_at, author, comment, request_id, boot_pending, version, labelled, settings }
    }

    fn kept(self, applied_at: prost_types::Timestamp) -> Kept {
        // Of a version that did not tell, every comment may be an operator's.
        let labelled = self.labelled.unwrap_or(!self.comment.is_empty());
        let generation = Generation {
            number: self.number,
            applied_at: Some(applied_at),
            author: self.author,
            comment: self.comment,
            request_id: self.request_id,
            etag: document::etag(self.number, &self.settings),
            version: self.version,
            settings: Some(self.settings),
        };
        Kept { generation, labelled, boot_pending: self.boot_pending }
    }
}

fn read(folder: &Folder, name: &str, number: u64) -> Result<Kept, String> {
    let mut text = Vec::new();
    let Some(mut file) = folder.open_file(name).map_err(|e| e.to_string())? else { return Err("it is gone".to_owned()) };
    file.read_to_end(&mut text).map_err(|e| e.to_string())?;
    let mut value: serde_json::Value = serde_json::from_slice(&text).map_err(|e| e.to_string())?;
    if let Some(format) = value.get("format").and_then(serde_json::Value::as_u64).filter(|format| *format != u64::from(FORMAT)) {
        return Err(format!("it has format {format}, this version reads format {FORMAT}"));
    }
    let version = value.get("version").and_then(serde_json::Value::as_str).unwrap_or_default().to_owned();
    let settings = value.get_mut("settings").map(serde_json::Value::take).unwrap_or_default();
    if !settings.is_object() {
        return Err("it has no settings".to_owned());
    }
    let mut table = document::from_json(settings)?;
    for converted in convert::document(&mut table, &version, None) {
        tracing::warn!("generation {number}: {converted}");
    }
    // A field that this version does not know would be lost when the generation is applied again.
    let settings = sonde_settings::document::from_table(&table).map_err(|violations| {
        let list: Vec<String> = violations.iter().map(ToString::to_string).collect();
        excerpt(&list.join("; "), REASON_MAX) + &convert::newer(&version, "sonde-controlplane")
    })?;
    value["settings"] = serde_json::to_value(Settings::default()).map_err(|e| e.to_string())?;
    let on_disk = OnDisk { settings, ..serde_json::from_value(value).map_err(|e| e.to_string())? };
    if on_disk.number != number {
        return Err(format!("it says it is generation {}", on_disk.number));
    }
    let applied_at = on_disk.applied_at.parse().map_err(|e| format!("applied_at {:?}: {e}", on_disk.applied_at))?;
    Ok(on_disk.kept(applied_at))
}

#[cfg(test)]
mod tests {
    use super::*;
    use sonde_proto::v1::{Live, Timeouts};
    use std::fs;

    fn settings(idle: u32) -> Settings {
        let timeouts = Timeouts { idle_timeout_ms: idle, ..Timeouts::default() };
        Settings { boot: None, live: Some(Live { timeouts: Some(timeouts), ..Live::default() }) }
    }

    fn note(request: &str) -> Note {
        let (comment, author) = ("why".into(), "who".into());
        Note { request_id: request.into(), comment, author, labelled: request.starts_with('l'), boot_pending: request == "b" }
    }

    fn append(store: &mut Store, idle: u32, request: &str) -> Generation {
        let now = prost_types::Timestamp { seconds: 1_700_000_000, nanos: 123_000_000 };
        store.append(settings(idle), note(request), now, 0).expect("stored")
    }

    #[test]
    fn the_history_survives_a_restart() {
        let dir = tempfile::tempdir().expect("a directory");
        let (mut store, _) = Store::open(dir.path()).expect("opens");
        let first = append(&mut store, 1000, "a");
        let second = append(&mut store, 2000, "b");
        assert_eq!((first.number, second.number), (1, 2));
        drop(store);
        let (store, damaged) = Store::open(dir.path()).expect("opens again");
        assert!(damaged.is_empty());
        assert_eq!(store.newest(), Some(&second));
        assert_eq!(store.get(1), Some(&first));
        assert!(store.boot_pending());
        assert_eq!(store.by_request("a"), Some(&first));
        assert_eq!(store.older(None).map(|g| g.number).collect::<Vec<_>>(), [2, 1]);
        assert_eq!(store.older(Some(2)).map(|g| g.number).collect::<Vec<_>>(), [1]);
        drop(store);
        let (mut store, _) = Store::open(dir.path()).expect("opens");
        store.boot_taken().expect("written");
        drop(store);
        let (store, _) = Store::open(dir.path()).expect("opens");
        assert!(!store.boot_pending());
        assert_eq!(store.newest(), Some(&second), "nothing else of it changed");
    }

    #[test]
    fn one_control_plane_at_a_time() {
        let dir = tempfile::tempdir().expect("a directory");
        let held = Store::open(dir.path()).expect("opens");
        assert!(matches!(Store::open(dir.path()), Err(StoreError::InUse { .. })));
        drop(held);
        Store::open(dir.path()).expect("free again");
    }

    #[test]
    fn a_damaged_file_is_said_and_its_number_not_used_again() {
        let dir = tempfile::tempdir().expect("a directory");
        let (mut store, _) = Store::open(dir.path()).expect("opens");
        append(&mut store, 1000, "a");
        append(&mut store, 2000, "b");
        drop(store);
        fs::write(dir.path().join("generation-2.json"), "{\"format\":1,").expect("written");
        fs::write(dir.path().join("generation-3.json.tmp"), "half").expect("written");
        let (mut store, damaged) = Store::open(dir.path()).expect("opens");
        assert_eq!(damaged.len(), 1);
        assert!(damaged[0].path.ends_with("generation-2.json"), "{damaged:?}");
        assert_eq!(store.newest().map(|g| g.number), Some(1));
        assert_eq!(append(&mut store, 3000, "c").number, 3);
        assert!(dir.path().join("generation-2.json").exists(), "it is left for the operator to look at");
    }

    #[test]
    fn the_oldest_are_forgotten_but_for_those_with_a_label() {
        let dir = tempfile::tempdir().expect("a directory");
        let (mut store, _) = Store::open(dir.path()).expect("opens");
        store.most = [3, 2];
        let numbers = |store: &Store| store.older(None).map(|g| g.number).collect::<Vec<_>>();
        for request in ["l1", "a", "b", "l2", "c", "d", "e"] {
            append(&mut store, 1000, request);
        }
        assert_eq!(numbers(&store), [7, 6, 5, 4, 1]);
        append(&mut store, 1000, "l3");
        assert_eq!(numbers(&store), [8, 7, 6, 5, 4], "of those with a label there are too many as well");
        let files = fs::read_dir(dir.path()).expect("read").flatten().filter(|f| f.path().extension().is_some_and(|e| e == "json")).count();
        assert_eq!(files, 5);
        drop(store);
        let (store, _) = Store::open(dir.path()).expect("opens");
        assert_eq!(numbers(&store), [8, 7, 6, 5, 4]);
        assert!(store.generations[&4].labelled && !store.generations[&7].labelled);
    }

    #[test]
    fn what_another_version_wrote_is_converted_or_left_with_the_reason() {
        let dir = tempfile::tempdir().expect("a directory");
        let (mut store, _) = Store::open(dir.path()).expect("opens");
        for request in ["a", "b", "c"] {
            let eal = sonde_proto::v1::Eal { extra_args: vec!["--no-hpet".into()], ..Default::default() };
            let boot = sonde_proto::v1::Boot { eal: Some(eal), ..Default::default() };
            let settings = Settings { boot: Some(boot), ..settings(1000) };
            store.append(settings, note(request), prost_types::Timestamp::default(), 0).expect("stored");
        }
        drop(store);
        let edit = |number: u64, from: &str, to: &str| {
            let path = dir.path().join(format!("generation-{number}.json"));
            let text = fs::read_to_string(&path).expect("read");
            assert!(text.contains(from), "{from}: {text}");
            fs::write(path, text.replace(from, to)).expect("written");
        };
        let version = format!("\"version\": \"{}\",", convert::VERSION);
        // As the version before the first one with a version wrote it.
        edit(1, &version, "");
        edit(1, "\"--no-hpet\"", "\"-d\", \"/tmp/a.so\", \"--no-hpet\"");
        edit(2, &version, "\"version\": \"99.0.0\",");
        edit(3, &version, "\"version\": \"99.0.0\",");
        edit(3, "\"idle_timeout_ms\"", "\"future\": 3, \"idle_timeout_ms\"");
        let (mut store, damaged) = Store::open(dir.path()).expect("opens");
        let arguments = |number| store.get(number).and_then(|g| g.settings.clone()?.boot?.eal).map(|eal| eal.extra_args);
        assert_eq!(arguments(1), Some(vec!["--no-hpet".to_owned()]));
        assert_eq!(arguments(2), Some(vec!["--no-hpet".to_owned()]), "a newer version that says nothing new is understood");
        assert_eq!((damaged.len(), damaged[0].number, store.damaged_newest()), (1, 3, Some(3)));
        let said = &store.unreadable()[0].reason;
        for word in ["live.timeouts.future", "written by sonde-controlplane 99.0.0", "restart sonde-controlplane", "is left as it is"] {
            assert!(said.contains(word), "{word}: {said}");
        }
        assert_eq!(append(&mut store, 1, "d").number, 4);
        assert_eq!((store.damaged_newest(), store.unreadable().len()), (None, 1));
    }

    #[test]
    fn a_withdrawn_generation_was_never_there() {
        let dir = tempfile::tempdir().expect("a directory");
        let (mut store, _) = Store::open(dir.path()).expect("opens");
        append(&mut store, 1000, "a");
        append(&mut store, 2000, "b");
        store.withdraw(2).expect("withdrawn");
        assert_eq!(store.newest().map(|g| g.number), Some(1));
        assert_eq!(append(&mut store, 3000, "c").number, 2);
    }

    #[test]
    fn what_cannot_be_written_changes_nothing() {
        let dir = tempfile::tempdir().expect("a directory");
        let (mut store, _) = Store::open(dir.path()).expect("opens");
        append(&mut store, 1000, "a");
        // A directory in the place of the file: no user, not even root, can give a file its name.
        fs::create_dir(dir.path().join("generation-2.json")).expect("made");
        let refused = store.append(settings(2000), note("b"), prost_types::Timestamp::default(), 0);
        assert!(matches!(refused, Err(StoreError::Write { number: 2, .. })), "{refused:?}");
        assert_eq!((store.newest().map(|g| g.number), store.older(None).count()), (Some(1), 1));
    }
}
