//! A connection of which nothing but a SYN was seen: in a flood every one. What a state of it would know of it is in the flow's entry,
//! but for the sequence number and two octets of notes, and so are kept there until a second segment comes ([`LoneSyn`]).

use sonde_packet::{SynOptions, Tcp};
use sonde_record::NO_WSCALE;
use sonde_record::fact::LoneSyn;

use super::segment::Segment;
use super::state::{CWR, ECE, TcpMut};

/// The notes of a SYN; `None` of a segment of which they do not say everything that the entry does not.
#[inline]
pub(crate) fn notes(segment: &Segment, options: &SynOptions) -> Option<u16> {
    let kinds = u16::try_from(options.kinds).ok().filter(|kinds| *kinds <= LoneSyn::KINDS)?;
    let sack = kinds & LoneSyn::SACK_PERMITTED != 0;
    let plain = segment.flags & !(ECE | CWR) == Tcp::SYN && (segment.payload | segment.ack) == 0 && segment.way == 0;
    // A shift that cannot be is noted as none by an entry.
    let scale = options.window_scale != Some(NO_WSCALE);
    (plain && scale && sack == options.sack_permitted).then(|| {
        let noted = |flag: u16, note: u16| if segment.flags & flag == 0 { 0 } else { note };
        kinds | noted(ECE, LoneSyn::ECE) | noted(CWR, LoneSyn::CWR)
    })
}

/// Begins a connection with its lone SYN.
pub(crate) fn begin(syn: &LoneSyn, state: &mut TcpMut<'_>) {
    state.begin(&segment(syn), Some(&options(syn)));
}

fn segment(syn: &LoneSyn) -> Segment {
    let flag = |flag: u16, note: u16| if syn.notes & note == 0 { 0 } else { flag };
    Segment {
        time: syn.time,
        seq: syn.isn,
        ack: 0,
        payload: 0,
        flags: Tcp::SYN | flag(ECE, LoneSyn::ECE) | flag(CWR, LoneSyn::CWR),
        window: syn.window,
        octets: syn.octets,
        ttl: syn.ttl,
        way: 0,
    }
}

fn options(syn: &LoneSyn) -> SynOptions {
    SynOptions {
        window: syn.window,
        mss: Some(syn.mss).filter(|mss| *mss != 0),
        window_scale: Some(syn.wscale).filter(|wscale| *wscale != NO_WSCALE),
        sack_permitted: syn.notes & LoneSyn::SACK_PERMITTED != 0,
        kinds: u64::from(syn.notes & LoneSyn::KINDS),
    }
}

#[cfg(test)]
mod tests {
    use bytemuck::Zeroable;

    use sonde_record::fact::{Connection, valid};

    use super::*;
    use crate::measure::tcp::TcpState;

    fn segment() -> Segment {
        Segment { time: 7, seq: 0xdead_beef, flags: Tcp::SYN | ECE, window: 1000, octets: 60, ttl: 64, ..Segment::default() }
    }

    fn options() -> SynOptions {
        SynOptions { window: 1000, mss: Some(1460), window_scale: Some(7), sack_permitted: true, kinds: 0b1_0001_1110 }
    }

    fn lone(segment: &Segment, options: &SynOptions) -> Option<LoneSyn> {
        let notes = notes(segment, options)?;
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
            SynOptions { kinds: LoneSyn::ECE.into(), ..options() },
            SynOptions { sack_permitted: false, ..options() },
            SynOptions { window_scale: Some(NO_WSCALE), ..options() },
        ] {
            assert_eq!(lone(&segment(), &options), None, "{options:?}");
        }
    }
}
