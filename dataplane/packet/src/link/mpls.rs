//! MPLS label stacks (RFC 3032 section 2.1) and what they carry: IP, or a pseudowire of Ethernet (RFC 4448).

use crate::cursor::{Cursor, Fields};
use crate::headers::{Headers, Malformed};
use crate::link::{ethernet, ethertype};
use crate::listener::Listener;

/// Most entries of a stack: a limit on work.
const LABELS_MAX: u8 = 24;

const OCTETS: usize = 4;
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
        self.word() & BOTTOM != 0
    }
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

/// Whether the IP header whose version stands next is one in more than its first four bits: its length is that of what is left, or
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
