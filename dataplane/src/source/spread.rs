//! Which worker a frame belongs to: a hash that is the same for both directions of a conversation.
//!
//! What is hashed, the first that applies:
//! 1. IPv4 or IPv6 below at most two VLAN tags, TCP, UDP, SCTP, DCCP or UDP-Lite, whole: both addresses, both ports, protocol.
//! 2. IP and a fragment, *the first one included*: both addresses only. A later fragment has no ports; hashing the ports of the
//!    first would part them. (The unfragmented packets of the same conversation go where rule 1 says: RSS in NICs does the same.)
//! 3. Other IP: both addresses and the protocol.
//! 4. Everything else: both MAC addresses.
//!
//! VLANs are not hashed: the two directions of a conversation may come in different ones. Tunnels go by their outer addresses.

/// The hash. A total function of the bytes.
#[inline]
#[must_use]
pub fn spread(frame: &[u8]) -> u64 {
    ip(frame).or_else(|| macs(frame)).unwrap_or(0)
}

/// The worker, of `workers`, that the hash stands for.
#[inline]
#[must_use]
pub fn worker_of(hash: u64, workers: usize) -> usize {
    // The high half of hash times workers: as even as the hash, without a division.
    usize::try_from((u128::from(hash) * workers as u128) >> 64).unwrap_or(0)
}

const ETHERTYPE: usize = 12;
/// IPv6 extension headers that are passed over; more is no longer traffic but an attack.
const EXTENSIONS_MAX: usize = 8;

/// Odd numbers without a pattern (digits of pi).
const SALT: [u64; 3] = [0x243f_6a88_85a3_08d3, 0x1319_8a2e_0370_7345, 0xa409_3822_299f_31d1];

/// Both halves of the product: each bit of the result depends on all of both factors.
#[inline]
fn mix(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    #[expect(clippy::cast_possible_truncation, reason = "the two halves")]
    let folded = product as u64 ^ (product >> 64) as u64;
    folded
}

/// The same for (a, b) and (b, a).
#[inline]
fn both(a: u64, b: u64, more: u64) -> u64 {
    let folded = mix(a.min(b) ^ SALT[0], a.max(b) ^ SALT[1]);
    mix(folded ^ more, SALT[2])
}

#[inline]
fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

#[inline]
fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn macs(frame: &[u8]) -> Option<u64> {
    let twelve: &[u8; 12] = frame.first_chunk()?;
    let mac = |at: usize| twelve[at..at + 6].iter().fold(0, |mac, &octet| mac << 8 | u64::from(octet));
    Some(both(mac(0), mac(6), 0))
}

fn ip(frame: &[u8]) -> Option<u64> {
    let mut at = ETHERTYPE;
    let mut ethertype = u16_at(frame, at)?;
    for _ in 0..2 {
        // IEEE 802.1Q, 802.1ad, and the number used before that.
        if !matches!(ethertype, 0x8100 | 0x88a8 | 0x9100) {
            break;
        }
        at += 4;
        ethertype = u16_at(frame, at)?;
    }
    let header = frame.get(at + 2..)?;
    match ethertype {
        0x0800 => ipv4(header),
        0x86dd => ipv6(header),
        _ => None,
    }
}

fn ipv4(header: &[u8]) -> Option<u64> {
    let head: &[u8; 20] = header.first_chunk()?;
    let octets = usize::from(head[0] & 0x0f) * 4;
    if head[0] >> 4 != 4 || octets < 20 {
        return None;
    }
    let address = |at: usize| u64::from(u32::from_be_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]));
    let (source, destination) = (address(12), address(16));
    // RFC 791 section 3.1: More Fragments, or an offset.
    if u16::from_be_bytes([head[6], head[7]]) & 0x3fff != 0 {
        return Some(both(source << 16, destination << 16, 0));
    }
    let protocol = head[9];
    let (from, to) = ports(header, octets, protocol);
    Some(both(source << 16 | from, destination << 16 | to, u64::from(protocol)))
}

/// The ports, or zeros for a protocol without, and for a header that is cut off.
#[inline]
fn ports(header: &[u8], at: usize, protocol: u8) -> (u64, u64) {
    if !matches!(protocol, 6 | 17 | 33 | 132 | 136) {
        return (0, 0);
    }
    match (u16_at(header, at), u16_at(header, at + 2)) {
        (Some(source), Some(destination)) => (u64::from(source), u64::from(destination)),
        _ => (0, 0),
    }
}

fn ipv6(header: &[u8]) -> Option<u64> {
    let head: &[u8; 40] = header.first_chunk()?;
    if head[0] >> 4 != 6 {
        return None;
    }
    let address = |at: usize| Some(mix(u64_at(head, at)? ^ SALT[0], u64_at(head, at + 8)? ^ SALT[1]));
    let (source, destination) = (address(8)?, address(24)?);
    let addresses = both(source, destination, 0);
    let mut next = head[6];
    let mut at = 40;
    for _ in 0..EXTENSIONS_MAX {
        let Some(&[following, length]) = header.get(at..).and_then(<[u8]>::first_chunk) else {
            break;
        };
        // RFC 8200 section 4, RFC 4302 (51), RFC 6275 (135), RFC 7401 (139), RFC 5533 (140).
        at += match next {
            0 | 43 | 60 | 135 | 139 | 140 => (usize::from(length) + 1) * 8,
            51 => (usize::from(length) + 2) * 4,
            44 => {
                let Some(fragment) = u16_at(header, at + 2) else { return Some(addresses) };
                // RFC 8200 section 4.5: offset and M; RFC 6946: without either it is whole.
                if fragment & 0xfff9 != 0 {
                    return Some(addresses);
                }
                8
            }
            _ => break,
        };
        next = following;
    }
    let (from, to) = ports(header, at, next);
    Some(both(source.wrapping_add(mix(from + 1, SALT[2])), destination.wrapping_add(mix(to + 1, SALT[2])), u64::from(next)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: [u8; 4] = [192, 0, 2, 1];
    const B: [u8; 4] = [198, 51, 100, 7];

    fn ethernet(tags: &[u16], ethertype: u16, rest: &[u8]) -> Vec<u8> {
        let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
        for tag in tags {
            frame.extend(0x8100_u16.to_be_bytes());
            frame.extend(tag.to_be_bytes());
        }
        frame.extend(ethertype.to_be_bytes());
        frame.extend(rest);
        frame
    }

    fn v4(source: [u8; 4], destination: [u8; 4], protocol: u8, fragment: u16, payload: &[u8]) -> Vec<u8> {
        let mut header = vec![0x45, 0, 0, 0, 0, 0];
        header.extend(fragment.to_be_bytes());
        header.extend([64, protocol, 0, 0]);
        header.extend(source);
        header.extend(destination);
        header.extend(payload);
        header
    }

    fn v6(source: u8, destination: u8, next: u8, rest: &[u8]) -> Vec<u8> {
        let mut header = vec![0x60, 0, 0, 0, 0, 0, next, 64];
        for last in [source, destination] {
            header.extend([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last]);
        }
        header.extend(rest);
        header
    }

    fn ports(source: u16, destination: u16) -> Vec<u8> {
        [source.to_be_bytes(), destination.to_be_bytes()].concat()
    }

    /// Both directions are the same, and different from the others.
    fn check(there: &[u8], back: &[u8], others: &[Vec<u8>]) {
        assert_eq!(spread(there), spread(back));
        for other in others {
            assert_ne!(spread(there), spread(other), "{other:02x?}");
        }
    }

    #[test]
    fn both_directions_are_one_below_up_to_two_tags() {
        for tags in [&[][..], &[7], &[7, 9]] {
            let frame = |s, d, p: &[u8]| ethernet(tags, 0x0800, &v4(s, d, 6, 0x4000, p));
            check(
                &frame(A, B, &ports(1000, 80)),
                &frame(B, A, &ports(80, 1000)),
                &[frame(A, B, &ports(80, 1000)), frame(A, B, &ports(1001, 80))],
            );
            let frame = |s, d, p: &[u8]| ethernet(tags, 0x86dd, &v6(s, d, 17, p));
            check(
                &frame(1, 2, &ports(1000, 53)),
                &frame(2, 1, &ports(53, 1000)),
                &[frame(1, 2, &ports(53, 1000)), frame(1, 3, &ports(1000, 53))],
            );
        }
        let tagged = |tag| spread(&ethernet(&[tag], 0x0800, &v4(A, B, 6, 0, &ports(1, 2))));
        assert_eq!(tagged(5), tagged(6), "the VLAN of the way back may be another");
    }

    #[test]
    fn fragments_stay_together() {
        let frame = |fragment, payload: &[u8]| ethernet(&[], 0x0800, &v4(A, B, 17, fragment, payload));
        let first = frame(0x2000, &ports(1000, 53));
        check(&first, &frame(0x00b9, &[0xff; 8]), &[frame(0, &ports(1000, 53))]);
        assert_eq!(spread(&first), spread(&ethernet(&[], 0x0800, &v4(B, A, 17, 0x2001, &[1; 4]))));
        let frame = |fragment: u16, payload: &[u8]| {
            let header = [&[17, 0][..], &fragment.to_be_bytes(), &[0; 4], payload].concat();
            ethernet(&[], 0x86dd, &v6(1, 2, 44, &header))
        };
        check(&frame(1, &ports(1000, 53)), &frame(0x0578, &[9; 8]), &[frame(0, &ports(1000, 53))]);
        // An atomic fragment is whole: as if the header were not there.
        assert_eq!(spread(&frame(0, &ports(1000, 53))), spread(&ethernet(&[], 0x86dd, &v6(1, 2, 17, &ports(1000, 53)))));
    }

    #[test]
    fn extension_headers_are_passed_over() {
        let plain = ethernet(&[], 0x86dd, &v6(2, 1, 6, &ports(80, 1000)));
        let hop = [&[43, 0, 1, 4, 0, 0, 0, 0][..], &[51, 1, 0, 0, 0, 0, 0, 0], &[0; 8], &[6, 1], &[0; 10], &ports(1000, 80)].concat();
        assert_eq!(spread(&ethernet(&[], 0x86dd, &v6(1, 2, 0, &hop))), spread(&plain));
    }

    #[test]
    fn what_is_no_ip_goes_by_its_stations() {
        let arp = ethernet(&[], 0x0806, &[0; 28]);
        let mut back = arp.clone();
        back[..12].rotate_left(6);
        check(&arp, &back, &[]);
        let stations = spread(&arp);
        assert_eq!(spread(&ethernet(&[1, 2, 3], 0x0800, &v4(A, B, 6, 0, &ports(1, 2)))), stations, "three tags");
        assert_eq!(spread(&ethernet(&[], 0x0800, &[0x44; 20])), stations, "a header of four words");
        assert_eq!(spread(&[]), 0);
    }

    #[test]
    fn any_bytes_have_a_worker() {
        let frame =
            ethernet(&[1, 2], 0x86dd, &v6(1, 2, 0, &[&[44, 0, 0, 0, 0, 0, 0, 0][..], &[6, 0, 0, 1, 0, 0, 0, 0], &ports(1, 2)].concat()));
        for end in 0..frame.len() {
            for at in 0..end {
                let mut damaged = frame[..end].to_vec();
                damaged[at] ^= 0xff;
                assert!(worker_of(spread(&damaged), 3) < 3);
            }
        }
        assert_eq!((worker_of(u64::MAX, 7), worker_of(0, 7), worker_of(u64::MAX, 1)), (6, 0, 0));
    }

    #[test]
    fn workers_get_even_shares() {
        for workers in [2_usize, 3, 7, 16] {
            let mut shares = vec![0_usize; workers];
            for n in 0..10_000_u16 {
                let [high, low] = n.to_be_bytes();
                let frame = ethernet(&[], 0x0800, &v4([10, 0, high, low], B, 6, 0, &ports(1024 + n, 443)));
                shares[worker_of(spread(&frame), workers)] += 1;
            }
            let fair = 10_000 / workers;
            assert!(shares.iter().all(|&share| share.abs_diff(fair) < fair / 5), "{shares:?}");
        }
    }
}
