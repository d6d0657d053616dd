//! Headers that the capturing machine has put before a frame. They were not on the link.
//!
//! Sources: the registry's descriptions (<https://www.tcpdump.org/linktypes.html>), radiotap (<https://www.radiotap.org>), and for
//! Juniper's the dissectors of tcpdump and Wireshark: Juniper has published none.

use super::octets::Order;
use sonde_packet::Link;

/// What stands before the frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pseudo {
    /// LINKTYPE_IEEE802_11_RADIOTAP.
    Radiotap,
    /// LINKTYPE_IEEE802_11_AVS.
    Avs,
    /// LINKTYPE_IEEE802_11_PRISM.
    Prism,
    /// LINKTYPE_PPI: says itself what is behind it.
    Ppi,
    /// LINKTYPE_NFLOG: attributes of Linux' netfilter, one of which is the packet.
    Nflog,
    /// One octet for the direction, then a link header.
    Direction(Link),
    /// LINKTYPE_PPP_PPPD: the octet of the direction stands in the place of PPP's address.
    Pppd,
    /// LINKTYPE_ENC: 12 octets of OpenBSD's IPsec, then IP.
    Enc,
    /// LINKTYPE_PFLOG: a header of OpenBSD's filter that begins with its length, then IP.
    Pflog,
    /// A header of Juniper's, a cookie of so many octets, then this.
    Juniper(u8, Payload),
}

/// What is behind a header of Juniper's and its cookie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Payload {
    /// A link header.
    Link(Link),
    /// An ethertype, and what it says.
    Ethertype,
    /// A link header that has to be guessed: IP, PPP or LLC.
    Guess,
}

/// What was found before a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// What is behind it.
    pub(super) link: Link,
    /// Octets before it.
    pub(super) octets: usize,
    /// Octets of what is behind it, where the header says so.
    pub(super) length: Option<usize>,
    /// Octets of FCS at its end, where the header says so.
    pub(super) fcs: Option<u8>,
}

/// The pseudo header of a LINKTYPE number.
pub(super) fn of(number: u16) -> Option<Pseudo> {
    use Payload::{Ethertype, Guess};
    let juniper = |cookie, link| Pseudo::Juniper(cookie, Payload::Link(link));
    Some(match number {
        109 => Pseudo::Enc,
        117 => Pseudo::Pflog,
        119 => Pseudo::Prism,
        127 => Pseudo::Radiotap,
        130 => Pseudo::Juniper(0, Guess),
        133 | 136 | 164 => Pseudo::Juniper(8, Guess),
        135 => Pseudo::Juniper(8, Guess),
        137 => Pseudo::Juniper(4, Guess),
        163 => Pseudo::Avs,
        166 => Pseudo::Pppd,
        167 => juniper(0, Link::Ethernet),
        168 => Pseudo::Juniper(0, Ethertype),
        178 => juniper(0, Link::Ethernet),
        179 => juniper(0, Link::Ppp),
        181 => juniper(0, Link::CiscoHdlc),
        192 => Pseudo::Ppi,
        204 => Pseudo::Direction(Link::Ppp),
        205 => Pseudo::Direction(Link::CiscoHdlc),
        239 => Pseudo::Nflog,
        _ => return None,
    })
}

/// Finds what is behind the pseudo header. Where the header is cut or makes no sense, nothing is behind it: the frame is counted as one
/// that is shorter than its link header.
pub(super) fn strip(pseudo: Pseudo, bytes: &[u8]) -> Found {
    let (found, link) = match pseudo {
        Pseudo::Radiotap => (radiotap(bytes), Link::Ieee80211),
        Pseudo::Avs => (avs(bytes), Link::Ieee80211),
        Pseudo::Prism => (prism(bytes), Link::Ieee80211),
        Pseudo::Ppi => (ppi(bytes), Link::Ieee80211),
        Pseudo::Nflog => (nflog(bytes), Link::RawIp),
        Pseudo::Direction(link) => (Some(behind(link, 1)), link),
        Pseudo::Pppd => (pppd(bytes), Link::Ppp),
        Pseudo::Enc => (Some(behind(Link::RawIp, 12)), Link::RawIp),
        Pseudo::Pflog => (pflog(bytes), Link::RawIp),
        Pseudo::Juniper(cookie, payload) => (juniper(bytes, cookie, payload), Link::RawIp),
    };
    found.unwrap_or(Found { link, octets: bytes.len(), length: None, fcs: None })
}

fn behind(link: Link, octets: usize) -> Found {
    Found { link, octets, length: None, fcs: None }
}

/// The FCS stands at the frame's end where bit 4 of the field "flags" is set; that field is behind the time stamp, if there is one.
fn radiotap(bytes: &[u8]) -> Option<Found> {
    let &[_, _, length0, length1, present0, present1, present2, present3] = bytes.first_chunk::<8>()?;
    let octets = usize::from(u16::from_le_bytes([length0, length1]));
    let present = u32::from_le_bytes([present0, present1, present2, present3]);
    // Further words of "present" follow while bit 31 is set. There are at most as many as the header has room for.
    let mut words = 1usize;
    let mut last = present;
    while last & 1 << 31 != 0 {
        let word = bytes.get(words.saturating_mul(4).saturating_add(4)..)?.first_chunk::<4>()?;
        last = u32::from_le_bytes(*word);
        words = words.saturating_add(1);
    }
    let mut at = words.saturating_mul(4).saturating_add(4);
    if present & 1 != 0 {
        at = at.next_multiple_of(8).saturating_add(8);
    }
    let flags = if present & 2 != 0 { *bytes.get(at)? } else { 0 };
    (octets >= 8).then_some(Found { fcs: Some(if flags & 0x10 != 0 { 4 } else { 0 }), ..behind(Link::Ieee80211, octets) })
}

/// A magic number and a length, both big endian.
fn avs(bytes: &[u8]) -> Option<Found> {
    let &[0x80, 0x21, 0x10, _, l0, l1, l2, l3] = bytes.first_chunk::<8>()? else { return None };
    let octets = usize::try_from(u32::from_be_bytes([l0, l1, l2, l3])).ok()?;
    Some(behind(Link::Ieee80211, octets.max(8)))
}

/// A message code and a length in the order of the machine that captured. AVS headers are found under this number, too.
fn prism(bytes: &[u8]) -> Option<Found> {
    if let Some(found) = avs(bytes) {
        return Some(found);
    }
    let &[_, _, _, _, l0, l1, l2, l3] = bytes.first_chunk::<8>()?;
    let length = [u32::from_le_bytes([l0, l1, l2, l3]), u32::from_be_bytes([l0, l1, l2, l3])];
    let octets = length.into_iter().min().and_then(|length| usize::try_from(length).ok())?;
    Some(behind(Link::Ieee80211, octets.max(8)))
}

/// Per-Packet Information: version, flags, length, link type; all little endian. It may not hold another one.
fn ppi(bytes: &[u8]) -> Option<Found> {
    /// Number of the field "802.11-Common", whose flags say whether there is an FCS.
    const COMMON: u16 = 2;
    let &[0, _, l0, l1, number0, number1, 0, 0] = bytes.first_chunk::<8>()? else { return None };
    let octets = usize::from(u16::from_le_bytes([l0, l1]));
    let number = u16::from_le_bytes([number0, number1]);
    let mut fcs = None;
    let mut fields = bytes.get(8..octets)?;
    while let Some((&[kind0, kind1, length0, length1], rest)) = fields.split_first_chunk::<4>() {
        let length = usize::from(u16::from_le_bytes([length0, length1]));
        if u16::from_le_bytes([kind0, kind1]) == COMMON
            && let Some(&[flags0, _]) = rest.get(8..).and_then(<[u8]>::first_chunk::<2>)
        {
            fcs = Some(if flags0 & 1 != 0 { 4 } else { 0 });
        }
        fields = rest.get(length..).unwrap_or_default();
    }
    let link = match number {
        1 => Link::Ethernet,
        9 => Link::Ppp,
        12 | 14 | 101 | 228 | 229 => Link::RawIp,
        50 => Link::PppSerial,
        51 => Link::Pppoe,
        104 => Link::CiscoHdlc,
        105 => Link::Ieee80211,
        113 => Link::LinuxSll,
        0 | 108 => Link::Null,
        // A radiotap header behind the PPI header.
        127 => {
            let found = radiotap(bytes.get(octets..)?)?;
            return Some(Found { octets: octets.saturating_add(found.octets), ..found });
        }
        _ => return None,
    };
    Some(Found { fcs, ..behind(link, octets) })
}

/// Family, version, resource, then attributes of a length, a type and a value, padded to four octets. Lengths and types are in the order
/// of the machine that captured: the first attribute tells it.
fn nflog(bytes: &[u8]) -> Option<Found> {
    /// NFULA_PAYLOAD.
    const PAYLOAD: u16 = 9;
    let &[_, version, _, _] = bytes.first_chunk::<4>()?;
    let &[first0, first1] = bytes.get(4..)?.first_chunk::<2>()?;
    if version != 0 {
        return None;
    }
    let order = if u16::from_le_bytes([first0, first1]) <= u16::from_be_bytes([first0, first1]) { Order::Little } else { Order::Big };
    let mut at = 4usize;
    loop {
        let &[length0, length1, kind0, kind1] = bytes.get(at..)?.first_chunk::<4>()?;
        let length = usize::from(order.u16([length0, length1]));
        // The upper two bits say that a value is nested, or in network order.
        let kind = order.u16([kind0, kind1]) & 0x3fff;
        if length < 4 {
            return None;
        }
        if kind == PAYLOAD {
            return Some(Found { length: Some(length.saturating_sub(4)), ..behind(Link::RawIp, at.saturating_add(4)) });
        }
        at = at.saturating_add(length.next_multiple_of(4));
    }
}

/// PPP with a direction (0 or 1) where the address 0xff was; the control field 0x03 may follow.
fn pppd(bytes: &[u8]) -> Option<Found> {
    let octets = match bytes.first_chunk::<2>()? {
        [0 | 1, 0x03] => 2,
        _ => 1,
    };
    Some(behind(Link::Ppp, octets))
}

/// The first octet is the header's length, which is padded to four octets; a length of zero is no header.
fn pflog(bytes: &[u8]) -> Option<Found> {
    let octets = usize::from(*bytes.first()?);
    (octets >= 4).then(|| behind(Link::RawIp, octets.next_multiple_of(4)))
}

/// "MGC", flags, and extensions of a stated length where bit 7 is set. Bit 1: no link header, four octets and then IP.
fn juniper(bytes: &[u8], cookie: u8, payload: Payload) -> Option<Found> {
    let &[b'M', b'G', b'C', flags] = bytes.first_chunk::<4>()? else { return None };
    let mut octets = 4usize;
    if flags & 0x80 != 0 {
        let &[l0, l1] = bytes.get(4..)?.first_chunk::<2>()?;
        octets = octets.saturating_add(2).saturating_add(u16::from_be_bytes([l0, l1]).into());
    }
    if flags & 0x02 != 0 {
        return Some(behind(Link::RawIp, octets.saturating_add(4)));
    }
    octets = octets.saturating_add(cookie.into());
    match payload {
        Payload::Link(link) => Some(behind(link, octets)),
        Payload::Ethertype => match bytes.get(octets..)?.first_chunk::<2>()? {
            [0x08, 0x00] | [0x86, 0xdd] => Some(behind(Link::RawIp, octets.saturating_add(2))),
            // PPPoE, PPP over ATM.
            [0x88, 0x64] => Some(behind(Link::Pppoe, octets.saturating_add(2))),
            [0x88, 0x0b] => Some(behind(Link::Ppp, octets.saturating_add(2))),
            _ => None,
        },
        Payload::Guess => guess(bytes, octets),
    }
}

/// IP, PPP or LLC with SNAP, directly or behind the cookie of a bundle (its first octet says how many octets it has).
fn guess(bytes: &[u8], octets: usize) -> Option<Found> {
    let at = |octets: usize| -> Option<Found> {
        match bytes.get(octets..)? {
            [0x45..=0x4f | 0x60..=0x6f, ..] => Some(behind(Link::RawIp, octets)),
            [0xff, 0x03, ..] | [0x00, 0x21 | 0x57, ..] => Some(behind(Link::Ppp, octets)),
            // RFC 2684 section 4.1: LLC, SNAP with an ethertype; section 4.2: a bridged frame with or without its FCS.
            [0xaa, 0xaa, 0x03, 0, 0, 0, 0x08, 0x00, ..] | [0xaa, 0xaa, 0x03, 0, 0, 0, 0x86, 0xdd, ..] => {
                Some(behind(Link::RawIp, octets.saturating_add(8)))
            }
            [0xaa, 0xaa, 0x03, 0x00, 0x80, 0xc2, 0x00, 0x07, ..] => Some(behind(Link::Ethernet, octets.saturating_add(10))),
            [0xaa, 0xaa, 0x03, 0x00, 0x80, 0xc2, 0x00, 0x01, ..] => {
                Some(Found { fcs: Some(4), ..behind(Link::Ethernet, octets.saturating_add(10)) })
            }
            // LLC of PPP, RFC 2364 section 4.
            [0xfe, 0xfe, 0x03, 0xcf, ..] => Some(behind(Link::Ppp, octets.saturating_add(4))),
            _ => None,
        }
    };
    // LS_COOKIE_ID and AS_COOKIE_ID.
    let cookie = match bytes.get(octets) {
        Some(0x41) => 8,
        Some(0x42) => 3,
        _ => 0,
    };
    at(octets).or_else(|| at(octets.saturating_add(cookie)))
}
