//! MPLS label stacks (RFC 3032 section 2.1) and what they carry: IP, or a pseudowire of Ethernet (RFC 4448).

use crate::cursor::{Cursor, Fields};
use crate::headers::{Headers, Malformed};
use crate::link::{ethernet, ethertype};
use crate::listener::Listener;

/// Most entries of a stack: a limit on work.
const LABELS_MAX: u8 = 24;

pub(crate) const OCTETS: usize = 4;
/// Label (20 bits), traffic class (3), bottom of stack (1), TTL (8).
const ENTRY: usize = 0;
const BOTTOM: u32 = 0x100;
/// The control word of a pseudowire (RFC 4385 section 3).
const CONTROL_WORD: usize = 4;

/// An entry of the stack.
#[derive(Clone, Copy)]
struct Entry<'a>(&'a [u8; OCTETS]);

impl Entry<'_> {
    fn word(self) -> u32 {
        self.0.u32::<ENTRY>()
    }

    fn is_bottom(self) -> bool {
        is_bottom(self.word())
    }
}

/// Whether an entry is the last of its stack.
#[inline(always)]
pub(crate) fn is_bottom(entry: u32) -> bool {
    entry & BOTTOM != 0
}

/// Reads a stack, and tells the listener its entries; `false` when what follows is not known.
pub(crate) fn read(at: &mut Cursor<'_>, headers: &mut Headers, listener: &mut impl Listener) -> Result<bool, Malformed> {
    let mut bottom = false;
    for _ in 0..LABELS_MAX {
        let entry = at.take().map(Entry).ok_or(Malformed::MplsTruncated)?;
        listener.mpls(entry.word());
        bottom = entry.is_bottom();
        if bottom {
            break;
        }
    }
    if !bottom {
        return Err(Malformed::TooManyTags);
    }
    carried(at, headers, listener)
}

/// What follows the stack is not said (RFC 3032 section 2.2): the first four bits tell (RFC 4928 section 2).
fn carried(at: &mut Cursor<'_>, headers: &mut Headers, listener: &mut impl Listener) -> Result<bool, Malformed> {
    match at.first().map(|first| first >> 4) {
        // A pseudowire without control word begins with an address, whose first four bits may be these, too (RFC 4928 section 3).
        Some(4 | 6) if ethernet::seems_next(*at, 0) && !is_ip(*at) => ethernet::read(at, headers, listener)?,
        Some(4) => headers.ethertype = ethertype::IPV4,
        Some(6) => headers.ethertype = ethertype::IPV6,
        // RFC 4385 section 3: the control word begins with four zero bits.
        Some(0) if ethernet::seems_next(*at, CONTROL_WORD) => {
            at.skip(CONTROL_WORD).ok_or(Malformed::MplsTruncated)?;
            ethernet::read(at, headers, listener)?;
        }
        _ if ethernet::seems_next(*at, 0) => ethernet::read(at, headers, listener)?,
        _ => return Ok(false),
    }
    Ok(true)
}

/// Whether the next header is one of IP in more than its first four bits: its length is that of what is left, or
/// IPv4's checksum (RFC 1071) is right.
#[inline]
fn is_ip(at: Cursor<'_>) -> bool {
    let Some([first, _, t0, t1, p0, p1]) = at.peek::<6>().copied() else { return true };
    let left = at.rest().len();
    if first >> 4 == 6 {
        return usize::from(u16::from_be_bytes([p0, p1])).saturating_add(40) == left;
    }
    let octets = usize::from(first & 0x0f).saturating_mul(4);
    let Some(header) = at.rest().get(..octets).filter(|header| header.len() >= 20) else { return false };
    let words = header.as_chunks::<2>().0.iter().map(|word| u32::from(u16::from_be_bytes(*word)));
    // A right header adds up to 0xffff with one carry: there are at most 30 words.
    let sum = words.fold(0u32, u32::wrapping_add);
    let folded = (sum & 0xffff).wrapping_add(sum >> 16);
    folded == 0xffff || usize::from(u16::from_be_bytes([t0, t1])) == left
}

#[cfg(test)]
mod tests {
    use crate::Link;
    use crate::frame_tests::{ETHERNET, INNER4, UDP4, V4_UDP, check_frame, check_passed, layers_of};

    #[test]
    fn ip_and_pseudowires_are_told_apart() {
        check_passed("8847 00064140");
        check_passed("8848 00064040 00065140");
        check_passed("8847 00064140 00000000 020000000004 020000000003 0800");
        check_passed("8847 00064140 120000000004 020000000003 0800");
        // RFC 4928 section 3: an address that begins like IP.
        check_passed("8847 00064140 443839000004 020000000003 0800");
        check_passed("8847 00064140 6c626d000004 020000000003 0800");
        check_frame(Link::Ethernet, &format!("{ETHERNET} 8847 000640"), "mpls_truncated");
        check_frame(Link::Ethernet, &format!("{ETHERNET} 8847 {} {V4_UDP}", "00064040".repeat(30)), "too_many_tags");
        check_frame(Link::Ethernet, &format!("{ETHERNET} 8847 00064140 f000"), "8847 p0 0>0 2 octets vlan [] icmp [0, 0] frag 0");
    }

    #[test]
    fn the_listener_hears_every_label() {
        let labelled = layers_of(&format!("{ETHERNET} 8847 00064240 00065140 {INNER4}"));
        assert_eq!((labelled.mpls, labelled.mpls_labels), ([0x0006_4240, 0x0006_5140, 0, 0, 0, 0], 2));
    }

    #[test]
    fn a_stack_may_be_the_link() {
        check_frame(Link::Mpls, &format!("00064140 {V4_UDP}"), &format!("{UDP4} 28 octets vlan [] icmp [0, 0] frag 0"));
    }

    #[test]
    fn ip_behind_labels_may_look_like_an_address_and_a_type() {
        // From 8.0.69.1: its first octets stand where an ethertype would, and a version where one would.
        let (udp, ends) = ("0035 d431 0008 0000", "08004501 0a000002");
        let expected = "8.0.69.1 > 10.0.0.2 p17 53>54321 28 octets vlan [] icmp [0, 0] frag 0";
        // Right length and no checksum, as offload leaves it; right checksum and padding.
        check_frame(Link::Ethernet, &format!("{ETHERNET} 8847 00064140 4500001c 00000000 40110000 {ends} {udp}"), expected);
        check_frame(Link::Ethernet, &format!("{ETHERNET} 8847 00064140 4500001c 00000000 401123cf {ends} {udp} 00000000"), expected);
        let (from, to) = ("20010db80800450000000000 00000001", "20010db8000000000000000000000002");
        let six = format!("{ETHERNET} 8847 00064140 60000000 0008 11 40 {from} {to} {udp}");
        check_frame(Link::Ethernet, &six, "2001:db8:800:4500::1 > 2001:db8::2 p17 53>54321 48 octets vlan [] icmp [0, 0] frag 0");
    }
}
