//! L2TP version 2 (RFC 2661 section 3.1) and 3 over UDP (RFC 3931 section 4.1.2) and IP (section 4.1.1). Control messages carry
//! nothing.

use crate::cursor::{Cursor, Fields};
use crate::link::ethernet;
use crate::tunnel::carried::{Carried, Next};

/// Flags and version, of both versions.
const OCTETS: usize = 2;
const FLAGS_AND_VERSION: usize = 0;

const CONTROL: u16 = 0x8000;
const HAS_LENGTH: u16 = 0x4000;
const HAS_SEQUENCE: u16 = 0x0800;
const HAS_OFFSET: u16 = 0x0200;
const VERSION: u16 = 0x000f;

const LENGTH_OCTETS: usize = 2;
const SEQUENCE_OCTETS: usize = 4;
/// Reserved octets behind flags and version, in version 3.
const RESERVED_OCTETS: usize = 2;

pub(crate) const PORT: u16 = 1701;

/// The first octets of a message over UDP.
#[derive(Clone, Copy)]
struct Header<'a>(&'a [u8; OCTETS]);

impl Header<'_> {
    fn has(self, flag: u16) -> bool {
        self.0.u16::<FLAGS_AND_VERSION>() & flag != 0
    }

    fn version(self) -> u16 {
        self.0.u16::<FLAGS_AND_VERSION>() & VERSION
    }
}

/// What a message over UDP carries.
pub(crate) fn read(at: &mut Cursor<'_>) -> Option<Carried> {
    let header = at.take().map(Header).filter(|header| !header.has(CONTROL))?;
    match header.version() {
        2 => version_2(at, header),
        3 => {
            at.skip(RESERVED_OCTETS)?;
            read_session(at)
        }
        _ => None,
    }
}

/// Tunnel and session are one identifier; PPP follows.
fn version_2(at: &mut Cursor<'_>, header: Header<'_>) -> Option<Carried> {
    if header.has(HAS_LENGTH) {
        at.skip(LENGTH_OCTETS)?;
    }
    let tunnel_and_session = at.u32()?;
    if header.has(HAS_SEQUENCE) {
        at.skip(SEQUENCE_OCTETS)?;
    }
    if header.has(HAS_OFFSET) {
        let offset = at.u16()?;
        at.skip(usize::from(offset))?;
    }
    Some(Carried::new(tunnel_and_session, Next::Ppp))
}

/// What version 3 over IP carries, and over UDP behind its own header. How long cookie and sublayer are, only the two ends know: the
/// first length at which an Ethernet header seems to stand is taken. Session 0 is a control message.
pub(crate) fn read_session(at: &mut Cursor<'_>) -> Option<Carried> {
    let session = at.u32().filter(|session| *session != 0)?;
    let octets = [0, 4, 8, 12].into_iter().find(|octets| ethernet::seems_next(*at, *octets))?;
    at.skip(octets)?;
    Some(Carried::new(session, Next::Ethernet))
}

#[cfg(test)]
mod tests {
    use crate::frame_tests::{INNER_ETHERNET, INNER4, INNER6, UDP4, UDP6, check_tunnel, ipv4, udp};

    #[test]
    fn l2tp_of_both_versions() {
        check_tunnel(&udp(1701, &format!("0002 0001 0002 ff03 0021 {INNER4}")), &format!("l2tp 65538 {UDP4}"));
        check_tunnel(&udp(1701, &format!("4a02 0030 0001 0002 0000 0000 0002 0000 57 {INNER6}")), &format!("l2tp 65538 {UDP6}"));
        check_tunnel(&udp(1701, &format!("0003 0000 00000007 {INNER_ETHERNET} 0800 {INNER4}")), &format!("l2tp 7 {UDP4}"));
        check_tunnel(&ipv4(115, &format!("00000007 11223344 {INNER_ETHERNET} 0800 {INNER4}")), &format!("l2tp 7 {UDP4}"));
        check_tunnel(&udp(1701, "c802 000c 0001 0000 0000 0000"), " 0 192.0.2.1 > 192.0.2.2 p17 49152>1701");
    }
}
