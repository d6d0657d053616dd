//! Sonde's command line.
#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    sonde_controlplane::cli::main()
}
