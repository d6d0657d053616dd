//! Linux interfaces read by AF_PACKET: what `shim/packet.c` does, with the memory and the sockets owned.
//!
//! It stands in the place of DPDK's driver of that name and takes the same device string (`net_af_packet0,iface=eth0,qpairs=2`).

use core::mem::ManuallyDrop;
use core::ptr::{self, NonNull};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::config::PortConfig;
use crate::cstr::literal;
use crate::error::{DpdkError, PortError};
use crate::interface::Interface;
use crate::pool::Pool;
use crate::sys;

/// Octets before a frame in its slot: TPACKET_V2's header and address (packet(7)), with the link header aligned.
const BEFORE: u32 = 66;
/// Octets of the smallest and the largest slot.
const SLOT_OCTETS: (u32, u32) = (2048, 65_536);
/// Memory of a ring whose number of slots was not said.
const RING_OCTETS: u32 = 16 << 20;
/// Most memory of a ring.
const RING_OCTETS_MAX: u64 = 1 << 30;

/// What a device string says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Arguments {
    /// The device, without its arguments.
    pub(crate) name: String,
    /// The interface.
    pub(crate) interface: String,
    /// Queues at most.
    pub(crate) queues: u16,
    slot_octets: u32,
    slots: Option<u32>,
}

impl Arguments {
    /// Of a device string; `None` when it names a device of another driver.
    pub(crate) fn of(device: &str) -> Option<Result<Self, PortError>> {
        let mut parts = device.split(',');
        let name = parts.next().unwrap_or_default();
        let number = name.strip_prefix("net_af_packet").or_else(|| name.strip_prefix("eth_af_packet"))?;
        number.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"_-.".contains(&octet)).then(|| {
            let mut all = Self { name: name.to_owned(), interface: String::new(), queues: 1, slot_octets: SLOT_OCTETS.0, slots: None };
            let refused = |said| PortError::Arguments { device: name.to_owned(), said };
            parts.try_for_each(|part| all.take(part)).map_err(refused)?;
            match all.interface.len() {
                0 => Err(refused("iface=... is missing: the interface to read".to_owned())),
                16.. => Err(refused(format!("iface={} is longer than the 15 octets of an interface's name", all.interface))),
                _ => Ok(all),
            }
        })
    }

    fn take(&mut self, argument: &str) -> Result<(), String> {
        let Some((key, value)) = argument.split_once('=') else { return Err(format!("`{argument}` is no name=value")) };
        let number = |least: u32, most: u32| match value.parse() {
            Ok(number) if (least..=most).contains(&number) => Ok(number),
            _ => Err(format!("{key}={value}: a whole number from {least} to {most} is needed")),
        };
        match key {
            "iface" => value.clone_into(&mut self.interface),
            "qpairs" => self.queues = u16::try_from(number(1, 64)?).unwrap_or(1),
            "framesz" => self.slot_octets = number(128, SLOT_OCTETS.1)?.next_power_of_two().max(SLOT_OCTETS.0),
            "framecnt" => self.slots = Some(number(64, 1 << 20)?),
            // What concerns sending, and how the kernel cuts the ring into blocks, changes nothing here.
            "qdisc_bypass" => drop(number(0, 1)?),
            "blocksz" => drop(number(1, u32::MAX)?),
            _ => return Err(format!("there is no argument {key}; there are iface, qpairs, framesz, framecnt, blocksz and qdisc_bypass")),
        }
        Ok(())
    }

    /// Octets of a slot that keeps so much of a frame.
    fn slot_for(&self, frame_octets: u32) -> u32 {
        frame_octets.saturating_add(BEFORE).min(SLOT_OCTETS.1).next_power_of_two().max(self.slot_octets)
    }

    /// Octets of a frame that are kept when so many are wanted: more do not harm.
    fn keeps(&self, frame_octets: u32) -> u32 {
        // A buffer's length has 16 bits, headroom included.
        (self.slot_for(frame_octets) - BEFORE).min(u32::from(u16::MAX) - sys::FP_HEADROOM)
    }

    fn slots_for(&self, slot_octets: u32, descriptors: u16) -> u32 {
        let most = u32::try_from(RING_OCTETS_MAX / u64::from(slot_octets)).unwrap_or(u32::MAX);
        self.slots.unwrap_or_else(|| u32::from(descriptors).max(RING_OCTETS / slot_octets)).min(most)
    }
}

/// Octets of each frame that a device of this string keeps, when `wanted` (or, with `None`, what the headers need) are asked for; `None`
/// when the device takes a frame of any length, in several buffers.
#[must_use]
pub fn kept_octets(device: &str, wanted: Option<u32>) -> Option<u32> {
    let arguments = Arguments::of(device)?.ok()?;
    Some(arguments.keeps(wanted.unwrap_or(0)))
}

/// How the rings of a device are made, for those that come after an interface that was gone.
#[derive(Clone, Copy, Debug)]
struct Made {
    config: sys::fp_packet_config,
    queues: u16,
}

/// A ring that nobody polls.
#[derive(Debug)]
struct Ring(NonNull<sys::fp_packet_ring>);

impl Ring {
    fn open(interface: &Interface, config: &sys::fp_packet_config) -> Result<Self, DpdkError> {
        let (mut call, mut error) = (ptr::null(), 0);
        // SAFETY: the structs are live, and so are `call` and `error`.
        let ring = unsafe { sys::fp_packet_open(interface.raw(), ptr::from_ref(config), &raw mut call, &raw mut error) };
        NonNull::new(ring).map(Self).ok_or_else(|| DpdkError { call: literal(call), errno: error })
    }

    /// Rings of one device, which share its frames.
    fn open_all(interface: &Interface, made: &Made) -> Result<Vec<Self>, DpdkError> {
        let rings = (0..made.queues).map(|_| Self::open(interface, &made.config)).collect::<Result<Vec<_>, _>>()?;
        let mut group = 0;
        for ring in rings.iter().filter(|_| rings.len() > 1) {
            // SAFETY: the ring is open.
            let code = unsafe { sys::fp_packet_share(ring.0.as_ptr(), &raw mut group) };
            done("setsockopt(PACKET_FANOUT)", code)?;
        }
        for ring in &rings {
            // SAFETY: the ring is open.
            done("setsockopt(SO_DETACH_FILTER)", unsafe { sys::fp_packet_go(ring.0.as_ptr()) })?;
        }
        Ok(rings)
    }

    /// Gives it up to a queue, which closes it.
    fn into_raw(self) -> NonNull<sys::fp_packet_ring> {
        ManuallyDrop::new(self).0
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // SAFETY: it is open, and nobody else's.
        unsafe { sys::fp_packet_close(self.0.as_ptr()) };
    }
}

fn done(call: &'static str, code: i32) -> Result<(), DpdkError> {
    if code == 0 { Ok(()) } else { Err(DpdkError { call, errno: code.wrapping_neg() }) }
}

/// A queue, and the ring that its frames come from now, as the control thread knows it.
#[derive(Debug)]
struct Queue {
    queue: NonNull<sys::fp_packet_queue>,
    /// Belongs to the queue. It is the one polled, or the one offered.
    newest: NonNull<sys::fp_packet_ring>,
}

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: nobody polls it: a poller holds the port, and with it this.
        unsafe { sys::fp_packet_queue_free(self.queue.as_ptr()) };
    }
}

#[derive(Debug, Default)]
struct State {
    queues: Vec<Queue>,
    made: Option<Made>,
    /// The interface that the newest rings are bound to.
    index: u32,
    dropped: u64,
    reopened: u64,
}

/// An interface that is read.
#[derive(Debug)]
pub(crate) struct Packets {
    arguments: Arguments,
    state: Mutex<State>,
}

// SAFETY: the pointers are used under the lock, by functions that may be called from any thread; a queue is polled through its own
// pointer, by one thread (`RxQueue`), which shares with this only what is atomic.
unsafe impl Send for Packets {}
// SAFETY: as above.
unsafe impl Sync for Packets {}

/// What is counted of all queues.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counted {
    pub(crate) packets: u64,
    pub(crate) octets: u64,
    pub(crate) dropped: u64,
    pub(crate) reopened: u64,
}

impl Packets {
    pub(crate) fn new(arguments: Arguments) -> Self {
        Self { arguments, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens a ring for each queue. The slots of one, and the queues.
    pub(crate) fn start(&self, pool: &Pool, config: &PortConfig) -> Result<(u32, Vec<NonNull<sys::fp_packet_queue>>), DpdkError> {
        let slot_octets = self.arguments.slot_for(config.frame_octets_max.unwrap_or(0));
        let slots = self.arguments.slots_for(slot_octets, config.descriptors);
        let raw = sys::fp_packet_config { slot_octets, slots, promiscuous: u8::from(config.promiscuous) };
        let made = Made { config: raw, queues: config.rx_queues };
        let interface = Interface::find(&self.arguments.interface, 0)?;
        let rings = Ring::open_all(&interface, &made)?;
        let mut state = self.state();
        *state = State { made: Some(made), index: interface.index(), ..State::default() };
        let mut slots = u32::MAX;
        for ring in rings {
            // SAFETY: the ring is open, and the pool lives as long as the port (`Inner::pool`).
            let (count, queue) = unsafe { opened(&ring, pool) };
            let queue = NonNull::new(queue).ok_or(DpdkError { call: "aligned_alloc", errno: 12 })?;
            slots = slots.min(count);
            state.queues.push(Queue { queue, newest: ring.into_raw() });
        }
        Ok((slots, state.queues.iter().map(|queue| queue.queue).collect()))
    }

    pub(crate) fn stop(&self) {
        *self.state() = State::default();
    }

    /// The interface that is read; an error when it is gone, and there is none of its name.
    pub(crate) fn interface(&self) -> Result<Interface, DpdkError> {
        Interface::find(&self.arguments.interface, self.state().index)
    }

    /// Asks the kernel what it has dropped, and closes rings that have been left.
    pub(crate) fn counted(&self) -> Counted {
        let mut state = self.state();
        let mut all = Counted::default();
        let mut dropped = 0;
        for Queue { queue, newest } in &state.queues {
            let (mut packets, mut octets) = (0, 0);
            // SAFETY: the queue is alive.
            unsafe { sys::fp_packet_queue_counted(queue.as_ptr(), &raw mut packets, &raw mut octets) };
            // SAFETY: the queue is alive; what it has left is ours.
            let left = NonNull::new(unsafe { sys::fp_packet_queue_left(queue.as_ptr()) }).map(Ring);
            for ring in [Some(*newest), left.as_ref().map(|left| left.0)].into_iter().flatten() {
                // SAFETY: both are open: the newest belongs to the queue, the other to `left`.
                dropped += u64::from(unsafe { sys::fp_packet_dropped(ring.as_ptr()) });
            }
            all.packets += packets;
            all.octets += octets;
        }
        state.dropped += dropped;
        (all.dropped, all.reopened) = (state.dropped, state.reopened);
        all
    }

    /// Reads on from an interface of the same name, where that which was read is gone. Whether it did.
    pub(crate) fn follow(&self) -> Result<bool, DpdkError> {
        let Ok(interface) = self.interface() else { return Ok(false) };
        // What the old rings lost is counted before they are out of reach.
        self.counted();
        let mut state = self.state();
        // A queue whose interface is gone is bound to none, whatever number the new one has.
        let lost = |queue: &Queue| {
            // SAFETY: the newest ring is open: it belongs to the queue.
            let bound = unsafe { sys::fp_packet_bound(queue.newest.as_ptr()) };
            bound != interface.index()
        };
        let Some(made) = state.made.filter(|_| interface.is_up() && state.queues.iter().any(lost)) else { return Ok(false) };
        let rings = Ring::open_all(&interface, &made)?;
        for (queue, ring) in state.queues.iter_mut().zip(rings) {
            queue.newest = ring.into_raw();
            // SAFETY: the queue is alive, and takes the ring over; what comes back was never polled.
            let refused = unsafe { sys::fp_packet_queue_offer(queue.queue.as_ptr(), queue.newest.as_ptr()) };
            drop(NonNull::new(refused).map(Ring));
        }
        state.index = interface.index();
        state.reopened += 1;
        Ok(true)
    }
}

/// The slots of a ring, and the queue that has it now; null when there is no memory.
///
/// # Safety
/// The ring is given up to the queue, and the pool outlives it.
unsafe fn opened(ring: &Ring, pool: &Pool) -> (u32, *mut sys::fp_packet_queue) {
    // SAFETY: the ring is open.
    let slots = unsafe { sys::fp_packet_slots(ring.0.as_ptr()) };
    // SAFETY: as the caller says.
    (slots, unsafe { sys::fp_packet_queue_create(ring.0.as_ptr(), pool.as_ptr()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(device: &str) -> Result<Arguments, String> {
        Arguments::of(device).expect("of this driver").map_err(|e| e.to_string())
    }

    #[test]
    fn arguments_are_those_of_dpdks_driver() {
        let all = of("net_af_packet0,iface=eth0,qpairs=2,framesz=16384,framecnt=512,blocksz=65536,qdisc_bypass=0").expect("good");
        assert_eq!((all.name.as_str(), all.interface.as_str(), all.queues), ("net_af_packet0", "eth0", 2));
        assert_eq!((all.slot_octets, all.slots_for(16_384, 64)), (16_384, 512));
        assert!(Arguments::of("net_pcap0,iface=eth0").is_none() && Arguments::of("0000:3b:00.0").is_none());
        for (device, said) in [
            ("net_af_packet0", "iface=... is missing"),
            ("net_af_packet0,iface=a,qpairs=0", "qpairs=0: a whole number from 1 to 64"),
            ("net_af_packet0,iface=a,framesz=1000000", "from 128 to 65536"),
            ("net_af_packet0,iface=a,mtu=9000", "there is no argument mtu; there are iface"),
            ("net_af_packet0,iface", "`iface` is no name=value"),
            ("eth_af_packet0,iface=sixteen-letters--", "longer than the 15"),
        ] {
            let refused = of(device).expect_err(device);
            assert!(refused.contains(said) && refused.contains("_af_packet0"), "{device}: {refused}");
        }
    }

    #[test]
    fn slots_keep_what_is_wanted_and_rings_have_bounds() {
        assert_eq!(kept_octets("net_pcap0,iface=lo", None), None);
        assert_eq!(kept_octets("net_af_packet0,iface=lo", None), Some(1982));
        assert_eq!(kept_octets("net_af_packet0,iface=lo", Some(64)), Some(1982));
        assert_eq!(kept_octets("net_af_packet0,iface=lo", Some(9018)), Some(16_384 - 66));
        assert_eq!(kept_octets("net_af_packet0,iface=lo,framesz=65536", None), Some(65_535 - 128));
        let plain = of("net_af_packet0,iface=lo").expect("good");
        assert_eq!([plain.slots_for(2048, 256), plain.slots_for(2048, 32_768), plain.slots_for(65_536, 64)], [8192, 32_768, 256]);
        let large = of("net_af_packet0,iface=lo,framecnt=1048576").expect("good");
        assert_eq!(large.slots_for(65_536, 64), 16_384);
    }
}
