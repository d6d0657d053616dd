//! Memory that another process maps too: one writer, many readers, 64-bit words.
//!
//! A [`SharedMap`] is made complete under a temporary name and renamed, so that whoever opens the final name finds either nothing,
//! the old map or the whole new one. Its pages are reserved when it is made: a full file system is a sentence then, not a fault
//! in the middle of the traffic. A [`ReadMap`] can only load. A file that somebody cuts all the same ends nobody (`fault`), and its
//! writer makes a new one (`mend`).
//!
//! The words are atomics, and that is the whole synchronisation: what order they are written and read in is the business of the
//! format that lives in them (the stats segment, the record ring).
//!
//! Not here: names of files and who removes them. A map does not unlink its file when dropped, because after a crash the last
//! words in it are what the operator wants to read.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use memmap2::{MmapOptions, MmapRaw};
use rustix::io::Errno;
use sonde_system::{Draft, Folder, account};

use crate::error::MapError;
use crate::fault::Guard;

/// Bytes of a word.
const WORD: usize = size_of::<u64>();

/// Words in a file that this process writes and others read.
#[derive(Debug)]
pub struct SharedMap {
    /// Before the map: it must be gone when that is.
    pub(crate) guard: Guard,
    pub(crate) map: MmapRaw,
    words: usize,
    path: PathBuf,
    pub(crate) file: Mutex<Named>,
}

/// The file of a map, and where it has its name.
#[derive(Debug)]
pub(crate) struct Named {
    pub(crate) folder: Folder,
    pub(crate) name: String,
    /// Device and inode.
    pub(crate) identity: (u64, u64),
    /// A new file that has no name yet.
    pub(crate) unplaced: Option<Draft>,
}

impl SharedMap {
    /// Makes a file of `words` zero words at `path`, replacing what was there, and maps it.
    ///
    /// See [`SharedMap::create_with`].
    pub fn create(path: &Path, words: usize) -> Result<Self, MapError> {
        Self::create_with(path, words, |_| {})
    }

    /// [`SharedMap::create_in`] at a path; a missing folder is made (mode 750, for the control plane's group where root makes it).
    ///
    /// # Errors
    /// As [`SharedMap::create_in`]; [`MapError::Folder`] when the folder cannot be made, or is one that another user can write to.
    pub fn create_with(path: &Path, words: usize, fill: impl FnOnce(&[AtomicU64])) -> Result<Self, MapError> {
        let (folder, name) = match Folder::of_file(path) {
            Err(error) if error.is_not_found() => {
                Folder::make(path.parent().unwrap_or(Path::new(".")), account::sharing())?;
                Folder::of_file(path)?
            }
            folder => folder?,
        };
        Self::create_in(&folder, &name, words, fill)
    }

    /// Makes a file of `words` zero words, lets `fill` write what readers must find in it, and only then gives it its name.
    ///
    /// The file has mode 640 and the folder's group. A process that has mapped an older file of this name keeps that one
    /// ([`ReadMap::replaced`] tells it).
    ///
    /// # Errors
    /// [`MapError::Full`] when the file system has not the room, [`MapError::Folder`] or [`MapError::System`] for the rest.
    pub fn create_in(folder: &Folder, name: &str, words: usize, fill: impl FnOnce(&[AtomicU64])) -> Result<Self, MapError> {
        let (map, draft) = Self::draft_in(folder, name, words, fill)?;
        draft.commit()?;
        Ok(map)
    }

    /// As [`SharedMap::create_in`], without a name yet.
    pub(crate) fn draft_in(folder: &Folder, name: &str, words: usize, fill: impl FnOnce(&[AtomicU64])) -> Result<(Self, Draft), MapError> {
        let path = folder.at(name);
        let mut draft = folder.draft_shared(name)?;
        reserve(draft.file(), &path, words)?;
        let map = map_writable(draft.file(), folder, name, words)?;
        fill(map.words());
        Ok((map, draft))
    }

    /// Opens an existing map for reading. See [`ReadMap::open`].
    pub fn open_readonly(path: &Path) -> Result<ReadMap, MapError> {
        ReadMap::open(path)
    }

    /// The words.
    #[inline]
    pub fn words(&self) -> &[AtomicU64] {
        // SAFETY: the mapping holds `words` words (both creators sized the file so), is page-aligned and writable, and lives as
        // long as `self`. Other processes may write to it, which is what atomics are for.
        unsafe { std::slice::from_raw_parts(self.map.as_ptr().cast(), self.words) }
    }

    /// Where the file was made.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Words in a file that another process writes. Only loads.
#[derive(Debug)]
pub struct ReadMap {
    /// Before the map: it must be gone when that is.
    guard: Guard,
    map: MmapRaw,
    words: usize,
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl ReadMap {
    /// Maps the file at `path`; bytes behind the last whole word are left out.
    ///
    /// [`SharedMap`] never makes its file shorter, it replaces it; where somebody else does, zeros are read behind the new end, and
    /// [`ReadMap::cut`] tells.
    ///
    /// No link is followed, and file and folder must be root's or this user's: what another user made is not read as the probe's.
    ///
    /// # Errors
    /// [`MapError::Folder`] when it is something else, [`MapError::NotAFile`] when it is empty, or [`MapError::System`] when it cannot
    /// be mapped.
    pub fn open(path: &Path) -> Result<Self, MapError> {
        let (folder, name) = Folder::of_file(path)?;
        let Some(file) = folder.open_file(&name)? else {
            return Err(MapError::system("open", path, Errno::NOENT));
        };
        let metadata = file.metadata().map_err(|error| MapError::system("look at", path, error))?;
        let words = usize::try_from(metadata.len()).unwrap_or(usize::MAX) / WORD;
        // An empty range cannot be mapped, and a file without one word is nothing that we made.
        if words == 0 {
            return Err(MapError::NotAFile { path: path.to_owned(), found: "an empty file" });
        }
        let map = MmapOptions::new().len(words * WORD).map_raw_read_only(&file).map_err(|error| MapError::system("map", path, error))?;
        let guard = Guard::new(map.as_ptr(), words * WORD, false, path)?;
        Ok(Self { guard, map, words, path: path.to_owned(), device: metadata.dev(), inode: metadata.ino() })
    }

    /// Number of words.
    #[inline]
    #[expect(clippy::len_without_is_empty, reason = "a map is never empty")]
    pub fn len(&self) -> usize {
        self.words
    }

    /// The word at `at`, or `None` behind the end.
    ///
    /// The load is relaxed; what orders it is a fence of the caller. (Rust promises relaxed loads, and only those, on memory
    /// that is mapped read-only.)
    #[inline]
    pub fn load(&self, at: usize) -> Option<u64> {
        Some(self.words().get(at)?.load(Ordering::Relaxed))
    }

    /// Copies the words from `at` on into `out`, each with a relaxed load; `None`, and nothing copied, if they are not all there.
    #[inline]
    pub fn copy(&self, at: usize, out: &mut [u64]) -> Option<()> {
        let words = self.words().get(at..at.checked_add(out.len())?)?;
        for (out, word) in out.iter_mut().zip(words) {
            *out = word.load(Ordering::Relaxed);
        }
        Some(())
    }

    /// Whether the path now leads to another file, or to none: the writer was restarted, or has cleaned up.
    pub fn replaced(&self) -> bool {
        !std::fs::symlink_metadata(&self.path).is_ok_and(|now| now.dev() == self.device && now.ino() == self.inode)
    }

    /// Whether the file was cut, and zeros stand where some of its words were. Ask after the loads: what they gave before this says
    /// `false` stood in the file.
    #[inline]
    pub fn cut(&self) -> bool {
        self.guard.cut()
    }

    /// The path it was opened by.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn words(&self) -> &[AtomicU64] {
        // SAFETY: the mapping holds `words` words, is page-aligned and lives as long as `self`. It is read-only: this function is
        // private and its callers do relaxed loads of 8 bytes, which `std::sync::atomic` permits on read-only memory.
        unsafe { std::slice::from_raw_parts(self.map.as_ptr().cast(), self.words) }
    }
}

/// Gives the file its size with every page behind it.
fn reserve(file: &File, path: &Path, words: usize) -> Result<(), MapError> {
    let bytes = words.checked_mul(WORD).and_then(|bytes| u64::try_from(bytes).ok()).filter(|bytes| *bytes > 0);
    let Some(bytes) = bytes else {
        return Err(MapError::system("reserve", path, Errno::INVAL));
    };
    let full = || {
        let free = rustix::fs::fstatvfs(file).map_or(0, |fs| fs.f_bavail.saturating_mul(fs.f_frsize)) / 1024;
        MapError::Full { path: path.to_owned(), wanted: bytes.div_ceil(1024), free }
    };
    match rustix::fs::fallocate(file, rustix::fs::FallocateFlags::empty(), 0, bytes) {
        Ok(()) => Ok(()),
        // EFBIG and EINVAL are what a size beyond the file system's largest file gives.
        Err(Errno::NOSPC | Errno::DQUOT | Errno::FBIG) => Err(full()),
        Err(Errno::OPNOTSUPP) => write_zeros(file, bytes).map_err(|error| match error.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => full(),
            _ => MapError::system("reserve", path, error),
        }),
        Err(error) => Err(MapError::system("reserve", path, error)),
    }
}

/// The slow way to reserve, for file systems that cannot be asked to.
fn write_zeros(mut file: &File, bytes: u64) -> std::io::Result<()> {
    const CHUNK: usize = 64 * 1024;
    let mut left = bytes;
    while left > 0 {
        let now = usize::try_from(left).unwrap_or(CHUNK).min(CHUNK);
        file.write_all(&[0; CHUNK][..now])?;
        left -= now as u64;
    }
    Ok(())
}

fn map_writable(file: &File, folder: &Folder, name: &str, words: usize) -> Result<SharedMap, MapError> {
    let path = folder.at(name);
    // Populated: the first lap of a ring must not pay a page fault every 21 records.
    let map = MmapOptions::new().len(words * WORD).populate().map_raw(file).map_err(|error| MapError::system("map", &path, error))?;
    let metadata = file.metadata().map_err(|error| MapError::system("look at", &path, error))?;
    let guard = Guard::new(map.as_ptr(), words * WORD, true, &path)?;
    let identity = (metadata.dev(), metadata.ino());
    let named = Named { folder: folder.clone(), name: name.to_owned(), identity, unplaced: None };
    Ok(SharedMap { guard, map, words, path, file: Mutex::new(named) })
}

/// The metadata of an open file, if it is a regular one.
pub(crate) fn regular(file: &File, path: &Path) -> Result<std::fs::Metadata, MapError> {
    use std::os::unix::fs::FileTypeExt;
    let metadata = file.metadata().map_err(|error| MapError::system("look at", path, error))?;
    let kind = metadata.file_type();
    let found = match () {
        () if kind.is_file() => return Ok(metadata),
        () if kind.is_dir() => "a folder",
        () if kind.is_fifo() => "a pipe",
        () if kind.is_socket() => "a socket",
        () => "a device",
    };
    Err(MapError::NotAFile { path: path.to_owned(), found })
}
