//! The flow tracker under any frames, at any times.

use sonde_flow::pattern::Wants;
use sonde_flow::{Counter, Flush, Policy, Room, Sizing, Timeouts, Tracker};
use sonde_memory::slab::Wanted;
use sonde_memory::tags::Simd;
use sonde_packet::{Frame, Tunnels, View};
use sonde_record::Record;

use super::input::Input;
use super::packet::link;

const MILLISECOND: u64 = 1_000_000;
/// Frames of one input: enough to fill the small table.
const FRAMES_MAX: usize = 400;

/// One byte of choices, then steps: how the clock moves, how long the frame is, the frame.
///
/// Every frame is metered or has a reason; every flow ends in a record; the records hold exactly the packets that were metered.
pub fn flows(data: &[u8]) {
    let mut input = Input(data);
    let choice = input.byte();
    let wanted = Wanted { huge: false, populate: false };
    // Two lines a table: the second line, eviction and growth are a few frames away.
    let annex = Room::whole(80, if choice & 2 == 0 { Wants::ALL } else { Wants::NONE });
    let sizing = Sizing { ipv4: 40, wide: 40, annex, wanted, simd: simd(choice), seed: 7, worker: 3, first_id: 1 };
    let mut policy = policy(choice);
    let Ok(mut tracker) = Tracker::new(&sizing, policy) else { return };
    let mut records: Vec<Record> = Vec::new();
    let mut now = 1_700_000_000_000 * MILLISECOND;
    for step in 0..FRAMES_MAX {
        if input.is_empty() {
            break;
        }
        let time = clock(&mut input, &mut now);
        let (length, kind) = (usize::from(input.byte()), input.byte());
        let bytes = input.bytes(length);
        let wire_len = u32::try_from(bytes.len()).expect("at most 255") + u32::from(kind >> 4);
        // Six of eight are Ethernet, as on a network.
        let link = link(if kind & 7 < 6 { 0 } else { kind >> 3 });
        let frame = Frame { bytes, wire_len, link, port: u16::from(kind & 3), time };
        tracker.sweep(now, if choice & 4 != 0 { 1 } else { u32::MAX }, &mut records);
        // The frame twice, so that a burst has a flow that begins in it.
        tracker.meter(&[frame, frame], now, &mut records);
        if choice & 8 != 0 {
            let _ = tracker.make_room(400, now, &mut records);
        }
        if step == 20 && choice & 16 != 0 {
            policy.timeouts.idle /= 3;
            tracker.obey(policy);
        }
        assert!(tracker.counters().balances(), "step {step}");
    }
    finish(tracker, records);
}

fn simd(choice: u8) -> Simd {
    match choice >> 5 & 3 {
        0 => Simd::Avx512,
        1 => Simd::Avx2,
        _ => Simd::Portable,
    }
}

fn policy(choice: u8) -> Policy {
    let timeouts =
        if choice & 1 == 0 { Timeouts::default() } else { Timeouts { idle: 100 * MILLISECOND, active: 1000 * MILLISECOND, linger: 0 } };
    let tunnels = Tunnels::new(if choice & 128 == 0 { View::Inner } else { View::Both }, choice & 7);
    let [vlan_in_key, icmp_type_in_key, virtual_network_in_key] = [choice & 2 == 0, choice & 1 == 0, choice & 4 == 0];
    Policy { timeouts, vlan_in_key, icmp_type_in_key, virtual_network_in_key, tunnels }
}

/// Moves the clock on, and gives the time of the frame: mostly the clock's, sometimes any.
fn clock(input: &mut Input<'_>, now: &mut u64) -> u64 {
    match input.byte() {
        0xff => input.word(),
        0xfe => now.saturating_sub(input.word() % (100_000 * MILLISECOND)),
        0xfd => {
            *now += input.word() % (8_000_000 * MILLISECOND);
            *now
        }
        small => {
            *now += u64::from(small) * u64::from(small) * MILLISECOND;
            *now
        }
    }
}

fn finish(mut tracker: Tracker, mut records: Vec<Record>) {
    tracker.settle(0, &mut records);
    let mut flush = Flush::default();
    while tracker.flush(&mut flush, &mut records) {}
    let counters = tracker.counters();
    assert!(counters.balances());
    assert_eq!(counters.get(Counter::FlowsActive), 0);
    assert_eq!(counters.records(), records.len() as u64);
    assert_eq!(
        records.iter().map(|record| record.packets[0] + record.packets[1]).sum::<u64>(),
        counters.metered() + counters.get(Counter::MeteredTwice) + counters.get(Counter::Subframes)
    );
    for record in &records {
        assert_eq!(record.view().map(|view| Record::from(&view)).as_ref(), Some(record));
    }
}
