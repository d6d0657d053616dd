//! `sonde-dataplane`: the process that owns the NIC.
#![forbid(unsafe_code)]

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use sonde_dataplane::cli::{Cli, Command, ProfileArgs};
use sonde_dataplane::error::StartError;
use sonde_dataplane::origin::Profile;
use sonde_dataplane::{bench, boot, guard};
use sonde_proto::v1;
use sonde_settings::document;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match cli.command {
        Some(Command::Check(args)) => check(&args),
        Some(Command::Bench(args)) => return measure(args),
        Some(Command::Run(args)) => run(&args),
        None => run(&cli.run),
    };
    match done {
        Ok(code) => code,
        Err(e) => {
            eprintln!("sonde-dataplane: {e}");
            ExitCode::from(e.exit_code())
        }
    }
}

fn run(args: &sonde_dataplane::cli::RunArgs) -> Result<ExitCode, StartError> {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    // Nobody else has set one: this is the process's main.
    let colors = sonde_settings::terminal::colors(&std::io::stderr());
    let _ = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false).with_ansi(colors).try_init();
    boot::run(args)
}

fn check(args: &ProfileArgs) -> Result<ExitCode, StartError> {
    let profile = Profile::read(&args.profile, &args.sets)?;
    guard::folders(&profile.trust)?;
    let mut text = document::to_toml(&v1::Settings::from(&profile.settings));
    if *profile.trust.document() != v1::Trust::default() {
        text.push_str(&document::trust_to_toml(profile.trust.document()));
    }
    let converted: String = profile.converted.iter().map(|converted| format!("# note: {converted}\n")).collect();
    // A reader that closes the pipe early has read enough.
    let _ = write!(std::io::stdout(), "# {}: good. With its defaults:\n{converted}{text}", profile.origin);
    Ok(ExitCode::SUCCESS)
}

fn measure(args: bench::Args) -> ExitCode {
    match bench::run(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("sonde-dataplane: {e:#}");
            ExitCode::FAILURE
        }
    }
}
