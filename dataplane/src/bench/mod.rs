//! `sonde-dataplane bench`: the whole journey of packets on cores of this machine, measured.
//!
//! Frames come from memory; the worker's own loop makes flows and records of them; the records go into a record ring of shared
//! memory, and an exporter on another core sends them as IPFIX to a socket of this process that nobody reads. [`rig`] is one worker,
//! [`export`] its exporter, [`report`] what is printed.

mod export;
mod report;
mod rig;

use std::path::PathBuf;
use std::sync::Barrier;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use sonde_flow::pattern::Wants;
use sonde_flow::{Room, Sizing};
use sonde_memory::FileMap;
use sonde_memory::slab::Wanted;
use sonde_memory::tags::Simd;
use sonde_settings::paths::Paths;
use sonde_worker::source::LoopSource;
use sonde_worker::source::template::{self, LONG, PLAIN, Size, TemplateSource};

use crate::machine;
use export::Exporting;
use report::{Measured, Report};
use rig::Rig;

/// What to measure.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Different flows, hit at random in both directions; with --source pcap, flows the table is made for
    #[arg(long, default_value_t = 65_536, value_parser = clap::value_parser!(u32).range(1..=1 << 28))]
    flows: u32,
    /// What the frames of the template are; tcp and connections are simple IMIX
    #[arg(long, value_enum, default_value_t = Traffic::Udp, conflicts_with = "flood")]
    traffic: Traffic,
    /// What stands before the IP header, in a tunnel before the tunnel's; frames are longer by it
    #[arg(long, value_enum, default_value_t = Behind::Ethernet)]
    behind: Behind,
    /// IPv6 in place of IPv4, in a tunnel that of the tunnel; frames are 20 octets longer
    #[arg(long)]
    ipv6: bool,
    /// Octets of a frame with FCS, in a tunnel of the inner one, or "imix"; for udp and vxlan
    #[arg(long, default_value = "64", value_parser = size)]
    size: Size,
    /// Where frames come from: "template", or "pcap=FILE", a capture that is read from memory again and again
    #[arg(long, value_name = "template|pcap=FILE", default_value = "template", value_parser = origin)]
    source: Origin,
    /// Every packet is the SYN of a new flow, and the table, for 1,048,576 flows, is full
    #[arg(long)]
    flood: bool,
    /// What is kept of a flow beside its counters
    #[arg(long, value_enum, default_value_t = Fields::Default)]
    fields: Fields,
    /// How long to measure, in seconds of a worker's CPU time
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
    /// Workers, each with a core, a table and frames of its own; with several, first one of them is measured alone
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=64))]
    workers: u8,
    /// Core of the first worker; default: the last. The others have those before it, the exporter one that is left
    #[arg(long)]
    core: Option<u32>,
    /// Records go into the ring, and nobody reads them
    #[arg(long)]
    no_export: bool,
    /// For programs
    #[arg(long)]
    json: bool,
}

impl Args {
    /// Whether the headers of a frame are longer than a cache line may be.
    fn is_long(&self) -> bool {
        self.ipv6 || self.traffic == Traffic::Vxlan || self.behind != Behind::Ethernet
    }
}

/// What the frames of the template are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Traffic {
    /// UDP datagrams at random
    Udp,
    /// UDP datagrams in VXLAN
    Vxlan,
    /// TCP connections that go on for ever: requests of one segment, answers of four
    Tcp,
    /// TCP connections of 24 segments, from the first SYN to the last FIN
    Connections,
}

/// What stands between Ethernet and IP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Behind {
    /// Nothing
    Ethernet,
    /// A VLAN tag
    Vlan,
    /// Two VLAN tags
    Qinq,
    /// Two MPLS labels
    Mpls,
    /// A PPPoE session
    Pppoe,
}

/// What is kept of a flow beside its counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Fields {
    /// Nothing
    Plain,
    /// Layers and performance, for every flow that has them
    Default,
    /// And histograms, first packets, bursts and `NetTiSA`
    Patterns,
}

/// Where frames come from.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Origin {
    Template,
    Pcap(PathBuf),
}

fn size(text: &str) -> Result<Size, String> {
    match text.parse() {
        Ok(octets @ 64..=9018) => Ok(Size::Fixed(octets)),
        _ if text == "imix" => Ok(Size::Imix),
        _ => Err("a whole number from 64 to 9018, or \"imix\"".to_owned()),
    }
}

fn origin(text: &str) -> Result<Origin, String> {
    match text.strip_prefix("pcap=") {
        Some(file) if !file.is_empty() => Ok(Origin::Pcap(file.into())),
        _ if text == "template" => Ok(Origin::Template),
        _ => Err("\"template\", or \"pcap=\" and the name of a file".to_owned()),
    }
}

/// Bytes of a record ring: what a profile has that says nothing.
const RING_BYTES: usize = 64 << 20;
/// Flows of the table that a flood fills.
const FLOOD_FLOWS: u64 = 1 << 20;

/// The cores of the workers and, if one is left, that of the exporter.
fn seats(args: &Args) -> Result<(Vec<u32>, Option<u32>)> {
    let cores = machine::cores()?;
    let first = args.core.or(cores.last().copied()).context("this process may run on no core")?;
    let others = cores.iter().rev().copied().filter(|core| *core != first);
    let mut seats: Vec<u32> = std::iter::once(first).chain(others).collect();
    let wanted = usize::from(args.workers);
    if wanted > seats.len() {
        bail!("{wanted} workers need {wanted} cores, and this process may run on {}: ask for fewer with --workers", seats.len());
    }
    let left = seats.split_off(wanted);
    Ok((seats, left.first().copied()))
}

/// The shared memory of this measurement, removed when it ends.
struct Shared(PathBuf, Paths);

impl Shared {
    fn new() -> Result<Self> {
        let paths = Paths::of(&format!("bench-{}", std::process::id()), None);
        std::fs::create_dir_all(paths.shared()).with_context(|| format!("cannot make {}", paths.shared().display()))?;
        Ok(Self(paths.shared().to_owned(), paths))
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // What cannot be removed is shared memory of this process's name: the next of the same number replaces it.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Measures and prints.
///
/// # Errors
/// The memory, the core or the capture is not there.
pub fn run(args: Args) -> Result<()> {
    let (seats, spare) = seats(&args)?;
    let shared = Shared::new()?;
    let map = match &args.source {
        Origin::Pcap(path) => Some(FileMap::open(path)?),
        Origin::Template => None,
    };
    // Every worker measures alone, or with all the others: they wait for each other in between.
    let gate = Barrier::new(seats.len());
    let export = seats.len() == 1 && !args.no_export;
    let measured: Vec<Result<Measured>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0u8..)
            .zip(&seats)
            .map(|(worker, core)| {
                let post = Post { args: &args, worker, core: *core, ring: shared.1.ring(worker.into()), gate: &gate };
                let map = map.as_ref();
                scope.spawn(move || post.serve(map, export.then_some(spare)))
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap_or_else(|_| Err(anyhow!("a worker's thread ended by a fault")))).collect()
    });
    let measured = measured.into_iter().collect::<Result<Vec<_>>>()?;
    Report { measured, workers: seats, exporter: export.then_some(spare) }.print(args.json);
    Ok(())
}

/// A worker's place.
struct Post<'a> {
    args: &'a Args,
    worker: u8,
    core: u32,
    ring: PathBuf,
    gate: &'a Barrier,
}

impl Post<'_> {
    fn serve(&self, map: Option<&FileMap>, exporter: Option<Option<u32>>) -> Result<Measured> {
        // A worker that cannot begin lets the others go on, and the measurement fails when they have ended.
        let prepared = machine::pin(self.core).map_err(Into::into).and_then(|()| Exporting::ring(&self.ring, RING_BYTES, self.worker));
        match map {
            Some(map) => {
                let source = LoopSource::new(map.bytes()).map_err(|fault| anyhow!("{}: {fault}", map.path().display()));
                let frames = source.as_ref().map_or(0, LoopSource::frames);
                self.measure(source, frames, prepared, exporter)
            }
            None if self.args.is_long() => self.measure_template::<LONG>(prepared, exporter),
            None => self.measure_template::<PLAIN>(prepared, exporter),
        }
    }

    fn measure_template<const KEPT: usize>(
        &self,
        ring: Result<sonde_record::ring::Writer>,
        exporter: Option<Option<u32>>,
    ) -> Result<Measured> {
        let Args { flows, size, flood, traffic, behind, ipv6, .. } = *self.args;
        let kind = match traffic {
            _ if flood => template::Kind::Flood,
            Traffic::Udp => template::Kind::Udp(size),
            Traffic::Vxlan => template::Kind::Vxlan(size),
            Traffic::Tcp => template::Kind::Tcp,
            Traffic::Connections => template::Kind::Connections,
        };
        let behind = match behind {
            Behind::Ethernet => template::Behind::Ethernet,
            Behind::Vlan => template::Behind::Vlan,
            Behind::Qinq => template::Behind::Qinq,
            Behind::Mpls => template::Behind::Mpls,
            Behind::Pppoe => template::Behind::Pppoe,
        };
        let traffic = template::Traffic { flows, kind, behind, ipv6, seed: 5 + u64::from(self.worker) };
        let source = TemplateSource::<KEPT>::new(&traffic, None).context("the frames of the benchmark");
        let frames = source.as_ref().map_or(0, TemplateSource::frames);
        self.measure(source, frames, ring, exporter)
    }

    fn measure<S: sonde_worker::source::Source>(
        &self,
        source: Result<S>,
        frames: usize,
        ring: Result<sonde_record::ring::Writer>,
        exporter: Option<Option<u32>>,
    ) -> Result<Measured> {
        let rig = source.and_then(|source| Rig::new(source, frames as u64, &self.sizing(), ring?)).and_then(|mut rig| {
            let exporting = exporter.map(|core| Exporting::start(&self.ring, core)).transpose()?;
            rig.warm_up()?;
            Ok((rig, exporting))
        });
        let seconds = Duration::from_secs(self.args.seconds);
        self.gate.wait();
        // One alone is measured in the same run as all together: figures of different runs differ by what else the machine does.
        let (mut rig, exporting, alone) = match rig {
            Ok((mut rig, exporting)) => {
                let alone = (self.args.workers > 1 && self.worker == 0).then(|| rig.measure(seconds));
                self.gate.wait();
                (rig, exporting, alone)
            }
            Err(e) => {
                self.gate.wait();
                return Err(e);
            }
        };
        let part = rig.measure(seconds);
        let finished = rig.finish();
        let outcome = exporting.map(Exporting::stop).transpose()?;
        Ok(Measured { alone, part, finished, outcome })
    }

    fn sizing(&self) -> Sizing {
        let Args { flows, flood, fields, traffic, ipv6, .. } = *self.args;
        let ipv4 = if flood { FLOOD_FLOWS } else { flows.into() };
        // Flows in tunnels and those of IPv6 stand in the wide table; which ones a recording has nobody knows.
        let wide = match self.args.source {
            Origin::Template if !ipv6 && traffic != Traffic::Vxlan => 1024,
            Origin::Template if flood => FLOOD_FLOWS,
            _ => flows.into(),
        };
        let annex = match fields {
            Fields::Plain => Room::NONE,
            Fields::Default => Room::whole(ipv4 + wide, Wants::NONE),
            Fields::Patterns => Room::whole(ipv4 + wide, Wants::ALL),
        };
        Sizing {
            ipv4,
            wide,
            annex,
            wanted: Wanted { huge: true, populate: true },
            simd: Simd::detect(),
            seed: 99,
            worker: self.worker,
            first_id: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_sources_are_what_the_help_says() {
        assert_eq!(size("64"), Ok(Size::Fixed(64)));
        assert_eq!(size("imix"), Ok(Size::Imix));
        assert!(size("63").is_err() && size("9019").is_err() && size("big").is_err());
        assert_eq!(origin("template"), Ok(Origin::Template));
        assert_eq!(origin("pcap=a.pcap"), Ok(Origin::Pcap("a.pcap".into())));
        assert!(origin("pcap=").is_err() && origin("nic").is_err());
    }

    #[test]
    fn a_template_s_journey_accounts_for_every_packet_and_record() {
        let args = Args {
            flows: 1000,
            traffic: Traffic::Udp,
            behind: Behind::Ethernet,
            ipv6: false,
            size: Size::Imix,
            fields: Fields::Default,
            source: Origin::Template,
            flood: true,
            seconds: 1,
            workers: 1,
            core: None,
            no_export: false,
            json: true,
        };
        let directory = tempfile::tempdir().expect("a directory");
        let core = *machine::cores().expect("cores").first().expect("one");
        let gate = Barrier::new(1);
        let post = Post { args: &args, worker: 0, core, ring: directory.path().join("ring"), gate: &gate };
        let measured = post.serve(None, Some(None)).expect("measured");
        let (finished, outcome) = (&measured.finished, measured.outcome.as_ref().expect("an exporter"));
        assert!(finished.balances && finished.received >= measured.part.packets && measured.part.packets > 0);
        assert_eq!(finished.records, outcome.sent + outcome.lost_ring + outcome.lost_send);
        // Nearly every packet of a flood against a full table evicts a flow: few lines have places left.
        assert!(measured.part.records > measured.part.packets / 10 * 9, "{:?}", measured.part);
    }
}
