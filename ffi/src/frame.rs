//! Received frames: up to 128 buffers owned together, lent as slices, and given back in one call.

use core::fmt;
use core::ptr;
use core::slice;

use crate::eal::Eal;
use crate::sys;

/// Most frames in a [`Burst`].
pub const BURST: usize = BURST_U32 as usize;
/// The same, for sums of buffers.
pub(crate) const BURST_U32: u32 = 128;

/// Frames received and not yet given back. The only owner of its buffers: deliberately not `Clone`.
///
/// Filling, reading and clearing it allocate nothing.
pub struct Burst {
    /// The first `length` are buffers that this burst owns; the others are never looked at.
    mbufs: [*mut sys::rte_mbuf; BURST],
    length: usize,
    /// The buffers' memory is mapped as long as the environment runs.
    _eal: Eal,
}

// SAFETY: the buffers belong to the burst alone, and DPDK lets any thread read and free them.
unsafe impl Send for Burst {}

/// Where a NIC leaves its receive time in a buffer, when it was asked to.
#[derive(Clone, Copy, Debug)]
pub struct StampField {
    offset: usize,
    flag: u64,
}

impl StampField {
    /// Finds (or reserves) the field. `None` when the buffers have no place left for it.
    pub(crate) fn find(_eal: &Eal) -> Option<Self> {
        let (mut offset, mut flag) = (-1_i32, 0_u64);
        // SAFETY: the environment runs; both pointers are to live variables of the right type.
        let code = unsafe { sys::fp_timestamp_field(&raw mut offset, &raw mut flag) };
        let offset = usize::try_from(offset).ok()?;
        (code == 0 && offset + size_of::<u64>() <= sys::FP_MBUF_SIZE as usize).then_some(Self { offset, flag })
    }
}

impl Burst {
    /// An empty burst.
    #[must_use]
    pub fn new(eal: &Eal) -> Self {
        Self { mbufs: [ptr::null_mut(); BURST], length: 0, _eal: eal.clone() }
    }

    /// Frames in it.
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether it holds no frame.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Frames it can still take.
    #[inline]
    #[must_use]
    pub fn room(&self) -> usize {
        BURST - self.length
    }

    /// Gives all buffers back to their pools, in one call.
    #[inline]
    pub fn clear(&mut self) {
        if self.length != 0 {
            let count = narrow(self.length);
            self.length = 0;
            // SAFETY: the first `count` are buffers we own (see the type), and `length` says that we own none any more.
            unsafe { sys::fp_free_bulk(self.mbufs.as_mut_ptr(), count) };
        }
    }

    /// The bytes of frame `at`: all of it, or of a frame in several buffers (jumbo) those in the first.
    ///
    /// # Panics
    /// When `at` is not below [`Burst::len`].
    #[inline]
    #[must_use]
    pub fn bytes(&self, at: usize) -> &[u8] {
        let base: *const u8 = self.field::<*const u8, { sys::FP_MBUF_BUF_ADDR as usize }>(at);
        let from = usize::from(self.field::<u16, { sys::FP_MBUF_DATA_OFF as usize }>(at));
        let told = usize::from(self.field::<u16, { sys::FP_MBUF_DATA_LEN as usize }>(at));
        let room = usize::from(self.field::<u16, { sys::FP_MBUF_BUF_LEN as usize }>(at));
        // Not every driver is to be believed: net_null tells the length of its arguments, whatever the buffer holds.
        let from = from.min(room);
        let length = told.min(room - from);
        // SAFETY: `from` is at most `buf_len`, the size of the buffer that starts at `buf_addr`.
        let data = unsafe { base.add(from) };
        // SAFETY: `length` octets from there are inside the buffer, were initialised when its memory was mapped, and are ours
        // alone until the burst is cleared, which needs `&mut self`.
        unsafe { slice::from_raw_parts(data, length) }
    }

    /// The length on the wire of frame `at`, without FCS: all its buffers together.
    ///
    /// # Panics
    /// When `at` is not below [`Burst::len`].
    #[inline]
    #[must_use]
    pub fn wire_octets(&self, at: usize) -> u32 {
        self.field::<u32, { sys::FP_MBUF_PKT_LEN as usize }>(at)
    }

    /// Buffers that frame `at` takes.
    ///
    /// # Panics
    /// When `at` is not below [`Burst::len`].
    #[inline]
    #[must_use]
    pub fn segments(&self, at: usize) -> u16 {
        self.field::<u16, { sys::FP_MBUF_NB_SEGS as usize }>(at)
    }

    /// The NIC's receive time of frame `at` in the NIC's own units, if it left one.
    ///
    /// # Panics
    /// When `at` is not below [`Burst::len`].
    #[inline]
    #[must_use]
    pub fn stamp(&self, at: usize, field: &StampField) -> Option<u64> {
        if self.field::<u64, { sys::FP_MBUF_OL_FLAGS as usize }>(at) & field.flag == 0 {
            return None;
        }
        let mbuf = self.owned(at).cast::<u8>();
        // SAFETY: `StampField::find` checked that the field lies inside the buffer's header.
        let place = unsafe { mbuf.add(field.offset) };
        // SAFETY: as above; the header is initialised memory of ours.
        Some(unsafe { place.cast::<u64>().read_unaligned() })
    }

    /// Writes into the buffer's header which port frame `at` came in by and when, so that both travel with it through a ring.
    ///
    /// # Panics
    /// When `at` is not below [`Burst::len`].
    #[inline]
    pub fn mark(&mut self, at: usize, port: u16, time: u64) {
        let mbuf = self.owned(at).cast::<u8>();
        // SAFETY: the field is inside the header.
        let place = unsafe { mbuf.add(sys::FP_MBUF_PORT as usize) };
        // SAFETY: as above, and the buffer is ours; nobody reads the number the driver left there.
        unsafe { place.cast::<u16>().write_unaligned(port) };
        // SAFETY: the field is inside the header; shim.c asserts its width.
        let place = unsafe { mbuf.add(sys::FP_MBUF_HASH as usize) };
        // SAFETY: as above. It takes the place of the NIC's RSS hash, which has served its purpose: it chose the queue.
        unsafe { place.cast::<u64>().write_unaligned(time) };
    }

    /// The port that [`Burst::mark`] wrote.
    ///
    /// # Panics
    /// When `at` is not below [`Burst::len`].
    #[inline]
    #[must_use]
    pub fn marked_port(&self, at: usize) -> u16 {
        self.field::<u16, { sys::FP_MBUF_PORT as usize }>(at)
    }

    /// The time that [`Burst::mark`] wrote.
    ///
    /// # Panics
    /// When `at` is not below [`Burst::len`].
    #[inline]
    #[must_use]
    pub fn marked_time(&self, at: usize) -> u64 {
        self.field::<u64, { sys::FP_MBUF_HASH as usize }>(at)
    }

    /// Asks the cache for the header of buffer `at` and for the line where its frame's first octets usually are.
    ///
    /// The data's address is computed (buffer, headroom) and not read, so that both lines are fetched at once. Past the end
    /// it does nothing.
    #[inline]
    pub fn prefetch(&self, at: usize) {
        if at < self.length {
            let mbuf = self.mbufs[at].cast::<u8>();
            prefetch(mbuf);
            prefetch(mbuf.wrapping_add((sys::FP_MBUF_SIZE + sys::FP_HEADROOM) as usize));
        }
    }

    /// Moves every frame to one of the `bursts`, by the number that `choose` answers for its place here. Empties this burst.
    ///
    /// A frame whose number is out of range, or whose burst is full, is freed; the answer is how many those were.
    #[inline]
    pub fn scatter<B: AsMut<Self>>(&mut self, bursts: &mut [B], mut choose: impl FnMut(&Self, usize) -> usize) -> usize {
        // All choices first: were one to panic between two moves, a buffer would have two owners.
        let mut choices = [usize::MAX; BURST];
        for (at, choice) in choices.iter_mut().enumerate().take(self.length) {
            *choice = choose(self, at);
        }
        let mut refused = 0;
        for (at, &choice) in choices.iter().enumerate().take(self.length) {
            let mbuf = self.mbufs[at];
            match bursts.get_mut(choice).map(AsMut::as_mut) {
                Some(burst) if burst.length < BURST => {
                    burst.mbufs[burst.length] = mbuf;
                    burst.length += 1;
                }
                // At or before `at`: what stood there has moved on.
                _ => {
                    self.mbufs[refused] = mbuf;
                    refused += 1;
                }
            }
        }
        self.length = refused;
        self.clear();
        refused
    }

    /// The free places, for a call that fills them, and what to do with its answer: see [`Burst::filled`].
    #[inline]
    pub(crate) fn vacant(&mut self) -> &mut [*mut sys::rte_mbuf] {
        &mut self.mbufs[self.length..]
    }

    /// Takes ownership of the `count` buffers that were just written to the front of [`Burst::vacant`].
    ///
    /// # Safety
    /// They were, each is a valid buffer, and nobody else owns it.
    #[inline]
    pub(crate) unsafe fn filled(&mut self, count: usize) {
        self.length = (self.length + count).min(BURST);
    }

    /// The owned buffers, for a call that takes some from the front: see [`Burst::gone`].
    #[inline]
    pub(crate) fn pointers(&mut self) -> &mut [*mut sys::rte_mbuf] {
        &mut self.mbufs[..self.length]
    }

    /// Gives up the first `count` buffers, which another has taken, and frees the rest. Answers how many were freed.
    ///
    /// # Safety
    /// The other owns them now.
    #[inline]
    pub(crate) unsafe fn gone(&mut self, count: usize) -> usize {
        let rest = self.length.saturating_sub(count);
        self.mbufs.copy_within(self.length - rest..self.length, 0);
        self.length = rest;
        self.clear();
        rest
    }

    #[inline]
    fn owned(&self, at: usize) -> *mut sys::rte_mbuf {
        assert!(at < self.length, "frame outside the burst");
        self.mbufs[at]
    }

    /// Reads the header field at `OFFSET`, which shim.h names and whose width shim.c asserts.
    #[inline]
    fn field<T: Copy, const OFFSET: usize>(&self, at: usize) -> T {
        const { assert!(OFFSET + size_of::<T>() <= sys::FP_MBUF_SIZE as usize) };
        let mbuf = self.owned(at).cast::<u8>();
        // SAFETY: inside the header, as just asserted.
        let place = unsafe { mbuf.add(OFFSET) };
        // SAFETY: the header is initialised, and ours while the burst holds the buffer; T is an integer or a pointer.
        unsafe { place.cast::<T>().read_unaligned() }
    }
}

impl Drop for Burst {
    fn drop(&mut self) {
        self.clear();
    }
}

impl AsMut<Burst> for Burst {
    fn as_mut(&mut self) -> &mut Burst {
        self
    }
}

impl fmt::Debug for Burst {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Burst of {}", self.length)
    }
}

/// A number of frames, at most [`BURST`], as C wants it.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "at most 128")]
pub(crate) fn narrow<T: From<u8>>(frames: usize) -> T {
    const { assert!(BURST <= u8::MAX as usize) };
    debug_assert!(frames <= BURST);
    T::from(frames as u8)
}

#[inline]
fn prefetch(address: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch of any address, mapped or not, has no effect that a program can see; SSE is part of x86-64.
    unsafe {
        core::arch::x86_64::_mm_prefetch::<{ core::arch::x86_64::_MM_HINT_T0 }>(address.cast());
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: as above; PRFM is part of AArch64.
    unsafe {
        core::arch::asm!("prfm pldl1keep, [{0}]", in(reg) address, options(readonly, nostack, preserves_flags));
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let _ = address;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_are_where_this_release_has_them() {
        // DPDK's ABI promises the first cache line to its drivers; a change here is a new release to be looked at.
        let layout = [
            (sys::FP_MBUF_SIZE, 128),
            (sys::FP_MBUF_BUF_ADDR, 0),
            (sys::FP_MBUF_DATA_OFF, 16),
            (sys::FP_MBUF_NB_SEGS, 20),
            (sys::FP_MBUF_PORT, 22),
            (sys::FP_MBUF_OL_FLAGS, 24),
            (sys::FP_MBUF_PKT_LEN, 36),
            (sys::FP_MBUF_DATA_LEN, 40),
            (sys::FP_MBUF_HASH, 44),
            (sys::FP_MBUF_BUF_LEN, 54),
        ];
        for (at, (found, expected)) in layout.into_iter().enumerate() {
            assert_eq!(found, expected, "field {at}");
        }
    }
}
