//! GRE (RFC 2784) with key and sequence number (RFC 2890), source routes (RFC 1701), and the fields of version 1 (RFC 2637 section 4.1).

use crate::cursor::{Cursor, Fields};
use crate::listener::Listener;
use crate::tunnel::carried::{Carried, Next};

const OCTETS: usize = 4;
const FLAGS_AND_VERSION: usize = 0;
const PROTOCOL: usize = 2;

const CHECKSUM: u16 = 0x8000;
const ROUTING: u16 = 0x4000;
const KEY: u16 = 0x2000;
const SEQUENCE: u16 = 0x1000;
/// Of version 1.
const ACKNOWLEDGEMENT: u16 = 0x0080;
const VERSION: u16 = 0x0007;

/// Checksum and offset; sequence number; acknowledgement number.
const FIELD_OCTETS: usize = 4;

/// The port of GRE in UDP (RFC 8086).
pub(crate) const PORT: u16 = 4754;

/// The octets that every GRE header has.
#[derive(Clone, Copy)]
struct Header<'a>(&'a [u8; OCTETS]);

impl Header<'_> {
    fn flags_and_version(self) -> u16 {
        self.0.u16::<FLAGS_AND_VERSION>()
    }
}

/// What a GRE header says; protocols over GRE read on from here.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Gre {
    /// Flags and version.
    flags: u16,
    /// The protocol type: an ethertype.
    pub(crate) protocol: u16,
    pub(crate) key: Option<u32>,
}

impl Gre {
    pub(crate) fn version(&self) -> u16 {
        self.flags & VERSION
    }

    pub(crate) fn has_sequence(&self) -> bool {
        self.flags & SEQUENCE != 0
    }

    /// Whether a key is all that the header has beside what all have.
    pub(crate) fn has_key_alone(&self) -> bool {
        self.flags & (CHECKSUM | ROUTING | KEY | SEQUENCE) == KEY
    }

    /// What plain GRE carries.
    pub(crate) fn carried(&self) -> Carried {
        Carried::new(self.key, Next::of(self.protocol))
    }
}

/// Reads the header with its optional fields, and tells the listener the key. There are versions 0 and 1.
pub(crate) fn read(at: &mut Cursor<'_>, listener: &mut impl Listener) -> Option<Gre> {
    let header = at.take().map(Header)?;
    let mut gre = Gre { flags: header.flags_and_version(), protocol: header.0.u16::<PROTOCOL>(), key: None };
    let version = gre.version();
    if version > 1 {
        return None;
    }
    if version == 0 && gre.flags & (CHECKSUM | ROUTING) != 0 {
        at.skip(FIELD_OCTETS)?;
    }
    if gre.flags & KEY != 0 {
        let key = at.u32()?;
        listener.gre_key(key);
        gre.key = Some(key);
    }
    if gre.has_sequence() {
        at.skip(FIELD_OCTETS)?;
    }
    if version == 1 && gre.flags & ACKNOWLEDGEMENT != 0 {
        at.skip(FIELD_OCTETS)?;
    }
    if version == 0 && gre.flags & ROUTING != 0 {
        pass_source_routes(at)?;
    }
    Some(gre)
}

/// RFC 1701: source route entries, up to one of length zero.
fn pass_source_routes(at: &mut Cursor<'_>) -> Option<()> {
    const ENTRIES_MAX: usize = 16;
    for _ in 0..ENTRIES_MAX {
        let [_, _, _, length] = *at.take::<4>()?;
        if length == 0 {
            return Some(());
        }
        at.skip(usize::from(length))?;
    }
    None
}

#[cfg(test)]
mod tests {
    use crate::frame_tests::{INNER_ETHERNET, INNER4, INNER6, UDP4, UDP6, check_tunnel, ipv4, layers_of, udp};

    #[test]
    fn gre_with_every_optional_field() {
        check_tunnel(&ipv4(47, &format!("0000 0800 {INNER4}")), &format!("gre 0 {UDP4}"));
        check_tunnel(&ipv4(47, &format!("b000 86dd 00000000 00000007 00000001 {INNER6}")), &format!("gre 7 {UDP6}"));
        check_tunnel(&ipv4(47, &format!("4000 0800 00000000 0002 0004 0a0b0c0d 0000 0000 {INNER4}")), &format!("gre 0 {UDP4}"));
        check_tunnel(&ipv4(47, &format!("0000 8847 00064140 00000000 {INNER_ETHERNET} 0800 {INNER4}")), &format!("gre 0 {UDP4}"));
        // Version 2 does not exist.
        check_tunnel(&ipv4(47, "0002 0800 4500"), " 0 192.0.2.1 > 192.0.2.2 p47 0>0");
    }

    #[test]
    fn gre_in_udp() {
        check_tunnel(&udp(4754, &format!("0000 0800 {INNER4}")), &format!("gre 0 {UDP4}"));
        check_tunnel(&udp(4754, &format!("2000 6558 00123401 {INNER_ETHERNET} 0800 {INNER4}")), &format!("nvgre 4660 {UDP4}"));
    }

    #[test]
    fn the_listener_hears_the_key() {
        assert_eq!(layers_of(&ipv4(47, &format!("2000 0800 00000007 {INNER4}"))).gre_key, Some(7));
    }
}
