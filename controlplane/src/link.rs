//! The southbound link: a client of the dataplane's unix socket that comes back by itself.

use crate::background::Background;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use sonde_memory::version::{older, writer};
use sonde_proto::SOUTHBOUND_VERSION;
use sonde_proto::southbound::dataplane_client::DataplaneClient;
use sonde_proto::southbound::{ApplyRequest, ApplyResponse, DescribeRequest, Description};
use sonde_system::{Folder, FolderError, account};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::sync::watch;
use tonic::Status;
use tonic::transport::{Channel, Endpoint, Uri};
use tower::service_fn;

/// How often a dataplane that answers is asked whether it still does.
const PERIOD: Duration = Duration::from_secs(1);
/// How often one that does not is looked for.
const SEARCH: Duration = Duration::from_millis(250);
/// A control thread that takes longer to describe itself is not there.
const PATIENCE: Duration = Duration::from_secs(2);

/// What the link knows.
#[derive(Clone, Debug)]
pub(crate) enum Peer {
    /// A dataplane that answers.
    Present(Arc<Description>),
    /// None does, for this reason.
    Absent(String),
}

/// The link. Clones share it; it looks for the dataplane until the last one is dropped.
#[derive(Clone)]
pub(crate) struct Link {
    shared: Arc<Shared>,
}

struct Shared {
    client: DataplaneClient<Channel>,
    peer: watch::Sender<Peer>,
    /// A dataplane that answers in another protocol: which side is older.
    stranger: Mutex<Option<String>>,
    socket: PathBuf,
}

impl Link {
    /// Starts to look for a dataplane at a socket.
    ///
    /// Must be called within a tokio runtime.
    pub(crate) fn start(socket: &Path) -> Self {
        let path = socket.to_owned();
        let connector = service_fn(move |_: Uri| {
            let path = path.clone();
            async move { connect(&path).await.map(TokioIo::new) }
        });
        // The name is for the HTTP/2 authority only; the connector knows where to go.
        let channel = Endpoint::from_static("http://dataplane").connect_with_connector_lazy(connector);
        let client = DataplaneClient::new(channel);
        let peer = watch::Sender::new(Peer::Absent("not looked for yet".to_owned()));
        let shared = Arc::new(Shared { client, peer, stranger: Mutex::default(), socket: socket.to_owned() });
        let weak = Arc::downgrade(&shared);
        Background::detach("asks the dataplane", move || keep_asking(weak.clone()));
        Self { shared }
    }

    /// The dataplane as it described itself last, if one answers.
    pub(crate) fn description(&self) -> Option<Arc<Description>> {
        match &*self.shared.peer.borrow() {
            Peer::Present(description) => Some(Arc::clone(description)),
            Peer::Absent(_) => None,
        }
    }

    /// Why a dataplane that answers cannot be talked to: it speaks another protocol, and one side is older.
    pub(crate) fn stranger(&self) -> Option<String> {
        self.shared.stranger.lock().clone()
    }

    /// The dataplane as it describes itself now.
    pub(crate) async fn describe(&self) -> Peer {
        self.shared.ask().await
    }

    /// Follows what the link knows.
    pub(crate) fn follow(&self) -> watch::Receiver<Peer> {
        self.shared.peer.subscribe()
    }

    /// Sends settings and waits for the workers, for `deadline_ms` of the request and a little more. What the link knows is
    /// renewed before this returns.
    ///
    /// # Errors
    /// `UNAVAILABLE` when no dataplane answers, else what the dataplane said.
    pub(crate) async fn apply(&self, request: ApplyRequest) -> Result<ApplyResponse, Status> {
        let patience = Duration::from_millis(request.deadline_ms.into()) + PATIENCE;
        let mut client = self.shared.client.clone();
        let answer = tokio::time::timeout(patience, client.apply(request)).await;
        self.describe().await;
        match answer {
            Ok(answer) => answer.map(tonic::Response::into_inner),
            Err(_) => Err(Status::unavailable(format!("the dataplane at {} did not answer in time", self.shared.socket.display()))),
        }
    }
}

impl Shared {
    async fn ask(&self) -> Peer {
        let (found, stranger) = match describe(&mut self.client.clone(), &self.socket).await {
            Ok(found) => (found, None),
            Err(stranger) => (Peer::Absent(stranger.clone()), Some(stranger)),
        };
        {
            let mut known = self.stranger.lock();
            if let Some(news) = stranger.as_ref().filter(|news| known.as_ref() != Some(news)) {
                tracing::error!("{news}");
            }
            *known = stranger;
        }
        self.peer.send_if_modified(|known| replace(known, found.clone()));
        found
    }
}

/// Connects to a socket of root's or of this user's, in a folder where nobody else could have put another one.
async fn connect(socket: &Path) -> io::Result<UnixStream> {
    let explained = |cause: io::Error| match cause.kind() {
        io::ErrorKind::PermissionDenied => io::Error::new(
            cause.kind(),
            format!(
                "{cause}; this control plane runs as user {}, which must be able to reach that folder: start it as the dataplane's user, or \
                 both as root",
                account::whoami()
            ),
        ),
        _ => cause,
    };
    let refused = |error: FolderError| explained(error.into_io());
    let (folder, name) = Folder::of_file(socket).map_err(refused)?;
    if !folder.has_socket(&name).map_err(refused)? {
        return Err(rustix::io::Errno::NOENT.into());
    }
    let stream = UnixStream::connect(folder.handle_path(&name)).await.map_err(explained)?;
    let (peer, us) = (stream.peer_cred()?.uid(), rustix::process::geteuid().as_raw());
    if peer != 0 && peer != us {
        return Err(io::Error::other(format!("user {peer} listens there, not root and not user {us}")));
    }
    Ok(stream)
}

async fn keep_asking(shared: Weak<Shared>) {
    while let Some(shared) = shared.upgrade() {
        sonde_threads::trap_as("link");
        let found = shared.ask().await;
        drop(shared);
        tokio::time::sleep(if matches!(found, Peer::Present(_)) { PERIOD } else { SEARCH }).await;
    }
}

/// Takes what was found, logs a change, and says whether there was one.
fn replace(known: &mut Peer, found: Peer) -> bool {
    let changed = match (&*known, &found) {
        (Peer::Present(a), Peer::Present(b)) => {
            if a.pid != b.pid {
                tracing::info!(pid = b.pid, "another dataplane answers");
            }
            a != b
        }
        (Peer::Absent(a), Peer::Absent(b)) => {
            // Once for each reason: a folder that is refused should not look like a dataplane that is not there.
            if a != b {
                tracing::info!("{b}");
            }
            a != b
        }
        (Peer::Absent(_), Peer::Present(b)) => {
            tracing::info!(pid = b.pid, version = %b.version, generation = b.generation, "the dataplane answers");
            true
        }
        (Peer::Present(_), Peer::Absent(why)) => {
            tracing::warn!("{why}");
            true
        }
    };
    if changed {
        *known = found;
    }
    changed
}

/// What answers at the socket; an error is the sentence about one that speaks another protocol.
async fn describe(client: &mut DataplaneClient<Channel>, socket: &Path) -> Result<Peer, String> {
    let request = DescribeRequest { protocol_version: SOUTHBOUND_VERSION };
    let absent = |why: String| Peer::Absent(format!("no dataplane answers at {}: {why}", socket.display()));
    match tokio::time::timeout(PATIENCE, client.describe(request)).await {
        Ok(Ok(answer)) => {
            let description = answer.into_inner();
            if description.protocol_version == SOUTHBOUND_VERSION {
                Ok(Peer::Present(Arc::new(description)))
            } else {
                Err(another_protocol(&description))
            }
        }
        Ok(Err(status)) => Ok(absent(reason(&status))),
        Err(_) => Ok(absent(format!("its control thread did not answer within {} s", PATIENCE.as_secs()))),
    }
}

fn another_protocol(description: &Description) -> String {
    let Description { protocol_version: spoken, version, pid, .. } = description;
    let ours = env!("CARGO_PKG_VERSION");
    format!(
        "{}, speaks southbound protocol {spoken}; sonde-controlplane version {ours} speaks {SOUTHBOUND_VERSION}; {}. The dataplane goes on \
         as it is",
        writer(version, *pid),
        older((*spoken).into(), SOUTHBOUND_VERSION.into()),
    )
}

/// The innermost cause of a failed call: "No such file or directory" says more than "transport error".
fn reason(status: &Status) -> String {
    let mut text = status.message().to_owned();
    let mut cause = std::error::Error::source(status);
    while let Some(inner) = cause {
        text = inner.to_string();
        cause = inner.source();
    }
    text
}
