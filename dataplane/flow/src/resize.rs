//! A table that becomes larger while it is used: for recordings, whose number of flows nobody knows before they are read.
//!
//! A live worker's table is sized once, populated and never grows (it allocates nothing between start and stop). A recording begins
//! with a small one: what fits into the caches is three times as fast, and its sweep is short.

use sonde_memory::slab::{OutOfMemory, Wanted};
use sonde_record::{EndReason, Output};

use crate::counters::Counter;
use crate::expiry::{Context, write};
use crate::key::Key;
use crate::measure::follow;
use crate::table::{LOAD_PERCENT, PLACES, PLACES_MASK, Place, Table};
use crate::tick::tick;

/// By how much a table grows: all moves together cost a third of one more look at each flow.
const FACTOR: u64 = 4;

impl<K: Key> Table<K> {
    /// Makes the table larger if it is three quarters full. Returns how many flows may begin before it must be asked again:
    /// all that ever will, where it may not grow further.
    ///
    /// # Errors
    /// The memory for a larger one is not there; the table stays as it is.
    pub(crate) fn make_room<O: Output>(&mut self, flows_max: u64, now: u64, context: &mut Context<'_, O>) -> Result<u64, OutOfMemory> {
        let most = Self::footprint(flows_max).lines;
        let flows = |table: &Self| u64::from(table.lines) * PLACES as u64 * LOAD_PERCENT / 100;
        let taken = self.taken();
        if u64::from(self.lines) < most && taken >= flows(self) / 4 * 3 {
            self.grow((flows(self) * FACTOR).min(flows_max), now, context)?;
        }
        Ok(if u64::from(self.lines) < most { flows(self).saturating_sub(taken) } else { u64::MAX })
    }

    /// Counts the flows.
    fn taken(&self) -> u64 {
        let empty = |line| u64::from((self.searcher.find_one(line, 0) & PLACES_MASK).count_ones());
        self.tags.iter().map(|line| PLACES as u64 - empty(line)).sum()
    }

    /// Moves every flow to a table for `flows` flows.
    #[cold]
    fn grow<O: Output>(&mut self, flows: u64, now: u64, context: &mut Context<'_, O>) -> Result<(), OutOfMemory> {
        let wanted = Wanted { huge: false, populate: false };
        let mut larger = Self::new(flows, wanted, self.searcher.simd(), self.seed)?;
        larger.sweep = self.sweep.moved(larger.lines);
        for line in 0..self.lines {
            let Some(tags) = self.tags.get(line as usize) else { continue };
            let mut taken = !self.searcher.find_one(tags, 0) & PLACES_MASK;
            while taken != 0 {
                let old = Self::slot(line, taken.trailing_zeros());
                taken &= taken.wrapping_sub(1);
                let Some(entry) = self.entries.get_mut(old as usize) else { continue };
                let hash = entry.key.hash(&self.seed);
                let (Place::Home(slot) | Place::Second(slot)) = larger.place(hash, tick(now)) else {
                    // Two lines that are full where a quarter is: cannot be excluded, and loses nothing but the flow's continuity.
                    if entry.has_news() {
                        write(entry, EndReason::LackOfResources, context);
                    }
                    follow::release(entry, context.annex);
                    context.counters.sub(Counter::FlowsActive, 1);
                    continue;
                };
                if let Some(place) = larger.entries.get_mut(slot as usize) {
                    *place = *entry;
                    larger.occupy(slot, larger.home(hash), self.deadline(old));
                }
            }
        }
        *self = larger;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::annex::Room;
    use crate::measure::pattern::Wants;
    use crate::{Flush, Policy, Sizing, Tracker};
    use sonde_memory::tags::Simd;
    use sonde_packet::{Frame, Link};
    use sonde_record::Record;

    const START: u64 = 1_700_000_000_000_000_000;

    /// A UDP packet of the `n`th flow: IPv4, or IPv6 for odd ones.
    fn packet(n: u32) -> Vec<u8> {
        let mut bytes = vec![0x02; 12];
        let [a, b, c, d] = n.to_be_bytes();
        if n.is_multiple_of(2) {
            bytes.extend([8, 0, 0x45, 0, 0, 46, 0, 1, 0, 0, 64, 17, 0, 0, 10, b, c, d, 192, 0, 2, a]);
        } else {
            bytes.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, 8, 17, 64]);
            bytes.extend([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, a, b, c, d]);
            bytes.extend([0xfe; 16]);
        }
        bytes.extend([0x12, 0x34, 0, 53, 0, 8, 0, 0]);
        bytes.resize(62, 0);
        bytes
    }

    /// Two packets each of `flows` flows through a tracker that may grow to `flows_max`; its records and how many were evicted.
    fn run(flows: u32, flows_max: u64) -> (Vec<Record>, u64) {
        let wanted = Wanted { huge: false, populate: false };
        let sizing = Sizing {
            ipv4: 200,
            wide: 200,
            annex: Room::whole(200, Wants::NONE),
            wanted,
            simd: Simd::detect(),
            seed: 3,
            worker: 0,
            first_id: 1,
        };
        let mut tracker = Tracker::new(&sizing, Policy::default()).expect("little memory");
        let mut records: Vec<Record> = Vec::new();
        let packets: Vec<Vec<u8>> = (0..flows).map(packet).collect();
        let mut now = START;
        for _ in 0..2 {
            for burst in packets.chunks(crate::BURST) {
                now += 1_000_000;
                let frames: Vec<Frame<'_>> =
                    burst.iter().map(|bytes| Frame { bytes, wire_len: 62, link: Link::Ethernet, time: now, port: 0 }).collect();
                tracker.sweep(now, u32::MAX, &mut records);
                tracker.meter(&frames, now, &mut records);
                tracker.make_room(flows_max, now, &mut records).expect("little memory");
            }
        }
        let mut flush = Flush::default();
        while tracker.flush(&mut flush, &mut records) {}
        assert!(tracker.counters().balances());
        assert_eq!(tracker.counters().get(Counter::FlowsActive), 0);
        (records, tracker.counters().get(Counter::RecordsLackOfResources))
    }

    #[test]
    fn a_growing_table_loses_no_flow_and_evicts_none() {
        let (records, evicted) = run(50_000, 1 << 20);
        assert_eq!((records.len(), evicted), (50_000, 0));
        assert!(records.iter().all(|r| r.packets == [2, 0] && r.wire == [124, 0]));
        let ids: std::collections::HashSet<u64> = records.iter().map(|r| r.flow_id).collect();
        assert_eq!(ids.len(), 50_000);
    }

    #[test]
    fn beyond_its_limit_it_evicts() {
        let (records, evicted) = run(50_000, 4000);
        assert!(evicted > 0 && records.len() > 50_000);
        assert_eq!(records.iter().map(|r| r.packets[0]).sum::<u64>(), 100_000);
    }
}
