//! Files, and how to notice that one was changed.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use crate::fault::Fault;

/// Opening a FIFO for reading would wait for a writer that never comes (Linux, all architectures Sonde builds for).
const O_NONBLOCK: i32 = 0o4000;

/// Opens a regular file.
pub(crate) fn open(path: &Path) -> Result<File, Fault> {
    let unreadable = |error: io::Error| Fault::Unreadable(error.to_string());
    let file = OpenOptions::new().read(true).custom_flags(O_NONBLOCK).open(path).map_err(unreadable)?;
    if file.metadata().map_err(unreadable)?.is_file() { Ok(file) } else { Err(Fault::NotAFile) }
}

/// The whole file, when it has at most `limit` octets.
///
/// It is read, not mapped: a file that is cut while it is mapped ends the process that reads it.
pub(crate) fn whole(path: &Path, limit: u64) -> Result<Vec<u8>, Fault> {
    let mut octets = Vec::new();
    let mut file = open(path)?.take(limit.saturating_add(1));
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
        assert_eq!(whole(folder.path(), 10), Err(Fault::NotAFile));
        assert!(matches!(whole(&folder.path().join("none"), 10), Err(Fault::Unreadable(_))));
        let path = folder.path().join("file");
        std::fs::write(&path, [7; 10]).unwrap();
        assert_eq!(whole(&path, 10), Ok(vec![7; 10]));
        assert_eq!(whole(&path, 9), Err(Fault::TooLong { limit: 9, unpacked: false }));
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
