//! The service user, and how a process of root's becomes it for good.

use std::ffi::CString;
use std::io;

use nix::unistd::{self, User};
use rustix::thread::CapabilitySet;

use crate::capability;
use crate::folder::Sharing;

/// The user the control plane runs as when root starts it; made by `scripts/deps.sh`.
pub const SERVICE_USER: &str = "sonde";

/// A user of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Its name.
    pub name: String,
    /// Its number.
    pub uid: u32,
    /// Its first group.
    pub gid: u32,
}

impl Account {
    /// The user of this name; `None` when there is none.
    ///
    /// # Errors
    /// When the user database cannot be read.
    pub fn find(name: &str) -> io::Result<Option<Self>> {
        Ok(User::from_name(name)?.map(|user| Self { name: user.name, uid: user.uid.as_raw(), gid: user.gid.as_raw() }))
    }

    /// The service user of this machine, where there is one.
    pub fn service() -> Option<Self> {
        Self::find(SERVICE_USER).ok().flatten()
    }

    /// Becomes this user for good: its groups, its numbers, no capabilities, no program with more rights. Root's call, made before
    /// the process has a second thread.
    ///
    /// # Errors
    /// When the system refuses a step, or when root's rights could be had back.
    pub fn become_it(&self) -> io::Result<()> {
        let name = CString::new(self.name.as_str())?;
        let (uid, gid) = (unistd::Uid::from_raw(self.uid), unistd::Gid::from_raw(self.gid));
        capability::empty_bounding_set();
        unistd::initgroups(&name, gid)?;
        unistd::setresgid(gid, gid, gid)?;
        unistd::setresuid(uid, uid, uid)?;
        capability::keep(CapabilitySet::empty())?;
        let now = (unistd::getresuid()?, unistd::getresgid()?);
        let all_are = now.0.real == uid && now.0.effective == uid && now.0.saved == uid;
        let all_are = all_are && now.1.real == gid && now.1.effective == gid && now.1.saved == gid;
        if !all_are || self.uid != 0 && unistd::setresuid(unistd::Uid::from_raw(0), unistd::Uid::from_raw(0), uid).is_ok() {
            return Err(io::Error::other(format!("root's rights could not be given up for user {}", self.name)));
        }
        Ok(())
    }
}

/// Who shares what a process of this user's makes for the control plane: root's with the service user's group, where there is one.
pub fn sharing() -> Sharing {
    match Account::service() {
        Some(account) if rustix::process::geteuid().is_root() => Sharing::Group(account.gid),
        _ => Sharing::Own,
    }
}

/// Name and number of the user this process runs as, for people.
pub fn whoami() -> String {
    let uid = unistd::geteuid();
    match User::from_uid(uid).ok().flatten() {
        Some(user) => format!("{} ({uid})", user.name),
        None => format!("{uid}"),
    }
}
