//! The exporter of a measurement: the product's own, to a socket of this process.

use std::net::UdpSocket;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Builder, JoinHandle};

use anyhow::{Context, Result, anyhow};
use sonde_export::session::{self, Config, Protocol};
use sonde_record::ring::{Reader, Writer};
use sonde_stats::{Block, Kind};

use crate::machine;

/// What became of the records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    /// Handed to the kernel.
    pub(super) sent: u64,
    /// Overwritten before they were read.
    pub(super) lost_ring: u64,
    /// Read, and not sent.
    pub(super) lost_send: u64,
    /// Octets of messages.
    pub(super) octets: u64,
}

/// An exporter at work.
#[derive(Debug)]
pub(super) struct Exporting {
    block: Arc<Block>,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<()>>,
    /// What is sent arrives here and is thrown away by the kernel when its buffer is full; without it the port would be closed.
    _sink: UdpSocket,
}

impl Exporting {
    /// Makes the ring of a worker.
    pub(super) fn ring(path: &Path, bytes: usize, worker: u8) -> Result<Writer> {
        Writer::create(path, bytes, worker).context("the record ring of the benchmark")
    }

    /// Starts to export what is written to the ring from now on, on this core if there is one to spare.
    pub(super) fn start(ring: &Path, core: Option<u32>) -> Result<Self> {
        let sink = UdpSocket::bind("127.0.0.1:0").context("a socket to export to")?;
        let config = Config::new(Protocol::Udp, &sink.local_addr()?.to_string());
        let mut reader = Reader::open(ring)?;
        reader.seek_oldest();
        let block = Arc::new(Block::detached(Kind::Exporter, "exporters/bench", session::COUNTERS));
        let stop = Arc::new(AtomicBool::new(false));
        let (shown, told) = (Arc::clone(&block), Arc::clone(&stop));
        let body = move || {
            // A thread is born on its maker's core.
            core.map_or(Ok(()), machine::pin)?;
            session::run(&config, &mut [reader], shown, &told);
            Ok(())
        };
        let thread = Builder::new().name("exp-bench".to_owned()).spawn(body)?;
        Ok(Self { block, stop, thread, _sink: sink })
    }

    /// Sends what is left, and says what became of all.
    pub(super) fn stop(self) -> Result<Outcome> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| anyhow!("the exporter's thread ended by a fault"))??;
        let count = |name| session::COUNTERS.iter().position(|counter| *counter == name).map_or(0, |at| self.block.get(at));
        Ok(Outcome { sent: count("records"), lost_ring: count("lost_ring"), lost_send: count("lost_send"), octets: count("octets") })
    }
}
