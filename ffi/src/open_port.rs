//! The owner of an open port: it stops and closes with its last user.

use std::sync::{Mutex, PoisonError};

use crate::eal::Eal;
use crate::packet::Packets;
use crate::pool::Pool;
use crate::sys;

/// The port as its queues and statistics share it.
#[derive(Debug)]
pub(crate) struct OpenPort {
    /// DPDK's; of an interface that is read by AF_PACKET none, which DPDK refuses.
    pub(crate) number: u16,
    pub(crate) device: String,
    /// The device as it was given.
    pub(crate) whole: String,
    pub(crate) packets: Option<Packets>,
    pub(crate) probed_here: bool,
    pub(crate) started: bool,
    /// After the port: the driver gives buffers back when it is closed.
    pub(crate) pool: Option<Pool>,
    pub(crate) eal: Eal,
}

impl OpenPort {
    pub(crate) fn number(&self) -> u16 {
        self.number
    }

    pub(crate) fn device(&self) -> &str {
        &self.device
    }

    pub(crate) fn stop(&mut self) {
        if let Some(packets) = &self.packets {
            packets.stop();
        } else if self.started {
            // SAFETY: the port is open and started, and nobody polls it: there is no queue without a reference to this.
            unsafe { sys::fp_port_stop(self.number) };
            self.started = false;
        }
    }
}

impl Drop for OpenPort {
    fn drop(&mut self) {
        self.stop();
        if self.packets.is_some() {
            INTERFACES.lock().unwrap_or_else(PoisonError::into_inner).retain(|name| *name != self.device);
            return;
        }
        // SAFETY: the port is open, stopped, and this is its last owner.
        unsafe { sys::fp_port_close(self.number, i32::from(self.probed_here)) };
        OPEN.lock().unwrap_or_else(PoisonError::into_inner).retain(|&number| number != self.number);
    }
}

/// Ports that are open in this process, by DPDK's number: each has one owner.
pub(crate) static OPEN: Mutex<Vec<u16>> = Mutex::new(Vec::new());
/// The same of devices that are read by AF_PACKET, by their names.
pub(crate) static INTERFACES: Mutex<Vec<String>> = Mutex::new(Vec::new());
/// No number of DPDK's.
pub(crate) const NO_NUMBER: u16 = u16::MAX;
