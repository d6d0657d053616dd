//! TCP (RFC 9293 section 3.1): the fixed header, and the options of a SYN (RFC 7323 section 2).

use crate::cursor::{Cursor, Fields};
use crate::headers::{Headers, Tcp};

/// Octets of the header without options.
const FIXED: usize = 20;
/// Octets up to the checksum: what is read of every segment.
pub(crate) const OCTETS: usize = 16;
const SEQUENCE: usize = 4;
const ACKNOWLEDGEMENT: usize = 8;
/// Data offset in words of four octets (4 bits), reserved bits (3), flags (9).
const OFFSET_AND_FLAGS: usize = 12;
const WINDOW: usize = 14;

/// A TCP header as far as its window.
#[derive(Clone, Copy, Debug)]
pub struct TcpHeader<'a>(&'a [u8; OCTETS]);

impl<'a> TcpHeader<'a> {
    /// The header that `segment` begins with; `None` when it was cut off.
    #[inline(always)]
    pub fn of(segment: &'a [u8]) -> Option<Self> {
        segment.first_chunk().map(Self)
    }

    /// Octets of the header with its options, as it says; below 20 it is damaged.
    #[inline(always)]
    pub fn octets(self) -> u8 {
        (self.0.u8::<OFFSET_AND_FLAGS>() >> 4).wrapping_mul(4)
    }

    /// Sequence and acknowledgement number, flags, window.
    #[inline(always)]
    pub fn fields(self) -> Tcp {
        Tcp {
            seq: self.0.u32::<SEQUENCE>(),
            ack: self.0.u32::<ACKNOWLEDGEMENT>(),
            flags: self.0.u16::<OFFSET_AND_FLAGS>() & 0x0fff,
            window: self.0.u16::<WINDOW>(),
        }
    }
}

/// Takes over the next header's fixed part, unless it was cut off.
#[inline(always)]
pub(crate) fn read(at: Cursor<'_>, headers: &mut Headers) {
    headers.tcp = TcpHeader::of(at.rest()).map(TcpHeader::fields);
}

/// What a SYN says beside its ports and flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct SynOptions {
    /// Window, unscaled as it is in a SYN; 0 when it was not captured.
    pub window: u16,
    /// Maximum segment size.
    pub mss: Option<u16>,
    /// Window scale shift.
    pub window_scale: Option<u8>,
    /// Whether selective acknowledgements are permitted (RFC 2018 section 2).
    pub sack_permitted: bool,
    /// Kinds below 64 that occur, one bit each, kind 0 in bit 0 (`tcpOptions`, 209).
    pub kinds: u64,
}

/// Reads window and options of the TCP header that `segment` begins with. What is cut off or damaged ends the reading.
#[inline]
pub fn syn_options(segment: &[u8]) -> SynOptions {
    let Some(header) = TcpHeader::of(segment) else { return SynOptions::default() };
    let end = usize::from(header.octets()).min(segment.len());
    let mut found = SynOptions { window: header.fields().window, ..SynOptions::default() };
    if let Some(options) = segment.get(FIXED..end).filter(|options| !options.is_empty()) {
        // A flood's SYN has none.
        read_options(options, &mut found);
    }
    found
}

fn read_options(options: &[u8], found: &mut SynOptions) {
    let mut at = Cursor::new(options);
    // At most 40 octets of options, and every turn takes at least one.
    while let Some([kind]) = at.take().copied() {
        if kind < 64 {
            found.kinds |= 1u64.wrapping_shl(u32::from(kind));
        }
        match kind {
            0 => break,
            1 => continue,
            _ => {}
        }
        let Some([length]) = at.take().copied() else { break };
        let Some(value) = usize::from(length).checked_sub(2) else { break };
        match (kind, value) {
            (2, 2) => found.mss = found.mss.or(at.peek().map(|b| u16::from_be_bytes(*b))),
            (4, 0) => found.sack_permitted = true,
            (3, 1) => found.window_scale = found.window_scale.or(at.peek().map(|[shift]| *shift)),
            _ => {}
        }
        if at.skip(value).is_none() {
            break;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode;
    use crate::frame_tests::{ETHERNET, V4_TCP, bytes, frame};

    #[test]
    fn the_fixed_header_is_read_with_its_reserved_bits() {
        let of = |packet: &str| decode(&frame(&bytes(&format!("{ETHERNET} 0800 {packet}")))).expect("a packet");
        let expected = Tcp { seq: 1, ack: 2, flags: Tcp::SYN | Tcp::ACK, window: 0xffff };
        assert_eq!((of(V4_TCP).tcp, of(V4_TCP).sport, of(V4_TCP).dport), (Some(expected), 8080, 80));
        assert_eq!(of(&V4_TCP.replace("5012 ffff", "5f12 0007")).tcp, Some(Tcp { flags: 0x0f12, window: 7, ..expected }));
        assert_eq!(of(&V4_TCP.replace("5012 ffff 0000 0000", "5012 ff")).tcp, None, "cut off");
    }

    fn check(options: &[u8], expected: (Option<u16>, Option<u8>)) {
        let mut segment = vec![0; 20];
        segment.extend_from_slice(options);
        segment[12] = u8::try_from(segment.len() / 4).expect("short") << 4;
        let found = syn_options(&segment);
        assert_eq!((found.mss, found.window_scale), expected, "{options:?}");
        for end in 0..segment.len() {
            syn_options(&segment[..end]);
        }
    }

    #[test]
    fn options_are_found_in_any_order() {
        check(&[2, 4, 5, 0xb4, 1, 3, 3, 7], (Some(1460), Some(7)));
        check(&[1, 1, 1, 3, 3, 9, 2, 4, 2, 0, 0, 0], (Some(512), Some(9)));
        check(&[], (None, None));
    }

    #[test]
    fn kinds_are_bits_and_sack_permitted_is_an_option_of_its_own() {
        let found = |options: &[u8]| {
            let mut segment = vec![0; 20];
            segment.extend_from_slice(options);
            segment[12] = u8::try_from(segment.len() / 4).expect("short") << 4;
            let found = syn_options(&segment);
            (found.sack_permitted, found.kinds)
        };
        assert_eq!(found(&[2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 3, 7]), (true, 0b1_0001_1110));
        assert_eq!(found(&[253, 2, 1, 0]), (false, 0b11), "kinds above 63 have no bit");
        assert_eq!(found(&[63, 2, 4, 3, 0, 0, 0, 0]), (false, 1 << 63 | 1 << 4 | 1), "of another length it permits nothing");
    }

    #[test]
    fn nothing_is_read_behind_the_end_marker_or_a_bad_length() {
        check(&[0, 2, 4, 5, 0xb4, 0, 0, 0], (None, None));
        check(&[8, 1, 2, 4, 5, 0xb4, 0, 0], (None, None));
        check(&[8, 0, 2, 4, 5, 0xb4, 0, 0], (None, None));
        check(&[2, 40, 5, 0xb4], (None, None));
    }
}
