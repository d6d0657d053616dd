//! The general decoder: the sequence in which a frame's headers are read. Each header is read by the file of its protocol.

use crate::cursor::Cursor;
use crate::frame::{Frame, Link};
use crate::headers::{Headers, Malformed};
use crate::ip::{extension, v4, v6};
use crate::link::{
    arp, cisco_metadata, cooked, ethernet, ethertype, fabric_path, hdlc, llc, loopback, macsec, mpls, nsh, ppp, pppoe, raw,
    service_instance, skipped_tag, vlan, wireless,
};
use crate::listener::Listener;
use crate::proto;
use crate::transport::{esp, icmp, ports, tcp};

/// Most layers between the link header and IP, VLAN tags and MPLS labels included: a limit on work.
const LAYERS_MAX: u8 = 24;

/// Decodes one frame: link header, tags and labels, IP with its extensions, transport.
///
/// A frame without IP has [`crate::Network::None`] and is still a value. A transport header that was cut off leaves its fields at
/// zero: the packet is metered by what is known of it.
///
/// # Errors
/// The reason why the frame has no readable headers.
#[inline]
pub fn decode(frame: &Frame<'_>) -> Result<Headers, Malformed> {
    first(frame, &mut ())
}

/// [`decode`] with a listener.
#[inline(always)]
pub(crate) fn first(frame: &Frame<'_>, listener: &mut impl Listener) -> Result<Headers, Malformed> {
    let mut headers = Headers::default();
    let mut at = Cursor::new(frame.bytes);
    link(frame.link, &mut at, &mut headers, listener)?;
    network(frame, at, &mut headers, None, listener)?;
    Ok(headers)
}

/// Reads a frame as far as its network layer: its ethertype is in `headers`, `at` is behind it.
fn link(kind: Link, at: &mut Cursor<'_>, headers: &mut Headers, listener: &mut impl Listener) -> Result<(), Malformed> {
    match kind {
        Link::Ethernet => ethernet::read(at, headers, listener)?,
        Link::LinuxSll => cooked::read(at, headers)?,
        Link::LinuxSll2 => cooked::read_v2(at, headers)?,
        Link::Null => return loopback::read(at, headers),
        Link::RawIp => {
            headers.ethertype = raw::read(*at)?;
            return Ok(());
        }
        Link::PppSerial if !hdlc::is_next(*at) => ppp::link(at, headers)?,
        Link::Ppp => ppp::link(at, headers)?,
        Link::CiscoHdlc | Link::PppSerial => hdlc::read(at, headers)?,
        Link::Pppoe => headers.ethertype = ethertype::PPPOE_SESSION,
        Link::Mpls => headers.ethertype = ethertype::MPLS,
        Link::Ieee80211 => {
            if !wireless::read(at, headers, listener)? {
                return Ok(());
            }
        }
        Link::Unknown => return Ok(()),
    }
    follow(at, headers, listener)
}

/// Passes over tags and labels, up to a layer that is none.
pub(crate) fn follow(at: &mut Cursor<'_>, headers: &mut Headers, listener: &mut impl Listener) -> Result<(), Malformed> {
    for _ in 0..LAYERS_MAX {
        if !layer(at, headers, listener)? {
            return Ok(());
        }
    }
    Err(Malformed::TooManyTags)
}

/// One layer; `false` when there is none that Sonde looks into.
#[inline(always)]
fn layer(at: &mut Cursor<'_>, headers: &mut Headers, listener: &mut impl Listener) -> Result<bool, Malformed> {
    match headers.ethertype {
        ethertype::IPV4 | ethertype::IPV6 => return Ok(false),
        tag if vlan::is_tag(tag) => vlan::read(at, headers, listener)?,
        ethertype::VN_TAG => skipped_tag::read(at, headers, skipped_tag::VN_TAG_OCTETS)?,
        ethertype::E_TAG => skipped_tag::read(at, headers, skipped_tag::E_TAG_OCTETS)?,
        ethertype::FABRIC_PATH => fabric_path::read(at, headers, listener)?,
        ethertype::MPLS | ethertype::MPLS_UPSTREAM => return mpls::read(at, headers, listener),
        ethertype::PPPOE_SESSION => return pppoe::read(at, headers, listener),
        ethertype::NSH => return nsh::read(at, headers, listener),
        0..=ethertype::LENGTH_MAX => {
            let Some(ethertype) = llc::read(at) else { return Ok(false) };
            headers.ethertype = ethertype;
        }
        _ => return rare_layer(at, headers, listener),
    }
    Ok(true)
}

/// The layers that few networks have.
#[cold]
#[inline(never)]
fn rare_layer(at: &mut Cursor<'_>, headers: &mut Headers, listener: &mut impl Listener) -> Result<bool, Malformed> {
    match headers.ethertype {
        ethertype::HSR => skipped_tag::read(at, headers, skipped_tag::HSR_OCTETS)?,
        ethertype::TTAG => skipped_tag::read(at, headers, skipped_tag::TTAG_OCTETS)?,
        ethertype::CISCO_METADATA => cisco_metadata::read(at, headers)?,
        ethertype::I_TAG => service_instance::read(at, headers, listener)?,
        ethertype::MACSEC => return macsec::read(at, headers),
        _ => return Ok(false),
    }
    Ok(true)
}

/// Reads the network layer at `at`; `false` when it is none of IP. `above`: the headers of the packet that carries this one
/// in a tunnel, which say where it ends at the latest; without, the frame does.
pub(crate) fn network(
    frame: &Frame<'_>,
    mut at: Cursor<'_>,
    headers: &mut Headers,
    above: Option<&Headers>,
    listener: &mut impl Listener,
) -> Result<bool, Malformed> {
    let l3 = frame.bytes.len().saturating_sub(at.rest().len());
    headers.l3_offset = u16::try_from(l3).unwrap_or(u16::MAX);
    let behind = match above {
        Some(above) => u32::try_from(above.carried(l3)).unwrap_or(u32::MAX),
        None => frame.wire_len.saturating_sub(u32::from(headers.l3_offset)),
    };
    let next = match headers.ethertype {
        ethertype::IPV4 => v4::read(&mut at, headers, behind)?,
        ethertype::IPV6 => Some(v6::read(&mut at, headers, behind)?),
        other => {
            headers.octets = behind;
            if other == ethertype::ARP {
                arp::read(at, listener);
            }
            return Ok(false);
        }
    };
    if let Some(offset) = next
        && let Some(offset) = extension::read(&mut at, headers, offset, listener)?
    {
        transport(at, headers, offset);
    }
    Ok(true)
}

/// Ports, TCP's fixed header, ICMP's type and code. Only the first fragment has them.
fn transport(at: Cursor<'_>, headers: &mut Headers, offset: usize) {
    if headers.fragment.offset != 0 {
        return;
    }
    headers.l4_offset = u16::try_from(offset).unwrap_or(0);
    let at = at.up_to(headers.carried(offset));
    match headers.protocol {
        proto::TCP => tcp::read(at, headers),
        proto::ICMP | proto::ICMPV6 | proto::IGMP => icmp::read(at, headers),
        proto::ESP => esp::read(at, headers),
        _ => {}
    }
    ports::read(at, headers);
}

#[cfg(test)]
#[path = "decode_tests.rs"]
mod tests;
