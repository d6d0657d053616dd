//! GTP's user plane, version 1 (3GPP TS 29.281 section 5.1) and version 0 (TS 29.060 section 6 of release 97): only G-PDUs carry
//! packets.

use crate::cursor::{Cursor, Fields};
use crate::tunnel::carried::{Carried, Next};

const OCTETS: usize = 8;
/// Version (3 bits), protocol type (1), reserved (1), flags (3).
const VERSION_AND_FLAGS: usize = 0;
const MESSAGE_TYPE: usize = 1;
/// Of version 1.
const TUNNEL_ENDPOINT: usize = 4;

/// Version 0 has sequence number, flow label and others behind, and its tunnel identifier in the last eight of twenty octets.
mod v0 {
    pub(super) const REST: usize = 12;
    pub(super) const TUNNEL_IDENTIFIER_LOW: usize = 8;
}

/// Sequence number, N-PDU number, next extension header: there when one of the flags is set.
mod optional {
    pub(super) const OCTETS: usize = 4;
    pub(super) const NEXT_EXTENSION: usize = 3;
}

/// The protocol type of GTP; that of GTP' is 0.
const GTP: u8 = 0x10;
const HAS_EXTENSIONS: u8 = 0x04;
/// Any of the flags for extension header, sequence number, N-PDU number.
const HAS_OPTIONAL: u8 = 0x07;
const G_PDU: u8 = 255;
/// Most extension headers: a limit on work.
const EXTENSIONS_MAX: usize = 16;

/// The user plane's port, and that of version 0.
pub(crate) const PORTS: [u16; 2] = [2152, 3386];

/// The first octets of both versions.
#[derive(Clone, Copy)]
struct Header<'a>(&'a [u8; OCTETS]);

impl Header<'_> {
    fn version(self) -> u8 {
        self.0.u8::<VERSION_AND_FLAGS>() >> 5
    }

    fn has(self, flags: u8) -> bool {
        self.0.u8::<VERSION_AND_FLAGS>() & flags != 0
    }

    fn carries_packet(self) -> bool {
        self.0.u8::<MESSAGE_TYPE>() == G_PDU && self.has(GTP)
    }
}

/// What the tunnel carries.
pub(crate) fn read(at: &mut Cursor<'_>) -> Option<Carried> {
    let header = at.take().map(Header).filter(|header| header.carries_packet())?;
    let id = match header.version() {
        0 => {
            let rest: &[u8; v0::REST] = at.take()?;
            rest.u32::<{ v0::TUNNEL_IDENTIFIER_LOW }>()
        }
        1 => {
            pass_optional(at, header)?;
            header.0.u32::<TUNNEL_ENDPOINT>()
        }
        _ => return None,
    };
    Some(Carried::new(id, Next::Ip))
}

/// Passes over the optional fields and extension headers of version 1.
fn pass_optional(at: &mut Cursor<'_>, header: Header<'_>) -> Option<()> {
    if !header.has(HAS_OPTIONAL) {
        return Some(());
    }
    let fields: &[u8; optional::OCTETS] = at.take()?;
    let mut next = fields.u8::<{ optional::NEXT_EXTENSION }>();
    // Section 5.2.1: an extension's length counts in words of four, its last octet names the next.
    let mut left = if header.has(HAS_EXTENSIONS) { EXTENSIONS_MAX } else { 0 };
    while next != 0 && left > 0 {
        let octets = usize::from(at.first()?).saturating_mul(4);
        next = *at.rest().get(octets.checked_sub(1)?)?;
        at.skip(octets)?;
        left = left.saturating_sub(1);
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use crate::frame_tests::{INNER4, INNER6, UDP4, UDP6, check_tunnel, udp};

    #[test]
    fn gtp_user_plane_with_extension_headers() {
        check_tunnel(&udp(2152, &format!("30ff 001c 0000007b {INNER4}")), &format!("gtp 123 {UDP4}"));
        check_tunnel(&udp(2152, &format!("32ff 0020 0000007b 00010000 {INNER4}")), &format!("gtp 123 {UDP4}"));
        check_tunnel(&udp(2152, &format!("34ff 0028 0000007b 00000085 01100000 {INNER6}")), &format!("gtp 123 {UDP6}"));
        check_tunnel(&udp(3386, &format!("1eff 001c 0001 0002 ff ffffff 000000000000007b {INNER4}")), &format!("gtp 123 {UDP4}"));
        // An echo request carries nothing.
        check_tunnel(&udp(2152, "3201 0004 00000000 00010000"), " 0 192.0.2.1 > 192.0.2.2 p17 49152>2152");
        check_tunnel(&udp(2152, "30ff 001c 0000007b 1234"), "gtp 123 192.0.2.1 > 192.0.2.2 p17 49152>2152 unreadable");
    }
}
