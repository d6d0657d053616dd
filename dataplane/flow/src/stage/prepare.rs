//! Stage 1, behind decoding: every packet is hashed and its line of tags prefetched.

use sonde_packet::Frame;

use super::lane::Lane;
use crate::key::Key;
use crate::packet::Packet;
use crate::table::Table;

/// How far ahead header lines are prefetched.
pub(crate) const AHEAD: usize = 24;

impl<K: Key> Lane<K> {
    /// Takes a packet into the burst and prefetches its line of tags.
    #[inline(always)]
    pub(crate) fn push(&mut self, table: &Table<K>, packet: Packet<K>) {
        if let (Some(place), Some(wanted)) = (self.packets.get_mut(self.len), self.wanted.get_mut(self.len)) {
            approach_tags(table, packet, place, wanted);
            self.len += 1;
        }
    }

    /// Takes the packets of frames, up to the first frame of which `packet` makes none, and returns how many. Decoding and hashing
    /// share this loop: what it needs is in registers, not behind `self`. `ahead` prefetches a frame that comes soon.
    #[inline(always)]
    pub(crate) fn fill<'f>(
        &mut self,
        table: &Table<K>,
        frames: &[Frame<'f>],
        ahead: impl Fn(&Frame<'f>),
        packet: impl Fn(usize, &Frame<'f>) -> Option<Packet<K>>,
    ) -> usize {
        let free = self.packets.iter_mut().zip(&mut self.wanted).skip(self.len);
        let mut taken = 0;
        for ((at, frame), (place, wanted)) in frames.iter().enumerate().zip(free) {
            if let Some(frame) = frames.get(at + AHEAD) {
                ahead(frame);
            }
            let Some(packet) = packet(at, frame) else { break };
            approach_tags(table, packet, place, wanted);
            taken = at + 1;
        }
        self.len += taken;
        taken
    }
}

/// Hashes a packet, puts it into its place and prefetches its line of tags.
#[inline(always)]
fn approach_tags<K: Key>(table: &Table<K>, mut packet: Packet<K>, place: &mut Packet<K>, wanted: &mut (u32, u16)) {
    packet.hash = packet.key.hash(&table.seed);
    let home = table.home(packet.hash);
    table.prefetch_tags(home.line);
    *wanted = (home.line, home.tag);
    *place = packet;
}
