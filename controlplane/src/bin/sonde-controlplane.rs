//! The control plane: northbound gRPC for operators and programs, southbound client of a dataplane.
#![forbid(unsafe_code)]

use clap::Parser;
use sonde_controlplane::identity;
use sonde_controlplane::server::{ControlPlane, Options};
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// Sonde's control plane: configuration, status and flows over gRPC, for one dataplane on this machine.
///
/// It may be stopped and started at any moment: the dataplane goes on without it.
#[derive(Parser)]
#[command(
    name = "sonde-controlplane",
    version,
    after_help = "Examples:
  sonde-controlplane
  sonde-controlplane --api 127.0.0.1:4951 --instance lab-1
  sonde-controlplane --user root
  RUST_LOG=debug sonde-controlplane"
)]
struct Arguments {
    #[command(flatten)]
    options: Options,
    /// The user it becomes when root starts it; "root" keeps root's rights [default: sonde].
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false)
        .with_ansi(sonde_settings::terminal::colors(&std::io::stderr()))
        .init();
    match run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sonde-controlplane: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> anyhow::Result<()> {
    // First of all: the process must not have a second thread yet.
    let mut options = arguments.options;
    let identity = identity::settle(&mut options, arguments.user.as_deref())?;
    // Few threads: what is read all the time has its own, and the machine's cores belong to the packets.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        let control_plane = ControlPlane::start_with(&options, Some(&identity.history)).await?;
        tracing::info!("{}", identity.line);
        for address in control_plane.addresses() {
            tracing::info!("the gRPC API is at {address}");
        }
        let stop = async move {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            tracing::info!("stopping; the dataplane goes on");
        };
        control_plane.serve(stop).await
    })
}
