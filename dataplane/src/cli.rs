//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Sonde's dataplane: packets in, flow records out.
#[derive(Debug, Parser)]
#[command(name = "sonde-dataplane", version, args_conflicts_with_subcommands = true, after_help = EXAMPLES)]
pub struct Cli {
    /// What to do; `run` when nothing is said.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Arguments of `run`.
    #[command(flatten)]
    pub run: RunArgs,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run until SIGINT, SIGTERM or a shutdown by the control plane (default)
    #[command(after_help = EXAMPLES)]
    Run(RunArgs),
    /// Check a profile, list everything that is wrong with it, and print it with its defaults
    Check(ProfileArgs),
    /// Measure the whole journey of packets on one core of this machine
    Bench(crate::bench::Args),
}

/// Which settings.
#[derive(Clone, Debug, Args)]
pub struct ProfileArgs {
    /// Hardware profile: a TOML file, or the name of an embedded one (virtual, intel-e810-100g, intel-xl710, intel-82599,
    /// nvidia-connectx6dx)
    #[arg(long, value_name = "FILE|NAME", default_value = "virtual", env = "SONDE_PROFILE")]
    pub profile: PathBuf,
    /// Change a field of the profile; may be given several times
    #[arg(long = "set", value_name = "PATH=VALUE")]
    pub sets: Vec<String>,
}

/// How to run.
#[derive(Clone, Debug, Args)]
pub struct RunArgs {
    /// The settings.
    #[command(flatten)]
    pub settings: ProfileArgs,
    /// Directory for the socket, the lock and the last good settings; default: /run/sonde for root, else $XDG_RUNTIME_DIR/sonde
    #[arg(long, value_name = "DIR", env = "SONDE_RUN_DIR")]
    pub run_dir: Option<PathBuf>,
    /// Start from the profile even if the control plane applied settings since
    #[arg(long)]
    pub fresh: bool,
}

const EXAMPLES: &str = "\
Examples:
  Flows of an interface, without any preparation (root or CAP_NET_RAW):
    sonde-dataplane --set 'boot.ports[0].device=net_af_packet0,iface=eth0'
  A capture, repeated for ever, on two workers, to a collector:
    sonde-dataplane --set 'boot.ports[0].device=net_pcap0,rx_pcap=/tmp/a.pcap,infinite_rx=1' --set 'boot.cores.workers=[0, 1]' \\
      --set 'live.exporters[0].name=exporters/lab' --set 'live.exporters[0].address=192.0.2.10:4739'
  A 100 Gbit/s NIC (read the comments of the profile first):
    sonde-dataplane --profile hw-profiles/intel-e810-100g.toml --set 'boot.ports[0].device=0000:3b:00.0'
  What is wrong with a profile:
    sonde-dataplane check --profile /etc/sonde/probe.toml

Exit codes: 0 stopped as told; 1 it could not start, or a fault; 2 the settings are wrong.";
