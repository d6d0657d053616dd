//! ERSPAN type I, II and III (draft-foschiano-erspan-03): a mirrored frame in GRE.

use crate::cursor::{Cursor, Fields};
use crate::tunnel::carried::{Carried, Next};
use crate::tunnel::gre::Gre;

/// GRE's protocol types of types I and II, and of type III.
pub(crate) const PROTOCOL: u16 = 0x88be;
pub(crate) const PROTOCOL_III: u16 = 0x22eb;

/// Type II.
const OCTETS: usize = 8;
/// Class of service, truncated and others (6 bits), session (10).
const SESSION: usize = 2;
const SESSION_MASK: u16 = 0x03ff;

/// Type III.
mod three {
    pub(super) const OCTETS: usize = 12;
    pub(super) const SESSION: usize = 2;
    /// The frame's type is in five bits of the first octet, the O flag is the last bit of the second.
    pub(super) const FRAME_TYPE: usize = 10;
    pub(super) const FLAGS: usize = 11;
    /// The O flag: a subheader follows.
    pub(super) const HAS_SUBHEADER: u8 = 1;
    pub(super) const SUBHEADER: usize = 8;
}

/// A header of type II.
#[derive(Clone, Copy)]
struct Header<'a>(&'a [u8; OCTETS]);

impl Header<'_> {
    fn session(self) -> u32 {
        u32::from(self.0.u16::<SESSION>() & SESSION_MASK)
    }
}

/// A header of type III.
#[derive(Clone, Copy)]
struct HeaderThree<'a>(&'a [u8; three::OCTETS]);

impl HeaderThree<'_> {
    fn session(self) -> u32 {
        u32::from(self.0.u16::<{ three::SESSION }>() & SESSION_MASK)
    }

    fn has_subheader(self) -> bool {
        self.0.u8::<{ three::FLAGS }>() & three::HAS_SUBHEADER != 0
    }

    fn next(self) -> Option<Next> {
        match self.0.u8::<{ three::FRAME_TYPE }>() >> 2 & 0x1f {
            0 => Some(Next::Ethernet),
            2 => Some(Next::Ip),
            _ => None,
        }
    }
}

/// What types I and II carry: type I has no header of its own, GRE's sequence number tells.
pub(crate) fn read(gre: &Gre, at: &mut Cursor<'_>) -> Option<Carried> {
    if !gre.has_sequence() {
        return Some(Carried::unnamed(Next::Ethernet));
    }
    let header = at.take().map(Header)?;
    Some(Carried::new(header.session(), Next::Ethernet))
}

/// What type III carries.
pub(crate) fn read_three(at: &mut Cursor<'_>) -> Option<Carried> {
    let header = at.take().map(HeaderThree)?;
    if header.has_subheader() {
        at.skip(three::SUBHEADER)?;
    }
    Some(Carried::new(header.session(), header.next()?))
}

#[cfg(test)]
mod tests {
    use crate::frame_tests::{INNER_ETHERNET, INNER4, UDP4, check_tunnel, ipv4};

    #[test]
    fn every_type_carries_a_frame() {
        check_tunnel(&ipv4(47, &format!("0000 88be {INNER_ETHERNET} 0800 {INNER4}")), &format!("gre+erspan 0 {UDP4}"));
        check_tunnel(
            &ipv4(47, &format!("1000 88be 00000001 1001 0064 00000000 {INNER_ETHERNET} 0800 {INNER4}")),
            &format!("gre+erspan 100 {UDP4}"),
        );
        let three = "1000 22eb 00000001 2001 0065 00000000 0000";
        check_tunnel(&ipv4(47, &format!("{three} 0000 {INNER_ETHERNET} 0800 {INNER4}")), &format!("gre+erspan 101 {UDP4}"));
        check_tunnel(
            &ipv4(47, &format!("{three} 0001 0000000000000000 {INNER_ETHERNET} 0800 {INNER4}")),
            &format!("gre+erspan 101 {UDP4}"),
        );
        check_tunnel(&ipv4(47, &format!("{three} 0800 {INNER4}")), &format!("gre+erspan 101 {UDP4}"));
    }
}
