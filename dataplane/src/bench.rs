//! `sonde-dataplane bench`: the whole journey of packets on one core of this machine, measured.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use serde_json::json;
use sonde_flow::{Policy, Room, Sizing, Tracker};
use sonde_memory::slab::Wanted;
use sonde_memory::tags::Simd;
use sonde_stats::{Block, Kind};
use sonde_worker::bench::{Discard, Metered, NEVER, stages};
use sonde_worker::mailbox::{Letter, Mailbox};
use sonde_worker::source::template::{Size, TemplateSource, Traffic};
use sonde_worker::{Pace, Worker, counter_names};

use crate::boot::say;
use crate::machine;

/// What to measure.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Different flows, hit at random in both directions
    #[arg(long, default_value_t = 65_536, value_parser = clap::value_parser!(u32).range(1..=1 << 28))]
    flows: u32,
    /// Octets of a frame with FCS, or "imix"
    #[arg(long, default_value = "64", value_parser = size)]
    size: Size,
    /// Every packet is the SYN of a new flow, and the table is full
    #[arg(long)]
    flood: bool,
    /// How long to measure, in seconds of CPU time
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
    /// Core to run on; default: the last
    #[arg(long)]
    core: Option<u32>,
    /// For programs
    #[arg(long)]
    json: bool,
}

fn size(text: &str) -> Result<Size, String> {
    match text.parse() {
        Ok(octets @ 64..=9018) => Ok(Size::Fixed(octets)),
        _ if text == "imix" => Ok(Size::Imix),
        _ => Err("a whole number from 64 to 9018, or \"imix\"".to_owned()),
    }
}

/// Measures and prints.
///
/// # Errors
/// The memory or the core is not there.
#[expect(clippy::cast_precision_loss, reason = "a measurement, not an account")]
pub fn run(args: Args) -> anyhow::Result<()> {
    let cores = machine::cores()?;
    machine::pin(args.core.or(cores.last().copied()).unwrap_or_default())?;
    let traffic = Traffic { flows: args.flows, size: args.size, tcp: args.flood, flood: args.flood, seed: 5 };
    let mut source = TemplateSource::new(&traffic, None).context("the frames of the benchmark")?;
    let frames = source.frames() as u64;
    let stages = stages(&mut source, frames.max(10_000_000));
    let sizing = Sizing {
        ipv4: Room::plain(if args.flood { 1 << 20 } else { args.flows.into() }),
        wide: Room::plain(1024),
        wanted: Wanted { huge: true, populate: true },
        simd: Simd::detect(),
        seed: 99,
        worker: 0,
        first_id: 0,
    };
    let tracker = Tracker::new(&sizing, Policy::default()).context("the flow tables of the benchmark")?;
    let (bytes, backing) = (tracker.bytes(), tracker.backing());
    let block = Block::detached(Kind::Worker, "bench", &counter_names());
    let mailbox = Arc::new(Mailbox::new(Letter { generation: 1, value: Policy::default() }));
    let mut worker = Worker::new(tracker, Discard::default(), block, mailbox, Pace::Live);
    let mut metered = Metered::new(source, frames.saturating_mul(2), Duration::from_secs(args.seconds));
    worker.run(&mut metered, &NEVER);
    let seconds = metered.elapsed.as_secs_f64();
    let (packets, octets) = (metered.measured.0 as f64, metered.measured.1 as f64);
    let ns = seconds * 1e9 / packets;
    let records = worker.tracker().counters().records() as f64 / metered.packets as f64 * packets / seconds;
    let result = json!({
        "mpps": packets / seconds / 1e6,
        // Preamble, FCS and gap are not counted: what the flows say.
        "gbit_per_s": octets * 8.0 / seconds / 1e9,
        "ns_per_packet": ns,
        "source_ns": stages.source_ns,
        "decode_ns": stages.decode_ns,
        "track_ns": (ns - stages.source_ns - stages.decode_ns).max(0.0),
        "records_per_s": records,
        "bytes_per_flow": bytes as f64 / (sizing.ipv4.flows + sizing.wide.flows) as f64,
        "table_bytes": bytes,
        "memory": backing.to_string(),
        "simd": sizing.simd.name(),
    });
    if args.json {
        say(&result.to_string());
    } else {
        for (name, value) in result.as_object().into_iter().flatten() {
            say(&value.as_f64().map_or_else(|| format!("{name:16} {value}"), |value| format!("{name:16} {value:.2}")));
        }
    }
    Ok(())
}
