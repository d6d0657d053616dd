//! Bursts from one thread to another: a ring with one sender and one receiver, of buffers that one of them owns.
//!
//! One C call a burst on each side. What is in a ring when both ends are gone is freed.

use core::ptr::NonNull;
use std::ffi::CString;
use std::sync::Arc;

use crate::eal::Eal;
use crate::error::{DpdkError, PoolError, errno};
use crate::frame::{Burst, narrow};
use crate::pool::unique;
use crate::sys;

#[derive(Debug)]
struct Inner {
    ring: NonNull<sys::rte_ring>,
    eal: Eal,
}

// SAFETY: one thread puts (`Sender`, not `Clone`) and one takes (`Receiver`, not `Clone`), which is what the ring is made
// for; counting is allowed to all.
unsafe impl Send for Inner {}
// SAFETY: as above.
unsafe impl Sync for Inner {}

impl Drop for Inner {
    fn drop(&mut self) {
        let mut rest = Burst::new(&self.eal);
        while take(self, &mut rest, crate::BURST) != 0 {
            rest.clear();
        }
        // SAFETY: both ends are gone, and it is empty.
        unsafe { sys::fp_ring_free(self.ring.as_ptr()) };
    }
}

/// The end that puts frames in.
#[derive(Debug)]
pub struct Sender(Arc<Inner>);

/// The end that takes frames out.
#[derive(Debug)]
pub struct Receiver(Arc<Inner>);

/// Makes a ring of `capacity` frames, on a NUMA node or anywhere.
///
/// # Errors
/// When the memory is not there.
pub fn channel(eal: &Eal, capacity: u32, socket: Option<u32>) -> Result<(Sender, Receiver), PoolError> {
    let name = unique("ring");
    let node = socket.and_then(|node| i32::try_from(node).ok()).unwrap_or(-1);
    let text = CString::new(name.as_str()).unwrap_or_default();
    // SAFETY: the environment runs (`eal`); `text` outlives the call, which copies it.
    let ring = unsafe { sys::fp_ring_create(text.as_ptr(), capacity, node) };
    let Some(ring) = NonNull::new(ring) else {
        let source = DpdkError { call: "rte_ring_create", errno: errno() };
        return Err(PoolError::Other { name, source });
    };
    let inner = Arc::new(Inner { ring, eal: eal.clone() });
    Ok((Sender(Arc::clone(&inner)), Receiver(inner)))
}

impl Sender {
    /// Puts the frames of `burst` in, as many as there is room for, frees the others, and answers how many those were.
    /// The burst is empty afterwards. Never waits.
    #[inline]
    pub fn send(&mut self, burst: &mut Burst) -> usize {
        if burst.is_empty() {
            return 0;
        }
        let pointers = burst.pointers();
        let count = narrow(pointers.len());
        // SAFETY: `pointers` are `count` buffers that the burst owns; this is the only thread that puts (`&mut self`).
        let put = unsafe { sys::fp_ring_put(self.0.ring.as_ptr(), pointers.as_mut_ptr(), count) };
        // SAFETY: the first `put` belong to the ring now.
        unsafe { burst.gone(put as usize) }
    }

    /// Frames in the ring, roughly: the other end goes on taking.
    #[must_use]
    pub fn waiting(&self) -> u32 {
        // SAFETY: the ring lives as long as `self`; any thread may ask.
        unsafe { sys::fp_ring_count(self.0.ring.as_ptr()) }
    }
}

impl Receiver {
    /// Takes at most `most` frames out, behind those that `burst` holds already. Answers how many. Never waits.
    #[inline]
    pub fn receive(&mut self, burst: &mut Burst, most: usize) -> usize {
        take(&self.0, burst, most)
    }
}

#[inline]
fn take(ring: &Inner, burst: &mut Burst, most: usize) -> usize {
    let vacant = burst.vacant();
    let most = narrow(most.min(vacant.len()));
    // SAFETY: `vacant` has room for `most`; only one thread takes: the receiver's (`&mut self`), or the last owner's drop.
    let count = unsafe { sys::fp_ring_take(ring.ring.as_ptr(), vacant.as_mut_ptr(), most) } as usize;
    // SAFETY: the ring gave up `count` buffers that a sender had owned.
    unsafe { burst.filled(count) };
    count
}
