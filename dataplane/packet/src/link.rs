//! From the first byte of a frame to its network layer: link headers, tags, labels.

use crate::Link;
use crate::cursor::Cursor;
use crate::headers::{Headers, Malformed, ServiceInstance};
use crate::layers::Notes;

/// Most VLAN tags of a frame.
pub const TAGS_MAX: u8 = 8;
/// Most layers between the link header and IP, VLAN tags and MPLS labels included: a limit on work.
const LAYERS_MAX: u8 = 24;

/// Numbers of IEEE 802's ethertype registry that Sonde looks into.
pub(crate) mod ethertype {
    pub(crate) const IPV4: u16 = 0x0800;
    pub(crate) const IPV6: u16 = 0x86dd;
    pub(crate) const ARP: u16 = 0x0806;
    pub(super) const VLAN: u16 = 0x8100;
    pub(super) const QINQ: u16 = 0x88a8;
    pub(super) const QINQ_OLD: u16 = 0x9100;
    pub(super) const QINQ_OLDER: u16 = 0x9200;
    pub(super) const MPLS: u16 = 0x8847;
    pub(super) const MPLS_UPSTREAM: u16 = 0x8848;
    pub(super) const PPPOE_SESSION: u16 = 0x8864;
    /// Cisco FabricPath (data centre Ethernet).
    pub(super) const FABRIC_PATH: u16 = 0x8903;
    pub(super) const VN_TAG: u16 = 0x8926;
    pub(super) const E_TAG: u16 = 0x893f;
    pub(super) const NSH: u16 = 0x894f;
    /// PPP's own protocols.
    pub(super) const PPP: u16 = 0x880b;
    /// The I-TAG of provider backbone bridges (IEEE 802.1Q section 9.7, once 802.1ah).
    pub(super) const I_TAG: u16 = 0x88e7;
    /// MACsec (IEEE 802.1AE).
    pub(super) const MACSEC: u16 = 0x88e5;
    /// High-availability seamless redundancy (IEC 62439-3).
    pub(super) const HSR: u16 = 0x892f;
    /// Cisco metadata: the security group of a frame.
    pub(super) const CMD: u16 = 0x8909;
    /// Cisco's timestamp in a fabric (TTag).
    pub(super) const TTAG: u16 = 0x8988;
    /// Up to here it is a length (IEEE 802.3 section 3.2.6), and LLC follows.
    pub(super) const LENGTH_MAX: u16 = 1500;
}

/// Reads a frame as far as its network layer: its ethertype is in `headers`, `at` stands behind.
pub(crate) fn link(kind: Link, at: &mut Cursor<'_>, headers: &mut Headers, notes: &mut impl Notes) -> Result<(), Malformed> {
    match kind {
        Link::Ethernet => macs(at, headers, notes)?,
        Link::LinuxSll => cooked(at, headers)?,
        Link::LinuxSll2 => cooked2(at, headers)?,
        Link::Null => return loopback(at, headers),
        Link::RawIp => {
            headers.ethertype = ip_version(*at)?;
            return Ok(());
        }
        Link::Ppp => ppp(at, headers)?,
        Link::CiscoHdlc => cisco_hdlc(at, headers)?,
        Link::PppSerial => match at.peek() {
            Some([0x0f | 0x8f]) => cisco_hdlc(at, headers)?,
            _ => ppp(at, headers)?,
        },
        Link::Pppoe => headers.ethertype = ethertype::PPPOE_SESSION,
        Link::Mpls => headers.ethertype = ethertype::MPLS,
        // The frames of IEEE 802.11 are read by `wireless`.
        Link::Ieee80211 | Link::Unknown => return Ok(()),
    }
    follow(at, headers, notes)
}

/// Passes over tags and labels, up to a layer that is none.
pub(crate) fn follow(at: &mut Cursor<'_>, headers: &mut Headers, notes: &mut impl Notes) -> Result<(), Malformed> {
    for _ in 0..LAYERS_MAX {
        if !layer(at, headers, notes)? {
            return Ok(());
        }
    }
    Err(Malformed::TooManyTags)
}

/// An Ethernet header inside a tunnel: the tags before it were those of another network.
pub(crate) fn enter_ethernet(at: &mut Cursor<'_>, headers: &mut Headers, notes: &mut impl Notes) -> Result<(), Malformed> {
    (headers.vlan, headers.tags) = ([0; 2], 0);
    macs(at, headers, notes)
}

/// One layer; `false` when there is none that Sonde looks into.
#[inline(always)]
fn layer(at: &mut Cursor<'_>, headers: &mut Headers, notes: &mut impl Notes) -> Result<bool, Malformed> {
    match headers.ethertype {
        ethertype::IPV4 | ethertype::IPV6 => return Ok(false),
        ethertype::VLAN | ethertype::QINQ | ethertype::QINQ_OLD | ethertype::QINQ_OLDER => tag(at, headers, notes)?,
        // Four octets between ethertypes, and six (IEEE 802.1BR section 7.5).
        ethertype::VN_TAG => skip_tag(at, headers, 4)?,
        ethertype::E_TAG => skip_tag(at, headers, 6)?,
        ethertype::FABRIC_PATH => {
            // Forwarding tag and hop count; the addresses before it were those of switches.
            at.skip(2).ok_or(Malformed::LinkTruncated)?;
            macs(at, headers, notes)?;
        }
        ethertype::MPLS | ethertype::MPLS_UPSTREAM => return labels(at, headers, notes),
        ethertype::PPPOE_SESSION => return pppoe(at, headers, notes),
        ethertype::NSH => return service_header(at, headers, notes),
        0..=ethertype::LENGTH_MAX => {
            let Some(ethertype) = snap(at) else { return Ok(false) };
            headers.ethertype = ethertype;
        }
        _ => return rare(at, headers, notes),
    }
    Ok(true)
}

/// The layers that few networks have.
#[cold]
#[inline(never)]
fn rare(at: &mut Cursor<'_>, headers: &mut Headers, notes: &mut impl Notes) -> Result<bool, Malformed> {
    match headers.ethertype {
        ethertype::HSR => skip_tag(at, headers, 4)?,
        // A time of six octets.
        ethertype::TTAG => skip_tag(at, headers, 6)?,
        ethertype::CMD => metadata(at, headers)?,
        ethertype::I_TAG => service_instance(at, headers, notes)?,
        ethertype::MACSEC => return secured(at, headers),
        _ => return Ok(false),
    }
    Ok(true)
}

#[inline(always)]
fn macs(at: &mut Cursor<'_>, headers: &mut Headers, notes: &mut impl Notes) -> Result<(), Malformed> {
    headers.dmac = *at.take().ok_or(Malformed::LinkTruncated)?;
    headers.smac = *at.take().ok_or(Malformed::LinkTruncated)?;
    headers.ethertype = at.u16().ok_or(Malformed::LinkTruncated)?;
    notes.ethernet(headers.dmac, headers.smac);
    Ok(())
}

/// IEEE 802.1Q section 9.3.
#[inline(always)]
fn tag(at: &mut Cursor<'_>, headers: &mut Headers, notes: &mut impl Notes) -> Result<(), Malformed> {
    if headers.tags >= TAGS_MAX {
        return Err(Malformed::TooManyTags);
    }
    let tci = at.u16().ok_or(Malformed::VlanTruncated)?;
    headers.ethertype = at.u16().ok_or(Malformed::VlanTruncated)?;
    if let Some(id) = headers.vlan.get_mut(usize::from(headers.tags)) {
        *id = tci & 0x0fff;
    }
    notes.vlan(tci);
    headers.tags = headers.tags.saturating_add(1);
    Ok(())
}

/// A tag of which only the ethertype behind it is wanted.
fn skip_tag(at: &mut Cursor<'_>, headers: &mut Headers, octets: usize) -> Result<(), Malformed> {
    at.skip(octets).ok_or(Malformed::VlanTruncated)?;
    headers.ethertype = at.u16().ok_or(Malformed::VlanTruncated)?;
    Ok(())
}

/// Cisco metadata: version, length in words of four octets, so many options.
fn metadata(at: &mut Cursor<'_>, headers: &mut Headers) -> Result<(), Malformed> {
    let &[_, words] = at.peek::<2>().ok_or(Malformed::VlanTruncated)?;
    skip_tag(at, headers, usize::from(words).saturating_mul(4).saturating_add(2))
}

/// IEEE 802.1Q section 9.7: priority, flags, and I-SID in four octets, then the customer's Ethernet header. The addresses before it were
/// those of bridges.
fn service_instance(at: &mut Cursor<'_>, headers: &mut Headers, notes: &mut impl Notes) -> Result<(), Malformed> {
    let tag = u32::from_be_bytes(*at.take().ok_or(Malformed::VlanTruncated)?);
    headers.service_instance = ServiceInstance::new(tag);
    notes.service_instance(tag);
    macs(at, headers, notes)
}

/// IEEE 802.1AE section 9: what is only authenticated can be read, what is encrypted (E) or otherwise changed (C) cannot.
fn secured(at: &mut Cursor<'_>, headers: &mut Headers) -> Result<bool, Malformed> {
    const VERSION: u8 = 0x80;
    const EXPLICIT_SCI: u8 = 0x20;
    const ENCRYPTED: u8 = 0x08;
    const CHANGED: u8 = 0x04;
    let &[control] = at.peek::<1>().ok_or(Malformed::VlanTruncated)?;
    if control & (VERSION | ENCRYPTED | CHANGED) != 0 {
        return Ok(false);
    }
    // Control, short length, packet number; the secure channel where it is said.
    skip_tag(at, headers, if control & EXPLICIT_SCI != 0 { 14 } else { 6 })?;
    Ok(true)
}

/// LLC with SNAP and an ethertype (IEEE 802 section 9.5): as RFC 1042 has it, or by the bridge tunnel of IEEE 802.1H. `None`, and
/// nothing is passed over, when it is something else.
#[inline]
pub(crate) fn snap(at: &mut Cursor<'_>) -> Option<u16> {
    let &[0xaa, 0xaa, 0x03, 0, 0, 0 | 0xf8, e0, e1] = at.peek::<8>()? else { return None };
    at.skip(8)?;
    Some(u16::from_be_bytes([e0, e1]))
}

/// RFC 3032 section 2.1. What follows the stack is not said (section 2.2): the first four bits tell (RFC 4928 section 2).
fn labels(at: &mut Cursor<'_>, headers: &mut Headers, notes: &mut impl Notes) -> Result<bool, Malformed> {
    let mut bottom = false;
    for _ in 0..LAYERS_MAX {
        let entry = u32::from_be_bytes(*at.take().ok_or(Malformed::MplsTruncated)?);
        notes.mpls(entry);
        bottom = entry & 0x100 != 0;
        if bottom {
            break;
        }
    }
    if !bottom {
        return Err(Malformed::TooManyTags);
    }
    match at.peek().map(|[first]| first >> 4) {
        // A pseudowire without control word begins with an address, whose first four bits may be these, too (RFC 4928 section 3).
        Some(4 | 6) if carries_ethernet(*at, 0) && !is_ip(*at) => macs(at, headers, notes)?,
        Some(4) => headers.ethertype = ethertype::IPV4,
        Some(6) => headers.ethertype = ethertype::IPV6,
        // A pseudowire (RFC 4448) with the control word or without.
        // RFC 4385 section 3: the control word begins with four zero bits.
        Some(0) if carries_ethernet(*at, 4) => {
            at.skip(4).ok_or(Malformed::MplsTruncated)?;
            macs(at, headers, notes)?;
        }
        _ if carries_ethernet(*at, 0) => macs(at, headers, notes)?,
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

/// Whether an Ethernet header that Sonde can go on from seems to stand `offset` octets ahead.
pub(crate) fn carries_ethernet(mut at: Cursor<'_>, offset: usize) -> bool {
    at.skip(offset.saturating_add(12)).is_some()
        && matches!(
            at.u16(),
            Some(
                ethertype::IPV4
                    | ethertype::IPV6
                    | ethertype::ARP
                    | ethertype::VLAN
                    | ethertype::QINQ
                    | ethertype::MPLS
                    | ethertype::PPPOE_SESSION
                    | ethertype::I_TAG
                    | ethertype::CMD
                    | ethertype::TTAG
            )
        )
}

/// RFC 2516 section 4, then PPP.
fn pppoe(at: &mut Cursor<'_>, headers: &mut Headers, notes: &mut impl Notes) -> Result<bool, Malformed> {
    let &[version_type, code, s0, s1, _, _] = at.take::<6>().ok_or(Malformed::PppoeTruncated)?;
    notes.pppoe(u16::from_be_bytes([s0, s1]));
    if version_type != 0x11 || code != 0 {
        return Ok(false);
    }
    let before = headers.ethertype;
    point_to_point(at, headers)?;
    Ok(headers.ethertype != before)
}

/// PPP's protocol field, behind address and control where they were not compressed away (RFC 1661 section 2, RFC 1662 section 3.1).
/// The ethertype stays as it is when PPP carries its own.
pub(crate) fn point_to_point(at: &mut Cursor<'_>, headers: &mut Headers) -> Result<(), Malformed> {
    if at.peek() == Some(&[0xff, 0x03]) {
        at.skip(2).ok_or(Malformed::PppoeTruncated)?;
    }
    let &[first] = at.take::<1>().ok_or(Malformed::PppoeTruncated)?;
    let protocol = if first & 1 == 1 {
        u16::from(first)
    } else {
        let &[second] = at.take::<1>().ok_or(Malformed::PppoeTruncated)?;
        u16::from_be_bytes([first, second])
    };
    headers.ethertype = match protocol {
        0x0021 => ethertype::IPV4,
        0x0057 => ethertype::IPV6,
        0x0281 => ethertype::MPLS,
        // PPP's own: a flow of the session.
        _ => headers.ethertype,
    };
    Ok(())
}

/// RFC 8300 section 2.
fn service_header(at: &mut Cursor<'_>, headers: &mut Headers, notes: &mut impl Notes) -> Result<bool, Malformed> {
    let &[_, length, _, next] = at.peek::<4>().ok_or(Malformed::NshTruncated)?;
    at.skip(usize::from(length & 0x3f).max(1).saturating_mul(4)).ok_or(Malformed::NshTruncated)?;
    match next {
        1 => headers.ethertype = ethertype::IPV4,
        2 => headers.ethertype = ethertype::IPV6,
        3 => macs(at, headers, notes)?,
        4 => headers.ethertype = ethertype::NSH,
        5 => headers.ethertype = ethertype::MPLS,
        _ => return Ok(false),
    }
    Ok(true)
}

/// LINKTYPE_PPP. What PPP says of itself is a flow of its ethertype (IEEE 802's registry: 0x880b).
fn ppp(at: &mut Cursor<'_>, headers: &mut Headers) -> Result<(), Malformed> {
    headers.ethertype = ethertype::PPP;
    point_to_point(at, headers)
}

/// LINKTYPE_C_HDLC: address, control, ethertype (RFC 1547 section 4.3.1).
fn cisco_hdlc(at: &mut Cursor<'_>, headers: &mut Headers) -> Result<(), Malformed> {
    at.skip(2).ok_or(Malformed::LinkTruncated)?;
    headers.ethertype = at.u16().ok_or(Malformed::LinkTruncated)?;
    Ok(())
}

/// LINKTYPE_LINUX_SLL: packet type, ARPHRD, address length, address, protocol.
fn cooked(at: &mut Cursor<'_>, headers: &mut Headers) -> Result<(), Malformed> {
    let header: &[u8; 16] = at.take().ok_or(Malformed::LinkTruncated)?;
    let [_, _, _, _, l0, l1, a0, a1, a2, a3, a4, a5, _, _, e0, e1] = *header;
    if u16::from_be_bytes([l0, l1]) == 6 {
        headers.smac = [a0, a1, a2, a3, a4, a5];
    }
    headers.ethertype = u16::from_be_bytes([e0, e1]);
    Ok(())
}

/// LINKTYPE_LINUX_SLL2: protocol, reserved, interface, ARPHRD, packet type, address length, address.
fn cooked2(at: &mut Cursor<'_>, headers: &mut Headers) -> Result<(), Malformed> {
    let header: &[u8; 20] = at.take().ok_or(Malformed::LinkTruncated)?;
    let [e0, e1, _, _, _, _, _, _, _, _, _, length, a0, a1, a2, a3, a4, a5, _, _] = *header;
    if length == 6 {
        headers.smac = [a0, a1, a2, a3, a4, a5];
    }
    headers.ethertype = u16::from_be_bytes([e0, e1]);
    Ok(())
}

/// LINKTYPE_NULL and LINKTYPE_LOOP: the address family as four bytes in the order of the machine that captured.
fn loopback(at: &mut Cursor<'_>, headers: &mut Headers) -> Result<(), Malformed> {
    let family: &[u8; 4] = at.take().ok_or(Malformed::LinkTruncated)?;
    let family = match u32::from_be_bytes(*family) {
        large if large > 0xffff => large.swap_bytes(),
        small => small,
    };
    headers.ethertype = match family {
        2 => ethertype::IPV4,
        // AF_INET6 of NetBSD and OpenBSD, FreeBSD, Darwin.
        24 | 28 | 30 => ethertype::IPV6,
        _ => 0,
    };
    Ok(())
}

/// The ethertype of the IP header that stands next, by its version.
pub(crate) fn ip_version(at: Cursor<'_>) -> Result<u16, Malformed> {
    let [first] = *at.peek().ok_or(Malformed::LinkTruncated)?;
    match first >> 4 {
        4 => Ok(ethertype::IPV4),
        6 => Ok(ethertype::IPV6),
        _ => Err(Malformed::UnknownIpVersion),
    }
}
