//! Bytes of the network and of capture files.

use sonde_packet::{Frame, Link};
use sonde_worker::capture::survey;
use sonde_worker::source::{FileSource, Polled, Source};

use super::agreement::agreement;
use super::input::Input;

/// The link types, by the first byte of an input.
pub(crate) fn link(number: u8) -> Link {
    match number % 12 {
        0 => Link::Ethernet,
        1 => Link::RawIp,
        2 => Link::LinuxSll,
        3 => Link::LinuxSll2,
        4 => Link::Null,
        6 => Link::Ppp,
        7 => Link::PppSerial,
        8 => Link::Pppoe,
        9 => Link::CiscoHdlc,
        10 => Link::Ieee80211,
        11 => Link::Mpls,
        _ => Link::Unknown,
    }
}

/// A frame, behind one byte of link type and one by which its wire was longer than its capture.
///
/// Decoding gives a value or a reason; offsets stand inside the frame; what the fast decoder finds, the general one finds too ([`agreement`]).
pub fn decode(data: &[u8]) {
    let mut input = Input(data);
    let (kind, longer) = (link(input.byte()), u32::from(input.byte()));
    let bytes = input.0;
    let length = u32::try_from(bytes.len()).expect("inputs are short");
    let frame = Frame { bytes, wire_len: length + longer, link: kind, port: 1, time: 0 };
    agreement(&frame, kind as u8);
}

/// A capture file.
///
/// Its frames do not hold more than the file; the source reads as many as the reader; its clock does not go back, but after so many
/// steps without frames that every flow has ended (a day and more).
pub fn capture(data: &[u8]) {
    let Ok((frames, octets, _)) = survey(data) else {
        assert!(FileSource::open(data).is_err(), "a reader refused what the other took");
        return;
    };
    assert!(octets <= data.len() as u64, "{octets} octets of frames in a file of {}", data.len());
    let mut source = FileSource::open(data).expect("the reader took it");
    let (mut lent, mut clock, mut steps) = (0, 0, 0);
    let mut polled = Polled::Idle;
    while polled != Polled::End {
        polled = source.burst(|burst, now| {
            assert!(now >= clock || steps >= 45, "the clock went back from {clock} to {now} after {steps} steps");
            steps = if burst.is_empty() { steps + 1 } else { 0 };
            (lent, clock) = (lent + burst.len() as u64, now);
        });
    }
    assert_eq!(lent, frames);
}
