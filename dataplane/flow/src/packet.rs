//! A packet as the stages of tracking hand it on: its key and what it adds to its flow.

use bytemuck::Zeroable;
use sonde_packet::{Frame, SynOptions, Tcp, syn_options};

/// Most packets of a burst.
pub const BURST: usize = 128;

/// Set in [`Packet::flags`], above the TCP flags: the packet is a fragment.
pub(crate) const FRAGMENT: u16 = 1 << 15;
/// Set in [`Packet::flags`], above the TCP flags: the TCP header was captured.
pub(crate) const SEGMENT: u16 = 1 << 14;
/// Set in [`Packet::flags`] of every packet where patterns are kept.
pub(crate) const PATTERN: u16 = 1 << 12;
/// Set in [`Packet::flags`], above the TCP flags: the packet has 2^17 octets or more. No IP header can say that, only a capture.
pub(crate) const BIG: u16 = 1 << 13;
/// Flags and reserved bits of the TCP header: `tcpControlBits` (RFC 9565 section 3).
pub(crate) const TCP_FLAGS: u16 = 0x0fff;

/// What one packet adds to its flow.
#[derive(Clone, Copy, Debug, Zeroable)]
#[repr(C)]
pub(crate) struct Packet<K> {
    pub(crate) key: K,
    pub(crate) hash: u64,
    /// When it was received.
    pub(crate) time: u64,
    /// Octets from the IP header on.
    pub(crate) octets: u32,
    /// Octets on the wire minus `octets`.
    pub(crate) overhead: i32,
    /// TCP flags and [`FRAGMENT`].
    pub(crate) flags: u16,
    pub(crate) ttl: u8,
    pub(crate) tos: u8,
    /// Direction bit of the key.
    pub(crate) direction: u8,
    /// What decoded it: [`COMMON`], [`GENERAL`] or [`INNER`].
    pub(crate) origin: u8,
    /// Place of the frame in the burst; from `BURST` on those of fragments that waited, of which the beginning is left.
    pub(crate) frame: u16,
    /// Offset of the transport header in the frame; 0 when there is none to see.
    pub(crate) l4: u16,
    /// Octets from the IP header to there.
    pub(crate) ip_header: u16,
    /// Subframe of an A-MSDU, by its offset in the frame; 0: the first one, or the frame has none.
    pub(crate) part: u16,
}

/// [`Packet::origin`]: the fast decoder, the first IP header.
pub(crate) const COMMON: u8 = 0;
/// [`Packet::origin`]: the general decoder, the first IP header.
pub(crate) const GENERAL: u8 = 1;
/// [`Packet::origin`]: the innermost IP header, whichever decoder found it.
pub(crate) const INNER: u8 = 2;

impl<K> Packet<K> {
    /// Options of a SYN or SYN/ACK; `None` for any other packet, and when they were not captured.
    #[inline]
    pub(crate) fn syn_options(&self, frame: &Frame<'_>) -> Option<SynOptions> {
        if self.flags & Tcp::SYN == 0 || self.l4 == 0 {
            return None;
        }
        frame.bytes.get(usize::from(self.l4)..).map(syn_options)
    }
}
