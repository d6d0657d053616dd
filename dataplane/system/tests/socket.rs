//! Sockets in a folder. In a process of its own: a shell that another test starts holds a copy of the socket between fork and exec.

use std::fs;
use std::os::unix::fs::MetadataExt;

use sonde_system::{Folder, FolderError, Sharing};

#[test]
fn a_dead_socket_is_replaced_and_a_living_one_is_not() {
    let base = tempfile::tempdir().expect("a directory");
    let folder = Folder::make(&base.path().join("folder"), Sharing::Own).expect("made");
    let first = folder.listen("sock", Sharing::Own).expect("free");
    assert!(matches!(folder.listen("sock", Sharing::Own), Err(FolderError::InUse { .. })));
    drop(first);
    let _second = folder.listen("sock", Sharing::Own).expect("the first is dead");
    assert_eq!(fs::symlink_metadata(folder.at("sock")).expect("there").mode() & 0o777, 0o600);
    assert_eq!(folder.names().expect("read"), ["sock"]);
}
