//! The packets of a burst that go to one table, with what the stages hand on.

use bytemuck::Zeroable;

use crate::key::Key;
use crate::packet::{BURST, Packet};
use crate::table::Slot;

/// Tag lines that are searched at a time: entries are prefetched while further lines come.
pub(super) const STEP: usize = 16;
/// No slot.
pub(super) const NONE: Slot = Slot::MAX;

/// Bits of [`Lane::belongs`].
pub(crate) mod belongs {
    /// The packet goes in reverse direction.
    pub(crate) const REVERSE: u8 = 1;
    /// The packet is the first one of its flow.
    pub(crate) const NEW: u8 = 2;
}

/// The packets of a burst that go to one table, with what the stages hand on.
#[derive(Debug)]
pub(crate) struct Lane<K> {
    pub(super) packets: [Packet<K>; BURST],
    /// Line and tag of each packet's key.
    pub(super) wanted: [(u32, u16); BURST],
    /// The entry of each packet's flow, once a stage has found or made it.
    pub(super) slots: [Slot; BURST],
    /// How each packet belongs to its flow: bits of [`belongs`].
    pub(super) belongs: [u8; BURST],
    /// What a search of tags has found.
    pub(super) masks: [u32; BURST],
    pub(super) misses: [u8; BURST],
    /// Where the flows of the misses will stand: a free place, or one that will be emptied for them. `NONE`: not decided.
    pub(super) planned: [Slot; BURST],
    /// What is looked for next for the misses: line and tag; a line that does not exist where it is nothing.
    pub(super) seconds: [(u32, u16); BURST],
    pub(super) len: usize,
    pub(super) missed: usize,
    /// Bursts left that skip the search for a free place in second lines: there was none lately.
    pub(super) crowded: u8,
}

impl<K: Key> Lane<K> {
    pub(crate) fn new() -> Box<Self> {
        Box::new(Self {
            packets: [Packet::zeroed(); BURST],
            wanted: [(0, 0); BURST],
            slots: [NONE; BURST],
            belongs: [0; BURST],
            masks: [0; BURST],
            misses: [0; BURST],
            planned: [NONE; BURST],
            seconds: [(NONE, 0); BURST],
            len: 0,
            missed: 0,
            crowded: 0,
        })
    }

    pub(crate) fn clear(&mut self) {
        self.len = 0;
    }

    /// Packets that can still be taken.
    pub(crate) fn room(&self) -> usize {
        BURST.saturating_sub(self.len)
    }

    /// Whether another packet can be taken.
    pub(crate) fn has_room(&self) -> bool {
        self.room() > 0
    }

    /// The packets in the order of their frames: the place of the frame, the entry of the flow, and how the packet belongs to it.
    pub(crate) fn tracked(&self) -> impl Iterator<Item = (u16, Slot, u8)> {
        let all = self.packets.iter().zip(&self.slots).zip(&self.belongs).take(self.len);
        all.map(|((packet, slot), belongs)| (packet.frame, *slot, *belongs))
    }

    /// A packet's key.
    pub(crate) fn key(&self, at: u8) -> Option<&K> {
        self.packets.get(usize::from(at)).map(|packet| &packet.key)
    }
}
