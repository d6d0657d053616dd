//! One receive queue, owned by the one thread that polls it.

use core::cell::Cell;
use core::marker::PhantomData;
use core::ptr::NonNull;
use std::sync::Arc;

use crate::frame::{Burst, StampField, narrow};
use crate::open_port::OpenPort;
use crate::sys;

/// A receive queue. It can be sent to the thread that polls it, and only that thread polls it: not `Sync`, not `Clone`.
///
/// The port goes on running, and its pool goes on existing, while a queue is held.
#[derive(Debug)]
pub struct RxQueue {
    port: Arc<OpenPort>,
    queue: u16,
    /// Of an interface that is read by AF_PACKET; it lives as long as `port`.
    packets: Option<NonNull<sys::fp_packet_queue>>,
    stamps: Option<StampField>,
    _one_thread: PhantomData<Cell<()>>,
}

// SAFETY: the pointer is that of a queue that any thread may poll, one at a time: this is neither `Sync` nor `Clone`.
unsafe impl Send for RxQueue {}

impl RxQueue {
    pub(crate) fn of_packets(port: Arc<OpenPort>, queue: u16, packets: NonNull<sys::fp_packet_queue>) -> Self {
        Self { packets: Some(packets), ..Self::new(port, queue, None) }
    }

    pub(crate) fn new(port: Arc<OpenPort>, queue: u16, stamps: Option<StampField>) -> Self {
        Self { port, queue, packets: None, stamps, _one_thread: PhantomData }
    }

    /// Receives at most `most` frames behind those that `burst` holds already, in one call. Answers how many came.
    ///
    /// Some drivers take their descriptors by fours or give at most 32 a call: ask for at least 32, and ask again.
    #[inline]
    pub fn receive(&mut self, burst: &mut Burst, most: usize) -> usize {
        let vacant = burst.vacant();
        let most = narrow(most.min(vacant.len()));
        let count = match self.packets {
            // SAFETY: `vacant` has room for `most` pointers; the port is started while `self.port` is held, and this queue is
            // polled by this thread only (`&mut self`, not `Clone`).
            None => unsafe { sys::fp_rx_burst(self.port.number(), self.queue, vacant.as_mut_ptr(), most) },
            // SAFETY: as above; the queue lives as long as the port.
            Some(queue) => unsafe { sys::fp_packet_rx(queue.as_ptr(), vacant.as_mut_ptr(), most) },
        };
        // SAFETY: the driver wrote `count` buffers there and gave them up.
        unsafe { burst.filled(usize::from(count)) };
        usize::from(count)
    }

    /// Where the NIC leaves its receive times, if it was asked to.
    #[must_use]
    pub fn stamps(&self) -> Option<StampField> {
        self.stamps
    }

    /// The queue's number in its port.
    #[must_use]
    pub fn number(&self) -> u16 {
        self.queue
    }
}
