//! The control plane as a whole: its options, its parts, and how it stops.

use crate::address::Address;
use crate::admit::{Registry, Shares};
use crate::background::Background;
use crate::desired::Desired;
use crate::door::{self, Door};
use crate::link::Link;
use crate::listen::{self, ListenError, Listener};
use crate::place::Lookups;
use crate::places::Places;
use crate::reconcile;
use crate::records::Hub;
use crate::service::{config::Config, exporters::Exporters, flows::Flows, status::StatusView};
use crate::stats_reader::{SAMPLE, StatsReader};
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
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tonic::service::Routes;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

/// Port of the northbound API on the loopback when it is not said.
pub const PORT: u16 = 4950;
/// Connections at a time when it is not said.
pub const CONNECTIONS: u32 = 256;
/// How long open streams may go on after the control plane was told to stop.
const GRACE: Duration = Duration::from_secs(2);

/// What a control plane is started with.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Where the gRPC API listens: host:port or unix:/path; several with commas, or one option each [default: 127.0.0.1:4950 and the
    /// socket api/api.sock in the instance's run directory].
    #[arg(long, env = "SONDE_API", value_name = "ADDRESS", value_delimiter = ',')]
    pub api: Vec<Address>,
    /// Connections of the API at a time; half of them for TCP, three eighths for one address or user.
    #[arg(long, default_value_t = CONNECTIONS, value_name = "N", value_parser = clap::value_parser!(u32).range(8..=65_536))]
    pub connections_max: u32,
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
    /// An address cannot be listened on.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The descriptors cannot be counted.
    #[error("cannot count the files this process has open, in /proc/self/fd: {0}; is /proc mounted?")]
    Descriptors(std::io::Error),
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
    listeners: Vec<Listener>,
    addresses: Vec<String>,
    registry: Arc<Registry>,
    desired: Desired,
    segment: Arc<StatsReader>,
    places: Places,
    hub: Hub,
    lookups: Lookups,
    watcher: Arc<Watcher>,
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
        // First the history, whose lock tells two control planes of one instance apart better than the port does.
        let (store, damaged) = match history {
            Some(folder) => Store::open_in(folder)?,
            None => Store::open(&options.history())?,
        };
        for file in damaged {
            tracing::error!("{} is damaged and not part of the history: {}", file.path.display(), file.cause);
        }
        let paths = Paths::of(&options.instance, options.run_dir.as_deref());
        let listeners = listen(options, &paths).await?;
        let addresses = listeners.iter().map(Listener::address).collect();
        let link = Link::start(&paths.southbound());
        let places = Places::new(paths, link.clone());
        let segment = Arc::new(StatsReader::new(places.clone(), &options.instance));
        let lookups = Lookups::default();
        let hub = Hub::start(places.clone(), lookups.clone()).map_err(StartError::Thread)?;
        let watcher = Arc::new(lookups.watch().map_err(StartError::Lookups)?);
        let desired = Desired::new(store, link, &options.instance);
        // Last: what is open by now is not there for connections.
        let wanted = usize::try_from(options.connections_max).unwrap_or(usize::MAX);
        let registry = Registry::new(Shares::of(listen::descriptors(wanted).map_err(StartError::Descriptors)?));
        Ok(Self { listeners, addresses, registry, desired, segment, places, hub, lookups, watcher })
    }

    /// Where it listens, as a client writes it: with the port that was found when 0 was asked for.
    pub fn addresses(&self) -> &[String] {
        &self.addresses
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
        let (desired, lookups, watcher) = (self.desired.clone(), self.lookups.clone(), self.watcher);
        let (segment, alive) = (Arc::clone(&self.segment), Arc::clone(self.hub.alive()));
        let reported = self.desired.clone();
        let background = [
            Background::start("compares the settings", move || reconcile::run(desired.clone())),
            Background::start("follows what addresses are looked up in", {
                let link = self.desired.link().clone();
                move || lookups.clone().follow(link.clone(), Arc::clone(&watcher))
            }),
            Background::start("reports the state", move || {
                report(Arc::clone(&segment), reported.clone(), Arc::clone(&alive), reporter.clone())
            }),
        ];
        let flows = Flows::new(self.places.clone(), Arc::clone(self.hub.window()), self.lookups.clone(), Arc::clone(&self.registry));
        let routes = Routes::new(reflection().build_v1()?)
            .add_service(reflection().build_v1alpha()?)
            .add_service(health)
            .add_service(ConfigServiceServer::new(Config::new(self.desired.clone())))
            .add_service(StatusServiceServer::new(StatusView::new(Arc::clone(&self.segment), Arc::clone(&self.registry))))
            .add_service(FlowsServiceServer::new(flows))
            .add_service(ExportersServiceServer::new(Exporters::new(self.desired.clone(), Arc::clone(&self.segment))));
        let (stopping, stopped) = watch::channel(());
        let door = Door::new(Arc::clone(&self.registry), routes, stopped);
        let accepting: Vec<Background> = self
            .listeners
            .into_iter()
            .map(|listener| {
                let door = door.clone();
                let serve = move |stream, place| door.serve(stream, place);
                Background::once(listen::accept(listener, Arc::clone(&self.registry), serve, door::refuse))
            })
            .collect();
        stop.await;
        // Nobody new; those that are there have a while for what they have begun.
        drop(accepting);
        stopping.send_replace(());
        let deadline = Instant::now() + GRACE;
        while self.registry.room().0 != 0 && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        drop(background);
        Ok(())
    }
}

/// Listens where it is said; else on the loopback and, where that can be, on the instance's socket.
async fn listen(options: &Options, paths: &Paths) -> Result<Vec<Listener>, StartError> {
    let mut listeners = Vec::new();
    for address in &options.api {
        listeners.extend(listen::bind(address, options.allow_remote).await?);
    }
    if options.api.is_empty() {
        let loopback = Address::Tcp { host: "127.0.0.1".to_owned(), port: PORT };
        listeners.extend(listen::bind(&loopback, false).await?);
        match listen::bind(&Address::Unix(paths.api_socket()), false).await {
            Ok(socket) => listeners.extend(socket),
            Err(error) => tracing::warn!("{error}"),
        }
    }
    Ok(listeners)
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

/// Looks at the heartbeats, and says on the health service whether there is a dataplane: one that runs and answers; and whether its records
/// are read.
async fn report(segment: Arc<StatsReader>, desired: Desired, alive: Arc<AtomicBool>, reporter: HealthReporter) {
    let (mut said, mut read) = (None, true);
    let mut peer = desired.link().follow();
    loop {
        sonde_threads::trap_as("report");
        let reads = alive.load(Ordering::Relaxed);
        if reads != read {
            let status = if reads { ServingStatus::Serving } else { ServingStatus::NotServing };
            reporter.set_service_status(FLOWS, status).await;
            read = reads;
        }
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
