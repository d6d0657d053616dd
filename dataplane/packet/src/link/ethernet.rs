//! Ethernet (IEEE 802.3 section 3.1.1): destination, source, ethertype or length.

use crate::cursor::{Cursor, Fields};
use crate::headers::{Headers, Malformed};
use crate::link::ethertype;
use crate::listener::Listener;

/// Octets of the header.
pub(crate) const OCTETS: usize = 14;
const DESTINATION: usize = 0;
const SOURCE: usize = 6;
const ETHERTYPE: usize = 12;

/// An Ethernet header.
#[derive(Clone, Copy)]
pub(crate) struct Header<'a>(&'a [u8; OCTETS]);

impl<'a> Header<'a> {
    /// The next header, without reading it.
    #[inline(always)]
    pub(crate) fn peek(at: Cursor<'a>) -> Option<Self> {
        at.peek().map(Self)
    }

    #[inline(always)]
    pub(crate) fn destination(self) -> [u8; 6] {
        self.0.octets::<DESTINATION, 6>()
    }

    #[inline(always)]
    pub(crate) fn source(self) -> [u8; 6] {
        self.0.octets::<SOURCE, 6>()
    }

    #[inline(always)]
    pub(crate) fn ethertype(self) -> u16 {
        self.0.u16::<ETHERTYPE>()
    }
}

/// Reads the header.
#[inline(always)]
pub(crate) fn read(at: &mut Cursor<'_>, headers: &mut Headers, listener: &mut impl Listener) -> Result<(), Malformed> {
    let header = at.take().map(Header).ok_or(Malformed::LinkTruncated)?;
    (headers.dmac, headers.smac, headers.ethertype) = (header.destination(), header.source(), header.ethertype());
    listener.ethernet(headers.dmac, headers.smac);
    Ok(())
}

/// Reads a header inside a tunnel: the tags before it were those of another network.
pub(crate) fn read_in_tunnel(at: &mut Cursor<'_>, headers: &mut Headers, listener: &mut impl Listener) -> Result<(), Malformed> {
    (headers.vlan, headers.tags) = ([0; 2], 0);
    read(at, headers, listener)
}

/// Whether an Ethernet header that Sonde can go on from seems to follow after `offset` octets.
pub(crate) fn seems_next(mut at: Cursor<'_>, offset: usize) -> bool {
    at.skip(offset).is_some() && Header::peek(at).is_some_and(|header| goes_on(header.ethertype()))
}

/// Whether Sonde can go on from an Ethernet header with this ethertype inside of another header.
#[inline(always)]
pub(crate) fn goes_on(ethertype: u16) -> bool {
    matches!(
        ethertype,
        ethertype::IPV4
            | ethertype::IPV6
            | ethertype::ARP
            | ethertype::VLAN
            | ethertype::QINQ
            | ethertype::MPLS
            | ethertype::PPPOE_SESSION
            | ethertype::I_TAG
            | ethertype::CISCO_METADATA
            | ethertype::TTAG
    )
}

#[cfg(test)]
mod tests {
    use crate::frame_tests::{ETHERNET, bytes, check_frame, frame};
    use crate::{Link, decode};

    #[test]
    fn addresses_and_ethertype_are_read() {
        let frame_bytes = bytes(&format!("{ETHERNET} 88b5 0102"));
        let headers = decode(&frame(&frame_bytes)).expect("a frame");
        assert_eq!((headers.dmac, headers.smac, headers.ethertype), ([2, 0, 0, 0, 0, 2], [2, 0, 0, 0, 0, 1], 0x88b5));
        check_frame(Link::Ethernet, "0102", "link_truncated");
        check_frame(Link::Ethernet, &format!("{ETHERNET} 08"), "link_truncated");
    }
}
