//! What of an ICMP or ICMPv6 message stands in the key of its flow: so that errors are told from echo, and an answer from nothing but
//! its request.
//!
//! Not here: what the message says (echo identifier, quoted packet): every echo between two hosts is one flow.

use sonde_packet::{Headers, proto};

/// Pairs of ICMP types, the one that asks first (RFC 792, RFC 950, RFC 1256, RFC 8335; the deprecated ones of RFC 6918).
const PAIRS_V4: [(u8, u8); 9] = [(8, 0), (13, 14), (15, 16), (17, 18), (10, 9), (42, 43), (33, 34), (35, 36), (37, 38)];
/// Pairs of ICMPv6 types (RFC 4443, RFC 2710, RFC 4861, RFC 4620, RFC 3122, RFC 6275, RFC 3971, RFC 4286, RFC 6775, RFC 8335).
const PAIRS_V6: [(u8, u8); 12] = [
    (128, 129),
    (130, 131),
    (133, 134),
    (135, 136),
    (139, 140),
    (141, 142),
    (144, 145),
    (146, 147),
    (148, 149),
    (152, 151),
    (157, 158),
    (160, 161),
];

/// Whether the protocol is ICMP of one of the versions.
pub(crate) const fn is_icmp(protocol: u8) -> bool {
    matches!(protocol, proto::ICMP | proto::ICMPV6)
}

/// The number that stands in the key in the place of each port: type * 256 + code, of an answer those of its request. Codes of answers say
/// how a request was answered (RFC 8335 section 3, RFC 4620 section 4), so a pair has none. 0: there is no type to see.
///
/// Both ends have it: so both directions have one key.
pub(crate) fn number(headers: &Headers) -> u16 {
    if !headers.icmp_seen {
        return 0;
    }
    let [kind, code] = headers.icmp;
    let pairs: &[(u8, u8)] = if headers.protocol == proto::ICMP { &PAIRS_V4 } else { &PAIRS_V6 };
    match pairs.iter().find(|(asks, answers)| kind == *asks || kind == *answers) {
        Some((asks, _)) => u16::from_be_bytes([*asks, 0]),
        // Type 0 is an answer in ICMP; in ICMPv6 it is reserved, and told from "not seen" by nothing but its code.
        None => u16::from_be_bytes([kind, code]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbered(protocol: u8, icmp: [u8; 2]) -> u16 {
        number(&Headers { protocol, icmp, icmp_seen: true, ..Headers::default() })
    }

    #[test]
    fn an_answer_has_the_number_of_its_request_and_an_error_its_own() {
        for (asks, answers) in PAIRS_V4 {
            assert_eq!(numbered(1, [answers, 0]), numbered(1, [asks, 0]));
        }
        for (asks, answers) in PAIRS_V6 {
            assert_eq!(numbered(58, [answers, 3]), numbered(58, [asks, 0]), "a code says how it is answered");
        }
        let numbers: std::collections::HashSet<_> =
            [[8, 0], [13, 0], [3, 1], [3, 3], [3, 4], [11, 0], [5, 1]].map(|icmp| numbered(1, icmp)).into();
        assert_eq!(numbers.len(), 7);
        assert_eq!((numbered(1, [3, 4]), numbered(58, [1, 4]), numbered(58, [143, 0])), (0x0304, 0x0104, 0x8f00));
        assert_eq!(numbered(1, [0, 0]), 0x0800, "type 0 is echo's answer, not nothing");
        assert_eq!(number(&Headers { protocol: 1, ..Headers::default() }), 0, "a message that was cut off");
    }

    #[test]
    fn no_type_is_in_two_pairs() {
        for pairs in [&PAIRS_V4[..], &PAIRS_V6[..]] {
            let types: std::collections::HashSet<_> = pairs.iter().flat_map(|(asks, answers)| [*asks, *answers]).collect();
            assert_eq!(types.len(), 2 * pairs.len());
        }
    }
}
