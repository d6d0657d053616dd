//! A TCP connection of which nothing but a SYN was seen: in a flood every one. The head of its record says all that there is to say.

use super::tcp::{Connection, Syn, TcpPerformance, WINDOW_SCALE_MAX, valid};
use crate::head::{LONE_SYN, NO_WSCALE};
use crate::view::RecordView;
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
    pub(crate) fn of(record: &RecordView<'_>) -> Option<Self> {
        let word = record.lone_syn();
        let ([isn, _], [_, _, notes, mark], [ttl, _]) = (unpair(word), unquad(word), record.ttl());
        (mark == LONE_SYN).then(|| Self {
            time: record.start(),
            isn,
            notes,
            window: record.syn_window(),
            mss: record.syn_mss(),
            wscale: record.syn_wscale(),
            octets: record.syn_len(),
            ttl,
        })
    }

    /// What a record says of it: the report of a state that has seen nothing else.
    pub fn performance(&self) -> TcpPerformance {
        let noted = |bit: u16| self.notes & bit != 0;
        let (has_mss, has_scale) = (self.mss != 0, self.wscale != NO_WSCALE);
        let mut performance = TcpPerformance { result: Connection::Unanswered, ..TcpPerformance::default() };
        let bit = |bit: u64, there: bool| if there { bit } else { 0 };
        performance.valid = valid::BEGINNING | valid::SEEN | valid::SYN | bit(valid::MSS, has_mss) | bit(valid::WINDOW_SCALE, has_scale);
        let [forward, _] = &mut performance.ways;
        forward.packets = 1;
        forward.syn_count = 1;
        forward.ece_count = u16::from(noted(Self::ECE));
        forward.cwr_count = u16::from(noted(Self::CWR));
        forward.isn = self.isn;
        forward.syn = Syn {
            kinds: u64::from(self.notes & Self::KINDS),
            window: self.window,
            mss: self.mss,
            octets: self.octets,
            ttl: self.ttl,
            window_scale: if has_scale { self.wscale.min(WINDOW_SCALE_MAX) } else { 0 },
            sack_permitted: noted(Self::SACK_PERMITTED),
        };
        performance.set_ttl([[self.ttl; 2], [0; 2]]);
        performance
    }
}
