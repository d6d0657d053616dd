//! The unix socket of the southbound service: who may speak is decided by the file's mode and the peer's user id.

use std::fs::Permissions;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream as Probe;
use std::path::Path;

use sonde_proto::southbound::dataplane_server::DataplaneServer;
use tokio::net::{UnixListener, UnixStream};
use tokio_stream::StreamExt;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::transport::Server;

use crate::control::Control;
use crate::error::StartError;

/// Largest request: a settings document of a hundred exporters has a few kilobytes.
const REQUEST_OCTETS_MAX: usize = 1 << 20;

/// Listens at `path`, which is ours by the instance's lock: what a dead predecessor left is replaced.
///
/// # Errors
/// [`StartError::SocketInUse`] when somebody answers there, [`StartError::File`] when it cannot be made.
pub fn listen(path: &Path) -> Result<UnixListener, StartError> {
    match Probe::connect(path) {
        Ok(_) => return Err(StartError::SocketInUse { path: path.to_owned() }),
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => {}
        Err(e) => return Err(StartError::file("use the socket", path, e)),
    }
    // Made under another name and renamed when its mode is right: at no time can another user connect.
    let temporary = path.with_extension("new");
    let failed = |e| StartError::file("listen on the socket", path, e);
    let _ = std::fs::remove_file(&temporary);
    let listener = UnixListener::bind(&temporary).map_err(failed)?;
    std::fs::set_permissions(&temporary, Permissions::from_mode(0o600)).map_err(failed)?;
    std::fs::rename(&temporary, path).map_err(failed)?;
    Ok(listener)
}

/// Serves until `stop` is done.
///
/// # Errors
/// What the transport said; single connections that fail are their own affair.
pub async fn serve(listener: UnixListener, control: Control, stop: impl Future<Output = ()>) -> Result<(), tonic::transport::Error> {
    let us = rustix::process::geteuid().as_raw();
    let incoming = UnixListenerStream::new(listener).filter(move |peer| peer.as_ref().map_or(true, |stream| allowed(stream, us)));
    let service = DataplaneServer::new(control).max_decoding_message_size(REQUEST_OCTETS_MAX);
    Server::builder().add_service(service).serve_with_incoming_shutdown(incoming, stop).await
}

/// Whether the peer is our own user or root. Others are hung up on.
fn allowed(peer: &UnixStream, us: u32) -> bool {
    match peer.peer_cred() {
        Ok(who) if who.uid() == us || who.uid() == 0 => true,
        Ok(who) => {
            tracing::warn!("user {} (process {:?}) connected to the southbound socket and was refused", who.uid(), who.pid());
            false
        }
        Err(e) => {
            tracing::warn!("a peer of the southbound socket did not say who it is and was refused: {e}");
            false
        }
    }
}
