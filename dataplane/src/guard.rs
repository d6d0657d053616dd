//! What root opens by a name must be root's: nobody else may change what is behind it.

use std::fs::{File, symlink_metadata};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use sonde_settings::{Boot, Trust};
use sonde_system::{Folder, FolderError};

use crate::error::StartError;

/// Symbolic links that are followed to a profile, as many as the kernel follows.
const LINKS_MAX: usize = 40;

/// Opens a profile. Root obeys only one that nobody else can change or exchange, because it names files that are opened as root; links are
/// followed where only root could have made them.
///
/// # Errors
/// What the system said; a sentence who can change it, and what to do.
pub fn open_profile(name: &Path) -> io::Result<File> {
    let file = File::open(name)?;
    if !rustix::process::geteuid().is_root() {
        return Ok(file);
    }
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        // A pipe of the shell that root types in.
        let own = metadata.uid() == 0;
        return if own { Ok(file) } else { Err(io::Error::other(format!("it is no file and belongs to user {}", metadata.uid()))) };
    }
    let mut path = name.to_owned();
    for _ in 0..LINKS_MAX {
        let (folder, name) = Folder::of_file(&path).map_err(|why| io::Error::other(remedy(why)))?;
        match folder.open_file(&name) {
            Ok(Some(file)) => return Ok(file),
            Ok(None) => return Err(io::ErrorKind::NotFound.into()),
            Err(FolderError::Link { .. }) if folder.check_closed().is_ok() => {
                path = folder.path().join(std::fs::read_link(folder.handle_path(&name))?);
            }
            Err(why) => return Err(io::Error::other(remedy(why))),
        }
    }
    Err(rustix::io::Errno::LOOP.into())
}

/// A refusal with what to do about what root's profile says.
fn remedy(why: FolderError) -> String {
    let or_elsewhere = "or put it where only root can write";
    match why {
        FolderError::Foreign { path, owner, .. } => {
            let path = path.display();
            format!("user {owner} can change {path}: `chown root {path}`, {or_elsewhere}")
        }
        FolderError::Writable { path, mode } => {
            let path = path.display();
            let who = if mode & 0o002 == 0 { "the group" } else { "everybody" };
            format!("{who} can change {path} (mode {mode:o}): `chmod go-w {path}`, {or_elsewhere}")
        }
        FolderError::Link { path } => {
            format!("{} is a symbolic link and is not followed: give the path that it leads to", path.display())
        }
        other => other.to_string(),
    }
}

/// Whether the folders of `[trust]` are root's.
///
/// # Errors
/// A sentence with the field.
pub fn folders(trust: &Trust) -> Result<(), StartError> {
    for (field, folder) in trust.folders() {
        let refuse = |why: String| StartError::Other(format!("{field} = {:?}: {why}", folder.display().to_string()));
        if !folder.is_dir() {
            return Err(refuse("there is no such folder: make it, or leave the field out".to_owned()));
        }
        let opened = Folder::open(folder).map_err(|why| refuse(remedy(why)))?;
        opened.check_closed().map_err(|why| refuse(remedy(why)))?;
    }
    Ok(())
}

/// Whether what the ports name inside the folders is there and is what it should be: EAL follows every link. Nobody but root can change
/// it meanwhile, because the folders are root's.
///
/// # Errors
/// A sentence with the port.
pub fn inside(trust: &Trust, boot: &Boot) -> Result<(), StartError> {
    for port in &boot.ports {
        for (path, socket) in trust.inside(&port.device) {
            let refuse = |why: &str| {
                let at = port.ingress.saturating_sub(1);
                Err(StartError::Other(format!("port \"{}\": {} {why}; correct boot.ports[{at}].device", port.name, path.display())))
            };
            match symlink_metadata(&path).map(|metadata| metadata.file_type()) {
                Ok(kind) if kind.is_symlink() => return refuse("is a symbolic link, and only what stands in the folder itself is opened"),
                Ok(kind) if socket && !kind.is_socket() => return refuse("is no socket"),
                Ok(kind) if !socket && !kind.is_file() => return refuse("is not a regular file"),
                Ok(_) => {}
                // A socket may be made by the driver; that a recording is missing is said by who opens it.
                Err(_) => {}
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::origin::Profile;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn what_others_can_change_is_refused_and_what_is_no_plain_file() {
        let dir = tempfile::tempdir().expect("a directory");
        let folder = dir.path().join("recordings");
        std::fs::create_dir(&folder).expect("made");
        let mode = |mode| std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(mode)).expect("mode");
        let sets = [format!("trust.recordings_folder={}", folder.display()), "boot.ports[0].device=net_pcap0,rx_pcap=a.pcap".to_owned()];
        let profile = Profile::read(Path::new("virtual"), &sets).expect("good");
        mode(0o755);
        assert!(folders(&profile.trust).is_ok());
        for bad in [0o777, 0o757, 0o1777] {
            mode(bad);
            let said = folders(&profile.trust).expect_err("writable").to_string();
            assert!(said.contains("trust.recordings_folder") && said.contains("everybody can change") && said.contains("chmod"), "{said}");
        }
        mode(0o755);
        assert!(inside(&profile.trust, &profile.settings.boot).is_ok(), "it is missing: said by who opens it");
        std::os::unix::fs::symlink("/etc/passwd", folder.join("a.pcap")).expect("a link");
        let said = inside(&profile.trust, &profile.settings.boot).expect_err("a link").to_string();
        assert!(said.contains("a symbolic link") && said.contains("boot.ports[0].device"), "{said}");
        std::fs::remove_file(folder.join("a.pcap")).expect("removed");
        std::fs::create_dir(folder.join("a.pcap")).expect("a folder");
        assert!(inside(&profile.trust, &profile.settings.boot).expect_err("a folder").to_string().contains("not a regular file"));
        std::fs::remove_dir_all(&folder).expect("removed");
        assert!(folders(&profile.trust).expect_err("gone").to_string().contains("no such folder"));
    }
}
