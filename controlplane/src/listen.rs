//! Where the API listens: addresses are resolved, sockets made, and connections taken from them, whatever the machine is short of.

use crate::address::{Address, SOCKET_PATH_MAX, fits};
use crate::admit::{Peer, Registry, Seldom, more};
use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, sockopt};
use std::fs::DirBuilder;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, UnixListener};

/// Connections that wait to be taken.
const BACKLOG: i32 = 256;
/// First pause when a connection cannot be taken.
const PAUSE_MIN: Duration = Duration::from_millis(10);
/// Longest.
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// Descriptors that are kept for what is no connection: the history, rings, databases, the dataplane's socket.
const RESERVED: usize = 32;
/// TCP asks a silent peer whether it is there: after so long, so often, so many times.
const KEEP_ALIVE: (Duration, Duration, u32) = (Duration::from_secs(60), Duration::from_secs(15), 4);

/// Why an address cannot be listened on. Written for the operator.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Not loopback, and not allowed.
    #[error(
        "--api {0} can be reached from other machines, and the API has no TLS and no authentication yet: whoever reaches it can change \
         this probe. Listen on 127.0.0.1 and reach it through ssh (ssh -L 4950:127.0.0.1:4950 probe), or give --allow-remote where \
         the network itself keeps strangers out"
    )]
    Remote(String),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {cause}; {remedy}")]
    Listen {
        /// The address.
        address: String,
        /// What the system said.
        cause: io::Error,
        /// What helps.
        remedy: &'static str,
    },
}

/// One socket that listens.
pub(crate) enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener, Socket),
}

/// The other end's stream.
pub(crate) enum Stream {
    Tcp(tokio::net::TcpStream),
    Unix(tokio::net::UnixStream),
}

impl Listener {
    /// Where, as a client writes it.
    pub(crate) fn address(&self) -> String {
        match self {
            Self::Tcp(listener) => listener.local_addr().map_or_else(|e| format!("an address that is not known ({e})"), |a| a.to_string()),
            Self::Unix(_, socket) => Address::Unix(socket.path.clone()).to_string(),
        }
    }

    async fn accept(&self) -> io::Result<(Stream, Peer)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, address) = listener.accept().await?;
                // They make it better; a connection without them is one all the same.
                let _ = stream.set_nodelay(true);
                let _ = keep_alive(&stream);
                Ok((Stream::Tcp(stream), Peer::Tcp(address)))
            }
            Self::Unix(listener, _) => {
                let (stream, _) = listener.accept().await?;
                let user = stream.peer_cred().ok().map(|c| c.uid());
                Ok((Stream::Unix(stream), Peer::Unix(user)))
            }
        }
    }
}

fn keep_alive(stream: impl AsFd) -> rustix::io::Result<()> {
    let (after, every, times) = KEEP_ALIVE;
    sockopt::set_tcp_keepidle(&stream, after)?;
    sockopt::set_tcp_keepintvl(&stream, every)?;
    sockopt::set_tcp_keepcnt(&stream, times)?;
    sockopt::set_socket_keepalive(&stream, true)
}

/// Listens on every address that one says: a name may be several.
///
/// # Errors
/// When one of them cannot be listened on, but for addresses of a name whose kind this machine does not have.
pub(crate) async fn bind(address: &Address, allow_remote: bool) -> Result<Vec<Listener>, ListenError> {
    let (host, port) = match address {
        Address::Unix(path) => return Ok(vec![unix(path)?]),
        Address::Tcp { host, port } => (host.as_str(), *port),
    };
    let failed = |cause| listen_error(address.to_string(), cause);
    let mut found: Vec<SocketAddr> = tokio::net::lookup_host((host, port)).await.map_err(failed)?.collect();
    found.sort_unstable();
    found.dedup();
    if let Some(remote) = found.iter().find(|a| !a.ip().is_loopback()).filter(|_| !allow_remote) {
        let which = if remote.to_string() == address.to_string() { String::new() } else { format!(" ({remote})") };
        return Err(ListenError::Remote(format!("{address}{which}")));
    }
    let mut listeners = Vec::new();
    let mut missing = None;
    let several = found.len() > 1;
    for at in found {
        match TcpListener::bind(at).await {
            Ok(listener) => listeners.push(Listener::Tcp(listener)),
            Err(cause) if several && matches!(Errno::from_io_error(&cause), Some(Errno::ADDRNOTAVAIL | Errno::AFNOSUPPORT)) => {
                tracing::warn!("{address} is {at}, too, which this machine does not have: not listening there ({cause})");
                missing = Some(listen_error(at.to_string(), cause));
            }
            Err(cause) => return Err(listen_error(at.to_string(), cause)),
        }
    }
    match missing {
        Some(missing) if listeners.is_empty() => Err(missing),
        _ if listeners.is_empty() => Err(failed(io::Error::new(io::ErrorKind::NotFound, "the name has no address"))),
        _ => Ok(listeners),
    }
}

fn listen_error(address: String, cause: io::Error) -> ListenError {
    let remedy = match cause.kind() {
        io::ErrorKind::AddrInUse => "another program has that port, perhaps another control plane: stop it, or choose another with --api",
        io::ErrorKind::PermissionDenied => "ports below 1024 are for root: choose another with --api",
        io::ErrorKind::AddrNotAvailable => "no interface of this machine has that address: choose another with --api",
        _ => "choose another address with --api",
    };
    ListenError::Listen { address, cause, remedy }
}

/// The file of a Unix socket, in the folder as it was opened: what its path means may change, what the descriptor means may not.
pub(crate) struct Socket {
    path: PathBuf,
    folder: OwnedFd,
    name: PathBuf,
    /// Device and inode: only our own is removed.
    made: (u64, u64),
}

impl Drop for Socket {
    fn drop(&mut self) {
        let found = rustix::fs::statat(&self.folder, &self.name, AtFlags::SYMLINK_NOFOLLOW);
        if found.is_ok_and(|s| (s.st_dev, s.st_ino) == self.made) {
            // One that stays is found stale by the next start.
            let _ = rustix::fs::unlinkat(&self.folder, &self.name, AtFlags::empty());
        }
    }
}

fn unix(path: &Path) -> Result<Listener, ListenError> {
    let failed = |cause: io::Error, remedy| ListenError::Listen { address: Address::Unix(path.to_owned()).to_string(), cause, remedy };
    let other = |text: String| io::Error::other(text);
    if !fits(path) {
        let cause = other(format!("the path of a socket has at most {SOCKET_PATH_MAX} octets, this one has {}", path.as_os_str().len()));
        return Err(failed(cause, "choose a shorter one with --api, or a shorter --run-dir"));
    }
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(failed(other("it names no file".to_owned()), "give unix:/folder/file"));
    };
    let remedy = "choose another place with --api";
    let folder = folder(parent).map_err(|cause| failed(cause, remedy))?;
    stale(&folder, name.as_ref()).map_err(|cause| failed(cause, "stop what listens there, or choose another place with --api"))?;
    let bound = listen_in(&folder, name.as_ref()).map_err(|cause| failed(cause, remedy))?;
    let (listener, made) = bound;
    Ok(Listener::Unix(listener, Socket { path: path.to_owned(), folder, name: name.into(), made }))
}

/// Opens a folder that only its owner, who is this user or root, can write in. It is made where it is not there.
fn folder(path: &Path) -> io::Result<OwnedFd> {
    DirBuilder::new().recursive(true).mode(0o750).create(path)?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let folder = rustix::fs::open(path, flags, Mode::empty()).map_err(|e| match e {
        Errno::LOOP | Errno::NOTDIR => io::Error::other(format!("{} is a link or no folder", path.display())),
        other => other.into(),
    })?;
    let stat = rustix::fs::fstat(&folder)?;
    let own = rustix::process::geteuid().as_raw();
    if stat.st_uid != own && stat.st_uid != 0 {
        return Err(io::Error::other(format!("{} belongs to user {}, who could replace the socket", path.display(), stat.st_uid)));
    }
    let sticky = stat.st_mode & 0o1000 != 0;
    if stat.st_mode & 0o002 != 0 && !sticky {
        return Err(io::Error::other(format!("everybody can write in {} and could replace the socket (chmod o-w)", path.display())));
    }
    Ok(folder)
}

/// The path of a file in an open folder: 108 octets are enough for it whatever the folder is called.
fn in_folder(folder: &OwnedFd, name: &Path) -> io::Result<SocketAddrUnix> {
    use std::os::fd::AsRawFd;
    let mut path = format!("/proc/self/fd/{}/", folder.as_raw_fd()).into_bytes();
    path.extend_from_slice(name.as_os_str().as_bytes());
    Ok(SocketAddrUnix::new(path)?)
}

/// Removes a socket that an earlier process of this user left. Anything else that stands there is not ours to remove.
fn stale(folder: &OwnedFd, name: &Path) -> io::Result<()> {
    let found = match rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(found) => found,
        Err(Errno::NOENT) => return Ok(()),
        Err(other) => return Err(other.into()),
    };
    if FileType::from_raw_mode(found.st_mode) != FileType::Socket {
        return Err(io::Error::other("a file that is no socket stands there"));
    }
    let own = rustix::process::geteuid();
    if !own.is_root() && found.st_uid != own.as_raw() {
        return Err(io::Error::other(format!("a socket of user {} stands there", found.st_uid)));
    }
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)?;
    match rustix::net::connect(&socket, &in_folder(folder, name)?) {
        Err(Errno::CONNREFUSED) => Ok(rustix::fs::unlinkat(folder, name, AtFlags::empty())?),
        Err(Errno::NOENT) => Ok(()),
        Ok(()) | Err(Errno::AGAIN) => Err(io::Error::new(io::ErrorKind::AddrInUse, "another program listens there")),
        Err(other) => Err(other.into()),
    }
}

/// Makes the socket for user and group: nobody can connect before its mode is right, because it does not listen before.
fn listen_in(folder: &OwnedFd, name: &Path) -> io::Result<(UnixListener, (u64, u64))> {
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)?;
    rustix::net::bind(&socket, &in_folder(folder, name)?)?;
    let stat = rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
    rustix::fs::chmodat(folder, name, Mode::from_raw_mode(0o660), AtFlags::empty())?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok((UnixListener::from_std(socket.into())?, (stat.st_dev, stat.st_ino)))
}

/// Raises the limit of descriptors as far as this process may, and says how many connections it has room for.
///
/// # Errors
/// When the descriptors in use cannot be counted.
pub(crate) fn descriptors(wanted: usize) -> io::Result<usize> {
    let limits = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let raised = rustix::process::Rlimit { current: limits.maximum, maximum: limits.maximum };
    // Where it may not be raised, what it was holds.
    let _ = rustix::process::setrlimit(rustix::process::Resource::Nofile, raised);
    let Some(limit) = rustix::process::getrlimit(rustix::process::Resource::Nofile).current else { return Ok(wanted) };
    let used = std::fs::read_dir("/proc/self/fd")?.count();
    let room = usize::try_from(limit).unwrap_or(usize::MAX).saturating_sub(used + RESERVED);
    if room < wanted {
        let given = room.max(4);
        tracing::warn!(
            "room for {given} connections instead of {wanted}: this process may have {limit} files open (`ulimit -n`, LimitNOFILE), has \
             {used}, and keeps {RESERVED} for the history, rings and databases"
        );
        return Ok(given);
    }
    Ok(wanted)
}

/// Takes connections, for ever. Those there is a place for are handed to `serve`, the others to `refuse`.
pub(crate) async fn accept(
    listener: Listener,
    registry: Arc<Registry>,
    serve: impl Fn(Stream, crate::admit::Place),
    refuse: impl Fn(Stream),
) {
    let refused = Seldom::new();
    let mut trouble: Option<(Instant, u64, Duration)> = None;
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(taken) => taken,
            Err(cause) => {
                more(&registry.counters.accept_errors);
                let (since, times, pause) = trouble.unwrap_or((Instant::now(), 0, PAUSE_MIN));
                if times == 0 {
                    tracing::warn!("connections cannot be taken at {}: {cause}; trying again", listener.address());
                }
                trouble = Some((since, times + 1, (pause * 2).min(PAUSE_MAX)));
                let short = [Errno::MFILE, Errno::NFILE];
                if Errno::from_io_error(&cause).is_some_and(|e| short.contains(&e)) {
                    registry.shed();
                }
                tokio::time::sleep(pause).await;
                continue;
            }
        };
        if let Some((since, times, _)) = trouble.take() {
            tracing::info!(
                "connections are taken again at {}, after {} ms and {times} attempts",
                listener.address(),
                since.elapsed().as_millis()
            );
        }
        match registry.admit(peer).await {
            Some(place) => serve(stream, place),
            None => {
                refuse(stream);
                let count = more(&registry.counters.refused);
                if let Some(new) = refused.happened(count) {
                    let (open, most) = registry.room();
                    tracing::warn!(
                        "{new} connections turned away at {}, the last one of {peer}: {open} of {most} places are taken, or its share is, \
                         and none of them is idle (--connections-max)",
                        listener.address()
                    );
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    #[tokio::test]
    async fn a_socket_is_for_user_and_group_and_goes_with_its_listener() {
        let home = tempfile::tempdir().expect("a directory");
        let path = home.path().join("run/api/api.sock");
        let listener = unix(&path).expect("made with its folders");
        let mode = |p: &Path| std::fs::metadata(p).expect("there").permissions().mode() & 0o7777;
        assert_eq!(mode(&path), 0o660);
        assert_eq!(mode(path.parent().expect("a folder")) & 0o027, 0, "nobody else may write or even look");
        assert!(unix(&path).err().expect("in use").to_string().contains("another program listens there"));
        drop(listener);
        assert!(!path.exists());
        // Left by a crash: nobody listens.
        drop(std::os::unix::net::UnixListener::bind(&path).expect("bound"));
        let listener = unix(&path).expect("replaced");
        let again = std::fs::metadata(&path).expect("there").ino();
        drop(listener);
        assert!(again != 0 && !path.exists());
    }

    #[tokio::test]
    async fn what_is_no_socket_of_ours_stays() {
        let home = tempfile::tempdir().expect("a directory");
        let said = |path: &Path| unix(path).err().expect("refused").to_string();
        let file = home.path().join("file");
        std::fs::write(&file, "precious").expect("written");
        assert!(said(&file).contains("a file that is no socket stands there"), "{}", said(&file));
        assert_eq!(std::fs::read(&file).expect("there"), b"precious");
        let link = home.path().join("link");
        symlink(&file, &link).expect("linked");
        assert!(said(&link).contains("no socket"), "{}", said(&link));
        let folder = home.path().join("folder");
        symlink(home.path(), &folder).expect("linked");
        assert!(said(&folder.join("api.sock")).contains("is a link or no folder"));
        let open = home.path().join("open");
        std::fs::create_dir(&open).expect("made");
        std::fs::set_permissions(&open, PermissionsExt::from_mode(0o777)).expect("opened");
        assert!(said(&open.join("api.sock")).contains("everybody can write"));
        let long = home.path().join("x".repeat(108));
        assert!(said(&long).contains("at most 107 octets, this one has"), "{}", said(&long));
    }
}
