//! As whom the control plane runs: started by root, it makes ready what needs root and becomes the service user for good. It speaks to the
//! network and reads documents that others wrote, and nothing of that needs root's rights.

use crate::address::Address;
use crate::server::Options;
use crate::store;
use rustix::thread::CapabilitySet;
use sonde_settings::paths::{Paths, default_run_dir, default_state_dir};
use sonde_system::account::{self, SERVICE_USER};
use sonde_system::{Account, Folder, FolderError, Sharing, capability};
use std::io;
use std::path::PathBuf;

/// Why the control plane cannot run as it should. Written for the operator.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The user to become is not there.
    #[error(
        "there is no user \"{name}\", as which the control plane runs when root starts it: `make deps` as root (sudo scripts/deps.sh) \
         makes the user sonde; or name another one with --user NAME, or keep root's rights with --user root"
    )]
    NoUser {
        /// Its name.
        name: String,
    },
    /// Only root can become somebody else.
    #[error("--user {name}: only root can start the control plane for another user, and this is user {us}: leave --user out")]
    NotRoot {
        /// The user asked for.
        name: String,
        /// Who started it.
        us: String,
    },
    /// The directory of the history cannot be made ready.
    #[error("the history of the settings cannot be used: {0}; or give another directory with --state-dir")]
    Folder(#[from] FolderError),
    /// The system refuses.
    #[error("cannot become user {name}: {cause}; start it as that user instead, or keep root's rights with --user root")]
    System {
        /// The user to become.
        name: String,
        /// What the system said.
        cause: io::Error,
    },
}

/// Who the process is now.
#[derive(Debug)]
pub struct Identity {
    /// The directory of the history: opened before root's rights were given up, so that the way to it need not be open to the service user.
    pub history: Folder,
    /// User and capabilities, for the operator.
    pub line: String,
}

/// Becomes the user that the control plane runs as: `user`, for root the service user when it is not said. Directories that depend on
/// who starts it are decided before. To be called before the process has a second thread.
///
/// # Errors
/// When there is no such user, or root's rights cannot be given up, or the directory of the history cannot be used.
pub fn settle(options: &mut Options, user: Option<&str>) -> Result<Identity, IdentityError> {
    options.state_dir.get_or_insert_with(default_state_dir);
    options.run_dir.get_or_insert_with(default_run_dir);
    if !rustix::process::geteuid().is_root() {
        return stay(options, user);
    }
    let name = user.unwrap_or(SERVICE_USER);
    let failed = |cause| IdentityError::System { name: name.to_owned(), cause };
    let account = Account::find(name).map_err(failed)?.ok_or_else(|| IdentityError::NoUser { name: name.to_owned() })?;
    if account.uid == 0 {
        let line = format!(
            "privileges: user {} with every capability, as --user {name} asks; without it the control plane runs as user {SERVICE_USER}",
            account::whoami()
        );
        return Ok(Identity { history: Folder::make(&options.history(), Sharing::Own)?, line });
    }
    let ready = match Folder::hand_over(&options.history(), (account.uid, account.gid), store::is_part) {
        // The directory above is that user's already: as this user it needs no help of root's.
        Err(FolderError::Foreign { owner, .. }) if owner == account.uid => None,
        ready => Some(ready?),
    };
    sockets(options, &account);
    account.become_it().map_err(failed)?;
    let history = match ready {
        Some(folder) => folder,
        None => Folder::make(&options.history(), Sharing::Own)?,
    };
    Ok(Identity { history, line: line() })
}

/// Makes ready the folders of the API's sockets: the instance's own, which is in root's run folder, and those that are not there yet.
/// Where that fails, the service user perhaps can listen there all the same; why it cannot is said with what it finds.
fn sockets(options: &Options, account: &Account) {
    let own = Paths::of(&options.instance, options.run_dir.as_deref()).api_socket();
    let unix = |address: &Address| match address {
        Address::Unix(path) => Some(path.clone()),
        Address::Tcp { .. } => None,
    };
    let said: Vec<PathBuf> = options.api.iter().filter_map(unix).collect();
    let sockets = if options.api.is_empty() { vec![own.clone()] } else { said };
    for folder in sockets.iter().filter_map(|socket| socket.parent()) {
        let missing = folder.symlink_metadata().is_err_and(|cause| cause.kind() == io::ErrorKind::NotFound);
        if !missing && Some(folder) != own.parent() {
            continue;
        }
        if let Err(error) = Folder::hand_over(folder, (account.uid, account.gid), |_| false) {
            tracing::warn!("the folder of the API's socket is not made ready: {error}");
        }
    }
}

/// Nobody but root can become another user; but whoever starts it, it needs no capability.
fn stay(options: &Options, user: Option<&str>) -> Result<Identity, IdentityError> {
    let us = account::whoami();
    if let Some(name) = user {
        let failed = |cause| IdentityError::System { name: name.to_owned(), cause };
        let account = Account::find(name).map_err(failed)?;
        if account.is_none_or(|account| account.uid != rustix::process::geteuid().as_raw()) {
            return Err(IdentityError::NotRoot { name: name.to_owned(), us });
        }
    }
    let history = Folder::make(&options.history(), Sharing::Own)?;
    capability::keep(CapabilitySet::empty()).map_err(|cause| IdentityError::System { name: us, cause })?;
    Ok(Identity { history, line: line() })
}

fn line() -> String {
    format!("privileges: user {}, no capabilities", account::whoami())
}
