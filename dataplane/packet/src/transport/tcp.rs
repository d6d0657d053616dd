//! Window and options of a SYN (RFC 9293 section 3.1, RFC 7323 section 2).

use crate::cursor::Cursor;

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
    let Some(&[.., offset, _, w0, w1]) = segment.first_chunk::<16>() else { return SynOptions::default() };
    let end = usize::from(offset >> 4).saturating_mul(4).min(segment.len());
    let mut found = SynOptions { window: u16::from_be_bytes([w0, w1]), ..SynOptions::default() };
    if let Some(options) = segment.get(20..end).filter(|options| !options.is_empty()) {
        // A flood's SYN has none.
        read(options, &mut found);
    }
    found
}

fn read(options: &[u8], found: &mut SynOptions) {
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
