//! The control plane as a whole: its options, its parts, and how it stops.

use crate::desired::Desired;
use crate::link::Link;
use crate::place::Lookups;
use crate::places::Places;
use crate::reconcile;
use crate::records::Hub;
use crate::seg::{SAMPLE, Segment};
use crate::service::{config::Config, exporters::Exporters, flows::Flows, status::StatusView};
use crate::store::{Store, StoreError};
use sonde_enrich::Watcher;
use sonde_proto::v1::DataplaneState;
use sonde_proto::v1::config_service_server::{ConfigServiceServer, SERVICE_NAME as CONFIG};
use sonde_proto::v1::exporters_service_server::{ExportersServiceServer, SERVICE_NAME as EXPORTERS};
use sonde_proto::v1::flows_service_server::{FlowsServiceServer, SERVICE_NAME as FLOWS};
use sonde_proto::v1::status_service_server::{SERVICE_NAME as STATUS, StatusServiceServer};
use sonde_settings::paths::{Paths, default_state_dir};
use sonde_system::Folder;
use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::AbortHandle;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

/// Where the northbound API listens when it is not said.
pub const API: &str = "127.0.0.1:4950";
/// How long open streams may go on after the control plane was told to stop.
const GRACE: Duration = Duration::from_secs(2);

/// What a control plane is started with.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Address and port of the gRPC API.
    #[arg(long, env = "SONDE_API", default_value = API, value_name = "ADDR:PORT")]
    pub api: SocketAddr,
    /// Listen on an address that other machines reach, without TLS and without authentication.
    #[arg(long)]
    pub allow_remote: bool,
    /// Name of the probe whose dataplane is driven.
    #[arg(long, env = "SONDE_INSTANCE", default_value = "sonde", value_name = "NAME", value_parser = instance_name)]
    pub instance: String,
    /// Where the history of the settings is kept [default: /var/lib/sonde, for users ~/.local/state/sonde].
    #[arg(long, env = "SONDE_STATE_DIR", value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
    /// Where the dataplane's socket is [default: /run/sonde, for users $XDG_RUNTIME_DIR/sonde].
    #[arg(long, env = "SONDE_RUN_DIR", value_name = "DIR")]
    pub run_dir: Option<PathBuf>,
}

/// The rule of `boot.instance`.
fn instance_name(text: &str) -> Result<String, String> {
    let good = (1..=32).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if good { Ok(text.to_owned()) } else { Err("an instance name has 1 to 32 of a-z, 0-9 and -".to_owned()) }
}

/// Why a control plane did not start. Written for the operator.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Not loopback, and not allowed.
    #[error(
        "--api {0} can be reached from other machines, and the API has no TLS and no authentication yet: whoever reaches it can change \
         this probe. Listen on 127.0.0.1 and reach it through ssh (ssh -L 4950:127.0.0.1:4950 probe), or give --allow-remote where \
         the network itself keeps strangers out"
    )]
    Remote(SocketAddr),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {cause}; {remedy}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        cause: std::io::Error,
        /// What helps.
        remedy: &'static str,
    },
    /// The history cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No thread for the records.
    #[error("cannot start the thread that reads the records: {0}")]
    Thread(std::io::Error),
    /// No thread for the databases.
    #[error("cannot start the thread that loads databases: {0}; see `ulimit -u`")]
    Lookups(std::io::Error),
    /// The descriptor set cannot be served.
    #[error("cannot serve reflection: {0}")]
    Reflection(#[from] tonic_reflection::server::Error),
}

/// A control plane that listens.
pub struct ControlPlane {
    listener: TcpListener,
    address: SocketAddr,
    desired: Desired,
    segment: Arc<Segment>,
    places: Places,
    hub: Hub,
    lookups: Lookups,
    watcher: Watcher,
}

impl Options {
    /// Where the history of this instance is.
    pub(crate) fn history(&self) -> PathBuf {
        self.state_dir.clone().unwrap_or_else(default_state_dir).join(&self.instance)
    }
}

impl ControlPlane {
    /// Opens the history, listens, and begins to look for the dataplane; it need not be there.
    ///
    /// # Errors
    /// When the address or the history cannot be used.
    pub async fn start(options: &Options) -> Result<Self, StartError> {
        Self::start_with(options, None).await
    }

    /// [`ControlPlane::start`] with the directory of the history, where it is open already.
    ///
    /// # Errors
    /// As [`ControlPlane::start`].
    pub async fn start_with(options: &Options, history: Option<&Folder>) -> Result<Self, StartError> {
        if !options.api.ip().is_loopback() && !options.allow_remote {
            return Err(StartError::Remote(options.api));
        }
        // First the history, whose lock tells two control planes of one instance apart better than the port does.
        let (store, damaged) = match history {
            Some(folder) => Store::open_in(folder)?,
            None => Store::open(&options.history())?,
        };
        for file in damaged {
            tracing::error!("{} is damaged and not part of the history: {}", file.path.display(), file.cause);
        }
        let listener = TcpListener::bind(options.api).await.map_err(|cause| listen_error(options.api, cause))?;
        let address = listener.local_addr().map_err(|cause| listen_error(options.api, cause))?;
        let paths = Paths::of(&options.instance, options.run_dir.as_deref());
        let link = Link::start(&paths.southbound());
        let places = Places::new(paths, link.clone());
        let segment = Arc::new(Segment::new(places.clone(), &options.instance));
        let lookups = Lookups::default();
        let hub = Hub::start(places.clone(), lookups.clone()).map_err(StartError::Thread)?;
        let watcher = lookups.watch().map_err(StartError::Lookups)?;
        let desired = Desired::new(store, link, &options.instance);
        Ok(Self { listener, address, desired, segment, places, hub, lookups, watcher })
    }

    /// Where it listens: the port that was found when 0 was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop` is ready; then streams end and calls that have begun are finished.
    ///
    /// # Errors
    /// When the listener fails.
    pub async fn serve(self, stop: impl Future<Output = ()>) -> anyhow::Result<()> {
        let (reporter, health) = tonic_health::server::health_reporter();
        for service in ["", CONFIG, STATUS, FLOWS, EXPORTERS] {
            reporter.set_service_status(service, ServingStatus::Serving).await;
        }
        let background = [
            Background(tokio::spawn(reconcile::run(self.desired.clone())).abort_handle()),
            Background(tokio::spawn(self.lookups.clone().follow(self.desired.link().clone(), self.watcher)).abort_handle()),
            Background(tokio::spawn(report(Arc::clone(&self.segment), self.desired.clone(), reporter)).abort_handle()),
        ];
        let flows = Flows::new(self.places.clone(), Arc::clone(self.hub.window()), self.lookups.clone());
        let (stopping, stopped) = tokio::sync::oneshot::channel();
        let router = Server::builder()
            // A client that vanished without a word is noticed, and its stream ended.
            .http2_keepalive_interval(Some(Duration::from_secs(20)))
            .http2_keepalive_timeout(Some(Duration::from_secs(10)))
            .add_service(reflection().build_v1()?)
            .add_service(reflection().build_v1alpha()?)
            .add_service(health)
            .add_service(ConfigServiceServer::new(Config::new(self.desired.clone())))
            .add_service(StatusServiceServer::new(StatusView::new(Arc::clone(&self.segment))))
            .add_service(FlowsServiceServer::new(flows))
            .add_service(ExportersServiceServer::new(Exporters::new(self.desired.clone(), Arc::clone(&self.segment))));
        let serving = router.serve_with_incoming_shutdown(TcpListenerStream::new(self.listener), async {
            stop.await;
            // Nobody waits for it when serving has failed already.
            let _ = stopping.send(());
        });
        let deadline = async {
            if stopped.await.is_ok() {
                tokio::time::sleep(GRACE).await;
            } else {
                std::future::pending::<()>().await;
            }
        };
        let ended = tokio::select! {
            ended = serving => ended.map_err(anyhow::Error::from),
            () = deadline => Ok(()),
        };
        drop(background);
        ended
    }
}

/// A task that ends with its owner.
struct Background(AbortHandle);

impl Drop for Background {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What reflection lists: what is served here. The descriptor set holds the southbound protocol too, which is not.
const SERVED: [&str; 7] = [
    CONFIG,
    STATUS,
    FLOWS,
    EXPORTERS,
    "grpc.health.v1.Health",
    "grpc.reflection.v1.ServerReflection",
    "grpc.reflection.v1alpha.ServerReflection",
];

fn reflection() -> tonic_reflection::server::Builder<'static> {
    let builder = tonic_reflection::server::Builder::configure()
        .include_reflection_service(false)
        .register_encoded_file_descriptor_set(tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(sonde_proto::DESCRIPTOR_SET);
    SERVED.into_iter().fold(builder, tonic_reflection::server::Builder::with_service_name)
}

/// Looks at the heartbeats, and says on the health service whether there is a dataplane: one that runs and answers.
async fn report(segment: Arc<Segment>, desired: Desired, reporter: HealthReporter) {
    let mut said = None;
    let mut peer = desired.link().follow();
    loop {
        let state = segment.status().state();
        let well = state == DataplaneState::Running && desired.link().description().is_some();
        if said != Some(well) {
            let status = if well { ServingStatus::Serving } else { ServingStatus::NotServing };
            reporter.set_service_status("dataplane", status).await;
            said = Some(well);
        }
        // Looked at once more when the link has news: what has changed is said at once.
        let _ = tokio::time::timeout(SAMPLE, peer.changed()).await;
    }
}

fn listen_error(address: SocketAddr, cause: std::io::Error) -> StartError {
    let remedy = match cause.kind() {
        std::io::ErrorKind::AddrInUse => {
            "another program has that port, perhaps another control plane: stop it, or choose another with --api"
        }
        std::io::ErrorKind::PermissionDenied => "ports below 1024 are for root: choose another with --api",
        std::io::ErrorKind::AddrNotAvailable => "no interface of this machine has that address: choose another with --api",
        _ => "choose another address with --api",
    };
    StartError::Listen { address, cause, remedy }
}
