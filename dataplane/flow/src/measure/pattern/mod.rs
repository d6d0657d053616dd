//! The pattern of a flow's packets: heavier statistics of their sizes and times, for those who classify encrypted traffic.
//!
//! Each is switched on by itself ([`Wants`]) and leaves as an extension of the flow's record: [`Histograms`](sonde_record::fact::Histograms),
//! [`FirstPackets`], [`Bursts`](sonde_record::fact::Bursts), [`NetTisa`](sonde_record::fact::NetTisa). Their definitions are those of CESNET's ipfixprobe (PEN 8057), whose models read them; where they differ
//! `docs/conformance.md` says why. A record's statistics are of its own packets: they begin again after each.
//!
//! "Payload" is what follows the header of TCP or UDP, of other protocols what follows the IP header, in octets. Packets without
//! any are left out, but not by [`NetTisa`].
//!
//! Not here: which flows have it (`feed`).

use bytemuck::{Pod, Zeroable};
use sonde_record::fact::{Fact, FirstPacket, FirstPackets};

mod burst;
mod histogram;
mod nettisa;
mod sample;

pub use sample::Sample;

/// Which statistics are gathered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Wants {
    /// Histograms of sizes and of times between packets.
    pub histograms: bool,
    /// So many first packets, at most [`FIRST_PACKETS_MAX`](sonde_record::fact::FIRST_PACKETS_MAX); 0: none.
    pub first_packets: u8,
    /// Bursts.
    pub bursts: bool,
    /// Statistics of the time series.
    pub nettisa: bool,
}

impl Wants {
    /// None of them.
    pub const NONE: Self = Self { histograms: false, first_packets: 0, bursts: false, nettisa: false };

    /// All of them.
    pub const ALL: Self = Self { histograms: true, first_packets: 30, bursts: true, nettisa: true };

    /// Whether there is any.
    pub fn any(self) -> bool {
        self != Self::NONE
    }
}

/// What is gathered of one flow. About a kilobyte: only as many as there is room for have it.
#[derive(Clone, Copy, Debug, Zeroable, Pod)]
#[repr(C, align(64))]
pub struct PatternState {
    nettisa: nettisa::Series,
    histograms: histogram::Gathered,
    first: FirstPackets,
    bursts: burst::Gathered,
}

const _: () = assert!(size_of::<PatternState>() == 1024);

impl Default for PatternState {
    fn default() -> Self {
        Self::zeroed()
    }
}

impl PatternState {
    /// Adds a packet.
    pub fn add(&mut self, wants: Wants, sample: &Sample) {
        if wants.nettisa {
            self.nettisa.add(sample);
        }
        if sample.payload == 0 {
            return;
        }
        if wants.histograms {
            self.histograms.add(sample);
        }
        if wants.first_packets != 0 {
            let payload = u16::try_from(sample.payload).unwrap_or(u16::MAX);
            let packet = FirstPacket { payload, time: sample.time, flags: sample.flags, way: sample.way };
            self.first.add(packet, wants.first_packets);
        }
        if wants.bursts {
            self.bursts.add(sample);
        }
    }

    /// Begins the next record.
    pub fn rest(&mut self) {
        *self = Self::zeroed();
    }

    /// Writes the extensions of a record, those that are wanted and for which there is room, and says how many words they are.
    pub fn encode(&self, wants: Wants, words: &mut [u64]) -> usize {
        let mut filled = 0;
        if wants.histograms {
            filled += self.histograms.report().encode(words);
        }
        if wants.first_packets != 0 {
            filled += self.first.encode(words.get_mut(filled..).unwrap_or_default());
        }
        if wants.bursts {
            filled += self.bursts.report().encode(words.get_mut(filled..).unwrap_or_default());
        }
        if wants.nettisa {
            filled += self.nettisa.report().encode(words.get_mut(filled..).unwrap_or_default());
        }
        filled
    }
}

#[cfg(test)]
mod tests;
