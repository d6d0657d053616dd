//! What a tunnel's header says: which network the packet belongs to, and what stands behind the header.

use crate::link::ethertype;
use crate::link::wireless::Data;

/// What stands behind the header of a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    Ethernet,
    /// What an ethertype says.
    Ethertype(u16),
    /// IPv4 or IPv6: the first four bits tell.
    Ip,
    Ppp,
    /// Subframes of an A-MSDU, each with a packet.
    Subframes,
}

impl Next {
    /// An ethertype as tunnels use it, with their own numbers for Ethernet and PPP.
    pub(crate) fn of(protocol: u16) -> Self {
        match protocol {
            ethertype::TRANSPARENT_ETHERNET => Self::Ethernet,
            ethertype::PPP => Self::Ppp,
            other => Self::Ethertype(other),
        }
    }
}

impl From<Data> for Next {
    fn from(data: Data) -> Self {
        match data {
            Data::Msdu(ethertype) => Self::Ethertype(ethertype),
            Data::Aggregate => Self::Subframes,
        }
    }
}

/// What a tunnel carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Carried {
    /// Virtual network, tunnel endpoint, session or key, where the header has one.
    pub(crate) id: Option<u32>,
    pub(crate) next: Next,
}

impl Carried {
    #[inline(always)]
    pub(crate) fn new(id: impl Into<Option<u32>>, next: Next) -> Self {
        Self { id: id.into(), next }
    }

    /// In a tunnel whose header has no identifier.
    pub(crate) const fn unnamed(next: Next) -> Self {
        Self { id: None, next }
    }
}
