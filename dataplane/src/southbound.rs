//! The unix socket of the southbound service: who may speak is decided by the file's mode and the peer's user id.

use sonde_proto::southbound::dataplane_server::DataplaneServer;
use sonde_settings::paths::SOUTHBOUND;
use sonde_system::{Account, FolderError, account};
use tokio::net::{UnixListener, UnixStream};
use tokio_stream::StreamExt;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::transport::Server;

use crate::control::Control;
use crate::error::StartError;
use crate::places::Places;

/// Largest request: a settings document of a hundred exporters has a few kilobytes.
const REQUEST_OCTETS_MAX: usize = 1 << 20;

/// Listens in the run folder, which is ours by the instance's lock: the socket of a dead predecessor is replaced.
///
/// Where root listens, the service user's group may connect, as which the control plane runs.
///
/// # Errors
/// [`StartError::SocketInUse`] when somebody answers there, [`StartError::Folder`] when it cannot be made.
pub fn listen(places: &Places) -> Result<UnixListener, StartError> {
    let listener = places.run.listen(SOUTHBOUND, account::sharing()).map_err(|error| match error {
        FolderError::InUse { path } => StartError::SocketInUse { path },
        other => StartError::Folder(other),
    })?;
    let failed = |e| StartError::file("listen on the socket", &places.paths.southbound(), e);
    listener.set_nonblocking(true).map_err(failed)?;
    UnixListener::from_std(listener).map_err(failed)
}

/// Serves until `stop` is done.
///
/// # Errors
/// What the transport said; single connections that fail are their own affair.
pub async fn serve(listener: UnixListener, control: Control, stop: impl Future<Output = ()>) -> Result<(), tonic::transport::Error> {
    let known = peers();
    let incoming = UnixListenerStream::new(listener).filter(move |peer| peer.as_ref().map_or(true, |stream| allowed(stream, &known)));
    let service = DataplaneServer::new(control).max_decoding_message_size(REQUEST_OCTETS_MAX);
    Server::builder().add_service(service).serve_with_incoming_shutdown(incoming, stop).await
}

/// Users whose word is taken: root, our own, and the service user where we are root.
fn peers() -> Vec<u32> {
    let us = rustix::process::geteuid();
    let service = Account::service().filter(|_| us.is_root()).map(|account| account.uid);
    [0, us.as_raw()].into_iter().chain(service).collect()
}

/// Whether the peer is one of these users. Others are hung up on.
fn allowed(peer: &UnixStream, known: &[u32]) -> bool {
    match peer.peer_cred() {
        Ok(who) if known.contains(&who.uid()) => true,
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
