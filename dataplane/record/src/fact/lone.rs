//! A TCP connection of which nothing but a SYN was seen: in a flood every one. The head of its record says all that there is to say.

use crate::head::{HEAD_WORDS, LONE_SYN, at};
use crate::word::{unpair, unquad};

/// The SYN, forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoneSyn {
    /// When it was received, in nanoseconds.
    pub time: u64,
    /// Its sequence number.
    pub isn: u32,
    /// Kinds of its options ([`LoneSyn::KINDS`]), and its flags ([`LoneSyn::ECE`], [`LoneSyn::CWR`]).
    pub notes: u16,
    /// Window, unscaled.
    pub window: u16,
    /// Maximum segment size; 0: none.
    pub mss: u16,
    /// Window scale; [`NO_WSCALE`]: none.
    pub wscale: u8,
    /// Octets of the IP packet.
    pub octets: u16,
    /// TTL or hop limit.
    pub ttl: u8,
}

impl LoneSyn {
    /// Bits of the notes that are kinds of options, kind 0 in the lowest.
    pub const KINDS: u16 = Self::ECE - 1;
    /// Bit of the notes: kind of the option that permits selective acknowledgements (RFC 2018 section 2).
    pub const SACK_PERMITTED: u16 = 1 << 4;
    /// Bit of the notes: the SYN has the flag ECE.
    pub const ECE: u16 = 1 << 14;
    /// Bit of the notes: the SYN has the flag CWR.
    pub const CWR: u16 = 1 << 15;

    /// The SYN that the head of a record speaks of.
    pub(crate) fn of(head: &[u64; HEAD_WORDS]) -> Option<Self> {
        let ([isn, _], [_, _, notes, mark]) = (unpair(head[at::LONE_SYN]), unquad(head[at::LONE_SYN]));
        let ([.., octets], [window, mss, ..]) = (unquad(head[at::TAGS]), unquad(head[at::SYN]));
        let [_, _, _, _, ttl, _, _, wscale] = head[at::OCTETS_1].to_le_bytes();
        (mark == LONE_SYN).then_some(Self { time: head[at::START], isn, notes, window, mss, wscale, octets, ttl })
    }
}
