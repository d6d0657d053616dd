//! Options of every command.

use super::default_api;
use crate::address::Addresses;
use std::time::Duration;

/// Heading of the options that every command understands.
const GLOBAL: &str = "Options of every command";

/// What every command understands.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Global {
    /// Where the control plane's gRPC API is: host:port or unix:/path; of several, with commas, the first that answers [default: the
    /// socket of the instance where it is there, else 127.0.0.1:4950].
    #[arg(long, global = true, env = "SONDE_API", default_value_t = default_api::addresses(), hide_default_value = true, value_name = "ADDRESS",
        help_heading = GLOBAL)]
    pub(super) api: Addresses,
    /// Seconds to wait for an answer; changes of the settings have 20 more.
    #[arg(long, global = true, default_value_t = 10.0, value_name = "S", value_parser = seconds, help_heading = GLOBAL)]
    pub(super) timeout: f64,
    /// Print JSON for programs: one object, or one object a line where there are many.
    #[arg(long, global = true, help_heading = GLOBAL)]
    pub(super) json: bool,
    /// No colours, whatever the terminal can do. The environment variable NO_COLOR does the same.
    #[arg(long, global = true, help_heading = GLOBAL)]
    pub(super) no_color: bool,
    /// The columns of tables, by their headings: "source,octets,end-by". Without it, all that the terminal has room for. Of `replay` and
    /// `flows tail`, also fields by any of their names (`sonde fields`), "src,dport,server_rtt"; of `replay` in every format that has columns.
    #[arg(long, global = true, value_name = "NAME,...", value_delimiter = ',', help_heading = GLOBAL)]
    pub(super) columns: Vec<String>,
}

impl Global {
    /// How long an answer is waited for.
    pub(super) fn patience(&self) -> Duration {
        Duration::from_secs_f64(self.timeout)
    }
}

fn seconds(text: &str) -> Result<f64, String> {
    let given = text.parse().ok().filter(|s| (0.1..=3600.0).contains(s));
    given.ok_or_else(|| "a number of seconds from 0.1 to 3600".to_owned())
}
