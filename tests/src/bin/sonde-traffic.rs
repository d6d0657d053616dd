//! `sonde-traffic`: writes a capture of traffic made from scratch, for demonstrations, tests and measurements.

#![forbid(unsafe_code)]

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::{Parser, ValueEnum};
use sonde_tests::traffic::{ByteOrder, CaptureWriter, Format, Mix, Population, Resolution, SECOND, Size, Totals, capture, office};

/// Writes a capture of generated traffic and prints what it holds in sum, as JSON.
#[derive(Parser)]
#[command(name = "sonde-traffic", version)]
struct Arguments {
    /// File to write; "-" is standard output.
    #[arg(long)]
    out: PathBuf,
    /// What the traffic is.
    #[arg(long, value_enum, default_value_t = Kind::Office)]
    mix: Kind,
    /// Flows (office: activities, each of one to a few flows).
    #[arg(long, default_value_t = 1000)]
    flows: u64,
    /// Packets; for office the capture ends where the activities end.
    #[arg(long, default_value_t = 100_000)]
    packets: u64,
    /// Octets of a frame with FCS ("64" makes frames of 60 octets in the file), or "imix".
    #[arg(long, default_value = "imix", value_parser = parse_size)]
    size: Size,
    /// Packets a second by the capture's clock (office: the activities are spread over --seconds).
    #[arg(long, default_value_t = 1_000_000)]
    pps: u64,
    /// Length of an office capture in seconds.
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    /// The same seed makes the same capture.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// File format.
    #[arg(long, value_enum, default_value_t = FileFormat::Pcap)]
    format: FileFormat,
    /// Write timestamps in microseconds instead of nanoseconds.
    #[arg(long)]
    micro: bool,
    /// Write numbers with the most significant octet first.
    #[arg(long)]
    big_endian: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Kind {
    /// Name look-ups, web visits, shells, pings, neighbours, in VLANs, by IPv4 and IPv6.
    Office,
    /// UDP datagrams of all flows in random order.
    Udp,
    /// The same with every eighth flow by IPv6.
    UdpDual,
    /// Complete TCP connections, all at once.
    Tcp,
    /// Every packet a SYN of a new flow.
    SynFlood,
}

#[derive(Clone, Copy, ValueEnum)]
enum FileFormat {
    /// The old format.
    Pcap,
    /// The next generation.
    Pcapng,
}

fn parse_size(text: &str) -> Result<Size, String> {
    if text == "imix" {
        return Ok(Size::Imix);
    }
    match text.parse::<usize>() {
        Ok(octets @ 64..=9018) => Ok(Size::Fixed(octets - 4)),
        _ => Err(format!("a frame has from 64 to 9018 octets with its FCS, or say \"imix\"; found \"{text}\"")),
    }
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    if arguments.flows == 0 || arguments.packets == 0 {
        bail!("--flows and --packets must be at least 1");
    }
    let name = arguments.out.display().to_string();
    let out: Box<dyn Write> = if name == "-" {
        Box::new(std::io::stdout())
    } else {
        Box::new(File::create(&arguments.out).with_context(|| format!("{name} cannot be written"))?)
    };
    let totals =
        write(&arguments, BufWriter::with_capacity(1 << 20, out)).with_context(|| format!("{name} could not be written to its end"))?;
    let summary = serde_json::to_string(&totals)?;
    if name == "-" {
        eprintln!("{summary}")
    } else {
        println!("{summary}")
    }
    Ok(())
}

fn write(arguments: &Arguments, out: impl Write) -> Result<Totals> {
    let format = match arguments.format {
        FileFormat::Pcap => Format::Pcap,
        FileFormat::Pcapng => Format::PcapNg,
    };
    let resolution = if arguments.micro { Resolution::Micro } else { Resolution::Nano };
    let order = if arguments.big_endian { ByteOrder::Big } else { ByteOrder::Little };
    let mut writer = CaptureWriter::new(out, format, resolution, order, capture::ETHERNET)?;
    let mut totals = Totals::default();
    let mix = match arguments.mix {
        Kind::Office => {
            for packet in office(arguments.flows, arguments.seconds * SECOND, arguments.seed) {
                totals.add(&packet.bytes);
                writer.packet(&packet)?;
            }
            writer.finish()?;
            return Ok(totals);
        }
        Kind::Udp => Mix::Udp,
        Kind::UdpDual => Mix::UdpDual,
        Kind::Tcp => Mix::Tcp,
        Kind::SynFlood => Mix::SynFlood,
    };
    let mut population = Population::new(mix, arguments.flows, arguments.packets, arguments.size, arguments.pps, arguments.seed);
    let mut frame = Vec::new();
    for _ in 0..arguments.packets {
        let time = population.next_into(&mut frame);
        totals.add(&frame);
        writer.frame(0, time, &frame)?;
    }
    writer.finish()?;
    Ok(totals)
}
