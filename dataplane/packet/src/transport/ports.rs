//! What TCP (RFC 9293 section 3.1), UDP (RFC 768), DCCP (RFC 4340 section 5.1), SCTP (RFC 9260 section 3.1) and UDP-Lite (RFC 3828
//! section 3.1) begin with: source and destination port.

use crate::cursor::{Cursor, Fields};
use crate::headers::Headers;
use crate::proto::has_ports;

/// Octets of both ports.
const OCTETS: usize = 4;
const SOURCE: usize = 0;
const DESTINATION: usize = 2;

/// The first octets of a header with ports.
#[derive(Clone, Copy)]
struct Ports<'a>(&'a [u8; OCTETS]);

impl Ports<'_> {
    #[inline(always)]
    fn source(self) -> u16 {
        self.0.u16::<SOURCE>()
    }

    #[inline(always)]
    fn destination(self) -> u16 {
        self.0.u16::<DESTINATION>()
    }
}

/// Takes over the ports of the header that stands next, if its protocol has ports and they were captured.
#[inline(always)]
pub(crate) fn read(at: Cursor<'_>, headers: &mut Headers) {
    if has_ports(headers.protocol)
        && let Some(ports) = at.peek().map(Ports)
    {
        (headers.sport, headers.dport) = (ports.source(), ports.destination());
    }
}
