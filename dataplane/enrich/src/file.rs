//! Files, and how to notice that one was changed.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use rustix::io::Errno;

use crate::fault::Fault;

/// Opens a regular file; one that must stand `inside` its folder itself is no symbolic link.
pub(crate) fn open((path, inside): &(PathBuf, bool)) -> Result<File, Fault> {
    let unreadable = |error: io::Error| {
        let link = *inside && error.raw_os_error() == Some(Errno::LOOP.raw_os_error());
        if link { Fault::Link } else { Fault::Unreadable(error.to_string()) }
    };
    // Opening a FIFO for reading would wait for a writer that never comes.
    let flags = OFlags::NONBLOCK | if *inside { OFlags::NOFOLLOW } else { OFlags::empty() };
    let flags = flags.bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(unreadable)?;
    if file.metadata().map_err(unreadable)?.is_file() { Ok(file) } else { Err(Fault::NotAFile) }
}

/// The whole file, when it has at most `limit` octets.
///
/// It is read, not mapped: a file that is cut while it is mapped ends the process that reads it.
pub(crate) fn whole(place: &(PathBuf, bool), limit: u64) -> Result<Vec<u8>, Fault> {
    let mut octets = Vec::new();
    let mut file = open(place)?.take(limit.saturating_add(1));
    file.read_to_end(&mut octets).map_err(|error| Fault::Unreadable(error.to_string()))?;
    if octets.len() as u64 > limit { Err(Fault::TooLong { limit, unpacked: false }) } else { Ok(octets) }
}

/// What changes when a file is changed: inode, size, and time of the last write in seconds and nanoseconds. `None`: no such file.
pub(crate) type Print = Option<(u64, u64, i64, i64)>;

/// Looks at a file.
pub(crate) fn print(path: &Path) -> Print {
    let found = std::fs::metadata(path).ok()?;
    Some((found.ino(), found.size(), found.mtime(), found.mtime_nsec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_regular_file_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| (folder.path().join(name), false);
        assert_eq!(whole(&at(""), 10), Err(Fault::NotAFile));
        assert!(matches!(whole(&at("none"), 10), Err(Fault::Unreadable(_))));
        std::fs::write(at("file").0, [7; 10]).unwrap();
        assert_eq!(whole(&at("file"), 10), Ok(vec![7; 10]));
        assert_eq!(whole(&at("file"), 9), Err(Fault::TooLong { limit: 9, unpacked: false }));
    }

    #[test]
    fn no_link_leads_out_of_a_folder() {
        let (folder, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::fs::write(outside.path().join("secret"), "x").unwrap();
        std::fs::write(folder.path().join("file"), "y").unwrap();
        std::os::unix::fs::symlink(outside.path().join("secret"), folder.path().join("link")).unwrap();
        let at = |name: &str, inside| (folder.path().join(name), inside);
        assert_eq!(whole(&at("link", true), 10), Err(Fault::Link));
        assert_eq!(whole(&at("file", true), 10), Ok(b"y".to_vec()));
        assert_eq!(whole(&at("link", false), 10), Ok(b"x".to_vec()), "a whole path is followed as ever");
    }

    #[test]
    fn a_print_tells_one_file_from_its_successor() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        assert_eq!(print(&path), None);
        std::fs::write(&path, "a").unwrap();
        let first = print(&path);
        assert_eq!(first, print(&path));
        std::fs::write(folder.path().join("next"), "b").unwrap();
        std::fs::rename(folder.path().join("next"), &path).unwrap();
        assert_ne!(first, print(&path));
    }
}
