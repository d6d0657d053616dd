//! What the kernel knows of a network interface.

use core::ptr;
use std::ffi::CString;

use crate::cstr::text;
use crate::error::{DpdkError, PortError};
use crate::link::{Link, LinkState};
use crate::sys;

/// ARPHRD of what has Ethernet headers (linux/if_arp.h): Ethernet, and the loopback interface.
const ETHERNET: [u16; 2] = [1, 772];

/// An interface as it is now.
#[derive(Debug)]
pub(crate) struct Interface(sys::fp_interface);

impl Interface {
    /// The interface of that index, where there is one (its name may have changed), else that of that name; index 0 is none's.
    pub(crate) fn find(name: &str, index: u32) -> Result<Self, DpdkError> {
        let name = CString::new(name).unwrap_or_default();
        let mut raw = sys::fp_interface::default();
        // SAFETY: the name and `raw` are live.
        let code = unsafe { sys::fp_interface(name.as_ptr(), index, &raw mut raw) };
        if code == 0 { Ok(Self(raw)) } else { Err(DpdkError { call: "ioctl(SIOCGIFINDEX)", errno: code.wrapping_neg() }) }
    }

    pub(crate) fn index(&self) -> u32 {
        self.0.index
    }

    pub(crate) fn mac(&self) -> [u8; 6] {
        self.0.mac
    }

    pub(crate) fn is_up(&self) -> bool {
        self.0.up != 0
    }

    pub(crate) fn raw(&self) -> *const sys::fp_interface {
        ptr::from_ref(&self.0)
    }

    pub(crate) fn link(&self) -> Link {
        let state = match (self.0.up != 0, self.0.running != 0) {
            (false, _) => LinkState::SwitchedOff,
            (true, false) => LinkState::NoCarrier,
            (true, true) => LinkState::Up,
        };
        Link { state, speed_mbps: self.0.speed_mbps, full_duplex: self.0.full_duplex != 0 }
    }

    /// Refuses one whose frames do not begin with an Ethernet header.
    pub(crate) fn check(&self, device: &str) -> Result<(), PortError> {
        if ETHERNET.contains(&self.0.kind) {
            return Ok(());
        }
        let said = format!("interface {} has no Ethernet headers (its ARPHRD type is {})", text(&self.0.name), self.0.kind);
        Err(PortError::Arguments { device: device.to_owned(), said })
    }
}

/// The interface that a device string of DPDK's own drivers names.
pub(crate) fn named(device: &str) -> Option<&str> {
    let mut arguments = device.split(',');
    let driver = arguments.next()?;
    let reads = ["net_pcap", "eth_pcap", "net_af_xdp"].iter().any(|name| driver.starts_with(name));
    arguments.filter(|_| reads).find_map(|argument| match argument.split_once('=') {
        Some(("iface" | "rx_iface" | "rx_iface_in", name)) => Some(name),
        _ => None,
    })
}
