//! Packet buffers. A pool that is too small shows as `rx_nombuf` under load, so its size is a written sum.

use core::ptr::NonNull;
use std::ffi::CString;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::eal::Eal;
use crate::error::{DpdkError, PoolError, errno};
use crate::sys;

/// Why a pool has as many buffers as it has: each place where a buffer can be at the same moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolSum {
    /// Receive queues, each with its descriptors filled.
    pub queues: u32,
    /// Descriptors of one queue.
    pub descriptors: u32,
    /// Bursts that may be lent to workers or staged by a dispatcher at once.
    pub bursts: u32,
    /// Places in the rings between a dispatcher and its workers, all rings together.
    pub ring_places: u32,
    /// Threads that take or free buffers, each with a cache.
    pub threads: u32,
    /// Buffers a driver keeps for itself (`net_pcap` with `infinite_rx` keeps the whole capture).
    pub kept_by_driver: u32,
}

impl PoolSum {
    /// Buffers in the cache of one thread. DPDK lets a cache grow to half as many again before it gives back.
    pub const CACHE: u32 = 256;

    /// The sum: buffers the pool must have so that receiving never fails for want of one.
    #[must_use]
    pub const fn elements(&self) -> u32 {
        let in_queues = self.queues.saturating_mul(self.descriptors);
        let in_bursts = self.bursts.saturating_mul(crate::frame::BURST_U32);
        let in_caches = self.threads.saturating_mul(Self::CACHE + Self::CACHE / 2);
        let sum = in_queues.saturating_add(in_bursts).saturating_add(self.ring_places);
        let sum = sum.saturating_add(in_caches).saturating_add(self.kept_by_driver);
        // A cache may not be larger than two thirds of its pool.
        if sum < 2 * Self::CACHE { 2 * Self::CACHE } else { sum }
    }

    /// Memory the pool takes when each buffer holds `frame_octets` of a frame, in octets: the object header (64), the mbuf,
    /// the headroom and the data.
    #[must_use]
    pub const fn octets(&self, frame_octets: u32) -> u64 {
        self.elements() as u64 * Self::each(frame_octets)
    }

    /// As [`PoolSum::octets`], in ordinary pages of 4 KiB, whose ends no buffer may cross: of most sizes a page holds one.
    #[must_use]
    pub const fn octets_in_ordinary_pages(&self, frame_octets: u32) -> u64 {
        let (each, elements) = (Self::each(frame_octets), self.elements() as u64);
        let in_page = Self::PAGE / each;
        if in_page == 0 { elements * each.next_multiple_of(Self::PAGE) } else { elements.div_ceil(in_page) * Self::PAGE }
    }

    const PAGE: u64 = 4096;

    /// Octets of a buffer.
    const fn each(frame_octets: u32) -> u64 {
        let each = 64 + sys::FP_MBUF_SIZE as u64 + sys::FP_HEADROOM as u64 + frame_octets as u64;
        each.next_multiple_of(64)
    }
}

/// A pool of packet buffers. Clones share it; it goes when the last holder (a port, a queue) does.
#[derive(Clone, Debug)]
pub struct Pool(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    pool: NonNull<sys::rte_mempool>,
    capacity: u32,
    frame_octets: u32,
    _eal: Eal,
}

// SAFETY: a mempool is made for use by many threads at once; only its freeing is not, and that is `Drop`, called once.
unsafe impl Send for Inner {}
// SAFETY: as above.
unsafe impl Sync for Inner {}

static NUMBER: AtomicU32 = AtomicU32::new(0);

/// A name no other pool or ring of this process has: DPDK wants them unique and at most 25 octets long.
pub(crate) fn unique(what: &str) -> String {
    format!("{what}-{}", NUMBER.fetch_add(1, Ordering::Relaxed))
}

impl Pool {
    /// Octets of a frame that fit into one buffer of the ordinary size; longer frames come in several.
    pub const FRAME_OCTETS: u32 = sys::FP_DATA_ROOM;

    /// Makes a pool as large as `sum` says, each buffer holding `frame_octets` of a frame, on the NUMA node of the port.
    ///
    /// # Errors
    /// When the memory is not there: says how much it would take.
    pub fn create(eal: &Eal, sum: &PoolSum, frame_octets: u32, socket: Option<u32>) -> Result<Self, PoolError> {
        let name = unique("pool");
        let elements = sum.elements();
        let room = u16::try_from(frame_octets.max(64).saturating_add(sys::FP_HEADROOM)).unwrap_or(u16::MAX);
        let node = socket.and_then(|node| i32::try_from(node).ok()).unwrap_or(-1);
        let text = CString::new(name.as_str()).unwrap_or_default();
        // SAFETY: the environment runs (`eal`); `text` outlives the call, which copies it.
        let pool = unsafe { sys::fp_pool_create(text.as_ptr(), elements, PoolSum::CACHE, room, node) };
        let Some(pool) = NonNull::new(pool) else {
            let source = DpdkError { call: "rte_pktmbuf_pool_create", errno: errno() };
            let needed_mib = sum.octets(frame_octets).div_ceil(1 << 20);
            return Err(match source.errno {
                12 => PoolError::NoMemory { name, elements, needed_mib, socket },
                17 | 36 => PoolError::Name { name, source },
                _ => PoolError::Other { name, source },
            });
        };
        Ok(Self(Arc::new(Inner { pool, capacity: elements, frame_octets: u32::from(room) - sys::FP_HEADROOM, _eal: eal.clone() })))
    }

    /// Buffers in all.
    #[must_use]
    pub fn capacity(&self) -> u32 {
        self.0.capacity
    }

    /// Octets of a frame that one buffer holds.
    #[must_use]
    pub fn frame_octets(&self) -> u32 {
        self.0.frame_octets
    }

    /// Buffers that nobody holds, the threads' caches included. Walks the caches: not for the packet clock.
    #[must_use]
    pub fn available(&self) -> u32 {
        // SAFETY: the pool lives as long as `self`.
        unsafe { sys::fp_pool_available(self.0.pool.as_ptr()) }
    }

    pub(crate) fn as_ptr(&self) -> *mut sys::rte_mempool {
        self.0.pool.as_ptr()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // SAFETY: the pool is alive until the next statement.
        if unsafe { sys::fp_pool_in_use(self.pool.as_ptr()) } == 0 {
            // SAFETY: no port takes buffers from it (a port holds its pool) and none is out; nobody uses it after this.
            unsafe { sys::fp_pool_free(self.pool.as_ptr()) };
        }
        // Else a burst or a ring still holds buffers: the memory stays until the environment is cleaned up, which they hold off.
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_is_the_sum() {
        let sum = PoolSum { queues: 4, descriptors: 2048, bursts: 5, ring_places: 8192, threads: 2, kept_by_driver: 7 };
        assert_eq!(sum.elements(), 4 * 2048 + 5 * 128 + 8192 + 2 * 384 + 7);
        assert_eq!(PoolSum::default().elements(), 512);
        // 2368 octets each, an odd number of cache lines: frames do not all fall into the same sets.
        assert_eq!(PoolSum::default().octets(2048), 512 * 2368);
        // One of them in a page; two of a short frame; a long one begins a page of its own.
        let in_pages = |frame| PoolSum::default().octets_in_ordinary_pages(frame);
        assert_eq!([2048, 1664, 9216].map(in_pages), [512 * 4096, 256 * 4096, 512 * 12288]);
    }
}
