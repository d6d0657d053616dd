//! From `/` to a folder, one component at a time, so that no component is one that another user can exchange.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use crate::error::FolderError;

/// Symbolic links followed on the way, as many as the kernel follows.
const LINKS_MAX: usize = 40;
/// For a handle on a path that may be a link: it is looked at, not followed.
const LOOK: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// A folder that was reached, and what `fstat` says of it.
pub(crate) struct Reached {
    /// Opened for reading its list.
    pub fd: OwnedFd,
    /// What it is.
    pub stat: Stat,
    /// Whether it was made just now.
    pub made: bool,
}

/// Opens the folder at `path`. With `make`, folders that are missing are made, mode 755, the last one 700.
///
/// Each folder on the way must belong to root or to this user, and others must not be able to write to it, unless it is sticky: in such
/// a folder (`/tmp`, `/dev/shm`) nobody can exchange what belongs to root or to this user. A symbolic link is followed only where none
/// but root and this user could have made it, and never as the last component.
pub(crate) fn open(path: &Path, make: bool) -> Result<Reached, FolderError> {
    let absolute = std::path::absolute(path).map_err(|cause| FolderError::system("find", path, cause))?;
    let mut pending: VecDeque<OsString> = absolute.components().filter_map(name_of).map(OsStr::to_owned).collect();
    let mut way = Way::root()?;
    let mut links = 0;
    let mut made = false;
    while let Some(name) = pending.pop_front() {
        let next = way.shown.join(&name);
        made = false;
        let fd = match rustix::fs::openat(&way.fd, &name, LOOK, Mode::empty()) {
            Err(Errno::NOENT) if make => {
                made = way.make(&name, &next, pending.is_empty())?;
                rustix::fs::openat(&way.fd, &name, LOOK, Mode::empty())
            }
            other => other,
        }
        .map_err(|cause| FolderError::system("open the folder", &next, cause))?;
        let stat = rustix::fs::fstat(&fd).map_err(|cause| FolderError::system("look at the folder", &next, cause))?;
        if FileType::from_raw_mode(stat.st_mode) == FileType::Symlink {
            links += 1;
            if pending.is_empty() || is_shared(&way.stat) || links > LINKS_MAX {
                return Err(FolderError::Link { path: next });
            }
            let target = rustix::fs::readlinkat(&fd, "", Vec::new()).map_err(|cause| FolderError::system("read the link", &next, cause))?;
            let target = PathBuf::from(OsString::from_vec(target.into_bytes()));
            if target.is_absolute() {
                way = Way::root()?;
            }
            for component in target.components().rev().filter_map(name_of) {
                pending.push_front(component.to_owned());
            }
            continue;
        }
        check_folder(&stat, &next)?;
        way = Way { fd, stat, shown: next };
    }
    // A handle of a path has no list; the same folder is opened again through it.
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let fd = rustix::fs::openat(&way.fd, ".", flags, Mode::empty()).map_err(|cause| FolderError::system("open the folder", path, cause))?;
    Ok(Reached { fd, stat: way.stat, made })
}

/// Where the walk is.
struct Way {
    fd: OwnedFd,
    stat: Stat,
    shown: PathBuf,
}

impl Way {
    fn root() -> Result<Self, FolderError> {
        let shown = PathBuf::from("/");
        let fd = rustix::fs::open("/", LOOK | OFlags::DIRECTORY, Mode::empty())
            .map_err(|cause| FolderError::system("open the folder", &shown, cause))?;
        let stat = rustix::fs::fstat(&fd).map_err(|cause| FolderError::system("look at the folder", &shown, cause))?;
        check_folder(&stat, &shown)?;
        Ok(Self { fd, stat, shown })
    }

    /// Makes a folder here. One that somebody else made a moment ago is looked at like any other.
    fn make(&self, name: &OsStr, shown: &Path, last: bool) -> Result<bool, FolderError> {
        match rustix::fs::mkdirat(&self.fd, name, Mode::RWXU) {
            Ok(()) => {}
            Err(Errno::EXIST) => return Ok(false),
            Err(cause) => return Err(FolderError::system("make the folder", shown, cause)),
        }
        if !last {
            // Explicitly: the umask of whoever started this program has no say.
            let failed = |cause| FolderError::system("set the mode of", shown, cause);
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let fd = rustix::fs::openat(&self.fd, name, flags, Mode::empty()).map_err(failed)?;
            rustix::fs::fchmod(&fd, Mode::from_raw_mode(0o755)).map_err(failed)?;
        }
        Ok(true)
    }
}

/// The name of a component; the beginning and "." have none.
fn name_of(component: Component<'_>) -> Option<&OsStr> {
    match component {
        Component::Normal(name) => Some(name),
        Component::ParentDir => Some(OsStr::from_bytes(b"..")),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    }
}

fn check_folder(stat: &Stat, path: &Path) -> Result<(), FolderError> {
    let kind = FileType::from_raw_mode(stat.st_mode);
    if kind != FileType::Directory {
        return Err(FolderError::NotAFolder { path: path.to_owned(), found: kind_name(kind) });
    }
    check_owner(stat, path)?;
    if is_shared(stat) && stat.st_mode & 0o1000 == 0 {
        return Err(FolderError::Writable { path: path.to_owned(), mode: stat.st_mode & 0o7777 });
    }
    Ok(())
}

/// Refuses what belongs neither to root nor to this user.
pub(crate) fn check_owner(stat: &Stat, path: &Path) -> Result<(), FolderError> {
    let us = rustix::process::geteuid().as_raw();
    if stat.st_uid == 0 || stat.st_uid == us {
        return Ok(());
    }
    Err(FolderError::Foreign { path: path.to_owned(), owner: stat.st_uid, us })
}

/// Whether others than root and this user can write there. A group that is root's, or this user's own, is the administrator's choice.
pub(crate) fn is_shared(stat: &Stat) -> bool {
    let own_group = stat.st_gid == 0 || stat.st_gid == rustix::process::getegid().as_raw();
    stat.st_mode & 0o002 != 0 || stat.st_mode & 0o020 != 0 && !own_group
}

/// What a file is, for people.
pub(crate) fn kind_name(kind: FileType) -> &'static str {
    match kind {
        FileType::RegularFile => "a regular file",
        FileType::Directory => "a folder",
        FileType::Symlink => "a symbolic link",
        FileType::Fifo => "a pipe",
        FileType::Socket => "a socket",
        _ => "a device",
    }
}
