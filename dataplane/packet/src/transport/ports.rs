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

/// Takes over the ports of the next header, if its protocol has ports and they were captured.
#[inline(always)]
pub(crate) fn read(at: Cursor<'_>, headers: &mut Headers) {
    if has_ports(headers.protocol)
        && let Some(ports) = at.peek().map(Ports)
    {
        (headers.sport, headers.dport) = (ports.source(), ports.destination());
    }
}

#[cfg(test)]
mod tests {
    use crate::frame_tests::{bytes, frame_of};
    use crate::{Link, decode, has_ports};

    #[test]
    fn protocols_with_ports_have_them_and_others_have_not() {
        for protocol in 0..=u8::MAX {
            let hex = format!("4500001c 00010000 40{protocol:02x}0000 0a000001 0a000002 0035 d431 0008 0000");
            let headers = decode(&frame_of(Link::RawIp, &bytes(&hex))).map(|headers| (headers.protocol, headers.sport, headers.dport));
            let ports = if has_ports(protocol) { (protocol, 53, 54_321) } else { (protocol, 0, 0) };
            if !matches!(protocol, 0 | 43 | 44 | 51 | 60) {
                assert_eq!(headers, Ok(ports));
            }
        }
        assert_eq!((0..=u8::MAX).filter(|protocol| has_ports(*protocol)).collect::<Vec<_>>(), [6, 17, 33, 132, 136]);
    }
}
