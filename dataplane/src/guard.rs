//! What root opens by a name must be root's: nobody else may change what is behind it.

use std::fs::{Metadata, symlink_metadata};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use sonde_settings::{Boot, Trust};

use crate::error::StartError;

/// Others may write in such a folder, but neither rename nor remove what is not theirs.
const STICKY: u32 = 0o1000;

/// Whether nobody but root and the user of this process can change what is at a path: the thing itself, and every folder above it.
///
/// # Errors
/// A sentence: who can, and what to do.
pub fn guarded(path: &Path) -> Result<(), String> {
    let real = path.canonicalize().map_err(|e| format!("cannot look at {}: {e}", path.display()))?;
    for (at, part) in real.ancestors().enumerate() {
        let metadata = symlink_metadata(part).map_err(|e| format!("cannot look at {}: {e}", part.display()))?;
        writable(&metadata, at != 0).map_or(Ok(()), |who| {
            let shown = part.display();
            Err(format!("{who} can change {shown}: `chown root {shown} && chmod go-w {shown}`, or put it where only root can write"))
        })?;
    }
    Ok(())
}

/// Who else can write it, if anybody.
fn writable(metadata: &Metadata, above: bool) -> Option<String> {
    let own = rustix::process::geteuid().as_raw();
    let (owner, mode) = (metadata.uid(), metadata.mode());
    if owner != 0 && owner != own {
        return Some(format!("user {owner}"));
    }
    let sticky = above && metadata.is_dir() && mode & STICKY != 0;
    if sticky {
        return None;
    }
    match mode & 0o022 {
        0 => None,
        0o020 if metadata.gid() == 0 => None,
        0o020 => Some(format!("group {}", metadata.gid())),
        _ => Some("everybody".to_owned()),
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
        guarded(folder).map_err(refuse)?;
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
