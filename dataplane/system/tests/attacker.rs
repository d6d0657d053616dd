//! Another local user was there first: what it has made is refused, and neither it nor what it points to is touched. Needs root, who can
//! be both users.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use sonde_system::{Folder, FolderError, Sharing};
use sonde_tests::attacker::{NOBODY, attack};
use sonde_tests::skip::root;
use tempfile::TempDir;

/// A folder like /tmp: everybody writes, nobody exchanges what is another's.
fn sticky() -> TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o1777)).expect("our own");
    dir
}

fn victim(dir: &Path) -> PathBuf {
    let path = dir.join("victim");
    fs::write(&path, "precious").expect("written");
    path
}

#[test]
fn folders_and_links_of_another_user_are_refused_and_left() {
    if !root("folders of another user") {
        return;
    }
    let base = sticky();
    let own = tempfile::tempdir().expect("a directory");
    let victim = victim(own.path());
    attack(base.path(), &format!("mkdir made && ln -s {} made/lock && touch made/stats", victim.display()));
    attack(base.path(), &format!("ln -s {} linked && ln -s nowhere dangling && mkfifo pipe", own.path().display()));
    type Expected = fn(&FolderError) -> bool;
    let cases: [(&str, Expected); 6] = [
        ("made", |e| matches!(e, FolderError::Foreign { owner: NOBODY, .. })),
        ("made/below", |e| matches!(e, FolderError::Foreign { owner: NOBODY, .. })),
        ("linked", |e| matches!(e, FolderError::Link { .. })),
        ("linked/below", |e| matches!(e, FolderError::Link { .. })),
        ("dangling", |e| matches!(e, FolderError::Link { .. })),
        ("pipe", |e| matches!(e, FolderError::NotAFolder { .. })),
    ];
    for (name, expected) in cases {
        let path = base.path().join(name);
        for refused in [Folder::make(&path, Sharing::Own), Folder::open(&path), Folder::hand_over(&path, (NOBODY - 1, 0), |_| true)] {
            let refused = refused.expect_err(name);
            assert!(expected(&refused), "{name}: {refused:?}");
            assert!(refused.to_string().contains("remove it"), "{refused}");
        }
    }
    assert_eq!(fs::read_to_string(&victim).expect("still there"), "precious");
    assert_eq!(fs::read_dir(own.path()).expect("a directory").count(), 1, "nothing was made behind the link");
    assert_eq!(fs::read_dir(base.path().join("made")).expect("a directory").count(), 2, "nothing was removed from the other's");
    assert_eq!(fs::metadata(base.path().join("made")).expect("there").uid(), NOBODY);
}

#[test]
fn a_folder_whose_way_others_can_write_to_is_refused() {
    let base = tempfile::tempdir().expect("a directory");
    let open = base.path().join("open");
    fs::create_dir(&open).expect("made");
    fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).expect("our own");
    let refused = Folder::make(&open.join("mine"), Sharing::Own).expect_err("anybody could exchange it");
    assert!(matches!(refused, FolderError::Writable { mode: 0o777, .. }) && refused.to_string().contains("chmod go-w"), "{refused}");
    assert!(!open.join("mine").exists());
    // The same folder with the sticky bit keeps what is ours in its place.
    fs::set_permissions(&open, fs::Permissions::from_mode(0o1777)).expect("our own");
    Folder::make(&open.join("mine"), Sharing::Own).expect("safe now");
    assert_eq!(fs::metadata(open.join("mine")).expect("made").mode() & 0o7777, 0o750);
}

#[test]
fn links_on_the_way_that_only_we_can_make_are_followed() {
    let base = tempfile::tempdir().expect("a directory");
    fs::create_dir_all(base.path().join("real/below")).expect("made");
    symlink("real", base.path().join("alias")).expect("made");
    symlink("loop", base.path().join("loop")).expect("made");
    Folder::open(&base.path().join("alias/below")).expect("our own link");
    Folder::open(&base.path().join("alias/../real/./below")).expect("the same");
    assert!(matches!(Folder::open(&base.path().join("alias")), Err(FolderError::Link { .. })), "never as the last component");
    assert!(matches!(Folder::open(&base.path().join("loop/below")), Err(FolderError::Link { .. })));
}

#[test]
fn a_file_that_is_not_a_plain_file_of_ours_is_not_opened() {
    let base = tempfile::tempdir().expect("a directory");
    let victim = victim(base.path());
    let path = base.path().join("folder");
    let folder = Folder::make(&path, Sharing::Own).expect("made");
    symlink(&victim, path.join("link")).expect("made");
    symlink("nowhere", path.join("dangling")).expect("made");
    fs::hard_link(&victim, path.join("second")).expect("made");
    fs::create_dir(path.join("below")).expect("made");
    fs::write(path.join("open"), "x").expect("made");
    fs::set_permissions(path.join("open"), fs::Permissions::from_mode(0o666)).expect("our own");
    assert!(Command::new("mkfifo").arg(path.join("pipe")).status().expect("mkfifo").success());
    type Expected = fn(&FolderError) -> bool;
    let cases: [(&str, Expected); 6] = [
        ("link", |e| matches!(e, FolderError::Link { .. })),
        ("dangling", |e| matches!(e, FolderError::Link { .. })),
        ("second", |e| matches!(e, FolderError::Linked { links: 2, .. })),
        ("below", |e| matches!(e, FolderError::Kind { found: "a folder", .. })),
        ("pipe", |e| matches!(e, FolderError::Kind { found: "a pipe", .. })),
        ("open", |e| matches!(e, FolderError::Writable { .. })),
    ];
    for (name, expected) in cases {
        for refused in [folder.open_file(name).map(|_| ()), folder.open_or_create(name).map(|_| ())] {
            let refused = refused.expect_err(name);
            assert!(expected(&refused), "{name}: {refused:?}");
        }
        let refused = folder.create(name).expect_err(name);
        assert_eq!(refused.cause().map(std::io::Error::kind), Some(std::io::ErrorKind::AlreadyExists), "{name}");
        assert!(folder.listen(name, Sharing::Own).is_err(), "{name}");
    }
    assert_eq!(fs::read_to_string(&victim).expect("still there"), "precious");
    assert!(!base.path().join("nowhere").exists() && !path.join("nowhere").exists());
    // Removing a name removes the name.
    assert!(folder.remove("link").expect("removed") && !folder.remove("link").expect("nothing"));
    assert!(folder.open_file("link").expect("nothing there").is_none());
    assert!(victim.exists());
}

#[test]
fn a_name_is_given_to_a_whole_file_and_drafts_are_cleaned() {
    let base = tempfile::tempdir().expect("a directory");
    let path = base.path().join("folder");
    let folder = Folder::make(&path, Sharing::Own).expect("made");
    drop(folder.draft("a").expect("begun"));
    assert_eq!(folder.names().expect("read").len(), 0, "a dropped draft is gone");
    let mut draft = folder.draft("a").expect("begun");
    draft.file().write_all(b"whole").expect("written");
    assert!(folder.open_file("a").expect("nothing yet").is_none());
    draft.commit().expect("named");
    assert_eq!(fs::read_to_string(path.join("a")).expect("there"), "whole");
    assert_eq!(fs::metadata(path.join("a")).expect("there").mode() & 0o7777, 0o640);
    std::mem::forget(folder.draft("a").expect("begun"));
    assert_eq!(folder.remove_drafts().expect("removed"), 1);
    assert_eq!(folder.names().expect("read"), ["a"]);
}

#[test]
fn only_a_folder_of_the_kind_is_handed_over() {
    if !root("a folder handed over") {
        return;
    }
    let base = tempfile::tempdir().expect("a directory");
    let is_part = |name: &str| name.starts_with("part-");
    let mine = base.path().join("above/mine");
    Folder::hand_over(&mine, (NOBODY, NOBODY), is_part).expect("made");
    let made = fs::metadata(&mine).expect("there");
    assert_eq!((made.uid(), made.gid(), made.mode() & 0o7777), (NOBODY, NOBODY, 0o750));
    let above = fs::metadata(base.path().join("above")).expect("there");
    assert_eq!((above.uid(), above.mode() & 0o7777), (0, 0o755), "the way to it stays root's");

    // Root's own files of an earlier version go with it; a folder of something else does not go at all.
    let old = base.path().join("old");
    fs::create_dir(&old).expect("made");
    fs::write(old.join("part-1"), "x").expect("written");
    Folder::hand_over(&old, (NOBODY, NOBODY), is_part).expect("handed over");
    let part = fs::metadata(old.join("part-1")).expect("there");
    assert_eq!((part.uid(), part.mode() & 0o7777), (NOBODY, 0o640));
    let other = base.path().join("other");
    fs::create_dir(&other).expect("made");
    fs::write(other.join("part-1"), "x").expect("written");
    fs::write(other.join("shadow"), "x").expect("written");
    let refused = Folder::hand_over(&other, (NOBODY, NOBODY), is_part).expect_err("a folder of something else");
    assert!(refused.to_string().contains("shadow"), "{refused}");
    assert_eq!((fs::metadata(&other).expect("there").uid(), fs::metadata(other.join("part-1")).expect("there").uid()), (0, 0));
    // Nor does a file that is one of root's elsewhere.
    fs::remove_file(other.join("shadow")).expect("removed");
    fs::hard_link(victim(base.path()), other.join("part-2")).expect("made");
    assert!(matches!(Folder::hand_over(&other, (NOBODY, NOBODY), is_part), Err(FolderError::Linked { .. })));
    assert_eq!(fs::metadata(base.path().join("victim")).expect("there").uid(), 0);
}

#[test]
fn what_is_shared_has_the_folder_s_group() {
    if !root("groups") {
        return;
    }
    let base = tempfile::tempdir().expect("a directory");
    let path = base.path().join("folder");
    let folder = Folder::make(&path, Sharing::Group(NOBODY)).expect("made");
    let is = |name: &str| fs::symlink_metadata(path.join(name)).map(|m| (m.uid(), m.gid(), m.mode() & 0o7777)).expect("there");
    assert_eq!(is("."), (0, NOBODY, 0o2750));
    folder.draft_shared("a").expect("begun").commit().expect("made");
    folder.create("b").expect("made");
    let _listener = folder.listen("sock", Sharing::Group(NOBODY)).expect("made");
    assert_eq!([is("a"), is("b"), is("sock")], [(0, NOBODY, 0o640), (0, NOBODY, 0o640), (0, NOBODY, 0o660)]);
}
