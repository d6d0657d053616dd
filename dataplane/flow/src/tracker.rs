//! One worker's flows: the tables, the policy they obey, what is counted.

use sonde_memory::slab::{Backing, OutOfMemory, Wanted};
use sonde_memory::tags::Simd;
use sonde_packet::Frame;
use sonde_record::Output;

use crate::annex::{Annex, Room};
use crate::counters::{Counter, Counters};
use crate::decode::{Decoder, Decoding};
use crate::entry::Origin;
use crate::expiry::Context;
use crate::key::{Key, Key4, KeyWide, Seed};
use crate::measure::follow;
use crate::packet::BURST;
use crate::policy::Policy;
use crate::stage::{self, Lane, Work, belongs};
use crate::table::{Footprint, Slot, Table};
use crate::timeouts::Near;

/// What is fixed when a tracker is made.
#[derive(Clone, Copy, Debug)]
pub struct Sizing {
    /// IPv4 flows.
    pub ipv4: u64,
    /// IPv6 flows, flows inside tunnels, and flows without IP.
    pub wide: u64,
    /// Memory for what only some of all these flows have.
    pub annex: Room,
    /// How the memory is to be had.
    pub wanted: Wanted,
    /// Vector unit to use, if the machine has it.
    pub simd: Simd,
    /// Secret of the hash.
    pub seed: u64,
    /// Worker number: in every record, and in the high bits of flow ids.
    pub worker: u8,
    /// First flow id below the worker's number (48 bits): later than any id of an earlier run.
    pub first_id: u64,
}

impl Sizing {
    /// Memory that the two tables and the annex take.
    pub fn footprint(&self) -> Footprint {
        let (narrow, wide) = (Table::<Key4>::footprint(self.ipv4), Table::<KeyWide>::footprint(self.wide));
        let bytes = narrow.bytes.saturating_add(wide.bytes).saturating_add(Annex::footprint(&self.annex));
        Footprint { lines: narrow.lines.saturating_add(wide.lines), bytes }
    }
}

/// The flows of one worker.
#[derive(Debug)]
pub struct Tracker {
    ipv4: Table<Key4>,
    wide: Table<KeyWide>,
    annex: Annex,
    decoder: Decoder,
    policy: Policy,
    counters: Counters,
    origin: Origin,
    next_id: u64,
    /// Flows that may have begun before [`Tracker::make_room`] must look at the tables again.
    room_until: u64,
}

impl Tracker {
    /// Makes the tables.
    ///
    /// # Errors
    /// The memory is not there.
    pub fn new(sizing: &Sizing, policy: Policy) -> Result<Self, OutOfMemory> {
        let seed = Seed::from_u64(sizing.seed);
        Ok(Self {
            ipv4: Table::new(sizing.ipv4, sizing.wanted, sizing.simd, seed)?,
            wide: Table::new(sizing.wide, sizing.wanted, sizing.simd, seed)?,
            annex: Annex::new(sizing.annex, sizing.wanted)?,
            decoder: Decoder::new(sizing.seed, follow::mark(sizing.annex.patterns)),
            policy,
            counters: Counters::default(),
            origin: Origin { worker: sizing.worker, offset: 0 },
            next_id: u64::from(sizing.worker) << 56 | sizing.first_id & ((1 << 56) - 1),
            room_until: 0,
        })
    }

    /// What was counted since the tracker was made.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Octets of both tables and the annex.
    pub fn bytes(&self) -> u64 {
        self.ipv4.bytes() + self.wide.bytes() + self.annex.bytes()
    }

    /// The pages the tables stand in: the lesser of the two.
    pub fn backing(&self) -> Backing {
        self.ipv4.backing().max(self.wide.backing())
    }

    /// Says what is added to times for records to show them by the wall clock, in nanoseconds: it was stepped since the source's clock
    /// was set. Nothing but what records show changes.
    #[inline]
    pub fn set_offset(&mut self, offset: i64) {
        self.origin.offset = offset;
    }

    /// Takes over another policy. Flows that are due under shorter timeouts end within one pass of the sweep.
    pub fn obey(&mut self, policy: Policy) {
        if policy.timeouts != self.policy.timeouts {
            self.ipv4.recheck();
            self.wide.recheck();
        }
        self.policy = policy;
    }

    /// Decodes frames: each becomes a packet with its key, hashed and on its way to its flow. Returns how many frames it has done with:
    /// all of a burst of [`BURST`] or fewer, unless they are more packets than a burst holds. The first of those that are left may be half
    /// done. `now` is the time of the burst.
    #[inline]
    pub fn decode(&mut self, frames: &[Frame<'_>], now: u64) -> usize {
        self.decoding().burst(frames, now)
    }

    /// Brings the flows up to date of the packets that [`Tracker::decode`] made of these frames.
    #[inline]
    pub fn track<O: Output>(&mut self, frames: &[Frame<'_>], now: u64, out: &mut O) {
        let Self { ipv4, wide, annex, decoder, policy, counters, origin, next_id, .. } = self;
        let Decoder { lane4, lane_wide, fragments, .. } = decoder;
        let mut work = Work {
            frames,
            gone: fragments.gone(),
            now,
            timeouts: &policy.timeouts,
            near: Near::new(&policy.timeouts),
            tunnels: &policy.tunnels,
            next_id,
            context: Context { annex, origin: *origin, counters, out },
        };
        stage::track(ipv4, lane4, &mut work);
        stage::track(wide, lane_wide, &mut work);
    }

    /// Decodes and tracks any number of frames.
    pub fn meter<O: Output>(&mut self, mut frames: &[Frame<'_>], now: u64, out: &mut O) {
        loop {
            let taken = self.decode(frames, now);
            self.track(frames, now, out);
            frames = frames.get(taken..).unwrap_or_default();
            if frames.is_empty() {
                break;
            }
        }
    }

    /// The packets that were tracked last, each with its flow, by table and in the order of the frames in each. Fragments that had waited
    /// are not among them: of their frames only the beginning is left.
    pub fn tracked(&self) -> impl Iterator<Item = Tracked> {
        let new = |wide| {
            move |(at, (frame, slot, how)): (u8, (u16, Slot, u8))| {
                let (way, new) = (how & belongs::REVERSE, how & belongs::NEW != 0);
                Tracked { frame, way, new, wide, at, slot }
            }
        };
        let narrow = (0..).zip(self.decoder.lane4.tracked()).map(new(false));
        let wide = (0..).zip(self.decoder.lane_wide.tracked()).map(new(true));
        narrow.chain(wide).filter(|tracked| usize::from(tracked.frame) < BURST)
    }

    /// The id of the flow that a tracked packet belongs to; `None` when a later packet of the burst took the entry for its own flow.
    pub fn flow_id(&self, tracked: &Tracked) -> Option<u64> {
        let Decoder { lane4, lane_wide, .. } = &self.decoder;
        if tracked.wide { id_of(&self.wide, lane_wide, tracked) } else { id_of(&self.ipv4, lane4, tracked) }
    }

    fn decoding(&mut self) -> Decoding<'_> {
        let Self { ipv4, wide, decoder, policy, counters, .. } = self;
        Decoding { decoder, ipv4, wide, policy, counters }
    }

    /// Ends flows that are due, as far as `budget` lines of each table go.
    pub fn sweep<O: Output>(&mut self, now: u64, budget: u32, out: &mut O) {
        let timeouts = &self.policy.timeouts;
        let mut context = Context { annex: &mut self.annex, origin: self.origin, counters: &mut self.counters, out };
        self.ipv4.sweep(now, timeouts, budget, &mut context);
        self.wide.sweep(now, timeouts, budget, &mut context);
    }

    /// Makes room for the flows of another burst, in larger tables and a larger annex if need be, but none for more than `flows_max` flows. For
    /// recordings: it allocates.
    ///
    /// # Errors
    /// The memory for a larger table is not there; the one that is there goes on, and evicts.
    #[inline]
    pub fn make_room<O: Output>(&mut self, flows_max: u64, now: u64, out: &mut O) -> Result<(), OutOfMemory> {
        if self.annex.is_low() {
            self.annex.grow(Room::whole(flows_max.saturating_mul(2), self.annex.wants()))?;
        }
        let created = self.counters.get(Counter::FlowsCreated);
        if created.saturating_add(BURST as u64) < self.room_until {
            return Ok(());
        }
        let mut context = Context { annex: &mut self.annex, origin: self.origin, counters: &mut self.counters, out };
        let narrow = self.ipv4.make_room(flows_max, now, &mut context)?;
        let wide = self.wide.make_room(flows_max, now, &mut context)?;
        self.room_until = created.saturating_add(narrow.min(wide));
        Ok(())
    }

    /// Meters what waits for a first fragment that will not come: to be called before [`Tracker::flush`].
    pub fn settle<O: Output>(&mut self, now: u64, out: &mut O) {
        while self.decoding().settle(now) {
            self.track(&[], now, out);
        }
    }

    /// Writes every flow with end reason 4 (forced end). Returns after some 4,000 flows so that the caller can publish; `true` when
    /// there are more.
    pub fn flush<O: Output>(&mut self, from: &mut Flush, out: &mut O) -> bool {
        const LINES: u32 = 128;
        let mut context = Context { annex: &mut self.annex, origin: self.origin, counters: &mut self.counters, out };
        if let Some(line) = from.ipv4 {
            from.ipv4 = self.ipv4.flush(line, LINES, &mut context);
        } else if let Some(line) = from.wide {
            from.wide = self.wide.flush(line, LINES, &mut context);
        }
        from.ipv4.is_some() || from.wide.is_some()
    }
}

/// A packet and the flow it belongs to, for stages behind tracking: no second lookup is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tracked {
    /// Place of its frame among those that were tracked. A frame may be several packets.
    pub frame: u16,
    /// 0 forward, 1 reverse.
    pub way: u8,
    /// Whether it is the first packet of its flow.
    pub new: bool,
    wide: bool,
    /// Place of the packet in its lane.
    at: u8,
    slot: Slot,
}

/// How far a flush has come.
#[derive(Clone, Copy, Debug)]
pub struct Flush {
    ipv4: Option<u32>,
    wide: Option<u32>,
}

impl Default for Flush {
    fn default() -> Self {
        Self { ipv4: Some(0), wide: Some(0) }
    }
}

/// The id of a flow, if its entry has it still.
fn id_of<K: Key>(table: &Table<K>, lane: &Lane<K>, tracked: &Tracked) -> Option<u64> {
    let entry = table.entries.get(tracked.slot as usize)?;
    (table.tag(tracked.slot) != 0 && lane.key(tracked.at) == Some(&entry.key)).then(|| entry.flow_id())
}

#[cfg(test)]
#[path = "tracker_tests.rs"]
mod tests;
