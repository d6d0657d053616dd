//! A folder that is opened once: everything in it is reached relative to its handle, so that what was checked is what is used.
//!
//! Another local user may have made the folder first, or a file in it, as a link to a file of root's. So the folder must belong to root
//! or to this user and be writable by nobody else ([`FolderError`] says what was found and what to do), files are made exclusively, and
//! those that exist are opened only when they are plain files of root's or of this user's with one name. What is refused is not touched.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{AtFlags, Dir, FileType, Gid, Mode, OFlags, Stat, Uid};
use rustix::io::Errno;

use crate::error::FolderError;
use crate::walk::{self, check_owner, is_shared, kind_name};

/// Mode of a folder that is made, or already belongs to this user.
const FOLDER_MODE: Mode = Mode::from_raw_mode(0o750);
/// The same of a folder that another group shares: what is made in it has that group, also when its owner has given up the right to give
/// files away (CAP_CHOWN).
const SHARED_MODE: Mode = Mode::from_raw_mode(0o2750);
/// Mode of a file that is made.
const FILE_MODE: Mode = Mode::from_raw_mode(0o640);
/// Drafts of one name by one process that may be left over when a new one is made.
const DRAFTS_MAX: usize = 1000;

/// Who shares a folder with its owner.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sharing {
    /// Nobody but the group the owner has anyway.
    #[default]
    Own,
    /// This group, which reads what is made with [`Folder::draft_shared`].
    Group(u32),
}

/// An open folder. Clones share it.
#[derive(Clone, Debug)]
pub struct Folder(Arc<Opened>);

#[derive(Debug)]
struct Opened {
    fd: OwnedFd,
    path: PathBuf,
    gid: Gid,
}

impl Folder {
    /// Opens a folder that exists.
    ///
    /// # Errors
    /// When it is not there, or another user could exchange what is in it.
    pub fn open(path: &Path) -> Result<Self, FolderError> {
        let reached = walk::open(path, false)?;
        Ok(Self::new(reached.fd, path, &reached.stat))
    }

    /// Opens a folder and makes it, and those above it, when it is not there. This user's own gets mode 750, or mode 2750 and the group of
    /// `sharing`.
    ///
    /// # Errors
    /// When it cannot be made, or another user could exchange what is in it.
    pub fn make(path: &Path, sharing: Sharing) -> Result<Self, FolderError> {
        let reached = walk::open(path, true)?;
        let us = rustix::process::geteuid().as_raw();
        if reached.stat.st_uid == us {
            let failed = |cause| FolderError::system("set owner and mode of", path, cause);
            let mut mode = FOLDER_MODE;
            if let Sharing::Group(gid) = sharing {
                if gid != reached.stat.st_gid {
                    rustix::fs::fchown(&reached.fd, None, Some(Gid::from_raw(gid))).map_err(failed)?;
                }
                mode = SHARED_MODE;
            }
            // Only where it differs: without the right to any group the bit would be taken away.
            if reached.stat.st_mode & 0o7777 != mode.bits() {
                rustix::fs::fchmod(&reached.fd, mode).map_err(failed)?;
            }
        }
        let stat = rustix::fs::fstat(&reached.fd).map_err(|cause| FolderError::system("look at the folder", path, cause))?;
        Ok(Self::new(reached.fd, path, &stat))
    }

    /// Makes a folder, or takes one that is root's or `owner`'s, for a user this process will become: mode 750, its own. Only for root.
    ///
    /// Files of root's in it are handed over when `is_part` knows their names; a folder that holds anything else is refused, because a
    /// wrong path must not give a folder of the system away.
    ///
    /// # Errors
    /// As [`Folder::make`]; [`FolderError::Kind`] for a file that is not part of what the folder is for.
    pub fn hand_over(path: &Path, owner: (u32, u32), is_part: impl Fn(&str) -> bool) -> Result<Self, FolderError> {
        let parent = path.parent().unwrap_or(Path::new("/"));
        let name = path.file_name().unwrap_or_default();
        let above = walk::open(parent, true)?;
        if above.made {
            let failed = |cause| FolderError::system("set the mode of", parent, cause);
            rustix::fs::fchmod(&above.fd, Mode::from_raw_mode(0o755)).map_err(failed)?;
        }
        match rustix::fs::mkdirat(&above.fd, name, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(cause) => return Err(FolderError::system("make the folder", path, cause)),
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let look = |cause| FolderError::system("look at the folder", path, cause);
        let is = rustix::fs::statat(&above.fd, name, AtFlags::SYMLINK_NOFOLLOW).map_err(look)?;
        match FileType::from_raw_mode(is.st_mode) {
            FileType::Directory => {}
            FileType::Symlink => return Err(FolderError::Link { path: path.to_owned() }),
            other => return Err(FolderError::NotAFolder { path: path.to_owned(), found: kind_name(other) }),
        }
        let fd = rustix::fs::openat(&above.fd, name, flags, Mode::empty()).map_err(look)?;
        let stat = rustix::fs::fstat(&fd).map_err(look)?;
        let (uid, gid) = owner;
        if stat.st_uid != uid {
            check_owner(&stat, path)?;
            if is_shared(&stat) {
                return Err(FolderError::Writable { path: path.to_owned(), mode: stat.st_mode & 0o7777 });
            }
            let folder = Self::new(fd.try_clone().map_err(|cause| FolderError::system("open", path, cause))?, path, &stat);
            folder.give_files(owner, is_part)?;
        }
        let failed = |cause| FolderError::system("set owner and mode of", path, cause);
        rustix::fs::fchown(&fd, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid))).map_err(failed)?;
        rustix::fs::fchmod(&fd, FOLDER_MODE).map_err(failed)?;
        let stat = rustix::fs::fstat(&fd).map_err(look)?;
        Ok(Self::new(fd, path, &stat))
    }

    /// Gives the files of a folder that only root can write to another owner; all or none.
    fn give_files(&self, (uid, gid): (u32, u32), is_part: impl Fn(&str) -> bool) -> Result<(), FolderError> {
        let mut files = Vec::new();
        for name in self.names()? {
            let name = name.to_string_lossy().into_owned();
            let path = self.at(&name);
            if !is_part(&name) {
                return Err(FolderError::Kind { path, found: "not a part of what this folder is for", wanted: "nothing else" });
            }
            files.push((self.open_file(&name)?, path));
        }
        for (file, path) in files {
            let Some(file) = file else { continue };
            let failed = |cause| FolderError::system("set owner and mode of", &path, cause);
            rustix::fs::fchown(&file, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid))).map_err(failed)?;
            rustix::fs::fchmod(&file, FILE_MODE).map_err(failed)?;
        }
        Ok(())
    }

    fn new(fd: OwnedFd, path: &Path, stat: &Stat) -> Self {
        Self(Arc::new(Opened { fd, path: path.to_owned(), gid: Gid::from_raw(stat.st_gid) }))
    }

    /// The folder of a file, and the file's name in it. The folder is not made.
    ///
    /// # Errors
    /// As [`Folder::open`]; a path without a name.
    pub fn of_file(path: &Path) -> Result<(Self, String), FolderError> {
        let name = path.file_name().and_then(|name| name.to_str()).map(str::to_owned);
        let Some(name) = name else { return Err(FolderError::system("use", path, Errno::INVAL)) };
        let parent = path.parent().filter(|parent| *parent != Path::new("")).unwrap_or(Path::new("."));
        Ok((Self::open(parent)?, name))
    }

    /// Whether only root and this user can put anything in it: [`Folder::open`] takes a sticky folder as well, in which everybody can.
    ///
    /// # Errors
    /// [`FolderError::Writable`] when others can.
    pub fn check_closed(&self) -> Result<(), FolderError> {
        let path = self.path();
        let stat = rustix::fs::fstat(&self.0.fd).map_err(|cause| FolderError::system("look at the folder", path, cause))?;
        if is_shared(&stat) { Err(FolderError::Writable { path: path.to_owned(), mode: stat.st_mode & 0o7777 }) } else { Ok(()) }
    }

    /// The path it was opened by.
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// The path of something in it, for people: what is done is done relative to the folder.
    pub fn at(&self, name: &str) -> PathBuf {
        self.0.path.join(name)
    }

    /// Makes a file that is not there yet, mode 640, to read and write.
    ///
    /// # Errors
    /// When there is anything of this name, even a link that leads nowhere.
    pub fn create(&self, name: &str) -> Result<File, FolderError> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd =
            rustix::fs::openat(&self.0.fd, name, flags, Mode::RUSR | Mode::WUSR).map_err(|cause| self.failed("create", name, cause))?;
        rustix::fs::fchmod(&fd, FILE_MODE).map_err(|cause| self.failed("set the mode of", name, cause))?;
        Ok(File::from(fd))
    }

    fn share(&self, file: impl AsFd, name: &str) -> Result<(), FolderError> {
        let failed = |cause| self.failed("set the group of", name, cause);
        if self.0.gid == rustix::process::getegid() || !rustix::process::geteuid().is_root() {
            return Ok(());
        }
        let stat = rustix::fs::fstat(&file).map_err(failed)?;
        if stat.st_gid == self.0.gid.as_raw() {
            return Ok(());
        }
        rustix::fs::fchown(&file, None, Some(self.0.gid)).map_err(failed)
    }

    /// Opens a file for reading; `None` when there is none.
    ///
    /// # Errors
    /// When it is not a plain file of root's or of this user's with one name, which others cannot write. A pipe is not waited for.
    pub fn open_file(&self, name: &str) -> Result<Option<File>, FolderError> {
        self.open_as(name, OFlags::RDONLY)
    }

    fn open_as(&self, name: &str, access: OFlags) -> Result<Option<File>, FolderError> {
        // Looked at before it is opened: opening a device can do something already.
        match self.look(name)? {
            Some(stat) => self.check_file(&stat, name)?,
            None => return Ok(None),
        }
        let flags = access | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let fd = match rustix::fs::openat(&self.0.fd, name, flags, Mode::empty()) {
            Ok(fd) => fd,
            Err(Errno::NOENT) => return Ok(None),
            Err(Errno::LOOP) => return Err(FolderError::Link { path: self.at(name) }),
            Err(cause) => return Err(self.failed("open", name, cause)),
        };
        let stat = rustix::fs::fstat(&fd).map_err(|cause| self.failed("look at", name, cause))?;
        self.check_file(&stat, name)?;
        Ok(Some(File::from(fd)))
    }

    fn look(&self, name: &str) -> Result<Option<Stat>, FolderError> {
        match rustix::fs::statat(&self.0.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::NOENT) => Ok(None),
            Err(cause) => Err(self.failed("look at", name, cause)),
        }
    }

    fn check_file(&self, stat: &Stat, name: &str) -> Result<(), FolderError> {
        let path = self.at(name);
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => {}
            FileType::Symlink => return Err(FolderError::Link { path }),
            other => return Err(FolderError::Kind { path, found: kind_name(other), wanted: "a regular file" }),
        }
        check_owner(stat, &path)?;
        if is_shared(stat) {
            return Err(FolderError::Writable { path, mode: stat.st_mode & 0o7777 });
        }
        // A file that was unlinked since it was opened has none, and is nobody's but ours.
        if stat.st_nlink > 1 {
            return Err(FolderError::Linked { path, links: usize::try_from(stat.st_nlink).unwrap_or(usize::MAX), inode: stat.st_ino });
        }
        Ok(())
    }

    /// Opens a file to read and write, and makes it when it is not there. What is in it stays.
    ///
    /// # Errors
    /// As [`Folder::open_file`] and [`Folder::create`].
    pub fn open_or_create(&self, name: &str) -> Result<File, FolderError> {
        loop {
            if let Some(file) = self.open_as(name, OFlags::RDWR)? {
                return Ok(file);
            }
            match self.create(name) {
                // Another process of ours was quicker; nobody else can write here.
                Err(FolderError::System { cause, .. }) if cause.kind() == io::ErrorKind::AlreadyExists => {}
                made => return made,
            }
        }
    }

    /// Begins a file that gets its name when it is whole.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn draft(&self, name: &str) -> Result<Draft, FolderError> {
        self.with_draft_name(name, |draft| self.create(draft)).map(|(file, draft)| Draft {
            folder: self.clone(),
            file,
            draft,
            name: name.to_owned(),
            named: false,
        })
    }

    /// [`Folder::draft`] of a file with the folder's group.
    ///
    /// # Errors
    /// As [`Folder::draft`].
    pub fn draft_shared(&self, name: &str) -> Result<Draft, FolderError> {
        let draft = self.draft(name)?;
        self.share(&draft.file, &draft.draft)?;
        Ok(draft)
    }

    /// Makes something under a name that is free now.
    fn with_draft_name<T>(&self, name: &str, make: impl Fn(&str) -> Result<T, FolderError>) -> Result<(T, String), FolderError> {
        static SERIAL: AtomicU64 = AtomicU64::new(0);
        let mut left = DRAFTS_MAX;
        loop {
            let draft = format!(".{name}.{}.{}.tmp", std::process::id(), SERIAL.fetch_add(1, Ordering::Relaxed));
            match make(&draft) {
                // Left by a process of this number that was killed.
                Err(FolderError::System { cause, .. })
                    if matches!(cause.kind(), io::ErrorKind::AlreadyExists | io::ErrorKind::AddrInUse) && left > 0 =>
                {
                    left -= 1;
                }
                Ok(made) => return Ok((made, draft)),
                Err(error) => return Err(error),
            }
        }
    }

    /// Removes drafts that processes left which were killed. Call it with a lock that says nobody else is at work here.
    ///
    /// # Errors
    /// When the folder cannot be read or a draft cannot be removed.
    pub fn remove_drafts(&self) -> Result<usize, FolderError> {
        let mut removed = 0;
        for name in self.names()? {
            if let Some(name) = name.to_str().filter(|name| name.starts_with('.') && name.ends_with(".tmp")) {
                removed += usize::from(self.remove(name)?);
            }
        }
        Ok(removed)
    }

    /// Removes a name, never what a link leads to. Whether it was there.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn remove(&self, name: &str) -> Result<bool, FolderError> {
        match rustix::fs::unlinkat(&self.0.fd, name, AtFlags::empty()) {
            Ok(()) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(cause) => Err(self.failed("remove", name, cause)),
        }
    }

    /// Names of what is in it.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn names(&self) -> Result<Vec<OsString>, FolderError> {
        let failed = |cause: Errno| FolderError::system("read", &self.0.path, cause);
        let mut names = Vec::new();
        for entry in Dir::read_from(&self.0.fd).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name().to_bytes().to_vec();
            if name != b"." && name != b".." {
                names.push(OsString::from_vec(name));
            }
        }
        Ok(names)
    }

    /// Puts the folder itself on the disk: names survive a power cut.
    ///
    /// # Errors
    /// What the system said.
    pub fn sync(&self) -> Result<(), FolderError> {
        rustix::fs::fsync(&self.0.fd).map_err(|cause| FolderError::system("write to the disk", &self.0.path, cause))
    }

    /// Listens at a name. A socket that a dead process of ours left is replaced; anything else of this name is refused.
    ///
    /// With `Sharing::Own` only this user can connect, else the folder's group as well.
    ///
    /// # Errors
    /// [`FolderError::InUse`] when somebody answers there.
    pub fn listen(&self, name: &str, sharing: Sharing) -> Result<UnixListener, FolderError> {
        if self.has_socket(name)? {
            match UnixStream::connect(self.handle_path(name)) {
                Ok(_) => return Err(FolderError::InUse { path: self.at(name) }),
                Err(cause) if matches!(cause.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {}
                Err(cause) => return Err(FolderError::system("use the socket", &self.at(name), cause)),
            }
        }
        let failed = |cause| self.failed("listen on", name, cause);
        let bind = |draft: &str| {
            UnixListener::bind(self.handle_path(draft)).map_err(|cause| FolderError::system("listen on", &self.at(name), cause))
        };
        let (listener, draft) = self.with_draft_name(name, bind)?;
        // It gets its name when mode and group are right: at no time can another user connect.
        let done = (|| {
            let mode = if sharing == Sharing::Own { 0o600 } else { 0o660 };
            rustix::fs::chmodat(&self.0.fd, &*draft, Mode::from_raw_mode(mode), AtFlags::empty())?;
            if sharing != Sharing::Own {
                rustix::fs::chownat(&self.0.fd, &*draft, None, Some(self.0.gid), AtFlags::SYMLINK_NOFOLLOW)?;
            }
            rustix::fs::renameat(&self.0.fd, &*draft, &self.0.fd, name)
        })();
        if done.is_err() {
            // The first error is the one to report.
            let _ = self.remove(&draft);
        }
        done.map_err(failed)?;
        Ok(listener)
    }

    /// Whether there is a socket of root's or of this user's.
    ///
    /// # Errors
    /// When there is anything else of this name.
    pub fn has_socket(&self, name: &str) -> Result<bool, FolderError> {
        let Some(stat) = self.look(name)? else { return Ok(false) };
        let path = self.at(name);
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Socket => check_owner(&stat, &path).map(|()| true),
            FileType::Symlink => Err(FolderError::Link { path }),
            other => Err(FolderError::Kind { path, found: kind_name(other), wanted: "a socket" }),
        }
    }

    /// A path that leads through this process's handle of the folder, for calls that take a path. It is good while the folder is held.
    pub fn handle_path(&self, name: &str) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.0.fd.as_raw_fd())).join(name)
    }

    fn failed(&self, action: &'static str, name: &str, cause: Errno) -> FolderError {
        FolderError::system(action, &self.at(name), cause)
    }
}

/// A file that has no name yet. Dropped without [`Draft::commit`] it is removed.
#[derive(Debug)]
pub struct Draft {
    folder: Folder,
    file: File,
    draft: String,
    name: String,
    named: bool,
}

impl Draft {
    /// The file, to be written.
    pub fn file(&mut self) -> &mut File {
        &mut self.file
    }

    /// Gives it its name, in place of what has the name now.
    ///
    /// # Errors
    /// What the system said; what had the name has it still.
    pub fn commit(mut self) -> Result<(), FolderError> {
        let fd = &self.folder.0.fd;
        rustix::fs::renameat(fd, &*self.draft, fd, &*self.name).map_err(|cause| self.folder.failed("name", &self.name, cause))?;
        self.named = true;
        Ok(())
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.named {
            // What is left is removed by the next start.
            let _ = self.folder.remove(&self.draft);
        }
    }
}
