//! Stage 3: keys are compared and entries updated.

use std::ops::Range;

use sonde_packet::Tcp;
use sonde_record::Output;

use super::lane::{Lane, NONE, belongs};
use super::work::Work;
use crate::about::Birthplace;
use crate::counters::Counter;
use crate::entry::{Before, Entry};
use crate::expiry::{Context, write};
use crate::followed::Followed;
use crate::key::Key;
use crate::measure::follow;
use crate::measure::tcp::Opening;
use crate::packet::Packet;
use crate::table::{Slot, Table};
use crate::tick::tick_after;

/// Stage 3: compares the keys, updates the entries.
#[inline(always)]
pub(super) fn update<K: Key, O: Output>(table: &mut Table<K>, lane: &mut Lane<K>, range: Range<usize>, work: &mut Work<'_, '_, O>) {
    let first = range.start;
    let Lane { packets, slots, belongs, misses, planned, missed, .. } = lane;
    let (Some(packets), Some(slots), Some(belongs)) = (packets.get(range.clone()), slots.get_mut(range.clone()), belongs.get_mut(range))
    else {
        return;
    };
    for (at, (packet, (slot, how))) in packets.iter().zip(slots.iter_mut().zip(belongs)).enumerate() {
        let Some(entry) = table.entries.get(*slot as usize) else { continue };
        if entry.key == packet.key {
            *how = hit(table, packet, *slot, work);
        } else if let Some(other) = table.lookup(&packet.key, packet.hash) {
            // Two flows with one tag in one line, one lookup in 2,000: the flow is further along.
            *slot = other;
            *how = hit(table, packet, other, work);
        } else if let (Some(miss), Some(plan)) = (misses.get_mut(*missed), planned.get_mut(*missed)) {
            (*miss, *plan) = (u8::try_from(first + at).unwrap_or(0), NONE);
            *missed += 1;
        }
    }
}

/// A packet of the flow at `slot`. Returns how it belongs to it.
#[inline(always)]
pub(super) fn hit<K: Key, O: Output>(table: &mut Table<K>, packet: &Packet<K>, slot: Slot, work: &mut Work<'_, '_, O>) -> u8 {
    let Some(entry) = table.entries.get_mut(slot as usize) else { return 0 };
    let way = entry.way(packet.direction);
    if !entry.add(packet, work.near) {
        // A new flow begins in forward direction.
        return if special(table, packet, slot, work) { belongs::NEW } else { way };
    }
    if entry.is_followed(packet) {
        // A SYN is special: there are no options here.
        follow::add(entry, packet, &work.frame(packet.frame), None, work.context.annex, work.context.counters);
    }
    way
}

/// SYN, FIN, RST, fragments, flows that were idle too long or have just been reported. Whether the packet began a new flow.
#[inline(never)]
fn special<K: Key, O: Output>(table: &mut Table<K>, packet: &Packet<K>, slot: Slot, work: &mut Work<'_, '_, O>) -> bool {
    let frame = work.frame(packet.frame);
    let Some(entry) = table.entries.get_mut(slot as usize) else { return false };
    let opens = packet.flags & (Tcp::SYN | Tcp::ACK) == Tcp::SYN;
    let opening = if opens { follow::opening_of(entry, packet, &frame, work.context.annex) } else { Opening::Unknown };
    let restart = match entry.before(packet, work.timeouts, opening) {
        Before::Add => false,
        Before::Report(reason) => {
            write(entry, reason, &mut work.context);
            follow::rest(entry, work.context.annex, work.context.counters);
            entry.rest();
            false
        }
        Before::Restart(reason) => {
            write(entry, reason, &mut work.context);
            true
        }
        Before::RestartSilently => true,
    };
    let was = (entry.is_closed(), entry.has_news());
    if restart {
        follow::release(entry, work.context.annex);
        begin(entry, packet, work);
    } else {
        let options = packet.syn_options(&frame);
        // Must run before the packet is counted: a lone SYN is put together of what the entry has.
        follow::settle_syn(entry, work.context.annex, work.context.counters);
        entry.add_special(packet, options.as_ref(), work.timeouts.active);
        follow::add(entry, packet, &frame, options.as_ref(), work.context.annex, work.context.counters);
    }
    if restart || (entry.is_closed(), entry.has_news()) != was {
        let deadline = entry.deadline(work.timeouts);
        table.set_deadline(slot, tick_after(deadline, work.now));
    }
    restart
}

/// Makes an entry the flow of its first packet, with what it has in the annex.
#[inline(always)]
pub(super) fn begin<K: Key, O: Output>(entry: &mut Entry<K>, packet: &Packet<K>, work: &mut Work<'_, '_, O>) {
    let (id, frame) = (work.id(), work.frame(packet.frame));
    work.context.counters.add(Counter::FlowsCreated, 1);
    let options = packet.syn_options(&frame);
    let (frame, options) = (&frame, options.as_ref());
    let Context { annex, counters, .. } = &mut work.context;
    let mut birth = Birthplace { frame, options, tunnels: work.tunnels, annex, counters, active: work.timeouts.active };
    entry.begin(packet, id, &mut birth);
    follow::begin(entry, packet, &mut birth);
}
