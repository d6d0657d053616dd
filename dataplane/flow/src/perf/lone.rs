//! A connection of which nothing but a SYN was seen: in a flood every one. What a state of it would know of it is in the flow's entry,
//! but for the sequence number and two octets of notes, and so are kept there until a second segment comes.

use sonde_packet::{SynOptions, Tcp};

use super::report::{Connection, Syn, TcpPerformance, valid};
use super::tcp::{CWR, ECE, Segment, TcpMut, WINDOW_SCALE_MAX};
use crate::record::NO_WSCALE;

/// Bits of the notes that are kinds of options, kind 0 in the lowest.
const KINDS: u16 = (1 << NOTE_ECE) - 1;
/// Kind of the option that permits selective acknowledgements (RFC 2018 section 2).
const SACK_PERMITTED: u16 = 4;
const NOTE_ECE: u16 = 14;
const NOTE_CWR: u16 = 15;

/// The SYN, forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LoneSyn {
    /// When it was received, in nanoseconds.
    pub(crate) time: u64,
    /// Its sequence number.
    pub(crate) isn: u32,
    /// What [`LoneSyn::notes`] says of it.
    pub(crate) notes: u16,
    /// Window, unscaled.
    pub(crate) window: u16,
    /// Maximum segment size; 0: none.
    pub(crate) mss: u16,
    /// Window scale; [`NO_WSCALE`]: none.
    pub(crate) wscale: u8,
    /// Octets of the IP packet.
    pub(crate) octets: u16,
    /// TTL or hop limit.
    pub(crate) ttl: u8,
}

impl LoneSyn {
    /// Kinds of options, ECE and CWR of a SYN; `None` of a segment of which they do not say everything that the entry does not.
    #[inline]
    pub(crate) fn notes(segment: &Segment, options: &SynOptions) -> Option<u16> {
        let kinds = u16::try_from(options.kinds).ok().filter(|kinds| *kinds <= KINDS)?;
        let sack = kinds >> SACK_PERMITTED & 1 == 1;
        let plain = segment.flags & !(ECE | CWR) == Tcp::SYN && (segment.payload | segment.ack) == 0 && segment.way == 0;
        // A shift that cannot be is noted as none by an entry.
        let scale = options.window_scale != Some(NO_WSCALE);
        (plain && scale && sack == options.sack_permitted).then(|| {
            let flag = |flag: u16, note: u16| if segment.flags & flag == 0 { 0 } else { 1 << note };
            kinds | flag(ECE, NOTE_ECE) | flag(CWR, NOTE_CWR)
        })
    }

    fn segment(&self) -> Segment {
        let flag = |flag: u16, note: u16| if self.notes >> note & 1 == 0 { 0 } else { flag };
        Segment {
            time: self.time,
            seq: self.isn,
            ack: 0,
            payload: 0,
            flags: Tcp::SYN | flag(ECE, NOTE_ECE) | flag(CWR, NOTE_CWR),
            window: self.window,
            octets: self.octets,
            ttl: self.ttl,
            way: 0,
        }
    }

    fn options(&self) -> SynOptions {
        SynOptions {
            window: self.window,
            mss: Some(self.mss).filter(|mss| *mss != 0),
            window_scale: Some(self.wscale).filter(|wscale| *wscale != NO_WSCALE),
            sack_permitted: self.notes >> SACK_PERMITTED & 1 == 1,
            kinds: u64::from(self.notes & KINDS),
        }
    }

    /// Begins the connection with it.
    pub(crate) fn begin(&self, state: &mut TcpMut<'_>) {
        state.begin(&self.segment(), Some(&self.options()));
    }

    /// What a record says of it: the report of a state that has seen nothing else, which a reader need not make for it.
    pub(crate) fn performance(&self) -> TcpPerformance {
        let (segment, options) = (self.segment(), self.options());
        let mut performance = TcpPerformance { result: Connection::Unanswered, ..TcpPerformance::default() };
        let bit = |bit: u64, there: bool| if there { bit } else { 0 };
        performance.valid = valid::BEGINNING
            | valid::SEEN
            | valid::SYN
            | bit(valid::MSS, options.mss.is_some())
            | bit(valid::WINDOW_SCALE, options.window_scale.is_some());
        let [forward, _] = &mut performance.ways;
        forward.packets = 1;
        forward.syn_count = 1;
        forward.ece_count = u16::from(segment.flags & ECE != 0);
        forward.cwr_count = u16::from(segment.flags & CWR != 0);
        forward.isn = self.isn;
        forward.syn = Syn {
            kinds: options.kinds,
            window: self.window,
            mss: self.mss,
            octets: self.octets,
            ttl: self.ttl,
            window_scale: options.window_scale.map_or(0, |shift| shift.min(WINDOW_SCALE_MAX)),
            sack_permitted: options.sack_permitted,
        };
        performance.set_ttl([[self.ttl; 2], [0; 2]]);
        performance
    }
}

#[cfg(test)]
mod tests {
    use bytemuck::Zeroable;

    use super::*;
    use crate::perf::TcpState;

    fn segment() -> Segment {
        Segment { time: 7, seq: 0xdead_beef, flags: Tcp::SYN | ECE, window: 1000, octets: 60, ttl: 64, ..Segment::default() }
    }

    fn options() -> SynOptions {
        SynOptions { window: 1000, mss: Some(1460), window_scale: Some(7), sack_permitted: true, kinds: 0b1_0001_1110 }
    }

    fn lone(segment: &Segment, options: &SynOptions) -> Option<LoneSyn> {
        let notes = LoneSyn::notes(segment, options)?;
        let Segment { time, seq: isn, window, octets, ttl, .. } = *segment;
        let (mss, wscale) = (options.mss.unwrap_or(0), options.window_scale.unwrap_or(NO_WSCALE));
        Some(LoneSyn { time, isn, notes, window, mss, wscale, octets, ttl })
    }

    #[test]
    fn a_lone_syn_is_a_state_that_has_seen_nothing_else() {
        let wide = SynOptions { window_scale: Some(15), ..options() };
        for options in [options(), SynOptions { window: 1000, ..SynOptions::default() }, wide] {
            for flags in [Tcp::SYN, Tcp::SYN | CWR, Tcp::SYN | CWR | ECE] {
                let segment = Segment { flags, ..segment() };
                let mut state = TcpState::zeroed();
                state.begin(&segment, Some(&options));
                let mut expected = state.report();
                expected.set_ttl([[64; 2], [0; 2]]);
                let found = lone(&segment, &options).expect("nothing else is known of it").performance();
                assert_eq!(found, expected);
                assert_eq!((found.result, found.ways[0].isn), (Connection::Unanswered, 0xdead_beef));
                assert_ne!(found.valid & valid::TTL, 0);
            }
        }
    }

    #[test]
    fn of_what_says_more_a_state_is_kept() {
        assert!(lone(&segment(), &options()).is_some());
        for segment in [
            Segment { flags: Tcp::SYN | Tcp::ACK, ..segment() },
            Segment { flags: Tcp::SYN | Tcp::RST, ..segment() },
            Segment { flags: Tcp::ACK, ..segment() },
            Segment { payload: 1, ..segment() },
            Segment { ack: 1, ..segment() },
            Segment { way: 1, ..segment() },
        ] {
            assert_eq!(lone(&segment, &options()), None, "{segment:?}");
        }
        for options in [
            SynOptions { kinds: 1 << 34, ..options() },
            SynOptions { kinds: 1 << NOTE_ECE, ..options() },
            SynOptions { sack_permitted: false, ..options() },
            SynOptions { window_scale: Some(NO_WSCALE), ..options() },
        ] {
            assert_eq!(lone(&segment(), &options), None, "{options:?}");
        }
    }
}
