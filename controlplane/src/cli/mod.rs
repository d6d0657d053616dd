//! The command line `sonde`: a plain client of the northbound API, and `replay`, which needs no probe.

mod client;
mod config;
mod default_api;
mod exporters;
mod field_columns;
pub mod fields;
mod flows;
mod global;
mod number;
pub mod replay;
mod screen;
mod sheet;
mod stats;
mod status;
mod timing;
mod value_names;

use clap::{CommandFactory, Parser, Subcommand};
use global::Global;
use screen::Out;
use std::io;
use std::process::ExitCode;

/// Sonde's command line: what the probe does, the flows it meters, where it sends them, what it is told.
#[derive(Debug, Parser)]
#[command(
    name = "sonde",
    version,
    propagate_version = true,
    after_help = "Examples:
  sonde status                        is it running, and well?
  sonde stats --watch                 every worker, every packet accounted for
  sonde flows tail --port 443         flows as they end
  sonde flows top --by source         who sends most
  sonde config get > probe.toml       then edit it, and: sonde config apply probe.toml
  sonde replay capture.pcapng         the flows of a recording; needs no probe
  sonde fields rtt                    which fields there are, and their names elsewhere

Exit status: 0 when all went well, 1 when it did not (standard error says why), 2 for a wrong command line."
)]
struct Arguments {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Is the probe running, and well?
    Status(status::Args),
    /// Counters: workers with their balance, ports with what the NIC dropped, exporters.
    Stats(stats::Args),
    /// Flows as they are written, and the largest talkers.
    #[command(subcommand)]
    Flows(flows::Command),
    /// Where flow records are sent.
    #[command(subcommand)]
    Exporters(exporters::Command),
    /// The probe's settings and their history.
    #[command(subcommand)]
    Config(config::Command),
    /// The fields of a flow record: names, types, information elements, names elsewhere.
    Fields(fields::Args),
    /// Run capture files (pcap, pcapng) through the worker loop with the recording's own clock, and print their flows.
    Replay(replay::Args),
    /// Print a completion script for a shell.
    #[command(after_help = "Examples:
  sonde completions bash > /etc/bash_completion.d/sonde
  sonde completions zsh > ~/.zfunc/_sonde
  sonde completions fish > ~/.config/fish/completions/sonde.fish")]
    Completions {
        /// Which shell.
        shell: clap_complete::Shell,
    },
    /// Versions of this program and of the probe.
    #[command(after_help = "Examples:
  sonde version
  sonde version --json")]
    Version,
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let Arguments { global, command } = Arguments::parse();
    let out = Out::new(global.json, global.no_color, &global.columns);
    let changes = matches!(command, Command::Exporters(_) | Command::Config(_));
    let done = match command {
        Command::Replay(mut args) => {
            if global.json {
                args.format = replay::Format::Json;
                args.json_errors = true;
            }
            replay::run(&args, &out)
        }
        Command::Fields(args) => fields::run(&args, &out).map(|()| ExitCode::SUCCESS),
        Command::Completions { shell } => completions(shell).map(|()| ExitCode::SUCCESS),
        command => over_the_api(&global, command, &out),
    };
    done.unwrap_or_else(|error| {
        if error.chain().any(|cause| cause.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe)) {
            // The reader of a pipe has seen enough (`| head`).
            return ExitCode::SUCCESS;
        }
        eprintln!("{}", client::complaint(&error, &global.api.to_string(), global.json, changes));
        ExitCode::FAILURE
    })
}

fn over_the_api(global: &Global, command: Command, out: &Out) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let work = async {
            match command {
                Command::Status(args) => return status::run(&args, global, out).await,
                Command::Stats(args) => stats::run(&args, global, out).await?,
                Command::Flows(command) => flows::run(command, global, out).await?,
                Command::Exporters(command) => exporters::run(command, global, out).await?,
                Command::Config(command) => config::run(command, global, out).await?,
                Command::Version => status::version(global, out).await?,
                // They ask nobody, and were run above.
                Command::Replay(_) | Command::Fields(_) | Command::Completions { .. } => {}
            }
            Ok(ExitCode::SUCCESS)
        };
        tokio::select! {
            // Dropping the work ends its streams and gives the terminal back.
            done = work => done,
            interrupted = tokio::signal::ctrl_c() => interrupted.map(|()| ExitCode::SUCCESS).map_err(anyhow::Error::from),
        }
    })
}

fn completions(shell: clap_complete::Shell) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "sonde", &mut script);
    screen::write(&String::from_utf8(script)?)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn every_command_that_does_something_has_examples() {
        fn visit(command: &clap::Command, path: &str) {
            let path = format!("{path} {}", command.get_name());
            if !command.has_subcommands() {
                let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
                assert!(help.contains("Examples:\n  sonde "), "{path} shows no example");
            }
            for sub in command.get_subcommands() {
                visit(sub, &path);
            }
        }
        visit(&Arguments::command(), "");
    }
}
