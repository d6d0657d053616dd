//! The jumbo payload option (RFC 2675 section 2) of IPv6's hop-by-hop options (RFC 8200 sections 4.2 and 4.3).

use crate::cursor::Cursor;
use crate::proto;

/// The option that is one octet long.
const PAD_1: u8 = 0;
const JUMBO_PAYLOAD: u8 = 0xc2;
/// Octets of the option's value.
const OCTETS: u8 = 4;

/// The value of the option, where `next` is the protocol at `at`; at most 65,535 is an error (RFC 2675 section 3), and
/// no length.
pub(crate) fn payload_length(mut at: Cursor<'_>, next: u8) -> Option<u32> {
    if next != proto::HOP_BY_HOP {
        return None;
    }
    let [_, words] = *at.take()?;
    let mut options = at.up_to(usize::from(words).saturating_mul(8).saturating_add(6));
    // Each pass takes an octet at least: 2,046 at most.
    loop {
        match *options.take()? {
            [PAD_1] => {}
            [JUMBO_PAYLOAD] => {
                let [OCTETS, value @ ..] = *options.take::<5>()? else { return None };
                return Some(u32::from_be_bytes(value)).filter(|payload| *payload > u32::from(u16::MAX));
            }
            _ => {
                let [length] = *options.take()?;
                options.skip(usize::from(length))?;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame_tests::bytes;

    #[test]
    fn the_option_is_found_behind_others_and_must_be_a_jumbograms() {
        let of = |hex: &str| {
            let bytes = bytes(hex);
            (0..bytes.len()).for_each(|end| assert_eq!(payload_length(Cursor::new(&bytes[..end]), proto::HOP_BY_HOP), None));
            payload_length(Cursor::new(&bytes), proto::HOP_BY_HOP)
        };
        assert_eq!(of("0600 c204 00010000"), Some(65_536));
        assert_eq!(of("0601 00 0102 0000 00 c204 00010000"), Some(65_536), "behind Pad1 and PadN");
        assert_eq!(of("0600 c204 0000ffff"), None, "short enough for the header");
        assert_eq!(of("0600 c203 00010000"), None, "another length");
        assert_eq!(of("0600 0104 00000000"), None, "padding alone");
        assert_eq!(payload_length(Cursor::new(&bytes("0600 c204 00010000")), proto::TCP), None, "no options");
    }
}
