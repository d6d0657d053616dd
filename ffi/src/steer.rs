//! Rules that the NIC itself obeys (rte_flow): drop a conversation, or bring it to one queue.
//!
//! Many devices have none of this: [`SteerError::Unsupported`] is an ordinary answer, and every rule needs a software path.

use core::ptr::NonNull;
use std::net::IpAddr;
use std::sync::Arc;

use crate::error::{DpdkError, errno};
use crate::port::{Hash, Inner, Port};
use crate::sys;

/// What the NIC does with the frames of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Throws them away before they cost a core anything.
    Drop,
    /// Puts them into that receive queue.
    Queue(u16),
}

/// Which frames, and what happens to them. What is `None` matches everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// IPv6 frames, else IPv4 frames.
    pub ipv6: bool,
    /// Source address.
    pub source: Option<IpAddr>,
    /// Destination address.
    pub destination: Option<IpAddr>,
    /// IP protocol number.
    pub protocol: Option<u8>,
    /// Source port; the protocol must be TCP (6), UDP (17) or SCTP (132).
    pub source_port: Option<u16>,
    /// Destination port; as above.
    pub destination_port: Option<u16>,
    /// What to do.
    pub action: Action,
}

/// Why a rule is not in the NIC.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SteerError {
    /// This port has no rules at all, or none of this kind.
    #[error("this port cannot steer in hardware: {message}")]
    Unsupported {
        /// What the driver said.
        message: String,
    },
    /// The rule contradicts itself.
    #[error("the rule is contradictory: {0}")]
    Contradictory(&'static str),
    /// The NIC has rules but refused this one (table full, exists already, queue out of range).
    #[error("the NIC refused the rule ({source}): {message}")]
    Refused {
        /// The call and its error.
        source: DpdkError,
        /// What the driver said.
        message: String,
    },
}

/// A rule in force; dropping it takes it out of the NIC. The port keeps running while one is held.
#[derive(Debug)]
pub struct Installed {
    port: Arc<Inner>,
    flow: NonNull<sys::rte_flow>,
    /// A flush takes all rules out at once: then there is nothing left to destroy.
    epoch: u64,
}

// SAFETY: the pointer is only given back to rte_flow_destroy, under the port's lock.
unsafe impl Send for Installed {}

impl Drop for Installed {
    fn drop(&mut self) {
        let epoch = self.port.rules();
        if *epoch == self.epoch {
            // SAFETY: the rule was made on this port, is destroyed once, and no flush has happened since (the epoch).
            unsafe { sys::fp_flow_destroy(self.port.number(), self.flow.as_ptr()) };
        }
    }
}

const MESSAGE: usize = 256;

impl Port {
    /// Asks the NIC whether it would take the rule, without making it.
    ///
    /// # Errors
    /// [`SteerError`] says why not.
    pub fn check_rule(&self, rule: &Rule) -> Result<(), SteerError> {
        let raw = rule.raw()?;
        let mut message = [0; MESSAGE];
        let _rules = self.inner().rules();
        // SAFETY: the port is open, both pointers are to live memory of the lengths given.
        let code = unsafe { sys::fp_flow_check(self.inner().number(), &raw const raw, message.as_mut_ptr(), MESSAGE) };
        if code == 0 { Ok(()) } else { Err(refusal("rte_flow_validate", code.wrapping_neg(), &message)) }
    }

    /// Puts the rule into the NIC.
    ///
    /// # Errors
    /// [`SteerError`] says why not.
    pub fn install_rule(&self, rule: &Rule) -> Result<Installed, SteerError> {
        let raw = rule.raw()?;
        let mut message = [0; MESSAGE];
        let epoch = self.inner().rules();
        // SAFETY: as above.
        let flow = unsafe { sys::fp_flow_create(self.inner().number(), &raw const raw, message.as_mut_ptr(), MESSAGE) };
        match NonNull::new(flow) {
            Some(flow) => Ok(Installed { port: Arc::clone(self.inner()), flow, epoch: *epoch }),
            None => Err(refusal("rte_flow_create", errno(), &message)),
        }
    }

    /// Takes all rules out of the NIC, those that are still held included.
    ///
    /// # Errors
    /// When the NIC has no rules at all, or refuses.
    pub fn flush_rules(&self) -> Result<(), SteerError> {
        let mut epoch = self.inner().rules();
        // SAFETY: the port is open.
        let code = unsafe { sys::fp_flow_flush(self.inner().number()) };
        if code != 0 {
            return Err(refusal("rte_flow_flush", code.wrapping_neg(), &[0; MESSAGE]));
        }
        *epoch += 1;
        Ok(())
    }
}

/// Asks for the symmetric Toeplitz function on all queues. `Err` leaves the port as it was, hashing by its key.
pub(crate) fn symmetric_function(port: &Inner, queues: u16, hash: Hash) -> Result<(), SteerError> {
    let (addresses, inner) = (i32::from(hash == Hash::OuterAddresses), i32::from(hash == Hash::InnerPorts));
    let mut message = [0; MESSAGE];
    // SAFETY: the port is open, and `message` has the length given.
    let code = unsafe { sys::fp_flow_symmetric(port.number(), queues, addresses, inner, message.as_mut_ptr(), MESSAGE) };
    if code == 0 { Ok(()) } else { Err(refusal("rte_flow_create", code.wrapping_neg(), &message)) }
}

fn refusal(call: &'static str, errno: i32, message: &[core::ffi::c_char; MESSAGE]) -> SteerError {
    let message = crate::port::text(message);
    // ENOSYS (38): no rte_flow at all; EOPNOTSUPP (95): this kind not.
    if errno == 38 || errno == 95 {
        SteerError::Unsupported { message }
    } else {
        SteerError::Refused { source: DpdkError { call, errno }, message }
    }
}

impl Rule {
    fn raw(&self) -> Result<sys::fp_rule, SteerError> {
        let mut raw = sys::fp_rule { version: if self.ipv6 { 6 } else { 4 }, protocol: self.protocol.unwrap_or(0), ..Default::default() };
        if (self.source_port.is_some() || self.destination_port.is_some()) && !matches!(raw.protocol, 6 | 17 | 132) {
            return Err(SteerError::Contradictory("a port needs protocol 6, 17 or 132"));
        }
        if self.source_port == Some(0) || self.destination_port == Some(0) {
            return Err(SteerError::Contradictory("port 0 cannot be matched"));
        }
        for (address, has, place) in
            [(self.source, &mut raw.has_source, &mut raw.source), (self.destination, &mut raw.has_destination, &mut raw.destination)]
        {
            match address {
                None => {}
                Some(IpAddr::V4(v4)) if !self.ipv6 => place[..4].copy_from_slice(&v4.octets()),
                Some(IpAddr::V6(v6)) if self.ipv6 => *place = v6.octets(),
                Some(_) => return Err(SteerError::Contradictory("an address is of the other IP version")),
            }
            *has = u8::from(address.is_some());
        }
        raw.source_port = self.source_port.unwrap_or(0).to_be();
        raw.destination_port = self.destination_port.unwrap_or(0).to_be();
        match self.action {
            Action::Drop => raw.drop = 1,
            Action::Queue(queue) => raw.queue = queue,
        }
        Ok(raw)
    }
}
